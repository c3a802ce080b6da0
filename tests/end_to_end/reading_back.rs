//! What comes back for a write from abroad is a read of what lies there, and a move is one of all
//! that lies at home: what the body of the request holds bounds neither.

use crate::kit::backend::{Backend, Reply};
use crate::kit::http::Request;
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
