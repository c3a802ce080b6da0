//! Cuts fields out of a text, or replaces values, by byte ranges: what stays, stays as it came.
//!
//! The text must have passed a scan. It is walked a second time, since most records are never
//! edited and the scan is the way of all of them. Recursive, to the depth that a scan allows.

use std::ops::Range;

use super::{
    JsonFault, JsonFaultKind as Kind, KnownPart, MAX_DEPTH, RawString, Watch,
    cursor::Cursor,
    keys::{fingerprint, meant},
    watch::{DEAD, StateId},
};

/// A value of the text as the watched pointers see it.
#[derive(Clone, Copy, Debug)]
pub struct Spotted<'w> {
    /// The pointers that end here; none: it is unknown.
    pub pointers: &'w [u16],
    /// The value's own place, or of an unknown one the place it hangs below.
    pub part: KnownPart,
    /// An object or an array, whose members are asked for one by one if it is kept.
    pub is_container: bool,
}

/// What becomes of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit {
    Keep,
    /// It goes, with its key and a comma.
    Cut,
    /// Each scalar that is not `null`, and each object as a whole, becomes another text. An
    /// unknown value is cut instead.
    Replace,
}

/// Asks `judge` for every value under a pointer and for every value that no pointer knows (for
/// the outermost of them alone), and gives the text with its answers carried out; `None` when
/// nothing changes. `replace` makes the new text of a string from what the old one meant, and of
/// any other value from what it was written as; the new text is written as a JSON string.
///
/// # Errors
/// The text is not one that a scan accepts.
pub fn edit<'w>(
    body: &[u8],
    watch: &'w Watch,
    judge: &mut dyn FnMut(Spotted<'w>) -> Edit,
    replace: &mut dyn FnMut(&[u8]) -> String,
) -> Result<Option<Vec<u8>>, JsonFault> {
    let text = std::str::from_utf8(body).map_err(|e| JsonFault {
        offset: e.valid_up_to(),
        kind: Kind::Utf8,
    })?;
    let mut editor = Editor {
        text,
        cursor: Cursor::new(text),
        watch,
        judge,
        replace,
        changes: Vec::new(),
    };
    editor.cursor.skip_space();
    let spot = Spot {
        state: watch.root(),
        above: DEAD,
    };
    // The root cannot be cut: without it there is no text.
    editor.value(spot, 0)?;
    Ok(editor.changed())
}

#[derive(Clone, Copy)]
struct Spot {
    state: StateId,
    /// The nearest state above that is alive.
    above: StateId,
}

struct Editor<'t, 'w, 'f> {
    text: &'t str,
    cursor: Cursor<'t>,
    watch: &'w Watch,
    judge: &'f mut dyn FnMut(Spotted<'w>) -> Edit,
    replace: &'f mut dyn FnMut(&[u8]) -> String,
    /// Disjoint ranges and what stands there instead.
    changes: Vec<(Range<usize>, String)>,
}

/// A member or an element, its key included.
struct Piece {
    range: Range<usize>,
    cut: bool,
}

impl<'t, 'w> Editor<'t, 'w, '_> {
    /// Passes one value; `true`: it is to be cut.
    fn value(&mut self, spot: Spot, depth: usize) -> Result<bool, JsonFault> {
        let first = self.cursor.peek();
        let is_container = matches!(first, Some(b'{' | b'['));
        let state = match spot.state {
            DEAD => None,
            id => self.watch.state(id),
        };
        let unknown = match state {
            None => true,
            Some(state) => {
                state.matches.is_empty() && !state.known && !is_container && first != Some(b'n')
            }
        };
        let matches: &'w [u16] = state.map_or(&[], |s| &s.matches);
        if unknown || !matches.is_empty() {
            let part = match spot.state {
                DEAD => spot.above,
                id => id,
            };
            let edit = (self.judge)(Spotted {
                pointers: matches,
                part: KnownPart(part),
                is_container,
            });
            match edit {
                Edit::Keep => {}
                Edit::Replace if !unknown => {
                    self.replaced(depth)?;
                    return Ok(false);
                }
                Edit::Cut | Edit::Replace => {
                    self.skip()?;
                    return Ok(true);
                }
            }
        }
        if state.is_none() || !is_container {
            self.skip()?;
            return Ok(false);
        }
        self.container(depth, &mut |editor, child, depth| {
            let next = match (state, child) {
                (Some(state), Child::Member(key, print)) => state.member(key, print),
                (Some(state), Child::Element(index)) => state.element(index),
                (None, _) => DEAD,
            };
            let spot = Spot {
                state: next,
                above: spot.state,
            };
            editor.value(spot, depth)
        })?;
        Ok(false)
    }

    /// Replaces the value that begins here, in an array each element.
    fn replaced(&mut self, depth: usize) -> Result<(), JsonFault> {
        let start = self.cursor.at;
        let new = match self.cursor.peek() {
            Some(b'[') => {
                return self.container(depth, &mut |editor, _, depth| {
                    editor.replaced(depth)?;
                    Ok(false)
                });
            }
            Some(b'n') => return self.skip(),
            Some(b'"') => {
                let meant = RawString::checked(self.cursor.string()?);
                (self.replace)(meant.unescape().as_bytes())
            }
            _ => {
                self.skip()?;
                let written = self.cursor.slice(start, self.cursor.at)?;
                (self.replace)(written.as_bytes())
            }
        };
        let mut text = String::with_capacity(new.len() + 2);
        text.push('"');
        for c in new.chars() {
            match c {
                '"' | '\\' => text.extend(['\\', c]),
                c if c.is_control() => text.push_str(&format!("\\u{:04x}", u32::from(c))),
                c => text.push(c),
            }
        }
        text.push('"');
        self.changes.push((start..self.cursor.at, text));
        Ok(())
    }

    /// Passes an object or an array, `each` value in it by the given hand, and cuts what it says.
    fn container(
        &mut self,
        depth: usize,
        each: &mut dyn FnMut(&mut Self, Child<'_>, usize) -> Result<bool, JsonFault>,
    ) -> Result<(), JsonFault> {
        if depth >= MAX_DEPTH {
            return self.cursor.fault(Kind::TooDeep);
        }
        let is_object = self.cursor.peek() == Some(b'{');
        let close = if is_object { b'}' } else { b']' };
        self.cursor.at += 1;
        self.cursor.skip_space();
        let mut pieces: Vec<Piece> = Vec::new();
        let mut index = 0u32;
        while self.cursor.peek() != Some(close) {
            if !pieces.is_empty() {
                if self.cursor.peek() != Some(b',') {
                    return self.cursor.unexpected();
                }
                self.cursor.at += 1;
                self.cursor.skip_space();
            }
            let start = self.cursor.at;
            let cut = if is_object {
                if self.cursor.peek() != Some(b'"') {
                    return self.cursor.unexpected();
                }
                let key = meant(self.cursor.string()?);
                self.cursor.skip_space();
                if self.cursor.peek() != Some(b':') {
                    return self.cursor.unexpected();
                }
                self.cursor.at += 1;
                self.cursor.skip_space();
                each(self, Child::Member(&key, fingerprint(&key)), depth + 1)?
            } else {
                each(self, Child::Element(index), depth + 1)?
            };
            index = index.saturating_add(1);
            pieces.push(Piece {
                range: start..self.cursor.at,
                cut,
            });
            self.cursor.skip_space();
        }
        self.cursor.at += 1;
        self.cut(&pieces);
        Ok(())
    }

    /// A piece goes with the comma before it; while nothing before it stays, with that behind it.
    fn cut(&mut self, pieces: &[Piece]) {
        let mut kept_before = false;
        let nexts = pieces.iter().skip(1).map(Some).chain([None]);
        let mut end_before = 0;
        for (piece, next) in pieces.iter().zip(nexts) {
            if piece.cut {
                let range = match next {
                    _ if kept_before => end_before..piece.range.end,
                    Some(next) => piece.range.start..next.range.start,
                    None => piece.range.clone(),
                };
                self.changes.push((range, String::new()));
            } else {
                kept_before = true;
            }
            end_before = piece.range.end;
        }
    }

    /// Passes one value without looking at it. The text was scanned, so brackets are in pairs.
    fn skip(&mut self) -> Result<(), JsonFault> {
        let mut open = 0usize;
        loop {
            match self.cursor.peek() {
                None => return self.cursor.unexpected(),
                Some(b'"') => self.cursor.string().map(drop)?,
                Some(b'{' | b'[') => {
                    open += 1;
                    self.cursor.at += 1;
                }
                Some(b'}' | b']') if open > 0 => {
                    open -= 1;
                    self.cursor.at += 1;
                }
                Some(b',' | b':' | b' ' | b'\n' | b'\r' | b'\t') if open > 0 => self.cursor.at += 1,
                Some(b'-' | b'0'..=b'9') => self.cursor.number()?,
                Some(b't') => self.cursor.literal(b"true")?,
                Some(b'f') => self.cursor.literal(b"false")?,
                Some(b'n') => self.cursor.literal(b"null")?,
                Some(_) => return self.cursor.unexpected(),
            }
            if open == 0 {
                return Ok(());
            }
        }
    }

    fn changed(mut self) -> Option<Vec<u8>> {
        if self.changes.is_empty() {
            return None;
        }
        self.changes.sort_by_key(|(range, _)| range.start);
        let mut out = Vec::with_capacity(self.text.len());
        let mut at = 0;
        let bytes = self.text.as_bytes();
        for (range, new) in &self.changes {
            out.extend_from_slice(bytes.get(at..range.start).unwrap_or_default());
            out.extend_from_slice(new.as_bytes());
            at = range.end;
        }
        out.extend_from_slice(bytes.get(at..).unwrap_or_default());
        Some(out)
    }
}

/// How a value hangs in what holds it.
enum Child<'k> {
    Member(&'k [u8], u64),
    Element(u32),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Reach, Sink, Value, scan};
    use super::*;

    /// What `watch` knows of the text stays, all else is cut; `/id…` is replaced.
    fn edited(text: &str, pointers: &[&str]) -> Option<String> {
        let watch = Watch::compile(pointers.iter().map(|p| (*p, Reach::Subtree))).unwrap();
        let is_id = |i: &u16| pointers[usize::from(*i)].starts_with("/id");
        let mut judge = |spotted: Spotted<'_>| match spotted.pointers {
            [] => Edit::Cut,
            pointers if pointers.iter().any(is_id) => Edit::Replace,
            _ => Edit::Keep,
        };
        let mut replace = |old: &[u8]| format!("<{}>", String::from_utf8_lossy(old));
        let new = edit(text.as_bytes(), &watch, &mut judge, &mut replace).unwrap();
        new.map(|n| String::from_utf8(n).unwrap())
    }

    #[test]
    fn what_stays_stays_byte_for_byte() {
        let keep = ["/a", "/c/d", "/list/*/x"];
        for (text, expected) in [
            (r#"{"a" : 1.50 ,"c":{ "d":"\u0061"}}"#, None),
            (r#"{"b":1, "a" : 1E+2 }"#, Some(r#"{"a" : 1E+2 }"#)),
            (r#"{ "a":1 , "b":[1,{"a":2}] , "e":0}"#, Some(r#"{ "a":1}"#)),
            (r#"{ "x":1, "y":"}," }"#, Some("{  }")),
            (
                r#"{"b":1,"a":2,"b2":3,"c":{"z":1,"d":4}}"#,
                Some(r#"{"a":2,"c":{"d":4}}"#),
            ),
            (
                r#"{"list":[{"x":1,"y":2},5,{"y":3}]}"#,
                Some(r#"{"list":[{"x":1},{}]}"#),
            ),
            // The outermost unknown goes as a whole, and a scalar where only members are known.
            (r#"{"c":"d"}"#, Some("{}")),
            (r#"{"c":null,"list":[]}"#, None),
        ] {
            assert_eq!(edited(text, &keep).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn values_are_replaced_by_what_they_mean() {
        for (text, expected) in [
            (r#"{"id":"a\u0062"}"#, r#"{"id":"<ab>"}"#),
            (r#"{ "id" : 12 }"#, r#"{ "id" : "<12>" }"#),
            (
                r#"{"id":["x", null,[true]]}"#,
                r#"{"id":["<x>", null,["<true>"]]}"#,
            ),
            (r#"{"id":{"k": 1}}"#, r#"{"id":"<{\"k\": 1}>"}"#),
            (r#"{"q":0,"id":"\"\n"}"#, r#"{"id":"<\"\u000a>"}"#),
        ] {
            assert_eq!(edited(text, &["/id"]).as_deref(), Some(expected), "{text}");
        }
    }

    struct Unknown(usize);

    impl<'a> Sink<'a> for Unknown {
        fn value(&mut self, _: u16, _: Value<'a>) {}
        fn unknown(&mut self, _: KnownPart) {
            self.0 += 1;
        }
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<i32>().prop_map(Into::into),
            "[a-c\"\\\\,{}]{0,4}".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
                prop::collection::hash_map("[a-d]", inner, 0..5)
                    .prop_map(|m| m.into_iter().collect::<serde_json::Map<_, _>>().into()),
            ]
        })
    }

    proptest! {
        /// After the unknown is cut, a scan finds nothing unknown, and the rest is what it was.
        #[test]
        fn nothing_unknown_is_left(value in json(), pretty: bool) {
            let pointers = ["/a", "/b/c", "/c/*/a", "/d/0"];
            let value = serde_json::json!({ "b": value.clone(), "c": [value.clone()], "d": value });
            let text = if pretty {
                serde_json::to_string_pretty(&value).unwrap()
            } else {
                value.to_string()
            };
            let watch = Watch::compile(pointers.map(|p| (p, Reach::Subtree))).unwrap();
            let new = edited(&text, &pointers).unwrap_or(text);
            let mut left = Unknown(0);
            scan(new.as_bytes(), &watch, &mut left).unwrap();
            prop_assert_eq!(left.0, 0, "{}", new);
            prop_assert_eq!(edited(&new, &pointers), None);
        }
    }
}
