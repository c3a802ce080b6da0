//! One TOML file and the environment, checked as a whole: what the router is told by its operator.
//!
//! [`model`] is the real shape that the program uses; it can only come from [`read`], which
//! reports every mistake at once with file, line, column and a hint. The stations: text without
//! its secrets (`secrets`) → tree of values with places (`document`) → the environment laid over
//! it (`environment`) → the sections (`sections`, `parts`, `regions`, `routes`) with what one demands
//! of another. Names that only the policy knows (entities, categories) are judged by its reader, at
//! the [`Places`] that are given beside the settings.

mod bulk;
mod circumstances;
mod digest;
mod disclose;
mod environment;
mod keys;
mod model;
mod otlp;
mod parts;
mod places;
mod reference;
mod regions;
mod routes;
mod secrets;
mod sections;
mod sources;
mod template;
#[cfg(test)]
mod tests;
mod tls;
mod values;

use std::path::Path;

pub use digest::digest;
pub use keys::{KEYS, Key, KeyDefault, Kind as KeyKind, RESTART};
pub use model::*;
pub use places::Places;
pub use reference::reference;
pub use template::TemplateError;
pub use tls::{alike, tell_alike};

use crate::document::{Faults, read_text as read_text_of};

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
    let shown = path.display().to_string();
    let text = match read_text_of(path) {
        Ok(text) => text,
        Err(fault) => {
            faults.adopt(secrets::without_secrets(fault));
            return None;
        }
    };
    let folder = path.parent().unwrap_or(Path::new(""));
    read_text(&shown, text, folder, environment, faults)
}

/// [`read_placed`] for a text at hand: `name` is shown in faults, relative paths are resolved
/// against `folder`.
pub fn read_text(
    name: &str,
    text: String,
    folder: &Path,
    environment: impl Iterator<Item = (String, String)>,
    faults: &Faults,
) -> Option<(Settings, Places)> {
    // Collected apart: errors of other files must not cost the caller these settings.
    let found = Faults::new();
    let read = secrets::parse(name, text, &found).and_then(|mut root| {
        let mut given = secrets::Secrets::default();
        environment::overlay(&mut root, environment, &mut given, &found);
        let settings = sections::settings(&root, folder, &given, &found)?;
        Some((settings, Places::new(root)))
    });
    let refused = found.has_errors();
    faults.absorb(found.into_sorted());
    read.filter(|_| !refused)
}

/// The process's environment for [`read`]. Unlike `std::env::vars` it survives a value that is
/// not UTF-8; in a variable of ours such a value is a fault.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| {
        let name = name.into_string().ok()?;
        Some((name, value.to_string_lossy().into_owned()))
    })
}
