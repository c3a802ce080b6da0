//! What a permitted flow does to its subject's pin, by itself or in a batch, a bulk request, or in
//! observe mode. Erasures, which end pins, are `erase`'s.

use smallvec::SmallVec;

use super::{Exchange, Flow, person::Person};
use crate::{
    attest::{Draft, Pinning},
    domain::{Operation, RegionId, SubjectKey},
    locate::{Claim, Pin},
    respond::Refused,
};

/// What a flow does to the pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PinPlan {
    /// The subject is new: its home is claimed with the entry.
    pub claims: bool,
    /// The record goes abroad, which the pin knows from the entry on, whatever comes of it. A move,
    /// too, is a copy until it is known to have arrived: were the caller gone by then, or the
    /// region's answer lost, an erasure would not know of it.
    pub copies: bool,
    pub then: Then,
}

/// What the region's success does to the pin besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    Nothing,
    /// The home holds a record.
    Stored,
    /// The primary lies in the new region; the old one holds a copy until it is erased.
    Moved,
}

/// What the entries of a flow do to the pin. One entry changes a pin once: the copy of a subject
/// that is new has an entry of its own, the second.
#[derive(Debug, Default)]
pub struct Pinnings {
    pub own: Option<Pinning>,
    pub second: Option<Pinning>,
}

impl PinPlan {
    #[inline]
    pub fn new(person: &Person, flow: &Flow) -> Self {
        let abroad = flow.region != person.home;
        Self {
            claims: person.claims,
            copies: abroad && flow.operation.writes(),
            then: match flow.operation {
                Operation::Store if !abroad => Then::Stored,
                Operation::Relocate => Then::Moved,
                Operation::Store
                | Operation::Replicate
                | Operation::Read
                | Operation::Disclose
                | Operation::Erase => Then::Nothing,
            },
        }
    }

    /// Claims the home, if it is new, and says what the entries are to say.
    ///
    /// # Errors
    /// Another request has claimed another home, or is about to; the directory cannot be read.
    #[inline]
    pub fn pinnings(
        self,
        x: &Exchange<'_>,
        person: &Person,
        region: RegionId,
    ) -> Result<Pinnings, Refused> {
        let claim = match self.claims {
            true => claim(x, person)?,
            false => None,
        };
        let copy = self.copies.then(|| Pinning::Copy {
            region: x.snapshot.regions.name(region).into(),
        });
        Ok(match claim {
            None => Pinnings {
                own: copy,
                second: None,
            },
            claim => Pinnings {
                own: claim,
                second: copy,
            },
        })
    }

    /// Whether it is [to be noted](mark) that the home holds a record, once it has taken this one.
    pub fn is_first(self, person: &Person) -> bool {
        self.then == Then::Stored && !person.stored
    }
}

/// Claims the home of a new subject. Another request may have been first: then its home holds.
fn claim(x: &Exchange<'_>, person: &Person) -> Result<Option<Pinning>, Refused> {
    let home = x.snapshot.regions.name(person.home);
    let countries: SmallVec<[_; 2]> = person.countries.iter().copied().collect();
    let pin = Pin::new(home.into(), countries);
    let claimed = x.worker.pins.borrow_mut().claim(person.key, pin);
    match claimed {
        Ok(Claim::Won(claimed)) => Ok(Some(Pinning::Claim(claimed))),
        Ok(Claim::Held(pin)) if pin.region.as_ref() == home => Ok(None),
        // Another request is writing a different home at this moment, or has written it.
        Ok(Claim::Held(pin) | Claim::Contested(pin, _)) => Err(Refused::PinContradicted {
            region: pin.region.to_string(),
        }),
        Err(error) => Err(Refused::Directory(error.to_string())),
    }
}

/// `draft` as the entry of a move that has happened.
pub fn moved(x: &Exchange<'_>, flow: &Flow, draft: Draft) -> Draft {
    Draft {
        pin: Some(Pinning::Move {
            region: x.snapshot.regions.name(flow.region).into(),
        }),
        ..draft
    }
}

/// Durable when it returns.
///
/// # Errors
/// The ledger cannot be written. Cancel safety: entries that are queued are written all the same.
pub async fn write_moves(x: &Exchange<'_>, entries: Vec<Draft>) -> Result<(), Refused> {
    let written = x.worker.journal.clear_all(Vec::new(), entries).await;
    written
        .map(drop)
        .map_err(|e| Refused::Ledger(e.to_string()))
}

/// Notes that the home has taken a record: a law that wants the primary copy first has it.
pub fn mark(x: &Exchange<'_>, key: SubjectKey, home: RegionId) {
    let home = x.snapshot.regions.name(home);
    if let Err(error) = x.worker.shared.directory.mark_stored(key, home) {
        // The record is stored; that the home counts as empty can only refuse copies.
        tracing::warn!(%error, "a home could not be marked as holding a record");
    }
}
