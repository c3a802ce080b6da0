//! The counts that a flow asks, and the person's place in them.
//!
//! The person is held in every tally that the flow would count in *before* any count is read, and
//! until the entry stands: of two flows that compete for the last place below an edge, on
//! whichever workers, at least one sees the other.

use std::sync::Arc;

use jiff::Timestamp;
use smallvec::SmallVec;

use super::Exchange;
use crate::{
    decide::{self, CountedRecipient, Counting, Query, Verdict},
    domain::SubjectKey,
    respond::Refused,
    state::{CountGuard, Tally, TallyName},
};

/// Names of tallies, as the ledger keeps them.
pub type Names = SmallVec<[Arc<str>; 2]>;
/// Empty for most, and then without a place in memory: a draft carries it.
pub type CountGuards = Vec<CountGuard>;

/// Which counts one flow asks; the same for everybody who is no child.
#[derive(Debug)]
pub struct Plan {
    asked: SmallVec<[(Counting, Arc<Tally>); 2]>,
}

impl Plan {
    /// `None`: no counter concerns the flow.
    pub fn of(x: &Exchange<'_>, query: &Query) -> Option<Self> {
        let checked = &x.snapshot.checked;
        let asked: SmallVec<[_; 2]> = decide::countings(&x.snapshot.policy, query)
            .into_iter()
            .filter_map(|counting| {
                let counters = &checked.vocabulary.counters;
                let counter = counters.get(counting.counter.index())?;
                let recipient = counting.recipient.map(|r| match r {
                    CountedRecipient::Recipient(id) => {
                        checked.recipient_info(id).map_or("", |r| &r.id)
                    }
                    CountedRecipient::Entity(id) => checked.entity_id(id),
                });
                let exporter = counting.exporter.map(|e| checked.entity_id(e));
                let name = TallyName::new(&counter.key, exporter, recipient);
                Some((counting, x.worker.shared.counters.tally(&name)))
            })
            .collect();
        (!asked.is_empty()).then_some(Self { asked })
    }

    /// Whether the windows are still those of `at`.
    pub fn holds_at(&self, at: Timestamp) -> bool {
        let mut days = self.asked.iter().map(|(c, _)| c.day);
        days.all(|(start, end)| start <= at && at < end)
    }

    /// Takes the person's places and tells the question how many others there are.
    pub fn enter(
        &self,
        x: &Exchange<'_>,
        key: SubjectKey,
        query: &mut Query,
    ) -> Result<CountGuards, Refused> {
        let counters = &x.worker.shared.counters;
        let adding = self.asked.iter().filter(|(c, _)| c.adds);
        let holds: CountGuards = adding
            .map(|(_, tally)| counters.hold(tally, key))
            .collect::<Result<_, _>>()
            .map_err(|e| Refused::Directory(e.to_string()))?;
        let mut held = holds.iter();
        for (counting, tally) in &self.asked {
            let own = if counting.adds { held.next() } else { None };
            // Who is counted in a class already stays in it, whatever this flow holds.
            let others = match own {
                Some(hold) => hold.others(counting.since),
                None => tally.people(counting.since, None),
            };
            query.counts.push((counting.counter, others));
        }
        Ok(holds)
    }

    /// The places that the person keeps under this verdict, and their names; the others are let
    /// go at once.
    pub fn keep(
        &self,
        x: &Exchange<'_>,
        verdict: &Verdict,
        holds: CountGuards,
    ) -> (CountGuards, Names) {
        let adding = self.asked.iter().filter(|(c, _)| c.adds);
        let kept: CountGuards = adding
            .zip(holds)
            .filter(|((c, _), _)| decide::counts(&x.snapshot.policy, verdict, c))
            .map(|(_, hold)| hold)
            .collect();
        let names = kept.iter().map(|h| Arc::clone(h.tally().name())).collect();
        (kept, names)
    }
}
