//! What all records came to, counted. Bounded by settings and policy, not by the export: of records
//! the numbers of a few lines are kept, and of people so many keys at most.

use std::{
    collections::{BTreeMap, hash_map::Entry},
    rc::Rc,
};

use foldhash::HashMap;
use serde::Serialize;

use super::outcome::{Fate, Judged, Outcome, Reason};
use crate::{
    domain::{CategoryId, RegionId, SubjectKey},
    policy::Checked,
};

/// People that are told apart.
const PEOPLE: usize = 1_000_000;
/// Lines that are named of each group.
const NAMED: usize = 5;
/// Outcomes whose records are counted before they are added up.
const GATHERED: usize = 4096;

/// Records that came to the same.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Group<T> {
    pub records: u64,
    #[serde(flatten)]
    pub what: T,
    /// The first of them.
    pub lines: Vec<u64>,
}

/// Records at one home.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct AtHome {
    pub records: u64,
    pub wrong_place: u64,
    pub forbidden: u64,
}

#[derive(Default)]
pub struct Tables {
    pub homes: BTreeMap<String, AtHome>,
    pub laws: BTreeMap<String, u64>,
    pub categories: BTreeMap<u8, u64>,
    pub judged: Vec<Group<Judged>>,
    pub no_home: Vec<Group<Reason>>,
    pub broken: Vec<Group<Reason>>,
    pub people: People,
    gathered: HashMap<usize, (Rc<Outcome>, u64, Vec<u64>)>,
}

/// Different people, as far as they are told apart.
#[derive(Default)]
pub struct People {
    /// Each with the home of the first record that has one and would pin it.
    homes: HashMap<SubjectKey, Option<RegionId>>,
    /// Somebody was met who has no place.
    is_full: bool,
    /// Records whose home is another than that of their person's first.
    pub elsewhere: u64,
    /// The first of these.
    pub lines: Vec<u64>,
}

impl Tables {
    pub fn add(&mut self, outcome: &Rc<Outcome>, line: u64) {
        // What is gathered is held, so that no other outcome gets its address.
        let of = Rc::as_ptr(outcome).addr();
        if !self.gathered.contains_key(&of) && self.gathered.len() >= GATHERED {
            self.add_up();
        }
        let gathered = self.gathered.entry(of);
        let (_, records, lines) = gathered.or_insert_with(|| (Rc::clone(outcome), 0, Vec::new()));
        *records += 1;
        if lines.len() < NAMED {
            lines.push(line);
        }
    }

    pub fn add_broken(&mut self, reason: Reason, line: u64) {
        add_to(&mut self.broken, reason, 1, vec![line]);
    }

    /// To be called at the end.
    pub fn add_up(&mut self) {
        for (_, (outcome, records, lines)) in std::mem::take(&mut self.gathered) {
            for CategoryId(category) in outcome.categories.iter() {
                *self.categories.entry(category).or_default() += records;
            }
            match &outcome.fate {
                Fate::NoHome(reason) => add_to(&mut self.no_home, reason.clone(), records, lines),
                Fate::Judged(judged) => {
                    for law in &judged.laws {
                        *self.laws.entry(law.clone()).or_default() += records;
                    }
                    let home = self.homes.entry(judged.home.clone()).or_default();
                    home.records += records;
                    if judged.wrong_place {
                        home.wrong_place += records;
                    }
                    if !judged.is_permitted() {
                        home.forbidden += records;
                    }
                    add_to(&mut self.judged, judged.clone(), records, lines);
                }
            }
        }
        // The most first; what is equal in that in the order of the lines.
        sort(&mut self.judged);
        sort(&mut self.no_home);
        sort(&mut self.broken);
    }

    /// Keys of categories by how many records hold them, the most first.
    pub fn by_category(&self, policy: &Checked) -> Vec<(String, u64)> {
        let named = self.categories.iter().filter_map(|(id, records)| {
            let key = policy.category_key(CategoryId(*id))?;
            Some((key.to_string(), *records))
        });
        let mut all: Vec<(String, u64)> = named.collect();
        all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        all
    }

    pub fn sum<T>(groups: &[Group<T>], which: impl Fn(&T) -> bool) -> u64 {
        let fitting = groups.iter().filter(|g| which(&g.what));
        fitting.map(|g| g.records).sum()
    }
}

fn sort<T>(groups: &mut [Group<T>]) {
    groups.sort_by(|a, b| {
        b.records
            .cmp(&a.records)
            .then_with(|| a.lines.cmp(&b.lines))
    });
}

fn add_to<T: PartialEq>(groups: &mut Vec<Group<T>>, what: T, records: u64, lines: Vec<u64>) {
    match groups.iter_mut().find(|g| g.what == what) {
        Some(group) => {
            group.records += records;
            group.lines.extend(lines);
            group.lines.sort_unstable();
            group.lines.truncate(NAMED);
        }
        None => groups.push(Group {
            records,
            what,
            lines,
        }),
    }
}

impl People {
    /// `home`: of the record on `line`, if it has one. `pins`: stored first, it would pin the person.
    pub fn meet(&mut self, key: SubjectKey, home: Option<RegionId>, pins: bool, line: u64) {
        let pinned = home.filter(|_| pins);
        let is_full = self.homes.len() >= PEOPLE;
        let first = match self.homes.entry(key) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(_) if is_full => {
                self.is_full = true;
                return;
            }
            Entry::Vacant(new) => new.insert(pinned),
        };
        if home.is_none() || home == *first {
            return;
        }
        if first.is_none() {
            *first = pinned;
            return;
        }
        self.elsewhere += 1;
        if self.lines.len() < NAMED {
            self.lines.push(line);
        }
    }

    /// How many, and whether there are more.
    pub fn count(&self) -> (usize, bool) {
        (self.homes.len(), self.is_full)
    }
}
