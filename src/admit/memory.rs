//! The memory that callers' bodies may take, so that load is shed before the system ends the
//! process.
//!
//! The budget is the process's; each worker takes from it in slabs and serves small bodies from
//! what it has, so that workers do not write to one counter for every record. Bytes are taken as
//! they come and not when they are announced: else a caller that announces much and sends nothing
//! would take the room of all others. What is announced beyond the room that is left is refused
//! before it is read.

mod machine;

use std::{
    cell::Cell,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::Relaxed},
    },
};

use super::body::BodyFault;

/// From this part of the budget on, free memory is not left to the allocator for its second: what it
/// keeps for the next body stands beside what is counted.
const PRESSED: usize = 4;
/// Loads that swell and ebb are one.
const CALM: u32 = 10;
/// What a worker takes ahead of its need.
const SLAB: usize = 256 << 10;
/// Without any knowledge of the machine.
const UNKNOWN_MACHINE: usize = 512 << 20;
const MOST_BY_DEFAULT: usize = 8 << 30;

/// The process's budget.
#[derive(Debug)]
pub struct Memory {
    limit: AtomicUsize,
    used: AtomicUsize,
    /// How many workers take from it.
    tills: AtomicUsize,
    is_pressed: AtomicBool,
    /// For how many seconds little of it has been.
    calm: AtomicU32,
    /// A third of what the process may use.
    default: usize,
}

impl Memory {
    /// `limit`: as the settings give it.
    pub fn new(limit: Option<usize>) -> Self {
        let default = share_of_the_machine();
        Self {
            limit: AtomicUsize::new(limit.unwrap_or(default)),
            used: AtomicUsize::new(0),
            tills: AtomicUsize::new(0),
            is_pressed: AtomicBool::new(false),
            calm: AtomicU32::new(0),
            default,
        }
    }

    /// For new settings. Bodies that are held stay, even beyond it.
    pub fn set_limit(&self, limit: Option<usize>) {
        self.limit.store(limit.unwrap_or(self.default), Relaxed);
    }

    pub fn limit(&self) -> usize {
        self.limit.load(Relaxed)
    }

    /// Taken by workers, what they took ahead included.
    pub fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    fn take(&self, bytes: usize) -> bool {
        let limit = self.limit();
        let more = |used: usize| used.checked_add(bytes).filter(|used| *used <= limit);
        let before = self.used.fetch_update(Relaxed, Relaxed, more);
        if before.is_ok_and(|before| self.in_use(before) >= limit / PRESSED) {
            self.calm.store(0, Relaxed);
            // The line stays shared between workers as long as nothing changes.
            if !self.is_pressed() {
                self.is_pressed.store(true, Relaxed);
            }
        }
        before.is_ok()
    }

    /// Whether much of it is in use, or was until [`CALM`] seconds ago: what is free had better go
    /// back to the system soon.
    pub fn is_pressed(&self) -> bool {
        self.is_pressed.load(Relaxed)
    }

    /// To be called once a second.
    pub fn look(&self) {
        if self.in_use(self.used()) >= self.limit() / PRESSED / 2 {
            self.calm.store(0, Relaxed);
        } else if self.calm.fetch_add(1, Relaxed) >= CALM {
            self.is_pressed.store(false, Relaxed);
        }
    }

    /// Without what workers may have taken ahead.
    fn in_use(&self, used: usize) -> usize {
        used.saturating_sub(self.tills.load(Relaxed) * 2 * SLAB)
    }

    fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Relaxed);
    }
}

/// One worker's part of the budget.
pub struct Till {
    memory: Arc<Memory>,
    /// Taken from the budget and not in use.
    free: Cell<usize>,
}

impl Till {
    pub fn new(memory: Arc<Memory>) -> Rc<Self> {
        memory.tills.fetch_add(1, Relaxed);
        Rc::new(Self {
            memory,
            free: Cell::new(0),
        })
    }

    fn take(&self, bytes: usize) -> bool {
        let free = self.free.get();
        if let Some(left) = free.checked_sub(bytes) {
            self.free.set(left);
            return true;
        }
        let short = bytes - free;
        if self.memory.take(short.saturating_add(SLAB)) {
            self.free.set(SLAB);
            true
        } else if self.memory.take(short) {
            self.free.set(0);
            true
        } else {
            false
        }
    }

    fn give_back(&self, bytes: usize) {
        let free = self.free.get() + bytes;
        let kept = if free > 2 * SLAB { SLAB } else { free };
        self.free.set(kept);
        if free > kept {
            self.memory.give_back(free - kept);
        }
    }
}

impl Drop for Till {
    fn drop(&mut self) {
        self.memory.give_back(self.free.get());
        self.memory.tills.fetch_sub(1, Relaxed);
    }
}

/// What one request holds; given back when dropped.
pub struct Reservation {
    /// `None`: nothing is counted.
    till: Option<Rc<Till>>,
    bytes: Cell<usize>,
}

impl Reservation {
    pub fn new(till: &Rc<Till>) -> Self {
        Self {
            till: Some(Rc::clone(till)),
            bytes: Cell::new(0),
        }
    }

    /// For something of the same request that is let go before the rest.
    pub fn beside(&self) -> Self {
        Self {
            till: self.till.clone(),
            bytes: Cell::new(0),
        }
    }

    /// For bodies whose memory nobody counts.
    pub fn uncounted() -> Self {
        Self {
            till: None,
            bytes: Cell::new(0),
        }
    }

    /// Takes room for so many bytes more.
    ///
    /// # Errors
    /// [`BodyFault::NoRoom`]; nothing is taken then.
    pub fn grow(&self, bytes: usize) -> Result<(), BodyFault> {
        if let Some(till) = &self.till {
            if !till.take(bytes) {
                return Err(BodyFault::NoRoom);
            }
            self.bytes.set(self.bytes.get() + bytes);
        }
        Ok(())
    }

    /// Whether so many bytes more would find room now. Takes nothing.
    ///
    /// # Errors
    /// [`BodyFault::NoRoom`].
    pub fn foresee(&self, bytes: u64) -> Result<(), BodyFault> {
        let Some(till) = &self.till else {
            return Ok(());
        };
        let left = till.memory.limit().saturating_sub(till.memory.used());
        let room = u64::try_from(left.saturating_add(till.free.get())).unwrap_or(u64::MAX);
        if bytes > room {
            return Err(BodyFault::NoRoom);
        }
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(till) = &self.till {
            till.give_back(self.bytes.get());
        }
    }
}

/// Bodies may take one part of so many of the memory. While many of them grow slowly, what the
/// allocator holds is up to 2.4 times as much (docs/performance.md).
const SHARE: usize = 3;

fn share_of_the_machine() -> usize {
    let memory = machine::memory();
    memory.map_or(UNKNOWN_MACHINE, |all| (all / SHARE).min(MOST_BY_DEFAULT))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_beyond_the_budget_is_refused_and_what_is_dropped_comes_back() {
        let memory = Arc::new(Memory::new(Some(1 << 20)));
        let till = Till::new(Arc::clone(&memory));
        let (one, other) = (Reservation::new(&till), Reservation::new(&till));
        assert!(one.foresee(1 << 20).is_ok());
        assert!(one.foresee((1 << 20) + 1).is_err());
        one.grow(900 << 10).unwrap();
        assert!(matches!(other.grow(200 << 10), Err(BodyFault::NoRoom)));
        assert!(other.foresee(200 << 10).is_err());
        other.grow(100 << 10).unwrap();
        drop(one);
        other.grow(200 << 10).unwrap();
        drop(other);
        drop(till);
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn a_budget_of_which_much_is_used_is_pressed_until_little_is() {
        let memory = Memory::new(Some(8 << 20));
        let pressed = || memory.is_pressed();
        assert!(memory.take(2 << 20) && !pressed());
        assert!(memory.take(1) && pressed());
        memory.give_back((1 << 20) + 1);
        (0..20).for_each(|_| memory.look());
        assert!(pressed(), "an eighth");
        memory.give_back(1);
        (0..10).for_each(|_| memory.look());
        assert!(pressed(), "for ten seconds");
        memory.look();
        assert!(!pressed());
        assert!(!memory.take(8 << 20));
        assert!(!pressed(), "nothing was taken");
        // What two workers take ahead is not in use.
        memory.tills.store(2, Relaxed);
        assert!(memory.take(2 << 20) && memory.take(1) && !pressed());
        assert!(memory.take(1) && pressed());
    }

    #[test]
    fn small_bodies_do_not_touch_the_shared_count() {
        let memory = Arc::new(Memory::new(Some(64 << 20)));
        let till = Till::new(Arc::clone(&memory));
        Reservation::new(&till).grow(1000).unwrap();
        let before = memory.used();
        for _ in 0..1000 {
            Reservation::new(&till).grow(1000).unwrap();
        }
        assert_eq!(memory.used(), before);
    }

    proptest! {
        /// Whatever is taken and dropped by however many workers, the limit holds and nothing is
        /// lost.
        #[test]
        fn the_books_balance(steps in prop::collection::vec((0..3usize, 0..400_000usize, any::<bool>()), 1..200)) {
            let memory = Arc::new(Memory::new(Some(2 << 20)));
            let tills: Vec<_> = (0..3).map(|_| Till::new(Arc::clone(&memory))).collect();
            let mut held: Vec<Reservation> = Vec::new();
            for (worker, bytes, drops) in steps {
                if drops && !held.is_empty() {
                    held.swap_remove(bytes % held.len());
                } else {
                    let one = Reservation::new(&tills[worker]);
                    let _ = one.grow(bytes);
                    held.push(one);
                }
                let in_use: usize = held.iter().map(|h| h.bytes.get()).sum();
                let ahead: usize = tills.iter().map(|t| t.free.get()).sum();
                prop_assert_eq!(memory.used(), in_use + ahead);
                prop_assert!(memory.used() <= memory.limit());
            }
            drop(held);
            drop(tills);
            prop_assert_eq!(memory.used(), 0);
        }
    }
}
