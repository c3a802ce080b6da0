use std::sync::Arc;

use jiff::Timestamp;
use serde::{Serialize, Serializer, ser::SerializeStruct};

use crate::{
    domain::{
        Circumstances, DecisionId, Digest, EvidenceSet, GroundKind, Operation, Place, SubjectKey,
    },
    locate::{Claimed, Directory, PinChange},
    state::{CountGuard, Counters},
};

/// Everything about a decision that names no person and no instant. Shared by many entries:
/// handing in the same `Arc` again costs least.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Profile {
    pub policy: Digest,
    /// Of the settings that take part in decisions ([`crate::settings::digest`]); `None` in
    /// entries of routers that did not tell it yet.
    pub settings: Option<Digest>,
    pub route: Arc<str>,
    pub operation: Operation,
    pub laws: Vec<Arc<str>>,
    pub categories: Vec<Arc<str>>,
    pub from: Party,
    pub to: Party,
    pub via: Option<Party>,
    pub region: Option<Arc<str>>,
    pub mechanism: Option<Arc<str>>,
    pub instrument: Option<Arc<str>>,
    pub module: Option<u8>,
    pub exporter: Option<Arc<str>>,
    pub importer: Option<Arc<str>>,
    pub rules: Vec<Arc<str>>,
    pub outcome: Verdict,
    /// The `<name>` of the problem document, in a refusal.
    pub problem: Option<Arc<str>>,
    pub duties: Vec<Arc<str>>,
    pub missing: Vec<Arc<str>>,
    /// Names of the tallies in which this permit counts its person (see [`crate::state`]).
    pub counted: Vec<Arc<str>>,
    /// Rules under observation that would have turned the outcome.
    pub observed: Vec<Observed>,
    /// What route or caller said of the flow.
    pub circumstances: Circumstances,
    /// Of a flow under [`Verdict::Observe`]: the region where it went.
    pub reached: Option<Arc<str>>,
    /// What the flow was said to be for, and what was asserted of it.
    pub stated: Stated,
}

/// What a decision may hang on beside the [circumstances](Circumstances).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Stated {
    /// A word of the policy files, or `other`: never a caller's text. `None`: nobody said one.
    pub purpose: Option<Arc<str>>,
    /// In the order of [`GroundKind::WORDS`], each kind once.
    pub grounds: Vec<Asserted>,
    /// The rules that a ground or a consent lifted.
    pub lifted: Vec<Arc<str>>,
}

/// A ground that a trusted caller asserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Asserted {
    pub kind: GroundKind,
    pub occasional: bool,
}

impl Stated {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A rule under observation, and the outcome with the rules under observation in force: `Permit`
/// or `Refuse`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Observed {
    pub rule: Arc<str>,
    pub outcome: Verdict,
}

/// One end of a flow.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Party {
    pub place: Place,
    pub entity: Option<Arc<str>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Verdict {
    Permit = 0,
    Refuse = 1,
    /// Observe mode: the flow went where it goes today, not where region and ends say. `problem`
    /// stands where the policy would have refused.
    Observe = 2,
}

/// One decision, to be written.
#[derive(Debug)]
pub struct Draft {
    /// Kept to the microsecond.
    pub at: Timestamp,
    pub decision: DecisionId,
    pub profile: Arc<Profile>,
    /// Of a claim, the claim's key counts.
    pub subject: Option<SubjectKey>,
    pub evidence: EvidenceSet,
    pub pin: Option<Pinning>,
    /// Of an order or a ground: what a caller that may steer named as its file number. Never
    /// personal data. Cut after [`REFERENCE_MAX`] bytes; refuse longer ones before.
    pub reference: Option<Arc<str>>,
    /// What else was said of the order that a disclosure obeys.
    pub order: Option<Arc<Ordered>>,
    /// Keeps the person's places in the tallies of the profile until the entry stands.
    pub holds: Vec<CountGuard>,
}

/// What a caller that may steer said of an order, beside its file number. The texts are bounded as
/// [`Draft::reference`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ordered {
    /// Where the authority or court is.
    pub authority_country: Place,
    /// By the competent authority at home.
    pub approval: Option<Arc<str>>,
    /// Of a ground that was asserted beside the order, whose own reference the entry has.
    pub ground_reference: Option<Arc<str>>,
}

/// What replays the ledger: its entries are the log ahead of these.
#[derive(Clone, Debug)]
pub struct Books {
    pub directory: Directory,
    pub counters: Option<Counters>,
}

impl Books {
    /// Notes that every change up to entry `seq` was applied, so that the next start need not look
    /// for one. Stored after these, with the next batch.
    pub(super) fn mark(&self, seq: u64) {
        self.directory.mark(seq);
        if let Some(counters) = &self.counters {
            counters.mark(seq);
        }
    }
}

impl From<Directory> for Books {
    fn from(directory: Directory) -> Self {
        Self {
            directory,
            counters: None,
        }
    }
}

/// Bytes of [`Draft::reference`], and of each text of [`Draft::order`], that are kept.
pub const REFERENCE_MAX: usize = 96;

/// What an entry does to its subject's pin, before it is written.
#[derive(Debug)]
pub enum Pinning {
    /// A first home; the guard releases the claim if the entry cannot be written.
    Claim(Claimed),
    Move {
        region: Arc<str>,
    },
    Copy {
        region: Arc<str>,
    },
    Drop {
        region: Arc<str>,
    },
}

/// What came of a permitted flow. Written within 100 ms, after the decision's entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutcomeDraft {
    pub at: Timestamp,
    pub decision: DecisionId,
    /// What the backend answered; 0: no answer came, so what it did is unknown.
    pub status: u16,
}

impl Draft {
    /// Whose entry it is.
    pub(super) fn key(&self) -> Option<SubjectKey> {
        match &self.pin {
            Some(Pinning::Claim(claimed)) => Some(claimed.key()),
            _ => self.subject,
        }
    }
}

impl Pinning {
    pub fn change(&self) -> PinChange {
        match self {
            Self::Claim(claimed) => PinChange::Claim {
                region: claimed.pin().region.clone(),
                countries: claimed.pin().countries.clone(),
            },
            Self::Move { region } => PinChange::Move {
                region: region.clone(),
            },
            Self::Copy { region } => PinChange::Copy {
                region: region.clone(),
            },
            Self::Drop { region } => PinChange::Drop {
                region: region.clone(),
            },
        }
    }
}

impl Verdict {
    pub const ALL: [Self; 3] = [Self::Permit, Self::Refuse, Self::Observe];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Permit => "permit",
            Self::Refuse => "refuse",
            Self::Observe => "observe",
        }
    }
}

impl Serialize for Verdict {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

impl Serialize for Observed {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut fields = s.serialize_struct("Observed", 2)?;
        fields.serialize_field("rule", &self.rule)?;
        fields.serialize_field("outcome", &self.outcome)?;
        fields.end()
    }
}

impl Serialize for Party {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut fields = s.serialize_struct("Party", 2)?;
        fields.serialize_field("country", &self.place)?;
        fields.serialize_field("entity", &self.entity)?;
        fields.end()
    }
}
