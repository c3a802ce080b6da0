//! What the workers' runtimes count of themselves.

use prometheus::{CounterVec, IntGaugeVec, Opts, Registry};
use tokio::runtime::RuntimeMetrics;

use super::metrics::register;

/// By `worker`, its number. tokio's own counts: tasks of a worker's connections live in its
/// `LocalSet` and are not among `tasks`.
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
                "tasks of a worker's runtime, those of its connections not among them",
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

    /// Copies what the runtimes count. One caller at a time.
    pub fn show(&self, runtimes: &[(usize, RuntimeMetrics)]) {
        self.busy.reset();
        self.parks.reset();
        for (number, runtime) in runtimes {
            let number = number.to_string();
            let worker = [number.as_str()];
            let whole = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
            let tasks = self.tasks.with_label_values(&worker);
            tasks.set(whole(runtime.num_alive_tasks()));
            let queued = self.queued.with_label_values(&worker);
            queued.set(whole(runtime.global_queue_depth()));
            // Each runtime has one thread.
            let busy = runtime.worker_total_busy_duration(0).as_secs_f64();
            self.busy.with_label_values(&worker).inc_by(busy);
            #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
            let parks = runtime.worker_park_count(0) as f64;
            self.parks.with_label_values(&worker).inc_by(parks);
        }
    }
}
