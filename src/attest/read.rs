use std::{collections::VecDeque, path::Path};

use super::{
    Damage, Entry, LedgerError,
    codec::Malformed,
    head::{self, Head, Slots},
    open::{head_damage, missing_segment},
    segment::{self, Stop, Walk},
};
use crate::domain::DecisionId;

/// Up to `limit` acknowledged entries after number `after`, in order, of one decision if that is
/// asked for; and the number to go on after (`None`: the end was reached).
///
/// Reads the disk without any lock, so it may run beside the router; blocks. Of the segments that
/// are read each frame is compared with the chain up to the last entry that is given; what stands
/// before them, and whether the chains of segments join, is [`verify`](fn@super::verify)'s business.
///
/// # Errors
/// [`LedgerError::Damaged`] where something else stands than was written, before the page is full.
pub fn read(
    folder: &Path,
    after: u64,
    limit: usize,
    decision: Option<DecisionId>,
) -> Result<(Vec<Entry>, Option<u64>), LedgerError> {
    let mut found = Vec::new();
    let mut next = None;
    scan(folder, after, |entry| {
        if decision.is_some_and(|d| entry.decision() != Some(d)) {
            return true;
        }
        if found.len() >= limit {
            next = Some(found.last().map_or(after, |e: &Entry| e.seq));
            return false;
        }
        found.push(entry);
        true
    })?;
    Ok((found, next))
}

/// The last `count` acknowledged entries, in order. [`Follow`](super::Follow) goes on from there.
pub fn tail(folder: &Path, count: usize) -> Result<Vec<Entry>, LedgerError> {
    let (entries, damage) = tail_until_damage(folder, count)?;
    damage.map_or(Ok(entries), |damage| Err(damage.into()))
}

/// As [`tail`]; where there is damage among them, or before them in their segment, those before it.
pub fn tail_until_damage(
    folder: &Path,
    count: usize,
) -> Result<(Vec<Entry>, Option<Damage>), LedgerError> {
    let after = acknowledged(folder)?.saturating_sub(count as u64);
    let mut last = VecDeque::new();
    let scanned = scan(folder, after, |entry| {
        if last.len() >= count {
            last.pop_front();
        }
        last.push_back(entry);
        count > 0
    });
    match scanned {
        Ok(()) => Ok((last.into(), None)),
        Err(LedgerError::Damaged(damage)) => Ok((last.into(), Some(damage))),
        Err(error) => Err(error),
    }
}

/// Number of the last acknowledged entry.
pub fn acknowledged(folder: &Path) -> Result<u64, LedgerError> {
    Ok(newest(folder)?.seq)
}

fn newest(folder: &Path) -> Result<Head, LedgerError> {
    let slots = Slots::read_settled(folder).map_err(LedgerError::io(folder.join(head::FILE)))?;
    let Some(slots) = slots else {
        return Err(LedgerError::NoLedger {
            folder: folder.to_owned(),
        });
    };
    slots.newest().map_err(|m| head_damage(folder, m).into())
}

/// Gives every acknowledged entry after `after`, in order, until told to stop (`false`). Of the segments
/// that are read each frame is compared with the chain, as [`read`] does.
///
/// # Errors
/// As [`read`].
pub fn scan(
    folder: &Path,
    after: u64,
    mut give: impl FnMut(Entry) -> bool,
) -> Result<(), LedgerError> {
    let head = newest(folder)?;
    let last = head.seq;
    let segments = segment::list(folder)?;
    let from = segments
        .partition_point(|s| s.first <= after.saturating_add(1))
        .saturating_sub(1);
    let mut ended: Option<Walk> = None;
    for segment in segments.iter().skip(from).filter(|s| s.first <= last) {
        let next = ended.as_ref().map_or(after.saturating_add(1), |w| w.next);
        if segment.first > next {
            let what = "the entries before it are missing, from this one on";
            return Err(segment.damage(0, next, what).into());
        }
        let mut walk = Walk::open(segment)?;
        if !scan_segment(&mut walk, after, last, &mut give)? {
            return Ok(());
        }
        ended = Some(walk);
    }
    match ended {
        Some(walk) if after < last && walk.next <= last => {
            let missing = Stop::Flaw("acknowledged entries are missing from the end");
            Err(walk.damage(missing))
        }
        None if after < last => Err(missing_segment(folder, &head).into()),
        _ => Ok(()),
    }
}

/// `false`: told to stop. Up to `last` all is on disk, whatever a router at work writes after it.
fn scan_segment(
    walk: &mut Walk,
    after: u64,
    last: u64,
    give: &mut impl FnMut(Entry) -> bool,
) -> Result<bool, LedgerError> {
    while walk.next <= last {
        // Checked from the segment's beginning: the entries' numbers and profiles hang on it.
        let frame = match walk.next_frame() {
            Ok(Some(frame)) => frame,
            Ok(None) => break,
            Err(stop) => return Err(walk.damage(stop)),
        };
        if walk.next <= after.saturating_add(1) {
            continue;
        }
        let entries = walk
            .entries(&frame)
            .map_err(|malformed: Malformed| walk.damage(Stop::from(malformed)))?;
        for entry in entries {
            if entry.seq > after && entry.seq <= last && !give(entry) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}
