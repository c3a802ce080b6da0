//! Settings that can be used and will not do what they seem to say.

use super::{BASE, read_with, summaries};
use crate::document::Severity;

/// The one warning of sound settings with `more` at their end.
fn doubts(more: &str) -> Vec<String> {
    let (read, faults) = read_with(&format!("{BASE}{more}"), &[]);
    assert!(read.is_some(), "{:?}", summaries(&faults));
    assert!(faults.iter().all(|f| f.severity == Severity::Warning));
    summaries(&faults)
}

#[test]
fn evidence_from_tokens_that_nobody_reads_is_told() {
    let told = doubts("country = [\"jwt:country\", \"pinned\"]\n");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("t.toml:22:12"), "{told:?}");
    assert!(
        told[0].contains("`jwt:country` is never evidence"),
        "{told:?}"
    );
    let with = "country = [\"jwt:country\"]\n[jwt]\nkeys = \"k\"\naudience = [\"a\"]\n";
    assert_eq!(doubts(with), Vec::<String>::new());
}

#[test]
fn limits_that_let_the_largest_bodies_never_pass_are_told() {
    let one = |limits: &str, part: &str| {
        let told = doubts(&format!("[limits]\n{limits}"));
        assert_eq!(told.len(), 1, "{limits}: {told:?}");
        assert!(told[0].contains(part), "{limits}: {told:?}");
    };
    one("memory = \"1MiB\"\n", "`memory`");
    one("memory = \"64MiB\"\n", "`batch_items`");
    let enough = "memory = \"8MiB\"\nbatch_bytes = \"4MiB\"\nbatch_items = 1\n";
    assert_eq!(doubts(&format!("[limits]\n{enough}")), Vec::<String>::new());
}

#[test]
fn proxies_that_are_everybody_are_told() {
    let with = |networks: &str| doubts(&format!("[data_plane]\nproxies = [{networks}]\n"));
    assert_eq!(with("\"10.0.0.0/8\""), Vec::<String>::new());
    for all in ["\"0.0.0.0/0\"", "\"10.0.0.0/8\", \"::/0\""] {
        let told = with(all);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].contains("everybody can say from which address"),
            "{told:?}"
        );
    }
}

#[test]
fn a_record_larger_than_its_batch_is_told() {
    let told =
        doubts("[limits]\nrecord_bytes = \"100MiB\"\nbatch_bytes = \"1MiB\"\nmemory = \"1GiB\"\n");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("`record_bytes`"), "{told:?}");
}
