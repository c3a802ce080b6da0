//! What one worker counts of its calls to one region.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts of one region in one worker. Only that worker writes, so nothing contends.
#[derive(Debug, Default)]
pub struct RegionTally {
    pub(super) requests: AtomicU64,
    pub(super) connects: AtomicU64,
    pub(super) retries: AtomicU64,
    pub(super) unretried: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) busy: AtomicU64,
    pub(super) idle: AtomicU64,
}

/// What a [`RegionTally`] says at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests that got a seat.
    pub requests: u64,
    /// Connections opened.
    pub connects: u64,
    pub retries: u64,
    /// Requests that were not tried again because too many had been.
    pub unretried: u64,
    /// Requests that ended without the head of an answer.
    pub failures: u64,
    /// Requests refused for want of a seat.
    pub busy: u64,
    /// Idle connections after the last request.
    pub idle: u64,
}

impl RegionTally {
    pub fn read(&self) -> Tally {
        Tally {
            requests: self.requests.load(Relaxed),
            connects: self.connects.load(Relaxed),
            retries: self.retries.load(Relaxed),
            unretried: self.unretried.load(Relaxed),
            failures: self.failures.load(Relaxed),
            busy: self.busy.load(Relaxed),
            idle: self.idle.load(Relaxed),
        }
    }
}
