//! The decisions of one batch, packed: what many of them have in common stands once.

use std::{fmt, sync::Arc};

use jiff::Timestamp;

use super::{
    Draft, Ordered, Pinning, Profile, Unwritable,
    journal::{Cleared, is_copy, may_follow},
};
use crate::{
    decide::Permit,
    domain::{DecisionId, EvidenceSet, SubjectKey},
    state::CountGuard,
};

/// Kinds that a new entry is compared with; a batch rarely has more.
const COMPARED: usize = 32;

/// The entries of one batch in the order in which they are written, all of them or none. An entry
/// takes 36 bytes, where a [`Draft`] takes 144.
pub struct Bundle {
    at: Timestamp,
    kinds: Vec<Kind>,
    rows: Vec<Row>,
    /// What few entries have, by row, in order.
    extras: Vec<(u32, Extra)>,
}

/// What stands in the place of the drafts of permits: that all entries of a kind stand, or are
/// queued to.
#[derive(Debug, Default)]
pub struct ClearedBundle(Vec<Option<Cleared>>);

/// An entry's kind within its bundle: the number of what it shares with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Like(u32);

/// Outcomes of a batch, told at one instant. 18 bytes each.
#[derive(Debug)]
pub struct Outcomes {
    pub(super) at: Timestamp,
    pub(super) rows: Vec<([u8; 16], u16)>,
}

#[derive(Debug)]
pub(super) struct Kind {
    /// Of entries that permit.
    permit: Option<Permit>,
    pub profile: Arc<Profile>,
    pub evidence: EvidenceSet,
    pub is_named: bool,
    pub reference: Option<Arc<str>>,
    pub order: Option<Arc<Ordered>>,
}

/// Bytes, so that a row needs no room to align its numbers.
#[derive(Clone, Copy)]
pub(super) struct Row {
    pub decision: [u8; 16],
    /// Zeros where the kind is not named.
    pub subject: [u8; 16],
    kind: u32,
}

#[derive(Debug)]
pub(super) struct Extra {
    pub pin: Option<Pinning>,
    /// Until the entry stands.
    _holds: Vec<CountGuard>,
}

impl Like {
    pub fn number(self) -> usize {
        self.0 as usize
    }
}

impl Bundle {
    /// For decisions taken at `at`; room is made for `entries` of them.
    pub fn new(at: Timestamp, entries: usize) -> Self {
        Self {
            at,
            kinds: Vec::new(),
            rows: Vec::with_capacity(entries),
            extras: Vec::new(),
        }
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Adds an entry, at the bundle's time. With the permit that it is of; a refusal has none, nor
    /// has what is written beside another entry.
    pub fn push(&mut self, permit: Option<Permit>, draft: Draft) -> Like {
        let subject = draft.key();
        let kind = Kind {
            permit,
            profile: draft.profile,
            evidence: draft.evidence,
            is_named: subject.is_some(),
            reference: draft.reference,
            order: draft.order,
        };
        let mut known = self.kinds.iter().enumerate().rev().take(COMPARED);
        let known = known.find(|(_, known)| known.is_like(&kind));
        let number = known.map_or(self.kinds.len(), |(number, _)| number);
        if number == self.kinds.len() {
            self.kinds.push(kind);
        }
        // There are not more kinds than rows, and those are counted in 32 bits.
        let like = u32::try_from(number).unwrap_or(u32::MAX);
        if draft.pin.is_some() || !draft.holds.is_empty() {
            let extra = Extra {
                pin: draft.pin,
                _holds: draft.holds,
            };
            let row = u32::try_from(self.rows.len()).unwrap_or(u32::MAX);
            self.extras.push((row, extra));
        }
        self.rows.push(Row {
            decision: draft.decision.to_bytes(),
            subject: subject.map_or([0; 16], SubjectKey::to_bytes),
            kind: like,
        });
        Like(like)
    }

    /// Adds an entry that differs in decision and subject alone from the one that was `like` this:
    /// it changes no pin and counts nobody. `like` must be of this bundle, and of a named entry.
    #[inline]
    pub fn push_like(&mut self, like: Like, decision: DecisionId, subject: SubjectKey) {
        self.rows.push(Row {
            decision: decision.to_bytes(),
            subject: subject.to_bytes(),
            kind: like.0,
        });
    }

    /// The permits, each with what its entries say.
    pub(super) fn kinds_permitted(&self) -> impl Iterator<Item = (&Permit, &Profile)> {
        let kinds = self.kinds.iter();
        kinds.filter_map(|kind| Some((kind.permit.as_ref()?, &*kind.profile)))
    }

    /// What entries have in common, by [`Like::number`].
    pub fn shared(&self) -> Vec<(Arc<Profile>, EvidenceSet)> {
        let kinds = self.kinds.iter();
        kinds
            .map(|k| (Arc::clone(&k.profile), k.evidence))
            .collect()
    }

    /// The refusals alone, for a batch of which nothing is sent. What changes a pin goes with the
    /// permits, and so do claims.
    #[must_use]
    pub fn into_refusals(self) -> Self {
        let Self {
            at,
            kinds,
            rows,
            extras,
        } = self;
        let mut pinned = extras.iter().map(|(row, _)| *row).peekable();
        let mut refusals = Vec::new();
        for (number, row) in (0..).zip(rows) {
            let changes_pin = pinned.next_if_eq(&number).is_some();
            let kind = kinds.get(row.kind as usize);
            if !changes_pin && kind.is_some_and(|k| k.permit.is_none()) {
                refusals.push(row);
            }
        }
        Self {
            at,
            kinds,
            rows: refusals,
            extras: Vec::new(),
        }
    }

    pub(super) fn at(&self) -> Timestamp {
        self.at
    }

    pub(super) fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    /// Each entry: its kind's number, what is its own, and what few have.
    pub(super) fn rows(&self) -> impl Iterator<Item = (usize, &Row, Option<&Extra>)> {
        let mut extras = self.extras.iter().peekable();
        let rows = (0..).zip(&self.rows);
        rows.map(move |(number, row): (u32, _)| {
            let extra = extras.next_if(|(at, _)| *at == number);
            (row.kind as usize, row, extra.map(|(_, extra)| extra))
        })
    }

    /// Whether an entry changes a pin.
    pub(super) fn pins(&self) -> bool {
        self.extras.iter().any(|(_, e)| e.pin.is_some())
    }

    /// Whether something is let go that makes a copy.
    pub(super) fn copies(&self) -> bool {
        self.extras.iter().any(|(_, e)| is_copy(e.pin.as_ref()))
            && self.kinds.iter().any(|kind| kind.permit.is_some())
    }

    /// Whether an entry changes a pin or counts a person.
    pub(super) fn has_effects(&self) -> bool {
        !self.extras.is_empty() || self.kinds.iter().any(|k| !k.profile.counted.is_empty())
    }

    /// Whether all of it may run ahead of its entries.
    pub(super) fn may_follow(&self) -> bool {
        let follows = |kind: &Kind| {
            let permit = kind.permit.as_ref();
            permit.is_some_and(|permit| may_follow(permit, false, &kind.profile))
        };
        !self.pins() && self.kinds.iter().all(follows)
    }

    /// # Errors
    /// What changes a pin names nobody.
    pub(super) fn check(&self) -> Result<(), Unwritable> {
        let named = |row: u32| {
            let row = self.rows.get(row as usize);
            let kind = row.and_then(|row| self.kinds.get(row.kind as usize));
            kind.is_some_and(|kind| kind.is_named)
        };
        let mut changes = self.extras.iter().filter(|(_, e)| e.pin.is_some());
        match changes.all(|(row, _)| named(*row)) {
            true => Ok(()),
            false => Err(Unwritable::NoSubject),
        }
    }

    /// The proofs, which the caller gives away only once the entries stand or are queued.
    pub(super) fn clear(&mut self) -> ClearedBundle {
        let permits = self.kinds.iter_mut().map(|kind| kind.permit.take());
        ClearedBundle(permits.map(|p| p.map(Cleared::of)).collect())
    }
}

impl ClearedBundle {
    /// The proof for the permits of entries of this kind.
    pub fn of(&self, like: Like) -> Option<&Cleared> {
        self.0.get(like.number())?.as_ref()
    }

    /// The proofs for entries of these kinds, each once.
    pub fn each(&self, likes: impl IntoIterator<Item = Like>) -> Vec<&Cleared> {
        let mut wanted = vec![false; self.0.len()];
        for like in likes {
            if let Some(one) = wanted.get_mut(like.number()) {
                *one = true;
            }
        }
        let all = self.0.iter().zip(wanted);
        all.filter_map(|(cleared, wanted)| cleared.as_ref().filter(|_| wanted))
            .collect()
    }
}

impl Outcomes {
    /// Told at `at`; room is made for `entries` of them.
    pub fn new(at: Timestamp, entries: usize) -> Self {
        Self {
            at,
            rows: Vec::with_capacity(entries),
        }
    }

    /// `status` is what the backend answered; 0: no answer came.
    #[inline]
    pub fn push(&mut self, decision: DecisionId, status: u16) {
        self.rows.push((decision.to_bytes(), status));
    }
}

impl Kind {
    fn is_like(&self, other: &Self) -> bool {
        let permit = |kind: &Self| {
            let permit = kind.permit.as_ref()?;
            Some((
                permit.destination(),
                permit.operation(),
                permit.is_flow_home(),
            ))
        };
        Arc::ptr_eq(&self.profile, &other.profile)
            && self.evidence == other.evidence
            && self.is_named == other.is_named
            && self.reference == other.reference
            && self.order == other.order
            && permit(self) == permit(other)
    }
}

impl Row {
    pub fn key(&self, kind: &Kind) -> Option<SubjectKey> {
        kind.is_named.then(|| SubjectKey::from_bytes(self.subject))
    }
}

impl fmt::Debug for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bundle")
            .field("at", &self.at)
            .field("entries", &self.rows.len())
            .finish_non_exhaustive()
    }
}
