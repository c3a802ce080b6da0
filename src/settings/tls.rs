//! TLS of listeners and backends. What the files hold is judged elsewhere, when they are read.

use std::{path::Path, sync::Arc};

use http::Uri;

use super::{
    BackendTls, CertificateFiles, ClientCertificates, HttpVersion, ListenerTls, RegionSettings,
    values,
};
use crate::{
    document::{Faults, Fields, Node, Where},
    tls::{FileFault, Identity},
};

/// How a region or recipient is spoken to.
#[derive(Default)]
pub(super) struct Backend {
    pub(super) tls: Option<BackendTls>,
    pub(super) http: HttpVersion,
}

/// `[data_plane.tls]` and `[admin.tls]`.
pub(super) fn listener(
    node: &Node,
    folder: &Path,
    speaks_h2: bool,
    faults: &Faults,
) -> Option<ListenerTls> {
    let fields = node.fields(faults)?;
    let mut certificates = Vec::new();
    if let Some(node) = fields.need("certificates") {
        let items = node.list(faults).unwrap_or(&[]);
        if items.is_empty() {
            let hint = "write [{ chain = \"tls/server.pem\", key = \"tls/server.key\" }]";
            faults.error_hint(&node.at, "a listener needs a certificate", hint);
        }
        for item in items {
            certificates.extend(pair(item, folder, faults));
        }
    }
    let client_ca = fields
        .maybe("client_ca")
        .and_then(|n| values::path(n, faults));
    let words = [
        ("optional", ClientCertificates::Optional),
        ("required", ClientCertificates::Required),
    ];
    let asked = fields.maybe("client_certificates");
    let client_certificates = asked.and_then(|n| values::choice(n, &words, faults));
    if let (Some(node), None) = (asked, fields.maybe("client_ca")) {
        let message = "`client_certificates` needs `client_ca`";
        let hint = "name the authorities that sign callers' certificates";
        faults.error_hint(&node.at, message, hint);
    }
    fields.finish();
    (!certificates.is_empty()).then(|| ListenerTls {
        certificates,
        client_ca: client_ca.map(|path| folder.join(path)),
        client_certificates: client_certificates.unwrap_or_default(),
        speaks_h2,
    })
}

/// `ca_file`, `identity`, `resume`, `tls` and `http` of a region or recipient with these endpoints.
pub(super) fn backend(fields: &Fields<'_>, folder: &Path, endpoints: &[Uri]) -> Backend {
    let faults = fields.faults();
    let words = [("1.1", HttpVersion::One), ("2", HttpVersion::Two)];
    let http = fields.maybe("http");
    let http = http.and_then(|n| values::choice(n, &words, faults));
    let http = http.unwrap_or_default();
    let ca_file = fields.maybe("ca_file");
    let ca_path = ca_file.and_then(|n| values::path(n, faults));
    let names = fields.maybe("identity");
    let identity = names.map(|n| identities(n, faults)).unwrap_or_default();
    let resumes = fields.maybe("resume");
    let resume = resumes.and_then(|n| n.boolean(faults)).unwrap_or(false);
    let own = fields.maybe("tls");
    let certificate = own.and_then(|n| pair(n, folder, faults));
    let is_https = |uri: &&Uri| uri.scheme_str() == Some("https");
    let secured = endpoints.iter().any(|uri| is_https(&uri));
    if secured && ca_file.is_none() {
        let hint = "name the PEM file of those who sign its servers; the system's are not believed";
        let at = fields.maybe("endpoints").map_or(fields.at, |n| &n.at);
        faults.error_hint(at, "an https endpoint needs `ca_file`", hint);
    }
    let asked = [
        ("identity", names),
        ("ca_file", ca_file),
        ("tls", own),
        ("resume", resumes.filter(|_| resume)),
    ];
    let asked = asked.iter().find_map(|(key, n)| n.map(|n| (key, n)));
    if let Some((key, node)) = asked {
        let plain = endpoints
            .iter()
            .find(|uri| !is_https(uri) && !is_local(uri));
        if let Some(plain) = plain {
            let message = format!(
                "`{key}` counts for nothing at http://{}, which proves no identity",
                plain.authority().map_or("", |a| a.as_str())
            );
            faults.error_hint(&node.at, message, "write https:// there");
        } else if !secured && !endpoints.is_empty() && (names.is_none() || !identity.is_empty()) {
            let hint = "it counts for https:// endpoints".to_owned();
            faults.warning(&node.at, format!("`{key}` has no effect"), Some(hint));
        }
    }
    let tls = ca_path.filter(|_| secured).map(|path| BackendTls {
        ca_file: folder.join(path),
        identity,
        certificate,
        resume,
        http,
    });
    Backend { tls, http }
}

/// Two regions whose servers prove the same by the same authorities are one to the router. Here the
/// authorities are files of one name; `shared::watched` compares what they hold.
pub(super) fn is_told_apart(
    region: &RegionSettings,
    others: &[RegionSettings],
    at: &Where,
    faults: &Faults,
) {
    let Some(tls) = &region.tls else { return };
    for other in others {
        let same_ca = other.tls.as_ref().is_some_and(|o| o.ca_file == tls.ca_file);
        if same_ca {
            tell_alike(region, other, at, faults);
        }
    }
}

/// Tells of two regions with an authority in common if their servers are known by the same.
pub fn tell_alike(one: &RegionSettings, other: &RegionSettings, at: &Where, faults: &Faults) {
    if let Some(alike) = alike(one, other) {
        let hint = "give each region an `identity` of its own";
        faults.error_hint(at, alike.to_string(), hint);
    }
}

/// What the servers of both are known by, if there is such.
pub fn alike(one: &RegionSettings, other: &RegionSettings) -> Option<FileFault> {
    let theirs = proofs(other);
    let mut own = proofs(one).into_iter();
    let identity = own.find(|identity| theirs.contains(identity))?;
    Some(FileFault::Alike {
        one: Arc::clone(&one.name),
        other: Arc::clone(&other.name),
        identity,
    })
}

/// What the region's servers are known by.
fn proofs(region: &RegionSettings) -> Vec<Identity> {
    match &region.tls {
        None => Vec::new(),
        Some(tls) if !tls.identity.is_empty() => tls.identity.clone(),
        Some(_) => {
            let https = |uri: &&Uri| uri.scheme_str() == Some("https");
            let hosts = region.endpoints.iter().filter(https);
            hosts
                .filter_map(|uri| Identity::of_host(uri.host()?))
                .collect()
        }
    }
}

fn is_local(uri: &Uri) -> bool {
    match uri.host().and_then(Identity::of_host) {
        Some(Identity::Ip(ip)) => ip.is_loopback(),
        Some(Identity::Dns(name)) => *name == *"localhost",
        _ => false,
    }
}

pub(super) fn identities(node: &Node, faults: &Faults) -> Vec<Identity> {
    let items = node.texts(faults);
    if items.is_empty() {
        let hint = "write [\"spiffe://acme/eu/store\"], or leave it out";
        faults.error_hint(&node.at, "`identity` names nobody", hint);
    }
    let mut found = Vec::new();
    for (text, item) in items {
        match Identity::parse(text) {
            Ok(identity) => found.push(identity),
            Err(error) => faults.error(&item.at, error.to_string()),
        }
    }
    found
}

pub(super) fn pair(node: &Node, folder: &Path, faults: &Faults) -> Option<CertificateFiles> {
    let fields = node.fields(faults)?;
    let file = |key| {
        let path = fields.need(key).and_then(|n| values::path(n, faults))?;
        Some(folder.join(path))
    };
    let (chain, key) = (file("chain"), file("key"));
    fields.finish();
    Some(CertificateFiles {
        chain: chain?,
        key: key?,
    })
}
