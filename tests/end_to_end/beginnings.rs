//! What a start meets: variables of the machine, signals that come early, files of the wrong kind.

use std::fs;

use crate::kit::eventually;
use crate::kit::http::get;
use crate::kit::process::{Process, domicile};
use crate::kit::setup::Setup;

#[test]
fn a_variable_of_the_machine_does_not_silence_the_log() {
    for level in ["", "off"] {
        let (setup, _backends) = Setup::recording();
        let config = setup.write();
        let mut command = domicile();
        command.env("RUST_LOG", level);
        let process = Process::spawn(command.arg("run").arg("--config").arg(config));
        let router = setup.start_by(process);
        eventually("the log says `ready`", || {
            router.process.text().contains("ready").then_some(())
        });
    }
}

/// Whether the process has said that it takes SIGHUP.
fn takes_hangup(id: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|l| l.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    caught.is_some_and(|mask| mask & 1 == 1)
}

#[test]
fn a_reload_that_is_asked_for_during_the_start_ends_nothing() {
    let early = (0..5).any(|_| {
        let (setup, _backends) = Setup::recording();
        let config = setup.write();
        let mut command = domicile();
        let process = Process::spawn(command.arg("run").arg("--config").arg(config));
        eventually("it takes SIGHUP", || {
            takes_hangup(process.id()).then_some(())
        });
        let early = !process.text().contains("ready");
        process.signal("HUP");
        let router = setup.start_by(process);
        assert_eq!(get(router.admin, "/readyz").status, 200);
        early
    });
    assert!(early, "SIGHUP ends it until it is ready");
}
