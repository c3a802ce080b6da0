//! The head that goes to a region, made of the caller's in one pass.
//!
//! Looking each field up by name, to drop or to replace it, walks or hashes forty names a request;
//! a look at each field that is there is a tenth of that (`docs/performance.md`).

mod memory;
#[cfg(test)]
mod tests;

use std::{io::Write as _, net::IpAddr};

use http::{HeaderName, Version};

use super::{
    caller::is_forwarded,
    headers::{HOP_BY_HOP, is_among, is_traceparent, nominated, say_decision, takes_trailers, via},
};
use crate::{
    domain::eight_digits,
    message::{CLIENT_ADDRESS, Field, FieldSet, Fields, Kind, OWN_PREFIX, Value},
};

pub use memory::Memory;

use memory::{Alike, Runs};

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
    /// Of the fields, on the caller's connection.
    pub kind: Kind,
    /// Of what is told beside the fields by the settings: which of them.
    pub generation: u64,
    /// What was told for the connection's last request.
    pub memory: Option<&'r Memory>,
}

/// What was seen on the way; the chains are continued, in their order.
#[derive(Default)]
struct Seen {
    forwarded: Chain,
    /// What was written of it cannot be told apart from what will be.
    has_broken_chain: bool,
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
const LOOKED_AT: FieldSet = DECISIVE
    .and(SAID_ANEW)
    .and(FieldSet::of(&[Field::Traceparent]));

/// Fields on whose values it hangs what is told of others, or of the caller. Whoever gives a head's
/// kind tells kinds apart by them and by `Host`.
pub const DECISIVE: FieldSet = FieldSet::of(&[
    Field::Forwarded,
    Field::XForwardedFor,
    Field::Via,
    Field::Te,
    Field::XForwardedProto,
    Field::XForwardedHost,
])
.and(HOP_BY_HOP)
.and(CLIENT_ADDRESS);

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
    let alike = Alike::of(passing).zip(passing.memory);
    if let Some((alike, memory)) = alike
        && let Some(mut out) = memory.again(alike, fields)
    {
        if !out.contains_key(Field::Traceparent) {
            begin_trace(&mut out, random);
        }
        say_decision(&mut out, passing.decision);
        return out;
    }
    let nominated = nominated(fields);
    let (mut seen, mut runs) = (Seen::default(), Runs::default());
    let mut out = Fields::with_capacity(fields.len() + 8, ROOM);
    out.extend(fields, |field, name, value| {
        let goes = match LOOKED_AT.contains(field) {
            true => goes(field, value, passing, &mut seen),
            false => name.starts_with(OWN_PREFIX),
        };
        let passes = !goes
            && (passing.trusted || !is_among(passing.steering, name))
            && !nominated.iter().any(|n| n.as_bytes() == name);
        runs.note(passes);
        passes
    });
    let passed = out.len();
    if seen.has_broken_chain {
        seen.forwarded.clear();
    }
    if seen.trailers {
        out.append(Field::Te, "trailers");
    }
    tell_caller(&mut out, fields, passing, &seen);
    if let Some((alike, memory)) = alike
        && !seen.has_broken_trace
        && seen.has_sound_trace == out.contains_key(Field::Traceparent)
    {
        memory.keep(alike, runs, &out, passed);
    }
    settle_trace(&mut out, &seen, random);
    say_decision(&mut out, passing.decision);
    out
}

/// Whether a field that is looked at is left out; what it says is noted.
fn goes(field: Field, value: Value<'_>, passing: &Passing<'_>, seen: &mut Seen) -> bool {
    let chain_passes = passing.proxied && !passing.hide_client;
    match field {
        Field::Forwarded if chain_passes => {
            seen.has_broken_chain |= !is_forwarded(value);
            add(&mut seen.forwarded, value);
        }
        Field::XForwardedFor if chain_passes => add(&mut seen.forwarded_for, value),
        Field::Via => add_bytes(&mut seen.via, value),
        Field::Te => {
            seen.trailers |= takes_trailers(value);
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
        // Whoever is no proxy could name anybody.
        field if CLIENT_ADDRESS.contains(field) => passing.hide_client || !passing.proxied,
        _ => true,
    }
}

/// Room that most heads have enough of.
const ROOM: usize = 1 << 10;

/// Tells the backend whom the request comes from (RFC 7239; RFC 9110 §7.6.3). Of a caller that is
/// to stay hidden only that there is one: `for=_hidden` (RFC 7239 §6.3) and no `X-Forwarded-For`.
fn tell_caller(out: &mut Fields, fields: &Fields, passing: &Passing<'_>, seen: &Seen) {
    let host = match passing.authority {
        Some(authority) => Some(authority.as_bytes()),
        None => fields.get(Field::Host).map(Value::as_bytes),
    };
    match passing.memory.filter(|_| seen.begins_all()) {
        Some(memory) => {
            let put = |told: &mut Fields| put_caller(told, host, passing, seen);
            memory.tell_caller(out, host, passing, put);
        }
        None => put_caller(out, host, passing, seen),
    }
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
    begin_trace(out, random);
}

fn begin_trace(out: &mut Fields, random: impl FnOnce() -> (u128, u64)) {
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
    if value.to_str().is_ok() {
        add_bytes(chain, value);
    }
}

fn add_bytes(chain: &mut Chain, value: Value<'_>) {
    if !chain.is_empty() {
        chain.extend_from_slice(b", ");
    }
    chain.extend_from_slice(value.as_bytes());
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
