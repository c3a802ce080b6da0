//! Parties as laws tell them apart: by attributes, on one day.
//!
//! Entities with the same attributes are of one kind. Kinds are few, whatever an organisation's
//! size, so what a law's rules ask of attributes is answered once for each kind, not once for
//! each decision.

use foldhash::{HashMap, HashMapExt};

use super::{
    checked::Checked,
    facts::Facts,
    sets::{AttributeSet, EntityId, Interval},
};

use jiff::civil::Date;

/// The attributes of all entities on one day.
#[derive(Debug)]
pub struct Attributes {
    /// By entity: an index of `kinds`.
    of: Box<[u16]>,
    /// The first has none: it stands for the person, who is no entity.
    kinds: Vec<AttributeSet>,
}

impl Attributes {
    pub fn on(checked: &Checked, day: Date) -> Self {
        let groups = &checked.vocabulary.groups;
        let established: Vec<_> = checked
            .vocabulary
            .established
            .iter()
            .map(|(attribute, places)| (*attribute, places.on(day, groups)))
            .collect();
        let mut kinds = vec![AttributeSet::EMPTY];
        let mut known = HashMap::new();
        known.insert(AttributeSet::EMPTY, 0);
        let of = checked.entities().map(|(_, entity)| {
            let in_force = |(_, interval): &&(_, Interval)| interval.contains(day);
            let own = entity.attributes.iter().filter(in_force).map(|(a, _)| *a);
            let there = established.iter().filter(|(_, p)| p.contains(entity.place));
            let set = own.chain(there.map(|(a, _)| *a)).collect();
            *known.entry(set).or_insert_with(|| {
                kinds.push(set);
                u16::try_from(kinds.len() - 1).unwrap_or(0)
            })
        });
        let of = of.collect();
        Self { of, kinds }
    }

    pub fn kind(&self, entity: Option<EntityId>) -> usize {
        let kind = entity.and_then(|e| self.of.get(e.index()));
        kind.copied().map_or(0, usize::from)
    }

    pub fn kinds(&self) -> &[AttributeSet] {
        &self.kinds
    }
}

/// Whose attributes are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Exporter,
    Importer,
    /// Any party of the flow.
    Any,
}

/// The sets of attributes that a law's rules ask about: each has two bits, for a party that has
/// one of them and for a party that has none.
#[derive(Debug, Default)]
pub struct Watched(Vec<(End, AttributeSet)>);

/// What the attributes of one kind of party say, in each place that it may have in a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartyFacts {
    pub has: AttributeSet,
    pub as_exporter: u64,
    pub as_importer: u64,
    /// Of all parties together, those stand that stand for each.
    pub as_any: u64,
    /// Outside the territory, wherever it sits.
    pub outside: bool,
}

impl Watched {
    const CAPACITY: usize = 32;

    /// That no party at `end` has one of `set`; `None`: there is no bit left for it.
    pub fn has_none(&mut self, end: End, set: AttributeSet) -> Option<Facts> {
        let i = self.index(end, set)?;
        Some(Facts::parties(none(i)))
    }

    /// That the party at `end`, which is one, has one of `set`; `None`: there is no bit left.
    pub fn has_some(&mut self, end: End, set: AttributeSet) -> Option<Facts> {
        let i = self.index(end, set).filter(|_| end != End::Any)?;
        Some(Facts::parties(some(i)))
    }

    fn index(&mut self, end: End, set: AttributeSet) -> Option<usize> {
        let known = self.0.iter().position(|w| *w == (end, set));
        if known.is_none() && self.0.len() < Self::CAPACITY {
            self.0.push((end, set));
            return Some(self.0.len() - 1);
        }
        known
    }

    pub fn facts(&self, has: AttributeSet, outside: AttributeSet) -> PartyFacts {
        let mut facts = PartyFacts {
            has,
            outside: has.intersects(outside),
            ..PartyFacts::default()
        };
        for (i, (end, set)) in self.0.iter().enumerate() {
            let bit = if has.intersects(*set) {
                some(i)
            } else {
                none(i)
            };
            match end {
                End::Exporter => facts.as_exporter |= bit,
                End::Importer => facts.as_importer |= bit,
                End::Any => facts.as_any |= bit & none(i),
            }
        }
        facts
    }
}

fn some(index: usize) -> u64 {
    1 << (2 * index)
}

fn none(index: usize) -> u64 {
    2 << (2 * index)
}
