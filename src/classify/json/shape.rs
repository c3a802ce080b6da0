//! The shape of a text: what stands between its values.
//!
//! Programs write their records one like the other: the same keys in the same order, the same
//! spaces. So what stands between the values of a text that was scanned can be compared with the
//! next text as it is, and only the values need be read. That is no lesser check. What was
//! compared is what the scanner has accepted before, keys, nesting and all; each value is read by
//! the scanner's own functions, the whole is checked to be UTF-8, and at the first byte that
//! differs the text is the scanner's.

use super::{
    RawNumber, RawString, Value, bytes,
    cursor::{literal, number, skip_space, string},
};

/// Texts of more values, or with more between them, are not worth remembering.
const MANY: usize = 256;
const LONG: usize = 8 << 10;

/// Of a text that has passed the scan.
#[derive(Clone, Debug)]
pub struct Shape {
    /// What stands before, between and after the values, one after the other.
    between: Vec<u8>,
    steps: Vec<Step>,
}

/// What stands before a value, and the value.
#[derive(Clone, Copy, Debug)]
struct Step {
    /// Bytes of `between`.
    length: u32,
    kind: Kind,
    /// Whether anybody wants the value.
    wanted: bool,
}

/// `null` and empty containers stand between the values: they can be no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Its opening quote stands before it.
    String,
    Number,
    Bool,
    /// No value: the text ends here.
    End,
}

impl Shape {
    /// The shape of a text that has passed the scan, and where its values start (of a string,
    /// after the quote). `None`: it is not worth remembering.
    pub fn of(text: &[u8]) -> Option<(Self, Vec<usize>)> {
        let mut shape = Self {
            between: Vec::new(),
            steps: Vec::new(),
        };
        let mut starts = Vec::new();
        // Where the last value ended.
        let mut ended = 0;
        let mut at = 0;
        while let Some(byte) = text.get(at) {
            let (start, end, kind) = match byte {
                b'"' => {
                    let (_, end) = string(text, at).ok()?;
                    if text.get(skip_space(text, end)) == Some(&b':') {
                        at = end;
                        continue;
                    }
                    (at + 1, end, Kind::String)
                }
                b'-' | b'0'..=b'9' => (at, number(text, at).ok()?, Kind::Number),
                b't' => (at, literal(text, at, b"true").ok()?, Kind::Bool),
                b'f' => (at, literal(text, at, b"false").ok()?, Kind::Bool),
                _ => {
                    at += 1;
                    continue;
                }
            };
            shape.push(text.get(ended..start)?, kind)?;
            starts.push(start);
            at = end;
            ended = end;
        }
        shape.push(text.get(ended..)?, Kind::End)?;
        Some((shape, starts))
    }

    fn push(&mut self, before: &[u8], kind: Kind) -> Option<()> {
        if self.steps.len() > MANY || self.between.len() + before.len() > LONG {
            return None;
        }
        self.between.extend_from_slice(before);
        self.steps.push(Step {
            length: u32::try_from(before.len()).ok()?,
            kind,
            wanted: false,
        });
        Some(())
    }

    /// Asks for the value of this number.
    pub fn want(&mut self, value: usize) {
        if let Some(step) = self.steps.get_mut(value) {
            step.wanted = true;
        }
    }

    /// Reads a text of this shape and gives the values that are wanted, in their order. `false`:
    /// it has another shape, or none; then what was given is void.
    #[inline]
    #[must_use]
    pub fn read<'a>(&self, text: &'a [u8], mut found: impl FnMut(Value<'a>)) -> bool {
        if u32::try_from(text.len()).is_err() {
            return false;
        }
        let mut between = self.between.as_slice();
        let mut at = 0;
        for step in &self.steps {
            let Some((before, after)) = between.split_at_checked(step.length as usize) else {
                return false;
            };
            between = after;
            let start = at + before.len();
            if !text.get(at..start).is_some_and(|t| bytes::same(t, before)) {
                return false;
            }
            let (value, end) = match step.kind {
                Kind::String => match string(text, start.wrapping_sub(1)) {
                    Ok((found, end)) => (Value::String(RawString::checked(found)), end),
                    Err(_) => return false,
                },
                Kind::Number => match number(text, start) {
                    Ok(end) => {
                        let digits = text.get(start..end).unwrap_or_default();
                        (Value::Number(RawNumber(digits)), end)
                    }
                    Err(_) => return false,
                },
                Kind::Bool => {
                    let truth = text.get(start) == Some(&b't');
                    let end = match truth {
                        true => literal(text, start, b"true"),
                        false => literal(text, start, b"false"),
                    };
                    match end {
                        Ok(end) => (Value::Bool(truth), end),
                        Err(_) => return false,
                    }
                }
                Kind::End => {
                    let is_text = || bytes::is_ascii(text) || std::str::from_utf8(text).is_ok();
                    return start == text.len() && is_text();
                }
            };
            at = end;
            if step.wanted {
                found(value);
            }
        }
        false
    }
}
