//! What records of one batch have in common: of most, all but the person and the values that
//! nobody asks for. A record whose facts were judged before in the same batch is not judged again.
//!
//! Facts are what the judgement on a record of somebody with a home hangs on, in one request and so
//! under one policy at one instant: what the record says in the places that are evidence, its
//! categories, and what the directory knows of the person. What hangs on the person alone is asked
//! each time: the pin, and whether the register of consents may know the key. Flows that ask a
//! count, an age or a consent, subjects without a home, moves, copies and refusals are none of
//! this.

use std::rc::Rc;

use jiff::civil::Date;
use smallvec::SmallVec;

use crate::{
    attest::Like,
    classify::{
        json::Value,
        schema::{Classified, Slot, tells_age},
    },
    domain::{CategorySet, EvidenceSet, Operation, RegionId, SubjectKey},
    locate::PinNumber,
    pipeline::{Exchange, Flow, Judged, Judgement, Routed, person::Person},
    settings::PinMode,
    telemetry::Metrics,
};

/// Facts that are known at one time; a power of two.
const PLACES: usize = 64;

/// So many facts more than are met again may be noted: where each record's are others, it is not
/// worth the while.
const PATIENCE: u16 = 4 * PLACES as u16;

/// The evidence of a record, as it stands there. Anything longer is read as it comes.
type Words = [u64; 4];

/// What is known so far of one batch.
pub(super) struct Facts {
    /// Of the record's values, those that are evidence.
    slots: SmallVec<[Slot; 4]>,
    known: Vec<Known>,
    /// Numbers of `known` from 1, by hash.
    places: [u8; PLACES],
    patience: u16,
}

/// What a record says, without its person.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Said {
    evidence: Words,
    categories: CategorySet,
}

/// Facts, and what they came to.
pub(super) struct Known {
    said: Said,
    pinned: PinNumber,
    /// The home is known to hold a record.
    stored: bool,
    judged: Rc<Judged>,
    /// Its entry is like that of the first with these facts.
    pub like: Like,
    pub region: RegionId,
    pub until: Option<Date>,
    evidence: EvidenceSet,
    /// Records with these facts that were not counted yet.
    met: u64,
}

impl Facts {
    pub fn new(routed: &Routed<'_>) -> Self {
        let route = &routed.route.settings;
        // What else could tell of an age is read for each.
        let is_plain = routed.operation == Operation::Store
            && route.born.is_none()
            && route.pin != PinMode::Never;
        Self {
            slots: routed
                .route
                .evidence_slots
                .iter()
                .flatten()
                .copied()
                .collect(),
            known: Vec::new(),
            places: [0; PLACES],
            patience: if is_plain { PATIENCE } else { 0 },
        }
    }

    /// `None`: the record has to be read as it comes.
    pub fn said(&self, found: &Classified<'_>) -> Option<Said> {
        if self.patience == 0 {
            return None;
        }
        let mut text = [0; size_of::<Words>()];
        let mut rest = text.as_mut_slice();
        for (slot, value) in found.values() {
            if tells_age(slot) {
                return None;
            }
            if !self.slots.contains(&slot) {
                continue;
            }
            let (kind, written) = match value {
                Value::String(text) => (1, text.written()),
                // No evidence, whichever.
                Value::Bool(_) | Value::Null => (2, &[][..]),
                Value::Number(number) => (3, number.as_str().as_bytes()),
                Value::Object | Value::Array => return None,
            };
            let head = [
                u8::try_from(slot).ok()?,
                kind,
                u8::try_from(written.len()).ok()?,
            ];
            for part in [&head[..], written] {
                let (place, after) = rest.split_at_mut_checked(part.len())?;
                place.copy_from_slice(part);
                rest = after;
            }
        }
        let (words, _) = text.as_chunks();
        let mut evidence = Words::default();
        for (to, from) in evidence.iter_mut().zip(words) {
            *to = u64::from_le_bytes(*from);
        }
        Some(Said {
            evidence,
            categories: found.categories,
        })
    }

    /// What the same facts came to before in this batch, for this person as well.
    pub fn find(&mut self, x: &Exchange<'_>, said: &Said, key: SubjectKey) -> Option<&mut Known> {
        if self.known.is_empty() || x.worker.shared.consents.may_have(&key) {
            return None;
        }
        let mut pins = x.worker.pins.borrow_mut();
        // A fault of the directory is told where it is asked again.
        let (pin, _) = pins.lookup_numbered(&key).ok()??;
        let place = usize::from(*self.places.get(place(said, pin))?);
        let known = self.known.get_mut(place.checked_sub(1)?)?;
        if known.said != *said || known.pinned != pin {
            return None;
        }
        known.met += 1;
        self.patience = PATIENCE.min(self.patience + 1);
        Some(known)
    }

    /// What the directory knows of a person, to be given to [`Facts::note`]: which pin it is, and
    /// whether the home holds a record.
    pub fn pin(x: &Exchange<'_>, key: SubjectKey) -> Option<(PinNumber, bool)> {
        let mut pins = x.worker.pins.borrow_mut();
        let (number, pin) = pins.lookup_numbered(&key).ok()??;
        pin.held_in.is_empty().then_some((number, pin.stored))
    }

    /// Notes what a record came to that was judged on its own; `pinned` is what the directory knew
    /// before, `like` what its entry is like.
    #[expect(
        clippy::too_many_arguments,
        reason = "what one record came to, used together once"
    )]
    pub fn note(
        &mut self,
        x: &Exchange<'_>,
        (said, pinned): (Said, (PinNumber, bool)),
        person: &Person,
        flow: &Flow,
        judged: &Judgement,
        like: Like,
        until: Option<Date>,
    ) {
        let is_plain = judged.is_on_everybody() && person.pinned && !person.claims;
        if !is_plain || !person.held_in.is_empty() || flow.region != person.home {
            return;
        }
        // What was judged in between is what stood there all the time.
        if Self::pin(x, person.key) != Some(pinned) {
            return;
        }
        let (pinned, stored) = pinned;
        let Some(place) = self.places.get_mut(place(&said, pinned)) else {
            return;
        };
        self.patience = self.patience.saturating_sub(1);
        let known = Known {
            said,
            pinned,
            stored,
            judged: judged.shared(),
            like,
            region: flow.region,
            until,
            evidence: person.evidence,
            met: 0,
        };
        match usize::from(*place)
            .checked_sub(1)
            .and_then(|at| self.known.get_mut(at))
        {
            Some(older) => {
                older.count(&x.worker.shared.metrics);
                *older = known;
            }
            None => {
                self.known.push(known);
                // There are not more than places.
                *place = u8::try_from(self.known.len()).unwrap_or_default();
            }
        }
    }

    /// Counts what was met and not counted yet, as each record by itself would have been.
    pub fn count(&mut self, x: &Exchange<'_>) {
        let metrics = &x.worker.shared.metrics;
        self.known.iter_mut().for_each(|k| k.count(metrics));
    }
}

impl Known {
    /// Whether this person's home is not known to hold a record yet.
    pub fn is_first(&self) -> bool {
        !self.stored
    }

    /// The record that was met last came to something else; gives what its evidence was.
    pub fn take_back(&mut self) -> EvidenceSet {
        self.met = self.met.saturating_sub(1);
        self.evidence
    }

    fn count(&mut self, metrics: &Metrics) {
        let met = std::mem::take(&mut self.met);
        self.judged.count_all(met);
        metrics.evidence_of(met, self.evidence);
    }
}

fn place(said: &Said, pin: PinNumber) -> usize {
    let [a, b, c, d] = said.evidence;
    let mixed =
        (a ^ b.rotate_left(13) ^ c.rotate_left(29) ^ d.rotate_left(43) ^ pin.get().rotate_left(53))
            .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> (u64::BITS - PLACES.trailing_zeros())) as usize
}
