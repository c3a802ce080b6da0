//! What the head says of the form of a body that is read here. A backend that goes by another form
//! would read another record than the one that was classified.

use crate::{
    classify::ValueSource,
    message::{Field, FieldSet, Parts, Value},
    respond::Refused,
    settings::{FORM, Format, Route},
};

/// What a reader of JSON reads, or nobody in particular.
const JSON: [&str; 6] = [
    "application/json",
    "application/x-json",
    "text/json",
    "text/x-json",
    "text/plain",
    "application/octet-stream",
];
const NDJSON: [&str; 8] = [
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/jsonlines",
    "application/json-lines",
    "application/x-jsonl",
    "application/x-jsonlines",
    "text/x-ndjson",
];

/// What says that the body is a part of something.
pub const PART: FieldSet = FieldSet::of(&[Field::ContentRange]);

/// Whether the body is what it is read as here: neither a part of something (RFC 9110 §14.5: a region
/// could write it into a record that was not judged with it), nor compressed nor otherwise encoded, of
/// one media type at most (RFC 9110 §8.3: recipients differ in which of two they go by), which is one
/// of JSON or the route's own (in `{"a":"=1&country=BR"}` a reader of forms finds a country), and in
/// UTF-8 (RFC 8259 §8.1; a backend that goes by another `charset` would read another record).
///
/// # Errors
/// 400 of a part; 415, whose answer says what is wanted.
pub fn check_form(parts: &Parts, route: &Route) -> Result<(), Refused> {
    check(parts, route.format, route.content_type.as_deref())?;
    match route.format {
        Format::Form => check_query(parts.uri.query().unwrap_or_default(), route),
        _ => Ok(()),
    }
}

/// Readers of forms take the query's fields for more of the form's: servlets the query's value first, Go
/// and Rails where the form has none.
fn check_query(query: &str, route: &Route) -> Result<(), Refused> {
    let sources = route
        .country
        .iter()
        .chain(&route.subject)
        .chain(&route.born);
    let sources: Vec<&ValueSource> = sources.chain(route.steering.sources()).collect();
    let is_read = |name: &str| {
        let is = |s: &&&ValueSource| matches!(s, ValueSource::Query(known) if known == name);
        sources.iter().any(|s| is(&s))
    };
    let mut names = query.split('&').filter(|pair| !pair.is_empty());
    match names.all(|pair| is_read(pair.split('=').next().unwrap_or_default())) {
        true => Ok(()),
        false => Err(Refused::MalformedForm(
            "there is a query beside the form, which many servers read as more of it: send all in the \
             form (names that the route reads by `query:` may stand there)"
                .to_owned(),
        )),
    }
}

fn check(parts: &Parts, format: Format, own: Option<&str>) -> Result<(), Refused> {
    if parts.headers.may_have(PART) {
        return Err(Refused::Part);
    }
    let is_plain = |v: Value<'_>| v.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity");
    let mut codings = parts.headers.get_all(Field::ContentEncoding);
    if !codings.all(is_plain) {
        return Err(Refused::ContentEncoding);
    }
    let mut types = parts.headers.get_all(Field::ContentType);
    let Some(first) = types.next() else {
        return match format {
            // Without it hardly anybody reads a form.
            Format::Form => Err(Refused::MediaType(vec![FORM.to_owned()])),
            _ => Ok(()),
        };
    };
    let first = first.as_bytes();
    let usual = match format {
        Format::Ndjson => "application/x-ndjson",
        Format::Form => FORM,
        _ => "application/json",
    };
    // Most say just that.
    let fits = first == usual.as_bytes() || is_read(first, format, own);
    if types.next().is_some() || !fits {
        return Err(Refused::MediaType(vec![own.unwrap_or(usual).to_owned()]));
    }
    Ok(())
}

/// Whether a body of this media type is read as it is read here. An empty one is none.
fn is_read(media: &[u8], format: Format, own: Option<&str>) -> bool {
    if is_other_charset(media) {
        return false;
    }
    let essence = media.split(|b| *b == b';').next().unwrap_or_default();
    let essence = essence.trim_ascii();
    if format == Format::Form {
        return essence.eq_ignore_ascii_case(FORM.as_bytes());
    }
    let is = |known: &&str| essence.eq_ignore_ascii_case(known.as_bytes());
    essence.is_empty()
        || own.as_ref().is_some_and(is)
        || JSON.iter().any(is)
        || (format == Format::Ndjson && NDJSON.iter().any(is))
        || has_suffix(essence, b"+json")
        || (format == Format::Ndjson && has_suffix(essence, b"ndjson"))
}

/// `application/…+json` (RFC 6839 §3.1), and `application/…+x-ndjson`, as Elasticsearch has it.
fn has_suffix(essence: &[u8], suffix: &[u8]) -> bool {
    let Some((b"application/", name)) = essence.split_at_checked(12) else {
        return false;
    };
    let Some((name, own)) = name.split_at_checked(name.len().saturating_sub(suffix.len())) else {
        return false;
    };
    let is_plain = |b: &u8| b.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(b);
    own.eq_ignore_ascii_case(suffix) && name.iter().all(is_plain)
}

/// Whether a media type has a `charset` other than UTF-8, of which ASCII is a part.
pub fn is_other_charset(media: &[u8]) -> bool {
    let mut parameters = media.split(|b| *b == b';').skip(1);
    parameters.any(|parameter| {
        let mut halves = parameter.splitn(2, |b| *b == b'=').map(<[u8]>::trim_ascii);
        let (Some(name), Some(value)) = (halves.next(), halves.next()) else {
            return false;
        };
        let value = match value {
            [b'"', inside @ .., b'"'] => inside,
            bare => bare,
        };
        let known: [&[u8]; 3] = [b"utf-8", b"utf8", b"us-ascii"];
        name.eq_ignore_ascii_case(b"charset")
            && !known.iter().any(|known| value.eq_ignore_ascii_case(known))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Request;

    fn status(fields: &[(&str, &str)]) -> Option<u16> {
        status_of(fields, Format::Record, None)
    }

    fn status_of(fields: &[(&str, &str)], format: Format, own: Option<&str>) -> Option<u16> {
        let mut request = http::Request::put("/");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request: Request<()> = request.body(()).unwrap().into();
        let checked = check(&request.parts, format, own);
        checked.err().map(|refused| refused.status().as_u16())
    }

    #[test]
    fn one_type_in_utf_8_passes() {
        for media in [
            "application/json",
            "application/json; charset=utf-8",
            "application/json;Charset=\"UTF-8\"; profile=x",
            "text/plain;charset=US-ASCII",
            "application/json; charset",
            "Application/JSON",
            "application/merge-patch+json",
            "application/vnd.api+JSON; version=1",
            "text/json",
            "text/x-json",
            "application/x-json",
            "application/octet-stream",
            "",
        ] {
            assert_eq!(status(&[("content-type", media)]), None, "{media}");
        }
        assert_eq!(status(&[]), None);
        assert_eq!(status(&[("content-encoding", "identity")]), None);
    }

    #[test]
    fn what_could_be_read_as_another_record_is_refused() {
        for media in [
            "application/json; charset=utf-7",
            "application/json; charset=utf-8; charset=utf-16",
            "application/json; profile=x;CHARSET=\"utf-16\"",
            "application/json; charset=",
            "application/json; charset=iso-8859-1",
            // What other parsers read.
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "multipart/mixed+json",
            "application/xml",
            "application/yaml",
            "application/cbor",
            "text/csv",
            "text/html",
            "application/x-ndjson",
            "application/json, text/xml",
            "text/xml, application/a+json",
            "application/text/xml,+json",
            "json",
        ] {
            assert_eq!(status(&[("content-type", media)]), Some(415), "{media}");
        }
        let two = [("content-type", "application/json"); 2];
        assert_eq!(status(&two), Some(415));
        for coding in ["gzip", "identity, gzip", ""] {
            assert_eq!(status(&[("content-encoding", coding)]), Some(415));
        }
    }

    #[test]
    fn lines_and_the_routes_own_type_are_read_where_they_belong() {
        const ELASTIC: &str = "application/vnd.elasticsearch+x-ndjson;compatible-with=9";
        let form = "application/x-www-form-urlencoded";
        for (media, format, own, refused) in [
            ("application/x-ndjson", Format::Ndjson, None, None),
            ("application/jsonl", Format::Ndjson, None, None),
            ("application/jsonlines", Format::Ndjson, None, None),
            ("application/json-lines", Format::Ndjson, None, None),
            ("application/x-jsonl", Format::Ndjson, None, None),
            ("text/x-ndjson", Format::Ndjson, None, None),
            (ELASTIC, Format::Ndjson, None, None),
            (ELASTIC, Format::Record, None, Some(415)),
            ("application/json", Format::Ndjson, None, None),
            ("application/x-ndjson", Format::Array, None, Some(415)),
            (form, Format::Ndjson, None, Some(415)),
            (form, Format::Record, Some(form), None),
            (form, Format::Form, None, None),
            (
                "Application/X-WWW-Form-URLEncoded; charset=UTF-8",
                Format::Form,
                None,
                None,
            ),
            (
                "application/x-www-form-urlencoded; charset=latin1",
                Format::Form,
                None,
                Some(415),
            ),
            ("application/json", Format::Form, None, Some(415)),
            ("", Format::Form, None, Some(415)),
            (
                "multipart/form-data; boundary=x",
                Format::Form,
                None,
                Some(415),
            ),
            ("text/csv", Format::Record, Some(form), Some(415)),
        ] {
            let found = status_of(&[("content-type", media)], format, own);
            assert_eq!(found, refused, "{media}");
        }
    }
}
