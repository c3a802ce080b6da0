//! `domicile store`: one embedded regional store.

use super::{Ended, Failure, args, print_line};
use crate::{
    store::{Store, StoreOptions},
    telemetry::log,
};

pub fn store(args: args::Store) -> Result<Ended, Failure> {
    log::start(&crate::settings::Log::default())?;
    let options = StoreOptions::new(args.listen, args.data, args.region.clone());
    let store = Store::bind(options)?;
    print_line(&format!(
        "ready: store {} on http://{}",
        args.region,
        store.address()
    ));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let stop = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        store.serve(stop).await.map_err(Failure::from)
    })?;
    Ok(Ended::Good)
}
