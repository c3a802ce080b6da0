//! Rules, promises and terms tell where they come from.

use super::{rule, summaries};

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
