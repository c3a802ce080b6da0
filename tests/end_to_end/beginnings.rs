//! What a start meets: variables of the machine, signals that come early, files of the wrong kind.

use std::fs;
use std::process::Command;

use crate::kit::eventually;
use crate::kit::http::get;
use crate::kit::process::{Process, domicile, run_to_end};
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

#[test]
fn an_access_log_that_is_a_pipe_without_a_reader_is_told_and_not_waited_for() {
    let (mut setup, _backends) = Setup::recording();
    let pipe = setup.folder.path().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    setup.set(&["access_log", "path"], "pipe");
    let config = setup.write();
    let mut process = Process::spawn(domicile().arg("run").arg("--config").arg(config));
    assert_eq!(process.wait().code(), Some(2), "{}", process.text());
    assert!(
        process.text().contains("No such device"),
        "{}",
        process.text()
    );
}

#[test]
fn paths_of_the_wrong_kind_are_found_by_check_and_a_bare_name_is_none() {
    let (mut setup, _backends) = Setup::recording();
    let folder = setup.folder.path().to_owned();
    let check = |setup: &Setup| {
        setup.write();
        let mut command = domicile();
        command.args(["check", "--config", "domicile.toml"]);
        let output = command.current_dir(&folder).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), said)
    };
    setup.set(&["access_log", "path"], "access.log");
    let (code, said) = check(&setup);
    assert!(code == Some(0) && !said.contains("no folder"), "{said}");

    fs::create_dir(folder.join("logs")).unwrap();
    setup.set(&["access_log", "path"], "logs");
    fs::write(folder.join("file"), "").unwrap();
    setup.set(&["ledger", "path"], "file");
    let (code, said) = check(&setup);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("logs is a folder"), "{said}");
    assert!(said.contains("file is no folder"), "{said}");
    let whole = folder.join("domicile.toml");
    let run = ["run", "--config", whole.to_str().unwrap()];
    assert_eq!(run_to_end(&run, "").status.code(), Some(2));
}
