//! What becomes of an accepted request on its way to a region: exactly one request, with all that
//! is not the connection's.

use std::net::{IpAddr, Ipv4Addr};

use http::uri::PathAndQuery;

use super::{HEADER_BYTES, Read, Request, read_within};
use crate::{
    admit::{
        http1::scan::MAX_FIELDS,
        outgoing::{Memory, Passing, outgoing},
    },
    forward::http1::harness::request_bytes,
    message::{Fields, Kind},
};

/// Fields that concern one connection, or that the router says anew; by a second hand.
const NOT_HANDED_ON: [&str; 19] = [
    "connection",
    "content-length",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "traceparent",
    "tracestate",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
];

/// Fields that a head for a region may have beyond the caller's.
const ADDED: usize = 10;

/// Writes a request as a region gets it and reads that again.
///
/// # Errors
/// What does not hold.
pub fn check(request: &Request) -> Result<(), &'static str> {
    let uri: http::Uri = request.target.parse().map_err(|_| "a target is no URI")?;
    // What no route ever takes: CONNECT and `*`.
    let Some(target) = uri.path_and_query().filter(|t| t.as_str().starts_with('/')) else {
        return Ok(());
    };
    let written = write(request, &uri, target);
    // A head for a region has a few more fields than the caller's.
    let again = read_within([written.as_slice()], 4 * HEADER_BYTES);
    let [Read::Request(again)] = again.as_slice() else {
        return match request.fields.len() + ADDED > MAX_FIELDS {
            true => Ok(()),
            false => Err("a region would not get exactly one request"),
        };
    };
    if again.method != request.method || again.target != target.as_str() {
        return Err("a region would get another request line");
    }
    if again.body != request.body || !again.keeps_alive {
        return Err("a region would get another body");
    }
    if again.is_chunked != request.is_chunked {
        return Err("a region would get another framing");
    }
    if handed_on(&again.fields, &[]) != handed_on(&request.fields, &nominees(&request.fields)) {
        return Err("a region would get other fields");
    }
    Ok(())
}

/// Tells regions of the heads of one connection, one after the other, with what it remembers and
/// without.
///
/// # Errors
/// What is told differs.
pub fn check_memory(heads: &[(Fields, Kind)]) -> Result<(), &'static str> {
    for (proxied, hide_client) in [(false, false), (true, false), (false, true)] {
        let memory = Memory::default();
        for (fields, kind) in heads {
            let anew = Passing {
                steering: &[],
                trusted: false,
                peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
                proxied,
                secure: false,
                hide_client,
                authority: None,
                version: http::Version::HTTP_11,
                decision: b"019f0000-0000-7000-8000-000000000000",
                kind: Kind::default(),
                generation: 0,
                memory: None,
            };
            let again = Passing {
                kind: *kind,
                memory: Some(&memory),
                ..anew
            };
            let told = |passing| sorted(&outgoing(fields, passing, || (1, 1)));
            if told(&again) != told(&anew) {
                return Err("a region would be told something else from memory");
            }
        }
    }
    Ok(())
}

/// The order of fields of different names tells nothing.
fn sorted(fields: &Fields) -> Vec<(String, Vec<u8>)> {
    let lines = fields.iter();
    let mut lines: Vec<_> = lines
        .map(|(_, name, value)| (name.to_owned(), value.as_bytes().to_vec()))
        .collect();
    lines.sort_by(|(a, _), (b, _)| a.cmp(b));
    lines
}

fn write(request: &Request, uri: &http::Uri, target: &PathAndQuery) -> Vec<u8> {
    let passing = Passing {
        steering: &[],
        trusted: false,
        peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
        proxied: request.fields.len() % 2 == 1,
        secure: false,
        hide_client: false,
        authority: uri.authority().map(http::uri::Authority::as_str),
        version: request.version,
        decision: b"019f0000-0000-7000-8000-000000000000",
        kind: Kind::default(),
        generation: 0,
        memory: None,
    };
    let fields = outgoing(&request.fields, &passing, || (1, 1));
    let method = http::Method::from_bytes(request.method.as_bytes()).unwrap_or_default();
    request_bytes(
        &method,
        target,
        &fields,
        request.body.clone(),
        request.is_chunked,
    )
}

/// What `Connection` claims, read by splitting alone.
fn nominees(fields: &Fields) -> Vec<String> {
    let values = fields.iter().filter(|(_, name, _)| *name == "connection");
    let texts = values.map(|(_, _, value)| String::from_utf8_lossy(value.as_bytes()).into_owned());
    texts
        .flat_map(|text| {
            let names = text.split(',').map(|name| name.trim().to_ascii_lowercase());
            names.collect::<Vec<_>>()
        })
        .collect()
}

/// The fields that must arrive as they are, in their order.
fn handed_on(fields: &Fields, nominees: &[String]) -> Vec<(String, Vec<u8>)> {
    let stays = |name: &str| {
        NOT_HANDED_ON.contains(&name)
            || name.starts_with("domicile-")
            || nominees.iter().any(|nominee| nominee == name)
    };
    let passing = fields.iter().filter(|(_, name, _)| !stays(name));
    passing
        .map(|(_, name, value)| (name.to_owned(), value.as_bytes().to_vec()))
        .collect()
}
