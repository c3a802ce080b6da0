//! Mixed people, one by one and in batches: each record at exactly one store, the right one, byte
//! for byte; none without evidence anywhere.

use crate::kit::http::{Answer, Client, Request};
use crate::kit::people::{Fate, Person, people};
use crate::kit::process::Demo;
use crate::kit::{REGIONS, concurrently, problem};

const COUNT: usize = 1000;

fn start() -> (tempfile::TempDir, Demo) {
    let folder = tempfile::tempdir().unwrap();
    let demo = Demo::start(folder.path());
    (folder, demo)
}

/// Looks into all five stores for each of `people`.
fn assert_landed(demo: &Demo, people: &[Person]) {
    let wrong: Vec<String> = concurrently(8, people, |_, person| {
        let mut found = Vec::new();
        for region in REGIONS {
            if let Some(body) = demo.stored(region, &person.path()) {
                found.push((region, body));
            }
        }
        match (person.fate, found.as_slice()) {
            (Fate::Lands(home), [(region, body)])
                if *region == home && body == person.body.as_bytes() =>
            {
                None
            }
            (Fate::Unknown | Fate::Forbidden, []) => None,
            (_, found) => {
                let found: Vec<_> = found
                    .iter()
                    .map(|(region, body)| (*region, String::from_utf8_lossy(body)))
                    .collect();
                Some(format!("{person:?} is at {found:?}"))
            }
        }
    })
    .into_iter()
    .flatten()
    .collect();
    assert!(
        wrong.is_empty(),
        "{}: {:#?}",
        wrong.len(),
        &wrong[..wrong.len().min(5)]
    );
}

fn expected(fate: Fate) -> u64 {
    match fate {
        Fate::Lands(_) => 200,
        Fate::Unknown => 422,
        Fate::Forbidden => 451,
    }
}

/// Statuses of success count as one: 200 and 201 are the store's affair.
fn class(status: u64) -> u64 {
    if (200..300).contains(&status) {
        200
    } else {
        status
    }
}

#[test]
fn a_thousand_mixed_records_one_by_one() {
    let (_folder, demo) = start();
    let people = people(1, "single", COUNT, true);
    let answers = concurrently(16, &people, |_, person| {
        Request::new("PUT", person.path())
            .maybe("x-forwarded-for", person.forwarded)
            .json(person.body.as_str())
            .send(demo.router)
    });
    for (person, answer) in people.iter().zip(&answers) {
        assert_eq!(
            class(u64::from(answer.status)),
            expected(person.fate),
            "{person:?} {answer:?}"
        );
        assert!(answer.header("domicile-decision").is_some(), "{answer:?}");
        match person.fate {
            Fate::Lands(home) => {
                assert_eq!(answer.header("domicile-region"), Some(home), "{person:?}");
            }
            Fate::Unknown => drop(problem(answer, 422)),
            Fate::Forbidden => drop(problem(answer, 451)),
        }
    }
    assert_landed(&demo, &people);
}

fn assert_items(answer: &Answer, people: &[Person]) {
    assert_eq!(answer.status, 207, "{answer:?}");
    let items = answer.items();
    assert_eq!(items.len(), people.len());
    for (index, (person, item)) in people.iter().zip(&items).enumerate() {
        assert_eq!(item["index"], index, "{item}");
        let status = item["status"].as_u64().unwrap();
        assert_eq!(class(status), expected(person.fate), "{person:?} {item}");
        assert!(item["decision"].is_string(), "{item}");
        if let Fate::Lands(home) = person.fate {
            assert_eq!(item["region"], home, "{person:?} {item}");
        } else {
            let kind = item["type"].as_str().unwrap_or_default();
            assert!(kind.starts_with("urn:domicile:problem:"), "{item}");
        }
    }
}

#[test]
fn a_thousand_mixed_records_as_lines() {
    let (_folder, demo) = start();
    let people = people(2, "line", COUNT, false);
    let lines: Vec<&str> = people.iter().map(|person| person.body.as_str()).collect();
    let answer = Request::new("POST", "/people")
        .ndjson(lines.join("\n") + "\n")
        .send(demo.router);
    assert_items(&answer, &people);
    assert_landed(&demo, &people);
}

#[test]
fn a_thousand_mixed_records_as_an_array() {
    let (_folder, demo) = start();
    let people = people(3, "element", COUNT, false);
    let elements: Vec<&str> = people.iter().map(|person| person.body.as_str()).collect();
    let answer = Request::new("POST", "/people")
        .json(format!("[ {} ]", elements.join(" ,\n")))
        .chunked()
        .send(demo.router);
    assert_items(&answer, &people);
    assert_landed(&demo, &people);
}

#[test]
fn the_network_of_a_batch_is_evidence_for_those_without_any_other() {
    let (_folder, demo) = start();
    let mut people = people(4, "network", 100, false);
    for person in &mut people {
        if person.fate == Fate::Unknown {
            person.fate = Fate::Lands("ru");
        }
    }
    let lines: Vec<&str> = people.iter().map(|person| person.body.as_str()).collect();
    let answer = Request::new("POST", "/people")
        .header("x-forwarded-for", "95.24.0.1")
        .ndjson(lines.join("\n"))
        .send(demo.router);
    assert_items(&answer, &people);
    assert_landed(&demo, &people);
}

#[test]
fn the_forwarded_header_goes_first_and_a_contradiction_is_no_evidence() {
    let (_folder, demo) = start();
    let put = |id: &str, headers: &[(&str, &str)]| {
        let mut request =
            Request::new("PUT", format!("/people/{id}")).json(r#"{"name":"Erika Muster"}"#);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        request.send(demo.router)
    };
    let answer = put("f1", &[("forwarded", "for=79.192.0.1")]);
    assert_eq!(answer.header("domicile-region"), Some("eu"), "{answer:?}");
    let both = [
        ("forwarded", "for=79.192.0.1"),
        ("x-forwarded-for", "117.192.0.1"),
    ];
    problem(&put("f2", &both), 422);
    // From the right: the one next to us is the client, whatever it claims to its left.
    let answer = put("f3", &[("x-forwarded-for", "117.192.0.1, 79.192.0.1")]);
    assert_eq!(answer.header("domicile-region"), Some("eu"), "{answer:?}");
    // Private addresses tell nothing.
    problem(&put("f4", &[("x-forwarded-for", "10.1.2.3")]), 422);
    problem(&put("f5", &[("x-forwarded-for", "not an address")]), 422);
    for id in ["f2", "f4", "f5"] {
        assert!(demo.holders(&format!("/people/{id}")).is_empty(), "{id}");
    }
}

fn nested(id: &str, depth: usize) -> String {
    // The object itself is the first level.
    let arrays = depth - 1;
    format!(
        r#"{{"id":"{id}","country":"DE","x":{}{}}}"#,
        "[".repeat(arrays),
        "]".repeat(arrays)
    )
}

/// Bodies that two readers could read in two ways, by name.
fn ambiguous(prefix: &str) -> Vec<(String, Vec<u8>)> {
    let id = |name: &str| format!("{prefix}-{name}");
    let mut cases = Vec::new();
    let mut add = |name: &str, body: Vec<u8>| cases.push((id(name), body));
    let text = |name: &str, rest: &str| format!(r#"{{"id":"{}",{rest}}}"#, id(name)).into_bytes();
    add("twice", text("twice", r#""country":"DE","country":"RU""#));
    add("case", text("case", r#""country":"DE","Country":"RU""#));
    add(
        "escaped",
        text("escaped", r#""country":"DE","c\u006funtry":"RU""#),
    );
    add(
        "deep",
        text(
            "deep",
            r#""country":"DE","address":{"city":"A","city":"B"}"#,
        ),
    );
    add(
        "inlist",
        text("inlist", r#""country":"DE","x":[{"a":1,"a":2}]"#),
    );
    add("nested", nested(&id("nested"), 65).into_bytes());
    let mut invalid = text("utf8", r#""country":"DE","name":"?""#);
    let place = invalid.iter().position(|byte| *byte == b'?').unwrap();
    invalid[place] = 0xff;
    add("utf8", invalid);
    let mut overlong = text("overlong", r#""country":"DE","name":"??""#);
    let place = overlong.iter().position(|byte| *byte == b'?').unwrap();
    overlong[place..place + 2].copy_from_slice(&[0xc0, 0xaf]);
    add("overlong", overlong);
    add(
        "cut",
        format!(r#"{{"id":"{}","country":"DE""#, id("cut")).into_bytes(),
    );
    cases
}

#[test]
fn ambiguous_records_are_refused_and_land_nowhere() {
    let (_folder, demo) = start();
    let mut cases = ambiguous("a");
    let good = |id: &str| format!(r#"{{"id":"{id}","country":"DE"}}"#);
    let mut bom = vec![0xef, 0xbb, 0xbf];
    bom.extend_from_slice(good("a-bom").as_bytes());
    cases.push(("a-bom".to_owned(), bom));
    cases.push((
        "a-root".to_owned(),
        format!("{} {}", good("a-root"), good("a-root")).into_bytes(),
    ));
    cases.push((
        "a-tail".to_owned(),
        format!("{},", good("a-tail")).into_bytes(),
    ));
    cases.push(("a-empty".to_owned(), Vec::new()));
    cases.push((
        "a-list".to_owned(),
        format!("[{}]", good("a-list")).into_bytes(),
    ));
    cases.push(("a-text".to_owned(), b"\"DE\"".to_vec()));
    for (id, body) in &cases {
        let path = format!("/people/{id}");
        let answer = Request::new("PUT", path.as_str())
            // Evidence enough, if only the record could be read.
            .header("x-forwarded-for", "79.192.0.1")
            .json(body.clone())
            .send(demo.router);
        problem(&answer, 400);
        assert!(demo.holders(&path).is_empty(), "{id}");
    }
    // One level less is fine.
    let body = nested("a-64", 64);
    let answer = demo.put("a-64", &body);
    assert!(answer.is_success(), "{answer:?}");
    demo.assert_stored("/people/a-64", "eu", body.as_bytes());
}

#[test]
fn what_is_not_understood_is_not_passed_over_for_the_network() {
    let (_folder, demo) = start();
    let put = |id: &str, rest: &str| {
        Request::new("PUT", format!("/people/{id}"))
            .header("x-forwarded-for", "79.192.0.1")
            .json(format!(r#"{{"id":"{id}",{rest}}}"#))
            .send(demo.router)
    };
    for rest in [
        r#""country":"076""#,
        r#""country":76"#,
        r#""phone":"+86 131""#,
    ] {
        let told = problem(&put("n-1", rest), 422);
        assert_eq!(told["type"], "urn:domicile:problem:unreadable-evidence");
        assert!(demo.holders("/people/n-1").is_empty(), "{rest}");
    }
    assert!(put("n-2", r#""phone":"+86 131/0000-0001""#).is_success());
    assert_eq!(demo.holders("/people/n-2"), ["cn"]);
}

#[test]
fn a_broken_line_harms_no_other() {
    let (_folder, demo) = start();
    let cases = ambiguous("l");
    let mut body = Vec::new();
    for (index, (_, line)) in cases.iter().enumerate() {
        body.extend_from_slice(
            format!("{{\"id\":\"good-{index}\",\"country\":\"IN\"}}\n").as_bytes(),
        );
        body.extend_from_slice(line);
        body.push(b'\n');
    }
    let answer = Request::new("POST", "/people")
        .ndjson(body)
        .send(demo.router);
    assert_eq!(answer.status, 207, "{answer:?}");
    let items = answer.items();
    assert_eq!(items.len(), cases.len() * 2);
    for (index, item) in items.iter().enumerate() {
        let id = if index % 2 == 0 {
            assert_eq!(class(item["status"].as_u64().unwrap()), 200, "{item}");
            let id = format!("good-{}", index / 2);
            assert_eq!(demo.holders(&format!("/people/{id}")), ["in"]);
            continue;
        } else {
            &cases[index / 2].0
        };
        assert_eq!(item["status"], 400, "{id}: {item}");
        assert!(demo.holders(&format!("/people/{id}")).is_empty(), "{id}");
    }
}

#[test]
fn a_batch_that_cannot_be_split_is_refused_whole() {
    let (_folder, demo) = start();
    let one = r#"{"id":"whole","country":"IN"}"#;
    let bodies = [
        format!("[{one}] [{one}]"),
        format!("[{one}"),
        format!("[{one},]"),
        format!("[{one}]x"),
        format!("\u{feff}[{one}]"),
        one.replace('{', "").to_string(),
    ];
    let mut client = Client::new(demo.router);
    for body in bodies {
        let request = Request::new("POST", "/people").json(body.as_str());
        let answer = client.send(&request).unwrap();
        problem(&answer, 400);
        assert!(demo.holders("/people/whole").is_empty(), "{body}");
    }
    // A mark at the start of lines: the first line, or all of it, but nothing of it lands.
    let lines = format!("\u{feff}{one}\n");
    let answer = Request::new("POST", "/people")
        .ndjson(lines)
        .send(demo.router);
    assert!(
        answer.status == 400 || answer.items()[0]["status"] == 400,
        "{answer:?}"
    );
    assert!(demo.holders("/people/whole").is_empty());
}
