//! What fuzzing and the property tests run over the bulk parser.

use serde_json::{Map, Value};

use super::{BulkItem, split_bulk, update};

/// Most items of a body here.
const MOST: usize = 1000;

/// Splits arbitrary bytes, and checks what must hold for any of them.
///
/// # Panics
/// If something does not hold; that is its purpose.
#[expect(
    clippy::panic,
    reason = "a fuzzing harness reports what it found by panicking"
)]
pub fn try_bytes(bytes: &[u8]) {
    let Ok(items) = split_bulk(bytes, MOST) else {
        return;
    };
    if let Err(fault) = parts_are_bodies(bytes, &items) {
        panic!("{fault}");
    }
    let mut end = 0;
    for item in &items {
        let range = item.range();
        let Some(text) = bytes.get(range.clone()) else {
            panic!("an item leaves the body");
        };
        if range.start < end {
            panic!("items overlap");
        }
        if !is_blank(bytes.get(end..range.start)) {
            panic!("something that is no item was passed over");
        }
        end = range.end;
        let (line, source) = match text.iter().position(|b| *b == b'\n') {
            Some(at) => text.split_at(at),
            None => (text, &[][..]),
        };
        // Exactly the lines that another reader, splitting at line feeds, will find.
        let wanted = usize::from(item.source(bytes).is_some());
        if text.iter().filter(|b| **b == b'\n').count() != wanted {
            panic!("an item is not of the lines that its action has");
        }
        if item.source(bytes).is_some_and(|s| !source.ends_with(s)) {
            panic!("the source is not the item's second line");
        }
        // Another reader agrees on what the action line says.
        let Ok(serde_json::Value::Object(outer)) = serde_json::from_slice(line) else {
            panic!("accepted an action line that serde_json refuses");
        };
        let inner = outer.get(item.action.as_str()).and_then(|v| v.as_object());
        let Some(inner) = inner.filter(|_| outer.len() == 1) else {
            panic!("the action is not the line's one member");
        };
        if let Err(fault) = says(item, bytes, inner) {
            panic!("{fault}");
        }
        if let Some(source) = item.source(bytes)
            && let Ok(found) = update(source)
        {
            let read = |part| serde_json::from_slice::<serde_json::Value>(part).ok();
            let Some(whole) = read(source) else {
                panic!("accepted an update that serde_json refuses");
            };
            if whole.get("doc") != read(found.doc).as_ref()
                || whole.get("upsert").cloned() != found.upsert.and_then(read)
            {
                panic!("two readers see two documents");
            }
        }
    }
    if !is_blank(bytes.get(end..)) {
        panic!("something after the last item was passed over");
    }
}

fn is_blank(between: Option<&[u8]>) -> bool {
    between.is_some_and(|bytes| {
        bytes
            .iter()
            .all(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n'))
    })
}

/// Whether an item says what another reader finds in the object of its action.
fn says(item: &BulkItem, body: &[u8], inner: &Map<String, Value>) -> Result<(), &'static str> {
    let text = |name: &str| inner.get(name).and_then(Value::as_str);
    if item.index(body).as_deref() != text("_index") {
        return Err("two readers see two indices");
    }
    if item.pipeline(body).as_deref() != text("pipeline") {
        return Err("two readers see two pipelines");
    }
    let id = item.id(body);
    let alike = match inner.get("_id") {
        Some(Value::String(wanted)) => id.as_deref() == Some(wanted),
        // Others are written in more than one way.
        Some(Value::Number(number)) if !number.is_f64() => {
            id.as_deref() == Some(number.to_string().as_str())
        }
        Some(Value::Number(_)) => id.is_some(),
        None | Some(Value::Null) => id.is_none(),
        Some(_) => false,
    };
    if !alike {
        return Err("two readers see two ids");
    }
    let asks = |source: &Value| !matches!(source, Value::Null | Value::Bool(false));
    if item.wants_source != inner.get("_source").is_some_and(asks) {
        return Err("two readers differ in whether the document is asked for");
    }
    Ok(())
}

/// A body cut behind an item, and one that stands twice: the same items again.
fn parts_are_bodies(body: &[u8], items: &[BulkItem]) -> Result<(), &'static str> {
    let half = items.get(..items.len().div_ceil(2)).unwrap_or_default();
    let end = half.last().map_or(0, |item| item.range().end);
    let rest = body.get(end..).unwrap_or_default();
    let feed = rest.iter().position(|b| *b == b'\n').ok_or("no line end")?;
    let first = body.get(..=end + feed).unwrap_or_default();
    if split_bulk(first, MOST).as_deref() != Ok(half) {
        return Err("the first half alone reads differently");
    }
    if 2 * items.len() > MOST {
        return Ok(());
    }
    let twice = split_bulk(&[body, body].concat(), MOST).map_err(|_| "twice it is refused")?;
    let places = |items: &[BulkItem], from: usize| -> Vec<_> {
        let place = |item: &BulkItem| (item.action, item.range().start - from);
        items.iter().map(place).collect()
    };
    let (one, other) = twice.split_at_checked(items.len()).unwrap_or_default();
    if one != items || places(other, body.len()) != places(items, 0) {
        return Err("twice it reads differently");
    }
    Ok(())
}
