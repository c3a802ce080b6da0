//! A clock that is behind what the ledger has shown.

use std::sync::Arc;

use domicile::attest::{Draft, Journal, Options, Party, Profile, Stated, Verdict};
use domicile::clock;
use domicile::domain::{Circumstances, DecisionId, Digest, EvidenceSet, Operation};
use domicile::locate::Directory;
use jiff::SignedDuration;

use crate::kit::http::{Client, Request, get};
use crate::kit::process::{Process, domicile};
use crate::kit::setup::{Router, Setup};
use crate::kit::{eventually, problem};

/// Writes an entry of the next hour into the ledger of a router that has ended.
fn write_ahead(router: &Router) {
    let party = || Party {
        place: "DE".parse().unwrap(),
        entity: None,
    };
    let profile = Profile {
        policy: Digest([7; 32]),
        settings: None,
        route: "/people/{subject}".into(),
        operation: Operation::Read,
        laws: Vec::new(),
        categories: Vec::new(),
        from: party(),
        to: party(),
        via: None,
        region: None,
        mechanism: None,
        instrument: None,
        module: None,
        exporter: None,
        importer: None,
        rules: Vec::new(),
        outcome: Verdict::Permit,
        problem: None,
        duties: Vec::new(),
        missing: Vec::new(),
        counted: Vec::new(),
        observed: Vec::new(),
        circumstances: Circumstances::default(),
        stated: Stated::default(),
        reached: None,
    };
    let draft = Draft {
        at: clock::now() + SignedDuration::from_hours(1),
        decision: DecisionId::new(1, 1),
        profile: Arc::new(profile),
        subject: None,
        evidence: EvidenceSet::EMPTY,
        pin: None,
        reference: None,
        order: None,
        holds: Vec::new(),
    };
    let folder = router.folder.path();
    let directory = Directory::open(&folder.join("directory")).unwrap();
    let opened = Journal::open(&folder.join("ledger"), Options::default(), directory);
    let (journal, _) = opened.unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(journal.refuse(draft)).unwrap();
    journal.close().unwrap();
}

fn start_again(router: &mut Router, arguments: &[&str]) {
    let config = router.folder.path().join("domicile.toml");
    let mut command = domicile();
    command
        .arg("run")
        .arg("--config")
        .arg(config)
        .args(arguments);
    router.process = Process::spawn(&mut command);
    eventually("the router lives", || {
        let live = Client::new(router.admin).send(&Request::new("GET", "/livez"));
        live.is_ok_and(|answer| answer.status == 200).then_some(())
    });
}

#[test]
fn nothing_leaves_home_by_a_clock_behind_the_ledger_unless_it_is_said_to_be_right() {
    let (setup, _backends) = Setup::recording();
    let mut router = setup.start();
    let german = r#"{"id":"anna","country":"DE"}"#;
    assert_eq!(router.put("anna", german).status, 201);
    // From her home to this router in Singapore.
    assert!(get(router.router, "/people/anna").is_success());
    router.process.terminate();
    write_ahead(&router);

    start_again(&mut router, &[]);
    let document = problem(&get(router.router, "/people/anna"), 503);
    assert_eq!(document["type"], "urn:domicile:problem:ledger-unavailable");
    assert!(router.put("anna", german).is_success(), "a flow home");
    let ready = get(router.admin, "/readyz");
    assert_eq!(ready.status, 503);
    let told = ready.json()["ledger"].to_string();
    assert!(told.contains("--clock-is-right"), "{told}");
    router.process.terminate();

    start_again(&mut router, &["--clock-is-right"]);
    assert!(get(router.router, "/people/anna").is_success());
    let ready = get(router.admin, "/readyz");
    assert_eq!(
        (ready.status, ready.json()["ledger"].as_str()),
        (200, Some("ok"))
    );
    assert!(router.process.text().contains("the clock is trusted"));
    router.process.terminate();
}
