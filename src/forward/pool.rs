use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::{Rc, Weak},
    sync::Arc,
    time::Duration,
};

use tokio::time::{Instant, sleep_until, timeout};

use super::{Endpoint, Unreachable, link::Link, multiplex::Multiplex};
use crate::{settings::HttpVersion, tls::BackendSide};

/// Idle connections kept for one endpoint by one worker.
const MOST_IDLE: usize = 256;

/// How long a connection whose answer is read may take to finish its request.
const SETTLE: Duration = Duration::from_secs(1);

/// Connections to one endpoint. Of HTTP/1.1 the idle ones, last in, first out, so that spare ones
/// grow old and close; of HTTP/2 all.
pub(super) struct Pool {
    idle: RefCell<VecDeque<Link>>,
    multiplex: Option<Rc<Multiplex>>,
    longest_idle: Duration,
    /// Whether a task closes what grows old. It ends when nothing is idle.
    is_reaped: Cell<bool>,
}

impl Pool {
    pub(super) fn new(http: HttpVersion, longest_idle: Duration) -> Rc<Self> {
        let two = http == HttpVersion::Two;
        Rc::new(Self {
            idle: RefCell::default(),
            multiplex: two.then(|| Rc::new(Multiplex::new(longest_idle))),
            longest_idle,
            is_reaped: Cell::new(false),
        })
    }

    /// The connection used last, if one is open, not too old, and made with `side`: files that
    /// were exchanged since may no longer vouch for who is there.
    pub(super) fn take(&self, side: Option<&Arc<BackendSide>>) -> Option<Link> {
        if let Some(multiplex) = &self.multiplex {
            return multiplex.take(side).map(Link::stream);
        }
        let mut idle = self.idle.borrow_mut();
        while let Some(link) = idle.pop_back() {
            if link.idle_since.elapsed() >= self.longest_idle {
                // All before it are older still.
                idle.clear();
                return None;
            }
            if link.is_ready() && link.is_of(side) {
                return Some(link);
            }
        }
        None
    }

    /// A way that was opened now. Of HTTP/2 also one of those that others opened meanwhile, unless
    /// it must be `fresh`. Cancel safe.
    pub(super) async fn connect(
        &self,
        endpoint: &Endpoint,
        side: Option<Arc<BackendSide>>,
        limit: Duration,
        fresh: bool,
    ) -> Result<Link, Unreachable> {
        match &self.multiplex {
            None => Link::connect(endpoint, side, limit).await,
            Some(multiplex) => multiplex
                .connect(endpoint, side.as_ref(), limit, fresh)
                .await
                .map(Link::stream),
        }
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

    /// Idle connections; of HTTP/2 all, since each can take more.
    pub(super) fn idle(&self) -> usize {
        match &self.multiplex {
            None => self.idle.borrow().len(),
            Some(multiplex) => multiplex.open(),
        }
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
