//! The admin listener, page by page.

use std::fs;
use std::net::SocketAddr;

use serde_json::Value;

use super::commands::QUESTION;
use crate::kit::http::{Request, get};
use crate::kit::process::run_to_end;
use crate::kit::setup::{Setup, metrics};
use crate::kit::{all_entries, eventually, free_address, problem};

fn post(admin: SocketAddr, path: &str, body: impl Into<Vec<u8>>) -> crate::kit::http::Answer {
    Request::new("POST", path).json(body).send(admin)
}

#[test]
fn bad_requests_get_problem_documents() {
    let (mut setup, _backends) = Setup::recording();
    let probes = free_address();
    setup.set(&["probes", "listen"], probes.to_string());
    let router = setup.start();
    let admin = router.admin;
    for (path, body, status) in [
        ("/v1/decisions:explain", "", 400),
        ("/v1/decisions:explain", "no json", 400),
        ("/v1/decisions:explain", "{}", 400),
        ("/v1/records:classify", r#"{"a":1,"a":2}"#, 400),
        ("/v1/records:classify?route=none", "{}", 400),
        ("/v1/records:classify?rout=none", "{}", 400),
        ("/v1/ledger", "", 405),
        ("/", "", 405),
        ("/nowhere", "", 404),
        ("/v1/consents", "{}", 400),
        ("/v1/consents:withdraw", "{}", 400),
        ("/v1/subjects:report", "{}", 400),
    ] {
        problem(&post(admin, path, body), status);
    }
    let large = vec![b' '; 3 << 20];
    problem(&post(admin, "/v1/decisions:explain", large.clone()), 413);
    problem(&post(admin, "/v1/records:classify", large.clone()), 413);
    problem(&post(admin, "/v1/consents", large), 413);
    problem(&get(admin, "/-/reload"), 405);

    for path in ["/livez", "/readyz"] {
        assert_eq!(get(probes, path).status, 200, "{path}");
    }
    problem(&get(probes, "/metrics"), 404);
    problem(&get(probes, "/v1/ledger"), 404);
    problem(&post(probes, "/livez", ""), 405);
}

/// The page says of the policy in force what the command says of its files on that day.
#[test]
fn the_matrix_in_force_is_that_of_the_command() {
    let (setup, _backends) = Setup::recording();
    let router = setup.start();
    let admin = router.admin;
    let page = get(
        admin,
        "/v1/policy/matrix?operation=store&categories=user.health",
    );
    assert_eq!(page.status, 200, "{page:?}");
    let told = page.json();
    assert_eq!(told["location"]["country"], "SG");
    let regions = told["regions"].as_array().unwrap();
    assert!(regions.iter().any(|r| r["name"] == "eu"), "{regions:?}");
    assert_eq!(get(admin, "/version").json()["policy"], told["policy"]);

    let policies = router.folder.path().join("policies");
    let arguments = [
        "policy",
        "matrix",
        "--policies",
        policies.to_str().unwrap(),
        "--operation",
        "store",
        "--categories",
        "user.health",
        "--at",
        told["at"].as_str().unwrap(),
        "--json",
    ];
    let output = run_to_end(&arguments, "");
    let command: Value = serde_json::from_slice(&output.stdout).unwrap();
    for member in ["at", "operation", "categories", "policy", "laws"] {
        assert_eq!(command[member], told[member], "{member}");
    }

    for query in ["operation=sell", "categories=user.nothing", "op=read"] {
        let path = format!("/v1/policy/matrix?{query}");
        problem(&get(admin, &path), 400);
    }
    problem(&post(admin, "/v1/policy/matrix", ""), 405);
}

#[test]
fn the_ledger_is_read_page_by_page() {
    let (setup, _backends) = Setup::recording();
    let router = setup.start();
    for id in ["a", "b", "c"] {
        assert!(router.put(id, r#"{"country":"IN"}"#).is_success());
    }
    let admin = router.admin;
    let entries = eventually("three decisions and their outcomes", || {
        let entries = all_entries(admin);
        (entries.len() == 6).then_some(entries)
    });
    let first = get(admin, "/v1/ledger?after=&limit=2&decision=").json();
    assert_eq!(first["entries"].as_array().unwrap()[..], entries[..2]);
    let next = first["next"].as_u64().unwrap();
    let second = get(admin, &format!("/v1/ledger?limit=4&after={next}")).json();
    assert_eq!(second["entries"].as_array().unwrap()[..], entries[2..]);
    let last = get(admin, "/v1/ledger?after=6").json();
    assert_eq!(last["entries"].as_array().map(Vec::len), Some(0));
    assert!(last["next"].is_null(), "{last}");
    for query in ["limit=0", "limit=x", "after=-1", "decision=x", "before=1"] {
        problem(&get(admin, &format!("/v1/ledger?{query}")), 400);
    }
}

#[test]
fn the_example_question_is_answered_for_this_routers_regions() {
    let router = Setup::new().start();
    let answer = post(router.admin, "/v1/decisions:explain", QUESTION);
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = answer.json();
    for (member, value) in [
        ("outcome", "permit"),
        ("region", "sg"),
        ("mechanism", "scc"),
        ("instrument", "eu-sg-2024"),
    ] {
        assert_eq!(answer[member], value, "{answer}");
    }
    assert_eq!(answer["module"], 2, "{answer}");
}

#[test]
fn reload_says_what_it_did() {
    let (mut setup, _backends) = Setup::recording();
    let (data, admin) = (free_address(), free_address());
    setup.set(&["data_plane", "listen"], data.to_string());
    setup.set(&["admin", "listen"], admin.to_string());
    let router = setup.start();
    let config = router.folder.path().join("domicile.toml");
    let good = fs::read_to_string(&config).unwrap();
    let reload = || post(admin, "/-/reload", "");
    assert_eq!(reload().json()["result"], "unchanged");

    // Settings alone: the policy stays the same, the router does not.
    let changed = good.replace("https://example.com/privacy", "https://example.com/notice");
    assert_ne!(changed, good);
    fs::write(&config, &changed).unwrap();
    assert_eq!(reload().json()["result"], "swapped");
    let answer = Request::new("PUT", "/people/ivan")
        .header("domicile-target", "eu")
        .json(r#"{"country":"RU"}"#)
        .send(data);
    let link = answer.header("link").unwrap();
    assert!(link.contains("https://example.com/notice"), "{link}");

    // What a running router cannot change is named, and nothing else changes either.
    fs::write(&config, good.replace("\"ledger\"", "\"elsewhere\"")).unwrap();
    let answer = reload();
    assert_eq!(answer.status, 422, "{answer:?}");
    let report = answer.json();
    assert_eq!(report["result"], "refused", "{report}");
    let fault = &report["faults"][0];
    assert!(
        fault["message"].as_str().unwrap().contains("ledger.path"),
        "{fault}"
    );
    assert!(
        fault["hint"].as_str().unwrap().contains("restart"),
        "{fault}"
    );
    let ready = get(admin, "/readyz");
    assert_eq!(
        (ready.status, &ready.json()["reload"]),
        (200, &"refused".into())
    );
    assert!(metrics(admin).contains("domicile_reload_failing 1"));

    fs::write(&config, &changed).unwrap();
    assert_eq!(reload().json()["result"], "unchanged");
    assert_eq!(get(admin, "/readyz").json()["reload"], "ok");
    assert!(metrics(admin).contains("domicile_reload_failing 0"));
}

#[test]
fn off_loopback_only_the_tokens_bearer_is_served() {
    let mut setup = Setup::new();
    let token = "an-invented-token-of-32-characters";
    fs::write(setup.folder.path().join("token"), format!("{token}\n")).unwrap();
    let port = free_address().port();
    setup.set(&["admin", "listen"], format!("0.0.0.0:{port}"));
    setup.set(&["admin", "token_file"], "token");
    let router = setup.start();
    let admin = SocketAddr::from(([127, 0, 0, 1], port));
    for path in ["/metrics", "/version", "/v1/ledger", "/v1/regions"] {
        let stranger = get(admin, path);
        problem(&stranger, 401);
        assert_eq!(stranger.header("www-authenticate"), Some("Bearer"));
        let with = |token: &str| {
            let bearer = format!("Bearer {token}");
            Request::new("GET", path)
                .header("authorization", &bearer)
                .send(admin)
                .status
        };
        assert_eq!((with("another"), with(token)), (401, 200), "{path}");
    }
    assert_eq!(get(admin, "/livez").status, 200);
    drop(router);
}

/// What a reload cannot take up is said, not passed over.
#[test]
fn another_log_needs_a_restart() {
    let (setup, _backends) = Setup::recording();
    let router = setup.start();
    let file = router.folder.path().join("domicile.toml");
    let good = std::fs::read_to_string(&file).unwrap();
    for key in ["level = \"debug\"", "json = true"] {
        std::fs::write(&file, format!("{good}\n[log]\n{key}\n")).unwrap();
        let answer = post(router.admin, "/-/reload", "");
        assert_eq!(answer.status, 422, "{answer:?}");
        let told = answer.json();
        assert_eq!(told["result"], "refused", "{told}");
        let name = key.split(' ').next().unwrap();
        let message = told["faults"][0]["message"].as_str().unwrap();
        assert!(
            message.contains(&format!("`log.{name}` cannot change")),
            "{message}"
        );
    }
    std::fs::write(&file, good).unwrap();
    assert_eq!(post(router.admin, "/-/reload", "").status, 200);
}
