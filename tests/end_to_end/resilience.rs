//! What slow, sick and greedy neighbours may not do to everybody else.

use std::fs;
use std::io::{BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

use crate::kit::backend::{Backend, Reply};
use crate::kit::http::{Client, Request, get, read_head};
use crate::kit::process::{Process, domicile};
use crate::kit::setup::{Router, Setup, metrics};
use crate::kit::{eventually, free_address, problem};

const INDIA: &str = r#"{"id":"f","country":"IN","name":"Asha Udaharan"}"#;

fn of(country: &str) -> String {
    INDIA.replace("IN", country)
}

/// `up` and the checks' word of each server, as `/v1/regions` tells of India.
fn india(router: &Router) -> (bool, Vec<String>) {
    let all = get(router.admin, "/v1/regions").json();
    let regions = all["regions"].as_array().unwrap();
    let india = regions.iter().find(|r| r["name"] == "in").unwrap();
    let health = india["health"].as_array().unwrap();
    let checks = health.iter().map(|e| e["checks"].to_string()).collect();
    (india["up"] == true, checks)
}

#[test]
fn a_server_that_fails_its_checks_gets_nothing_until_it_passes_them() {
    let (mut setup, _backends) = Setup::recording();
    let status = Arc::new(AtomicU16::new(200));
    let told = Arc::clone(&status);
    let sick = Backend::scripted(move |seen| match seen.path.as_str() {
        "/healthz?deep" => Reply::status(told.load(Ordering::Relaxed)),
        _ => Reply::status(201),
    });
    let well = Backend::recording();
    let endpoints = [sick.address, well.address].map(|a| format!("http://{a}").into());
    setup.set(
        &["regions", "in", "endpoints"],
        toml::Value::Array(endpoints.to_vec()),
    );
    setup.set(&["regions", "in", "health", "path"], "/healthz?deep");
    setup.set(&["regions", "in", "health", "interval"], "20ms");
    let router = setup.start();
    eventually("both pass", || {
        (india(&router).1 == ["\"passing\"", "\"passing\""]).then_some(())
    });
    let check = sick.requests().remove(0);
    assert_eq!((check.method.as_str(), check.body.len()), ("GET", 0));
    assert_eq!(check.header("domicile-decision"), None, "{check:?}");

    status.store(503, Ordering::Relaxed);
    eventually("one fails", || {
        (india(&router) == (true, vec!["\"failing\"".into(), "\"passing\"".into()])).then_some(())
    });
    let name = format!(r#"endpoint="{}",region="in"}} 0"#, sick.address);
    assert!(metrics(router.admin).contains(&name), "{name}");
    for n in 0..6 {
        assert_eq!(router.put(&format!("f{n}"), INDIA).status, 201);
    }
    assert!(sick.seen().is_empty(), "{:?}", sick.seen());

    status.store(200, Ordering::Relaxed);
    eventually("it has its turn again", || {
        assert_eq!(router.put("g", INDIA).status, 201);
        (!sick.seen().is_empty()).then_some(())
    });
}

/// RFC 9110 §15.2: informational answers come before the final one, and say nothing of it.
#[test]
fn a_check_reads_its_answer_past_hints_and_to_its_end() {
    let (mut setup, _backends) = Setup::recording();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    setup.region("in", listener.local_addr().unwrap());
    setup.set(&["regions", "in", "health", "path"], "/healthz");
    setup.set(&["regions", "in", "health", "interval"], "20ms");
    let (tell, ends) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = read_head(&mut BufReader::new(stream.try_clone().unwrap())).unwrap();
            let hints =
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
            let fine = "HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n";
            let answer = [hints, fine, &"x".repeat(3000)].concat();
            stream.write_all(answer.as_bytes()).unwrap();
            let end = stream.read(&mut [0]).map_err(|e| e.kind());
            if tell.send(end).is_err() {
                return;
            }
        }
    });
    let router = setup.start();
    eventually("it passes", || {
        (india(&router).1 == ["\"passing\""]).then_some(())
    });
    for _ in 0..3 {
        assert_eq!(ends.recv().unwrap(), Ok(0), "no reset");
    }
}

#[test]
fn a_server_that_answers_503_to_everything_is_asked_no_more_while_another_serves() {
    let (mut setup, _backends) = Setup::recording();
    let sick = Backend::scripted(|_| {
        Reply::Raw(
            b"HTTP/1.1 503 X\r\nRetry-After: 7\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
                .to_vec(),
        )
    });
    let well = Backend::recording();
    let endpoints = [sick.address, well.address].map(|a| format!("http://{a}").into());
    setup.set(
        &["regions", "in", "endpoints"],
        toml::Value::Array(endpoints.to_vec()),
    );
    setup.set(&["data_plane", "workers"], 1);
    let mut router = setup.start();
    // A write is not asked of another server: its first answers are passed on as they came.
    let mut refused = 0;
    eventually("it is put aside", || {
        let answer = router.put("f", INDIA);
        if answer.status == 503 {
            assert_eq!(answer.header("retry-after"), Some("7"), "{answer:?}");
            refused += 1;
        }
        let name = format!(r#"endpoint="{}",region="in"}} 0"#, sick.address);
        metrics(router.admin).contains(&name).then_some(())
    });
    assert_eq!(refused, sick.seen().len());
    assert!(refused >= 3, "{refused}");
    assert!(india(&router).0, "the region serves");
    router.process.kill();
    let said = router.process.text();
    assert!(said.contains("put aside for what it answers"), "{said}");
}

#[test]
fn a_read_that_one_server_cannot_serve_is_asked_of_another() {
    let (mut setup, _backends) = Setup::recording();
    let sick = Backend::scripted(|seen| match seen.method.as_str() {
        "GET" => Reply::status(503),
        _ => Reply::status(201),
    });
    let well = Backend::recording();
    let endpoints = [sick.address, well.address].map(|a| format!("http://{a}").into());
    setup.set(
        &["regions", "sg", "endpoints"],
        toml::Value::Array(endpoints.to_vec()),
    );
    setup.set(&["data_plane", "workers"], 1);
    let router = setup.start();
    assert_eq!(router.put("f", &of("SG")).status, 201);
    for _ in 0..10 {
        let answer = get(router.router, "/people/f");
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    assert!(sick.seen().iter().any(|s| s.method == "GET"));
}

#[test]
fn a_region_that_hangs_leaves_the_others_all_their_requests() {
    let (mut setup, backends) = Setup::recording();
    let hangs = Backend::scripted(|_| Reply::Stall(Vec::new()));
    setup.region("in", hangs.address);
    setup.set(&["data_plane", "workers"], 1);
    setup.set(&["data_plane", "concurrent_requests"], 16);
    setup.set(&["regions", "in", "concurrent_requests"], 2);
    setup.set(&["regions", "in", "queue_wait"], "20ms");
    setup.set(&["limits", "response"], "1h");
    let mut router = setup.start();
    let to = router.router;
    let hung: Vec<_> = (0..40)
        .map(|n| {
            thread::spawn(move || {
                let put = Request::new("PUT", format!("/people/h{n}")).json(INDIA);
                Client::new(to).send(&put)
            })
        })
        .collect();
    eventually("the seats are taken and the rest is refused", || {
        let refused = hung.iter().filter(|t| t.is_finished()).count();
        (refused == 38).then_some(())
    });
    for n in 0..40 {
        for country in ["DE", "SG"] {
            let answer = router.put(&format!("{country}{n}"), &of(country));
            assert_eq!(answer.status, 201, "{answer:?}");
        }
    }
    assert_eq!(backends.of("eu").seen().len(), 40);
    let metrics = metrics(router.admin);
    for known in [
        r#"domicile_upstream_seconds_count{http_route="/people/{subject}",region="eu"} 40"#,
        r#"domicile_worker_busy_seconds_total{worker="0"}"#,
        r#"domicile_worker_queued_tasks{worker="0"}"#,
    ] {
        assert!(metrics.contains(known), "{known} in\n{metrics}");
    }
    router.process.kill();
    let answers = hung.into_iter().filter_map(|t| t.join().unwrap().ok());
    let answers: Vec<_> = answers.collect();
    assert_eq!(answers.len(), 38);
    for answer in answers {
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(answer.header("retry-after").is_some(), "{answer:?}");
    }
}

#[test]
fn a_region_that_fails_is_not_asked_three_times_as_much() {
    let (mut setup, _backends) = Setup::recording();
    let breaks = Backend::scripted(|_| Reply::Reset(Vec::new()));
    setup.region("in", breaks.address);
    setup.set(&["data_plane", "workers"], 1);
    let router = setup.start();
    for n in 0..100 {
        assert_eq!(router.put(&format!("f{n}"), INDIA).status, 502);
    }
    let asked = breaks.seen().len();
    assert!((101..200).contains(&asked), "{asked}");
    let metrics = metrics(router.admin);
    let line = metrics
        .lines()
        .find(|l| l.starts_with(r#"domicile_upstream_unretried_total{region="in"}"#));
    assert!(line.is_some_and(|l| !l.ends_with(" 0")), "{line:?}");
}

fn large(country: &str) -> String {
    let name = "x".repeat(700 << 10);
    of(country).replace("Asha Udaharan", &name)
}

#[test]
fn bodies_beyond_the_memory_are_shed_and_what_is_done_makes_room() {
    let (mut setup, backends) = Setup::recording();
    let (go, gate) = channel::<()>();
    let gate = Mutex::new(gate);
    let (reached, is_there) = channel();
    let hangs = Backend::scripted(move |_| {
        let _ = reached.send(());
        // Until the test drops the other end.
        let _ = gate.lock().unwrap().recv();
        Reply::status(201)
    });
    setup.region("in", hangs.address);
    setup.set(&["limits", "memory"], "1MiB");
    setup.set(&["limits", "record_bytes"], "4MiB");
    setup.set(&["limits", "response"], "1h");
    setup.set(&["data_plane", "workers"], 1);
    let router = setup.start();
    let to = router.router;
    let shed = |answer: &crate::kit::http::Answer| {
        let document = problem(answer, 503);
        assert_eq!(document["type"], "urn:domicile:problem:overloaded");
        assert!(answer.header("retry-after").is_some(), "{answer:?}");
    };
    let two = format!("{}{}", large("DE"), " ".repeat(1 << 20));
    let put = |id: &str, body: &str| Request::new("PUT", format!("/people/{id}")).json(body);
    shed(&put("a", &two).send(to));
    shed(&put("a", &two).chunked().send(to));
    assert!(backends.touched().is_empty(), "{:?}", backends.touched());
    assert_eq!(put("a", &large("DE")).send(to).status, 201);

    let held = put("h", &large("IN"));
    let holder = thread::spawn(move || held.send(to).status);
    eventually("the region has it", || is_there.try_recv().ok());
    shed(&put("b", &large("DE")).send(to));
    assert_eq!(put("c", &of("DE")).send(to).status, 201, "a small one");
    drop(go);
    assert_eq!(holder.join().unwrap(), 201);
    eventually("what was answered gives its room back", || {
        (put("d", &large("DE")).send(to).status == 201).then_some(())
    });
}

#[test]
fn readiness_fails_first_and_requests_are_served_until_the_delay_is_over() {
    let (mut setup, _backends) = Setup::recording();
    setup.set(&["data_plane", "drain_delay"], "1h");
    let mut router = setup.start();
    let mut kept = Client::new(router.router);
    let put = Request::new("PUT", "/people/a").json(of("DE"));
    assert_eq!(kept.send(&put).unwrap().status, 201);
    router.process.signal("TERM");
    eventually("not ready", || {
        (get(router.admin, "/readyz").status == 503).then_some(())
    });
    assert_eq!(kept.send(&put).unwrap().status, 201, "an open connection");
    assert_eq!(router.put("b", &of("DE")).status, 201, "a new connection");
    assert!(router.process.exited().is_none());
    // A second signal ends the wait.
    drop(kept);
    let (status, _) = router.process.terminate();
    assert!(status.success(), "{status}");
}

#[test]
fn without_file_descriptors_what_is_open_is_served_and_the_rest_waits() {
    let (mut setup, _backends) = Setup::recording();
    setup.set(&["data_plane", "workers"], 1);
    let config = setup.write();
    let binary = domicile().get_program().to_owned();
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -n 100; exec \"$0\" \"$@\""])
        .arg(binary)
        .args(["run", "--config"])
        .arg(config);
    let router = setup.start_by(Process::spawn(&mut command));
    let text = router.process.text();
    assert!(text.contains("may open fewer files"), "{text}");

    let mut kept = Client::new(router.router);
    let put = Request::new("PUT", "/people/a").json(of("DE"));
    assert_eq!(kept.send(&put).unwrap().status, 201);
    let greedy: Vec<_> = (0..150)
        .map(|_| TcpStream::connect(router.router).unwrap())
        .collect();
    let warnings = |r: &Router| r.process.text().matches("no file descriptor left").count();
    eventually("the warning", || (warnings(&router) > 0).then_some(()));
    for _ in 0..20 {
        assert_eq!(kept.send(&put).unwrap().status, 201);
    }
    // A region that was not called before, and whoever asks what is the matter.
    let other = Request::new("PUT", "/people/c").json(of("IN"));
    assert_eq!(kept.send(&other).unwrap().status, 201);
    assert_eq!(get(router.admin, "/readyz").status, 200);
    drop(greedy);
    assert_eq!(router.put("b", &of("DE")).status, 201);
    assert_eq!(warnings(&router), 1);
}

#[test]
fn a_connection_too_many_is_told_so_and_ends() {
    let (mut setup, backends) = Setup::recording();
    setup.set(&["data_plane", "connections"], 1);
    let router = setup.start();
    let put = Request::new("PUT", "/people/a").json(of("DE"));
    let mut kept = Client::new(router.router);
    eventually("it has the only place", || {
        let answer = kept.send(&put).ok();
        answer.and_then(|a| (a.status == 201).then_some(()))
    });
    let stored = backends.of("eu").seen().len();
    for body in [of("DE"), large("DE")] {
        let document = problem(
            &Request::new("PUT", "/people/b")
                .json(body)
                .send(router.router),
            503,
        );
        assert_eq!(document["type"], "urn:domicile:problem:overloaded");
    }
    assert_eq!(backends.of("eu").seen().len(), stored, "nothing was read");
    let counted = "\ndomicile_connections_refused_total ";
    let metrics = metrics(router.admin);
    let at = metrics.find(counted).unwrap() + counted.len();
    assert!(!metrics[at..].starts_with('0'), "{metrics}");
    drop(kept);
    eventually("there is room again", || {
        (Request::new("PUT", "/people/b")
            .json(of("DE"))
            .send(router.router)
            .status
            == 201)
            .then_some(())
    });
}

fn lines(text: &str) -> Vec<Value> {
    let lines = text.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().unwrap()
}

#[test]
fn the_access_log_tells_of_requests_and_of_nobody() {
    let (mut setup, _backends) = Setup::recording();
    setup.region("in", free_address());
    setup.set(&["access_log", "path"], "access.log");
    let mut router = setup.start();
    let path = router.folder.path().join("access.log");
    let body = of("DE");
    let put = Request::new("PUT", "/people/secret-id?secret-query")
        .header("x-secret", "secret-header")
        .json(body.as_str());
    let stored = put.send(router.router);
    assert_eq!(stored.status, 201, "{stored:?}");
    assert_eq!(router.put("f", INDIA).status, 503);
    assert_eq!(get(router.router, "/nowhere").status, 404);
    let moved = router.folder.path().join("access.log.1");
    eventually("three lines", || {
        (fs::read_to_string(&path).unwrap().lines().count() == 3).then_some(())
    });
    fs::rename(&path, &moved).unwrap();
    router.process.signal("HUP");
    eventually("a new file", || path.exists().then_some(()));
    assert_eq!(router.put("g", &body).status, 201);
    let (status, _) = router.process.terminate();
    assert!(status.success(), "{status}");

    let text = fs::read_to_string(&moved).unwrap();
    for secret in ["secret", "127.0.0.1", "Asha", "nowhere"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    // Each line is written after its answer, and another worker may be quicker.
    let told = lines(&text);
    let of_status = |status: u16| told.iter().find(|line| line["status"] == status).unwrap();
    let first = of_status(201);
    assert_eq!(
        first["decision"],
        stored.header("domicile-decision").unwrap()
    );
    assert_eq!(first["method"], "PUT");
    assert_eq!(first["route"], "/people/{subject}");
    assert_eq!(first["region"], "eu");
    assert_eq!(first["problem"], Value::Null);
    assert_eq!(first["bytes_in"], body.len());
    assert_eq!(first["protocol"], "HTTP/1.1");
    assert_eq!(first["tls"], Value::Null);
    assert!(first["duration_ms"].as_f64().unwrap() > 0.0);
    assert_eq!(of_status(503)["problem"], "region-unavailable");
    assert!(of_status(503)["bytes_out"].as_u64().unwrap() > 0);
    assert_eq!(of_status(404)["problem"], "no-such-route");
    assert_eq!(of_status(404)["route"], Value::Null);
    let last = lines(&fs::read_to_string(&path).unwrap());
    assert_eq!(last.len(), 1, "written before the end");
}
