//! What a route of format `bulk` has beside the others.

use std::sync::Arc;

use http::Method;

use super::{BulkRoute, Format, PathTemplate, Route, Segment};
use crate::document::{Fields, Node};

impl Route {
    /// What of a path the route's template is held against. A slash behind `_bulk` says nothing to the
    /// servers, and there are clients that send it (Fluent Bit).
    pub fn matched<'p>(&self, path: &'p str) -> &'p str {
        match self.format {
            Format::Bulk => path.strip_suffix('/').unwrap_or(path),
            _ => path,
        }
    }
}

impl BulkRoute {
    /// Whether items of this index are the route's. A `*` at the end of a name stands for any rest.
    pub fn takes(&self, index: &str) -> bool {
        self.indices.iter().any(|own| match own.strip_suffix('*') {
            Some(start) => index.starts_with(start),
            None => **own == *index,
        })
    }
}

/// Whether two routes at one path take the same items. Of two patterns the more general one may
/// come later: the first route that takes an item has it.
pub(super) fn share_an_index(one: Option<&BulkRoute>, other: Option<&BulkRoute>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.indices.iter().any(|i| other.indices.contains(i)),
        _ => true,
    }
}

/// Reads `indices` and `pipelines`, and holds the rest of the route to what a bulk is.
pub(super) fn read(
    fields: &Fields<'_>,
    format: Option<Format>,
    path: Option<&PathTemplate>,
    methods: &mut Vec<Method>,
) -> Option<Arc<BulkRoute>> {
    let faults = fields.faults();
    let (indices, pipelines) = (fields.maybe("indices"), fields.maybe("pipelines"));
    if format != Some(Format::Bulk) {
        for node in [indices, pipelines].into_iter().flatten() {
            if format.is_some() {
                let hint = "`indices` and `pipelines` are for the format `bulk`";
                faults.error_hint(&node.at, "the route has no bulk", hint);
            }
        }
        return None;
    }
    let names = |node: Option<&Node>| -> Vec<Arc<str>> {
        let texts = node.map(|n| n.texts(faults)).unwrap_or_default();
        texts.into_iter().map(|(text, _)| text.into()).collect()
    };
    let Some(indices) = indices else {
        let hint = "name the indices whose documents this route's schema knows: indices = [\"people\"], [\"people-*\"], or [\"*\"] for all";
        faults.error_hint(fields.at, "a bulk route needs `indices`", hint);
        return None;
    };
    for (text, node) in indices.texts(faults) {
        let stem = text.strip_suffix('*').unwrap_or(text);
        if text.is_empty() || stem.contains(['*', ',', '/', '"', '\\']) {
            let hint = "write an index's name, or the start of names and a `*`";
            faults.error_hint(&node.at, format!("`{text}` names no index"), hint);
        }
    }
    let indices = names(Some(indices));
    if indices.is_empty() {
        let hint = "indices = [\"*\"] takes all";
        faults.error_hint(fields.at, "the route takes no index", hint);
    }
    let last = path.and_then(|p| p.segments.last());
    if last.is_some_and(|s| *s != Segment::Literal("_bulk".to_owned())) {
        let hint = "write \"/_bulk\", \"/{index}/_bulk\" or \"/people/_bulk\"";
        let at = fields.maybe("path").map_or(fields.at, |node| &node.at);
        faults.error_hint(at, "a bulk route's path ends with `/_bulk`", hint);
    }
    let known = [Method::POST, Method::PUT];
    if methods.is_empty() {
        methods.extend(known);
    } else if let Some(other) = methods.iter().find(|m| !known.contains(m)) {
        let at = fields.maybe("methods").map_or(fields.at, |node| &node.at);
        let hint = "a bulk takes POST and PUT";
        faults.error_hint(at, format!("`{other}` has no body to split"), hint);
    }
    Some(Arc::new(BulkRoute {
        indices,
        pipelines: names(pipelines),
    }))
}
