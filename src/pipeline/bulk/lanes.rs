//! Which route an item of a bulk request takes: by its index.

use std::{borrow::Cow, cell::RefCell};

use crate::{
    admit::path::{decode, is_same},
    classify::{
        ValueSource,
        bulk::{BulkFault, BulkItem},
        schema::Alike,
    },
    domain::Operation,
    message::Parts,
    pipeline::{Exchange, Routed, wishes::Head},
    respond::Refused,
    settings::{BulkRoute, Format},
};

/// A route that items of this request can take.
pub struct Lane<'a> {
    pub bulk: &'a BulkRoute,
    /// As `index`, `create` and `update` take it.
    pub store: Routed<'a>,
    /// As `delete` takes it.
    pub erase: Routed<'a>,
    /// What was seen of its documents in this request.
    pub alike: RefCell<Alike>,
}

/// The lanes of one request, and what its head says of all items.
pub struct Lanes<'a> {
    pub lanes: Vec<Lane<'a>>,
    /// The index of items that name none, as the regions will read it from the path.
    index: Option<Cow<'a, str>>,
    /// What stands before the index in the path.
    prefix: Cow<'a, str>,
    /// The pipeline of items that name none.
    pipeline: Option<String>,
}

impl<'a> Lanes<'a> {
    /// `first` is the route that took the request. The others are the bulk routes after it that
    /// take the same host, method and media types and whose template fits the path, too.
    pub fn new(x: &'a Exchange<'_>, first: Routed<'a>, parts: &'a Parts) -> Result<Self, Refused> {
        let path = path_of(parts);
        let routes = x.snapshot.routes.iter().enumerate();
        let taken = first.route;
        let own = |r: &&crate::shared::ReadyRoute| {
            r.settings.host == taken.settings.host
                && r.settings.content_type == taken.settings.content_type
                && r.settings.methods.contains(&parts.method)
        };
        let mut lanes = Vec::new();
        let after = first.index;
        lanes.extend(lane(first));
        for (index, route) in routes.skip(after + 1) {
            if route.settings.format != Format::Bulk || !own(&route) {
                continue;
            }
            if let Some(captures) = route.settings.path.capture(path) {
                lanes.extend(lane(x.admit(&x.snapshot, index, captures, parts)?));
            }
        }
        let lanes = Self {
            lanes,
            index: index_of(path),
            prefix: decode(prefix_of(path)).unwrap_or_default(),
            pipeline: None,
        };
        lanes.call_by_first(x);
        Ok(lanes)
    }

    /// In metrics and logs the request as a whole goes by the route that took it.
    pub fn call_by_first(&self, x: &Exchange<'_>) {
        let first = self.lanes.first().map(|l| &l.store.route.settings.name);
        x.story.borrow_mut().route = first.cloned();
    }

    /// The index of items that name none.
    pub fn index(&self) -> Option<&str> {
        self.index.as_deref()
    }

    /// Where an item's document lies, as Elasticsearch's own paths have it, percent-decoded; `None`
    /// for one whose id its region will make.
    pub fn place(&self, item: &BulkItem, body: &[u8]) -> Option<String> {
        let id = item.id(body).filter(|id| !id.is_empty())?;
        let own = item.index(body).filter(|i| !i.is_empty());
        let index = own.as_deref().or(self.index())?;
        Some(format!("{}/{index}/_doc/{id}", self.prefix))
    }

    /// Whether nothing is sent when any item is refused: what one route promises, holds for the
    /// requests that it shares.
    pub fn are_atomic(&self) -> bool {
        self.lanes.iter().any(|l| l.store.route.settings.atomic)
    }

    pub fn set_pipeline(&mut self, pipeline: Option<String>) {
        self.pipeline = pipeline;
    }

    /// Whether some lane reads the query parameter of this name itself.
    pub fn reads(&self, name: &str) -> bool {
        let routes = self.lanes.iter().map(|l| &l.store.route.settings);
        let mut sources = routes.flat_map(|r| r.country.iter().chain(r.steering.sources()));
        sources.any(|s| matches!(s, ValueSource::Query(own) if own == name))
    }

    /// The lane of an item whose parameters are in order.
    pub fn of(&self, item: &BulkItem, body: &[u8]) -> Result<&Lane<'a>, BulkFault> {
        let own = item.index(body).filter(|i| !i.is_empty());
        let index = own.as_deref().or(self.index.as_deref());
        let index = index.ok_or(BulkFault::NoIndex)?;
        let mut lanes = self.lanes.iter();
        let lane = lanes.find(|l| l.bulk.takes(index));
        let lane = lane.ok_or(BulkFault::UnknownIndex)?;
        let pipeline = item.pipeline(body);
        let pipeline = pipeline.as_deref().or(self.pipeline.as_deref());
        if let Some(pipeline) = pipeline
            && pipeline != "_none"
            && !lane.bulk.pipelines.iter().any(|known| **known == *pipeline)
        {
            return Err(BulkFault::Pipeline);
        }
        if item.wants_source {
            return Err(BulkFault::WantsSource);
        }
        Ok(lane)
    }
}

/// `None` only for a route that is no bulk.
fn lane(store: Routed<'_>) -> Option<Lane<'_>> {
    let bulk = store.route.settings.bulk.as_deref()?;
    let erase = Routed {
        route: store.route,
        index: store.index,
        head: Head {
            headers: store.head.headers,
            captures: store.head.captures.clone(),
            template: store.head.template,
            query: store.head.query,
        },
        wishes: store.wishes.clone(),
        token: store.token.clone(),
        client: store.client,
        operation: Operation::Erase,
    };
    Some(Lane {
        bulk,
        store,
        erase,
        alike: RefCell::default(),
    })
}

/// The path as regions get it: without the slash that may stand behind `_bulk`.
pub fn path_of(parts: &Parts) -> &str {
    let path = parts.uri.path();
    path.strip_suffix('/').unwrap_or(path)
}

/// What stands before `/_bulk`, whichever of its letters are escaped.
fn before_bulk(path: &str) -> Option<&str> {
    let (before, last) = path.rsplit_once('/')?;
    is_same("_bulk", last).then_some(before)
}

/// `/people/_bulk`: the segment before `_bulk`.
fn index_of(path: &str) -> Option<Cow<'_, str>> {
    let (_, index) = before_bulk(path)?.rsplit_once('/')?;
    decode(index).ok().filter(|i| !i.is_empty())
}

/// `/es/people/_bulk`: what stands before the index.
fn prefix_of(path: &str) -> &str {
    let before = before_bulk(path).unwrap_or_default();
    before.rsplit_once('/').map_or("", |(prefix, _)| prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_gives_the_index_that_regions_will_read() {
        assert_eq!(index_of("/people/_bulk").as_deref(), Some("people"));
        assert_eq!(index_of("/es/p%65ople/_bulk").as_deref(), Some("people"));
        assert_eq!(index_of("/es/people/%5Fbulk").as_deref(), Some("people"));
        assert_eq!(prefix_of("/es/people/%5Fbulk"), "/es");
        assert_eq!(index_of("/_bulk"), None);
        assert_eq!(index_of("/people"), None);
        assert_eq!(prefix_of("/people/_bulk"), "");
        assert_eq!(prefix_of("/_bulk"), "");
        assert_eq!(prefix_of("/es/a/people/_bulk"), "/es/a");
    }
}
