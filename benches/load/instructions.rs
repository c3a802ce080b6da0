//! User instructions per request, which no neighbour changes: the gate that keeps speed from
//! rotting.
//!
//! The router runs twice under callgrind, with one round of requests and with three; what the two
//! more rounds took, divided by their requests, is what one costs, its share of the ledger's and
//! the directory's threads included. Start and warm-up cancel out.
//!
//! Beside it stands how many lines of code (64 bytes) that is, of those that at least every other
//! request executes: time follows them more than the instructions (docs/performance.md).
//!
//! How many entries those threads take at once hangs on the machine's other work, which is worth up
//! to a tenth. It only ever adds: the least of up to three measurements counts.

use std::{collections::HashSet, fs, path::Path};

use crate::{code::Counts, load, options::Options, peer, store, work::Work};

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
        let Some((now, lines)) = least(work, options, enough).await else {
            println!("{}: not measured", work.name());
            sound = false;
            continue;
        };
        measured.push_str(&format!("{} {now:.0}\n", work.name()));
        match before {
            None => println!(
                "{}: {now:.0} instructions per request in {lines} lines of code, no baseline",
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
                    "{}: {now:.0} instructions per request in {lines} lines of code, baseline {before:.0} ({:+.1} %): {verdict}",
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
async fn least(work: Work, options: &Options, enough: f64) -> Option<(f64, usize)> {
    let mut least = per_request(work, options).await?;
    for _ in 1..MEASUREMENTS {
        if least.0 <= enough {
            break;
        }
        let again = per_request(work, options).await?;
        if again.0 < least.0 {
            least = again;
        }
    }
    Some(least)
}

/// Instructions, and lines of code.
async fn per_request(work: Work, options: &Options) -> Option<(f64, usize)> {
    let few = counts(work, options, 1).await?;
    let many = counts(work, options, 3).await?;
    let requests = options.requests.div_ceil(work.weight()) as u64 * 2;
    let often = many.since(&few).filter(|(_, count)| *count >= requests / 2);
    let lines: HashSet<_> = often.map(|(place, _)| place.line()).collect();
    let instructions = (many.total() - few.total()) as f64 / requests as f64;
    Some((instructions, lines.len()))
}

/// What a router executed that was warmed and then did this many rounds.
async fn counts(work: Work, options: &Options, rounds: usize) -> Option<Counts> {
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
    let text = sound.then(|| fs::read_to_string(&output).ok()).flatten()?;
    Counts::read(&text)
}

/// The router under callgrind.
pub fn command(output: &Path, mut router: Vec<String>) -> Vec<String> {
    let mut words = vec![
        "valgrind".to_owned(),
        "--tool=callgrind".to_owned(),
        "--dump-instr=yes".to_owned(),
        format!("--callgrind-out-file={}", output.display()),
    ];
    words.append(&mut router);
    words
}
