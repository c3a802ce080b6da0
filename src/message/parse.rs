//! Field lines (RFC 9112 §5, RFC 9110 §5), read strictly.

use memchr::memchr;

use super::{
    Field, Fields, Names,
    line::Line,
    value::{first_control, is_value},
};

/// Room for what the stations add to an answer.
pub(super) const ADDED: usize = 192;

/// Fields of one head. Each lookup of a name that is not in [`Field`] walks them.
pub const MOST_FIELDS: usize = 256;

/// Why lines are no sound fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineFault {
    BareLineFeed,
    BareReturn,
    Folded,
    SpaceAroundName,
    Name,
    Value,
    /// A name that is another one to a gateway that reads `_` for `-`.
    Underscore,
    TooMany,
}

/// Fields that the router goes by, which nobody may send in a spelling that a gateway behind it
/// (CGI, WSGI) would read as the same field.
const NOT_WITH_UNDERSCORE: [&str; 21] = [
    "content-length",
    "transfer-encoding",
    "content-type",
    "content-encoding",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
    "proxy-authorization",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "fastly-client-ip",
    "x-forwarded-client-cert",
    "content-range",
];

/// Of each byte of a token (RFC 9110 §5.6.2) the same in lower case, of any other 0.
const TOKEN: [u8; 256] = {
    let mut table = [0; 256];
    let mut rest: &[u8] = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz";
    let mut byte = 0u8;
    while let [first, more @ ..] = rest {
        #[expect(
            clippy::indexing_slicing,
            reason = "a byte is below 256, and it is checked when built"
        )]
        {
            table[*first as usize] = *first;
        }
        rest = more;
    }
    while byte < 26 {
        #[expect(
            clippy::indexing_slicing,
            reason = "a letter is below 256, and it is checked when built"
        )]
        {
            table[(b'A' + byte) as usize] = b'a' + byte;
        }
        byte += 1;
    }
    table
};

#[inline]
fn lower(byte: u8) -> u8 {
    TOKEN.get(usize::from(byte)).copied().unwrap_or(0)
}

/// `tchar` (RFC 9110 §5.6.2).
#[inline]
pub fn is_token(byte: u8) -> bool {
    lower(byte) != 0
}

impl Fields {
    /// Reads lines that each end in CR LF, the last empty one included or not. They are copied
    /// once, as they are, so that the buffer they came in is free; names are put into lower case.
    pub fn parse(bytes: &[u8]) -> Result<Self, LineFault> {
        if u32::try_from(bytes.len()).is_err() {
            return Err(LineFault::TooMany);
        }
        let mut text = Vec::with_capacity(bytes.len() + ADDED);
        text.extend_from_slice(bytes);
        let mut lines = Vec::with_capacity(16);
        let mut seen = Names::default();
        let mut at = 0;
        while let Some(rest) = text.get_mut(at..)
            && let Some((found, length)) = read_next(rest, at)?
        {
            if lines.len() == MOST_FIELDS {
                return Err(LineFault::TooMany);
            }
            seen.insert_as(
                found.field,
                rest.get(..found.name_len()).unwrap_or_default(),
            );
            lines.push(found);
            at += length;
        }
        Ok(Self::of(text, lines, seen))
    }
}

/// Where the parts of a line stand, counted from its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parted {
    name_end: usize,
    value: usize,
    value_end: usize,
    /// With its CR LF.
    pub(super) length: usize,
}

impl Parted {
    /// The line that `rest` begins with: name, colon and value in one walk. `None` for one that has
    /// a fault, or whose end is not there.
    #[inline]
    pub(super) fn read(rest: &[u8]) -> Option<Self> {
        let mut name_end = 0;
        let mut underscore = false;
        let end = loop {
            let byte = *rest.get(name_end)?;
            if !is_token(byte) {
                break byte;
            }
            underscore |= byte == b'_';
            name_end += 1;
        };
        if end != b':' || name_end == 0 || underscore {
            return None;
        }
        let mut value = name_end + 1;
        while matches!(rest.get(value), Some(b' ' | b'\t')) {
            value += 1;
        }
        let whole = first_control_of(rest, value)?;
        if rest.get(whole..whole + 2)? != b"\r\n" {
            return None;
        }
        let mut value_end = whole;
        while value_end > value && matches!(rest.get(value_end - 1), Some(b' ' | b'\t')) {
            value_end -= 1;
        }
        Some(Self {
            name_end,
            value,
            value_end,
            length: whole + 2,
        })
    }

    /// The line as it is noted once it stands at `start`, where all of it has a place; its name is
    /// put into lower case.
    #[inline]
    pub(super) fn note(self, text: &mut [u8], start: usize) -> Line {
        let name = text.get_mut(start..start + self.name_end);
        let name = name.unwrap_or_default();
        name.make_ascii_lowercase();
        let place = |at: usize| (start + at) as u32;
        Line {
            name: start as u32,
            name_end: place(self.name_end),
            value: place(self.value),
            value_end: place(self.value_end),
            field: Field::of(name),
            is_plain: self.value == self.name_end + 2
                && self.value_end + 2 == self.length
                && text.get(start + self.name_end + 1) == Some(&b' '),
        }
    }
}

/// Where the first control byte but the tab stands, from `at` on.
#[inline]
fn first_control_of(text: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let (words, rest) = text.get(at..)?.as_chunks::<8>();
        let controls = |word: &[u8; 8]| first_control(u64::from_le_bytes(*word));
        let mut found = None;
        for word in words {
            found = controls(word);
            if found.is_some() {
                break;
            }
            at += 8;
        }
        at += match found {
            Some(found) => found,
            None => rest.iter().position(|b| *b < b' ' || *b == 0x7f)?,
        };
        if text.get(at) != Some(&b'\t') {
            return Some(at);
        }
        at += 1;
    }
}

/// The next line with whatever it is wrong in; `None` for the empty one, or where no line ends.
#[cold]
fn read_next(rest: &mut [u8], start: usize) -> Result<Option<(Line, usize)>, LineFault> {
    let Some(end) = memchr(b'\n', rest) else {
        return Ok(None);
    };
    let line = rest.get_mut(..end).unwrap_or_default();
    let Some((b'\r', line)) = line.split_last_mut() else {
        return Err(LineFault::BareLineFeed);
    };
    if line.is_empty() {
        return Ok(None);
    }
    Ok(Some((read(line, start)?, end + 1)))
}

/// One line without its end, which begins at `start` of the text.
fn read(line: &mut [u8], start: usize) -> Result<Line, LineFault> {
    let colon = memchr(b':', line);
    let begins_blank = matches!(line, [b' ' | b'\t', ..]);
    let (name, value) = match colon.and_then(|at| line.split_at_mut_checked(at)) {
        Some((name, value)) if !name.is_empty() => (name, value),
        _ if begins_blank => return Err(LineFault::Folded),
        _ => return Err(LineFault::Name),
    };
    let mut underscore = false;
    for byte in name.iter_mut() {
        let lower = lower(*byte);
        if lower == 0 {
            return Err(bad_name(name));
        }
        underscore |= lower == b'_';
        *byte = lower;
    }
    if underscore {
        check_underscore(name)?;
    }
    let field = Field::of(name);
    let name_end = start + name.len();
    let whole = value.get(1..).unwrap_or_default();
    let begun = trim_start(whole);
    let value = trim_end(begun);
    if !is_value(value) {
        return Err(bad_value(value));
    }
    let from = name_end + 1 + (whole.len() - begun.len());
    // All of it is below the text's length, which fits.
    Ok(Line {
        name: start as u32,
        name_end: name_end as u32,
        value: from as u32,
        value_end: (from + value.len()) as u32,
        field,
        is_plain: from == name_end + 2
            && begun.len() == value.len()
            && whole.first() == Some(&b' '),
    })
}

/// RFC 9112 §2.2: a bare CR is told apart, since it is a way to smuggle.
fn bad_value(value: &[u8]) -> LineFault {
    match value.contains(&b'\r') {
        true => LineFault::BareReturn,
        false => LineFault::Value,
    }
}

fn bad_name(name: &[u8]) -> LineFault {
    match name {
        [b' ' | b'\t', ..] => LineFault::Folded,
        [.., b' ' | b'\t'] => LineFault::SpaceAroundName,
        _ if name.contains(&b'\r') => LineFault::BareReturn,
        _ => LineFault::Name,
    }
}

/// Whether a name in lower case that has an underscore reads like no other field's.
pub(super) fn check_underscore(name: &[u8]) -> Result<(), LineFault> {
    let is = |known: &str| {
        name.len() == known.len()
            && name
                .iter()
                .zip(known.as_bytes())
                .all(|(a, b)| a == b || (*a == b'_' && *b == b'-'))
    };
    if name.starts_with(b"domicile_") || NOT_WITH_UNDERSCORE.iter().any(|known| is(known)) {
        return Err(LineFault::Underscore);
    }
    Ok(())
}

/// RFC 9110 §5.6.3: spaces and tabs alone.
fn trim_start(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    value
}

fn trim_end(mut value: &[u8]) -> &[u8] {
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Whether a name reads like no other field's (HTTP/2, whose library has read it).
///
/// # Errors
/// [`LineFault::Name`] where it is no token, [`LineFault::Underscore`].
pub fn check_name(name: &str) -> Result<(), LineFault> {
    if !name.bytes().all(is_token) {
        return Err(LineFault::Name);
    }
    match name.contains('_') {
        true => check_underscore(name.as_bytes()),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Fields, LineFault> {
        Fields::parse(text.as_bytes())
    }

    #[test]
    fn lines_are_read_and_written_as_they_came() {
        let text = "Host: a\r\nX-Long:\t two words \t\r\nx-empty:\r\nCookie: a=1\r\n\r\n";
        let fields = parse(text).unwrap();
        assert_eq!(fields.get("host").unwrap(), "a");
        assert_eq!(fields.get("x-long").unwrap(), "two words");
        assert_eq!(fields.get("x-empty").unwrap(), "");
        let mut out = bytes::BytesMut::new();
        fields.write(&mut out, super::super::FieldSet::default());
        let written = "host: a\r\nx-long: two words\r\nx-empty: \r\ncookie: a=1\r\n";
        assert_eq!(out, written.as_bytes());
        let again = parse(written).unwrap();
        assert_eq!(again, fields);
    }

    proptest::proptest! {
        #[test]
        fn what_is_read_in_one_walk_is_what_the_slower_reader_reads(
            text in "[aA_:x -]{0,3}[a-zA-Z0-9-]{0,20}[aA_:x .-]{0,3}:?[ \t]{0,2}([a~\t \u{e4}]{0,20}|[a\r\n\x7f\0\t ]{0,12})\r?\n.{0,3}",
            start in 0usize..9,
        ) {
            let mut quick = text.clone().into_bytes();
            let mut slow = text.into_bytes();
            quick.splice(0..0, std::iter::repeat_n(b'-', start));
            let read = Parted::read(&quick[start..]);
            let known = read_next(&mut slow, start);
            match read {
                Some(parted) => {
                    let (known, known_length) = known.unwrap().unwrap();
                    let line = parted.note(&mut quick, start);
                    proptest::prop_assert_eq!(line, known);
                    proptest::prop_assert_eq!(parted.length, known_length);
                    proptest::prop_assert_eq!(&quick[start..], &slow[..]);
                }
                None => {
                    let is_plain = matches!(&known, Ok(Some(_)));
                    proptest::prop_assert!(!is_plain || slow.contains(&b'_'));
                }
            }
        }
    }

    #[test]
    fn whatever_two_readers_could_read_in_two_ways_is_refused() {
        for (text, fault) in [
            ("a: 1\n", LineFault::BareLineFeed),
            ("a: 1\r2\r\n", LineFault::BareReturn),
            ("a\rb: 1\r\n", LineFault::BareReturn),
            (" a: 1\r\n", LineFault::Folded),
            ("a: 1\r\n b\r\n", LineFault::Folded),
            ("a : 1\r\n", LineFault::SpaceAroundName),
            (": 1\r\n", LineFault::Name),
            ("a\r\n", LineFault::Name),
            ("a\u{e4}: 1\r\n", LineFault::Name),
            ("a(b): 1\r\n", LineFault::Name),
            ("a: \0\r\n", LineFault::Value),
            ("a: \x7f\r\n", LineFault::Value),
            ("Content_Length: 1\r\n", LineFault::Underscore),
            ("DOMICILE_target: eu\r\n", LineFault::Underscore),
        ] {
            assert_eq!(parse(text).unwrap_err(), fault, "{text:?}");
        }
        assert!(parse("x_y: 1\r\n").is_ok());
        let many = "a: 1\r\n".repeat(MOST_FIELDS);
        assert!(parse(&many).is_ok());
        let fault = parse(&(many + "a: 1\r\n")).unwrap_err();
        assert_eq!(fault, LineFault::TooMany);
    }
}
