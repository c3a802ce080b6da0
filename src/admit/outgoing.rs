//! The head that goes to a region, made of the caller's in one pass.
//!
//! Looking each field up by name, to drop or to replace it, hashes forty names a request; a look at
//! each field that is there is a tenth of that (`docs/performance.md`).

use std::{fmt::Write as _, net::IpAddr};

use http::{HeaderMap, HeaderName, HeaderValue, Version, header};

use super::headers::{
    FORWARDED, TRACEPARENT, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO,
    is_client_address, is_hop_by_hop, is_traceparent, via,
};
use crate::domain::hexadecimal;

/// What is known of the request beside its fields.
pub struct Passing<'r> {
    /// Fields that steer a route; dropped unless the caller is trusted.
    pub steering: &'r [HeaderName],
    pub trusted: bool,
    pub peer: IpAddr,
    /// The peer is a configured proxy: the chain that it wrote is continued.
    pub proxied: bool,
    /// The caller came by TLS.
    pub secure: bool,
    /// The data leaves home: the caller's address, itself personal data, stays behind.
    pub hide_client: bool,
    /// The authority of an absolute target, which overrides `Host` (RFC 9112 §3.2.2).
    pub authority: Option<&'r str>,
    pub version: Version,
    pub decision: HeaderValue,
}

/// Chains that are gathered on the way.
#[derive(Default)]
struct Seen {
    forwarded: String,
    forwarded_for: String,
    via: String,
    has_proto: bool,
    has_host: bool,
    has_sound_trace: bool,
    has_broken_trace: bool,
    /// `TE: trailers` is how a caller says that trailers may come (gRPC); the field itself concerns
    /// one connection.
    trailers: bool,
}

/// The fields for the region.
///
/// Hop-by-hop fields and `Connection`'s nominees go (RFC 9110 §7.6.1), so do all `Domicile-…`;
/// `Forwarded`, `X-Forwarded-*`, `Via` and `traceparent` are continued or begun. `random` is asked
/// for a trace's id only when one is begun.
pub fn outgoing(
    fields: &HeaderMap,
    passing: Passing<'_>,
    random: impl FnOnce() -> (u128, u64),
) -> HeaderMap {
    let nominated = nominated(fields);
    let chain_passes = passing.proxied && !passing.hide_client;
    let mut seen = Seen::default();
    let mut out = HeaderMap::with_capacity(fields.len() + 8);
    for (name, value) in fields {
        let text = name.as_str();
        let keeps_chain = match text {
            "forwarded" => Some(&mut seen.forwarded),
            "x-forwarded-for" => Some(&mut seen.forwarded_for),
            _ => None,
        };
        if let Some(chain) = keeps_chain {
            if chain_passes {
                add(chain, value);
            }
            continue;
        }
        match text {
            "via" => {
                add(&mut seen.via, value);
                continue;
            }
            "te" => {
                seen.trailers |= value.as_bytes().eq_ignore_ascii_case(b"trailers");
                continue;
            }
            "x-forwarded-proto" | "x-forwarded-host" if !chain_passes => continue,
            "x-forwarded-proto" => seen.has_proto = true,
            "x-forwarded-host" => seen.has_host = true,
            "traceparent" if seen.has_sound_trace || !is_traceparent(value.as_bytes()) => {
                seen.has_broken_trace = true;
                continue;
            }
            "traceparent" => seen.has_sound_trace = true,
            "host" if passing.authority.is_some() => continue,
            _ if is_hop_by_hop(text) || text.starts_with("domicile-") => continue,
            _ if passing.hide_client && is_client_address(text) => continue,
            _ => {}
        }
        let is_dropped = (!passing.trusted && passing.steering.contains(name))
            || (!nominated.is_empty() && nominated.contains(name));
        if !is_dropped {
            out.append(name.clone(), value.clone());
        }
    }
    if let Some(authority) = passing.authority
        && let Ok(host) = HeaderValue::try_from(authority)
    {
        out.insert(header::HOST, host);
    }
    if seen.trailers {
        out.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    settle_trace(&mut out, &seen, random);
    tell_caller(&mut out, &passing, seen);
    out.insert("domicile-decision", passing.decision);
    out
}

/// Tells the backend whom the request comes from (RFC 7239; RFC 9110 §7.6.3). Of a caller that is
/// to stay hidden only that there is one: `for=_hidden` (RFC 7239 §6.3) and no `X-Forwarded-For`.
fn tell_caller(out: &mut HeaderMap, passing: &Passing<'_>, mut seen: Seen) {
    let host = out.get(header::HOST).cloned();
    let element = &mut seen.forwarded;
    separate(element);
    element.push_str("for=");
    if passing.hide_client {
        element.push_str("_hidden");
    } else {
        separate(&mut seen.forwarded_for);
        push_address(&mut seen.forwarded_for, passing.peer);
        match passing.peer {
            IpAddr::V4(_) => push_address(element, passing.peer),
            IpAddr::V6(_) => {
                element.push_str("\"[");
                push_address(element, passing.peer);
                element.push_str("]\"");
            }
        }
    }
    let scheme = if passing.secure { "https" } else { "http" };
    element.push_str(";proto=");
    element.push_str(scheme);
    if let Some(host) = host.as_ref().and_then(|h| h.to_str().ok())
        && !host.contains(['"', '\\'])
    {
        element.push_str(";host=\"");
        element.push_str(host);
        element.push('"');
    }
    set(out, FORWARDED, seen.forwarded);
    if !passing.hide_client {
        set(out, X_FORWARDED_FOR, seen.forwarded_for);
    }
    if !seen.has_proto {
        out.insert(X_FORWARDED_PROTO, HeaderValue::from_static(scheme));
    }
    if let Some(host) = host
        && !seen.has_host
    {
        out.insert(X_FORWARDED_HOST, host);
    }
    let own = via(passing.version);
    if seen.via.is_empty() {
        out.insert(header::VIA, HeaderValue::from_static(own));
    } else {
        separate(&mut seen.via);
        seen.via.push_str(own);
        set(out, header::VIA, seen.via);
    }
}

/// W3C Trace Context: a sound `traceparent` passes, a broken one goes with its state, a missing
/// one is begun.
fn settle_trace(out: &mut HeaderMap, seen: &Seen, random: impl FnOnce() -> (u128, u64)) {
    if seen.has_sound_trace && !seen.has_broken_trace {
        return;
    }
    if seen.has_broken_trace {
        out.remove("tracestate");
    }
    let (trace, span) = random();
    let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
    let mut digits = trace | 1;
    for place in text.iter_mut().skip(3).take(32).rev() {
        *place = hexadecimal(digits);
        digits >>= 4;
    }
    let mut digits = u128::from(span | 1);
    for place in text.iter_mut().skip(36).take(16).rev() {
        *place = hexadecimal(digits);
        digits >>= 4;
    }
    if let Ok(value) = HeaderValue::from_bytes(&text) {
        out.insert(TRACEPARENT, value);
    }
}

/// The fields that `Connection` names as its own.
fn nominated(fields: &HeaderMap) -> Vec<HeaderName> {
    if !fields.contains_key(header::CONNECTION) {
        return Vec::new();
    }
    fields
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .filter_map(|n| HeaderName::from_bytes(n.trim().as_bytes()).ok())
        .collect()
}

fn add(chain: &mut String, value: &HeaderValue) {
    if let Ok(value) = value.to_str() {
        separate(chain);
        chain.push_str(value);
    }
}

fn separate(chain: &mut String) {
    if !chain.is_empty() {
        chain.push_str(", ");
    }
}

fn set(out: &mut HeaderMap, name: HeaderName, text: String) {
    if let Ok(value) = HeaderValue::try_from(text) {
        out.insert(name, value);
    }
}

/// An address of version 4 without the formatter's machinery, which costs as much as the rest of
/// this file.
fn push_address(text: &mut String, address: IpAddr) {
    let IpAddr::V4(address) = address else {
        let _ = write!(text, "{address}");
        return;
    };
    for (at, octet) in address.octets().into_iter().enumerate() {
        if at > 0 {
            text.push('.');
        }
        if octet >= 100 {
            text.push(char::from(b'0' + octet / 100));
        }
        if octet >= 10 {
            text.push(char::from(b'0' + octet / 10 % 10));
        }
        text.push(char::from(b'0' + octet % 10));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(
                name.parse::<HeaderName>().unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        map
    }

    fn passing(peer: &str) -> Passing<'static> {
        Passing {
            steering: &[],
            trusted: false,
            peer: peer.parse().unwrap(),
            proxied: false,
            secure: false,
            hide_client: false,
            authority: None,
            version: Version::HTTP_11,
            decision: HeaderValue::from_static("d"),
        }
    }

    fn text<'m>(map: &'m HeaderMap, name: &str) -> &'m str {
        map.get(name).map_or("", |v| v.to_str().unwrap())
    }

    #[test]
    fn hop_by_hop_fields_and_nominees_go() {
        let fields = map(&[
            ("connection", "close, X-Private"),
            ("x-private", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-authorization", "Basic x"),
            ("te", "trailers"),
            ("upgrade", "h2c"),
            ("accept", "*/*"),
            ("cookie", "a=1"),
            ("cookie", "b=2"),
        ]);
        let out = outgoing(&fields, passing("192.0.2.7"), || (5, 6));
        for gone in [
            "connection",
            "x-private",
            "keep-alive",
            "proxy-authorization",
            "upgrade",
        ] {
            assert!(!out.contains_key(gone), "{gone} in {out:?}");
        }
        assert_eq!(text(&out, "te"), "trailers");
        assert_eq!(text(&out, "accept"), "*/*");
        assert_eq!(out.get_all("cookie").iter().count(), 2);
        assert_eq!(text(&out, "via"), "1.1 domicile");
        assert_eq!(text(&out, "domicile-decision"), "d");
    }

    #[test]
    fn steering_is_dropped_from_strangers_and_own_fields_from_all() {
        let steering = [HeaderName::from_static("x-target-region")];
        let fields = map(&[
            ("domicile-target", "eu"),
            ("domicile-decision", "forged"),
            ("x-target-region", "eu"),
        ]);
        for trusted in [false, true] {
            let passing = Passing {
                steering: &steering,
                trusted,
                ..passing("192.0.2.7")
            };
            let out = outgoing(&fields, passing, || (5, 6));
            assert_eq!(out.contains_key("x-target-region"), trusted);
            assert!(!out.contains_key("domicile-target"));
            assert_eq!(out.get_all("domicile-decision").iter().count(), 1);
        }
    }

    #[test]
    fn a_strangers_chain_is_replaced_and_a_proxys_is_continued() {
        let fields = map(&[
            ("host", "api.example"),
            ("x-forwarded-for", "203.0.113.9"),
            ("x-forwarded-for", "198.51.100.4"),
            ("via", "1.0 first"),
            ("x-forwarded-proto", "https"),
        ]);
        let out = outgoing(&fields, passing("192.0.2.107"), || (5, 6));
        assert_eq!(text(&out, "x-forwarded-for"), "192.0.2.107");
        assert_eq!(
            text(&out, "forwarded"),
            "for=192.0.2.107;proto=http;host=\"api.example\""
        );
        assert_eq!(text(&out, "x-forwarded-proto"), "http");
        assert_eq!(text(&out, "x-forwarded-host"), "api.example");
        assert_eq!(text(&out, "via"), "1.0 first, 1.1 domicile");
        let secure = Passing {
            secure: true,
            ..passing("192.0.2.107")
        };
        let out = outgoing(&fields, secure, || (5, 6));
        assert_eq!(text(&out, "x-forwarded-proto"), "https");
        assert!(text(&out, "forwarded").contains(";proto=https;"));
        let proxied = Passing {
            proxied: true,
            ..passing("2001:db8::1")
        };
        let out = outgoing(&fields, proxied, || (5, 6));
        assert_eq!(
            text(&out, "x-forwarded-for"),
            "203.0.113.9, 198.51.100.4, 2001:db8::1"
        );
        assert!(text(&out, "forwarded").starts_with("for=\"[2001:db8::1]\""));
        assert_eq!(text(&out, "x-forwarded-proto"), "https");
    }

    #[test]
    fn a_callers_address_stays_behind_when_the_data_leaves_home() {
        let names = [
            "x-real-ip",
            "x-client-ip",
            "x-cluster-client-ip",
            "true-client-ip",
            "cf-connecting-ip",
            "fastly-client-ip",
            "x-forwarded-for",
            "forwarded",
        ];
        let fields = map(&names.map(|name| (name, "for=203.0.113.9")));
        let abroad = Passing {
            proxied: true,
            hide_client: true,
            ..passing("203.0.113.9")
        };
        let out = outgoing(&fields, abroad, || (5, 6));
        let told = |v: &HeaderValue| v.to_str().unwrap().contains("203.0.113");
        assert!(!out.values().any(told), "{out:?}");
        assert_eq!(text(&out, "forwarded"), "for=_hidden;proto=http");
    }

    #[test]
    fn an_authority_overrides_the_host() {
        let fields = map(&[("host", "one.example")]);
        let passing = Passing {
            authority: Some("two.example"),
            ..passing("192.0.2.7")
        };
        let out = outgoing(&fields, passing, || (5, 6));
        assert_eq!(out.get_all("host").iter().count(), 1);
        assert_eq!(text(&out, "host"), "two.example");
    }

    #[test]
    fn trace_context_passes_only_when_sound() {
        let sound = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let fields = map(&[("traceparent", sound), ("tracestate", "a=b")]);
        let out = outgoing(&fields, passing("192.0.2.7"), || (5, 6));
        assert_eq!(text(&out, "traceparent"), sound);
        assert_eq!(text(&out, "tracestate"), "a=b");
        let broken = [
            "00-0-0-0".to_owned(),
            sound.to_uppercase(),
            sound.replace('b', "g"),
        ];
        for broken in broken {
            let fields = map(&[("traceparent", &broken), ("tracestate", "a=b")]);
            let out = outgoing(&fields, passing("192.0.2.7"), || (4, 0xab));
            assert_eq!(
                text(&out, "traceparent"),
                "00-00000000000000000000000000000005-00000000000000ab-00"
            );
            assert!(!out.contains_key("tracestate"));
        }
        let twice = map(&[("traceparent", sound), ("traceparent", sound)]);
        let out = outgoing(&twice, passing("192.0.2.7"), || (4, 6));
        assert_eq!(out.get_all("traceparent").iter().count(), 1);
        assert_ne!(text(&out, "traceparent"), sound);
    }
}
