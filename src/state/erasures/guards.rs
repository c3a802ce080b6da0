//! What lasts for a while: an erasure that is being noted, a try, the removal of a pin, a write, a
//! request that is kept.

use std::sync::{Arc, atomic::Ordering};

use super::{Inner, Row, RowId, Stage, log};
use crate::domain::SubjectKey;

/// Rows whose lines are handed over and are not known to be written. Dropped before they stand:
/// nothing is sent for them, and what they had replaced is open again.
pub(super) struct Noting {
    inner: Arc<Inner>,
    /// Empty once they stand.
    rows: Vec<RowId>,
    pub replaced: Vec<(SubjectKey, Row)>,
}

impl Noting {
    pub fn new(inner: &Arc<Inner>, count: usize) -> Self {
        Self {
            inner: Arc::clone(inner),
            rows: Vec::with_capacity(count),
            replaced: Vec::new(),
        }
    }

    pub fn add(&mut self, subject: SubjectKey, row: &Row) {
        self.rows.push(RowId {
            subject,
            region: Arc::clone(&row.region),
            record: row.record,
            decision: row.decision,
        });
    }

    pub fn stands(mut self) {
        self.rows.clear();
    }
}

impl Drop for Noting {
    fn drop(&mut self) {
        if self.rows.is_empty() {
            return;
        }
        let mut state = self.inner.lock();
        let (mut gone, mut back) = (Vec::new(), Vec::new());
        for id in std::mem::take(&mut self.rows) {
            // Else a write has overtaken it, or a later request has taken its place.
            let Some((subject, row)) = state.take(id.subject, |row| row.is(&id)).pop() else {
                continue;
            };
            let was = |(s, old): &mut (SubjectKey, Row)| {
                *s == subject && old.region == row.region && old.record == row.record
            };
            match self.replaced.extract_if(.., was).last() {
                // Whoever tried it has given it up meanwhile.
                Some((_, mut old)) => {
                    old.stage = Stage::Repeat;
                    back.push((subject, old.clone()));
                    state.rows.entry(subject).or_default().push(old);
                }
                None => gone.push((subject, row)),
            }
            state.repeat_if_confirmed(&subject);
        }
        // What is back was counted as the row that is gone.
        if !back.is_empty() {
            self.inner.say(log::opened(&back));
        }
        self.inner.close(&gone);
    }
}

/// A try in the background is under way.
#[derive(Debug)]
pub struct Trying {
    inner: Arc<Inner>,
    at: (SubjectKey, Arc<str>),
}

impl Trying {
    pub(super) fn new(inner: &Arc<Inner>, at: (SubjectKey, Arc<str>)) -> Self {
        Self {
            inner: Arc::clone(inner),
            at,
        }
    }
}

impl Drop for Trying {
    fn drop(&mut self) {
        let mut state = self.inner.lock();
        if let Some(count) = state.trying.get_mut(&self.at) {
            *count -= 1;
            if *count == 0 {
                state.trying.remove(&self.at);
            }
        }
        drop(state);
        self.inner.ended.notify_waiters();
    }
}

/// A pin is being removed. Dropped without [`Ending::done`]: it stays, and the rows are to be
/// repeated.
#[derive(Debug)]
pub struct Ending {
    inner: Arc<Inner>,
    subject: SubjectKey,
    confirmed: Vec<Arc<str>>,
    done: bool,
}

impl Ending {
    pub(super) fn new(inner: &Arc<Inner>, subject: SubjectKey, confirmed: Vec<Arc<str>>) -> Self {
        Self {
            inner: Arc::clone(inner),
            subject,
            confirmed,
            done: false,
        }
    }

    /// The regions that have confirmed.
    pub fn confirmed(&self) -> &[Arc<str>] {
        &self.confirmed
    }

    /// The entry that removes the pin stands.
    pub fn done(mut self) {
        self.done = true;
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let mut state = self.inner.lock();
        state.ending.remove(&self.subject);
        if self.done {
            self.inner.end(&mut state, self.subject, |_| true);
        } else if let Some(rows) = state.rows.get_mut(&self.subject) {
            rows.iter_mut().for_each(|row| row.stage = Stage::Repeat);
        }
        drop(state);
        self.inner.ended.notify_waiters();
    }
}

/// Writes that are about to stand.
#[must_use]
#[derive(Debug)]
pub struct Held {
    pub(super) inner: Arc<Inner>,
    pub(super) writes: Vec<(SubjectKey, Arc<str>)>,
    pub(super) pin_ended: bool,
}

impl Held {
    /// A pin was removed while this waited: what was found of its subject does not hold.
    pub fn pin_ended(&self) -> bool {
        self.pin_ended
    }

    /// The entries of the writes stand, and nothing was sent yet: the erasures that they overtake
    /// are closed. `path` is the writes' own, percent-decoded, `record` its keyed hash.
    pub fn overtake(self, path: &str, record: SubjectKey) {
        let mut state = self.inner.lock();
        for (subject, region) in &self.writes {
            self.inner.spare_pin(&mut state, *subject);
            self.inner.end(&mut state, *subject, |row| {
                row.region == *region && row.is_overtaken(path, record)
            });
        }
    }

    /// As [`Held::overtake`], where each write has a place of its own: subject, region, and a number
    /// by which `place` gives path and hash. `None`: the record is new, and overtakes none.
    pub fn overtake_each<'n>(
        self,
        writes: impl IntoIterator<Item = (SubjectKey, &'n str, usize)>,
        place: impl Fn(usize) -> Option<(String, SubjectKey)>,
    ) {
        let mut state = self.inner.lock();
        for (subject, region, number) in writes {
            if !state.rows.contains_key(&subject) {
                continue;
            }
            self.inner.spare_pin(&mut state, subject);
            let Some((path, record)) = place(number) else {
                continue;
            };
            self.inner.end(&mut state, subject, |row| {
                *row.region == *region && row.is_overtaken(&path, record)
            });
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.inner.lock();
        for (subject, _) in &self.writes {
            let Some(count) = state.held.get_mut(subject) else {
                continue;
            };
            *count -= 1;
            if *count > 0 {
                continue;
            }
            state.held.remove(subject);
            // The write did not stand after all, and kept a pin from being removed meanwhile.
            state.repeat_if_confirmed(subject);
        }
    }
}

/// Room in memory for a request; given back when it is dropped.
#[derive(Debug)]
pub struct Room {
    pub(super) inner: Arc<Inner>,
    pub(super) bytes: usize,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.inner.kept.fetch_sub(self.bytes, Ordering::SeqCst);
    }
}
