//! What people sent through is found nowhere but in the regional stores.

use std::fs;
use std::path::Path;

use crate::kit::backend::{Backend, Reply};
use crate::kit::http::{Answer, Request, get};
use crate::kit::setup::Setup;
use crate::kit::{contains, free_address};

/// Marks that no program would write by itself.
const NAMES: [&str; 3] = ["Quirinius Zzyzxmann", "Кверинтий Ъмятов", "龘靐齉"];
const NETWORKS: [&str; 3] = ["79.192.201.17", "117.192.203.19", "2a01:c23:4567:89ab::77"];

struct Trace {
    marks: Vec<Vec<u8>>,
    /// By the first two bytes, so that files of some megabytes are read once, not once a mark.
    by_start: Vec<Vec<usize>>,
}

impl Trace {
    /// Everything by which a person could be recognised, and what a careless hash of it would be.
    fn of(ids: &[String], phones: &[String]) -> Self {
        let mut marks: Vec<Vec<u8>> = Vec::new();
        for text in NAMES.iter().chain(&NETWORKS) {
            marks.push(text.as_bytes().to_vec());
        }
        for text in ["Zzyzx-Gasse 4711", "Qwertzdorf", "secret-query-value"] {
            marks.push(text.as_bytes().to_vec());
        }
        for phone in phones {
            marks.push(phone.trim_start_matches('+').as_bytes().to_vec());
        }
        for id in ids {
            marks.push(id.as_bytes().to_vec());
            let hash = blake3::hash(id.as_bytes());
            marks.push(hash.as_bytes()[..16].to_vec());
            marks.push(hash.to_hex()[..32].as_bytes().to_vec());
        }
        let mut by_start = vec![Vec::new(); 1 << 16];
        for (index, mark) in marks.iter().enumerate() {
            by_start[start(mark)].push(index);
        }
        Self { marks, by_start }
    }

    #[track_caller]
    fn assert_absent(&self, place: &str, bytes: &[u8]) {
        for position in 0..bytes.len().saturating_sub(1) {
            for index in &self.by_start[start(&bytes[position..])] {
                let mark = &self.marks[*index];
                assert!(
                    !bytes[position..].starts_with(mark),
                    "`{}` stands in {place}",
                    String::from_utf8_lossy(mark)
                );
            }
        }
    }

    fn assert_absent_below(&self, folder: &Path) -> usize {
        let mut files = 0;
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files += self.assert_absent_below(&path);
            } else if path.is_file() {
                let name = path.display().to_string();
                self.assert_absent(&format!("the name {name}"), name.as_bytes());
                self.assert_absent(&name, &fs::read(&path).unwrap());
                files += 1;
            }
        }
        files
    }
}

fn start(bytes: &[u8]) -> usize {
    usize::from(u16::from_be_bytes([bytes[0], bytes[1]]))
}

#[test]
fn the_search_finds_a_mark_wherever_it_stands() {
    let trace = Trace::of(&["zz-mark".to_owned()], &[]);
    for text in ["zz-mark", "xzz-mark", "zzz-markx"] {
        let found = std::panic::catch_unwind(|| trace.assert_absent("a text", text.as_bytes()));
        assert!(found.is_err(), "{text}");
    }
    trace.assert_absent("a text", b"zz-mar zz-ma k");
}

#[test]
fn what_was_sent_through_is_found_nowhere() {
    let (mut setup, backends) = Setup::recording();
    // Debug is the level that may speak of single requests; not even there of people.
    setup.set(&["log", "level"], "debug");
    setup.set(&["limits", "record_bytes"], "4KiB");
    setup.set(&["limits", "response"], "1s");
    setup.region("ru", free_address());
    let garbage = Backend::scripted(|_| Reply::Raw(b"no web server\r\n\r\n".to_vec()));
    setup.region("cn", garbage.address);
    let mut router = setup.start();

    let ids: Vec<String> = (0..40).map(|n| format!("zz-person-{n:03}-qx")).collect();
    let phones: Vec<String> = (0..40).map(|n| format!("+4930231257{n:02}")).collect();
    let trace = Trace::of(&ids, &phones);
    // The marks are really sent: else this test would find nothing in nothing.
    let mut sent = Vec::new();
    let mut answers: Vec<Answer> = Vec::new();
    let record = |n: usize, rest: &str| {
        format!(
            r#"{{"id":"{}","name":"{}","phone":"{}","email":"{}@example.com","address":{{"street":"Zzyzx-Gasse 4711","city":"Qwertzdorf"}}{rest}}}"#,
            ids[n],
            NAMES[n % 3],
            phones[n],
            ids[n]
        )
    };
    let mut put = |n: usize, headers: &[(&str, &str)], body: String| {
        let mut request = Request::new(
            "PUT",
            format!("/people/{}?token=secret-query-value", ids[n]),
        )
        .header("x-forwarded-for", NETWORKS[n % 3])
        .json(body.as_str());
        for (name, value) in headers {
            request = request.header(name, value);
        }
        sent.extend_from_slice(body.as_bytes());
        sent.extend_from_slice(ids[n].as_bytes());
        let answer = request.send(router.router);
        let status = answer.status;
        answers.push(answer);
        status
    };

    // The good ways: home, abroad, by phone alone.
    for n in 0..6 {
        let country = ["DE", "IN", "SG"][n % 3];
        let status = put(n, &[], record(n, &format!(r#","country":"{country}""#)));
        assert_eq!(status, 201);
    }
    let eu = r#","country":"DE""#;
    assert_eq!(put(6, &[("domicile-target", "sg")], record(6, eu)), 201);
    assert_eq!(put(7, &[], record(7, "")), 201);
    // And every way to be refused or to fail.
    assert_eq!(
        put(
            8,
            &[("domicile-target", "eu")],
            record(8, r#","country":"RU""#)
        ),
        451
    );
    assert_eq!(put(0, &[], record(0, r#","country":"IN""#)), 409);
    assert_eq!(
        put(9, &[], record(9, r#","country":"DE","country":"DE""#)),
        400
    );
    assert_eq!(put(10, &[], record(10, eu).replace('}', "")), 400);
    assert_eq!(
        put(11, &[("domicile-target", &ids[11])], record(11, eu)),
        400
    );
    assert_eq!(
        put(12, &[("domicile-operation", &ids[12])], record(12, eu)),
        400
    );
    assert_eq!(put(13, &[], record(13, r#","country":"RU""#)), 503);
    assert_eq!(put(14, &[], record(14, r#","country":"CN""#)), 502);
    let long = format!(r#","country":"DE","x":"{}""#, "x".repeat(5000));
    assert_eq!(put(15, &[], record(15, &long)), 413);
    // A person in place of a country.
    let odd = format!(r#","country":"{}""#, ids[16]);
    put(16, &[], record(16, &odd));
    put(17, &[("traceparent", NAMES[0])], record(17, eu));
    put(
        18,
        &[("authorization", &format!("Bearer {}", ids[18]))],
        record(18, eu),
    );
    put(19, &[("domicile-purpose", &ids[19])], record(19, eu));

    for n in [0, 6, 20, 21] {
        let path = format!("/people/{}?token=secret-query-value", ids[n]);
        for method in ["GET", "HEAD", "DELETE", "PUT", "BREW"] {
            let answer = Request::new(method, path.as_str())
                .header("x-forwarded-for", NETWORKS[0])
                .send(router.router);
            // A read that is permitted gives what the backend gave: not ours to search.
            answers.push(answer);
        }
    }
    let unknown = format!("/{}/{}", ids[22], ids[22]);
    answers.push(get(router.router, &unknown));
    let lines: Vec<String> = (23..38)
        .map(|n| {
            record(
                n,
                [
                    "",
                    eu,
                    r#","country":"RU""#,
                    r#","country":"DE","country":"IN""#,
                ][n % 4],
            )
        })
        .chain(["{\"id\":\"".to_owned() + &ids[38]])
        .collect();
    sent.extend_from_slice(lines.concat().as_bytes());
    for request in [
        Request::new("POST", "/people").ndjson(lines.join("\n")),
        Request::new("POST", "/people").json(format!("[{}]", lines[..10].join(","))),
        Request::new("POST", "/people").json(format!("[{}", lines[..10].join(","))),
    ] {
        let answer = request
            .header("x-forwarded-for", NETWORKS[1])
            .send(router.router);
        answers.push(answer);
    }
    let answer = Request::new("PUT", format!("/files/{}/{}", ids[39], ids[39]))
        .header("domicile-country", "IN")
        .body("text/plain", NAMES[0])
        .send(router.router);
    assert!(answer.is_success(), "{answer:?}");
    answers.push(answer);

    for mark in NAMES {
        assert!(contains(&sent, mark.as_bytes()));
    }
    assert_eq!(backends.reached_by(&ids[0]), ["eu"]);

    // The recording backends answer without a body, so all that is answered is the router's own.
    for answer in &answers {
        trace.assert_absent(&format!("the answer {}", answer.status), &answer.bytes());
    }
    for path in [
        "/metrics",
        "/readyz",
        "/livez",
        "/version",
        "/v1/regions",
        "/v1/ledger?limit=1000",
    ] {
        trace.assert_absent(path, &get(router.admin, path).bytes());
    }
    router.process.terminate();
    let log = router.process.output();
    assert!(!log.is_empty(), "there is a log to search");
    trace.assert_absent("the log", &log);
    let files = trace.assert_absent_below(router.folder.path());
    assert!(
        files > 3,
        "ledger, directory, settings and policy were searched"
    );
}
