use std::fmt;

/// A person, as the router knows one: a keyed BLAKE3 hash of route namespace and id, cut to 128
/// bits.
///
/// It is still pseudonymous personal data, so `Debug` prints no digits; [`SubjectKey::reveal`] is
/// the conspicuous door for the ledger, the directory and the `key` command.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubjectKey([u8; 16]);

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a subject key is 32 hexadecimal digits, as the `key` command prints them")]
pub struct SubjectKeyError;

impl SubjectKey {
    pub const LEN: usize = 16;

    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// The key in 32 lower-case hexadecimal digits.
    pub fn reveal(self) -> String {
        self.0.iter().map(|b| format!("{b:02x}")).collect()
    }

    /// Reads what [`SubjectKey::reveal`] writes.
    pub fn parse(text: &str) -> Result<Self, SubjectKeyError> {
        if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(SubjectKeyError);
        }
        u128::from_str_radix(text, 16)
            .map(|v| Self(v.to_be_bytes()))
            .map_err(|_| SubjectKeyError)
    }
}

impl fmt::Debug for SubjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SubjectKey(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing_and_reveal_round_trips() {
        let key = SubjectKey::from_bytes(*b"0123456789abcdef");
        assert_eq!(format!("{key:?}"), "SubjectKey(redacted)");
        assert_eq!(SubjectKey::parse(&key.reveal()), Ok(key));
        assert_eq!(SubjectKey::parse("+1"), Err(SubjectKeyError));
    }
}
