use std::{
    collections::{BTreeMap, hash_map::Entry},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use foldhash::{HashMap, HashMapExt};
use jiff::Timestamp;

use super::{StateError, store::Store};
use crate::domain::SubjectKey;

/// Quarters of an hour since 1970.
pub(super) type Quarter = u32;

pub(super) fn quarter(at: Timestamp) -> Quarter {
    u32::try_from(at.as_second().max(0) / 900).unwrap_or(Quarter::MAX)
}

/// The distinct people of one tally.
pub struct Tally {
    pub(super) name: Arc<str>,
    pub(super) id: u32,
    store: Arc<Store>,
    state: Mutex<State>,
}

struct State {
    /// How many people were counted last at each time.
    times: BTreeMap<Quarter, u64>,
    /// Those from the window's start on.
    in_window: u64,
    /// People held who are not in the window.
    held: u64,
    since: Quarter,
    /// People who are held, or counted and not yet stored.
    slots: HashMap<SubjectKey, Slot>,
}

#[derive(Default)]
struct Slot {
    last: Option<Quarter>,
    /// The entry that counted the person last, while that is not stored.
    unsaved: Option<u64>,
    holds: u32,
}

impl Tally {
    pub(super) fn new(
        name: Arc<str>,
        id: u32,
        store: Arc<Store>,
        times: Vec<(Quarter, u64)>,
    ) -> Self {
        let times: BTreeMap<Quarter, u64> = times.into_iter().collect();
        Self {
            name,
            id,
            store,
            state: Mutex::new(State {
                in_window: times.values().sum(),
                times,
                held: 0,
                since: 0,
                slots: HashMap::new(),
            }),
        }
    }

    /// As ledger entries name it.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Distinct people from `since` on, those of decisions under way included. `without`: a person
    /// who is held, and who is to be left out.
    pub fn people(&self, since: Timestamp, without: Option<&SubjectKey>) -> u64 {
        let mut state = self.lock();
        state.look_from(quarter(since));
        let all = state.in_window + state.held;
        // Held or in the window, the person is among them once.
        let own = without.is_some_and(|key| state.slots.get(key).is_some_and(|s| s.holds > 0));
        all.saturating_sub(u64::from(own))
    }

    /// Distinct people from `since` on whose flows stand in the ledger.
    pub fn standing(&self, since: Timestamp) -> u64 {
        let mut state = self.lock();
        state.look_from(quarter(since));
        state.in_window
    }

    /// Counts a person of a durable entry; says what is to be stored, if anything is.
    pub(super) fn count(
        &self,
        seq: u64,
        key: SubjectKey,
        at: Timestamp,
    ) -> Result<Option<Quarter>, StateError> {
        let time = quarter(at);
        let mut state = self.lock();
        self.know(&mut state, key)?;
        let since = state.since;
        let Some(slot) = state.slots.get_mut(&key) else {
            return Ok(None);
        };
        let before = slot.last;
        if before.is_some_and(|last| last >= time) {
            if slot.holds == 0 && slot.unsaved.is_none() {
                state.slots.remove(&key);
            }
            return Ok(None);
        }
        slot.last = Some(time);
        slot.unsaved = Some(seq);
        let held = slot.holds > 0;
        state.move_person(before, time);
        if before.is_none_or(|last| last < since) && time >= since {
            state.in_window += 1;
            state.held -= u64::from(held);
        }
        Ok(Some(time))
    }

    /// The change of entry `seq` is in the file.
    pub(super) fn stored(&self, seq: u64, key: &SubjectKey) {
        let mut state = self.lock();
        if let Some(slot) = state.slots.get_mut(key) {
            slot.unsaved.take_if(|at| *at <= seq);
            if slot.unsaved.is_none() && slot.holds == 0 {
                state.slots.remove(key);
            }
        }
    }

    fn hold(&self, key: SubjectKey) -> Result<(), StateError> {
        let mut state = self.lock();
        self.know(&mut state, key)?;
        let since = state.since;
        if let Some(slot) = state.slots.get_mut(&key) {
            slot.holds += 1;
            if slot.holds == 1 && slot.last.is_none_or(|last| last < since) {
                state.held += 1;
            }
        }
        Ok(())
    }

    fn release(&self, key: &SubjectKey) {
        let mut state = self.lock();
        let since = state.since;
        let Some(slot) = state.slots.get_mut(key) else {
            return;
        };
        slot.holds -= 1;
        if slot.holds > 0 {
            return;
        }
        let outside = slot.last.is_none_or(|last| last < since);
        let idle = slot.unsaved.is_none();
        if idle {
            state.slots.remove(key);
        }
        state.held -= u64::from(outside);
    }

    /// Sees to it that the person has a slot. The lock is held over the look into the file: a slot
    /// leaves memory only after its change is in there.
    fn know(&self, state: &mut State, key: SubjectKey) -> Result<(), StateError> {
        if let Entry::Vacant(free) = state.slots.entry(key) {
            free.insert(Slot {
                last: self.store.last(self.id, &key)?,
                ..Slot::default()
            });
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Moves the window's start; most calls find it where it is.
    fn look_from(&mut self, since: Quarter) {
        if since == self.since {
            return;
        }
        self.since = since;
        self.in_window = self.times.range(since..).map(|(_, n)| n).sum();
        let outside = |s: &&Slot| s.holds > 0 && s.last.is_none_or(|last| last < since);
        self.held = self.slots.values().filter(outside).count() as u64;
    }

    fn move_person(&mut self, from: Option<Quarter>, to: Quarter) {
        if let Some(from) = from
            && let Some(people) = self.times.get_mut(&from)
        {
            *people = people.saturating_sub(1);
            if *people == 0 {
                self.times.remove(&from);
            }
        }
        *self.times.entry(to).or_insert(0) += 1;
    }
}

/// A person of a decision under way. Dropped, it lets go: once the entry stands the person is
/// counted, and else is not.
#[must_use]
pub struct CountGuard {
    tally: Arc<Tally>,
    key: SubjectKey,
}

impl CountGuard {
    pub(super) fn new(tally: Arc<Tally>, key: SubjectKey) -> Result<Self, StateError> {
        tally.hold(key)?;
        Ok(Self { tally, key })
    }

    pub fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }

    /// Distinct people from `since` on, this one left out.
    pub fn others(&self, since: Timestamp) -> u64 {
        self.tally.people(since, Some(&self.key))
    }
}

impl Drop for CountGuard {
    fn drop(&mut self) {
        self.tally.release(&self.key);
    }
}

impl fmt::Debug for CountGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CountGuard")
            .field("tally", &self.tally.name)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tally")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
