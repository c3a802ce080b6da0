//! Where a body ends, and what in it is content (RFC 9112 §6 and §7). Pure: bytes in, pieces out.

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, header};
use memchr::memchr;

use super::{super::headers::CLIENT_ADDRESS, fault::FramingFault, head::Framing};
use crate::message::{Field, Fields, LineFault};

/// Trailer fields of one body, names, values and line ends.
pub const MAX_TRAILER: usize = 8 << 10;
pub const MAX_TRAILERS: usize = 32;

/// More digits than a length can have here are somebody's attempt at an overflow.
const MAX_DIGITS: usize = 16;

/// How far a body was decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoder {
    Done,
    /// Bytes still to come.
    Length(u64),
    Chunked(Chunk),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunk {
    Size,
    /// Bytes of this chunk still to come.
    Data(u64),
    /// The CR LF after a chunk's data.
    End,
    /// After the last chunk.
    Trailer,
}

/// What stands next in a body.
#[derive(Debug)]
pub enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
    End,
    /// Nothing before more bytes come.
    More,
}

impl From<Framing> for Decoder {
    fn from(framing: Framing) -> Self {
        match framing {
            Framing::Length(0) => Self::Done,
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(Chunk::Size),
        }
    }
}

impl Decoder {
    pub fn is_done(&self) -> bool {
        *self == Self::Done
    }

    /// How much content is still to come, where that is known.
    pub fn left(&self) -> Option<u64> {
        match self {
            Self::Done => Some(0),
            Self::Length(left) => Some(*left),
            Self::Chunked(_) => None,
        }
    }

    /// Takes the next piece off the front of `bytes`, without copying it.
    ///
    /// # Errors
    /// What the framing is found to be wrong in. The bytes after it mean nothing any more.
    pub fn decode(&mut self, bytes: &mut BytesMut) -> Result<Piece, FramingFault> {
        loop {
            match self {
                Self::Done => return Ok(Piece::End),
                Self::Length(left) => {
                    let Some(data) = take(bytes, *left) else {
                        return Ok(Piece::More);
                    };
                    *left = left.saturating_sub(data.len() as u64);
                    if *left == 0 {
                        *self = Self::Done;
                    }
                    return Ok(Piece::Data(data));
                }
                Self::Chunked(chunk) => match chunk {
                    Chunk::Size => match size(bytes)? {
                        None => return Ok(Piece::More),
                        Some((0, length)) => {
                            bytes.advance(length);
                            *chunk = Chunk::Trailer;
                        }
                        Some((size, length)) => {
                            bytes.advance(length);
                            *chunk = Chunk::Data(size);
                        }
                    },
                    Chunk::Data(left) => {
                        let Some(data) = take(bytes, *left) else {
                            return Ok(Piece::More);
                        };
                        *left = left.saturating_sub(data.len() as u64);
                        if *left == 0 {
                            *chunk = Chunk::End;
                        }
                        return Ok(Piece::Data(data));
                    }
                    Chunk::End => {
                        if !line_ends(bytes)? {
                            return Ok(Piece::More);
                        }
                        bytes.advance(2);
                        *chunk = Chunk::Size;
                    }
                    Chunk::Trailer => {
                        let Some(length) = trailer_end(bytes)? else {
                            return Ok(Piece::More);
                        };
                        if length == 2 {
                            bytes.advance(2);
                            *self = Self::Done;
                            return Ok(Piece::End);
                        }
                        // A body with a fault never ends: the connection would be kept.
                        let fields = trailers(&bytes.split_to(length).freeze())?;
                        *self = Self::Done;
                        return Ok(Piece::Trailers(fields));
                    }
                },
            }
        }
    }
}

fn take(bytes: &mut BytesMut, left: u64) -> Option<Bytes> {
    let here = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
    (here > 0).then(|| bytes.split_to(here).freeze())
}

/// A chunk's size and how many bytes say it, `1*HEXDIG CR LF`; `None` while they are not all here.
fn size(bytes: &[u8]) -> Result<Option<(u64, usize)>, FramingFault> {
    let mut size = 0u64;
    for (at, byte) in bytes.iter().enumerate() {
        if let Some(digit) = char::from(*byte).to_digit(16) {
            if at >= MAX_DIGITS {
                return Err(FramingFault::ChunkSize);
            }
            size = size << 4 | u64::from(digit);
            continue;
        }
        if at == 0 {
            return Err(FramingFault::ChunkSize);
        }
        return match byte {
            b'\r' if i64::try_from(size).is_err() => Err(FramingFault::ChunkSize),
            b'\r' => match bytes.get(at + 1) {
                None => Ok(None),
                Some(b'\n') => Ok(Some((size, at + 2))),
                Some(_) => Err(FramingFault::ChunkEnd),
            },
            b';' => Err(FramingFault::ChunkExtension),
            b'\n' => Err(FramingFault::ChunkEnd),
            _ => Err(FramingFault::ChunkSize),
        };
    }
    Ok(None)
}

/// Whether CR LF stands first; false while it is not all here.
fn line_ends(bytes: &[u8]) -> Result<bool, FramingFault> {
    match bytes {
        [b'\r', b'\n', ..] => Ok(true),
        [] | [b'\r'] => Ok(false),
        _ => Err(FramingFault::ChunkEnd),
    }
}

/// The length of the trailer section, its last empty line included.
fn trailer_end(bytes: &[u8]) -> Result<Option<usize>, FramingFault> {
    let within = bytes.get(..MAX_TRAILER).unwrap_or(bytes);
    let mut at = 0;
    for count in 0..=MAX_TRAILERS {
        let Some(end) = memchr(b'\n', within.get(at..).unwrap_or_default()) else {
            return match within.len() {
                MAX_TRAILER => Err(FramingFault::LongTrailer),
                _ => Ok(None),
            };
        };
        let line = within.get(at..at + end).unwrap_or_default();
        at += end + 1;
        match line {
            b"\r" => return Ok(Some(at)),
            [.., b'\r'] if count < MAX_TRAILERS => {}
            [.., b'\r'] => break,
            _ => return Err(FramingFault::Trailer),
        }
    }
    Err(FramingFault::LongTrailer)
}

fn trailers(lines: &Bytes) -> Result<HeaderMap, FramingFault> {
    let fields = Fields::parse(lines).map_err(|fault| match fault {
        LineFault::Underscore => FramingFault::ForbiddenTrailer,
        _ => FramingFault::Trailer,
    })?;
    let fields = fields.to_map();
    if fields.keys().any(is_forbidden) {
        return Err(FramingFault::ForbiddenTrailer);
    }
    Ok(fields)
}

/// Whether a field may not stand in a trailer section: those for framing, routing, modifying,
/// authentication and the content's own form (RFC 9110 §6.5.1), and those that steer.
pub fn is_forbidden(name: &HeaderName) -> bool {
    const FORBIDDEN: [HeaderName; 37] = [
        header::TRANSFER_ENCODING,
        header::CONTENT_LENGTH,
        header::HOST,
        header::CONNECTION,
        header::UPGRADE,
        header::TE,
        header::TRAILER,
        header::CACHE_CONTROL,
        header::EXPECT,
        header::MAX_FORWARDS,
        header::PRAGMA,
        header::RANGE,
        header::IF_MATCH,
        header::IF_NONE_MATCH,
        header::IF_MODIFIED_SINCE,
        header::IF_UNMODIFIED_SINCE,
        header::IF_RANGE,
        header::AUTHORIZATION,
        header::PROXY_AUTHORIZATION,
        header::PROXY_AUTHENTICATE,
        header::WWW_AUTHENTICATE,
        header::COOKIE,
        header::SET_COOKIE,
        header::AGE,
        header::EXPIRES,
        header::DATE,
        header::LOCATION,
        header::RETRY_AFTER,
        header::VARY,
        header::CONTENT_ENCODING,
        header::CONTENT_TYPE,
        header::CONTENT_RANGE,
        header::CONTENT_LOCATION,
        header::CONTENT_LANGUAGE,
        header::FORWARDED,
        header::VIA,
        header::ORIGIN,
    ];
    let text = name.as_str();
    FORBIDDEN.contains(name)
        || CLIENT_ADDRESS.contains(Field::of(text.as_bytes()))
        || [
            "domicile-",
            "x-forwarded-",
            "x-http-method",
            "x-method-",
            "x-original-url",
            "x-rewrite-url",
            "proxy-",
            "keep-alive",
            "traceparent",
            "tracestate",
        ]
        .iter()
        .any(|prefix| text.starts_with(prefix))
}
