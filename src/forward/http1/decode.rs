//! Where an answer's body ends, and what in it is content (RFC 9112 §6 and §7). Pure: bytes in,
//! pieces out.
//!
//! Chunks are read as those of callers are ([`Chunk`]). But a region may do what a caller may not:
//! extend them, which a reader must pass over, and end its body with the connection.

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;
use memchr::memchr;

pub use crate::http1::chunk::Piece;
use crate::{
    http1::chunk::{Chunk, MOST_DIGITS, Side},
    message::{Fields, trailer},
};

/// A chunk's size and its extensions.
const MOST_SIZE_LINE: usize = 1 << 10;

/// Extensions of all chunks of one body: more than that is somebody's attempt at costing time.
const MOST_EXTENSIONS: usize = 16 << 10;

/// Content up to this length is copied; a buffer of which a part is held cannot be used again.
const COPIED: usize = 1 << 10;

/// How far a body was decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoder {
    Done,
    /// Bytes still to come.
    Length(u64),
    Chunked {
        chunk: Chunk,
        /// Bytes of extensions passed over.
        extended: usize,
    },
    UntilClose,
}

/// What came is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoBody;

impl Decoder {
    pub fn chunked() -> Self {
        Self::Chunked {
            chunk: Chunk::Size,
            extended: 0,
        }
    }

    pub fn is_done(&self) -> bool {
        *self == Self::Done
    }

    pub fn ends_with_connection(&self) -> bool {
        *self == Self::UntilClose
    }

    /// How much content is still to come, where that is known.
    pub fn left(&self) -> Option<u64> {
        match self {
            Self::Done => Some(0),
            Self::Length(left) => Some(*left),
            Self::Chunked { .. } | Self::UntilClose => None,
        }
    }

    /// Takes the next piece off the front of `bytes`; a long one is not copied.
    pub fn decode(&mut self, bytes: &mut BytesMut) -> Result<Piece, NoBody> {
        match self {
            Self::Done => Ok(Piece::End),
            Self::Length(left) => {
                let Some(data) = take(bytes, *left) else {
                    return Ok(Piece::More);
                };
                *left = left.saturating_sub(data.len() as u64);
                if *left == 0 {
                    *self = Self::Done;
                }
                Ok(Piece::Data(data))
            }
            Self::UntilClose => {
                let data = take(bytes, u64::MAX);
                Ok(data.map_or(Piece::More, Piece::Data))
            }
            Self::Chunked { chunk, extended } => {
                let piece = chunk.decode(&mut Server { extended }, bytes)?;
                if matches!(piece, Piece::End | Piece::Trailers(_)) {
                    *self = Self::Done;
                }
                Ok(piece)
            }
        }
    }
}

/// A server may extend chunks, which a reader must pass over.
struct Server<'d> {
    /// Bytes of extensions passed over.
    extended: &'d mut usize,
}

impl Side for Server<'_> {
    type Fault = NoBody;

    const CHUNK_END: NoBody = NoBody;
    const TRAILER: NoBody = NoBody;
    const LONG_TRAILER: NoBody = NoBody;

    fn size(&mut self, bytes: &[u8]) -> Result<Option<(u64, usize)>, NoBody> {
        let Some((size, digits, length)) = size(bytes)? else {
            return Ok(None);
        };
        *self.extended += length - digits - 2;
        match *self.extended > MOST_EXTENSIONS {
            true => Err(NoBody),
            false => Ok(Some((size, length))),
        }
    }

    fn take(bytes: &mut BytesMut, left: u64) -> Option<Bytes> {
        take(bytes, left)
    }

    /// Where they have a fault, the answer is never whole.
    fn trailers(lines: &Bytes) -> Result<Piece, NoBody> {
        let fields = trailers(lines)?;
        Ok(match fields.is_empty() {
            true => Piece::End,
            false => Piece::Trailers(fields),
        })
    }
}

fn take(bytes: &mut BytesMut, left: u64) -> Option<Bytes> {
    let here = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
    if here == 0 {
        return None;
    }
    let data = match bytes.get(..here) {
        // So that the buffer is free for the next answer.
        Some(short) if here <= COPIED => {
            let copy = Bytes::copy_from_slice(short);
            bytes.advance(here);
            copy
        }
        _ => bytes.split_to(here).freeze(),
    };
    Some(data)
}

/// A chunk's size, how many digits say it, and the length of the whole line, extensions and CR LF
/// included; `None` while they are not all here.
fn size(bytes: &[u8]) -> Result<Option<(u64, usize, usize)>, NoBody> {
    let mut size = 0u64;
    let mut digits = 0;
    for byte in bytes {
        let Some(digit) = char::from(*byte).to_digit(16) else {
            break;
        };
        digits += 1;
        if digits > MOST_DIGITS {
            return Err(NoBody);
        }
        size = size << 4 | u64::from(digit);
    }
    let rest = bytes.get(digits..).unwrap_or_default();
    let after = match rest {
        [] => return Ok(None),
        _ if digits == 0 || i64::try_from(size).is_err() => return Err(NoBody),
        [b'\r'] => return Ok(None),
        [b'\r', b'\n', ..] => 2,
        [b';' | b' ' | b'\t', ..] => {
            let within = rest.get(..MOST_SIZE_LINE).unwrap_or(rest);
            let Some(end) = memchr(b'\n', within) else {
                return match within.len() {
                    MOST_SIZE_LINE => Err(NoBody),
                    _ => Ok(None),
                };
            };
            let line = within.get(..end).unwrap_or_default();
            let extension = line.strip_suffix(b"\r").ok_or(NoBody)?;
            check_extension(extension)?;
            end + 1
        }
        _ => return Err(NoBody),
    };
    Ok(Some((size, digits, digits + after)))
}

/// RFC 9112 §7.1.1: passed over, but never with what another reader could end the line at.
fn check_extension(extension: &[u8]) -> Result<(), NoBody> {
    let begins = extension.iter().find(|b| !matches!(b, b' ' | b'\t'));
    let is_sound = begins.is_none_or(|b| *b == b';')
        && extension
            .iter()
            .all(|b| (*b >= b' ' && *b != 0x7f) || *b == b'\t');
    match is_sound {
        true => Ok(()),
        false => Err(NoBody),
    }
}

/// What may not stand there is left out: merged into the fields, it would change the answer
/// (RFC 9110 §6.5.1).
fn trailers(lines: &Bytes) -> Result<HeaderMap, NoBody> {
    let fields = Fields::parse(lines).map_err(|_| NoBody)?;
    let sound = fields.to_map().into_iter();
    let mut last = None;
    Ok(sound
        .filter_map(|(name, value)| {
            last = name.or(last.take());
            Some((last.clone()?, value))
        })
        .filter(|(name, _)| !trailer::is_forbidden(name))
        .collect())
}
