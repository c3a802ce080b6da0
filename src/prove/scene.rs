//! One law on one day (in one policy, or in two that are compared) as axes and their diagram.

use jiff::Timestamp;

use crate::{
    decide::{
        LawFinding, Query,
        inside::{Attached, Link, View, judge},
    },
    domain::{Country, Place},
    policy::{Compiled, Effect},
};

use super::{
    axes::{AxisFacts, Extra, axes},
    engine::{Axis, Bits, Diagram},
    facts::{Fact, blank, link_of},
    records::Records,
    ways::{AxisKind, Way, Ways},
};

/// A law's ways in one policy, and where they stand among all ways of the scene.
#[derive(Clone)]
pub struct Side<'a> {
    pub ways: &'a Ways<'a>,
    offset: usize,
}

/// Marks of a side, after its ways: flows that the law does not govern at all, and combinations of
/// facts that another value of the first axis stands for already.
const UNATTACHED: usize = 0;
const LIFTED: usize = 1;
const ELSEWHERE: usize = 2;
const MARKS: usize = 3;

pub struct Scene<'a> {
    pub at: Timestamp,
    pub axes: Vec<AxisFacts>,
    pub sides: Vec<Side<'a>>,
    pub diagram: Diagram,
    /// By axis and value: the ways left standing.
    keeps: Vec<Vec<Bits>>,
    /// What the diagram stands for, were it written out.
    pub flows: f64,
    /// The last axis; `None` where only some of its values are looked at.
    pub records: Option<Records<'a>>,
    /// The records, or the counts, are not all of them.
    pub bounded: bool,
}

/// What a law says of a class, by its ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Said {
    /// The law does not govern the flow.
    Nothing,
    /// No such flow: another class stands for it.
    Unreal,
    /// The way at this index of the side decides.
    Way(usize),
    /// No way holds: refused.
    Missing,
}

impl<'a> Scene<'a> {
    /// `filter` keeps the values that a question is about.
    pub fn new(
        at: Timestamp,
        policies: &[&'a Compiled],
        ways: &[&'a Ways<'a>],
        extra: &Extra,
        filter: &dyn Fn(&Fact) -> bool,
    ) -> Self {
        let (mut all, records) = axes(policies, ways, extra);
        let bounded = !records.complete;
        let mut whole = true;
        for axis in &mut all {
            let kept: Vec<bool> = axis.facts.iter().map(filter).collect();
            whole &= axis.kind != AxisKind::Record || !kept.contains(&false);
            retain(&mut axis.facts, &kept);
            retain(&mut axis.weights, &kept);
        }
        let mut sides = Vec::new();
        let mut total = 0;
        for ways in ways {
            sides.push(Side {
                ways,
                offset: total,
            });
            total += ways.list.len() + MARKS;
        }
        let keeps: Vec<Vec<Bits>> = all
            .iter()
            .map(|axis| {
                let keep = |fact: &Fact| keep_of(at, &sides, total, axis.kind, fact);
                axis.facts.iter().map(keep).collect()
            })
            .collect();
        let records = Some(records).filter(|_| whole);
        Self::of(at, all, keeps, sides, bounded, records)
    }

    fn of(
        at: Timestamp,
        all: Vec<AxisFacts>,
        keeps: Vec<Vec<Bits>>,
        sides: Vec<Side<'a>>,
        bounded: bool,
        records: Option<Records<'a>>,
    ) -> Self {
        let plain: Vec<Axis> = keeps
            .iter()
            .zip(&all)
            .map(|(keeps, axis)| Axis {
                keeps: keeps.clone(),
                weights: axis.weights.clone(),
            })
            .collect();
        let end = |s: &Side<'_>| s.offset + s.ways.list.len();
        let sections = sides.iter().map(|s| s.offset..end(s)).collect();
        let total = sides.last().map_or(0, |s| end(s) + MARKS);
        #[expect(clippy::cast_precision_loss, reason = "a count for people to read")]
        let flows = plain
            .iter()
            .map(|a| a.weights.iter().map(|w| *w as f64).sum::<f64>())
            .product();
        Self {
            at,
            diagram: Diagram::new(&plain, total, sections),
            keeps,
            axes: all,
            sides,
            flows,
            records,
            bounded,
        }
    }

    /// The same scene for the values alone that a question is about.
    pub fn restricted(&self, filter: &dyn Fn(&Fact) -> bool) -> Self {
        let mut axes = Vec::with_capacity(self.axes.len());
        let mut keeps = Vec::with_capacity(self.axes.len());
        for (axis, all) in self.axes.iter().zip(&self.keeps) {
            let mut own = AxisFacts::plain(axis.kind, Vec::new());
            let mut kept = Vec::new();
            for ((fact, weight), keep) in axis.facts.iter().zip(&axis.weights).zip(all) {
                if filter(fact) {
                    own.facts.push(fact.clone());
                    own.weights.push(*weight);
                    kept.push(keep.clone());
                }
            }
            axes.push(own);
            keeps.push(kept);
        }
        Self::of(self.at, axes, keeps, self.sides.clone(), self.bounded, None)
    }

    /// What one side says at the end of a path.
    pub fn said(&self, side: usize, leaf: &Bits) -> Said {
        let Some(side) = self.sides.get(side) else {
            return Said::Nothing;
        };
        let end = side.offset + side.ways.list.len();
        let marked = |mark: usize| leaf.contains(end + mark);
        if marked(LIFTED) || marked(ELSEWHERE) {
            return Said::Unreal;
        }
        if marked(UNATTACHED) {
            return Said::Nothing;
        }
        match leaf.first(&(side.offset..end)) {
            Some(way) => Said::Way(way - side.offset),
            None => Said::Missing,
        }
    }

    pub fn way(&self, side: usize, said: Said) -> Option<&Way<'a>> {
        match said {
            Said::Way(i) => self.sides.get(side)?.ways.list.get(i),
            Said::Nothing | Said::Unreal | Said::Missing => None,
        }
    }

    /// Whether the way at this index of a side still stands.
    pub fn holds(&self, side: usize, way: usize, leaf: &Bits) -> bool {
        let offset = self.sides.get(side).map(|s| s.offset);
        offset.is_some_and(|o| leaf.contains(o + way))
    }

    pub fn permits(&self, side: usize, said: Said) -> bool {
        self.way(side, said)
            .is_some_and(|w| w.effect == Effect::Permit)
    }

    /// What is left after all values of a path.
    pub fn leaf(&self, path: &[u32]) -> Bits {
        let mut state = self.diagram.root();
        for (axis, value) in path.iter().enumerate() {
            if let Some(keep) = self.keep(axis, *value) {
                state = state.and(keep);
            }
        }
        state
    }

    pub fn keep(&self, axis: usize, value: u32) -> Option<&Bits> {
        self.keeps.get(axis)?.get(usize::try_from(value).ok()?)
    }

    pub fn facts(&self, path: &[u32]) -> Vec<Fact> {
        let fact = |(axis, value): (&AxisFacts, &u32)| {
            axis.facts.get(usize::try_from(*value).ok()?).cloned()
        };
        self.axes.iter().zip(path).filter_map(fact).collect()
    }

    /// The decision's own finding on a path: the whole law at once, as the router would ask it.
    pub fn replay(&self, side: usize, path: &[u32]) -> Option<LawFinding> {
        let side = self.sides.get(side)?;
        let facts = self.facts(path);
        let (query, link) = query(side.ways, self.at, &facts);
        let view = View::new(side.ways.policy, side.ways.id, &query, link)?;
        Some(judge(&view, side.ways.id))
    }

    /// The path with as little said as still satisfies `still`.
    pub fn shrink(&self, path: &[u32], still: &dyn Fn(&Bits) -> bool) -> Vec<u32> {
        let mut best = path.to_vec();
        for axis in 0..best.len() {
            let Some(own) = best.get(axis).copied() else {
                continue;
            };
            for value in 0..own {
                if let Some(slot) = best.get_mut(axis) {
                    *slot = value;
                }
                if still(&self.leaf(&best)) {
                    break;
                }
                if let Some(slot) = best.get_mut(axis) {
                    *slot = own;
                }
            }
        }
        best
    }
}

fn retain<T>(list: &mut Vec<T>, kept: &[bool]) {
    let mut keep = kept.iter().copied();
    list.retain(|_| keep.next().unwrap_or(false));
}

fn query(ways: &Ways<'_>, at: Timestamp, facts: &[Fact]) -> (Query, Link) {
    let mut query = blank(ways.policy, at, somewhere(ways));
    let mut link = Link {
        person: false,
        citizen: false,
        by_via: false,
    };
    for fact in facts {
        fact.apply(ways.policy, &mut query);
        if let Fact::Asked { .. } = fact {
            link = link_of(ways.policy, ways.id, &query);
        }
    }
    (query, link)
}

fn somewhere(ways: &Ways<'_>) -> Place {
    let mut inside = ways.table.territory.countries.iter().map(Place::of);
    inside.next().unwrap_or(Place::of(Country::SOMEWHERE))
}

fn keep_of(at: Timestamp, sides: &[Side<'_>], total: usize, axis: AxisKind, fact: &Fact) -> Bits {
    let mut keep = Bits::none(total);
    for side in sides {
        let ways = side.ways;
        let (query, link) = query(ways, at, std::slice::from_ref(fact));
        let end = side.offset + ways.list.len();
        let [unattached, lifted, elsewhere] = marks(ways, axis, &query, link);
        for (mark, stands) in [
            (UNATTACHED, unattached),
            (LIFTED, lifted),
            (ELSEWHERE, elsewhere),
        ] {
            if stands {
                keep.set(end + mark);
            }
        }
        let joined = Link {
            person: link.person || axis == AxisKind::Record,
            ..link
        };
        let view = |link| View::new(ways.policy, ways.id, &query, link);
        let Some((view, counted)) = view(link).zip(view(joined)) else {
            continue;
        };
        for (i, way) in ways.list.iter().enumerate() {
            let view = match Ways::person(way) {
                Some(true) => &counted,
                _ => &view,
            };
            if ways.stands(way, axis, view) {
                keep.set(side.offset + i);
            }
        }
    }
    keep
}

fn marks(ways: &Ways<'_>, axis: AxisKind, query: &Query, link: Link) -> [bool; MARKS] {
    match axis {
        AxisKind::Asked => [
            !(link.person || link.citizen),
            link.person,
            ways.law.attaches.person && !link.person,
        ],
        AxisKind::Ends => {
            let exports = Attached::of(ways.policy, query).exporter.contains(ways.id);
            let lifts = query.from.entity.is_some_and(|e| {
                let of = ways.policy.entity_lifts.get(e.index());
                of.is_some_and(|l| l.contains(ways.id))
            });
            let collected = query.subject.collected_in;
            let inside = collected.is_some_and(|p| ways.table.territory.contains(p));
            [!exports, lifts, inside]
        }
        _ => [true; MARKS],
    }
}
