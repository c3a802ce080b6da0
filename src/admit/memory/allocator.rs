//! How soon the allocator gives memory back to the system.
//!
//! mimalloc keeps what was freed for a second, and looks for what is due only while it is at work:
//! a router that rests after large bodies would hold their memory for as long as it rests, and one
//! that is busy with them holds those of the last second beside the present ones.

#![expect(
    unsafe_code,
    reason = "the allocator has no safe way to be told; what it gives is in docs/performance.md"
)]

use libmimalloc_sys::{mi_collect, mi_option_set, mi_option_t};

/// `mi_option_purge_delay`, in milliseconds, which the crate does not name.
const PURGE_DELAY: mi_option_t = 15;

/// As mimalloc has it: what is freed is mostly asked for again.
const PATIENT: std::ffi::c_long = 1000;
/// With which `free` gives back by itself.
const HASTY: std::ffi::c_long = 0;

/// Whether freed memory goes back at once, what was freed before included. Costs a sixth more time
/// for each batch.
pub(super) fn hasten(hasty: bool) {
    let delay = if hasty {
        // First, for what waits is never given back while the delay is zero.
        // SAFETY: as in `give_back`.
        unsafe { mi_collect(true) };
        HASTY
    } else {
        PATIENT
    };
    // SAFETY: sets one number, which is read and written atomically.
    unsafe { mi_option_set(PURGE_DELAY, delay) };
}

/// Gives back what is due, of all threads. Takes no longer than that takes.
pub fn give_back() {
    // SAFETY: no more than what each `free` may do by itself; any thread may ask for it.
    unsafe { mi_collect(false) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_is_the_one_that_is_meant() {
        // SAFETY: reads one number.
        let delay = unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) };
        // mimalloc's own, or what another test of this process has just said.
        assert!([PATIENT, HASTY].contains(&delay), "{delay}");
        give_back();
    }
}
