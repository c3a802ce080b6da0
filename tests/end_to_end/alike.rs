//! Records of a batch that are alike are decided once; nothing may tell it from deciding each.

use std::collections::HashMap;

use serde_json::Value;

use crate::kit::http::Request;
use crate::kit::setup::{Router, Setup};
use crate::kit::{REGIONS, all_entries, eventually};

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) as usize % sides
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }
}

const HOMES: [&str; 7] = ["DE", "IN", "CN", "RU", "SG", "FR", "IT"];

fn home(person: usize) -> &'static str {
    HOMES[person % HOMES.len()]
}

/// One line on a person: mostly as one program writes it, now and then otherwise.
fn line(dice: &mut Dice, person: usize) -> String {
    let id = format!("p-{person}");
    let country = match dice.below(12) {
        0 => dice.of(&["US", "deu", " de ", "", "Atlantis", "\\u0044\\u0045"]),
        1 => dice.of(&HOMES),
        _ => home(person),
    };
    let name = dice.of(&[
        "Ada Example",
        "Zoë",
        "a \\\"quoted\\\" name of some length",
        "",
    ]);
    match dice.below(16) {
        0 => format!(r#"{{"id":"{id}","name":"{name}"}}"#),
        1 => format!(r#"{{"id":"{id}","country":"{country}","country":"{country}"}}"#),
        2 => format!(r#"{{"id":"{id}","country":"{country}","name":"{name}"#),
        3 => format!(r#"{{"id":"{id}","country":null,"address":{{"country":"{country}"}}}}"#),
        4 => format!(r#"{{"id":"{id}","country":"{country}","address":{{"country":"RU"}}}}"#),
        5 => format!(r#"{{"country":"{country}","name":"{name}"}}"#),
        6 => format!(r#"{{ "id" : "{id}", "country" : "{country}", "tags" : [1, "x", null] }}"#),
        7 => format!(r#"{{"id":{person},"country":"{country}","name":"{name}"}}"#),
        8 => format!(r#"{{"id":"{id}","country":["{country}"],"name":"{name}"}}"#),
        _ => format!(r#"{{"id":"{id}","country":"{country}","name":"{name}","score":-1.5e3}}"#),
    }
}

/// What came of the batches: answers, what each region got, and the entries of each decision.
#[derive(Debug, PartialEq)]
struct Told {
    items: Vec<Value>,
    bodies: Vec<(&'static str, String)>,
    entries: Vec<Vec<Value>>,
}

fn send(router: &Router, lines: &[String]) -> Vec<Value> {
    let request = Request::new("POST", "/people").ndjson(lines.join("\n"));
    let items = request.send(router.router).items();
    assert_eq!(items.len(), lines.len());
    items
}

/// Sends the batches, or each of their records as a batch of its own.
fn told(batches: &[Vec<String>], alone: bool) -> Told {
    let (setup, backends) = Setup::recording();
    let router = setup.start();
    let mut items: Vec<Value> = Vec::new();
    for batch in batches {
        match alone {
            true => items.extend(
                batch
                    .iter()
                    .flat_map(|l| send(&router, std::slice::from_ref(l))),
            ),
            false => items.extend(send(&router, batch)),
        }
    }
    let decisions: Vec<String> = items
        .iter()
        .map(|item| item["decision"].as_str().unwrap().to_owned())
        .collect();
    let sent = items
        .iter()
        .filter(|item| item.get("type").is_none())
        .count();
    let all = eventually("every outcome stands in the ledger", || {
        let all = all_entries(router.admin);
        let outcomes = all.iter().filter(|e| e["kind"] == "outcome").count();
        (outcomes == sent).then_some(all)
    });
    // Keys hang on the router's own secret: what counts is who is the same.
    let mut people: HashMap<String, usize> = HashMap::new();
    let mut by_decision: HashMap<String, Vec<Value>> = HashMap::new();
    for mut entry in all {
        let members = entry.as_object_mut().unwrap();
        members.remove("seq");
        members.remove("at");
        let decision = members.remove("decision").unwrap();
        if let Some(subject) = members.get_mut("subject") {
            let next = people.len();
            let number = people.entry(subject.to_string()).or_insert(next);
            *subject = (*number).into();
        }
        let of = by_decision.entry(decision.as_str().unwrap().to_owned());
        of.or_default().push(entry);
    }
    let entries = decisions.iter().map(|d| by_decision.remove(d).unwrap());
    let entries = entries.collect();
    assert!(by_decision.is_empty(), "no entry of anything else");
    for item in &mut items {
        let members = item.as_object_mut().unwrap();
        members.remove("index");
        members.remove("decision");
    }
    let body = |region| {
        let seen = backends.of(region).seen();
        let bodies = seen
            .iter()
            .map(|s| String::from_utf8(s.body.clone()).unwrap());
        (region, bodies.collect::<String>())
    };
    Told {
        items,
        bodies: REGIONS.map(body).into(),
        entries,
    }
}

#[test]
fn a_batch_is_decided_as_each_of_its_records_alone() {
    let mut dice = Dice(20_261_122);
    let mut batches = vec![
        (0..40)
            .map(|p| format!(r#"{{"id":"p-{p}","country":"{}"}}"#, home(p)))
            .collect::<Vec<_>>(),
    ];
    for round in 1..4 {
        // Nobody twice in one batch, where one record would meet what another is about to do; some
        // are new in each.
        let people = (0..40).chain(round * 100..round * 100 + 10);
        batches.push(people.map(|person| line(&mut dice, person)).collect());
    }
    let together = told(&batches, false);
    let alone = told(&batches, true);
    for (at, (one, other)) in together.items.iter().zip(&alone.items).enumerate() {
        assert_eq!(one, other, "item {at}");
    }
    for (at, (one, other)) in together.entries.iter().zip(&alone.entries).enumerate() {
        assert_eq!(one, other, "item {at}");
    }
    assert_eq!(together, alone);
    let statuses: Vec<u64> = together
        .items
        .iter()
        .map(|i| i["status"].as_u64().unwrap())
        .collect();
    for status in [201, 400, 409, 422] {
        assert!(statuses.contains(&status), "{status} in {statuses:?}");
    }
}
