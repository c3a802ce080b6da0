use std::fmt;

use crate::document::{Node, Where};

/// Where each setting stands: file, line and column, or the environment variable that set it.
///
/// Kept apart from the settings, so that those stay plain values; it is used while files are
/// checked and dropped before the first request.
pub struct Places(Node);

impl Places {
    pub(super) fn new(root: Node) -> Self {
        Self(root)
    }

    /// The place of the value at `path`, such as `["regions", "eu", "entity"]`,
    /// `["routes", "0", "categories", "1"]` or `["schemas", "person", "fields", "/email"]`; what
    /// is not there (a default) has the place of the nearest thing around it.
    pub fn at(&self, path: &[&str]) -> Where {
        self.0.nearest(path.iter().copied()).clone()
    }
}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Places")
    }
}
