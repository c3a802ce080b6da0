//! The country that issued a telephone number (E.164), from its digits alone.
//!
//! The number says who issued it, not where its holder lives, so it is weak evidence; and it
//! says what the numbering plan says: `+7 365` and `+7 978` (Crimea) and `+7 840`, `+7 940`
//! (Abkhazia) are numbers of the Russian plan and read as RU, whoever the territory belongs to.
//!
//! Own tables instead of a library: all that is needed is the country, in some 20 ns, and the
//! libraries spend microseconds on formats.

mod codes;
mod nanp;

use crate::domain::Country;

/// The country of an international number: `+`, then 7 to 15 digits (ITU-T E.164 §6), with
/// blanks, dashes, dots, slashes and parentheses between them; `(0)`, a trunk zero as written for readers
/// at home, is skipped.
///
/// `None`: not such a number (no `+`; `00` stands for `+` in some countries only), or one that
/// belongs to no country: satellite, freephone, universal, shared codes.
pub fn country(text: &str) -> Option<Country> {
    let digits = Digits::read(text)?;
    let code = codes::country(digits.as_slice())?;
    Country::new(code).ok()
}

/// Whether `text` is a telephone number of whatever country: such as [`country`] reads, or without
/// a `+`, as at home, some digits and what people write between them. Zeros alone are nobody's.
pub fn is_phone(text: &str) -> bool {
    let text = text.trim();
    if text.starts_with('+') {
        return Digits::read(text).is_some();
    }
    let mut digits = 0;
    let is_written = |b: u8| {
        digits += usize::from(b.is_ascii_digit());
        b.is_ascii_digit() || is_separator(b)
    };
    let is_nobodys = !text.is_empty() && text.bytes().all(|b| b == b'0');
    text.bytes().all(is_written) && digits >= FEWEST_AT_HOME || is_nobodys
}

const FEWEST: usize = 7;

/// Fewer digits are no telephone number, but perhaps a country's number in ISO 3166-1, which has
/// three.
const FEWEST_AT_HOME: usize = 4;

fn is_separator(b: u8) -> bool {
    matches!(b, b' ' | b'-' | b'.' | b'/' | b'(' | b')')
}

/// The values (not characters) of the digits.
struct Digits {
    digits: [u8; 15],
    count: usize,
}

impl Digits {
    fn read(text: &str) -> Option<Self> {
        let mut rest = text.trim().strip_prefix('+')?.as_bytes();
        let mut read = Self {
            digits: [0; 15],
            count: 0,
        };
        while let [byte, tail @ ..] = rest {
            rest = tail;
            match byte {
                b'0'..=b'9' => {
                    *read.digits.get_mut(read.count)? = byte - b'0';
                    read.count += 1;
                }
                b'(' => {
                    // Italy's leading zero belongs to the number, in parentheses or not.
                    if let [b'0', b')', after @ ..] = tail
                        && !read.is_italian()
                    {
                        rest = after;
                    }
                }
                b if is_separator(*b) => {}
                _ => return None,
            }
        }
        // No calling code begins with a zero.
        (read.count >= FEWEST && read.digits.first() != Some(&0)).then_some(read)
    }

    fn is_italian(&self) -> bool {
        self.as_slice() == [3, 9]
    }

    fn as_slice(&self) -> &[u8] {
        self.digits.get(..self.count).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
