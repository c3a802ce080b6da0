//! The body of an Elasticsearch or OpenSearch `_bulk` request, as places in the caller's bytes.
//!
//! Goals: what we take for an item's index, id and document is what every region's server takes
//! for them; a body of which that cannot be said is refused as a whole, since its lines could
//! pair up differently elsewhere. So action lines are read strictly here (one known action, known
//! parameters, no key twice), at once for the whole body; documents are read one by one later, by
//! the route that each item takes.
//!
//! Shape and wording follow the reference implementation: blank lines count for nothing where an
//! action is expected, CR before LF is not part of a line, the last line ends with LF too.

mod action;
mod fault;
mod split;
mod update;

pub mod harness;
#[cfg(test)]
mod tests;

pub use action::ActionFault;
pub use fault::BulkFault;
pub use split::{BulkItem, BulkSplitFault, BulkSplitFaultKind, split_bulk};
pub use update::{Update, UpdateFault, update};

/// What an item asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    Index,
    Create,
    Update,
    Delete,
}

impl Action {
    pub const ALL: [Self; 4] = [Self::Index, Self::Create, Self::Update, Self::Delete];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.as_str() == text)
    }
}
