//! Requests of which a region could read something else than the router did: paths, queries, fields and
//! trailers.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use crate::kit::backend::{Backend, Reply};
use crate::kit::setup::{Backends, Router, Setup};
use crate::raw_http1::{say, statuses};

/// The demo's routes behind these.
fn with_routes(setup: &mut Setup, text: &str) {
    let mut added: toml::Table = text.parse().unwrap();
    let added = added.remove("routes").unwrap();
    let routes = setup.settings["routes"].as_array_mut().unwrap();
    for route in added.as_array().unwrap().iter().rev() {
        routes.insert(0, route.clone());
    }
}

fn start(routes: &str) -> (Router, Backends) {
    let (mut setup, backends) = Setup::recording();
    with_routes(&mut setup, routes);
    (setup.start(), backends)
}

/// The answer to a JSON record.
fn send(router: &Router, method: &str, target: &str, fields: &str, body: &str) -> String {
    let length = body.len();
    say(
        router,
        format!(
            "{method} {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        ),
    )
}

#[track_caller]
fn assert_told(answer: &str, status: &str, problem: &str) {
    assert_eq!(statuses(answer), [status], "{answer}");
    let kind = format!("urn:domicile:problem:{problem}\"");
    assert!(answer.contains(&kind), "{answer}");
}

#[test]
fn a_path_takes_the_route_that_its_region_reads() {
    let (router, backends) = start(
        r#"
        [[routes]]
        path = "/files/profile/{subject}"
        methods = ["PUT"]
        format = "record"
        subject = "path:subject"
        country = ["body:/country"]
        schema = "person"
        [[routes]]
        path = "/people/deep/{subject...}"
        format = "record"
        subject = "path:subject"
        country = ["body:/country"]
        schema = "person"
        "#,
    );
    let put = |path: &str| send(&router, "PUT", path, "", r#"{"country":"DE"}"#);
    for path in [
        "/files/Profile/zoe",
        "/files/profile;v=1/zoe",
        "/people/deep//zoe",
        "/people/deep/zoe/",
        "/people/deep/a//zoe",
    ] {
        assert_told(&put(path), "400", "bad-path");
    }
    assert!(backends.touched().is_empty());
    // The body is read: an escaped letter makes no other route of it.
    for path in ["/files/%70rofile/zoe", "/people/deep/zoe"] {
        let answer = put(path);
        assert_eq!(statuses(&answer), ["201"], "{answer}");
    }
    assert_eq!(backends.touched(), ["eu"]);
}

const QUERIED: &str = r#"
    [[routes]]
    path = "/people/q"
    methods = ["PUT"]
    format = "record"
    subject = "query:id"
    country = ["query:country", "body:/country"]
    schema = "person"
    "#;

#[test]
fn a_query_names_one_person_to_every_reader() {
    let (router, backends) = start(QUERIED);
    let put = |query: &str| {
        let target = format!("/people/q?{query}");
        send(&router, "PUT", &target, "", r#"{"name":"x"}"#)
    };
    for (query, problem) in [
        ("id=dave&ID=erin&country=DE", "no-subject"),
        ("id=dave&id[]=erin&country=DE", "no-subject"),
        ("x=1;id=erin&id=dave&country=DE", "no-subject"),
        ("id=dave&country=DE&+country=RU", "unreadable-evidence"),
        ("id=dave&country=DE&Country=RU", "unreadable-evidence"),
    ] {
        assert_told(&put(query), "422", problem);
    }
    assert!(backends.touched().is_empty());
    for query in ["id=a%2Fb&country=DE", "id=a/b&country=DE&x=1"] {
        let answer = put(query);
        assert_eq!(statuses(&answer), ["201"], "{query}: {answer}");
    }
    // One person, who lives there.
    let answer = put("id=a%2fb&country=CN");
    assert_told(&answer, "409", "home-contradicted");
}

#[test]
fn a_method_in_the_query_overrides_none() {
    let (router, backends) = start(QUERIED);
    for target in ["/people/p?_method=DELETE", "/people/p?a=1&%5FMethod=DELETE"] {
        let answer = send(&router, "PUT", target, "", r#"{"country":"DE"}"#);
        assert_told(&answer, "400", "method-override");
    }
    assert!(backends.touched().is_empty());
}

#[test]
fn fields_of_the_settings_have_one_spelling() {
    let (mut setup, backends) = Setup::recording();
    setup.set(
        &["data_plane", "trusted"],
        toml::Value::Array(vec!["127.0.0.0/8".into()]),
    );
    setup.set_route("opaque", "target", "header:x-target-region");
    let router = setup.start();
    let body = r#"{"country":"DE"}"#;
    for fields in [
        "X_Target_Region: eu\r\n",
        "X-Target-Region: eu\r\nX_Target-Region: cn\r\n",
    ] {
        let answer = send(&router, "PUT", "/people/p", fields, body);
        assert_told(&answer, "400", "bad-field");
    }
    assert!(backends.touched().is_empty());
    let fields = "X_Other: 1\r\nX-Target_Regions: 1\r\n";
    let answer = send(&router, "PUT", "/people/p", fields, body);
    assert_eq!(statuses(&answer), ["201"], "{answer}");
}

#[test]
fn fields_of_the_settings_come_from_no_stranger_in_any_spelling() {
    let (mut setup, backends) = Setup::recording();
    setup.set(&["data_plane", "trusted"], toml::Value::Array(Vec::new()));
    setup.set_route("opaque", "target", "header:x-target-region");
    let router = setup.start();
    let fields = "X_Target_Region: cn\r\nX_Target-Region: cn\r\nX_Other: 1\r\n";
    let answer = send(&router, "PUT", "/people/p", fields, r#"{"country":"DE"}"#);
    assert_eq!(statuses(&answer), ["201"], "{answer}");
    let seen = backends.of("eu").seen();
    let names = seen[0].headers.iter().map(|(name, _)| name.as_str());
    let names: Vec<_> = names.filter(|n| n.starts_with("x_")).collect();
    assert_eq!(names, ["x_other"]);
}

#[test]
fn trailers_that_connection_names_end_here() {
    let (mut setup, _backends) = Setup::recording();
    let region = TcpListener::bind("127.0.0.1:0").unwrap();
    setup.region("eu", region.local_addr().unwrap());
    let asked = thread::spawn(move || {
        let (mut stream, _) = region.accept().unwrap();
        let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            let count = stream.read(&mut buffer).unwrap();
            bytes.extend_from_slice(&buffer[..count]);
            let text = String::from_utf8_lossy(&bytes);
            if count == 0 || (text.contains("\r\n0\r\n") && text.ends_with("\r\n\r\n")) {
                break;
            }
        }
        let answer = "HTTP/1.1 200 OK\r\nConnection: x-hop\r\nTrailer: x-hop, x-sum\r\n\
                      Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Hop: 1\r\nX-Sum: 2\r\n\r\n";
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(bytes).unwrap()
    });
    let router = setup.start();
    let answer = say(
        &router,
        "PUT /files/p/letter HTTP/1.1\r\nHost: a\r\nDomicile-Country: DE\r\nTE: trailers\r\n\
         Connection: close, x-own\r\nTrailer: x-own, x-check\r\nTransfer-Encoding: chunked\r\n\r\n\
         2\r\nhi\r\n0\r\nX-Own: 1\r\nX-Check: 2\r\n\r\n",
    );
    assert!(answer.ends_with("\r\n0\r\nx-sum: 2\r\n\r\n"), "{answer}");
    let asked = asked.join().unwrap();
    assert!(asked.ends_with("\r\n0\r\nx-check: 2\r\n\r\n"), "{asked}");
}

#[test]
fn an_id_with_a_control_character_names_nobody() {
    let (router, backends) = start(
        r#"
        [[routes]]
        path = "/people/byid"
        methods = ["POST"]
        format = "record"
        subject = "body:/id"
        country = ["body:/country"]
        schema = "person"
        "#,
    );
    let post = |body: &str| send(&router, "POST", "/people/byid", "", body);
    for id in [
        r"carol\u0000x",
        r"carol\n",
        r"\u007fcarol",
        "carol\u{7f}",
        "",
    ] {
        let answer = post(&format!(r#"{{"id":"{id}","country":"DE"}}"#));
        assert_told(&answer, "422", "no-subject");
    }
    let answer = post(r#"{"id":"carol","country":"DE","country\u0000":"RU"}"#);
    assert_told(&answer, "400", "malformed-record");
    assert!(backends.touched().is_empty());
    let answer = post(r#"{"id":"c\u0061rol","country":"DE"}"#);
    assert_eq!(statuses(&answer), ["201"], "{answer}");
}

/// RFC 9110 §7.6.3.
#[test]
fn via_says_in_which_version_an_answer_came() {
    let (mut setup, _backends) = Setup::recording();
    let answer = "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let eu = Backend::scripted(move |_| Reply::Raw(answer.into()));
    setup.region("eu", eu.address);
    let router = setup.start();
    let get = |path: &str| {
        say(
            &router,
            format!(
                "GET {path} HTTP/1.1\r\nHost: a\r\nDomicile-Country: DE\r\nConnection: close\r\n\r\n"
            ),
        )
    };
    let answer = get("/files/p/letter");
    assert!(answer.contains("\r\nvia: 1.0 domicile\r\n"), "{answer}");
    let own = get("/nowhere");
    assert!(own.contains("\r\nvia: 1.1 domicile\r\n"), "{own}");
}
