//! Reading JSON of a known shape value by value, as places in the text.
//!
//! [`scan()`] follows pointers through a record of any shape; this is for the few
//! texts whose shape is fixed, such as the action lines of a bulk request and the answers to one.
//! Every token on the way is checked as strictly as there. What is stepped over by
//! [`Pull::skip`] is only balanced: give it to [`check`] if it must hold. Keys that stand twice are
//! the caller's to find.

use super::{
    JsonFault, JsonFaultKind as Kind, KnownPart, RawNumber, RawString, Sink, Value, Watch,
    cursor::Cursor, scan,
};

/// Checks that `text` is exactly one JSON value, and looks for nothing in it. See [`scan()`].
pub fn check(text: &[u8]) -> Result<(), JsonFault> {
    scan(text, &Watch::nothing(), &mut Nothing)
}

struct Nothing;

impl<'a> Sink<'a> for Nothing {
    fn value(&mut self, _: u16, _: Value<'a>) {}
    fn unknown(&mut self, _: KnownPart) {}
}

/// Stands before or after a value, never in one.
pub struct Pull<'a> {
    cursor: Cursor<'a>,
}

/// A container that is being read, from its opening to `None`.
#[derive(Debug)]
#[must_use]
pub struct Open {
    is_first: bool,
}

impl<'a> Pull<'a> {
    pub fn new(text: &'a str) -> Self {
        Self {
            cursor: Cursor::new(text),
        }
    }

    /// Where the next token starts, in bytes from the start of the text.
    pub fn at(&mut self) -> usize {
        self.cursor.skip_space();
        self.cursor.at
    }

    /// # Errors
    /// When the next value is no object.
    pub fn object(&mut self) -> Result<Open, JsonFault> {
        self.open(b'{')
    }

    /// # Errors
    /// When the next value is no array.
    pub fn array(&mut self) -> Result<Open, JsonFault> {
        self.open(b'[')
    }

    /// The next key of an object, its value being next; `None` past the object's end.
    pub fn key(&mut self, open: &mut Open) -> Result<Option<RawString<'a>>, JsonFault> {
        if !self.more(open, b'}')? {
            return Ok(None);
        }
        if self.cursor.peek() != Some(b'"') {
            return self.cursor.unexpected();
        }
        let key = self.cursor.string()?;
        self.cursor.skip_space();
        if self.cursor.peek() != Some(b':') {
            return self.cursor.unexpected();
        }
        self.cursor.at += 1;
        Ok(Some(RawString::checked(key)))
    }

    /// Whether another element of an array is next; `false` past the array's end.
    pub fn element(&mut self, open: &mut Open) -> Result<bool, JsonFault> {
        self.more(open, b']')
    }

    /// A value that is no container. `None`, and nothing is read, where one opens.
    pub fn scalar(&mut self) -> Result<Option<Value<'a>>, JsonFault> {
        let start = self.at();
        Ok(Some(match self.cursor.peek() {
            Some(b'"') => Value::String(RawString::checked(self.cursor.string()?)),
            Some(b'-' | b'0'..=b'9') => {
                self.cursor.number()?;
                Value::Number(RawNumber(
                    self.cursor.slice(start, self.cursor.at)?.as_bytes(),
                ))
            }
            Some(b't') => {
                self.cursor.literal(b"true")?;
                Value::Bool(true)
            }
            Some(b'f') => {
                self.cursor.literal(b"false")?;
                Value::Bool(false)
            }
            Some(b'n') => {
                self.cursor.literal(b"null")?;
                Value::Null
            }
            Some(b'{' | b'[') => return Ok(None),
            _ => return self.cursor.unexpected(),
        }))
    }

    /// Steps over the next value, whatever it is, and gives its text. Does not recurse.
    pub fn skip(&mut self) -> Result<&'a str, JsonFault> {
        let start = self.at();
        if self.scalar()?.is_none() {
            let mut depth = 0_usize;
            loop {
                match self.cursor.peek() {
                    Some(b'"') => {
                        self.cursor.string()?;
                        continue;
                    }
                    Some(b'{' | b'[') => depth += 1,
                    Some(b'}' | b']') => depth -= 1,
                    Some(_) => {}
                    None => return self.cursor.unexpected(),
                }
                self.cursor.at += 1;
                if depth == 0 {
                    break;
                }
            }
        }
        self.cursor.slice(start, self.cursor.at)
    }

    /// # Errors
    /// When more than white space follows.
    pub fn end(&mut self) -> Result<(), JsonFault> {
        self.cursor.skip_space();
        match self.cursor.peek() {
            None => Ok(()),
            Some(_) => self.cursor.fault(Kind::SecondValue),
        }
    }

    fn open(&mut self, bracket: u8) -> Result<Open, JsonFault> {
        self.cursor.skip_space();
        if self.cursor.peek() != Some(bracket) {
            return self.cursor.unexpected();
        }
        self.cursor.at += 1;
        Ok(Open { is_first: true })
    }

    fn more(&mut self, open: &mut Open, close: u8) -> Result<bool, JsonFault> {
        self.cursor.skip_space();
        match self.cursor.peek() {
            Some(byte) if byte == close => {
                self.cursor.at += 1;
                return Ok(false);
            }
            Some(b',') if !open.is_first => {
                self.cursor.at += 1;
                self.cursor.skip_space();
            }
            Some(_) if open.is_first => {}
            _ => return self.cursor.unexpected(),
        }
        open.is_first = false;
        // A comma before the end.
        match self.cursor.peek() {
            Some(byte) if byte == close => self.cursor.unexpected(),
            Some(_) => Ok(true),
            None => self.cursor.unexpected(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads a text of any shape by steps, as a check against another reader.
    fn walk(pull: &mut Pull<'_>, depth: usize) -> Result<serde_json::Value, JsonFault> {
        let start = pull.at();
        Ok(match pull.scalar()? {
            Some(Value::String(text)) => text.unescape().into(),
            Some(Value::Number(number)) => serde_json::from_str(number.as_str()).unwrap(),
            Some(Value::Bool(truth)) => truth.into(),
            Some(Value::Null) => serde_json::Value::Null,
            Some(Value::Object | Value::Array) => unreachable!("scalars alone"),
            None if depth == 0 => serde_json::from_str(pull.skip()?).unwrap(),
            None => match pull.object() {
                Ok(mut open) => {
                    let mut all = serde_json::Map::new();
                    while let Some(key) = pull.key(&mut open)? {
                        all.insert(key.unescape().into_owned(), walk(pull, depth - 1)?);
                    }
                    all.into()
                }
                Err(_) => {
                    assert_eq!(pull.at(), start, "a failed opening reads nothing");
                    let mut open = pull.array()?;
                    let mut all = Vec::new();
                    while pull.element(&mut open)? {
                        all.push(walk(pull, depth - 1)?);
                    }
                    all.into()
                }
            },
        })
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            any::<i64>().prop_map(serde_json::Value::from),
            any::<bool>().prop_map(serde_json::Value::from),
            "[a\"\\\\{}\\[\\],é\n]{0,6}".prop_map(serde_json::Value::from),
            Just(serde_json::Value::Null),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
                prop::collection::btree_map("[a\"]{0,3}", inner, 0..4)
                    .prop_map(|m| serde_json::Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn reads_what_another_reader_reads(value in json(), depth in 0_usize..4, pretty in any::<bool>()) {
            let text = match pretty {
                true => serde_json::to_string_pretty(&value).unwrap(),
                false => value.to_string(),
            };
            let mut pull = Pull::new(&text);
            prop_assert_eq!(walk(&mut pull, depth).unwrap(), value);
            prop_assert!(pull.end().is_ok());
        }

        #[test]
        fn hostile_text_never_panics(text in "[\\[\\]{}\",:0-9a \\\\n]{0,40}") {
            let mut pull = Pull::new(&text);
            if let Ok(mut open) = pull.object() {
                while let Ok(Some(_)) = pull.key(&mut open) {
                    if pull.skip().is_err() {
                        break;
                    }
                }
            }
        }
    }

    #[test]
    fn commas_and_ends_are_where_they_belong() {
        for bad in [
            "{,}",
            "{\"a\":1,}",
            "{\"a\":1 \"b\":2}",
            "{\"a\" 1}",
            "{\"a\":1",
            "{1:2}",
        ] {
            let mut pull = Pull::new(bad);
            let read = (|| {
                let mut open = pull.object()?;
                while pull.key(&mut open)?.is_some() {
                    pull.skip()?;
                }
                pull.end()
            })();
            assert!(read.is_err(), "{bad}");
        }
        let mut pull = Pull::new("{} x");
        let mut open = pull.object().unwrap();
        assert!(pull.key(&mut open).unwrap().is_none());
        assert_eq!(pull.end().unwrap_err().kind, Kind::SecondValue);
    }
}
