//! What a decision and a compilation cost, over all shipped laws.
//!
//! The questions are those of the shipped cases: every pack, every kind of refusal and permit,
//! under the organisations they were written for. Two bars are printed in plain words before
//! criterion's own figures, since neither is one of criterion's means:
//!
//! - compile all packs with 1,000 entities and 1,000 instruments: below 200 ms;
//! - decide: the median over the questions of the time per law that attaches, below 300 ns, and no
//!   slower with 1,000 instruments than with 10.
//!
//! `cargo bench --bench decide`. With `-- --once`, every question is asked [`ROUNDS`] times and
//! nothing is timed: for a counter of instructions (`valgrind --tool=callgrind
//! --toggle-collect='*::ask_all*'`), which is the same whatever else the machine does.

#![expect(
    clippy::expect_used,
    reason = "a benchmark that cannot be set up should say so loudly"
)]
#![expect(
    clippy::print_stdout,
    reason = "the figures are what a benchmark is for"
)]

use std::{
    collections::BTreeMap,
    fmt::Write,
    hint::black_box,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use criterion::{BatchSize, Criterion, criterion_group};
use domicile::{
    decide::{Query, decide},
    document::{Faults, Node},
    domain::Question,
    policy::{Checked, Compiled, check, load},
    prove::cases,
};
use jiff::Timestamp;

const AT: &str = "2026-11-21T12:00:00Z";
/// The organisation of the cases that speaks of most packs.
const WORLD: &str = "examples/cases-world/organisation.toml";

/// Mechanisms of many laws, and the country of who takes the data under each. Every second is one
/// that European law asks about, so that no list is spared.
const SIGNED: [(&str, &str); 8] = [
    ("scc", "US"),
    ("cn-standard-contract", "SG"),
    ("scc", "IN"),
    ("sg-contract", "AU"),
    ("scc", "SG"),
    ("uk-idta", "IN"),
    ("scc", "VN"),
    ("ru-notification", "KZ"),
];

fn policies() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("policies")
}

/// The shipped laws under an organisation with `more` entities, each with an instrument from one
/// of the organisation's own entities to it.
fn policy(organisation: &Path, more: usize) -> Arc<Checked> {
    let dir = policies();
    let faults = Faults::new();
    let read = |name: &str| Node::load(&dir.join(name), &faults).expect("a shipped file");
    let laws: Vec<Node> = domicile::policy::shipped::LAW
        .iter()
        .filter(|(name, _)| name.starts_with("law/"))
        .map(|(name, _)| read(name))
        .collect();
    let mut text = std::fs::read_to_string(organisation).expect("an organisation");
    let parsed = load(&dir, organisation, &faults).expect("a sound organisation");
    let own: Vec<&str> = parsed.entities().map(|(_, e)| e.id.as_ref()).collect();
    let kinds = own.iter().cycle().zip(SIGNED.iter().cycle());
    for (i, (exporter, (mechanism, country))) in kinds.take(more).enumerate() {
        write!(
            text,
            "\n[entities.other-{i}]\ncountry = \"{country}\"\nrole = \"processor\"\n[[instruments]]\nid = \"i{i}\"\nmechanism = \"{mechanism}\"\nexporter = [\"{exporter}\"]\nimporter = [\"other-{i}\"]\nvalid = {{ from = 2024-01-01 }}\nfiled = {{ with = \"the authority\", date = 2024-01-02, state = \"filed\" }}\n"
        )
        .expect("a string takes everything");
    }
    let organisation = Node::parse("organisation.toml", text, &faults).expect("valid TOML");
    let vocabulary = read("vocabulary.toml");
    let checked = check(&vocabulary, &laws, &organisation, &faults);
    Arc::new(checked.expect("a sound policy"))
}

/// The shipped cases that ask about one instant, by their organisation.
fn questions(at: Timestamp) -> BTreeMap<PathBuf, Vec<Question>> {
    let mut all: BTreeMap<PathBuf, Vec<Question>> = BTreeMap::new();
    for file in cases::read_folder(&policies().join("tests")).expect("the shipped cases") {
        let organisation = file.organisation.expect("an organisation");
        let own = file.cases.into_iter().map(|c| c.question);
        let list = all.entry(organisation).or_default();
        list.extend(own.filter(|q| q.at == at));
    }
    all
}

fn resolved(policy: &Compiled, questions: &[Question]) -> Vec<Query> {
    questions
        .iter()
        .map(|q| policy.resolve(q).expect("a question that resolves"))
        .collect()
}

/// The policies of all organisations, each with its questions.
fn workload(at: Timestamp, more: usize) -> Vec<(Compiled, Vec<Query>)> {
    questions(at)
        .iter()
        .map(|(organisation, questions)| {
            let compiled = policy(organisation, more).compile(at);
            let queries = resolved(&compiled, questions);
            (compiled, queries)
        })
        .collect()
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of.get(of.len() / 2).copied().unwrap_or_default()
}

/// Nanoseconds of one decision in a round of them.
fn round(policy: &Compiled, query: &Query) -> f64 {
    let start = Instant::now();
    for _ in 0..200 {
        black_box(decide(policy, black_box(query)));
    }
    start.elapsed().as_secs_f64() * 1e9 / 200.0
}

/// Per question and law that attaches: nanoseconds, the least of several rounds, since what else
/// runs on the machine only ever adds. The rounds of a question lie apart, each in a pass over all
/// of them, so that a busy moment spoils one. And how many laws attached.
fn per_law(workload: &[(Compiled, Vec<Query>)]) -> (Vec<f64>, usize) {
    let mut asked = Vec::new();
    for (policy, queries) in workload {
        for query in queries {
            let attached = decide(policy, query).findings().len();
            if attached > 0 {
                asked.push((policy, query, attached, f64::INFINITY));
            }
        }
    }
    for _ in 0..7 {
        for (policy, query, _, least) in &mut asked {
            *least = least.min(round(policy, query));
        }
    }
    let laws = asked.iter().map(|(_, _, attached, _)| attached).sum();
    let each = asked
        .iter()
        .map(|(_, _, attached, least)| least / f64::from(u32::try_from(*attached).unwrap_or(1)));
    (each.collect(), laws)
}

fn bars(_: &mut Criterion) {
    let at = AT.parse().expect("an instant");
    let checked = policy(&policies().join(WORLD), 1000);
    let times = (0..11).map(|_| {
        let start = Instant::now();
        black_box(checked.compile(at));
        start.elapsed().as_secs_f64() * 1e3
    });
    println!(
        "bar: compile {} packs, {} entities, {} instruments: median {:.1} ms (bar: below 200 ms)",
        checked.laws().count(),
        checked.entities().count(),
        checked.instruments().count(),
        median(times.collect())
    );
    for more in [10, 1000] {
        let (times, laws) = per_law(&workload(at, more));
        let questions = times.len();
        let worst = times.iter().copied().fold(0.0, f64::max);
        println!(
            "bar: decide, {more} more instruments: {questions} questions, {laws} laws attached, median {:.0} ns per law (bar: below 300 ns), worst {worst:.0} ns",
            median(times)
        );
    }
}

fn decisions(c: &mut Criterion) {
    let at = AT.parse().expect("an instant");
    for more in [10, 1000] {
        let workload = workload(at, more);
        let questions: usize = workload.iter().map(|(_, q)| q.len()).sum();
        let name = format!("decide/{questions} shipped cases/{more} more instruments");
        c.bench_function(&name, |b| {
            b.iter(|| {
                for (policy, queries) in &workload {
                    for query in queries {
                        black_box(decide(policy, black_box(query)));
                    }
                }
            });
        });
    }
}

fn compilation(c: &mut Criterion) {
    let at = AT.parse().expect("an instant");
    let checked = policy(&policies().join(WORLD), 1000);
    c.bench_function("compile/1000 more entities and instruments", |b| {
        b.iter_batched(
            || Arc::clone(&checked),
            |p| p.compile(at),
            BatchSize::PerIteration,
        );
    });
}

/// How often `--once` asks each question.
const ROUNDS: u32 = 10;

/// All questions in their order; gives the laws that attached.
#[inline(never)]
fn ask_all(workload: &[(Compiled, Vec<Query>)]) -> usize {
    let mut laws = 0;
    for (policy, queries) in workload {
        for query in queries {
            laws += black_box(decide(policy, black_box(query))).findings().len();
        }
    }
    laws
}

fn once() {
    let workload = workload(AT.parse().expect("an instant"), 10);
    let laws: usize = (0..ROUNDS).map(|_| ask_all(&workload)).sum();
    println!("{laws} laws attached in {ROUNDS} rounds");
}

criterion_group!(benches, bars, decisions, compilation);

fn main() {
    if std::env::args().any(|a| a == "--once") {
        return once();
    }
    benches();
    Criterion::default().configure_from_args().final_summary();
}
