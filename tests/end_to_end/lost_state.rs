//! Folders that come back incomplete: the router starts on what is whole, or not at all.

use std::fs;

use crate::kit::eventually;
use crate::kit::process::{Process, domicile};
use crate::kit::setup::Setup;

/// A router's folder with one pinned person, and the settings file in it.
fn stopped() -> (tempfile::TempDir, std::path::PathBuf) {
    let (setup, _backends) = Setup::recording();
    let config = setup.write();
    let mut router = setup.start();
    assert!(router.put("p", r#"{"country":"SG"}"#).is_success());
    router.process.terminate();
    (router.folder, config)
}

/// What a start says that must not succeed.
fn refused(config: &std::path::Path) -> String {
    let mut process = Process::spawn(domicile().arg("run").arg("--config").arg(config));
    let status = eventually("the router gives up", || process.exited());
    assert!(!status.success());
    process.text()
}

#[test]
fn a_ledger_without_its_directory_gets_no_new_secret() {
    let (folder, config) = stopped();
    let directory = folder.path().join("directory");
    fs::remove_dir_all(&directory).unwrap();
    let text = refused(&config);
    assert!(text.contains("subject-key.secret"), "{text}");
    assert!(!directory.join("subject-key.secret").exists());
}

#[test]
fn a_directory_is_not_served_under_another_secret() {
    let (folder, config) = stopped();
    let secret = folder.path().join("directory/subject-key.secret");
    fs::write(&secret, [7; 32]).unwrap();
    let text = refused(&config);
    assert!(text.contains("another subject-key secret"), "{text}");
}
