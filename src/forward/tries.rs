//! One request on its way through the endpoints of its region: what becomes of a try that came to
//! nothing, and whether there is another.

use std::ops::ControlFlow;

use http::Method;
use smallvec::SmallVec;
use tokio::time::Instant;

use super::{
    AnswerBody, ForwardError, Sent, Unreachable,
    body::{Spare, Upload},
    link::{Deadlines, Failed, FailedKind},
    region::{RegionLink, Server},
    trouble,
};
use crate::{message::Response, settings::HttpVersion};

/// Tries beyond the first, once a connection stood.
const EXTRA_TRIES: u32 = 2;

/// Positions of endpoints in the order in which one request may try them.
pub(super) type Order = SmallVec<[usize; 4]>;

/// What the caller gets.
type End = Result<Response<AnswerBody>, ForwardError>;

/// How far one request has come.
pub(super) struct Tries {
    order: Order,
    /// The place in the order.
    at: usize,
    /// Those with a connection that stood, before this one.
    pub count: u32,
    pub started: Instant,
    /// Servers before have left less time to connect than the settings give.
    pub is_short: bool,
    /// Whether bytes of an earlier try may have arrived.
    earlier: Sent,
    /// A connection of before has failed: only one that is younger will do.
    pub since: Option<Instant>,
    /// An answer that another server may better, and that is passed on if none does.
    first: Option<Box<Response<AnswerBody>>>,
}

/// How a try that failed was made.
pub(super) struct Was {
    /// On a connection that had served another request.
    pub kept: bool,
    pub deadlines: Deadlines,
}

impl Tries {
    #[inline]
    pub fn new(order: Order, started: Instant) -> Self {
        Self {
            order,
            at: 0,
            count: 0,
            started,
            is_short: false,
            earlier: Sent::Nothing,
            since: None,
            first: None,
        }
    }

    /// Which server is next.
    #[inline]
    pub fn server(&self) -> Option<usize> {
        self.order.get(self.at).copied()
    }

    #[inline]
    pub fn now(&self) -> Instant {
        match self.count {
            0 => self.started,
            _ => Instant::now(),
        }
    }

    /// Whether no server was tried before.
    pub fn is_first(&self) -> bool {
        (self.at, self.count) == (0, 0)
    }

    fn are_in_time(&self, link: &RegionLink) -> bool {
        self.started.elapsed() < link.limits.response
    }
}

impl RegionLink {
    /// No connection stands: nothing was sent, so the next server has its turn.
    #[cold]
    pub(super) fn unconnected(
        &self,
        tries: &mut Tries,
        server: &Server,
        why: Unreachable,
    ) -> ControlFlow<End> {
        self.tell(server, &why);
        // What this machine lacks says nothing about the server, nor what others took.
        let is_late = why == Unreachable::TimedOut;
        if why != Unreachable::NoDescriptors && !(is_late && tries.is_short) {
            server.health.failed(&why);
        }
        if let Some(first) = tries.first.take() {
            return ControlFlow::Break(Ok(*first));
        }
        tries.at += 1;
        tries.since = None;
        if tries.at < tries.order.len() && tries.are_in_time(self) {
            return ControlFlow::Continue(());
        }
        ControlFlow::Break(Err(self.failed(match tries.earlier {
            Sent::Nothing => self.unreachable(why),
            sent => self.error(FailedKind::Reset, sent),
        })))
    }

    /// The server answered with 500 or more. Gives the body for another, whose word may be better.
    #[cold]
    pub(super) fn in_trouble(
        &self,
        tries: &mut Tries,
        server: &Server,
        mut answer: Response<AnswerBody>,
        method: &Method,
        spare: Option<Spare>,
    ) -> ControlFlow<End, Upload> {
        self.note(server, &mut answer);
        // Another server's word counts only if it is better.
        if let Some(first) = tries.first.take() {
            return ControlFlow::Break(Ok(*first));
        }
        let may_ask = trouble::may_ask_another(method, answer.status()) && tries.are_in_time(self);
        let other = match may_ask && spare.is_some() {
            true => self.another(tries).filter(|_| self.may_retry()),
            false => None,
        };
        let again = match (other, spare) {
            (Some(at), Some(spare)) => Upload::again(spare).map(|again| (at, again)),
            (None, Some(spare)) => {
                spare.let_go();
                None
            }
            (_, None) => None,
        };
        let Some((other, again)) = again else {
            return ControlFlow::Break(Ok(answer));
        };
        tries.first = Some(Box::new(answer));
        tries.count += 1;
        tries.since = None;
        tries.at = other;
        ControlFlow::Continue(again)
    }

    /// The try gave no head of an answer. Gives the body for another where that is safe.
    #[cold]
    pub(super) fn broken(
        &self,
        tries: &mut Tries,
        server: &Server,
        failed: Failed,
        was: Was,
        spare: Option<Spare>,
        may_repeat: impl Fn() -> bool,
    ) -> ControlFlow<End, Upload> {
        // A kept connection that the server had closed says nothing about the server.
        let has_closed = matches!(failed.kind, FailedKind::Reset | FailedKind::GoneAway);
        let was_closed = was.kept && has_closed && !failed.answer_begun && !failed.alone;
        // Of HTTP/2 others share it: that it broke does not mean that it had been closed.
        let is_stale =
            was_closed && (self.settings.http == HttpVersion::One || failed.sent == Sent::Nothing);
        match failed.kind {
            FailedKind::CallerBody(_) => {}
            // Servers before took of its time.
            FailedKind::Timeout if was.deadlines.are_over() => {}
            // It may be what was asked that the answer went wrong for.
            FailedKind::Refused | FailedKind::BadAnswer => {
                server.health.is_in_trouble(self.can_spare(server));
            }
            FailedKind::Reset if failed.alone => {
                server.health.is_in_trouble(self.can_spare(server));
            }
            _ if was_closed => {}
            kind => server.health.failed(&kind),
        }
        // The server of a stale connection has not had the request: to repeat it is no more load.
        let may_try_again = tries.count < EXTRA_TRIES
            && tries.are_in_time(self)
            && is_safe_to_repeat(&failed, may_repeat)
            && (tries.first.is_none() || is_stale)
            && (tries.at + 1 < tries.order.len()
                || !matches!(failed.kind, FailedKind::TurnedAway(_)))
            && (is_stale || self.may_retry());
        if failed.sent == Sent::Perhaps {
            tries.earlier = Sent::Perhaps;
        }
        let unsent = failed.unsent.filter(|_| may_try_again);
        let spare = spare.filter(|_| may_try_again);
        let Some(again) = unsent.or_else(|| spare.and_then(Upload::again)) else {
            return ControlFlow::Break(match tries.first.take() {
                Some(first) => Ok(*first),
                None => Err(self.failed(self.error(failed.kind, tries.earlier))),
            });
        };
        tries.count += 1;
        tries.since = is_stale.then(Instant::now);
        if !is_stale {
            tries.at = (tries.at + 1) % tries.order.len().max(1);
        }
        ControlFlow::Continue(again)
    }

    /// The place in the order of another endpoint that serves.
    fn another(&self, tries: &Tries) -> Option<usize> {
        let mut places = tries.order.iter().enumerate();
        let found = places.find(|(place, i)| {
            let server = self.servers.get(**i);
            *place != tries.at && server.is_some_and(|server| server.health.serves())
        });
        found.map(|(place, _)| place)
    }
}

/// Only when nothing was sent or the method is idempotent. What took too long
/// would take as long again, and what answered badly has had the request.
fn is_safe_to_repeat(failed: &Failed, is_idempotent: impl Fn() -> bool) -> bool {
    matches!(
        failed.kind,
        FailedKind::Reset | FailedKind::TurnedAway(_) | FailedKind::Refused | FailedKind::GoneAway
    ) && (failed.sent == Sent::Nothing || (!failed.answer_begun && is_idempotent()))
}
