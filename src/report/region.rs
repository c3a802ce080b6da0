use crate::{attest::Party, domain::Place};

/// A region as the settings have it; without a place, one of earlier days.
#[derive(Clone, Debug)]
pub struct Region {
    pub name: String,
    pub place: Option<Place>,
    pub entity: Option<String>,
}

impl Region {
    /// Whether the end of a flow is the region: an entry names the region at one of them alone.
    pub(super) fn is_end(&self, party: &Party) -> bool {
        self.place.is_some_and(|place| place == party.place)
            && party.entity.as_deref() == self.entity.as_deref()
    }
}
