//! Where a record's home is, and what policy says of where it lies. What was judged once is
//! remembered, as most records are like others in all that counts.

use std::{rc::Rc, sync::Arc};

use foldhash::{HashMap, HashMapExt};
use jiff::Timestamp;
use smallvec::SmallVec;

use super::{
    form::Form,
    outcome::{Fate, Judged, Outcome, Reason},
    whose::Said,
};
use crate::{
    classify::{
        Age,
        evidence::{Evidence, Standing, disagree, weigh},
    },
    decide::{self, HomeFault, Homes, Party, Query, Subject, Verdict},
    domain::{CategorySet, EvidenceKind, EvidenceSet, Operation, Place, RegionId},
    locate::Pin,
    policy::RuleId,
    settings::Conflict,
    shared::Snapshot,
};

/// Outcomes that are remembered at one time.
const REMEMBERED: usize = 4096;

/// All that a judgement hangs on, but for an age.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Asked {
    said: SmallVec<[(EvidenceKind, Place); 4]>,
    pin_at: usize,
    categories: CategorySet,
    pin: Option<Arc<Pin>>,
}

pub struct Judge<'s> {
    snapshot: &'s Snapshot,
    form: &'s Form,
    at: Timestamp,
    /// Where the records lie.
    place: Option<RegionId>,
    remembered: HashMap<Asked, Rc<Outcome>>,
}

type Countries = SmallVec<[Place; 4]>;

impl<'s> Judge<'s> {
    pub fn new(
        snapshot: &'s Snapshot,
        form: &'s Form,
        at: Timestamp,
        place: Option<RegionId>,
    ) -> Self {
        Self {
            snapshot,
            form,
            at,
            place,
            remembered: HashMap::new(),
        }
    }

    /// `pin_at`: the place of what the directory knows in `said`.
    pub fn judge(
        &mut self,
        (said, pin_at): (Said, usize),
        categories: CategorySet,
        age: Age,
        pin: Option<Arc<Pin>>,
    ) -> Rc<Outcome> {
        let day = self.at.to_zoned(jiff::tz::TimeZone::UTC).date();
        // A grown-up is judged like anybody.
        if age.may_be_below(self.snapshot.policy.grown_up(), day) {
            return Rc::new(self.find(said, pin_at, categories, age, pin.as_deref()));
        }
        let asked = Asked {
            said: said.iter().map(|e| (e.kind, e.place)).collect(),
            pin_at,
            categories,
            pin,
        };
        if let Some(known) = self.remembered.get(&asked) {
            return Rc::clone(known);
        }
        let age = Age::default();
        let outcome = Rc::new(self.find(said, pin_at, categories, age, asked.pin.as_deref()));
        if self.remembered.len() >= REMEMBERED {
            self.remembered.clear();
        }
        self.remembered.insert(asked, Rc::clone(&outcome));
        outcome
    }

    fn find(
        &self,
        mut said: Said,
        pin_at: usize,
        categories: CategorySet,
        age: Age,
        pin: Option<&Pin>,
    ) -> Outcome {
        let mut evidence = EvidenceSet::EMPTY;
        said.iter().for_each(|e| evidence.insert(e.kind));
        let mut outcome = Outcome {
            evidence,
            strongest: said.first().map(|e| e.kind),
            categories,
            fate: Fate::NoHome(Reason::new("no-evidence", NO_EVIDENCE)),
        };
        let found = match pin {
            None => self.unpinned(&said, categories),
            Some(pin) => {
                outcome.evidence.insert(EvidenceKind::Pinned);
                self.pinned(&mut said, pin_at, categories, pin)
            }
        };
        match found {
            Err(reason) => outcome.fate = Fate::NoHome(reason),
            Ok((home, countries)) => {
                let judged = self.decide(home, &countries, categories, age, pin);
                outcome.fate = Fate::Judged(judged);
            }
        }
        outcome
    }

    fn unpinned(
        &self,
        said: &[Evidence],
        categories: CategorySet,
    ) -> Result<(RegionId, Countries), Reason> {
        if let (true, Some(home)) = (said.is_empty(), self.form.unknown_home) {
            // Nothing is known, so the law of the place that the operator chose attaches.
            let place = self.snapshot.regions.get(home).map(|r| r.place);
            return Ok((home, place.into_iter().collect()));
        }
        let standing = self.settle(said, &[])?;
        let homes = self.homes(standing.home_by, categories)?;
        let home = homes.first().copied();
        let home = home.ok_or_else(|| Reason::new("no-home", NO_HOME))?;
        Ok((home, standing.countries))
    }

    /// The home is where the directory says, unless the record says otherwise.
    fn pinned(
        &self,
        said: &mut Said,
        pin_at: usize,
        categories: CategorySet,
        pin: &Pin,
    ) -> Result<(RegionId, Countries), Reason> {
        let home = self.snapshot.regions.id(&pin.region).ok_or_else(|| {
            let detail = format!(
                "the directory's home `{}` is no region any more",
                pin.region
            );
            Reason::new("no-home", detail)
        })?;
        if let Some(strongest) = said.first().map(|e| e.place) {
            let mut known = pin.countries.iter();
            if !known.any(|c| c.country() == strongest.country()) {
                let homes = self.homes(strongest, categories)?;
                // Of an imported pin nothing is known but the region.
                let agrees = match pin.countries.is_empty() {
                    true => homes.contains(&home),
                    false => homes.first() == Some(&home),
                };
                if !agrees {
                    let detail = format!(
                        "the directory has the home in `{}`, the record says otherwise",
                        pin.region
                    );
                    return Err(Reason::new("home-contradicted", detail));
                }
            }
        }
        let imported = self.snapshot.regions.get(home).map(|r| r.place);
        let imported = imported.filter(|_| pin.countries.is_empty());
        let known: SmallVec<[Place; 2]> = pin.countries.iter().copied().chain(imported).collect();
        for place in known.into_iter().rev() {
            let kind = EvidenceKind::Pinned;
            said.insert(pin_at.min(said.len()), Evidence { kind, place });
        }
        let standing = self.settle(said, &pin.countries)?;
        Ok((home, standing.countries))
    }

    fn settle(&self, said: &[Evidence], pinned: &[Place]) -> Result<Standing, Reason> {
        let conflict = self.form.route.conflict;
        let disagrees = conflict == Conflict::Refuse && disagree(said, pinned);
        if disagrees {
            let detail = "the record names several countries, which the route refuses";
            return Err(Reason::new("evidence-disagrees", detail));
        }
        weigh(said, conflict).map_err(|_| Reason::new("no-evidence", NO_EVIDENCE))
    }

    /// As for a request: the strongest evidence alone gives the home, whatever the purpose.
    fn homes(&self, place: Place, categories: CategorySet) -> Result<Homes, Reason> {
        let snapshot = self.snapshot;
        let location = Party::new(snapshot.location, snapshot.location_entity);
        let store = Operation::Store;
        let mut query = self.query(store, &[place], categories, location, location);
        query.purpose = None;
        match decide::home_candidates(&snapshot.policy, &snapshot.regions, &query) {
            Ok(homes) if homes.is_empty() => Err(Reason::new("no-home", NO_HOME)),
            Ok(homes) => Ok(homes),
            Err(fault) => Err(self.no_home(&fault, query)),
        }
    }

    fn no_home(&self, fault: &HomeFault, mut query: Query) -> Reason {
        let snapshot = self.snapshot;
        let rules: &[RuleId] = match fault {
            HomeFault::Unknown => return Reason::new("no-evidence", NO_EVIDENCE),
            HomeFault::Conflict { rules } => rules,
            HomeFault::NoRegionOfLaw { rule } => std::slice::from_ref(rule),
            HomeFault::NoneAllowed => &[],
        };
        let first = rules.first().and_then(|r| snapshot.checked.rule(*r));
        let mut reason = Reason::new(
            if rules.len() > 1 {
                "conflict-of-laws"
            } else {
                "transfer-forbidden"
            },
            fault.to_string(),
        );
        reason.rule = first.map(|r| r.id.to_string());
        reason.citation = first.map(|r| r.citation.to_string());
        if *fault == HomeFault::NoneAllowed {
            // Why the first of them is none.
            let defaults = snapshot.checked.homes(None).iter();
            let first = defaults.filter_map(|name| snapshot.regions.id(name)).next();
            if let Some(to) = first.and_then(|id| self.at_region(id)) {
                query.to = to;
                let verdict = decide::decide(&snapshot.policy, &query);
                let rule = verdict.rule(&snapshot.checked);
                reason.rule = rule.map(|r| r.id.to_string());
                reason.citation = rule.map(|r| r.citation.to_string());
            }
        }
        reason
    }

    /// The flow from home to where the record lies; where nothing says that, its store at home from
    /// the router's location.
    fn decide(
        &self,
        home: RegionId,
        countries: &[Place],
        categories: CategorySet,
        age: Age,
        pin: Option<&Pin>,
    ) -> Judged {
        let snapshot = self.snapshot;
        let name = |id| snapshot.regions.name(id);
        let is_copy = self
            .place
            .is_some_and(|place| place != home && pin.is_some_and(|pin| pin.holds(name(place))));
        let operation = if is_copy {
            Operation::Replicate
        } else {
            Operation::Store
        };
        let mut location = Party::new(snapshot.location, snapshot.location_entity);
        location.role = self.form.route.role;
        let at_home = self.at_region(home).unwrap_or(location);
        let (from, to) = match self.place {
            None => (location, at_home),
            Some(place) => (at_home, self.at_region(place).unwrap_or(location)),
        };
        let mut query = self.query(operation, countries, categories, from, to);
        if is_copy {
            query.held_in.push(at_home.place);
        }
        let verdict = self.strictest(&mut query, age);
        let told = decide::answer(&snapshot.policy, &query, &verdict, None);
        let is_elsewhere = self.place.is_some_and(|place| place != home);
        Judged {
            home: name(home).to_owned(),
            home_id: home,
            laws: verdict.laws(&snapshot.checked).map(str::to_owned).collect(),
            wrong_place: is_elsewhere && !(is_copy && verdict.is_permit()),
            outcome: told.outcome,
            rule: told.rule,
            citation: told.citation,
            mechanism: told.mechanism,
            module: told.module,
            instrument: told.instrument,
            missing: told.missing,
        }
    }

    /// Where both years and a day of birth are told, what each comes to, and a refusal before a
    /// permit: a child must not pass for an adult.
    fn strictest(&self, query: &mut Query, age: Age) -> Verdict {
        let policy = &self.snapshot.policy;
        query.subject.age = age.years;
        query.subject.born = age.born;
        let verdict = decide::decide(policy, query);
        if verdict.is_permit() && age.years.is_some() && age.born.is_some() {
            query.subject.born = None;
            return decide::decide(policy, query);
        }
        verdict
    }

    fn query(
        &self,
        operation: Operation,
        countries: &[Place],
        categories: CategorySet,
        from: Party,
        to: Party,
    ) -> Query {
        let (policy, route) = (&self.snapshot.policy, &self.form.route);
        let subject = Subject {
            countries: countries.iter().copied().collect(),
            ..Subject::default()
        };
        let mut query = Query::new(policy, self.at, operation, subject, categories, from, to);
        let purpose = route.purpose.as_deref();
        query.purpose = purpose.map(|p| self.snapshot.checked.purpose(p));
        query.set_circumstances(route.circumstances);
        query
    }

    fn at_region(&self, region: RegionId) -> Option<Party> {
        let place = self.snapshot.regions.get(region)?.place;
        Some(Party::new(place, self.snapshot.region_entity(region)?))
    }
}

const NO_EVIDENCE: &str = "nothing in the record says where the person lives";
const NO_HOME: &str = "no region of the settings can be the home of a person of this country";
