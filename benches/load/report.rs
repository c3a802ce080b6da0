//! The table of one work.

use std::collections::BTreeMap;

use crate::{client::Outcome, common::median, options::Options, work::Work};

pub struct Table<'o> {
    work: Work,
    options: &'o Options,
    /// In the order of appearance.
    names: Vec<String>,
    /// By name, one a round.
    rounds: BTreeMap<String, Vec<Round>>,
    idle: BTreeMap<String, i64>,
}

struct Round {
    /// Microseconds of CPU time per request.
    cpu: f64,
    /// Requests answered a second.
    rate: f64,
    p50: u32,
    p99: u32,
    p999: u32,
    resident: u64,
}

impl<'o> Table<'o> {
    pub fn new(work: Work, options: &'o Options) -> Self {
        Self {
            work,
            options,
            names: Vec::new(),
            rounds: BTreeMap::new(),
            idle: BTreeMap::new(),
        }
    }

    pub fn add(&mut self, name: &str, outcome: &Outcome, cpu: f64, resident: u64) {
        if !self.names.iter().any(|n| n == name) {
            self.names.push(name.to_owned());
        }
        let answered = outcome.answered.max(1) as f64;
        self.rounds.entry(name.to_owned()).or_default().push(Round {
            cpu: cpu / answered,
            rate: answered / outcome.seconds,
            p50: outcome.percentile(0.5),
            p99: outcome.percentile(0.99),
            p999: outcome.percentile(0.999),
            resident,
        });
    }

    pub fn idle(&mut self, name: &str, bytes: i64) {
        self.idle.insert(name.to_owned(), bytes);
    }

    pub fn print(&self) {
        let requests = self.options.requests.div_ceil(self.work.weight());
        println!(
            "\n{}: {requests} requests a round, {} rounds, {} connections",
            self.work.name(),
            self.options.rounds,
            self.options.connections
        );
        println!(
            "{:<10} {:>12} {:>8} {:>8} {:>8} {:>10} {:>8} {:>8} {:>8} {:>8}",
            "",
            "CPU us/req",
            "x nginx",
            "x lua",
            "x haprox",
            "req/s",
            "p50 us",
            "p99 us",
            "p99.9",
            "RSS MB"
        );
        for name in &self.names {
            let Some(rounds) = self.rounds.get(name) else {
                continue;
            };
            let ratio = |to: &str| match self.ratio(name, to) {
                Some(ratio) => format!("{ratio:.2}"),
                None => "-".to_owned(),
            };
            println!(
                "{name:<10} {:>12.1} {:>8} {:>8} {:>8} {:>10.0} {:>8.0} {:>8.0} {:>8.0} {:>8.1}",
                median(rounds.iter().map(|r| r.cpu)),
                ratio("nginx"),
                ratio("nginx-lua"),
                ratio("haproxy"),
                median(rounds.iter().map(|r| r.rate)),
                median(rounds.iter().map(|r| f64::from(r.p50))),
                median(rounds.iter().map(|r| f64::from(r.p99))),
                median(rounds.iter().map(|r| f64::from(r.p999))),
                median(rounds.iter().map(|r| r.resident as f64)) / 1e6,
            );
        }
        for name in &self.names {
            if let Some(bytes) = self.idle.get(name) {
                println!(
                    "{name}: {} idle connections hold {:.1} MB",
                    self.options.idle,
                    *bytes as f64 / 1e6
                );
            }
        }
    }

    /// The median of the ratios within a round.
    fn ratio(&self, name: &str, to: &str) -> Option<f64> {
        let (ours, theirs) = (self.rounds.get(name)?, self.rounds.get(to)?);
        let ratios = ours.iter().zip(theirs).map(|(a, b)| a.cpu / b.cpu);
        Some(median(ratios))
    }
}
