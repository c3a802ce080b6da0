//! An adopter with records that exist already: observe, import, keys.

use std::fs;

use crate::kit::http::{Request, get};
use crate::kit::process::run_to_end;
use crate::kit::setup::Setup;
use crate::kit::{all_entries, eventually, problem};

#[test]
fn observing_changes_nothing_and_tells_everything() {
    let (mut setup, backends) = Setup::recording();
    setup.set(&["mode"], "observe");
    setup.set(&["observe_to"], "sg");
    let router = setup.start();
    let odd = r#"{ "country" : "RU",  "name":"Иван Пример" }"#;
    let batch = "{\"id\":\"b1\",\"country\":\"DE\"}\n{\"id\":\"b2\"}\nnot json\n";
    let answer = Request::new("PUT", "/people/ivan")
        .header("domicile-target", "eu")
        .json(odd)
        .send(router.router);
    assert!(answer.is_success(), "{answer:?}");
    assert_eq!(answer.header("domicile-region"), Some("sg"));
    assert!(router.put("nobody", "{}").is_success());
    assert!(router.put("broken", "not json").is_success());
    let answer = Request::new("POST", "/people")
        .ndjson(batch)
        .send(router.router);
    assert!(answer.is_success(), "{answer:?}");

    assert_eq!(backends.touched(), ["sg"]);
    let seen = backends.of("sg").seen();
    let bodies: Vec<&[u8]> = seen.iter().map(|s| s.body.as_slice()).collect();
    let expected: [&[u8]; 4] = [odd.as_bytes(), b"{}", b"not json", batch.as_bytes()];
    assert_eq!(bodies, expected);

    let entries = eventually("all is told", || {
        let entries = all_entries(router.admin);
        let decisions = entries.iter().filter(|e| e["kind"] == "decision").count();
        (decisions == 6).then_some(entries)
    });
    let problems: Vec<&str> = entries
        .iter()
        .filter(|e| e["outcome"] == "observe")
        .filter_map(|e| e["problem"].as_str())
        .collect();
    for problem in ["transfer-forbidden", "no-evidence", "malformed-record"] {
        assert!(problems.contains(&problem), "{problem} in {problems:?}");
    }
    let decisions = || entries.iter().filter(|e| e["kind"] == "decision");
    assert!(
        decisions().all(|e| e["outcome"] == "observe"),
        "no entry looks like a flow that was permitted: {entries:?}"
    );
    assert!(
        decisions().any(|e| e["problem"].is_null()),
        "some would have been permitted"
    );
    assert!(
        entries.iter().all(|e| e["pin"].is_null()),
        "nobody is pinned"
    );
    assert!(
        router.process.text().contains("nothing is refused"),
        "the log warns"
    );
}

/// A router that was killed leaves pins that stand in the ledger and not in the directory's file yet.
#[test]
fn an_import_minds_the_homes_that_the_ledger_alone_has() {
    let (setup, _backends) = Setup::recording();
    let config = setup.write();
    let mut router = setup.start();
    assert!(router.put("other", r#"{"country":"DE"}"#).is_success());
    router.process.terminate();
    let directory = router.folder.path().join("directory");
    let before = fs::read(directory.join("pins.redb")).unwrap();
    router.restart();
    assert!(router.put("p", r#"{"country":"DE"}"#).is_success());
    router.process.terminate();
    fs::write(directory.join("pins.redb"), before).unwrap();

    let import = ["directory", "import", "--config", config.to_str().unwrap()];
    let import = [&import[..], &["--region", "in"]].concat();
    let output = run_to_end(&import, "p\nnew\n");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("line 1: has its home in eu"), "{told}");

    router.restart();
    let answer = router.put("p", r#"{"name":"Erika Muster"}"#);
    assert_eq!(answer.header("domicile-region"), Some("eu"), "{answer:?}");
    assert!(!router.process.text().contains("first home"));

    // With the ledger, and without the secret, it would begin a new one.
    router.process.terminate();
    fs::remove_dir_all(&directory).unwrap();
    let output = run_to_end(&import, "p\n");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("subject-key.secret"), "{told}");
}

#[test]
fn imported_ids_have_their_home() {
    let (setup, backends) = Setup::recording();
    let config = setup.write();
    let config = config.to_str().unwrap();
    let import = |region: &str, ids: &str| {
        run_to_end(
            &[
                "directory",
                "import",
                "--config",
                config,
                "--region",
                region,
            ],
            ids,
        )
    };
    let output = import("eu", "erika\r\n\nanna\n");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    // Somebody who stands in two regions' lists is told by line; the id itself is not repeated.
    let output = import("in", "asha\n\nerika\n");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("line 3") && told.contains("eu"), "{told}");
    assert!(!told.contains("erika"), "{told}");
    let output = import("us", "asha\n");
    assert_eq!(output.status.code(), Some(2), "{output:?}");

    let router = setup.start();
    let output = run_to_end(
        &["directory", "import", "--config", config, "--region", "eu"],
        "late\n",
    );
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("stop that router"),
        "{output:?}"
    );

    // No evidence but the pin, whose country is the region's.
    let answer = router.put("erika", r#"{"name":"Erika Muster"}"#);
    assert!(answer.is_success(), "{answer:?}");
    assert_eq!(answer.header("domicile-region"), Some("eu"));
    let answer = get(router.router, "/people/anna");
    assert_eq!(
        answer.header("domicile-mechanism"),
        Some(r#"scc; module=2; instrument="eu-sg-2024""#)
    );
    problem(&router.put("asha", r#"{"country":"DE"}"#), 409);
    assert_eq!(backends.touched(), ["eu"]);

    // The keys that `key` prints are those of the ledger, while the router runs.
    let output = run_to_end(&["key", "--config", config], "erika\nanna\n");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    let keys: Vec<&str> = printed.lines().collect();
    eventually("both stand in the ledger", || {
        let entries = all_entries(router.admin);
        keys.iter()
            .all(|key| entries.iter().any(|e| e["subject"] == **key))
            .then_some(())
    });
}
