use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;

use super::{
    Damage, Entry, Kind, LedgerError, Profile,
    codec::Malformed,
    head::{self, Head, Slots},
    open::{Tail, head_damage, join, match_head, missing_segment},
    segment::{self, Segment, Stop, Walk},
};
use crate::domain::Digest;

/// A ledger in which everything is as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// Hexadecimal id of the ledger.
    pub ledger: String,
    pub segments: u64,
    pub entries: u64,
    pub bytes: u64,
    /// Hexadecimal chain at the end.
    pub chain: String,
    pub first_at: Option<Timestamp>,
    pub last_at: Option<Timestamp>,
    /// Whole entries after those that the head acknowledges: a router is writing, or was killed
    /// between writing and acknowledging.
    pub after_head: u64,
    /// Bytes of an unfinished frame at the end, for the same reason. The next start cuts them off.
    pub torn_bytes: u64,
    /// Starts that found acknowledged entries missing.
    pub recoveries: Vec<Recovery>,
    /// By what was decided, each pair of policy and settings once, as they come up.
    pub decided_by: Vec<DecidedBy>,
}

/// The entries of decisions under one policy and one set of settings. Those around a reload may lie between
/// each other's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct DecidedBy {
    pub policy: Digest,
    /// `None`: the router did not tell it yet.
    pub settings: Option<Digest>,
    /// Number of the first entry.
    pub first: u64,
    pub last: u64,
    /// One decision may have several: see `docs/ledger-format.md`.
    pub entries: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Recovery {
    pub seq: u64,
    pub at: Timestamp,
    pub lost: u64,
}

/// Reads the whole ledger and compares it with its chain and its head. Changes nothing, and may
/// run beside the router.
///
/// Who can rewrite the segments *and* the head can still forge a shorter ledger; signed
/// checkpoints kept elsewhere are what tells.
///
/// # Errors
/// [`LedgerError::Damaged`] with the place of the first damage; others when it cannot be read.
pub fn verify(folder: &Path) -> Result<VerifyReport, LedgerError> {
    verify_each(folder, |_, _| {})
}

/// As [`verify`], and gives each entry as it is read, once each, in order, with whether it was
/// acknowledged when this began: those behind may yet be cut off and written anew, unless somebody has
/// seen them acknowledged. Before an error about damage those before it were given.
///
/// What is made of them counts only once the whole has been found sound.
pub fn verify_each(
    folder: &Path,
    mut give: impl FnMut(&Entry, bool),
) -> Result<VerifyReport, LedgerError> {
    let slots = Slots::read_settled(folder).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotADirectory => no_ledger(folder),
        _ => LedgerError::io(folder.join(head::FILE))(error),
    })?;
    if !folder.is_dir() {
        return Err(no_ledger(folder));
    }
    let segments = segment::list(folder)?;
    let Some(slots) = slots else {
        if segments.is_empty() {
            return Err(no_ledger(folder));
        }
        return Err(head_damage(folder, Malformed("it is missing, though segments stand")).into());
    };
    let [head, older] = slots.both().map_err(|m| head_damage(folder, m))?;
    let mut report = VerifyReport {
        ledger: hex(&head.ledger),
        segments: segments.len() as u64,
        entries: 0,
        bytes: 0,
        chain: String::new(),
        first_at: None,
        last_at: None,
        after_head: 0,
        torn_bytes: 0,
        recoveries: Vec::new(),
        decided_by: Vec::new(),
    };
    let mut tail = Tail {
        latest: None,
        offset: 0,
        chain: [0; 32],
        next: 1,
        profiles: Vec::new(),
        torn: 0,
        room: 0,
        surplus: None,
    };
    let mut last_path = None;
    let mut surplus = None;
    for (index, segment) in segments.iter().enumerate() {
        let last = index + 1 == segments.len();
        let mut walk = match Walk::open(segment) {
            // A segment that was being begun.
            Err(LedgerError::Damaged(_)) if last && unfinished(segment, &head) => {
                report.torn_bytes = segment.length;
                break;
            }
            walk => walk?,
        };
        join(segment, &walk.header, &tail, &head)?;
        let mut read = |walk: &mut Walk| report.read(walk, last, [&head, &older], &mut give);
        read(&mut walk)?;
        if last {
            report.torn_bytes = unfinished_after(&mut walk, read)?;
            surplus = segment.surplus(walk.offset, report.torn_bytes, walk.next);
        } else {
            walk.ends_here()?;
        }
        report.bytes += walk.offset;
        tail.chain = walk.chain;
        tail.next = walk.next;
        tail.offset = walk.offset;
        last_path = Some(segment.clone());
    }
    if tail.next <= head.seq {
        let Some(segment) = last_path.filter(|s: &Segment| s.first >= head.segment) else {
            return Err(missing_segment(folder, &head).into());
        };
        let missing = head.seq - (tail.next - 1);
        return Err(segment
            .damage(
                tail.offset,
                tail.next,
                format!("{missing} acknowledged entries are missing from the end"),
            )
            .into());
    }
    // No `recovered` entry tells of it yet.
    if head.lost > 0 && tail.next - 1 == head.seq {
        let what = format!(
            "{} acknowledged entries are missing from the end, as a start found that could not write it down: start the router, whose first entry tells of it",
            head.lost
        );
        return Err(match last_path {
            Some(segment) => segment.damage(tail.offset, tail.next, what),
            None => Damage {
                file: folder.join(head::FILE),
                offset: 0,
                entry: tail.next,
                what,
            },
        }
        .into());
    }
    // Only where nothing worse is to be told.
    if let Some(damage) = surplus {
        return Err(damage.into());
    }
    report.entries = tail.next - 1;
    report.after_head = report.entries - head.seq;
    report.chain = hex(&tail.chain);
    Ok(report)
}

/// Bytes after the walk's end that are no whole frame. A router at work may have written on since
/// the walk ended, so what stands there is read first.
pub(super) fn unfinished_after(
    walk: &mut Walk,
    mut read: impl FnMut(&mut Walk) -> Result<(), LedgerError>,
) -> Result<u64, LedgerError> {
    loop {
        let ended = walk.offset;
        let torn = walk.segment.torn_after(ended)?;
        if torn == 0 {
            return Ok(0);
        }
        walk.rewind().map_err(|stop| walk.damage(stop))?;
        read(walk)?;
        // No frame stood there when it was read again: one at most had been begun.
        if walk.offset == ended {
            return Ok(torn);
        }
    }
}

impl VerifyReport {
    /// Goes on to the segment's end. `heads`: both slots, the newer first.
    fn read(
        &mut self,
        walk: &mut Walk,
        last: bool,
        heads: [&Head; 2],
        give: &mut impl FnMut(&Entry, bool),
    ) -> Result<(), LedgerError> {
        let mut before = walk.next;
        loop {
            for head in heads {
                match_head(walk, before, head)?;
            }
            before = walk.next;
            let frame = match walk.next_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => return Ok(()),
                Err(Stop::Ends(_) | Stop::Flaw(_)) if last && walk.next > heads[0].seq => {
                    return Ok(());
                }
                Err(stop) => return Err(walk.damage(stop)),
            };
            for entry in walk.entries(&frame).map_err(|m| walk.damage(m.into()))? {
                give(&entry, entry.seq <= heads[0].seq);
                self.first_at.get_or_insert(entry.at);
                self.last_at = Some(entry.at);
                match entry.kind {
                    Kind::Recovered { lost } => self.recoveries.push(Recovery {
                        seq: entry.seq,
                        at: entry.at,
                        lost,
                    }),
                    Kind::Decision { profile, .. } => self.count(entry.seq, &profile),
                    Kind::Outcome { .. } | Kind::Resumed { .. } => {}
                }
            }
        }
    }

    fn count(&mut self, seq: u64, profile: &Profile) {
        let is =
            |by: &&mut DecidedBy| (by.policy, by.settings) == (profile.policy, profile.settings);
        // Nearly always the last.
        match self.decided_by.iter_mut().rev().find(is) {
            Some(by) => {
                by.last = seq;
                by.entries += 1;
            }
            None => self.decided_by.push(DecidedBy {
                policy: profile.policy,
                settings: profile.settings,
                first: seq,
                last: seq,
                entries: 1,
            }),
        }
    }
}

fn unfinished(segment: &segment::Segment, head: &Head) -> bool {
    segment.length <= super::format::SegmentHeader::LEN as u64 && head.seq < segment.first
}

fn no_ledger(folder: &Path) -> LedgerError {
    LedgerError::NoLedger {
        folder: folder.to_owned(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// What `ledger verify` prints of a sound ledger.
impl std::fmt::Display for VerifyReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "sound: {} entries in {} segments, {} bytes, chain {}",
            self.entries, self.segments, self.bytes, self.chain
        )?;
        if self.after_head > 0 {
            write!(f, "\n{} entries stand after the head", self.after_head)?;
        }
        if self.torn_bytes > 0 {
            write!(
                f,
                "\n{} bytes of an unfinished frame at the end, which nobody was told of",
                self.torn_bytes
            )?;
        }
        for by in &self.decided_by {
            let DecidedBy {
                policy,
                settings,
                first,
                last,
                entries,
            } = by;
            write!(
                f,
                "\n{entries} entries of decisions from {first} to {last} by policy {policy}, "
            )?;
            match settings {
                Some(settings) => write!(f, "settings {settings}")?,
                None => f.write_str("settings not told")?,
            }
        }
        for recovery in &self.recoveries {
            write!(
                f,
                "\nentry {}: at the start on {} {} acknowledged entries were missing",
                recovery.seq, recovery.at, recovery.lost
            )?;
        }
        Ok(())
    }
}
