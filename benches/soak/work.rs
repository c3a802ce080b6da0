//! What is asked, and what a right answer to it is.

use std::fmt::Write as _;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::Full;
use serde_json::Value;

use crate::{chance::Chance, common::record};

/// The stores, in this order, by region, and a country of which each is the home.
pub const REGIONS: [&str; 5] = ["cn", "in", "ru", "eu", "sg"];
pub const COUNTRIES: [&str; 5] = ["CN", "IN", "RU", "DE", "SG"];

/// People of each region.
pub const PEOPLE: usize = 300;

/// Records of one batch or bulk request.
const ITEMS: usize = 40;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    Record,
    Read,
    File,
    Batch,
    Bulk,
}

pub const KINDS: [Kind; 5] = [
    Kind::Record,
    Kind::Read,
    Kind::File,
    Kind::Batch,
    Kind::Bulk,
];

#[derive(Clone, Debug)]
pub struct Asked {
    pub kind: Kind,
    /// Of the one person; of a batch nobody's.
    pub region: usize,
    /// Comes back as the answer's entity tag.
    pub mark: String,
    body: Vec<u8>,
    path: String,
}

/// Whether an answer is one that may be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Right,
    /// Something failed, and the answer says so truly.
    Failed(String),
    Wrong(String),
}

impl Asked {
    pub fn new(kind: Kind, region: usize, person: usize, mark: String, chance: &Chance) -> Self {
        let person = person % PEOPLE;
        let id = format!("r{region}-{person}");
        let (path, body) = match kind {
            Kind::Record => ("/records".to_owned(), record(&id, COUNTRIES[region], 900)),
            Kind::Read => (format!("/records/{id}"), String::new()),
            Kind::File => (
                format!("/files/{id}/photo"),
                "x".repeat(1 + chance.below(48 << 10)),
            ),
            Kind::Batch => ("/batch".to_owned(), items(person, false)),
            Kind::Bulk => ("/_bulk".to_owned(), items(person, true)),
        };
        Self {
            kind,
            region,
            mark,
            body: body.into_bytes(),
            path,
        }
    }

    pub fn request(&self, authority: Option<&str>) -> Request<Full<Bytes>> {
        let path = &self.path;
        let uri = match authority {
            Some(authority) => format!("https://{authority}{path}"),
            None => path.clone(),
        };
        let method = if self.kind == Kind::Read {
            "GET"
        } else {
            "POST"
        };
        let media = match self.kind {
            Kind::Record | Kind::Read => "application/json",
            Kind::File => "application/octet-stream",
            Kind::Batch | Kind::Bulk => "application/x-ndjson",
        };
        let mut request = Request::builder().method(method).uri(uri);
        if authority.is_none() {
            request = request.header("host", "api.test");
        }
        if self.kind != Kind::Read {
            request = request.header("content-type", media);
        }
        request
            .header("x-mark", &self.mark)
            .header("x-country", COUNTRIES[self.region])
            .body(Full::new(Bytes::from(self.body.clone())))
            .unwrap()
    }

    /// `usual`: the status of such an answer where nothing fails.
    pub fn judge(
        &self,
        status: StatusCode,
        fields: &HeaderMap,
        body: &[u8],
        usual: Option<u16>,
    ) -> Verdict {
        let name = REGIONS[self.region];
        let field = |name: &str| fields.get(name).and_then(|v| v.to_str().ok());
        match self.kind {
            Kind::Batch | Kind::Bulk => {
                if let Some(failed) = problem(status, body, None) {
                    return failed;
                }
                self.judge_items(body)
            }
            _ => {
                if let Some(failed) = problem(status, body, Some(name)) {
                    return failed;
                }
                if usual.is_some_and(|usual| usual != status.as_u16()) {
                    let text = String::from_utf8_lossy(body);
                    return Verdict::Wrong(format!("{status} in place of {usual:?}: {text}"));
                }
                if status.is_success() {
                    let tag = format!("\"{}\"", self.mark);
                    if field("domicile-region") != Some(name) || field("etag") != Some(&tag) {
                        return Verdict::Wrong(format!("of another: {fields:?}"));
                    }
                }
                Verdict::Right
            }
        }
    }

    fn judge_items(&self, body: &[u8]) -> Verdict {
        let text = String::from_utf8_lossy(body);
        let items: Vec<Value> = match self.kind {
            Kind::Bulk => {
                let mut document: Value = serde_json::from_str(&text).unwrap_or_default();
                serde_json::from_value(document["items"].take()).unwrap_or_default()
            }
            // A line for each.
            _ => {
                let lines = text.lines().map(serde_json::from_str);
                lines.collect::<Result<_, _>>().unwrap_or_default()
            }
        };
        if items.len() != ITEMS {
            let text = text.get(..300).unwrap_or(&text);
            return Verdict::Wrong(format!("{} items: {text}", items.len()));
        }
        let mut failed = None;
        for (at, item) in items.iter().enumerate() {
            let (item, region) = match self.kind {
                Kind::Bulk => (&item["index"], &item["index"]["domicile"]["region"]),
                _ => (item, &item["region"]),
            };
            let status = item["status"].as_u64().unwrap_or_default();
            match status {
                200..300 if *region == REGIONS[at % 5] => {}
                502..=504 => failed = Some(format!("items {status}")),
                _ => return Verdict::Wrong(format!("item {at}: {item}")),
            }
        }
        failed.map_or(Verdict::Right, Verdict::Failed)
    }
}

/// The verdict on a 5xx: it must be a problem document that names this region, if any.
fn problem(status: StatusCode, body: &[u8], region: Option<&str>) -> Option<Verdict> {
    if !status.is_server_error() {
        return None;
    }
    let document: Value = serde_json::from_slice(body).unwrap_or_default();
    let kind = document["type"].as_str().unwrap_or_default();
    let name = kind
        .strip_prefix("urn:domicile:problem:")
        .unwrap_or_default();
    let is_honest = matches!(
        name,
        "region-unavailable" | "region-timeout" | "region-bad-answer" | "region-busy"
    ) && region.is_none_or(|r| document["region"] == r);
    Some(match is_honest {
        true => Verdict::Failed(name.to_owned()),
        false => Verdict::Wrong(format!("{status} {document}")),
    })
}

/// A person of another region than this in what a store got.
pub fn foreign(bytes: &[u8], own: usize) -> Option<usize> {
    let text = String::from_utf8_lossy(bytes);
    let ids = text.split(['"', '/']).filter(|part| part.len() < 12);
    let mut regions = ids.filter_map(|part| {
        let (region, person) = part.strip_prefix('r')?.split_once('-')?;
        let _: usize = person.parse().ok()?;
        region.parse().ok()
    });
    regions.find(|region| *region != own)
}

/// Item `n` is of region `n % 5`.
fn items(person: usize, is_bulk: bool) -> String {
    let mut text = String::new();
    for at in 0..ITEMS {
        let id = format!("r{}-{}", at % 5, (person + at) % PEOPLE);
        if is_bulk {
            let _ = writeln!(text, r#"{{"index":{{"_index":"people","_id":"{id}"}}}}"#);
        }
        let _ = writeln!(text, "{}", record(&id, COUNTRIES[at % 5], 250));
    }
    text
}
