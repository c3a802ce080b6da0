use std::{collections::VecDeque, path::Path};

use super::{
    Entry, LedgerError,
    codec::Malformed,
    head::{self, Slots},
    open::head_damage,
    segment::{self, Segment, Stop, Walk},
};
use crate::domain::DecisionId;

/// Up to `limit` acknowledged entries after number `after`, in order, of one decision if that is
/// asked for; and the number to go on after (`None`: the end was reached).
///
/// Reads the disk without any lock, so it may run beside the router; blocks. Chains are
/// [`verify`](fn@super::verify)'s business.
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
    let after = acknowledged(folder)?.saturating_sub(count as u64);
    let mut last = VecDeque::new();
    scan(folder, after, |entry| {
        if last.len() >= count {
            last.pop_front();
        }
        last.push_back(entry);
        count > 0
    })?;
    Ok(last.into())
}

/// Number of the last acknowledged entry.
pub fn acknowledged(folder: &Path) -> Result<u64, LedgerError> {
    let slots = Slots::read_settled(folder).map_err(LedgerError::io(folder.join(head::FILE)))?;
    let Some(slots) = slots else {
        return Err(LedgerError::NoLedger {
            folder: folder.to_owned(),
        });
    };
    Ok(slots.newest().map_err(|m| head_damage(folder, m))?.seq)
}

/// Gives every acknowledged entry after `after`, until told to stop.
fn scan(folder: &Path, after: u64, mut give: impl FnMut(Entry) -> bool) -> Result<(), LedgerError> {
    let last = acknowledged(folder)?;
    let segments = segment::list(folder)?;
    let from = segments
        .partition_point(|s| s.first <= after.saturating_add(1))
        .saturating_sub(1);
    for segment in segments.iter().skip(from).filter(|s| s.first <= last) {
        if !scan_segment(segment, after, last, &mut give)? {
            break;
        }
    }
    Ok(())
}

fn scan_segment(
    segment: &Segment,
    after: u64,
    last: u64,
    give: &mut impl FnMut(Entry) -> bool,
) -> Result<bool, LedgerError> {
    let mut walk = Walk::open(segment)?;
    while walk.next <= last {
        let frame = match walk.next(false) {
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
