//! The head that goes to a region, made of the caller's in one pass.
//!
//! Looking each field up by name, to drop or to replace it, walks or hashes forty names a request;
//! a look at each field that is there is a tenth of that (`docs/performance.md`).

use std::{cell::RefCell, io::Write as _, net::IpAddr};

use http::{HeaderName, Version};

use super::headers::{
    CLIENT_ADDRESS, HOP_BY_HOP, OWN_PREFIX, is_traceparent, nominated, say_decision, via,
};
use crate::{
    domain::eight_digits,
    message::{Field, FieldSet, Fields, Value},
};

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
    /// The authority of an absolute target, by which the route was found: what `Host` says is not
    /// told (RFC 9112 §3.2.2).
    pub authority: Option<&'r str>,
    pub version: Version,
    pub decision: &'r [u8; 36],
    /// What was told for the connection's last request.
    pub memory: Option<&'r Memory>,
}

/// What a connection's last request told of its caller. It is the same for the next one as a rule,
/// and to put it together anew took a third of an outgoing head. Without `Debug`: it holds the
/// caller's address.
#[derive(Default)]
pub struct Memory(RefCell<Option<Remembered>>);

struct Remembered {
    host: Option<Box<[u8]>>,
    hide_client: bool,
    secure: bool,
    version: Version,
    fields: Fields,
}

impl Remembered {
    fn is_of(&self, host: Option<&[u8]>, passing: &Passing<'_>) -> bool {
        self.hide_client == passing.hide_client
            && self.secure == passing.secure
            && self.version == passing.version
            && self.host.as_deref() == host
    }
}

/// What was seen on the way; the chains are continued, in their order.
#[derive(Default)]
struct Seen {
    forwarded: Chain,
    forwarded_for: Chain,
    via: Chain,
    has_proto: bool,
    has_host: bool,
    has_sound_trace: bool,
    has_broken_trace: bool,
    /// `TE: trailers` is how a caller says that trailers may come (gRPC); the field itself concerns
    /// one connection.
    trailers: bool,
}

impl Seen {
    /// Whether no chain is continued.
    fn begins_all(&self) -> bool {
        self.forwarded.is_empty()
            && self.forwarded_for.is_empty()
            && self.via.is_empty()
            && !self.has_proto
            && !self.has_host
    }
}

/// Elements of a list, joined by commas.
type Chain = Vec<u8>;

/// Fields that do not pass as they stand, or not always; those named `Domicile-…` aside.
const LOOKED_AT: FieldSet = FieldSet::of(&[
    Field::Forwarded,
    Field::XForwardedFor,
    Field::Via,
    Field::Te,
    Field::XForwardedProto,
    Field::XForwardedHost,
    Field::Traceparent,
])
.and(HOP_BY_HOP)
.and(CLIENT_ADDRESS)
.and(SAID_ANEW);

/// What whoever sends the request says of the endpoint and of the body.
const SAID_ANEW: FieldSet = FieldSet::of(&[Field::Host, Field::ContentLength, Field::Expect]);

/// The fields for the region, but for those that its connection says itself.
///
/// Hop-by-hop fields and `Connection`'s nominees go (RFC 9110 §7.6.1), so do all `Domicile-…`;
/// `Forwarded`, `X-Forwarded-*`, `Via` and `traceparent` are continued or begun. `random` is asked
/// for a trace's id only when one is begun.
pub fn outgoing(
    fields: &Fields,
    passing: &Passing<'_>,
    random: impl FnOnce() -> (u128, u64),
) -> Fields {
    let nominated = nominated(fields);
    let mut seen = Seen::default();
    let mut out = Fields::with_capacity(fields.len() + 8, ROOM);
    out.extend(fields, |field, name, value| {
        let goes = match LOOKED_AT.contains(field) {
            true => goes(field, value, passing, &mut seen),
            false => name.starts_with(OWN_PREFIX),
        };
        !goes
            && (passing.trusted || !is_among(passing.steering, name))
            && !nominated.iter().any(|n| n.as_bytes() == name)
    });
    if seen.trailers {
        out.append(Field::Te, "trailers");
    }
    settle_trace(&mut out, &seen, random);
    tell_caller(&mut out, fields, passing, &seen);
    say_decision(&mut out, passing.decision);
    out
}

/// Whether a field that is looked at is left out; what it says is noted.
fn goes(field: Field, value: Value<'_>, passing: &Passing<'_>, seen: &mut Seen) -> bool {
    let chain_passes = passing.proxied && !passing.hide_client;
    match field {
        Field::Forwarded if chain_passes => add(&mut seen.forwarded, value),
        Field::XForwardedFor if chain_passes => add(&mut seen.forwarded_for, value),
        Field::Via => add(&mut seen.via, value),
        Field::Te => {
            seen.trailers |= value.as_bytes().eq_ignore_ascii_case(b"trailers");
        }
        Field::XForwardedProto => seen.has_proto |= chain_passes,
        Field::XForwardedHost => seen.has_host |= chain_passes,
        Field::Traceparent => {
            let is_sound = !seen.has_sound_trace && is_traceparent(value.as_bytes());
            seen.has_sound_trace |= is_sound;
            seen.has_broken_trace |= !is_sound;
        }
        _ => {}
    }
    match field {
        Field::XForwardedProto | Field::XForwardedHost => !chain_passes,
        // What this one was: the flags above are set by it.
        Field::Traceparent => seen.has_broken_trace,
        field if CLIENT_ADDRESS.contains(field) => passing.hide_client,
        _ => true,
    }
}

/// Room that most heads have enough of.
const ROOM: usize = 1 << 10;

fn is_among(names: &[HeaderName], name: &[u8]) -> bool {
    names.iter().any(|n| n.as_str().as_bytes() == name)
}

/// Tells the backend whom the request comes from (RFC 7239; RFC 9110 §7.6.3). Of a caller that is
/// to stay hidden only that there is one: `for=_hidden` (RFC 7239 §6.3) and no `X-Forwarded-For`.
fn tell_caller(out: &mut Fields, fields: &Fields, passing: &Passing<'_>, seen: &Seen) {
    let host = match passing.authority {
        Some(authority) => Some(authority.as_bytes()),
        None => fields.get(Field::Host).map(Value::as_bytes),
    };
    let Some(memory) = passing.memory.filter(|_| seen.begins_all()) else {
        return put_caller(out, host, passing, seen);
    };
    let mut memory = memory.0.borrow_mut();
    let known = match &mut *memory {
        Some(known) if known.is_of(host, passing) => known,
        other => {
            let mut told = Fields::default();
            put_caller(&mut told, host, passing, seen);
            other.insert(Remembered {
                host: host.map(Into::into),
                hide_client: passing.hide_client,
                secure: passing.secure,
                version: passing.version,
                fields: told,
            })
        }
    };
    out.append_all(&known.fields);
}

fn put_caller(out: &mut Fields, host: Option<&[u8]>, passing: &Passing<'_>, seen: &Seen) {
    let scheme = if passing.secure { "https" } else { "http" };
    out.append_with(Field::Forwarded, |text| {
        begin(text, &seen.forwarded);
        text.extend_from_slice(b"for=");
        match passing.peer {
            _ if passing.hide_client => text.extend_from_slice(b"_hidden"),
            IpAddr::V4(_) => push_address(text, passing.peer),
            IpAddr::V6(_) => {
                text.extend_from_slice(b"\"[");
                push_address(text, passing.peer);
                text.extend_from_slice(b"]\"");
            }
        }
        text.extend_from_slice(b";proto=");
        text.extend_from_slice(scheme.as_bytes());
        if let Some(host) = host
            && !host.iter().any(|b| matches!(b, b'"' | b'\\'))
        {
            text.extend_from_slice(b";host=\"");
            text.extend_from_slice(host);
            text.push(b'"');
        }
    });
    if !passing.hide_client {
        out.append_with(Field::XForwardedFor, |text| {
            begin(text, &seen.forwarded_for);
            push_address(text, passing.peer);
        });
    }
    if !seen.has_proto {
        out.append(Field::XForwardedProto, scheme);
    }
    if let Some(host) = host
        && !seen.has_host
    {
        out.append(Field::XForwardedHost, host);
    }
    out.append_with(Field::Via, |text| {
        begin(text, &seen.via);
        text.extend_from_slice(via(passing.version).as_bytes());
    });
}

/// W3C Trace Context: a sound `traceparent` passes, a broken one goes with its state, a missing
/// one is begun.
fn settle_trace(out: &mut Fields, seen: &Seen, random: impl FnOnce() -> (u128, u64)) {
    if seen.has_sound_trace && !seen.has_broken_trace {
        return;
    }
    if seen.has_broken_trace {
        out.remove(Field::Traceparent);
        out.remove(Field::Tracestate);
    }
    let (trace, span) = random();
    let trace = [96, 64, 32, 0].map(|shift| eight_digits(((trace | 1) >> shift) as u32));
    let span = [32, 0].map(|shift| eight_digits(((span | 1) >> shift) as u32));
    let mut line = *b"traceparent: 00-00000000000000000000000000000000-0000000000000000-00\r\n";
    let (places, rest) = line.split_at_mut("traceparent: ".len() + 35);
    let places = places.iter_mut().skip("traceparent: ".len() + 3);
    for (place, digits) in places.zip(trace.as_flattened()) {
        *place = *digits;
    }
    for (place, digits) in rest.iter_mut().skip(1).zip(span.as_flattened()) {
        *place = *digits;
    }
    out.append_line(Field::Traceparent, &line);
}

fn add(chain: &mut Chain, value: Value<'_>) {
    if let Ok(value) = value.to_str() {
        if !chain.is_empty() {
            chain.extend_from_slice(b", ");
        }
        chain.extend_from_slice(value.as_bytes());
    }
}

/// What was there, and what parts it from what follows.
fn begin(text: &mut Vec<u8>, chain: &Chain) {
    if !chain.is_empty() {
        text.extend_from_slice(chain);
        text.extend_from_slice(b", ");
    }
}

/// An address of version 4 without the formatter's machinery, which costs as much as the rest of
/// this file.
fn push_address(text: &mut Vec<u8>, address: IpAddr) {
    let IpAddr::V4(address) = address else {
        let _ = write!(text, "{address}");
        return;
    };
    for (at, octet) in address.octets().into_iter().enumerate() {
        if at > 0 {
            text.push(b'.');
        }
        if octet >= 100 {
            text.push(b'0' + octet / 100);
        }
        if octet >= 10 {
            text.push(b'0' + octet / 10 % 10);
        }
        text.push(b'0' + octet % 10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&str, &str)]) -> Fields {
        fields.iter().copied().collect()
    }

    fn outgoing(
        fields: &Fields,
        passing: Passing<'_>,
        random: impl FnOnce() -> (u128, u64),
    ) -> Fields {
        super::outgoing(fields, &passing, random)
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
            decision: b"019aa7b1-0000-7000-8000-000000000001",
            memory: None,
        }
    }

    fn text<'m>(map: &'m Fields, name: &str) -> &'m str {
        map.get(name).map_or("", |v| v.to_str().unwrap())
    }

    #[test]
    fn hop_by_hop_fields_and_nominees_go() {
        let fields = map(&[
            ("connection", "close, X-Private, traceparent"),
            ("x-private", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-authorization", "Basic x"),
            ("te", "trailers"),
            ("upgrade", "h2c"),
            ("accept", "*/*"),
            (
                "traceparent",
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            ),
            ("cookie", "a=1"),
            ("cookie", "b=2"),
        ]);
        let out = outgoing(&fields, passing("192.0.2.7"), || (5, 6));
        for gone in [
            "connection",
            "traceparent",
            "x-private",
            "keep-alive",
            "proxy-authorization",
            "upgrade",
        ] {
            assert!(!out.contains_key(gone), "{gone} in {out:?}");
        }
        assert_eq!(text(&out, "te"), "trailers");
        assert_eq!(text(&out, "accept"), "*/*");
        assert_eq!(out.get_all("cookie").count(), 2);
        assert_eq!(text(&out, "via"), "1.1 domicile");
        let id = "019aa7b1-0000-7000-8000-000000000001";
        assert_eq!(text(&out, "domicile-decision"), id);
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
            assert_eq!(out.get_all("domicile-decision").count(), 1);
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
    fn what_is_remembered_is_told_only_of_what_is_the_same() {
        let memory = Memory::default();
        let plain = [("host", "api.example"), ("accept", "*/*")];
        let other = [("host", "other.example")];
        let via = [("host", "api.example"), ("via", "1.0 first")];
        let forwarded = [("host", "api.example"), ("x-forwarded-proto", "https")];
        let none: [(&str, &str); 0] = [];
        let heads: [&[(&str, &str)]; 7] = [&plain, &plain, &other, &via, &forwarded, &none, &plain];
        for fields in heads.map(map) {
            for (hide_client, secure, proxied) in [
                (false, false, false),
                (true, false, false),
                (false, true, true),
            ] {
                let passing = Passing {
                    hide_client,
                    secure,
                    proxied,
                    ..passing("192.0.2.7")
                };
                let afresh = super::outgoing(&fields, &passing, || (5, 6));
                let passing = Passing {
                    memory: Some(&memory),
                    ..passing
                };
                let told = super::outgoing(&fields, &passing, || (5, 6));
                assert_eq!(told, afresh);
                let again = super::outgoing(&fields, &passing, || (5, 6));
                assert_eq!(again, afresh);
            }
        }
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
        let told = |v: Value<'_>| v.to_str().unwrap().contains("203.0.113");
        assert!(!out.iter().any(|(_, _, v)| told(v)), "{out:?}");
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
        assert_eq!(text(&out, "x-forwarded-host"), "two.example");
        assert!(text(&out, "forwarded").ends_with(";host=\"two.example\""));
        assert!(!out.contains_key("host"), "the endpoint has its own");
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
        assert_eq!(out.get_all("traceparent").count(), 1);
        assert_ne!(text(&out, "traceparent"), sound);
    }
}
