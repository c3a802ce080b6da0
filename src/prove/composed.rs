//! Flows under several laws and promises at once: what `conclude` makes of the laws' findings, and
//! how it changes when a law, a promise or a prohibition is added.
//!
//! That every attaching law must permit is the program's and not the files' doing, so here a fixed
//! sample of flows is enough: people under each law by parties of each kind, spread over the days.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::{
    decide::{Party, Query, QueryConsent, Subject, decide},
    domain::{CategorySet, ConsentKind, Country, Giver, Operation, Outcome, Place},
    policy::{Checked, Compiled, GROUNDS},
};

use super::{
    files::Files,
    property::{Kind, Properties},
    prove::{Counterexample, Part, ProveError, of_kind},
};

/// The policy with something taken away or added.
pub struct Variants {
    plain: Arc<Checked>,
    without_promises: Arc<Checked>,
    with_prohibition: Vec<Arc<Checked>>,
}

/// Flows asked of each day.
const EACH_DAY: usize = 3_000;

impl Variants {
    pub fn new(files: &Files, checked: &Arc<Checked>) -> Result<Self, ProveError> {
        let prohibited = (0..files.laws.len()).map(|i| files.with_prohibition(i).check());
        Ok(Self {
            plain: Arc::clone(checked),
            without_promises: files.without_promises().check()?,
            with_prohibition: prohibited.collect::<Result<_, _>>()?,
        })
    }

    /// The properties on a sample of the flows of one day; `turn` chooses which.
    pub fn on(&self, policy: &Compiled, turn: usize, properties: &Properties) -> Part {
        let mut part = Part::new(properties.list.len());
        let free = self.without_promises.compile(policy.at());
        let stricter = self
            .with_prohibition
            .get(turn % self.with_prohibition.len().max(1));
        let stricter = stricter.map(|c| c.compile(policy.at()));
        let kinds = [
            Kind::PromisesOnlyRefuse,
            Kind::LawsOnlyRefuse,
            Kind::ProhibitionsOnlyRefuse,
            Kind::NotVacuous,
            Kind::DenyByDefault,
        ];
        let wanted = kinds.map(|k| of_kind(properties, k).collect::<Vec<usize>>());
        let people = people(policy);
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15 ^ (turn as u64));
        for _ in 0..EACH_DAY {
            let Some(query) = self.flow(policy, &people, &mut dice) else {
                break;
            };
            part.questions += 1;
            part.composed += 1;
            let verdict = decide(policy, &query);
            let permits = verdict.outcome() == Outcome::Permit;
            let mut told: [Option<String>; 5] = Default::default();
            let [promises, laws, prohibitions, vacuous, deny] = &mut told;
            let say = |text: &str| Some(text.to_owned());
            if permits {
                if decide(&free, &query).outcome() == Outcome::Refuse {
                    *promises = say("permitted, and refused without the promises");
                }
                let grounded = |f: &crate::decide::LawFinding| f.mechanism.is_some();
                if verdict.findings().is_empty() || !verdict.findings().iter().all(grounded) {
                    *vacuous = say(
                        "permitted, though no law attached, or one that did has no mechanism that permits it",
                    );
                }
            } else {
                let mut more = query.clone();
                let another = dice
                    .pick(&people)
                    .and_then(|s| s.countries.first().copied());
                more.subject.countries.extend(another);
                // Where no law attached at all, the new one is the first to speak.
                let spoken = verdict
                    .findings()
                    .iter()
                    .all(|f| f.rule != crate::policy::NO_LAW);
                if spoken && decide(policy, &more).outcome() == Outcome::Permit {
                    *laws = say("refused, and permitted for a person under one law more");
                }
                if let Some(stricter) = &stricter
                    && decide(stricter, &query).outcome() == Outcome::Permit
                {
                    *prohibitions = say("refused, and permitted with a prohibition more");
                }
            }
            // Nobody's law speaks for people of a country without one, but at a default home, where
            // nobody else is handed the record.
            let lawless = query.subject.countries.iter().any(|p| {
                let law = p.country().map(|c| policy.of_country(c).territory);
                law.is_some_and(crate::policy::LawSet::is_empty)
            });
            let homes =
                [query.from.place, query.to.place].map(|p| policy.default_places.contains(p));
            let hands_on = query.from.entity != query.to.entity
                && match query.operation {
                    Operation::Read | Operation::Disclose => true,
                    Operation::Replicate | Operation::Relocate => homes == [true, true],
                    Operation::Store | Operation::Erase => false,
                };
            if lawless && permits && (!homes[1] || hands_on) {
                *deny = say("permitted for a person of a country without a law file");
            }
            for (list, told) in wanted.iter().zip(told) {
                for property in list {
                    part.concerns(*property);
                    if let Some(said) = &told {
                        part.breaks(*property, || Counterexample {
                            law: None,
                            said: said.clone(),
                            question: describe(policy, &query),
                        });
                    }
                }
            }
        }
        part
    }

    fn flow(&self, policy: &Compiled, people: &[Subject], dice: &mut Dice) -> Option<Query> {
        let subject = dice.pick(people)?.clone();
        let categories: Vec<_> = self.plain.categories_all().map(|(id, _)| id).collect();
        let set = CategorySet::from_iter([*dice.pick(&categories)?]);
        if !policy.possible(set).intersects(policy.personal) {
            return self.flow(policy, people, dice);
        }
        let operation = *dice.pick(&Operation::ALL)?;
        let from = self.party(people, dice)?;
        let to = self.party(people, dice)?;
        let mut query = Query::new(policy, policy.at(), operation, subject, set, from, to);
        if dice.below(2) == 0 {
            for (_, kind) in GROUNDS {
                query.grounds.insert(kind, true);
            }
            for kind in [
                ConsentKind::Transfer,
                ConsentKind::Separate,
                ConsentKind::Written,
            ] {
                query.subject.consents.push(QueryConsent {
                    kind,
                    by: Giver::Person,
                    purpose: None,
                    to: SmallVec::new(),
                    given: None,
                    withdrawn: None,
                    occasional: true,
                    informed: true,
                });
            }
            let counters = self.plain.vocabulary.counters.iter().enumerate();
            query.counts = counters
                .filter_map(|(i, _)| Some((crate::policy::CounterId(u8::try_from(i).ok()?), 0)))
                .collect();
        }
        Some(query)
    }

    fn party(&self, people: &[Subject], dice: &mut Dice) -> Option<Party> {
        let entities: Vec<_> = self.plain.entities().map(|(id, e)| (id, e.place)).collect();
        let anywhere = dice.pick(people)?.countries.first().copied();
        Some(match dice.pick(&entities) {
            Some((id, place)) if dice.below(8) > 0 => {
                let place = anywhere.filter(|_| dice.below(4) == 0).unwrap_or(*place);
                Party::new(place, *id)
            }
            _ => Party {
                place: anywhere?,
                entity: None,
                role: None,
            },
        })
    }
}

/// A person under each law, one under none, and citizens who live elsewhere.
fn people(policy: &Compiled) -> Vec<Subject> {
    let mut countries: Vec<Country> = policy
        .laws
        .iter()
        .filter_map(|t| t.territory.countries.iter().next())
        .collect();
    let lawless = Country::all().find(|c| policy.of_country(*c).territory.is_empty());
    countries.extend(lawless);
    let lives = |c: &Country| Subject {
        countries: SmallVec::from_iter([Place::of(*c)]),
        ..Subject::default()
    };
    let mut all: Vec<Subject> = countries.iter().map(lives).collect();
    for (i, home) in countries.iter().enumerate() {
        let abroad = countries.get((i + 1) % countries.len().max(1));
        all.extend(abroad.map(|c| Subject {
            citizenships: SmallVec::from_iter([Place::of(*home)]),
            ..lives(c)
        }));
    }
    all
}

fn describe(policy: &Compiled, query: &Query) -> serde_json::Value {
    let checked = policy.checked();
    let end = |party: &Party| {
        let entity = party.entity.map(|e| checked.entity_id(e));
        serde_json::json!({ "country": party.place, "entity": entity })
    };
    let categories: Vec<&str> = query
        .categories()
        .iter()
        .filter_map(|c| checked.category_key(c).map(AsRef::as_ref))
        .collect();
    serde_json::json!({
        "at": query.at.to_string(),
        "operation": query.operation,
        "subject": {
            "countries": query.subject.countries.to_vec(),
            "citizenships": query.subject.citizenships.to_vec(),
        },
        "categories": categories,
        "from": end(&query.from),
        "to": end(&query.to),
    })
}

/// SplitMix64: the same sample on every machine.
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        let n = u64::try_from(n.max(1)).unwrap_or(1);
        usize::try_from(self.next() % n).unwrap_or(0)
    }

    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> Option<&'a T> {
        list.get(self.below(list.len()))
    }
}
