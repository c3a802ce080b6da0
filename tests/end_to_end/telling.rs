//! What a router tells of itself: how many requests are at work, that it stops, how it ended.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::kit::backend::{Backend, Reply};
use crate::kit::http::Request;
use crate::kit::setup::{Router, Setup, metrics};
use crate::kit::{eventually, full_disk};

const SINGAPORE: &str = r#"{"country":"SG"}"#;

fn at_work(router: &Router, count: usize) {
    let line = format!("\nhttp_server_active_requests {count}\n");
    eventually(&line, || {
        metrics(router.admin).contains(&line).then_some(())
    });
}

/// A caller whose request nobody waits for.
fn ask(router: &Router, id: &str) -> thread::JoinHandle<()> {
    let (to, path) = (router.router, format!("/people/{id}"));
    thread::spawn(move || {
        let _ = crate::kit::http::Client::new(to).send(&Request::new("PUT", path).json(SINGAPORE));
    })
}

/// The line of the log with this message.
fn line(router: &Router, message: &str) -> String {
    let text = router.process.text();
    let mut lines = text.lines().filter(|l| l.contains(message));
    let line = lines.next().unwrap_or_else(|| panic!("{message}: {text}"));
    assert_eq!(lines.next(), None, "once");
    line.to_owned()
}

#[test]
fn requests_at_work_are_counted_until_their_answers_have_ended() {
    let (mut setup, _backends) = Setup::recording();
    let go = Arc::new(AtomicBool::new(false));
    let slow = Backend::scripted({
        let go = Arc::clone(&go);
        move |_| {
            while !go.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(5));
            }
            Reply::status(201)
        }
    });
    setup.region("sg", slow.address);
    setup.set(&["data_plane", "workers"], 2);
    let router = setup.start();
    at_work(&router, 0);
    let callers: Vec<_> = (0..5).map(|n| ask(&router, &n.to_string())).collect();
    at_work(&router, 5);
    go.store(true, Ordering::SeqCst);
    callers.into_iter().for_each(|c| c.join().unwrap());
    at_work(&router, 0);
}

#[test]
fn a_stop_is_told_when_it_begins_and_when_it_is_over() {
    let (mut setup, _backends) = Setup::recording();
    setup.set(&["data_plane", "drain"], "7s");
    let mut router = setup.start();
    assert!(router.put("a", SINGAPORE).is_success());
    // The caller may have its answer a moment before.
    at_work(&router, 0);
    let (status, _) = router.process.terminate();
    assert_eq!(status.code(), Some(0));
    let begin = line(&router, " stopping ");
    for word in ["INFO", "SIGTERM", "drain=7s", "at_work=0"] {
        assert!(begin.contains(word), "{begin}");
    }
    let end = line(&router, " stopped ");
    assert!(end.contains("INFO") && end.contains("cut_off=0"), "{end}");
}

#[test]
fn requests_that_a_stop_cuts_off_are_told() {
    let (mut setup, _backends) = Setup::recording();
    let silent = Backend::scripted(|_| Reply::Stall(Vec::new()));
    setup.region("sg", silent.address);
    setup.set(&["data_plane", "drain"], "1s");
    setup.set(&["data_plane", "workers"], 2);
    let mut router = setup.start();
    let callers: Vec<_> = (0..3).map(|n| ask(&router, &n.to_string())).collect();
    at_work(&router, 3);
    let (status, _) = router.process.terminate();
    assert_eq!(status.code(), Some(0));
    assert!(line(&router, " stopping ").contains("at_work=3"));
    let end = line(&router, " stopped");
    assert!(end.contains("WARN") && end.contains("cut_off=3"), "{end}");
    callers.into_iter().for_each(|c| c.join().unwrap());
}

#[test]
fn a_stop_waits_as_long_as_the_settings_of_the_last_reload_say() {
    let (mut setup, _backends) = Setup::recording();
    let silent = Backend::scripted(|_| Reply::Stall(Vec::new()));
    setup.region("sg", silent.address);
    setup.set(&["data_plane", "drain"], "1h");
    setup.set(&["limits", "response"], "1h");
    let mut router = setup.start();
    let settings = router.folder.path().join("domicile.toml");
    let text = fs::read_to_string(&settings).unwrap();
    let changed = text.replacen("drain = \"1h\"", "drain = \"1s\"", 1);
    assert_ne!(changed, text);
    fs::write(&settings, changed).unwrap();
    let reload = Request::new("POST", "/-/reload").send(router.admin);
    assert_eq!(reload.status, 200, "{reload:?}");
    let caller = ask(&router, "0");
    at_work(&router, 1);
    let (status, _) = router.process.terminate();
    assert_eq!(status.code(), Some(0));
    let end = line(&router, " stopped");
    assert!(end.contains("cut_off=1"), "{end}");
    caller.join().unwrap();
}

/// systemd starts nothing anew that ended with 2.
#[test]
fn a_full_disk_at_the_end_is_no_mistake_of_settings() {
    let (setup, _backends) = Setup::recording();
    let Some(mut router) = full_disk::start(setup) else {
        return;
    };
    assert!(router.put("a", SINGAPORE).is_success());
    full_disk::limit(&router, "1");
    // Flows home go before their entries, until the first of these cannot be written.
    eventually("flows home stop", || {
        (router.put("a", SINGAPORE).status == 503).then_some(())
    });
    let (status, _) = router.process.terminate();
    assert_eq!(status.code(), Some(1), "{}", router.process.text());
    let end = line(&router, " stopped, and the ledger");
    assert!(end.contains("ERROR"), "{end}");
}
