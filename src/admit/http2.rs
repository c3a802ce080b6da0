//! The strict layer in front of HTTP/2 (RFC 9113): what h2 lets pass, but another reader
//! could read differently once it is written as HTTP/1.1, is refused here.
//!
//! h2 sees to streams, flow control, the order and number of pseudo-fields, names in upper case,
//! fields of connections (RFC 9113 §8.2.2) and content that is not as long as `Content-Length`
//! says. Frames, HPACK, a fragment of `:path`, the scheme and pseudo-fields in trailers, which h2
//! takes off, are for the reader in front of it ([`crate::http2`]). Here follow target, host, names,
//! values, framing and trailers, by the same rules as for [`http1`](super::http1), so that a route
//! sees the same whichever way a request came.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Uri, Version};
use http_body::Body;
use http_body_util::Full;

use super::caller::says_secured;
use super::http1::{
    FramingFault, HeadFault,
    head::{digits, expectation},
    line::{MAX_METHOD, MAX_TARGET},
    scan::MAX_FIELDS,
    target::{check_host, check_path},
};
use super::refusal::refusal;
use crate::{
    http2::Scheme,
    message::{Field, Fields, Request, Response, Value, check_name, trailer},
};

/// By what way requests come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By TLS.
    Secured,
    /// Without it, from a configured proxy, which may have ended it for its own callers.
    Gateway,
    Plain,
}

/// Whether a request may be served. Cookies that came in several fields are made one, as HTTP/1.1
/// wants them (RFC 9113 §8.2.3).
///
/// A request for an `https` resource has to come by TLS, or from a trusted gateway (RFC 9110 §7.4);
/// of that, only if it says that its own caller came so. One for an `http` resource is in its place
/// everywhere: nothing forbids to protect it more than it asks for, and gateways do.
pub fn check<B>(request: &mut Request<B>, scheme: Scheme, way: Way) -> Result<(), HeadFault> {
    let parts = &mut request.parts;
    if parts.method.as_str().len() > MAX_METHOD {
        return Err(HeadFault::LongMethod);
    }
    join_cookies(&mut parts.headers);
    let fields = &parts.headers;
    if fields.len() > MAX_FIELDS {
        return Err(HeadFault::TooMany);
    }
    for (_, name, value) in fields.iter() {
        check_field(name, value.as_bytes())?;
    }
    // Whatever its target: nobody is led through here.
    if parts.method != Method::CONNECT {
        match scheme {
            Scheme::Http => {}
            Scheme::Https => match way {
                Way::Secured => {}
                Way::Gateway if says_secured(fields) => {}
                Way::Gateway | Way::Plain => return Err(HeadFault::NotSecured),
            },
            // RFC 9113 §8.3.1: it is not restricted to these, but nothing else is served here.
            Scheme::Other | Scheme::None => return Err(HeadFault::TargetForm),
        }
        check_target(&parts.method, &parts.uri)?;
        check_authority(&parts.uri, fields)?;
    }
    let length = fields
        .only(Field::ContentLength)
        .map_err(|_| HeadFault::ManyLengths)?;
    if let Some(length) = length {
        digits(length.as_bytes())?;
    }
    expectation(fields, Version::HTTP_2)?;
    Ok(())
}

fn check_target(method: &Method, uri: &Uri) -> Result<(), HeadFault> {
    let target = uri.path_and_query().map_or("", |path| path.as_str());
    if target.len() > MAX_TARGET {
        return Err(HeadFault::LongTarget);
    }
    check_path(target.as_bytes())?;
    let is_asterisk = target == "*" && *method == Method::OPTIONS;
    if !target.starts_with('/') && !is_asterisk {
        return Err(HeadFault::TargetForm);
    }
    Ok(())
}

/// RFC 9113 §8.3.1: `:authority`, or one `Host`, or both that say the same.
fn check_authority(uri: &Uri, fields: &Fields) -> Result<(), HeadFault> {
    let host = fields.only(Field::Host).map_err(|_| HeadFault::ManyHosts)?;
    let authority = uri.authority().map(|a| a.as_str().as_bytes());
    let named = authority.or(host.map(Value::as_bytes));
    check_host(named.ok_or(HeadFault::NoHost)?)?;
    match (authority, host) {
        (Some(authority), Some(host)) if !authority.eq_ignore_ascii_case(host.as_bytes()) => {
            Err(HeadFault::HostConflict)
        }
        _ => Ok(()),
    }
}

/// RFC 9113 §8.2.1 and RFC 9110 §5.1: names are tokens, values have no white space around them.
fn check_field(name: &str, value: &[u8]) -> Result<(), HeadFault> {
    check_name(name)?;
    match value {
        [b' ' | b'\t', ..] | [.., b' ' | b'\t'] => Err(HeadFault::PaddedValue),
        _ => Ok(()),
    }
}

/// A caller may send its cookies one by one; to HTTP/1.1 they go as one (RFC 9113 §8.2.3).
fn join_cookies(fields: &mut Fields) {
    if fields.get_all(Field::Cookie).nth(1).is_none() {
        return;
    }
    // An empty one says nothing, and would leave white space at an end.
    let values = fields.get_all(Field::Cookie).map(Value::as_bytes);
    let values: Vec<_> = values.filter(|v| !v.is_empty()).collect();
    let joined = values.join(&b"; "[..]);
    fields.insert(Field::Cookie, joined);
}

/// Whether the trailer fields of a request may be taken (RFC 9110 §6.5.1).
pub fn check_trailers(fields: &HeaderMap) -> Result<(), FramingFault> {
    let length = |(name, value): (&http::HeaderName, &HeaderValue)| {
        name.as_str().len() + ": \r\n".len() + value.len()
    };
    if fields.len() > trailer::MOST_FIELDS
        || fields.iter().map(length).sum::<usize>() > trailer::MOST_BYTES
    {
        return Err(FramingFault::LongTrailer);
    }
    for (name, value) in fields {
        check_field(name.as_str(), value.as_bytes()).map_err(|fault| match fault {
            HeadFault::Underscore => FramingFault::ForbiddenTrailer,
            _ => FramingFault::Trailer,
        })?;
    }
    if fields.keys().any(trailer::is_forbidden) {
        return Err(FramingFault::ForbiddenTrailer);
    }
    Ok(())
}

/// The answer to a request whose head cannot be served.
pub fn refuse(fault: HeadFault, method: &Method) -> Response<Full<Bytes>> {
    refusal(fault, "2.0 domicile", *method != Method::HEAD)
}

/// The answer to HEAD: the head that its body would have had (RFC 9110 §9.3.2). A region's own has
/// no body to begin with.
pub fn without_content<B: Body>(answer: Response<B>) -> Response<Full<Bytes>> {
    let length = answer.body().size_hint().exact().filter(|n| *n > 0);
    let mut answer = answer.map(|_| Full::default());
    let fields = answer.headers_mut();
    if let Some(length) = length
        && !fields.contains_key(Field::ContentLength)
    {
        fields.insert(Field::ContentLength, length.to_string());
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, uri: &str, fields: &[(&str, &str)]) -> Request<()> {
        let mut builder = http::Request::builder().method(method).uri(uri);
        for (name, value) in fields {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap().into()
    }

    fn fault(uri: &str, fields: &[(&str, &str)]) -> HeadFault {
        check(&mut request("PUT", uri, fields), Scheme::Http, Way::Plain).unwrap_err()
    }

    #[test]
    fn what_h2_lets_pass_is_refused() {
        use HeadFault as F;
        let path = "http://a/people/p";
        for (uri, fields, wanted) in [
            ("http://u@a/", &[][..], F::Host),
            ("http://a:99999/", &[], F::Host),
            ("http://a,b/", &[], F::Host),
            ("http://a/p%g0", &[], F::TargetCharacter),
            ("http://a/{p}", &[], F::TargetCharacter),
            ("http://a/p?x=\\", &[], F::TargetCharacter),
            ("/people/p", &[], F::NoHost),
            ("/people/p", &[("host", "a"), ("host", "a")], F::ManyHosts),
            (path, &[("host", "b")], F::HostConflict),
            (path, &[("host", "")], F::HostConflict),
            (
                path,
                &[("content-length", "1"), ("content-length", "1")],
                F::ManyLengths,
            ),
            (path, &[("content-length", "1,1")], F::ContentLength),
            (path, &[("content_length", "1")], F::Underscore),
            (path, &[("domicile_country", "CN")], F::Underscore),
            (path, &[("x", "a ")], F::PaddedValue),
            (path, &[("x", "\ta")], F::PaddedValue),
            (path, &[("expect", "200-ok")], F::Expectation),
            (path, &[("x", "a"); 101], F::TooMany),
        ] {
            assert_eq!(fault(uri, fields), wanted, "{uri} {fields:?}");
        }
        let long = format!("http://a/{}", "a".repeat(MAX_TARGET));
        assert_eq!(fault(&long, &[]), F::LongTarget);
        let mut long = request(&"A".repeat(33), path, &[]);
        assert_eq!(
            check(&mut long, Scheme::Http, Way::Plain),
            Err(F::LongMethod)
        );
    }

    #[test]
    fn what_is_to_be_secured_is_served_where_it_is() {
        let check = |scheme, way, proto| {
            let fields = [("host", "a"), ("x-forwarded-proto", proto)];
            check(&mut request("PUT", "/p", &fields), scheme, way)
        };
        for way in [Way::Secured, Way::Gateway, Way::Plain] {
            for proto in ["http", "https"] {
                assert_eq!(check(Scheme::Http, way, proto), Ok(()));
                let other = check(Scheme::Other, way, proto);
                assert_eq!(other, Err(HeadFault::TargetForm));
                let is_secured = way == Way::Secured || (way, proto) == (Way::Gateway, "https");
                let wanted = is_secured.then_some(()).ok_or(HeadFault::NotSecured);
                assert_eq!(check(Scheme::Https, way, proto), wanted, "{way:?} {proto}");
            }
        }
    }

    #[test]
    fn sound_requests_pass() {
        for (uri, fields) in [
            ("http://a/people/p?x=[1]", &[("host", "A")][..]),
            ("https://[::1]:8080/", &[("content-length", "0")]),
            ("/people/p", &[("host", "a:80")]),
            ("http://a/", &[("expect", "100-continue"), ("x-_a", "b")]),
        ] {
            let mut request = request("PUT", uri, fields);
            assert_eq!(
                check(&mut request, Scheme::Http, Way::Plain),
                Ok(()),
                "{uri}"
            );
        }
    }

    #[test]
    fn cookies_are_made_one() {
        // RFC 6265 §4.2.1 has no empty pair.
        for (crumbs, whole) in [
            (["a=1", "b=2"], "a=1; b=2"),
            (["", "a=1"], "a=1"),
            (["a=1", ""], "a=1"),
            (["", ""], ""),
        ] {
            let [first, second] = crumbs;
            let fields = [("cookie", first), ("x", "y"), ("cookie", second)];
            let mut request = request("GET", "http://a/", &fields);
            assert_eq!(check(&mut request, Scheme::Http, Way::Plain), Ok(()));
            let cookies = request.parts.headers.get_all("cookie");
            assert_eq!(cookies.collect::<Vec<_>>(), [whole]);
        }
    }

    #[test]
    fn trailers_are_held_to_the_same_rules() {
        let check = |fields: &[(&'static str, &str)]| {
            let fields = request("PUT", "/", fields).parts.headers.to_map();
            check_trailers(&fields)
        };
        assert_eq!(check(&[("x-checksum", "a")]), Ok(()));
        for name in ["content-length", "host", "x-real-ip", "content_length"] {
            let forbidden = Err(FramingFault::ForbiddenTrailer);
            assert_eq!(check(&[(name, "1")]), forbidden, "{name}");
        }
        assert_eq!(check(&[("x", "a"); 33]), Err(FramingFault::LongTrailer));
        let long = "a".repeat(trailer::MOST_BYTES);
        assert_eq!(check(&[("x", &long)]), Err(FramingFault::LongTrailer));
    }
}
