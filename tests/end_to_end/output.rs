//! Commands whose output cannot be written, or whose reader has gone.

use std::fs::{self, File};
use std::io::pipe;
use std::process::{Output, Stdio};

use crate::kit::process::{domicile, run_to_end};
use crate::kit::setup::Setup;

/// A ledger with one entry whose last byte was changed.
fn damaged() -> tempfile::TempDir {
    let (setup, _backends) = Setup::recording();
    let mut router = setup.start();
    assert!(router.put("anna", r#"{"country":"IN"}"#).is_success());
    router.process.terminate();
    let ledger = router.folder.path().join("ledger");
    let files = fs::read_dir(&ledger).unwrap().map(|f| f.unwrap().path());
    let segment = { files }.find(|f| f.extension().is_some_and(|e| e == "seg"));
    let segment = segment.unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&segment, bytes).unwrap();
    router.folder
}

fn run(arguments: &[&str], stdout: impl Into<Stdio>, stderr: impl Into<Stdio>) -> Output {
    let mut command = domicile();
    command.args(arguments).stdin(Stdio::null());
    command
        .stdout(stdout)
        .stderr(stderr)
        .spawn()
        .unwrap()
        .wait_with_output()
        .unwrap()
}

fn full() -> File {
    File::options().write(true).open("/dev/full").unwrap()
}

#[test]
fn the_verdict_outlives_the_reader_and_is_none_where_it_cannot_be_written() {
    let folder = damaged();
    let ledger = folder.path().join("ledger");
    let verify = ["ledger", "verify", ledger.to_str().unwrap()];
    assert_eq!(run_to_end(&verify, "").status.code(), Some(1));

    let (reader, gone) = pipe().unwrap();
    drop(reader);
    let output = run(&verify, gone, Stdio::piped());
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");

    let output = run(&verify, full(), Stdio::piped());
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("standard output cannot be written"), "{said}");

    // Who reads on is told, too.
    let tail = ["ledger", "tail", "--json", ledger.to_str().unwrap()];
    let output = run_to_end(&tail, "");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("does not verify"), "{said}");

    // What is said about a wrong use cannot be written either.
    let output = run(&["ledger", "verify", "/nowhere"], Stdio::piped(), full());
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

#[test]
fn keys_that_cannot_be_written_are_not_told_as_ids_that_cannot_be_read() {
    let (setup, _backends) = Setup::recording();
    let config = setup.write();
    let secret = setup.folder.path().join("secret");
    fs::write(&secret, [7; 32]).unwrap();
    let key = ["key", "--config", config.to_str().unwrap()];
    let mut setup = setup;
    setup.set(&["directory", "secret_file"], secret.to_str().unwrap());
    setup.write();
    let ids = setup.folder.path().join("ids");
    fs::write(&ids, "anna\n").unwrap();
    let mut command = domicile();
    command.args(key).stdin(File::open(&ids).unwrap());
    let output = command.stdout(full()).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("standard output cannot be written"), "{said}");
}

/// A file stands where a folder should, as one could that may not be entered.
#[test]
fn a_secret_that_cannot_be_looked_at_is_not_told_as_absent() {
    let (mut setup, _backends) = Setup::recording();
    let file = setup.folder.path().join("file");
    fs::write(&file, "").unwrap();
    setup.set(&["directory", "path"], "file");
    let config = setup.write();
    let output = run_to_end(&["key", "--config", config.to_str().unwrap()], "anna\n");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("Not a directory"), "{said}");
}
