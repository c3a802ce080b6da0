//! What the demo's five requests show, and the flows around them.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{ask, demo, policies};
use crate::{
    document::Faults,
    domain::{Outcome, Region, Regions},
    policy::load,
};

/// GDPR Art. 46(2)(c): clauses that nobody has signed yet are no safeguard.
#[test]
fn clauses_permit_nothing_before_they_are_concluded() {
    let from = policies().join("examples/demo/organisation.toml");
    let text = std::fs::read_to_string(from).unwrap();
    let read = |day: &str| {
        let mut text = text.clone();
        let at = text.find("\nconcluded = ").unwrap() + "\nconcluded = ".len();
        text.replace_range(at..at + "2026-01-10".len(), day);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("organisation.toml");
        std::fs::write(&file, text).unwrap();
        let checked = Arc::new(load(&policies(), &file, &Faults::new()).unwrap());
        let europe = flow("read", "DE", ("DE", "acme-eu"), ("SG", "acme-sg"));
        ask(&checked, europe).outcome
    };
    assert_eq!(read("2026-11-21"), Outcome::Permit);
    assert_eq!(read("2026-11-22"), Outcome::Refuse);
}

/// A flow of the demo on a day on which its instrument is valid.
fn flow(operation: &str, country: &str, from: (&str, &str), to: (&str, &str)) -> Value {
    json!({
        "at": "2026-11-21T12:00:00Z", "operation": operation,
        "subject": { "countries": [country] },
        "categories": ["user.contact.email"],
        "from": { "country": from.0, "entity": from.1 },
        "to": { "country": to.0, "entity": to.1 },
    })
}

#[test]
fn an_indian_record_goes_home() {
    let a = ask(
        &demo(),
        flow("store", "IN", ("SG", "acme-sg"), ("IN", "acme-in")),
    );
    assert_eq!(a.outcome, Outcome::Permit, "{a:#?}");
    assert_eq!(a.mechanism.as_deref(), Some("homebound"));
    let sg = a
        .laws
        .iter()
        .find(|l| l.law == "SG")
        .expect("Singapore attaches");
    assert_eq!(sg.mechanism.as_deref(), Some("sg-intermediary"));
    assert!(
        a.duties.contains(&"written-contract".to_owned()),
        "{:?}",
        a.duties
    );
    assert_eq!(
        a.promises.first().map(|p| p.id.as_str()),
        Some("india-stays")
    );
}

#[test]
fn a_russian_record_stays() {
    let mut q = flow("store", "RU", ("RU", "acme-ru"), ("DE", "acme-eu"));
    q["via"] = json!({ "country": "SG", "entity": "acme-sg" });
    let a = ask(&demo(), q);
    assert_eq!(a.outcome, Outcome::Refuse);
    assert_eq!(a.rule.as_deref(), Some("ru-localisation"));
    assert!(a.citation.expect("cited").contains("152-FZ Art. 18(5)"));
}

#[test]
fn a_european_record_is_read_under_clauses() {
    let a = ask(
        &demo(),
        flow("read", "DE", ("DE", "acme-eu"), ("SG", "acme-sg")),
    );
    assert_eq!(a.outcome, Outcome::Permit, "{a:#?}");
    assert_eq!(a.mechanism.as_deref(), Some("scc"));
    assert_eq!(
        (a.module, a.instrument.as_deref()),
        (Some(2), Some("eu-sg-2024"))
    );
    assert!(a.duties.contains(&"log-transfer".to_owned()));
}

#[test]
fn a_chinese_record_is_not_read_and_the_answer_says_what_lacks() {
    let a = ask(
        &demo(),
        flow("read", "CN", ("CN", "acme-cn"), ("SG", "acme-sg")),
    );
    assert_eq!(a.outcome, Outcome::Refuse);
    let contract = a
        .missing
        .iter()
        .find(|m| m.mechanism == "cn-standard-contract");
    let needs = &contract.expect("could have permitted").needs;
    assert!(
        needs.contains(&"instrument between acme-cn and acme-sg".to_owned()),
        "{needs:?}"
    );
    assert!(
        needs.contains(&"assessment (pipia)".to_owned()),
        "{needs:?}"
    );
    for mechanism in [
        "cn-exempt-small-volume",
        "cn-certification",
        "cn-security-assessment",
    ] {
        assert!(
            a.missing.iter().any(|m| m.mechanism == mechanism),
            "{mechanism}"
        );
    }
}

#[test]
fn homes_of_the_others() {
    let a = ask(
        &demo(),
        flow("store", "SG", ("SG", "acme-sg"), ("SG", "acme-sg")),
    );
    assert_eq!(a.mechanism.as_deref(), Some("domestic"));
    let a = ask(
        &demo(),
        flow("store", "CN", ("SG", "acme-sg"), ("CN", "acme-cn")),
    );
    assert_eq!(a.mechanism.as_deref(), Some("homebound"));
    assert!(
        a.duties
            .contains(&"collected-abroad: PIPL Art. 38, 55".to_owned())
    );
    let a = ask(
        &demo(),
        flow("store", "PE", ("SG", "acme-sg"), ("SG", "acme-sg")),
    );
    assert_eq!(
        (a.outcome, a.mechanism.as_deref()),
        (Outcome::Permit, Some("no-law-file"))
    );
    assert!(a.duties.contains(&"no-law-file".to_owned()));
    let a = ask(
        &demo(),
        flow("store", "PE", ("SG", "acme-sg"), ("IN", "acme-in")),
    );
    assert_eq!(
        (a.outcome, a.rule.as_deref()),
        (Outcome::Refuse, Some("no-law-file"))
    );
}

/// Without a law file: only flows to `[homes] default`; that somebody sits in the same country is no home.
#[test]
fn nothing_of_people_without_a_law_file_is_handed_on() {
    let from = policies().join("examples/demo/organisation.toml");
    let text = std::fs::read_to_string(from).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("organisation.toml");
    let more = "[entities.third-sg]\ncountry = \"SG\"\nrole = \"controller\"\n\
                [entities.front-sg]\ncountry = \"SG\"\nrole = \"controller\"\n";
    std::fs::write(&file, format!("{text}\n{more}")).unwrap();
    let load = || load(&policies(), &file, &Faults::new()).unwrap();
    let region = |name: &str, place: &str, entity: &str| Region {
        name: name.into(),
        place: place.parse().unwrap(),
        entity: entity.into(),
    };
    let regions = vec![
        region("sg", "SG", "acme-sg"),
        region("eu", "DE", "acme-eu"),
        region("in", "IN", "acme-in"),
    ];
    let regions = Regions::new(regions).read_by("front-sg".into());
    let bound = Arc::new(load().bind(&regions, &Faults::new()));
    let free = Arc::new(load());
    let (home, third) = (("SG", "acme-sg"), ("SG", "third-sg"));
    let front = ("SG", "front-sg");
    for (operation, from, to, in_router, without_settings) in [
        ("disclose", home, third, false, false),
        ("read", home, third, false, false),
        ("replicate", home, third, false, false),
        ("relocate", home, third, false, false),
        ("store", front, third, false, true),
        // The location's own.
        ("read", home, front, true, false),
        ("disclose", front, front, true, true),
        ("disclose", home, front, false, false),
        // Home.
        ("store", front, home, true, true),
        ("relocate", ("IN", "acme-in"), home, true, true),
        ("read", home, home, true, true),
        ("erase", front, home, true, true),
    ] {
        for (checked, permitted) in [(&bound, in_router), (&free, without_settings)] {
            let a = ask(checked, flow(operation, "BO", from, to));
            let of_bolivia = a.laws.iter().find(|l| l.law == "BO").unwrap();
            let expected = match permitted {
                true => Outcome::Permit,
                false => Outcome::Refuse,
            };
            let told = format!("{operation} {from:?} {to:?}: {of_bolivia:#?}");
            assert_eq!(of_bolivia.outcome, expected, "{told}");
            assert_eq!(of_bolivia.missing.is_empty(), permitted, "{told}");
        }
    }
}

#[test]
fn the_demo_never_goes_stale() {
    let dir = super::policies();
    let text = std::fs::read_to_string(dir.join("examples/demo/organisation.toml")).unwrap();
    let today: jiff::civil::Date = "2031-03-15".parse().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("organisation.toml");
    std::fs::write(&path, crate::policy::freshen(&text, today)).unwrap();
    let faults = crate::document::Faults::new();
    let checked = crate::policy::load(&dir, &path, &faults).expect("still valid");
    let checked = std::sync::Arc::new(checked);
    let mut q = flow("read", "DE", ("DE", "acme-eu"), ("SG", "acme-sg"));
    q["at"] = json!("2031-03-15T00:00:01Z");
    assert_eq!(ask(&checked, q.clone()).mechanism.as_deref(), Some("scc"));
    assert_eq!(ask(&demo(), q).outcome, Outcome::Refuse);
    let before = faults.has_errors();
    checked.warnings(today, &faults);
    let told = faults.into_sorted();
    assert!(
        !before && told.iter().all(|f| !f.message.contains("eu-sg-2024")),
        "{told:?}"
    );
}

#[test]
fn the_ends_of_time_are_answered() {
    for (at, born) in [
        ("-009999-01-03T00:00:00Z", "-009999-01-02"),
        ("9999-12-30T21:59:59.999999999Z", "9999-12-31"),
    ] {
        let mut q = flow("store", "IN", ("SG", "acme-sg"), ("SG", "acme-sg"));
        q["at"] = json!(at);
        q["subject"]["born"] = json!(born);
        assert_eq!(ask(&demo(), q).outcome, Outcome::Refuse, "{at}");
    }
}
