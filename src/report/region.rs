use std::sync::Arc;

use crate::{
    attest::{Party, Profile},
    domain::{Operation, Place},
    settings::Settings,
};

/// A region as the settings have it; without a place, one of earlier days.
#[derive(Clone, Debug)]
pub struct Region {
    pub name: String,
    pub place: Option<Place>,
    pub entity: Option<String>,
}

impl Region {
    pub fn of(settings: &Settings, name: &str) -> Self {
        let found = settings.regions.iter().find(|r| *r.name == *name);
        Self {
            place: found.map(|r| r.place),
            entity: found.map(|r| r.entity.to_string()),
            ..Self::unknown(name)
        }
    }

    /// Of which nobody says where it is.
    pub fn unknown(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            place: None,
            entity: None,
        }
    }

    /// Whether an entry names it, as what it went to or lay in.
    pub(super) fn is_named(&self, profile: &Profile) -> bool {
        let names = [&profile.region, &profile.reached];
        names.iter().any(|n| n.as_deref() == Some(&*self.name))
    }

    /// The end of a flow that is the region which its entry names.
    pub(super) fn named_end(profile: &Profile) -> Option<(&Arc<str>, &Party)> {
        let end = match profile.operation {
            Operation::Store | Operation::Replicate | Operation::Relocate => &profile.to,
            Operation::Read => &profile.from,
            Operation::Erase | Operation::Disclose => return None,
        };
        profile.region.as_ref().map(|name| (name, end))
    }

    /// Whether the end of a flow is the region: an entry names the region at one of them alone.
    pub(super) fn is_end(&self, party: &Party) -> bool {
        self.place.is_some_and(|place| place == party.place)
            && party.entity.as_deref() == self.entity.as_deref()
    }
}
