//! What a law makes of counts: whether a table of thresholds passes, a test holds, an approval's
//! volume suffices.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::{
    domain::CategorySet,
    policy::{CountTest, Counted, CounterId},
};

use super::ways::Ways;

/// What all cells say: one of [`NO`], [`UNKNOWN`], [`YES`] each.
pub type Outcome = SmallVec<[u8; 24]>;

pub const NO: u8 = 0;
pub const UNKNOWN: u8 = 1;
pub const YES: u8 = 2;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SideTouch {
    tables: Vec<TableTouch>,
    /// By counter: whether the record's person counts, as one of the law's people and as another.
    adds: Vec<[bool; 2]>,
}

/// The lowest number that counts, and of each test whether the record touches its counter, and
/// whether it holds something linked.
type TableTouch = (Option<u64>, Vec<(bool, bool)>);

/// One law as it reads counters.
pub struct Side<'a> {
    pub ways: &'a Ways<'a>,
    pub counters: Vec<CounterId>,
    /// By counter of this side.
    pub slot_of: Vec<usize>,
    pub tables: Vec<u8>,
    pub tests: Vec<CountTest>,
    /// Volumes, over all counters of the law.
    pub limits: Vec<u64>,
}

impl Side<'_> {
    /// What the cells hang on, for a record of these keys and this age.
    pub fn touch(&self, keys: &[Arc<str>], age: Option<u16>) -> SideTouch {
        let (policy, table) = (self.ways.policy, self.ways.table);
        let checked = policy.checked();
        let stated: CategorySet = keys.iter().filter_map(|k| checked.category(k)).collect();
        let possible = policy.possible(stated);
        let young = age.is_some_and(|a| a < table.sensitive_below);
        let counted = |id: CounterId| {
            let counter = checked.vocabulary.counters.get(id.index());
            counter.map(|c| &c.counted)
        };
        let personal = stated.intersection(policy.personal);
        let adds = |id: &CounterId| match counted(*id) {
            None => [false; 2],
            Some(Counted::Sensitive) => [young || possible.intersects(table.sensitive); 2],
            Some(Counted::Ordinary) => [!young && !personal.is_subset(table.sensitive); 2],
            Some(by) => [by.holds(stated, possible).unwrap_or(true), false],
        };
        let thresholds = self.tables.iter();
        let thresholds =
            thresholds.filter_map(|t| checked.vocabulary.thresholds.get(usize::from(*t)));
        SideTouch {
            adds: self.counters.iter().map(adds).collect(),
            tables: thresholds
                .map(|t| {
                    let touched =
                        |id| counted(id).is_some_and(|c| c.holds(stated, possible).unwrap_or(true));
                    let linked = |id| counted(id).is_some_and(|c| c.classes(possible) > 0);
                    let own = t.tests.iter().filter(|t| touched(t.counter));
                    let each = t.tests.iter();
                    let each = each.map(|t| (touched(t.counter), linked(t.counter)));
                    (own.map(|t| t.number).min(), each.collect())
                })
                .collect(),
        }
    }

    /// What the cells say; `of` tells the stated value of a slot, where it is looked at.
    pub fn cells(
        &self,
        touch: &SideTouch,
        person: usize,
        of: &dyn Fn(usize) -> Option<Option<u64>>,
        cells: &mut Outcome,
    ) {
        let vocabulary = &self.ways.policy.checked().vocabulary;
        // The count with this person; outer `None`: not this group's counter.
        let count = |counter: CounterId| -> Option<Option<u64>> {
            let i = self.counters.iter().position(|c| *c == counter)?;
            let adds = touch.adds.get(i)?.get(person)?;
            let value = of(*self.slot_of.get(i)?)?;
            Some(value.map(|v| v.saturating_add(u64::from(*adds))))
        };
        for (table, (lowest, own)) in self.tables.iter().zip(&touch.tables) {
            let tests = vocabulary.thresholds.get(usize::from(*table));
            let tests = tests.into_iter().flat_map(|t| &t.tests).zip(own);
            let cell = |(test, (own, linked)): (&CountTest, &(bool, bool))| {
                let Some(lowest) = *lowest else { return NO };
                match count(test.counter) {
                    Some(None) if *own => UNKNOWN,
                    Some(Some(n)) if (*own || *linked) && test.holds_at(lowest, n) => YES,
                    _ => NO,
                }
            };
            cells.push(tests.map(cell).max().unwrap_or(NO));
        }
        for test in &self.tests {
            cells.push(match count(test.counter) {
                None => NO,
                Some(None) => UNKNOWN,
                Some(Some(n)) => {
                    if test.holds(n) {
                        YES
                    } else {
                        NO
                    }
                }
            });
        }
        let counters = &self.ways.table.counters;
        let sum = counters.iter().map(|c| count(*c)).try_fold(0u64, |sum, n| {
            n.map_or(Err(NO), |n| n.map(|n| sum.saturating_add(n)).ok_or(UNKNOWN))
        });
        for limit in &self.limits {
            cells.push(match sum {
                Ok(n) => {
                    if n <= *limit {
                        YES
                    } else {
                        NO
                    }
                }
                Err(cell) => cell,
            });
        }
    }
}
