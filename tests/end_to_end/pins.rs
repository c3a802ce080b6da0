//! Where a person lives is decided once: pins, contradictions, and what steering may ask.

use std::collections::BTreeSet;
use std::fs;

use serde_json::json;

use crate::kit::http::{Request, get};
use crate::kit::process::Demo;
use crate::kit::setup::Setup;
use crate::kit::{concurrently, decision, entries_of, problem};

fn start() -> (tempfile::TempDir, Demo) {
    let folder = tempfile::tempdir().unwrap();
    let demo = Demo::start(folder.path());
    (folder, demo)
}

/// No region lies in India, and the organisation's promise lets no other be a home for its people.
#[test]
fn a_person_without_a_permitted_home_is_refused_by_the_rule_that_says_so() {
    let (mut setup, backends) = Setup::recording();
    let organisation = setup.folder.path().join("policies/organisation.toml");
    let text = fs::read_to_string(&organisation).unwrap();
    assert!(text.contains("IN = [\"in\"]\n"));
    fs::write(&organisation, text.replace("IN = [\"in\"]\n", "")).unwrap();
    let regions = setup.settings["regions"].as_table_mut().unwrap();
    regions.remove("in").unwrap();
    let router = setup.start();
    let answer = router.put("h", r#"{"id":"h","country":"IN"}"#);
    let document = problem(&answer, 451);
    assert_eq!(document["rule"], "india-stays", "{document}");
    assert_eq!(document["to"]["country"], "SG", "{document}");
    let detail = document["detail"].as_str().unwrap();
    assert!(
        detail.contains("`sg`") && detail.contains("india-stays"),
        "{detail}"
    );
    let entries = entries_of(router.admin, decision(&answer));
    assert_eq!(entries[0]["rules"], json!(["india-stays"]), "{entries:?}");
    assert_eq!(entries[0]["to"]["country"], "SG", "{entries:?}");
    let lines = [1, 2].map(|n| format!(r#"{{"id":"h{n}","country":"IN"}}"#));
    let batch = Request::new("POST", "/people").ndjson(lines.join("\n"));
    let items = batch.send(router.router).items();
    assert_eq!(items.len(), 2);
    for item in items {
        assert_eq!(item["rule"], "india-stays", "{item}");
        let entries = entries_of(router.admin, item["decision"].as_str().unwrap());
        assert_eq!(entries[0]["rules"], json!(["india-stays"]), "{entries:?}");
    }
    assert!(backends.touched().is_empty());
}

#[test]
fn evidence_that_contradicts_the_pin_is_a_conflict() {
    let (_folder, demo) = start();
    let first = r#"{"id":"p","country":"DE","name":"first"}"#;
    assert!(demo.put("p", first).is_success());
    for contrary in [
        r#"{"id":"p","country":"IN"}"#,
        r#"{"id":"p","address":{"country":"RU"}}"#,
        r#"{"id":"p","phone":"+8613100000001"}"#,
        r#"{"id":"p","country":"JP"}"#,
    ] {
        let answer = demo.put("p", contrary);
        problem(&answer, 409);
        assert!(!entries_of(demo.admin, decision(&answer)).is_empty());
        demo.assert_stored("/people/p", "eu", first.as_bytes());
    }
    // Another country of the same home is none.
    let moved = r#"{"id":"p","country":"FR"}"#;
    assert!(demo.put("p", moved).is_success());
    // No evidence but the pin.
    let bare = r#"{"id":"p","name":"bare"}"#;
    let answer = demo.put("p", bare);
    assert!(answer.is_success(), "{answer:?}");
    demo.assert_stored("/people/p", "eu", bare.as_bytes());
}

#[test]
fn the_network_never_contradicts() {
    let (_folder, demo) = start();
    let put = |id: &str, body: &str, from: &str| {
        Request::new("PUT", format!("/people/{id}"))
            .header("x-forwarded-for", from)
            .json(body)
            .send(demo.router)
    };
    assert!(put("p", r#"{"country":"DE"}"#, "79.192.0.1").is_success());
    let body = r#"{"name":"on a journey"}"#;
    let answer = put("p", body, "117.192.0.1");
    assert_eq!(answer.header("domicile-region"), Some("eu"), "{answer:?}");
    demo.assert_stored("/people/p", "eu", body.as_bytes());

    // A home known by the network alone stays the home.
    assert!(put("q", body, "95.24.0.1").is_success());
    let answer = put("q", r#"{"name":"again"}"#, "117.192.0.1");
    assert_eq!(answer.header("domicile-region"), Some("ru"), "{answer:?}");
    assert_eq!(demo.holders("/people/q"), ["ru"]);
}

#[test]
fn concurrent_first_writes_find_one_home() {
    let (_folder, demo) = start();
    const PEOPLE: usize = 20;
    const WRITERS: usize = 16;
    let countries = [
        ("DE", "eu"),
        ("IN", "in"),
        ("RU", "ru"),
        ("SG", "sg"),
        ("CN", "cn"),
    ];
    let writes: Vec<(usize, (&str, &str))> = (0..PEOPLE)
        .flat_map(|person| (0..WRITERS).map(move |writer| (person, countries[writer % 5])))
        .collect();
    let answers = concurrently(WRITERS, &writes, |_, (person, (country, _))| {
        demo.put(
            &format!("race-{person}"),
            &format!(r#"{{"country":"{country}"}}"#),
        )
    });
    for person in 0..PEOPLE {
        let mut homes = BTreeSet::new();
        for ((_, (country, home)), answer) in writes
            .iter()
            .zip(&answers)
            .filter(|((other, _), _)| *other == person)
        {
            if answer.is_success() {
                assert_eq!(answer.header("domicile-region"), Some(*home), "{country}");
                homes.insert(*home);
            } else {
                problem(answer, 409);
            }
        }
        let homes: Vec<_> = homes.into_iter().collect();
        assert_eq!(homes.len(), 1, "race-{person} was accepted in {homes:?}");
        assert_eq!(demo.holders(&format!("/people/race-{person}")), homes);
    }
}

#[test]
fn concurrent_first_batches_find_one_home() {
    let (_folder, demo) = start();
    let batches: Vec<String> = (0..8)
        .map(|writer| {
            let country = ["DE", "IN"][writer % 2];
            (0..50)
                .map(|person| format!("{{\"id\":\"both-{person}\",\"country\":\"{country}\"}}\n"))
                .collect()
        })
        .collect();
    let answers = concurrently(8, &batches, |_, batch| {
        Request::new("POST", "/people")
            .ndjson(batch.as_str())
            .send(demo.router)
    });
    let items: Vec<_> = answers.iter().map(|answer| answer.items()).collect();
    for person in 0..50 {
        let homes: BTreeSet<&str> = items
            .iter()
            .map(|items| &items[person])
            .filter(|item| item["status"].as_u64().unwrap() < 300)
            .map(|item| item["region"].as_str().unwrap())
            .collect();
        let refused = items
            .iter()
            .map(|items| items[person]["status"].as_u64().unwrap())
            .filter(|status| *status >= 300);
        assert!(refused.into_iter().all(|status| status == 409));
        let homes: Vec<_> = homes.into_iter().collect();
        assert_eq!(homes.len(), 1, "both-{person}");
        assert_eq!(demo.holders(&format!("/people/both-{person}")), homes);
    }
}

#[test]
fn two_items_of_one_batch_cannot_give_one_person_two_homes() {
    let (_folder, demo) = start();
    let lines = "{\"id\":\"twin\",\"country\":\"DE\"}\n{\"id\":\"twin\",\"country\":\"IN\"}\n";
    let answer = Request::new("POST", "/people")
        .ndjson(lines)
        .send(demo.router);
    let items = answer.items();
    assert!(items[0]["status"].as_u64().unwrap() < 300, "{answer:?}");
    assert_eq!(items[1]["status"], 409, "{answer:?}");
    assert_eq!(demo.holders("/people/twin"), ["eu"]);
}

#[test]
fn reading_somebody_unknown_is_not_found() {
    let (_folder, demo) = start();
    let answer = get(demo.router, "/people/nobody");
    problem(&answer, 404);
    // Not even for a caller whose network tells a country: nothing is there to be read.
    let answer = Request::new("GET", "/people/nobody")
        .header("x-forwarded-for", "121.6.0.1")
        .send(demo.router);
    problem(&answer, 404);
}

#[test]
fn copies_and_moves_need_a_pin() {
    let (_folder, demo) = start();
    for operation in ["replicate", "relocate"] {
        let answer = Request::new("PUT", "/people/unpinned")
            .header("domicile-operation", operation)
            .header("domicile-target", "sg")
            .json(r#"{"id":"unpinned","country":"DE"}"#)
            .send(demo.router);
        problem(&answer, 409);
        assert!(demo.holders("/people/unpinned").is_empty());
    }
    assert_eq!(get(demo.router, "/people/unpinned").status, 404);

    // With one, a copy to Singapore moves under the clauses, and the home stays.
    let body = r#"{"id":"pinned","country":"DE"}"#;
    assert!(demo.put("pinned", body).is_success());
    let answer = Request::new("PUT", "/people/pinned")
        .header("domicile-operation", "replicate")
        .header("domicile-target", "sg")
        .json(body)
        .send(demo.router);
    assert!(answer.is_success(), "{answer:?}");
    assert_eq!(answer.header("domicile-region"), Some("sg"));
    assert_eq!(
        answer.header("domicile-mechanism"),
        Some(r#"scc; module=2; instrument="eu-sg-2024""#)
    );
    assert_eq!(demo.holders("/people/pinned"), ["eu", "sg"]);
}

#[test]
fn a_target_abroad_is_a_transfer_from_home() {
    let (_folder, demo) = start();
    let body = r#"{"id":"away","country":"DE"}"#;
    let answer = Request::new("PUT", "/people/away")
        .header("domicile-target", "sg")
        .json(body)
        .send(demo.router);
    assert!(answer.is_success(), "{answer:?}");
    assert_eq!(answer.header("domicile-region"), Some("sg"));
    assert_eq!(
        answer.header("domicile-mechanism"),
        Some(r#"scc; module=2; instrument="eu-sg-2024""#)
    );
    demo.assert_stored("/people/away", "sg", body.as_bytes());

    for (country, target) in [("CN", "sg"), ("RU", "sg"), ("IN", "sg"), ("DE", "cn")] {
        let id = format!("no-{country}-{target}");
        let answer = Request::new("PUT", format!("/people/{id}"))
            .header("domicile-target", target)
            .json(format!(r#"{{"country":"{country}"}}"#))
            .send(demo.router);
        problem(&answer, 451);
        assert!(demo.holders(&format!("/people/{id}")).is_empty(), "{id}");
    }
}

#[test]
fn wishes_without_meaning_are_malformed() {
    let (_folder, demo) = start();
    let body = r#"{"id":"w","country":"DE"}"#;
    let wishes: [(&str, &[(&str, &str)]); 11] = [
        ("PUT", &[("domicile-operation", "replicate")]),
        ("PUT", &[("domicile-operation", "relocate")]),
        (
            "PUT",
            &[
                ("domicile-operation", "teleport"),
                ("domicile-target", "sg"),
            ],
        ),
        ("PUT", &[("domicile-operation", "read")]),
        (
            "PUT",
            &[("domicile-operation", "erase"), ("domicile-target", "sg")],
        ),
        ("PUT", &[("domicile-target", "mars")]),
        ("PUT", &[("domicile-target", "")]),
        (
            "GET",
            &[
                ("domicile-operation", "replicate"),
                ("domicile-target", "sg"),
            ],
        ),
        ("GET", &[("domicile-operation", "store")]),
        (
            "DELETE",
            &[
                ("domicile-operation", "relocate"),
                ("domicile-target", "sg"),
            ],
        ),
        ("DELETE", &[("domicile-target", "sg")]),
    ];
    for (method, headers) in wishes {
        let mut request = Request::new(method, "/people/w");
        if method == "PUT" {
            request = request.json(body);
        }
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let answer = request.send(demo.router);
        assert_eq!(answer.status, 400, "{method} {headers:?}: {answer:?}");
        problem(&answer, 400);
        assert!(demo.holders("/people/w").is_empty());
    }
    // Two wishes of one name are none.
    let answer = Request::new("PUT", "/people/w")
        .header("domicile-target", "sg")
        .header("domicile-target", "eu")
        .json(body)
        .send(demo.router);
    problem(&answer, 400);
    assert!(demo.holders("/people/w").is_empty());
}

#[test]
fn steering_by_an_untrusted_peer_does_nothing_and_goes_nowhere() {
    let (mut setup, backends) = Setup::recording();
    setup.set(
        &["data_plane", "trusted"],
        toml::Value::Array(vec!["192.0.2.0/24".into()]),
    );
    let router = setup.start();
    let steering = [
        ("domicile-country", "IN"),
        ("domicile-subject", "somebody-else"),
        ("Domicile-Target", "sg"),
        ("DOMICILE-OPERATION", "replicate"),
        ("domicile-purpose", "marketing"),
        ("domicile-ground", "vital-interest"),
    ];
    let body = r#"{"id":"u","country":"DE"}"#;
    let mut request = Request::new("PUT", "/people/u").json(body);
    for (name, value) in steering {
        request = request.header(name, value);
    }
    let answer = request.send(router.router);
    assert!(answer.is_success(), "{answer:?}");
    assert_eq!(answer.header("domicile-region"), Some("eu"));
    assert_eq!(backends.touched(), ["eu"]);
    let seen = backends.of("eu").seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].body, body.as_bytes());
    assert_eq!(seen[0].path, "/people/u");
    for (name, value) in steering {
        let name = name.to_ascii_lowercase();
        assert_eq!(seen[0].header(&name), None, "{name}");
        assert_ne!(seen[0].header(&name), Some(value));
    }

    // In batches as well.
    let lines = "{\"id\":\"u1\",\"country\":\"DE\"}\n{\"id\":\"u2\",\"country\":\"RU\"}\n";
    let answer = Request::new("POST", "/people")
        .header("domicile-target", "sg")
        .header("domicile-country", "SG")
        .ndjson(lines)
        .send(router.router);
    assert!(answer.is_success(), "{answer:?}");
    assert_eq!(backends.reached_by("u1"), ["eu"]);
    assert_eq!(backends.reached_by("u2"), ["ru"]);
    for region in ["eu", "ru"] {
        for seen in backends.of(region).seen() {
            assert_eq!(seen.header("domicile-target"), None);
            assert_eq!(seen.header("domicile-country"), None);
        }
    }

    // Where the header would be the only evidence there is none.
    let answer = Request::new("PUT", "/files/stranger/x")
        .header("domicile-country", "IN")
        .body("text/plain", "x")
        .send(router.router);
    problem(&answer, 422);
    assert!(backends.of("in").seen().is_empty());
    assert!(backends.reached_by("stranger").is_empty());
}

/// Whatever the route makes of evidence that differs.
#[test]
fn a_hold_on_where_the_person_lives_is_evaded_by_no_other_evidence() {
    for order in [["pinned", "query:c"], ["query:c", "pinned"]] {
        let (mut setup, backends) = Setup::recording();
        let file = setup.folder.path().join("policies/organisation.toml");
        let mut policy = fs::read_to_string(&file).unwrap();
        policy.push_str(
            "\n[[holds]]\nid = \"case-8\"\ncitation = \"invented\"\nsubjects = [\"DE\"]\n",
        );
        fs::write(&file, policy).unwrap();
        let order: Vec<toml::Value> = order.map(toml::Value::from).to_vec();
        setup.set_route("record", "country", order);
        setup.set_route("record", "conflict", "first");
        let router = setup.start();
        let stored = Request::new("PUT", "/people/erika?c=DE").json(r#"{"id":"erika"}"#);
        assert!(stored.send(router.router).is_success());
        // The same home, and a country on which there is no hold.
        let answer = Request::new("DELETE", "/people/erika?c=FR").send(router.router);
        assert_eq!(problem(&answer, 451)["rule"], "case-8");
        assert_eq!(backends.of("eu").seen().len(), 1);
    }
}

/// Of one home in two countries, the law of the country that the route asks for first is asked.
#[test]
fn the_pin_counts_at_its_place_in_the_routes_order() {
    for (order, first) in [(["pinned", "query:c"], "DE"), (["query:c", "pinned"], "FR")] {
        let (mut setup, _backends) = Setup::recording();
        let order: Vec<toml::Value> = order.map(toml::Value::from).to_vec();
        setup.set_route("record", "country", order);
        let file = setup.folder.path().join("policies/organisation.toml");
        let mut policy = fs::read_to_string(&file).unwrap();
        policy.push_str(
            "\n[[promises]]\nid = \"french-stay\"\nsubjects = [\"FR\"]\nnever_to = [\"SG\"]\n",
        );
        fs::write(&file, policy).unwrap();
        setup.set_route("record", "conflict", "first");
        let router = setup.start();
        let stored = Request::new("PUT", "/people/erika?c=DE").json(r#"{"id":"erika"}"#);
        assert!(stored.send(router.router).is_success());
        let answer = get(router.router, "/people/erika?c=FR");
        let is_refused = answer.status == 451;
        assert_eq!(is_refused, first == "FR", "{answer:?}");
    }
}

#[test]
fn a_number_is_an_id_in_its_one_spelling() {
    let (setup, backends) = Setup::recording();
    let router = setup.start();
    let batch = |id: &str| {
        let line = format!("{{\"id\":{id},\"country\":\"DE\"}}\n");
        let answer = Request::new("POST", "/people")
            .ndjson(line)
            .send(router.router);
        answer.items()[0].clone()
    };
    for id in [
        "7",
        "0",
        "-3",
        "1234567890123456789",
        "18446744073709551615",
        "\"7\"",
    ] {
        assert_eq!(batch(id)["status"], 201, "{id}");
    }
    let before = backends.of("eu").seen().len();
    for id in ["7.0", "0.7e1", "7e0", "-0", "18446744073709551616", "1e3"] {
        let item = batch(id);
        assert_eq!(item["status"], 422, "{id}: {item}");
        assert_eq!(item["type"], "urn:domicile:problem:no-subject", "{item}");
    }
    assert_eq!(backends.of("eu").seen().len(), before);
}

#[test]
fn nobody_names_one_subject_for_many_records() {
    let (setup, backends) = Setup::recording();
    let router = setup.start();
    let answer = Request::new("POST", "/people")
        .header("domicile-subject", "whole")
        .ndjson("{\"id\":\"a\",\"country\":\"DE\"}\n{\"id\":\"b\",\"country\":\"DE\"}\n")
        .send(router.router);
    let document = problem(&answer, 400);
    assert!(document["detail"].as_str().unwrap().contains("each item"));
    assert!(backends.touched().is_empty());
}

/// Such a pin would disagree with itself, and nobody could read or erase what it names.
#[test]
fn a_pin_of_two_countries_is_no_disagreement() {
    let (mut setup, _backends) = Setup::recording();
    setup.set_route("record", "conflict", "refuse");
    let router = setup.start();
    let both = Request::new("POST", "/people")
        .header("domicile-country", "DE")
        .ndjson(r#"{"id":"anna","country":"FR"}"#);
    let item = &both.send(router.router).items()[0];
    assert_eq!(item["region"], "eu", "{item}");
    let ask = |method: &'static str, country: Option<&str>| {
        Request::new(method, "/people/anna")
            .maybe("domicile-country", country)
            .send(router.router)
    };
    for country in [None, Some("FR"), Some("DE")] {
        let answer = ask("GET", country);
        assert_eq!(answer.header("domicile-region"), Some("eu"), "{answer:?}");
        assert_ne!(answer.status, 422, "{answer:?}");
    }
    // Another country of the same home is another claim, which does not keep data that must go.
    let document = problem(&ask("GET", Some("IT")), 422);
    assert!(
        document["type"]
            .as_str()
            .unwrap()
            .ends_with("evidence-disagrees")
    );
    let answer = ask("DELETE", Some("IT"));
    assert!(answer.is_success(), "{answer:?}");
}
