//! TLS on both sides of a running router: who gets in, and which servers are sent anything.

mod admin;
mod backend;
mod checks;
pub mod client;
mod http2;
mod kinds;
mod listener;
pub mod pki;
mod regions;
mod reload;

use std::sync::Arc;

use crate::kit::setup::{Backends, Setup};
use pki::Authority;

/// Settings whose data plane shows a certificate for `api.test`, signed by `ca`.
pub fn secured(ca: &Authority) -> (Setup, Backends) {
    let (mut setup, backends) = Setup::recording();
    let pair = ca.sign(&["dns:api.test"]).write(setup.folder.path(), "api");
    setup.set(&["data_plane", "tls", "certificates"], vec![pair]);
    (setup, backends)
}

/// The same, where callers' certificates are asked for.
fn mutual(ca: &Authority, callers: &Authority, mode: &str) -> (Setup, Backends) {
    let (mut setup, backends) = secured(ca);
    pki::write(setup.folder.path(), "callers.pem", &callers.pem);
    setup.set(&["data_plane", "tls", "client_ca"], "callers.pem");
    setup.set(&["data_plane", "tls", "client_certificates"], mode);
    (setup, backends)
}

pub fn shared<T>(config: T) -> Arc<T> {
    Arc::new(config)
}
