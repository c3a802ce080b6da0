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
        let [a, b, c, d] = [
            eight_digits((self.0 >> 96) as u32),
            eight_digits((self.0 >> 64) as u32),
            eight_digits((self.0 >> 32) as u32),
            eight_digits(self.0 as u32),
        ];
        let [b1, b2, b3, b4, b5, b6, b7, b8] = b;
        let [c1, c2, c3, c4, c5, c6, c7, c8] = c;
        let middle = [
            b'-', b1, b2, b3, b4, b'-', b5, b6, b7, b8, b'-', c1, c2, c3, c4, b'-', c5, c6, c7, c8,
        ];
        let mut text = [0; 36];
        let (start, rest) = text.split_at_mut(a.len());
        let (between, end) = rest.split_at_mut(middle.len());
        start.copy_from_slice(&a);
        between.copy_from_slice(&middle);
        end.copy_from_slice(&d);
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

/// Eight digits at once: the four bits of each go apart, one to a byte, and those above nine are
/// raised to the letters. Not made part of its callers: in ten places its code is longer than all of
/// theirs, and the length of what a request executes is its time.
#[inline(never)]
pub(crate) fn eight_digits(value: u32) -> [u8; 8] {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let mut apart = u64::from(value);
    apart = (apart | apart << 16) & 0x0000_ffff_0000_ffff;
    apart = (apart | apart << 8) & 0x00ff_00ff_00ff_00ff;
    apart = (apart | apart << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    let letters = ((apart + ONES * 6) >> 4) & ONES;
    (apart + ONES * u64::from(b'0') + letters * u64::from(b'a' - b'0' - 10)).to_be_bytes()
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

/// SHA-256 of a policy or of settings, printed as `sha256:` and 64 hexadecimal digits.
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

    #[test]
    fn every_digit_stands_at_every_place() {
        for value in 0..16_u128 {
            for place in 0..32 {
                let number = value << (4 * place);
                let plain = format!("{number:032x}");
                let [a, b, c, d, e] =
                    [0..8, 8..12, 12..16, 16..20, 20..32].map(|r| plain.get(r).unwrap());
                let expected = format!("{a}-{b}-{c}-{d}-{e}");
                assert_eq!(DecisionId(number).to_string(), expected);
            }
        }
    }
}
