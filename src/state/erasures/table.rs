//! The table of what is open, and its changes, each with its line for the log.

use std::{
    collections::{HashMap, HashSet},
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::Notify;

use super::{
    Row, RowId, Settled, Stage, log,
    pen::{Job, Pen},
};
use crate::domain::SubjectKey;

pub(super) struct Inner {
    /// How many rows there are: a write that finds none looks no further.
    pub(super) open: AtomicUsize,
    /// Bytes of requests that workers keep.
    pub(super) kept: AtomicUsize,
    /// Never held while the disk is waited for: what changes is handed to the `pen` under it.
    pub(super) state: Mutex<State>,
    pub(super) pen: Arc<Pen>,
    /// A try, a write or the end of a pin has ended.
    pub(super) ended: Notify,
}

pub(super) struct State {
    pub(super) rows: HashMap<SubjectKey, Vec<Row>>,
    /// Tries under way in the background, by subject and region.
    pub(super) trying: HashMap<(SubjectKey, Arc<str>), usize>,
    /// Writes that hold a subject's rows.
    pub(super) held: HashMap<SubjectKey, usize>,
    /// Subjects whose pin is being removed.
    pub(super) ending: HashSet<SubjectKey>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Erasures").finish_non_exhaustive()
    }
}

impl State {
    pub(super) fn row(&mut self, id: &RowId) -> Option<&mut Row> {
        let rows = self.rows.get_mut(&id.subject)?;
        rows.iter_mut().find(|r| r.is(id))
    }

    /// What kept a pin from being removed is gone: nobody is left to do it but the caller.
    pub(super) fn repeat_if_confirmed(&mut self, subject: &SubjectKey) {
        if !self.ending.contains(subject)
            && let Some(rows) = self.rows.get_mut(subject)
            && rows.iter().all(|r| r.stage == Stage::Confirmed)
        {
            rows.iter_mut().for_each(|r| r.stage = Stage::Repeat);
        }
    }

    /// Takes rows out of the table.
    pub(super) fn take(
        &mut self,
        subject: SubjectKey,
        ends: impl Fn(&Row) -> bool,
    ) -> Vec<(SubjectKey, Row)> {
        let Some(rows) = self.rows.get_mut(&subject) else {
            return Vec::new();
        };
        let (gone, left): (Vec<Row>, Vec<Row>) = rows.drain(..).partition(ends);
        *rows = left;
        if rows.is_empty() {
            self.rows.remove(&subject);
        }
        gone.into_iter().map(|row| (subject, row)).collect()
    }
}

impl Inner {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the log of rows that were taken out of the table.
    /// Called with the table's lock.
    pub(super) fn close(&self, gone: &[(SubjectKey, Row)]) {
        if gone.is_empty() {
            return;
        }
        self.say(log::closed(gone));
        self.open.fetch_sub(gone.len(), Ordering::SeqCst);
        self.empty_if_none();
    }

    /// Hands lines over for which nobody waits. Called with the table's lock.
    pub(super) fn say(&self, text: io::Result<Vec<u8>>) {
        if let Ok(text) = text {
            self.pen.push(Job::Lines(text, None));
        }
    }

    pub(super) fn empty_if_none(&self) {
        if self.open.load(Ordering::SeqCst) == 0 {
            self.pen.push(Job::Empty);
        }
    }

    /// Takes rows out of table and log.
    pub(super) fn end(&self, state: &mut State, subject: SubjectKey, ends: impl Fn(&Row) -> bool) {
        let gone = state.take(subject, ends);
        self.close(&gone);
    }

    /// Takes back rows for which nothing is sent: what they had displaced is open again.
    pub(super) fn forget(&self, state: &mut State, ids: &[RowId]) {
        let mut gone = Vec::new();
        for id in ids {
            match state.row(id).map(Row::restore) {
                Some(Some(before)) => self.say(log::opened(&[(id.subject, before)])),
                Some(None) => gone.extend(state.take(id.subject, |row| row.is(id))),
                // A write has overtaken it, or a later request has taken its place.
                None => state.settle_displaced(id, Settled::Forgotten),
            }
            state.repeat_if_confirmed(&id.subject);
        }
        self.close(&gone);
    }

    pub(super) fn spare_pin(&self, state: &mut State, subject: SubjectKey) {
        if let Some(rows) = state.rows.get_mut(&subject) {
            rows.iter_mut().for_each(Row::spare_pin);
        }
        self.end(state, subject, |row| row.stage == Stage::Confirmed);
    }
}
