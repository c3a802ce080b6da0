//! Active health checks: once for the whole process, whatever the number of workers.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    task::{JoinSet, LocalSet},
    time::{MissedTickBehavior, interval, sleep},
};

use crate::{
    forward::{Endpoint, check},
    settings::{HealthCheck, RegionSettings, Settings},
    shared::Shared,
};

/// How often new settings are looked for.
const LOOK: Duration = Duration::from_millis(200);

/// Runs until `stop` turns true.
pub fn run(shared: &Arc<Shared>, mut stop: watch::Receiver<bool>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let local = LocalSet::new();
    local.block_on(&runtime, async {
        tokio::select! {
            () = keep_checking(shared) => {}
            _ = stop.wait_for(|s| *s) => {}
        }
    });
    drop(local);
    // A name that is being looked up would hold the end for as long as its resolver takes.
    runtime.shutdown_background();
    Ok(())
}

/// Starts the checks anew whenever there are other settings. A policy that is compiled anew keeps
/// its settings, and the checks.
async fn keep_checking(shared: &Arc<Shared>) {
    let mut checks = JoinSet::new();
    let mut known: Option<Arc<Settings>> = None;
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let settings = Arc::clone(&shared.snapshot.load().settings);
        if known.as_ref().is_some_and(|k| Arc::ptr_eq(k, &settings)) {
            continue;
        }
        checks.abort_all();
        checks = JoinSet::new();
        for region in &settings.regions {
            for endpoint in region
                .endpoints
                .iter()
                .filter_map(|e| Endpoint::parse(e).ok())
            {
                match &region.health {
                    None => {
                        let health = shared.health.load();
                        health.forget_checks(&region.name, endpoint.name());
                    }
                    Some(how) => {
                        let one = One {
                            shared: Arc::clone(shared),
                            region: region.clone(),
                            endpoint,
                            how: how.clone(),
                        };
                        checks.spawn_local(one.keep_checking());
                    }
                }
            }
        }
        known = Some(settings);
    }
}

/// The checks of one endpoint.
struct One {
    shared: Arc<Shared>,
    region: RegionSettings,
    endpoint: Endpoint,
    how: HealthCheck,
}

impl One {
    async fn keep_checking(self) {
        let (how, name) = (&self.how, &self.region.name);
        loop {
            // The files behind it may have been exchanged since the last time.
            let snapshot = self.shared.snapshot.load_full();
            let backends = &snapshot.watched.backends;
            let side = backends.iter().find(|(of, _)| of == name);
            let side = side.map(|(_, live)| live.load());
            drop(snapshot);
            let http = self.region.http;
            let good = check(&self.endpoint, side, http, &how.path, how.timeout).await;
            let health = self.shared.health.load_full();
            health.checked(name, self.endpoint.name(), how, good);
            sleep(how.interval).await;
        }
    }
}
