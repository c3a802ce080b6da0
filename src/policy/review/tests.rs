//! Contradictions are errors with both places, idle things are warnings with a reason, and what is
//! neither is left alone.

mod hints;
mod names;
mod papers;
mod sources;

use crate::{
    document::{Fault, Faults, Node},
    domain::{Region, Regions},
    policy::{check, shipped},
};

const LAW: &str = r#"id = "XX"
name = "Test"
territory = ["FR", "DE"]
timezone = "Europe/Paris"
attaches = ["person", "exporter"]
transfer = { id = "xx-transfer", citation = "c" }
outside_with = []
[[sensitive]]
categories = ["user.health"]
citation = "c"
[[permit]]
id = "xx-base"
mechanism = "scc"
editions = ["2021/914"]
when = { importer_without = ["gdpr-art3-2"], purposes_without = ["journalism"] }
requires = ["instrument", "assessment:tia"]
citation = "c"
from = 2020-01-01
"#;

const ORGANISATION: &str = r#"[entities.a]
country = "FR"
[entities.b]
country = "SG"
"#;

/// All faults of the shipped vocabulary with this law and organisation; warnings as of 2026-11-22.
fn told(law: &str, organisation: &str) -> Vec<Fault> {
    told_bound(law, &format!("{ORGANISATION}{organisation}"), None)
}

/// The same of a whole organisation, in the regions of some settings where there are any.
fn told_bound(law: &str, organisation: &str, regions: Option<&Regions>) -> Vec<Fault> {
    let faults = Faults::new();
    let parse = |name: &str, text: String| Node::parse(name, text, &faults).expect("valid TOML");
    let shipped = shipped::LAW
        .iter()
        .find(|(name, _)| *name == "vocabulary.toml");
    let vocabulary = parse("vocabulary.toml", shipped.expect("shipped").1.to_owned());
    let law = parse("xx.toml", format!("{LAW}{law}"));
    let organisation = parse("o.toml", organisation.to_owned());
    if let Some(checked) = check(&vocabulary, &[law], &organisation, &faults) {
        let checked = match regions {
            Some(regions) => checked.bind(regions, &faults),
            None => checked,
        };
        checked.warnings("2026-11-22".parse().expect("a day"), &faults);
    }
    faults.into_sorted()
}

pub(super) fn summaries(law: &str, organisation: &str) -> String {
    lines(&told(law, organisation))
}

/// The same in regions of `a`, by name and place.
pub(super) fn summaries_in(regions: &[(&str, &str)], organisation: &str) -> String {
    let regions = regions.iter().map(|(name, place)| Region {
        name: (*name).into(),
        place: place.parse().expect("a place"),
        entity: "a".into(),
    });
    let regions = Regions::new(regions.collect());
    let organisation = format!("{ORGANISATION}{organisation}");
    lines(&told_bound("", &organisation, Some(&regions)))
}

pub(super) fn accepting(name: &str, law: &str) -> String {
    let organisation = format!("accept = [\"{name}\"]\n{ORGANISATION}");
    lines(&told_bound(law, &organisation, None))
}

fn lines(faults: &[Fault]) -> String {
    let all: Vec<String> = faults.iter().map(Fault::summary).collect();
    all.join("\n")
}

pub(super) fn rule(kind: &str, id: &str, more: &str) -> String {
    format!("[[{kind}]]\nid = \"{id}\"\ncitation = \"c\"\n{more}\n")
}

/// The rest of a rule that was misread says more than was meant.
#[test]
fn of_a_misread_rule_nothing_follows() {
    let other = rule("permit", "other", "mechanism = \"consent\"\nto = [\"SG\"]");
    for (wrong, told) in [
        ("operation = [\"erase\"]", "unknown key `operation`"),
        (
            "requires = [\"ground:transits\"]",
            "unknown ground `transits`",
        ),
        ("flow = [\"outbond\"]", "unknown flow `outbond`"),
        ("until = 2019-13-01", "invalid date"),
    ] {
        let misread = rule(
            "permit",
            "one",
            &format!("mechanism = \"adequacy\"\nto = [\"SG\"]\n{wrong}"),
        );
        let found = summaries(&format!("{misread}{other}"), "");
        assert!(
            found.contains(told) && found.lines().count() == 1,
            "{found}"
        );
    }
    // And without the slip the two are a contradiction.
    let one = rule("permit", "one", "mechanism = \"adequacy\"\nto = [\"SG\"]");
    let found = summaries(&format!("{one}{other}"), "");
    assert!(found.contains("contradict each other"), "{found}");
}

#[test]
fn sound_files_are_silent() {
    assert_eq!(summaries("", ""), "");
    // Order of preference, days that follow each other, conditions that differ: no contradictions.
    let law = [
        rule(
            "permit",
            "one",
            "mechanism = \"adequacy\"\nto = [\"SG\"]\nrequires = [\"ground:treaty\"]",
        ),
        rule(
            "permit",
            "two",
            "mechanism = \"consent\"\nto = [\"SG\"]\nrequires = [\"consent:transfer\"]",
        ),
        rule(
            "permit",
            "old",
            "mechanism = \"bcr\"\nto = [\"JP\"]\nuntil = 2024-12-31",
        ),
        rule(
            "permit",
            "new",
            "mechanism = \"adequacy\"\nto = [\"JP\"]\nfrom = 2025-01-01",
        ),
        rule(
            "permit",
            "unsure",
            "mechanism = \"bcr\"\nto = [\"JP\"]\nfrom = 2025-01-01\nconfidence = \"low\"\nreview = true",
        ),
        rule("localise", "all", "copies = \"after-primary\""),
        rule(
            "localise",
            "health",
            "copies = \"never\"\nwhen = { categories = [\"user.health\"] }",
        ),
        rule(
            "forbid",
            "order",
            "when = { unapproved_order = true }\nunless = { grounds = [\"treaty\"] }",
        ),
        rule(
            "forbid",
            "order-consent",
            "when = { unapproved_order = true }\nunless = { consents = [\"written\"] }",
        ),
        rule(
            "permit",
            "listed",
            "mechanism = \"adequacy\"\nto = [\"TH_ADEQUATE\"]",
        ),
    ];
    assert_eq!(summaries(&law.concat(), ""), "");
}

#[test]
fn rules_that_contradict_each_other_are_errors_with_both_places() {
    let pairs = [
        (
            rule(
                "localise",
                "one",
                "copies = \"never\"\nwhen = { categories = [\"user.health\"] }",
            ),
            rule(
                "localise",
                "two",
                "copies = \"free\"\nwhen = { categories = [\"user.health\"] }",
            ),
            "they let copies leave at different times",
        ),
        (
            rule("forbid", "one", "to = [\"SG\"]"),
            rule("permit", "two", "mechanism = \"adequacy\"\nto = [\"SG\"]"),
            "`two` permits what `one` forbids without exception",
        ),
        (
            rule(
                "permit",
                "one",
                "mechanism = \"adequacy\"\nto = [\"SG\"]\nrequires = [\"ground:treaty\"]",
            ),
            rule(
                "permit",
                "two",
                "mechanism = \"consent\"\nto = [\"SG\"]\nrequires = [\"ground:treaty\"]",
            ),
            "by different mechanisms",
        ),
        (
            rule(
                "permit",
                "one",
                "mechanism = \"adequacy\"\nto = [\"SG\", \"JP\"]\nduties = [\"a\"]",
            ),
            rule(
                "permit",
                "two",
                "mechanism = \"adequacy\"\nto = [\"JP\", \"SG\"]\nduties = [\"b\"]",
            ),
            "with different duties",
        ),
        (
            rule(
                "forbid",
                "one",
                "to = [\"SG\"]\nunless = { consents = [\"written\"] }",
            ),
            rule("forbid", "two", "to = [\"SG\"]"),
            "the exceptions never help",
        ),
    ];
    for (one, two, words) in pairs {
        let all = told(&format!("{one}{two}"), "");
        let found = all.iter().find(|f| f.message.contains(words));
        let fault = found.unwrap_or_else(|| panic!("{words}: {all:#?}"));
        assert!(fault.is_error(), "{words}");
        let places = (
            fault.at.line_column(),
            fault.also.first().and_then(|(at, _)| at.line_column()),
        );
        let second = 19 + one.lines().count() + 1;
        // Prohibitions and localisation stand before permits, whatever the order of the file.
        assert_eq!(places, (Some((second, 6)), Some((20, 6))), "{words}");
        // On days that follow each other there is nothing to contradict.
        let apart = format!("{one}until = 2024-12-31\n{two}from = 2025-01-01\n");
        let apart = summaries(&apart, "");
        assert!(!apart.contains("contradict"), "{apart}");
    }
}

#[test]
fn ages_groups_and_papers_that_contradict_themselves_are_errors() {
    let ages = "[[child]]\nid = \"c1\"\nage = 13\ncitation = \"c\"\n[[child]]\nid = \"c2\"\nage = 16\nof = [\"FR\"]\ncitation = \"c\"\n[[sensitive]]\nbelow_age = 14\ncitation = \"c\"\n[[sensitive]]\nbelow_age = 16\ncitation = \"c\"\n";
    let papers = r#"[entities.c]
country = "US"
attributes = ["cbpr", { name = "cbpr", until = 2030-01-01 }]
[[instruments]]
id = "i"
mechanism = "scc"
exporter = ["a"]
importer = ["b"]
valid = { from = 2024-01-01 }
filed = [{ date = 2024-01-02, state = "filed" }, { date = 2024-01-02, state = "prohibited" }]
assessment = { id = "T", kind = "tia", date = 2024-01-01, outcome = "effective" }
[[assessments]]
id = "T"
kind = "tia"
exporter = ["a"]
date = 2024-01-01
outcome = "not-effective"
[[instruments]]
id = "i"
mechanism = "scc"
exporter = ["a"]
importer = ["b"]
valid = { from = 2024-01-01 }
[[recipients]]
id = "r"
entity = "b"
categories = ["user.name"]
[[recipients]]
id = "r"
entity = "b"
categories = ["user.name"]
[[retention]]
id = "k1"
categories = ["user.name"]
keep = "1 year"
[[retention]]
id = "k2"
categories = ["user.name"]
keep = "12 months"
[[retention]]
id = "k3"
categories = ["user.name"]
keep = "2 years"
[[retention]]
id = "k4"
categories = ["user.name"]
keep = "3 years"
least = true
"#;
    let text = summaries(ages, papers);
    for words in [
        "xx.toml:23:1: `c1` and `c2` both hold for FR",
        "data of people below 14 and below 16 is called sensitive",
        "o.toml:7:23: entity `c` has the attribute `cbpr` twice",
        "the filing has two states on 2024-01-02",
        "assessment `T` stands twice, and differs",
        "instrument `i` stands twice",
        "recipient `r` stands twice",
        "`k1` and `k3` give the same data two terms",
        "`k1` and `k4` ask to keep the same data longer than it may be kept",
    ] {
        assert!(text.contains(words), "{words}\n{text}");
    }
    assert!(!text.contains("`k1` and `k2`"), "{text}");
}

#[test]
fn rules_that_can_never_apply_are_warned_about_with_the_reason() {
    let permit = |more: &str| rule("permit", "x", &format!("mechanism = \"adequacy\"\n{more}"));
    for (law, words) in [
        (
            permit("to = [\"FR\"]"),
            "no flow of its kind (`flow`) starts and ends where it says",
        ),
        (
            permit("to = [\"SG\"]\nto_except = [\"SG\"]"),
            "no flow of its kind",
        ),
        (
            permit("origin = [\"SG\"]\nflow = [\"outbound\"]"),
            "no flow of its kind",
        ),
        (
            permit("to = [\"FR\"]\norigin = [\"FR\"]\nflow = [\"within\"]"),
            "no flow of its kind",
        ),
        (
            permit("when = { categories = [\"user.health\"], without = [\"user.health\"] }"),
            "`without` takes away every category",
        ),
        (
            permit("when = { categories = [\"user.health\"], sensitive = false }"),
            "all of its categories are sensitive",
        ),
        (
            permit(
                "when = { purposes = [\"journalism\"], purposes_without = [\"Journalism\", \"academic_study\"] }",
            ),
            "`purposes_without` takes away every purpose",
        ),
        (
            permit("when = { importer = [\"lgpd\"], importer_without = [\"lgpd\"] }"),
            "`importer_without` takes away every importer",
        ),
        (rule("forbid", "x", "to = []"), "`to` names none"),
        (rule("localise", "x", "origin = []"), "`origin` names none"),
        (rule("forbid", "x", "of = []"), "`of` names none"),
        (
            permit("when = { citizen = true }"),
            "does not attach by citizenship",
        ),
        (
            permit("when = { direct = true, same_entity = true }"),
            "there is no exporter to be the same",
        ),
        (
            permit("when = { in_place = true, same_entity = false }"),
            "what stays in place stays with the same entity",
        ),
        (
            permit("when = { counts = [\"cn.ordinary < 10\", \"cn.ordinary >= 10\"] }"),
            "no count meets all of its edges",
        ),
        (
            permit("when = { counts = [\"cn.ordinary < 0\"] }"),
            "no count is below 0",
        ),
        (
            permit("when = { above = \"us-bulk\", below = \"us-bulk\" }"),
            "above and below the same thresholds",
        ),
        (
            permit("when = { importer_without = [\"lgpd\"] }\nrequires = [\"importer:lgpd\"]"),
            "`requires` asks for what `when` excludes",
        ),
        (
            permit(
                "requires = [\"protection:encrypted-exporter-keys\", \"protection:pseudonymised\"]",
            ),
            "of which a flow has one",
        ),
        (
            rule("localise", "x", "flow = [\"inbound\"]"),
            "localisation stops what goes to places outside",
        ),
        (
            rule("localise", "x", "operations = [\"read\"]"),
            "localisation stops `store`",
        ),
        (
            rule("forbid", "y", "to = [\"SG\", \"JP\"]") + &permit("to = [\"SG\"]"),
            "`y` forbids all it permits",
        ),
        (
            rule("permit", "y", "mechanism = \"bcr\"\nto = [\"SG\", \"JP\"]")
                + &permit("to = [\"SG\"]\nrequires = [\"ground:treaty\"]"),
            "`y` permits all it permits",
        ),
        (
            rule("forbid", "y", "to = [\"SG\", \"JP\"]") + &rule("forbid", "x", "to = [\"SG\"]"),
            "`y` refuses all it refuses",
        ),
    ] {
        let text = summaries(&law, "");
        assert!(text.contains("rule `x` can never apply"), "{law}\n{text}");
        assert!(text.contains(words), "{law}\n{text}");
        assert!(!text.contains("`xx-base`"), "{law}\n{text}");
    }
    for law in [
        permit("to = [\"SG\"]\nto_except = [\"JP\"]"),
        permit(
            "when = { counts = [\"cn.ordinary < 10\", \"cn.ordinary >= 9 or cn.sensitive == 0\"] }",
        ),
        permit("when = { categories = [\"user\"], without = [\"user.health\"] }"),
        permit("when = { categories = [\"user\"], sensitive = false }"),
        permit("when = { in_place = true }"),
        rule(
            "permit",
            "y",
            "mechanism = \"bcr\"\nto = [\"SG\"]\nuntil = 2025-01-01",
        ) + &permit("to = [\"SG\"]"),
        rule(
            "permit",
            "y",
            "mechanism = \"bcr\"\nto_except = [\"TH_ADEQUATE\"]",
        ) + &permit("to = [\"SG\"]"),
        rule(
            "permit",
            "y",
            "mechanism = \"bcr\"\nwhen = { same_entity = true }",
        ) + &permit("to = [\"SG\"]"),
    ] {
        let text = summaries(&law, "");
        assert!(!text.contains("can never apply"), "{law}\n{text}");
    }
}

#[test]
fn instruments_that_no_rule_can_use_are_warned_about_with_the_reason() {
    let with = |more: &str| {
        let text = format!(
            "[entities.c]\ncountry = \"US\"\nattributes = [\"gdpr-art3-2\"]\n[[instruments]]\nid = \"i\"\nexporter = [\"a\"]\n{more}\n[[assessments]]\nid = \"T\"\nkind = \"tia\"\nexporter = [\"a\"]\ndate = 2024-01-01\noutcome = \"effective\"\n"
        );
        summaries("", &text)
    };
    let good = "mechanism = \"scc\"\nimporter = [\"b\"]\nvalid = { from = 2024-01-01 }\n";
    assert_eq!(with(good), "");
    let scc = |more: &str| with(&format!("{good}{more}"));
    for (text, words) in [
        (
            with("mechanism = \"uk-idta\"\nimporter = [\"b\"]\nvalid = {}"),
            "o.toml:11:13: instrument `i` can be used by no rule: no law of this policy knows `uk-idta`",
        ),
        (
            scc("edition = \"2021/915\""),
            "none accepts the text `2021/915` (texts that rules accept: 2021/914)",
        ),
        (
            with("mechanism = \"scc\"\nimporter = [\"b\"]\nvalid = { until = 2019-01-01 }"),
            "it is not in force on any day of `xx-base`",
        ),
        (
            scc("countries = [\"FR\"]"),
            "none concerns a transfer to its countries",
        ),
        (
            scc("categories = [\"system.operations\"]"),
            "its categories hold nothing personal",
        ),
        (
            scc("purposes = [\"journalism\"]"),
            "`xx-base` concerns none of its purposes",
        ),
        (
            with("mechanism = \"scc\"\nimporter = [\"c\"]\nvalid = {}"),
            "have the attributes that `xx-base` asks for",
        ),
    ] {
        assert!(text.contains(words), "{words}\n{text}");
    }
}

#[test]
fn what_serves_no_rule_is_warned_about() {
    let text = r#"[entities.c]
country = "US"
attributes = ["lgpd", "rkn-notified"]
[[assessments]]
id = "P"
kind = "pipia"
exporter = ["a"]
date = 2024-01-01
outcome = "effective"
"#;
    let faults = summaries("", text);
    assert!(
        faults.contains("o.toml:7:15: attribute `lgpd` of `c` serves no rule"),
        "{faults}"
    );
    assert!(!faults.contains("rkn-notified"), "{faults}");
    assert!(
        faults.contains("o.toml:10:8: assessment `P` is asked for by no rule"),
        "{faults}"
    );
    assert_eq!(
        accepting("xx-base", ""),
        "o.toml:1:11: rule `xx-base` needs no acceptance (only rules with `review = true` do: it counts as it stands)"
    );
}
