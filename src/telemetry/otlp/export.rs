//! The queue of spans, and the thread that brings them to the collector.
//!
//! The thread looks into the queue by itself, ten times a second: to wake it would cost a worker a
//! system call for each span.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use prometheus::IntCounter;
use tokio::{sync::Notify, task::LocalSet, time::timeout};

use super::{
    encode,
    post::{Collector, Posted},
    trace::Span,
};
use crate::{
    settings,
    telemetry::Metrics,
    tls::{BackendSide, Live},
};

/// Spans that wait for the thread; about 6 MB when it is full.
const QUEUE: usize = 16 << 10;
/// Spans of one request to the collector.
const BATCH: usize = 512;
/// How often the thread looks for spans.
const LOOK: Duration = Duration::from_millis(100);
/// Before the tries after the first of what the collector does not take now. What comes meanwhile
/// waits in the queue, as long as that has room.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(8),
];

/// The door of the workers. Cloning shares it.
#[derive(Clone)]
pub struct Otlp {
    inner: Arc<Inner>,
}

struct Inner {
    queue: SyncSender<Box<Span>>,
    dropped: IntCounter,
    /// Of the trace id's lower 63 bits: those below it are told.
    threshold: u64,
    end: Arc<End>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// The router is ending.
#[derive(Default)]
struct End {
    is_near: AtomicBool,
    told: Notify,
    /// Until when what waits may be sent.
    until: Mutex<Option<Instant>>,
}

impl Otlp {
    pub const IS_BUILT: bool = true;

    /// Starts the thread. `side` stands for https.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn open(
        settings: &settings::Otlp,
        side: Option<Arc<Live<BackendSide>>>,
        metrics: &Metrics,
    ) -> io::Result<Self> {
        let (queue, spans) = sync_channel(QUEUE);
        let collector = Collector::new(settings, side);
        let collector = collector.ok_or(io::ErrorKind::InvalidInput)?;
        let count = |outcome| metrics.otlp_spans.with_label_values(&[outcome]);
        let end = Arc::new(End::default());
        let exporter = Exporter {
            collector,
            service: Arc::clone(&settings.service),
            exported: count("exported"),
            failed: count("failed"),
            is_failing: false,
            end: Arc::clone(&end),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = std::thread::Builder::new()
            .name("otlp".to_owned())
            .spawn(move || {
                let local = LocalSet::new();
                local.block_on(&runtime, exporter.run(&spans));
                drop(local);
                // A name that is being looked up would hold the end for as long as its resolver
                // takes.
                runtime.shutdown_background();
            })?;
        let inner = Inner {
            queue,
            dropped: count("dropped"),
            threshold: threshold(settings.sample),
            end,
            thread: Mutex::new(Some(thread)),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Never waits.
    pub(super) fn tell(&self, span: Box<Span>) {
        if self.inner.queue.try_send(span).is_err() {
            self.inner.dropped.inc();
        }
    }

    /// Whether a trace that begins here is told: by its id, as OpenTelemetry's
    /// `TraceIdRatioBased`, so that several routers agree.
    pub(super) fn samples(&self, trace: u128) -> bool {
        let low = trace & u128::from(u64::MAX >> 1);
        low < u128::from(self.inner.threshold)
    }

    /// Brings what waits to the collector, as far as that takes it until `until`. Blocks.
    pub fn close(&self, until: Instant) {
        let end = &self.inner.end;
        if let Ok(mut place) = end.until.lock() {
            *place = Some(until);
        }
        end.is_near.store(true, SeqCst);
        end.told.notify_one();
        let thread = self.inner.thread.lock().ok().and_then(|mut t| t.take());
        let Some(thread) = thread else { return };
        while !thread.is_finished() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(2));
        }
        if thread.is_finished() {
            let _ = thread.join();
        }
    }
}

/// `sample` is between 0 and 1.
fn threshold(sample: f64) -> u64 {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share, exact to 53 bits; out of range it is cut off"
    )]
    let threshold = (sample * (1u64 << 63) as f64) as u64;
    threshold
}

impl End {
    fn left(&self) -> Option<Duration> {
        if !self.is_near.load(SeqCst) {
            return None;
        }
        let until = self.until.lock().ok().and_then(|until| *until);
        until.map(|until| until.saturating_duration_since(Instant::now()))
    }

    /// Waits; ends at once when the router does.
    async fn rest(&self, rest: Duration) {
        if !self.is_near.load(SeqCst) {
            let _ = timeout(rest, self.told.notified()).await;
        }
    }
}

struct Exporter {
    collector: Collector,
    service: Arc<str>,
    exported: IntCounter,
    failed: IntCounter,
    /// The last request failed, and that was said.
    is_failing: bool,
    end: Arc<End>,
}

impl Exporter {
    async fn run(mut self, spans: &Receiver<Box<Span>>) {
        loop {
            // Asked first: what came before the end is found after it.
            let is_over = self.end.is_near.load(SeqCst);
            loop {
                let batch: Vec<_> = spans.try_iter().take(BATCH).collect();
                if batch.is_empty() {
                    break;
                }
                self.export(&batch).await;
            }
            if is_over {
                return;
            }
            self.end.rest(LOOK).await;
        }
    }

    async fn export(&mut self, batch: &[Box<Span>]) {
        let count = batch.len() as u64;
        let body = bytes::Bytes::from(encode::request(&self.service, batch));
        let mut pauses = PAUSES.iter();
        let why = loop {
            let limit = self.end.left().unwrap_or(Duration::MAX);
            match self.collector.post(body.clone(), limit).await {
                Posted::Taken { rejected } => {
                    let rejected = rejected.min(count);
                    self.exported.inc_by(count - rejected);
                    self.failed.inc_by(rejected);
                    if std::mem::take(&mut self.is_failing) {
                        tracing::info!(collector = self.collector.name(), "traces are taken again");
                    }
                    return;
                }
                Posted::Refused(status) => break format!("it answered {status}"),
                Posted::Later { why, rest } => {
                    let Some(pause) = pauses.next().filter(|_| self.end.left().is_none()) else {
                        break why;
                    };
                    self.end.rest(rest.unwrap_or(*pause)).await;
                }
            }
        };
        self.failed.inc_by(count);
        if !std::mem::replace(&mut self.is_failing, true) {
            let collector = self.collector.name();
            tracing::warn!(collector, why, "traces cannot be exported: spans are lost");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span() -> Box<Span> {
        Box::new(Span {
            trace: 1,
            id: 2,
            parent: None,
            is_parent_remote: false,
            flags: 1,
            is_server: true,
            start: 0,
            end: 0,
            method: "GET",
            route: None,
            status: None,
            error: None,
            region: None,
            decision: crate::domain::DecisionId::new(1, 2),
            mechanism: None,
            problem: None,
            rules: Vec::new(),
            version: None,
            scheme: None,
            items: None,
            failed: false,
        })
    }

    #[test]
    fn a_thread_that_stands_still_costs_spans_and_never_time() {
        let (queue, spans) = sync_channel(2);
        let otlp = Otlp {
            inner: Arc::new(Inner {
                queue,
                dropped: IntCounter::new("x", "x").unwrap(),
                threshold: 0,
                end: Arc::default(),
                thread: Mutex::default(),
            }),
        };
        (0..5).for_each(|_| otlp.tell(span()));
        assert_eq!(otlp.inner.dropped.get(), 3);
        drop(spans);
    }

    #[test]
    fn a_share_of_the_traces_is_told_and_for_each_id_always_the_same() {
        let (queue, _spans) = sync_channel(1);
        let of = |sample| Otlp {
            inner: Arc::new(Inner {
                queue: queue.clone(),
                dropped: IntCounter::new("x", "x").unwrap(),
                threshold: threshold(sample),
                end: Arc::default(),
                thread: Mutex::default(),
            }),
        };
        let ids: Vec<u128> = (0..4000u128)
            .map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
            .collect();
        let told = |sample| {
            let otlp = of(sample);
            ids.iter().filter(|id| otlp.samples(**id)).count()
        };
        assert_eq!(told(0.0), 0);
        assert_eq!(told(1.0), 4000);
        let quarter = told(0.25);
        assert!((900..1100).contains(&quarter), "{quarter}");
    }
}
