//! `[otlp]`: where traces go. Read alike whether or not the program was built to send them; that is
//! judged with the rest of what a start needs.

use std::{path::Path, sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue, Uri, header};

use super::{BackendTls, HttpVersion, Otlp, Secret, secrets::Secrets, tls, values};
use crate::document::{Faults, Fields, Node, Value, Where};

const MILLISECOND: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_secs(60);

/// Where OTLP/HTTP puts traces below a collector's address.
const PATH: &str = "/v1/traces";

/// Fields that the exporter writes itself.
const OWN: [HeaderName; 6] = [
    header::HOST,
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
];

pub(super) fn otlp(fields: Fields<'_>, folder: &Path, secrets: &Secrets) -> Option<Otlp> {
    let faults = fields.faults();
    let address = fields.need("endpoint");
    let endpoint = address.and_then(|n| endpoint(n, faults));
    let tls = secured(&fields, folder, endpoint.as_ref());
    let given = secrets.read(&fields, ("otlp.headers", "headers", "headers_file"), folder);
    let headers = given.and_then(|(at, secret)| headers(&at, &secret, faults));
    let sample = fields.maybe("sample").and_then(|n| ratio(n, faults));
    let service = fields
        .maybe("service")
        .and_then(|n| values::name(n, faults));
    let timeout = fields
        .maybe("timeout")
        .and_then(|n| values::duration(n, MILLISECOND, LONGEST, faults));
    fields.finish();
    Some(Otlp {
        endpoint: endpoint?,
        tls,
        headers: headers.unwrap_or_default(),
        sample: sample.unwrap_or(1.0),
        service: Arc::from(service.unwrap_or("domicile")),
        timeout: timeout.unwrap_or(Duration::from_secs(10)),
    })
}

fn endpoint(node: &Node, faults: &Faults) -> Option<Uri> {
    let text = node.text(faults)?;
    // What is wrong is told without the text: it may hold a password.
    let refuse = |message: &str| {
        let hint = "write \"https://host:4318\", or the whole address of its traces";
        faults.error_hint(&node.at, message, hint);
        None
    };
    let Ok(uri) = text.parse::<Uri>() else {
        return refuse("the collector is no address");
    };
    let (Some("http" | "https"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return refuse("the collector is no http or https address");
    };
    if authority.as_str().contains('@') {
        return refuse("the collector's address holds a user name");
    }
    if authority.port_u16().is_none_or(|port| port == 0) || authority.host().is_empty() {
        return refuse("the collector's address has no port");
    }
    if uri.query().is_some() {
        return refuse("the collector's address has a query");
    }
    if !uri.path().trim_end_matches('/').is_empty() {
        return Some(uri);
    }
    let whole = format!("{}://{authority}{PATH}", uri.scheme_str().unwrap_or("http"));
    whole.parse().ok()
}

/// As of a region: authorities of its own, an identity, and a certificate of ours.
fn secured(fields: &Fields<'_>, folder: &Path, endpoint: Option<&Uri>) -> Option<BackendTls> {
    let faults = fields.faults();
    let ca_file = fields.maybe("ca_file");
    let ca_path = ca_file.and_then(|n| values::path(n, faults));
    let names = fields.maybe("identity");
    let identity = names.map(|n| tls::identities(n, faults));
    let own = fields.maybe("tls");
    let certificate = own.and_then(|n| tls::pair(n, folder, faults));
    let endpoint = endpoint?;
    if endpoint.scheme_str() == Some("https") {
        if ca_file.is_none() {
            let hint = "name the PEM file of those who sign it; the system's are not believed";
            faults.error_hint(fields.at, "an https collector needs `ca_file`", hint);
        }
        return Some(BackendTls {
            ca_file: folder.join(ca_path?),
            identity: identity.unwrap_or_default(),
            certificate,
            resume: false,
            http: HttpVersion::One,
        });
    }
    let asked = [("identity", names), ("ca_file", ca_file), ("tls", own)];
    for (key, node) in asked.iter().filter_map(|(key, n)| n.map(|n| (key, n))) {
        let hint = "it counts for https:// collectors".to_owned();
        faults.warning(&node.at, format!("`{key}` has no effect"), Some(hint));
    }
    None
}

fn ratio(node: &Node, faults: &Faults) -> Option<f64> {
    let ratio = match node.value {
        Value::Integer(0) => 0.0,
        Value::Integer(1) => 1.0,
        Value::Float(ratio) => ratio,
        _ => f64::NAN,
    };
    if !(0.0..=1.0).contains(&ratio) {
        let hint = "write 1.0 for all, 0.01 for one in a hundred";
        faults.error_hint(&node.at, "expected a number from 0 to 1", hint);
        return None;
    }
    Some(ratio)
}

/// `name=value`, separated by commas or line ends, values percent-encoded: as OpenTelemetry's own
/// variables have it.
fn headers(at: &Where, secret: &Secret, faults: &Faults) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let hint = "write `name=value`, separated by commas or line ends, with `%2C` for a comma";
    let read: Option<Vec<_>> = std::str::from_utf8(secret.reveal()).ok().and_then(|text| {
        let parts = text.split([',', '\n', '\r']).map(str::trim);
        parts.filter(|p| !p.is_empty()).map(pair).collect()
    });
    match read {
        None => {
            faults.error_hint(at, "the collector's fields cannot be read", hint);
            None
        }
        Some(read) if read.is_empty() => {
            faults.error_hint(at, "the collector's fields are empty", hint);
            None
        }
        Some(read) => {
            if let Some((name, _)) = read.iter().find(|(name, _)| OWN.contains(name)) {
                faults.error(at, format!("`{name}` is written by the router itself"));
            }
            Some(read)
        }
    }
}

fn pair(text: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = text.split_once('=')?;
    let value = decoded(value.trim())?;
    let mut value = HeaderValue::from_bytes(&value).ok()?;
    value.set_sensitive(true);
    Some((HeaderName::try_from(name.trim()).ok()?, value))
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                u8::try_from(digit()? << 4 | digit()?).ok()?
            }
            byte => byte,
        });
    }
    Some(out)
}
