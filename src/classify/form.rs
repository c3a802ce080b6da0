//! Forms (`application/x-www-form-urlencoded`; WHATWG URL §5) as the JSON object that they mean, to
//! be classified; what is sent on is the form as it came.
//!
//! Readers of forms differ more than readers of JSON: of two fields of one name some take the first,
//! some the last, some both; `a[b]` is a name, or `b` in `a`; a `;` parts fields, or does not. What two
//! of them would read as two records is refused.

mod tree;

use tree::Tree;

/// Why a form is refused, and where. Holds and prints no byte of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}, in the field at byte {offset} of the form")]
pub struct FormFault {
    /// Bytes from the start of the body to that of the field.
    pub offset: usize,
    pub kind: FormFaultKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum FormFaultKind {
    #[error("a `%` without two hexadecimal digits")]
    Escape,
    #[error("not UTF-8")]
    Utf8,
    #[error("a blank, a control character, or one that is not ASCII: it has to be percent-encoded")]
    Bare,
    #[error("a `;`, at which some readers part fields: write %3B")]
    Semicolon,
    #[error("no name")]
    NoName,
    #[error(
        "a name with a quote, a blank at its start or end, a control character, or `!` before it"
    )]
    Name,
    #[error("a name with brackets that are not `name[part][part]`")]
    Brackets,
    #[error("a name of more than 6 parts, of which some readers make others")]
    TooDeep,
    #[error("more than 1000 fields, of which some readers take the first 1000 alone")]
    TooMany,
    #[error(
        "a name that stands twice, or differs from another in its letters' case or in `.`, blank and `_` alone"
    )]
    Twice,
    #[error("a name that is one value here and several in another field")]
    ValueAndParts,
    #[error("a telephone number behind a bare `+`, which forms read as a blank: write %2B")]
    BarePlus,
    #[error("`_method`, which makes another request of this one for some frameworks")]
    Method,
    #[error("`_charset_` of another encoding than UTF-8")]
    Charset,
}

/// Parts of a name, as `a[b][c]` has three: what Express reads as parts.
const DEEPEST: usize = 6;
/// Fields that PHP and Express read, and let the rest go.
const MOST: usize = 1000;
/// Digits of the shortest number that may be a telephone's.
const TELEPHONE: usize = 5;

/// The object that a form means: `a[b]` is `b` in `a`; `a[]` and `a[0]` are elements of the array `a`;
/// every value is a text. An empty form is an empty object.
///
/// # Errors
/// What readers of forms would not agree on, the first of it.
pub fn as_json(form: &[u8]) -> Result<Vec<u8>, FormFault> {
    let mut tree = Tree::default();
    let (mut offset, mut fields) = (0, 0);
    for field in form.split(|b| *b == b'&') {
        if !field.is_empty() {
            fields += 1;
            if fields > MOST {
                let kind = FormFaultKind::TooMany;
                return Err(FormFault { offset, kind });
            }
            take(field, &mut tree).map_err(|kind| FormFault { offset, kind })?;
        }
        offset += field.len() + 1;
    }
    Ok(tree.into_json())
}

fn take(field: &[u8], tree: &mut Tree) -> Result<(), FormFaultKind> {
    if field.contains(&b';') {
        return Err(FormFaultKind::Semicolon);
    }
    let mut halves = field.splitn(2, |b| *b == b'=');
    let name = decode(halves.next().unwrap_or_default())?;
    let raw = halves.next().unwrap_or_default();
    let value = decode(raw)?;
    let parts = parts(&name)?;
    if tree::careless(&name) == "_method" {
        return Err(FormFaultKind::Method);
    }
    if name.eq_ignore_ascii_case("_charset_") && !value.eq_ignore_ascii_case("utf-8") {
        return Err(FormFaultKind::Charset);
    }
    if raw.contains(&b'+') && is_telephone_behind_a_blank(&value) {
        return Err(FormFaultKind::BarePlus);
    }
    tree.put(&parts, value)
}

/// ` 49 30 901820`, which was `+49…`.
fn is_telephone_behind_a_blank(value: &str) -> bool {
    let number = value.trim_start_matches(['(', ' ']);
    let has_blank = value
        .strip_suffix(number)
        .is_some_and(|before| before.contains(' '));
    let is_number = |c: char| c.is_ascii_digit() || " -/.()".contains(c);
    has_blank
        && number.chars().all(is_number)
        && number.chars().filter(char::is_ascii_digit).count() >= TELEPHONE
}

/// `a[b][c]` in its parts.
fn parts(name: &str) -> Result<Vec<&str>, FormFaultKind> {
    if name.is_empty() {
        return Err(FormFaultKind::NoName);
    }
    let (first, rest) = name.split_at(name.find('[').unwrap_or(name.len()));
    let mut parts = vec![first];
    let mut rest = rest;
    while !rest.is_empty() {
        let inside = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let (part, after) = inside.ok_or(FormFaultKind::Brackets)?;
        parts.push(part);
        rest = after;
    }
    if first.is_empty() || parts.iter().any(|part| part.contains(['[', ']'])) {
        return Err(FormFaultKind::Brackets);
    }
    if parts.len() > DEEPEST {
        return Err(FormFaultKind::TooDeep);
    }
    // Spring takes quotes off, and `!a` for the `a` that is missing.
    let is_clean = |part: &&str| {
        part.trim() == *part && !part.contains(|c: char| c.is_control() || c == '\'' || c == '"')
    };
    match parts.iter().all(is_clean) && !first.starts_with('!') {
        true => Ok(parts),
        false => Err(FormFaultKind::Name),
    }
}

/// A name or a value as it is meant.
fn decode(text: &[u8]) -> Result<String, FormFaultKind> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || rest.next().and_then(|b| char::from(*b).to_digit(16));
                let (high, low) = digit().zip(digit()).ok_or(FormFaultKind::Escape)?;
                u8::try_from(high * 16 + low).map_err(|_| FormFaultKind::Escape)?
            }
            0x21..=0x7e => *byte,
            _ => return Err(FormFaultKind::Bare),
        });
    }
    String::from_utf8(bytes).map_err(|_| FormFaultKind::Utf8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(form: &str) -> Result<String, FormFaultKind> {
        let json = as_json(form.as_bytes()).map_err(|fault| fault.kind)?;
        Ok(String::from_utf8(json).unwrap())
    }

    #[test]
    fn a_form_is_the_object_that_it_means() {
        for (form, json) in [
            ("", "{}"),
            ("&&", "{}"),
            ("a=1&b=x+y&c=%26%3D%2B", r#"{"a":"1","b":"x y","c":"&=+"}"#),
            ("a&b=", r#"{"a":"","b":""}"#),
            ("a=b=c", r#"{"a":"b=c"}"#),
            ("a=%22%5C%0D%0A", r#"{"a":"\"\\\r\n"}"#),
            ("n=J%C3%BCrgen", r#"{"n":"Jürgen"}"#),
            ("e=asha@example.in", r#"{"e":"asha@example.in"}"#),
            ("a[b]=1&a%5Bc%5D=2", r#"{"a":{"b":"1","c":"2"}}"#),
            ("a[]=1&a[]=2", r#"{"a":["1","2"]}"#),
            (
                "a[0][b]=1&a[1][b]=2&a[0][c]=3",
                r#"{"a":[{"b":"1","c":"3"},{"b":"2"}]}"#,
            ),
            (
                "a.b=1&_charset_=UTF-8",
                r#"{"_charset_":"UTF-8","a.b":"1"}"#,
            ),
            ("t=+49", r#"{"t":" 49"}"#),
            ("t=+5+apples+and+12345", r#"{"t":" 5 apples and 12345"}"#),
            ("t=%2B4930901820", r#"{"t":"+4930901820"}"#),
        ] {
            assert_eq!(read(form).as_deref(), Ok(json), "{form}");
        }
    }

    #[test]
    fn what_readers_would_not_agree_on_is_refused() {
        use FormFaultKind as Kind;
        for (form, kind) in [
            ("a=1&a=2", Kind::Twice),
            ("a=1&a=1", Kind::Twice),
            ("country=DE&Country=CN", Kind::Twice),
            ("home_country=DE&home.country=CN", Kind::Twice),
            ("home_country=DE&home+country=CN", Kind::Twice),
            ("a[b]=1&a[B]=2", Kind::Twice),
            ("a[b]=1&A[c]=2", Kind::Twice),
            ("a[0]=1&a[0]=2", Kind::Twice),
            ("a=1&a[b]=2", Kind::ValueAndParts),
            ("a[b]=1&a=2", Kind::ValueAndParts),
            ("a[b]=1&a[]=2", Kind::ValueAndParts),
            ("a[]=1&a[b]=2", Kind::ValueAndParts),
            ("a[0]=1&a[0][b]=2", Kind::ValueAndParts),
            ("a=1;b=2", Kind::Semicolon),
            ("a=%f", Kind::Escape),
            ("a=%zz", Kind::Escape),
            ("a=%", Kind::Escape),
            ("a=%ff", Kind::Utf8),
            ("a=ü", Kind::Bare),
            ("a=x y", Kind::Bare),
            ("a=1\r\n", Kind::Bare),
            ("=1", Kind::NoName),
            ("=", Kind::NoName),
            ("+a=1", Kind::Name),
            ("a+=1", Kind::Name),
            ("a%00=1", Kind::Name),
            ("a[+b]=1", Kind::Name),
            ("a[b=1", Kind::Brackets),
            ("a[b]c=1", Kind::Brackets),
            ("a]=1", Kind::Brackets),
            ("[a]=1", Kind::Brackets),
            ("a[[b]]=1", Kind::Brackets),
            ("phone=+4917012345678", Kind::BarePlus),
            ("phone=(+49)+30+901820", Kind::BarePlus),
            ("_Method=DELETE", Kind::Method),
            (".method=DELETE", Kind::Method),
            ("address[%27country%27]=CN", Kind::Name),
            ("address[\"country\"]=CN", Kind::Name),
            ("!country=CN", Kind::Name),
            ("_charset_=windows-1252", Kind::Charset),
        ] {
            assert_eq!(read(form), Err(kind), "{form}");
        }
        let deep = format!("a{}=1", "[b]".repeat(DEEPEST));
        assert_eq!(read(&deep), Err(Kind::TooDeep));
        let many: Vec<String> = (0..=MOST).map(|i| format!("a{i}=1")).collect();
        assert_eq!(read(&many.join("&")), Err(Kind::TooMany));
        assert!(read(&many[1..].join("&")).is_ok());
    }

    #[test]
    fn the_place_is_that_of_the_field() {
        let fault = as_json(b"a=1&&bb=%").unwrap_err();
        assert_eq!(fault.offset, 5);
        assert!(!fault.to_string().contains("bb"));
    }

    proptest! {
        /// Whatever is taken is one JSON object whose texts are those of the form.
        #[test]
        fn a_form_is_refused_or_an_object(form in "[ab_.\\[\\]0=&%+;A]{0,40}") {
            if let Ok(json) = as_json(form.as_bytes()) {
                let read: serde_json::Value = serde_json::from_slice(&json).unwrap();
                prop_assert!(read.is_object());
            }
        }

        #[test]
        fn any_text_comes_through(value in "\\PC{0,20}") {
            let encoded: String = value.bytes().map(|b| format!("%{b:02X}")).collect();
            let json = as_json(format!("a={encoded}").as_bytes()).unwrap();
            let read: serde_json::Value = serde_json::from_slice(&json).unwrap();
            prop_assert_eq!(read["a"].as_str(), Some(value.as_str()));
        }
    }
}
