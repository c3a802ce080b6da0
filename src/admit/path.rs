//! Path templates and the percent-encoding of what they capture (RFC 3986).

use std::borrow::Cow;

use smallvec::SmallVec;

use crate::settings::{PathTemplate, Segment};

/// What a template's names captured, still percent-encoded, in the template's order.
pub type Captures<'a> = SmallVec<[&'a str; 2]>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathFault {
    #[error(
        "the path has a `.` or `..` segment, also in percent-encoding; send the path that is meant"
    )]
    DotSegment,
    #[error("the path holds a percent sign that is not followed by two hexadecimal digits")]
    Escape,
    #[error(
        "the path holds an encoded slash, a backslash, a control character or bytes that are not UTF-8"
    )]
    Character,
}

/// Refuses paths that two readers could take for two different resources: servlet containers
/// drop `;…` from a segment before they resolve dots, others read a backslash as a slash.
pub fn check(path: &str) -> Result<(), PathFault> {
    if !path.bytes().any(|b| matches!(b, b'%' | b'.' | b'\\')) {
        return Ok(());
    }
    for segment in path.split('/') {
        let decoded = decode(segment)?;
        if decoded.contains('\\') {
            return Err(PathFault::Character);
        }
        let name = decoded.split(';').next().unwrap_or_default();
        if matches!(name, "." | "..") {
            return Err(PathFault::DotSegment);
        }
    }
    Ok(())
}

/// A segment, or several, without percent-encoding, in which no slash may be hidden. Allocates only
/// where there is any.
pub fn decode(segment: &str) -> Result<Cow<'_, str>, PathFault> {
    unescape(segment, |byte| byte == b'/')
}

/// A value of a query without percent-encoding: there a slash is like any other character (RFC 3986
/// §3.4).
pub fn decode_value(value: &str) -> Result<Cow<'_, str>, PathFault> {
    unescape(value, |_| false)
}

fn unescape(text: &str, is_wrong: impl Fn(u8) -> bool) -> Result<Cow<'_, str>, PathFault> {
    if !text.contains('%') {
        return Ok(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
        let (Some(high), Some(low)) = (digit(rest.next()), digit(rest.next())) else {
            return Err(PathFault::Escape);
        };
        let byte = u8::try_from(high * 16 + low).map_err(|_| PathFault::Escape)?;
        if is_wrong(byte) || byte < 0x20 || byte == 0x7f {
            return Err(PathFault::Character);
        }
        bytes.push(byte);
    }
    String::from_utf8(bytes)
        .map(Cow::Owned)
        .map_err(|_| PathFault::Character)
}

/// Whether a segment is a template's literal one: an escape stands for its character (RFC 3986
/// §6.2.2.2).
pub fn is_same(literal: &str, segment: &str) -> bool {
    literal == segment || decoded(literal, segment).is_some_and(|(one, two)| one == two)
}

/// The same, of letters of either case.
pub fn is_alike(literal: &str, segment: &str) -> bool {
    literal.eq_ignore_ascii_case(segment)
        || decoded(literal, segment).is_some_and(|(one, two)| one.eq_ignore_ascii_case(&two))
}

/// Both without their escapes, if there are any.
fn decoded<'s>(one: &'s str, two: &'s str) -> Option<(Cow<'s, str>, Cow<'s, str>)> {
    if !one.contains('%') && !two.contains('%') {
        return None;
    }
    Some((decode(one).ok()?, decode(two).ok()?))
}

impl PathTemplate {
    /// What the names capture if `path` fits; names never capture nothing.
    pub fn capture<'a>(&self, path: &'a str) -> Option<Captures<'a>> {
        self.capture_by(path, is_same)
    }

    /// The same, where `is_literal` says whether a segment is the literal one.
    pub fn capture_by<'a>(
        &self,
        path: &'a str,
        mut is_literal: impl FnMut(&str, &str) -> bool,
    ) -> Option<Captures<'a>> {
        let mut rest = path.strip_prefix('/')?;
        let mut captures = Captures::new();
        let mut ended = false;
        for segment in &self.segments {
            if ended {
                return None;
            }
            if let Segment::Rest(_) = segment {
                return (!rest.is_empty()).then(|| {
                    captures.push(rest);
                    captures
                });
            }
            let slash = rest.bytes().position(|b| b == b'/');
            let parts = slash.and_then(|at| Some((rest.get(..at)?, rest.get(at + 1..)?)));
            let (head, tail) = match parts {
                Some(parts) => parts,
                None => {
                    ended = true;
                    (rest, "")
                }
            };
            match segment {
                Segment::Literal(text) if is_literal(text, head) => {}
                Segment::Name(_) if !head.is_empty() => captures.push(head),
                Segment::Literal(_) | Segment::Name(_) | Segment::Rest(_) => return None,
            }
            rest = tail;
        }
        (ended || (self.segments.is_empty() && rest.is_empty())).then_some(captures)
    }

    /// Which capture a name stands for.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.segments
            .iter()
            .filter_map(|s| match s {
                Segment::Name(n) | Segment::Rest(n) => Some(n),
                Segment::Literal(_) => None,
            })
            .position(|n| n == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(text: &str) -> PathTemplate {
        let segments = text
            .split('/')
            .skip(1)
            .map(
                |s| match s.strip_prefix('{').and_then(|s| s.strip_suffix('}')) {
                    Some(name) => match name.strip_suffix("...") {
                        Some(name) => Segment::Rest(name.to_owned()),
                        None => Segment::Name(name.to_owned()),
                    },
                    None => Segment::Literal(s.to_owned()),
                },
            )
            .collect();
        PathTemplate {
            text: text.to_owned(),
            segments,
        }
    }

    #[test]
    fn templates_capture_whole_segments() {
        let people = template("/people/{subject}");
        assert_eq!(
            people.capture("/people/p-1").expect("fits").as_slice(),
            ["p-1"]
        );
        for path in [
            "/people",
            "/people/",
            "/people/a/b",
            "/people/a/",
            "/persons/a",
            "people/a",
        ] {
            assert_eq!(people.capture(path), None, "{path}");
        }
        let files = template("/files/{subject}/{name...}");
        assert_eq!(
            files.capture("/files/p/a/b.png").expect("fits").as_slice(),
            ["p", "a/b.png"]
        );
        assert_eq!(files.capture("/files/p/"), None);
        assert_eq!(files.position("name"), Some(1));
        assert!(template("/people").capture("/people").is_some());
        assert_eq!(template("/people").capture("/people/"), None);
    }

    #[test]
    fn an_escaped_letter_of_a_literal_is_that_letter() {
        for (text, path, fits) in [
            ("/people/{id}", "/%70eople/a", true),
            ("/people/{id}", "/p%65opl%65/%61", true),
            ("/people/{id}", "/%50eople/a", false),
            ("/people/{id}", "/%2570eople/a", false),
            ("/%70eople/{id}", "/people/a", true),
            ("/a%20b/{id}", "/a%20b/c", true),
        ] {
            assert_eq!(
                template(text).capture(path).is_some(),
                fits,
                "{text} {path}"
            );
        }
        assert!(is_alike("people", "%50EOPLE") && !is_alike("people", "person"));
    }

    #[test]
    fn paths_with_two_readings_are_refused() {
        for (path, fault) in [
            ("/people/../files/a", PathFault::DotSegment),
            ("/people/%2e%2E/a", PathFault::DotSegment),
            ("/people/.", PathFault::DotSegment),
            ("/files/a/..;/b/c", PathFault::DotSegment),
            ("/files/a/%2e%2e%3Bx=1/b/c", PathFault::DotSegment),
            ("/files/a/..\\b", PathFault::Character),
            ("/files/a/%5Cb", PathFault::Character),
            ("/people/a%2Fb", PathFault::Character),
            ("/people/a%00", PathFault::Character),
            ("/people/%ff", PathFault::Character),
            ("/people/%4", PathFault::Escape),
            ("/people/%zz", PathFault::Escape),
        ] {
            assert_eq!(check(path), Err(fault), "{path}");
        }
        for path in [
            "/people/a.b",
            "/people/..a",
            "/people/J%C3%BCrgen",
            "/a;v=1.0",
        ] {
            assert_eq!(check(path), Ok(()), "{path}");
        }
        assert_eq!(decode("J%C3%BCrgen").as_deref(), Ok("Jürgen"));
    }
}
