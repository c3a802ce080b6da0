//! What an answer of HTTP/2 may say, as far as neither the reader in front of h2 ([`crate::http2`]) nor
//! h2 itself finds it. It ends its stream alone: what else is at work on the connection has been read
//! rightly.

use http::{HeaderMap, HeaderName, HeaderValue, Response, header};

use super::http1::{MOST_FIELDS, digits, is_status};
use crate::message::{is_token, never_indexed, trailer};

/// Whether a head is one that HTTP/1.1 could say, too, and that is read in one way: a status of RFC 9110
/// §15, at most as many fields as there, names that are tokens (RFC 9110 §5.1; h2 takes others),
/// values without white space at their edges (RFC 9113 §8.2.1), and one `Content-Length` of digits at most (RFC 9110 §8.6). h2 takes several lengths that are equal,
/// and an empty one for 0.
pub(super) fn is_sound<B>(answer: &Response<B>) -> bool {
    let fields = answer.headers();
    let mut lengths = fields.get_all(header::CONTENT_LENGTH).iter();
    let is_length = |length: &HeaderValue| digits(length.as_bytes()).is_some();
    let has_one_length = lengths.next().is_none_or(is_length) && lengths.next().is_none();
    is_status(answer.status()) && has_one_length && are_sound(fields)
}

fn are_sound(fields: &HeaderMap) -> bool {
    let is_name = |name: &HeaderName| name.as_str().bytes().all(is_token);
    fields.len() <= MOST_FIELDS && fields.keys().all(is_name) && !fields.values().any(has_edge)
}

/// RFC 9113 §8.2.1.
fn has_edge(value: &HeaderValue) -> bool {
    matches!(value.as_bytes(), [b' ' | b'\t', ..] | [.., b' ' | b'\t'])
}

/// The trailer fields of an answer, without those that may not stand there (RFC 9110 §6.5.1); `None`
/// where they make it malformed.
pub(super) fn trailers(mut fields: HeaderMap) -> Option<HeaderMap> {
    if !are_sound(&fields) {
        return None;
    }
    let forbidden: Vec<_> = fields
        .keys()
        .filter(|n| trailer::is_forbidden(n))
        .cloned()
        .collect();
    for name in forbidden {
        fields.remove(name);
    }
    Some(never_indexed(fields))
}
