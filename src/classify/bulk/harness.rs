//! What fuzzing and the property tests run over the bulk parser.

use super::{split_bulk, update};

/// Splits arbitrary bytes, and checks what must hold for any of them.
///
/// # Panics
/// If something does not hold; that is its purpose.
#[expect(
    clippy::panic,
    reason = "a fuzzing harness reports what it found by panicking"
)]
pub fn try_bytes(bytes: &[u8]) {
    let Ok(items) = split_bulk(bytes, 1000) else {
        return;
    };
    let mut end = 0;
    for item in items {
        let range = item.range();
        let Some(text) = bytes.get(range.clone()) else {
            panic!("an item leaves the body");
        };
        if range.start < end {
            panic!("items overlap");
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
        let told = inner.get("_index").and_then(|v| v.as_str());
        if item.index(bytes).as_deref() != told {
            panic!("two readers see two indices");
        }
        match inner.get("_id") {
            Some(serde_json::Value::String(id)) if item.id(bytes).as_deref() != Some(id) => {
                panic!("two readers see two ids");
            }
            None | Some(serde_json::Value::Null) if item.id(bytes).is_some() => {
                panic!("an id where there is none");
            }
            _ => {}
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
}
