use std::sync::Arc;

use smallvec::SmallVec;

use crate::domain::Place;

/// Where a subject's data lies.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pin {
    /// The home, by the region's name.
    pub region: Arc<str>,
    /// The countries whose law the first record evidenced; may be empty (imported pins).
    pub countries: SmallVec<[Place; 2]>,
    /// Further regions that hold copies, the home excluded.
    pub held_in: SmallVec<[Arc<str>; 2]>,
    /// Whether the home is known to have taken a record. A home that was only claimed holds
    /// nothing that a law could call the primary copy.
    pub stored: bool,
}

/// What a ledger entry does to its subject's pin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PinChange {
    /// The first home. Changes nothing where a pin stands: the first writer has won.
    Claim {
        region: Arc<str>,
        countries: SmallVec<[Place; 2]>,
    },
    /// The primary copy moved to `region`, which is the home from now on, pinned before or not. The
    /// home before still holds what it held.
    Move { region: Arc<str> },
    /// `region` now holds a copy.
    Copy { region: Arc<str> },
    /// `region` no longer holds the data. For the home itself the pin ends, copies or not: drop
    /// the copies first.
    Drop { region: Arc<str> },
}

impl Pin {
    pub fn new(region: Arc<str>, countries: SmallVec<[Place; 2]>) -> Self {
        Self {
            region,
            countries,
            held_in: SmallVec::new(),
            stored: false,
        }
    }

    /// The same, with a record at home.
    pub fn stored(self) -> Self {
        Self {
            stored: true,
            ..self
        }
    }

    /// Whether something may lie in `region`.
    pub fn holds(&self, region: &str) -> bool {
        *self.region == *region || self.held_in.iter().any(|held| **held == *region)
    }

    /// The pin after `change`. Applying a change twice gives what applying it once gives.
    pub fn after(standing: Option<Arc<Self>>, change: &PinChange) -> Option<Arc<Self>> {
        match (change, standing) {
            (PinChange::Claim { .. }, Some(pin)) => Some(pin),
            (PinChange::Claim { region, countries }, None) => {
                Some(Self::new(region.clone(), countries.clone()).into())
            }
            // A move is written once the new home has taken the record.
            (PinChange::Move { region }, None) => {
                Some(Self::new(region.clone(), SmallVec::new()).stored().into())
            }
            (PinChange::Move { region }, Some(pin)) => {
                let mut pin = Arc::unwrap_or_clone(pin);
                pin.stored = true;
                pin.held_in.retain(|held| held != region);
                let before = std::mem::replace(&mut pin.region, region.clone());
                if before != *region {
                    pin.held_in.push(before);
                }
                Some(pin.into())
            }
            (PinChange::Copy { region }, Some(pin)) => {
                if pin.region == *region || pin.held_in.contains(region) {
                    return Some(pin);
                }
                let mut pin = Arc::unwrap_or_clone(pin);
                pin.held_in.push(region.clone());
                Some(pin.into())
            }
            (PinChange::Drop { region }, Some(pin)) if pin.region == *region => None,
            (PinChange::Drop { region }, Some(pin)) => {
                if !pin.held_in.contains(region) {
                    return Some(pin);
                }
                let mut pin = Arc::unwrap_or_clone(pin);
                pin.held_in.retain(|held| held != region);
                Some(pin.into())
            }
            (PinChange::Copy { .. } | PinChange::Drop { .. }, None) => None,
        }
    }
}
