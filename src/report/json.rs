//! How reports stand in JSON, beside what serde derives.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{Citations, flows::Row};

/// As entries tell it: of one length, so that texts sort as times do.
pub fn time(at: Timestamp) -> String {
    format!("{at:.6}")
}

/// What a row does not have is left out.
pub fn row(row: &Row, citations: &Citations) -> Value {
    let mut map = Map::new();
    let mut put = |name: &str, value: Value| {
        map.insert(name.to_owned(), value);
    };
    let sort = &row.sort;
    put("operation", json!(sort.operation));
    put("from", json!(sort.from));
    if let Some(via) = &sort.via {
        put("via", json!(via));
    }
    put("to", json!(sort.to));
    put("laws", json!(sort.laws));
    put("categories", json!(row.categories));
    for (name, text) in [
        ("region", &sort.region),
        ("reached", &sort.reached),
        ("mechanism", &sort.mechanism),
        ("instrument", &sort.instrument),
        ("exporter", &sort.exporter),
        ("importer", &sort.importer),
        ("purpose", &sort.purpose),
        ("problem", &sort.problem),
    ] {
        if let Some(text) = text {
            put(name, json!(text));
        }
    }
    if let Some(module) = sort.module {
        put("module", json!(module));
    }
    let rule = |id: &std::sync::Arc<str>| json!({ "id": id, "citation": citations.get(id) });
    put("rules", row.rules.iter().map(rule).collect());
    put("flows", json!(row.flows));
    put("confirmed", json!(row.confirmed));
    for (name, value) in row.people.json() {
        put(name, value);
    }
    put("first", json!(time(row.first)));
    put("last", json!(time(row.last)));
    Value::Object(map)
}
