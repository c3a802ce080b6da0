//! What of a message's head passes on, and what the router adds (RFC 9110 §7.6).

use std::{fmt::Write as _, net::IpAddr};

use http::{HeaderMap, HeaderName, HeaderValue, Version, header};

/// Fields that concern one connection only (RFC 9110 §7.6.1), `Connection`'s own list aside.
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

pub const FORWARDED: HeaderName = header::FORWARDED;
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// Where proxies of several makes leave the caller's address.
const CLIENT_ADDRESS: [HeaderName; 6] = [
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("x-client-ip"),
    HeaderName::from_static("x-cluster-client-ip"),
    HeaderName::from_static("true-client-ip"),
    HeaderName::from_static("cf-connecting-ip"),
    HeaderName::from_static("fastly-client-ip"),
];
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

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

/// Tells the backend whom the request comes from.
///
/// A chain that a configured proxy wrote is continued; anyone else's is dropped. When the data
/// leaves home (`hide_client`), the address, itself personal data, stays behind: `for=_hidden`
/// (RFC 7239 §6.3) and no `X-Forwarded-For`.
///
/// `secure`: the caller came by TLS.
pub fn add_forwarded(
    headers: &mut HeaderMap,
    peer: IpAddr,
    (proxied, secure): (bool, bool),
    hide_client: bool,
) {
    if !proxied || hide_client {
        for name in [
            FORWARDED,
            X_FORWARDED_FOR,
            X_FORWARDED_HOST,
            X_FORWARDED_PROTO,
        ] {
            headers.remove(name);
        }
    }
    if hide_client {
        for name in &CLIENT_ADDRESS {
            headers.remove(name);
        }
    }
    let node = match peer {
        _ if hide_client => "_hidden".to_owned(),
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("\"[{ip}]\""),
    };
    let host = headers.get(header::HOST).cloned();
    let scheme = if secure { "https" } else { "http" };
    let mut element = format!("for={node};proto={scheme}");
    if let Some(host) = host.as_ref().and_then(|h| h.to_str().ok())
        && !host.contains(['"', '\\'])
    {
        let _ = write!(element, ";host=\"{host}\"");
    }
    append_list(headers, FORWARDED, &element);
    if !hide_client {
        append_list(headers, X_FORWARDED_FOR, &peer.to_string());
    }
    if !headers.contains_key(X_FORWARDED_PROTO) {
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(scheme));
    }
    if let Some(host) = host
        && !headers.contains_key(X_FORWARDED_HOST)
    {
        headers.insert(X_FORWARDED_HOST, host);
    }
}

/// RFC 9110 §7.6.3.
pub fn add_via(headers: &mut HeaderMap, version: Version) {
    let element = match version {
        Version::HTTP_2 => "2.0 domicile",
        Version::HTTP_10 => "1.0 domicile",
        _ => "1.1 domicile",
    };
    append_list(headers, header::VIA, element);
}

/// W3C Trace Context: a sound `traceparent` passes, a broken one goes with its state, a missing
/// one is begun from `random`.
pub fn settle_traceparent(headers: &mut HeaderMap, random: impl FnOnce() -> (u128, u64)) {
    match headers.get(TRACEPARENT) {
        Some(value) if is_traceparent(value.as_bytes()) => return,
        Some(_) => {
            headers.remove(TRACESTATE);
        }
        None => {}
    }
    let (trace, span) = random();
    let text = format!("00-{:032x}-{:016x}-00", trace | 1, span | 1);
    if let Ok(value) = HeaderValue::try_from(text) {
        headers.insert(TRACEPARENT, value);
    }
}

/// `00-` trace id `-` parent id `-` flags, lower-case hexadecimal, ids not all zero.
fn is_traceparent(value: &[u8]) -> bool {
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

    #[test]
    fn a_strangers_chain_is_replaced_and_a_proxys_is_continued() {
        let peer: IpAddr = "192.0.2.7".parse().unwrap();
        let fields = [("host", "api.example"), ("x-forwarded-for", "203.0.113.9")];
        let mut stranger = map(&fields);
        add_forwarded(&mut stranger, peer, (false, true), false);
        assert_eq!(stranger.get("x-forwarded-for").unwrap(), "192.0.2.7");
        assert_eq!(
            stranger.get("forwarded").unwrap(),
            "for=192.0.2.7;proto=https;host=\"api.example\""
        );
        let mut proxied = map(&fields);
        add_forwarded(&mut proxied, peer, (true, false), false);
        assert_eq!(
            proxied.get("x-forwarded-for").unwrap(),
            "203.0.113.9, 192.0.2.7"
        );
        let mut abroad = map(&fields);
        for name in CLIENT_ADDRESS {
            abroad.insert(name, "203.0.113.9".parse().unwrap());
        }
        add_forwarded(&mut abroad, peer, (true, false), true);
        assert!(abroad.values().all(|v| v != "203.0.113.9"), "{abroad:?}");
        assert!(!abroad.contains_key("x-forwarded-for"));
        assert!(
            !abroad
                .get("forwarded")
                .unwrap()
                .to_str()
                .unwrap()
                .contains("192.0.2")
        );
    }

    #[test]
    fn trace_context_passes_only_when_sound() {
        let sound = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let mut headers = map(&[("traceparent", sound)]);
        settle_traceparent(&mut headers, || (5, 6));
        assert_eq!(headers.get("traceparent").unwrap(), sound);
        for broken in ["00-0-0-0", &sound.to_uppercase(), &sound.replace('b', "g")] {
            let mut headers = map(&[("traceparent", broken), ("tracestate", "a=b")]);
            settle_traceparent(&mut headers, || (4, 6));
            assert_ne!(headers.get("traceparent").unwrap(), broken);
            assert!(!headers.contains_key("tracestate"));
        }
    }
}
