//! What is better told at the start than found out later.

use super::Snapshot;
use crate::{admit::descriptors, clock, domain::Region, locate::Directory, settings::Settings};

pub fn tell(snapshot: &Snapshot) {
    warn_of_old_geoip(snapshot);
    warn_of_few_descriptors(&snapshot.settings);
}

/// At the start, and when a reload changes where everything goes. Whoever reads the log must not
/// take this router for one that protects anybody, nor for one that finds what an enforcing one
/// has put elsewhere.
pub fn of_observing(snapshot: &Snapshot, directory: &Directory) {
    let Some(region) = observed(snapshot) else {
        return;
    };
    tracing::warn!(
        observe_to = %region.name,
        "mode observe: everything is decided and logged, nothing is refused or routed home"
    );
    let status = directory.status();
    if status.pins > 0 || status.waiting > 0 {
        tracing::warn!(
            pins = status.pins,
            waiting = status.waiting,
            observe_to = %region.name,
            "mode observe: people have a home already; of those whose home is another region than observe_to, reads find nothing and erasures do not reach the record, until the mode is enforce again"
        );
    }
}

/// The region that gets everything, in observe mode.
pub fn observed(snapshot: &Snapshot) -> Option<&Region> {
    snapshot.observe_to.and_then(|to| snapshot.regions.get(to))
}

fn warn_of_few_descriptors(settings: &Settings) {
    let plane = &settings.data_plane;
    let needed = descriptors::needed(plane.connections, plane.workers, plane.concurrent_requests);
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    if let Some(limit) = descriptors::soft_limit(&limits)
        && limit < needed
    {
        tracing::warn!(
            limit,
            needed,
            "the process may open fewer files than data_plane.connections and the calls of regions can take: raise the limit (`ulimit -n`, LimitNOFILE=) or lower the settings"
        );
    }
}

fn warn_of_old_geoip(snapshot: &Snapshot) {
    let Some(days) = snapshot.geo.age_days(clock::now()) else {
        return;
    };
    if snapshot.geo.is_embedded() {
        tracing::warn!(
            days,
            "the built-in GeoIP table serves the demo; bring a current one with geoip.database"
        );
    } else if days > 90 {
        tracing::warn!(days, "the GeoIP database is old; bring a current one");
    }
}
