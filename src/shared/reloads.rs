//! The thread that reads files while the router runs: reloads that are asked for, and files that
//! change.
//!
//! A disk or network volume may hang for as long as it likes, and whoever reads from it hangs with
//! it. So all of that is done here, one after the other, and nobody waits for it without a bound:
//! neither signals nor probes, neither the law of a new day nor the end of the router.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{
    Shared,
    reload::{self, Report},
};
use crate::{classify::network::Reload, clock};

/// How often files are looked at.
const TICK: Duration = Duration::from_secs(1);
/// Reading that takes longer is told as hanging. It takes milliseconds.
pub const HANGS: Duration = Duration::from_secs(10);

/// What the thread is asked for, and how long it has been at it.
#[derive(Default)]
pub struct Reloads {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// A reload that has not begun.
    asked: bool,
    /// Who wants to hear of that one.
    waiting: Vec<oneshot::Sender<Report>>,
    /// Since when files are read.
    since: Option<Instant>,
    ended: bool,
}

enum Next {
    Reload(Vec<oneshot::Sender<Report>>),
    Look,
    End,
}

impl Reloads {
    /// Asks for a reload. One that has not begun yet does for all who ask until it does, and one
    /// that is under way for nobody: it may have read the files before they changed.
    pub fn ask(&self) {
        self.lock().asked = true;
        self.changed.notify_one();
    }

    /// [`Reloads::ask`], to be told how it went. An error if the reload broke off, or the router
    /// stops.
    pub fn ask_for_report(&self) -> oneshot::Receiver<Report> {
        let (tell, told) = oneshot::channel();
        let mut state = self.lock();
        // Of those who are gone nobody is left to be told, however long the disk hangs.
        state.waiting.retain(|waiting| !waiting.is_closed());
        if !state.ended {
            state.waiting.push(tell);
        }
        drop(state);
        self.ask();
        told
    }

    /// How long files are being read already, where that is longer than [`HANGS`].
    pub fn hang(&self) -> Option<Duration> {
        let since = self.lock().since?;
        Some(since.elapsed()).filter(|took| *took > HANGS)
    }

    /// The thread ends after what it is at.
    pub fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        state.waiting.clear();
        drop(state);
        self.changed.notify_one();
    }

    /// What is to be done next; looking is due at `due`.
    fn next(&self, due: Instant) -> Next {
        let mut state = self.lock();
        state.since = None;
        loop {
            let left = due.saturating_duration_since(Instant::now());
            let next = if state.ended {
                return Next::End;
            } else if std::mem::take(&mut state.asked) {
                Some(Next::Reload(std::mem::take(&mut state.waiting)))
            } else {
                left.is_zero().then_some(Next::Look)
            };
            if let Some(next) = next {
                state.since = Some(Instant::now());
                return next;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs until [`Reloads::end`].
pub fn run(shared: &Shared) {
    let (mut ticks, mut due) = (0, Instant::now());
    loop {
        match shared.reloads.next(due) {
            Next::End => return,
            Next::Look => {
                look(shared, ticks);
                ticks += 1;
                due = Instant::now() + TICK;
            }
            Next::Reload(waiting) => {
                // The policy in force goes on being served, whatever is wrong with the new one.
                let done = catch_unwind(AssertUnwindSafe(|| reload::reload(shared)));
                for tell in waiting {
                    // Whoever does not wait any more finds it in the log.
                    let _ = done.as_ref().map(|report| tell.send(report.clone()));
                }
            }
        }
    }
}

fn look(shared: &Shared, ticks: u64) {
    reload::look(shared, ticks.is_multiple_of(5));
    if ticks.is_multiple_of(10) {
        reload_geoip(shared);
    }
    if ticks.is_multiple_of(2) {
        let snapshot = shared.snapshot.load_full();
        let watched = &snapshot.watched;
        watched.look(&snapshot.settings, &shared.metrics, clock::now(), true);
    }
}

fn reload_geoip(shared: &Shared) {
    match shared.snapshot.load_full().geo.reload_if_changed() {
        Reload::Unchanged => {}
        Reload::Swapped { .. } => tracing::info!("the GeoIP database was exchanged"),
        Reload::Kept(error) => {
            tracing::warn!(%error, "the new GeoIP database cannot be used, the old one stays");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report {
            result: "unchanged",
            policy: String::new(),
            settings: String::new(),
            faults: Vec::new(),
        }
    }

    #[test]
    fn one_reload_does_for_all_who_ask_before_it_begins() {
        let reloads = Reloads::default();
        let never = Instant::now() + Duration::from_secs(3600);
        let (one, other) = (reloads.ask_for_report(), reloads.ask_for_report());
        reloads.ask();
        let Next::Reload(waiting) = reloads.next(never) else {
            panic!("a reload");
        };
        // Under way, it does for nobody who asks now.
        let late = reloads.ask_for_report();
        waiting.into_iter().for_each(|w| drop(w.send(report())));
        assert!(one.blocking_recv().is_ok() && other.blocking_recv().is_ok());
        let Next::Reload(waiting) = reloads.next(never) else {
            panic!("another reload");
        };
        assert_eq!(waiting.len(), 1);
        drop(waiting);
        assert!(late.blocking_recv().is_err(), "it broke off");
        let waits = reloads.ask_for_report();
        reloads.end();
        let comes = reloads.ask_for_report();
        assert!(waits.blocking_recv().is_err() && comes.blocking_recv().is_err());
        assert!(matches!(reloads.next(never), Next::End));
    }

    #[test]
    fn who_waits_no_more_is_forgotten() {
        let reloads = Reloads::default();
        (0..100).for_each(|_| drop(reloads.ask_for_report()));
        assert_eq!(reloads.lock().waiting.len(), 1);
    }
}
