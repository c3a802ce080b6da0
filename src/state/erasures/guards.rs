//! What lasts for a while: an erasure that is being noted, a try, the removal of a pin, a write, a
//! request that is kept.

use std::sync::{Arc, atomic::Ordering};

use super::{Address, Inner, Overtaken, Row, RowId, Stage, State};
use crate::domain::SubjectKey;

/// Rows whose lines are handed over and are not known to be written. Dropped before they stand:
/// nothing is sent for them, and what they had displaced is open again.
pub(super) struct Noting {
    inner: Arc<Inner>,
    /// Empty once they stand.
    rows: Vec<RowId>,
}

impl Noting {
    pub fn new(inner: &Arc<Inner>, count: usize) -> Self {
        Self {
            inner: Arc::clone(inner),
            rows: Vec::with_capacity(count),
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
        self.inner
            .forget(&mut state, &std::mem::take(&mut self.rows));
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
        // A row that was noted meanwhile is of a request that may not have been sent yet.
        let over = |row: &Row| row.ends_pin && row.stage == Stage::Confirmed;
        if self.done {
            self.inner.end(&mut state, self.subject, over);
        } else if let Some(rows) = state.rows.get_mut(&self.subject) {
            let rows = rows.iter_mut().filter(|row| over(row));
            rows.for_each(|row| row.stage = Stage::Repeat);
        }
        drop(state);
        self.inner.ended.notify_waiters();
    }
}

/// Writes that are about to stand.
#[must_use]
#[derive(Debug)]
pub struct WriteGuard {
    pub(super) inner: Arc<Inner>,
    pub(super) writes: Vec<(SubjectKey, Arc<str>)>,
    pub(super) waited: bool,
    pub(super) pin_ended: bool,
}

impl WriteGuard {
    /// There was something to wait for: what was found before may not hold.
    pub fn has_waited(&self) -> bool {
        self.waited
    }

    /// A pin was removed while this waited: what was found of its subject does not hold.
    pub fn pin_ended(&self) -> bool {
        self.pin_ended
    }

    /// The entries of the writes stand, and nothing was sent yet: the erasures that they overtake
    /// are closed. `by`: where all of them write.
    pub fn overtake(self, by: &Address) {
        let mut state = self.inner.lock();
        for (subject, region) in &self.writes {
            self.inner.overtake(&mut state, *subject, region, Some(by));
        }
    }

    /// As [`WriteGuard::overtake`], where each write has a place of its own: subject, region, and a number
    /// by which `place` gives it. `None`: the record is new, and overtakes none.
    pub fn overtake_each<'n>(
        self,
        writes: impl IntoIterator<Item = (SubjectKey, &'n str, usize)>,
        place: impl Fn(usize) -> Option<Address>,
    ) {
        let mut state = self.inner.lock();
        for (subject, region, number) in writes {
            if state.rows.contains_key(&subject) {
                let by = place(number);
                self.inner
                    .overtake(&mut state, subject, region, by.as_ref());
            }
        }
    }
}

impl Inner {
    /// A record of `subject` is written to `region`.
    fn overtake(&self, state: &mut State, subject: SubjectKey, region: &str, by: Option<&Address>) {
        self.spare_pin(state, subject);
        let Some(by) = by else { return };
        let is = |row: &Row, how| *row.region == *region && row.overtaken(by) == how;
        self.end(state, subject, |row| is(row, Overtaken::Yes));
        let rows = state.rows.get_mut(&subject).into_iter().flatten();
        for row in rows.filter(|row| is(row, Overtaken::Perhaps)) {
            // Another try could erase the newer record.
            row.stage = Stage::Repeat;
            let displaced = row.displaced.iter_mut();
            displaced.for_each(|old| old.stage = Stage::Repeat);
        }
    }
}

impl Drop for WriteGuard {
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
