//! What a hostile review of the data path found, each pinned by a test.

use std::fs;
use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::kit::backend::{Backend, Reply};
use crate::kit::http::{Request, get, read_head};
use crate::kit::setup::{Router, Setup};
use crate::kit::{decision, entries_of, problem};

/// A request whose head and half of whose body were sent.
struct Half {
    stream: TcpStream,
    rest: Vec<u8>,
    begun: Instant,
}

impl Half {
    fn send(to: SocketAddr, head: &str, body: &str) -> Self {
        let mut stream = TcpStream::connect(to).unwrap();
        let (first, rest) = body.split_at(body.len() / 2);
        let length = body.len();
        write!(
            stream,
            "{head}\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{first}"
        )
        .unwrap();
        Self {
            stream,
            rest: rest.into(),
            begun: Instant::now(),
        }
    }

    /// Whether the policy that it began with permitted it; on a busy machine its rest may come too
    /// late for that (`policy-changed`).
    fn finish_in_time(self) -> bool {
        let begun = self.begun;
        let status = self.finish();
        let is_late = status.contains(" 503") && begun.elapsed() > Duration::from_secs(1);
        assert!(status.contains(" 201") || is_late, "{status}");
        !is_late
    }

    fn finish(mut self) -> String {
        self.stream.write_all(&self.rest).unwrap();
        read_head(&mut BufReader::new(self.stream)).unwrap().0
    }
}

/// Waits until the one worker has taken up a request that is under way.
fn taken_up(router: &Router) {
    // Connections are accepted in their order, and one worker serves them all.
    assert_eq!(
        Request::new("GET", "/nowhere").send(router.router).status,
        404
    );
}

fn reload(router: &Router) {
    let answer = Request::new("POST", "/-/reload").send(router.admin);
    assert_eq!(answer.status, 200, "{answer:?}");
    // The worker has seen the new snapshot once it has answered by it.
    taken_up(router);
}

#[test]
fn a_reload_that_renumbers_regions_sends_no_record_elsewhere() {
    let (mut setup, backends) = Setup::recording();
    setup.set(&["data_plane", "workers"], 1);
    let mut next = setup.settings.clone();
    let mut first = next["regions"]["eu"].clone();
    first.as_table_mut().unwrap().insert(
        "endpoints".to_owned(),
        vec![toml::Value::from("http://127.0.0.1:9")].into(),
    );
    next["regions"]
        .as_table_mut()
        .unwrap()
        .insert("aa".to_owned(), first);
    let router = setup.start();
    let half = Half::send(
        router.router,
        "PUT /people/slow HTTP/1.1",
        r#"{"id":"slow","country":"DE","name":"half way"}"#,
    );
    taken_up(&router);
    let config = router.folder.path().join("domicile.toml");
    fs::write(config, toml::to_string(&next).unwrap()).unwrap();
    reload(&router);
    match half.finish_in_time() {
        true => assert_eq!(backends.touched(), ["eu"]),
        false => assert!(backends.touched().is_empty()),
    }
}

#[test]
fn a_request_from_before_a_reload_leaves_no_permit_to_those_after() {
    let (mut setup, _backends) = Setup::recording();
    setup.set(&["data_plane", "workers"], 1);
    let router = setup.start();
    let head = "PUT /people/before HTTP/1.1\r\ndomicile-target: sg";
    let half = Half::send(router.router, head, r#"{"id":"before","country":"DE"}"#);
    taken_up(&router);
    let file = router.folder.path().join("policies/organisation.toml");
    let mut policy: toml::Table = fs::read_to_string(&file).unwrap().parse().unwrap();
    assert!(policy.remove("instruments").is_some());
    fs::write(&file, toml::to_string(&policy).unwrap()).unwrap();
    reload(&router);
    half.finish_in_time();
    let after = Request::new("PUT", "/people/after")
        .header("domicile-target", "sg")
        .json(r#"{"id":"after","country":"DE"}"#)
        .send(router.router);
    assert_eq!(after.status, 451, "{after:?}");
}

/// A pinned person of the EU.
fn german(router: SocketAddr, id: &str) {
    let answer = Request::new("PUT", format!("/people/{id}"))
        .json(format!(r#"{{"id":"{id}","country":"DE"}}"#))
        .send(router);
    assert!(answer.is_success(), "{answer:?}");
}

fn to_singapore(request: Request, operation: &str) -> Request {
    request
        .header("domicile-operation", operation)
        .header("domicile-target", "sg")
}

fn methods_seen(backend: &Backend, path: &str) -> Vec<String> {
    let seen = backend.seen().into_iter().filter(|s| s.path == path);
    seen.map(|s| s.method).collect()
}

#[test]
fn a_move_that_broke_off_is_erased_with_the_rest() {
    let (mut setup, backends) = Setup::recording();
    let sg = Backend::scripted(|seen| match seen.method.as_str() {
        "PUT" => Reply::Reset(Vec::new()),
        _ => Reply::status(204),
    });
    setup.region("sg", sg.address);
    let router = setup.start();
    german(router.router, "mover");
    let body = r#"{"id":"mover","country":"DE"}"#;
    let answer = to_singapore(Request::new("PUT", "/people/mover"), "relocate")
        .json(body)
        .send(router.router);
    assert!(answer.status >= 500, "{answer:?}");
    // What Singapore did before it broke the connection is unknown.
    let answer = Request::new("DELETE", "/people/mover").send(router.router);
    assert!(answer.is_success(), "{answer:?}");
    assert!(methods_seen(&sg, "/people/mover").contains(&"DELETE".to_owned()));
    assert!(methods_seen(backends.of("eu"), "/people/mover").contains(&"DELETE".to_owned()));
}

#[test]
fn a_batch_of_moves_moves_the_homes_that_arrived() {
    let (setup, _backends) = Setup::recording();
    let router = setup.start();
    german(router.router, "one");
    german(router.router, "two");
    let batch = "{\"id\":\"one\",\"country\":\"DE\"}\n{\"id\":\"nobody\",\"country\":\"DE\"}\n";
    let answer = to_singapore(Request::new("POST", "/people"), "relocate")
        .ndjson(batch)
        .send(router.router);
    let items = answer.items();
    assert_eq!(items[0]["status"], 201, "{answer:?}");
    assert_eq!(items[1]["status"], 409, "{answer:?}");
    for (id, home) in [("one", "sg"), ("two", "eu")] {
        let answer = get(router.router, &format!("/people/{id}"));
        assert_eq!(answer.header("domicile-region"), Some(home), "{answer:?}");
    }
}

#[test]
fn an_erasure_that_cannot_reach_a_copy_is_refused() {
    let (setup, backends) = Setup::recording();
    let mut fewer = setup.settings.clone();
    fewer["regions"].as_table_mut().unwrap().remove("sg");
    let router = setup.start();
    german(router.router, "copied");
    let answer = to_singapore(Request::new("PUT", "/people/copied"), "replicate")
        .json(r#"{"id":"copied","country":"DE"}"#)
        .send(router.router);
    assert!(answer.is_success(), "{answer:?}");
    let file = router.folder.path().join("policies/organisation.toml");
    let policy = fs::read_to_string(&file)
        .unwrap()
        .replace("\"sg\", ", "")
        .replace("[\"sg\"]", "[\"eu\"]");
    fs::write(&file, policy).unwrap();
    let config = router.folder.path().join("domicile.toml");
    fs::write(config, toml::to_string(&fewer).unwrap()).unwrap();
    reload(&router);
    let answer = Request::new("DELETE", "/people/copied").send(router.router);
    problem(&answer, 422);
    assert!(!methods_seen(backends.of("eu"), "/people/copied").contains(&"DELETE".to_owned()));
}

#[test]
fn the_id_of_a_refused_atomic_batch_stands_in_the_ledger() {
    let (mut setup, backends) = Setup::recording();
    setup.set_route("ndjson", "atomic", true);
    let router = setup.start();
    let answer = Request::new("POST", "/people")
        .ndjson("{\"id\":\"good\",\"country\":\"DE\"}\n{\"id\":\"lost\"}\n")
        .send(router.router);
    assert_eq!(answer.status, 422, "{answer:?}");
    assert!(backends.touched().is_empty());
    let entries = entries_of(router.admin, decision(&answer));
    assert_eq!(entries[0]["outcome"], "refuse", "{entries:?}");
}

#[test]
fn the_region_is_told_the_host_by_which_the_route_was_found() {
    let (setup, backends) = Setup::recording();
    let router = setup.start();
    let body = r#"{"id":"host","country":"DE"}"#;
    let put = |target: &str| {
        let mut stream = TcpStream::connect(router.router).unwrap();
        write!(
            stream,
            "PUT {target} HTTP/1.1\r\nhost: api.example:80\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        read_head(&mut BufReader::new(stream)).unwrap().0
    };
    let line = put("http://api.example:80/people/host");
    assert!(line.contains(" 201"), "{line}");
    let seen = backends.of("eu").seen();
    assert_eq!(seen[0].header("x-forwarded-host"), Some("api.example:80"));
    let twice = Request::new("PUT", "/people/host")
        .header("host", "other.example")
        .json(body)
        .send(router.router);
    problem(&twice, 400);
    let other = put("http://other.example/people/host");
    assert!(other.contains(" 400"), "{other}");
    assert_eq!(backends.of("eu").seen().len(), 1);
}

#[test]
fn fields_of_an_answer_from_abroad_carry_nothing_of_the_record() {
    const ANSWER: &[u8] = b"HTTP/1.1 201 Created\r\netag: \"1\"\r\nlocation: /people/Asha\r\n\
set-cookie: name=Asha\r\nx-name: Asha\r\ncontent-length: 0\r\n\r\n";
    let (mut setup, _backends) = Setup::recording();
    let india = Backend::scripted(|_| Reply::Raw(ANSWER.to_vec()));
    let home = Backend::scripted(|_| Reply::Raw(ANSWER.to_vec()));
    setup.region("in", india.address);
    setup.region("sg", home.address);
    let router = setup.start();
    let answer = router.put("asha", r#"{"id":"asha","country":"IN"}"#);
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.header("etag"), Some("\"1\""));
    assert!(
        !crate::kit::contains(&answer.bytes(), b"Asha"),
        "{answer:?}"
    );
    assert_eq!(answer.header("domicile-body"), Some("withheld"));
    // From the region that lies where the router is, nothing crosses a border.
    let answer = router.put("near", r#"{"id":"near","country":"SG"}"#);
    assert_eq!(
        answer.header("location"),
        Some("/people/Asha"),
        "{answer:?}"
    );
}
