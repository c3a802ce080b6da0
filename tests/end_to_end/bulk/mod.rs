//! Bulk requests of Elasticsearch and OpenSearch: what goes where, and what the caller is told.

mod erasures;
mod failures;
mod items;
mod repeated;
mod whole;

use serde_json::Value;

use crate::kit::backend::{Backend, Seen};
use crate::kit::elastic::elastic;
use crate::kit::http::{Answer, Request};
use crate::kit::setup::{Router, Setup};
use crate::kit::{REGIONS, contains};

/// One route for `people*`, subjects by `_id`; one for `orders`, subjects by a field.
const ROUTES: &str = r#"
[[routes]]
name = "people-bulk"
path = "/_bulk"
format = "bulk"
indices = ["people*"]
pipelines = ["stamp"]
subject = "bulk:id"
country = ["body:/country", "body:/address/country", "pinned"]
schema = "person"

[[routes]]
name = "orders-bulk"
path = "/_bulk"
format = "bulk"
indices = ["orders"]
subject = "body:/customer"
country = ["body:/ship_to", "pinned"]
categories = ["user.financial"]

[[routes]]
name = "indexed-bulk"
path = "/{index}/_bulk"
format = "bulk"
indices = ["people"]
subject = "bulk:id"
country = ["body:/country", "pinned"]
schema = "person"

[[routes]]
name = "server"
path = "/"
format = "opaque"
unknown_home = "sg"
categories = ["user"]
"#;

/// One scripted server a region.
pub(super) struct Regions([(&'static str, Backend); 5]);

impl Regions {
    fn of(&self, region: &str) -> &Backend {
        &self.0.iter().find(|(name, _)| *name == region).unwrap().1
    }

    fn seen(&self, region: &str) -> Vec<Seen> {
        self.of(region).requests()
    }

    /// The regions that were sent something with `needle` in it.
    fn reached_by(&self, needle: &str) -> Vec<&'static str> {
        let all = self.0.iter().filter(|(_, backend)| {
            let requests = backend.requests();
            requests
                .iter()
                .any(|s| contains(&s.body, needle.as_bytes()))
        });
        all.map(|(name, _)| *name).collect()
    }
}

pub(super) fn setup() -> (Setup, Regions) {
    let mut setup = Setup::new();
    let regions = Regions(REGIONS.map(|region| (region, elastic())));
    for (region, backend) in &regions.0 {
        setup.region(region, backend.address);
    }
    let bulk: toml::Table = ROUTES.parse().unwrap();
    let routes = setup.settings["routes"].as_array_mut().unwrap();
    routes.extend(bulk["routes"].as_array().unwrap().iter().cloned());
    (setup, regions)
}

pub(super) fn bulk(lines: &[&str]) -> Request {
    let body: String = lines.iter().flat_map(|l| [*l, "\n"]).collect();
    Request::new("POST", "/_bulk").ndjson(body)
}

fn send(router: &Router, lines: &[&str]) -> Answer {
    bulk(lines).send(router.router)
}

/// Each item's action and what stands under it.
#[track_caller]
pub(super) fn items(answer: &Answer) -> Vec<(String, Value)> {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let json = answer.json();
    assert!(json["took"].is_u64(), "{json}");
    let items = json["items"].as_array().expect("items");
    let one = |item: &Value| {
        let (name, inner) = item.as_object().unwrap().iter().next().unwrap();
        (name.clone(), inner.clone())
    };
    items.iter().map(one).collect()
}

pub(super) fn statuses(items: &[(String, Value)]) -> Vec<u64> {
    items
        .iter()
        .map(|(_, i)| i["status"].as_u64().unwrap())
        .collect()
}
