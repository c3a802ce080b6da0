//! Slips that cost: papers that are not signed or not assessed, rules without a source, hints that
//! would lead to another country's law.

use super::tests::{accepting, rule, summaries};

const PAPER: &str =
    "[[instruments]]\nid = \"i\"\nmechanism = \"scc\"\nexporter = [\"a\"]\nimporter = [\"b\"]\n";
const TIA: &str =
    "assessment = { id = \"T\", kind = \"tia\", date = 2024-01-01, outcome = \"effective\" }";

fn paper(more: &str) -> String {
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

/// What an age, a promise, an attribute or a term says is not known where a part of it was misread.
#[test]
fn of_other_entries_that_were_misread_nothing_follows_either() {
    let child = |id: &str, age: u8, more: &str| rule("child", id, &format!("age = {age}\n{more}"));
    for wrong in [
        "from = 2023-02-30",
        "until = 2023-12-32",
        "from = \"soon\"",
        "form = 2023-01-01",
    ] {
        let law = child("one", 13, "until = 2022-12-31") + &child("two", 15, wrong);
        let told = summaries(&law, "");
        assert_eq!(told.lines().count(), 1, "{wrong}\n{told}");
    }
    let told = summaries(&(child("one", 13, "") + &child("two", 15, "")), "");
    assert!(told.contains("both hold for"), "{told}");
    let young = |age: u8, more: &str| {
        format!("[[sensitive]]\nbelow_age = {age}\ncitation = \"c\"\n{more}\n")
    };
    let told = summaries(
        &(young(14, "until = 2022-12-31") + &young(16, "from = 2023-02-30")),
        "",
    );
    assert_eq!(told.lines().count(), 1, "{told}");
    for organisation in [
        "[entities.c]\ncountry = \"US\"\nattributes = [{ name = \"gdpr-art3-2\", until = 2022-12-31 }, { name = \"gdpr-art3-2\", from = 2023-02-30 }]",
        "[[promises]]\nid = \"p\"\nstore_only_n = [\"SG\"]",
        "[[promises]]\nid = \"p\"\nstore_only_in = [\"SG\"]\n[[promises]]\nid = \"q\"\nsubjets = [\"FR\"]\nstore_only_in = [\"FR\"]",
        "[[retention]]\nid = \"r\"\ncategories = [\"user\"]\nkeep = \"3 years\"\n[[retention]]\nid = \"s\"\ncategories = [\"user\"]\nkeep = \"2 years\"\nleats = true",
    ] {
        let told = summaries("", organisation);
        assert_eq!(told.lines().count(), 1, "{organisation}\n{told}");
    }
}

#[test]
fn a_rule_names_its_source() {
    let blank = |text: String, cited: &str| text.replace("\"c\"", cited);
    for cited in ["\"\"", "\" \\t\""] {
        for law in [
            rule("permit", "one", "mechanism = \"consent\"\nto = [\"JP\"]"),
            rule("forbid", "one", "to = [\"JP\"]"),
            rule("localise", "one", ""),
            rule("child", "one", "age = 13"),
            "[[sensitive]]\ncategories = [\"user.biometric\"]\ncitation = \"c\"\n".to_owned(),
        ] {
            let told = summaries(&blank(law, cited), "");
            assert!(
                told.contains("`citation` names no source") && told.lines().count() == 1,
                "{told}"
            );
        }
        let hold = format!("[[holds]]\nid = \"h\"\ncitation = {cited}\n");
        let told = summaries("", &hold);
        assert!(
            told.contains("o.toml:7:12: `citation` names no source"),
            "{told}"
        );
    }
}

/// A wrong code is another country, and a wrong edition another text: by letters none is proposed.
#[test]
fn no_country_and_no_text_is_proposed_by_its_letters() {
    let home = |key: &str| summaries("", &format!("[homes]\n{key} = [\"x\"]\n"));
    assert!(home("XE").contains("homes stand by law id (XX), by country code, or as `default`"));
    assert!(home("defalt").contains("did you mean `default`?"));
    let edition = paper(&format!("{TIA}\nvalid = {{}}\nedition = \"2021/941\""));
    assert!(
        edition.contains("(texts that rules accept: 2021/914)"),
        "{edition}"
    );
    let law = rule("forbid", "one", "to = [\"EUU\", \"TH_ADEQATE\"]");
    let told = summaries(&law, "");
    assert!(
        told.contains("`EUU` is neither a place nor a group (countries are")
            && told.contains("did you mean `TH_ADEQUATE`?"),
        "{told}"
    );
    let told = summaries(
        "",
        "[[retention]]\nid = \"r\"\ncategories = [\"user\"]\nkeep = \"3 years\"\nlaws = [\"XY\"]\n",
    );
    assert!(
        told.contains("unknown law `XY` (laws of this policy: XX)"),
        "{told}"
    );
    let told = paper("valid = {}").replace('\n', " ");
    assert!(!told.contains("did you mean"), "{told}");
}

/// An unsure age leans towards the stricter one, and may be accepted by name like a prohibition.
#[test]
fn an_unsure_age_stands_above_a_sure_one() {
    let child = |id: &str, age: u8, more: &str| rule("child", id, &format!("age = {age}\n{more}"));
    let unsure = "confidence = \"medium\"\nreview = true";
    let law = child("floor", 13, "") + &child("unsure", 16, unsure);
    assert_eq!(summaries(&law, ""), "");
    // The other way round the unsure one would say nothing.
    let told = summaries(&(child("floor", 16, "") + &child("unsure", 13, unsure)), "");
    assert!(told.contains("both hold for"), "{told}");
    let told = summaries(&child("unsure", 16, "confidence = \"medium\""), "");
    assert!(
        told.contains("rule `unsure` is not sure, and does not say whether it wants review"),
        "{told}"
    );
    let told = accepting("unsure", &law);
    assert_eq!(told, "");
    let told = accepting("floor", &law);
    assert!(told.contains("rule `floor` needs no acceptance"), "{told}");
    let told = accepting("unsre", &law);
    assert!(
        told.contains("unknown rule `unsre` (did you mean `unsure`?)"),
        "{told}"
    );
}

#[test]
fn ends_within_ninety_days_are_warned_about() {
    let text = r#"[entities.c]
country = "US"
attributes = [{ name = "gdpr-art3-2", until = 2027-02-20 }]
[entities.d]
country = "US"
attributes = [{ name = "gdpr-art3-2", until = 2027-02-21 }]
[[instruments]]
id = "i"
mechanism = "scc"
exporter = ["a"]
importer = ["b"]
valid = { from = 2024-01-01, until = 2026-11-21 }
assessment = { id = "T", kind = "tia", date = 2024-01-01, review_by = 2026-11-22, outcome = "effective" }
"#;
    let told = summaries("", text);
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

#[test]
fn a_source_that_is_told_says_something() {
    let with = |source: &str| {
        let promise = "[[promises]]\nid = \"p\"\nnever_to = [\"US\"]\n";
        let term =
            "[[retention]]\nid = \"t\"\ncategories = [\"user.health\"]\nkeep = \"3 years\"\n";
        summaries("", &format!("{promise}{source}\n{term}{source}\n"))
    };
    for sound in ["", "source = \"privacy notice of 2021-01-01\""] {
        assert_eq!(with(sound), "", "{sound}");
    }
    for blank in ["source = \"\"", "source = \" \\t\""] {
        let told = with(blank);
        for place in ["o.toml:8:10", "o.toml:13:10"] {
            let words = format!("{place}: `source` names no source (say where it was given");
            assert!(told.contains(&words), "{told}");
        }
    }
}
