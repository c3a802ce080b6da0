//! A body in chunks (RFC 9112 §7.1), as callers and regions send it. Pure: bytes in, pieces out.
//!
//! One walk for both, so that neither reads an end where the other would not. What a [`Side`] may
//! besides, it says itself.

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;
use memchr::memchr;

use crate::message::trailer::{MOST_BYTES, MOST_FIELDS};

/// More digits than a length can have here are somebody's attempt at an overflow.
pub const MOST_DIGITS: usize = 16;

/// What stands next.
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

/// Who sends the chunks.
pub trait Side {
    type Fault;

    /// Something else than CR LF after a chunk's data.
    const CHUNK_END: Self::Fault;
    /// A trailer line that does not end in CR LF.
    const TRAILER: Self::Fault;
    /// More trailer fields than a body may have.
    const LONG_TRAILER: Self::Fault;

    /// A chunk's size, and how many bytes say it, CR LF included; `None` while they are not all here.
    fn size(&mut self, bytes: &[u8]) -> Result<Option<(u64, usize)>, Self::Fault>;

    /// Content off the front, at most `left` bytes of it; `None` while nothing is here.
    fn take(bytes: &mut BytesMut, left: u64) -> Option<Bytes>;

    /// The end of a body with trailer fields, given as lines.
    fn trailers(lines: &Bytes) -> Result<Piece, Self::Fault>;
}

impl Chunk {
    /// Takes the next piece off the front of `bytes`. After [`Piece::End`] or [`Piece::Trailers`] the
    /// body is over.
    ///
    /// # Errors
    /// What the framing is found to be wrong in. The bytes after it mean nothing any more.
    #[inline]
    pub fn decode<S: Side>(
        &mut self,
        side: &mut S,
        bytes: &mut BytesMut,
    ) -> Result<Piece, S::Fault> {
        loop {
            match self {
                Self::Size => {
                    let Some((size, length)) = side.size(bytes)? else {
                        return Ok(Piece::More);
                    };
                    bytes.advance(length);
                    *self = match size {
                        0 => Self::Trailer,
                        size => Self::Data(size),
                    };
                }
                Self::Data(left) => {
                    let Some(data) = S::take(bytes, *left) else {
                        return Ok(Piece::More);
                    };
                    *left = left.saturating_sub(data.len() as u64);
                    if *left == 0 {
                        *self = Self::End;
                    }
                    return Ok(Piece::Data(data));
                }
                Self::End => match &**bytes {
                    [b'\r', b'\n', ..] => {
                        bytes.advance(2);
                        *self = Self::Size;
                    }
                    [] | [b'\r'] => return Ok(Piece::More),
                    _ => return Err(S::CHUNK_END),
                },
                Self::Trailer => {
                    let Some(length) = trailer_end::<S>(bytes)? else {
                        return Ok(Piece::More);
                    };
                    if length == 2 {
                        bytes.advance(2);
                        return Ok(Piece::End);
                    }
                    return S::trailers(&bytes.split_to(length).freeze());
                }
            }
        }
    }
}

/// The length of the trailer section, its last empty line included.
fn trailer_end<S: Side>(bytes: &[u8]) -> Result<Option<usize>, S::Fault> {
    let within = bytes.get(..MOST_BYTES).unwrap_or(bytes);
    let mut at = 0;
    for count in 0..=MOST_FIELDS {
        let Some(end) = memchr(b'\n', within.get(at..).unwrap_or_default()) else {
            return match within.len() {
                MOST_BYTES => Err(S::LONG_TRAILER),
                _ => Ok(None),
            };
        };
        let line = within.get(at..at + end).unwrap_or_default();
        at += end + 1;
        match line {
            b"\r" => return Ok(Some(at)),
            [.., b'\r'] if count < MOST_FIELDS => {}
            [.., b'\r'] => break,
            _ => return Err(S::TRAILER),
        }
    }
    Err(S::LONG_TRAILER)
}
