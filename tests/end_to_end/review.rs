//! What a hostile review of the data path found, each pinned by a test.

use std::fs;
use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpStream};

use crate::kit::http::{Request, read_head};
use crate::kit::setup::{Router, Setup};

/// A request whose head and half of whose body were sent.
struct Half {
    stream: TcpStream,
    rest: Vec<u8>,
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
        }
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
    assert!(half.finish().contains(" 201"));
    assert_eq!(backends.touched(), ["eu"]);
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
    let before = half.finish();
    assert!(
        before.contains(" 201"),
        "judged by the policy it began with: {before}"
    );
    let after = Request::new("PUT", "/people/after")
        .header("domicile-target", "sg")
        .json(r#"{"id":"after","country":"DE"}"#)
        .send(router.router);
    assert_eq!(after.status, 451, "{after:?}");
}
