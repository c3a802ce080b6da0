//! A law on one day as an ordered list of ways. What each fact leaves of them is told in
//! [`super::stands`].

use std::sync::Arc;

use smallvec::SmallVec;

use crate::{
    domain::{ConsentKind, GroundKind},
    policy::{
        AssessmentKind, Compiled, Counted, CounterId, Effect, Instrument, InstrumentId, Law, LawId,
        LawTable, Need, PlaceSet, Rule, RuleId,
    },
};

use super::parts::Parts;

/// The axes, in the order in which the diagram is walked. The record comes last: what adding a
/// category does is looked at there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AxisKind {
    Asked,
    Ends,
    Order,
    Basis,
    /// The letter of GDPR Art. 9(2).
    Special,
    Transaction,
    Consent(ConsentKind),
    Kind,
    Purpose,
    Protection,
    Ground(GroundKind),
    Record,
}

/// One way in which a law decides.
pub struct Way<'a> {
    pub number: RuleId,
    pub effect: Effect,
    /// `None`: the rule on children.
    pub rule: Option<&'a Rule>,
    pub instrument: Option<InstrumentId>,
    pub position: usize,
    pub wants: SmallVec<[Want; 3]>,
    pub child: Option<&'a (RuleId, u16, PlaceSet)>,
    pub split: Split,
}

/// Which of the cases that hang on two axes at once this way is for: a rule is cut into one way a
/// case, each on one axis at a time.
#[derive(Clone, Debug, Default)]
pub struct Split {
    /// The person of `of`, or of a rule on children, was in its places; else lives there.
    pub was_there: bool,
    /// The law attaches by where the person lives or was: counters by category count no others.
    pub person: Option<bool>,
    /// Instruments that would lift the rule, each with what it fails by.
    pub fails: SmallVec<[(InstrumentId, Fails); 2]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fails {
    /// Not between these two, or not for this country.
    Ends,
    Record,
    Purpose,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    Need(Need),
    /// The instrument's own assessment.
    Inner(AssessmentKind),
    /// One that stands without an instrument.
    Standing(u16),
}

/// A law's ways on one day.
pub struct Ways<'a> {
    pub policy: &'a Compiled,
    pub id: LawId,
    pub law: &'a Law,
    pub table: &'a LawTable,
    pub list: Vec<Way<'a>>,
    pub parts: Vec<Parts>,
}

impl<'a> Ways<'a> {
    pub fn of(policy: &'a Compiled, id: LawId) -> Option<Self> {
        let law = policy.checked().law(id)?;
        let table = policy.laws.get(id.index())?;
        let mut ways = Self {
            policy,
            id,
            law,
            table,
            list: Vec::new(),
            parts: Vec::new(),
        };
        let active: Vec<&Rule> = table
            .rules
            .iter()
            .filter_map(|a| law.rules.get(usize::from(a.index)))
            .collect();
        let collects = active.iter().any(|r| r.when.collected_abroad.is_some());
        for child in &table.children {
            for was_there in [false, true].into_iter().take(1 + usize::from(collects)) {
                ways.list.push(Way {
                    number: child.0,
                    effect: Effect::Forbid,
                    rule: None,
                    instrument: None,
                    position: 0,
                    wants: SmallVec::new(),
                    child: Some(child),
                    split: Split {
                        was_there,
                        ..Split::default()
                    },
                });
            }
        }
        ways.parts = active.iter().map(|r| Parts::of(&r.when)).collect();
        for wanted in [Effect::Forbid, Effect::Localise, Effect::Permit] {
            for (position, rule) in active.iter().enumerate() {
                if rule.effect == wanted {
                    ways.add(position, rule, collects);
                }
            }
        }
        Some(ways)
    }

    fn add(&mut self, position: usize, rule: &'a Rule, collects: bool) {
        let way = |instrument, wants, split| Way {
            number: rule.number,
            effect: rule.effect,
            rule: Some(rule),
            instrument,
            position,
            wants,
            child: None,
            split,
        };
        if rule.effect != Effect::Permit {
            let splits = self.splits(position, rule, None, collects);
            let ways = splits.into_iter().map(|s| way(None, SmallVec::new(), s));
            self.list.extend(ways);
            return;
        }
        let needs_instrument = rule
            .requires
            .iter()
            .flatten()
            .any(|n| *n == Need::Instrument);
        let mut candidates: Vec<Option<InstrumentId>> = Vec::new();
        if needs_instrument {
            let usable = self.table.usable.values().flatten();
            let mut found: Vec<InstrumentId> = usable
                .filter(|u| u.rules & (1 << position) != 0)
                .map(|u| u.instrument)
                .collect();
            found.sort_unstable();
            found.dedup();
            candidates.extend(found.into_iter().map(Some));
        }
        candidates.push(None);
        for candidate in candidates {
            let mut lists: Vec<SmallVec<[Want; 3]>> = vec![SmallVec::new()];
            for any in &rule.requires {
                let wants: Vec<Want> = any.iter().flat_map(|n| self.wants(*n, candidate)).collect();
                lists = lists
                    .iter()
                    .flat_map(|list| {
                        wants.iter().map(|w| {
                            let mut longer = list.clone();
                            longer.push(*w);
                            longer
                        })
                    })
                    .collect();
            }
            let splits = self.splits(position, rule, candidate, collects);
            for wants in lists {
                let ways = splits.iter().cloned();
                self.list
                    .extend(ways.map(|s| way(candidate, wants.clone(), s)));
            }
        }
    }

    /// The cases of a rule under one instrument. Together they are the whole rule.
    fn splits(
        &self,
        position: usize,
        rule: &Rule,
        candidate: Option<InstrumentId>,
        collects: bool,
    ) -> Vec<Split> {
        let checked = self.policy.checked();
        let mut all = vec![Split::default()];
        let anybody = self.table.rules.get(position).is_none_or(|r| r.of.any);
        if collects && !anybody {
            all.push(Split {
                was_there: true,
                ..Split::default()
            });
        }
        let lifting = self.lifting(rule);
        for id in &lifting {
            let Some(instrument) = checked.instrument(*id) else {
                continue;
            };
            let purposes = instrument.purposes.is_some();
            let fails = [Fails::Ends, Fails::Record, Fails::Purpose];
            let fails = fails.into_iter().take(2 + usize::from(purposes));
            all = fails
                .flat_map(|f| {
                    all.iter().cloned().map(move |mut split| {
                        split.fails.push((*id, f));
                        split
                    })
                })
                .collect();
        }
        let limited = lifting
            .iter()
            .chain(&candidate)
            .any(|i| checked.instrument(*i).is_some_and(|i| i.people.is_some()));
        let mut tests = rule.when.count_tests(&checked.vocabulary);
        let by_person = tests.any(|t| self.by_person(t.counter))
            || (limited && self.table.counters.iter().any(|c| self.by_person(*c)));
        if !by_person {
            return all;
        }
        let each = |split: Split| {
            [true, false].map(|person| Split {
                person: Some(person),
                ..split.clone()
            })
        };
        all.into_iter().flat_map(each).collect()
    }

    /// Whether a counter counts the law's own people alone.
    fn by_person(&self, counter: CounterId) -> bool {
        let counters = &self.policy.checked().vocabulary.counters;
        counters
            .get(counter.index())
            .is_some_and(|c| matches!(c.counted, Counted::Categories(_) | Counted::Linked(_)))
    }

    /// The instruments, usable today between some two, that would lift a rule.
    fn lifting(&self, rule: &Rule) -> Vec<InstrumentId> {
        let Some(mechanism) = rule.unless.instrument else {
            return Vec::new();
        };
        let checked = self.policy.checked();
        let is = |id: &InstrumentId| {
            let found = checked.instrument(*id);
            found.is_some_and(|i| i.mechanism == mechanism)
        };
        let usable = self.table.usable.values().flatten();
        let mut all: Vec<InstrumentId> = usable.map(|u| u.instrument).filter(is).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Every instrument on which something hangs.
    pub fn instruments(&self) -> impl Iterator<Item = &'a Instrument> + '_ {
        let checked = self.policy.checked();
        let ids = self.list.iter().flat_map(|w| {
            let lifting = w.split.fails.iter().map(|(id, _)| *id);
            w.instrument.into_iter().chain(lifting)
        });
        ids.filter_map(|id| checked.instrument(id))
    }

    /// In how many manners a need may be met.
    fn wants(&self, need: Need, candidate: Option<InstrumentId>) -> Vec<Want> {
        match need {
            Need::Instrument => candidate.map(|_| Want::Need(need)).into_iter().collect(),
            Need::Assessment(kind) => {
                let checked = self.policy.checked();
                let own = candidate.and_then(|i| checked.instrument(i)?.assessment.as_ref());
                let inner = own.filter(|a| a.kind == kind).map(|_| Want::Inner(kind));
                let mut standing: Vec<u16> = self
                    .table
                    .assessments
                    .values()
                    .flatten()
                    .map(|a| a.index)
                    .filter(|i| {
                        let all = &checked.organisation.assessments;
                        all.get(usize::from(*i)).is_some_and(|a| a.kind == kind)
                    })
                    .collect();
                standing.sort_unstable();
                standing.dedup();
                inner
                    .into_iter()
                    .chain(standing.into_iter().map(Want::Standing))
                    .collect()
            }
            other => vec![Want::Need(other)],
        }
    }

    /// Entity's and rule's names, for people.
    pub fn name(&self, way: &Way<'_>) -> Arc<str> {
        let info = self.policy.checked().rule(way.number);
        info.map_or_else(|| "?".into(), |i| Arc::clone(&i.id))
    }
}
