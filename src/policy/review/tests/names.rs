//! Names of purposes, places and rules.

use super::{rule, summaries};

/// Of a purpose that is spelt wrongly a rule would never hear.
#[test]
fn law_names_purposes_of_the_vocabulary_and_organisations_their_own() {
    let permit = |purposes: &str| {
        let more = format!("mechanism = \"consent\"\nwhen = {{ purposes = [{purposes}] }}");
        summaries(&rule("permit", "x", &more), "")
    };
    let slip = permit("\"missionary-activty\"");
    assert!(
        slip.contains("unknown purpose `missionary-activty`"),
        "{slip}"
    );
    let other = permit("\"marketing\"");
    assert!(other.contains("unknown purpose `marketing`"), "{other}");
    assert_eq!(permit("\"Missionary_Activity\", \"academic study\""), "");
    let recipient = |purpose: &str| {
        let more = format!(
            "[[recipients]]\nid = \"r\"\nentity = \"b\"\ncategories = [\"user.name\"]\npurposes = [\"{purpose}\"]\n"
        );
        summaries("", &more)
    };
    assert_eq!(recipient("marketing"), "");
    let reserved = recipient("Other");
    assert!(
        reserved.contains("`other` is how entries tell"),
        "{reserved}"
    );
}

/// Nobody lives there, so that the rule or promise would protect nobody.
#[test]
fn a_part_of_a_country_that_is_none_is_warned_of() {
    let told = summaries(&rule("forbid", "x", "to = [\"US-XX\"]"), "");
    assert!(told.contains("no part `US-XX` of US"), "{told}");
    let promise = |to: &str| {
        format!("[[promises]]\nid = \"p\"\nsubjects = [\"IN\"]\nnever_to = [\"{to}\"]\n")
    };
    let told = summaries("", &promise("CN-ZZ"));
    assert!(told.contains("no part `CN-ZZ` of CN"), "{told}");
    assert!(!summaries("", &promise("CN-GD")).contains("no part"));
}

/// A refusal, `observe` and `accept` name what they mean by its id alone.
#[test]
fn one_id_is_one_rule_one_promise_or_one_hold() {
    let promise = |id: &str| {
        format!("[[promises]]\nid = \"{id}\"\nsubjects = [\"IN\"]\nnever_to = [\"US\"]\n")
    };
    let hold = |id: &str| {
        format!(
            "[[holds]]\nid = \"{id}\"\ncitation = \"c\"\nfrom = 2026-01-01\ncountries = [\"IN\"]\n"
        )
    };
    let recipient = |id: &str| {
        format!("[[recipients]]\nid = \"{id}\"\nentity = \"b\"\ncategories = [\"user.name\"]\n")
    };
    for (organisation, told) in [
        (
            promise("xx-base"),
            "`xx-base` is the id of a promise, and of a rule of law",
        ),
        (
            hold("xx-base"),
            "`xx-base` is the id of a hold, and of a rule of law",
        ),
        (
            promise("p") + &hold("p"),
            "`p` is the id of a hold, and of a promise",
        ),
        (
            promise("p") + &recipient("p"),
            "`p` is the id of a recipient, and of a promise",
        ),
    ] {
        let found = summaries("", &organisation);
        assert!(found.contains(told), "{found}");
    }
    let apart = summaries("", &(promise("p") + &hold("h") + &recipient("r")));
    assert!(!apart.contains("is the id of"), "{apart}");
}
