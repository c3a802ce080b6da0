//! The decision: pure, total, deterministic. Without its [`Permit`] no region can be called.

mod answer;
mod counting;
mod evaluate;
mod explain;
mod flow;
mod holds;
mod home;
mod lifted;
mod malformed;
mod mechanism;
mod missing;
mod permit;
pub(crate) mod promise;
mod query;
mod resolve;
mod shadow;
mod verdict;
mod view;

pub use answer::answer;
pub use counting::{CountedRecipient, Counting, Threshold, countings, counts, thresholds};
pub use evaluate::decide;
pub use explain::{ExplainError, explain, explain_with};
pub use home::{HomeFault, Homes, home, home_candidates};
pub use lifted::{Lifted, lifted};
pub use malformed::{Mistake, mistakes};
pub use missing::missing;
pub use permit::{NotPermitted, Permit, permit, permit_disclosure};
pub use query::{ConsentTo, Grounds, Party, Query, QueryConsent, QueryOrder, Subject};
pub use resolve::{PlacedFault, QuestionFault, QuestionFaults};
pub use shadow::{Disagreement, Observed, observed};
pub use verdict::{FindingKind, FindingLaw, LawFinding, Verdict};

/// What `prove` looks at to cut the space of flows into classes.
pub(crate) mod inside {
    pub(crate) use super::{
        evaluate::judge,
        flow::Attached,
        holds::Holds,
        mechanism::{assessment_covers, module, people_covered, purpose_covered, usables},
        view::{Link, View},
    };
}

#[cfg(test)]
pub(crate) mod tests;
