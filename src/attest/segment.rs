//! Segments on disk, read front to back.

use std::{
    fs::{self, File},
    io::{self, BufReader, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Damage, Entry, LedgerError, Profile,
    codec::{Malformed, Take},
    format::{FRAME_HEAD, FRAME_TAIL, FrameHead, Hash, SegmentHeader, chain},
    profile::take_profile,
    record::take_entry,
    writer::ROOM,
};

/// A segment file that stands in the folder; not yet looked into.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub path: PathBuf,
    /// Number of its first entry, by its name.
    pub first: u64,
    pub length: u64,
}

pub(super) fn name(first: u64) -> String {
    format!("{first:020}.seg")
}

/// The segments in the order of their numbers.
pub(super) fn list(folder: &Path) -> Result<Vec<Segment>, LedgerError> {
    let mut segments = Vec::new();
    for file in fs::read_dir(folder).map_err(LedgerError::io(folder))? {
        let file = file.map_err(LedgerError::io(folder))?;
        let path = file.path();
        if path.extension().is_none_or(|e| e != "seg") {
            continue;
        }
        let first = file
            .file_name()
            .to_str()
            .and_then(|n| n.strip_suffix(".seg"))
            .and_then(|n| n.parse().ok())
            .filter(|first| file.file_name().to_str() == Some(name(*first).as_str()));
        let Some(first) = first else {
            return Err(Damage {
                file: path,
                offset: 0,
                entry: 0,
                what: "its name is not a segment's".into(),
            }
            .into());
        };
        let kind = file.file_type().map_err(LedgerError::io(&path))?;
        // What stands in a segment's place and can hold none is damage, not a failure to read.
        if !kind.is_file() && !kind.is_symlink() {
            return Err(Damage {
                file: path,
                offset: 0,
                entry: first,
                what: "it is no file".into(),
            }
            .into());
        }
        // Of the file behind a link, not of the link.
        let length = fs::metadata(&path).map_err(LedgerError::io(&path))?.len();
        segments.push(Segment {
            path,
            first,
            length,
        });
    }
    segments.sort_by_key(|s| s.first);
    Ok(segments)
}

impl Segment {
    /// The damage of something in this segment.
    pub fn damage(&self, offset: u64, entry: u64, what: impl Into<String>) -> Damage {
        Damage {
            file: self.path.clone(),
            offset,
            entry,
            what: what.into(),
        }
    }

    /// The last 32 bytes: the chain at the end, if the segment is whole.
    pub fn last_chain(&self) -> Result<Hash, LedgerError> {
        use std::os::unix::fs::FileExt;
        let mut hash = [0; 32];
        let offset = self.length.saturating_sub(32);
        File::open(&self.path)
            .and_then(|file| file.read_exact_at(&mut hash, offset))
            .map_err(LedgerError::io(&self.path))?;
        Ok(hash)
    }

    /// Bytes after `offset` that are neither frames nor room: up to the last that is not zero.
    pub fn torn_after(&self, offset: u64) -> Result<u64, LedgerError> {
        let failed = || LedgerError::io(&self.path);
        let mut file = File::open(&self.path).map_err(failed())?;
        file.seek(SeekFrom::Start(offset)).map_err(failed())?;
        let mut torn = 0;
        let mut passed = 0;
        let mut piece = vec![0; 1 << 16];
        loop {
            let count = file.read(&mut piece).map_err(failed())?;
            let read = piece.get(..count).unwrap_or_default();
            if let Some(last) = read.iter().rposition(|b| *b != 0) {
                torn = passed + last as u64 + 1;
            }
            passed += count as u64;
            if count == 0 {
                return Ok(torn);
            }
        }
    }

    /// More zeros after `offset` and what is torn there than are ever made ahead. They hide nothing,
    /// since the head tells which entries there must be; but no router wrote them.
    pub fn surplus(&self, offset: u64, torn: u64, next: u64) -> Option<Damage> {
        let ends = offset + torn + ROOM;
        // A router at work may have cut off since what it could not write, or written on.
        let now = fs::metadata(&self.path).map_or(self.length, |now| now.len());
        let length = self.length.min(now);
        let surplus = length.checked_sub(ends).filter(|n| *n > 0)?;
        let what = format!(
            "{} zeros stand after the last frame, and no router makes more than {ROOM} ahead, so \
             {surplus} are not its own (or the power failed while a frame that needed new room was written); no \
             entry is missing: keep a copy of the file, find out who made it longer, and start \
             the router, which cuts them off",
            surplus + ROOM
        );
        Some(self.damage(ends, next, what))
    }
}

/// Why a walk cannot go on.
#[derive(Debug)]
pub(super) enum Stop {
    Io(io::Error),
    /// The file ends within a frame: with its head, if that stands.
    Ends(Option<FrameHead>),
    /// A frame is not what was written.
    Flaw(&'static str),
}

impl From<Malformed> for Stop {
    fn from(Malformed(what): Malformed) -> Self {
        Self::Flaw(what)
    }
}

/// One frame that was read whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub head: FrameHead,
    /// Number of its first entry.
    pub first: u64,
    /// Where the profiles end and the entries begin in the body.
    entries_at: usize,
}

/// Goes through a segment frame by frame.
pub(super) struct Walk {
    pub segment: Segment,
    pub header: SegmentHeader,
    reader: BufReader<File>,
    /// After the last frame that was read.
    pub offset: u64,
    pub chain: Hash,
    /// Number of the next entry.
    pub next: u64,
    profiles: Vec<Arc<Profile>>,
    body: Vec<u8>,
}

impl Walk {
    /// Reads the header.
    ///
    /// # Errors
    /// [`LedgerError::Damaged`] if it is not whole, or not that of a segment of this name.
    pub fn open(segment: &Segment) -> Result<Self, LedgerError> {
        let file = File::open(&segment.path).map_err(LedgerError::io(&segment.path))?;
        let mut reader = BufReader::with_capacity(1 << 18, file);
        let mut bytes = [0; SegmentHeader::LEN];
        match reader.read_exact(&mut bytes) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(segment
                    .damage(0, segment.first, "it ends within its header")
                    .into());
            }
            Err(error) => return Err(LedgerError::io(&segment.path)(error)),
        }
        let (header, chain) = SegmentHeader::decode(&bytes)
            .map_err(|Malformed(what)| segment.damage(0, segment.first, what))?;
        if header.first != segment.first {
            return Err(segment
                .damage(
                    24,
                    header.first,
                    format!("it begins with entry {}, not as it is named", header.first),
                )
                .into());
        }
        Ok(Self {
            segment: segment.clone(),
            header,
            reader,
            offset: SegmentHeader::LEN as u64,
            chain,
            next: header.first,
            profiles: Vec::new(),
            body: Vec::new(),
        })
    }

    /// The next frame, its profiles learnt and its chain compared; `None` at the end, or
    /// where nothing but room that was made ahead can stand.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, Stop> {
        let mut bytes = [0; FRAME_HEAD];
        let mut came = self.fill(&mut bytes)?;
        if came > 0 && bytes == [0; FRAME_HEAD] {
            // What was read ahead may be older than a frame that stands here now.
            self.rewind()?;
            came = self.fill(&mut bytes)?;
            if bytes == [0; FRAME_HEAD] {
                self.rewind()?;
                return Ok(None);
            }
        }
        match came {
            0 => return Ok(None),
            FRAME_HEAD => {}
            _ => return Err(Stop::Ends(None)),
        }
        let head = FrameHead::decode(&bytes)?;
        let mut body = std::mem::take(&mut self.body);
        let read = self.read_body(&head, &mut body);
        self.body = body;
        let tail = read?;
        if chain(&self.chain, &bytes, &self.body) != tail {
            return Err(Malformed("the chain does not hold").into());
        }
        let mut take = Take::new(&self.body);
        for _ in 0..head.profiles {
            self.profiles.push(Arc::new(take_profile(&mut take)?));
        }
        let entries_at = self.body.len() - take.left();
        let frame = Frame {
            head,
            first: self.next,
            entries_at,
        };
        self.chain = tail;
        self.next += u64::from(head.entries);
        self.offset += head.size();
        Ok(Some(frame))
    }

    /// The entries of the frame that [`Walk::next_frame`] gave last.
    pub fn entries(&self, frame: &Frame) -> Result<Vec<Entry>, Malformed> {
        let mut take = Take::new(self.body.get(frame.entries_at..).unwrap_or_default());
        let mut entries = Vec::with_capacity(frame.head.entries as usize);
        for seq in (frame.first..).take(frame.head.entries as usize) {
            entries.push(take_entry(&mut take, seq, frame.head.base, &self.profiles)?);
        }
        if !take.is_empty() {
            return Err(Malformed("a frame holds more than its entries"));
        }
        Ok(entries)
    }

    pub fn profiles(&self) -> &[Arc<Profile>] {
        &self.profiles
    }

    /// Of a segment that another follows: nothing stands after its last frame, since its room goes
    /// before the next one begins.
    pub fn ends_here(&self) -> Result<(), LedgerError> {
        // Its length now: the room may have gone since the folder was listed.
        let file = self.reader.get_ref().metadata();
        let length = file.map_err(LedgerError::io(&self.segment.path))?.len();
        match length.saturating_sub(self.offset) {
            0 => Ok(()),
            more => {
                let what = format!(
                    "{more} bytes stand after the last frame, though another segment follows: \
                     bring the segment back from a copy"
                );
                Err(self.segment.damage(self.offset, self.next, what).into())
            }
        }
    }

    /// What stopped the walk, as damage at this place.
    pub fn damage(&self, stop: Stop) -> LedgerError {
        match stop {
            Stop::Io(error) => LedgerError::io(&self.segment.path)(error),
            Stop::Ends(_) => self.damage(Stop::Flaw("it ends within a frame")),
            Stop::Flaw(what) => self.segment.damage(self.offset, self.next, what).into(),
        }
    }

    fn read_body(&mut self, head: &FrameHead, body: &mut Vec<u8>) -> Result<Hash, Stop> {
        body.clear();
        // `take` instead of a buffer of the claimed length: a wrong length costs no memory.
        let length = u64::from(head.length);
        let read = (&mut self.reader)
            .take(length)
            .read_to_end(body)
            .map_err(Stop::Io)?;
        if read as u64 != length {
            return Err(Stop::Ends(Some(*head)));
        }
        let mut tail = [0; FRAME_TAIL];
        if self.fill(&mut tail)? < FRAME_TAIL {
            return Err(Stop::Ends(Some(*head)));
        }
        Ok(tail)
    }

    /// Back to the end of the last frame, with nothing read ahead.
    pub fn rewind(&mut self) -> Result<(), Stop> {
        let seek = self.reader.seek(SeekFrom::Start(self.offset));
        seek.map(drop).map_err(Stop::Io)
    }

    /// Fills `bytes` as far as the file goes, and gives how far that is.
    fn fill(&mut self, bytes: &mut [u8]) -> Result<usize, Stop> {
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|r| !r.is_empty()) {
            match self.reader.read(rest) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Stop::Io(error)),
            }
        }
        Ok(filled)
    }
}
