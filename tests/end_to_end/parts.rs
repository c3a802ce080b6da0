//! What regions are told with the parts and records of a batch, in which order these go, and what of
//! the answers is believed.

use std::fs;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::kit::backend::{Backend, Reply, Seen};
use crate::kit::http::{Answer, Request};
use crate::kit::setup::{Router, Setup};
use crate::kit::{all_entries, eventually, problem};

fn line(id: &str, country: &str) -> String {
    format!(r#"{{"id":"{id}","country":"{country}"}}"#)
}

fn batch(lines: &[String]) -> Request {
    Request::new("POST", "/people").ndjson(lines.join("\n"))
}

fn statuses(answer: &Answer) -> Vec<Value> {
    answer.items().iter().map(|i| i["status"].clone()).collect()
}

fn each(setup: &mut Setup, template: &str) {
    let mut each = toml::Table::new();
    each.insert("each".to_owned(), template.into());
    setup.set_route("ndjson", "upstream", each);
}

/// Mail is kept for 30 days, everything else for ever: two last days in one batch.
fn mail_ends(setup: &Setup) {
    let file = setup.folder.path().join("policies/organisation.toml");
    let mut policy = fs::read_to_string(&file).unwrap();
    policy.push_str(
        "\n[[retention]]\nid = \"mail\"\ncategories = [\"user.contact.email\"]\nkeep = \"30 days\"\n",
    );
    fs::write(&file, policy).unwrap();
}

fn mail(id: &str) -> String {
    format!(r#"{{"id":"{id}","country":"DE","email":"{id}@example.com"}}"#)
}

/// The statuses in a compressed answer cannot be read, and one of them may be a refusal.
#[test]
fn a_part_is_answered_uncompressed_or_nobody_knows_what_became_of_it() {
    for (status, coding, told) in [
        (200, "gzip", 502),
        (207, "br", 502),
        (200, "identity, gzip", 502),
        (200, "Identity", 200),
        (201, "gzip", 201),
    ] {
        let (mut setup, _backends) = Setup::recording();
        let eu = Backend::scripted(move |_| {
            Reply::Raw(
                format!(
                    "HTTP/1.1 {status} Scripted\r\ncontent-encoding: {coding}\r\nconnection: close\r\n\
                     content-length: 4\r\n\r\n\u{1f}zip"
                )
                .into_bytes(),
            )
        });
        setup.region("eu", eu.address);
        let router = setup.start();
        let lines = [line("z1", "DE"), line("z2", "DE")];
        let answer = batch(&lines)
            .header("accept-encoding", "gzip, br")
            .header("accept", "text/csv")
            .send(router.router);
        assert_eq!(statuses(&answer), [told, told], "{status} {coding}");
        let seen = eu.seen();
        assert_eq!(seen[0].header("accept-encoding"), Some("identity"));
        assert_eq!(seen[0].header("accept"), None);
        let outcomes = eventually("the outcomes stand", || {
            let entries = all_entries(router.admin);
            let told: Vec<_> = entries
                .iter()
                .filter_map(|e| e["status"].as_u64())
                .collect();
            (told.len() == 2).then_some(told)
        });
        let outcome = if told == 502 { 0 } else { told };
        assert_eq!(outcomes, [outcome, outcome], "{status} {coding}");
    }
}

#[test]
fn records_of_one_person_go_one_after_the_other_in_their_order() {
    let (mut setup, _backends) = Setup::recording();
    // The first of each takes longest.
    let eu = Backend::scripted(|seen| {
        let body: Value = serde_json::from_slice(&seen.body).unwrap();
        let n = body["n"].as_u64().unwrap();
        thread::sleep(Duration::from_millis(120 - 30 * n));
        Reply::status(201)
    });
    setup.region("eu", eu.address);
    each(&mut setup, "PUT /people/{subject}");
    let router = setup.start();
    let lines: Vec<String> = (0..4)
        .flat_map(|n| ["p", "q", "r"].map(|id| json!({"id": id, "country": "DE", "n": n})))
        .map(|record| record.to_string())
        .collect();
    let answer = batch(&lines).send(router.router);
    assert_eq!(statuses(&answer), vec![201; 12], "{answer:?}");
    for id in ["p", "q", "r"] {
        let seen = eu.seen().into_iter();
        let own = seen.filter(|s| s.path == format!("/people/{id}"));
        let order = own.map(|s| serde_json::from_slice::<Value>(&s.body).unwrap()["n"].clone());
        assert_eq!(order.collect::<Vec<_>>(), [0, 1, 2, 3], "{id}");
    }
}

/// They go in parts of their own, which would overtake each other.
#[test]
fn records_of_one_person_with_different_last_days_keep_their_order() {
    for format in ["ndjson", "array"] {
        let (mut setup, _backends) = Setup::recording();
        let eu = Backend::scripted(|seen| {
            if seen.header("domicile-retain-until").is_some() {
                thread::sleep(Duration::from_millis(300));
            }
            Reply::status(201)
        });
        setup.region("eu", eu.address);
        mail_ends(&setup);
        let router = setup.start();
        let lines = [mail("a"), line("b", "DE"), line("a", "DE"), line("c", "DE")];
        let request = match format {
            "ndjson" => batch(&lines),
            _ => Request::new("POST", "/people").json(format!("[{}]", lines.join(","))),
        };
        let answer = request.header("idempotency-key", "k").send(router.router);
        assert_eq!(statuses(&answer), vec![201; 4], "{answer:?}");
        let seen = eu.seen();
        let parts: Vec<_> = seen
            .iter()
            .map(|s| String::from_utf8_lossy(&s.body))
            .collect();
        assert_eq!(parts.len(), 3, "{parts:?}");
        let last = match format {
            "ndjson" => format!("{}\n", lines[2]),
            _ => format!("[{}]", lines[2]),
        };
        assert_eq!(parts[2], last, "{parts:?}");
        assert!(
            parts[..2].iter().any(|p| p.contains(&lines[0])),
            "{parts:?}"
        );
        // A region would take the second of one key for the first come again.
        let keys = seen.iter().filter_map(|s| s.header("idempotency-key"));
        assert_eq!(keys.count(), 0);
    }
}

const DIGESTS: [(&str, &str); 4] = [
    ("content-digest", "sha-256=:AAAA:"),
    ("repr-digest", "sha-256=:AAAA:"),
    ("digest", "SHA-256=AAAA"),
    ("content-md5", "AAAA"),
];

fn with_digests(mut request: Request) -> Request {
    for (name, value) in DIGESTS {
        request = request.header(name, value);
    }
    request
        .header("range", "items=0-0")
        .header("if-match", "\"e\"")
}

fn told(seen: &Seen) -> Vec<&'static str> {
    let names = DIGESTS.map(|(name, _)| name).into_iter();
    let names = names.chain(["range", "if-match", "idempotency-key"]);
    names.filter(|name| seen.header(name).is_some()).collect()
}

/// RFC 9530 §2: they are of the whole batch, which no region gets.
#[test]
fn what_is_true_of_the_whole_batch_alone_goes_with_none_of_its_parts() {
    let (mut setup, backends) = Setup::recording();
    let lines = [line("d1", "DE"), line("d2", "DE")];
    let key = |request: Request| request.header("idempotency-key", "k1");
    let request = key(with_digests(batch(&lines)));
    let single = key(with_digests(
        Request::new("PUT", "/people/d3").json(line("d3", "DE")),
    ));
    let router = setup.start();
    request.send(router.router);
    single.send(router.router);
    let seen = backends.of("eu").seen();
    // One part has the key to itself; a precondition is the region's to judge.
    assert_eq!(told(&seen[0]), ["if-match", "idempotency-key"]);
    assert_eq!(told(&seen[1]).len(), 7, "a record passes as it came");
    drop(router);

    (setup, _) = Setup::recording();
    let eu = Backend::recording();
    setup.region("eu", eu.address);
    each(&mut setup, "PUT /people/{subject}");
    let router = setup.start();
    assert_eq!(statuses(&request.send(router.router)), [201, 201]);
    let seen = eu.seen();
    assert_eq!(seen.len(), 2);
    assert!(seen.iter().all(|s| told(s) == ["if-match"]), "{seen:?}");
    drop(router);

    // Without it a second try would store each record twice.
    (setup, _) = Setup::recording();
    setup.region("eu", eu.address);
    each(&mut setup, "POST /people/{subject}/records");
    let router = setup.start();
    let refused = problem(&request.send(router.router), 400);
    assert!(refused.to_string().contains("Idempotency-Key"), "{refused}");
    assert_eq!(eu.seen().len(), 2, "nothing was sent");
    assert_eq!(statuses(&batch(&lines).send(router.router)), [201, 201]);
}

fn of_items(statuses: &[u16]) -> Reply {
    let items = statuses.iter().enumerate();
    let items = items.map(|(index, status)| json!({"index": index, "status": status}).to_string());
    Reply::Answer {
        status: 207,
        media: "application/x-ndjson",
        body: items.collect::<Vec<_>>().join("\n").into_bytes(),
    }
}

/// What the router says of a region that could not be asked is said of no item that it answered.
#[test]
fn a_regions_own_word_of_an_item_is_not_told_as_the_routers() {
    let (mut setup, _backends) = Setup::recording();
    let eu = Backend::scripted(|_| of_items(&[503, 424, 504, 502, 201]));
    setup.region("eu", eu.address);
    let router = setup.start();
    let lines: Vec<_> = (0..5).map(|n| line(&format!("w{n}"), "DE")).collect();
    let answer = batch(&lines).send(router.router);
    assert_eq!(statuses(&answer), [503, 424, 504, 502, 201], "{answer:?}");
    for item in answer.items() {
        for member in ["type", "title", "detail"] {
            assert!(item[member].is_null(), "{item}");
        }
    }
}

#[test]
fn an_item_whose_region_is_busy_says_so() {
    let (mut setup, _backends) = Setup::recording();
    let eu = Backend::scripted(|_| Reply::Stall(Vec::new()));
    setup.region("eu", eu.address);
    setup.set(&["data_plane", "workers"], 1);
    setup.set(&["regions", "eu", "concurrent_requests"], 1);
    setup.set(&["regions", "eu", "queue_wait"], "50ms");
    setup.set(&["limits", "response"], "4s");
    let router = setup.start();
    let lines = [line("b1", "DE")];
    thread::scope(|scope| {
        scope.spawn(|| router_takes(&router));
        eventually("the region has its request", || {
            eu.requests().first().map(drop)
        });
        let answer = batch(&lines).send(router.router);
        let item = &answer.items()[0];
        assert_eq!(item["status"], 503, "{item}");
        let kind = item["type"].as_str().unwrap();
        assert!(kind.ends_with(":region-busy"), "{item}");
    });
}

fn router_takes(router: &Router) {
    let answer = router.put("b0", &line("b0", "DE"));
    assert_eq!(answer.status, 504, "{answer:?}");
}
