//! Records that reach their region while their subject's account is erased: a pin tells of them
//! all the same, so that the next erasure finds them and nobody gets a second home.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::kit::backend::{Backend, Reply};
use crate::kit::gate::Gate;
use crate::kit::http::{Answer, Request, get, reset};
use crate::kit::setup::{Backends, Router, Setup, metrics};
use crate::kit::{all_entries, eventually, problem};

/// A region that takes what is written once its gate is open, and erases at once.
struct Region {
    backend: Backend,
    gate: Arc<Gate>,
}

impl Region {
    fn new() -> Self {
        let gate = Arc::new(Gate::default());
        let own = Arc::clone(&gate);
        let backend = Backend::scripted(move |seen| {
            if seen.method == "DELETE" {
                return Reply::status(204);
            }
            own.pass();
            Reply::status(201)
        });
        Self { backend, gate }
    }

    fn deletes(&self) -> usize {
        let seen = self.backend.requests().into_iter();
        seen.filter(|s| s.method == "DELETE").count()
    }
}

/// `DELETE` ends accounts.
fn world() -> (Router, Region, Region, Backends) {
    let (mut setup, backends) = Setup::recording();
    let (eu, sg) = (Region::new(), Region::new());
    setup.region("eu", eu.backend.address);
    setup.region("sg", sg.backend.address);
    setup.set_route("record", "erase", "subject");
    (setup.start(), eu, sg, backends)
}

fn person(country: &str) -> Request {
    Request::new("PUT", "/people/late").json(format!(r#"{{"id":"late","country":"{country}"}}"#))
}

fn replicate() -> Request {
    person("DE")
        .header("domicile-operation", "replicate")
        .header("domicile-target", "sg")
}

fn delete(router: &Router) {
    let answer = Request::new("DELETE", "/people/late").send(router.router);
    assert!(answer.is_success(), "{answer:?}");
}

fn sends(request: Request, to: SocketAddr) -> thread::JoinHandle<Answer> {
    thread::spawn(move || request.send(to))
}

/// The account is erased while `request` waits at the gate of `region`; then it lands.
#[track_caller]
fn erased_meanwhile(router: &Router, region: &Region, request: Request) -> Answer {
    region.gate.close();
    let late = sends(request, router.router);
    region.gate.is_met();
    delete(router);
    problem(&get(router.router, "/people/late"), 404);
    region.gate.open();
    late.join().unwrap()
}

#[track_caller]
fn is_at_home_in_the_eu(router: &Router) {
    let answer = get(router.router, "/people/late");
    assert_eq!(answer.header("domicile-region"), Some("eu"), "{answer:?}");
    problem(&person("IN").send(router.router), 409);
}

#[test]
fn a_record_that_lands_after_its_account_ended_keeps_its_home() {
    let (mut router, eu, _sg, _backends) = world();
    assert!(person("DE").send(router.router).is_success());
    let answer = erased_meanwhile(&router, &eu, person("DE"));
    assert_eq!(answer.status, 201, "{answer:?}");
    is_at_home_in_the_eu(&router);
    router.restart();
    is_at_home_in_the_eu(&router);
    delete(&router);
    assert_eq!(eu.deletes(), 2, "the erasure asks where the record lies");
    problem(&get(router.router, "/people/late"), 404);
}

#[test]
fn nobody_gets_a_second_home_while_a_record_lands() {
    let (router, eu, _sg, _backends) = world();
    assert!(person("DE").send(router.router).is_success());
    eu.gate.close();
    let late = sends(person("DE"), router.router);
    eu.gate.is_met();
    delete(&router);
    let elsewhere = person("IN").send(router.router);
    assert_eq!(elsewhere.header("domicile-region"), Some("in"));
    eu.gate.open();
    assert_eq!(late.join().unwrap().status, 201);
    // The home is the new one; the record in the EU is known as a copy and goes with it.
    problem(&person("DE").send(router.router), 409);
    delete(&router);
    assert_eq!(eu.deletes(), 2);
}

#[test]
fn a_record_whose_caller_has_gone_keeps_its_home() {
    let (router, eu, _sg, _backends) = world();
    assert!(person("DE").send(router.router).is_success());
    eu.gate.close();
    let hurried = person("DE").begin(router.router);
    eu.gate.is_met();
    delete(&router);
    reset(hurried);
    eventually("a pin tells of it", || {
        let again = all_entries(router.admin).into_iter();
        (again.filter(|e| e["pin"] == "claim").count() == 2).then_some(())
    });
    eu.gate.open();
    is_at_home_in_the_eu(&router);
}

#[test]
fn a_copy_that_lands_after_its_account_ended_is_erased_with_the_next() {
    let (router, eu, sg, _backends) = world();
    assert!(person("DE").send(router.router).is_success());
    let answer = erased_meanwhile(&router, &sg, replicate());
    assert_eq!(answer.status, 201, "{answer:?}");
    is_at_home_in_the_eu(&router);
    delete(&router);
    assert_eq!((eu.deletes(), sg.deletes()), (2, 2));
}

#[test]
fn records_of_a_batch_that_land_after_their_accounts_ended_keep_their_homes() {
    let (router, eu, _sg, _backends) = world();
    assert!(person("DE").send(router.router).is_success());
    let batch = "{\"id\":\"late\",\"country\":\"DE\"}\n{\"id\":\"other\",\"country\":\"DE\"}\n";
    let answer = erased_meanwhile(&router, &eu, Request::new("POST", "/people").ndjson(batch));
    let items = answer.items();
    assert!(items.iter().all(|i| i["status"] == 201), "{answer:?}");
    is_at_home_in_the_eu(&router);
    let claims = all_entries(router.admin).into_iter();
    assert_eq!(claims.filter(|e| e["pin"] == "claim").count(), 3);
}

/// The record has landed, and what has to be brought back waits for a try to erase it.
#[test]
fn a_record_whose_caller_goes_while_it_is_brought_back_keeps_its_home() {
    let (mut setup, _backends) = Setup::recording();
    let (writes, tries) = (Arc::new(Gate::default()), Arc::new(Gate::default()));
    let (at_writes, at_tries) = (Arc::clone(&writes), Arc::clone(&tries));
    let deletes = AtomicUsize::new(0);
    let eu = Backend::scripted(move |seen| {
        if seen.method != "DELETE" {
            at_writes.pass();
            return Reply::status(201);
        }
        match deletes.fetch_add(1, Ordering::SeqCst) {
            0 => Reply::status(503),
            _ => {
                at_tries.pass();
                Reply::status(204)
            }
        }
    });
    setup.region("eu", eu.address);
    setup.set_route("record", "erase", "subject");
    let router = setup.start();
    assert!(person("DE").send(router.router).is_success());
    writes.close();
    tries.close();
    let late = person("DE").begin(router.router);
    writes.is_met();
    let answer = Request::new("DELETE", "/people/late").send(router.router);
    assert_eq!(answer.status, 502, "{answer:?}");
    tries.is_met();
    writes.open();
    // Told when nothing is left but to look at the pin.
    eventually("the region has answered", || {
        let entries = all_entries(router.admin).into_iter();
        let taken = entries.filter(|e| e["kind"] == "outcome" && e["status"] == 201);
        (taken.count() == 2).then_some(())
    });
    reset(late);
    eventually("the caller has gone", || {
        let idle = "\ndomicile_connections 0\n";
        metrics(router.admin).contains(idle).then_some(())
    });
    tries.open();
    eventually("nothing is open", || {
        let open = get(router.admin, "/v1/erasures").json();
        open["erasures"]
            .as_array()
            .unwrap()
            .is_empty()
            .then_some(())
    });
    is_at_home_in_the_eu(&router);
    delete(&router);
    problem(&get(router.router, "/people/late"), 404);
    let ends = all_entries(router.admin).into_iter();
    assert_eq!(ends.filter(|e| e["pin"] == "drop").count(), 1);
}
