//! The stations of a request to a region, against small scripted servers that misbehave.

mod batches;
mod bodies;
mod failures;
mod hostile;
mod refused;
mod reuse;
pub(super) mod script;
mod shared;
mod sound;
mod trouble;

use std::{borrow::Cow, rc::Rc, sync::Arc, time::Duration};

use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt;

use super::*;
use crate::{
    attest::Cleared,
    decide::Permit,
    domain::{Destination, Operation, Region, RegionId, Regions},
    message::{Fields, Response},
    settings::{Limits, RegionSettings},
};

/// Runs a test as a worker would, with a guard against hanging.
fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let guarded = async { tokio::time::timeout(Duration::from_secs(60), test).await };
    tokio::task::LocalSet::new()
        .block_on(&runtime, guarded)
        .expect("the test hangs")
}

/// Limits that no healthy exchange meets, even on a busy machine.
fn patient() -> Limits {
    let long = Duration::from_secs(50);
    Limits {
        connect: long,
        response: long,
        body_stall: long,
        idle: long,
        ..Limits::default()
    }
}

/// Limits that a server which does nothing soon meets.
fn hasty() -> Limits {
    let short = Duration::from_millis(100);
    Limits {
        response: short,
        body_stall: short,
        ..patient()
    }
}

fn settings(name: &str, endpoints: &[String]) -> RegionSettings {
    RegionSettings {
        name: name.into(),
        place: "DE".parse().unwrap(),
        entity: "acme".into(),
        endpoints: endpoints.iter().map(|e| e.parse().unwrap()).collect(),
        tls: None,
        http: crate::settings::HttpVersion::One,
        concurrent_requests: None,
        queue_wait: None,
        health: None,
    }
}

fn regions(settings: &[RegionSettings]) -> Regions {
    let region = |s: &RegionSettings| Region {
        name: Arc::clone(&s.name),
        place: s.place,
        entity: Arc::clone(&s.entity),
    };
    Regions::new(settings.iter().map(region).collect())
}

const MANY: Shares = Shares {
    at_work: 64,
    waiting: 64,
};

fn upstreams(settings: &[RegionSettings], limits: &Limits, shares: Shares) -> Upstreams {
    let health = Arc::new(SharedHealth::new(settings));
    Upstreams::new(&regions(settings), settings, limits, shares, health, &[]).unwrap()
}

/// One region, number 0, called `eu`.
fn eu(endpoints: &[String], limits: &Limits) -> Upstreams {
    upstreams(&[settings("eu", endpoints)], limits, MANY)
}

fn cleared(region: u8) -> Cleared {
    Cleared::danger_for_tests(Permit::danger_for_tests(
        RegionId(region),
        Operation::Store,
        true,
    ))
}

fn outgoing(method: Method, body: OutgoingBody) -> Outgoing<'static> {
    Outgoing {
        method,
        path_and_query: Cow::Owned("/people/1?q".parse().unwrap()),
        headers: Fields::default(),
        body,
        is_once: false,
    }
}

fn get() -> Outgoing<'static> {
    outgoing(Method::GET, OutgoingBody::Empty)
}

fn post(body: &'static str) -> Outgoing<'static> {
    outgoing(Method::POST, OutgoingBody::Whole(Bytes::from(body)))
}

async fn send(up: &Upstreams, mut out: Outgoing<'_>) -> Result<Response<AnswerBody>, ForwardError> {
    up.send(&[cleared(0)], &mut out).await
}

async fn text(answer: Response<AnswerBody>) -> Result<String, AnswerError> {
    let bytes = answer.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8(bytes.to_vec()).unwrap())
}

fn name() -> Arc<str> {
    "eu".into()
}

#[test]
fn only_permits_of_one_known_region_open_the_door() {
    run(async {
        let server = script::Server::start(async |_, peer| peer.answer("200 OK", "x").await).await;
        let both = [
            settings("eu", &[server.url()]),
            settings("in", &[server.url()]),
        ];
        let up = upstreams(&both, &patient(), MANY);
        let none: [Cleared; 0] = [];
        for (permits, error) in [
            (none.as_slice(), ForwardError::NotCleared),
            (&[cleared(0), cleared(1)], ForwardError::NotCleared),
            (
                &[cleared(2)],
                ForwardError::Unknown(Destination::Region(RegionId(2))),
            ),
        ] {
            assert_eq!(up.send(permits, &mut get()).await.err(), Some(error));
        }
        assert_eq!(server.connections(), 0);
        assert!(up.send(&[cleared(0), cleared(0)], &mut get()).await.is_ok());
        assert_eq!(server.connections(), 1);
    });
}

#[test]
fn the_region_of_the_permit_is_called_and_no_other_whatever_fails() {
    run(async {
        let other = script::Server::start(async |_, peer| peer.answer("200 OK", "x").await).await;
        let both = [
            settings("eu", &[script::refusing().await]),
            settings("in", &[other.url()]),
        ];
        let up = upstreams(&both, &patient(), MANY);
        for _ in 0..5 {
            let error = up.send(&[cleared(0)], &mut get()).await.err().unwrap();
            assert_eq!(error.region(), Some(&name()));
            assert_eq!(error.sent(), Sent::Nothing);
        }
        assert_eq!(other.connections(), 0);
    });
}

#[test]
fn a_hanging_region_takes_no_more_than_its_seats() {
    run(async {
        let hang = script::Server::start(async |_, peer| peer.hang().await).await;
        let good = script::Server::start(async |_, peer| peer.answer("200 OK", "x").await).await;
        let both = [settings("eu", &[hang.url()]), settings("in", &[good.url()])];
        let shares = Shares {
            at_work: 2,
            waiting: 1,
        };
        let up = Rc::new(upstreams(&both, &patient(), shares));
        let stuck: Vec<_> = (0..3)
            .map(|_| {
                let up = Rc::clone(&up);
                tokio::task::spawn_local(async move { send(&up, get()).await.is_ok() })
            })
            .collect();
        hang.until_connections(2).await;
        let error = send(&up, get()).await.err();
        assert_eq!(error, Some(ForwardError::Busy { region: name() }));
        assert!(up.send(&[cleared(1)], &mut get()).await.is_ok());
        assert_eq!(hang.connections(), 2);
        let (_, tally) = up.tallies().next().unwrap();
        assert_eq!((tally.read().requests, tally.read().busy), (2, 1));
        stuck.iter().for_each(tokio::task::JoinHandle::abort);
    });
}
