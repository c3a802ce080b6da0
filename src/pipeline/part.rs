//! The head of a request that carries a part of a caller's batch, or one record of it.

use super::Exchange;
use crate::{
    domain::DecisionId,
    message::{Field, Fields, Parts, Value},
};

/// What is said with a part that begins with the item `first`.
///
/// Its answer is read here: it has to come as JSON, uncompressed.
pub fn head(x: &Exchange<'_>, parts: &Parts, first: DecisionId, leaves_home: bool) -> Fields {
    let mut headers = x.item_headers(parts, first, leaves_home);
    headers.insert(Field::AcceptEncoding, "identity");
    let json = |v: Value<'_>| {
        let text = v.to_str().unwrap_or_default();
        text.contains("json") || text.contains("*/*")
    };
    if !headers.get_all(Field::Accept).all(json) {
        headers.remove(Field::Accept);
    }
    headers
}
