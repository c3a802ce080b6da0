//! The request's target and its host (RFC 9112 §3.2, RFC 9110 §4.2 and §7.2, RFC 3986).

use std::net::Ipv6Addr;

use bytes::Bytes;
use http::{Method, Uri};

use super::{fault::HeadFault, line::MAX_TARGET};

/// The form in which a target was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Origin,
    Absolute,
    /// Of CONNECT alone.
    Authority,
    /// Of OPTIONS alone.
    Asterisk,
}

/// Parses a target. It is copied, so that the buffer it came in is free for the next request.
///
/// Refused is what RFC 3986 has no place for, but for a few characters in a query that browsers
/// send as they are (WHATWG URL) and that no reader takes for anything else.
pub fn parse(target: &[u8], method: &Method) -> Result<(Uri, Target), HeadFault> {
    if target.len() > MAX_TARGET {
        return Err(HeadFault::LongTarget);
    }
    let form = form(target, method)?;
    let uri = match missing_slash(target).filter(|_| form == Target::Absolute) {
        Some((start, query)) => uri(&[start, b"/", query].concat())?,
        None => uri(target)?,
    };
    // What the URI's parser made of it must be what was meant.
    let is_sound = match form {
        Target::Origin => uri.authority().is_none() && uri.path().starts_with('/'),
        Target::Asterisk => uri.path() == "*",
        Target::Absolute => uri.scheme().is_some() && uri.authority().is_some(),
        Target::Authority => uri.scheme().is_none() && uri.authority().is_some(),
    };
    if !is_sound {
        return Err(HeadFault::TargetForm);
    }
    Ok((uri, form))
}

/// Parts a target whose authority a query follows, where the path goes that nobody may leave out who
/// sends it on (RFC 9112 §3.2.1).
fn missing_slash(target: &[u8]) -> Option<(&[u8], &[u8])> {
    let query = target.iter().position(|b| *b == b'?')?;
    let (start, query) = target.split_at_checked(query)?;
    let slashes = start.iter().filter(|b| **b == b'/').count();
    (slashes == 2).then_some((start, query))
}

fn uri(target: &[u8]) -> Result<Uri, HeadFault> {
    let copy = Bytes::copy_from_slice(target);
    Uri::from_maybe_shared(copy).map_err(|_| HeadFault::TargetForm)
}

/// Takes the path and query that `bytes` begin with and a space ends; with its length. `None` where
/// [`parse`] has to look at it.
pub fn take_path(bytes: &[u8]) -> Option<(Uri, usize)> {
    let mut length = 0;
    loop {
        match *bytes.get(length)? {
            b if CLASSES.get(usize::from(b)).is_some_and(|c| *c != 0) => length += 1,
            b'%' if is_escape(bytes.get(length + 1..length + 3)?) => length += 3,
            b' ' => break,
            _ => return None,
        }
    }
    let path = bytes.get(..length).filter(|p| p.starts_with(b"/"))?;
    let uri = (length <= MAX_TARGET).then(|| uri(path))?;
    Some((uri.ok()?, length))
}

fn is_escape(digits: &[u8]) -> bool {
    digits.iter().all(u8::is_ascii_hexdigit)
}

/// [`UNRESERVED`], [`IN_PATHS`] or 0 for each byte.
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0u8;
    while byte < 0x80 {
        let class = match byte {
            b if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~') => UNRESERVED,
            b'/' | b':' | b'@' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b','
            | b';' | b'=' | b'?' => IN_PATHS,
            _ => 0,
        };
        #[expect(
            clippy::indexing_slicing,
            reason = "a byte is below 256, and it is checked when built"
        )]
        {
            classes[byte as usize] = class;
        }
        byte += 1;
    }
    classes
};

/// RFC 3986 §2.3.
const UNRESERVED: u8 = 1;

/// What else stands in a path or a query as it is.
const IN_PATHS: u8 = 2;

fn form(target: &[u8], method: &Method) -> Result<Target, HeadFault> {
    if *method == Method::CONNECT {
        check_host(target)?;
        let has_port = target.iter().rev().take_while(|b| b.is_ascii_digit());
        return match has_port.count() {
            0 => Err(HeadFault::TargetForm),
            _ => Ok(Target::Authority),
        };
    }
    if target.first() == Some(&b'/') {
        check_path(target)?;
        return Ok(Target::Origin);
    }
    if target == b"*" {
        return match *method {
            Method::OPTIONS => Ok(Target::Asterisk),
            _ => Err(HeadFault::TargetForm),
        };
    }
    let rest = strip(target, b"http://").or_else(|| strip(target, b"https://"));
    let Some(rest) = rest else {
        // Not told apart from a broken path for the sake of a better message only.
        check_path(target)?;
        return Err(HeadFault::TargetForm);
    };
    let end = rest.iter().position(|b| matches!(b, b'/' | b'?'));
    let (authority, path) = rest
        .split_at_checked(end.unwrap_or(rest.len()))
        .ok_or(HeadFault::TargetForm)?;
    check_path(path)?;
    check_host(authority)?;
    Ok(Target::Absolute)
}

/// `bytes` after `prefix`, in whatever case that stands.
fn strip<'a>(bytes: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = bytes.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// Path and query.
pub fn check_path(text: &[u8]) -> Result<(), HeadFault> {
    let mut in_query = false;
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'?' => in_query = true,
            b if CLASSES.get(usize::from(*b)).is_some_and(|c| *c != 0) => {}
            b'%' => {
                let digits = bytes.as_slice().get(..2).filter(|d| is_escape(d));
                bytes.nth(1);
                digits.ok_or(HeadFault::TargetCharacter)?;
            }
            b'[' | b']' | b'{' | b'}' | b'|' | b'^' | b'`' if in_query => {}
            _ => return Err(HeadFault::TargetCharacter),
        }
    }
    Ok(())
}

#[inline]
fn is_unreserved(byte: u8) -> bool {
    CLASSES.get(usize::from(byte)) == Some(&UNRESERVED)
}

/// `uri-host [ ":" port ]`, no more lenient than names and addresses need: no user information,
/// no list, no escapes, no zone.
pub fn check_host(host: &[u8]) -> Result<(), HeadFault> {
    let port = if let Some(rest) = host.strip_prefix(b"[") {
        let end = rest.iter().position(|b| *b == b']');
        let (address, rest) = end
            .and_then(|end| rest.split_at_checked(end))
            .ok_or(HeadFault::Host)?;
        let address = std::str::from_utf8(address).map_err(|_| HeadFault::Host)?;
        address.parse::<Ipv6Addr>().map_err(|_| HeadFault::Host)?;
        rest.get(1..).unwrap_or_default()
    } else {
        let end = host.iter().position(|b| !is_unreserved(*b));
        let (name, rest) = host
            .split_at_checked(end.unwrap_or(host.len()))
            .ok_or(HeadFault::Host)?;
        if name.is_empty() {
            return Err(HeadFault::Host);
        }
        rest
    };
    let Some((colon, digits)) = port.split_first() else {
        return Ok(());
    };
    let is_port = *colon == b':'
        && digits.iter().all(u8::is_ascii_digit)
        && digits.len() <= 5
        && digits
            .iter()
            .fold(0u32, |n, d| n * 10 + u32::from(*d - b'0'))
            <= 65_535;
    if is_port {
        Ok(())
    } else {
        Err(HeadFault::Host)
    }
}
