use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use foldhash::fast::FixedState;
use jiff::Timestamp;

use super::{People, Scope, recent::Recent};
use crate::{
    attest::{Entry, Kind, LedgerError, Party, Profile, Verdict},
    domain::{DecisionId, Operation, SubjectKey},
};

/// Profiles whose row is known without looking.
const PROFILES: usize = 1 << 16;

#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(
        "the ledger tells of more than {most} different kinds of flows: ask for less of it, by time (since, until), region, law or instrument"
    )]
    TooManyKinds { most: usize },
    #[error(
        "more than {most} people are concerned, more than one report lists: make one for each share of them, by --part 1/4, 2/4, 3/4 and 4/4 (up to 1000 shares), and join the lists; nobody is in two"
    )]
    TooManyPeople { most: usize },
}

/// What flows of one row have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sort {
    pub outcome: Verdict,
    pub operation: Operation,
    pub from: Party,
    pub via: Option<Party>,
    pub to: Party,
    pub region: Option<Arc<str>>,
    pub reached: Option<Arc<str>>,
    pub laws: Vec<Arc<str>>,
    pub mechanism: Option<Arc<str>>,
    pub module: Option<u8>,
    pub instrument: Option<Arc<str>>,
    pub exporter: Option<Arc<str>>,
    pub importer: Option<Arc<str>>,
    pub purpose: Option<Arc<str>>,
    pub problem: Option<Arc<str>>,
    /// Those that refused; of a permit they are in [`Row::rules`] alone.
    pub refused_by: Vec<Arc<str>>,
}

#[derive(Debug)]
pub struct Row {
    pub sort: Sort,
    pub rules: BTreeSet<Arc<str>>,
    pub categories: BTreeSet<Arc<str>>,
    /// Decisions, each once.
    pub flows: u64,
    /// Those of them of which the region, or the recipient, answered 2xx.
    pub confirmed: u64,
    pub people: People,
    pub first: Timestamp,
    pub last: Timestamp,
}

/// One decision as it was read.
#[derive(Clone, Copy)]
pub struct Decided<'a> {
    pub at: Timestamp,
    pub decision: DecisionId,
    pub profile: &'a Arc<Profile>,
    pub subject: Option<SubjectKey>,
}

impl<'a> Decided<'a> {
    pub fn of(entry: &'a Entry) -> Option<Self> {
        match &entry.kind {
            Kind::Decision {
                decision,
                profile,
                subject,
                ..
            } => Some(Self {
                at: entry.at,
                decision: *decision,
                profile,
                subject: *subject,
            }),
            _ => None,
        }
    }
}

/// Folds entries into rows. Memory is bounded by the kinds of flows, whatever the ledger's length.
#[derive(Debug)]
pub struct Flows {
    rows: Vec<Row>,
    by_sort: HashMap<Sort, usize, FixedState>,
    /// By the address of a profile, which is kept so that nothing else gets it.
    by_profile: HashMap<usize, (Arc<Profile>, usize), FixedState>,
    recent: Recent,
    /// Keys of people that are kept, over all rows, and how many may be.
    kept: usize,
    keys: usize,
    /// Rows that there may be.
    most: usize,
}

impl Flows {
    pub fn new(scope: &Scope) -> Self {
        Self {
            rows: Vec::new(),
            by_sort: HashMap::default(),
            by_profile: HashMap::default(),
            recent: Recent::new(scope.remembered),
            kept: 0,
            keys: scope.keys,
            most: scope.rows,
        }
    }

    /// # Errors
    /// [`ReportError::TooManyKinds`]
    pub fn add(&mut self, decided: &Decided<'_>) -> Result<(), ReportError> {
        let index = self.row_of(decided)?;
        let Some(row) = self.rows.get_mut(index) else {
            return Ok(());
        };
        row.first = row.first.min(decided.at);
        row.last = row.last.max(decided.at);
        if let Some(subject) = decided.subject
            && row.people.add(subject)
        {
            self.kept += 1;
        }
        // A refusal is told once, and nothing comes of it.
        let number = u32::try_from(index).unwrap_or(u32::MAX);
        let refused = row.sort.outcome == Verdict::Refuse;
        if refused || self.recent.is_new(decided.decision, number) {
            row.flows += 1;
        }
        while self.kept > self.keys {
            self.estimate_largest();
        }
        Ok(())
    }

    /// What came of a flow.
    pub fn answered(&mut self, decision: DecisionId, status: u16) {
        if !(200..300).contains(&status) {
            return;
        }
        for number in self.recent.confirm(decision) {
            if let Some(row) = self.rows.get_mut(number as usize) {
                row.confirmed += 1;
            }
        }
    }

    /// In an order that does not hang on that of the entries.
    pub fn into_rows(self) -> Vec<Row> {
        let mut rows = self.rows;
        rows.sort_by_cached_key(|row| {
            let sort = &row.sort;
            let party = |p: &Party| (p.place.to_string(), p.entity.clone());
            (
                (party(&sort.from), party(&sort.to), sort.operation as u8),
                (sort.region.clone(), sort.reached.clone(), sort.laws.clone()),
                (sort.mechanism.clone(), sort.instrument.clone(), sort.module),
                (sort.purpose.clone(), sort.problem.clone()),
                sort.refused_by.clone(),
                (sort.exporter.clone(), sort.importer.clone()),
                sort.via.as_ref().map(party),
            )
        });
        rows
    }

    /// The rows of permits, refusals and observed flows, each in that order.
    pub fn into_outcomes(self) -> [Vec<Row>; 3] {
        let mut outcomes = [const { Vec::new() }; 3];
        for row in self.into_rows() {
            let [permitted, refused, observed] = &mut outcomes;
            match row.sort.outcome {
                Verdict::Permit => permitted.push(row),
                Verdict::Refuse => refused.push(row),
                Verdict::Observe => observed.push(row),
            }
        }
        outcomes
    }

    fn row_of(&mut self, decided: &Decided<'_>) -> Result<usize, ReportError> {
        let address = Arc::as_ptr(decided.profile) as usize;
        if let Some((_, index)) = self.by_profile.get(&address) {
            return Ok(*index);
        }
        let profile = decided.profile;
        let sort = Sort::of(profile);
        let index = match self.by_sort.get(&sort) {
            Some(index) => *index,
            None if self.rows.len() >= self.most => {
                return Err(ReportError::TooManyKinds { most: self.most });
            }
            None => {
                let index = self.rows.len();
                self.rows.push(Row::new(sort.clone(), decided.at));
                self.by_sort.insert(sort, index);
                index
            }
        };
        if let Some(row) = self.rows.get_mut(index) {
            row.rules.extend(profile.rules.iter().cloned());
            row.categories.extend(profile.categories.iter().cloned());
        }
        if self.by_profile.len() >= PROFILES {
            self.by_profile.clear();
        }
        self.by_profile
            .insert(address, (Arc::clone(profile), index));
        Ok(index)
    }

    fn estimate_largest(&mut self) {
        let Some(largest) = self.rows.iter_mut().max_by_key(|row| row.people.kept()) else {
            return;
        };
        self.kept -= largest.people.kept();
        largest.people.estimate();
    }
}

impl Row {
    fn new(sort: Sort, at: Timestamp) -> Self {
        Self {
            sort,
            rules: BTreeSet::new(),
            categories: BTreeSet::new(),
            flows: 0,
            confirmed: 0,
            people: People::default(),
            first: at,
            last: at,
        }
    }
}

impl Sort {
    /// Whether a flow crosses a border, or goes to a recipient.
    pub fn leaves(&self) -> bool {
        let from = self.from.place;
        let differs = |party: &Party| match (from.country(), party.place.country()) {
            (Some(from), Some(to)) => from != to,
            _ => from != party.place,
        };
        self.operation == Operation::Disclose
            || differs(&self.to)
            || self.via.as_ref().is_some_and(differs)
    }

    fn of(profile: &Profile) -> Self {
        Self {
            outcome: profile.outcome,
            operation: profile.operation,
            from: profile.from.clone(),
            via: profile.via.clone(),
            to: profile.to.clone(),
            region: profile.region.clone(),
            reached: profile.reached.clone(),
            laws: profile.laws.clone(),
            mechanism: profile.mechanism.clone(),
            module: profile.module,
            instrument: profile.instrument.clone(),
            exporter: profile.exporter.clone(),
            importer: profile.importer.clone(),
            purpose: profile.stated.purpose.clone(),
            problem: profile.problem.clone(),
            refused_by: match profile.outcome {
                Verdict::Refuse => profile.rules.clone(),
                Verdict::Permit | Verdict::Observe => Vec::new(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attest::tests::{at, decision, key, profile};

    fn decided(profile: &Arc<Profile>, number: u64) -> Decided<'_> {
        Decided {
            at: at(number),
            decision: decision(number),
            profile,
            subject: Some(key(number % 3)),
        }
    }

    #[test]
    fn a_decision_that_is_told_again_counts_once() {
        let mut flows = Flows::new(&Scope::whole());
        // Each segment has a profile of its own that says the same.
        let [one, same] = [profile("/p"), profile("/p")];
        for number in [1, 2, 3, 4] {
            flows.add(&decided(&one, number)).unwrap();
        }
        flows.add(&decided(&same, 4)).unwrap();
        flows.add(&decided(&same, 5)).unwrap();
        flows.answered(decision(1), 200);
        flows.answered(decision(1), 200);
        flows.answered(decision(2), 503);
        flows.answered(decision(3), 0);
        flows.answered(decision(5), 204);
        let rows = flows.into_rows();
        assert_eq!(rows.len(), 1);
        let row = &rows[0];
        assert_eq!((row.flows, row.confirmed, row.people.count()), (5, 2, 3));
        assert_eq!((row.first, row.last), (at(1), at(5)));
    }

    #[test]
    fn more_kinds_of_flows_than_there_is_room_for_are_refused() {
        let mut flows = Flows::new(&Scope {
            rows: 1,
            ..Scope::whole()
        });
        let one = profile("/p");
        let mut other = Profile::clone(&one);
        other.module = Some(3);
        flows.add(&decided(&one, 1)).unwrap();
        flows.add(&decided(&one, 2)).unwrap();
        let refused = flows.add(&decided(&Arc::new(other), 3));
        assert!(matches!(
            refused,
            Err(ReportError::TooManyKinds { most: 1 })
        ));
    }

    #[test]
    fn what_is_too_much_says_what_helps() {
        let people = ReportError::TooManyPeople { most: 7 }.to_string();
        assert!(people.contains("--part 1/4"), "{people}");
        let kinds = ReportError::TooManyKinds { most: 7 }.to_string();
        assert!(kinds.contains("by time"), "{kinds}");
    }

    #[test]
    fn what_leaves_no_country_is_told_apart() {
        let abroad = Sort::of(&profile("/p"));
        assert!(abroad.leaves());
        let mut home = abroad.clone();
        home.to = home.from.clone();
        assert!(!home.leaves());
        let through = Sort {
            via: Some(abroad.to.clone()),
            ..home.clone()
        };
        assert!(through.leaves());
        let disclosed = Sort {
            operation: Operation::Disclose,
            ..home
        };
        assert!(disclosed.leaves());
    }

    #[test]
    fn where_keys_take_too_much_room_the_largest_row_is_estimated() {
        let mut flows = Flows::new(&Scope::whole());
        let one = profile("/p");
        let mut other = Profile::clone(&one);
        other.module = Some(3);
        let other = Arc::new(other);
        flows.add(&decided(&one, 1)).unwrap();
        flows.add(&decided(&one, 2)).unwrap();
        flows.add(&decided(&other, 1)).unwrap();
        flows.estimate_largest();
        assert_eq!(flows.kept, 1);
        let exact: Vec<bool> = flows
            .into_rows()
            .iter()
            .map(|r| r.people.is_exact())
            .collect();
        assert_eq!(exact, [false, true]);
    }
}
