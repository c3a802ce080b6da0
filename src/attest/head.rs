//! The head: how far acknowledged entries go, so that frames cut from the end are missed.
//!
//! Two slots of 512 bytes, written in turn after each commit: a torn write spoils one at most. One
//! is hashed for each frame, so since version 2 its zeros are no longer hashed but compared.

use std::{fs, io, path::Path};

use super::{
    codec::{Malformed, Read, Take},
    disk::{Disk, DiskFile},
    format::{Hash, sha256},
};

pub(super) const FILE: &str = "head";
const MAGIC: &[u8; 8] = b"DOMHEA\x00\x02";
/// Of slots whose hash stands at their end and covers all before it; still read.
const MAGIC_1: &[u8; 8] = b"DOMHEA\x00\x01";
const SLOT: usize = 512;
const FIELDS: usize = 96;
const HASH: usize = 32;

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
        let mut slot = self.fields(MAGIC);
        let (fields, rest) = slot.split_at_mut(FIELDS);
        put(rest, &[&sha256(&[fields])]);
        slot
    }

    /// As slots of version 1 are.
    fn encode_1(&self) -> [u8; SLOT] {
        let mut slot = self.fields(MAGIC_1);
        let (hashed, hash) = slot.split_at_mut(SLOT - HASH);
        put(hash, &[&sha256(&[hashed])]);
        slot
    }

    /// A slot without its hash.
    fn fields(&self, magic: &[u8; 8]) -> [u8; SLOT] {
        let mut slot = [0; SLOT];
        put(
            &mut slot,
            &[
                magic,
                &self.ledger,
                &self.generation.to_le_bytes(),
                &self.seq.to_le_bytes(),
                &self.segment.to_le_bytes(),
                &self.offset.to_le_bytes(),
                &self.chain,
                &self.lost.to_le_bytes(),
            ],
        );
        slot
    }

    fn decode(slot: &[u8], index: u64) -> Read<Self> {
        let mut take = Take::new(slot);
        let magic: [u8; 8] = take.array()?;
        if magic != *MAGIC && magic != *MAGIC_1 {
            return Err(Malformed(
                "a slot does not begin as a head of version 1 or 2",
            ));
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
        let whole = if magic == *MAGIC {
            head.encode()
        } else {
            head.encode_1()
        };
        if whole != slot {
            return Err(Malformed("a slot's hash does not hold"));
        }
        if head.generation % 2 != index {
            return Err(Malformed("a slot stands in the other's place"));
        }
        Ok(head)
    }
}

/// Writes the parts one after another at the start of `to`, which has room for them.
fn put(to: &mut [u8], parts: &[&[u8]]) {
    let mut rest = to;
    for part in parts {
        let Some((place, after)) = rest.split_at_mut_checked(part.len()) else {
            return;
        };
        place.copy_from_slice(part);
        rest = after;
    }
}

/// A head of which one slot alone can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadFlaw {
    /// The damaged one, by its place in the file; `None` where each is sound and they do not belong
    /// together.
    pub slot: Option<u8>,
    pub what: &'static str,
    /// The ledger ends where the slot that was believed says, or before. If the other was the newer
    /// one, entries that it alone told of may be gone, and nothing in the ledger can tell. Where
    /// the ledger goes further nothing suggests a loss; it is not excluded, for the slot that was
    /// believed may be an old one.
    pub may_hide_loss: bool,
}

impl HeadFlaw {
    /// Says it to the operator, `last` being the ledger's last entry.
    pub(super) fn tell(&self, last: u64) {
        let slot = match self.slot {
            Some(slot) => format!("slot {slot}"),
            None => "both slots".into(),
        };
        tracing::warn!(slot, what = self.what, last, "{}", self.words());
    }

    /// What was done about it, and what is known of entries that may be missing. Slots are not
    /// synced for each frame: after a power failure one may be many frames older than the other.
    fn words(&self) -> &'static str {
        match (self.slot, self.may_hide_loss) {
            (None, _) => {
                "the slots of the ledger's head are both sound and do not belong together; the newer slot was believed, and both were written anew. The entries that it tells of stand, or their loss is told; of later ones only a copy of the ledger could tell"
            }
            (Some(_), true) => {
                "the ledger's head is damaged; the other slot was believed, and both were written anew. The ledger goes no further than that slot says: if the damaged one was the newer, acknowledged entries may be missing after the last, and only a copy of the ledger could tell"
            }
            (Some(_), false) => {
                "the ledger's head is damaged, as a power failure during a write leaves it; the other slot was believed, and both were written anew. The ledger goes further than that slot says, as it does where nothing is missing; how far the damaged one said is not known"
            }
        }
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

    /// What is wrong with a head that still says something.
    pub fn flaw(&self) -> Option<HeadFlaw> {
        let flaw = |slot, Malformed(what)| HeadFlaw {
            slot,
            what,
            may_hide_loss: true,
        };
        match &self.0 {
            [Err(what), _] => Some(flaw(Some(0), *what)),
            [_, Err(what)] => Some(flaw(Some(1), *what)),
            [Ok(_), Ok(_)] => self.both().err().map(|what| flaw(None, what)),
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

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: Head = Head {
        ledger: [7; 16],
        generation: 4,
        seq: 0x0102_0304,
        segment: 9,
        offset: 1000,
        chain: [3; 32],
        lost: 2,
    };

    #[test]
    fn every_bit_of_a_slot_of_either_version_counts() {
        for slot in [HEAD.encode(), HEAD.encode_1()] {
            assert_eq!(Head::decode(&slot, 0).unwrap(), HEAD);
            for at in 0..SLOT {
                let mut flipped = slot;
                flipped[at] ^= 1 << (at % 8);
                assert!(Head::decode(&flipped, 0).is_err(), "byte {at}");
            }
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_format() {
        let slot = HEAD.encode();
        assert_eq!(slot[..8], *b"DOMHEA\x00\x02");
        assert_eq!(slot[8..24], [7; 16]);
        assert_eq!(slot[24..32], 4_u64.to_le_bytes());
        assert_eq!(slot[32..40], 0x0102_0304_u64.to_le_bytes());
        assert_eq!(slot[40..48], 9_u64.to_le_bytes());
        assert_eq!(slot[48..56], 1000_u64.to_le_bytes());
        assert_eq!(slot[56..88], [3; 32]);
        assert_eq!(slot[88..96], 2_u64.to_le_bytes());
        assert_eq!(slot[96..128], sha256(&[&slot[..96]]));
        assert_eq!(slot[128..], [0; 384]);
        let before = HEAD.encode_1();
        assert_eq!(before[..8], *b"DOMHEA\x00\x01");
        assert_eq!(before[8..96], slot[8..96]);
        assert_eq!(before[480..], sha256(&[&before[..480]]));
    }

    #[test]
    fn a_head_of_version_1_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let older = Head {
            generation: 3,
            seq: 5,
            ..HEAD
        };
        let old = [HEAD.encode_1(), older.encode_1()].concat();
        fs::write(folder.path().join(FILE), old).unwrap();
        let read = || Slots::read(folder.path()).unwrap().unwrap();
        assert_eq!(read().newest().unwrap(), HEAD);
        assert_eq!(read().both().unwrap(), [HEAD, older]);

        let mut disk = super::super::disk::Folder::new(folder.path());
        let mut file = HeadFile::start(&mut disk, HEAD).unwrap();
        file.advance(Head { seq: 6, ..HEAD }).unwrap();
        let newest = read().newest().unwrap();
        assert_eq!((newest.seq, newest.generation), (6, 7));
        let bytes = fs::read(folder.path().join(FILE)).unwrap();
        for slot in bytes.chunks(SLOT) {
            assert_eq!(slot[..8], *MAGIC);
        }
    }

    #[test]
    fn no_more_is_told_of_a_flaw_than_is_known() {
        let words = |slot, may_hide_loss| {
            let what = "";
            HeadFlaw {
                slot,
                what,
                may_hide_loss,
            }
            .words()
        };
        for slot in [None, Some(0), Some(1)] {
            for may_hide_loss in [false, true] {
                let words = words(slot, may_hide_loss);
                // The slot that was believed may be many frames old: it is not synced for each.
                assert!(!words.contains("no entry is missing"), "{words}");
                assert!(!words.contains("of one frame"), "{words}");
                // Where both are sound, none is damaged.
                assert_eq!(words.contains("the other slot"), slot.is_some(), "{words}");
                assert_eq!(words.contains("the newer slot"), slot.is_none(), "{words}");
            }
        }
    }
}
