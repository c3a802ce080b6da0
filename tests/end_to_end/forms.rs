//! Records that HTML forms send: read as the one thing that they can mean, passed on as they came.

use crate::kit::http::{Answer, Request};
use crate::kit::problem;
use crate::kit::setup::{Backends, Router, Setup};

const FORM: &str = "application/x-www-form-urlencoded";

const ROUTES: &str = r#"
[[routes]]
path = "/people/forms"
methods = ["POST"]
format = "form"
subject = "body:/id"
country = ["body:/address/country", "body:/phone", "pinned"]
schema = "strict"

[[routes]]
path = "/people/loose/{subject}"
methods = ["PUT", "PATCH"]
format = "form"
subject = "path:subject"
country = ["body:/country", "pinned"]
schema = "person"
"#;

const SCHEMA: &str = r#"
strict = true
[fields]
"/id" = "user.unique_id"
"/phone" = "user.contact.phone_number"
"/address/country" = "user.contact.address.country"
"/address/city" = "user.contact.address.city"
"/emails/*" = "user.contact.email"
"/born" = "user.demographic.date_of_birth"
"#;

fn setup() -> (Setup, Backends) {
    let (mut setup, backends) = Setup::recording();
    let added: toml::Table = ROUTES.parse().unwrap();
    let routes = setup.settings["routes"].as_array_mut().unwrap();
    for route in added["routes"].as_array().unwrap().iter().rev() {
        routes.insert(0, route.clone());
    }
    let schema: toml::Table = SCHEMA.parse().unwrap();
    setup.set(&["schemas", "strict"], schema);
    (setup, backends)
}

fn start() -> (Router, Backends) {
    let (setup, backends) = setup();
    (setup.start(), backends)
}

fn post(router: &Router, form: &str) -> Answer {
    Request::new("POST", "/people/forms")
        .body(FORM, form)
        .send(router.router)
}

#[test]
fn a_form_goes_home_as_it_came() {
    let (router, backends) = start();
    for (form, region) in [
        (
            "id=f1&address[country]=IN&address%5Bcity%5D=New+Delhi&&emails[]=a%40example.in&emails[]=b@example.in",
            "in",
        ),
        ("address.country=CN&id=f2", "cn"),
        ("id=f3&phone=%2B4930901820", "eu"),
        ("id=f4&address[country]=&phone=%2B6531234567", "sg"),
        ("id=f5&address[0][country]=ru", "ru"),
    ] {
        let answer = post(&router, form);
        assert_eq!(answer.status, 201, "{form}: {answer:?}");
        assert_eq!(answer.header("domicile-region"), Some(region), "{form}");
        let seen = backends.of(region).seen();
        let last = seen.last().unwrap();
        assert_eq!(last.body, form.as_bytes());
        assert_eq!(last.header("content-type"), Some(FORM));
    }
    // A JSON record and a form speak of the same person.
    let elsewhere = router.put("f1", r#"{"country":"CN"}"#);
    problem(&elsewhere, 409);
}

#[test]
fn what_readers_of_forms_would_not_agree_on_reaches_nobody() {
    let (router, backends) = start();
    for (form, status) in [
        ("id=g&address[country]=DE&address[country]=CN", 400),
        ("id=g&address[country]=DE&Address[country]=CN", 400),
        ("id=g&address[country]=DE;address[country]=CN", 400),
        ("id=g&address[country]=DE&address=CN", 400),
        ("id=g&address[country]=%D", 400),
        ("id=g&address[country]=DE&_method=DELETE", 400),
        ("id=g&phone=+4930901820", 400),
        ("id=g&address[country]=DE&address[%27country%27]=CN", 400),
        ("id=g&address[country]=DE&.method=DELETE", 400),
        ("id=g&id=h&address[country]=DE", 400),
        // Known by other letters alone.
        ("id=g&ADDRESS[country]=CN&phone=%2B4930901820", 400),
        // Two countries, each of which wants its own primary copy.
        ("id=g&address[country]=CN&address.country=RU", 451),
        ("id=g&address[country]=DE&hobby=chess", 422),
        ("id=g&address[country]=DE&address[floor]=3", 422),
        ("id=g", 422),
        ("address[country]=DE", 422),
        ("", 422),
        ("id=g&address[country]=DE&born=2020-01-01", 451),
        ("{\"id\":\"g\"}", 400),
    ] {
        let answer = post(&router, form);
        problem(&answer, status);
    }
    assert_eq!(backends.touched(), [""; 0]);
    for media in [
        "application/json",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded; charset=iso-8859-1",
    ] {
        let request = Request::new("POST", "/people/forms").body(media, "id=g&address[country]=DE");
        problem(&request.send(router.router), 415);
    }
    assert_eq!(backends.touched(), [""; 0]);
}

#[test]
fn a_query_beside_a_form_is_refused() {
    let (router, backends) = start();
    for query in [
        "country=CN",
        "born=2015-01-01",
        "%61ddress[country]=CN",
        "x",
        ".method=DELETE",
    ] {
        let request = Request::new("PUT", format!("/people/loose/q1?{query}"));
        let answer = request.body(FORM, "country=DE").send(router.router);
        let told = problem(&answer, 400);
        assert!(!told.to_string().contains("2015"), "{told}");
    }
    let request = Request::new("PUT", "/people/q2?.method=DELETE").json(r#"{"country":"DE"}"#);
    problem(&request.send(router.router), 400);
    assert_eq!(backends.touched(), [""; 0]);
}

#[test]
fn a_dry_run_reads_forms_as_the_route_does() {
    let (router, _backends) = start();
    let ask = |form: &str| {
        Request::new("POST", "/v1/records:classify?route=/people/forms")
            .body(FORM, form)
            .send(router.admin)
    };
    let told = ask("id=t&address[country]=IN").json();
    assert!(told.to_string().contains("\"IN\""), "{told}");
    problem(&ask("id=t&id=u"), 400);
}

#[test]
fn nothing_of_a_form_stands_in_its_refusal() {
    let (router, _backends) = start();
    let answer = post(
        &router,
        "id=zaphod&address[country]=DE&address[country]=CN&zaphod=%",
    );
    let told = problem(&answer, 400);
    assert!(!told.to_string().contains("zaphod"), "{told}");
    let detail = told["detail"].as_str().unwrap();
    assert!(detail.contains("byte 30"), "{detail}");
}

#[test]
fn a_form_that_nobody_would_take_passes_where_the_router_observes() {
    let (mut setup, backends) = setup();
    setup.set(&["mode"], "observe");
    setup.set(&["observe_to"], "sg");
    let router = setup.start();
    let form = "id=g&id=h;address[country]=DE";
    assert_eq!(post(&router, form).status, 201);
    assert_eq!(backends.of("sg").seen()[0].body, form.as_bytes());
}

#[test]
fn a_form_beside_json_on_one_path() {
    let (router, backends) = start();
    let request = Request::new("PUT", "/people/loose/j1").body(FORM, "country=IN&anything=else");
    let answer = request.send(router.router);
    assert_eq!(answer.header("domicile-region"), Some("in"), "{answer:?}");
    let request = Request::new("PATCH", "/people/loose/j1").body(FORM, "anything=new");
    let answer = request.send(router.router);
    assert_eq!(answer.header("domicile-region"), Some("in"), "{answer:?}");
    assert_eq!(backends.touched(), ["in"]);
}
