//! The query of a bulk request: what goes on to the regions, what stays, what is refused.

use http::uri::PathAndQuery;

use crate::{admit::path::decode, classify::bulk::BulkFault};

/// What a query comes to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Parameters that go on, just as they came.
    kept: String,
    /// The pipeline of all items that name none.
    pub pipeline: Option<String>,
}

/// Parameters that say nothing about any document.
const SAFE: [&str; 10] = [
    "refresh",
    "timeout",
    "wait_for_active_shards",
    "require_alias",
    "require_data_stream",
    "list_executed_pipelines",
    "include_source_on_error",
    "batch_size",
    "pretty",
    "human",
];

/// Reads a query. `own` says which further names are the route's own sources; they stay here.
///
/// # Errors
/// For what would break the merge or the classification, and for what is not known: a region may
/// know it.
pub fn read(query: Option<&str>, own: impl Fn(&str) -> bool) -> Result<Query, BulkFault> {
    let query = query.unwrap_or_default();
    if query.contains(';') {
        // What stands behind it would be a parameter there that was not looked at here.
        return Err(BulkFault::Parameter(
            ";",
            "servers split a query at `;` as at `&`; write `%3B` where it belongs to a value",
        ));
    }
    let mut read = Query::default();
    let mut seen: Vec<String> = Vec::new();
    for pair in query.split('&').filter(|p| !p.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (plain(name)?, plain(value)?);
        if own(&name) {
            continue;
        }
        if seen.contains(&name) {
            // Of two values each reader takes its own.
            return Err(BulkFault::Parameter("a parameter", "it stands twice"));
        }
        match name.as_str() {
            // The regions answer in full, so that their items can be told apart, and so does the
            // router; and without traces, of which each failed item would bring kilobytes.
            "filter_path" | "error_trace" => {}
            "pipeline" => {
                read.keep(pair);
                read.pipeline = Some(value);
            }
            "routing" => {
                return Err(BulkFault::Parameter(
                    "routing",
                    "it often names a person, and would go to every region; give it in the action lines",
                ));
            }
            "_source" if value == "false" => read.keep(pair),
            "_source" | "_source_includes" | "_source_excludes" => {
                return Err(BulkFault::Parameter(
                    "_source",
                    "documents in the answer are another flow; read them with a request of their own",
                ));
            }
            name if SAFE.contains(&name) => read.keep(pair),
            _ => return Err(BulkFault::UnknownParameter),
        }
        seen.push(name);
    }
    Ok(read)
}

fn plain(text: &str) -> Result<String, BulkFault> {
    decode(&text.replace('+', " "))
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| BulkFault::UnknownParameter)
}

impl Query {
    fn keep(&mut self, pair: &str) {
        if !self.kept.is_empty() {
            self.kept.push('&');
        }
        self.kept.push_str(pair);
    }

    /// The path with what is left of the query; `None` is a fault of ours.
    pub fn path_and_query(&self, path: &str) -> Option<PathAndQuery> {
        match self.kept.as_str() {
            "" => PathAndQuery::try_from(path).ok(),
            kept => PathAndQuery::try_from(format!("{path}?{kept}")).ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(query: &str) -> Result<Query, BulkFault> {
        read(Some(query), |name| name == "country")
    }

    #[test]
    fn the_harmless_goes_on_as_it_came() {
        let query = "refresh=wait%5Ffor&pretty&country=DE&filter_path=items.*.error&error_trace&timeout=1m&pipeline=p";
        let read = read_all(query).unwrap();
        let path = read.path_and_query("/people/_bulk").unwrap();
        assert_eq!(
            path,
            "/people/_bulk?refresh=wait%5Ffor&pretty&timeout=1m&pipeline=p"
        );
        assert_eq!(read.pipeline.as_deref(), Some("p"));
        let none = super::read(None, |_| false).unwrap();
        assert_eq!(none.path_and_query("/_bulk").unwrap(), "/_bulk");
        assert!(read_all("_source=false").is_ok());
    }

    #[test]
    fn the_rest_is_refused() {
        for query in [
            "routing=x",
            "_source=true",
            "_source",
            "_source_includes=a",
            "%5Fsource=a",
            "format=yaml",
            "name=jo",
            "refresh=true&refresh=false",
            "refresh=%zz",
        ] {
            assert!(read_all(query).is_err(), "{query}");
        }
    }

    /// Elasticsearch and OpenSearch read a `;` as a `&` (`RestUtils.decodeQueryString`).
    #[test]
    fn a_semicolon_hides_no_parameter() {
        for query in [
            "timeout=1m;pipeline=evil",
            "timeout=1m;routing=jo",
            "pretty;_source=true",
            "filter_path=took;index=other",
            "country=DE;pipeline=evil",
            ";",
        ] {
            let fault = read_all(query).unwrap_err();
            assert!(matches!(fault, BulkFault::Parameter(";", _)), "{query}");
        }
        let escaped = read_all("timeout=1m%3Bpipeline=evil").unwrap();
        assert_eq!(escaped.pipeline, None);
        assert_eq!(escaped.kept, "timeout=1m%3Bpipeline=evil");
    }
}
