//! By what a record is known.

use std::fmt;

use crate::domain::SubjectKey;

/// Parameters that say who asks or by which program, and nothing of the record: those of S3's signed
/// requests, by the beginnings of their names.
const OF_THE_CALLER: [&str; 2] = ["x-amz-", "x-id="];

/// Where a record lies: its path, and the query that may tell it from others there (`?id=1`). May hold
/// ids: not to be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    /// Percent-decoded.
    path: Box<str>,
    /// Its parameters in the order of their letters, as they came; empty for none.
    query: Box<str>,
    /// Keyed hash of both.
    pub record: SubjectKey,
    /// Keyed hash of the path alone: what rows of earlier routers have for both.
    former: SubjectKey,
}

/// What a write does to an erasure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overtaken {
    No,
    /// The record may be another one.
    Perhaps,
    Yes,
}

impl Address {
    /// `path`: percent-decoded. `hash`: the keyed hash of a text.
    pub fn new(path: &str, query: Option<&str>, hash: impl Fn(&str) -> SubjectKey) -> Self {
        let mut parameters: Vec<&str> = query
            .unwrap_or_default()
            .split('&')
            .filter(|parameter| !parameter.is_empty() && !is_of_the_caller(parameter))
            .collect();
        parameters.sort_unstable();
        let query = parameters.join("&");
        Self {
            path: path.into(),
            record: hash(&format!("{path}\u{1}{query}")),
            former: hash(path),
            query: query.into(),
        }
    }

    /// What a row of an earlier router has, where that can be of no other record.
    pub(super) fn former(&self) -> Option<SubjectKey> {
        self.query.is_empty().then_some(self.former)
    }

    /// What a write at `by` does to an erasure here.
    pub(super) fn overtaken(&self, by: &Self) -> Overtaken {
        if !overlap(&self.path, &by.path) {
            return Overtaken::No;
        }
        // Where the path alone tells the record, a query above or below it is about something else.
        let is_elsewhere = self.query.is_empty() && self.path != by.path;
        match self.query == by.query || is_elsewhere {
            true => Overtaken::Yes,
            false => Overtaken::Perhaps,
        }
    }

    /// As [`Address::overtaken`], of a row that was found at the start and has its hash alone.
    pub(super) fn overtakes(&self, record: SubjectKey) -> Overtaken {
        match record == self.record || Some(record) == self.former() {
            true => Overtaken::Yes,
            false => Overtaken::No,
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("redacted")
    }
}

fn is_of_the_caller(parameter: &str) -> bool {
    OF_THE_CALLER.iter().any(|begins| {
        let own = parameter.get(..begins.len());
        own.is_some_and(|own| own.eq_ignore_ascii_case(begins))
    })
}

/// Whether one of the paths is the other or lies above it.
fn overlap(a: &str, b: &str) -> bool {
    let under = |long: &str, short: &str| {
        let rest = long.strip_prefix(short.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    under(a, b) || under(b, a)
}
