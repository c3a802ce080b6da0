//! Small sets and intervals that the checked and the compiled policy are made of.

use jiff::civil::Date;
use smallvec::SmallVec;

pub use crate::domain::RecipientId;
use crate::domain::{Country, Place};

/// A set of countries; a plain value of 88 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct CountrySet([u64; 11]);

impl CountrySet {
    pub const EMPTY: Self = Self([0; 11]);

    pub fn insert(&mut self, country: Country) {
        let i = country.index();
        if let Some(word) = self.0.get_mut(i >> 6) {
            *word |= 1 << (i & 63);
        }
    }

    pub fn remove(&mut self, country: Country) {
        let i = country.index();
        if let Some(word) = self.0.get_mut(i >> 6) {
            *word &= !(1 << (i & 63));
        }
    }

    pub fn contains(&self, country: Country) -> bool {
        let i = country.index();
        self.0.get(i >> 6).is_some_and(|w| w & (1 << (i & 63)) != 0)
    }

    pub fn is_empty(&self) -> bool {
        self.0 == [0; 11]
    }

    pub fn iter(&self) -> impl Iterator<Item = Country> + '_ {
        Country::all().filter(|c| self.contains(*c))
    }
}

/// A set of places: whole countries, parts of countries, international organisations.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PlaceSet {
    /// Everything, organisations included, but what `except` names.
    pub any: bool,
    pub countries: CountrySet,
    /// Subdivisions and organisations.
    pub parts: SmallVec<[Place; 1]>,
    pub except: Option<Box<PlaceSet>>,
}

impl PlaceSet {
    pub fn anywhere() -> Self {
        Self {
            any: true,
            ..Self::default()
        }
    }

    pub fn insert(&mut self, place: Place) {
        match place.country() {
            Some(country) if !place.is_subdivision() => self.countries.insert(country),
            _ if self.parts.contains(&place) => {}
            _ => self.parts.push(place),
        }
    }

    pub fn contains(&self, place: Place) -> bool {
        let inside = self.any
            || place.country().is_some_and(|c| self.countries.contains(c))
            || self.parts.iter().any(|p| place.within(p));
        inside && !self.except.as_ref().is_some_and(|e| e.contains(place))
    }

    /// Whether there is nothing but whole countries in it.
    pub fn is_of_countries(&self) -> bool {
        !self.any && self.parts.is_empty() && self.except.is_none()
    }

    /// Whether a whole country's membership says all about places in it.
    pub fn is_by_country(&self) -> bool {
        self.parts.is_empty() && self.except.as_ref().is_none_or(|e| e.is_by_country())
    }

    /// Whether the country, or a part of it, may be in the set.
    pub fn touches(&self, country: Country) -> bool {
        let excepted = self
            .except
            .as_ref()
            .is_some_and(|e| e.contains(Place::of(country)));
        let inside = self.any
            || self.countries.contains(country)
            || self.parts.iter().any(|p| p.country() == Some(country));
        inside && !excepted
    }

    pub fn is_empty(&self) -> bool {
        !self.any && self.countries.is_empty() && self.parts.is_empty()
    }
}

/// A set of attributes of entities, by their index in the vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct AttributeSet(u128);

impl AttributeSet {
    pub const EMPTY: Self = Self(0);
    pub const CAPACITY: usize = 128;

    pub fn insert(&mut self, attribute: AttributeId) {
        self.0 |= 1u128 << (attribute.0 & 127);
    }

    pub fn contains(self, attribute: AttributeId) -> bool {
        self.0 & (1u128 << (attribute.0 & 127)) != 0
    }

    pub fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub fn iter(self) -> impl Iterator<Item = AttributeId> {
        (0..128u8)
            .map(AttributeId)
            .filter(move |a| self.contains(*a))
    }
}

impl FromIterator<AttributeId> for AttributeSet {
    fn from_iter<I: IntoIterator<Item = AttributeId>>(all: I) -> Self {
        let mut set = Self::EMPTY;
        all.into_iter().for_each(|a| set.insert(a));
        set
    }
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident($inner:ty);)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub $inner);
        impl $name {
            pub fn index(self) -> usize {
                usize::from(self.0)
            }
        }
    )*};
}

ids! {
    /// Index of an attribute in the vocabulary.
    AttributeId(u8);
    /// Index of a mechanism in the vocabulary.
    MechanismId(u8);
    /// Index of a counter in the vocabulary.
    CounterId(u8);
    /// Index of a group of countries in the vocabulary.
    GroupId(u8);
    /// Index of a law; laws stand in the order of their ids.
    LawId(u8);
    /// Index of a rule of any law or promise in one policy.
    RuleId(u16);
    /// Index of an entity of the organisation; in the order of their ids.
    EntityId(u16);
    /// Index of an instrument of the organisation; in the order of its file.
    InstrumentId(u16);
    /// Index of a promise of the organisation; in the order of its file.
    PromiseId(u16);
    /// A purpose that some file names; [`PurposeId::OTHER`] for all that none names.
    PurposeId(u16);
}

/// How an entry tells a purpose that no file names.
pub const OTHER_PURPOSE: &str = "other";

impl PurposeId {
    /// A purpose that no file names: covered only where every purpose is.
    pub const OTHER: Self = Self(u16::MAX);
    /// A consent's purpose that is neither in the files nor the flow's own.
    pub const ANOTHER: Self = Self(u16::MAX - 1);
}

/// A set of laws. At most 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct LawSet(u64);

impl LawSet {
    pub const EMPTY: Self = Self(0);
    pub const CAPACITY: usize = 64;

    pub fn insert(&mut self, law: LawId) {
        self.0 |= 1 << (law.0 & 63);
    }

    pub fn contains(self, law: LawId) -> bool {
        self.0 & (1 << (law.0 & 63)) != 0
    }

    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn iter(self) -> impl Iterator<Item = LawId> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let next = u8::try_from(rest.trailing_zeros())
                .ok()
                .filter(|n| *n < 64)?;
            rest &= rest - 1;
            Some(LawId(next))
        })
    }
}

/// Days from `from` to `until`, both inclusive; `None` is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Interval {
    pub from: Option<Date>,
    pub until: Option<Date>,
}

impl Interval {
    pub const ALWAYS: Self = Self {
        from: None,
        until: None,
    };

    pub fn contains(&self, day: Date) -> bool {
        self.from.is_none_or(|f| f <= day) && self.until.is_none_or(|u| day <= u)
    }

    /// The days on which membership changes: the first inside and the first after.
    pub fn edges(&self) -> impl Iterator<Item = Date> {
        let after = self.until.and_then(|u| u.tomorrow().ok());
        self.from.into_iter().chain(after)
    }

    pub fn overlaps(&self, other: &Self) -> bool {
        let starts_in_time = |a: &Self, b: &Self| match (a.from, b.until) {
            (Some(f), Some(u)) => f <= u,
            _ => true,
        };
        starts_in_time(self, other) && starts_in_time(other, self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_sets() {
        let mut set = PlaceSet::default();
        set.insert("HK".parse().unwrap());
        set.insert("CN-GD".parse().unwrap());
        for (place, inside) in [
            ("HK", true),
            ("CN-GD", true),
            ("CN", false),
            ("CN-BJ", false),
        ] {
            assert_eq!(set.contains(place.parse().unwrap()), inside, "{place}");
        }
        let mut all = PlaceSet::anywhere();
        all.except = Some(Box::new(set));
        assert!(all.contains("X-EPO".parse().unwrap()));
        assert!(!all.contains("HK".parse().unwrap()) && all.contains("CN".parse().unwrap()));
        assert!(!all.is_by_country());
    }

    #[test]
    fn intervals_are_inclusive() {
        let day = |d: &str| -> Date { d.parse().unwrap() };
        let i = Interval {
            from: Some(day("2024-03-22")),
            until: Some(day("2025-06-30")),
        };
        assert!(i.contains(day("2024-03-22")) && i.contains(day("2025-06-30")));
        assert!(!i.contains(day("2024-03-21")) && !i.contains(day("2025-07-01")));
        let edges: Vec<Date> = i.edges().collect();
        assert_eq!(edges, [day("2024-03-22"), day("2025-07-01")]);
        let later = Interval {
            from: Some(day("2025-07-01")),
            until: None,
        };
        assert!(!i.overlaps(&later) && i.overlaps(&Interval::ALWAYS));
    }

    #[test]
    fn law_sets_iterate_in_order() {
        let mut set = LawSet::EMPTY;
        for id in [63, 0, 7] {
            set.insert(LawId(id));
        }
        assert_eq!(set.iter().map(|l| l.0).collect::<Vec<_>>(), [0, 7, 63]);
    }
}
