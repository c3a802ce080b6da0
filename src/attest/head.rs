//! The head: how far acknowledged entries go, so that frames cut from the end are missed.
//!
//! Two slots of 512 bytes, written in turn after each commit: a torn write spoils one at most.

use std::{fs, io, path::Path};

use super::{
    codec::{Malformed, Read, Take},
    disk::{Disk, DiskFile},
    format::{Hash, sha256},
};

pub(super) const FILE: &str = "head";
const MAGIC: &[u8; 8] = b"DOMHEA\x00\x01";
const SLOT: usize = 512;
const HASHED: usize = SLOT - 32;

/// What one slot says. Every entry up to `seq` was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub ledger: [u8; 16],
    /// Counts writes; its parity is the slot's number.
    pub generation: u64,
    pub seq: u64,
    /// First entry of the segment that holds `seq`; 0 while there is none.
    pub segment: u64,
    /// Where the frame of `seq` ends in that segment.
    pub offset: u64,
    /// The chain there.
    pub chain: Hash,
    /// Acknowledged entries that are gone, and that no `recovered` entry tells of yet.
    pub lost: u64,
}

impl Head {
    fn encode(&self) -> [u8; SLOT] {
        let mut slot = [0; SLOT];
        let fields = MAGIC
            .iter()
            .copied()
            .chain(self.ledger)
            .chain(self.generation.to_le_bytes())
            .chain(self.seq.to_le_bytes())
            .chain(self.segment.to_le_bytes())
            .chain(self.offset.to_le_bytes())
            .chain(self.chain)
            .chain(self.lost.to_le_bytes());
        for (to, from) in slot.iter_mut().zip(fields) {
            *to = from;
        }
        let (hashed, hash) = slot.split_at_mut(HASHED);
        hash.copy_from_slice(&sha256(&[hashed]));
        slot
    }

    fn decode(slot: &[u8], index: u64) -> Read<Self> {
        let mut take = Take::new(slot);
        let magic: [u8; 8] = take.array()?;
        if magic != *MAGIC {
            return Err(Malformed("a slot does not begin as a head of version 1"));
        }
        let head = Self {
            ledger: take.array()?,
            generation: take.u64()?,
            seq: take.u64()?,
            segment: take.u64()?,
            offset: take.u64()?,
            chain: take.array()?,
            lost: take.u64()?,
        };
        if head.encode() != slot {
            return Err(Malformed("a slot's hash does not hold"));
        }
        if head.generation % 2 != index {
            return Err(Malformed("a slot stands in the other's place"));
        }
        Ok(head)
    }
}

/// Both slots as they stand.
pub(super) struct Slots(pub [Read<Head>; 2]);

impl Slots {
    /// `None` if there is no head file, or one that a first start could not finish: a head is
    /// whole before the first segment is begun.
    pub fn read(folder: &Path) -> io::Result<Option<Self>> {
        let bytes = match fs::read(folder.join(FILE)) {
            Ok(bytes) if bytes.len() < 2 * SLOT => return Ok(None),
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let slot = |index: usize| {
            if bytes.len() != 2 * SLOT {
                return Err(Malformed("the head is not 1024 bytes long"));
            }
            let slot = bytes.get(index * SLOT..(index + 1) * SLOT);
            Head::decode(slot.unwrap_or_default(), index as u64)
        };
        Ok(Some(Self([slot(0), slot(1)])))
    }

    /// Reads again while a slot is being written under our eyes.
    pub fn read_settled(folder: &Path) -> io::Result<Option<Self>> {
        let mut slots = Self::read(folder)?;
        for _ in 0..8 {
            if slots.as_ref().is_none_or(|s| s.both().is_ok()) {
                break;
            }
            std::thread::yield_now();
            slots = Self::read(folder)?;
        }
        Ok(slots)
    }

    pub fn newest(&self) -> Read<Head> {
        let [a, b] = self.0;
        match (a, b) {
            (Ok(a), Ok(b)) => Ok(if a.generation > b.generation { a } else { b }),
            (Ok(one), Err(_)) | (Err(_), Ok(one)) => Ok(one),
            (Err(error), Err(_)) => Err(error),
        }
    }

    /// Both slots, newest first.
    pub fn both(&self) -> Read<[Head; 2]> {
        let [a, b] = self.0;
        let (a, b) = (a?, b?);
        let (newer, older) = if a.generation > b.generation {
            (a, b)
        } else {
            (b, a)
        };
        if newer.generation != older.generation + 1 || newer.ledger != older.ledger {
            return Err(Malformed("the slots do not follow each other"));
        }
        Ok([newer, older])
    }
}

/// The head as the writer keeps it.
pub(super) struct HeadFile {
    file: Box<dyn DiskFile>,
    head: Head,
}

impl HeadFile {
    /// Writes both slots anew and durably, to say what `head` says.
    pub fn start(disk: &mut dyn Disk, head: Head) -> io::Result<Self> {
        let mut this = Self {
            file: disk.open(FILE)?,
            head,
        };
        // The slot of the older generation goes first: until it is durable, the newer one speaks.
        for _ in 0..2 {
            this.advance(this.head)?;
            this.sync()?;
        }
        Ok(this)
    }

    /// Not synced: it comes after the entries themselves, so it never says too much, and what it
    /// says too little after a power cut is only how far a cut would be missed.
    pub fn advance(&mut self, to: Head) -> io::Result<()> {
        let next = Head {
            generation: self.head.generation + 1,
            ..to
        };
        let place = (next.generation % 2) * SLOT as u64;
        self.file.write_at(&next.encode(), place)?;
        self.head = next;
        Ok(())
    }

    pub fn sync(&mut self) -> io::Result<()> {
        self.file.sync()
    }
}
