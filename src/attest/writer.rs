//! Frames out to disk: whole and durable, or not at all.

use std::{collections::HashMap, io, sync::Arc};

use super::{
    Bundle, Draft, Outcomes, Profile,
    disk::{Disk, DiskFile},
    format::{BODY_MAX, FRAME_HEAD, FrameHead, Hash, SegmentHeader, chain},
    head::{Head, HeadFile},
    lazy::{Came, Home},
    pack::{put_bundle, put_outcomes},
    profile::put_profile,
    record::{put_draft, put_home, put_outcome, put_recovered, put_resumed},
    segment,
};

/// Room that is made ahead, in bytes. A frame that is written into a file's room changes nothing of
/// the file but its bytes, which saves the file system an entry in its journal at each fsync: half
/// of what a commit costs, in time and in work.
pub(super) const ROOM: u64 = 256 << 10;

/// One entry to be written.
pub(super) enum Item<'a> {
    Draft(&'a Draft),
    Home(&'a Home),
    Came(&'a Came),
    Bundle(&'a Bundle),
    Outcomes(&'a Outcomes),
    Recovered { at: i64, lost: u64 },
    Resumed { at: i64, refused: u64 },
}

#[derive(Debug)]
pub(super) enum WriteError {
    Disk(io::Error),
    TooLarge(usize),
}

impl From<io::Error> for WriteError {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

/// Where the ledger ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub ledger: [u8; 16],
    /// First entry of the last segment; 0 while there is none.
    pub segment: u64,
    /// Where the last segment's last frame ends.
    pub offset: u64,
    pub chain: Hash,
    /// Number of the next entry.
    pub next: u64,
}

impl End {
    /// Cuts off what may stand after the last whole frame of the last segment, and makes that frame
    /// durable. The segment's file; `None` while there is none.
    pub fn settle(&self, disk: &mut dyn Disk) -> io::Result<Option<Box<dyn DiskFile>>> {
        if self.segment == 0 {
            return Ok(None);
        }
        let mut file = disk.open(&segment::name(self.segment))?;
        file.truncate(self.offset)?;
        file.sync()?;
        Ok(Some(file))
    }
}

pub(super) struct Writer {
    disk: Box<dyn Disk>,
    file: Option<Box<dyn DiskFile>>,
    head: HeadFile,
    end: End,
    limit: u64,
    profiles: Interner,
    /// A failed write may have left bytes after `end.offset`.
    dirty: bool,
    /// Up to where the last segment's file has room that was made ahead: zeros after
    /// `end.offset`.
    room: u64,
    pub segments: u64,
    /// Bytes of all segments.
    pub bytes: u64,
    /// Why the head is behind the entries.
    head_trouble: Option<String>,
}

impl Writer {
    /// `file` is the last segment's, settled; `profiles` are those of it.
    pub fn new(
        disk: Box<dyn Disk>,
        file: Option<Box<dyn DiskFile>>,
        head: HeadFile,
        end: End,
        limit: u64,
        profiles: &[Arc<Profile>],
        (segments, bytes): (u64, u64),
    ) -> Self {
        let mut interner = Interner::default();
        for profile in profiles {
            interner.number(profile);
        }
        Self {
            disk,
            file,
            head,
            end,
            limit,
            profiles: interner,
            dirty: false,
            room: 0,
            segments,
            bytes,
            head_trouble: None,
        }
    }

    /// Cuts off what may stand after the last whole frame, room included.
    pub fn repair(&mut self) -> io::Result<()> {
        if self.end.segment != 0 {
            self.dirty |= self.room > self.end.offset;
            self.clean_file()?;
        }
        Ok(())
    }

    /// Number of the next entry.
    pub fn next(&self) -> u64 {
        self.end.next
    }

    /// Writes one frame and waits until it is durable. When it fails, nothing of it stands: what
    /// was half written is cut off, at once or, if that fails too, before the next write.
    pub fn commit(&mut self, items: &[Item<'_>]) -> Result<(), WriteError> {
        if items.is_empty() {
            if self.head_trouble.is_some() {
                self.advance_head();
            }
            return Ok(());
        }
        self.begin_segment_if_due()?;
        let known = self.profiles.len();
        let written = self.encode(items).and_then(|(frame, chain)| {
            self.write(&frame, chain, items.iter().map(Item::entries).sum())
        });
        if written.is_err() {
            self.profiles.forget_after(known);
        }
        written
    }

    /// Makes the head durable too, so that a cut is missed even after a power failure.
    pub fn sync_head(&mut self) -> io::Result<()> {
        self.head.sync()
    }

    fn encode(&mut self, items: &[Item<'_>]) -> Result<(Vec<u8>, Hash), WriteError> {
        let base = items.first().map_or(0, Item::at);
        let known = self.profiles.len();
        let count: usize = items.iter().map(Item::entries).sum();
        let mut profiles = Vec::new();
        // Room for the chain too.
        let mut frame = Vec::with_capacity(FRAME_HEAD + count * 40 + 256);
        frame.resize(FRAME_HEAD, 0);
        let entries = &mut frame;
        let mut number = |profile: &Arc<Profile>| {
            let before = self.profiles.len();
            let number = self.profiles.number(profile);
            if self.profiles.len() > before {
                put_profile(&mut profiles, profile);
            }
            number
        };
        for item in items {
            match item {
                Item::Draft(draft) => {
                    let number = number(&draft.profile);
                    put_draft(entries, draft, number, base);
                }
                Item::Home(home) => {
                    let number = number(&home.profile);
                    put_home(entries, home, number, base);
                }
                Item::Came(came) => put_outcome(entries, came, base),
                Item::Bundle(bundle) => put_bundle(entries, bundle, base, &mut number),
                Item::Outcomes(outcomes) => put_outcomes(entries, outcomes, base),
                Item::Recovered { at, lost } => put_recovered(entries, *at, *lost, base),
                Item::Resumed { at, refused } => put_resumed(entries, *at, *refused, base),
            }
        }
        // They stand before the entries; of most frames there are none.
        if !profiles.is_empty() {
            frame.splice(FRAME_HEAD..FRAME_HEAD, profiles);
        }
        let size = frame.len() - FRAME_HEAD;
        let length = u32::try_from(size)
            .ok()
            .filter(|_| size <= BODY_MAX)
            .ok_or(WriteError::TooLarge(size))?;
        let head = FrameHead {
            length,
            entries: u32::try_from(count).map_err(|_| WriteError::TooLarge(size))?,
            profiles: u32::try_from(self.profiles.len() - known)
                .map_err(|_| WriteError::TooLarge(size))?,
            base,
        }
        .encode();
        let (start, body) = frame.split_at_mut(FRAME_HEAD);
        start.copy_from_slice(&head);
        let chain = chain(&self.end.chain, &head, body);
        frame.extend_from_slice(&chain);
        Ok((frame, chain))
    }

    fn write(&mut self, frame: &[u8], chain: Hash, entries: usize) -> Result<(), WriteError> {
        let offset = self.end.offset;
        let end = offset + frame.len() as u64;
        let room = self.room_after(end);
        let file = self.clean_file()?;
        let written = file.write_at(frame, offset).and_then(|()| {
            let made = room > end && make_room(file.as_mut(), end, room);
            file.sync().map(|()| made)
        });
        let made = match written {
            Ok(made) => made,
            Err(error) => {
                self.dirty = true;
                // Tried at once, so that a full disk gets its room back; else before the next write.
                let _ = self.clean_file();
                return Err(error.into());
            }
        };
        self.room = if made { room } else { self.room.max(end) };
        self.end.offset += frame.len() as u64;
        self.end.chain = chain;
        self.end.next += entries as u64;
        self.bytes += frame.len() as u64;
        self.advance_head();
        Ok(())
    }

    /// Up to where a frame that ends at `end` makes room for those after it; no further than
    /// `end` where there is room, or the segment ends.
    fn room_after(&self, end: u64) -> u64 {
        if end <= self.room {
            return end;
        }
        (end + ROOM).min(self.limit).max(end)
    }

    /// The entries stand whatever comes of this, so a failure is no failure of the commit.
    fn advance_head(&mut self) {
        let to = Head {
            ledger: self.end.ledger,
            generation: 0,
            seq: self.end.next - 1,
            segment: self.end.segment,
            offset: self.end.offset,
            chain: self.end.chain,
            lost: 0,
        };
        match self.head.advance(to) {
            Ok(()) => {
                if self.head_trouble.take().is_some() {
                    tracing::warn!("the ledger's head can be written again");
                }
            }
            Err(error) => {
                let trouble = format!(
                    "the ledger's head cannot be written, a cut of the ledger's end would not be missed: {error}"
                );
                if self.head_trouble.is_none() {
                    tracing::error!("{trouble}");
                }
                self.head_trouble = Some(trouble);
            }
        }
    }

    /// Why the head is behind the entries, while it is.
    pub fn head_trouble(&self) -> Option<&str> {
        self.head_trouble.as_deref()
    }

    /// The last segment's file, ending where its last frame ends.
    fn clean_file(&mut self) -> io::Result<&mut Box<dyn DiskFile>> {
        let file = match &mut self.file {
            Some(file) => file,
            empty => empty.insert(self.disk.open(&segment::name(self.end.segment))?),
        };
        if self.dirty {
            file.truncate(self.end.offset)?;
            self.room = self.end.offset;
            file.sync()?;
            self.dirty = false;
        }
        Ok(file)
    }

    fn begin_segment_if_due(&mut self) -> io::Result<()> {
        let full = self.end.offset >= self.limit || self.profiles.len() >= Interner::LIMIT;
        if self.end.segment != 0 && !full {
            return Ok(());
        }
        self.repair()?;
        let header = SegmentHeader {
            ledger: self.end.ledger,
            first: self.end.next,
            previous: self.end.chain,
        };
        let (bytes, chain) = header.encode();
        let mut file = self.disk.open(&segment::name(header.first))?;
        // What a rotation that failed before may have left goes first.
        file.truncate(0)?;
        file.write_at(&bytes, 0)?;
        file.sync()?;
        self.head.sync()?;
        self.file = Some(file);
        self.dirty = false;
        self.room = 0;
        self.end.segment = header.first;
        self.end.offset = bytes.len() as u64;
        self.end.chain = chain;
        self.profiles = Interner::default();
        self.segments += 1;
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}

/// Zeros from `end` to `room`, if the disk has them; without them it works as well. `false`: the
/// file ends at `end`.
fn make_room(file: &mut dyn DiskFile, end: u64, room: u64) -> bool {
    let zeros = vec![0; usize::try_from(room - end).unwrap_or_default()];
    let made = file.write_at(&zeros, end).is_ok();
    // A full disk gets back what it gave; if it does not take it, there may be room.
    made || file.truncate(end).is_err()
}

impl Item<'_> {
    fn at(&self) -> i64 {
        match self {
            Self::Draft(draft) => draft.at.as_microsecond(),
            Self::Home(home) => home.at,
            Self::Came(came) => came.at,
            Self::Bundle(bundle) => bundle.at().as_microsecond(),
            Self::Outcomes(outcomes) => outcomes.at.as_microsecond(),
            Self::Recovered { at, .. } | Self::Resumed { at, .. } => *at,
        }
    }

    pub fn entries(&self) -> usize {
        match self {
            Self::Bundle(bundle) => bundle.len(),
            Self::Outcomes(outcomes) => outcomes.rows.len(),
            Self::Draft(_)
            | Self::Home(_)
            | Self::Came(_)
            | Self::Recovered { .. }
            | Self::Resumed { .. } => 1,
        }
    }
}

/// Numbers the profiles of one segment: by address where the same `Arc` comes again, else by
/// content.
#[derive(Default)]
struct Interner {
    by_content: HashMap<Arc<Profile>, u32>,
    /// Holds the `Arc`s, so that no address is used twice.
    by_address: HashMap<usize, (Arc<Profile>, u32), foldhash::fast::FixedState>,
    /// In the order of their numbers.
    all: Vec<Arc<Profile>>,
}

impl Interner {
    /// More profiles than this begin a new segment, to bound memory.
    const LIMIT: usize = 65_536;
    const ADDRESSES: usize = 8_192;

    fn len(&self) -> usize {
        self.all.len()
    }

    fn number(&mut self, profile: &Arc<Profile>) -> u32 {
        let address = Arc::as_ptr(profile).addr();
        if let Some((_, number)) = self.by_address.get(&address) {
            return *number;
        }
        let number = match self.by_content.get(profile) {
            Some(number) => *number,
            None => {
                // A frame has fewer than 2^32 entries, and a segment ends soon after LIMIT.
                let number = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
                self.by_content.insert(Arc::clone(profile), number);
                self.all.push(Arc::clone(profile));
                number
            }
        };
        if self.by_address.len() >= Self::ADDRESSES {
            self.by_address.clear();
        }
        self.by_address
            .insert(address, (Arc::clone(profile), number));
        number
    }

    /// Takes back the numbers from `known` on: their frame does not stand.
    fn forget_after(&mut self, known: usize) {
        for profile in self.all.drain(known.min(self.all.len())..) {
            self.by_content.remove(&profile);
        }
        self.by_address
            .retain(|_, (_, number)| (*number as usize) < known);
    }
}
