use std::path::{Path, PathBuf};

use super::{
    Entry, LedgerError,
    codec::Malformed,
    read::acknowledged,
    segment::{self, Stop, Walk},
};

/// Reads a growing ledger, each entry once, in order. Keeps its place in the segment, so that
/// looking for news costs one read of the head.
pub struct Follow {
    folder: PathBuf,
    after: u64,
    walk: Option<Walk>,
}

impl Follow {
    /// Begins after number `after`.
    pub fn new(folder: &Path, after: u64) -> Self {
        Self {
            folder: folder.to_owned(),
            after,
            walk: None,
        }
    }

    /// What was acknowledged since the last call: some of it at least, nothing if there is
    /// nothing. Never waits for news; blocks on the disk alone.
    pub fn news(&mut self) -> Result<Vec<Entry>, LedgerError> {
        let last = acknowledged(&self.folder)?;
        let kept = self.walk.is_some();
        match self.advance(last) {
            // What was buffered ahead may be of a frame that failed and was written anew: look
            // again with fresh eyes, once.
            Err(LedgerError::Damaged(_)) if kept => {
                self.walk = None;
                self.advance(last)
            }
            other => other,
        }
    }

    fn advance(&mut self, last: u64) -> Result<Vec<Entry>, LedgerError> {
        while self.after < last {
            let walk = match &mut self.walk {
                Some(walk) => walk,
                none => none.insert(open_at(&self.folder, self.after + 1)?),
            };
            let frame = match walk.next_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => {
                    let here = walk.segment.first;
                    let ended = Stop::Flaw("acknowledged entries are missing from the end");
                    let ended = walk.damage(ended);
                    // The next segment begins where this one ends.
                    let next = open_at(&self.folder, self.after + 1)?;
                    if next.segment.first != self.after + 1 || next.segment.first == here {
                        return Err(ended);
                    }
                    self.walk = Some(next);
                    continue;
                }
                Err(stop) => return Err(walk.damage(stop)),
            };
            if walk.next <= self.after + 1 {
                continue;
            }
            let entries = walk
                .entries(&frame)
                .map_err(|malformed: Malformed| walk.damage(Stop::from(malformed)))?;
            let (after, next) = (self.after, walk.next);
            self.after = next - 1;
            return Ok(entries.into_iter().filter(|e| e.seq > after).collect());
        }
        Ok(Vec::new())
    }
}

/// The segment that holds, or will hold, entry `seq`.
fn open_at(folder: &Path, seq: u64) -> Result<Walk, LedgerError> {
    let segments = segment::list(folder)?;
    segments
        .iter()
        .rfind(|s| s.first <= seq)
        .map(Walk::open)
        .unwrap_or_else(|| {
            Err(LedgerError::NoLedger {
                folder: folder.to_owned(),
            })
        })
}
