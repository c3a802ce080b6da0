use super::{PathTemplate, Segment};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("`{0}` must start with `/`")]
    NoSlash(String),
    #[error("`{0}` has an empty segment: write one `/` at a time")]
    EmptySegment(String),
    #[error(
        "`{0}`: write `{{name}}` for a whole segment, or `{{name...}}` for the rest of the path; names are letters, digits and `_`"
    )]
    Braces(String),
    #[error("`{{{0}...}}` takes the rest of the path and must come last")]
    RestNotLast(String),
    #[error("the name `{0}` stands twice in the path")]
    NameTwice(String),
    #[error(
        "`{0}` is no path segment of a request: `.` and `..`, a `;` and what stands for a slash, a backslash or a control character are refused, and other than letters, digits and -._~!$&'()*+,=:@ is written %XX"
    )]
    Literal(String),
}

impl PathTemplate {
    /// `/people/{subject}`, `/files/{subject}/{path...}`. The segments are what stands between
    /// the `/`s after the first, so that `/` alone and a `/` at the end give an empty literal.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let rest = text
            .strip_prefix('/')
            .ok_or_else(|| TemplateError::NoSlash(text.to_owned()))?;
        let mut segments: Vec<Segment> = Vec::new();
        let mut parts = rest.split('/').peekable();
        while let Some(part) = parts.next() {
            let last = parts.peek().is_none();
            let segment = segment(part)?;
            match &segment {
                Segment::Literal(literal) if literal.is_empty() && !last => {
                    return Err(TemplateError::EmptySegment(text.to_owned()));
                }
                Segment::Rest(name) if !last => {
                    return Err(TemplateError::RestNotLast(name.clone()));
                }
                _ => {}
            }
            if let Some(name) = segment.name()
                && segments.iter().any(|s| s.name() == Some(name))
            {
                return Err(TemplateError::NameTwice(name.to_owned()));
            }
            segments.push(segment);
        }
        Ok(Self {
            text: text.to_owned(),
            segments,
        })
    }

    /// The names in the order of the path.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(Segment::name)
    }

    /// Whether both templates match the same paths: names do not matter.
    pub fn same_shape(&self, other: &Self) -> bool {
        let same = |pair: (&Segment, &Segment)| match pair {
            (Segment::Literal(a), Segment::Literal(b)) => a == b,
            (Segment::Name(_), Segment::Name(_)) | (Segment::Rest(_), Segment::Rest(_)) => true,
            _ => false,
        };
        self.segments.len() == other.segments.len()
            && self.segments.iter().zip(&other.segments).all(same)
    }
}

impl Segment {
    /// The name, unless the segment is literal.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Literal(_) => None,
            Self::Name(name) | Self::Rest(name) => Some(name),
        }
    }
}

fn segment(text: &str) -> Result<Segment, TemplateError> {
    if !text.contains(['{', '}']) {
        return match is_literal(text) {
            true => Ok(Segment::Literal(text.to_owned())),
            false => Err(TemplateError::Literal(text.to_owned())),
        };
    }
    let braces = || TemplateError::Braces(text.to_owned());
    let inner = text
        .strip_prefix('{')
        .and_then(|t| t.strip_suffix('}'))
        .ok_or_else(braces)?;
    let (name, is_rest) = match inner.strip_suffix("...") {
        Some(name) => (name, true),
        None => (inner, false),
    };
    let sound = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    match (sound, is_rest) {
        (false, _) => Err(braces()),
        (true, true) => Ok(Segment::Rest(name.to_owned())),
        (true, false) => Ok(Segment::Name(name.to_owned())),
    }
}

/// RFC 3986 §3.3 `segment`, without what each request is refused for, so that no route stands there
/// that none can ever match: dot segments, parameters behind a `;`, and escapes that two servers could
/// read as two paths.
fn is_literal(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@".contains(&b);
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            if !plain(byte) {
                return false;
            }
            decoded.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return false;
        };
        let byte = u8::try_from(high * 16 + low).unwrap_or_default();
        if byte < 0x20 || matches!(byte, b'/' | b'\\' | 0x7f) {
            return false;
        }
        decoded.push(byte);
    }
    let decoded = String::from_utf8(decoded);
    decoded.is_ok_and(|name| !matches!(name.split(';').next(), Some("." | "..")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_taken_apart() {
        let template = PathTemplate::parse("/files/{subject}/{path...}").expect("sound");
        assert_eq!(
            template.segments,
            [
                Segment::Literal("files".into()),
                Segment::Name("subject".into()),
                Segment::Rest("path".into())
            ]
        );
        assert_eq!(template.names().collect::<Vec<_>>(), ["subject", "path"]);
        let root = PathTemplate::parse("/").expect("sound");
        assert_eq!(root.segments, [Segment::Literal(String::new())]);
    }

    #[test]
    fn what_could_be_read_two_ways_is_refused() {
        use TemplateError::*;
        for (text, error) in [
            ("people", NoSlash("people".into())),
            ("", NoSlash("".into())),
            ("/a//b", EmptySegment("/a//b".into())),
            ("/{a}b", Braces("{a}b".into())),
            ("/{}", Braces("{}".into())),
            ("/{a-b}", Braces("{a-b}".into())),
            ("/{a}}", Braces("{a}}".into())),
            ("/{...}", Braces("{...}".into())),
            ("/{a...}/b", RestNotLast("a".into())),
            ("/{a}/x/{a}", NameTwice("a".into())),
            ("/{a}/{a...}", NameTwice("a".into())),
            ("/a/../b", Literal("..".into())),
            ("/a?b", Literal("a?b".into())),
            ("/%2", Literal("%2".into())),
            ("/a;b/{x}", Literal("a;b".into())),
            ("/a%2Fb/{x}", Literal("a%2Fb".into())),
            ("/a%5cb/{x}", Literal("a%5cb".into())),
            ("/%00", Literal("%00".into())),
            ("/%2e%2e", Literal("%2e%2e".into())),
            ("/%fc", Literal("%fc".into())),
            ("/ä", Literal("ä".into())),
        ] {
            assert_eq!(PathTemplate::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn escapes_that_have_one_reading_stand() {
        for text in ["/%3B", "/a%3bb", "/M%C3%BCller", "/%70eople", "/..."] {
            assert!(PathTemplate::parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn names_do_not_change_the_shape() {
        let parse = |text| PathTemplate::parse(text).expect(text);
        assert!(parse("/a/{x}").same_shape(&parse("/a/{y}")));
        assert!(!parse("/a/{x}").same_shape(&parse("/a/{x...}")));
        assert!(!parse("/a/{x}").same_shape(&parse("/a/x")));
        assert!(!parse("/a").same_shape(&parse("/a/")));
    }
}
