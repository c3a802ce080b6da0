//! How soon the allocator gives memory back to the system.
//!
//! mimalloc keeps what was freed for a second, and looks for what is due only while it is at work:
//! a router that rests after large bodies would hold their memory for as long as it rests, and one
//! that is busy with them holds those of the last second beside the present ones.

#![expect(
    unsafe_code,
    reason = "the allocator has no safe way to be told; what it gives is in docs/performance.md"
)]

use std::ffi::c_long;

use libmimalloc_sys::{mi_collect, mi_option_get, mi_option_set, mi_option_t};

/// `mi_option_purge_delay`, in milliseconds, which the crate does not name.
const PURGE_DELAY: mi_option_t = 15;

/// With which `free` gives back by itself. What waits for an end of its delay is never given back
/// then.
const AT_ONCE: c_long = 0;

/// Gives memory back. One for the process: nobody else sets the delay.
pub struct GiveBack {
    /// mimalloc's own second, or what the operator has said by its environment variable.
    usual: c_long,
    /// What is freed goes back at once.
    hasty: bool,
}

impl Default for GiveBack {
    fn default() -> Self {
        Self {
            // SAFETY: reads one number.
            usual: unsafe { mi_option_get(PURGE_DELAY) },
            hasty: false,
        }
    }
}

impl GiveBack {
    /// Whether freed memory goes back at once from here on, which costs a batch a sixth more time.
    pub fn hasten(&mut self, hasty: bool) {
        if self.hasty != hasty {
            self.hasty = hasty;
            self.now();
        }
    }

    /// Gives back what is due, of all threads; all that is free, while it is to be hasty. For a
    /// thread that may wait for the system as long as that takes.
    pub fn now(&mut self) {
        set(self.usual);
        // SAFETY: does no more than what each `free` may do by itself; any thread may ask for it.
        unsafe { mi_collect(self.hasty) };
        if self.hasty {
            set(AT_ONCE);
        }
    }
}

fn set(delay: c_long) {
    // SAFETY: sets an aligned word that mimalloc reads whenever memory is freed, and has meant to be
    // set at any time; who reads the old one waits, or does not wait, once more.
    unsafe { mi_option_set(PURGE_DELAY, delay) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_is_set_and_comes_back() {
        // SAFETY: reads one number.
        let delay = || unsafe { mi_option_get(PURGE_DELAY) };
        let mut one = GiveBack::default();
        assert_eq!(delay(), 1000, "mimalloc's own");
        one.now();
        assert_eq!(delay(), 1000);
        one.hasten(true);
        assert_eq!(delay(), AT_ONCE);
        one.now();
        assert_eq!(delay(), AT_ONCE);
        one.hasten(false);
        assert_eq!(delay(), 1000);
    }
}
