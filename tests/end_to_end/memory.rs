//! What a large batch and many idle connections cost in memory.
#![cfg(target_os = "linux")]

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use crate::kit::backend::Backend;
use crate::kit::eventually;
use crate::kit::http::Request;
use crate::kit::setup::{Router, Setup};

const MIB: u64 = 1 << 20;

/// A field of `/proc/PID/status` that is given in kB, in bytes.
fn memory(router: &Router, field: &str) -> u64 {
    let path = format!("/proc/{}/status", router.process.id());
    let text = fs::read_to_string(path).unwrap();
    let line = text.lines().find(|line| line.starts_with(field)).unwrap();
    let number = line.split_whitespace().nth(1).unwrap();
    number.parse::<u64>().unwrap() * 1024
}

/// Regions that throw away what comes.
fn discarding(setup: &mut Setup) -> Vec<Backend> {
    let region = |name| {
        let backend = Backend::discarding();
        setup.region(name, backend.address);
        backend
    };
    crate::kit::REGIONS.into_iter().map(region).collect()
}

#[test]
fn a_batch_of_64_mib_needs_at_most_two_and_a_half_times_its_size() {
    let mut setup = Setup::new();
    let _backends = discarding(&mut setup);
    let router = setup.start();
    assert!(router.put("warm", r#"{"country":"DE"}"#).is_success());
    let idle = memory(&router, "VmRSS:");

    let limit = 64 * MIB as usize;
    let filler = "x".repeat(3500);
    let mut body = String::with_capacity(limit);
    let mut count = 0;
    loop {
        let before = body.len();
        let country = ["CN", "IN", "RU", "DE", "SG"][count % 5];
        writeln!(
            body,
            r#"{{"id":"m-{count}","country":"{country}","name":"{filler}"}}"#
        )
        .unwrap();
        if body.len() > limit {
            body.truncate(before);
            break;
        }
        count += 1;
    }
    let size = body.len() as u64;
    assert!(size > 63 * MIB);
    let answer = Request::new("POST", "/people")
        .ndjson(body)
        .send(router.router);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.items().len(), count);

    let peak = memory(&router, "VmHWM:");
    let bound = idle + size * 5 / 2;
    assert!(
        peak <= bound,
        "peak {} MiB for a batch of {} MiB, idle {} MiB",
        peak / MIB,
        size / MIB,
        idle / MIB
    );
}

/// The parts share the caller's bytes, and of the answers only the regions' own text is held.
#[test]
fn a_bulk_of_64_mib_needs_at_most_two_and_a_half_times_its_size() {
    let mut setup = Setup::new();
    let backends: Vec<_> = crate::kit::REGIONS
        .into_iter()
        .map(|region| (region, crate::kit::elastic::lavish()))
        .collect();
    for (region, backend) in &backends {
        setup.region(region, backend.address);
    }
    let bulk: toml::Table = "[[routes]]\npath = \"/_bulk\"\nformat = \"bulk\"\nindices = [\"*\"]\nsubject = \"bulk:id\"\ncountry = [\"body:/country\"]\n".parse().unwrap();
    let routes = setup.settings["routes"].as_array_mut().unwrap();
    routes.extend(bulk["routes"].as_array().unwrap().iter().cloned());
    let router = setup.start();
    assert!(!router.put("warm", r#"{"country":"DE"}"#).body.is_empty());
    let idle = memory(&router, "VmRSS:");

    let limit = 64 * MIB as usize;
    let filler = "x".repeat(3500);
    let mut body = String::with_capacity(limit);
    let mut count = 0;
    loop {
        let before = body.len();
        let country = ["CN", "IN", "RU", "DE", "SG"][count % 5];
        writeln!(body, r#"{{"index":{{"_index":"p","_id":"m-{count}"}}}}"#).unwrap();
        writeln!(body, r#"{{"country":"{country}","name":"{filler}"}}"#).unwrap();
        if body.len() > limit {
            body.truncate(before);
            break;
        }
        count += 1;
    }
    let size = body.len() as u64;
    assert!(size > 63 * MIB && count > 17_000);
    let answer = Request::new("POST", "/_bulk")
        .ndjson(body)
        .send(router.router);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["items"].as_array().unwrap().len(), count);

    let peak = memory(&router, "VmHWM:");
    assert!(
        peak <= idle + size * 5 / 2,
        "peak {} MiB for a bulk of {} MiB, idle {} MiB",
        peak / MIB,
        size / MIB,
        idle / MIB
    );
}

/// What many callers' bodies took is the system's again once the router rests, although nothing comes
/// that could remind it; and at no time was it much more than is counted.
#[test]
fn what_bodies_took_is_given_back() {
    let mut setup = Setup::new();
    setup.set(&["limits", "memory"], "64MiB");
    setup.set(&["limits", "batch_bytes"], "8MiB");
    setup.set(&["limits", "batch_items"], 10_000);
    setup.set(&["data_plane", "workers"], 2);
    let _backends = discarding(&mut setup);
    let router = setup.start();
    assert!(router.put("warm", r#"{"country":"DE"}"#).is_success());
    let idle = memory(&router, "VmRSS:");

    let line = format!(
        r#"{{"id":"m","country":"SG","name":"{}"}}"#,
        "x".repeat(3500)
    );
    let body = format!("{line}\n").repeat(1000);
    let batches = || {
        for _ in 0..4 {
            let batch = Request::new("POST", "/people").ndjson(body.clone());
            let status = batch.send(router.router).status;
            assert!([200, 503].contains(&status), "{status}");
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..30 {
            scope.spawn(batches);
        }
    });
    let peak = memory(&router, "VmHWM:") - idle;
    assert!(peak < 160 * MIB, "{} MiB at once", peak / MIB);
    eventually("the memory is given back", || {
        (memory(&router, "VmRSS:") < idle + 24 * MIB).then_some(())
    });
}

#[test]
fn two_thousand_idle_connections_stay_below_100_mib() {
    const CONNECTIONS: usize = 2000;
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .unwrap();
    let soft = files.split_whitespace().nth(3).unwrap();
    if soft
        .parse::<usize>()
        .is_ok_and(|soft| soft < CONNECTIONS + 500)
    {
        eprintln!(
            "skipped: needs {} open files, `ulimit -n` is {soft}",
            CONNECTIONS + 500
        );
        return;
    }
    let (setup, _backends) = Setup::recording();
    let router = setup.start();
    let mut connections = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(router.router).unwrap();
        ask(&mut stream);
        connections.push(stream);
    }
    // Each was served and is kept.
    let open = eventually("all connections are open at once", || {
        let folder = format!("/proc/{}/fd", router.process.id());
        let open = fs::read_dir(folder).unwrap().count();
        (open >= CONNECTIONS).then_some(open)
    });
    let resident = memory(&router, "VmRSS:");
    assert!(
        resident < 100 * MIB,
        "{} MiB with {open} open files",
        resident / MIB
    );
    for stream in connections.iter_mut().step_by(100) {
        ask(stream);
    }
}

/// One request on a connection that stays open; the answer is read to its end.
fn ask(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(crate::kit::PATIENCE)).unwrap();
    stream
        .write_all(b"GET /people/nobody HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .unwrap();
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer).unwrap();
        assert_ne!(read, 0, "the connection was closed");
        answer.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&answer).to_ascii_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        assert!(head.starts_with("http/1.1 404"), "{head}");
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.trim().parse().unwrap());
        if body.len() >= length {
            return;
        }
    }
}
