//! The second listener: health, metrics, dry runs, the ledger, reload. Never on the way of a
//! record; its own thread and runtime.

mod connections;
mod consents;
mod console;
mod guard;
mod handlers;
mod instruments;
mod ledger;
mod matrix;
mod person;
mod reports;
mod try_out;

use std::{net::TcpListener, sync::Arc};

use axum::{
    Router, middleware,
    routing::{get, post},
};
use tokio::sync::watch;

use crate::shared::Shared;

/// Serves until `stop` turns true. `whole`: everything; else `/livez` and `/readyz` alone, for
/// kubelets.
pub fn serve(
    shared: Arc<Shared>,
    listener: TcpListener,
    whole: bool,
    mut stop: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async move {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        // Whether there is TLS at all cannot change while the router runs.
        let secured = shared.snapshot.load().watched.admin.clone();
        let secured = secured.filter(|_| whole);
        let service = if whole {
            whole_router(Arc::clone(&shared))
        } else {
            probes(Arc::clone(&shared))
        };
        // Answers here are short; nobody's record is lost when one is cut at the end.
        tokio::select! {
            never = connections::serve(listener, shared, secured, service) => match never {},
            _ = stop.wait_for(|s| *s) => Ok(()),
        }
    })
}

fn probes(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/livez", get(handlers::livez))
        .route("/readyz", get(handlers::readyz_in_brief))
        .fallback(handlers::nothing_here)
        .method_not_allowed_fallback(handlers::wrong_method)
        .with_state(shared)
}

fn whole_router(shared: Arc<Shared>) -> Router {
    let guarded = Router::new()
        .route("/metrics", get(handlers::metrics))
        .route("/version", get(handlers::version))
        .route("/-/reload", post(handlers::reload))
        .route("/v1/regions", get(handlers::regions))
        .route("/v1/instruments", get(instruments::all))
        .route("/v1/instruments/{id}", get(instruments::one))
        .route("/v1/erasures", get(handlers::erasures))
        .route("/v1/ledger", get(ledger::page))
        .route("/v1/policy/matrix", matrix::page())
        .route("/v1/transfers", get(reports::transfers))
        .route("/v1/subjects:report", post(reports::subject))
        .route("/v1/consents", post(consents::record))
        .route("/v1/consents:query", post(consents::query))
        .route("/v1/consents:withdraw", post(consents::withdraw))
        .route("/v1/decisions:explain", post(try_out::explain))
        .route("/v1/records:classify", post(try_out::classify))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&shared),
            guard::token,
        ));
    let console =
        Router::new()
            .route("/", get(console::page))
            .layer(middleware::from_fn_with_state(
                Arc::clone(&shared),
                guard::page,
            ));
    Router::new()
        .route("/livez", get(handlers::livez))
        .route("/readyz", get(handlers::readyz))
        .merge(console.with_state(Arc::clone(&shared)))
        .merge(guarded.with_state(Arc::clone(&shared)))
        .fallback(handlers::nothing_here)
        .method_not_allowed_fallback(handlers::wrong_method)
        .with_state(shared)
}
