//! One request per record: paths from templates, and many requests with few under way.

use std::{
    borrow::Cow,
    cell::{Cell, RefCell},
    collections::{HashMap, VecDeque, hash_map::Entry},
};

use bytes::Bytes;
use http::{Method, StatusCode, uri::PathAndQuery};
use tokio::sync::Notify;

use super::{ForwardError, Outgoing, OutgoingBody, Upstreams, lanes::join_all, verdicts::read_off};
use crate::{
    attest::Cleared,
    domain::{DecisionId, SubjectKey},
    message::{Field, Fields},
    settings::{PathTemplate, Segment},
};

/// Requests of one part under way at one time.
const LANES: usize = 16;

/// Records that may be held back for an earlier one of their subject before no more are looked at: a
/// batch that is all of one person's would else be held twice.
const HELD_BACK: usize = 1 << 10;

/// Failures in a row after which the rest of a part is not tried: else 100,000 records for a
/// region that hangs would take hours.
const GIVE_UP_AFTER: u32 = 3;

/// One record that gets a request of its own.
pub struct EachItem<'a> {
    /// Its own, which its region is told.
    pub decision: DecisionId,
    /// Records of one subject go one after the other.
    pub whose: SubjectKey,
    pub cleared: &'a Cleared,
    pub path: PathAndQuery,
    pub body: Bytes,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FillError {
    #[error("the path template has `{{{0}}}`, for which the record has no value")]
    Missing(String),
    /// `.` and `..` would name another resource (RFC 3986 §5.2.4), an empty one the collection.
    #[error("the value of `{{{0}}}` is empty, `.` or `..`, which no path can carry")]
    NoSegment(String),
    #[error("the path template does not make a valid path")]
    Invalid,
}

/// Fills a template, percent-encoding each value as one segment (RFC 3986 §3.3); the value of a
/// `{rest...}` keeps its slashes.
///
/// # Errors
/// See [`FillError`]; its messages hold names, never values.
pub fn fill<'v>(
    template: &PathTemplate,
    value: impl Fn(&str) -> Option<Cow<'v, str>>,
) -> Result<PathAndQuery, FillError> {
    let mut path = String::with_capacity(template.text.len() + 32);
    for segment in &template.segments {
        let (name, is_rest) = match segment {
            Segment::Literal(text) => {
                path.push('/');
                path.push_str(text);
                continue;
            }
            Segment::Name(name) => (name, false),
            Segment::Rest(name) => (name, true),
        };
        let value = value(name).ok_or_else(|| FillError::Missing(name.clone()))?;
        let mut pieces = value.split('/');
        let mut whole = std::iter::once(&*value);
        let pieces: &mut dyn Iterator<Item = &str> = if is_rest { &mut pieces } else { &mut whole };
        for piece in pieces {
            if matches!(piece, "" | "." | "..") {
                return Err(FillError::NoSegment(name.clone()));
            }
            path.push('/');
            encode_segment(piece, &mut path);
        }
    }
    if path.is_empty() {
        path.push('/');
    }
    PathAndQuery::try_from(path).map_err(|_| FillError::Invalid)
}

/// Only unreserved characters stay (RFC 3986 §2.3): what is reserved may mean something to some
/// server.
fn encode_segment(text: &str, out: &mut String) {
    const HEX: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F',
    ];
    let digit = |n: u8| HEX.get(usize::from(n & 15)).copied().unwrap_or('0');
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(digit(byte >> 4));
            out.push(digit(byte));
        }
    }
}

impl Upstreams {
    /// Sends each item of one region's part as its own request, at most 16 at one time and of one
    /// subject one, in its order, and tells `done` each item's position and answer, in any order and
    /// each exactly once. Bodies of answers are read and dropped; one that breaks off is no answer.
    /// After three failures in a row the rest is `GivenUp`.
    ///
    /// Cancel safe as [`Upstreams::send`]; items not yet told may or may not have been sent.
    pub async fn send_each<'a>(
        &self,
        method: &Method,
        headers: &Fields,
        items: impl IntoIterator<Item = EachItem<'a>>,
        done: impl FnMut(usize, Result<StatusCode, ForwardError>),
    ) {
        let items = RefCell::new(items.into_iter().enumerate());
        let done = RefCell::new(done);
        let failures = Cell::new(0_u32);
        let turns = Turns::default();
        let lane = async || {
            loop {
                turns.have_room().await;
                let next = items.borrow_mut().next();
                let Some((position, item)) = next else { return };
                let mut turn = turns.begin(position, item);
                while let Some((position, item)) = turn {
                    let whose = item.whose;
                    let outcome = if failures.get() >= GIVE_UP_AFTER {
                        Err(self.given_up(item.cleared))
                    } else {
                        self.send_one(method, headers, item).await
                    };
                    match &outcome {
                        Ok(_) => failures.set(0),
                        Err(error) if is_about_region(error) => {
                            failures.set(failures.get().saturating_add(1));
                        }
                        Err(_) => {}
                    }
                    done.borrow_mut()(position, outcome);
                    turn = turns.end(whose);
                }
            }
        };
        join_all((0..LANES).map(|_| lane())).await;
    }

    async fn send_one(
        &self,
        method: &Method,
        headers: &Fields,
        item: EachItem<'_>,
    ) -> Result<StatusCode, ForwardError> {
        let mut headers = headers.clone();
        headers.insert(Field::DomicileDecision, item.decision.text());
        let mut outgoing = Outgoing {
            method: method.clone(),
            path_and_query: Cow::Owned(item.path),
            headers,
            body: OutgoingBody::Whole(item.body),
            is_once: false,
        };
        let answer = self.send([item.cleared], &mut outgoing).await?;
        let status = answer.status();
        let mut body = answer.into_body();
        body.keep_pace();
        read_off(body).await?;
        Ok(status)
    }
}

/// Whose records are under way, and which wait for these.
#[derive(Default)]
struct Turns<'a> {
    waiting: RefCell<HashMap<SubjectKey, VecDeque<(usize, EachItem<'a>)>>>,
    held_back: Cell<usize>,
    room: Notify,
}

impl<'a> Turns<'a> {
    /// Waits while too many are held back; the lanes that they wait for go on.
    async fn have_room(&self) {
        while self.held_back.get() >= HELD_BACK {
            self.room.notified().await;
        }
    }

    /// The item again, if it may go now; else it is held back.
    fn begin(&self, position: usize, item: EachItem<'a>) -> Option<(usize, EachItem<'a>)> {
        match self.waiting.borrow_mut().entry(item.whose) {
            Entry::Vacant(nobody) => {
                nobody.insert(VecDeque::new());
                Some((position, item))
            }
            Entry::Occupied(mut before) => {
                before.get_mut().push_back((position, item));
                self.held_back.set(self.held_back.get() + 1);
                None
            }
        }
    }

    /// The next of the same subject.
    fn end(&self, whose: SubjectKey) -> Option<(usize, EachItem<'a>)> {
        let mut waiting = self.waiting.borrow_mut();
        let next = waiting.get_mut(&whose).and_then(VecDeque::pop_front);
        match next {
            Some(_) => {
                self.held_back.set(self.held_back.get().saturating_sub(1));
                self.room.notify_waiters();
            }
            None => {
                waiting.remove(&whose);
            }
        }
        next
    }
}

/// Whether the next record to the same region is likely to fail in the same way.
fn is_about_region(error: &ForwardError) -> bool {
    match error {
        ForwardError::Busy { .. }
        | ForwardError::Unreachable { .. }
        | ForwardError::Timeout { .. }
        | ForwardError::Reset { .. }
        | ForwardError::Refused { .. }
        | ForwardError::BadAnswer { .. } => true,
        ForwardError::NotCleared
        | ForwardError::Unknown(_)
        | ForwardError::BadTarget { .. }
        | ForwardError::GivenUp { .. }
        | ForwardError::CallerBody { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn template(rest: bool) -> PathTemplate {
        let name = "subject".to_owned();
        PathTemplate {
            text: "/people/{subject}".to_owned(),
            segments: vec![
                Segment::Literal("people".to_owned()),
                if rest {
                    Segment::Rest(name)
                } else {
                    Segment::Name(name)
                },
            ],
        }
    }

    fn filled(value: &str, rest: bool) -> Result<String, FillError> {
        fill(&template(rest), |name| {
            (name == "subject").then_some(value.into())
        })
        .map(|p| p.to_string())
    }

    #[test]
    fn values_are_one_segment_and_stay_one() {
        assert_eq!(filled("a-1._~", false).unwrap(), "/people/a-1._~");
        assert_eq!(
            filled("a/b?c#d%2F é", false).unwrap(),
            "/people/a%2Fb%3Fc%23d%252F%20%C3%A9"
        );
        assert_eq!(filled("a/b c", true).unwrap(), "/people/a/b%20c");
        for bad in ["", ".", ".."] {
            assert_eq!(
                filled(bad, false),
                Err(FillError::NoSegment("subject".to_owned()))
            );
        }
        for bad in ["a/../b", "a//b", "/a", "a/"] {
            assert!(filled(bad, true).is_err(), "{bad}");
        }
        let missing = fill(&template(false), |_| None);
        assert_eq!(missing, Err(FillError::Missing("subject".to_owned())));
    }

    proptest! {
        #[test]
        fn any_value_gives_a_path_of_two_segments_without_a_query(value in "\\PC{1,30}") {
            prop_assume!(value != "." && value != "..");
            let path = filled(&value, false).unwrap();
            prop_assert_eq!(path.matches('/').count(), 2);
            prop_assert!(!path.contains(['?', '#']));
            prop_assert!(path.is_ascii());
        }
    }
}
