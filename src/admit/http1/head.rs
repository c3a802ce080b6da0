//! A whole head: line and fields, and what they say of the body and the connection.

use bytes::{Buf, BytesMut};
use http::{HeaderName, Method, Version, header};

use super::{
    fault::HeadFault,
    line::{self, Line},
    scan::{MAX_FIELDS, Scan},
    target::{self, Target},
};
use crate::{
    admit::outgoing,
    message::{Earlier, Field, FieldSet, Fields, Kind, Parts, Value, tokens},
};

/// A request's head that nothing is wrong with.
#[derive(Debug)]
pub struct Head {
    pub parts: Box<Parts>,
    pub framing: Framing,
    /// The caller means to send further requests.
    pub keeps_alive: bool,
    /// The caller waits for a 100 before it sends the body.
    pub expects_continue: bool,
    /// The caller takes trailer fields (`TE: trailers`).
    pub takes_trailers: bool,
}

/// Where a request's body ends (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Length(u64),
    Chunked,
}

/// What the last head of a connection was like.
pub struct Last {
    earlier: Earlier,
    said: Option<(Kind, Version, Said)>,
}

impl Default for Last {
    fn default() -> Self {
        const OF_THE_HEAD: FieldSet = FieldSet::of(&[
            Field::Host,
            Field::Connection,
            Field::TransferEncoding,
            Field::Expect,
            Field::Te,
        ]);
        Self {
            earlier: Earlier::telling(OF_THE_HEAD.and(outgoing::DECISIVE)),
            said: None,
        }
    }
}

/// What the fields of a head say, but for the body's length: the same of all heads of a kind.
#[derive(Clone, Copy, Debug)]
struct Said {
    is_chunked: bool,
    keeps_alive: bool,
    expects_continue: bool,
    takes_trailers: bool,
}

/// Fields that are for all recipients, so that no connection may claim them (RFC 9110 §7.6.1):
/// whoever drops them on its word hands on another request than was judged.
const END_TO_END: [HeaderName; 24] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::CONTENT_RANGE,
    header::CONTENT_LANGUAGE,
    header::CONTENT_LOCATION,
    header::TRANSFER_ENCODING,
    header::AUTHORIZATION,
    header::COOKIE,
    header::CACHE_CONTROL,
    header::PRAGMA,
    header::EXPECT,
    header::RANGE,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_UNMODIFIED_SINCE,
    header::IF_RANGE,
    header::MAX_FORWARDS,
    header::FORWARDED,
    header::VIA,
    header::ACCEPT,
    header::ORIGIN,
];

/// Takes the next head out of `bytes` once it has come as a whole; `scan` is of what has come
/// before, and begins anew with each head; `last` is of the connection.
///
/// # Errors
/// What is wrong with it; the bytes of a head that was found are gone then, too.
pub fn take(
    scan: &mut Scan,
    last: &mut Last,
    bytes: &mut BytesMut,
    limit: usize,
) -> Result<Option<Head>, HeadFault> {
    // Most heads come in one piece and have no fault. Of all others the scan tells the same,
    // however they were cut.
    if scan.is_fresh()
        && let Some((head, length)) = take_at_once(last, bytes.get(..limit).unwrap_or(bytes))
    {
        bytes.advance(length);
        return Ok(Some(head));
    }
    let Some(length) = scan.find_end(bytes, limit)? else {
        return Ok(None);
    };
    let head = parse(bytes.get(..length).unwrap_or_default());
    bytes.advance(length);
    *scan = Scan::default();
    head.map(Some)
}

fn take_at_once(last: &mut Last, bytes: &[u8]) -> Option<(Head, usize)> {
    let (line, begun) = line::take(bytes)?;
    let (fields, length, kind) = last.earlier.read(bytes.get(begun..)?)?;
    let is_within = fields.len() <= MAX_FIELDS;
    let version = line.version;
    let known = last
        .said
        .filter(|(of, by, _)| *of == kind && *by == version && line.target == Target::Origin);
    let said = match known {
        Some((_, _, said)) => said,
        None => Said::of(&line, &fields).ok()?,
    };
    let head = Head::of(line, fields, kind, said)
        .ok()
        .filter(|_| is_within)?;
    if known.is_none() {
        last.said = kind.is_known().then_some((kind, version, said));
    }
    Some((head, begun + length))
}

/// Parses a whole head. Nothing of it is kept but copies.
fn parse(head: &[u8]) -> Result<Head, HeadFault> {
    let head = head.strip_prefix(b"\r\n").unwrap_or(head);
    let end = memchr::memchr(b'\n', head).ok_or(HeadFault::RequestLine)?;
    let (first, lines) = head.split_at_checked(end + 1).unwrap_or_default();
    let first = first.strip_suffix(b"\r\n").ok_or(HeadFault::BareLineFeed)?;
    let (line, fields) = (line::parse(first)?, Fields::parse(lines)?);
    let said = Said::of(&line, &fields)?;
    Head::of(line, fields, Kind::default(), said)
}

impl Said {
    fn of(line: &Line, fields: &Fields) -> Result<Self, HeadFault> {
        check_host(line, fields)?;
        Ok(Self {
            is_chunked: framing(fields, line.version)? == Framing::Chunked,
            keeps_alive: connection(fields, line.version)?,
            expects_continue: expectation(fields, line.version)?,
            takes_trailers: fields
                .get_all(Field::Te)
                .flat_map(|v| tokens(v.as_bytes()))
                .any(|t| t.is_some_and(|t| t.eq_ignore_ascii_case(b"trailers"))),
        })
    }
}

impl Head {
    /// What line and fields say together.
    fn of(line: Line, fields: Fields, kind: Kind, said: Said) -> Result<Self, HeadFault> {
        let framing = match said.is_chunked {
            true => Framing::Chunked,
            false => length(&fields)?,
        };
        Ok(Self {
            // What follows a CONNECT would be the tunnel's, if there were one (RFC 9110 §9.3.6).
            keeps_alive: said.keeps_alive && line.method != Method::CONNECT,
            parts: Box::new(Parts {
                method: line.method,
                uri: line.uri,
                version: line.version,
                headers: fields,
                kind,
            }),
            framing,
            expects_continue: said.expects_continue && framing != Framing::Length(0),
            takes_trailers: said.takes_trailers,
        })
    }
}

/// RFC 9112 §3.2: one sound Host, that of an absolute target; only HTTP/1.0 may do without.
fn check_host(line: &Line, fields: &Fields) -> Result<(), HeadFault> {
    let Some(host) = fields.only(Field::Host).map_err(|_| HeadFault::ManyHosts)? else {
        return match line.version {
            Version::HTTP_10 => Ok(()),
            _ => Err(HeadFault::NoHost),
        };
    };
    target::check_host(host.as_bytes())?;
    match (line.target, line.uri.authority()) {
        (Target::Absolute | Target::Authority, Some(authority))
            if !authority
                .as_str()
                .as_bytes()
                .eq_ignore_ascii_case(host.as_bytes()) =>
        {
            Err(HeadFault::HostConflict)
        }
        _ => Ok(()),
    }
}

/// RFC 9112 §6, with every leniency left out.
fn framing(fields: &Fields, version: Version) -> Result<Framing, HeadFault> {
    if !fields.contains_key(Field::TransferEncoding) {
        return length(fields);
    }
    let length = fields
        .only(Field::ContentLength)
        .map_err(|_| HeadFault::ManyLengths)?;
    if length.is_some() {
        return Err(HeadFault::TwoFramings);
    }
    if version == Version::HTTP_10 {
        return Err(HeadFault::OldTransferEncoding);
    }
    let coding = fields
        .only(Field::TransferEncoding)
        .map_err(|_| HeadFault::TransferEncoding)?;
    let coding = coding.map(Value::as_bytes).unwrap_or_default();
    if coding.eq_ignore_ascii_case(b"chunked") {
        return Ok(Framing::Chunked);
    }
    // Framed soundly, in a coding that is not known here (RFC 9112 §6.1), or not even that.
    let is_chunked = |t: &[u8]| t.eq_ignore_ascii_case(b"chunked");
    let mut codings: Vec<Option<&[u8]>> = tokens(coding).collect();
    let last = codings.pop().flatten();
    if last.is_some_and(is_chunked)
        && !codings.is_empty()
        && codings
            .iter()
            .all(|coding| coding.is_some_and(|coding| !is_chunked(coding)))
    {
        return Err(HeadFault::TransferCoding);
    }
    Err(HeadFault::TransferEncoding)
}

/// Of a body that is not chunked.
fn length(fields: &Fields) -> Result<Framing, HeadFault> {
    let length = fields
        .only(Field::ContentLength)
        .map_err(|_| HeadFault::ManyLengths)?;
    length.map_or(Ok(Framing::Length(0)), |length| {
        digits(length.as_bytes()).map(Framing::Length)
    })
}

/// `1*DIGIT` that fits (RFC 9110 §8.6).
pub fn digits(text: &[u8]) -> Result<u64, HeadFault> {
    if text.is_empty() || text.len() > 19 {
        return Err(HeadFault::ContentLength);
    }
    let mut number = 0u64;
    for byte in text {
        if !byte.is_ascii_digit() {
            return Err(HeadFault::ContentLength);
        }
        number = number
            .checked_mul(10)
            .and_then(|n| n.checked_add(u64::from(byte - b'0')))
            .ok_or(HeadFault::ContentLength)?;
    }
    Ok(number)
}

/// Whether the connection is to be kept (RFC 9112 §9.3).
fn connection(fields: &Fields, version: Version) -> Result<bool, HeadFault> {
    let (mut closes, mut keeps) = (false, false);
    for value in fields.get_all(Field::Connection) {
        for option in tokens(value.as_bytes()) {
            let option = option.ok_or(HeadFault::Connection)?;
            if option.eq_ignore_ascii_case(b"close") {
                closes = true;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                keeps = true;
            } else if is_end_to_end(option) {
                return Err(HeadFault::Connection);
            }
        }
    }
    Ok(!closes && (keeps || version == Version::HTTP_11))
}

fn is_end_to_end(option: &[u8]) -> bool {
    let begins = |prefix: &[u8]| {
        option
            .get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    let is_known = END_TO_END
        .iter()
        .any(|name| name.as_str().as_bytes().eq_ignore_ascii_case(option));
    is_known || begins(b"domicile-") || begins(b"x-forwarded-") || begins(b"x-http-method")
}

/// RFC 9110 §10.1.1; of HTTP/1.0 it is passed over, as is asked for there.
pub fn expectation(fields: &Fields, version: Version) -> Result<bool, HeadFault> {
    let Some(value) = fields
        .only(Field::Expect)
        .map_err(|_| HeadFault::Expectation)?
    else {
        return Ok(false);
    };
    if !value.as_bytes().eq_ignore_ascii_case(b"100-continue") {
        return Err(HeadFault::Expectation);
    }
    Ok(version == Version::HTTP_11)
}
