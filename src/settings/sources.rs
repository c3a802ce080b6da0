//! Where a route reads values from, and which sources make sense where.

use super::{Format, PathTemplate, routes::Surroundings};
use crate::{
    classify::ValueSource,
    document::{Faults, Node, suggest},
};

/// What a source is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// Whose record it is.
    Subject,
    /// Evidence of the person's country.
    Country,
    /// The person's day of birth.
    Birth,
    /// What a trusted caller wants of this request: a target, an operation.
    Wish,
    /// What a trusted caller, or its token, asserts: a purpose, a ground.
    Assertion,
}

/// A source in the route it is written in. The parts are absent where the route is too broken to
/// tell: nothing is then held against the source.
pub(super) struct Context<'a> {
    pub(super) path: Option<&'a PathTemplate>,
    pub(super) format: Option<Format>,
    pub(super) around: &'a Surroundings<'a>,
    pub(super) faults: &'a Faults,
}

impl Context<'_> {
    /// Reads one source and checks that it can give a value for `what` in this route.
    pub(super) fn source(&self, node: &Node, what: Use) -> Option<ValueSource> {
        let text = node.text(self.faults)?;
        let source = match ValueSource::parse(text) {
            Ok(source) => source,
            Err(error) => {
                self.faults.error(&node.at, error.to_string());
                return None;
            }
        };
        self.fits(&source, what, node);
        Some(source)
    }

    fn fits(&self, source: &ValueSource, what: Use, node: &Node) {
        let refuse = |message: String, hint: &str| {
            self.faults.error_hint(&node.at, message, hint);
        };
        match source {
            ValueSource::Path(name) if what != Use::Birth => self.names_a_segment(name, node),
            ValueSource::BulkId
                if what != Use::Subject || self.format.is_some_and(|f| f != Format::Bulk) =>
            {
                refuse(
                    format!("`{source}` is the subject of a route of format `bulk`"),
                    "write path:NAME, header:NAME, query:NAME, body:/json/pointer, or the like",
                );
            }
            ValueSource::Body(_) if self.format == Some(Format::Opaque) => refuse(
                format!("`{source}`: the body of an `opaque` route is not read"),
                "take it from path:, header: or query:, or change the format",
            ),
            ValueSource::Body(pointer) if what == Use::Subject && has_wildcard(pointer) => refuse(
                format!("`{source}`: a record has one subject"),
                "name one field, without `*`",
            ),
            ValueSource::Body(_) if matches!(what, Use::Wish | Use::Assertion) => refuse(
                format!("`{source}`: steering by the body is not supported yet"),
                "take it from header:, query: or path:",
            ),
            ValueSource::Body(_) | ValueSource::Path(_) | ValueSource::Query(_)
                if what == Use::Birth =>
            {
                refuse(
                    format!(
                        "`{source}`: a day of birth is read from a token, from a trusted caller's header, or by category"
                    ),
                    "write jwt:birthdate or header:NAME; a field of the body gets the category `user.demographic.date_of_birth` in the schema",
                );
            }
            ValueSource::Jwt(_) if what == Use::Birth && !self.around.has_jwt => refuse(
                format!("`{source}` needs a [jwt] section"),
                "add [jwt] with keys = \"jwks.json\" and audience = [\"…\"]",
            ),
            ValueSource::Jwt(_) if what == Use::Wish => refuse(
                format!("`{source}`: a token says who the caller is, not what it wants here"),
                "take it from header:, query: or path:",
            ),
            // As evidence of the country a claim counts once a key set is configured, so that one
            // file serves places with and without tokens; a subject has no second source.
            ValueSource::Jwt(_) if what == Use::Country && !self.around.has_jwt => {
                self.faults.warning(
                    &node.at,
                    format!("`{source}` is never evidence: there is no [jwt] section"),
                    Some("add [jwt] with keys = \"jwks.json\" and audience = [\"…\"]".to_owned()),
                );
            }
            ValueSource::Jwt(_) if what == Use::Assertion => refuse(
                format!("`{source}`: assertions by token are not supported yet"),
                "take it from header:, query: or path:",
            ),
            ValueSource::Jwt(_) if what == Use::Subject && !self.around.has_jwt => refuse(
                format!("`{source}` needs a [jwt] section"),
                "add [jwt] with keys = \"jwks.json\" and audience = [\"…\"]",
            ),
            ValueSource::Pinned | ValueSource::Network if what != Use::Country => refuse(
                format!("`{source}` is evidence of a country and of nothing else"),
                "write path:NAME, header:NAME, query:NAME, or the like",
            ),
            ValueSource::Network if !self.around.has_network => self.faults.warning(
                &node.at,
                "`network` is never evidence: geoip.database is \"off\"",
                None,
            ),
            _ => {}
        }
    }

    fn names_a_segment(&self, name: &str, node: &Node) {
        let Some(path) = self.path else { return };
        if path.names().any(|known| known == name) {
            return;
        }
        let hint = suggest(name, path.names()).unwrap_or_else(|| {
            let names: Vec<String> = path.names().map(|n| format!("path:{n}")).collect();
            match names.is_empty() {
                true => format!("write {{{name}}} into the path"),
                false => format!("the path has {}", names.join(", ")),
            }
        });
        let message = format!("`{}` has no {{{name}}}", path.text);
        self.faults.error_hint(&node.at, message, hint);
    }
}

fn has_wildcard(pointer: &str) -> bool {
    pointer.split('/').any(|token| token == "*")
}
