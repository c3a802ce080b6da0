//! Field lines (RFC 9112 §5, RFC 9110 §5).

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use memchr::memchr;

use super::{fault::HeadFault, line::is_token};

/// Fields that the router goes by, which nobody may send in a spelling that a gateway behind it
/// (CGI, WSGI) would read as the same field.
const NOT_WITH_UNDERSCORE: [&str; 12] = [
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
    "proxy-authorization",
    "x-real-ip",
];

/// Parses lines that each end in CR LF, the last empty one included or not. Values are not
/// copied: they keep `lines` alive.
pub fn parse(lines: &Bytes, fields: &mut HeaderMap) -> Result<(), HeadFault> {
    each(lines, |name, value| {
        let appended = fields.try_append(name, value);
        appended.map(|_| ()).map_err(|_| HeadFault::TooMany)
    })
}

/// Hands each field of such lines to `take`, as far as it takes them.
#[inline]
pub fn each(
    lines: &Bytes,
    mut take: impl FnMut(HeaderName, HeaderValue) -> Result<(), HeadFault>,
) -> Result<(), HeadFault> {
    let mut at = 0;
    loop {
        let rest = lines.get(at..).unwrap_or_default();
        let Some(end) = memchr(b'\n', rest) else {
            return Ok(());
        };
        let line = rest.get(..end).unwrap_or_default();
        let line = line.strip_suffix(b"\r").ok_or(HeadFault::BareLineFeed)?;
        at += end + 1;
        if line.is_empty() {
            return Ok(());
        }
        let (name, value) = split(line)?;
        let value = match value {
            // `slice_ref` would have nothing to point to.
            b"" => HeaderValue::from_static(""),
            value => HeaderValue::from_maybe_shared(lines.slice_ref(value))
                .map_err(|_| bad_value(value))?,
        };
        take(name, value)?;
    }
}

/// RFC 9112 §2.2: a bare CR is told apart, since it is a way to smuggle.
fn bad_value(value: &[u8]) -> HeadFault {
    if value.contains(&b'\r') {
        HeadFault::BareReturn
    } else {
        HeadFault::FieldValue
    }
}

fn split(line: &[u8]) -> Result<(HeaderName, &[u8]), HeadFault> {
    let colon = memchr(b':', line);
    let (name, value) = match colon.and_then(|at| line.split_at_checked(at)) {
        Some(parts) if !parts.0.is_empty() => parts,
        _ if matches!(line, [b' ' | b'\t', ..]) => return Err(HeadFault::Folded),
        _ => return Err(HeadFault::FieldName),
    };
    let name = HeaderName::from_bytes(name).map_err(|_| bad_name(name))?;
    check_name(&name)?;
    let value = value.get(1..).unwrap_or_default();
    Ok((name, trim(value)))
}

/// Whether a name is a token that reads like no other field's. `HeaderName` takes some that are no
/// tokens.
pub fn check_name(name: &HeaderName) -> Result<(), HeadFault> {
    let name = name.as_str();
    if !name.bytes().all(is_token) {
        return Err(HeadFault::FieldName);
    }
    if name.contains('_') {
        check_underscore(name)?;
    }
    Ok(())
}

fn bad_name(name: &[u8]) -> HeadFault {
    match name {
        [b' ' | b'\t', ..] => HeadFault::Folded,
        [.., b' ' | b'\t'] => HeadFault::SpaceAroundName,
        _ if name.contains(&b'\r') => HeadFault::BareReturn,
        _ => HeadFault::FieldName,
    }
}

fn check_underscore(name: &str) -> Result<(), HeadFault> {
    let is = |known: &str| {
        name.len() == known.len()
            && name
                .bytes()
                .zip(known.bytes())
                .all(|(a, b)| a == b || (a == b'_' && b == b'-'))
    };
    let is_own = name
        .get(.."domicile-".len())
        .is_some_and(|start| start == "domicile_");
    if is_own || NOT_WITH_UNDERSCORE.iter().any(|known| is(known)) {
        return Err(HeadFault::Underscore);
    }
    Ok(())
}

/// Without the optional white space around it (RFC 9110 §5.6.3): spaces and tabs alone.
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// The elements of a list of tokens; empty ones are passed over (RFC 9110 §5.6.1.2). `None` where
/// something else than a token stands.
pub fn tokens(value: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    value
        .split(|b| *b == b',')
        .map(trim)
        .filter(|element| !element.is_empty())
        .map(|element| element.iter().all(|b| is_token(*b)).then_some(element))
}
