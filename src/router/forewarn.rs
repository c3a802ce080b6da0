//! What is better told at the start than found out later.

use super::Snapshot;
use crate::{admit::descriptors, settings::Settings, telemetry::clock};

pub fn tell(snapshot: &Snapshot) {
    warn_of_old_geoip(snapshot);
    warn_of_observing(snapshot);
    warn_of_few_descriptors(&snapshot.settings);
}

/// Whoever reads the log must not take this router for one that protects anybody.
fn warn_of_observing(snapshot: &Snapshot) {
    let Some(region) = snapshot.observe_to.and_then(|to| snapshot.regions.get(to)) else {
        return;
    };
    tracing::warn!(
        observe_to = %region.name,
        "mode observe: everything is decided and logged, nothing is refused or routed home"
    );
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
