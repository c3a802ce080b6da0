//! What fails stays where it failed: the region is named, no other is touched, nothing hangs.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::kit::backend::{Backend, Reply};
use crate::kit::http::{Answer, Client, Request, get};
use crate::kit::process::{Demo, Process, domicile, run_to_end};
use crate::kit::setup::{Backends, Router, Setup, metrics};
use crate::kit::{eventually, full_disk, problem};

/// Limits of the routers here are one second; more than this is a hang.
const HANG: Duration = Duration::from_secs(20);

const INDIA: &str = r#"{"id":"f","country":"IN","name":"Asha Udaharan"}"#;

/// A router whose region `in` is served by `backend`, all others by recorders.
fn with_india(backend: Option<&Backend>) -> (Router, Backends) {
    let (mut setup, backends) = Setup::recording();
    match backend {
        Some(backend) => setup.region("in", backend.address),
        None => setup.region("in", crate::kit::free_address()),
    }
    for limit in ["connect", "response", "body_stall"] {
        setup.set(&["limits", limit], "1s");
    }
    (setup.start(), backends)
}

/// One PUT for India: bounded in time, and nobody else hears of it.
#[track_caller]
fn put_to_india(backend: Option<&Backend>) -> Answer {
    let (router, backends) = with_india(backend);
    let begin = Instant::now();
    let answer = router.put("f", INDIA);
    assert!(begin.elapsed() < HANG, "took {:?}", begin.elapsed());
    assert!(backends.touched().is_empty(), "{:?}", backends.touched());
    answer
}

#[track_caller]
fn assert_fails(answer: &Answer, statuses: &[u16]) {
    assert!(
        statuses.contains(&answer.status),
        "{statuses:?}: {answer:?}"
    );
    let document = problem(answer, answer.status);
    assert_eq!(answer.header("domicile-region"), Some("in"), "{answer:?}");
    assert!(answer.header("domicile-decision").is_some(), "{answer:?}");
    assert!(
        document.to_string().contains("\"in\""),
        "the region in {document}"
    );
    assert!(
        answer.header("proxy-status").is_some(),
        "RFC 9209: {answer:?}"
    );
    assert!(!document.to_string().contains("Asha"), "{document}");
}

#[test]
fn a_home_that_is_down_is_unavailable() {
    let answer = put_to_india(None);
    assert_fails(&answer, &[503]);
    let after = answer.header("retry-after").expect("Retry-After");
    assert!(after.parse::<u32>().is_ok(), "{after}");
}

#[test]
fn a_home_that_cannot_be_reached_is_unavailable_in_time() {
    let (mut setup, backends) = Setup::recording();
    // TEST-NET-1: packets get lost, or the system knows no way at once.
    setup.region("in", "192.0.2.1:9".parse().unwrap());
    setup.set(&["limits", "connect"], "1s");
    let router = setup.start();
    let begin = Instant::now();
    let answer = router.put("f", INDIA);
    assert!(begin.elapsed() < HANG);
    assert_fails(&answer, &[502, 503, 504]);
    assert!(backends.touched().is_empty());
}

#[test]
fn silence_is_a_timeout() {
    let backend = Backend::scripted(|_| Reply::Stall(Vec::new()));
    assert_fails(&put_to_india(Some(&backend)), &[504]);
    assert!(!backend.seen().is_empty());
}

#[test]
fn an_answer_that_never_comes_to_its_first_line_is_a_timeout() {
    let backend = Backend::scripted(|_| Reply::Drip(b"HTTP/1.1 200 O".to_vec()));
    assert_fails(&put_to_india(Some(&backend)), &[502, 504]);
}

#[test]
fn a_connection_closed_without_an_answer_is_a_bad_gateway() {
    let backend = Backend::scripted(|_| Reply::Raw(Vec::new()));
    assert_fails(&put_to_india(Some(&backend)), &[502]);
    let backend = Backend::scripted(|_| Reply::Reset(Vec::new()));
    assert_fails(&put_to_india(Some(&backend)), &[502]);
}

#[test]
fn garbage_is_a_bad_gateway() {
    for garbage in [
        &b"I am no web server\r\n\r\n"[..],
        b"HTTP/1.1 20",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"\x16\x03\x01\x00\x05\x00\x00\x00\x00\x00",
    ] {
        let backend = Backend::scripted(move |_| Reply::Raw(garbage.to_vec()));
        assert_fails(&put_to_india(Some(&backend)), &[502]);
    }
    let endless = [b"HTTP/1.1 200 OK\r\nx: ".to_vec(), vec![b'x'; 4 << 20]].concat();
    let backend = Backend::scripted(move |_| Reply::Stall(endless.clone()));
    assert_fails(&put_to_india(Some(&backend)), &[502, 504]);
}

/// The answer's head may already have gone to the caller: then the caller must see that the rest
/// is missing. What must not be is a whole answer.
#[track_caller]
fn assert_cut(answer: &Answer) {
    if answer.complete {
        assert_fails(answer, &[502, 504]);
    } else {
        assert_eq!(answer.header("domicile-region"), Some("in"), "{answer:?}");
    }
}

#[test]
fn an_answer_that_breaks_off_is_never_passed_on_as_whole() {
    let begun = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1000\r\n\r\nbegun"
        .to_vec();
    let chunk = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n".to_vec();
    let bad = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nbegun\r\n".to_vec();
    let replies = [
        Reply::Reset(begun.clone()),
        Reply::Raw(begun.clone()),
        Reply::Stall(begun),
        Reply::Reset(chunk.clone()),
        Reply::Raw(chunk.clone()),
        Reply::Stall(chunk),
        Reply::Raw(bad),
    ];
    for reply in replies {
        let backend = Backend::scripted(move |_| reply.clone());
        assert_cut(&put_to_india(Some(&backend)));
    }
}

#[test]
fn a_batch_names_the_failed_region_item_by_item() {
    let (router, backends) = with_india(None);
    let lines: String = (0..20)
        .map(|n| {
            format!(
                "{{\"id\":\"g{n}\",\"country\":\"{}\"}}\n",
                ["IN", "DE"][n % 2]
            )
        })
        .collect();
    let answer = Request::new("POST", "/people")
        .ndjson(lines)
        .send(router.router);
    assert_eq!(answer.status, 207, "{answer:?}");
    for (index, item) in answer.items().iter().enumerate() {
        assert_eq!(item["index"], index);
        if index % 2 == 0 {
            assert_eq!(
                (&item["status"], &item["region"]),
                (&503.into(), &"in".into()),
                "{item}"
            );
            assert!(item["type"].is_string(), "{item}");
        } else {
            assert_eq!(
                (&item["status"], &item["region"]),
                (&201.into(), &"eu".into()),
                "{item}"
            );
        }
    }
    assert_eq!(backends.touched(), ["eu"]);
}

#[test]
fn a_home_that_comes_back_is_used_again_and_the_others_never_noticed() {
    let (mut setup, backends) = Setup::recording();
    let sick = std::sync::Arc::new(AtomicBool::new(true));
    let state = std::sync::Arc::clone(&sick);
    let backend = Backend::scripted(move |_| {
        if state.load(Ordering::Acquire) {
            Reply::Reset(Vec::new())
        } else {
            Reply::status(201)
        }
    });
    setup.region("in", backend.address);
    let router = setup.start();
    for n in 0..10 {
        let answer = router.put(&format!("s{n}"), INDIA);
        assert_fails(&answer, &[502, 503]);
        assert!(
            router
                .put(&format!("e{n}"), r#"{"country":"DE"}"#)
                .is_success()
        );
    }
    sick.store(false, Ordering::Release);
    eventually("the home is used again", || {
        router.put("again", INDIA).is_success().then_some(())
    });
    assert_eq!(backends.touched(), ["eu"]);
}

/// What was accepted may not be sent twice; a POST in particular.
#[test]
fn a_batch_is_not_sent_again_once_it_was_read() {
    let backend = Backend::scripted(|_| Reply::Reset(Vec::new()));
    let (router, backends) = with_india(Some(&backend));
    let answer = Request::new("POST", "/people")
        .ndjson("{\"id\":\"once\",\"country\":\"IN\"}\n")
        .send(router.router);
    assert_eq!(answer.items()[0]["status"], 502, "{answer:?}");
    assert_eq!(backend.seen().len(), 1);
    assert!(backends.touched().is_empty());
}

#[test]
fn a_ledger_that_cannot_be_opened_stops_the_start() {
    let (mut setup, _backends) = Setup::recording();
    let file = setup.folder.path().join("occupied");
    fs::write(&file, "not a folder").unwrap();
    setup.set(&["ledger", "path"], "occupied");
    let config = setup.write();
    let mut process = Process::spawn(domicile().arg("run").arg("--config").arg(config));
    let status = process.wait();
    assert!(!status.success(), "{}", process.text());
    assert!(process.text().contains("occupied"), "{}", process.text());
    assert!(!process.text().contains("panicked"), "{}", process.text());
}

#[test]
fn without_evidence_nothing_leaves() {
    let (setup, backends) = Setup::recording();
    let Some(mut router) = full_disk::start(setup) else {
        return;
    };
    let abroad = |id: &str| {
        Request::new("PUT", format!("/people/{id}"))
            .header("domicile-target", "sg")
            .json(r#"{"country":"DE","name":"Erika Muster"}"#)
            .send(router.router)
    };
    let first = abroad("before");
    assert!(first.is_success(), "{first:?}");
    assert_eq!(backends.reached_by("before"), ["sg"]);

    full_disk::limit(&router, "1");
    for n in 0..5 {
        let id = format!("during-{n}");
        let answer = abroad(&id);
        problem(&answer, 503);
        assert!(answer.header("retry-after").is_some(), "{answer:?}");
        let mentions: Vec<_> = backends
            .of("sg")
            .seen()
            .into_iter()
            .filter(|seen| seen.path.contains(&id))
            .collect();
        assert!(mentions.is_empty(), "left without evidence: {mentions:?}");
    }
    // A refusal that cannot be written is not answered as one.
    let refusal = Request::new("PUT", "/people/refused")
        .header("domicile-target", "eu")
        .json(r#"{"country":"RU"}"#)
        .send(router.router);
    assert_eq!(refusal.status, 503, "{refusal:?}");
    // Flows home may run 100 ms ahead of their entries, and no longer.
    let stopped = AtomicUsize::new(0);
    eventually("flows home stop as well", || {
        let n = stopped.fetch_add(1, Ordering::Relaxed);
        (router.put(&format!("home-{n}"), INDIA).status == 503).then_some(())
    });
    assert!(backends.of("in").seen().len() < stopped.load(Ordering::Relaxed));
    let ready = get(router.admin, "/readyz");
    assert_eq!(ready.status, 503, "{ready:?}");

    // What was written before stands and verifies.
    let ledger = router.folder.path().join("ledger");
    router.process.kill();
    let verified = run_to_end(&["ledger", "verify", ledger.to_str().unwrap()], "");
    assert_eq!(verified.status.code(), Some(0), "{verified:?}");
}

fn organisation(demo: &Demo) -> PathBuf {
    let path = demo.folder.join("policies").join("organisation.toml");
    assert!(path.exists(), "{}", path.display());
    path
}

/// Samples that tell of a failed reload.
fn reload_samples(admin: std::net::SocketAddr) -> Vec<String> {
    metrics(admin)
        .lines()
        .filter(|line| !line.starts_with('#') && line.contains("reload"))
        .map(str::to_owned)
        .collect()
}

fn policy_info(admin: std::net::SocketAddr) -> Vec<String> {
    metrics(admin)
        .lines()
        .filter(|line| line.starts_with("domicile_policy_info"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_broken_policy_under_load_changes_nothing_and_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let demo = Demo::start(folder.path());
    let file = organisation(&demo);
    let good = fs::read_to_string(&file).unwrap();
    let digest = policy_info(demo.admin);
    let samples = reload_samples(demo.admin);
    assert_eq!(digest.len(), 1, "{digest:?}");

    let stop = AtomicBool::new(false);
    let served = AtomicUsize::new(0);
    thread::scope(|scope| {
        for worker in 0..4 {
            let (stop, served, demo) = (&stop, &served, &demo);
            scope.spawn(move || {
                let mut client = Client::new(demo.router);
                let mut n = 0;
                while !stop.load(Ordering::Acquire) {
                    n += 1;
                    let (country, region) = [("IN", "in"), ("DE", "eu"), ("RU", "ru")][n % 3];
                    let request = Request::new("PUT", format!("/people/load-{worker}-{n}"))
                        .json(format!(r#"{{"country":"{country}"}}"#));
                    let answer = client.send(&request).expect("no request is lost");
                    assert!(answer.is_success(), "{answer:?}");
                    assert_eq!(answer.header("domicile-region"), Some(region));
                    served.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        // A failing assertion must stop the load, or the test would hang.
        let _stop = StopOnDrop(&stop);
        let more = |amount: usize| {
            let before = served.load(Ordering::Relaxed);
            eventually("the load goes on", || {
                (served.load(Ordering::Relaxed) >= before + amount).then_some(())
            });
        };
        more(20);

        // Two faults; the file still is TOML.
        let broken = format!(
            "{good}\n[[promises]]\nid = \"broken\"\nstore_onyl_in = [\"IN\"]\nsubjects = [\"ZZ\"]\n"
        );
        let lines = broken.lines().count();
        fs::write(&file, &broken).unwrap();
        let answer = Request::new("POST", "/-/reload").send(demo.admin);
        assert!((400..600).contains(&answer.status), "{answer:?}");
        let told = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(told.contains("organisation.toml"), "{told}");
        assert!(told.contains("store_onyl_in"), "{told}");
        assert!(
            told.contains(&(lines - 1).to_string()),
            "line {} in {told}",
            lines - 1
        );
        assert!(told.contains("ZZ"), "every fault at once: {told}");

        more(20);
        assert_eq!(policy_info(demo.admin), digest, "the old policy stays");
        assert_ne!(reload_samples(demo.admin), samples, "a metric tells");
        let ready = get(demo.admin, "/readyz");
        assert_eq!(ready.status, 200, "the old policy still serves: {ready:?}");
        let detail = String::from_utf8_lossy(&ready.body).into_owned();
        assert!(
            detail.contains("reload") || detail.contains("organisation.toml"),
            "{detail}"
        );
        eventually("the log tells", || {
            demo.process
                .text()
                .contains("organisation.toml")
                .then_some(())
        });

        // The same by signal: nothing breaks.
        let samples = reload_samples(demo.admin);
        demo.process.signal("HUP");
        eventually("the signal was heard", || {
            (reload_samples(demo.admin) != samples).then_some(())
        });
        more(20);

        // Mended, it loads; a change takes effect.
        let changed = format!(
            "{good}\n[[promises]]\nid = \"no-reads\"\nsubjects = [\"DE\"]\nread_only_from = [\"DE\"]\nsource = \"a test\"\n"
        );
        fs::write(&file, changed).unwrap();
        assert!(demo.put("reader", r#"{"country":"DE"}"#).is_success());
        assert_eq!(get(demo.router, "/people/reader").status, 200);
        let answer = Request::new("POST", "/-/reload").send(demo.admin);
        assert!(answer.is_success(), "{answer:?}");
        assert_ne!(policy_info(demo.admin), digest);
        problem(&get(demo.router, "/people/reader"), 451);
        more(20);
    });
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}
