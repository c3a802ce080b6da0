//! Splits the body of a batch into items without copying one: each is a range of the body.

use std::fmt;
use std::fmt::Write as _;
use std::ops::Range;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::answer::Problem;
use super::path::Place;

/// What the body of a POST may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// `application/json`, an array; a single object counts as [`Shape::Single`].
    Array,
    /// `application/x-ndjson`; lines end with LF or CRLF, blank ones are no items.
    Lines,
    Single,
}

/// One item: where it lies in the body and the key to save it at; `None` when it is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) key: Option<String>,
    pub(super) range: Range<usize>,
}

/// A body, split.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub(super) body: Bytes,
    pub(super) items: Vec<Item>,
    pub(super) shape: Shape,
}

/// Splits `body` for the collection `place`. An item that is broken, is no object or has no usable
/// `id` (a string or a number) is refused alone.
///
/// # Errors
/// `Body` when the body as a whole cannot be split, `TooManyItems` beyond `max_items`.
pub(super) fn split(
    body: Bytes,
    lines: bool,
    place: &Place,
    max_items: usize,
) -> Result<Batch, Problem> {
    let (items, shape) = if lines {
        (split_lines(&body, place, max_items)?, Shape::Lines)
    } else {
        split_json(&body, place, max_items)?
    };
    Ok(Batch { body, items, shape })
}

fn split_lines(body: &[u8], place: &Place, max_items: usize) -> Result<Vec<Item>, Problem> {
    let mut items = Vec::new();
    let mut start = 0;
    for line in body.split(|&byte| byte == b'\n') {
        let next = start + line.len() + 1;
        let content = line.strip_suffix(b"\r").unwrap_or(line);
        if !content.iter().all(|byte| b" \t\r".contains(byte)) {
            if items.len() == max_items {
                return Err(Problem::TooManyItems);
            }
            let key = std::str::from_utf8(content)
                .ok()
                .filter(|text| is_json(text))
                .and_then(|text| key_of(text, place));
            items.push(Item {
                key,
                range: start..start + content.len(),
            });
        }
        start = next;
    }
    Ok(items)
}

fn split_json(body: &[u8], place: &Place, max_items: usize) -> Result<(Vec<Item>, Shape), Problem> {
    const BROKEN: Problem = Problem::Body("is not JSON (RFC 8259)");
    let text = std::str::from_utf8(body).map_err(|_| BROKEN)?;
    match text.bytes().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'[') => {}
        Some(b'{') if is_json(text) => {
            let key =
                key_of(text, place).ok_or(Problem::Body("has no `id` that a path can name"))?;
            let item = Item {
                key: Some(key),
                range: 0..body.len(),
            };
            return Ok((vec![item], Shape::Single));
        }
        Some(_) if is_json(text) => {
            return Err(Problem::Body("is neither an array nor an object"));
        }
        _ => return Err(BROKEN),
    }
    let mut too_many = false;
    let mut json = serde_json::Deserializer::from_str(text);
    let items = json
        .deserialize_seq(Elements {
            base: body.as_ptr().addr(),
            place,
            max_items,
            too_many: &mut too_many,
        })
        .and_then(|items| json.end().map(|()| items));
    match items {
        Ok(items) => Ok((items, Shape::Array)),
        Err(_) if too_many => Err(Problem::TooManyItems),
        Err(_) => Err(BROKEN),
    }
}

/// Reads the elements of an array as ranges of the text that starts at address `base`.
struct Elements<'a> {
    base: usize,
    place: &'a Place,
    max_items: usize,
    too_many: &'a mut bool,
}

impl<'de> Visitor<'de> for Elements<'_> {
    type Value = Vec<Item>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Vec<Item>, A::Error> {
        let mut items = Vec::new();
        while let Some(element) = elements.next_element::<&RawValue>()? {
            if items.len() == self.max_items {
                *self.too_many = true;
                return Err(A::Error::custom("too many items"));
            }
            let text = element.get();
            // The raw text is borrowed from the body, so its address gives its place there.
            let start = text.as_ptr().addr() - self.base;
            items.push(Item {
                key: key_of(text, self.place),
                range: start..start + text.len(),
            });
        }
        Ok(items)
    }
}

/// Whether `text` is one JSON value. Does not recurse, whatever the nesting.
pub(super) fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// The key that the object in `text` asks for by its member `id`.
fn key_of(text: &str, place: &Place) -> Option<String> {
    #[derive(Deserialize)]
    struct Identified<'a> {
        #[serde(borrow)]
        id: &'a RawValue,
    }
    // Serde would read a struct from an array, too.
    if !text.trim_ascii_start().starts_with('{') {
        return None;
    }
    let id = serde_json::from_str::<Identified<'_>>(text).ok()?.id.get();
    match id.bytes().next()? {
        b'"' => place.item(&serde_json::from_str::<String>(id).ok()?).ok(),
        b'-' | b'0'..=b'9' => place.item(id).ok(),
        _ => None,
    }
}

/// The answer to a batch: one `{"index","status"}` an item, in the shape of the request.
pub(super) fn statuses(shape: Shape, statuses: &[u16]) -> (&'static str, String) {
    let mut text = String::with_capacity(statuses.len() * 32 + 2);
    let (content_type, separator) = match shape {
        Shape::Lines => ("application/x-ndjson", "\n"),
        Shape::Array | Shape::Single => ("application/json", ","),
    };
    if shape == Shape::Array {
        text.push('[');
    }
    for (index, status) in statuses.iter().enumerate() {
        if index > 0 {
            text.push_str(separator);
        }
        // Writing to a string does not fail.
        let _ = write!(text, "{{\"index\":{index},\"status\":{status}}}");
    }
    match shape {
        Shape::Array => text.push(']'),
        Shape::Lines if !statuses.is_empty() => text.push('\n'),
        Shape::Lines | Shape::Single => {}
    }
    (content_type, text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn people() -> Place {
        Place::parse("/people").unwrap()
    }

    fn split_all(body: &str, lines: bool) -> Result<Vec<(Option<String>, String)>, Problem> {
        let batch = split(
            Bytes::copy_from_slice(body.as_bytes()),
            lines,
            &people(),
            1000,
        )?;
        Ok(batch
            .items
            .into_iter()
            .map(|item| {
                let bytes = batch.body.slice(item.range);
                (item.key, String::from_utf8(bytes.into()).unwrap())
            })
            .collect())
    }

    fn saved(id: &str, text: &str) -> (Option<String>, String) {
        (Some(format!("/people/{id}")), text.to_owned())
    }

    #[test]
    fn elements_are_the_exact_slices_of_an_array() {
        let items = split_all(
            " [ {\"id\" : \"a\",\"n\":1.0} ,{\"x\":[],\"id\":7}\n]\n",
            false,
        );
        assert_eq!(
            items.unwrap(),
            [
                saved("a", "{\"id\" : \"a\",\"n\":1.0}"),
                saved("7", "{\"x\":[],\"id\":7}")
            ]
        );
        assert_eq!(split_all("[]", false).unwrap(), []);
    }

    #[test]
    fn items_without_a_usable_id_are_refused_alone() {
        let bad = [
            "{}",
            "1",
            "null",
            "[\"a\"]",
            "{\"id\":null}",
            "{\"id\":{}}",
            "{\"id\":\"\"}",
            "{\"id\":\"..\"}",
            "{\"id\":\"a\\u0000\"}",
            "{\"id\":\"a\",\"id\":\"b\"}",
            "{\"id\":\"\\ud800\"}",
        ];
        let array = split_all(&format!("[{},{{\"id\":1}}]", bad.join(",")), false).unwrap();
        let lines = split_all(&format!("{}\n{{\"id\":1}}", bad.join("\n")), true).unwrap();
        assert_eq!(array, lines);
        assert_eq!(array.len(), bad.len() + 1);
        assert!(array.iter().take(bad.len()).all(|(key, _)| key.is_none()));
        assert_eq!(array.last(), Some(&saved("1", "{\"id\":1}")));
    }

    #[test]
    fn a_broken_line_is_refused_alone_and_blank_lines_are_no_items() {
        let items = split_all(
            "{\"id\":1}\r\n\n  \n{\"id\":2\n {\"id\":3} {}\n{\"id\":4} ",
            true,
        );
        assert_eq!(
            items.unwrap(),
            [
                saved("1", "{\"id\":1}"),
                (None, "{\"id\":2".into()),
                (None, " {\"id\":3} {}".into()),
                saved("4", "{\"id\":4} "),
            ]
        );
    }

    #[test]
    fn a_body_that_cannot_be_split_is_one_refusal() {
        for body in [
            "",
            " ",
            "[",
            "[1,]",
            "[1] x",
            "1",
            "\"a\"",
            "{\"id\":1",
            "{}",
            "\u{feff}[]",
        ] {
            assert!(
                matches!(split_all(body, false), Err(Problem::Body(_))),
                "{body:?}"
            );
        }
        let invalid = Bytes::from_static(b"[{\"id\":\"\xff\"}]");
        assert!(split(invalid, false, &people(), 10).is_err());
        let deep = "[".repeat(400_000);
        assert!(split_all(&deep, false).is_err());
    }

    #[test]
    fn items_are_counted() {
        let three = Bytes::from_static(b"[{},{},{}]");
        assert_eq!(
            split(three.clone(), false, &people(), 2).unwrap_err(),
            Problem::TooManyItems
        );
        assert_eq!(split(three, false, &people(), 3).unwrap().items.len(), 3);
        let lines = Bytes::from_static(b"{}\n{}\n{}\n");
        assert_eq!(
            split(lines.clone(), true, &people(), 2).unwrap_err(),
            Problem::TooManyItems
        );
        assert_eq!(split(lines, true, &people(), 3).unwrap().items.len(), 3);
    }

    #[test]
    fn answers_have_the_shape_of_the_request() {
        let (kind, array) = statuses(Shape::Array, &[201, 400]);
        assert_eq!(kind, "application/json");
        assert_eq!(
            array,
            "[{\"index\":0,\"status\":201},{\"index\":1,\"status\":400}]"
        );
        let (kind, lines) = statuses(Shape::Lines, &[201, 400]);
        assert_eq!(kind, "application/x-ndjson");
        assert_eq!(
            lines,
            "{\"index\":0,\"status\":201}\n{\"index\":1,\"status\":400}\n"
        );
    }

    proptest! {
        #[test]
        fn array_and_lines_agree(ids in prop::collection::vec("[a-z0-9@ü ]{0,6}", 0..20)) {
            let records: Vec<String> = ids
                .iter()
                .map(|id| serde_json::json!({ "id": id, "n": [1, 2] }).to_string())
                .collect();
            let array = split_all(&format!("[{}]", records.join(" , ")), false).unwrap();
            let lines = split_all(&records.join("\r\n"), true).unwrap();
            prop_assert_eq!(&array, &lines);
            prop_assert_eq!(array.into_iter().map(|(_, text)| text).collect::<Vec<_>>(), records);
        }

        #[test]
        fn no_body_makes_it_panic(body in prop::collection::vec(any::<u8>(), 0..80), lines: bool) {
            let length = body.len();
            if let Ok(batch) = split(body.into(), lines, &people(), 10) {
                prop_assert!(batch.items.iter().all(|item| item.range.end <= length));
            }
        }
    }
}
