//! Memory that is free, given back to the system.
//!
//! mimalloc keeps what was freed for a second, and looks for what is due only while it is at work:
//! a router that rests after large bodies would hold their memory for as long as it rests, and one
//! that is busy with them holds those of the last second beside the present ones.

#![expect(
    unsafe_code,
    reason = "the allocator has no safe way to be told; what it gives is in docs/performance.md"
)]

/// Gives back what has been free for a second, of all threads; with `all`, whatever is free. For a
/// thread that may wait for the system as long as that takes.
pub fn give_back(all: bool) {
    // SAFETY: any thread may ask for it, and other threads' heaps are left alone: what is given
    // back are pages that nobody has.
    unsafe { libmimalloc_sys::mi_collect(all) };
}
