//! Broken files: every mistake is told, at its place, with a hint; warnings stop nothing.

use super::policies;
use crate::{
    document::{Fault, Faults, Node, Severity},
    policy::{check, load},
};

const ORGANISATION: &str = r#"
[entities.acme-eu]
country = "NL"
role = "controller"
[entities.acme-sg]
country = "SG"
role = "processor"
"#;

/// Checks the shipped laws with this organisation and, if given, one more law.
fn faults_of(organisation: &str, law: Option<&str>) -> Vec<Fault> {
    let faults = Faults::new();
    let read = |name: &str| Node::load(&policies().join(name), &faults).expect("shipped file");
    let vocabulary = read("vocabulary.toml");
    let mut laws: Vec<Node> = ["cn", "eu", "in", "ru", "sg"]
        .iter()
        .map(|l| read(&format!("law/{l}.toml")))
        .collect();
    laws.extend(law.and_then(|text| Node::parse("xx.toml", text.to_owned(), &faults)));
    let organisation = Node::parse("organisation.toml", organisation.to_owned(), &faults);
    if let Some(organisation) = organisation {
        let checked = check(&vocabulary, &laws, &organisation, &faults);
        assert_eq!(checked.is_none(), faults.has_errors());
    }
    faults.into_sorted()
}

fn summaries(organisation: &str) -> Vec<String> {
    let all = faults_of(organisation, None);
    all.iter().map(Fault::summary).collect()
}

#[test]
fn a_sound_organisation_has_no_faults() {
    assert_eq!(summaries(ORGANISATION), Vec::<String>::new());
}

#[test]
fn every_mistake_of_an_organisation_is_told_with_place_and_hint() {
    let text = r#"[entities.acme-eu]
country = "EU"
[entities.acme-us]
country = "US"
role = "controler"
attributes = ["eu-us-dfp"]
[homes]
EUU = ["eu"]
[[promises]]
id = "empty"
[[instruments]]
id = "one"
mechanism = "ssc"
exporter = ["acme-us"]
importer = []
valid = { from = 2024-05-01, until = 2023-05-01 }
modul = 2
[[assessments]]
id = "two"
kind = "tia"
exporter = ["acme-us"]
date = 2024-01-01
outcome = "fine"
"#;
    let told = summaries(text);
    for (place, words) in [
        ("2:11", "`EU`: no such country"),
        (
            "5:8",
            "unknown role `controler` (did you mean `controller`?)",
        ),
        (
            "6:15",
            "unknown attribute `eu-us-dfp` (did you mean `eu-us-dpf`?)",
        ),
        (
            "8:1",
            "`EUU` is neither a law nor a country (homes stand by law id (",
        ),
        ("9:1", "promise `empty` promises nothing"),
        ("13:13", "unknown mechanism `ssc` (did you mean `scc`?)"),
        ("15:12", "`importer` names no entity"),
        (
            "16:38",
            "the interval ends on 2023-05-01, before it starts on 2024-05-01",
        ),
        ("17:1", "unknown key `modul` (did you mean `module`?)"),
        ("23:11", "unknown outcome `fine`"),
    ] {
        let at = format!("organisation.toml:{place}: ");
        assert!(
            told.iter().any(|t| t.starts_with(&at) && t.contains(words)),
            "{place} {words}\n{}",
            told.join("\n")
        );
    }
}

#[test]
fn a_module_must_be_the_one_of_the_roles() {
    let with = |more: &str| {
        format!(
            "{ORGANISATION}\n[[instruments]]\nid = \"x\"\nmechanism = \"scc\"\nmodule = 1\nexporter = [\"acme-eu\"]\nimporter = [\"acme-sg\"]\nvalid = {{ from = 2024-05-01 }}\n{more}"
        )
    };
    let told = summaries(&with(""));
    assert!(
        told.first().is_some_and(|t| t.contains("give module 2")),
        "{told:?}"
    );
    assert!(summaries(&with("importer_role = \"controller\"\n")).is_empty());
}

#[test]
fn rules_are_accepted_by_name_and_only_unsure_ones() {
    assert!(summaries(&format!("accept = [\"ru-same-entity\"]\n{ORGANISATION}")).is_empty());
    let told = summaries(&format!("accept = [\"ru-same-entty\"]\n{ORGANISATION}"));
    assert!(
        told.iter()
            .any(|t| t.contains("did you mean `ru-same-entity`")),
        "{told:?}"
    );
}

#[test]
fn every_mistake_of_a_law_is_told() {
    let law = r#"id = "XX"
name = "Test"
territory = ["EUU27"]
timezone = "Europe/Atlantis"
attaches = ["persons"]
transfer = { id = "xx" }
[[permit]]
id = "xx-one"
mechanism = "scc"
requires = ["instrment", "ground:necessity", "approved"]
citation = "x"
[[permit]]
id = "xx-one"
mechanism = "domestic"
citation = "x"
when = { counts = ["cn.ordinary around 3"], exporters = ["ciio"] }
[[forbid]]
id = "xx-three"
citation = "x"
confidence = "medium"
[[permit]]
id = "xx-four"
mechanism = "scc"
requires = ["approved"]
citation = "x"
"#;
    let all = faults_of(ORGANISATION, Some(law));
    let told: Vec<String> = all.iter().map(Fault::summary).collect();
    for words in [
        "xx.toml:3:14: `EUU27` is neither a place nor a group",
        "xx.toml:4:12: `Europe/Atlantis` is not a time zone",
        "xx.toml:5:13: unknown way to attach `persons` (did you mean `person`?)",
        "xx.toml:6:12: missing key `citation`",
        "xx.toml:10:13: unknown requirement `instrment`",
        "xx.toml:10:26: unknown ground `necessity`",
        "rule `xx-four` asks for facts of an instrument, and requires none",
        "rule `xx-one` stands twice",
        "xx.toml:16:20: `cn.ordinary around 3` is no test of a counter",
        "unknown key `exporters` (did you mean `exporter`?)",
        "is not sure, and does not say whether it wants review",
    ] {
        assert!(
            told.iter().any(|t| t.contains(words)),
            "{words}\n{}",
            told.join("\n")
        );
    }
    // What it requires was misread: that it is no instrument does not follow.
    let follows = "rule `xx-one` asks for facts";
    assert!(!told.iter().any(|t| t.contains(follows)), "{told:#?}");
}

#[test]
fn hostile_files_are_faults_and_no_panics() {
    for text in [
        "",
        "entities = 3",
        "[entities]\nx = 1",
        "instruments = [1, 2]\n[entities]",
        "\u{feff}",
        "[entities.x]\ncountry = \"\"",
        "homes = []\n[entities]",
        "[entities.x]\ncountry = \"NL\"\n[[instruments]]\nid = 1\nvalid = 9999-12-31\nfiled = [{ date = 9999-12-31 }]",
    ] {
        faults_of(text, None);
    }
    let faults = Faults::new();
    let nowhere = policies().join("nowhere");
    assert!(load(&nowhere, &nowhere.join("organisation.toml"), &faults).is_none());
    assert!(faults.into_sorted().len() >= 3);
}

#[test]
fn what_ends_soon_and_what_is_never_used_is_warned_about() {
    let text = format!(
        "{ORGANISATION}
[[instruments]]
id = \"soon\"
mechanism = \"scc\"
exporter = [\"acme-eu\"]
importer = [\"acme-sg\"]
valid = {{ from = 2024-05-01, until = 2026-12-31 }}
[[instruments]]
id = \"odd\"
mechanism = \"uk-idta\"
exporter = [\"acme-eu\"]
importer = [\"acme-sg\"]
valid = {{ from = 2024-05-01 }}
"
    );
    let faults = Faults::new();
    let read = |name: &str| Node::load(&policies().join(name), &faults).expect("shipped file");
    let laws = [read("law/eu.toml")];
    let organisation = Node::parse("o.toml", text, &faults).unwrap();
    let checked = check(&read("vocabulary.toml"), &laws, &organisation, &faults).unwrap();
    let warnings = |day: &str| {
        let faults = Faults::new();
        checked.warnings(day.parse().unwrap(), &faults);
        let all = faults.into_sorted();
        assert!(all.iter().all(|f| f.severity == Severity::Warning));
        all.iter()
            .map(Fault::summary)
            .collect::<Vec<_>>()
            .join("\n")
    };
    let now = warnings("2026-11-21");
    assert!(
        now.contains("instrument `soon` ends on 2026-12-31"),
        "{now}"
    );
    assert!(
        now.contains("instrument `odd` can be used by no rule"),
        "{now}"
    );
    assert!(!now.contains("group"), "{now}");
    assert!(!now.contains("can never apply"), "{now}");
    let later = warnings("2028-01-01");
    assert!(
        later.contains("instrument `soon` ended on 2026-12-31"),
        "{later}"
    );
    assert!(later.contains("group `EEA30` was last compared"), "{later}");
}
