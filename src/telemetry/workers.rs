//! What the workers' runtimes count of themselves.

use std::time::Duration;

use prometheus::{CounterVec, IntGaugeVec, Opts, Registry};
use tokio::runtime::RuntimeMetrics;

use super::metrics::register;

/// By `worker`, its number: tokio's own counts.
#[derive(Clone)]
pub struct WorkerMetrics {
    tasks: IntGaugeVec,
    queued: IntGaugeVec,
    busy: CounterVec,
    parks: CounterVec,
}

impl WorkerMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauges = |name: &str, help: &str| {
            register(
                registry,
                IntGaugeVec::new(Opts::new(name, help), &["worker"])?,
            )
        };
        let counters = |name: &str, help: &str| {
            register(
                registry,
                CounterVec::new(Opts::new(name, help), &["worker"])?,
            )
        };
        Ok(Self {
            tasks: gauges(
                "domicile_worker_tasks",
                "tasks of a worker's runtime: one for each connection, and a few beside",
            )?,
            queued: gauges(
                "domicile_worker_queued_tasks",
                "tasks that wait in the queue of a worker's runtime",
            )?,
            busy: counters(
                "domicile_worker_busy_seconds_total",
                "time for which a worker was busy; its rate is the worker's load, at most 1",
            )?,
            parks: counters(
                "domicile_worker_parks_total",
                "how often a worker had nothing to do and slept",
            )?,
        })
    }

    /// Copies what the runtimes count. One caller at a time. Each comes with its number and the time
    /// for which it paused, which tokio takes for work.
    pub fn show<'a>(&self, runtimes: impl Iterator<Item = (usize, &'a RuntimeMetrics, Duration)>) {
        self.parks.reset();
        for (number, runtime, paused) in runtimes {
            let number = number.to_string();
            let worker = [number.as_str()];
            let whole = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
            let tasks = self.tasks.with_label_values(&worker);
            tasks.set(whole(runtime.num_alive_tasks()));
            let queued = self.queued.with_label_values(&worker);
            queued.set(whole(runtime.global_queue_depth()));
            // Each runtime has one thread.
            let busy = runtime.worker_total_busy_duration(0);
            let busy = busy.saturating_sub(paused).as_secs_f64();
            // The two are not read in one moment; a counter that went back would count as one that
            // began anew.
            let told = self.busy.with_label_values(&worker);
            told.inc_by((busy - told.get()).max(0.0));
            #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
            let parks = runtime.worker_park_count(0) as f64;
            self.parks.with_label_values(&worker).inc_by(parks);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_no_work_and_no_counter_goes_back() {
        let metrics = WorkerMetrics::new(&Registry::new()).unwrap();
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_time().build().unwrap();
        let work = || {
            let work = async { std::thread::sleep(Duration::from_millis(40)) };
            runtime
                .block_on(async { tokio::spawn(work).await })
                .unwrap();
        };
        let counts = runtime.metrics();
        let show = |paused| {
            metrics.show([(0, &counts, Duration::from_millis(paused))].into_iter());
            metrics.busy.with_label_values(&["0"]).get()
        };
        work();
        let busy = counts.worker_total_busy_duration(0).as_secs_f64();
        assert!(busy >= 0.04);
        let told = show(30);
        assert!((told - (busy - 0.03)).abs() < 1e-6, "{told} of {busy}");
        assert_eq!(show(35), told, "read a moment later");
        work();
        assert!(show(35) > told);
    }
}
