//! What stands in lists of the organisation: holds, retention, recipients, and files left unread.

use std::fs;

use serde_json::{Value, json};

use super::{LAW, ORGANISATION, policy};
use crate::{
    document::Faults,
    domain::Operation,
    policy::load,
    prove::{diff::diff, matrix::matrix},
};

const HOLD: &str = r#"
[[holds]]
id = "tax-audit"
citation = "order 7 of an invented court"
subjects = ["SG"]
categories = ["user.name"]
until = 2026-12-31
"#;

const RETENTION: &str = r#"
[[retention]]
id = "short"
categories = ["user.contact"]
keep = "1 year"
"#;

const RECIPIENT: &str = r#"
[[recipients]]
id = "maps"
entity = "there"
purposes = ["location-service"]
categories = ["user.location.precise"]
"#;

/// The notes of a comparison; flows must not differ.
fn notes(old: &str, new: &str) -> Vec<String> {
    let [old, new] = [old, new].map(|more| {
        let (_dir, files) = policy(LAW, &format!("{ORGANISATION}{more}"));
        files.check().unwrap()
    });
    let found = diff(&old, &new);
    assert!(found.changes.is_empty(), "{found:?}");
    assert_eq!(found.is_empty(), found.notes.is_empty());
    found.notes
}

#[test]
fn holds_that_come_go_or_change_are_told() {
    let gone = notes(HOLD, "");
    assert_eq!(gone.len(), 1, "{gone:?}");
    for part in ["hold `tax-audit` gone", "user.name", "SG", "legal-hold"] {
        assert!(gone[0].contains(part), "{gone:?}");
    }
    let new = notes("", HOLD);
    assert!(new[0].starts_with("hold `tax-audit` new"), "{new:?}");
    let longer = HOLD.replace("2026-12-31", "2027-06-30");
    assert_eq!(
        notes(HOLD, &longer),
        ["hold `tax-audit` changed: until = 2026-12-31 -> 2027-06-30"]
    );
    assert!(notes(HOLD, &format!("# read again{HOLD}")).is_empty());
}

#[test]
fn people_of_a_hold_are_counted_and_not_named() {
    let keyed = |digit: &str| format!("{HOLD}keys = [\"{}\"]\n", digit.repeat(32));
    let (one, other) = (keyed("1"), keyed("2"));
    let told = notes(&one, &other);
    assert_eq!(
        told,
        ["hold `tax-audit` changed: keys = 1 person -> 1 person, not the same"]
    );
}

/// A key that is taken out widens what it narrowed down.
#[test]
fn what_a_key_no_longer_narrows_down_is_all_of_it() {
    let told = notes(HOLD, &HOLD.replace("subjects = [\"SG\"]\n", ""));
    assert_eq!(
        told,
        ["hold `tax-audit` changed: subjects = [\"SG\"] -> all"]
    );
    let everywhere = RECIPIENT.replace("purposes = [\"location-service\"]\n", "");
    let told = notes(RECIPIENT, &everywhere);
    assert!(
        told[0].contains("purposes = [\"location-service\"] -> all"),
        "{told:?}"
    );
}

#[test]
fn a_childs_rule_that_is_cited_otherwise_is_told() {
    let child = |id: &str, citation: &str| {
        let child = format!("[[child]]\nid = \"{id}\"\ncitation = \"{citation}\"\nage = 14\n");
        let (_dir, files) = policy(&format!("{LAW}\n{child}"), ORGANISATION);
        files.check().unwrap()
    };
    let old = child("young", "Act s.1");
    let told = |new| diff(&old, &new).notes;
    assert_eq!(
        told(child("young", "Act s.2")),
        ["child `young` changed: citation = \"Act s.1\" -> \"Act s.2\""]
    );
    assert_eq!(told(child("younger", "Act s.1")).len(), 2);
}

#[test]
fn retention_that_changes_is_told() {
    let other = RETENTION.replace("1 year", "30 days");
    assert_eq!(
        notes(RETENTION, &other),
        ["retention `short` changed: keep = \"1 year\" -> \"30 days\""]
    );
    let gone = notes(RETENTION, "");
    assert!(gone[0].starts_with("retention `short` gone"), "{gone:?}");
    assert!(gone[0].contains("user.contact"), "{gone:?}");
    // Where it was promised changes no answer.
    assert!(notes(RETENTION, &format!("{RETENTION}source = \"notice\"\n")).is_empty());
}

#[test]
fn recipients_that_change_are_told_in_the_words_of_the_file() {
    let strict = format!(
        "{RECIPIENT}unlisted = \"strip\"\npseudonymise = [\"user.unique_id\"]\nconsent = \"always\"\n"
    );
    assert_eq!(
        notes(RECIPIENT, &strict),
        [
            "recipient `maps` changed: unlisted = \"refuse\" -> \"strip\"; consent = \"sensitive\" -> \"always\"; pseudonymise = [] -> [\"user.unique_id\"]"
        ]
    );
    let gone = notes(RECIPIENT, "");
    assert_eq!(gone, ["recipient `maps` gone, with all its flows"]);
    let all = format!("{:?}", notes(RECIPIENT, &strict));
    for internal in ["PurposeId", "CategorySet", "Some("] {
        assert!(!all.contains(internal), "{all}");
    }
}

#[test]
fn the_matrix_of_erasures_knows_holds() {
    let (_dir, files) = policy(LAW, &format!("{ORGANISATION}{HOLD}"));
    let checked = files.check().unwrap();
    let rows = |day: &str, operation, category: &str| -> Value {
        let compiled = checked.compile(super::super::days::instant(day.parse().unwrap()));
        json!(matrix(&compiled, operation, &[category.into()]))
    };
    let held = rows("2026-06-01", Operation::Erase, "user.name");
    assert_eq!(held[0]["holds"][0]["id"], "tax-audit", "{held}");
    assert_eq!(held[0]["holds"][0]["people"], json!(["SG"]));
    for cell in held[0]["cells"].as_array().unwrap() {
        assert_eq!(cell["open"], json!([]), "{cell}");
        assert_eq!(cell["holds"], json!(["tax-audit"]), "{cell}");
    }
    for (day, operation, category) in [
        ("2027-06-01", Operation::Erase, "user.name"),
        ("2026-06-01", Operation::Read, "user.name"),
        ("2026-06-01", Operation::Erase, "user.contact"),
    ] {
        let free = rows(day, operation, category);
        assert_eq!(free[0]["holds"], json!([]), "{free}");
        let cells = free[0]["cells"].as_array().unwrap();
        assert!(cells.iter().any(|c| c["open"] != json!([])), "{free}");
    }
}

#[test]
fn a_file_of_the_folder_of_laws_that_is_not_read_is_told() {
    let (dir, _files) = policy(LAW, ORGANISATION);
    let law = dir.path().join("law");
    for name in [
        "in.toml.txt",
        "us.TOML",
        "eu.toml~",
        "README.txt",
        "notes.md",
        ".hidden",
    ] {
        fs::write(law.join(name), "").unwrap();
    }
    fs::create_dir(law.join("asia")).unwrap();
    let faults = Faults::new();
    assert!(load(dir.path(), &dir.path().join("organisation.toml"), &faults).is_some());
    let mut told: Vec<String> = faults.into_sorted().iter().map(|f| f.summary()).collect();
    told.sort();
    let wanted = ["asia", "eu.toml~", "in.toml.txt", "us.TOML"];
    assert_eq!(told.len(), wanted.len(), "{told:?}");
    for (told, name) in told.iter().zip(wanted) {
        assert!(told.contains(&format!("law/{name}")), "{told}");
        assert!(told.contains("not read"), "{told}");
    }
}

#[test]
fn the_digest_of_a_document_has_64_digits() {
    let with = |digest: &str| {
        let text = format!("{ORGANISATION}document = {{ sha256 = \"{digest}\" }}\n");
        let (_dir, files) = policy(LAW, &text);
        let told = files.check().map_err(|refused| refused.0);
        told.map(drop).map_err(|f| f[0].summary())
    };
    for wrong in [
        "banana",
        "",
        &"a".repeat(63),
        &"a".repeat(65),
        &"g".repeat(64),
    ] {
        let told = with(wrong).expect_err(wrong);
        assert!(told.contains("64 hexadecimal digits"), "{told}");
    }
    assert_eq!(
        with(&"0aF".repeat(21).chars().chain(['1']).collect::<String>()),
        Ok(())
    );
}

#[test]
fn duties_to_tell_of_a_breach_that_come_or_change_are_told() {
    let breach = "\n[[breach]]\nid = \"first\"\ntell = \"authority\"\nwho = \"it\"\nwithin = \"3 days\"\ncitation = \"Art. 1\"\n";
    let notes = |old: &str, new: &str| {
        let [old, new] = [old, new].map(|more| {
            let (_dir, files) = policy(&format!("{LAW}{more}"), ORGANISATION);
            files.check().unwrap()
        });
        let found = diff(&old, &new);
        assert!(found.changes.is_empty(), "{found:?}");
        found.notes
    };
    let new = notes("", breach);
    assert!(new[0].starts_with("breach `first` new, "), "{new:?}");
    assert!(new[0].contains("within = \"72 hours\""), "{new:?}");
    let shorter = breach.replace("3 days", "24 hours");
    assert_eq!(
        notes(breach, &shorter),
        ["breach `first` changed: within = \"72 hours\" -> \"24 hours\""]
    );
    assert!(notes(breach, &breach.replace("3 days", "72 hours")).is_empty());
}
