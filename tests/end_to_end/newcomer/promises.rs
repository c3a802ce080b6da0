//! What the repository's own files say of themselves.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::kit::process::{Demo, run_to_end};
use crate::kit::setup::Setup;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn every_file_that_a_document_links_exists() {
    let mut checked = 0;
    for document in [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
    ] {
        let text = fs::read_to_string(repository().join(document)).unwrap();
        for link in text.split("](").skip(1) {
            let target = link.split([')', '#']).next().unwrap();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            assert!(
                repository().join(target).exists(),
                "{document} links {target}"
            );
            checked += 1;
        }
    }
    assert!(checked > 5, "links are found");
}

#[test]
fn the_settings_to_start_from_pass_the_check() {
    let setup = Setup::new();
    let folder = setup.folder.path();
    let text = fs::read_to_string(repository().join("deploy/domicile.toml")).unwrap();
    let policies = folder.join("policies");
    let moved = text.replace("/etc/domicile/policies", policies.to_str().unwrap());
    assert_ne!(moved, text);
    let config = folder.join("deployed.toml");
    fs::write(&config, moved).unwrap();
    let output = run_to_end(&["check", "--config", config.to_str().unwrap()], "");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn requests_at_work_do_not_hold_up_the_demos_end() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("my data");
    let mut demo = Demo::start(&data);
    let mode = fs::metadata(&data).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700, "records are for the owner alone");
    let printed = format!("ledger tail '{}'", data.join("ledger").display());
    assert!(
        demo.process.stdout().contains(&printed),
        "{}",
        demo.process.stdout()
    );

    let half = "PUT /people/asha HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                content-length: 100\r\n\r\n{\"country\":\"IN\"";
    let mut open = Vec::new();
    for address in demo.stores.values().chain([&demo.router, &demo.admin]) {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(half.as_bytes()).unwrap();
        open.push(stream);
    }
    let begin = Instant::now();
    demo.process.signal("INT");
    let status = demo.process.wait();
    let took = begin.elapsed();
    assert_eq!(status.code(), Some(0));
    assert!(took < Duration::from_secs(2), "took {took:?}");
    drop(open);
}
