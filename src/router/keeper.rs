//! What must be looked after beside the requests: dates that come, disks that have room again.
//! Files that change are looked after by [`reloads`](crate::shared::reloads).

use std::{
    sync::atomic::Ordering,
    thread::{self, JoinHandle},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use prometheus::GaugeVec;
use tokio::sync::watch;

use super::{
    give_back::give_back,
    thresholds::{self, Warned},
};
use crate::{
    clock,
    disk::PATIENCE,
    forward::EndpointState,
    shared::{Shared, Snapshot, reload},
    telemetry::{Metrics, log},
    tls::Validity,
};

/// How often the keeper looks.
const TICK: Duration = Duration::from_secs(1);

/// Runs until `stop` turns true.
pub fn keep(shared: &Shared, stop: &watch::Receiver<bool>) {
    let mut ticks = 0u64;
    let mut warned = Warned::default();
    let mut hangs = false;
    let mut told = [false; 4];
    let mut register = None;
    while !*stop.borrow() {
        reload::recompile(shared, clock::now());
        tell_hang(shared, &mut hangs);
        if ticks.is_multiple_of(5) {
            look_at_register(shared, &mut register);
            shared.erasures.look();
        }
        shared.journal.look_at_disk();
        tell_hanging(shared, &mut told);
        shared.memory.look();
        give_back(false);
        warned.look(shared, &shared.snapshot.load(), clock::now());
        ticks += 1;
        pause(stop, || {
            if shared.memory.is_pressed() {
                give_back(true);
            }
        });
    }
}

/// Sleeps for a tick in short pieces, so that stopping need not wait, nor `what` is done in each.
fn pause(stop: &watch::Receiver<bool>, mut what: impl FnMut()) {
    let step = Duration::from_millis(100);
    let mut slept = Duration::ZERO;
    while slept < TICK && !*stop.borrow() {
        thread::sleep(step);
        what();
        slept += step;
    }
}

/// The thread that hangs cannot tell.
fn tell_hang(shared: &Shared, was: &mut bool) {
    let hang = shared.reloads.hang();
    match hang {
        Some(since) if !*was => tracing::error!(
            ?since,
            "reading settings, policies, certificates or the GeoIP database hangs: the disk or volume does not answer; what was in force stays"
        ),
        None if *was => tracing::info!("files are read again"),
        _ => {}
    }
    *was = hang.is_some();
}

/// The threads that write the files of `directory.path` cannot tell, either.
fn tell_hanging(shared: &Shared, told: &mut [bool; 4]) {
    for ((file, writing), told) in shared.files().iter().zip(told) {
        let hangs = writing.hang().is_some();
        if hangs && !*told {
            tracing::error!(
                file,
                seconds = PATIENCE.as_secs(),
                "the disk of `directory.path` hangs, it has not confirmed a write into this file in time"
            );
        } else if !hangs && *told {
            tracing::warn!(file, "the disk of `directory.path` hangs no longer");
        }
        *told = hangs;
    }
}

/// By a thread of its own, one at a time: it waits for the disk.
fn look_at_register(shared: &Shared, last: &mut Option<JoinHandle<()>>) {
    let is_at_it = last.as_ref().is_some_and(|thread| !thread.is_finished());
    if is_at_it || shared.consents.trouble().is_none() {
        return;
    }
    let consents = shared.consents.clone();
    let look = move || consents.look();
    // Else it is tried again.
    *last = thread::Builder::new()
        .name("register".into())
        .spawn(look)
        .ok();
}

/// Copies plain counters into the metrics that show them, just before they are read. One caller
/// at a time (the admin listener's thread): labelled gauges are begun anew.
pub fn gauges(shared: &Shared) {
    let metrics = &shared.metrics;
    let snapshot = shared.snapshot.load_full();
    let now = clock::now();
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let ledger = shared.journal.status();
    metrics.ledger_entries.set(number(ledger.entries));
    metrics.ledger_bytes.set(number(ledger.bytes));
    metrics.ledger_segments.set(number(ledger.segments));
    metrics.ledger_commits.set(number(ledger.commits));
    metrics.ledger_queued.set(number(ledger.waiting as u64));
    metrics
        .ledger_failing
        .set(i64::from(ledger.error.is_some()));
    metrics.ledger.show(&ledger, now);
    let directory = shared.directory.status();
    metrics.directory_pins.set(number(directory.pins));
    for (store, failing) in [
        ("pins", directory.error.is_some()),
        ("counters", shared.counters.status().error.is_some()),
        ("consents", shared.consents.trouble().is_some()),
        ("erasures", shared.erasures.trouble().is_some()),
    ] {
        let gauge = metrics.store_failing.with_label_values(&[store]);
        gauge.set(i64::from(failing));
    }
    metrics
        .erasures_open
        .set(number(shared.erasures.count() as u64));
    let open = shared.connections.load(Ordering::Relaxed);
    metrics.connections.set(number(open as u64));
    metrics.http_active.set(number(shared.at_work() as u64));
    endpoints(shared);
    metrics.body_bytes.set(number(shared.memory.used() as u64));
    metrics
        .body_bytes_limit
        .set(number(shared.memory.limit() as u64));
    let reload_fails = !shared.refused.load().is_empty() || shared.reloads.hang().is_some();
    metrics.reload_failing.set(i64::from(reload_fails));
    if let Some(access) = &shared.access {
        metrics.access_log_lost.reset();
        metrics.access_log_lost.inc_by(access.lost());
    }
    metrics.log_lost.reset();
    metrics.log_lost.inc_by(log::lost());
    if let Ok(runtimes) = shared.runtimes.lock() {
        let counts = runtimes
            .iter()
            .map(|r| (r.number, &r.metrics, r.coalesce.paused()));
        metrics.workers.show(counts);
    }
    thresholds::gauges(shared, &snapshot, now);
    let in_force = [
        (&metrics.policy_info, snapshot.checked.digest().to_string()),
        (&metrics.settings_info, snapshot.settings_digest.to_string()),
    ];
    for (info, digest) in in_force {
        info.reset();
        info.with_label_values(&[&digest]).set(1);
    }
    for (_, rule) in snapshot.checked.rules().filter(|(_, r)| r.observed) {
        let counters = &metrics.observed_disagreements;
        // A rule that never disagreed shall be seen to be at 0.
        let _ = counters.with_label_values(&[&rule.id]);
    }
    metrics.instrument_expiry.reset();
    for (_, instrument) in snapshot.checked.instruments() {
        if let Some(end) = instrument.ends_at(&snapshot.checked) {
            #[expect(clippy::cast_precision_loss, reason = "seconds far below 2^53")]
            let left = end.duration_since(now).as_secs() as f64;
            metrics
                .instrument_expiry
                .with_label_values(&[&instrument.id])
                .set(left);
        }
    }
    certificates(metrics, &snapshot, now);
    metrics
        .tls_reload_failing
        .set(number(snapshot.watched.behind().len() as u64));
    if let Some(built) = snapshot.geo.built() {
        #[expect(clippy::cast_precision_loss, reason = "seconds far below 2^53")]
        metrics
            .geoip_age
            .set(now.duration_since(built).as_secs() as f64);
    }
}

/// Our own certificates. Beside what is left of one its whole length: thirty days are plenty of
/// a yearly one, and more than a short-lived one ever has.
fn certificates(metrics: &Metrics, snapshot: &Snapshot, now: Timestamp) {
    metrics.certificate_expiry.reset();
    metrics.certificate_lifetime.reset();
    for (file, Validity { from, until }) in snapshot.watched.expiries() {
        let show = |gauge: &GaugeVec, length: SignedDuration| {
            #[expect(clippy::cast_precision_loss, reason = "seconds far below 2^53")]
            gauge
                .with_label_values(&[&file])
                .set(length.as_secs() as f64);
        };
        show(&metrics.certificate_expiry, until.duration_since(now));
        show(&metrics.certificate_lifetime, until.duration_since(from));
    }
}

/// What is known of the regions' endpoints, and the workers' counts of calls.
fn endpoints(shared: &Shared) {
    let metrics = &shared.metrics;
    metrics.endpoint_up.reset();
    for report in shared.health.load().report() {
        let up = report.state == EndpointState::Healthy;
        let labels = [&*report.region, &*report.endpoint];
        let gauge = metrics.endpoint_up.with_label_values(&labels);
        gauge.set(i64::from(up));
    }
    let Ok(tallies) = shared.tallies.lock() else {
        return;
    };
    // Pools of older settings stay in the list, so that these counters never fall.
    metrics.upstream_retries.reset();
    metrics.upstream_unretried.reset();
    for (region, tally) in tallies.iter() {
        let tally = tally.read();
        let retries = metrics.upstream_retries.with_label_values(&[region]);
        retries.inc_by(tally.retries);
        let unretried = metrics.upstream_unretried.with_label_values(&[region]);
        unretried.inc_by(tally.unretried);
    }
}
