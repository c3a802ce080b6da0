//! Reports from the ledger: each says exactly what went through a running router.

mod incident;
mod instruments;
mod subject;
mod transfers;

use std::path::PathBuf;
use std::process::Output;

use serde_json::Value;

use crate::kit::eventually;
use crate::kit::http::{Answer, Request, get};
use crate::kit::process::run_to_end;
use crate::kit::setup::{Backends, Router, Setup};

/// A router of the demo's policy in Singapore after some known traffic:
///
/// anna and ben (DE), li (CN), ivan (RU) and tan (SG) are stored from Singapore; anna is read
/// twice and ben once, under the clauses; reads of li and ivan are refused. The regions answer 201
/// whatever they are asked.
struct World {
    router: Router,
    _regions: Backends,
}

fn world() -> World {
    let (mut setup, regions) = Setup::recording();
    let here = toml::Value::Array(vec!["127.0.0.1/32".into()]);
    setup.set(&["data_plane", "trusted"], here);
    let world = World {
        router: setup.start(),
        _regions: regions,
    };
    for (id, country) in [
        ("anna", "DE"),
        ("ben", "DE"),
        ("li", "CN"),
        ("ivan", "RU"),
        ("tan", "SG"),
    ] {
        world.store(id, country);
    }
    for (id, status) in [
        ("anna", 201),
        ("anna", 201),
        ("ben", 201),
        ("li", 451),
        ("ivan", 451),
    ] {
        let answer = world.read(id);
        assert_eq!(answer.status, status, "{id}: {answer:?}");
    }
    // What came of flows is written within 100 ms.
    eventually("all eight flows are confirmed", || {
        let report = world.page("/v1/transfers?all=true");
        let rows = report["transfers"].as_array().unwrap();
        let confirmed: u64 = rows.iter().map(|r| r["confirmed"].as_u64().unwrap()).sum();
        (confirmed == 8).then_some(())
    });
    world
}

impl World {
    #[track_caller]
    fn store(&self, id: &str, country: &str) {
        let body = format!("{{\"email\":\"{id}@example.com\",\"country\":\"{country}\"}}");
        assert_eq!(self.router.put(id, &body).status, 201, "{id}");
    }

    fn read(&self, id: &str) -> Answer {
        Request::new("GET", format!("/people/{id}")).send(self.router.router)
    }

    #[track_caller]
    fn page(&self, path: &str) -> Value {
        let answer = get(self.router.admin, path);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    fn config(&self) -> String {
        path(self.router.folder.path().join("domicile.toml"))
    }

    fn ledger(&self) -> PathBuf {
        self.router.folder.path().join("ledger")
    }

    /// `domicile report` with these words and the router's settings, while the router runs.
    fn report(&self, words: &str, input: &str) -> Output {
        let config = self.config();
        let mut arguments = vec!["report"];
        arguments.extend(words.split(' '));
        arguments.extend(["--config", &config]);
        run_to_end(&arguments, input)
    }

    #[track_caller]
    fn told(&self, words: &str, input: &str) -> String {
        let output = self.report(words, input);
        assert_eq!(output.status.code(), Some(0), "{words}: {output:?}");
        assert!(output.stderr.is_empty(), "{words}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    fn json(&self, words: &str, input: &str) -> Value {
        serde_json::from_str(&self.told(&format!("{words} --format json"), input)).unwrap()
    }
}

fn path(path: PathBuf) -> String {
    path.into_os_string().into_string().unwrap()
}

/// The rows of a CSV file by the names of their columns.
fn csv(text: &str) -> Vec<Vec<(String, String)>> {
    let mut rows = Vec::new();
    let (mut row, mut cell, mut quoted) = (Vec::new(), String::new(), false);
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '"' if quoted && characters.peek() == Some(&'"') => cell.extend(characters.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut cell)),
            '\r' if !quoted => {
                assert_eq!(characters.next(), Some('\n'));
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            c => cell.push(c),
        }
    }
    assert!(row.is_empty() && cell.is_empty() && !quoted, "{text}");
    let names = rows.remove(0);
    let named = |row: Vec<String>| {
        assert_eq!(row.len(), names.len());
        names.iter().cloned().zip(row).collect()
    };
    rows.into_iter().map(named).collect()
}

fn cell<'a>(row: &'a [(String, String)], name: &str) -> &'a str {
    &row.iter().find(|(known, _)| known == name).unwrap().1
}
