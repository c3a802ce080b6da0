//! The bytes of segment headers and frames, as `docs/ledger-format.md` gives them. Pure: no I/O,
//! no clock.

use aws_lc_rs::digest::{Context, SHA256};

use super::codec::{Malformed, Read, Take};

pub(super) type Hash = [u8; 32];

/// A segment's first bytes; the last two are the format's version.
const MAGIC: &[u8; 8] = b"DOMLED\x00\x01";

/// Before a frame's body: its length, its entries, its profiles, its base time.
pub(super) const FRAME_HEAD: usize = 4 + 4 + 4 + 8;
/// After a frame's body: the chain.
pub(super) const FRAME_TAIL: usize = 32;
/// A frame's body may not be larger; a reader need not believe a larger length.
pub(super) const BODY_MAX: usize = 256 << 20;

pub(super) fn sha256(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    // SHA-256 gives 32 bytes.
    context.finish().as_ref().try_into().unwrap_or_default()
}

/// First in a segment file. Its hash begins the segment's chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub ledger: [u8; 16],
    pub first: u64,
    /// The chain at the end of the segment before; zeros for the first.
    pub previous: Hash,
}

impl SegmentHeader {
    pub const LEN: usize = 8 + 16 + 8 + 32 + 32;

    pub fn encode(&self) -> ([u8; Self::LEN], Hash) {
        let mut bytes = Vec::with_capacity(Self::LEN);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&self.ledger);
        bytes.extend_from_slice(&self.first.to_le_bytes());
        bytes.extend_from_slice(&self.previous);
        let chain = sha256(&[&bytes]);
        bytes.extend_from_slice(&chain);
        (bytes.try_into().unwrap_or([0; Self::LEN]), chain)
    }

    /// The header and the chain that it begins.
    pub fn decode(bytes: &[u8]) -> Read<(Self, Hash)> {
        let mut take = Take::new(bytes);
        let magic: [u8; 8] = take.array()?;
        if magic != *MAGIC {
            return Err(Malformed("it does not begin as a segment of version 1"));
        }
        let header = Self {
            ledger: take.array()?,
            first: take.u64()?,
            previous: take.array()?,
        };
        let chain: Hash = take.array()?;
        if header.encode().1 != chain {
            return Err(Malformed("the header's hash does not hold"));
        }
        Ok((header, chain))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHead {
    /// Bytes of the body.
    pub length: u32,
    pub entries: u32,
    pub profiles: u32,
    /// Microseconds since 1970, of the frame's first entry.
    pub base: i64,
}

impl FrameHead {
    pub fn encode(&self) -> [u8; FRAME_HEAD] {
        let mut bytes = [0; FRAME_HEAD];
        let parts = self
            .length
            .to_le_bytes()
            .into_iter()
            .chain(self.entries.to_le_bytes())
            .chain(self.profiles.to_le_bytes())
            .chain(self.base.to_le_bytes());
        for (to, from) in bytes.iter_mut().zip(parts) {
            *to = from;
        }
        bytes
    }

    /// Bytes of the whole frame.
    pub fn size(&self) -> u64 {
        u64::from(self.length) + (FRAME_HEAD + FRAME_TAIL) as u64
    }

    pub fn decode(bytes: &[u8; FRAME_HEAD]) -> Read<Self> {
        let mut take = Take::new(bytes);
        let head = Self {
            length: take.u32()?,
            entries: take.u32()?,
            profiles: take.u32()?,
            base: i64::from_le_bytes(take.array()?),
        };
        if head.length as usize > BODY_MAX {
            return Err(Malformed("a frame's length is beyond all bounds"));
        }
        if head.entries == 0 {
            return Err(Malformed("a frame has no entries"));
        }
        // Every entry and every profile takes a byte and more.
        if u64::from(head.entries) + u64::from(head.profiles) > u64::from(head.length) {
            return Err(Malformed("a frame's counts are larger than its length"));
        }
        Ok(head)
    }
}

/// The chain after a frame.
pub(super) fn chain(previous: &Hash, head: &[u8; FRAME_HEAD], body: &[u8]) -> Hash {
    sha256(&[previous, head, body])
}
