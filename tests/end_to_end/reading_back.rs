//! What comes back for a write from abroad is a read of what lies there, and a move is one of all
//! that lies at home: what the body of the request holds bounds neither.

use serde_json::Value;

use crate::kit::backend::{Backend, Reply};
use crate::kit::http::{Request, get};
use crate::kit::setup::{Backends, Router, Setup};

const HOME: [(&str, &str); 3] = [("CN", "cn"), ("RU", "ru"), ("IN", "in")];
/// In no schema of the demo.
const RECORD: &str = r#"{"name":"Li","phone":"+86 10 5555 0100","diagnosis":"none"}"#;

/// Each region answers whatever it is asked with a whole record.
fn echoing() -> (Router, Vec<Backend>) {
    let (mut setup, _) = Setup::recording();
    let regions = HOME.map(|(_, region)| {
        let backend = Backend::scripted(|_| Reply::Answer {
            status: 200,
            media: "application/json",
            body: RECORD.into(),
        });
        setup.region(region, backend.address);
        backend
    });
    (setup.start(), regions.into())
}

#[test]
fn what_a_read_may_not_tell_no_write_tells_either() {
    let (router, _regions) = echoing();
    for (country, _) in HOME {
        let id = format!("{country}-1");
        let path = format!("/people/{id}");
        let whole = format!(r#"{{"id":"{id}","country":"{country}"}}"#);
        assert!(router.put(&id, &whole).is_success(), "{country}");
        let read = Request::new("GET", path.as_str()).send(router.router);
        assert_eq!(read.status, 451, "{country}: {read:?}");
        let only_country = format!(r#"{{"country":"{country}"}}"#);
        for body in ["{}", &only_country, &whole] {
            for method in ["PUT", "PATCH"] {
                let answer = Request::new(method, path.as_str())
                    .json(body)
                    .send(router.router);
                assert_eq!(answer.status, 200, "{country} {method} {body}: {answer:?}");
                assert_eq!(answer.body, b"", "{country} {method} {body}");
                assert_eq!(answer.header("domicile-body"), Some("withheld"));
            }
        }
    }
}

fn steered(id: &str, body: &str, operation: &str, target: &str) -> Request {
    Request::new("PUT", format!("/people/{id}"))
        .json(body)
        .header("domicile-operation", operation)
        .header("domicile-target", target)
}

fn trusting() -> (Router, Backends) {
    let (mut setup, backends) = Setup::recording();
    let here = toml::Value::Array(vec!["127.0.0.1/32".into()]);
    setup.set(&["data_plane", "trusted"], here);
    (setup.start(), backends)
}

#[test]
fn an_empty_body_moves_nobody_whom_a_full_one_does_not() {
    let (router, backends) = trusting();
    for (country, region) in HOME {
        let id = format!("{country}-2");
        let whole = format!(r#"{{"id":"{id}","country":"{country}","name":"Li"}}"#);
        let only_country = format!(r#"{{"country":"{country}"}}"#);
        assert_eq!(router.put(&id, &whole).status, 201, "{country}");
        for body in [&*whole, "{}", &only_country] {
            for operation in ["relocate", "replicate"] {
                let answer = steered(&id, body, operation, "sg").send(router.router);
                assert_eq!(
                    answer.status, 451,
                    "{country} {operation} {body}: {answer:?}"
                );
            }
        }
        // A person who is new, with a home of no choice.
        let strange = format!("{country}-3");
        let answer = Request::new("PUT", format!("/people/{strange}"))
            .json("{}")
            .header("domicile-country", country)
            .header("domicile-target", "sg")
            .send(router.router);
        assert_eq!(answer.status, 451, "{country}: {answer:?}");
        // Home is where it was.
        assert_eq!(
            router.put(&id, &whole).header("domicile-region"),
            Some(region)
        );
    }
    assert!(backends.of("sg").requests().is_empty());
}

const CREATED: &str = "HTTP/1.1 201 Created\r\nlocation: /people/7\r\nx-version: 3\r\n\
domicile-fate: sealed\r\nalt-svc: h3=\":443\"\r\nproxy-authenticate: Basic\r\n\
content-length: 0\r\n\r\n";

/// An answer without content tells by its fields.
#[test]
fn fields_of_an_empty_answer_pass_where_the_read_is_permitted() {
    let (mut setup, _) = Setup::recording();
    let created = Backend::scripted(|_| Reply::Raw(CREATED.into()));
    setup.region("eu", created.address);
    let also = Backend::scripted(|_| Reply::Raw(CREATED.into()));
    setup.region("cn", also.address);
    let router = setup.start();
    let answer = router.put("anna", r#"{"country":"DE"}"#);
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.header("location"), Some("/people/7"), "{answer:?}");
    assert_eq!(answer.header("x-version"), Some("3"));
    assert_eq!(answer.header("domicile-body"), None);
    // What only the router says, and what concerns the way to the region.
    for name in ["domicile-fate", "alt-svc", "proxy-authenticate"] {
        assert_eq!(answer.header(name), None, "{name}");
    }
    let id = answer.header("domicile-decision").unwrap();
    let entries = get(router.admin, "/v1/ledger?limit=100").json();
    let entries = entries["entries"].as_array().unwrap();
    let is_it = |e: &&Value| e["decision"] == id && e["operation"] == "read";
    let entry = entries.iter().find(is_it).expect("an entry");
    assert_eq!(entry["outcome"], "permit", "{entry}");

    let withheld = router.put("li", r#"{"country":"CN"}"#);
    assert_eq!(withheld.status, 201, "{withheld:?}");
    assert_eq!(withheld.header("location"), None);
    assert_eq!(withheld.header("domicile-body"), Some("withheld"));
}

#[test]
fn what_lets_a_caller_show_who_it_is_always_passes() {
    const CHALLENGE: &str = "HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Digest realm=\"a\", \
nonce=\"n\"\r\ncontent-length: 0\r\n\r\n";
    let (mut setup, _) = Setup::recording();
    let china = Backend::scripted(|_| Reply::Raw(CHALLENGE.into()));
    setup.region("cn", china.address);
    let router = setup.start();
    let answer = router.put("li", r#"{"country":"CN"}"#);
    let told = answer.header("www-authenticate");
    assert_eq!(told, Some(r#"Digest realm="a", nonce="n""#), "{answer:?}");
    // Nothing else was to be told.
    assert_eq!(answer.header("domicile-body"), None, "{answer:?}");
}

#[test]
fn no_answer_leads_past_the_router() {
    let (mut setup, backends) = Setup::recording();
    let abroad = backends.of("eu").address;
    let own = crate::kit::free_address();
    let says = move |seen: &crate::kit::backend::Seen| {
        let to = seen.path.rsplit('/').next().unwrap().to_owned();
        let (status, lead) = match &*to {
            "own" => (
                "307 Temporary Redirect",
                format!("http://{own}/people/next?x=1"),
            ),
            "own-root" => ("302 Found", format!("//{own}")),
            "own-odd" => (
                "302 Found",
                format!("http://u:p@{own}//elsewhere.example/x"),
            ),
            "abroad" => (
                "307 Temporary Redirect",
                format!("http://{abroad}/people/next"),
            ),
            "made-abroad" => ("201 Created", format!("http://{abroad}/people/next")),
            "relative" => ("303 See Other", "/people/next".to_owned()),
            _ => ("302 Found", "https://help.example/topic".to_owned()),
        };
        let head = format!("HTTP/1.1 {status}\r\nlocation: {lead}\r\ncontent-length: 0\r\n\r\n");
        Reply::Raw(head.into_bytes())
    };
    let home = Backend::scripted_at(own, says);
    setup.region("sg", home.address);
    let router = setup.start();
    let expected = [
        ("own", 307, Some("/people/next?x=1")),
        ("own-root", 302, Some("/")),
        ("own-odd", 302, Some("/elsewhere.example/x")),
        ("abroad", 502, None),
        ("made-abroad", 201, None),
        ("relative", 303, Some("/people/next")),
        ("elsewhere", 302, Some("https://help.example/topic")),
    ];
    for (id, status, location) in expected {
        let answer = router.put(id, r#"{"country":"SG"}"#);
        assert_eq!(answer.status, status, "{id}: {answer:?}");
        assert_eq!(answer.header("location"), location, "{id}");
        if status == 502 {
            let told = answer.json()["detail"].to_string();
            assert!(
                told.contains("redirects to a server of region `eu`"),
                "{told}"
            );
        }
    }
}

#[test]
fn a_contradicted_home_has_its_evidence_in_the_ledger() {
    let (setup, _backends) = Setup::recording();
    let router = setup.start();
    assert_eq!(router.put("mei", r#"{"country":"CN"}"#).status, 201);
    let answer = router.put("mei", r#"{"country":"DE"}"#);
    assert_eq!(answer.status, 409, "{answer:?}");
    let id = answer.header("domicile-decision").unwrap();
    let entries = get(router.admin, "/v1/ledger?limit=100").json();
    let entries = entries["entries"].as_array().unwrap();
    let entry = entries.iter().find(|e| e["decision"] == id).unwrap();
    let kinds = entry["evidence"].as_array().unwrap();
    for kind in ["declared", "pinned"] {
        assert!(kinds.iter().any(|k| k == kind), "{entry}");
    }
}
