//! Where a body ends, and what in it is content (RFC 9112 §6 and §7). Pure: bytes in, pieces out.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;

use super::{fault::FramingFault, head::Framing};
pub use crate::http1::chunk::Piece;
use crate::{
    http1::chunk::{Chunk, MOST_DIGITS, Side},
    message::{Fields, LineFault, trailer},
};

/// How far a body was decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoder {
    Done,
    /// Bytes still to come.
    Length(u64),
    Chunked(Chunk),
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
            Self::Chunked(chunk) => {
                let piece = chunk.decode(&mut Caller, bytes)?;
                if matches!(piece, Piece::End | Piece::Trailers(_)) {
                    *self = Self::Done;
                }
                Ok(piece)
            }
        }
    }
}

/// A caller sends chunks without extensions, and only such trailer fields as may stand there.
struct Caller;

impl Side for Caller {
    type Fault = FramingFault;

    const CHUNK_END: FramingFault = FramingFault::ChunkEnd;
    const TRAILER: FramingFault = FramingFault::Trailer;
    const LONG_TRAILER: FramingFault = FramingFault::LongTrailer;

    fn size(&mut self, bytes: &[u8]) -> Result<Option<(u64, usize)>, FramingFault> {
        size(bytes)
    }

    fn take(bytes: &mut BytesMut, left: u64) -> Option<Bytes> {
        take(bytes, left)
    }

    /// A body with a fault never ends: the connection would be kept.
    fn trailers(lines: &Bytes) -> Result<Piece, FramingFault> {
        trailers(lines).map(Piece::Trailers)
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
            if at >= MOST_DIGITS {
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

fn trailers(lines: &Bytes) -> Result<HeaderMap, FramingFault> {
    let fields = Fields::parse(lines).map_err(|fault| match fault {
        LineFault::Underscore => FramingFault::ForbiddenTrailer,
        _ => FramingFault::Trailer,
    })?;
    let fields = fields.to_map();
    if fields.keys().any(trailer::is_forbidden) {
        return Err(FramingFault::ForbiddenTrailer);
    }
    Ok(fields)
}
