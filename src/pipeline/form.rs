//! What the head says of the form of a body that is read here. A backend that goes by another form
//! would read another record than the one that was classified.

use crate::{
    message::{Field, FieldSet, Parts, Value},
    respond::Refused,
};

/// What says that the body is a part of something.
pub const PART: FieldSet = FieldSet::of(&[Field::ContentRange]);

/// Whether the body is what it is read as here: neither a part of something (RFC 9110 §14.5: a region
/// could write it into a record that was not judged with it), nor compressed nor otherwise encoded, of
/// one media type at most (RFC 9110 §8.3: recipients differ in which of two they go by), and in UTF-8
/// (RFC 8259 §8.1; a backend that goes by another `charset` would read another record).
///
/// # Errors
/// 400 of a part; 415, where `wanted` is what the answer asks for.
pub fn check_form(parts: &Parts, wanted: &str) -> Result<(), Refused> {
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
        return Ok(());
    };
    if types.next().is_some() || is_other_charset(first.as_bytes()) {
        return Err(Refused::MediaType(vec![wanted.to_owned()]));
    }
    Ok(())
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
        let mut request = http::Request::put("/");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request: Request<()> = request.body(()).unwrap().into();
        let checked = check_form(&request.parts, "application/json");
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
        ] {
            assert_eq!(status(&[("content-type", media)]), Some(415), "{media}");
        }
        let two = [("content-type", "application/json"); 2];
        assert_eq!(status(&two), Some(415));
        for coding in ["gzip", "identity, gzip", ""] {
            assert_eq!(status(&[("content-encoding", coding)]), Some(415));
        }
    }
}
