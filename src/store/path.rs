//! From a request's path to the key of a document.
//!
//! The structure of a path is taken as it came: `%2F` stays inside its segment, `.` and `..` in any
//! spelling are refused, nothing is resolved. Only the spelling of a character inside a segment is
//! made one (`%40` and `@`, `%c3` and `%C3`): otherwise an erasure spelled one way would miss the
//! document that was saved in the other, and an item that came in a batch, whose id was never
//! spelled in a URL, could be found under one of its spellings only.

use super::answer::Problem;

/// Keys and paths above this are refused.
pub(super) const MAX_PATH: usize = 2048;

/// Where a request points. `key` starts with `/` and does not end with one; the root's is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) key: String,
    /// The path ended with `/`: it names what stands below.
    pub(super) collection: bool,
}

impl Place {
    /// Parses the path of a request target.
    ///
    /// # Errors
    /// `Path` for a path that is relative or too long, holds an empty segment, a segment that
    /// means `.` or `..`, a NUL, or a broken percent-encoding.
    pub(super) fn parse(path: &str) -> Result<Self, Problem> {
        if path.len() > MAX_PATH {
            return Err(Problem::Path("is too long"));
        }
        let inner = path
            .strip_prefix('/')
            .ok_or(Problem::Path("does not start with a slash"))?;
        let (inner, collection) = match inner.strip_suffix('/') {
            _ if inner.is_empty() => return Ok(Self::root()),
            None => (inner, false),
            Some(inner) => (inner, true),
        };
        let mut key = String::with_capacity(path.len());
        let mut segment = Vec::new();
        for part in inner.split('/') {
            decode(part, &mut segment)?;
            push_segment(&mut key, &segment)?;
        }
        if key.len() > MAX_PATH {
            return Err(Problem::Path("is too long"));
        }
        Ok(Self { key, collection })
    }

    fn root() -> Self {
        Self {
            key: String::new(),
            collection: true,
        }
    }

    /// The key of the item `id` of this collection; `id` is plain text, not percent-encoded.
    ///
    /// # Errors
    /// `Path` if no path can name such an id.
    pub(super) fn item(&self, id: &str) -> Result<String, Problem> {
        let mut key = String::with_capacity(self.key.len() + 1 + id.len());
        key.push_str(&self.key);
        push_segment(&mut key, id.as_bytes())?;
        if key.len() > MAX_PATH {
            return Err(Problem::Path("is too long"));
        }
        if key == "/-" {
            return Err(Problem::Path("is the store's own"));
        }
        Ok(key)
    }

    /// What the keys of everything below start with.
    pub(super) fn prefix(&self) -> String {
        format!("{}/", self.key)
    }

    /// Whether the path lies in `/-/`, which is the store's own.
    pub(super) fn reserved(&self) -> bool {
        self.key == "/-" || self.key.starts_with("/-/")
    }
}

/// The bytes that `part` spells, into `bytes`.
pub(super) fn decode(part: &str, bytes: &mut Vec<u8>) -> Result<(), Problem> {
    const BROKEN: Problem = Problem::Path("has a broken percent-encoding");
    bytes.clear();
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || {
            rest.next()
                .and_then(|d| char::from(d).to_digit(16))
                .and_then(|d| u8::try_from(d).ok())
        };
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(BROKEN);
        };
        bytes.push(high << 4 | low);
    }
    Ok(())
}

fn push_segment(key: &mut String, segment: &[u8]) -> Result<(), Problem> {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    match segment {
        b"" => return Err(Problem::Path("has an empty segment")),
        b"." | b".." => return Err(Problem::Path("has a dot segment")),
        _ if segment.contains(&0) => return Err(Problem::Path("holds a NUL")),
        _ => key.push('/'),
    }
    for &byte in segment {
        if plain(byte) {
            key.push(char::from(byte));
        } else {
            key.push('%');
            for nibble in [byte >> 4, byte & 15] {
                key.extend(HEX.get(usize::from(nibble)).copied().map(char::from));
            }
        }
    }
    Ok(())
}

/// `pchar` without `pct-encoded` (RFC 3986 §3.3).
fn plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(path: &str) -> String {
        Place::parse(path).unwrap().key
    }

    #[test]
    fn the_structure_of_a_path_stays_as_it_came() {
        assert_eq!(key("/a/b%2Fc"), "/a/b%2Fc");
        assert_ne!(key("/a/b%2Fc"), key("/a/b/c"));
        assert_eq!(key("/a/b%252Fc"), "/a/b%252Fc");
        assert!(!Place::parse("/a").unwrap().collection);
        assert!(Place::parse("/a/").unwrap().collection);
        assert_eq!(Place::parse("/").unwrap(), Place::root());
    }

    #[test]
    fn one_character_has_one_spelling() {
        assert_eq!(key("/a/x%40example.com"), key("/a/x@example.com"));
        assert_eq!(key("/a/%2b1"), key("/a/+1"));
        assert_eq!(key("/a/%c3%bc"), key("/a/%C3%BC"));
        assert_eq!(key("/a/%C3%BC"), key("/a/ü"));
    }

    #[test]
    fn paths_that_name_nothing_are_refused() {
        let long = format!("/{}", "a".repeat(MAX_PATH));
        // Short as it came, too long in its one spelling.
        let growing = format!("/{}", "ü".repeat(MAX_PATH / 3));
        for path in [
            "",
            "a",
            "*",
            "//",
            "/a//b",
            "//a",
            "/a//",
            "/.",
            "/..",
            "/a/../b",
            "/%2e%2E/b",
            "/a/.%2e",
            "/a%00b",
            "/%",
            "/%4",
            "/%zz",
            "/%+1",
            &long,
            &growing,
        ] {
            assert!(
                matches!(Place::parse(path), Err(Problem::Path(_))),
                "{path:?}"
            );
        }
    }

    #[test]
    fn ids_that_no_path_can_name_are_refused() {
        let people = Place::parse("/people").unwrap();
        for id in ["", ".", "..", "a\0b", &"x".repeat(MAX_PATH)] {
            assert!(people.item(id).is_err(), "{id:?}");
        }
        assert_eq!(people.item("a/b").unwrap(), "/people/a%2Fb");
        assert_eq!(people.item("50%").unwrap(), "/people/50%25");
    }

    proptest! {
        #[test]
        fn a_key_is_a_path_that_names_itself(path in "(/[ -~ü%]{0,12}){0,4}/?") {
            if let Ok(place) = Place::parse(&path) {
                let again = Place::parse(&format!("{}/", place.key)).unwrap();
                prop_assert_eq!(again.key, place.key);
            }
        }

        #[test]
        fn an_item_is_found_under_every_spelling_of_its_id(id in "[^\0]{1,12}") {
            let people = Place::parse("/people").unwrap();
            if let Ok(saved) = people.item(&id) {
                let spelled: String = id.bytes().map(|b| format!("%{b:02x}")).collect();
                prop_assert_eq!(key(&format!("/people/{spelled}")), saved);
            }
        }
    }
}
