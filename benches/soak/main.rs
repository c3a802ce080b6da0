//! Whether the router holds: for a long time among failures, and beside a region that hangs.
//!
//! `cargo bench --bench soak -- --minutes 30` starts five stores (TLS and plain, HTTP/1.1 and
//! HTTP/2) behind relays that stall and cut, the router in front of them with TLS, and callers of
//! both protocols who write and read records, batches, bulk requests and files. Meanwhile settings
//! are reloaded, certificates exchanged, stores killed, started again and confused with one
//! another, and callers hang up. Each answer is checked; each store checks that all it gets is its
//! own. It fails on any wrong answer, on any record in a wrong region, and if memory grows.
//!
//! `cargo bench --bench soak -- --hang` measures what the other four regions keep of their
//! throughput and of their p99 while one region hangs: rounds with and without in turn, medians of
//! the ratios within a round.
//!
//! Both go to 127.0.0.1 alone. `--router PATH` takes another program than the one just built.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench that cannot set itself up has nothing to measure, and its output is its point"
)]

mod caller;
mod chance;
#[path = "../common/mod.rs"]
mod common;
mod hang;
mod havoc;
#[path = "../../tests/end_to_end/tls/pki.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod pki;
mod relay;
mod report;
mod store;
mod work;
mod world;

use std::time::Duration;

use common::into;

const HELP: &str =
    "cargo bench --bench soak -- [--minutes 30] [--rate 300] [--seed 1] [--router PATH]
cargo bench --bench soak -- --hang [--rounds 9] [--seconds 2] [--rate N] [--router PATH]

--rate    requests a second in all; with --hang of the four healthy regions in the paced part,
          0 (the default there) for half of what they reach
--seed    of what goes wrong and when
";

pub struct Options {
    hang: bool,
    minutes: f64,
    rounds: usize,
    seconds: f64,
    rate: Option<u32>,
    seed: u64,
    router: String,
}

fn main() {
    let Some(options) = read() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let local = tokio::task::LocalSet::new();
    let sound = if options.hang {
        local.block_on(&runtime, hang::measure(&options))
    } else {
        let time = Duration::from_secs_f64(options.minutes * 60.0);
        local.block_on(&runtime, havoc::soak(&options, time))
    };
    if !sound {
        std::process::exit(1);
    }
}

fn read() -> Option<Options> {
    let mut options = Options {
        hang: false,
        minutes: 30.0,
        rounds: 9,
        seconds: 2.0,
        rate: None,
        seed: 1,
        router: env!("CARGO_BIN_EXE_domicile").to_owned(),
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().unwrap_or_default();
        let understood = match word.as_str() {
            // What cargo itself adds.
            "--bench" => true,
            // `cargo test --benches`: nothing to test here.
            "--test" | "--list" => return None,
            "--hang" => {
                options.hang = true;
                true
            }
            "--minutes" => into(&value(), &mut options.minutes),
            "--rounds" => into(&value(), &mut options.rounds),
            "--seconds" => into(&value(), &mut options.seconds),
            "--seed" => into(&value(), &mut options.seed),
            "--rate" => {
                options.rate = value().parse().ok();
                options.rate.is_some()
            }
            "--router" => {
                options.router = value();
                true
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
