use std::{fmt, sync::Arc};

use super::{Pin, directory::Inner};
use crate::domain::SubjectKey;

/// What came of asking for a subject's first home.
#[must_use]
#[derive(Debug)]
pub enum Claim {
    /// The home is this one if the ledger entry that carries the guard is written. Several
    /// requests that claim the same region at the same time all win, each with the countries that it
    /// evidenced itself; the first whose entry stands gives the pin.
    Won(Claimed),
    /// A durable pin stands; decide again with it.
    Held(Arc<Pin>),
    /// At this moment another request is writing a different home. Decide again with this pin:
    /// to act on it, put the guard into the draft, so that the pin is durable before anything
    /// leaves; to refuse, drop it.
    Contested(Arc<Pin>, Claimed),
}

/// A home that is being claimed. Travels in the [`Draft`](crate::attest::Draft) of the entry that
/// makes it durable; dropped before that, the claim is released.
#[must_use]
pub struct Claimed {
    directory: Arc<Inner>,
    key: SubjectKey,
    pin: Arc<Pin>,
}

impl Claimed {
    pub(super) fn new(directory: Arc<Inner>, key: SubjectKey, pin: Arc<Pin>) -> Self {
        Self {
            directory,
            key,
            pin,
        }
    }

    pub fn key(&self) -> SubjectKey {
        self.key
    }

    /// The pin that will stand if no other claim of its region stands before.
    pub fn pin(&self) -> &Arc<Pin> {
        &self.pin
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        self.directory.release(self.key);
    }
}

impl fmt::Debug for Claimed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claimed")
            .field("region", &self.pin.region)
            .finish_non_exhaustive()
    }
}
