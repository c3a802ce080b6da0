//! What is proposed in place of a name that nobody knows.

use super::{
    LAW, ORGANISATION, lines,
    papers::{TIA, paper},
    rule, summaries,
};
use crate::{
    document::{Faults, Node},
    policy::{check, shipped},
};

/// An abbreviation has no near one: `SGT` is no slip of `CET`.
#[test]
fn no_time_zone_is_proposed_for_an_abbreviation() {
    for (zone, proposed) in [
        ("SGT", "such as `Asia/Singapore`"),
        ("Asia/Singapur", "did you mean `Asia/Singapore`?"),
    ] {
        let faults = Faults::new();
        let parse = |name: &str, text: &str| Node::parse(name, text.to_owned(), &faults).unwrap();
        let (_, vocabulary) = shipped::LAW[0];
        let law = LAW.replace("Europe/Paris", zone);
        let (law, organisation) = (parse("xx.toml", &law), parse("o.toml", ORGANISATION));
        check(
            &parse("vocabulary.toml", vocabulary),
            &[law],
            &organisation,
            &faults,
        );
        let told = lines(&faults.into_sorted());
        assert!(told.contains(proposed), "{told}");
    }
}

#[test]
fn a_table_of_thresholds_is_named_as_one() {
    let rule = |table: &str| {
        let when = format!("when = {{ above = \"{table}\" }}");
        summaries(&rule("forbid", "one", &when), "")
    };
    let told = rule("quite-another-table");
    assert!(told.contains("unknown table of thresholds"), "{told}");
    assert!(!told.contains("thresholdss"), "{told}");
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
}
