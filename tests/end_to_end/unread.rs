//! Nobody reads what the router logs: a collector that hangs, a terminal that was left in the
//! midst of scrolling.

use std::fs;
use std::io::{PipeReader, Read};

use crate::kit::http::{Request, get};
use crate::kit::process::{Process, domicile};
use crate::kit::setup::{Router, Setup, metrics};
use crate::kit::{eventually, free_address};

const INDIA: &str = r#"{"country":"IN"}"#;
const SINGAPORE: &str = r#"{"country":"SG"}"#;

fn start(setup: Setup) -> (Router, PipeReader) {
    let config = setup.write();
    let mut command = domicile();
    command.arg("run").arg("--config").arg(config);
    let (process, unread) = Process::spawn_unread(&mut command);
    (setup.start_by(process), unread)
}

#[test]
fn a_log_that_nobody_reads_stops_nothing() {
    let (mut setup, _backends) = Setup::recording();
    // Each request for it is a warning.
    setup.region("in", free_address());
    setup.set(&["access_log", "path"], "stdout");
    setup.set(&["data_plane", "workers"], 1);
    setup.set(&["data_plane", "drain"], "1s");
    let (mut router, _unread) = start(setup);
    for n in 0..20 {
        assert_eq!(router.put(&format!("in-{n}"), INDIA).status, 503);
        assert!(router.put(&format!("sg-{n}"), SINGAPORE).is_success());
    }
    router.process.signal("HUP");
    let reload = Request::new("POST", "/-/reload").send(router.admin);
    assert_eq!(reload.status, 200, "{reload:?}");
    assert_eq!(get(router.admin, "/readyz").status, 200);
    assert!(metrics(router.admin).contains("\ndomicile_log_lost_total 0\n"));
    let (status, _) = router.process.terminate();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn lines_that_nobody_reads_are_lost_and_told() {
    let (setup, _backends) = Setup::recording();
    let (router, mut unread) = start(setup);
    let settings = router.folder.path().join("domicile.toml");
    let sound = fs::read_to_string(&settings).unwrap();
    // The mistake is told with its name.
    let long = "x".repeat(100_000);
    fs::write(&settings, format!("{long} = 1\n{sound}")).unwrap();
    let lost = eventually("lines are lost", || {
        let reload = Request::new("POST", "/-/reload").send(router.admin);
        assert_eq!(reload.status, 422, "{}", reload.status);
        let metrics = metrics(router.admin);
        let mut lines = metrics.lines();
        let count = lines.find_map(|l| l.strip_prefix("domicile_log_lost_total "))?;
        count.parse().ok().filter(|count: &u64| *count > 0)
    });
    let told = format!("lines of this log were lost: nobody read them in time lines={lost}\n");
    let (mut text, mut piece) = (String::new(), vec![0; 1 << 16]);
    while !text.contains(&told) {
        let read = unread.read(&mut piece).unwrap();
        assert!(read > 0, "the end of the log");
        text.push_str(&String::from_utf8_lossy(&piece[..read]));
    }
    assert!(text.contains("ready"), "what waited is there");
}

#[test]
fn an_error_at_the_start_ends_the_command_though_nobody_reads_it() {
    let (mut setup, _backends) = Setup::recording();
    setup.set(&["ledger", "path"], "/proc/none");
    let mut command = domicile();
    command.arg("run").arg("--config").arg(setup.write());
    let (mut process, _unread) = Process::spawn_unread(&mut command);
    assert_eq!(process.wait().code(), Some(2));
}
