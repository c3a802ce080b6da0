//! All flows at once: a decision over independent facts as a diagram with shared nodes.
//!
//! A law decides by an ordered list of *ways* (a prohibition, or a permit by one mechanism under
//! one instrument); the first that holds is the finding. A way is a conjunction of conditions, each
//! on one axis of facts. So a value of an axis is fully described by the ways it leaves standing,
//! values that leave the same ones are one class, and a node of the diagram is the set of ways that
//! still stand after some axes. Two paths that lead to the same set have the same future: they are
//! visited once, however many flows they stand for. A way that nothing can still make fall hides
//! all that come after it. What is walked is thus every class, and no class twice.

use std::{collections::BTreeSet, ops::Range, rc::Rc};

use foldhash::{HashMap, HashMapExt};
use smallvec::SmallVec;

/// A set of ways.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Bits(SmallVec<[u64; 4]>);

impl Bits {
    pub fn none(len: usize) -> Self {
        Self(SmallVec::from_elem(0, len.div_ceil(64)))
    }

    /// The set of the indexes at which `bits` hold.
    pub fn of(bits: &[bool]) -> Self {
        let mut set = Self::none(bits.len());
        for (i, _) in bits.iter().enumerate().filter(|(_, bit)| **bit) {
            set.set(i);
        }
        set
    }

    pub fn count(&self) -> u32 {
        self.0.iter().map(|w| w.count_ones()).sum()
    }

    pub fn or(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| a | b).collect())
    }

    pub fn set(&mut self, i: usize) {
        if let Some(word) = self.0.get_mut(i / 64) {
            *word |= 1 << (i % 64);
        }
    }

    pub fn clear(&mut self, i: usize) {
        if let Some(word) = self.0.get_mut(i / 64) {
            *word &= !(1 << (i % 64));
        }
    }

    pub fn contains(&self, i: usize) -> bool {
        self.0.get(i / 64).is_some_and(|w| w & (1 << (i % 64)) != 0)
    }

    pub fn and(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| a & b).collect())
    }

    /// The first in `range`.
    pub fn first(&self, range: &Range<usize>) -> Option<usize> {
        let mut at = range.start;
        while at < range.end {
            let word = self.0.get(at / 64)? >> (at % 64);
            if word != 0 {
                let found = at + usize::try_from(word.trailing_zeros()).ok()?;
                return (found < range.end).then_some(found);
            }
            at = (at / 64 + 1) * 64;
        }
        None
    }
}

/// One axis: each value's ways that it leaves standing.
pub struct Axis {
    pub keeps: Vec<Bits>,
    /// How many raw values each stands for.
    pub weights: Vec<u64>,
}

/// Values of an axis that leave the same ways standing.
#[derive(Clone)]
pub struct Edge {
    pub keep: Bits,
    pub values: Vec<u32>,
    pub weight: f64,
}

pub struct Diagram {
    pub edges: Vec<Vec<Edge>>,
    /// By way: the axes from this one on cannot make it fall.
    settled_from: Vec<usize>,
    /// Ordered lists of ways, one per policy; the first that stands decides. Ways outside of all
    /// sections are marks, which hide nothing and are never hidden.
    sections: Vec<Range<usize>>,
    ways: usize,
}

impl Diagram {
    pub fn new(axes: &[Axis], ways: usize, sections: Vec<Range<usize>>) -> Self {
        let mut edges: Vec<Vec<Edge>> = Vec::with_capacity(axes.len());
        let mut settled_from = vec![0; ways];
        for (a, axis) in axes.iter().enumerate() {
            let mut found: Vec<Edge> = Vec::new();
            let mut index: HashMap<&Bits, usize> = HashMap::new();
            for (v, (keep, weight)) in axis.keeps.iter().zip(&axis.weights).enumerate() {
                let v = u32::try_from(v).unwrap_or(u32::MAX);
                #[expect(clippy::cast_precision_loss, reason = "a count for people to read")]
                let weight = *weight as f64;
                match index.get(keep).and_then(|i| found.get_mut(*i)) {
                    Some(edge) => {
                        edge.values.push(v);
                        edge.weight += weight;
                    }
                    None => {
                        index.insert(keep, found.len());
                        found.push(Edge {
                            keep: keep.clone(),
                            values: vec![v],
                            weight,
                        });
                    }
                }
            }
            for (way, settled) in settled_from.iter_mut().enumerate() {
                if found.iter().any(|e| !e.keep.contains(way)) {
                    *settled = a + 1;
                }
            }
            edges.push(found);
        }
        Self {
            edges,
            settled_from,
            sections,
            ways,
        }
    }

    pub fn root(&self) -> Bits {
        let mut all = Bits::none(self.ways);
        (0..self.ways).for_each(|i| all.set(i));
        self.reduce(all, 0)
    }

    /// The state after an edge of `axis`.
    pub fn step(&self, state: &Bits, axis: usize, edge: &Edge) -> Bits {
        self.reduce(state.and(&edge.keep), axis + 1)
    }

    /// Hides what comes after a way that nothing can make fall any more.
    fn reduce(&self, mut state: Bits, axis: usize) -> Bits {
        for section in &self.sections {
            let mut hidden = false;
            let mut at = section.start;
            while let Some(way) = state.first(&(at..section.end)) {
                if hidden {
                    state.clear(way);
                }
                hidden |= self.settled_from.get(way).is_some_and(|s| *s <= axis);
                at = way + 1;
            }
        }
        state
    }

    /// Visits every node once, with the values on the first path to it. `visit` says whether to go
    /// deeper.
    pub fn walk(&self, visit: &mut dyn FnMut(usize, &Bits, &[u32]) -> bool) -> u64 {
        let mut seen: foldhash::HashSet<(usize, Bits)> = foldhash::HashSet::default();
        let mut path = Vec::new();
        self.walk_from(0, self.root(), &mut seen, &mut path, visit);
        u64::try_from(seen.len()).unwrap_or(u64::MAX)
    }

    fn walk_from(
        &self,
        axis: usize,
        state: Bits,
        seen: &mut foldhash::HashSet<(usize, Bits)>,
        path: &mut Vec<u32>,
        visit: &mut dyn FnMut(usize, &Bits, &[u32]) -> bool,
    ) {
        if !seen.insert((axis, state.clone())) || !visit(axis, &state, path) {
            return;
        }
        let Some(edges) = self.edges.get(axis) else {
            return;
        };
        for edge in edges {
            let Some(value) = edge.values.first() else {
                continue;
            };
            path.push(*value);
            self.walk_from(axis + 1, self.step(&state, axis, edge), seen, path, visit);
            path.pop();
        }
    }

    /// For each group into which `leaf` puts ends of paths: how many flows, and by which values of
    /// each axis one gets there.
    pub fn groups(&self, leaf: &mut dyn FnMut(&Bits) -> Option<usize>) -> Vec<Group> {
        let mut known = HashMap::new();
        let mut groups = Vec::new();
        let counts = self.count(0, self.root(), leaf, &mut known, &mut groups);
        for (group, flows) in counts.iter() {
            if let Some(g) = groups.get_mut(*group) {
                g.flows = *flows;
            }
        }
        groups
    }

    fn count(
        &self,
        axis: usize,
        state: Bits,
        leaf: &mut dyn FnMut(&Bits) -> Option<usize>,
        known: &mut HashMap<(usize, Bits), Counts>,
        groups: &mut Vec<Group>,
    ) -> Counts {
        let key = (axis, state);
        if let Some(counts) = known.get(&key) {
            return Rc::clone(counts);
        }
        let mut sums: Vec<(usize, f64)> = Vec::new();
        match self.edges.get(axis) {
            None => {
                if let Some(group) = leaf(&key.1) {
                    sums.push((group, 1.0));
                    while groups.len() <= group {
                        groups.push(Group {
                            flows: 0.0,
                            values: vec![BTreeSet::new(); self.edges.len()],
                        });
                    }
                }
            }
            Some(edges) => {
                for edge in edges {
                    let next = self.step(&key.1, axis, edge);
                    let below = self.count(axis + 1, next, leaf, known, groups);
                    for (group, flows) in below.iter() {
                        let reached = groups.get_mut(*group).and_then(|g| g.values.get_mut(axis));
                        if let Some(values) = reached {
                            values.extend(edge.values.iter().copied());
                        }
                        let flows = flows * edge.weight;
                        match sums.iter_mut().find(|(g, _)| g == group) {
                            Some((_, sum)) => *sum += flows,
                            None => sums.push((*group, flows)),
                        }
                    }
                }
            }
        }
        let sums = Rc::new(sums);
        known.insert(key, Rc::clone(&sums));
        sums
    }
}

/// Flows by group.
type Counts = Rc<Vec<(usize, f64)>>;

/// Flows that end alike.
#[derive(Clone, Debug)]
pub struct Group {
    pub flows: f64,
    /// By axis: the values on some path to it.
    pub values: Vec<BTreeSet<u32>>,
}
