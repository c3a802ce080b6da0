//! Places as files name them: by code or by dated group.

use jiff::civil::Date;

use crate::domain::Place;

use super::{
    sets::{GroupId, Interval, PlaceSet},
    vocabulary::{Groups, Names},
};

/// Members of a group, each with the days on which it is one.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// The day on which the list was last compared with its source.
    pub as_of: Option<Date>,
    pub source: Option<String>,
    pub members: Vec<(Place, Interval)>,
}

/// A set of places that may change with time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlaceExpr {
    pub any: bool,
    pub places: Vec<Place>,
    pub groups: Vec<GroupId>,
}

impl PlaceExpr {
    pub fn anywhere() -> Self {
        Self {
            any: true,
            ..Self::default()
        }
    }

    /// As the file names them; `*`: every place.
    pub fn names(&self, groups: &Names) -> Vec<String> {
        let any = self.any.then(|| "*".to_owned());
        let groups = self.groups.iter().filter_map(|g| groups.get(g.index()));
        let groups = groups.map(|name| name.to_string());
        let places = self.places.iter().map(ToString::to_string);
        any.into_iter().chain(groups).chain(places).collect()
    }

    pub fn is_empty(&self) -> bool {
        !self.any && self.places.is_empty() && self.groups.is_empty()
    }

    /// A part of a country that is not in it as a whole, on whatever day.
    pub fn lone_part(&self, groups: &Groups) -> Option<Place> {
        let of_groups = self.groups.iter().filter_map(|id| groups.get(*id));
        let of_groups = of_groups.flat_map(|g| g.members.iter().map(|(place, _)| *place));
        let all: Vec<Place> = self.places.iter().copied().chain(of_groups).collect();
        let whole = |part: &Place| part.country().is_some_and(|c| all.contains(&Place::of(c)));
        let mut parts = all.iter().filter(|p| p.is_subdivision());
        parts.find(|part| !self.any && !whole(part)).copied()
    }

    /// The members on one day.
    pub fn on(&self, day: Date, groups: &Groups) -> PlaceSet {
        let mut set = PlaceSet {
            any: self.any,
            ..PlaceSet::default()
        };
        for place in &self.places {
            set.insert(*place);
        }
        for id in &self.groups {
            let members = groups.get(*id).map(|g| g.members.as_slice());
            for (place, interval) in members.unwrap_or(&[]) {
                if interval.contains(day) {
                    set.insert(*place);
                }
            }
        }
        set
    }

    /// The members on one day, less those of `except`.
    pub fn on_except(&self, except: &Self, day: Date, groups: &Groups) -> PlaceSet {
        let mut set = self.on(day, groups);
        if !except.is_empty() {
            set.except = Some(Box::new(except.on(day, groups)));
        }
        set
    }
}
