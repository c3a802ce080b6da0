//! Recipients outside the regions, and what a route to one of them may be.

use std::{path::Path, sync::Arc};

use http::{HeaderName, Method};

use super::{
    Format, PathTemplate, RecipientSettings, RegionSettings, UpstreamShape, circumstances,
    regions::{self, Named},
    sources::Context,
    tls, values,
};
use crate::document::{Faults, Fields, Node, Where, suggest};

/// What a request of a disclosure may be: it carries a body.
const METHODS: [Method; 3] = [Method::POST, Method::PUT, Method::PATCH];

/// Fields that are ours, or of one connection: they never go on as they came.
const OURS: [&str; 6] = [
    "connection",
    "host",
    "content-length",
    "transfer-encoding",
    "forwarded",
    "x-forwarded-for",
];

pub(super) fn recipients(
    node: &Node,
    folder: &Path,
    regions: &[RegionSettings],
    faults: &Faults,
) -> Named<Vec<RecipientSettings>> {
    let mut found = Named::<Vec<RecipientSettings>>::default();
    let Some(fields) = node.fields(faults) else {
        return found;
    };
    for (id, at, node) in fields.named() {
        found.names.push(id.to_owned());
        if !regions::is_name(id) {
            let hint = "ids are up to 63 lower-case letters, digits and `-`";
            faults.error_hint(at, format!("`{id}` is no id for a recipient"), hint);
        }
        let read = node.fields(faults).map(|f| read(id, f, folder, regions));
        found.read.extend(read);
    }
    found
}

fn read(
    id: &str,
    fields: Fields<'_>,
    folder: &Path,
    regions: &[RegionSettings],
) -> RecipientSettings {
    let faults = fields.faults();
    let place = fields
        .maybe("country")
        .and_then(|n| values::place(n, faults));
    let mut endpoints = Vec::new();
    if let Some(node) = fields.need("endpoints") {
        let items = node.texts(faults);
        if items.is_empty() {
            let hint = "write [\"https://host:port\"]";
            faults.error_hint(&node.at, "a recipient needs an endpoint", hint);
        }
        for (text, item) in items {
            let Some(uri) = regions::endpoint(text, item, faults) else {
                continue;
            };
            let same = |other: &http::Uri| other.authority() == uri.authority();
            if let Some(region) = regions.iter().find(|r| r.endpoints.iter().any(same)) {
                faults.error_hint(
                    &item.at,
                    format!("the endpoint is also one of region `{}`", region.name),
                    "a recipient is none of the places where the operator stores",
                );
            }
            endpoints.push(uri);
        }
    }
    let headers = fields.maybe("headers").map(|node| headers(node, faults));
    let transaction = circumstances::transaction(&fields, faults);
    let backend = tls::backend(&fields, folder, &endpoints);
    fields.finish();
    RecipientSettings {
        id: Arc::from(id),
        place,
        endpoints,
        tls: backend.tls,
        http: backend.http,
        headers: headers.unwrap_or_default(),
        transaction,
    }
}

fn headers(node: &Node, faults: &Faults) -> Vec<HeaderName> {
    let mut names = Vec::new();
    for (text, item) in node.texts(faults) {
        match HeaderName::try_from(text.to_lowercase()) {
            Ok(name) if OURS.contains(&name.as_str()) || name.as_str().starts_with("domicile-") => {
                let message = format!("`{name}` is written by the router itself");
                faults.error_hint(&item.at, message, "leave it out");
            }
            Ok(name) => names.push(name),
            Err(_) => {
                faults.error(&item.at, format!("`{text}` is no name of a header"));
            }
        }
    }
    names
}

/// The recipient that a route names.
pub(super) fn recipient<'n>(node: &'n Node, context: &Context<'_>) -> Option<&'n str> {
    let faults = context.faults;
    let id = node.text(faults)?;
    let known = context.around.recipients;
    if !known.iter().any(|k| k == id) {
        let hint = suggest(id, known.iter().map(String::as_str))
            .unwrap_or_else(|| format!("add [recipients.{id}] with endpoints"));
        faults.error_hint(&node.at, format!("there is no recipient `{id}`"), hint);
    }
    if context.format.is_some_and(|f| f != Format::Record) {
        let message = "a disclosure is one record, so that each of its fields can be judged";
        faults.error_hint(&node.at, message, "write format = \"record\"");
    }
    Some(id)
}

/// The methods of a disclose route: those with a body, unless it names some of them.
pub(super) fn methods(methods: &mut Vec<Method>, node: Option<&Node>, faults: &Faults) {
    if let (Some(node), Some(other)) = (node, methods.iter().find(|m| !METHODS.contains(m))) {
        let hint = "a disclosure is a POST, PUT or PATCH";
        faults.error_hint(&node.at, format!("`{other}` discloses nothing"), hint);
    }
    if methods.is_empty() {
        *methods = METHODS.into();
    }
}

/// The path at the recipient is fixed: an id in it would be disclosed with no category to judge.
pub(super) fn target(
    path: Option<&PathTemplate>,
    upstream: Option<&UpstreamShape>,
    at: &Where,
    faults: &Faults,
) {
    let target = match upstream {
        Some(UpstreamShape::Each { path, .. }) => Some(path),
        Some(UpstreamShape::Batch) | None => path,
    };
    if let Some(name) = target.and_then(|t| t.names().next()) {
        faults.error_hint(
            at,
            format!("{{{name}}} would tell the recipient what no category allows"),
            "name a path without names: upstream = { each = \"POST /v1/location\" }",
        );
    }
}
