//! Stand-in for the ledger's proof; the real station replaces this file.

use crate::decide::Permit;

/// Proof that a permit's ledger entry stands, as far as its kind demands.
#[derive(Debug)]
pub struct Cleared {
    permit: Permit,
}

impl Cleared {
    pub fn permit(&self) -> &Permit {
        &self.permit
    }

    /// Clearance out of nothing, for tests of the later stations.
    #[cfg(test)]
    pub(crate) fn danger_for_tests(permit: Permit) -> Self {
        Self { permit }
    }
}
