//! User instructions per request, which no neighbour changes: the gate that keeps speed from
//! rotting.
//!
//! The router runs twice under callgrind, with one round of requests and with three; what the two
//! more rounds took, divided by their requests, is what one costs, its share of the ledger's and
//! the directory's threads included. Start and warm-up cancel out.
//!
//! How many entries those threads take at once hangs on the machine's other work, which is worth up
//! to a tenth. It only ever adds: the least of up to three measurements counts.

use std::{fs, path::Path};

use crate::{load, options::Options, peer, store, work::Work};

/// Above the baseline by more than this share: too much.
const TOLERANCE: f64 = 0.05;

const MEASUREMENTS: usize = 3;

const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/load/instructions.txt");

/// Whether no work costs more than its baseline and a tolerance.
pub async fn gate(options: &Options) -> bool {
    if peer::installed("valgrind").is_none() {
        println!("instructions: not measured, they need the package `valgrind`");
        return !options.strict;
    }
    let baseline = fs::read_to_string(BASELINE).unwrap_or_default();
    let mut sound = true;
    let mut measured = String::new();
    for work in options.works.iter().copied() {
        let before = baseline.lines().find_map(|line| {
            let (name, count) = line.split_once(' ')?;
            (name == work.name()).then(|| count.parse::<f64>().ok())?
        });
        let enough = before.filter(|_| !options.update).unwrap_or(0.0) * (1.0 + TOLERANCE);
        let Some(now) = least(work, options, enough).await else {
            println!("{}: not measured", work.name());
            sound = false;
            continue;
        };
        measured.push_str(&format!("{} {now:.0}\n", work.name()));
        match before {
            None => println!(
                "{}: {now:.0} instructions per request, no baseline",
                work.name()
            ),
            Some(before) => {
                let change = now / before - 1.0;
                let verdict = if change > TOLERANCE {
                    "too many"
                } else {
                    "good"
                };
                println!(
                    "{}: {now:.0} instructions per request, baseline {before:.0} ({:+.1} %): {verdict}",
                    work.name(),
                    change * 100.0
                );
                sound &= change <= TOLERANCE;
            }
        }
    }
    if options.update {
        fs::write(BASELINE, measured).unwrap();
        println!("written to {BASELINE}");
        return true;
    }
    sound
}

/// The least of a few measurements; no further one is made once it is at most `enough`.
async fn least(work: Work, options: &Options, enough: f64) -> Option<f64> {
    let mut least = per_request(work, options).await?;
    for _ in 1..MEASUREMENTS {
        if least <= enough {
            break;
        }
        least = least.min(per_request(work, options).await?);
    }
    Some(least)
}

async fn per_request(work: Work, options: &Options) -> Option<f64> {
    let few = total(work, options, 1).await?;
    let many = total(work, options, 3).await?;
    let requests = options.requests.div_ceil(work.weight()) * 2;
    Some((many - few) / requests as f64)
}

/// All user instructions of a router that was warmed and then did this many rounds.
async fn total(work: Work, options: &Options, rounds: usize) -> Option<f64> {
    let folder = tempfile::tempdir().unwrap();
    let stores = store::start().await;
    let output = folder.path().join("callgrind.out");
    let proxy = peer::under_callgrind(folder.path(), work, &stores, options, &output).await?;
    let mut sound = true;
    for round in 0..=rounds {
        sound &= load(&proxy, work, options, round).await.tell(&proxy.name);
    }
    proxy.stop();
    if let Some(keep) = &options.keep {
        let _ = fs::copy(&output, format!("{keep}.{}.{rounds}", work.name()));
    }
    sound.then(|| counted(&output))?
}

fn counted(output: &Path) -> Option<f64> {
    let text = fs::read_to_string(output).ok()?;
    let line = text
        .lines()
        .rev()
        .find_map(|l| l.strip_prefix("totals: "))?;
    // Instructions come first, whatever else callgrind was asked to count.
    line.split_whitespace().next()?.parse().ok()
}

/// The router under callgrind.
pub fn command(output: &Path, mut router: Vec<String>) -> Vec<String> {
    let mut words = vec![
        "valgrind".to_owned(),
        "--tool=callgrind".to_owned(),
        format!("--callgrind-out-file={}", output.display()),
    ];
    words.append(&mut router);
    words
}
