//! The path as servers read it that fold it: they drop empty segments and a slash at the end, cut
//! segments off at a `;`, and take letters of either case for the same. What is judged by one reading
//! must not be stored by the other.

use std::sync::Arc;

use super::path::{Captures, decode, is_alike};
use crate::{
    classify::ValueSource,
    settings::{Format, PathTemplate, Route, Segment},
};

/// A path that a folding server would read as one that is judged otherwise.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FoldFault {
    #[error(
        "as it stands the path is of the route `{raw}`, and {} to a server that drops empty segments, \
         slashes at the end and what follows a `;`, and does not look at the case of letters; send the \
         path that is meant, spelt as its route is, and percent-encode a `;` that belongs to a name",
        match .folded { Some(route) => format!("of `{route}`"), None => "of no route".to_owned() }
    )]
    Route {
        raw: Arc<str>,
        folded: Option<Arc<str>>,
    },
    #[error(
        "the path holds one value of `{0}` as it stands, and another to a server that drops empty \
         segments, slashes at the end and what follows a `;`; send it without them, and percent-encode \
         a `;` that belongs to the value"
    )]
    Value(String),
}

/// Whether a server that folds could read another path, letter case aside. One look over its bytes.
pub fn may_change(path: &str) -> bool {
    let mut before = 0;
    let is_odd = path.bytes().fold(false, |found, byte| {
        let is_odd = byte == b';' || (byte == b'/' && before == b'/');
        before = byte;
        found | is_odd
    });
    is_odd || (before == b'/' && path.len() > 1)
}

/// Without what follows a `;` in a segment, without empty segments, without a slash at the end. Escapes
/// stay: an escaped `;` is part of a name.
pub fn fold(path: &str) -> String {
    let mut folded = String::with_capacity(path.len());
    for segment in path.split('/') {
        let name = segment.split(';').next().unwrap_or_default();
        if !name.is_empty() {
            folded.push('/');
            folded.push_str(name);
        }
    }
    if folded.is_empty() {
        folded.push('/');
    }
    folded
}

impl PathTemplate {
    /// What the names capture of a [folded](fold) path, letters of either case being the same.
    pub fn capture_folded<'a>(&self, path: &'a str) -> Option<Captures<'a>> {
        match self.segments.as_slice() {
            // A slash at the end of the template is dropped, too.
            [rest @ .., Segment::Literal(last)] if last.is_empty() && !rest.is_empty() => {
                let segments = rest.to_vec();
                let text = String::new();
                Self { text, segments }.capture_by(path, is_alike)
            }
            _ => self.capture_by(path, is_alike),
        }
    }

    /// Whether one is the other to a server that folds: whoever writes both tells them apart.
    fn folds_alike(&self, other: &Self) -> bool {
        let last = |s: &&Segment| !matches!(s, Segment::Literal(text) if text.is_empty());
        let ours: Vec<_> = self.segments.iter().filter(last).collect();
        let theirs: Vec<_> = other.segments.iter().filter(last).collect();
        let same = |(one, two): (&&Segment, &&Segment)| match (one, two) {
            (Segment::Literal(one), Segment::Literal(two)) => is_alike(one, two),
            (Segment::Name(_), Segment::Name(_)) | (Segment::Rest(_), Segment::Rest(_)) => true,
            _ => false,
        };
        ours.len() == theirs.len() && ours.iter().zip(&theirs).all(same)
    }
}

/// Whether the folded path, of which `found` is the first route that takes it, is judged as the path
/// itself is by `route`, which captured `captures`.
///
/// # Errors
/// Another route takes it, or none; or one of the values that the route goes by is another one.
pub fn check(
    route: &Route,
    captures: &Captures<'_>,
    found: Option<(&Route, Captures<'_>)>,
) -> Result<(), FoldFault> {
    let folded = match found {
        Some((other, folded)) if route.path.folds_alike(&other.path) => folded,
        other => {
            return Err(FoldFault::Route {
                raw: Arc::clone(&route.name),
                folded: other.map(|(other, _)| Arc::clone(&other.name)),
            });
        }
    };
    for ((name, raw), folded) in route.path.names().zip(captures).zip(&folded) {
        if decode(raw) != decode(folded) && goes_by(route, name) {
            return Err(FoldFault::Value(name.to_owned()));
        }
    }
    Ok(())
}

/// Whether a capture says something of whose record it is, of where it belongs, or of what is asked
/// for. In bulk requests the index chooses the rules.
fn goes_by(route: &Route, name: &str) -> bool {
    let evidence = route
        .subject
        .iter()
        .chain(&route.country)
        .chain(&route.born);
    let mut sources = evidence.chain(route.steering.sources());
    route.format == Format::Bulk
        || sources.any(|source| matches!(source, ValueSource::Path(own) if own == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_folds_is_seen_and_folded() {
        for (path, folded) in [
            ("//people/alice", "/people/alice"),
            ("/people/alice/", "/people/alice"),
            ("/people;x=1/alice;y", "/people/alice"),
            ("/;x/people//alice//", "/people/alice"),
            ("//", "/"),
            ("/;x", "/"),
        ] {
            assert!(may_change(path), "{path}");
            assert_eq!(fold(path), folded, "{path}");
        }
        for path in ["/", "/people/a%3Bb", "/People/a.b", "/a"] {
            assert!(!may_change(path), "{path}");
            assert_eq!(fold(path), path);
        }
    }

    #[test]
    fn templates_take_folded_paths() {
        let fits = |text: &str, path| {
            let template = PathTemplate::parse(text).unwrap();
            template.capture_folded(path).is_some()
        };
        assert!(fits("/people/", "/people") && fits("/", "/") && fits("/A/{x}", "/%61/b"));
        assert!(!fits("/people/{x}/", "/people") && !fits("/people/", "/"));
        let alike = |one: &str, two: &str| {
            let parse = |text| PathTemplate::parse(text).unwrap();
            parse(one).folds_alike(&parse(two))
        };
        assert!(alike("/A/{x}", "/a/{y}/") && alike("/", "/"));
        assert!(!alike("/a/{x}", "/a/{x...}") && !alike("/a/b", "/a/{x}"));
    }
}
