//! Entries that may follow their flow, as they lie in a worker's buffer.
//!
//! Thousands of them gather before the journal's thread fetches them, so each request writes into
//! memory that no cache holds any more. The two kinds that nearly every request has are kept as
//! small as what the ledger will say of them; whatever has more to it stands on the heap.

use std::{mem, sync::Arc};

use super::{Bundle, Draft, OutcomeDraft, Outcomes, Profile, writer::Item};
use crate::domain::{EvidenceSet, SubjectKey};

pub(super) enum Lazy {
    Home(Home),
    Came(Came),
    Draft(Box<Draft>),
    Bundle(Box<Bundle>),
    Outcomes(Box<Outcomes>),
}

/// A decision whose entry has neither a reference, an order nor a change of pin, and that counts nobody.
/// Times are in µs since 1970.
pub(super) struct Home {
    pub at: i64,
    pub decision: [u8; 16],
    pub profile: Arc<Profile>,
    pub subject: Option<SubjectKey>,
    pub evidence: EvidenceSet,
}

/// What came of a permitted flow.
pub(super) struct Came {
    pub at: i64,
    pub decision: [u8; 16],
    pub status: u16,
}

// With what the enum itself needs, less than a line of cache.
const _: () = assert!(mem::size_of::<Lazy>() <= 56);

impl From<Draft> for Lazy {
    fn from(draft: Draft) -> Self {
        let papers = draft.reference.is_some() || draft.order.is_some();
        if draft.pin.is_some() || papers || !draft.holds.is_empty() {
            return Self::Draft(Box::new(draft));
        }
        Self::Home(Home {
            at: draft.at.as_microsecond(),
            decision: draft.decision.to_bytes(),
            profile: draft.profile,
            subject: draft.subject,
            evidence: draft.evidence,
        })
    }
}

impl From<OutcomeDraft> for Lazy {
    fn from(outcome: OutcomeDraft) -> Self {
        Self::Came(Came {
            at: outcome.at.as_microsecond(),
            decision: outcome.decision.to_bytes(),
            status: outcome.status,
        })
    }
}

impl Lazy {
    /// When it was handed over, by the time it states itself, in µs since 1970.
    pub fn at(&self) -> i64 {
        match self {
            Self::Home(home) => home.at,
            Self::Came(came) => came.at,
            Self::Draft(draft) => draft.at.as_microsecond(),
            Self::Bundle(bundle) => bundle.at().as_microsecond(),
            Self::Outcomes(outcomes) => outcomes.at.as_microsecond(),
        }
    }

    pub fn entries(&self) -> usize {
        match self {
            Self::Home(_) | Self::Came(_) | Self::Draft(_) => 1,
            Self::Bundle(bundle) => bundle.len(),
            Self::Outcomes(outcomes) => outcomes.rows.len(),
        }
    }

    pub fn item(&self) -> Item<'_> {
        match self {
            Self::Home(home) => Item::Home(home),
            Self::Came(came) => Item::Came(came),
            Self::Draft(draft) => Item::Draft(draft),
            Self::Bundle(bundle) => Item::Bundle(bundle),
            Self::Outcomes(outcomes) => Item::Outcomes(outcomes),
        }
    }
}
