use std::fmt;

use serde::{Serialize, Serializer};

/// Names one decision: stands in the answer's `Domicile-Decision`, in the ledger, and in logs.
///
/// A UUID version 7 (RFC 9562): 48 bits of Unix milliseconds, then random bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DecisionId(u128);

impl DecisionId {
    /// `unix_ms` is cut to 48 bits; of `random` 74 bits are used.
    pub fn new(unix_ms: u64, random: u128) -> Self {
        let time = u128::from(unix_ms & 0xffff_ffff_ffff) << 80;
        let a = ((random >> 64) & 0xfff) << 64;
        let b = random & 0x3fff_ffff_ffff_ffff;
        Self(time | (0x7 << 76) | a | (0x2 << 62) | b)
    }

    /// The hyphenated form, as [`fmt::Display`] writes it, without its machinery: it stands in
    /// every answer.
    pub fn text(self) -> [u8; 36] {
        let mut text = [b'-'; 36];
        let mut places = text.iter_mut();
        for (at, byte) in self.to_bytes().into_iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                places.next();
            }
            for value in [byte >> 4, byte & 0xf] {
                if let Some(place) = places.next() {
                    *place = digit(value);
                }
            }
        }
        text
    }

    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    /// Reads the hyphenated form that [`fmt::Display`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        let hyphens_stand = text.len() == 36
            && text.bytes().enumerate().all(|(i, b)| {
                if matches!(i, 8 | 13 | 18 | 23) {
                    b == b'-'
                } else {
                    b.is_ascii_hexdigit()
                }
            });
        if !hyphens_stand {
            return None;
        }
        u128::from_str_radix(&text.replace('-', ""), 16)
            .ok()
            .map(Self)
    }
}

impl fmt::Display for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.text()).unwrap_or_default())
    }
}

/// The lowest four bits as a lower-case digit.
pub fn hexadecimal(value: u128) -> u8 {
    digit((value & 0xf) as u8)
}

/// Of a value below 16.
fn digit(value: u8) -> u8 {
    match value {
        low @ 0..=9 => b'0' + low,
        high => b'a' - 10 + high,
    }
}

impl fmt::Debug for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for DecisionId {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// SHA-256 of a policy, printed as `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decision_ids_round_trip_and_are_version_7() {
        let id = DecisionId::new(0x0190_1234_5678, u128::MAX);
        let text = id.to_string();
        assert_eq!(text.len(), 36);
        assert_eq!(text.as_bytes().get(14), Some(&b'7'));
        assert_eq!(text.as_bytes().get(19), Some(&b'b'));
        assert_eq!(DecisionId::parse(&text), Some(id));
        assert_eq!(text, "01901234-5678-7fff-bfff-ffffffffffff");
        assert_eq!(DecisionId::from_bytes(id.to_bytes()), id);
        assert_eq!(DecisionId::parse("0190-nonsense"), None);
    }
}
