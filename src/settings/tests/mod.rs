//! The reader as a whole.

mod broken;
mod bulk;
mod digest;
mod doubts;
mod layers;
mod reference;
mod secrecy;
mod sound;

use std::path::Path;

use super::{Places, Settings, read_text};
use crate::document::{Fault, Faults};

/// Sound settings; the first line of each section is where tests add theirs.
const BASE: &str = r#"policies = "policies"
location = { country = "SG", entity = "acme-sg" }

[regions.eu]
country = "DE"
entity = "acme-eu"
endpoints = ["http://127.0.0.1:7104"]

[regions.sg]
country = "SG"
entity = "acme-sg"
endpoints = ["http://127.0.0.1:7105"]

[schemas.person]
fields = { "/email" = "user.contact.email" }

[[routes]]
path = "/people/{subject}"
format = "record"
subject = "path:subject"
schema = "person"
"#;

fn read_with(text: &str, environment: &[(&str, &str)]) -> (Option<(Settings, Places)>, Vec<Fault>) {
    let faults = Faults::new();
    let variables = environment
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let read = read_text(
        "t.toml",
        text.to_owned(),
        Path::new("/etc/domicile"),
        variables,
        &faults,
    );
    (read, faults.into_sorted())
}

fn summaries(faults: &[Fault]) -> Vec<String> {
    faults.iter().map(Fault::summary).collect()
}

/// Sound settings, or the faults.
fn sound(text: &str, environment: &[(&str, &str)]) -> Settings {
    let (read, faults) = read_with(text, environment);
    match read {
        Some((settings, _)) => settings,
        None => panic!("{}\nin\n{text}", summaries(&faults).join("\n")),
    }
}
