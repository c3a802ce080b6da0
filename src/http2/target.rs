//! Whether h2 makes a target of what a request's pseudo-fields say (RFC 9113 §8.3.1): if not, it resets
//! the stream, and tells nobody.
//!
//! What nearly every request says is seen at a glance; the rest is for the parsers that h2 asks.

use http::uri::{Authority, PathAndQuery, Scheme};

/// What is longer is not looked at by itself: the parsers have limits of their own.
const SHORT: usize = 1024;

pub fn is_scheme(value: &[u8]) -> bool {
    matches!(value, b"http" | b"https") || Scheme::try_from(value).is_ok()
}

/// A name or address, with a port or without.
pub fn is_authority(value: &[u8]) -> bool {
    let of_name = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.');
    let mut parts = value.splitn(2, |b| *b == b':');
    let is_name = parts
        .next()
        .is_some_and(|n| !n.is_empty() && n.iter().all(of_name));
    let is_port = parts
        .next()
        .is_none_or(|p| !p.is_empty() && p.iter().all(u8::is_ascii_digit));
    let is_plain = is_name && is_port && value.len() <= SHORT;
    is_plain || Authority::try_from(value).is_ok()
}

/// An empty one is none.
pub fn is_path(value: &[u8]) -> bool {
    let of_path =
        |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b'/' | b'%');
    let is_plain = value.first() == Some(&b'/') && value.iter().all(of_path);
    is_plain && value.len() <= SHORT || !value.is_empty() && PathAndQuery::try_from(value).is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn agrees(value: &[u8]) {
        let text = value.escape_ascii().to_string();
        let authority = Authority::try_from(value).is_ok();
        assert_eq!(is_authority(value), authority, "{text}");
        let path = !value.is_empty() && PathAndQuery::try_from(value).is_ok();
        assert_eq!(is_path(value), path, "{text}");
        assert_eq!(is_scheme(value), Scheme::try_from(value).is_ok(), "{text}");
    }

    #[test]
    fn what_is_seen_at_a_glance_is_what_the_parsers_say() {
        for value in [
            "", "/", "*", "/a b", "a", "/a?b#c", "/%zz", "a:80", "a:", ":80", "a:b", "a:1:2",
            "[::1]:80", "a/b", "u@a", "http", "HTTP", "ht tp", "-", ".", "a..b", "//", "/\u{fc}",
        ] {
            agrees(value.as_bytes());
        }
        for length in [SHORT, SHORT + 1, 1 << 16] {
            agrees(&vec![b'a'; length]);
            agrees(&[&b"/"[..], &vec![b'a'; length]].concat());
            agrees(&[&b"a:"[..], &vec![b'1'; length]].concat());
        }
    }

    proptest! {
        #[test]
        fn at_a_glance_or_not_it_is_the_same(value in "[-a-c./:%?#@\\[\\]*0-9 ~_]{0,12}") {
            agrees(value.as_bytes());
        }
    }
}
