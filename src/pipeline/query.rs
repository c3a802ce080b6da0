//! Queries as forms write them (`application/x-www-form-urlencoded`), read so that a region finds no
//! other value in them.

use std::borrow::Cow;

use super::wishes::Unclear;
use crate::admit::path::decode_value;

/// The value of a name.
///
/// # Errors
/// [`Unclear`] where readers differ: the name stands twice with different values, or in other letters,
/// between blanks or with a `[…]` behind it, which some take for the same; a name cannot be decoded;
/// there is a `;`, at which some part pairs; or the value is a telephone number with a bare `+`, which
/// forms read as a blank, and URIs (RFC 3986) as itself.
pub fn value(query: &str, name: &str) -> Result<Option<String>, Unclear> {
    if query.contains(';') {
        return Err(Unclear);
    }
    let mut found: Option<String> = None;
    for pair in query.split('&') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let key = decode(key).ok_or(Unclear)?;
        if key != name {
            match is_like(&key, name) {
                true => return Err(Unclear),
                false => continue,
            }
        }
        let has_plus = value.contains('+');
        let value = decode(value).ok_or(Unclear)?;
        if has_plus && is_number_behind_a_blank(&value) {
            return Err(Unclear);
        }
        if found.as_ref().is_some_and(|before| *before != value) {
            return Err(Unclear);
        }
        found = Some(value.into_owned());
    }
    Ok(found)
}

fn is_like(key: &str, name: &str) -> bool {
    let key = key.trim();
    let bare = key.split('[').next().unwrap_or_default().trim_end();
    key.eq_ignore_ascii_case(name) || bare.eq_ignore_ascii_case(name)
}

/// ` 49 30 901820`, which was `+49…`, or `tel:` before it.
fn is_number_behind_a_blank(value: &str) -> bool {
    let number = match value.split_at_checked(4) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("tel:") => rest,
        _ => value,
    };
    let bare = number.trim_start_matches([' ', '(']);
    let before = number.strip_suffix(bare).unwrap_or_default();
    before.contains(' ') && bare.starts_with(|c: char| c.is_ascii_digit())
}

/// Whether some frameworks take the request for one of another method.
pub fn overrides_method(query: &str) -> bool {
    const NAME: &[u8] = b"_method";
    query.split(['&', ';']).any(|pair| {
        let key = pair.split('=').next().unwrap_or_default();
        key.len() >= NAME.len() && is_careless(key.as_bytes(), NAME)
    })
}

/// Whether PHP takes a key for `name`: it reads on where others find no sense, ends at a NUL, and writes
/// `_` for `.`, blanks and a bracket that is not closed.
fn is_careless(key: &[u8], name: &[u8]) -> bool {
    let mut rest = key;
    let mut found = Vec::with_capacity(key.len());
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        let mut byte = *byte;
        if byte == b'%'
            && let Some((digits, after)) = after.split_at_checked(2)
            && let Some(escaped) = std::str::from_utf8(digits)
                .ok()
                .filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))
                .and_then(|d| u8::from_str_radix(d, 16).ok())
        {
            (byte, rest) = (escaped, after);
        }
        match byte {
            0 => break,
            b'+' => found.push(b' '),
            byte => found.push(byte),
        }
    }
    let meant = found.trim_ascii().iter().map(|b| match b {
        b'.' | b' ' | b'[' => b'_',
        b => b.to_ascii_lowercase(),
    });
    meant.eq(name.iter().copied())
}

fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('+') {
        return decode_value(text).ok();
    }
    let spaced = text.replace('+', " ");
    let decoded = decode_value(&spaced).ok()?;
    Some(decoded.into_owned().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_only_some_readers_tell_apart_are_unclear() {
        for query in [
            "id=dave&ID=erin",
            "Id=dave",
            "x=1;id=erin&id=dave",
            "id=dave;y",
            "id=dave&id[]=erin",
            "id=dave&id%5B0%5D=erin",
            "id=dave&+id=erin",
            "id=dave&id%20=erin",
            "id=dave&id%00=erin",
            "id=dave&%ff=erin",
            "id=dave&id=erin",
            "id=da%00ve",
            "id=%f",
        ] {
            assert_eq!(value(query, "id"), Err(Unclear), "{query}");
        }
        for (query, wanted) in [
            ("id=dave&%69d=dave&idx=1&x[id]=2", Some("dave")),
            ("id=a%2Fb", Some("a/b")),
            ("id=a/b", Some("a/b")),
            ("id=a+b%3Bc", Some("a b;c")),
            ("x=%ff", None),
            ("", None),
        ] {
            assert_eq!(value(query, "id"), Ok(wanted.map(str::to_owned)), "{query}");
        }
        assert_eq!(value("f[id]=1", "f[id]"), Ok(Some("1".to_owned())));
        assert_eq!(value("F[id]=1", "f[id]"), Err(Unclear));
    }

    #[test]
    fn a_bare_plus_before_a_number_is_unclear() {
        for query in [
            "phone=+4917012345678",
            "phone=++49+170",
            "phone=tel:+4917012345678",
            "phone=TEL%3A+49170",
            "phone=(+49)30+901820",
            "phone=+%34%39170",
        ] {
            assert_eq!(value(query, "phone"), Err(Unclear), "{query}");
        }
        for (query, wanted) in [
            ("phone=%2B4917012345678", "+4917012345678"),
            ("phone=0170+12345678", "0170 12345678"),
            ("phone=(030)+901820", "(030) 901820"),
            ("phone=%2049170", " 49170"),
            ("phone=+DE", " DE"),
        ] {
            assert_eq!(
                value(query, "phone"),
                Ok(Some(wanted.to_owned())),
                "{query}"
            );
        }
    }

    #[test]
    fn a_method_in_the_query_is_seen() {
        for query in [
            "_method=DELETE",
            "a=1&_METHOD",
            "%5Fmethod=x",
            "a;_m%65thod=x",
            "+_method=",
            ".method=DELETE",
            "%2Emethod=DELETE",
            "[method=DELETE",
            "_method%00x=DELETE",
        ] {
            assert!(overrides_method(query), "{query}");
        }
        for query in ["", "a=_method", "method=x", "x_method=1", "%ff_method=1"] {
            assert!(!overrides_method(query), "{query}");
        }
    }
}
