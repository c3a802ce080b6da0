//! Swapping in new settings and policies while the router runs: whole, or not at all.

use std::{
    path::Path,
    sync::{Arc, PoisonError},
};

use jiff::Timestamp;
use serde::Serialize;

use super::{
    Shared, Snapshot, forewarn,
    snapshot::{Broken, Built},
    sources::{self, Seen},
};
use crate::{
    clock,
    document::{Fault, Faults},
    settings::{self, RESTART, Settings},
};

/// What the last reload judged.
#[derive(Clone, Debug, Default)]
pub struct LastReload {
    /// What was judged.
    seen: Seen,
    /// A change that was seen once; see [`look`].
    doubtful: Option<Seen>,
}

impl LastReload {
    /// After a start with these files.
    pub fn started(seen: Seen) -> Self {
        Self {
            seen,
            ..Self::default()
        }
    }
}

/// What a reload did, as the admin listener answers it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// `swapped`, `unchanged` (the same policy and settings), or `refused`.
    pub result: &'static str,
    /// The policy now in force.
    pub policy: String,
    /// The digest of the settings now in force.
    pub settings: String,
    /// Warnings, why it was refused, and what is wrong with certificates, keys, authorities and
    /// tokens of which older ones stay in force, whatever became of the policy.
    pub faults: Vec<Fault>,
}

impl Report {
    /// Whether everything on disk is in force.
    pub fn is_whole(&self) -> bool {
        self.result != "refused" && !self.faults.iter().any(Fault::is_error)
    }
}

/// Reads the files anew. On any error in settings or policies these stay as they were, and the report
/// says why. Of the files that are exchanged each by itself every sound one is put in force. Blocks
/// on the disk, like [`look`]: both are for the thread of [`super::reloads`].
pub fn reload(shared: &Shared) -> Report {
    // One reload at a time: each builds on the snapshot that the one before put in force.
    let mut last = shared
        .last_reload
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let mut report = exchange(shared, &mut last, true);
    // Whoever asks for a reload wants what lies there now, not at the next look.
    let snapshot = shared.snapshot.load_full();
    let watched = &snapshot.watched;
    watched.look(&snapshot.settings, &shared.metrics, clock::now(), false);
    let behind = watched.behind();
    if !behind.is_empty() {
        tracing::warn!(files = ?behind, "files on disk are broken, older ones stay in force");
        report.faults.extend(faults_behind(shared, &snapshot));
    }
    report
}

/// What is wrong with the files that are exchanged by themselves, where older ones are in use.
fn faults_behind(shared: &Shared, snapshot: &Snapshot) -> Vec<Fault> {
    // Its own faults are told by whoever asked for the reload's.
    let read = settings::read_placed(&shared.config, settings::environment(), &Faults::new());
    let Some((_, places)) = read else {
        return Vec::new();
    };
    let faults = Faults::new();
    let (settings, recipients) = (&snapshot.settings, &snapshot.recipients);
    let watched = &snapshot.watched;
    watched.tell_faults(settings, recipients, &places, &faults);
    faults.into_sorted()
}

/// Loads what has changed in the files that `reload.watch` covers. `retry`: files that were refused
/// are tried again although they are the same, since what they lacked may have come (a certificate,
/// say).
///
/// A change counts once it was seen twice: two volumes that belong together are not exchanged at one
/// instant.
pub fn look(shared: &Shared, retry: bool) {
    let mut last = shared
        .last_reload
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let current = shared.snapshot.load_full();
    let watch = current.settings.watch;
    let now = last.seen.again(&shared.config, watch);
    if last.seen.still_holds(&now, watch) {
        last.doubtful = None;
        if retry && !shared.refused.load().is_empty() && !now.is_empty() {
            exchange(shared, &mut last, false);
        }
    } else if last.doubtful.as_ref().is_some_and(|d| d.is_same(&now)) {
        exchange(shared, &mut last, true);
    } else {
        last.doubtful = Some(now);
    }
}

/// `loud`: a refusal is told although the one before was told in the same words.
fn exchange(shared: &Shared, last: &mut LastReload, loud: bool) -> Report {
    let current = shared.snapshot.load_full();
    let (built, seen) = sources::build(&shared.config, clock::now(), Some(&current));
    let built = built
        .map_err(|Broken(faults)| faults)
        .and_then(|built| needs_no_restart(&shared.config, &current.settings, built));
    last.seen = seen;
    last.doubtful = None;
    let report = match built {
        Err(faults) if !loud && sources::alike(&faults, &shared.refused.load()) => {
            return refused(&current, faults);
        }
        Ok(Built { snapshot, warnings }) => {
            let changed = snapshot.checked.digest() != current.checked.digest()
                // Keys that verify tokens stand in a file of their own.
                || snapshot.settings_digest != current.settings_digest
                || *snapshot.settings != *current.settings;
            let (policy, settings) = (snapshot.checked.digest(), snapshot.settings_digest);
            shared.refused.store(Arc::default());
            let name = |of: &Snapshot| forewarn::observed(of).map(|r| Arc::clone(&r.name));
            let turns = name(&current) != name(&snapshot);
            swap(shared, snapshot);
            tracing::info!(%policy, %settings, "reloaded");
            if turns {
                // What was supposed before is not what holds after.
                shared.supposed.forget();
                forewarn::of_observing(&shared.snapshot.load(), &shared.directory);
            }
            Report {
                result: if changed { "swapped" } else { "unchanged" },
                policy: policy.to_string(),
                settings: settings.to_string(),
                faults: warnings,
            }
        }
        Err(faults) => {
            for fault in &faults {
                tracing::error!("reload refused: {}", fault.summary());
            }
            shared.refused.store(Arc::new(faults.clone()));
            refused(&current, faults)
        }
    };
    let reloads = &shared.metrics.reloads;
    reloads.with_label_values(&[report.result]).inc();
    report
}

fn refused(current: &Snapshot, faults: Vec<Fault>) -> Report {
    Report {
        result: "refused",
        policy: current.checked.digest().to_string(),
        settings: current.settings_digest.to_string(),
        faults,
    }
}

/// The same files compiled for the instant `at`, if a date on which they depend has come. Blocks
/// for some milliseconds.
pub fn recompile(shared: &Shared, at: Timestamp) {
    let _one_at_a_time = shared.swaps.lock().unwrap_or_else(PoisonError::into_inner);
    let current = shared.snapshot.load_full();
    if current.policy.holds_at(at) {
        return;
    }
    let policy = current.checked.compile(at);
    let next = Snapshot {
        generation: current.generation + 1,
        settings: Arc::clone(&current.settings),
        settings_digest: current.settings_digest,
        checked: Arc::clone(&current.checked),
        policy,
        regions: current.regions.clone(),
        region_entities: current.region_entities.clone(),
        location: current.location,
        location_entity: current.location_entity,
        recipients: current.recipients.clone(),
        routes: current.routes.clone(),
        steering: current.steering.clone(),
        spellings: current.spellings,
        underscored: current.underscored,
        keys: current.keys.clone(),
        geo: Arc::clone(&current.geo),
        watched: current.watched.clone(),
        observe_to: current.observe_to,
    };
    shared.snapshot.store(Arc::new(next));
    tracing::info!("compiled the policy anew: a date that it depends on has come");
}

fn swap(shared: &Shared, mut snapshot: Snapshot) {
    let one_at_a_time = shared.swaps.lock().unwrap_or_else(PoisonError::into_inner);
    // While the files were read the one in force may have been compiled anew.
    snapshot.generation = shared.snapshot.load().generation + 1;
    let health = shared.health.load().renewed(&snapshot.links());
    shared.health.store(Arc::new(health));
    shared.memory.set_limit(snapshot.settings.limits.memory);
    shared.snapshot.store(Arc::new(snapshot));
    drop(one_at_a_time);
    // A day that came meanwhile counts from the first request on.
    recompile(shared, clock::now());
}

/// Some settings hold open files and sockets, which a running router cannot exchange.
fn needs_no_restart(config: &Path, current: &Settings, built: Built) -> Result<Built, Vec<Fault>> {
    let next = &built.snapshot.settings;
    let changed = RESTART.into_iter().zip(differ(current, next));
    let faults = Faults::new();
    for (key, _) in changed.filter(|(_, changed)| *changed) {
        faults.error_hint(
            &crate::document::Where::Path(config.display().to_string()),
            format!("`{key}` cannot change while the router runs"),
            "restart the router, or undo the change",
        );
    }
    let faults = faults.into_sorted();
    if faults.is_empty() {
        Ok(built)
    } else {
        Err(faults)
    }
}

/// For each of [`RESTART`], in its order, whether it differs.
fn differ(current: &Settings, next: &Settings) -> [bool; RESTART.len()] {
    let (plane, next_plane) = (&current.data_plane, &next.data_plane);
    let (directory, next_directory) = (&current.directory, &next.directory);
    [
        plane.listen != next_plane.listen,
        plane.workers != next_plane.workers,
        plane.tls.is_some() != next_plane.tls.is_some(),
        current.admin.listen != next.admin.listen,
        // A connection that stands was let in by the old rules.
        current.admin.tls != next.admin.tls,
        current.access_log != next.access_log,
        current.otlp != next.otlp,
        current.probes != next.probes,
        current.ledger != next.ledger,
        directory.path != next_directory.path,
        directory.secret != next_directory.secret,
        current.log.level != next.log.level,
        current.log.json != next.log.json,
    ]
}
