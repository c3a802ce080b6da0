//! `domicile demo`: what a newcomer sees in the first five minutes.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::kit::http::{Client, Request, get};
use crate::kit::process::{Demo, Process, domicile, read_settings, run_to_end};
use crate::kit::setup::Setup;
use crate::kit::{decision, entries_now, entries_of, eventually, free_address, problem};

const INDIA: &str = r#"{"id":"asha","name":"Asha Udaharan","country":"IN"}"#;
const EUROPE: &str =
    r#"{ "id":"erika", "name":"Erika Muster", "address":{"country":"DE","city":"Musterstadt"} }"#;
const CHINA: &str = r#"{"id":"wei","name":"王示例","phone":"+8613100000001"}"#;
const RUSSIA: &str = r#"{"id":"ivan","name":"Иван Пример","country":"RU"}"#;

fn start() -> (tempfile::TempDir, Demo) {
    let folder = tempfile::tempdir().unwrap();
    let demo = Demo::start(folder.path());
    (folder, demo)
}

fn text(entries: &[Value]) -> String {
    Value::Array(entries.to_vec()).to_string()
}

#[test]
fn a_record_from_india_goes_home_and_says_on_what_ground() {
    let (_folder, demo) = start();
    let answer = demo.put("asha", INDIA);
    assert!(answer.is_success(), "{answer:?}");
    assert_eq!(answer.header("domicile-region"), Some("in"));
    let mechanism = answer.header("domicile-mechanism").unwrap();
    assert!(mechanism.starts_with("homebound"), "{mechanism}");
    demo.assert_stored("/people/asha", "in", INDIA.as_bytes());

    let entries = text(&entries_of(demo.admin, decision(&answer)));
    for wanted in [
        "homebound",
        "sg-intermediary",
        "acme-sg",
        "acme-in",
        "store",
    ] {
        assert!(entries.contains(wanted), "`{wanted}` in {entries}");
    }
    assert!(!entries.contains("asha"), "the ledger names nobody");
}

#[test]
fn a_mixed_batch_is_split_and_answered_item_by_item() {
    let (_folder, demo) = start();
    let nobody = r#"{"id":"nobody","name":"No Trace"}"#;
    let records = [INDIA, EUROPE, nobody, CHINA, RUSSIA];
    let answer = Request::new("POST", "/people")
        .ndjson(records.join("\n"))
        .send(demo.router);
    assert_eq!(answer.status, 207, "{answer:?}");
    let items = answer.items();
    let homes = [Some("in"), Some("eu"), None, Some("cn"), Some("ru")];
    assert_eq!(items.len(), homes.len());
    for (index, (item, home)) in items.iter().zip(homes).enumerate() {
        assert_eq!(item["index"], index, "{item}");
        assert!(item["decision"].is_string(), "{item}");
        match home {
            Some(home) => {
                assert_eq!(item["region"], home, "{item}");
                assert!(item["status"].as_u64().unwrap() / 100 == 2, "{item}");
            }
            None => {
                assert_eq!(item["status"], 422, "{item}");
                let kind = item["type"].as_str().unwrap_or_default();
                assert!(kind.starts_with("urn:domicile:problem:"), "{item}");
            }
        }
    }
    for (id, home, body) in [
        ("asha", "in", INDIA),
        ("erika", "eu", EUROPE),
        ("wei", "cn", CHINA),
        ("ivan", "ru", RUSSIA),
    ] {
        demo.assert_stored(&format!("/people/{id}"), home, body.as_bytes());
    }
    assert!(demo.holders("/people/nobody").is_empty());

    // Requests 4 and 5 of the five work with what request 2 left.
    assert_eq!(get(demo.router, "/people/erika").status, 200);
    assert_eq!(get(demo.router, "/people/wei").status, 451);
}

#[test]
fn a_russian_record_is_not_collected_abroad() {
    let (_folder, demo) = start();
    let answer = Request::new("PUT", "/people/ivan")
        .header("domicile-target", "eu")
        .json(RUSSIA)
        .send(demo.router);
    let document = problem(&answer, 451);
    let citation = document["citation"].as_str().unwrap();
    assert!(
        citation.contains("152-FZ") && citation.contains("18(5)"),
        "{citation}"
    );
    for member in ["decision", "rule", "from", "to"] {
        assert!(!document[member].is_null(), "`{member}` in {document}");
    }
    assert!(document["missing"].is_array(), "{document}");
    assert_eq!(document["decision"].as_str(), Some(decision(&answer)));
    let link = answer.header("link").unwrap();
    assert!(
        link.contains("https://example.com/privacy") && link.contains("rel=\"blocked-by\""),
        "{link}"
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"));

    // A refusal is durable before it is answered: no waiting here.
    let entries = entries_now(demo.admin, decision(&answer));
    assert!(!entries.is_empty(), "the refusal stands in the ledger");
    assert!(demo.holders("/people/ivan").is_empty());
    assert_eq!(
        get(demo.router, "/people/ivan").status,
        404,
        "a refused record pins nobody"
    );
}

#[test]
fn reading_an_european_record_from_singapore_uses_the_clauses() {
    let (_folder, demo) = start();
    assert!(demo.put("erika", EUROPE).is_success());
    let answer = get(demo.router, "/people/erika");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.body, EUROPE.as_bytes());
    assert_eq!(answer.header("domicile-region"), Some("eu"));
    assert_eq!(
        answer.header("domicile-mechanism"),
        Some(r#"scc; module=2; instrument="eu-sg-2024""#)
    );
    // Evidence first: the entry is there before the first byte of the answer.
    let entries = text(&entries_now(demo.admin, decision(&answer)));
    for wanted in ["scc", "eu-sg-2024", "acme-eu", "acme-sg", "read"] {
        assert!(entries.contains(wanted), "`{wanted}` in {entries}");
    }

    let head = Request::new("HEAD", "/people/erika").send(demo.router);
    assert_eq!(head.status, 200, "{head:?}");
    assert_eq!(
        head.header("domicile-mechanism"),
        Some(r#"scc; module=2; instrument="eu-sg-2024""#)
    );
    assert_ne!(decision(&head), decision(&answer));

    let tail = run_to_end(
        &[
            "ledger",
            "tail",
            "--json",
            demo.folder.join("ledger").to_str().unwrap(),
        ],
        "",
    );
    let printed = String::from_utf8_lossy(&tail.stdout).into_owned();
    assert!(printed.contains(decision(&answer)), "{tail:?}");
    assert!(printed.contains("eu-sg-2024"), "{printed}");
}

#[test]
fn reading_a_chinese_record_from_singapore_is_refused_with_what_is_missing() {
    let (_folder, demo) = start();
    assert!(demo.put("wei", CHINA).is_success());
    let answer = get(demo.router, "/people/wei");
    let document = problem(&answer, 451);
    let missing = document["missing"].as_array().unwrap();
    assert!(!missing.is_empty(), "{document}");
    for way in missing {
        assert_eq!(way["law"], "CN", "{way}");
        assert!(way["mechanism"].is_string(), "{way}");
        assert!(!way["needs"].as_array().unwrap().is_empty(), "{way}");
    }
    assert!(!answer.bytes().windows(3).any(|w| w == "王".as_bytes()));
    assert!(!entries_now(demo.admin, decision(&answer)).is_empty());
    // The record itself is untouched.
    demo.assert_stored("/people/wei", "cn", CHINA.as_bytes());
}

#[test]
fn a_record_can_be_changed_and_erased_at_home() {
    let (_folder, demo) = start();
    assert!(demo.put("asha", INDIA).is_success());
    let patched = Request::new("PATCH", "/people/asha")
        .json(r#"{"email":"asha@example.com"}"#)
        .send(demo.router);
    assert!(patched.is_success(), "{patched:?}");
    assert_eq!(patched.header("domicile-region"), Some("in"));
    let found: Value = serde_json::from_slice(&demo.stored("in", "/people/asha").unwrap()).unwrap();
    assert_eq!(found["email"], "asha@example.com");
    let erased = Request::new("DELETE", "/people/asha").send(demo.router);
    assert!(erased.is_success(), "{erased:?}");
    assert!(demo.holders("/people/asha").is_empty());
}

#[test]
fn files_are_streamed_unread_to_where_the_header_or_the_pin_says() {
    let (_folder, demo) = start();
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let answer = Request::new("PUT", "/files/asha/scan.bin")
        .header("domicile-country", "IN")
        .body("application/octet-stream", bytes.clone())
        .chunked()
        .send(demo.router);
    assert!(answer.is_success(), "{answer:?}");
    assert_eq!(answer.header("domicile-region"), Some("in"));
    demo.assert_stored("/files/asha/scan.bin", "in", &bytes);

    // The same person's record is already known to live in India.
    let answer = Request::new("PUT", "/files/asha/second.txt")
        .body("text/plain", "two")
        .send(demo.router);
    assert!(answer.is_success(), "{answer:?}");
    demo.assert_stored("/files/asha/second.txt", "in", b"two");

    let answer = Request::new("PUT", "/files/nobody/x.txt")
        .body("text/plain", "three")
        .send(demo.router);
    problem(&answer, 422);
    assert!(demo.holders("/files/nobody/x.txt").is_empty());
}

#[test]
fn unknown_paths_and_methods_are_told_apart() {
    let (_folder, demo) = start();
    problem(&get(demo.router, "/nowhere"), 404);
    let answer = Request::new("POST", "/people/asha")
        .json(INDIA)
        .send(demo.router);
    problem(&answer, 405);
    let allow = answer.header("allow").unwrap();
    for method in ["GET", "PUT", "PATCH", "DELETE"] {
        assert!(allow.contains(method), "{allow}");
    }
    let answer = Request::new("POST", "/people")
        .body("text/csv", "id,country\nasha,IN")
        .send(demo.router);
    problem(&answer, 415);
}

#[test]
fn the_admin_listener_tells_how_things_stand() {
    let (_folder, demo) = start();
    assert!(demo.put("asha", INDIA).is_success());
    for path in ["/livez", "/readyz", "/version", "/v1/regions", "/v1/ledger"] {
        let answer = get(demo.admin, path);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }
    let metrics = crate::kit::setup::metrics(demo.admin);
    for name in [
        "domicile_decisions_total{",
        "domicile_evidence_total{",
        "domicile_policy_info{digest=",
    ] {
        assert!(metrics.contains(name), "`{name}` in {metrics}");
    }
    let regions = get(demo.admin, "/v1/regions").json().to_string();
    for region in crate::kit::REGIONS {
        assert!(regions.contains(&format!("\"{region}\"")), "{regions}");
    }

    let question = r#"{ "at": "2026-11-21T12:00:00Z", "operation": "store",
        "subject": { "countries": ["RU"] }, "categories": ["user.name"],
        "from": { "country": "RU", "entity": "acme-ru" },
        "to": { "country": "DE", "entity": "acme-eu" } }"#;
    let answer = Request::new("POST", "/v1/decisions:explain")
        .json(question)
        .send(demo.admin);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["outcome"], "refuse", "{answer:?}");
    let broken = question.replace("\"operation\"", "\"operatoin\"");
    let answer = Request::new("POST", "/v1/decisions:explain")
        .json(broken.clone())
        .send(demo.admin);
    assert_eq!(answer.status, 400, "an unknown key is an error: {answer:?}");
    let broken = broken.replace("\"acme-eu\"", "\"acme-ue\"");
    let answer = Request::new("POST", "/v1/decisions:explain")
        .json(broken)
        .send(demo.admin);
    let told = answer.json();
    let pointers: Vec<&str> = told["mistakes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["pointer"].as_str().unwrap())
        .collect();
    assert_eq!(pointers, ["/operatoin", "/to/entity"], "{told}");
}

#[test]
fn the_five_printed_requests_do_what_they_say() {
    let (_folder, demo) = start();
    let commands = eventually("five requests are printed", || {
        let commands: Vec<String> = printed_requests(&demo.process.stdout())
            .into_iter()
            .filter(|command| command.contains(&demo.router.to_string()))
            .collect();
        (commands.len() >= 5).then_some(commands)
    });
    let statuses: Vec<String> = commands
        .iter()
        .take(5)
        .map(|command| {
            let quiet = format!("{command} -s -o /dev/null -w '%{{http_code}}'");
            let output = Command::new("sh").arg("-c").arg(&quiet).output().unwrap();
            assert!(output.status.success(), "{quiet}: {output:?}");
            String::from_utf8(output.stdout).unwrap()
        })
        .collect();
    assert_eq!(&statuses[0][..1], "2", "{statuses:?}");
    assert_eq!(statuses[1..], ["207", "451", "200", "451"], "{statuses:?}");
    let text = demo.process.stdout();
    for address in demo.stores.values().chain([&demo.admin]) {
        assert!(text.contains(&address.to_string()), "{address} in {text}");
    }
}

/// The printed commands: from `curl` to where quotes are closed and no backslash goes on.
fn printed_requests(text: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let mut open: Option<String> = None;
    for line in text.lines() {
        let command = match open.take() {
            Some(before) => before + "\n" + line,
            None => match line.trim_start().trim_start_matches("$ ") {
                start if start.starts_with("curl ") => start.to_owned(),
                _ => continue,
            },
        };
        let quoted = command.matches('\'').count() % 2 == 1;
        if quoted || command.ends_with('\\') {
            open = Some(command);
        } else {
            commands.push(command);
        }
    }
    commands
}

fn refused_start(listen: &str, admin: &str) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::spawn(
        domicile()
            .args(["demo", "--listen", listen, "--admin", admin])
            .args(["--store-ports", "0", "--data"])
            .arg(folder.path()),
    );
    (process.wait().code(), process.text())
}

#[test]
fn a_taken_port_is_a_clear_error() {
    let taken = TcpListener::bind(free_address()).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (listen, admin) in [
        (address.as_str(), "127.0.0.1:0"),
        ("127.0.0.1:0", address.as_str()),
    ] {
        let (code, text) = refused_start(listen, admin);
        assert_eq!(code, Some(2), "{text}");
        assert!(text.contains(&address), "{text}");
        assert!(!text.contains("panicked"), "{text}");
    }
}

#[test]
fn two_demos_do_not_share_a_port() {
    // Ports that several sockets of one program share must not be shared by two programs.
    let folder = tempfile::tempdir().unwrap();
    let listen = free_address().to_string();
    let demo = Demo::start_at(folder.path(), &listen, "127.0.0.1:0");
    let (code, text) = refused_start(&listen, "127.0.0.1:0");
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains(&listen), "{text}");
    assert!(demo.put("asha", INDIA).is_success());
}

#[test]
fn signals_end_it_cleanly_within_two_seconds() {
    for signal in ["TERM", "INT"] {
        let (_folder, mut demo) = start();
        // An idle kept-alive connection and one that says nothing must not hold it up.
        let mut idle = Client::new(demo.router);
        idle.send(&Request::new("GET", "/people/nobody")).unwrap();
        let _silent = TcpStream::connect(demo.router).unwrap();
        let begin = std::time::Instant::now();
        demo.process.signal(signal);
        let status = demo.process.wait();
        let took = begin.elapsed();
        assert_eq!(status.code(), Some(0), "{signal}: {status}");
        assert!(took < Duration::from_secs(2), "{signal}: took {took:?}");
        assert!(TcpStream::connect(demo.router).is_err());
    }
}

#[test]
fn kept_data_is_there_after_a_restart() {
    let (folder, mut demo) = start();
    assert!(demo.put("erika", EUROPE).is_success());
    let before = get(demo.router, "/people/erika");
    demo.process.terminate();

    let demo = Demo::start(folder.path());
    demo.assert_stored("/people/erika", "eu", EUROPE.as_bytes());
    let after = get(demo.router, "/people/erika");
    assert_eq!(after.body, EUROPE.as_bytes(), "the pin was kept: {after:?}");
    assert!(
        !entries_now(demo.admin, decision(&before)).is_empty(),
        "the ledger was kept"
    );
    let contrary = demo.put("erika", r#"{"id":"erika","country":"IN"}"#);
    problem(&contrary, 409);
}

#[test]
fn without_a_folder_of_its_own_nothing_is_left_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let mut command = domicile();
    command
        .args(["demo", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .args(["--store-ports", "0"])
        .env("TMPDIR", temporary.path());
    let find = || -> Option<PathBuf> {
        fs::read_dir(temporary.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .find(|path| path.join("domicile.toml").exists())
    };
    let mut demo = Demo::wait_ready(Process::spawn(&mut command), find);
    assert!(demo.put("asha", INDIA).is_success());
    demo.process.terminate();
    let left: Vec<_> = fs::read_dir(temporary.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn its_settings_work_with_run() {
    // A port that the demo has let go of may be another test's by then.
    let works = (0..5).any(|_| its_settings_work_where_the_port_is_free());
    assert!(works, "its port was taken each time");
}

fn its_settings_work_where_the_port_is_free() -> bool {
    let (_folder, mut demo) = start();
    // Beside the running demo, on its stores.
    let mut setup = Setup::new();
    for (region, address) in &demo.stores {
        setup.region(region, *address);
    }
    let beside = setup.start();
    assert!(beside.put("asha", INDIA).is_success());
    demo.assert_stored("/people/asha", "in", INDIA.as_bytes());
    drop(beside);

    // Unchanged, after the demo has ended: all stores are down.
    demo.process.terminate();
    let config = demo.settings();
    let check = run_to_end(&["check", "--config", config.to_str().unwrap()], "");
    assert_eq!(check.status.code(), Some(0), "{check:?}");
    let mut process = Process::spawn(domicile().arg("run").arg("--config").arg(&config));
    let listen: SocketAddr = read_settings(&config)["data_plane"]["listen"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let answer = eventually("the router answers", || {
        if process.exited().is_some() {
            assert!(process.text().contains("is taken"), "{}", process.text());
            return Some(None);
        }
        Client::new(listen)
            .send(&Request::new("PUT", "/people/asha").json(INDIA))
            .ok()
            // Else it is another test's server that has taken the port.
            .filter(|answer| answer.header("domicile-decision").is_some())
            .map(Some)
    });
    let Some(answer) = answer else {
        return false;
    };
    let document = problem(&answer, 503);
    assert_eq!(answer.header("domicile-region"), Some("in"), "{document}");
    let (status, _) = process.terminate();
    assert_eq!(status.code(), Some(0), "{}", process.text());
    true
}
