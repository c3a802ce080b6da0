//! Questions of case files that cannot be put are mistakes in the file.

use std::fs;

use super::{LAW, ORGANISATION, policy};
use crate::prove::cases::{read_folder, run};

#[test]
fn a_question_of_an_unknown_entity_is_told_at_its_place() {
    let (dir, _files) = policy(LAW, ORGANISATION);
    let tests = dir.path().join("tests");
    fs::create_dir(&tests).unwrap();
    let case = |entity: &str| {
        format!(
            r#"
[[case]]
name = "a case"
source = "s. 3"
expect = {{ outcome = "permit" }}
[case.question]
at = "2026-01-01T00:00:00Z"
operation = "store"
subject = {{ countries = ["SG"] }}
categories = ["user.name"]
from = {{ country = "SG" }}
to = {{ country = "SG", entity = "{entity}" }}
"#
        )
    };
    fs::write(tests.join("a.toml"), case("here") + &case("heer")).unwrap();
    let files = read_folder(&tests).unwrap();
    let own = dir.path().join("organisation.toml");
    let error = run(dir.path(), Some(&own), &files, None).expect_err("no such entity");
    let told = error.to_string();
    assert!(told.contains("a.toml:24:"), "{told}");
    assert!(told.contains("unknown entity `heer`"), "{told}");
}

#[test]
fn a_file_of_cases_without_a_case_is_a_mistake() {
    let tests = tempfile::tempdir().unwrap();
    fs::write(tests.path().join("a.toml"), "case = []\n").unwrap();
    let told = read_folder(tests.path())
        .expect_err("nothing to pass")
        .to_string();
    assert!(
        told.contains("a.toml:1:8") && told.contains("no `[[case]]`"),
        "{told}"
    );
}

/// Laws attach by country: such a law would pass and govern nobody.
#[test]
fn a_territory_of_a_part_alone_is_a_mistake() {
    for (territory, sound) in [
        ("\"US-TX\"", false),
        ("\"SG\", \"US-TX\"", false),
        ("\"US-TX\", \"US\"", true),
    ] {
        let law = LAW.replace("[\"SG\"]\ntime", &format!("[{territory}]\ntime"));
        let (_dir, files) = policy(&law, ORGANISATION);
        match files.check() {
            Ok(_) => assert!(sound, "{territory}"),
            Err(refused) => {
                let told = refused.0[0].summary();
                assert!(
                    !sound && told.contains("`US-TX` without its country"),
                    "{told}"
                );
                assert!(told.contains("sg.toml:4:13"), "{told}");
            }
        }
    }
}

/// A law's rules are bits of a mask: one too many is told, and none is left out.
#[test]
fn a_law_of_more_rules_than_a_mask_has_bits_is_a_mistake() {
    let with = |more: usize| {
        let rules = (0..more).map(|i| {
            format!("[[permit]]\nid = \"p{i}\"\nmechanism = \"consent\"\nrequires = [\"consent:transfer\"]\ncitation = \"c\"\n")
        });
        let (_dir, files) = policy(&format!("{LAW}{}", rules.collect::<String>()), ORGANISATION);
        let told = files.check().map_err(|refused| refused.0);
        told.map_err(|all| all.iter().map(|f| f.summary()).collect::<String>())
    };
    let full = with(124).expect("128 in all");
    let rules = full.compile("2024-06-01T00:00:00Z".parse().unwrap()).laws[0]
        .rules
        .len();
    assert_eq!(rules, 128);
    let told = with(125).expect_err("129 in all");
    assert!(told.contains("more than 128 rules"), "{told}");
}

/// Without the results of one thread the others would be taken for those of other jobs.
#[test]
#[should_panic(expected = "the third job")]
fn a_panic_at_work_stops_all_of_it() {
    crate::prove::prove::in_parallel(8, |i| {
        assert_ne!(i, 3, "the third job");
        i
    });
}

#[test]
fn of_a_territory_that_was_misread_nothing_follows() {
    let (_dir, files) = policy(
        &LAW.replace("[\"SG\"]\ntime", "[\"UK\"]\ntime"),
        ORGANISATION,
    );
    let faults = files.check().expect_err("no such country").0;
    assert_eq!(faults.len(), 1, "{faults:?}");
    let (_dir, files) = policy(&LAW.replace("[\"SG\"]\ntime", "[]\ntime"), ORGANISATION);
    let faults = files.check().expect_err("nowhere").0;
    assert!(
        faults[0]
            .summary()
            .contains("sg.toml:4:13: law `SG` has no territory"),
        "{faults:?}"
    );
}

#[test]
fn the_register_of_instruments_says_what_they_cover() {
    let organisation = format!(
        "{ORGANISATION}countries = [\"US\", \"EEA\"]\ncategories = [\"user.contact\"]\npurposes = [\"support\"]\n"
    );
    let (_dir, files) = policy(LAW, &organisation);
    let checked = files.check().unwrap();
    let (_, paper) = checked.instruments().next().unwrap();
    let told = paper.register_entry(&checked);
    assert_eq!(told["countries"], serde_json::json!(["EEA", "US"]));
    assert_eq!(told["categories"], serde_json::json!(["user.contact"]));
    assert_eq!(told["purposes"], serde_json::json!(["support"]));
}
