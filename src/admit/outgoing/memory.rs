//! What is told again: heads to regions that are like the connection's last one.

use std::{cell::RefCell, ops::Range};

use http::Version;
use smallvec::SmallVec;

use super::{Passing, ROOM};
use crate::{
    admit::headers::is_traceparent,
    message::{Field, Fields, Kind, Value},
};

/// What was told for a connection's last request. It is the same for the next one as a rule, and to
/// put it together anew took most of an outgoing head. Without `Debug`: it holds the caller's
/// address.
#[derive(Default)]
pub struct Memory {
    caller: RefCell<Option<Remembered>>,
    whole: RefCell<Whole>,
}

/// What was done with a head, for the next one of its kind.
#[derive(Default)]
struct Whole {
    of: Option<Alike>,
    done: Option<Done>,
}

struct Done {
    passed: Runs,
    /// What was told beside what passed, but for the trace and the decision.
    told: Fields,
}

/// Which of a head's lines pass: those from one place to another.
#[derive(Default)]
pub(super) struct Runs {
    runs: SmallVec<[Range<usize>; 4]>,
    at: usize,
}

impl Runs {
    pub(super) fn note(&mut self, passes: bool) {
        let at = self.at;
        self.at += 1;
        match self.runs.last_mut() {
            _ if !passes => {}
            Some(run) if run.end == at => run.end += 1,
            _ => self.runs.push(at..at + 1),
        }
    }
}

/// What makes two heads to a region alike.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Alike {
    kind: Kind,
    generation: u64,
    trusted: bool,
    proxied: bool,
    hide_client: bool,
    secure: bool,
    version: Version,
}

impl Alike {
    /// Of those that are made of the fields and what is told here alone.
    pub(super) fn of(passing: &Passing<'_>) -> Option<Self> {
        (passing.kind.is_known() && passing.authority.is_none()).then_some(Self {
            kind: passing.kind,
            generation: passing.generation,
            trusted: passing.trusted,
            proxied: passing.proxied,
            hide_client: passing.hide_client,
            secure: passing.secure,
            version: passing.version,
        })
    }
}

/// What was told of the caller, where no chain is continued.
struct Remembered {
    host: Option<Box<[u8]>>,
    hide_client: bool,
    secure: bool,
    version: Version,
    fields: Fields,
}

impl Remembered {
    fn is_of(&self, host: Option<&[u8]>, passing: &Passing<'_>) -> bool {
        self.hide_client == passing.hide_client
            && self.secure == passing.secure
            && self.version == passing.version
            && self.host.as_deref() == host
    }
}

impl Memory {
    /// Adds what is told of the caller; `put` puts it together anew.
    pub(super) fn tell_caller(
        &self,
        out: &mut Fields,
        host: Option<&[u8]>,
        passing: &Passing<'_>,
        put: impl FnOnce(&mut Fields),
    ) {
        let mut memory = self.caller.borrow_mut();
        let known = match &mut *memory {
            Some(known) if known.is_of(host, passing) => known,
            other => {
                let mut told = Fields::default();
                put(&mut told);
                other.insert(Remembered {
                    host: host.map(Into::into),
                    hide_client: passing.hide_client,
                    secure: passing.secure,
                    version: passing.version,
                    fields: told,
                })
            }
        };
        out.append_all(&known.fields);
    }

    /// The head for a region, without a trace that is begun and the decision, if the last one was
    /// like it.
    pub(super) fn again(&self, alike: Alike, fields: &Fields) -> Option<Fields> {
        let whole = self.whole.borrow();
        let done = whole.done.as_ref().filter(|_| whole.of == Some(alike))?;
        let is_sound = |trace: Value<'_>| is_traceparent(trace.as_bytes());
        if !fields.get(Field::Traceparent).is_none_or(is_sound) {
            return None;
        }
        let mut out = Fields::with_capacity(fields.len() + 8, ROOM);
        for run in &done.passed.runs {
            out.append_run(fields, run.clone());
        }
        out.append_all(&done.told);
        Some(out)
    }

    /// Keeps what was done with a head for those like it, once a second one has come. What passed
    /// are the first lines of `out`.
    pub(super) fn keep(&self, alike: Alike, runs: Runs, out: &Fields, passed: usize) {
        let mut whole = self.whole.borrow_mut();
        let is_second = whole.of == Some(alike);
        *whole = Whole {
            of: Some(alike),
            done: is_second.then(|| {
                let mut told = Fields::default();
                told.append_run(out, passed..out.len());
                Done { passed: runs, told }
            }),
        };
    }
}
