//! Rules under observation: the enforced verdict is that of the policy without them, and what they
//! would have changed is told beside it.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{ask, policies};
use crate::{
    decide::{decide, home_candidates, observed},
    document::{Fault, Faults, Node},
    domain::{Answer, Outcome, Question, Region, Regions},
    policy::{Checked, check},
};

/// The demo's organisation with `more` lines before and after it, and the shipped laws; `edit`
/// changes a law's text.
fn read(
    before: &str,
    after: &str,
    edit: &dyn Fn(&str, String) -> String,
) -> Result<Arc<Checked>, Vec<Fault>> {
    let faults = Faults::new();
    let text = |name: &str| std::fs::read_to_string(policies().join(name)).expect("shipped file");
    let vocabulary = Node::parse("vocabulary.toml", text("vocabulary.toml"), &faults).unwrap();
    let laws: Vec<Node> = ["cn", "eu", "in", "kz", "ru", "sg", "vn"]
        .iter()
        .map(|l| edit(l, text(&format!("law/{l}.toml"))))
        .filter_map(|t| Node::parse("law.toml", t, &faults))
        .collect();
    let organisation = format!(
        "{before}\n{}\n{after}",
        text("examples/demo/organisation.toml")
    );
    let organisation = Node::parse("organisation.toml", organisation, &faults).unwrap();
    let checked = check(&vocabulary, &laws, &organisation, &faults);
    checked.map(Arc::new).ok_or_else(|| faults.into_sorted())
}

fn plain(before: &str, after: &str) -> Arc<Checked> {
    read(before, after, &|_, text| text).unwrap_or_else(|f| panic!("{f:#?}"))
}

/// Laws with further rules at the end of one file.
fn with_rules(law: &'static str, rules: &'static str) -> Arc<Checked> {
    let edit = |name: &str, text: String| match name == law {
        true => format!("{text}\n{rules}"),
        false => text,
    };
    read("", "", &edit).unwrap_or_else(|f| panic!("{f:#?}"))
}

fn flow(operation: &str, country: &str, from: (&str, &str), to: (&str, &str)) -> Value {
    json!({
        "at": "2026-11-21T12:00:00Z", "operation": operation,
        "subject": { "countries": [country] },
        "categories": ["user.contact.email"],
        "from": { "country": from.0, "entity": from.1 },
        "to": { "country": to.0, "entity": to.1 },
    })
}

fn european_read() -> Value {
    flow("read", "DE", ("DE", "acme-eu"), ("SG", "acme-sg"))
}

/// Rule and outcome of what is told of rules under observation.
fn told(answer: &Answer) -> Vec<(&str, Outcome)> {
    let all = answer.observed.iter();
    all.map(|o| (o.rule.as_str(), o.outcome)).collect()
}

const FORBID: &str = r#"
[[forbid]]
id = "eu-no-reads-abroad"
citation = "a test"
operations = ["read"]
observe = true
[[forbid]]
id = "eu-no-mail-abroad"
citation = "a test"
when = { categories = ["user.contact.email"] }
observe = true
[[forbid]]
id = "eu-no-health-abroad"
citation = "a test"
when = { categories = ["user.health"] }
observe = true
"#;

#[test]
fn a_prohibition_under_observation_blocks_nothing_and_every_one_that_would_is_told() {
    let today = ask(&plain("", ""), european_read());
    assert_eq!(today.outcome, Outcome::Permit);
    assert_eq!(told(&today), []);
    assert!(!serde_json::to_string(&today).unwrap().contains("observed"));
    let answer = ask(&with_rules("eu", FORBID), european_read());
    let refuse = Outcome::Refuse;
    // The second is not hidden behind the first, and the third does not concern the flow.
    assert_eq!(
        told(&answer),
        [
            ("eu-no-reads-abroad", refuse),
            ("eu-no-mail-abroad", refuse)
        ]
    );
    assert_eq!(answer.observed[0].citation, "a test");
    let but = |a: &Answer| Answer {
        observed: Vec::new(),
        policy: String::new(),
        ..a.clone()
    };
    assert_eq!(
        but(&answer),
        but(&today),
        "nothing else of the answer changes"
    );
    let text = serde_json::to_value(&answer).unwrap();
    assert_eq!(
        text["observed"][0],
        json!({ "rule": "eu-no-reads-abroad", "citation": "a test", "outcome": "refuse" })
    );
    let lifted: &'static str = FORBID.replace("observe = true\n", "").leak();
    let answer = ask(&with_rules("eu", lifted), european_read());
    assert_eq!(answer.outcome, refuse);
    assert_eq!(answer.rule.as_deref(), Some("eu-no-reads-abroad"));
    assert_eq!(told(&answer), []);
}

#[test]
fn what_is_refused_already_disagrees_with_nothing() {
    let checked = with_rules("cn", FORBID);
    let answer = ask(
        &checked,
        flow("read", "CN", ("CN", "acme-cn"), ("SG", "acme-sg")),
    );
    assert_eq!(answer.outcome, Outcome::Refuse);
    assert_eq!(told(&answer), []);
}

#[test]
fn the_organisation_puts_shipped_rules_and_its_own_promises_under_observation() {
    let indian = || {
        let mut q = flow("store", "IN", ("IN", "acme-in"), ("DE", "acme-eu"));
        q["via"] = json!({ "country": "SG", "entity": "acme-sg" });
        q
    };
    let enforced = ask(&plain("", ""), indian());
    assert_eq!(enforced.rule.as_deref(), Some("india-stays"));
    let promise = "[[promises]]\nid = \"no-emails\"\nnever_to = [\"DE\"]\nobserve = true\n";
    let listed = "observe = [\"india-stays\"]";
    for checked in [plain(listed, ""), plain(listed, promise)] {
        let answer = ask(&checked, indian());
        assert_eq!(answer.outcome, Outcome::Permit, "{answer:#?}");
        let names: Vec<&str> = told(&answer).iter().map(|(rule, _)| *rule).collect();
        assert_eq!(names[0], "india-stays");
        assert_eq!(names.len(), checked.organisation.promises.len());
        assert!(
            answer
                .promises
                .iter()
                .all(|p| { p.outcome == crate::domain::PromiseOutcome::NotConcerned })
        );
    }
}

#[test]
fn a_localisation_under_observation_moves_no_home() {
    let regions = || {
        let region = |name: &str, country: &str| Region {
            name: name.into(),
            place: country.parse().unwrap(),
            entity: "acme-sg".into(),
        };
        Regions::new(vec![region("sg", "SG"), region("in", "IN")])
    };
    let homes = |observe: &str| {
        let policy = plain(observe, "").compile("2026-11-21T12:00:00Z".parse().unwrap());
        let question = flow("store", "RU", ("SG", "acme-sg"), ("SG", "acme-sg"));
        let question: Question = serde_json::from_value(question).unwrap();
        let query = policy.resolve(&question).unwrap();
        home_candidates(&policy, &regions(), &query).map_err(|f| f.to_string())
    };
    let no_region = "no region lies where the law demands the primary copy";
    assert_eq!(homes(""), Err(no_region.to_owned()));
    let none_demands = homes("observe = [\"ru-localisation\"]");
    assert_ne!(none_demands, Err(no_region.to_owned()));
}

const STRICTER: &str = r#"
[[permit]]
id = "eu-scc-pseudonymised"
citation = "a test"
mechanism = "scc"
requires = ["instrument", "protection:pseudonymised"]
modules = [1, 2, 3, 4]
observe = true
replaces = "eu-scc"
"#;

#[test]
fn a_stricter_permit_is_tried_in_the_place_of_the_one_it_replaces() {
    let checked = with_rules("eu", STRICTER);
    let answer = ask(&checked, european_read());
    assert_eq!(answer.outcome, Outcome::Permit);
    assert_eq!(answer.rule.as_deref(), Some("eu-scc"));
    assert_eq!(told(&answer), [("eu-scc-pseudonymised", Outcome::Refuse)]);
    let mut pseudonymised = european_read();
    pseudonymised["protection"] = json!("pseudonymised");
    let answer = ask(&checked, pseudonymised.clone());
    assert_eq!(answer.rule.as_deref(), Some("eu-scc"));
    assert_eq!(told(&answer), [], "both permit");
    // Lifted, it is what was observed.
    let lifted = with_rules("eu", STRICTER.replace("observe = true\n", "").leak());
    assert_eq!(ask(&lifted, european_read()).outcome, Outcome::Refuse);
    let answer = ask(&lifted, pseudonymised);
    assert_eq!(answer.rule.as_deref(), Some("eu-scc-pseudonymised"));
}

#[test]
fn a_permit_under_observation_does_not_permit_yet() {
    let permit = r#"
[[permit]]
id = "cn-anything-goes"
citation = "a test"
mechanism = "cn-exempt-zone"
observe = true
"#;
    let checked = with_rules("cn", permit);
    let answer = ask(
        &checked,
        flow("read", "CN", ("CN", "acme-cn"), ("SG", "acme-sg")),
    );
    assert_eq!(answer.outcome, Outcome::Refuse);
    assert_eq!(told(&answer), [("cn-anything-goes", Outcome::Permit)]);
    assert!(
        !answer
            .laws
            .iter()
            .flat_map(|l| &l.rules)
            .any(|r| r.id == "cn-anything-goes"),
        "it is not among what is missing"
    );
}

#[test]
fn mistakes_of_observation_are_told() {
    let told = |before: &str, law: &'static str| {
        let edit = |name: &str, text: String| match name {
            "eu" => format!("{text}\n{law}"),
            _ => text,
        };
        let faults = read(before, "", &edit).expect_err("a mistake");
        faults
            .iter()
            .map(Fault::summary)
            .collect::<Vec<_>>()
            .join("\n")
    };
    let permit = |id: &str, more: &str| -> &'static str {
        format!("[[permit]]\nid = \"{id}\"\ncitation = \"t\"\nmechanism = \"adequacy\"\n{more}\n")
            .leak()
    };
    for (before, law, words) in [
        (
            "observe = [\"ru-localization\"]",
            "",
            "1:12: unknown rule `ru-localization` (did you mean `ru-localisation`?)",
        ),
        (
            "observe = [\"india-stay\"]",
            "",
            "did you mean `india-stays`?",
        ),
        (
            "observe = [\"in-child\"]",
            "",
            "`in-child` cannot be observed",
        ),
        (
            "",
            permit("a", "replaces = \"eu-sccs\""),
            "`eu-sccs` is no other permit of this law (did you mean `eu-scc`?)",
        ),
        (
            "",
            permit("a", "replaces = \"a\""),
            "`a` is no other permit",
        ),
        (
            "",
            permit("a", "replaces = \"ru-localisation\""),
            "is no other permit",
        ),
        (
            "",
            permit("a", "observe = \"yes\""),
            "expected true or false",
        ),
        (
            "",
            "[[child]]\nid = \"x\"\nage = 3\ncitation = \"t\"\nof = [\"XK\"]\nobserve = true",
            "unknown key `observe`",
        ),
    ] {
        let all = told(before, law);
        assert!(all.contains(words), "{words}\n{all}");
    }
    let circle = format!(
        "{}{}",
        permit("a", "replaces = \"b\""),
        permit("b", "replaces = \"a\"")
    );
    let all = told("", circle.leak());
    assert!(
        all.contains("`a` replaces, by way of others, itself"),
        "{all}"
    );
}

#[test]
fn what_is_under_observation_is_warned_of() {
    let checked = plain("observe = [\"ru-localisation\"]", "");
    let faults = Faults::new();
    checked.warnings("2026-11-21".parse().unwrap(), &faults);
    let all: Vec<String> = faults.into_sorted().iter().map(Fault::summary).collect();
    let one = all
        .iter()
        .filter(|w| w.contains("`ru-localisation` is under observation"));
    assert_eq!(one.count(), 1, "{all:#?}");
}

/// Whatever is observed, the verdict is that of the policy without it, and something is told
/// exactly where the policy with it says otherwise.
#[test]
fn observing_is_leaving_out_and_telling() {
    const ENDS: [(&str, &str); 5] = [
        ("DE", "acme-eu"),
        ("IN", "acme-in"),
        ("RU", "acme-ru"),
        ("SG", "acme-sg"),
        ("CN", "acme-cn"),
    ];
    let before = plain("", "");
    let at = "2026-11-21T12:00:00Z".parse().unwrap();
    let (mut differing, all) = (0, before.compile(at));
    for names in [
        "\"india-stays\"",
        "\"ru-localisation\", \"eu-scc\"",
        "\"sg-intermediary\", \"india-stays\"",
    ] {
        let watching = plain(&format!("observe = [{names}]"), "");
        let policy = watching.compile(at);
        for operation in ["store", "read", "replicate", "relocate"] {
            for person in ["DE", "IN", "RU", "SG", "CN"] {
                for ends in 0..25 {
                    let flow = flow(operation, person, ENDS[ends / 5], ENDS[ends % 5]);
                    let question: Question = serde_json::from_value(flow).unwrap();
                    let query = policy.resolve(&question).unwrap();
                    let enforced = decide(&policy, &query);
                    let as_before = decide(&all, &all.resolve(&question).unwrap());
                    let said = observed(&policy, &query, &enforced);
                    let agree = enforced.outcome() == as_before.outcome();
                    assert_eq!(said.is_empty(), agree, "{names} {question:?}");
                    assert!(said.iter().all(|o| o.outcome == as_before.outcome()));
                    assert!(!enforced.rules().any(|r| watching.rule(r).unwrap().observed));
                    differing += usize::from(!agree);
                }
            }
        }
    }
    assert!(differing > 50, "{differing}");
}
