use crate::domain::{Destination, Operation, RecipientId, RegionId};

use super::verdict::Verdict;

/// Proof that policy allows one flow to or from one region, or to one recipient. Built only by the
/// decision, and by the mode `observe`, which follows none.
#[must_use]
#[derive(Clone, Debug)]
pub struct Permit {
    to: Destination,
    operation: Operation,
    flow_home: bool,
    impersonal: bool,
}

impl Permit {
    fn new(region: RegionId, operation: Operation, flow_home: bool) -> Self {
        Self {
            to: Destination::Region(region),
            operation,
            flow_home,
            impersonal: false,
        }
    }

    /// For `mode = "observe"`: the record goes where it goes today, whatever a decision would
    /// have said. It is never a flow home, so that its entry is durable first.
    pub fn observed(region: RegionId, operation: Operation) -> Self {
        Self::new(region, operation, false)
    }

    /// The like, for a disclosure in observe mode.
    pub fn observed_disclosure(recipient: RecipientId) -> Self {
        Self {
            to: Destination::Recipient(recipient),
            operation: Operation::Disclose,
            flow_home: false,
            impersonal: false,
        }
    }

    pub fn destination(&self) -> Destination {
        self.to
    }

    /// `None`: it leads to a recipient.
    pub fn region(&self) -> Option<RegionId> {
        match self.to {
            Destination::Region(region) => Some(region),
            Destination::Recipient(_) => None,
        }
    }

    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// Whether nothing moves but to the subject's home (domestic or homebound). Only then may
    /// the entry follow within 100 ms; every other permit is written ahead (ARCHITECTURE, invariant 2).
    pub fn is_flow_home(&self) -> bool {
        self.flow_home
    }

    /// Whether what is disclosed concerns nobody, so that it is no transfer and has no entry.
    pub fn is_impersonal(&self) -> bool {
        self.impersonal
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
    #[error("the decision was not about this recipient")]
    OtherRecipient,
}

/// The only builder of a [`Permit`] for a region: from a verdict that permits this operation.
/// `region` must be the one whose place and entity stood in the question's `to` (for a read:
/// `from`).
pub fn permit(
    verdict: &Verdict,
    region: RegionId,
    operation: Operation,
) -> Result<Permit, NotPermitted> {
    if verdict.operation() != operation {
        return Err(NotPermitted::OtherOperation);
    }
    if verdict.recipient().is_some() {
        return Err(NotPermitted::OtherRecipient);
    }
    if !verdict.is_permit() {
        return Err(NotPermitted::Refused);
    }
    Ok(Permit::new(region, operation, verdict.is_flow_home()))
}

/// The only builder of a [`Permit`] for a recipient: from a verdict that permits the disclosure to
/// this one.
pub fn permit_disclosure(
    verdict: &Verdict,
    recipient: RecipientId,
) -> Result<Permit, NotPermitted> {
    if verdict.operation() != Operation::Disclose {
        return Err(NotPermitted::OtherOperation);
    }
    if verdict.recipient() != Some(recipient) {
        return Err(NotPermitted::OtherRecipient);
    }
    if !verdict.is_permit() {
        return Err(NotPermitted::Refused);
    }
    Ok(Permit {
        to: Destination::Recipient(recipient),
        operation: Operation::Disclose,
        flow_home: false,
        impersonal: verdict.is_impersonal(),
    })
}
