//! What belongs to one worker alone: pools, caches, what it remembers.

use std::{
    cell::{RefCell, RefMut},
    collections::hash_map::RandomState,
    hash::BuildHasher,
    rc::Rc,
    sync::Arc,
};

use arc_swap::{ArcSwap, Cache};
use jiff::Timestamp;
use tokio::sync::Notify;

use super::{Judgements, Lanes};
use crate::{
    admit::{connection::Counter, memory::Till},
    attest::WorkerJournal,
    classify::schema::Alike,
    clock,
    domain::{DecisionId, RecipientId, Regions},
    forward::{SetupError, Shares, Upstreams},
    locate::PinCache,
    settings::RegionSettings,
    shared::{Coalesce, Shared, Snapshot, reload},
    telemetry::Handles,
};

/// Pins that one worker remembers.
const PINS: usize = 1 << 16;

/// What belongs to one worker alone. Lives in its thread.
pub struct Worker {
    pub shared: Arc<Shared>,
    snapshot: RefCell<Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>>,
    pub pins: RefCell<PinCache>,
    upstreams: RefCell<(u64, Rc<Upstreams>)>,
    pub journal: WorkerJournal,
    judgements: RefCell<Judgements>,
    /// What the records of each route look like, by the routes of the newest snapshot.
    alike: RefCell<Vec<Alike>>,
    random: RefCell<Random>,
    pub handles: Handles,
    pub at_work: Counter,
    /// Erasures that this worker tries again.
    pub lanes: RefCell<Lanes>,
    /// Told when there is another.
    pub open_again: Notify,
    /// Its part of the memory for bodies.
    pub till: Rc<Till>,
    pub coalesce: Arc<Coalesce>,
}

/// Numbers that tell decisions and traces apart, from a seed of the system's: xoshiro256++ of
/// Blackman and Vigna. They need to be distinct, not secret, and a batch wants a thousand at once,
/// which cost the system more than all else that is done for its records.
struct Random([u64; 4]);

impl Worker {
    /// Must run inside the worker's runtime, where its porter is started.
    ///
    /// # Errors
    /// A region's or recipient's endpoint cannot be used.
    pub fn new(
        shared: Arc<Shared>,
        coalesce: Arc<Coalesce>,
        at_work: Counter,
    ) -> Result<Self, SetupError> {
        let mut cache = Cache::new(Arc::clone(&shared.snapshot));
        let snapshot = Arc::clone(cache.load());
        let settings = &snapshot.settings;
        let upstreams = Upstreams::new(
            &snapshot.regions,
            &settings.regions,
            &settings.limits,
            Shares::of(settings.data_plane.concurrent_requests),
            shared.health.load_full(),
            &snapshot.watched.backends,
        )?
        .with_recipients(
            recipients(&snapshot),
            &settings.limits,
            &snapshot.watched.backends,
            None,
        )?;
        register_tallies(&shared, &upstreams);
        let (journal, porter) = shared.journal.worker_with_porter();
        tokio::task::spawn_local(porter.carry());
        Ok(Self {
            snapshot: RefCell::new(cache),
            pins: RefCell::new(PinCache::new(shared.directory.clone(), PINS)),
            upstreams: RefCell::new((snapshot.generation, Rc::new(upstreams))),
            journal,
            judgements: RefCell::default(),
            alike: RefCell::default(),
            random: RefCell::new(Random::new()),
            handles: Handles::new(shared.metrics.clone()),
            at_work,
            lanes: RefCell::default(),
            open_again: Notify::new(),
            till: Till::new(Arc::clone(&shared.memory)),
            coalesce,
            shared,
        })
    }

    /// The snapshot in force at this instant: an instrument that ended a moment ago must not
    /// permit until the keeper comes round.
    pub fn snapshot_for(&self, at: Timestamp) -> Arc<Snapshot> {
        let snapshot = self.snapshot();
        if snapshot.policy.holds_at(at) {
            return snapshot;
        }
        reload::recompile(&self.shared, at);
        self.snapshot()
    }

    /// The snapshot in force; what is remembered for an older one is dropped.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        let snapshot = Arc::clone(self.snapshot.borrow_mut().load());
        let known = self.upstreams.borrow().0;
        if known != snapshot.generation {
            self.renew(&snapshot);
        }
        snapshot
    }

    fn renew(&self, snapshot: &Snapshot) {
        *self.judgements.borrow_mut() = Judgements::default();
        self.alike.borrow_mut().clear();
        let current = Rc::clone(&self.upstreams.borrow().1);
        let settings = &snapshot.settings;
        self.coalesce.set_pause(settings.data_plane.coalesce);
        let health = self.shared.health.load_full();
        let secured = &snapshot.watched.backends;
        let next = current.renewed(
            &snapshot.regions,
            &settings.regions,
            &settings.limits,
            health,
            secured,
        );
        let next = next.and_then(|next| {
            next.with_recipients(
                recipients(snapshot),
                &settings.limits,
                secured,
                Some(&current),
            )
        });
        match next {
            Ok(next) => {
                register_tallies(&self.shared, &next);
                *self.upstreams.borrow_mut() = (snapshot.generation, Rc::new(next));
            }
            // The settings' reader has checked the endpoints, so this tells of a fault of ours.
            // The old pools cannot stay: a region's number may mean another region now. Ways to
            // nowhere refuse every call.
            Err(error) => {
                tracing::error!(%error, "the regions of the new settings cannot be used");
                let nowhere = Upstreams::new(
                    &Regions::new(Vec::new()),
                    &[],
                    &settings.limits,
                    Shares::of(settings.data_plane.concurrent_requests),
                    self.shared.health.load_full(),
                    &[],
                );
                let mut upstreams = self.upstreams.borrow_mut();
                upstreams.0 = snapshot.generation;
                if let Ok(nowhere) = nowhere {
                    upstreams.1 = Rc::new(nowhere);
                }
            }
        }
    }

    /// The ways to the regions of the snapshot that [`Worker::snapshot`] gave last. To be taken in
    /// the same moment and kept beside it: the next snapshot may give a region another number.
    pub fn upstreams(&self) -> Rc<Upstreams> {
        Rc::clone(&self.upstreams.borrow().1)
    }

    /// What is remembered of a snapshot; `None` of one that is no longer in force. A request that
    /// began before a reload must neither be judged by what later requests found, nor leave its
    /// own judgements to them.
    pub fn judgements(&self, of: &Snapshot) -> Option<RefMut<'_, Judgements>> {
        (self.upstreams.borrow().0 == of.generation).then(|| self.judgements.borrow_mut())
    }

    /// What is remembered of the records of a snapshot's route; `None` as for
    /// [`judgements`](Self::judgements).
    pub fn alike(&self, of: &Snapshot, route: usize) -> Option<RefMut<'_, Alike>> {
        let is_newest = self.upstreams.borrow().0 == of.generation;
        let mut all = is_newest.then(|| self.alike.borrow_mut())?;
        if all.len() < of.routes.len() {
            all.resize_with(of.routes.len(), Alike::default);
        }
        RefMut::filter_map(all, |all| all.get_mut(route)).ok()
    }

    /// A new id, of a request that began at `at`.
    pub fn decision_id(&self, at: Timestamp) -> DecisionId {
        DecisionId::new(clock::unix_ms(at), self.random())
    }

    pub fn random(&self) -> u128 {
        self.random.borrow_mut().next()
    }
}

impl Random {
    fn new() -> Self {
        let mut seed = [0; 32];
        if getrandom::fill(&mut seed).is_err() {
            tracing::warn!("the system gives no random numbers: ids are of time and chance");
        }
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().zip(seed.as_chunks().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        // Zeros would stay zeros. Hash maps have a seed of their own.
        if words == [0; 4] {
            words = [0; 4].map(|_: u64| RandomState::new().hash_one(clock::now()) | 1);
        }
        Self(words)
    }

    fn next(&mut self) -> u128 {
        u128::from(self.word()) << 64 | u128::from(self.word())
    }

    fn word(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.0;
        let word = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        word
    }
}

fn recipients(snapshot: &Snapshot) -> impl Iterator<Item = (RecipientId, &RegionSettings)> {
    snapshot.recipients.iter().map(|r| (r.id, &r.link))
}

fn register_tallies(shared: &Shared, upstreams: &Upstreams) {
    let Ok(mut tallies) = shared.tallies.lock() else {
        return;
    };
    for (region, tally) in upstreams.tallies() {
        if !tallies.iter().any(|(_, t)| Arc::ptr_eq(t, tally)) {
            tallies.push((Arc::clone(region), Arc::clone(tally)));
        }
    }
}
