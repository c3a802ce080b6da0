//! What fuzzing runs over the reading of what regions answer to parts of batches.

use bytes::Bytes;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::{BulkAnswer, Expected};
use crate::classify::bulk::{BulkItem, split_bulk};

/// Most items of a body here.
const MOST: usize = 1000;

/// Takes what stands before a NUL for a bulk request and the rest for a region's answer to it; an
/// answer that is believed is one that another reader takes for the items that were asked for.
///
/// # Panics
/// If something does not hold; that is its purpose.
#[expect(
    clippy::panic,
    reason = "a fuzzing harness reports what it found by panicking"
)]
pub fn try_bulk_answer(bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |b| *b == 0);
    let (Some(body), Some(answer)) = (parts.next(), parts.next()) else {
        return;
    };
    let Ok(items) = split_bulk(body, MOST) else {
        return;
    };
    let expected = |at: usize| {
        let item: &BulkItem = items.get(at)?;
        Some(Expected {
            action: item.action,
            id: item.id(body),
        })
    };
    let text = Bytes::copy_from_slice(answer);
    let Ok(read) = BulkAnswer::parse(text, items.len(), expected) else {
        return;
    };
    if serde_json::from_slice::<IgnoredAny>(answer).is_err() {
        panic!("believed what serde_json refuses");
    }
    // A number that no double holds is JSON all the same (RFC 8259 §6).
    let Ok(whole) = serde_json::from_slice::<Value>(answer) else {
        return;
    };
    let Some(told) = whole.get("items").and_then(Value::as_array) else {
        panic!("believed an answer without items");
    };
    if told.len() != items.len() || read.items().len() != items.len() {
        panic!("believed an answer of another number of items");
    }
    for ((item, told), found) in items.iter().zip(told).zip(read.items()) {
        if serde_json::from_str::<Value>(read.text(found))
            .ok()
            .as_ref()
            != Some(told)
        {
            panic!("two readers see two items");
        }
        if let Some((begun, theirs)) = read.relayed(found) {
            let again = format!("{begun}\"domicile\":{theirs}}}}}");
            if serde_json::from_str::<Value>(&again).ok().as_ref() != Some(told) {
                panic!("an item is not told as it came");
            }
        }
        let Some(inner) = told.get(item.action.as_str()).and_then(Value::as_object) else {
            panic!("believed an item of another action");
        };
        if inner.get("status").and_then(Value::as_u64) != Some(u64::from(found.status.as_u16())) {
            panic!("two readers see two statuses");
        }
        let id = inner.get("_id").and_then(Value::as_str);
        if item.id(body).is_some_and(|wanted| Some(&*wanted) != id) {
            panic!("believed an item of another id");
        }
        let nested = inner.values().filter(|value| value.is_object());
        if found.is_plain && (nested.count() > 1 || inner.values().any(Value::is_array)) {
            panic!("an item is called plain that could hold a document");
        }
        let _ = read.words(found);
    }
}
