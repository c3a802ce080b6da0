//! What operators see, and what they are given to see it with: dashboard, alerts, runbook, the
//! probe, and the files under `deploy/`.

mod alerts;
mod counts;
mod deploy;
mod names;
mod probe;

use std::fs;
use std::path::{Path, PathBuf};

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    let path = repository().join(path);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The names in a text that begin with one of `starts`, each once: letters, digits, `_` and `:`.
fn words<'t>(text: &'t str, starts: &[&str]) -> Vec<&'t str> {
    let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
    let mut found: Vec<&str> = text
        .split(|c| !inside(c))
        .map(|word| word.trim_end_matches(':'))
        .filter(|word| starts.iter().any(|start| word.starts_with(start)))
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn markdown() -> Vec<PathBuf> {
    let docs = fs::read_dir(repository().join("docs")).unwrap();
    let docs = docs.map(|entry| entry.unwrap().path());
    let mut pages: Vec<PathBuf> = docs
        .filter(|path| path.extension().is_some_and(|e| e == "md"))
        .collect();
    pages.extend(["README.md", "CHANGELOG.md"].map(|name| repository().join(name)));
    assert!(pages.len() > 10, "{pages:?}");
    pages
}
