//! Field lines that no message of HTTP/2 has (RFC 9113 §8.2).
//!
//! h2 knows them too, but forgets what it found wrong with the beginning of a field section where a
//! frame ends within a field line.

use http::{Method, StatusCode};

/// Whether a field that is no pseudo-field makes its message malformed: its name has an upper-case
/// letter (§8.2.1), or it concerns a connection of HTTP/1.1 (§8.2.2).
pub fn is_malformed(name: &[u8], value: &[u8]) -> bool {
    match name {
        b"connection" | b"keep-alive" | b"proxy-connection" | b"transfer-encoding" | b"upgrade" => {
            true
        }
        b"te" => value != b"trailers",
        _ => name.iter().any(u8::is_ascii_uppercase),
    }
}

/// Whether h2 reads the line at all; if not, it ends the connection at once, with all that is at work on
/// it.
pub fn is_readable(name: &[u8], value: &[u8]) -> bool {
    match name {
        b":method" => Method::from_bytes(value).is_ok(),
        b":status" => StatusCode::from_bytes(value).is_ok(),
        b":scheme" | b":authority" | b":path" | b":protocol" => std::str::from_utf8(value).is_ok(),
        _ => {
            // What the `http` crate lets names and values have: `"`, too, which is refused later, by a
            // document. No pseudo-field begins like that.
            let of_name = |b: &u8| {
                b.is_ascii_lowercase() || b.is_ascii_digit() || b"!\"#$%&'*+-.^_`|~".contains(b)
            };
            let of_value = |b: &u8| matches!(b, b'\t' | b' '..=b'~' | 0x80..);
            name.iter().all(of_name) && value.iter().all(of_value)
        }
    }
}

/// Whether a section goes on as it should: pseudo-fields stand before all others (§8.3).
#[derive(Clone, Copy, Debug, Default)]
pub struct Order {
    has_others: bool,
}

impl Order {
    /// Whether the line may not stand here.
    pub fn is_broken_by(&mut self, name: &[u8]) -> bool {
        let is_pseudo = name.starts_with(b":");
        self.has_others |= !is_pseudo;
        is_pseudo && self.has_others
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_connections_are_malformed() {
        for (name, value, wanted) in [
            ("connection", "close", true),
            ("keep-alive", "", true),
            ("proxy-connection", "x", true),
            ("transfer-encoding", "chunked", true),
            ("upgrade", "h2c", true),
            ("te", "gzip", true),
            ("te", "trailers, deflate", true),
            ("te", "trailers", false),
            ("X-a", "", true),
            ("x-connection", "close", false),
            ("", "", false),
        ] {
            let found = is_malformed(name.as_bytes(), value.as_bytes());
            assert_eq!(found, wanted, "{name}: {value}");
        }
    }

    #[test]
    fn lines_that_h2_ends_the_connection_for_are_known() {
        for (name, value, wanted) in [
            ("x-a", "b\tc \u{fc}", true),
            ("!\"#$%&'*+-.^_`|~", "", true),
            (":path", "a b", true),
            ("X-a", "", false),
            ("x a", "", false),
            ("x:a", "", false),
            ("x-\u{fc}", "", false),
            (":other", "", false),
            (":method", "G T", false),
            (":status", "20", false),
            ("x", "a\nb", false),
            ("x", "a\0b", false),
            ("x", "\u{7f}", false),
        ] {
            let found = is_readable(name.as_bytes(), value.as_bytes());
            assert_eq!(found, wanted, "{name}: {value}");
        }
        assert!(!is_readable(b":path", b"/\xff"));
    }

    #[test]
    fn pseudo_fields_come_first() {
        let broken = |names: &[&str]| {
            let mut order = Order::default();
            let broken = names.iter().map(|n| order.is_broken_by(n.as_bytes()));
            broken.fold(false, |any, one| any | one)
        };
        assert!(!broken(&[":method", ":path", "x", "y"]));
        assert!(broken(&[":method", "x", ":path", "y"]));
    }
}
