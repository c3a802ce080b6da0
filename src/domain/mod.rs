//! The words of the product as types: one meaning each, in code, settings, metrics and documents.
//!
//! Nothing here does I/O, knows of HTTP, or reads a clock.

mod category;
mod circumstances;
mod decision;
mod evidence;
mod object;
mod operation;
mod place;
mod purpose;
mod question;
mod region;
mod subdivision;
mod subject;

pub use category::{CategoryId, CategorySet};
pub use circumstances::{Circumstances, SpecialGround};
pub(crate) use decision::eight_digits;
pub use decision::{DecisionId, Digest};
pub use evidence::{EvidenceKind, EvidenceSet, Strength};
pub use operation::Operation;
pub use place::{Country, Place, PlaceError};
pub use purpose::same_purpose;
pub use question::{
    Answer, Basis, Consent, ConsentKind, Finding, FlowEnd, Giver, Ground, GroundKind, HoldFinding,
    Missing, ObservedRule, Order, Origin, Outcome, PartyEnd, PromiseFinding, PromiseOutcome,
    Protection, Question, Role, RuleFinding, SubjectFacts, SubjectKind, ToEnd, Transaction,
};
pub use region::{Destination, RecipientId, Region, RegionId, Regions};
pub use subject::{SubjectKey, SubjectKeyError};
