//! The request line (RFC 9112 §3).

use http::{Method, Uri, Version};

use super::{
    fault::HeadFault,
    target::{self, Target},
};
use crate::message::is_token;

/// No method that is registered with IANA is longer.
pub const MAX_METHOD: usize = 32;

/// RFC 9112 §3 asks for 8,000 bytes at least.
pub const MAX_TARGET: usize = 16 << 10;

const MAX_LINE: usize = MAX_METHOD + MAX_TARGET + " HTTP/1.1".len() + 1;

/// A request line taken apart.
#[derive(Debug)]
pub struct Line {
    pub method: Method,
    pub uri: Uri,
    pub version: Version,
    pub target: Target,
}

/// What can be said of a whole request line before the rest of the head has come.
pub fn check(line: &[u8]) -> Result<(), HeadFault> {
    split(line).map(|_| ())
}

/// What can be said of a request line whose end has not come.
pub fn check_begun(line: &[u8]) -> Result<(), HeadFault> {
    if line == b"\r" {
        // Half of the empty line that may stand before a request.
        return Ok(());
    }
    method_end(line)?;
    if line.len() > MAX_LINE + 1 {
        return Err(HeadFault::LongTarget);
    }
    Ok(())
}

/// Takes the line that `bytes` begin with, if it is one of HTTP/1.1 with a path, as nearly all are;
/// with its length. `None` tells nothing: [`parse`] knows.
pub fn take(bytes: &[u8]) -> Option<(Line, usize)> {
    const END: &[u8] = b" HTTP/1.1\r\n";
    let space = bytes.iter().take(MAX_METHOD + 1).position(|b| *b == b' ')?;
    let method = Method::from_bytes(bytes.get(..space)?).ok()?;
    let rest = bytes
        .get(space + 1..)
        .filter(|_| method != Method::CONNECT)?;
    let (uri, length) = target::take_path(rest)?;
    if !rest.get(length..)?.starts_with(END) {
        return None;
    }
    let line = Line {
        method,
        uri,
        version: Version::HTTP_11,
        target: Target::Origin,
    };
    Some((line, space + 1 + length + END.len()))
}

/// Parses a line without its CR LF.
pub fn parse(line: &[u8]) -> Result<Line, HeadFault> {
    let (method, target, version) = split(line)?;
    let method = Method::from_bytes(method).map_err(|_| HeadFault::Method)?;
    let (uri, target) = target::parse(target, &method)?;
    Ok(Line {
        method,
        uri,
        version,
        target,
    })
}

/// Method, target and version; order and kind of the faults are those of [`check_begun`] as far
/// as that looks.
fn split(line: &[u8]) -> Result<(&[u8], &[u8], Version), HeadFault> {
    let space = method_end(line)?.ok_or(HeadFault::RequestLine)?;
    if line.len() > MAX_LINE {
        return Err(HeadFault::LongTarget);
    }
    let (method, rest) = line.split_at_checked(space).ok_or(HeadFault::RequestLine)?;
    let rest = rest.get(1..).unwrap_or_default();
    let mut words = rest.split(|b| *b == b' ');
    let (Some(target), Some(version), None) = (words.next(), words.next(), words.next()) else {
        return Err(HeadFault::RequestLine);
    };
    if target.is_empty() {
        return Err(HeadFault::RequestLine);
    }
    if line.contains(&b'\r') {
        return Err(HeadFault::BareReturn);
    }
    let version = match version {
        b"HTTP/1.1" => Version::HTTP_11,
        b"HTTP/1.0" => Version::HTTP_10,
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            return Err(HeadFault::Version);
        }
        _ => return Err(HeadFault::VersionSyntax),
    };
    Ok((method, target, version))
}

/// Where the method ends; `None` while it may go on.
fn method_end(line: &[u8]) -> Result<Option<usize>, HeadFault> {
    for (at, byte) in line.iter().enumerate().take(MAX_METHOD + 1) {
        match byte {
            b' ' if at > 0 => return Ok(Some(at)),
            b if is_token(*b) => {}
            _ => return Err(HeadFault::Method),
        }
    }
    if line.len() > MAX_METHOD {
        return Err(HeadFault::LongMethod);
    }
    Ok(None)
}
