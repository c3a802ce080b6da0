//! When the requests of an open loop are due.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tokio::sync::Semaphore;

/// Lets requests go, each when it is due, to some 50 microseconds.
///
/// A thread of its own: timers of the runtime go by milliseconds, requests would go out in crowds
/// of a millisecond, and their latencies would tell of the crowd.
pub struct Pace {
    began: Instant,
    rate: u32,
    due: Arc<Semaphore>,
}

impl Pace {
    pub fn new(rate: u32, requests: usize) -> Self {
        let began = Instant::now();
        let due = Arc::new(Semaphore::new(0));
        let gate = Arc::clone(&due);
        thread::spawn(move || {
            for number in 0..requests {
                thread::sleep(at(began, rate, number).saturating_duration_since(Instant::now()));
                gate.add_permits(1);
            }
            // Callers that wait for a request beyond the last find that there is none.
            gate.close();
        });
        Self { began, rate, due }
    }

    /// Waits until one more is due; returns when this one was.
    pub async fn next(&self, number: usize) -> Instant {
        if let Ok(permit) = self.due.acquire().await {
            permit.forget();
        }
        at(self.began, self.rate, number)
    }
}

fn at(began: Instant, rate: u32, number: usize) -> Instant {
    began + Duration::from_secs(1) * u32::try_from(number).unwrap() / rate
}
