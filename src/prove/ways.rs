//! A law on one day as an ordered list of ways, and what each fact leaves of them.
//!
//! The conditions themselves are evaluated by [`crate::decide`]; here they are only asked one axis
//! at a time. `prove` asks every class again as a whole and compares, so a mistake in this cut
//! cannot pass unseen.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::{
    decide::{
        Query,
        inside::{
            Holds, View, assessment_covers, module, people_covered, purpose_covered, usables,
        },
    },
    domain::{ConsentKind, Giver, GroundKind, Operation, Place},
    policy::{
        AssessmentKind, Compiled, Copies, Counted, CounterId, Effect, Instrument, InstrumentId,
        Law, LawId, LawTable, Need, PlaceSet, Rule, RuleId, When,
    },
};

/// The axes, in the order in which the diagram is walked. The record comes last: what adding a
/// category does is looked at there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AxisKind {
    Asked,
    Ends,
    Order,
    Basis,
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
    position: usize,
    wants: SmallVec<[Want; 3]>,
    child: Option<&'a (RuleId, u16, PlaceSet)>,
    split: Split,
}

/// Which of the cases that hang on two axes at once this way is for: a rule is cut into one way a
/// case, each on one axis at a time.
#[derive(Clone, Debug, Default)]
struct Split {
    /// The person of `of`, or of a rule on children, was in its places; else lives there.
    was_there: bool,
    /// The law attaches by where the person lives or was: counters by category count no others.
    person: Option<bool>,
    /// Instruments that would lift the rule, each with what it fails by.
    fails: SmallVec<[(InstrumentId, Fails); 2]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fails {
    /// Not between these two, or not for this country.
    Ends,
    Record,
    Purpose,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
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
    parts: Vec<Parts>,
}

/// A rule's `when`, one axis each.
struct Parts {
    asked: When,
    ends: When,
    order: When,
    basis: When,
    transaction: When,
    kind: When,
    purpose: When,
    record: When,
}

impl Parts {
    fn of(when: &When) -> Self {
        Self {
            asked: When {
                person: when.person,
                citizen: when.citizen,
                ..When::default()
            },
            ends: When {
                exporter: when.exporter,
                exporter_without: when.exporter_without,
                importer: when.importer,
                importer_without: when.importer_without,
                parties: when.parties,
                exporter_role: when.exporter_role,
                importer_role: when.importer_role,
                collected_abroad: when.collected_abroad,
                same_entity: when.same_entity,
                in_place: when.in_place,
                direct: when.direct,
                instructs_exporter: when.instructs_exporter,
                ..When::default()
            },
            order: When {
                unapproved_order: when.unapproved_order,
                ..When::default()
            },
            basis: When {
                basis: when.basis,
                ..When::default()
            },
            transaction: When {
                transactions: when.transactions,
                transactions_without: when.transactions_without,
                ..When::default()
            },
            kind: When {
                subject_kinds: when.subject_kinds,
                ..When::default()
            },
            purpose: When {
                purposes: when.purposes.clone(),
                purposes_without: when.purposes_without.clone(),
                ..When::default()
            },
            record: When {
                categories: when.categories,
                without: when.without,
                sensitive: when.sensitive,
                below_age: when.below_age,
                above: when.above,
                below: when.below,
                counts: when.counts.clone(),
                ..When::default()
            },
        }
    }
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

    /// Whether the way stands after the query's facts on one axis. `view` is of that query.
    pub fn stands(&self, way: &Way<'_>, axis: AxisKind, view: &View<'_>) -> bool {
        if let Some(child) = way.child {
            return child_stands(child, way.split.was_there, axis, view);
        }
        let (Some(rule), Some(parts)) = (way.rule, self.parts.get(way.position)) else {
            return false;
        };
        let part = match axis {
            AxisKind::Asked => Some(&parts.asked),
            AxisKind::Ends => Some(&parts.ends),
            AxisKind::Order => Some(&parts.order),
            AxisKind::Basis => Some(&parts.basis),
            AxisKind::Transaction => Some(&parts.transaction),
            AxisKind::Kind => Some(&parts.kind),
            AxisKind::Purpose => Some(&parts.purpose),
            AxisKind::Record => Some(&parts.record),
            AxisKind::Consent(_) | AxisKind::Protection | AxisKind::Ground(_) => None,
        };
        let holds = part.map_or(Holds::Yes, |w| view.holds(w));
        let concerned = match rule.effect {
            Effect::Permit => holds == Holds::Yes,
            Effect::Forbid | Effect::Localise => holds != Holds::No,
        };
        concerned
            && own_terms(self.table, way, rule, axis, view)
            && way
                .wants
                .iter()
                .all(|w| self.want_holds(*w, way, axis, view))
            && self.instrument_covers(way, rule, axis, view)
            && self.split_stands(way, axis, view)
    }

    /// Whether the person to whom the way's counts belong is this one: the record's axis alone
    /// does not say whose law it is.
    pub fn person(way: &Way<'_>) -> Option<bool> {
        way.split.person
    }

    fn split_stands(&self, way: &Way<'_>, axis: AxisKind, view: &View<'_>) -> bool {
        let subject = &view.query.subject;
        let of = self.table.rules.get(way.position).map(|r| &r.of);
        let whose = |place: &Place| of.is_none_or(|of| of.any || of.contains(*place));
        let fits = match axis {
            AxisKind::Asked => {
                let lives = way.split.was_there || subject.countries.iter().any(whose);
                lives && way.split.person.is_none_or(|p| p == view.person)
            }
            AxisKind::Ends => {
                !way.split.was_there || subject.collected_in.as_ref().is_some_and(whose)
            }
            _ => true,
        };
        fits && way.split.fails.iter().all(|(id, fails)| {
            let Some(instrument) = self.policy.checked().instrument(*id) else {
                return false;
            };
            match (fails, axis) {
                (Fails::Ends, AxisKind::Ends) => !usables(view)
                    .iter()
                    .any(|u| u.instrument == *id && u.countries.contains(view.query.to.place)),
                (Fails::Record, AxisKind::Record) => {
                    !(view.personal().is_subset(instrument.categories)
                        && people_covered(view, instrument))
                }
                (Fails::Purpose, AxisKind::Purpose) => {
                    !purpose_covered(instrument.purposes.as_deref(), view.query.purpose)
                }
                _ => true,
            }
        })
    }

    fn want_holds(&self, want: Want, way: &Way<'_>, axis: AxisKind, view: &View<'_>) -> bool {
        let q = view.query;
        let checked = self.policy.checked();
        match (want, axis) {
            (
                Want::Need(Need::Consent {
                    kind,
                    informed,
                    occasional,
                }),
                AxisKind::Consent(k),
            ) => {
                k != kind
                    || q.subject.consents.iter().any(|c| {
                        c.kind == kind
                            && (c.informed || !informed)
                            && (c.occasional || !occasional)
                            && view.stands(c)
                    })
            }
            (Want::Need(Need::Ground { kind, occasional }), AxisKind::Ground(k)) => {
                k != kind || q.grounds.contains(kind, occasional)
            }
            (Want::Need(Need::Exporter(a)), AxisKind::Ends) => view.exporter.contains(a),
            (Want::Need(Need::Importer(a)), AxisKind::Ends) => view.importer.contains(a),
            (Want::Need(Need::Transaction(t)), AxisKind::Transaction) => q.transaction == Some(t),
            (Want::Need(Need::Protection(p)), AxisKind::Protection) => q.protection == p,
            (Want::Inner(_), AxisKind::Ends) => usables(view)
                .iter()
                .any(|u| Some(u.instrument) == way.instrument && u.assessed),
            (Want::Inner(_), AxisKind::Protection) => way
                .instrument
                .and_then(|i| checked.instrument(i)?.assessment.as_ref())
                .is_some_and(|a| a.outcome.allows(q.protection)),
            (Want::Standing(index), _) => {
                let all = &checked.organisation.assessments;
                let Some(a) = all.get(usize::from(index)) else {
                    return false;
                };
                match axis {
                    AxisKind::Ends => {
                        let exporter = view.origin.entity;
                        let active = exporter.and_then(|e| self.table.assessments.get(&e));
                        let there = active
                            .into_iter()
                            .flatten()
                            .any(|x| x.index == index && x.countries.contains(q.to.place));
                        there && assessment_covers(a, Default::default(), q.to.entity)
                    }
                    AxisKind::Record => view.personal().is_subset(a.categories),
                    AxisKind::Purpose => purpose_covered(a.purposes.as_deref(), q.purpose),
                    AxisKind::Protection => a.outcome.allows(q.protection),
                    _ => true,
                }
            }
            _ => true,
        }
    }

    fn instrument_covers(
        &self,
        way: &Way<'_>,
        rule: &Rule,
        axis: AxisKind,
        view: &View<'_>,
    ) -> bool {
        let Some(id) = way.instrument else {
            return true;
        };
        let Some(instrument) = self.policy.checked().instrument(id) else {
            return false;
        };
        match axis {
            AxisKind::Ends => {
                let there = usables(view).iter().any(|u| {
                    u.instrument == id
                        && u.rules & (1 << way.position) != 0
                        && u.countries.contains(view.query.to.place)
                });
                there
                    && (rule.modules == 0
                        || module(view, instrument).is_some_and(|m| {
                            rule.modules & (1 << m) != 0
                                && instrument.module.is_none_or(|own| own == m)
                        }))
            }
            AxisKind::Record => {
                view.personal().is_subset(instrument.categories) && people_covered(view, instrument)
            }
            AxisKind::Purpose => {
                purpose_covered(instrument.purposes.as_deref(), view.query.purpose)
            }
            _ => true,
        }
    }

    /// Entity's and rule's names, for people.
    pub fn name(&self, way: &Way<'_>) -> Arc<str> {
        let info = self.policy.checked().rule(way.number);
        info.map_or_else(|| "?".into(), |i| Arc::clone(&i.id))
    }
}

/// What a rule itself asks on an axis, beside its `when`.
fn own_terms(
    table: &LawTable,
    way: &Way<'_>,
    rule: &Rule,
    axis: AxisKind,
    view: &View<'_>,
) -> bool {
    let q: &Query = view.query;
    match axis {
        AxisKind::Asked => {
            let asked = rule.operations & (1 << q.operation as u8) != 0;
            asked && (rule.effect != Effect::Localise || localises(rule, view))
        }
        AxisKind::Ends => {
            let places = table.rules.get(way.position).is_some_and(|r| {
                r.to.contains(view.to_place) && r.origin.contains(view.origin_place)
            });
            places
                && rule.flows & (1 << view.shape as u8) != 0
                && (rule.effect != Effect::Localise || !view.to_inside())
                && !rule.unless.exporter.intersects(view.exporter)
        }
        AxisKind::Ground(kind) => {
            rule.unless.grounds & (1 << kind as u16) == 0 || !q.grounds.contains(kind, false)
        }
        AxisKind::Consent(kind) => {
            rule.unless.consents & (1 << kind as u8) == 0
                || !q.subject.consents.iter().any(|c| {
                    c.kind == kind
                        && (c.by == Giver::Parent || !rule.unless.by_parent)
                        && view.stands(c)
                })
        }
        _ => true,
    }
}

fn localises(rule: &Rule, view: &View<'_>) -> bool {
    match view.query.operation {
        Operation::Store | Operation::Relocate => true,
        Operation::Replicate => match rule.copies {
            Copies::Never => true,
            Copies::AfterPrimary => !view.held_at_home(),
            Copies::Free => false,
        },
        Operation::Read | Operation::Disclose | Operation::Erase => false,
    }
}

fn child_stands(
    child: &(RuleId, u16, PlaceSet),
    was_there: bool,
    axis: AxisKind,
    view: &View<'_>,
) -> bool {
    let subject = &view.query.subject;
    let whose = |p: &Place| view.table.territory.contains(*p) && child.2.contains(*p);
    match axis {
        AxisKind::Asked => {
            view.person
                && view.query.operation != Operation::Erase
                && (was_there || subject.countries.iter().any(whose))
        }
        AxisKind::Ends => !was_there || subject.collected_in.as_ref().is_some_and(whose),
        AxisKind::Record => view.age.is_some_and(|a| a < child.1),
        AxisKind::Consent(ConsentKind::Parental) => !view.parent_consents(),
        _ => true,
    }
}
