use crate::domain::{Operation, RegionId};

/// Proof that policy allows one flow to or from one region. Built only by the decision.
#[must_use]
#[derive(Clone, Debug)]
pub struct Permit {
    region: RegionId,
    operation: Operation,
    flow_home: bool,
}

impl Permit {
    pub(super) fn new(region: RegionId, operation: Operation, flow_home: bool) -> Self {
        Self {
            region,
            operation,
            flow_home,
        }
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
