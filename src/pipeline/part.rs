//! The head of a request that carries a part of a caller's batch, or one record of it.

use super::Exchange;
use crate::{
    domain::DecisionId,
    message::{Field, Fields, Parts, Value},
};

/// Of the caller's whole body (RFC 9530 §2), which is not what goes out.
const DIGESTS: [&str; 4] = ["content-digest", "repr-digest", "digest", "content-md5"];

/// Of some of an answer, which would tell of some items alone.
const RANGES: [&str; 2] = ["range", "if-range"];

pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// What is said with a part that begins with the item `first`. `has_key`: it is the only one that its
/// region gets, so that the caller's `Idempotency-Key` is its own; a region would take a second for
/// the first come again.
///
/// Its answer is read here: it has to come as JSON, uncompressed and whole. Preconditions stay: each
/// region judges them, and what they do not hold of is not carried out.
pub fn head(
    x: &Exchange<'_>,
    parts: &Parts,
    first: DecisionId,
    leaves_home: bool,
    has_key: bool,
) -> Fields {
    let mut headers = x.item_headers(parts, first, leaves_home);
    headers.retain(|_, name| {
        !(RANGES.contains(&name) || is_digest(name) || (name == IDEMPOTENCY_KEY && !has_key))
    });
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

/// Whether the field holds a digest of the body, and so goes with that one alone.
pub fn is_digest(name: &str) -> bool {
    DIGESTS.contains(&name)
}
