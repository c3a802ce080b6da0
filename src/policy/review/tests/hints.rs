//! What is proposed in place of a name that nobody knows.

use super::{
    papers::{TIA, paper},
    rule, summaries,
};

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
