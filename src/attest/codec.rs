//! Bytes in and out: little-endian numbers, minimal varints, length-prefixed text.
//!
//! Every value has exactly one encoding, and reading accepts no other: what was read writes back
//! to the same bytes.

use std::sync::Arc;

/// The bytes are not what the format says; the text says what was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub &'static str);

pub(super) type Read<T> = Result<T, Malformed>;

pub(super) trait Put {
    fn varint(&mut self, value: u64);
    fn signed(&mut self, value: i64);
    fn text(&mut self, text: &str);
    fn texts(&mut self, texts: &[Arc<str>]);
    fn maybe(&mut self, text: Option<&str>);
}

impl Put for Vec<u8> {
    fn varint(&mut self, mut value: u64) {
        loop {
            let [low, ..] = value.to_le_bytes();
            value >>= 7;
            if value == 0 {
                self.push(low & 0x7f);
                return;
            }
            self.push(low | 0x80);
        }
    }

    /// Zigzag: small magnitudes take few bytes.
    fn signed(&mut self, value: i64) {
        self.varint(((value << 1) ^ (value >> 63)).cast_unsigned());
    }

    fn text(&mut self, text: &str) {
        self.varint(text.len() as u64);
        self.extend_from_slice(text.as_bytes());
    }

    fn texts(&mut self, texts: &[Arc<str>]) {
        self.varint(texts.len() as u64);
        for text in texts {
            self.text(text);
        }
    }

    /// Length plus one; zero when absent.
    fn maybe(&mut self, text: Option<&str>) {
        match text {
            None => self.push(0),
            Some(text) => {
                self.varint(text.len() as u64 + 1);
                self.extend_from_slice(text.as_bytes());
            }
        }
    }
}

/// Reads from the front of a slice; never panics, never allocates more than the slice holds.
pub(super) struct Take<'a> {
    rest: &'a [u8],
}

impl<'a> Take<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub fn left(&self) -> usize {
        self.rest.len()
    }

    pub fn bytes(&mut self, count: usize) -> Read<&'a [u8]> {
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or(Malformed("it ends within a value"))?;
        self.rest = rest;
        Ok(taken)
    }

    pub fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        let (taken, rest) = self
            .rest
            .split_first_chunk()
            .ok_or(Malformed("it ends within a value"))?;
        self.rest = rest;
        Ok(*taken)
    }

    pub fn byte(&mut self) -> Read<u8> {
        self.array().map(|[byte]| byte)
    }

    pub fn u32(&mut self) -> Read<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Read<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub fn varint(&mut self) -> Read<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                break;
            }
            value |= part << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 {
                    return Err(Malformed("a number is longer than it need be"));
                }
                return Ok(value);
            }
        }
        Err(Malformed("a number is too large"))
    }

    pub fn signed(&mut self) -> Read<i64> {
        let value = self.varint()?;
        Ok((value >> 1).cast_signed() ^ -((value & 1).cast_signed()))
    }

    pub fn text(&mut self) -> Read<&'a str> {
        let length = self.varint()?;
        self.text_of(length)
    }

    pub fn shared(&mut self) -> Read<Arc<str>> {
        self.text().map(Arc::from)
    }

    pub fn texts(&mut self) -> Read<Vec<Arc<str>>> {
        let count = self.count()?;
        (0..count).map(|_| self.shared()).collect()
    }

    pub fn maybe(&mut self) -> Read<Option<Arc<str>>> {
        match self.varint()? {
            0 => Ok(None),
            length => self.text_of(length - 1).map(|text| Some(text.into())),
        }
    }

    /// A count of things that take at least a byte each.
    pub fn count(&mut self) -> Read<usize> {
        usize::try_from(self.varint()?)
            .ok()
            .filter(|count| *count <= self.left())
            .ok_or(Malformed("a count is larger than what follows"))
    }

    fn text_of(&mut self, length: u64) -> Read<&'a str> {
        let length = usize::try_from(length).map_err(|_| Malformed("a text is too long"))?;
        std::str::from_utf8(self.bytes(length)?).map_err(|_| Malformed("a text is not UTF-8"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_round_trip(unsigned: u64, signed: i64) {
            let mut bytes = Vec::new();
            bytes.varint(unsigned);
            bytes.signed(signed);
            let mut take = Take::new(&bytes);
            prop_assert_eq!(take.varint(), Ok(unsigned));
            prop_assert_eq!(take.signed(), Ok(signed));
            prop_assert!(take.is_empty());
        }

        #[test]
        fn a_number_has_one_encoding(bytes in prop::collection::vec(any::<u8>(), 0..12)) {
            let mut take = Take::new(&bytes);
            if let Ok(value) = take.varint() {
                let mut again = Vec::new();
                again.varint(value);
                prop_assert_eq!(again.as_slice(), &bytes[..bytes.len() - take.left()]);
            }
        }
    }
}
