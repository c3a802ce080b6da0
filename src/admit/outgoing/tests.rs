//! What regions are told.

use super::*;
use crate::message::Earlier;

fn map(fields: &[(&str, &str)]) -> Fields {
    fields.iter().copied().collect()
}

fn outgoing(fields: &Fields, passing: Passing<'_>, random: impl FnOnce() -> (u128, u64)) -> Fields {
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
        kind: Kind::default(),
        generation: 1,
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
        ("te", "gzip, Trailers"),
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
fn a_chain_in_which_a_quote_is_left_open_begins_anew() {
    let proxied = || Passing {
        proxied: true,
        ..passing("192.0.2.7")
    };
    for lines in [
        &["for=198.51.100.4;x=\", for=203.0.113.5"][..],
        &["for=198.51.100.4;x=\"", "for=203.0.113.5"],
        &["for=203.0.113.5", "for=198.51.100.4\""],
    ] {
        let fields: Fields = lines.iter().map(|line| ("forwarded", line)).collect();
        let out = outgoing(&fields, proxied(), || (5, 6));
        assert_eq!(
            text(&out, "forwarded"),
            "for=192.0.2.7;proto=http",
            "{lines:?}"
        );
    }
    let fields = map(&[("forwarded", "for=\"203.0.113.5\"")]);
    let out = outgoing(&fields, proxied(), || (5, 6));
    let whole = "for=\"203.0.113.5\", for=192.0.2.7;proto=http";
    assert_eq!(text(&out, "forwarded"), whole);
}

#[test]
fn a_comment_in_via_breaks_no_chain() {
    let mut fields = Fields::default();
    fields.append(Field::Via, b"1.1 domicile, 1.1 p (\xe9)");
    let out = outgoing(&fields, passing("192.0.2.7"), || (5, 6));
    let said = out.get(Field::Via).unwrap().as_bytes();
    assert_eq!(said, b"1.1 domicile, 1.1 p (\xe9), 1.1 domicile");
}

#[test]
fn what_steers_passes_from_strangers_in_no_spelling() {
    let steering = [HeaderName::from_static("x-target-region")];
    let fields = map(&[
        ("x-target-region", "eu"),
        ("x_target_region", "eu"),
        ("x_target-region", "eu"),
        ("x_other", "1"),
    ]);
    let stranger = Passing {
        steering: &steering,
        ..passing("192.0.2.7")
    };
    let out = outgoing(&fields, stranger, || (5, 6));
    let names = out.iter().filter(|(_, name, _)| name.contains("target"));
    assert_eq!(names.count(), 0, "{out:?}");
    assert!(out.contains_key("x_other"));
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
fn only_a_proxy_may_say_whose_address_it_is() {
    let fields = map(&[
        ("x-real-ip", "203.0.113.9"),
        ("true-client-ip", "203.0.113.9"),
    ]);
    for proxied in [false, true] {
        let passing = Passing {
            proxied,
            ..passing("198.51.100.7")
        };
        let out = outgoing(&fields, passing, || (5, 6));
        assert_eq!(out.contains_key(Field::XRealIp), proxied);
        assert_eq!(out.contains_key(Field::TrueClientIp), proxied);
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
    // Of later versions what is known must be sound, and be parted from what follows.
    let later = sound.replacen("00", "cc", 1);
    for later in [
        later.clone(),
        format!("{later}-"),
        format!("{later}-what.ever"),
    ] {
        let fields = map(&[("traceparent", &later), ("tracestate", "a=b")]);
        let out = outgoing(&fields, passing("192.0.2.7"), || (5, 6));
        assert_eq!(text(&out, "traceparent"), later);
        assert_eq!(text(&out, "tracestate"), "a=b");
    }
    let broken = [
        "00-0-0-0".to_owned(),
        format!("{sound}-00"),
        format!("{later}00"),
        sound.replacen("00", "ff", 1),
        sound.replacen("00", "cg", 1),
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

/// The lines of a head, of which any may stand there or not.
const LINES: [&str; 19] = [
    "Host: a.example",
    "Host: b.example",
    "Content-Length: 12",
    "Content-Length: 9",
    "Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203332-01",
    "Traceparent: 00-0-0-0",
    "Tracestate: a=b",
    "Connection: keep-alive, x-a",
    "Connection: traceparent",
    "TE: trailers",
    "Via: 1.0 first",
    "X-Forwarded-Proto: https",
    "X-Target-Region: eu",
    "X-A:1",
    "X-A: 2",
    "Content-Type: text/plain",
    "Content-Type: \t a/b ",
    "X-Real-IP: 203.0.113.9",
];

fn telling() -> Earlier {
    Earlier::telling(DECISIVE.and(FieldSet::of(&[Field::Host])))
}

/// In an order that tells nothing: that of one name's lines stays.
fn told(fields: &Fields) -> Vec<(String, Vec<u8>)> {
    let line =
        |(_, name, value): (Field, &str, Value<'_>)| (name.to_owned(), value.as_bytes().to_vec());
    let mut told: Vec<_> = fields.iter().map(line).collect();
    told.sort_by(|(a, _), (b, _)| a.cmp(b));
    told
}

proptest::proptest! {
    #[test]
    fn what_is_told_again_is_what_would_be_told_anew(
        heads in proptest::collection::vec(
            // Which lines, two ways to know what else there is to know, and by which of them the
            // next heads are told.
            (
                0_u32..1 << LINES.len(),
                [0_u8..16, 0_u8..16],
                proptest::collection::vec(proptest::bool::weighted(0.2), 1..12),
            ),
            1..4,
        ),
    ) {
        let steering = [HeaderName::from_static("x-target-region")];
        let (memory, mut earlier) = (Memory::default(), telling());
        for (lines, flags, turns) in heads {
            let lines = LINES.iter().enumerate().filter(|(i, _)| lines >> i & 1 == 1);
            let head: String = lines.map(|(_, line)| format!("{line}\r\n")).collect();
            for turn in turns {
                let [one, other] = flags;
                let flags = if turn { other } else { one };
                let head = format!("{head}\r\n");
                let (fields, _, kind) = earlier.read(head.as_bytes()).unwrap();
                let is = |bit: u8| flags >> bit & 1 == 1;
                let afresh = Passing {
                    steering: &steering,
                    trusted: is(0),
                    proxied: is(1),
                    hide_client: is(2),
                    authority: is(3).then_some("c.example"),
                    ..passing("192.0.2.7")
                };
                let again = Passing { kind, memory: Some(&memory), ..afresh };
                let afresh = super::outgoing(&fields, &afresh, || (5, 6));
                let again = super::outgoing(&fields, &again, || (5, 6));
                proptest::prop_assert_eq!(told(&again), told(&afresh));
                let write = |fields: &Fields| {
                    let mut out = bytes::BytesMut::new();
                    fields.write(&mut out, FieldSet::default());
                    out.len()
                };
                proptest::prop_assert_eq!(write(&again), write(&afresh));
            }
        }
    }
}

#[test]
fn a_head_is_told_again_from_its_third_time_on_until_the_settings_change() {
    let (memory, mut earlier) = (Memory::default(), telling());
    let trace = |last| format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333{last}-01");
    for (generation, is_known) in [
        (1, [false, false, true, true]),
        (2, [false, false, true, true]),
    ] {
        for (i, is_known) in is_known.into_iter().enumerate() {
            let head = format!(
                "Host: a\r\nContent-Length: {i}\r\nTraceparent: {}\r\n\r\n",
                trace(i)
            );
            let (fields, _, kind) = earlier.read(head.as_bytes()).unwrap();
            let passing = Passing {
                kind,
                generation,
                memory: Some(&memory),
                ..passing("192.0.2.7")
            };
            let alike = memory::Alike::of(&passing).unwrap();
            assert_eq!(
                memory.again(alike, &fields).is_some(),
                is_known,
                "{generation} {i}"
            );
            let out = super::outgoing(&fields, &passing, || (5, 6));
            assert_eq!(text(&out, "traceparent"), trace(i));
            assert_eq!(
                text(&out, "forwarded"),
                "for=192.0.2.7;proto=http;host=\"a\""
            );
        }
    }
}
