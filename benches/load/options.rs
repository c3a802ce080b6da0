//! The command line.

use crate::{common::into, work::Work};

pub struct Options {
    pub works: Vec<Work>,
    pub rounds: usize,
    pub requests: usize,
    pub connections: usize,
    pub workers: usize,
    /// Requests a second over all connections; none: as fast as answers come.
    pub rate: Option<u32>,
    /// Connections at rest whose memory is measured.
    pub idle: usize,
    /// Proxies to measure; empty: all that are there.
    pub only: Vec<String>,
    /// Count instructions in place of time, and compare with the baseline.
    pub instructions: bool,
    /// Write the baseline anew.
    pub update: bool,
    /// A missing tool is a failure.
    pub strict: bool,
    /// Copies of callgrind's output, for `callgrind_annotate`.
    pub keep: Option<String>,
    /// Measure the program at this path in place of the one just built.
    pub router: Option<String>,
}

const HELP: &str = "cargo bench --bench load -- [--works a,b] [--rounds 5] [--requests 20000]
    [--connections 64] [--workers 1] [--rate N] [--idle N] [--only a,b] [--router PATH]
cargo bench --bench load -- --instructions [--works a,b] [--update] [--strict] [--keep PATH]

works:   domestic homebound domestic-16k homebound-16k opaque domestic-opaque batch first-writes transfers
proxies: domicile nginx nginx-lua haproxy envoy
--rate   requests a second in all (open loop): latencies mean something then
--idle   also measure the memory of N idle connections
--instructions  of the router alone, by callgrind, against `benches/load/instructions.txt`;
         `--update` writes that file, `--strict` fails where valgrind is missing
";

impl Options {
    /// `None` when there is nothing to do but what was printed.
    pub fn read() -> Option<Self> {
        let mut options = Self {
            works: vec![Work::Domestic, Work::Homebound, Work::Opaque, Work::Batch],
            rounds: 5,
            requests: 20_000,
            connections: 64,
            workers: 1,
            rate: None,
            idle: 0,
            only: Vec::new(),
            router: None,
            instructions: false,
            update: false,
            strict: false,
            keep: None,
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().unwrap_or_default();
            let understood = match word.as_str() {
                // What cargo itself adds.
                "--bench" => true,
                // `cargo test --benches`: nothing to test here.
                "--test" | "--list" => return None,
                "--works" => {
                    let works = value();
                    let works: Option<Vec<_>> = works.split(',').map(Work::named).collect();
                    works.map(|w| options.works = w).is_some()
                }
                "--only" => {
                    options.only = value().split(',').map(str::to_owned).collect();
                    true
                }
                "--instructions" => {
                    options.instructions = true;
                    // Fixed, whatever a measurement of time wants.
                    options.requests = 2000;
                    options.connections = 8;
                    true
                }
                "--update" => {
                    options.update = true;
                    true
                }
                "--strict" => {
                    options.strict = true;
                    true
                }
                "--keep" => {
                    options.keep = Some(value());
                    true
                }
                "--router" => {
                    options.router = Some(value());
                    true
                }
                "--rounds" => into(&value(), &mut options.rounds),
                "--requests" => into(&value(), &mut options.requests),
                "--connections" => into(&value(), &mut options.connections),
                "--workers" => into(&value(), &mut options.workers),
                "--idle" => into(&value(), &mut options.idle),
                "--rate" => {
                    options.rate = value().parse().ok().filter(|r| *r > 0);
                    options.rate.is_some()
                }
                _ => false,
            };
            if !understood {
                println!("`{word}` is not understood\n\n{HELP}");
                return None;
            }
        }
        Some(options)
    }

    pub fn wants(&self, proxy: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|o| o == proxy)
    }
}
