//! Batches: how they are split, sent, merged and bounded.

use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::kit::backend::{Backend, Reply, Seen};
use crate::kit::http::{Answer, Request};
use crate::kit::setup::{Router, Setup};
use crate::kit::{all_entries, contains, decision, entries_of, eventually, free_address, problem};

fn line(id: &str, country: &str) -> String {
    format!(r#"{{"id":"{id}","country":"{country}"}}"#)
}

fn long_line(id: &str, length: usize) -> String {
    json!({ "id": id, "country": "DE", "name": "x".repeat(length) }).to_string()
}

fn post_lines(router: &Router, lines: &[String]) -> Answer {
    Request::new("POST", "/people")
        .ndjson(lines.join("\n"))
        .send(router.router)
}

/// Backends answer a sub-batch with a bare 200 here: that status counts for all its items.
#[test]
fn a_batch_of_which_all_is_well_is_200_with_an_item_for_each() {
    let (mut setup, backends) = Setup::recording();
    let plain: Vec<Backend> = (0..2)
        .map(|_| Backend::scripted(|_| Reply::status(200)))
        .collect();
    setup.region("eu", plain[0].address);
    setup.region("in", plain[1].address);
    let router = setup.start();
    let lines = [line("b1", "DE"), line("b2", "IN"), line("b3", "FR")];
    let answer = post_lines(&router, &lines);
    assert_eq!(answer.status, 200, "{answer:?}");
    let items = answer.items();
    for (index, (item, region)) in items.iter().zip(["eu", "in", "eu"]).enumerate() {
        assert_eq!(item["index"], index);
        assert_eq!(item["status"], 200);
        assert_eq!(item["region"], region);
        let decision = item["decision"].as_str().unwrap();
        assert!(!entries_of(router.admin, decision).is_empty());
    }
    assert_eq!(items.len(), 3);
    assert!(backends.touched().is_empty());

    // One sub-batch to each region, the lines as they came, in their order.
    let europe = plain[0].seen();
    assert_eq!(europe.len(), 1, "{europe:?}");
    assert_eq!(europe[0].method, "POST");
    assert_eq!(europe[0].path, "/people");
    let media = europe[0].header("content-type").unwrap();
    assert!(media.starts_with("application/x-ndjson"), "{media}");
    let body = String::from_utf8(europe[0].body.clone()).unwrap();
    let sent: Vec<&str> = body.lines().collect();
    assert_eq!(sent, [lines[0].as_str(), lines[2].as_str()]);
    let india = plain[1].seen();
    assert_eq!(india.len(), 1);
    assert!(!contains(&india[0].body, b"b1") && !contains(&india[0].body, b"b3"));
}

/// Asserts that an id is of the permit by which an item crossed to a region.
#[track_caller]
fn names_a_permit(router: &Router, seen: &Seen, item: &Value, region: &str) {
    let decision = seen.header("domicile-decision").unwrap();
    assert_eq!(item["decision"], decision, "{region}");
    let entries = entries_of(router.admin, decision);
    let permits = |e: &&Value| e["outcome"] == "permit" && e["region"] == region;
    assert!(entries.iter().any(|e| permits(&e)), "{entries:?}");
}

/// The id that a region logs is that of the first item which it gets, not of another region's, nor of one
/// that was refused.
#[test]
fn a_region_is_told_the_decision_of_the_first_item_that_it_gets() {
    let (setup, backends) = Setup::recording();
    let router = setup.start();
    let lines = [
        r#"{"id":"h0"}"#.to_owned(),
        line("h1", "DE"),
        line("h2", "IN"),
        line("h3", "IN"),
    ];
    let array = Request::new("POST", "/people").json(format!("[{}]", lines.join(",")));
    let answers = [post_lines(&router, &lines), array.send(router.router)];
    let seen = ["eu", "in"].map(|region| (region, backends.of(region).seen()));
    for (round, answer) in answers.iter().enumerate() {
        assert_eq!(answer.status, 207, "{answer:?}");
        let items = answer.items();
        assert_eq!(items[0]["status"], 422);
        assert_eq!(items[0]["decision"], decision(answer));
        for ((region, seen), first) in seen.iter().zip([1, 2]) {
            assert_eq!(seen.len(), answers.len());
            names_a_permit(&router, &seen[round], &items[first], region);
        }
    }
}

/// What the ledger says that regions answered, by region.
fn outcomes(router: &Router, count: usize) -> Vec<(String, u64)> {
    let entries = eventually("all outcomes stand", || {
        let entries = all_entries(router.admin);
        let told = entries.iter().filter(|e| !e["status"].is_null());
        (told.count() == count).then_some(entries)
    });
    let told = entries.iter().filter_map(|e| {
        let status = e["status"].as_u64()?;
        let is_its = |d: &&Value| d["decision"] == e["decision"] && d["region"].is_string();
        let decided = entries.iter().find(is_its)?;
        Some((decided["region"].as_str()?.to_owned(), status))
    });
    let mut told: Vec<_> = told.collect();
    told.sort_unstable();
    told
}

#[test]
fn the_ledger_has_the_regions_answers_whatever_the_caller_is_told_or_waits_for() {
    let expected = [("eu".to_owned(), 200), ("in".to_owned(), 0)];
    let lines = [line("o1", "DE"), line("o2", "IN")];
    let broken: [(Option<Reply>, u16); 3] = [
        (Some(Reply::Stall(Vec::new())), 504),
        (Some(Reply::Raw(b"garbage\r\n\r\n".to_vec())), 502),
        (None, 503),
    ];
    for (reply, status) in broken {
        let (mut setup, _backends) = Setup::recording();
        let europe = Backend::scripted(|_| Reply::status(200));
        setup.region("eu", europe.address);
        let india = reply.map(|reply| Backend::scripted(move |_| reply.clone()));
        setup.region(
            "in",
            india.as_ref().map_or_else(free_address, |b| b.address),
        );
        setup.set(&["limits", "response"], "1s");
        let router = setup.start();
        let answer = post_lines(&router, &lines);
        let told: Vec<_> = answer.items().iter().map(|i| i["status"].clone()).collect();
        assert_eq!(told, [json!(200), json!(status)]);
        assert_eq!(outcomes(&router, 2), expected, "{status}");
    }
    // The caller leaves while one region hangs that another has answered for long.
    let (mut setup, _backends) = Setup::recording();
    let europe = Backend::scripted(|_| Reply::status(200));
    let india = Backend::scripted(|_| Reply::Stall(Vec::new()));
    setup.region("eu", europe.address);
    setup.region("in", india.address);
    let router = setup.start();
    let mut caller = TcpStream::connect(router.router).unwrap();
    let body = lines.join("\n");
    let head = format!(
        "POST /people HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-ndjson\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    caller.write_all(head.as_bytes()).unwrap();
    caller.write_all(body.as_bytes()).unwrap();
    for region in [&europe, &india] {
        eventually("the region has its part", || {
            region.requests().first().map(drop)
        });
    }
    thread::sleep(Duration::from_millis(300));
    socket2::SockRef::from(&caller)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(caller);
    assert_eq!(outcomes(&router, 2), expected, "the caller left");
}

#[test]
fn an_array_arrives_as_arrays_of_the_elements_as_they_came() {
    let (setup, backends) = Setup::recording();
    let router = setup.start();
    let first = r#"{ "id" : "a1", "country":"DE", "n": 1.50 }"#;
    let second = line("a2", "CN");
    let third = r#"{"country":"DE","id":"a3","t":"\u0061"}"#;
    let answer = Request::new("POST", "/people")
        .json(format!("[\n  {first},{second} ,\n{third}]\n"))
        .send(router.router);
    assert!(answer.is_success(), "{answer:?}");
    assert!(
        answer
            .header("content-type")
            .unwrap()
            .starts_with("application/json")
    );
    assert_eq!(answer.items().len(), 3);
    assert_eq!(backends.touched(), ["cn", "eu"]);
    let europe = &backends.of("eu").seen()[0];
    assert!(contains(&europe.body, first.as_bytes()));
    assert!(contains(&europe.body, third.as_bytes()));
    let parsed: Value = serde_json::from_slice(&europe.body).unwrap();
    let ids: Vec<_> = parsed
        .as_array()
        .unwrap()
        .iter()
        .map(|item| &item["id"])
        .collect();
    assert_eq!(ids, ["a1", "a3"]);
}

#[test]
fn what_the_backend_says_of_each_item_is_passed_on_in_the_callers_order() {
    let (mut setup, _backends) = Setup::recording();
    let picky = Backend::scripted(|_| Reply::Answer {
        status: 200,
        media: "application/x-ndjson",
        body: b"{\"index\":0,\"status\":201}\n{\"index\":1,\"status\":409}\n".to_vec(),
    });
    setup.region("eu", picky.address);
    let router = setup.start();
    let lines = [
        line("o1", "IN"),
        line("o2", "DE"),
        line("o3", "CN"),
        line("o4", "DE"),
    ];
    let answer = post_lines(&router, &lines);
    assert_eq!(answer.status, 207, "{answer:?}");
    let items = answer.items();
    let told: Vec<_> = items
        .iter()
        .map(|item| {
            (
                item["region"].as_str().unwrap(),
                item["status"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(told, [("in", 201), ("eu", 201), ("cn", 201), ("eu", 409)]);
}

#[test]
fn refused_items_carry_their_problem_and_harm_no_other() {
    let (setup, backends) = Setup::recording();
    let router = setup.start();
    assert!(router.put("known", &line("known", "DE")).is_success());
    let lines = [
        line("fine", "IN"),
        r#"{"id":"nobody"}"#.to_owned(),
        line("known", "CN"),
        r#"{"id":"both","country":"DE","address":{"country":"RU"}}"#.to_owned(),
        r#"{"id":"double","country":"DE","country":"DE"}"#.to_owned(),
        r#"{"country":"DE"}"#.to_owned(),
        "not json".to_owned(),
        line("last", "RU"),
    ];
    let answer = post_lines(&router, &lines);
    assert_eq!(answer.status, 207, "{answer:?}");
    let items = answer.items();
    assert_eq!(items.len(), lines.len());
    let statuses: Vec<_> = items
        .iter()
        .map(|item| item["status"].as_u64().unwrap())
        .collect();
    assert_eq!(statuses[..5], [201, 422, 409, 451, 400], "{items:?}");
    // Whose record it is cannot be told without an id.
    assert!([400, 422].contains(&statuses[5]), "{items:?}");
    assert_eq!(statuses[6..], [400, 201], "{items:?}");
    for item in items
        .iter()
        .filter(|item| item["status"].as_u64().unwrap() >= 400)
    {
        let kind = item["type"].as_str().unwrap_or_default();
        assert!(kind.starts_with("urn:domicile:problem:"), "{item}");
        assert!(
            item["title"].is_string() || item["detail"].is_string(),
            "{item}"
        );
        assert!(item["decision"].is_string(), "{item}");
    }
    let forbidden = &items[3];
    for member in ["rule", "citation", "from", "to", "missing"] {
        assert!(!forbidden[member].is_null(), "`{member}` in {forbidden}");
    }
    for id in ["nobody", "both", "double"] {
        assert!(backends.reached_by(id).is_empty(), "{id}");
    }
    assert_eq!(backends.reached_by("known"), ["eu"]);
    assert_eq!(backends.reached_by("last"), ["ru"]);
}

#[test]
fn an_atomic_batch_sends_all_or_nothing() {
    let (mut setup, backends) = Setup::recording();
    setup.set_route("ndjson", "atomic", true);
    let router = setup.start();
    let forbidden = r#"{"id":"t3","country":"DE","address":{"country":"RU"}}"#.to_owned();
    let answer = post_lines(&router, &[line("t1", "DE"), line("t2", "IN"), forbidden]);
    assert_eq!(answer.status, 451, "{answer:?}");
    // The items are listed, wherever in the answer.
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(
        text.contains("\"index\":2") || text.contains("\"index\": 2"),
        "{text}"
    );
    assert!(backends.touched().is_empty(), "{:?}", backends.touched());
    // Nobody was pinned: the same person may turn out to live elsewhere.
    assert!(router.put("t1", &line("t1", "IN")).is_success());
    assert_eq!(backends.reached_by("t1"), ["in"]);

    let nobody = r#"{"id":"t5"}"#.to_owned();
    let answer = post_lines(&router, &[line("t4", "DE"), nobody]);
    assert_eq!(answer.status, 422, "{answer:?}");
    assert!(backends.reached_by("t4").is_empty());

    let answer = post_lines(&router, &[line("t6", "DE"), line("t7", "IN")]);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(backends.reached_by("t6"), ["eu"]);
    assert_eq!(backends.reached_by("t7"), ["in"]);
}

#[test]
fn each_record_can_go_as_a_request_of_its_own() {
    let (mut setup, backends) = Setup::recording();
    let mut each = toml::Table::new();
    each.insert("each".to_owned(), "PUT /people/{subject}".into());
    setup.set_route("ndjson", "upstream", each);
    let router = setup.start();
    // An id that must be spelled differently in a path.
    let lines = [
        line("e1", "DE"),
        line("e 2;ü", "DE"),
        line("e3", "IN"),
        r#"{"id":"e4"}"#.to_owned(),
        line("../e5", "DE"),
    ];
    let answer = post_lines(&router, &lines);
    assert_eq!(answer.status, 207, "{answer:?}");
    let items = answer.items();
    assert_eq!(items[0]["status"], 201);
    assert_eq!(items[1]["status"], 201);
    assert_eq!(items[2]["status"], 201);
    assert_eq!(items[3]["status"], 422);
    let mut europe = backends.of("eu").seen();
    europe.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(europe.iter().all(|seen| seen.method == "PUT"), "{europe:?}");
    let at = |item: usize| answer.items()[item].clone();
    for (path, item) in [("/people/e%202%3B%C3%BC", 1), ("/people/e1", 0)] {
        let seen = europe.iter().find(|s| s.path.eq_ignore_ascii_case(path));
        names_a_permit(&router, seen.unwrap(), &at(item), "eu");
    }
    let find = |path: &str| {
        europe
            .iter()
            .find(|seen| seen.path.eq_ignore_ascii_case(path))
    };
    assert_eq!(find("/people/e1").unwrap().body, lines[0].as_bytes());
    assert_eq!(
        find("/people/e%202%3B%C3%BC").unwrap().body,
        lines[1].as_bytes()
    );
    // No id leads out of the collection.
    for seen in &europe {
        let id = seen.path.strip_prefix("/people/").expect("the collection");
        assert!(!id.contains('/'), "{}", seen.path);
        assert!(!id.starts_with(".."), "{}", seen.path);
    }
    let india = backends.of("in").seen();
    assert_eq!(india.len(), 1);
    assert_eq!(
        (india[0].method.as_str(), india[0].path.as_str()),
        ("PUT", "/people/e3")
    );
    assert!(backends.reached_by("e4").is_empty());
}

/// What the router would not take in a caller's path it makes no path of (docs/http.md, `bad-path`).
#[test]
fn what_the_batchs_path_captured_stands_in_each_records_path_as_it_was_meant() {
    let (mut setup, _backends) = Setup::recording();
    let eu = Backend::scripted(|_| Reply::status(201));
    setup.region("eu", eu.address);
    setup.set_route("ndjson", "path", "/tenants/{tenant}/people");
    let each = toml::toml! { each = "PUT /tenants/{tenant}/people/{subject}" };
    setup.set_route("ndjson", "upstream", each);
    let router = setup.start();
    let answer = Request::new("POST", "/tenants/a%20b%C3%BC/people")
        .ndjson(line("p 1", "DE"))
        .send(router.router);
    assert_eq!(answer.items()[0]["status"], 201, "{answer:?}");
    let paths: Vec<_> = eu.requests().into_iter().map(|seen| seen.path).collect();
    let expected = "/tenants/a%20b%C3%BC/people/p%201";
    assert!(paths.iter().any(|path| path == expected), "{paths:?}");
}

#[test]
fn an_id_that_no_caller_could_name_gets_no_path() {
    let (mut setup, backends) = Setup::recording();
    let each = toml::toml! { each = "PUT /people/{subject}" };
    setup.set_route("ndjson", "upstream", each);
    let router = setup.start();
    let hostile = [
        "zz/yy",
        "zz\\\\yy",
        "..",
        ".",
        "../zz",
        "..;zz",
        "zz\\u0000",
        "zz\\r\\nX: y",
        "zz\\u007f",
        "",
    ];
    for id in hostile {
        let answer = post_lines(&router, &[line(id, "DE"), line("fine", "DE")]);
        let items = answer.items();
        assert_eq!(items[1]["status"], 201, "{items:?}");
        let item = &items[0];
        // Those with a control character name nobody on any route.
        let names_nobody = id.is_empty() || id.contains("\\u00") || id.contains("\\r");
        let status = if names_nobody { 422 } else { 400 };
        assert_eq!(item["status"], status, "{id:?}: {item}");
        let told = item.to_string();
        assert!(!told.contains("zz"), "{told}");
        assert!(names_nobody || told.contains("body:/id"), "{told}");
    }
    assert!(
        backends
            .of("eu")
            .seen()
            .iter()
            .all(|seen| seen.path == "/people/fine")
    );
    // The same ids where a caller names them.
    for id in [
        "zz%2Fyy",
        "zz%5Cyy",
        "..",
        ".",
        "%2e%2e%3Bzz",
        "zz%00",
        "zz%0D%0A",
        "zz%7F",
    ] {
        let request = Request::new("PUT", format!("/people/{id}")).json(r#"{"country":"DE"}"#);
        let told = problem(&request.send(router.router), 400);
        assert!(told.to_string().contains("bad-path"), "{id}: {told}");
    }
}

#[test]
fn too_much_is_refused_and_reaches_nobody() {
    let (mut setup, backends) = Setup::recording();
    setup.set(&["limits", "batch_items"], 10);
    setup.set(&["limits", "batch_bytes"], "4KiB");
    setup.set(&["limits", "record_bytes"], "2KiB");
    let router = setup.start();

    let eleven: Vec<String> = (0..11).map(|n| line(&format!("m{n}"), "DE")).collect();
    problem(&post_lines(&router, &eleven), 413);
    let array = Request::new("POST", "/people").json(format!("[{}]", eleven.join(",")));
    problem(&array.send(router.router), 413);

    let long: Vec<String> = (0..5).map(|n| long_line(&format!("l{n}"), 1000)).collect();
    let request = Request::new("POST", "/people").ndjson(long.join("\n"));
    problem(&request.send(router.router), 413);
    problem(&request.chunked().send(router.router), 413);

    let record = json!({ "country": "DE", "name": "x".repeat(3000) }).to_string();
    let request = Request::new("PUT", "/people/long").json(record);
    problem(&request.send(router.router), 413);
    problem(&request.chunked().send(router.router), 413);

    assert!(backends.touched().is_empty(), "{:?}", backends.touched());

    // Nor is it too much for itself alone in a batch.
    let three = [line("m1", "DE"), long_line("m2", 3000), line("m3", "DE")];
    let array = Request::new("POST", "/people").json(format!("[{}]", three.join(",")));
    for answer in [post_lines(&router, &three), array.send(router.router)] {
        let told: Vec<_> = answer.items().iter().map(|i| i["status"].clone()).collect();
        assert_eq!(told, [201, 413, 201], "{answer:?}");
        let kind = answer.items()[1]["type"].clone();
        assert_eq!(kind, "urn:domicile:problem:record-too-large");
    }
    let sent: Vec<Seen> = backends.of("eu").seen();
    assert!(sent.iter().all(|s| !contains(&s.body, b"m2")));
    let answer = post_lines(&router, &eleven[..10]);
    assert!(answer.is_success(), "{answer:?}");
    assert_eq!(answer.items().len(), 10);
}

/// What is held of an item is more than a short one's own bytes.
#[test]
fn a_batch_whose_items_take_more_than_its_bytes_is_shed_while_nothing_is_sent() {
    let (mut setup, backends) = Setup::recording();
    setup.set(&["limits", "memory"], "1MiB");
    setup.set(&["limits", "batch_bytes"], "1MiB");
    setup.set(&["data_plane", "workers"], 1);
    let router = setup.start();
    // Some 200 KiB.
    let many: Vec<String> = (0..6000).map(|n| line(&format!("m{n}"), "DE")).collect();
    let broken = vec!["{}"; 3000];
    let lines = Request::new("POST", "/people").ndjson(many.join("\n"));
    let array = Request::new("POST", "/people").json(format!("[{}]", many.join(",")));
    let refused = Request::new("POST", "/people").ndjson(broken.join("\n"));
    for request in [&lines, &array, &refused] {
        let answer = request.send(router.router);
        problem(&answer, 503);
        assert!(answer.header("retry-after").is_some(), "{answer:?}");
    }
    assert!(backends.touched().is_empty(), "{:?}", backends.touched());
    // It came back.
    let answer = post_lines(&router, &many[..1000]);
    assert!(answer.is_success(), "{answer:?}");
    let answer = Request::new("POST", "/people").ndjson(broken[..1000].join("\n"));
    assert_eq!(answer.send(router.router).status, 207);
}

#[test]
fn an_oversized_head_is_refused() {
    let (setup, backends) = Setup::recording();
    let router = setup.start();
    let answer = Request::new("PUT", "/people/h")
        .header("x-long", &"x".repeat(80 << 10))
        .json(line("h", "DE"))
        .send(router.router);
    assert_eq!(answer.status, 431, "{answer:?}");
    assert!(backends.touched().is_empty());
}

#[test]
fn an_empty_batch_is_an_empty_answer() {
    let (setup, backends) = Setup::recording();
    let router = setup.start();
    let answer = Request::new("POST", "/people")
        .json("[ ]")
        .send(router.router);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.items(), Vec::<Value>::new());
    assert!(backends.touched().is_empty());
}
