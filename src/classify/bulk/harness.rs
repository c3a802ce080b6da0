//! What fuzzing and the property tests run over the bulk parser.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

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
        let Some(outer) = members(line) else {
            panic!("accepted an action line that serde_json refuses");
        };
        let inner = outer.get(item.action.as_str()).filter(|_| outer.len() == 1);
        let Some(inner) = inner.and_then(|value| members(value.get().as_bytes())) else {
            panic!("the action is not the line's one member");
        };
        if let Err(fault) = says(item, bytes, &inner) {
            panic!("{fault}");
        }
        if let Some(source) = item.source(bytes)
            && let Ok(found) = update(source)
        {
            let Some(whole) = members(source) else {
                panic!("accepted an update that serde_json refuses");
            };
            let part = |name: &str| whole.get(name).map(|value| value.get().as_bytes());
            if part("doc") != Some(found.doc) || part("upsert") != found.upsert {
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

/// An object as `serde_json` takes it apart; each value as it is written, since that reader has no
/// numbers beyond `f64`, which are JSON all the same.
type Members = BTreeMap<String, Box<RawValue>>;

fn members(text: &[u8]) -> Option<Members> {
    serde_json::from_slice(text).ok()
}

/// Whether an item says what another reader finds in the object of its action.
fn says(item: &BulkItem, body: &[u8], inner: &Members) -> Result<(), &'static str> {
    let raw = |name: &str| inner.get(name).map(|value| value.get());
    let text = |name: &str| raw(name).and_then(|text| serde_json::from_str::<String>(text).ok());
    if item.index(body).as_deref() != text("_index").as_deref() {
        return Err("two readers see two indices");
    }
    if item.pipeline(body).as_deref() != text("pipeline").as_deref() {
        return Err("two readers see two pipelines");
    }
    // A number is the id that it is written as.
    let number =
        raw("_id").filter(|text| text.starts_with(|c: char| c == '-' || c.is_ascii_digit()));
    if item.id(body).as_deref() != text("_id").as_deref().or(number) {
        return Err("two readers see two ids");
    }
    let asks = raw("_source").is_some_and(|text| text != "null" && text != "false");
    if item.wants_source != asks {
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
