use std::fmt;

use http::HeaderName;

/// Where a value is read from: one small grammar for evidence and for steering.
///
/// `path:NAME`, `header:NAME`, `query:NAME`, `body:/json/pointer`, `jwt:CLAIM`, `pinned`,
/// `network`, and `bulk:id`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ValueSource {
    /// A `{NAME}` of the route's path template.
    Path(String),
    /// Counts only from callers the settings trust, and then as attested.
    Header(HeaderName),
    Query(String),
    /// RFC 6901; `*` stands for every element of an array.
    Body(String),
    /// A claim of the verified token; a `/` at the start makes it a JSON pointer into the claims.
    Jwt(String),
    Pinned,
    Network,
    /// The `_id` of a bulk item.
    BulkId,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueSourceError {
    #[error(
        "`{0}` is no source; write path:NAME, header:NAME, query:NAME, body:/json/pointer, jwt:CLAIM, pinned or network"
    )]
    Unknown(String),
    #[error("`{0}` is not a header name (RFC 9110 §5.1)")]
    Header(String),
    #[error(
        "`{0}` is not a JSON pointer (RFC 6901): it starts with `/`, and `~` is written `~0`, `/` in a name `~1`"
    )]
    Pointer(String),
    #[error("`{0}:` needs a name after the colon")]
    Empty(&'static str),
}

impl ValueSource {
    pub fn parse(text: &str) -> Result<Self, ValueSourceError> {
        let name = |kind: &'static str, rest: &str| match rest {
            "" => Err(ValueSourceError::Empty(kind)),
            rest => Ok(rest.to_owned()),
        };
        match text.split_once(':') {
            None if text == "pinned" => Ok(Self::Pinned),
            None if text == "network" => Ok(Self::Network),
            Some(("bulk", "id")) => Ok(Self::BulkId),
            Some(("path", rest)) => name("path", rest).map(Self::Path),
            Some(("query", rest)) => name("query", rest).map(Self::Query),
            Some(("jwt", rest)) => name("jwt", rest).map(Self::Jwt),
            Some(("header", rest)) => HeaderName::from_bytes(rest.as_bytes())
                .map(Self::Header)
                .map_err(|_| ValueSourceError::Header(rest.to_owned())),
            Some(("body", rest)) if is_pointer(rest) => Ok(Self::Body(rest.to_owned())),
            Some(("body", rest)) => Err(ValueSourceError::Pointer(rest.to_owned())),
            _ => Err(ValueSourceError::Unknown(text.to_owned())),
        }
    }
}

/// Whether `text` is a JSON pointer (RFC 6901 §3) below the root.
pub fn is_pointer(text: &str) -> bool {
    let escapes_stand = text.split('~').skip(1).all(|t| t.starts_with(['0', '1']));
    text.starts_with('/') && escapes_stand
}

impl fmt::Display for ValueSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(name) => write!(f, "path:{name}"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Query(name) => write!(f, "query:{name}"),
            Self::Body(pointer) => write!(f, "body:{pointer}"),
            Self::Jwt(claim) => write!(f, "jwt:{claim}"),
            Self::Pinned => f.write_str("pinned"),
            Self::Network => f.write_str("network"),
            Self::BulkId => f.write_str("bulk:id"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_round_trips_and_refuses_the_rest() {
        for text in [
            "path:subject",
            "header:x-target-region",
            "query:c",
            "body:/address/country",
            "jwt:country",
            "pinned",
            "network",
            "bulk:id",
            "body:/a~1b/~0",
        ] {
            assert_eq!(ValueSource::parse(text).expect(text).to_string(), text);
        }
        for text in [
            "",
            "pin",
            "pinned:",
            "path:",
            "header:",
            "header:a b",
            "body:country",
            "body:/a~2",
            "body:",
            "cookie:x",
            "Network",
            "bulk:index",
        ] {
            assert!(ValueSource::parse(text).is_err(), "{text}");
        }
    }
}
