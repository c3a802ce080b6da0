//! What becomes of single items.

use serde_json::json;

use super::{bulk, items, send, setup, statuses};
use crate::kit::http::Request;
use crate::kit::{contains, entries_of};

/// The id that a region logs is that of the first item which it gets.
#[test]
fn a_region_is_told_the_decision_of_the_first_item_that_it_gets() {
    let (setup, regions) = setup();
    let router = setup.start();
    let lines = [
        r#"{"index":{"_index":"people","_id":"f0"}}"#,
        r#"{"n":1}"#,
        r#"{"index":{"_index":"people","_id":"f1"}}"#,
        r#"{"country":"DE"}"#,
        r#"{"index":{"_index":"people","_id":"f2"}}"#,
        r#"{"country":"IN"}"#,
    ];
    let answer = send(&router, &lines);
    let found = items(&answer);
    assert_eq!(statuses(&found), [422, 201, 201]);
    for (region, first) in [("eu", 1), ("in", 2)] {
        let seen = regions.seen(region);
        let told = seen[0].header("domicile-decision").unwrap();
        assert_eq!(found[first].1["domicile"]["decision"], told, "{region}");
        let entries = entries_of(router.admin, told);
        assert_eq!(entries[0]["outcome"], "permit");
        assert_eq!(entries[0]["region"], region);
    }
}

/// As Elasticsearch flattens them: what it finds in a field decides, and nothing beside it.
#[test]
fn documents_are_read_as_their_servers_flatten_them() {
    let (setup, regions) = setup();
    let router = setup.start();
    let lines: Vec<String> = [
        r#"{"address":[{"country":"IN"}]}"#,
        r#"{"address":[[{"city":"x"},{"country":"IN"}]]}"#,
        r#"{"country":"DE","country.":"IN"}"#,
        r#"{"country":"DE","address.country.":"IN"}"#,
        r#"{"country":"DE","address":[{"country.":"IN"}]}"#,
        r#"{"country":["DE"]}"#,
    ]
    .iter()
    .enumerate()
    .flat_map(|(at, document)| {
        let action = format!(r#"{{"index":{{"_index":"people","_id":"flat{at}"}}}}"#);
        [action, (*document).to_owned()]
    })
    .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let found = items(&send(&router, &lines));
    assert_eq!(
        statuses(&found),
        [201, 201, 400, 400, 400, 422],
        "{found:?}"
    );
    let reason = found[2].1["error"]["reason"].as_str().unwrap();
    assert!(reason.contains("dot at its end"), "{reason}");
    assert_eq!(regions.reached_by("flat"), ["in"]);
}

#[test]
fn a_document_that_is_too_long_for_a_record_is_so_in_a_bulk() {
    let (mut setup, regions) = setup();
    setup.set(&["limits", "record_bytes"], "1KiB");
    let router = setup.start();
    let long = format!(r#"{{"country":"DE","name":"{}"}}"#, "x".repeat(1024));
    let update = format!(r#"{{"doc":{long}}}"#);
    let lines = [
        r#"{"index":{"_index":"people","_id":"t1"}}"#,
        &long,
        r#"{"update":{"_index":"people","_id":"t2"}}"#,
        &update,
        r#"{"index":{"_index":"people","_id":"t3"}}"#,
        r#"{"country":"DE"}"#,
    ];
    let found = items(&send(&router, &lines));
    assert_eq!(statuses(&found), [413, 413, 201], "{found:?}");
    assert_eq!(found[0].1["error"]["type"], "domicile_record_too_large");
    assert!(regions.reached_by("xxx").is_empty());
}

#[test]
fn each_item_goes_to_its_region_as_it_came_and_is_answered_in_order() {
    let (setup, regions) = setup();
    let router = setup.start();
    let body = concat!(
        "{\"index\":{\"_index\":\"people\",\"_id\":\"a1\"}}\r\n{ \"country\": \"DE\", \"n\": 1.50 }\r\n",
        "{\"create\":{\"_index\":\"people-2\",\"_id\":\"a2\",\"routing\":\"r\"}}\n{\"country\":\"IN\"}\n",
        "\n",
        "{\"index\":{\"_id\":7,\"_index\":\"people\"}}\n{\"country\":\"FR\",\"t\":\"\\u0061\"}\n",
    );
    let request = Request::new("PUT", "/_bulk?refresh=true&filter_path=errors").body(
        "application/vnd.elasticsearch+x-ndjson; compatible-with=8",
        body,
    );
    let answer = request.send(router.router);
    let found = items(&answer);
    assert_eq!(answer.json()["errors"], false);
    let told: Vec<_> = found
        .iter()
        .map(|(action, item)| {
            (
                action.as_str(),
                item["_id"].as_str().unwrap(),
                item["status"].as_u64().unwrap(),
                item["domicile"]["region"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("index", "a1", 201, "eu"),
            ("create", "a2", 201, "in"),
            ("index", "7", 201, "eu")
        ]
    );
    assert_eq!(
        found[0].1["_shards"],
        json!({"total":2,"successful":1,"failed":0})
    );
    for (_, item) in &found {
        let decision = item["domicile"]["decision"].as_str().unwrap();
        assert!(!entries_of(router.admin, decision).is_empty());
    }
    let europe = regions.seen("eu");
    assert_eq!(europe.len(), 1, "{europe:?}");
    assert_eq!(europe[0].method, "PUT");
    assert_eq!(europe[0].path, "/_bulk?refresh=true");
    assert_eq!(
        europe[0].header("content-type"),
        Some("application/vnd.elasticsearch+x-ndjson; compatible-with=8")
    );
    assert_eq!(
        String::from_utf8(europe[0].body.clone()).unwrap(),
        concat!(
            "{\"index\":{\"_index\":\"people\",\"_id\":\"a1\"}}\r\n{ \"country\": \"DE\", \"n\": 1.50 }\n",
            "{\"index\":{\"_id\":7,\"_index\":\"people\"}}\n{\"country\":\"FR\",\"t\":\"\\u0061\"}\n",
        )
    );
    let india = regions.seen("in");
    assert_eq!(india.len(), 1);
    assert!(!contains(&india[0].body, b"a1"));
    assert!(regions.seen("cn").is_empty());
}

#[test]
fn refused_items_say_why_in_the_clients_own_shape_and_harm_no_other() {
    let (setup, regions) = setup();
    let router = setup.start();
    let index = |id: &str| format!(r#"{{"index":{{"_index":"people","_id":"{id}"}}}}"#);
    let lines = [
        index("both"),
        r#"{"country":"DE","address":{"country":"RU"}}"#.into(),
        index("fine"),
        r#"{"country":"IN"}"#.into(),
        index("nobody"),
        r#"{"name":"x"}"#.into(),
        index("double"),
        r#"{"country":"DE","country":"CN"}"#.into(),
        index("fine"),
        r#"{"country":"CN"}"#.into(),
        r#"{"index":{"_index":"secrets","_id":"s1"}}"#.into(),
        r#"{"country":"DE"}"#.into(),
        r#"{"index":{"_id":"s2"}}"#.into(),
        r#"{"country":"DE"}"#.into(),
        r#"{"index":{"_index":"people","_id":"s3","pipeline":"rewrite"}}"#.into(),
        r#"{"country":"DE"}"#.into(),
        r#"{"index":{"_index":"people","_id":"s4","pipeline":"stamp"}}"#.into(),
        r#"{"country":"DE"}"#.into(),
        r#"{"index":{"_index":"people"}}"#.into(),
        r#"{"country":"DE","mark":"s5"}"#.into(),
        index("s6"),
        "{\"country\":\"DE\",\r\"mark\":1}".into(),
        index("s7"),
        String::new(),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let answer = send(&router, &lines);
    let found = items(&answer);
    assert_eq!(answer.json()["errors"], true);
    let told: Vec<_> = found
        .iter()
        .map(|(_, item)| {
            let kind = item["error"]["type"].as_str().unwrap_or("");
            (item["status"].as_u64().unwrap(), kind)
        })
        .collect();
    assert_eq!(
        told,
        [
            (451, "domicile_transfer_forbidden"),
            (201, ""),
            (422, "domicile_no_evidence"),
            (400, "domicile_malformed_record"),
            (409, "domicile_home_contradicted"),
            (404, "domicile_unknown_index"),
            (400, "domicile_no_index"),
            (422, "domicile_pipeline_not_listed"),
            (201, ""),
            (422, "domicile_no_subject"),
            (400, "domicile_malformed_record"),
            (400, "domicile_malformed_record"),
        ]
    );
    let (action, forbidden) = &found[0];
    assert_eq!(action, "index");
    assert_eq!(forbidden["_index"], "people");
    assert_eq!(forbidden["_id"], "both");
    for member in ["reason", "rule", "citation", "missing", "decision"] {
        assert!(
            !forbidden["error"][member].is_null(),
            "`{member}` in {forbidden}"
        );
    }
    let decision = forbidden["domicile"]["decision"].as_str().unwrap();
    assert_eq!(forbidden["error"]["decision"], decision);
    let entries = entries_of(router.admin, decision);
    assert_eq!(entries[0]["problem"], "transfer-forbidden", "{entries:?}");
    for id in [
        "both", "nobody", "double", "s1", "s2", "s3", "s5", "s6", "s7",
    ] {
        assert!(regions.reached_by(&format!("\"{id}\"")).is_empty(), "{id}");
    }
    assert_eq!(regions.reached_by("\"fine\""), ["in"]);
    assert_eq!(regions.reached_by("\"s4\""), ["eu"]);
}

#[test]
fn an_index_chooses_the_route_and_with_it_subject_and_schema() {
    let (setup, regions) = setup();
    let router = setup.start();
    let answer = send(
        &router,
        &[
            r#"{"index":{"_index":"orders"}}"#,
            r#"{"customer":"c1","ship_to":"CN"}"#,
            r#"{"delete":{"_index":"orders","_id":"o1"}}"#,
            r#"{"update":{"_index":"orders","_id":"o2"}}"#,
            r#"{"doc":{"customer":"c1"},"upsert":{"customer":"c2","ship_to":"DE"}}"#,
        ],
    );
    let found = items(&answer);
    assert_eq!(statuses(&found), [201, 422, 422], "{found:?}");
    assert_eq!(found[0].1["_id"], "W0tpsmIBdwcYyG50zbta");
    assert_eq!(found[0].1["domicile"]["region"], "cn");
    let reason = found[1].1["error"]["reason"].as_str().unwrap();
    assert!(reason.contains("bulk:id"), "{reason}");
    let entries = entries_of(
        router.admin,
        found[0].1["domicile"]["decision"].as_str().unwrap(),
    );
    assert_eq!(entries[0]["route"], "orders-bulk");
    assert_eq!(entries[0]["categories"], json!(["user.financial"]));
    assert_eq!(regions.reached_by("c2"), Vec::<&str>::new());

    // The path's index is that of items that name none; its route knows no other.
    let request = Request::new("POST", "/people/_bulk").ndjson(
        "{\"index\":{\"_id\":\"p1\"}}\n{\"country\":\"RU\"}\n{\"index\":{\"_index\":\"orders\",\"_id\":\"p2\"}}\n{}\n",
    );
    let found = items(&request.send(router.router));
    assert_eq!(statuses(&found), [201, 404], "{found:?}");
    assert_eq!(found[0].1["_index"], "people");
    assert_eq!(regions.seen("ru")[0].path, "/people/_bulk");
}

#[test]
fn updates_are_classified_by_the_documents_they_bring() {
    let (setup, regions) = setup();
    let router = setup.start();
    let update = |id: &str| format!(r#"{{"update":{{"_index":"people","_id":"{id}"}}}}"#);
    let answer = send(
        &router,
        &[
            &update("u1"),
            r#"{"doc":{"name":"x"},"upsert":{"country":"IN","name":"x"}}"#,
            &update("u2"),
            r#"{"doc":{"country":"DE"},"doc_as_upsert":true,"detect_noop":false}"#,
            &update("u3"),
            r#"{"script":{"source":"ctx._source.country = params.c"},"upsert":{"country":"DE"}}"#,
            &update("u4"),
            r#"{"doc":{"country":"DE"},"_source":true}"#,
            r#"{"update":{"_index":"people","_id":"u5","_source":"name"}}"#,
            r#"{"doc":{"country":"DE"}}"#,
            r#"{"update":{"_index":"people"}}"#,
            r#"{"doc":{"country":"DE"}}"#,
            &update("u6"),
            r#"{"doc":{"country":"DE"},"upsert":{"country":"RU"}}"#,
            &update("u7"),
            r#"{"doc":{"country":"DE"},"extra":1}"#,
        ],
    );
    let found = items(&answer);
    let kinds: Vec<_> = found
        .iter()
        .map(|(_, i)| i["error"]["type"].as_str().unwrap_or(""))
        .collect();
    assert_eq!(
        kinds,
        [
            "",
            "",
            "domicile_scripted_update",
            "domicile_document_in_answer",
            "domicile_document_in_answer",
            "domicile_no_id",
            "domicile_transfer_forbidden",
            "domicile_malformed_update",
        ]
    );
    assert_eq!(found[0].1["domicile"]["region"], "in");
    assert_eq!(found[1].1["domicile"]["region"], "eu");
    assert_eq!(found[0].1["result"], "updated");
    for id in ["u3", "u4", "u5", "u6", "u7"] {
        assert!(regions.reached_by(&format!("\"{id}\"")).is_empty(), "{id}");
    }
    // Of a pinned person a partial document needs no country.
    let later = send(&router, &[&update("u1"), r#"{"doc":{"name":"y"}}"#]);
    assert_eq!(items(&later)[0].1["domicile"]["region"], "in");
}

#[test]
fn later_items_know_the_homes_that_earlier_ones_claim() {
    let (setup, regions) = setup();
    let router = setup.start();
    let answer = send(
        &router,
        &[
            r#"{"index":{"_index":"people","_id":"n1"}}"#,
            r#"{"country":"IN"}"#,
            r#"{"update":{"_index":"people","_id":"n1"}}"#,
            r#"{"doc":{"name":"x"}}"#,
            r#"{"delete":{"_index":"people","_id":"n1"}}"#,
            r#"{"index":{"_index":"people","_id":"n1"}}"#,
            r#"{"country":"DE"}"#,
            r#"{"delete":{"_index":"people","_id":"n2"}}"#,
        ],
    );
    let found = items(&answer);
    assert_eq!(statuses(&found), [201, 200, 200, 409, 404], "{found:?}");
    assert_eq!(found[4].1["error"]["type"], "domicile_unknown_subject");
    let india = regions.seen("in");
    assert_eq!(india.len(), 1);
    let text = String::from_utf8(india[0].body.clone()).unwrap();
    assert_eq!(text.lines().count(), 5, "{text}");
    assert!(regions.seen("eu").is_empty());
}

#[test]
fn a_delete_reaches_the_home_and_every_copy() {
    let (setup, regions) = setup();
    let router = setup.start();
    let index = [
        r#"{"index":{"_index":"people","_id":"d1"}}"#,
        r#"{"country":"DE"}"#,
    ];
    assert_eq!(statuses(&items(&send(&router, &index))), [201]);
    let copied = bulk(&index)
        .header("domicile-operation", "replicate")
        .header("domicile-target", "sg")
        .send(router.router);
    let copied = items(&copied);
    assert_eq!(statuses(&copied), [201], "{copied:?}");
    assert_eq!(copied[0].1["domicile"]["region"], "sg");

    let delete = [
        r#"{"delete":{"_index":"people","_id":"d1"}}"#,
        r#"{"delete":{"_index":"people","_id":"missing"}}"#,
    ];
    let found = items(&send(&router, &delete[..1]));
    assert_eq!(statuses(&found), [200], "{found:?}");
    assert_eq!(found[0].1["result"], "deleted");
    assert_eq!(found[0].1["domicile"]["region"], "eu");
    for region in ["eu", "sg"] {
        let seen = regions.seen(region);
        let last = seen.last().unwrap();
        assert_eq!(
            last.body,
            format!("{}\n", delete[0]).into_bytes(),
            "{region}"
        );
    }
    let decision = found[0].1["domicile"]["decision"].as_str().unwrap();
    let entries = entries_of(router.admin, decision);
    let erased = entries.iter().filter(|e| e["operation"] == "erase").count();
    assert_eq!(erased, 2, "{entries:?}");
    // An erasure takes no target.
    let steered = bulk(&delete[..1])
        .header("domicile-target", "sg")
        .send(router.router);
    assert_eq!(statuses(&items(&steered)), [400]);
}

#[test]
fn each_part_is_told_its_own_last_day_and_one_documents_actions_keep_their_order() {
    let (setup, regions) = setup();
    let file = setup.folder.path().join("policies/organisation.toml");
    let mut policy = std::fs::read_to_string(&file).unwrap();
    policy.push_str(
        "\n[[retention]]\nid = \"mail\"\ncategories = [\"user.contact.email\"]\nkeep = \"30 days\"\n",
    );
    std::fs::write(&file, policy).unwrap();
    let router = setup.start();
    let lines = [
        r#"{"index":{"_index":"people","_id":"k1"}}"#,
        r#"{"country":"DE","email":"k1@example.com"}"#,
        r#"{"index":{"_index":"people","_id":"k2"}}"#,
        r#"{"country":"DE"}"#,
        r#"{"index":{"_index":"people","_id":"k1"}}"#,
        r#"{"country":"DE","n":2}"#,
    ];
    let found = items(&send(&router, &lines));
    assert_eq!(statuses(&found), [201, 201, 201], "{found:?}");
    let parts = regions.seen("eu");
    let told: Vec<(bool, bool, bool)> = parts
        .iter()
        .map(|part| {
            (
                part.header("domicile-retain-until").is_some(),
                contains(&part.body, b"@example.com"),
                contains(&part.body, b"\"n\":2"),
            )
        })
        .collect();
    // The mail by its day, the other document beside it, the second action on the first after both.
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[..2].contains(&(true, true, false)), "{told:?}");
    assert!(told[..2].contains(&(false, false, false)), "{told:?}");
    assert_eq!(told[2], (false, false, true), "{told:?}");
}
