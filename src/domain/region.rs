use std::sync::Arc;

use super::Place;

/// Index of a region in [`Regions`] of one snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RegionId(pub u8);

/// Index of a recipient of the organisation of one snapshot; in the order of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecipientId(pub u16);

impl RecipientId {
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Where a permit leads: to one region, or to one recipient outside all regions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Destination {
    Region(RegionId),
    Recipient(RecipientId),
}

/// A place where the operator stores data. How to reach it is `settings`' business.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    pub name: Arc<str>,
    pub place: Place,
    /// The operating entity's id in the organisation file.
    pub entity: Arc<str>,
}

/// All regions of a snapshot, in the order of their names. At most 255.
#[derive(Clone, Debug, Default)]
pub struct Regions {
    all: Vec<Region>,
    location: Option<Arc<str>>,
}

impl Regions {
    /// Sorts by name. Regions beyond the 255th are dropped; the settings refuse so many earlier.
    pub fn new(mut regions: Vec<Region>) -> Self {
        regions.sort_by(|a, b| a.name.cmp(&b.name));
        regions.truncate(255);
        Self {
            all: regions,
            location: None,
        }
    }

    /// With the entity that reads them: the one at the router's location.
    pub fn read_by(self, entity: Arc<str>) -> Self {
        Self {
            location: Some(entity),
            ..self
        }
    }

    /// The entity at the router's location, where it is known.
    pub fn location(&self) -> Option<&Arc<str>> {
        self.location.as_ref()
    }

    pub fn get(&self, id: RegionId) -> Option<&Region> {
        self.all.get(usize::from(id.0))
    }

    pub fn id(&self, name: &str) -> Option<RegionId> {
        self.all
            .binary_search_by(|r| r.name.as_ref().cmp(name))
            .ok()
            .and_then(|i| u8::try_from(i).ok())
            .map(RegionId)
    }

    /// The region's name; empty for an id of another snapshot.
    pub fn name(&self, id: RegionId) -> &str {
        self.get(id).map_or("", |r| &r.name)
    }

    pub fn iter(&self) -> impl Iterator<Item = (RegionId, &Region)> {
        self.all
            .iter()
            .enumerate()
            .filter_map(|(i, r)| Some((RegionId(u8::try_from(i).ok()?), r)))
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}
