//! What the black-box tests share: a blocking HTTP/1.1 client whose bytes are our own, scripted
//! backends, the binary as a child process, and invented people.
//!
//! Threads instead of a runtime: a test that hangs shows where, and nothing of the client can be
//! mistaken for behaviour of the router.

pub mod backend;
pub mod elastic;
pub mod full_disk;
pub mod gate;
pub mod http;
pub mod people;
pub mod process;
pub mod setup;
pub mod volume;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use http::{Answer, get};
use serde_json::Value;

pub const REGIONS: [&str; 5] = ["cn", "in", "ru", "eu", "sg"];

/// How long a condition may take to come true. Far above what a healthy router needs, so that a
/// busy machine does not fail a test; a hang still ends.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Polls until `condition` gives a value.
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// An address nobody listens on. Taken from below the range of which the system hands out ports by
/// itself, so that no other socket of this machine gets it by chance.
pub fn free_address() -> SocketAddr {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let start = std::process::id() as usize * 97;
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 20_000 + u16::try_from((start + step) % 12_000).unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// Runs `work` for each item on `threads` threads and gives the results in the items' order.
pub fn concurrently<I: Sync, T: Send>(
    threads: usize,
    items: &[I],
    work: impl Fn(usize, &I) -> T + Sync,
) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let mut results: Vec<(usize, T)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut mine = Vec::new();
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some(item) = items.get(index) else {
                            return mine;
                        };
                        mine.push((index, work(index, item)));
                    }
                })
            })
            .collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().expect("a worker of the test panicked"))
            .collect()
    });
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

/// The `Domicile-Decision` of an answer.
pub fn decision(answer: &Answer) -> &str {
    answer
        .header("domicile-decision")
        .unwrap_or_else(|| panic!("no Domicile-Decision on {answer:?}"))
}

/// Asserts what every refusal promises and gives the problem document.
#[track_caller]
pub fn problem(answer: &Answer, status: u16) -> Value {
    assert_eq!(answer.status, status, "{answer:?}");
    let media = answer.header("content-type").unwrap_or_default();
    assert!(
        media.starts_with("application/problem+json"),
        "content-type `{media}` of {answer:?}"
    );
    let document = answer.json();
    assert!(
        document["type"]
            .as_str()
            .is_some_and(|kind| kind.starts_with("urn:domicile:problem:")),
        "type of {document}"
    );
    assert_eq!(document["status"], status, "{document}");
    document
}

/// All entries of one decision, waiting for the first: entries of flows home may be 100 ms late.
pub fn entries_of(admin: SocketAddr, decision: &str) -> Vec<Value> {
    eventually("the decision stands in the ledger", || {
        let entries = entries_now(admin, decision);
        (!entries.is_empty()).then_some(entries)
    })
}

/// All entries of one decision that can be seen at this moment.
pub fn entries_now(admin: SocketAddr, decision: &str) -> Vec<Value> {
    let answer = get(admin, &format!("/v1/ledger?decision={decision}"));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["entries"]
        .as_array()
        .expect("`entries` is an array")
        .clone()
}

/// The whole ledger, page by page.
pub fn all_entries(admin: SocketAddr) -> Vec<Value> {
    let mut entries = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let path = match &after {
            None => "/v1/ledger?limit=500".to_owned(),
            Some(after) => format!("/v1/ledger?limit=500&after={after}"),
        };
        let answer = get(admin, &path);
        assert_eq!(answer.status, 200, "{answer:?}");
        let page = answer.json();
        let found = page["entries"].as_array().expect("`entries`").clone();
        let next = match &page["next"] {
            Value::Null => None,
            Value::String(next) => Some(next.clone()),
            next => Some(next.to_string()),
        };
        if found.is_empty() || next.is_none() {
            entries.extend(found);
            return entries;
        }
        assert_ne!(next, after, "the ledger's pages go in a circle");
        entries.extend(found);
        after = next;
    }
}

pub fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    !needle.is_empty()
        && haystack
            .windows(needle.len())
            .any(|window| window == needle)
}
