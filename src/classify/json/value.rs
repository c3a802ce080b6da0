use std::borrow::Cow;

use super::cursor::Text;

/// A value under a watched pointer. No `Debug` shows data: see [`RawString`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    String(RawString<'a>),
    Number(RawNumber<'a>),
    Bool(bool),
    Null,
    /// Reported when it opens; its members follow as values of their own pointers.
    Object,
    Array,
}

/// A checked JSON string as it stands between its quotes, escapes and all.
///
/// `Debug` prints nothing of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RawString<'a> {
    text: Text<'a>,
}

/// A checked JSON number as it stands in the text. `Debug` prints nothing of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RawNumber<'a>(pub(super) &'a [u8]);

impl<'a> RawString<'a> {
    /// `text` is of a text that has passed the scanner's check: it is UTF-8.
    #[inline(always)]
    pub(super) fn checked(text: Text<'a>) -> Self {
        Self { text }
    }

    /// As written, without the quotes.
    pub fn raw(&self) -> &'a str {
        read(self.text.raw)
    }

    /// As written, in bytes: what a text is compared by.
    #[inline]
    pub fn written(&self) -> &'a [u8] {
        self.text.raw
    }

    /// The bytes of the text that is meant, if no escape stands in it.
    #[inline]
    pub fn plain(&self) -> Option<&'a [u8]> {
        (!self.text.escaped).then_some(self.text.raw)
    }

    /// The text that is meant. Borrows unless an escape stands in it.
    pub fn unescape(&self) -> Cow<'a, str> {
        if self.text.escaped {
            Cow::Owned(unescape(self.raw()))
        } else {
            Cow::Borrowed(self.raw())
        }
    }
}

impl<'a> RawNumber<'a> {
    pub fn as_str(&self) -> &'a str {
        read(self.0)
    }

    /// The value, where it is a whole number in range and written plainly (`42`).
    pub fn as_u64(&self) -> Option<u64> {
        self.as_str().parse().ok()
    }
}

/// A piece of a checked text. Few values are ever read, so a scan keeps bytes, which cost no look
/// at their ends, and this looks again at those that are.
fn read(checked: &[u8]) -> &str {
    std::str::from_utf8(checked).unwrap_or_default()
}

impl std::fmt::Debug for RawString<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RawString(redacted)")
    }
}

impl std::fmt::Debug for RawNumber<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RawNumber(redacted)")
    }
}

/// Resolves the escapes of a string that the scanner has accepted. In a string that it has not,
/// broken escapes become U+FFFD.
pub(super) fn unescape(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((plain, tail)) = rest.split_once('\\') {
        out.push_str(plain);
        let mut chars = tail.chars();
        match chars.next() {
            Some('b') => out.push('\u{8}'),
            Some('f') => out.push('\u{c}'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some('u') => {
                let (decoded, after) = unit(chars.as_str());
                let (scalar, after) = match decoded {
                    Some(high @ 0xD800..=0xDBFF) => {
                        let low = after.strip_prefix("\\u").map(unit);
                        match low {
                            Some((Some(low @ 0xDC00..=0xDFFF), end)) => {
                                let pair = ((u32::from(high) - 0xD800) << 10)
                                    + (u32::from(low) - 0xDC00)
                                    + 0x1_0000;
                                (char::from_u32(pair), end)
                            }
                            _ => (None, after),
                        }
                    }
                    Some(other) => (char::from_u32(u32::from(other)), after),
                    None => (None, after),
                };
                out.push(scalar.unwrap_or(char::REPLACEMENT_CHARACTER));
                rest = after;
                continue;
            }
            Some(other) => out.push(other),
            None => {}
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
    out
}

/// Four hexadecimal digits at the start of `text`, and what follows them.
fn unit(text: &str) -> (Option<u16>, &str) {
    match text.split_at_checked(4) {
        Some((digits, rest)) if digits.bytes().all(|b| b.is_ascii_hexdigit()) => {
            (u16::from_str_radix(digits, 16).ok(), rest)
        }
        _ => (None, text),
    }
}
