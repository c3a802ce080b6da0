//! What regions are told with the parts and records of a batch, in which order these go, and what of
//! the answers is believed.

use std::fs;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::kit::backend::{Backend, Reply, Seen};
use crate::kit::http::{Answer, Request};
use crate::kit::setup::{Router, Setup};
use crate::kit::{all_entries, eventually, problem};

fn line(id: &str, country: &str) -> String {
    format!(r#"{{"id":"{id}","country":"{country}"}}"#)
}

fn batch(lines: &[String]) -> Request {
    Request::new("POST", "/people").ndjson(lines.join("\n"))
}

fn statuses(answer: &Answer) -> Vec<Value> {
    answer.items().iter().map(|i| i["status"].clone()).collect()
}

/// The statuses in a compressed answer cannot be read, and one of them may be a refusal.
#[test]
fn a_part_is_answered_uncompressed_or_nobody_knows_what_became_of_it() {
    for (status, coding, told) in [
        (200, "gzip", 502),
        (207, "br", 502),
        (200, "identity, gzip", 502),
        (200, "Identity", 200),
        (201, "gzip", 201),
    ] {
        let (mut setup, _backends) = Setup::recording();
        let eu = Backend::scripted(move |_| {
            Reply::Raw(
                format!(
                    "HTTP/1.1 {status} Scripted\r\ncontent-encoding: {coding}\r\nconnection: close\r\n\
                     content-length: 4\r\n\r\n\u{1f}zip"
                )
                .into_bytes(),
            )
        });
        setup.region("eu", eu.address);
        let router = setup.start();
        let lines = [line("z1", "DE"), line("z2", "DE")];
        let answer = batch(&lines)
            .header("accept-encoding", "gzip, br")
            .header("accept", "text/csv")
            .send(router.router);
        assert_eq!(statuses(&answer), [told, told], "{status} {coding}");
        let seen = eu.seen();
        assert_eq!(seen[0].header("accept-encoding"), Some("identity"));
        assert_eq!(seen[0].header("accept"), None);
        let outcomes = eventually("the outcomes stand", || {
            let entries = all_entries(router.admin);
            let told: Vec<_> = entries
                .iter()
                .filter_map(|e| e["status"].as_u64())
                .collect();
            (told.len() == 2).then_some(told)
        });
        let outcome = if told == 502 { 0 } else { told };
        assert_eq!(outcomes, [outcome, outcome], "{status} {coding}");
    }
}
