//! Where the value at a JSON pointer (RFC 6901) stands in a text.

use std::ops::Range;

/// Where something stands in a text, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// Of a member, its name with the quotes.
    pub name: Option<Range<usize>>,
    pub value: Range<usize>,
}

/// The place of the value at `pointer` in valid JSON; where there is no such value, the first sign
/// of the nearest that would hold it.
pub fn locate(text: &str, pointer: &str) -> Located {
    let steps = pointer.split('/').skip(1).map(unescaped);
    let steps: Vec<String> = steps.collect();
    let mut scan = Scan { text, at: 0 };
    scan.space();
    scan.find(&steps)
}

/// A member's name as a step of a pointer.
pub fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn unescaped(step: &str) -> String {
    step.replace("~1", "/").replace("~0", "~")
}

struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl Scan<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    /// Skips one value and what follows it up to the next word.
    fn value(&mut self) -> Range<usize> {
        let start = self.at;
        match self.peek() {
            Some(b'"') => {
                self.string();
            }
            Some(b'{' | b'[') => self.nested(),
            _ => {
                while self
                    .peek()
                    .is_some_and(|b| !matches!(b, b',' | b'}' | b']') && !b.is_ascii_whitespace())
                {
                    self.at += 1;
                }
            }
        }
        start..self.at
    }

    /// Skips a string, and gives it as it stands, quotes included.
    fn string(&mut self) -> Range<usize> {
        let start = self.at;
        self.at += 1;
        while let Some(byte) = self.peek() {
            self.at += 1;
            match byte {
                b'\\' => self.at += 1,
                b'"' => break,
                _ => {}
            }
        }
        start..self.at.min(self.text.len())
    }

    /// Skips an object or a list, however deep, without recursion.
    fn nested(&mut self) {
        let mut depth = 0usize;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => {
                    self.string();
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return;
            }
        }
    }

    fn find(&mut self, steps: &[String]) -> Located {
        let end = self.text.len();
        let mut name = None;
        for step in steps {
            let start = self.at.min(end);
            let found = match self.peek() {
                Some(b'{') => self.member(step).map(Some),
                Some(b'[') => step.parse().ok().and_then(|i| self.item(i)).map(|()| None),
                _ => None,
            };
            match found {
                Some(own) => name = own,
                None => {
                    let value = start..(start + 1).min(end);
                    return Located { name: None, value };
                }
            }
        }
        let value = self.value();
        let value = value.start.min(end)..value.end.min(end);
        Located { name, value }
    }

    /// Goes to the member's value; where its name stands.
    fn member(&mut self, name: &str) -> Option<Range<usize>> {
        self.at += 1;
        loop {
            self.space();
            if self.peek() != Some(b'"') {
                return None;
            }
            let key = self.string();
            let said = self.text.get(key.clone()).unwrap_or_default();
            let same = serde_json::from_str::<String>(said).is_ok_and(|k| k == name);
            self.space();
            self.at += 1;
            self.space();
            if same {
                return Some(key);
            }
            self.value();
            self.space();
            if self.peek() != Some(b',') {
                return None;
            }
            self.at += 1;
        }
    }

    fn item(&mut self, index: usize) -> Option<()> {
        self.at += 1;
        for i in 0.. {
            self.space();
            if self.peek() == Some(b']') {
                return None;
            }
            if i == index {
                return Some(());
            }
            self.value();
            self.space();
            if self.peek() != Some(b',') {
                return None;
            }
            self.at += 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_leads_to_its_value() {
        let text = r#" { "a\u0062": [1, {"x~/y": "1}2"}, [ ]], "c": {"d": null } } "#;
        for (pointer, name, part) in [
            ("", None, text.trim()),
            ("/ab/0", None, "1"),
            ("/ab/1", None, r#"{"x~/y": "1}2"}"#),
            ("/ab/1/x~0~1y", Some(r#""x~/y""#), r#""1}2""#),
            ("/ab/2", None, "[ ]"),
            ("/c/d", Some(r#""d""#), "null"),
            // What is not there is told where it should stand.
            ("/ab/3", None, "["),
            ("/c/e", None, "{"),
            ("/e", None, "{"),
        ] {
            let found = locate(text, pointer);
            assert_eq!(text.get(found.value), Some(part), "{pointer}");
            assert_eq!(found.name.and_then(|r| text.get(r)), name, "{pointer}");
        }
    }

    #[test]
    fn no_text_is_too_short_or_too_deep() {
        let deep = "[".repeat(100_000);
        for text in ["", "{", "[", "\"", "{\"a", "{\"a\":", "\"\\", deep.as_str()] {
            for pointer in ["", "/a", "/0", "/0/0/a"] {
                let found = locate(text, pointer);
                assert!(text.get(found.value).is_some(), "{text:.9} {pointer}");
            }
        }
    }
}
