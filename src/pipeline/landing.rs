//! Records that reach their region while their subject's account is erased.
//!
//! An erasure asks the holders that the pin names. A write that was under way by then may arrive
//! after they have said that nothing is there; were the pin to end all the same, no later erasure
//! would find the record, and other evidence could give the person a second home. So whoever has
//! written looks once the region has answered, or can answer no more: does a pin still say that
//! something lies there? If not, it is written anew. While no pin ends and no erasure is open that
//! costs two atomic loads.

use std::{cell::Cell, sync::Arc};

use http::StatusCode;
use jiff::Timestamp;
use smallvec::SmallVec;

use super::{Exchange, Flow, Judged, overtake, person::Person};
use crate::{
    attest::{Draft, Pinning, Profile},
    domain::{DecisionId, EvidenceSet, Place, RegionId, SubjectKey},
    locate::{Claim, Pin},
    respond::Refused,
    shared::Shared,
};

/// The subject of a record that was sent, if the directory is to know it.
#[derive(Clone, Copy, Debug)]
pub struct Whose {
    pub key: SubjectKey,
    pub home: RegionId,
}

impl Whose {
    pub fn of(person: &Person) -> Option<Self> {
        (person.pinned || person.claims).then_some(Self {
            key: person.key,
            home: person.home,
        })
    }
}

/// A record that was sent.
pub struct Sent<'a> {
    pub whose: Whose,
    pub region: RegionId,
    /// The region's; 0: none came.
    pub status: u16,
    pub decision: DecisionId,
    pub profile: &'a Arc<Profile>,
    pub evidence: EvidenceSet,
    pub countries: &'a [Place],
}

impl Sent<'_> {
    fn is_taken(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// One that may lie where no pin tells of it.
pub struct Stray {
    key: SubjectKey,
    home: Arc<str>,
    region: Arc<str>,
    countries: SmallVec<[Place; 2]>,
    at: Timestamp,
    decision: DecisionId,
    profile: Arc<Profile>,
    evidence: EvidenceSet,
    is_taken: bool,
}

/// Those of `sent` that a look at the pins is needed for; mostly none.
pub fn strays<'a>(x: &Exchange<'_>, sent: impl Iterator<Item = Sent<'a>>) -> Vec<Stray> {
    if !may_stray(x) {
        return Vec::new();
    }
    sent.filter(|sent| may_lie_there(sent.status) && is_stray(x, sent))
        .map(|sent| Stray {
            key: sent.whose.key,
            home: x.snapshot.regions.name(sent.whose.home).into(),
            region: x.snapshot.regions.name(sent.region).into(),
            countries: sent.countries.iter().copied().collect(),
            at: x.at(),
            decision: sent.decision,
            profile: Arc::clone(sent.profile),
            evidence: sent.evidence,
            is_taken: sent.is_taken(),
        })
        .collect()
}

/// Whether an account may have been erased since the request came: false is certain.
fn may_stray(x: &Exchange<'_>) -> bool {
    let shared = &x.worker.shared;
    !shared.erasures.is_empty() || shared.directory.ended() != x.ended
}

/// Only a region that refuses the request says that it has taken nothing.
fn may_lie_there(status: u16) -> bool {
    !(300..500).contains(&status)
}

fn is_stray(x: &Exchange<'_>, sent: &Sent<'_>) -> bool {
    let shared = &x.worker.shared;
    if shared.erasures.concerns(&sent.whose.key) {
        return true;
    }
    // What no erasure concerns has the pin of before, which tells of the region already.
    if shared.directory.ended() == x.ended {
        return false;
    }
    let region = x.snapshot.regions.name(sent.region);
    let mut pins = x.worker.pins.borrow_mut();
    // A directory that cannot be read is asked again.
    !matches!(pins.lookup(&sent.whose.key), Ok(Some(pin)) if pin.holds(region))
}

/// Makes the pins tell of these records. Their entries stand when it returns.
///
/// # Errors
/// Ledger or directory cannot be written: an erasure would not find the records.
pub async fn bring_back(shared: Arc<Shared>, strays: Vec<Stray>) -> Result<(), Refused> {
    let places = strays.iter().map(|s| (s.key, Arc::clone(&s.region)));
    // A pin that is ending has ended when this returns, and none ends before the entries stand.
    let held = shared.erasures.hold(places.collect()).await;
    let mut entries = Vec::new();
    for stray in &strays {
        shared.erasures.keep_pin(stray.key);
        stray.pin(&shared, &mut entries)?;
    }
    if !entries.is_empty() {
        let written = shared.journal.clear_all(Vec::new(), entries).await;
        written.map_err(|e| Refused::Ledger(e.to_string()))?;
    }
    drop(held);
    for stray in strays.iter().filter(|s| s.is_taken) {
        let marked = shared.directory.mark_stored(stray.key, &stray.region);
        marked.map_err(|e| Refused::Directory(e.to_string()))?;
    }
    Ok(())
}

/// As [`bring_back`], for callers that wait.
///
/// # Errors
/// As [`bring_back`], and while the ledger's disk hangs.
pub async fn bring_back_in_time(shared: Arc<Shared>, strays: Vec<Stray>) -> Result<(), Refused> {
    let back = bring_back(Arc::clone(&shared), strays);
    overtake::unless_disk_hangs(&shared.journal, back).await?
}

/// As [`bring_back`], where nobody waits for it: the caller has gone, or has its answer.
pub fn bring_back_aside(x: &Exchange<'_>, strays: Vec<Stray>) {
    if strays.is_empty() {
        return;
    }
    let shared = Arc::clone(&x.worker.shared);
    let aside = Aside { is_done: false };
    tokio::task::spawn_local(async move {
        // As a whole, so that it is dropped with the task.
        let mut aside = aside;
        aside.is_done = bring_back(shared, strays).await.is_ok();
    });
}

/// Tells if it ended before it was done, as when the router stops.
struct Aside {
    is_done: bool,
}

impl Drop for Aside {
    fn drop(&mut self) {
        if !self.is_done {
            tracing::error!(
                "records were written while their subjects' accounts were erased, and no pin tells \
                 of them any more: erase them again"
            );
        }
    }
}

impl Stray {
    /// The entries without which no pin tells of this record.
    fn pin(&self, shared: &Shared, entries: &mut Vec<Draft>) -> Result<(), Refused> {
        let pin = Pin::new(Arc::clone(&self.home), self.countries.clone());
        let claim = shared.directory.claim(self.key, pin);
        let (claimed, stands) = match claim.map_err(|e| Refused::Directory(e.to_string()))? {
            Claim::Held(pin) => (None, pin),
            // Whoever claims it at this moment, the pin has to stand before the copy.
            Claim::Won(claimed) | Claim::Contested(_, claimed) => {
                let pin = Arc::clone(claimed.pin());
                (Some(Pinning::Claim(claimed)), pin)
            }
        };
        let copy = (!stands.holds(&self.region)).then(|| Pinning::Copy {
            region: Arc::clone(&self.region),
        });
        let pinnings = claimed.into_iter().chain(copy);
        entries.extend(pinnings.map(|pinning| Draft {
            at: self.at,
            decision: self.decision,
            profile: Arc::clone(&self.profile),
            subject: Some(self.key),
            evidence: self.evidence,
            pin: Some(pinning),
            reference: None,
            order: None,
            holds: Vec::new(),
        }));
        Ok(())
    }
}

/// A single record on its way. Dropped before it [is looked at](Landing::is_looked_at), the caller
/// gone or the answer unusable, what that takes is done aside.
pub struct Landing<'a, 'w> {
    x: &'a Exchange<'w>,
    person: &'a Person,
    judged: &'a Judged,
    region: RegionId,
    /// `None`: nothing is to be looked at any more.
    whose: Cell<Option<Whose>>,
    /// The region's; 0 while none came.
    status: Cell<u16>,
}

impl<'a, 'w> Landing<'a, 'w> {
    pub fn new(x: &'a Exchange<'w>, person: &'a Person, flow: &Flow, judged: &'a Judged) -> Self {
        Self {
            x,
            person,
            judged,
            region: flow.region,
            whose: Cell::new(Whose::of(person).filter(|_| flow.operation.writes())),
            status: Cell::new(0),
        }
    }

    /// The region has answered. What is to be [brought back](bring_back).
    #[must_use]
    pub fn landed(&self, status: StatusCode) -> Vec<Stray> {
        self.status.set(status.as_u16());
        self.strays()
    }

    /// What landed has been brought back: nothing is left to be done.
    pub fn is_looked_at(&self) {
        self.whose.set(None);
    }

    fn strays(&self) -> Vec<Stray> {
        let Some(whose) = self.whose.get() else {
            return Vec::new();
        };
        let sent = Sent {
            whose,
            region: self.region,
            status: self.status.get(),
            decision: self.x.decision,
            profile: &self.judged.profile,
            evidence: self.person.evidence,
            countries: &self.person.countries,
        };
        strays(self.x, std::iter::once(sent))
    }
}

impl Drop for Landing<'_, '_> {
    fn drop(&mut self) {
        bring_back_aside(self.x, self.strays());
    }
}
