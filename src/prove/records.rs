//! The records that laws on a day could tell apart: sets of categories, ages and counts.
//!
//! What a law tells of a set of categories is the `or` of what it tells of each, so the sets that
//! matter are what the single categories generate. Of each the counters are asked once
//! ([`super::counts`]); sets that differ only in what the counters make of them, and come to the
//! same, are one value of the axis. How a record grows by a category is kept beside the values.

use std::{collections::VecDeque, rc::Rc, sync::Arc};

use foldhash::{HashMap, HashMapExt, HashSet};

use crate::policy::Compiled;

use super::{
    axes::{AxisFacts, Extra, rules},
    categories::{Told, linked, many, or, personal, told},
    counts::{Counting, Counts, Outcome, Reached, Touch},
    engine::Bits,
    facts::Fact,
    ways::{AxisKind, Ways},
};

/// More sets of categories than this are not looked at: those of the fewest come first.
const MOST_SETS: usize = 100_000;

pub struct Records<'a> {
    counting: Counting<'a>,
    ages: Vec<Option<u16>>,
    sets: Vec<Set>,
    /// Indexes of `sets` that hold one category, each with that category.
    singles: Vec<(usize, Arc<str>)>,
    linked: Vec<Bits>,
    by_told: HashMap<Told, usize>,
    touches: Interned<Touch>,
    /// By touch: what its counts come to.
    reached: HashMap<usize, Rc<Vec<Reached>>>,
    /// The values of the axis.
    values: HashMap<(usize, usize, Outcome), usize>,
    facts: Vec<Fact>,
    weights: Vec<u64>,
    /// These are all sets, and all sums of counts.
    pub complete: bool,
}

struct Set {
    keys: Vec<Arc<str>>,
    told: Told,
    /// The same number where the same is told of it beside counters.
    rest: usize,
    /// By age.
    touches: Vec<usize>,
}

/// A record, and one that holds a category more, at the same age and counts.
pub struct Step {
    pub before: Fact,
    pub after: Fact,
}

/// What counts come to for a record and for a larger one.
type Joint = (Outcome, Outcome, Counts);

type Visit<'v> = dyn FnMut(&dyn Fn() -> Step, usize, usize) -> bool + 'v;

impl<'a> Records<'a> {
    pub fn new(policies: &[&Compiled], sides: &[&'a Ways<'a>], extra: &Extra) -> Self {
        let counting = Counting::new(sides, extra);
        let mut records = Self {
            complete: !counting.bounded,
            counting,
            ages: ages(sides, extra),
            sets: Vec::new(),
            singles: Vec::new(),
            linked: linked(sides),
            by_told: HashMap::new(),
            touches: Interned::default(),
            reached: HashMap::new(),
            values: HashMap::new(),
            facts: Vec::new(),
            weights: Vec::new(),
        };
        records.generate(policies, sides, extra);
        records.tell();
        records
    }

    pub fn axis(&self) -> AxisFacts {
        AxisFacts {
            kind: AxisKind::Record,
            facts: self.facts.clone(),
            weights: self.weights.clone(),
            alike: Vec::new(),
        }
    }

    /// All sets that can be told apart, those of the fewest categories first.
    fn generate(&mut self, policies: &[&Compiled], sides: &[&Ways<'_>], extra: &Extra) {
        let linked = self.linked.clone();
        let mut rests: Interned<Bits> = Interned::default();
        let mut singles: Vec<(Told, Vec<Arc<str>>)> = match &extra.record {
            Some(keys) => {
                let each = keys.iter().map(|k| told(policies, sides, extra, k));
                let all = each.reduce(|a, b| or(&a, &b, &linked));
                all.map(|t| (t, keys.clone())).into_iter().collect()
            }
            None => personal(policies)
                .into_iter()
                .map(|key| {
                    let mut told = told(policies, sides, extra, &key);
                    many(&linked, &mut told.counted);
                    (told, vec![key])
                })
                .collect(),
        };
        singles.sort_by_key(|(told, _)| told.rest.count() + told.counted.count());
        let mut add = |sets: &mut Vec<Set>, told: Told, keys| {
            sets.push(Set {
                keys,
                rest: rests.id(told.rest.clone()),
                told,
                touches: Vec::new(),
            });
            sets.len() - 1
        };
        let mut open: VecDeque<usize> = VecDeque::new();
        for (told, keys) in singles {
            if !self.by_told.contains_key(&told) {
                let set = add(&mut self.sets, told.clone(), keys.clone());
                self.by_told.insert(told, set);
                self.singles
                    .extend(keys.into_iter().next().map(|k| (set, k)));
                open.push_back(set);
            }
        }
        while let Some(set) = open.pop_front() {
            for (single, key) in &self.singles {
                let Some((small, more)) = self.sets.get(set).zip(self.sets.get(*single)) else {
                    continue;
                };
                let both = or(&small.told, &more.told, &linked);
                if self.by_told.contains_key(&both) {
                    continue;
                }
                if self.sets.len() >= MOST_SETS {
                    self.complete = false;
                    return;
                }
                let keys = small.keys.iter().chain([key]).cloned().collect();
                let grown = add(&mut self.sets, both.clone(), keys);
                self.by_told.insert(both, grown);
                open.push_back(grown);
            }
        }
    }

    /// The values of the axis: of each set, age and outcome of the counts the first.
    fn tell(&mut self) {
        for set in &mut self.sets {
            for (a, age) in self.ages.iter().enumerate() {
                let touch = self.counting.touch(&set.keys, *age);
                let id = self.touches.id(touch.clone());
                set.touches.push(id);
                let reached = self
                    .reached
                    .entry(id)
                    .or_insert_with(|| Rc::new(self.counting.outcomes(&[&touch])));
                for one in reached.iter() {
                    let value = (set.rest, a, one.outcome.clone());
                    match self
                        .values
                        .get(&value)
                        .and_then(|v| self.weights.get_mut(*v))
                    {
                        Some(weight) => *weight = weight.saturating_add(one.weight),
                        None => {
                            self.values.insert(value, self.facts.len());
                            self.weights.push(one.weight);
                            self.facts.push(Fact::Record {
                                keys: set.keys.clone(),
                                age: *age,
                                counts: one.counts.clone(),
                            });
                        }
                    }
                }
            }
        }
    }

    /// Visits, as values of the axis, every record with every one that holds a category more, at
    /// the same age and counts; each pair once. Larger records follow from these.
    pub fn grow(&self, visit: &mut dyn FnMut(usize, usize)) {
        let mut seen: HashSet<(usize, usize)> = HashSet::default();
        self.steps(&mut |_, small, large| {
            if small != large && seen.insert((small, large)) {
                visit(small, large);
            }
            false
        });
    }

    /// The first step from a value to another that satisfies `wanted`, in full.
    pub fn step(&self, wanted: &dyn Fn(usize, usize) -> bool) -> Option<Step> {
        let mut found = None;
        self.steps(&mut |told, small, large| {
            if found.is_none() && wanted(small, large) {
                found = Some(told());
            }
            found.is_some()
        });
        found
    }

    /// `visit` says whether it has seen enough.
    fn steps(&self, visit: &mut Visit<'_>) {
        let mut joint: HashMap<(usize, usize), Vec<Joint>> = HashMap::new();
        let mut seen: HashSet<[usize; 5]> = HashSet::default();
        for small in &self.sets {
            for (single, key) in &self.singles {
                let Some(more) = self.sets.get(*single) else {
                    continue;
                };
                let Some(large) = self.grown(small, more) else {
                    continue;
                };
                for (a, age) in self.ages.iter().enumerate() {
                    let (Some(t), Some(u)) = (small.touches.get(a), large.touches.get(a)) else {
                        continue;
                    };
                    if !seen.insert([small.rest, large.rest, *t, *u, a]) {
                        continue;
                    }
                    let both = joint.entry((*t, *u)).or_insert_with(|| self.joint(*t, *u));
                    for (before, after, counts) in both.iter() {
                        let value = |set: &Set, o: &Outcome| {
                            self.values.get(&(set.rest, a, o.clone())).copied()
                        };
                        let Some((before, after)) = value(small, before).zip(value(large, after))
                        else {
                            continue;
                        };
                        let step = || {
                            let record = |keys| Fact::Record {
                                keys,
                                age: *age,
                                counts: counts.clone(),
                            };
                            let larger = small.keys.iter().chain([key]).cloned().collect();
                            Step {
                                before: record(small.keys.clone()),
                                after: record(larger),
                            }
                        };
                        if visit(&step, before, after) {
                            return;
                        }
                    }
                }
            }
        }
    }

    fn grown(&self, small: &Set, more: &Set) -> Option<&Set> {
        let both = or(&small.told, &more.told, &self.linked);
        self.sets.get(*self.by_told.get(&both)?)
    }

    /// What the same counts come to for two records.
    fn joint(&self, small: usize, large: usize) -> Vec<Joint> {
        let touches = self.touches.get(small).zip(self.touches.get(large));
        let reached = touches.map(|(a, b)| self.counting.outcomes(&[a, b]));
        let apart = |r: Reached| {
            let (before, after) = self.counting.apart(&r.outcome);
            (before, after, r.counts)
        };
        reached.into_iter().flatten().map(apart).collect()
    }
}

/// Values by number, each once.
struct Interned<T> {
    ids: HashMap<T, usize>,
    list: Vec<T>,
}

impl<T> Default for Interned<T> {
    fn default() -> Self {
        Self {
            ids: HashMap::new(),
            list: Vec::new(),
        }
    }
}

impl<T: Clone + Eq + std::hash::Hash> Interned<T> {
    fn id(&mut self, value: T) -> usize {
        let next = self.list.len();
        let id = *self.ids.entry(value.clone()).or_insert(next);
        if id == next {
            self.list.push(value);
        }
        id
    }

    fn get(&self, id: usize) -> Option<&T> {
        self.list.get(id)
    }
}

fn ages(sides: &[&Ways<'_>], extra: &Extra) -> Vec<Option<u16>> {
    let mut edges: Vec<u16> = sides
        .iter()
        .flat_map(|w| {
            let children = w.table.children.iter().map(|c| c.1);
            let below = rules(w).filter_map(|r| r.when.below_age);
            children.chain([w.table.sensitive_below]).chain(below)
        })
        .chain(extra.ages.iter().copied())
        .filter(|a| *a > 0)
        .flat_map(|a| [a - 1, a])
        .collect();
    edges.sort_unstable();
    edges.dedup();
    std::iter::once(None)
        .chain(edges.into_iter().map(Some))
        .collect()
}
