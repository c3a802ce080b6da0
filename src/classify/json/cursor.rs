//! The tokens of JSON: where the scanner stands in the text, and what it reads there.

use super::{JsonFault, JsonFaultKind as Kind, bytes};

pub(super) struct Cursor<'a> {
    text: &'a str,
    bytes: &'a [u8],
    pub at: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(text: &'a str) -> Self {
        Self {
            text,
            bytes: text.as_bytes(),
            at: 0,
        }
    }

    /// Reads a string from its opening quote; returns what stands between the quotes and whether
    /// it holds an escape.
    #[inline]
    pub fn string(&mut self) -> Result<(&'a str, bool), JsonFault> {
        self.at += 1;
        let start = self.at;
        let mut escaped = false;
        loop {
            self.skip_plain();
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => return self.fault(Kind::ControlCharacter),
                None => return self.fault(Kind::CutShort),
            }
        }
        let raw = self.slice(start, self.at)?;
        self.at += 1;
        Ok((raw, escaped))
    }

    /// Moves to the next quote, backslash or control character.
    #[inline]
    fn skip_plain(&mut self) {
        let special = |b: u8| b < 0x20 || b == b'"' || b == b'\\';
        let rest = self.rest();
        self.at += bytes::find(rest, bytes::specials, special).unwrap_or(rest.len());
    }

    /// RFC 8259 §7, and both halves of a surrogate pair together.
    fn escape(&mut self) -> Result<(), JsonFault> {
        let start = self.at;
        let fault = |kind| {
            Err(JsonFault {
                offset: start,
                kind,
            })
        };
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                self.at += 1;
                match self.code_unit()? {
                    0xD800..=0xDBFF => {
                        if !self.rest().starts_with(b"\\u") {
                            return fault(Kind::LoneSurrogate);
                        }
                        self.at += 2;
                        if !matches!(self.code_unit()?, 0xDC00..=0xDFFF) {
                            return fault(Kind::LoneSurrogate);
                        }
                    }
                    0xDC00..=0xDFFF => return fault(Kind::LoneSurrogate),
                    _ => {}
                }
            }
            Some(_) => return fault(Kind::Escape),
            None => return self.fault(Kind::CutShort),
        }
        Ok(())
    }

    fn code_unit(&mut self) -> Result<u16, JsonFault> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = match self.peek() {
                Some(b @ b'0'..=b'9') => b - b'0',
                Some(b @ b'a'..=b'f') => b - b'a' + 10,
                Some(b @ b'A'..=b'F') => b - b'A' + 10,
                Some(_) => return self.fault(Kind::Escape),
                None => return self.fault(Kind::CutShort),
            };
            unit = unit << 4 | u16::from(digit);
            self.at += 1;
        }
        Ok(unit)
    }

    /// RFC 8259 §6.
    pub fn number(&mut self) -> Result<(), JsonFault> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        match self.peek() {
            Some(b'0'..=b'9' | b'.' | b'-' | b'+') => self.fault(Kind::Number),
            _ => Ok(()),
        }
    }

    fn digits(&mut self) -> Result<(), JsonFault> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        match self.peek() {
            _ if self.at > start => Ok(()),
            None => self.fault(Kind::CutShort),
            Some(_) => self.fault(Kind::Number),
        }
    }

    pub fn literal(&mut self, word: &[u8]) -> Result<(), JsonFault> {
        if self.rest().starts_with(word) {
            self.at += word.len();
            return Ok(());
        }
        for expected in word {
            match self.peek() {
                Some(b) if b == *expected => self.at += 1,
                _ => break,
            }
        }
        self.unexpected()
    }

    #[inline]
    pub fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    #[inline]
    pub fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Both ends lie beside ASCII bytes that the scanner has read, so the slice always exists.
    #[inline]
    pub fn slice(&self, start: usize, end: usize) -> Result<&'a str, JsonFault> {
        self.text.get(start..end).ok_or(JsonFault {
            offset: start,
            kind: Kind::Utf8,
        })
    }

    #[cold]
    pub fn unexpected<T>(&self) -> Result<T, JsonFault> {
        self.fault(match self.peek() {
            None => Kind::CutShort,
            Some(_) => Kind::Unexpected,
        })
    }

    #[cold]
    pub fn fault<T>(&self, kind: Kind) -> Result<T, JsonFault> {
        Err(JsonFault {
            offset: self.at,
            kind,
        })
    }
}
