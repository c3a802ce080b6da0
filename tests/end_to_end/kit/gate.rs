//! A door that a script may have to wait at.

use std::sync::{Condvar, Mutex};

use super::PATIENCE;

/// Open until it is closed.
#[derive(Default)]
pub struct Gate {
    /// Whether it is closed, and how many wait.
    state: Mutex<(bool, usize)>,
    change: Condvar,
}

impl Gate {
    /// Waits while the gate is closed; not for ever, so that a failed test ends.
    pub fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.1 += 1;
        self.change.notify_all();
        let (mut state, _) = self
            .change
            .wait_timeout_while(state, PATIENCE, |s| s.0)
            .unwrap();
        state.1 -= 1;
    }

    pub fn close(&self) {
        self.state.lock().unwrap().0 = true;
    }

    pub fn open(&self) {
        self.state.lock().unwrap().0 = false;
        self.change.notify_all();
    }

    /// Waits until somebody waits.
    #[track_caller]
    pub fn is_met(&self) {
        let state = self.state.lock().unwrap();
        let waited = self
            .change
            .wait_timeout_while(state, PATIENCE, |s| s.1 == 0)
            .unwrap();
        assert!(!waited.1.timed_out(), "nobody came to the gate");
    }
}
