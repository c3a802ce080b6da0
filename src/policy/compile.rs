//! From the checked policy to the tables of one instant.
//!
//! Whatever time decides is decided here: which rules, instruments, attributes, assessments and
//! group members count. What is left for a decision is a few table lookups, and conditions on
//! the question itself. [`Compiled::next_boundary`] says until when the tables are true.

use std::{
    collections::BTreeSet,
    sync::{Arc, LazyLock},
};

use foldhash::{HashMap, HashMapExt};
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use smallvec::SmallVec;

use crate::domain::{CategorySet, Country, Digest, Operation, Place};

use super::{
    checked::Checked,
    condition::Need,
    counter::Counted,
    days::{day_in, filing_edges, last_boundary, next_boundary, start_of},
    facts::Test,
    law::{Effect, Law, Rule},
    parties::{Attributes, PartyFacts, Watched},
    sets::{AttributeSet, CounterId, EntityId, InstrumentId, LawSet, PlaceSet, RuleId},
};

/// Rules of one law, by their place in [`LawTable::rules`].
pub type RuleMask = u128;

/// As many as a mask has bits; of more, the review makes no policy.
pub const MOST_RULES: usize = 128;

/// A policy at one instant: tables over bit sets. Immutable and shared.
#[derive(Debug)]
pub struct Compiled {
    checked: Arc<Checked>,
    at: Timestamp,
    /// The last boundary that had come; `None`: there was none.
    since: Option<Timestamp>,
    next_boundary: Option<Timestamp>,
    pub(crate) laws: Vec<LawTable>,
    /// By country index.
    countries: Box<[CountryLaws]>,
    /// Laws whose territory is more than whole countries.
    parted: LawSet,
    /// By entity: the laws that govern it as an exporter.
    pub(crate) entity_laws: Vec<LawSet>,
    /// By entity: the laws that the person alone does not attach when it exports.
    pub(crate) entity_lifts: Vec<LawSet>,
    pub(crate) promises: Vec<PromiseTable>,
    /// By operation: those of them that stand and say something of it.
    promises_about: [Vec<u16>; 6],
    /// Where the default homes lie.
    pub(crate) default_places: PlaceSet,
    /// Who runs them; `None`: without settings nobody can tell.
    pub(crate) default_entities: Option<Vec<EntityId>>,
    pub(crate) personal: CategorySet,
    /// The same policy with the rules under observation in force.
    shadow: Option<Box<Compiled>>,
}

/// The laws of one country.
#[derive(Clone, Copy, Debug, Default)]
pub struct CountryLaws {
    /// Those that protect its people, wherever they are.
    pub person: LawSet,
    pub citizen: LawSet,
    pub exporter: LawSet,
    pub place: LawSet,
    /// Those whose territory it is, however they attach.
    pub territory: LawSet,
}

/// Whether rules under observation are in force.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Observed {
    Idle,
    InForce,
}

#[derive(Debug)]
pub struct LawTable {
    pub day: Date,
    /// The instants between which it is that day.
    pub today: (Timestamp, Timestamp),
    pub territory: PlaceSet,
    /// By entity, on that day.
    attributes: Arc<Attributes>,
    /// By kind of party.
    parties: Vec<PartyFacts>,
    /// Active rules by their index in the law: prohibitions, localisation, permits in order.
    pub rules: Vec<ActiveRule>,
    /// How each of them is tested.
    pub tests: Vec<Test>,
    pub forbids: RuleMask,
    pub localises: RuleMask,
    pub permits: RuleMask,
    /// Rules whose places are more than whole countries, and are checked one by one.
    pub exact: RuleMask,
    /// Permits that may rest on an instrument, and those of them that rest on nothing else.
    pub ask_instruments: RuleMask,
    pub need_instruments: RuleMask,
    /// Rules for any destination, and for any place of origin; the tables hold the others.
    pub to_anywhere: RuleMask,
    pub from_anywhere: RuleMask,
    pub by_to: Box<[RuleMask]>,
    pub by_origin: Box<[RuleMask]>,
    pub by_operation: [RuleMask; 6],
    pub by_flow: [RuleMask; 5],
    pub sensitive: CategorySet,
    pub sensitive_below: u16,
    pub children: Vec<(RuleId, u16, PlaceSet)>,
    pub usable: HashMap<(EntityId, EntityId), SmallVec<[Usable; 1]>>,
    pub assessments: HashMap<EntityId, SmallVec<[ActiveAssessment; 1]>>,
    /// Counters that count this law's people.
    pub counters: SmallVec<[CounterId; 2]>,
}

#[derive(Debug)]
pub struct ActiveRule {
    /// Index in [`Law::rules`].
    pub index: u8,
    pub to: PlaceSet,
    pub origin: PlaceSet,
    pub of: PlaceSet,
}

/// An instrument that is valid on the day, for the rules whose fixed demands it meets.
#[derive(Debug)]
pub struct Usable {
    pub instrument: InstrumentId,
    pub rules: RuleMask,
    pub countries: PlaceSet,
    /// Its assessment is in date.
    pub assessed: bool,
}

#[derive(Debug)]
pub struct ActiveAssessment {
    /// Index among the organisation's.
    pub index: u16,
    pub countries: PlaceSet,
}

#[derive(Debug)]
pub struct PromiseTable {
    /// It binds; a promise under observation does so in the shadow alone.
    pub stands: bool,
    /// Bits of the operations of which it says something.
    pub operations: u8,
    pub subjects: PlaceSet,
    pub store_only_in: Option<PlaceSet>,
    pub read_only_from: Option<PlaceSet>,
    pub disclose_only_to: Option<PlaceSet>,
    pub never_to: Option<PlaceSet>,
}

const COUNTRIES: usize = 676;

/// Every assigned country, worked out once: tables are filled rule by rule.
static ASSIGNED: LazyLock<Vec<Country>> = LazyLock::new(|| Country::all().collect());

impl Checked {
    /// The tables for one instant, and a second set where rules are under observation.
    pub fn compile(self: &Arc<Self>, at: Timestamp) -> Compiled {
        let mut compiled = self.compile_with(at, Observed::Idle);
        if self.rules().any(|(_, r)| r.observed) {
            compiled.shadow = Some(Box::new(self.compile_with(at, Observed::InForce)));
        }
        compiled
    }

    fn compile_with(self: &Arc<Self>, at: Timestamp, observed: Observed) -> Compiled {
        let mut days = self.days();
        let mut attributes: Vec<(Date, Arc<Attributes>)> = Vec::new();
        let mut tables = Vec::with_capacity(self.laws.len());
        for law in &self.laws {
            let day = day_in(at, &law.timezone);
            let known = attributes.iter().find(|(d, _)| *d == day);
            let of_day = match known {
                Some((_, set)) => Arc::clone(set),
                None => {
                    let set = Arc::new(Attributes::on(self, day));
                    attributes.push((day, Arc::clone(&set)));
                    set
                }
            };
            tables.push(LawTable::new(self, law, day, at, of_day, observed));
            for rule in &law.rules {
                for instrument in &self.organisation.instruments {
                    if rule.instruments_of == Some(instrument.mechanism) {
                        days.extend(filing_edges(rule.filing, instrument, law));
                    }
                }
            }
        }
        let utc_day = day_in(at, &TimeZone::UTC);
        let zones = self
            .laws
            .iter()
            .flat_map(|l| [&l.timezone, &l.territory_timezone]);
        let utc = [&TimeZone::UTC];
        let zones = zones.chain(utc);
        let since = last_boundary(at, &days, zones.clone());
        let next_boundary = next_boundary(at, &days, zones);
        let mut compiled = Compiled {
            checked: Arc::clone(self),
            at,
            since,
            next_boundary,
            countries: vec![CountryLaws::default(); COUNTRIES].into_boxed_slice(),
            parted: LawSet::EMPTY,
            entity_laws: Vec::new(),
            entity_lifts: Vec::new(),
            promises: self.promises_on(utc_day, observed),
            promises_about: Default::default(),
            default_places: self.default_places_on(utc_day),
            default_entities: self.default_entities(),
            personal: self.personal(),
            laws: tables,
            shadow: None,
        };
        compiled.attach();
        compiled.sort_promises();
        compiled
    }

    /// Every day on which some file says that something begins or has ended.
    pub(crate) fn days(&self) -> BTreeSet<Date> {
        let mut days = BTreeSet::new();
        for group in &self.vocabulary.groups.groups {
            days.extend(group.members.iter().flat_map(|(_, i)| i.edges()));
        }
        for law in &self.laws {
            days.extend(law.rules.iter().flat_map(|r| r.interval.edges()));
            days.extend(law.sensitive.iter().flat_map(|s| s.interval.edges()));
            days.extend(law.children.iter().flat_map(|c| c.interval.edges()));
        }
        let org = &self.organisation;
        for (_, entity) in org.entities.iter() {
            days.extend(entity.attributes.iter().flat_map(|(_, i)| i.edges()));
        }
        for instrument in &org.instruments {
            days.extend(instrument.valid.edges());
            days.extend(instrument.filed.iter().map(|(d, _)| *d));
            days.extend(instrument.assessment.iter().flat_map(|a| a.valid.edges()));
        }
        days.extend(org.assessments.iter().flat_map(|a| a.valid.edges()));
        days
    }

    fn promises_on(&self, day: Date, observed: Observed) -> Vec<PromiseTable> {
        let groups = &self.vocabulary.groups;
        self.organisation
            .promises
            .iter()
            .map(|p| {
                let set =
                    |e: &Option<super::places::PlaceExpr>| e.as_ref().map(|e| e.on(day, groups));
                PromiseTable {
                    stands: !p.observe || observed == Observed::InForce,
                    operations: p.operations(),
                    subjects: p.subjects.on(day, groups),
                    store_only_in: set(&p.store_only_in),
                    read_only_from: set(&p.read_only_from),
                    disclose_only_to: set(&p.disclose_only_to),
                    never_to: set(&p.never_to),
                }
            })
            .collect()
    }

    fn default_places_on(&self, day: Date) -> PlaceSet {
        let mut all = PlaceSet::default();
        for name in self.homes(None) {
            let set = self.region_places(name, day);
            for country in set.countries.iter() {
                all.countries.insert(country);
            }
            all.parts.extend(set.parts);
        }
        all
    }
}

impl Compiled {
    fn attach(&mut self) {
        let checked = Arc::clone(&self.checked);
        for ((id, law), table) in checked.laws().zip(&self.laws) {
            if !table.territory.is_of_countries() {
                self.parted.insert(id);
            }
            for country in table.territory.countries.iter() {
                let Some(laws) = self.countries.get_mut(country.index()) else {
                    continue;
                };
                laws.territory.insert(id);
                for (attaches, to) in [
                    (law.attaches.person, &mut laws.person),
                    (law.attaches.citizen, &mut laws.citizen),
                    (law.attaches.exporter, &mut laws.exporter),
                    (law.attaches.place, &mut laws.place),
                ] {
                    if attaches {
                        to.insert(id);
                    }
                }
            }
        }
        for (entity, info) in checked.entities() {
            let established = info
                .place
                .country()
                .map(|c| self.of_country(c).exporter)
                .unwrap_or_default();
            let (mut governed, mut lifted) = (established, LawSet::EMPTY);
            for ((id, law), table) in checked.laws().zip(&self.laws) {
                let has = table.attributes_of(Some(entity));
                if has.intersects(law.attaches.exporters_with) {
                    governed.insert(id);
                }
                if has.intersects(law.attaches.lifted_by) {
                    lifted.insert(id);
                }
            }
            self.entity_laws.push(governed);
            self.entity_lifts.push(lifted);
        }
    }

    /// The age from which no law in force asks any more how old a person is.
    pub fn grown_up(&self) -> u16 {
        let ages = self.laws.iter().flat_map(|t| {
            let children = t.children.iter().map(|(_, below, _)| *below);
            children.chain([t.sensitive_below])
        });
        ages.max().unwrap_or(0)
    }

    fn sort_promises(&mut self) {
        for (about, operation) in self.promises_about.iter_mut().zip(Operation::ALL) {
            let all = self.promises.iter().zip(0..=u16::MAX);
            let asks = |t: &PromiseTable| t.operations & (1 << operation as u8) != 0;
            let of_it = all.filter(|(t, _)| t.stands && asks(t));
            *about = of_it.map(|(_, i)| i).collect();
        }
    }

    /// Indexes of the promises that stand and say something of an operation.
    pub(crate) fn promises_about(&self, operation: Operation) -> &[u16] {
        let about = self.promises_about.get(operation as usize);
        about.map_or(&[], Vec::as_slice)
    }

    pub(crate) fn of_country(&self, country: Country) -> CountryLaws {
        let laws = self.countries.get(country.index());
        laws.copied().unwrap_or_default()
    }

    /// The laws in whose territory a place lies.
    pub(crate) fn inside(&self, place: Place) -> LawSet {
        let of_country = place.country().map(|c| self.of_country(c).territory);
        let mut inside = of_country.unwrap_or_default();
        for id in self.parted.iter() {
            let table = self.laws.get(id.index());
            if table.is_some_and(|t| t.territory.contains(place)) {
                inside.insert(id);
            }
        }
        inside
    }

    pub fn checked(&self) -> &Arc<Checked> {
        &self.checked
    }

    /// The instant the tables were made for.
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// The first later instant at which some table may differ; `None`: never.
    pub fn next_boundary(&self) -> Option<Timestamp> {
        self.next_boundary
    }

    /// Whether the tables are those of `at`: no boundary lies between. A clock that was put back
    /// makes them wrong, too: an instrument that begins tomorrow must not permit today. By less
    /// than a second it may be off: else requests that began just before a boundary would undo
    /// what later ones compiled.
    pub fn holds_at(&self, at: Timestamp) -> bool {
        let ahead = self
            .since
            .is_some_and(|since| since.duration_since(at).as_secs() >= 1);
        !ahead && self.next_boundary.is_none_or(|boundary| at < boundary)
    }

    /// The policy as it would be with every rule under observation in force: what it says is told
    /// and binds nobody. `None`: nothing is under observation.
    pub fn shadow(&self) -> Option<&Self> {
        self.shadow.as_deref()
    }

    pub fn digest(&self) -> Digest {
        self.checked.digest()
    }

    /// The categories themselves and all that may stand below them: `user` may be a health record.
    pub fn possible(&self, categories: CategorySet) -> CategorySet {
        categories
            .iter()
            .fold(categories, |all, id| all.union(self.checked.below(id)))
    }
}

impl LawTable {
    fn new(
        checked: &Checked,
        law: &Law,
        day: Date,
        at: Timestamp,
        attributes: Arc<Attributes>,
        observed: Observed,
    ) -> Self {
        let groups = &checked.vocabulary.groups;
        let zone = &law.timezone;
        let start = start_of(day, zone).unwrap_or(at);
        let end = day.tomorrow().ok().and_then(|d| start_of(d, zone));
        let mut table = Self {
            day,
            today: (start, end.unwrap_or(at)),
            territory: law
                .territory
                .on(day_in(at, &law.territory_timezone), groups),
            attributes,
            parties: Vec::new(),
            rules: Vec::new(),
            tests: Vec::new(),
            forbids: 0,
            localises: 0,
            permits: 0,
            exact: 0,
            ask_instruments: 0,
            need_instruments: 0,
            to_anywhere: 0,
            from_anywhere: 0,
            by_to: vec![0; COUNTRIES].into_boxed_slice(),
            by_origin: vec![0; COUNTRIES].into_boxed_slice(),
            by_operation: [0; 6],
            by_flow: [0; 5],
            sensitive: CategorySet::EMPTY,
            sensitive_below: 0,
            children: Vec::new(),
            usable: HashMap::new(),
            assessments: HashMap::new(),
            counters: counters(checked, law),
        };
        let in_force = law.sensitive.iter().filter(|s| s.interval.contains(day));
        for sensitive in in_force {
            table.sensitive = table.sensitive.union(sensitive.categories);
            table.sensitive_below = table.sensitive_below.max(sensitive.below_age.unwrap_or(0));
        }
        for child in law.children.iter().filter(|c| c.is_active(day)) {
            table
                .children
                .push((child.rule, child.age, child.of.on(day, groups)));
        }
        let stands = |r: &Rule| r.is_active(day) && (!r.observe || observed == Observed::InForce);
        let replaced: SmallVec<[RuleId; 2]> = law
            .rules
            .iter()
            .filter(|r| stands(r))
            .filter_map(|r| r.replaces.as_ref().map(|of| of.rule))
            .collect();
        let mut watched = Watched::default();
        for (index, rule) in law.rules.iter().enumerate() {
            let counts = stands(rule) && !replaced.contains(&rule.number);
            if counts {
                let index = u8::try_from(index).unwrap_or(u8::MAX);
                table.add_rule(index, rule, checked);
                table.tests.push(Test::of(rule, index, &mut watched));
            }
        }
        let kinds = table.attributes.kinds().iter();
        table.parties = kinds.map(|has| watched.facts(*has, law.outside)).collect();
        for (id, instrument) in checked.instruments() {
            table.add_instrument(id, instrument, law, checked);
        }
        for (index, assessment) in checked.organisation.assessments.iter().enumerate() {
            table.add_assessment(
                u16::try_from(index).unwrap_or(u16::MAX),
                assessment,
                checked,
            );
        }
        table
    }

    fn add_rule(&mut self, index: u8, rule: &Rule, checked: &Checked) {
        let groups = &checked.vocabulary.groups;
        // A 129th would stop the program here, as an overflow does.
        let bit: RuleMask = 1 << self.rules.len();
        match rule.effect {
            Effect::Forbid => self.forbids |= bit,
            Effect::Localise => self.localises |= bit,
            Effect::Permit => self.permits |= bit,
        }
        for any in &rule.requires {
            if any.contains(&Need::Instrument) {
                self.ask_instruments |= bit;
            }
            if *any.as_slice() == [Need::Instrument] {
                self.need_instruments |= bit;
            }
        }
        let active = ActiveRule {
            index,
            to: rule.to.on_except(&rule.to_except, self.day, groups),
            origin: rule.origin.on_except(&rule.origin_except, self.day, groups),
            of: rule.of.on(self.day, groups),
        };
        if !active.to.is_by_country() || !active.origin.is_by_country() || !active.of.any {
            self.exact |= bit;
        }
        for (set, table, anywhere) in [
            (&active.to, &mut self.by_to, &mut self.to_anywhere),
            (&active.origin, &mut self.by_origin, &mut self.from_anywhere),
        ] {
            if set.any && set.except.is_none() {
                *anywhere |= bit;
                continue;
            }
            for country in ASSIGNED.iter().filter(|c| set.touches(**c)) {
                if let Some(mask) = table.get_mut(country.index()) {
                    *mask |= bit;
                }
            }
        }
        for operation in Operation::ALL {
            if rule.operations & (1 << operation as u8) != 0
                && let Some(mask) = self.by_operation.get_mut(operation as usize)
            {
                *mask |= bit;
            }
        }
        for (shape, mask) in self.by_flow.iter_mut().enumerate() {
            if rule.flows & (1 << shape) != 0 {
                *mask |= bit;
            }
        }
        self.rules.push(active);
    }

    /// The attributes of an entity on the law's day.
    pub fn attributes_of(&self, entity: Option<EntityId>) -> AttributeSet {
        self.party(entity).has
    }

    /// The same, with what they say to the law's rules.
    pub fn party(&self, entity: Option<EntityId>) -> PartyFacts {
        let kind = self.attributes.kind(entity);
        self.parties.get(kind).copied().unwrap_or_default()
    }
}

/// The counters of a law carry its id in front: `cn.ordinary`.
fn counters(checked: &Checked, law: &Law) -> SmallVec<[CounterId; 2]> {
    let prefix = format!("{}.", law.id.to_ascii_lowercase());
    checked
        .vocabulary
        .counters
        .iter()
        .enumerate()
        .filter(|(_, c)| {
            c.key.starts_with(&prefix)
                && matches!(c.counted, Counted::Ordinary | Counted::Sensitive)
        })
        .filter_map(|(i, _)| u8::try_from(i).ok().map(CounterId))
        .collect()
}
