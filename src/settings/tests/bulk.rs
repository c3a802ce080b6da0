//! Routes of format `bulk`.

use super::{BASE, read_with, sound, summaries};
use crate::settings::Format;

const ROUTE: &str = "
[[routes]]
path = \"/_bulk\"
format = \"bulk\"
indices = [\"people\", \"log-*\"]
subject = \"bulk:id\"
";

#[test]
fn the_example_of_the_documentation_is_sound() {
    let page = include_str!("../../../docs/bulk.md");
    let example = page.split("```toml\n").nth(1).unwrap();
    let example = example.split("```").next().unwrap();
    let read = sound(&format!("{BASE}\n{example}"), &[]);
    let bulk = read.routes.iter().filter(|r| r.format == Format::Bulk);
    assert_eq!(bulk.count(), 3);
}

#[test]
fn indices_are_names_or_the_start_of_names() {
    let read = sound(&format!("{BASE}{ROUTE}"), &[]);
    let bulk = read.routes.iter().find_map(|r| r.bulk.clone()).unwrap();
    for (index, takes) in [
        ("people", true),
        ("people2", false),
        ("peopl", false),
        ("log-", true),
        ("log-2026", true),
        ("log", false),
        ("people,orders", false),
        ("", false),
    ] {
        assert_eq!(bulk.takes(index), takes, "{index}");
    }
    let route = read.routes.iter().find(|r| r.bulk.is_some()).unwrap();
    assert_eq!(route.methods, [http::Method::POST, http::Method::PUT]);
}

#[test]
fn what_is_no_bulk_route_is_told() {
    for (from, to, told) in [
        (
            "indices = [\"people\", \"log-*\"]\n",
            "",
            "a bulk route needs `indices`",
        ),
        ("[\"people\", \"log-*\"]", "[]", "the route takes no index"),
        ("\"log-*\"", "\"*log\"", "`*log` names no index"),
        ("\"log-*\"", "\"a,b\"", "`a,b` names no index"),
        (
            "/_bulk",
            "/people",
            "a bulk route's path ends with `/_bulk`",
        ),
        (
            "\"bulk:id\"",
            "\"query:id\"",
            "`query:id` is one subject for the whole batch",
        ),
        (
            "\"bulk:id\"\n",
            "\"bulk:id\"\nmethods = [\"GET\", \"POST\"]\n",
            "`GET` has no body to split",
        ),
        (
            "\"bulk:id\"\n",
            "\"bulk:id\"\ncountry = [\"bulk:id\"]\n",
            "`bulk:id` is the subject of a route of format `bulk`",
        ),
        (
            "\"bulk:id\"\n",
            "\"bulk:id\"\nupstream = \"batch\"\n",
            "the route has no batches",
        ),
        ("\"bulk\"", "\"ndjson\"", "the route has no bulk"),
    ] {
        let route = ROUTE.replacen(from, to, 1);
        assert_ne!(route, ROUTE, "{from}");
        let (read, faults) = read_with(&format!("{BASE}{route}"), &[]);
        assert!(read.is_none(), "{to}");
        let found = summaries(&faults);
        assert!(found.iter().any(|f| f.contains(told)), "{told}\n{found:#?}");
    }
}

#[test]
fn routes_of_one_path_differ_in_their_indices() {
    let other = ROUTE.replacen("[\"people\", \"log-*\"]", "[\"orders\"]", 1);
    sound(&format!("{BASE}{ROUTE}{other}"), &[]);
    let (read, faults) = read_with(&format!("{BASE}{ROUTE}{ROUTE}"), &[]);
    assert!(read.is_none());
    assert!(summaries(&faults)[0].contains("matches the same requests"));
}
