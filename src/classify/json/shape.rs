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
    /// The first bytes of what stands before, and which of them count.
    head: u128,
    mask: u128,
    /// Bytes of `between`.
    start: u32,
    length: u32,
    kind: Kind,
    /// Whether anybody wants the value.
    wanted: bool,
}

/// Bytes of what stands before a value that are compared at once.
const HEAD: usize = size_of::<u128>();

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
        let mut head = [0; HEAD];
        let mut mask = [0; HEAD];
        for ((head, mask), byte) in head.iter_mut().zip(&mut mask).zip(before) {
            *head = *byte;
            *mask = u8::MAX;
        }
        let start = u32::try_from(self.between.len()).ok()?;
        self.between.extend_from_slice(before);
        self.steps.push(Step {
            head: u128::from_le_bytes(head),
            mask: u128::from_le_bytes(mask),
            start,
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
        let mut at = 0;
        for step in &self.steps {
            let Some(start) = self.pass(step, text, at) else {
                return false;
            };
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

    /// Where the value starts whose step begins at `at`. `None`: what stands before it differs.
    #[inline(always)]
    fn pass(&self, step: &Step, text: &[u8], at: usize) -> Option<usize> {
        let rest = text.get(at..)?;
        let length = step.length as usize;
        let is_same = match rest.first_chunk::<HEAD>() {
            Some(head) if length <= HEAD => {
                (u128::from_le_bytes(*head) ^ step.head) & step.mask == 0
            }
            _ => self.is_same(step, rest),
        };
        is_same.then_some(at + length)
    }

    /// For what is long, or near the end of the text.
    #[inline(never)]
    fn is_same(&self, step: &Step, rest: &[u8]) -> bool {
        let start = step.start as usize;
        let before = self.between.get(start..start + step.length as usize);
        before.is_some_and(|before| rest.starts_with(before))
    }
}
