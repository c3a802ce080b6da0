//! What a field may hold, and how it is read.

use std::fmt;

/// A field's value. Compares byte by byte.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Value<'f>(&'f [u8]);

/// There are bytes beyond visible ASCII, spaces and tabs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotText;

impl<'f> Value<'f> {
    pub(super) fn of(bytes: &'f [u8]) -> Self {
        Self(bytes)
    }

    pub fn as_bytes(self) -> &'f [u8] {
        self.0
    }

    /// # Errors
    /// For bytes that are no visible ASCII.
    pub fn to_str(self) -> Result<&'f str, NotText> {
        let visible = |ok, b: &u8| ok & ((*b >= b' ' && *b < 0x7f) || *b == b'\t');
        match self.0.iter().fold(true, visible) {
            true => std::str::from_utf8(self.0).map_err(|_| NotText),
            false => Err(NotText),
        }
    }
}

impl PartialEq<str> for Value<'_> {
    fn eq(&self, other: &str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl PartialEq<&str> for Value<'_> {
    fn eq(&self, other: &&str) -> bool {
        self.0 == other.as_bytes()
    }
}

/// Values can be personal.
impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Value(redacted)")
    }
}

/// RFC 9110 §5.5, with the obsolete bytes above ASCII.
#[inline]
pub(super) fn is_value(bytes: &[u8]) -> bool {
    let sound = |b: &u8| (*b >= b' ' && *b != 0x7f) || *b == b'\t';
    // Eight bytes at a time, of which the last may overlap those before; tabs are rare enough to be
    // looked at twice.
    let Some(last) = bytes.last_chunk::<8>() else {
        return bytes.iter().all(sound);
    };
    let (words, _) = bytes.as_chunks::<8>();
    let mut suspects = controls(u64::from_le_bytes(*last));
    for word in words {
        suspects |= controls(u64::from_le_bytes(*word));
    }
    suspects == 0 || bytes.iter().all(sound)
}

/// Which of eight bytes is the first below the space, or DEL.
#[inline]
pub(super) const fn first_control(word: u64) -> Option<usize> {
    match controls(word) {
        0 => None,
        // What it may tell wrongly stands beyond the first.
        found => Some(found.trailing_zeros() as usize / 8),
    }
}

/// The highest bit of each byte that is below the space or DEL, and of some beyond the first of
/// these; 0 if there is none.
#[inline]
const fn controls(word: u64) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const TOPS: u64 = u64::from_le_bytes([0x80; 8]);
    let below = word.wrapping_sub(ONES * 0x20) & !word;
    let del = word ^ (ONES * 0x7f);
    let is_del = del.wrapping_sub(ONES) & !del;
    (below | is_del) & TOPS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_bytes_are_found_wherever_they_stand() {
        for length in 0..24 {
            for at in 0..length {
                for byte in 0..=255 {
                    let mut value = vec![b'~'; length];
                    value[at] = byte;
                    let sound = byte == b'\t' || (byte >= b' ' && byte != 0x7f);
                    assert_eq!(is_value(&value), sound, "{byte} at {at} of {length}");
                }
            }
        }
    }
}
