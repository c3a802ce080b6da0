//! The tokens of JSON: where a reader stands in the text, and what it reads there.
//!
//! The functions take the text and a place and give the place after the token, so that a loop
//! which calls them keeps its place in a register; [`Cursor`] is for readers that may cost more.

use super::{JsonFault, JsonFaultKind as Kind, bytes};

/// A string between its quotes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Text<'a> {
    pub raw: &'a [u8],
    /// Whether an escape stands in it.
    pub escaped: bool,
}

/// Reads the string whose opening quote stands at `at`, and gives the place after its closing one.
#[inline(always)]
pub(super) fn string(text: &[u8], at: usize) -> Result<(Text<'_>, usize), JsonFault> {
    let start = at + 1;
    let rest = text.get(start..).unwrap_or_default();
    let length = bytes::special(rest);
    let (length, escaped) = match rest.get(length) {
        Some(b'"') => (length, false),
        _ => (escaped_string(text, start + length)? - start, true),
    };
    let raw = rest.get(..length).unwrap_or_default();
    Ok((Text { raw, escaped }, start + length + 1))
}

/// The place of the quote that ends a string which is plain up to `at`.
#[inline(never)]
fn escaped_string(text: &[u8], mut at: usize) -> Result<usize, JsonFault> {
    loop {
        match text.get(at) {
            Some(b'"') => return Ok(at),
            Some(b'\\') => at = escape(text, at)?,
            Some(_) => return Err(fault(at, Kind::ControlCharacter)),
            None => return Err(fault(at, Kind::CutShort)),
        }
        at += bytes::special(text.get(at..).unwrap_or_default());
    }
}

/// RFC 8259 §7, and both halves of a surrogate pair together.
fn escape(text: &[u8], start: usize) -> Result<usize, JsonFault> {
    let at = start + 2;
    match text.get(start + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at),
        Some(b'u') => match code_unit(text, at)? {
            0xD800..=0xDBFF => {
                let low = at + 4;
                let rest = text.get(low..).unwrap_or_default();
                if !rest.starts_with(b"\\u")
                    || !matches!(code_unit(text, low + 2)?, 0xDC00..=0xDFFF)
                {
                    return Err(fault(start, Kind::LoneSurrogate));
                }
                Ok(low + 6)
            }
            0xDC00..=0xDFFF => Err(fault(start, Kind::LoneSurrogate)),
            _ => Ok(at + 4),
        },
        Some(_) => Err(fault(start, Kind::Escape)),
        None => Err(fault(start + 1, Kind::CutShort)),
    }
}

fn code_unit(text: &[u8], at: usize) -> Result<u16, JsonFault> {
    let mut unit = 0;
    for at in at..at + 4 {
        let digit = match text.get(at) {
            Some(b @ b'0'..=b'9') => b - b'0',
            Some(b @ b'a'..=b'f') => b - b'a' + 10,
            Some(b @ b'A'..=b'F') => b - b'A' + 10,
            Some(_) => return Err(fault(at, Kind::Escape)),
            None => return Err(fault(at, Kind::CutShort)),
        };
        unit = unit << 4 | u16::from(digit);
    }
    Ok(unit)
}

/// Reads a number (RFC 8259 §6) and gives the place after it.
pub(super) fn number(text: &[u8], mut at: usize) -> Result<usize, JsonFault> {
    if text.get(at) == Some(&b'-') {
        at += 1;
    }
    at = match text.get(at) {
        Some(b'0') => at + 1,
        _ => digits(text, at)?,
    };
    if text.get(at) == Some(&b'.') {
        at = digits(text, at + 1)?;
    }
    if matches!(text.get(at), Some(b'e' | b'E')) {
        at += 1;
        if matches!(text.get(at), Some(b'+' | b'-')) {
            at += 1;
        }
        at = digits(text, at)?;
    }
    match text.get(at) {
        Some(b'0'..=b'9' | b'.' | b'-' | b'+') => Err(fault(at, Kind::Number)),
        _ => Ok(at),
    }
}

#[inline(always)]
fn digits(text: &[u8], start: usize) -> Result<usize, JsonFault> {
    let mut at = start;
    while matches!(text.get(at), Some(b'0'..=b'9')) {
        at += 1;
    }
    match text.get(at) {
        _ if at > start => Ok(at),
        None => Err(fault(at, Kind::CutShort)),
        Some(_) => Err(fault(at, Kind::Number)),
    }
}

/// Reads `word` and gives the place after it.
#[inline(always)]
pub(super) fn literal<const N: usize>(
    text: &[u8],
    at: usize,
    word: &[u8; N],
) -> Result<usize, JsonFault> {
    let rest = text.get(at..).unwrap_or_default();
    match rest.first_chunk::<N>() {
        Some(found) if found == word => Ok(at + N),
        _ => Err(broken_literal(text, at, word)),
    }
}

#[cold]
fn broken_literal(text: &[u8], at: usize, word: &[u8]) -> JsonFault {
    let rest = text.get(at..).unwrap_or_default();
    let same = rest.iter().zip(word).take_while(|(a, b)| a == b).count();
    unexpected(text, at + same)
}

#[inline(always)]
pub(super) fn skip_space(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
        at += 1;
    }
    at
}

#[cold]
pub(super) fn unexpected(text: &[u8], at: usize) -> JsonFault {
    let kind = match text.get(at) {
        None => Kind::CutShort,
        Some(_) => Kind::Unexpected,
    };
    fault(at, kind)
}

#[cold]
pub(super) fn fault(offset: usize, kind: Kind) -> JsonFault {
    JsonFault { offset, kind }
}

pub(super) struct Cursor<'a> {
    text: &'a str,
    pub at: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Reads a string from its opening quote.
    pub fn string(&mut self) -> Result<Text<'a>, JsonFault> {
        let (text, at) = string(self.text.as_bytes(), self.at)?;
        self.at = at;
        Ok(text)
    }

    pub fn number(&mut self) -> Result<(), JsonFault> {
        self.at = number(self.text.as_bytes(), self.at)?;
        Ok(())
    }

    pub fn literal<const N: usize>(&mut self, word: &[u8; N]) -> Result<(), JsonFault> {
        self.at = literal(self.text.as_bytes(), self.at, word)?;
        Ok(())
    }

    pub fn skip_space(&mut self) {
        self.at = skip_space(self.text.as_bytes(), self.at);
    }

    pub fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Both ends lie beside ASCII bytes that were read, so the slice always exists.
    pub fn slice(&self, start: usize, end: usize) -> Result<&'a str, JsonFault> {
        self.text.get(start..end).ok_or(JsonFault {
            offset: start,
            kind: Kind::Utf8,
        })
    }

    #[cold]
    pub fn unexpected<T>(&self) -> Result<T, JsonFault> {
        Err(unexpected(self.text.as_bytes(), self.at))
    }

    #[cold]
    pub fn fault<T>(&self, kind: Kind) -> Result<T, JsonFault> {
        Err(fault(self.at, kind))
    }
}
