//! What the counters that a law reads can say of a record, without writing out every combination.
//!
//! A law reads counters through *cells*: a table of thresholds passes, a test holds, an approval's
//! volume suffices; each is no, unknown or yes. One counter's value moves some cells up and none
//! down, and cells of several counters join by the highest. So the counters are folded in one after
//! the other, and of all values, and all combinations so far, only those are kept that leave the
//! cells otherwise. Nothing is left out: seven counters with twenty edges each come to some dozen
//! outcomes. Counters that an approval's volume adds up are looked at together.

use std::sync::Arc;

use crate::policy::CounterId;
use foldhash::HashMap;

use super::{
    axes::{Extra, rules},
    cells::{NO, Side, SideTouch, UNKNOWN, YES},
    ways::Ways,
};

pub use super::cells::Outcome;

/// Counts by the counters' keys.
pub type Counts = Vec<(Arc<str>, u64)>;

/// Counts that leave the cells alike.
pub struct Reached {
    pub outcome: Outcome,
    /// The least of them.
    pub counts: Counts,
    /// How many combinations of values around the edges.
    pub weight: u64,
}

/// What of a record the counters' cells hang on, side by side.
pub type Touch = Vec<SideTouch>;

/// The counters that decide something.
pub struct Counting<'a> {
    sides: Vec<Side<'a>>,
    /// The counters' keys, of all sides.
    slots: Vec<Slot>,
    /// Slots whose values are looked at together.
    groups: Vec<Vec<usize>>,
    /// A law with volumes over more than two counters: their sums are looked at around the edges of
    /// two.
    pub bounded: bool,
}

struct Slot {
    key: Arc<str>,
    /// Ascending; not stating a count comes before them all.
    values: Vec<u64>,
    /// Edges of the question's own.
    asked: Vec<u64>,
}

impl<'a> Counting<'a> {
    pub fn new(sides: &[&'a Ways<'a>], extra: &Extra) -> Self {
        let mut all = Self {
            sides: Vec::new(),
            slots: Vec::new(),
            groups: Vec::new(),
            bounded: false,
        };
        for (key, edge) in &extra.counts {
            let slot = all.slot(key);
            if let Some(slot) = all.slots.get_mut(slot) {
                slot.asked.push(*edge);
                slot.values.extend(around(*edge));
            }
        }
        for ways in sides {
            all.add(ways);
        }
        all.sum_up();
        for slot in &mut all.slots {
            slot.values.push(0);
            slot.values.sort_unstable();
            slot.values.dedup();
        }
        all
    }

    fn slot(&mut self, key: &Arc<str>) -> usize {
        let known = self.slots.iter().position(|s| s.key == *key);
        known.unwrap_or_else(|| {
            self.slots.push(Slot {
                key: Arc::clone(key),
                values: Vec::new(),
                asked: Vec::new(),
            });
            self.slots.len() - 1
        })
    }

    fn add(&mut self, ways: &'a Ways<'a>) {
        let vocabulary = &ways.policy.checked().vocabulary;
        let mut side = Side {
            ways,
            counters: counters(ways),
            slot_of: Vec::new(),
            tables: Vec::new(),
            tests: Vec::new(),
            limits: ways.instruments().filter_map(|i| i.people).collect(),
        };
        side.limits.sort_unstable();
        side.limits.dedup();
        for rule in rules(ways) {
            side.tables.extend(rule.when.above);
            side.tables.extend(rule.when.below);
            side.tests.extend(rule.when.counts.iter().flatten());
        }
        side.tables.sort_unstable();
        side.tables.dedup();
        for id in &side.counters {
            let key = vocabulary.counters.get(id.index()).map(|c| &c.key);
            let slot = self.slot(key.unwrap_or(&"?".into()));
            side.slot_of.push(slot);
            let own = side.tests.iter().filter(|t| t.counter == *id);
            // Of a table the lowest touched number holds for each of its counters.
            let tables = side.tables.iter();
            let tables = tables.filter_map(|t| vocabulary.thresholds.get(usize::from(*t)));
            let tables = tables.filter(|t| t.tests.iter().any(|t| t.counter == *id));
            let numbers = own.chain(tables.flat_map(|t| &t.tests)).map(|t| t.number);
            if let Some(slot) = self.slots.get_mut(slot) {
                slot.values.extend(numbers.flat_map(around));
            }
        }
        self.sides.push(side);
    }

    /// Groups the counters, and adds the values at which sums of two pass a volume.
    fn sum_up(&mut self) {
        let mut summed: Vec<usize> = Vec::new();
        let mut limits: Vec<u64> = Vec::new();
        for side in self.sides.iter().filter(|s| !s.limits.is_empty()) {
            limits.extend(&side.limits);
            let of_law = &side.ways.table.counters;
            let slots = side.counters.iter().zip(&side.slot_of);
            summed.extend(slots.filter(|(c, _)| of_law.contains(c)).map(|(_, s)| *s));
            self.bounded |= of_law.len() > 2;
        }
        summed.sort_unstable();
        summed.dedup();
        let mut more: Vec<u64> = limits.iter().copied().flat_map(around).collect();
        for slot in &summed {
            for value in self.slots.get(*slot).iter().flat_map(|s| &s.values) {
                let rest = limits.iter().map(|l| l.saturating_sub(*value));
                more.extend(rest.flat_map(around));
            }
        }
        for slot in &summed {
            if let Some(slot) = self.slots.get_mut(*slot) {
                slot.values.extend(&more);
            }
        }
        let alone = (0..self.slots.len()).filter(|s| !summed.contains(s));
        self.groups = alone.map(|s| vec![s]).collect();
        if !summed.is_empty() {
            self.groups.push(summed);
        }
    }

    /// What the cells hang on, for a record of these keys and this age.
    pub fn touch(&self, keys: &[Arc<str>], age: Option<u16>) -> Touch {
        self.sides.iter().map(|s| s.touch(keys, age)).collect()
    }

    /// Everything that the cells can come to, for records that touch so; of two records the cells
    /// stand one after the other.
    pub fn outcomes(&self, touches: &[&Touch]) -> Vec<Reached> {
        let blank = self.cells(touches, &[]);
        let mut all = Distinct::default();
        all.add(blank.iter().map(|_| NO).collect(), Vec::new(), 1);
        for group in &self.groups {
            let mut own = Distinct::default();
            self.values(group, &mut Vec::new(), &mut |values| {
                own.add(self.cells(touches, values), values.to_vec(), 1);
            });
            let mut next = Distinct::default();
            for (before, counts, weight) in &all.list {
                for (cells, values, times) in &own.list {
                    let both = before.iter().zip(cells).map(|(a, b)| *a.max(b)).collect();
                    let counts = || counts.iter().chain(values).copied().collect();
                    next.add_with(both, counts, weight.saturating_mul(*times));
                }
            }
            all = next;
        }
        let name = |(slot, value): &(usize, Option<u64>)| {
            let key = &self.slots.get(*slot)?.key;
            value.map(|v| (Arc::clone(key), v))
        };
        all.list
            .into_iter()
            .map(|(outcome, counts, weight)| Reached {
                outcome,
                counts: counts.iter().filter_map(name).collect(),
                weight,
            })
            .collect()
    }

    /// The outcomes of two records that were looked at together.
    pub fn apart(&self, both: &Outcome) -> (Outcome, Outcome) {
        let asked = self.slots.iter().map(|s| s.asked.len()).sum();
        let own = both.len().saturating_sub(asked) / 2;
        let shared = || both.iter().skip(2 * own);
        let first = both.iter().take(own).chain(shared()).copied().collect();
        let second = both.iter().skip(own).take(own).chain(shared()).copied();
        (first, second.collect())
    }

    /// Every combination of values of the slots of a group.
    fn values(&self, group: &[usize], so_far: &mut Stated, visit: &mut dyn FnMut(&Stated)) {
        let Some((slot, rest)) = group.split_first() else {
            visit(so_far);
            return;
        };
        let known = self.slots.get(*slot).into_iter().flat_map(|s| &s.values);
        for value in std::iter::once(None).chain(known.map(|v| Some(*v))) {
            so_far.push((*slot, value));
            self.values(rest, so_far, visit);
            so_far.pop();
        }
    }

    /// What the cells say where these counts are stated; cells of other counters say no.
    fn cells(&self, touches: &[&Touch], stated: &[(usize, Option<u64>)]) -> Outcome {
        let mut cells = Outcome::new();
        let of = |slot: usize| stated.iter().find(|(s, _)| *s == slot).map(|(_, v)| *v);
        for touch in touches {
            for (side, touch) in self.sides.iter().zip(*touch) {
                for person in [0, 1] {
                    side.cells(touch, person, &of, &mut cells);
                }
            }
        }
        for (i, slot) in self.slots.iter().enumerate() {
            for edge in &slot.asked {
                cells.push(match of(i) {
                    None => NO,
                    Some(None) => UNKNOWN,
                    Some(Some(value)) => {
                        if value >= *edge {
                            YES
                        } else {
                            NO
                        }
                    }
                });
            }
        }
        cells
    }
}

type Stated = Vec<(usize, Option<u64>)>;

/// Outcomes, each once, with the first that came to it.
#[derive(Default)]
struct Distinct {
    index: HashMap<Outcome, usize>,
    list: Vec<(Outcome, Stated, u64)>,
}

impl Distinct {
    fn add(&mut self, outcome: Outcome, counts: Stated, weight: u64) {
        self.add_with(outcome, || counts, weight);
    }

    fn add_with(&mut self, outcome: Outcome, counts: impl FnOnce() -> Stated, weight: u64) {
        match self.index.get(&outcome).and_then(|i| self.list.get_mut(*i)) {
            Some((_, _, sum)) => *sum = sum.saturating_add(weight),
            None => {
                self.index.insert(outcome.clone(), self.list.len());
                self.list.push((outcome, counts(), weight));
            }
        }
    }
}

/// The counters that decide something.
pub fn counters(ways: &Ways<'_>) -> Vec<CounterId> {
    let checked = ways.policy.checked();
    let mut all: Vec<CounterId> = rules(ways)
        .flat_map(|r| r.when.count_tests(&checked.vocabulary))
        .map(|t| t.counter)
        .collect();
    if ways.instruments().any(|i| i.people.is_some()) {
        all.extend(ways.table.counters.iter().copied());
    }
    all.sort_unstable();
    all.dedup();
    all
}

/// Counts before this person at which the count with this person reaches, or passes, an edge.
fn around(edge: u64) -> [u64; 4] {
    [
        edge.saturating_sub(2),
        edge.saturating_sub(1),
        edge,
        edge.saturating_add(1),
    ]
}
