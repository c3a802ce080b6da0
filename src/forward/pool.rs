use std::{
    cell::RefCell,
    collections::VecDeque,
    future::{Future, poll_fn},
    pin::pin,
    rc::{Rc, Weak},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::time::{Instant, sleep_until, timeout};

use super::{
    Endpoint, Unreachable,
    link::{Link, Rest},
    multiplex::Multiplex,
};
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
    /// Of the task that closes what grows old, and what its peer closed or wrote to. It ends when
    /// it finds nothing idle.
    reaper: RefCell<Option<Waker>>,
}

impl Pool {
    pub(super) fn new(http: HttpVersion, longest_idle: Duration) -> Rc<Self> {
        let two = http == HttpVersion::Two;
        Rc::new(Self {
            idle: RefCell::default(),
            multiplex: two.then(|| Rc::new(Multiplex::new(longest_idle))),
            longest_idle,
            reaper: RefCell::default(),
        })
    }

    /// The connection used last, if one is open, not too old, and made with `side`: files that
    /// were exchanged since may no longer vouch for who is there. `since`: only one that was opened
    /// after that.
    pub(super) fn take(
        &self,
        side: Option<&Arc<BackendSide>>,
        now: Instant,
        since: Option<Instant>,
    ) -> Option<Link> {
        if let Some(multiplex) = &self.multiplex {
            return multiplex.take(side, since).map(Link::stream);
        }
        if since.is_some() {
            return None;
        }
        let mut idle = self.idle.borrow_mut();
        while let Some(mut link) = idle.pop_back() {
            if now.saturating_duration_since(link.idle_since) >= self.longest_idle {
                continue;
            }
            if link.is_ready() && link.is_of(side) {
                return Some(link);
            }
        }
        None
    }

    /// A way that was opened now. Of HTTP/2 also one of those that others opened meanwhile, and
    /// `since`, if that is said. Cancel safe.
    pub(super) async fn connect(
        &self,
        endpoint: &Endpoint,
        side: Option<Arc<BackendSide>>,
        limit: Duration,
        since: Option<Instant>,
    ) -> Result<Link, Unreachable> {
        match &self.multiplex {
            None => Link::connect(endpoint, side, limit).await,
            Some(multiplex) => multiplex
                .connect(endpoint, side.as_ref(), limit, since)
                .await
                .map(Link::stream),
        }
    }

    /// Keeps a connection whose answer was read to its end, once it is ready for the next request.
    pub(super) fn give(self: &Rc<Self>, mut link: Link, is_sent: bool, now: Instant) {
        match link.rest() {
            Rest::Ready => self.keep(link, now),
            Rest::Sending if is_sent => {
                // Only the last bytes of the request are under way.
                let pool = Rc::downgrade(self);
                tokio::task::spawn_local(async move {
                    if timeout(SETTLE, link.becomes_ready()).await == Ok(true)
                        && let Some(pool) = pool.upgrade()
                    {
                        pool.keep(link, Instant::now());
                    }
                });
            }
            Rest::Sending | Rest::Over => {}
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

    fn keep(self: &Rc<Self>, mut link: Link, now: Instant) {
        link.idle_since = now;
        let mut reaper = self.reaper.borrow_mut();
        let waker = match &*reaper {
            Some(waker) => waker,
            None => {
                tokio::task::spawn_local(reap(Rc::downgrade(self)));
                // Looks at all itself as soon as it runs.
                reaper.insert(Waker::noop().clone())
            }
        };
        if !link.poll_is_ready(&mut Context::from_waker(waker)) {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        if idle.len() >= MOST_IDLE {
            idle.pop_front();
        }
        idle.push_back(link);
    }

    /// Closes what is too old, or not quiet any more; when to look again, `None` if nothing is
    /// left.
    fn close_old(&self, cx: &mut Context<'_>) -> Option<Instant> {
        let now = Instant::now();
        let mut idle = self.idle.borrow_mut();
        idle.retain_mut(|link| {
            now.saturating_duration_since(link.idle_since) < self.longest_idle
                && link.poll_is_ready(cx)
        });
        let next = idle.front().map(|link| link.idle_since + self.longest_idle);
        *self.reaper.borrow_mut() = next.map(|_| cx.waker().clone());
        next
    }
}

async fn reap(pool: Weak<Pool>) {
    let mut timer = pin!(sleep_until(Instant::now()));
    poll_fn(|cx| {
        loop {
            let Some(next) = pool.upgrade().and_then(|pool| pool.close_old(cx)) else {
                return Poll::Ready(());
            };
            timer.as_mut().reset(next);
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    })
    .await;
}
