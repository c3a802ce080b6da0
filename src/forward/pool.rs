use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::{Rc, Weak},
    time::Duration,
};

use tokio::time::{Instant, sleep_until, timeout};

use super::link::Link;

/// Idle connections kept for one endpoint by one worker.
const MOST_IDLE: usize = 256;

/// How long a connection whose answer is read may take to finish its request.
const SETTLE: Duration = Duration::from_secs(1);

/// Idle connections to one endpoint, last in, first out, so that spare ones grow old and close.
pub(super) struct Pool {
    idle: RefCell<VecDeque<Link>>,
    longest_idle: Duration,
    /// Whether a task closes what grows old. It ends when nothing is idle.
    is_reaped: Cell<bool>,
}

impl Pool {
    pub(super) fn new(longest_idle: Duration) -> Rc<Self> {
        Rc::new(Self {
            idle: RefCell::default(),
            longest_idle,
            is_reaped: Cell::new(false),
        })
    }

    /// The connection used last, if one is open and not too old.
    pub(super) fn take(&self) -> Option<Link> {
        let mut idle = self.idle.borrow_mut();
        while let Some(link) = idle.pop_back() {
            if link.idle_since.elapsed() >= self.longest_idle {
                // All before it are older still.
                idle.clear();
                return None;
            }
            if link.is_ready() {
                return Some(link);
            }
        }
        None
    }

    /// Keeps a connection whose answer was read to its end, once it is ready for the next request.
    pub(super) fn give(self: &Rc<Self>, mut link: Link, is_sent: bool) {
        if link.is_closed() {
            return;
        }
        if link.is_ready() {
            self.keep(link);
        } else if is_sent {
            // Only the last bytes of the request are under way.
            let pool = Rc::downgrade(self);
            tokio::task::spawn_local(async move {
                if timeout(SETTLE, link.becomes_ready()).await == Ok(true)
                    && let Some(pool) = pool.upgrade()
                {
                    pool.keep(link);
                }
            });
        }
        // Else the region answered before it took the whole body: the rest is not sent.
    }

    pub(super) fn idle(&self) -> usize {
        self.idle.borrow().len()
    }

    fn keep(self: &Rc<Self>, mut link: Link) {
        link.idle_since = Instant::now();
        let mut idle = self.idle.borrow_mut();
        if idle.len() >= MOST_IDLE {
            idle.pop_front();
        }
        idle.push_back(link);
        drop(idle);
        if !self.is_reaped.replace(true) {
            tokio::task::spawn_local(reap(Rc::downgrade(self)));
        }
    }

    /// Closes what is too old; when to look again, `None` if nothing is left.
    fn close_old(&self) -> Option<Instant> {
        let mut idle = self.idle.borrow_mut();
        // Not a scan for closed ones at each look: `take` passes over them, and here they go too.
        idle.retain(|link| !link.is_closed() && link.idle_since.elapsed() < self.longest_idle);
        idle.front().map(|link| link.idle_since + self.longest_idle)
    }
}

async fn reap(pool: Weak<Pool>) {
    loop {
        let next = match pool.upgrade() {
            None => return,
            Some(pool) => match pool.close_old() {
                Some(next) => next,
                None => {
                    pool.is_reaped.set(false);
                    return;
                }
            },
        };
        sleep_until(next).await;
    }
}
