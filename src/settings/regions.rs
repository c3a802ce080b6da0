//! Regions and schemas: tables whose keys are names of the operator's choosing.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use std::{path::Path, time::Duration};

use http::{Uri, uri::PathAndQuery};

use super::{HealthCheck, RegionSettings, Schema, tls, values};
use crate::{
    classify::is_pointer,
    document::{Faults, Fields, Node, suggest},
    tls::Identity,
};

const HOUR: Duration = Duration::from_secs(3600);
/// Of a health check's times: a shorter one would only be load.
const SHORTEST: Duration = Duration::from_millis(10);

/// What was read of a table of named things, and the names of all that stand there: also a broken
/// one is known by name, so that one mistake is not told twice.
#[derive(Debug)]
pub(super) struct Named<T> {
    pub(super) read: T,
    pub(super) names: Vec<String>,
}

impl<T: Default> Default for Named<T> {
    fn default() -> Self {
        Self {
            read: T::default(),
            names: Vec::new(),
        }
    }
}

pub(super) fn regions(node: &Node, folder: &Path, faults: &Faults) -> Named<Vec<RegionSettings>> {
    let mut regions = Named::<Vec<RegionSettings>>::default();
    let Some(fields) = node.fields(faults) else {
        return regions;
    };
    let mut taken: HashMap<String, String> = HashMap::new();
    for (name, at, node) in fields.named() {
        regions.names.push(name.to_owned());
        if !is_name(name) {
            let hint = "names are up to 63 lower-case letters, digits and `-`, such as `eu-west`";
            faults.error_hint(at, format!("`{name}` is no name for a region"), hint);
        } else if name == "refuse" {
            let hint = "it already means something in `unknown_home`";
            faults.error_hint(at, "a region cannot be called `refuse`", hint);
        }
        let region = node
            .fields(faults)
            .and_then(|f| region(name, f, folder, &mut taken));
        if let Some(region) = &region {
            tls::is_told_apart(region, &regions.read, at, faults);
        }
        regions.read.extend(region);
    }
    if regions.names.is_empty() {
        let hint = "add [regions.NAME] with country, entity and endpoints";
        faults.error_hint(&node.at, "there is no region", hint);
    }
    if regions.names.len() > 255 {
        faults.error(&node.at, "there are more than 255 regions");
    }
    regions
}

/// What can stand in environment variables, headers and labels alike.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 63
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn region(
    name: &str,
    fields: Fields<'_>,
    folder: &Path,
    taken: &mut HashMap<String, String>,
) -> Option<RegionSettings> {
    let faults = fields.faults();
    let place = fields
        .need("country")
        .and_then(|n| values::place(n, faults));
    let entity = fields.need("entity").and_then(|n| values::name(n, faults));
    let mut endpoints = Vec::new();
    if let Some(node) = fields.need("endpoints") {
        let items = node.texts(faults);
        if items.is_empty() {
            let hint = "write [\"https://host:port\"]";
            faults.error_hint(&node.at, "a region needs an endpoint", hint);
        }
        for (text, item) in items {
            let Some(uri) = endpoint(text, item, faults) else {
                continue;
            };
            // One server, whatever it is spoken to in.
            let address = uri.to_string().trim_end_matches('/').to_lowercase();
            let address = address.replacen("https://", "http://", 1);
            if let Some(other) = taken.insert(address, name.to_owned()) {
                let message = match other == name {
                    true => "the endpoint is listed twice".to_owned(),
                    false => format!("the endpoint is also one of region `{other}`"),
                };
                let hint = "two regions at one address could not be told apart";
                faults.error_hint(&item.at, message, hint);
            }
            endpoints.push(uri);
        }
    }
    let backend = tls::backend(&fields, folder, &endpoints);
    let concurrent_requests = fields
        .maybe("concurrent_requests")
        .and_then(|n| n.integer_in(1..=1_000_000, faults))
        .and_then(|n| usize::try_from(n).ok());
    let queue_wait = fields
        .maybe("queue_wait")
        .and_then(|n| values::duration(n, Duration::ZERO, HOUR, faults));
    let health = fields.maybe("health").and_then(|n| health(n, faults));
    fields.finish();
    Some(RegionSettings {
        name: Arc::from(name),
        place: place?,
        entity: Arc::from(entity?),
        endpoints,
        tls: backend.tls,
        http: backend.http,
        concurrent_requests,
        queue_wait,
        health,
    })
}

/// `[regions.NAME.health]`.
fn health(node: &Node, faults: &Faults) -> Option<HealthCheck> {
    let fields = node.fields(faults)?;
    let path = fields.need("path").and_then(|n| check_path(n, faults));
    let duration = |key, default| {
        let node = fields.maybe(key);
        node.and_then(|n| values::duration(n, SHORTEST, HOUR, faults))
            .unwrap_or(default)
    };
    let count = |key, default| {
        let node = fields.maybe(key);
        node.and_then(|n| n.integer_in(1..=1000, faults))
            .and_then(|n| u32::try_from(n).ok())
            .unwrap_or(default)
    };
    let check = HealthCheck {
        path: path.unwrap_or_else(|| PathAndQuery::from_static("/")),
        interval: duration("interval", Duration::from_secs(5)),
        timeout: duration("timeout", Duration::from_secs(2)),
        healthy: count("healthy", 2),
        unhealthy: count("unhealthy", 3),
    };
    fields.finish();
    Some(check)
}

fn check_path(node: &Node, faults: &Faults) -> Option<PathAndQuery> {
    let text = node.text(faults)?;
    match text.parse::<PathAndQuery>() {
        Ok(path) if text.starts_with('/') => Some(path),
        _ => {
            faults.error_hint(&node.at, "expected a path", "write \"/healthz\"");
            None
        }
    }
}

/// `http://host:port` or `https://host:port`, with an optional path prefix and nothing else.
pub(super) fn endpoint(text: &str, node: &Node, faults: &Faults) -> Option<Uri> {
    // What is wrong is told without the text: it may hold a password.
    let refuse = |message: &str| {
        let hint = "write \"https://host:port\", with a path prefix if need be";
        faults.error_hint(&node.at, message, hint);
        None
    };
    let Ok(uri) = text.parse::<Uri>() else {
        return refuse("the endpoint is no address");
    };
    match (uri.scheme_str(), uri.authority()) {
        (Some("http" | "https"), Some(_)) => {}
        _ => return refuse("the endpoint is no http or https address"),
    }
    let authority = uri.authority()?;
    if authority.as_str().contains('@') {
        return refuse("the endpoint holds a user name");
    }
    if authority.host().is_empty() {
        return refuse("the endpoint has no host");
    }
    if authority.port_u16().is_none_or(|port| port == 0) {
        return refuse("the endpoint has no port");
    }
    if uri.scheme_str() == Some("https") && Identity::of_host(authority.host()).is_none() {
        return refuse("the endpoint's host is no name that a certificate can have");
    }
    if uri.query().is_some() || text.contains('#') {
        return refuse("the endpoint has a query or a fragment");
    }
    Some(uri)
}

/// Whether the node names one of `regions`; a fault if not.
pub(super) fn known(node: &Node, regions: &[String], faults: &Faults) -> Option<()> {
    let name = node.text(faults)?;
    if regions.iter().any(|region| region == name) {
        return Some(());
    }
    let hint = suggest(name, regions.iter().map(String::as_str))
        .unwrap_or_else(|| format!("known regions: {}", regions.join(", ")));
    faults.error_hint(&node.at, format!("there is no region `{name}`"), hint);
    None
}

pub(super) fn schemas(node: &Node, faults: &Faults) -> Named<BTreeMap<String, Schema>> {
    let mut schemas = Named::<BTreeMap<String, Schema>>::default();
    let Some(fields) = node.fields(faults) else {
        return schemas;
    };
    for (name, _, node) in fields.named() {
        schemas.names.push(name.to_owned());
        if let Some(fields) = node.fields(faults) {
            schemas.read.insert(name.to_owned(), schema(fields));
        }
    }
    schemas
}

fn schema(fields: Fields<'_>) -> Schema {
    let faults = fields.faults();
    let mut schema = Schema::default();
    if let Some(strict) = fields.maybe("strict") {
        schema.strict = strict.boolean(faults).unwrap_or(false);
    }
    if let Some(node) = fields.need("fields")
        && let Some(listed) = node.fields(faults)
    {
        let mut is_empty = true;
        for (pointer, at, category) in listed.named() {
            is_empty = false;
            if !is_pointer(pointer) {
                let hint = "write \"/address/country\"; `~` is `~0`, `/` in a name `~1`";
                let message = format!("`{pointer}` is not a JSON pointer (RFC 6901)");
                faults.error_hint(at, message, hint);
            }
            if let Some(category) = values::name(category, faults) {
                schema
                    .fields
                    .insert(pointer.to_owned(), category.to_owned());
            }
        }
        if is_empty {
            let hint = "list JSON pointers and categories, or drop the schema";
            faults.error_hint(&node.at, "the schema has no fields", hint);
        }
    }
    fields.finish();
    schema
}
