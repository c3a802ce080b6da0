//! What of a message's head passes on, and what the router adds (RFC 9110 §7.6).

use http::{HeaderMap, HeaderName, HeaderValue, Version, header, header::Entry};

/// Fields that concern one connection only (RFC 9110 §7.6.1), `Connection`'s own list aside.
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("http2-settings"),
];

pub const FORWARDED: HeaderName = header::FORWARDED;
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(super) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Whether a field concerns one connection only, `Connection`'s nominees aside; `TE` is another
/// matter. The name is in lower case.
pub(super) fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "transfer-encoding"
            | "upgrade"
            | "http2-settings"
    )
}

/// Whether proxies of some make leave the caller's address there.
pub(super) fn is_client_address(name: &str) -> bool {
    matches!(
        name,
        "x-real-ip"
            | "x-client-ip"
            | "x-cluster-client-ip"
            | "true-client-ip"
            | "cf-connecting-ip"
            | "fastly-client-ip"
    )
}

/// The fields of one's own: no caller's and no backend's word for them passes.
const OWN_PREFIX: &str = "domicile-";

/// Drops what concerns one connection only, and `Connection`'s nominees.
pub fn drop_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        let nominated: Vec<HeaderName> = headers
            .get_all(header::CONNECTION)
            .iter()
            .filter_map(|v| v.to_str().ok())
            .flat_map(|v| v.split(','))
            .filter_map(|n| HeaderName::from_bytes(n.trim().as_bytes()).ok())
            .collect();
        for name in nominated {
            headers.remove(name);
        }
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
    // `TE` is hop-by-hop, but `trailers` is how a caller says that trailers may come (gRPC).
    let trailers = headers
        .get(header::TE)
        .is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"trailers"));
    headers.remove(header::TE);
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
}

/// Drops `Domicile-…` and, for callers that are not trusted, every field that steers a route.
pub fn drop_steering(headers: &mut HeaderMap, steering: &[HeaderName], trusted: bool) {
    let own: Vec<HeaderName> = headers
        .keys()
        .filter(|n| n.as_str().starts_with(OWN_PREFIX))
        .cloned()
        .collect();
    for name in own {
        headers.remove(name);
    }
    if !trusted {
        for name in steering {
            headers.remove(name);
        }
    }
}

/// Drops a backend's word on what only the router says.
pub fn drop_own_answers(headers: &mut HeaderMap) {
    for name in [
        "domicile-decision",
        "domicile-region",
        "domicile-mechanism",
        "domicile-body",
        "domicile-recipient",
        "domicile-stripped",
    ] {
        headers.remove(name);
    }
}

/// RFC 9110 §7.6.3.
pub fn add_via(headers: &mut HeaderMap, version: Version) {
    let element = via(version);
    match headers.entry(header::VIA) {
        Entry::Vacant(place) => {
            place.insert(HeaderValue::from_static(element));
        }
        Entry::Occupied(_) => append_list(headers, header::VIA, element),
    }
}

/// The router's own element of `Via`.
pub(super) fn via(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "2.0 domicile",
        Version::HTTP_10 => "1.0 domicile",
        _ => "1.1 domicile",
    }
}

/// `00-` trace id `-` parent id `-` flags, lower-case hexadecimal, ids not all zero.
pub(super) fn is_traceparent(value: &[u8]) -> bool {
    let hyphens = value.len() == 55
        && value.iter().enumerate().all(|(i, b)| match i {
            2 | 35 | 52 => *b == b'-',
            _ => b.is_ascii_digit() || (b'a'..=b'f').contains(b),
        });
    let not_zero = |range| {
        value
            .get::<std::ops::Range<usize>>(range)
            .is_some_and(|s| s.iter().any(|b| *b != b'0'))
    };
    hyphens && value.starts_with(b"00") && not_zero(3..35) && not_zero(36..52)
}

fn append_list(headers: &mut HeaderMap, name: HeaderName, element: &str) {
    let mut text = String::new();
    for value in headers.get_all(&name) {
        if let Ok(value) = value.to_str() {
            text.push_str(value);
            text.push_str(", ");
        }
    }
    text.push_str(element);
    if let Ok(value) = HeaderValue::try_from(text) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&str, &str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(n, v)| {
                (
                    n.parse::<HeaderName>().unwrap(),
                    HeaderValue::from_str(v).unwrap(),
                )
            })
            .collect()
    }

    #[test]
    fn hop_by_hop_fields_and_nominees_go() {
        let mut headers = map(&[
            ("connection", "close, X-Private"),
            ("x-private", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("upgrade", "h2c"),
            ("accept", "*/*"),
        ]);
        drop_hop_by_hop(&mut headers);
        let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["accept", "te"]);
    }

    #[test]
    fn steering_is_dropped_from_strangers_and_own_fields_from_all() {
        let steering = [HeaderName::from_static("x-target-region")];
        let fields = [
            ("domicile-target", "eu"),
            ("x-target-region", "eu"),
            ("accept", "*/*"),
        ];
        let mut stranger = map(&fields);
        drop_steering(&mut stranger, &steering, false);
        assert_eq!(stranger.len(), 1);
        let mut trusted = map(&fields);
        drop_steering(&mut trusted, &steering, true);
        assert!(
            trusted.contains_key("x-target-region") && !trusted.contains_key("domicile-target")
        );
    }
}
