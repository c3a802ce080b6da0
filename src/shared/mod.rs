//! What is in force, and what all workers share of the running router: the snapshot that requests are
//! judged by, the books, the counts; and how files that changed come into force.

mod coalesce;
pub mod forewarn;
pub mod reload;
pub mod reloads;
pub mod snapshot;
pub mod sources;
mod watched;

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use arc_swap::ArcSwap;
use tokio::runtime::RuntimeMetrics;

pub use coalesce::Coalesce;
pub use snapshot::{ReadyRecipient, ReadyRoute, Snapshot};
pub use watched::Watched;

use crate::{
    admit::{descriptors::Alarm, memory::Memory},
    attest::Journal,
    disk::Writing,
    document::Fault,
    forward::{RegionTally, SharedHealth},
    locate::{Directory, SubjectHasher},
    state::{Consents, Counters, Erasures, Supposed},
    telemetry::{Metrics, Otlp, access::Access},
};
use reload::LastReload;
use reloads::Reloads;

/// What all workers and the admin listener share. Workers read it through snapshots and caches;
/// nothing here is locked on the way of a domestic record.
pub struct Shared {
    pub config: PathBuf,
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    pub journal: Journal,
    pub directory: Directory,
    pub counters: Counters,
    pub consents: Consents,
    pub erasures: Erasures,
    /// Asked in observe mode alone.
    pub supposed: Supposed,
    pub hasher: SubjectHasher,
    pub metrics: Metrics,
    /// Open connections of callers, over all workers.
    pub connections: AtomicUsize,
    /// How many of them there are descriptors for, others' needs left out.
    pub room: usize,
    /// What is known of the backends' health, shared between workers.
    pub health: ArcSwap<SharedHealth>,
    /// Counts of each worker's calls by region, for the metrics.
    pub tallies: Mutex<Vec<(Arc<str>, Arc<RegionTally>)>>,
    /// Held while files are judged, which is as long as the disk takes: for the thread of
    /// [`reloads`] alone.
    pub last_reload: Mutex<LastReload>,
    /// Why the settings and policies on disk are not in force; empty where they are.
    pub refused: ArcSwap<Vec<Fault>>,
    /// Held while a snapshot that builds on the one in force takes its place. Never long.
    pub swaps: Mutex<()>,
    /// The door to the thread that reads files.
    pub reloads: Reloads,
    /// The router is stopping: not ready any more, connections end after their answer.
    pub draining: AtomicBool,
    /// Warns when file descriptors have run out.
    pub descriptors: Alarm,
    /// The memory for callers' bodies.
    pub memory: Arc<Memory>,
    pub access: Option<Access>,
    pub otlp: Option<Otlp>,
    pub runtimes: Mutex<Vec<Runtime>>,
    /// Requests that were at work when the time to drain was over.
    pub cut_off: AtomicUsize,
}

impl Shared {
    /// The files of `directory.path`, by the names that metrics have for them.
    pub(crate) fn files(&self) -> [(&'static str, Writing); 4] {
        [
            ("pins", self.directory.writing().clone()),
            ("counters", self.counters.writing().clone()),
            ("consents", self.consents.writing().clone()),
            ("erasures", self.erasures.writing().clone()),
        ]
    }

    /// The files of logs were moved away; waits for no disk.
    pub fn reopen_logs(&self) {
        if let Some(access) = &self.access {
            access.reopen();
        }
    }

    /// Requests at work, over all workers.
    pub fn at_work(&self) -> usize {
        let runtimes = self.runtimes.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = runtimes.iter().map(|r| r.at_work.load(Ordering::Relaxed));
        counts.sum()
    }
}

/// A worker's runtime, as metrics see it.
pub struct Runtime {
    pub number: usize,
    pub metrics: RuntimeMetrics,
    pub coalesce: Arc<Coalesce>,
    /// Requests at work.
    pub at_work: Arc<AtomicUsize>,
}
