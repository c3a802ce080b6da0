//! Papers that are not signed, not assessed, or soon at their end.

use super::summaries;

const PAPER: &str =
    "[[instruments]]\nid = \"i\"\nmechanism = \"scc\"\nexporter = [\"a\"]\nimporter = [\"b\"]\n";
pub(super) const TIA: &str =
    "assessment = { id = \"T\", kind = \"tia\", date = 2024-01-01, outcome = \"effective\" }";

pub(super) fn paper(more: &str) -> String {
    summaries("", &format!("{PAPER}{more}\n"))
}

#[test]
fn nothing_is_in_force_before_it_was_concluded() {
    let with = |dates: &str| paper(&format!("{TIA}\n{dates}"));
    for sound in [
        "concluded = 2024-04-20\nvalid = { from = 2024-05-01 }",
        "concluded = 2024-05-01\nvalid = { from = 2024-05-01 }",
        "concluded = 2024-05-01\nvalid = {}",
        "concluded = 2024-05-01\nvalid = { until = 2030-05-01 }",
    ] {
        assert_eq!(with(sound), "", "{sound}");
    }
    let told = with("concluded = 2027-10-10\nvalid = { from = 2026-01-20 }");
    assert!(
        told.starts_with("o.toml:11:13: instrument `i` is in force from 2026-01-20 on, and was concluded on 2027-10-10, after that (what is not signed binds nobody, so it permits nothing before: let `valid` begin")
            && told.contains("o.toml:12:18: in force from here on")
            && told.lines().count() == 1,
        "{told}"
    );
    let told = with("concluded = 2027-10-10\nvalid = { until = 2026-12-31 }");
    assert!(
        told.contains("instrument `i` ends on 2026-12-31, and was concluded on 2027-10-10")
            && told.lines().count() == 1,
        "{told}"
    );
}

#[test]
fn an_instrument_without_its_assessment_can_be_used_by_no_rule() {
    let standing = |more: &str| {
        format!(
            "[[assessments]]\nid = \"T\"\nkind = \"tia\"\ndate = 2024-01-01\noutcome = \"effective\"\n{more}\n"
        )
    };
    let with = |more: &str| {
        paper(&format!(
            "valid = {{ from = 2024-01-01, until = 2028-01-01 }}\n{more}"
        ))
    };
    for sound in [
        TIA.to_owned(),
        "assessment = { id = \"T\", kind = \"tia\", date = 2024-01-01, outcome = \"effective-with-measures\", measures = \"pseudonymised\" }".to_owned(),
        standing("exporter = [\"a\"]"),
        standing("exporter = [\"a\"]\nimporter = [\"b\"]\ncountries = [\"SG\"]\ncategories = [\"user\"]"),
    ] {
        assert_eq!(with(&sound), "", "{sound}");
    }
    let none = "o.toml:6:6: instrument `i` can be used by no rule: it has no assessment, which `xx-base` asks for";
    for (more, words) in [
        (String::new(), none),
        (standing("exporter = [\"b\"]"), none),
        (standing("exporter = [\"a\"]\nimporter = [\"a\"]"), none),
        (standing("exporter = [\"a\"]\ncountries = [\"JP\"]"), none),
        (
            standing("exporter = [\"a\"]\ncategories = [\"system.operations\"]"),
            none,
        ),
        (
            TIA.replace("effective", "not-effective"),
            "instrument `i` can be used by no rule: its assessment found that it is not effective",
        ),
        (
            TIA.replace("tia", "pipia"),
            "its assessment is not of the kind that `xx-base` asks for",
        ),
        (
            TIA.replace("2024-01-01", "2028-01-02"),
            "its assessment is in date on no day of it and of `xx-base`",
        ),
    ] {
        let told = with(&more);
        assert!(told.contains(words), "{words}\n{told}");
    }
}

/// A flow has one protection: of several that an assessment asks, all but one would be forgotten.
#[test]
fn an_assessment_asks_for_one_measure() {
    let with = |measures: &str| {
        let tia = TIA.replace("effective", "effective-with-measures");
        let tia = tia.replace(" }", &format!(", measures = {measures} }}"));
        paper(&format!("valid = {{ from = 2024-01-01 }}\n{tia}"))
    };
    assert_eq!(with("\"pseudonymised\""), "");
    assert_eq!(with("[\"pseudonymised\"]"), "");
    for (measures, words) in [
        (
            "[\"pseudonymised\", \"encrypted-exporter-keys\"]",
            "2 measures: a flow is asked for one protection",
        ),
        (
            "[\"pseudonymised\", \"nonsense\"]",
            "unknown protection `nonsense`",
        ),
        ("[]", "`measures` is empty"),
    ] {
        let told = with(measures);
        assert!(told.contains(words), "{words}\n{told}");
        assert!(!told.contains("not named"), "{told}");
    }
}

#[test]
fn an_assessment_of_a_day_to_come_is_warned_about() {
    let told = paper(&format!(
        "valid = {{ from = 2024-01-01 }}\n{}",
        TIA.replace("2024-01-01", "2027-01-01")
    ));
    assert_eq!(
        told,
        "o.toml:11:47: assessment `T` is dated 2027-01-01, a day to come (nothing rests on it before: set `date` to the day on which it was made)"
    );
    let today = paper(&format!(
        "valid = {{ from = 2024-01-01 }}\n{}",
        TIA.replace("2024-01-01", "2026-11-22")
    ));
    assert_eq!(today, "");
}

#[test]
fn ends_within_ninety_days_are_warned_about() {
    let text = format!(
        r#"[entities.c]
country = "US"
attributes = [{{ name = "gdpr-art3-2", until = 2027-02-20 }}]
[entities.d]
country = "US"
attributes = [{{ name = "gdpr-art3-2", until = 2027-02-21 }}]
{PAPER}valid = {{ from = 2024-01-01, until = 2026-11-21 }}
{}
"#,
        TIA.replace("outcome", "review_by = 2026-11-22, outcome")
    );
    let told = summaries("", &text);
    assert!(
        told.contains("attribute `gdpr-art3-2` of `c` ends on 2027-02-20"),
        "{told}"
    );
    assert!(!told.contains("of `d`"), "{told}");
    assert!(
        told.contains("o.toml:16:38: instrument `i` ended on 2026-11-21"),
        "{told}"
    );
    assert!(
        told.contains("o.toml:17:71: assessment `T` ends on 2026-11-22"),
        "{told}"
    );
}
