//! As much of Elasticsearch's `_bulk` as a test of routing needs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::backend::{Backend, Reply, Seen};

/// Stores nothing and says that it did. A document with a member `fail` is refused with an error
/// that quotes it; the id `missing` is not found.
pub fn elastic() -> Backend {
    Backend::scripted(|seen| Reply::Answer {
        status: 200,
        media: "application/json",
        body: match seen.method.as_str() {
            "GET" => b"{\"tagline\":\"You Know, for Search\"}".to_vec(),
            _ => answer(seen).to_string().into_bytes(),
        },
    })
}

/// Says that each item was created, and keeps nothing: for requests of many items.
pub fn lavish() -> Backend {
    Backend::scripted(|seen| {
        let text = std::str::from_utf8(&seen.body).unwrap();
        let mut items = String::from("{\"took\":7,\"errors\":false,\"items\":[");
        for (number, line) in text.lines().step_by(2).enumerate() {
            let action: Value = serde_json::from_str(line).unwrap();
            let id = &action["index"]["_id"];
            let comma = if number == 0 { "" } else { "," };
            let _ = write!(
                items,
                r#"{comma}{{"index":{{"_index":"p","_id":{id},"_version":1,"result":"created","_shards":{{"total":2,"successful":1,"failed":0}},"_seq_no":{number},"_primary_term":1,"status":201}}}}"#
            );
        }
        items.push_str("]}");
        Reply::Answer {
            status: 200,
            media: "application/json",
            body: items.into_bytes(),
        }
    })
}

/// The answer to one request.
pub fn answer(seen: &Seen) -> Value {
    assert!(seen.body.ends_with(b"\n"), "the last line ends, too");
    let text = String::from_utf8(seen.body.clone()).unwrap();
    let mut lines = text.lines();
    let mut items = Vec::new();
    while let Some(line) = lines.next() {
        let action: Value = serde_json::from_str(line).unwrap();
        let (name, meta) = action.as_object().unwrap().iter().next().unwrap();
        let source: Option<Value> = match name.as_str() {
            "delete" => None,
            _ => Some(serde_json::from_str(lines.next().unwrap()).unwrap()),
        };
        items.push(json!({ name: item(name, meta, source.as_ref(), &seen.path) }));
    }
    let failed = |i: &Value| i.to_string().contains("\"error\"");
    json!({ "took": 7, "errors": items.iter().any(failed), "items": items })
}

fn item(name: &str, meta: &Value, source: Option<&Value>, path: &str) -> Value {
    let default = path.split('/').nth(1).unwrap();
    let id = match &meta["_id"] {
        Value::Null => json!("W0tpsmIBdwcYyG50zbta"),
        Value::String(id) => json!(id),
        other => json!(other.to_string()),
    };
    let mut item = json!({ "_index": meta["_index"].as_str().unwrap_or(default), "_id": id });
    let doc = source.map(|s| if name == "update" { &s["doc"] } else { s });
    if let Some(bad) = doc.and_then(|d| d.get("fail")) {
        item["status"] = json!(400);
        item["error"] = json!({
            "type": "document_parsing_exception",
            "reason": format!("[1:9] failed to parse field [fail]: {bad}"),
        });
        return item;
    }
    let (result, status) = match name {
        "delete" if item["_id"] == "missing" => ("not_found", 404),
        "delete" => ("deleted", 200),
        "update" => ("updated", 200),
        _ => ("created", 201),
    };
    item["_version"] = json!(1);
    item["result"] = json!(result);
    item["_shards"] = json!({ "total": 2, "successful": 1, "failed": 0 });
    item["_seq_no"] = json!(0);
    item["_primary_term"] = json!(1);
    item["status"] = json!(status);
    item
}
