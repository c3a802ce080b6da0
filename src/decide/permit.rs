use crate::domain::{Operation, RegionId};

use super::verdict::Verdict;

/// Proof that policy allows one flow to or from one region. Built only by the decision.
#[must_use]
#[derive(Clone, Debug)]
pub struct Permit {
    region: RegionId,
    operation: Operation,
    flow_home: bool,
}

impl Permit {
    fn new(region: RegionId, operation: Operation, flow_home: bool) -> Self {
        Self {
            region,
            operation,
            flow_home,
        }
    }

    /// For `mode = "observe"`: the record goes where it goes today, whatever a decision would
    /// have said. It is never a flow home, so that its entry is durable first.
    pub fn observed(region: RegionId, operation: Operation) -> Self {
        Self::new(region, operation, false)
    }

    pub fn region(&self) -> RegionId {
        self.region
    }

    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// Whether nothing moves but to the subject's home (domestic or homebound). Only then may
    /// the entry follow within 100 ms; every other permit is written ahead (DESIGN, invariant 2).
    pub fn is_flow_home(&self) -> bool {
        self.flow_home
    }

    /// A permit out of nothing, for tests of the later stations.
    #[cfg(test)]
    pub(crate) fn danger_for_tests(
        region: RegionId,
        operation: Operation,
        flow_home: bool,
    ) -> Self {
        Self::new(region, operation, flow_home)
    }
}

/// A permit was asked of a verdict that does not give it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotPermitted {
    #[error("the decision refuses this flow")]
    Refused,
    #[error("the decision was about another operation")]
    OtherOperation,
}

/// The only builder of a [`Permit`]: from a verdict that permits this operation. `region` must be
/// the one whose place and entity stood in the question's `to` (for a read: `from`).
pub fn permit(
    verdict: &Verdict,
    region: RegionId,
    operation: Operation,
) -> Result<Permit, NotPermitted> {
    if verdict.operation() != operation {
        return Err(NotPermitted::OtherOperation);
    }
    if !verdict.is_permit() {
        return Err(NotPermitted::Refused);
    }
    Ok(Permit::new(region, operation, verdict.is_flow_home()))
}
