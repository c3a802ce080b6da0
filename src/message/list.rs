//! Values that are lists.

use super::is_token;

/// The elements of a list of tokens; empty ones are passed over (RFC 9110 §5.6.1.2). `None` where
/// something else than a token stands.
pub fn tokens(value: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    value
        .split(|b| *b == b',')
        .map(trim)
        .filter(|element| !element.is_empty())
        .map(|element| element.iter().all(|b| is_token(*b)).then_some(element))
}

/// Without the optional white space around it (RFC 9110 §5.6.3): spaces and tabs alone.
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}
