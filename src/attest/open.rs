//! Starting: what stands on disk is checked, a torn tail is cut off, and loss is attested.

use std::{
    collections::HashMap,
    fs::{self, File, TryLockError},
    io::{Read as _, Seek as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::Arc,
};

use jiff::Timestamp;

use super::{
    Books, Damage, Entry, Kind, LedgerError, Opened, Options,
    codec::Malformed,
    disk::Disk,
    format::{FrameHead, SegmentHeader},
    head::{self, Head, HeadFile, HeadFlaw, Slots},
    segment::{self, Segment, Stop, Walk},
    writer::{End, Item, WriteError, Writer},
};
use crate::{
    clock,
    disk::create_private_folder,
    domain::{DecisionId, SubjectKey},
    locate::PinChange,
};

const LOCK: &str = "lock";
/// Replayed changes that may wait in memory.
const REPLAY_AHEAD: usize = 100_000;

/// Held while the ledger is open; the system lets it go with the process.
#[derive(Debug)]
pub(super) struct FolderLock(#[expect(dead_code, reason = "held, not read")] File);

pub(super) fn lock(folder: &Path) -> Result<FolderLock, LedgerError> {
    create_private_folder(folder).map_err(LedgerError::io(folder))?;
    let path = folder.join(LOCK);
    let failed = || LedgerError::io(path.clone());
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(failed())?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut by = String::new();
            let read = file.take(64).read_to_string(&mut by);
            return Err(LedgerError::InUse {
                folder: folder.to_owned(),
                by: match read {
                    Ok(_) if !by.trim().is_empty() => format!("process {}", by.trim()),
                    _ => "another process".into(),
                },
            });
        }
        Err(TryLockError::Error(error)) => return Err(failed()(error)),
    }
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(failed())?;
    Ok(FolderLock(file))
}

/// Checks and repairs the ledger in a locked folder.
pub(super) fn open(
    folder: &Path,
    options: &Options,
    books: &Books,
    mut disk: Box<dyn Disk>,
) -> Result<(Writer, Opened), LedgerError> {
    let slots = Slots::read(folder).map_err(LedgerError::io(folder.join(head::FILE)))?;
    let flaw = slots.as_ref().and_then(Slots::flaw);
    let mut segments = segment::list(folder)?;
    let mut head = match (slots, segments.first()) {
        (Some(slots), _) => slots.newest().map_err(|m| head_damage(folder, m))?,
        (None, None) => fresh_head()?,
        (None, Some(_)) => {
            return Err(
                head_damage(folder, Malformed("it is missing, though segments stand")).into(),
            );
        }
    };
    drop_unfinished_segment(&mut segments, &head)?;
    let tail = check(folder, &segments, &head, options.check_bytes)?;
    let mut opened = Opened {
        torn_bytes: tail.torn,
        latest: tail.latest,
        ..Opened::default()
    };
    let end = End {
        ledger: head.ledger,
        segment: segments.last().map_or(0, |s| s.first),
        offset: tail.offset,
        chain: tail.chain,
        next: tail.next,
    };
    let acknowledged = head.seq;
    // A first start that was cut short has one slot and no entry; nothing is damaged.
    opened.head_flaw = flaw
        .filter(|_| end.segment != 0 || acknowledged > 0)
        .map(|flaw| HeadFlaw {
            may_hide_loss: end.next - 1 <= acknowledged,
            ..flaw
        });
    if end.next - 1 > head.seq {
        // Its `recovered` entry came with the first frame after it.
        head.lost = 0;
    }
    if end.next - 1 < acknowledged {
        head.lost += acknowledged - (end.next - 1);
    }
    // A head that was put back with an older copy of the ledger cannot tell; the directory can.
    let seen = books.directory.seen(head.ledger)?;
    head.lost = head.lost.max(seen.saturating_sub(end.next - 1));
    opened.lost = head.lost;
    head.seq = end.next - 1;
    head.segment = end.segment;
    head.offset = end.offset;
    head.chain = end.chain;

    let io = |error| LedgerError::io(folder)(error);
    // Before the head acknowledges its last frame: a router that was killed may not have synced it.
    let file = end.settle(disk.as_mut()).map_err(io)?;
    // Before the directory forgets what it saw: the loss must be told even if we end here.
    let head_file = HeadFile::start(disk.as_mut(), head).map_err(io)?;
    let applied = Applied::attach(books, head.ledger, end.next - 1)?;
    (opened.replayed, opened.apart) = replay(&segments, &tail, &applied, books)?;
    let bytes = segments.iter().map(|s| s.length).sum::<u64>() - tail.room;
    let mut writer = Writer::new(
        disk,
        file,
        head_file,
        end,
        options.segment_bytes,
        &tail.profiles,
        (segments.len() as u64, bytes),
    );
    if let Some(flaw) = &opened.head_flaw {
        flaw.tell(end.next - 1);
    }
    if tail.torn > 0 {
        tracing::warn!(
            bytes = tail.torn,
            "an unfinished frame at the ledger's end was cut off; nobody had been told it stood"
        );
    }
    if let Some(damage) = &tail.surplus {
        tracing::warn!(
            file = %damage.file.display(),
            from = damage.offset,
            "zeros at the ledger's end that no router makes ahead were cut off; no entry was in them"
        );
    }
    if opened.lost > 0 {
        tracing::error!(
            lost = opened.lost,
            last = end.next - 1,
            "acknowledged entries are missing from the ledger's end: the disk lost what it had confirmed, or the file was cut"
        );
        let at = clock::now().as_microsecond();
        let lost = opened.lost;
        writer
            .commit(&[Item::Recovered { at, lost }])
            .map_err(|error| match error {
                WriteError::Disk(error) => io(error),
                WriteError::TooLarge(_) => io(std::io::ErrorKind::FileTooLarge.into()),
            })?;
    }
    opened.entries = writer.next() - 1;
    Ok((writer, opened))
}

fn fresh_head() -> Result<Head, LedgerError> {
    let mut ledger = [0; 16];
    getrandom::fill(&mut ledger).map_err(LedgerError::Random)?;
    Ok(Head {
        ledger,
        generation: 0,
        seq: 0,
        segment: 0,
        offset: 0,
        chain: [0; 32],
        lost: 0,
    })
}

pub(super) fn head_damage(folder: &Path, Malformed(what): Malformed) -> Damage {
    Damage {
        file: folder.join(head::FILE),
        offset: 0,
        entry: 0,
        what: what.into(),
    }
}

/// A crash while a segment was begun leaves one whose header may not be whole. Nothing in it was
/// acknowledged.
fn drop_unfinished_segment(segments: &mut Vec<Segment>, head: &Head) -> Result<(), LedgerError> {
    let Some(last) = segments.last() else {
        return Ok(());
    };
    let begun = last.length <= SegmentHeader::LEN as u64 && head.seq < last.first;
    if begun && matches!(Walk::open(last), Err(LedgerError::Damaged(_))) {
        fs::remove_file(&last.path).map_err(LedgerError::io(&last.path))?;
        segments.pop();
    }
    Ok(())
}

/// What checking found at the ledger's end.
pub(super) struct Tail {
    pub offset: u64,
    pub chain: super::format::Hash,
    pub next: u64,
    pub profiles: Vec<Arc<super::Profile>>,
    /// The latest time of the frames that were checked.
    pub latest: Option<Timestamp>,
    /// Bytes after `offset` that are no whole frame.
    pub torn: u64,
    /// All bytes after `offset`.
    pub room: u64,
    /// Those of them that no router made.
    pub surplus: Option<Damage>,
}

/// Checks that the segments join, and the last `check_bytes` of them in full.
fn check(
    folder: &Path,
    segments: &[Segment],
    head: &Head,
    check_bytes: u64,
) -> Result<Tail, LedgerError> {
    let mut tail = Tail {
        offset: 0,
        chain: [0; 32],
        next: 1,
        profiles: Vec::new(),
        latest: None,
        torn: 0,
        room: 0,
        surplus: None,
    };
    let mut checked_from = segments.len().saturating_sub(1);
    let mut sum = segments.last().map_or(0, |s| s.length);
    while let Some(before) = checked_from.checked_sub(1).and_then(|i| segments.get(i)) {
        sum += before.length;
        if sum > check_bytes {
            break;
        }
        checked_from -= 1;
    }
    for (index, segment) in segments.iter().enumerate() {
        let mut walk = Walk::open(segment)?;
        join(segment, &walk.header, &tail, head)?;
        let last = index + 1 == segments.len();
        if index < checked_from {
            tail.chain = segment.last_chain()?;
            tail.next = segments.get(index + 1).map_or(tail.next, |s| s.first);
            continue;
        }
        let mut stopped = None;
        let mut before = walk.next;
        loop {
            match_head(&walk, before, head)?;
            before = walk.next;
            match walk.next_frame() {
                Ok(Some(frame)) => {
                    let at = Timestamp::from_microsecond(frame.head.base);
                    tail.latest = tail.latest.max(at.ok());
                }
                Ok(None) => break,
                Err(stop) => {
                    stopped = Some(stop);
                    break;
                }
            }
        }
        let ended = stopped.is_none();
        let acknowledged = walk.next <= head.seq;
        if let Some(stop) = stopped
            && (!last
                || matches!(stop, Stop::Io(_))
                || (acknowledged && !is_cut(&walk, &stop, head)))
        {
            return Err(walk.damage(stop));
        }
        if last {
            tail.torn = segment.torn_after(walk.offset)?;
            if ended && acknowledged && tail.torn > 0 {
                return Err(walk.damage(HOLE));
            }
            tail.room = segment.length.saturating_sub(walk.offset);
            tail.surplus = segment.surplus(walk.offset, tail.torn, walk.next);
        } else {
            walk.ends_here()?;
        }
        tail.offset = walk.offset;
        tail.chain = walk.chain;
        tail.next = walk.next;
        tail.profiles = walk.profiles().to_vec();
    }
    let ends_in = segments.last().map_or(0, |s| s.first);
    if tail.next <= head.seq && ends_in < head.segment {
        return Err(missing_segment(folder, head).into());
    }
    Ok(tail)
}

/// Where acknowledged entries are gone with all that followed them, zeros alone stand.
const HOLE: Stop = Stop::Flaw(
    "zeros stand where an acknowledged frame began, and more stands behind them: bring the segment back from a copy",
);

/// Whether nothing is wrong with the last segment but that acknowledged frames are gone from its
/// end. With a flaw in a length a frame seems to go on beyond the file while others stand in what
/// seems to be its body: so it must end where an acknowledged frame can.
fn is_cut(walk: &Walk, stop: &Stop, head: &Head) -> bool {
    let Stop::Ends(frame) = stop else {
        return false;
    };
    let can_be = |frame: &FrameHead| {
        let next = walk.next + u64::from(frame.entries);
        let ends = walk.offset + frame.size();
        ends <= head.offset && ends.cmp(&head.offset) == next.cmp(&(head.seq + 1))
    };
    walk.segment.first == head.segment
        && walk.segment.length < head.offset
        && frame.as_ref().is_none_or(can_be)
}

/// The head must meet the chain where it says that acknowledged entries end. `before` is what
/// `walk.next` was one frame ago; at a segment's header, the same.
pub(super) fn match_head(walk: &Walk, before: u64, head: &Head) -> Result<(), Damage> {
    let here = walk.segment.first == head.segment;
    let same_place = here && walk.offset == head.offset;
    let passed_over = before <= head.seq && walk.next > head.seq + 1;
    let meets = if walk.next == head.seq + 1 {
        // The same number stands at the end of one segment and at the header of the next.
        (same_place && walk.chain == head.chain)
            || (!here && (walk.segment.first == walk.next || head.segment == walk.next))
    } else {
        !same_place && !passed_over
    };
    if meets {
        Ok(())
    } else {
        Err(walk.segment.damage(
            walk.offset,
            walk.next,
            "the chain here is not the one that the head remembers",
        ))
    }
}

pub(super) fn missing_segment(folder: &Path, head: &Head) -> Damage {
    Damage {
        file: folder.join(segment::name(head.segment)),
        offset: 0,
        entry: head.segment,
        what: format!(
            "the segment is missing; acknowledged entries go to {}",
            head.seq
        ),
    }
}

/// A segment must continue the one before.
pub(super) fn join(
    segment: &Segment,
    header: &SegmentHeader,
    before: &Tail,
    head: &Head,
) -> Result<(), Damage> {
    if header.ledger != head.ledger {
        return Err(segment.damage(8, segment.first, "it belongs to another ledger"));
    }
    if header.first != before.next {
        return Err(segment.damage(
            24,
            before.next,
            format!(
                "entries from {} to {} are missing before this segment",
                before.next,
                header.first.saturating_sub(1)
            ),
        ));
    }
    if header.previous != before.chain {
        return Err(segment.damage(
            32,
            header.first,
            "it does not continue the chain of the segment before",
        ));
    }
    Ok(())
}

/// Up to which entry each book has stored what concerns it.
struct Applied {
    pins: u64,
    counts: Option<u64>,
}

impl Applied {
    fn attach(books: &Books, ledger: [u8; 16], last: u64) -> Result<Self, LedgerError> {
        let counters = books.counters.as_ref();
        Ok(Self {
            pins: books.directory.attach(ledger, last)?,
            counts: counters.map(|c| c.attach(ledger, last)).transpose()?,
        })
    }

    /// Lets the books note that they have everything up to `seq`, unless they had more before.
    fn mark(&self, books: &Books, seq: u64) {
        if seq > self.pins {
            books.directory.mark(seq);
        }
        if let (Some(counters), Some(counts)) = (&books.counters, self.counts)
            && seq > counts
        {
            counters.mark(seq);
        }
    }

    /// What any of them lacks comes after this entry.
    fn all(&self) -> u64 {
        self.counts.map_or(self.pins, |c| c.min(self.pins))
    }
}

/// Hands the books every change after what they have; counts the changes of pins, and whose first
/// home the directory has elsewhere.
fn replay(
    segments: &[Segment],
    tail: &Tail,
    applied: &Applied,
    books: &Books,
) -> Result<(u64, usize), LedgerError> {
    let mut replayed = 0;
    let mut claims = HashMap::new();
    let mut apart = Apart::default();
    let last = tail.next - 1;
    let after = applied.all();
    if after >= last {
        return Ok((0, 0));
    }
    let from = segments
        .partition_point(|s| s.first <= after + 1)
        .saturating_sub(1);
    for segment in segments.iter().skip(from) {
        let mut walk = Walk::open(segment)?;
        while walk.next <= last {
            let frame = match walk.next_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(stop) => return Err(walk.damage(stop)),
            };
            if walk.next <= after + 1 {
                continue;
            }
            if books.directory.waiting() > REPLAY_AHEAD {
                books.directory.flush()?;
            }
            if let Some(counters) = &books.counters
                && counters.waiting() > REPLAY_AHEAD
            {
                counters.flush()?;
            }
            let entries = walk.entries(&frame).map_err(|m| walk.damage(m.into()))?;
            for entry in entries {
                replayed += u64::from(replay_entry(&entry, applied, books)?);
                if entry.seq > applied.pins {
                    replay_mark(&entry, &mut claims, books)?;
                    apart.look(&entry, books)?;
                }
            }
        }
        // A start that is interrupted, by a probe that waits no longer, is not begun anew.
        applied.mark(books, walk.next - 1);
    }
    apart.tell();
    Ok((replayed, apart.0.len()))
}

/// Whose first home by the ledger is not the one that the directory has: something else wrote into
/// it. With the home by the ledger. A later change of the same pin may settle it, as where all of a
/// ledger is replayed again.
#[derive(Default)]
struct Apart(HashMap<SubjectKey, Arc<str>>);

impl Apart {
    /// Looks at an entry that was replayed.
    fn look(&mut self, entry: &Entry, books: &Books) -> Result<(), LedgerError> {
        let Kind::Decision {
            subject: Some(key),
            pin: Some(change),
            ..
        } = &entry.kind
        else {
            return Ok(());
        };
        match change {
            PinChange::Claim { region, .. } => {
                let pin = books.directory.lookup(key)?;
                if pin.is_some_and(|pin| pin.region != *region) {
                    self.0.insert(*key, Arc::clone(region));
                } else {
                    self.0.remove(key);
                }
            }
            PinChange::Move { .. } => drop(self.0.remove(key)),
            PinChange::Drop { region } if self.0.get(key) == Some(region) => {
                self.0.remove(key);
            }
            PinChange::Drop { .. } | PinChange::Copy { .. } => {}
        }
        Ok(())
    }

    fn tell(&self) {
        if !self.0.is_empty() {
            tracing::error!(
                subjects = self.0.len(),
                "the ledger has the first home of some people in another region than the directory's file, which was left as it is: their records may be where the ledger says; find out who wrote into the directory, and settle it by hand"
            );
        }
    }
}

/// The home that a first record claimed has taken it, if its outcome says so. `claims` are those
/// whose outcome has not come yet.
fn replay_mark(
    entry: &Entry,
    claims: &mut HashMap<DecisionId, (SubjectKey, Arc<str>)>,
    books: &Books,
) -> Result<(), LedgerError> {
    match &entry.kind {
        Kind::Decision {
            decision,
            profile,
            subject: Some(key),
            pin: Some(PinChange::Claim { region, .. }),
            ..
        } if profile.region.as_ref() == Some(region) => {
            claims.insert(*decision, (*key, Arc::clone(region)));
        }
        Kind::Outcome { decision, status } => {
            if let Some((key, home)) = claims.remove(decision)
                && (200..300).contains(status)
            {
                books.directory.mark_stored(key, &home)?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// Whether a pin was changed.
fn replay_entry(entry: &Entry, applied: &Applied, books: &Books) -> Result<bool, LedgerError> {
    let Kind::Decision {
        subject: Some(key),
        pin,
        profile,
        ..
    } = &entry.kind
    else {
        return Ok(false);
    };
    if let (Some(counters), Some(counts)) = (&books.counters, applied.counts)
        && entry.seq > counts
        && !profile.counted.is_empty()
    {
        counters.apply(entry.seq, *key, entry.at, &profile.counted)?;
    }
    match pin {
        Some(change) if entry.seq > applied.pins => {
            books.directory.apply(entry.seq, *key, change)?;
            Ok(true)
        }
        _ => Ok(false),
    }
}
