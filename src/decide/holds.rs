//! Whether a rule's condition holds for a flow.
//!
//! What facts and attributes tell is decided before, by one AND per rule
//! ([`Test`](crate::policy::Test)); here is the rest.

use crate::policy::{AttributeSet, CountTest, CounterId, Facts, Left, Shape, When};

use super::{query::Party, view::View};

/// How a condition on a flow came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    Yes,
    No,
    /// It hangs on a counter that is not known.
    Unknown(CounterId),
}

impl View<'_> {
    /// The whole condition, of a rule that no table holds.
    pub fn holds(&self, when: &When) -> Holds {
        if self.facts.intersects(Facts::against(when)) || !self.attributes_fit(when) {
            return Holds::No;
        }
        self.lists(when)
    }

    /// What is left of the condition of a rule that no fact rules out.
    pub fn left(&self, left: Left, when: &When) -> Holds {
        match left {
            Left::Nothing => Holds::Yes,
            Left::Categories if self.categories_fit(when) => Holds::Yes,
            Left::Categories => Holds::No,
            Left::Lists => self.lists(when),
            Left::All => self.holds(when),
        }
    }

    fn attributes_fit(&self, when: &When) -> bool {
        let any =
            |wanted: AttributeSet, has: AttributeSet| wanted.is_empty() || wanted.intersects(has);
        any(when.exporter, self.exporter)
            && !when.exporter_without.intersects(self.exporter)
            && any(when.importer, self.importer)
            && !when.importer_without.intersects(self.importer)
            && (when.parties.is_empty() || when.parties.intersects(self.parties()))
    }

    fn categories_fit(&self, when: &When) -> bool {
        let possible = self.query.possible();
        when.categories.is_none_or(|c| c.intersects(possible)) && !when.without.intersects(possible)
    }

    /// What neither facts nor attributes tell; see [`When::asks_more`].
    fn lists(&self, when: &When) -> Holds {
        let q = self.query;
        let certain = self.categories_fit(when)
            && when
                .purposes
                .as_ref()
                .is_none_or(|p| q.purpose.is_some_and(|own| p.contains(&own)))
            && !q
                .purpose
                .is_some_and(|p| when.purposes_without.contains(&p))
            && when
                .collected_abroad
                .is_none_or(|w| w == self.collected_abroad())
            && when
                .unapproved_order
                .is_none_or(|w| w == self.unapproved_order())
            && when
                .basis
                .is_none_or(|b| q.basis.is_some_and(|own| b & (1 << own as u8) != 0))
            && when.special_grounds.is_none_or(|letters| {
                q.special_ground
                    .is_some_and(|own| letters & (1 << own.bit()) != 0)
            })
            && when
                .below_age
                .is_none_or(|limit| self.age.is_some_and(|a| a < limit))
            && when
                .instructs_exporter
                .is_none_or(|w| w == q.instructs_exporter);
        if !certain {
            return Holds::No;
        }
        let mut unknown = None;
        for (table, wanted) in [(when.above, true), (when.below, false)] {
            let Some(table) = table else { continue };
            match self.passes(table) {
                Holds::Unknown(counter) => unknown = unknown.or(Some(counter)),
                passed if (passed == Holds::Yes) != wanted => return Holds::No,
                _ => {}
            }
        }
        for alternatives in &when.counts {
            let mut missing = None;
            let met = alternatives
                .iter()
                .any(|test| match self.count(test.counter) {
                    Some(count) => test.holds(count),
                    None => {
                        missing = missing.or(Some(test.counter));
                        false
                    }
                });
            match (met, missing) {
                (true, _) => {}
                (false, Some(counter)) => unknown = unknown.or(Some(counter)),
                (false, None) => return Holds::No,
            }
        }
        unknown.map_or(Holds::Yes, Holds::Unknown)
    }

    /// Whether the record passes a table of thresholds: the lowest number among the counters that
    /// it touches holds for each of them.
    fn passes(&self, table: u8) -> Holds {
        let vocabulary = &self.policy.checked().vocabulary;
        let Some(thresholds) = vocabulary.thresholds.get(usize::from(table)) else {
            return Holds::No;
        };
        let (stated, possible) = (self.query.categories(), self.query.possible());
        let counted = |test: &CountTest| vocabulary.counters.get(test.counter.index());
        let touched = |test: &CountTest| {
            counted(test).is_some_and(|c| c.counted.holds(stated, possible).unwrap_or(true))
        };
        let tests = &thresholds.tests;
        let Some(lowest) = tests.iter().filter(|t| touched(t)).map(|t| t.number).min() else {
            return Holds::No;
        };
        let mut unknown = None;
        for test in tests {
            // What is linked to a touched category is looked at where it is known, and not missed
            // where it is not: its people are among the touched category's own.
            let linked = || counted(test).is_some_and(|c| c.counted.classes(possible) > 0);
            match (touched(test), self.count(test.counter)) {
                (true, None) => unknown = unknown.or(Some(test.counter)),
                (own, Some(count)) if (own || linked()) && test.holds_at(lowest, count) => {
                    return Holds::Yes;
                }
                _ => {}
            }
        }
        unknown.map_or(Holds::No, Holds::Unknown)
    }

    fn parties(&self) -> AttributeSet {
        let of = |party: &Party| self.table.attributes_of(party.entity);
        let via = self.query.via.as_ref().map(of).unwrap_or_default();
        of(&self.query.from).union(self.importer).union(via)
    }

    fn collected_abroad(&self) -> bool {
        match self.query.subject.collected_in {
            Some(place) => !self.table.territory.contains(place),
            None => matches!(self.shape, Shape::Inbound | Shape::Foreign),
        }
    }

    fn unapproved_order(&self) -> bool {
        self.query
            .order
            .is_some_and(|order| !order.approved && !self.table.territory.contains(order.authority))
    }
}
