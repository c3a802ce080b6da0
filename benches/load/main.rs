//! What the router costs in front of a store, beside other proxies on the same machine.
//!
//! `cargo bench --bench load` starts five stores, the router and, where they are installed, nginx,
//! nginx with Lua, HAProxy and Envoy; gives all of them the same work in interleaved rounds; reads
//! each answer (status and region) while it measures; and prints CPU time per request of the
//! proxy's processes with the median of the ratios within a round. It installs nothing; what is
//! missing is said and left out. Loads go to 127.0.0.1 alone.
//!
//! CPU time and not wall time, since machines are shared; ratios within a round and not figures of
//! different runs, since neighbours come and go. `benches/load/README.md` tells the works.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench that cannot set itself up has nothing to measure, and its output is its point"
)]

mod client;
mod code;
#[path = "../common/mod.rs"]
mod common;
mod cpu;
mod instructions;
mod options;
mod pace;
mod peer;
mod report;
mod router;
mod store;
mod work;

use std::time::Duration;

use client::{Load, Outcome};
use options::Options;
use peer::Running;
use report::Table;
use work::Work;

fn main() {
    let Some(options) = Options::read() else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let local = tokio::task::LocalSet::new();
    let sound = if options.instructions {
        local.block_on(&runtime, instructions::gate(&options))
    } else {
        local.block_on(&runtime, measure(&options))
    };
    if !sound {
        std::process::exit(1);
    }
}

/// Whether every answer was the one that the work expects.
async fn measure(options: &Options) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let stores = store::start().await;
    let mut sound = true;
    println!("{}", cpu::machine());
    for work in options.works.iter().copied() {
        let proxies = peer::start(folder.path(), work, &stores, options).await;
        if proxies.is_empty() {
            println!("{}: nobody to measure", work.name());
            continue;
        }
        for proxy in &proxies {
            sound &= warm(proxy, work, options).await;
        }
        let mut table = Table::new(work, options);
        for round in 0..options.rounds {
            // Another one begins each round, so that nobody always follows the same neighbour.
            for turn in 0..proxies.len() {
                let proxy = &proxies[(round + turn) % proxies.len()];
                let before = proxy.cpu();
                let outcome = load(proxy, work, options, round + 1).await;
                let spent = proxy.cpu() - before;
                sound &= outcome.tell(&proxy.name);
                table.add(&proxy.name, &outcome, spent, proxy.resident());
            }
        }
        if options.idle > 0 {
            for proxy in &proxies {
                let grown = idle(proxy, work, options.idle).await;
                table.idle(&proxy.name, grown);
            }
        }
        table.print();
        for proxy in proxies {
            proxy.stop();
        }
    }
    sound
}

/// Each subject once, so that it is pinned and each connection pool is warm.
async fn warm(proxy: &Running, work: Work, options: &Options) -> bool {
    let outcome = load(proxy, work, options, 0).await;
    outcome.tell(&proxy.name)
}

async fn load(proxy: &Running, work: Work, options: &Options, round: usize) -> Outcome {
    let load = Load {
        address: proxy.address,
        connections: options.connections.min(options.requests),
        requests: options.requests.div_ceil(work.weight()),
        rate: options.rate,
        limit: Duration::from_secs(120),
        routes: proxy.routes,
    };
    load.run(work, round).await
}

/// Bytes of memory by which this many connections at rest, each after one request, let it grow.
async fn idle(proxy: &Running, work: Work, connections: usize) -> i64 {
    let before = proxy.resident();
    let held = client::hold(proxy.address, work, connections).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let after = proxy.resident();
    drop(held);
    i64::try_from(after).unwrap() - i64::try_from(before).unwrap()
}
