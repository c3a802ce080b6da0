//! One document: saved, read, patched, listed, deleted.

use std::thread;

use super::{BINARY, JSON};
use crate::support::{HttpClient, TempWorld, request, request_h2};

#[test]
fn a_document_comes_back_byte_for_byte() {
    let world = TempWorld::new();
    let store = world.store("eu");
    let mut client = HttpClient::connect(store.address());
    let odd = " {\"b\": 1.00, \"a\":\"\\u00fc\", \"a\":2}\r\n";
    let typed = [("Content-Type", "application/json; charset=utf-8")];
    let created = client.request("PUT", "/people/p-1", &typed, odd);
    assert_eq!((created.status, created.text()), (201, ""));
    assert_eq!(created.header("domicile-store"), Some("eu"));

    let got = client.request("GET", "/people/p-1", &[], "");
    assert_eq!((got.status, got.text()), (200, odd));
    assert_eq!(got.header("content-type"), Some(typed[0].1));
    assert_eq!(got.header("content-length"), Some(&*odd.len().to_string()));
    assert_eq!(got.header("domicile-store"), Some("eu"));
    assert_eq!(got.header("etag"), created.header("etag"));

    let head = client.request("HEAD", "/people/p-1", &[], "");
    assert_eq!((head.status, head.body.len()), (200, 0));
    for name in ["content-type", "content-length", "etag"] {
        assert_eq!(head.header(name), got.header(name));
    }

    let replaced = client.request("PUT", "/people/p-1", &[JSON], "{}");
    assert_eq!((replaced.status, replaced.text()), (200, ""));
    assert_ne!(replaced.header("etag"), created.header("etag"));
    assert_eq!(client.request("GET", "/people/p-1", &[], "").text(), "{}");
}

#[test]
fn any_bytes_are_kept_with_what_was_said_about_them() {
    let world = TempWorld::new();
    let store = world.store("eu");
    let mut client = HttpClient::connect(store.address());
    let bytes: Vec<u8> = (0..=255).collect();
    for (path, headers) in [
        ("/f/plain", &[][..]),
        ("/f/binary", &[BINARY][..]),
        ("/f/packed", &[JSON, ("Content-Encoding", "gzip")][..]),
    ] {
        assert_eq!(client.request("PUT", path, headers, &bytes).status, 201);
        let got = client.request("GET", path, &[], "");
        assert_eq!(got.body, bytes);
        let said = headers.first().map_or(BINARY.1, |(_, value)| value);
        assert_eq!(got.header("content-type"), Some(said));
        let encoding = headers.get(1).map(|(_, value)| *value);
        assert_eq!(got.header("content-encoding"), encoding);
    }
    assert_eq!(client.request("PUT", "/f/empty", &[BINARY], "").status, 201);
    let empty = client.request("GET", "/f/empty", &[], "");
    assert_eq!(
        (empty.status, empty.header("content-length")),
        (200, Some("0"))
    );
}

#[test]
fn a_known_tag_spares_the_body() {
    let world = TempWorld::new();
    let store = world.store("eu");
    let mut client = HttpClient::connect(store.address());
    let tag = client
        .request("PUT", "/a", &[JSON], "1")
        .header("etag")
        .unwrap()
        .to_owned();
    let known = format!("\"other\", W/{tag}");
    let answer = client.request("GET", "/a", &[("If-None-Match", &known)], "");
    assert_eq!((answer.status, answer.body.len()), (304, 0));
    let answer = client.request("GET", "/a", &[("If-None-Match", "\"other\"")], "");
    assert_eq!((answer.status, answer.text()), (200, "1"));
}

#[test]
fn what_is_deleted_is_gone() {
    let world = TempWorld::new();
    let store = world.store("eu");
    let mut client = HttpClient::connect(store.address());
    client.request("PUT", "/people/p-1", &[JSON], "{}");
    let deleted = client.request("DELETE", "/people/p-1", &[], "");
    assert_eq!((deleted.status, deleted.body.len()), (204, 0));
    for method in ["GET", "HEAD", "DELETE"] {
        assert_eq!(client.request(method, "/people/p-1", &[], "").status, 404);
    }
    assert_eq!(
        client.request("PUT", "/people/p-1", &[JSON], "{}").status,
        201
    );
}

#[test]
fn an_erasure_finds_the_document_in_every_spelling_of_its_path() {
    let world = TempWorld::new();
    let store = world.store("eu");
    let mut client = HttpClient::connect(store.address());
    client.request("PUT", "/people/a@example.com", &[JSON], "{}");
    assert_eq!(
        client
            .request("DELETE", "/people/a%40example.com", &[], "")
            .status,
        204
    );
    assert_eq!(
        client
            .request("GET", "/people/a@example.com", &[], "")
            .status,
        404
    );
    // An escaped slash is no slash.
    client.request("PUT", "/people/a%2Fb", &[JSON], "1");
    assert_eq!(client.request("GET", "/people/a/b", &[], "").status, 404);
}

#[test]
fn a_patch_changes_what_it_names() {
    let world = TempWorld::new();
    let store = world.store("eu");
    let mut client = HttpClient::connect(store.address());
    let merge = ("Content-Type", "application/merge-patch+json");
    client.request(
        "PUT",
        "/p",
        &[JSON],
        r#"{"a":1,"b":{"c":2,"d":3},"n":1e400}"#,
    );
    let patched = client.request(
        "PATCH",
        "/p",
        &[merge],
        r#"{"a":null,"b":{"c":"x"},"e":[null]}"#,
    );
    assert_eq!((patched.status, patched.text()), (200, ""));
    let got = client.request("GET", "/p", &[], "");
    assert_eq!(got.text(), r#"{"b":{"c":"x","d":3},"n":1e400,"e":[null]}"#);
    assert_eq!(got.header("etag"), patched.header("etag"));
    assert_eq!(client.request("PATCH", "/p", &[JSON], "{}").status, 200);

    client.request("PUT", "/text", &[("Content-Type", "text/plain")], "{}");
    for (path, headers, patch, status) in [
        ("/none", &[merge][..], "{}", 404),
        ("/p", &[("Content-Type", "text/plain")], "{}", 415),
        ("/p", &[], "{}", 415),
        ("/p", &[merge, ("Content-Encoding", "gzip")], "{}", 415),
        ("/p", &[merge], "{", 400),
        ("/p", &[merge], "", 400),
        ("/text", &[merge], "{}", 415),
        ("/p/", &[merge], "{}", 405),
    ] {
        let answer = client.request("PATCH", path, headers, patch);
        assert_eq!(answer.status, status, "{path} {headers:?} {patch}");
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json")
        );
    }
    assert_eq!(client.request("GET", "/p", &[], "").body, got.body);
}

#[test]
fn a_listing_gives_what_stands_below_in_pages() {
    let world = TempWorld::new();
    let store = world.store("eu");
    let mut client = HttpClient::connect(store.address());
    for path in [
        "/c/b", "/c/a%26x", "/c/d/e", "/c", "/cc/x", "/c/50%25", "/b/z",
    ] {
        client.request("PUT", path, &[JSON], "{}");
    }
    let all = serde_json::json!({ "ids": ["50%25", "a&x", "b", "d/e"], "next": null });
    assert_eq!(client.request("GET", "/c/", &[], "").json(), all);
    assert_eq!(client.request("GET", "/c?list", &[], "").json(), all);
    assert_eq!(
        client.request("GET", "/none/", &[], "").json()["ids"],
        serde_json::json!([])
    );
    assert_eq!(
        client.request("GET", "/", &[], "").json()["ids"]
            .as_array()
            .unwrap()
            .len(),
        7
    );

    let mut next = "/c/?limit=1".to_owned();
    let mut ids = Vec::new();
    loop {
        let page = client.request("GET", &next, &[], "").json();
        ids.extend(page["ids"].as_array().unwrap().clone());
        match page["next"].as_str() {
            Some(page) => next = page.to_owned(),
            None => break,
        }
    }
    assert_eq!(serde_json::Value::from(ids), all["ids"]);
    for query in ["limit=0", "limit=1001", "limit=x", "after=%zz", "after=%ff"] {
        assert_eq!(
            client
                .request("GET", &format!("/c/?{query}"), &[], "")
                .status,
            400
        );
    }
}

#[test]
fn many_writers_lose_nothing() {
    let world = TempWorld::new();
    let store = world.store("eu");
    let address = store.address();
    let writer = |number: usize| {
        move || {
            let mut client = HttpClient::connect(address);
            let statuses: Vec<u16> = (0..10)
                .map(|round| {
                    let body = format!("{{\"n\":{number},\"r\":{round}}}");
                    let own =
                        client.request("PUT", &format!("/own/{number}-{round}"), &[JSON], body);
                    assert_eq!(own.status, 201);
                    let patch = format!("{{\"{number}-{round}\":true}}");
                    assert_eq!(
                        client.request("PATCH", "/shared", &[JSON], patch).status,
                        200
                    );
                    client
                        .request("PUT", &format!("/contested/{round}"), &[JSON], "{}")
                        .status
                })
                .collect();
            statuses
        }
    };
    request(address, "PUT", "/shared", &[JSON], "{}");
    let threads: Vec<_> = (0..64)
        .map(|number| thread::spawn(writer(number)))
        .collect();
    let statuses: Vec<u16> = threads
        .into_iter()
        .flat_map(|t| t.join().unwrap())
        .collect();
    // Of those who saved the same document first, exactly one was.
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 10);
    assert!(statuses.iter().all(|status| [200, 201].contains(status)));
    let shared = request(address, "GET", "/shared", &[], "").json();
    assert_eq!(shared.as_object().unwrap().len(), 640);
    let mut client = HttpClient::connect(address);
    assert_eq!(
        client.request("GET", "/own/", &[], "").json()["ids"]
            .as_array()
            .unwrap()
            .len(),
        640
    );
    let sample = client.request("GET", "/own/63-9", &[], "");
    assert_eq!(sample.text(), "{\"n\":63,\"r\":9}");
}

#[test]
fn it_speaks_http2_in_clear_text() {
    let world = TempWorld::new();
    let store = world.store("sg");
    let body = vec![b'x'; 200_000];
    let put = request_h2(store.address(), "PUT", "/f/two", &[BINARY], &body);
    assert_eq!(
        (put.status, put.header("domicile-store")),
        (201, Some("sg"))
    );
    let got = request_h2(store.address(), "GET", "/f/two", &[], "");
    assert_eq!((got.status, got.body), (200, body));
    let head = request_h2(store.address(), "HEAD", "/f/two", &[], "");
    assert_eq!(
        (head.header("content-length"), head.body.len()),
        (Some("200000"), 0)
    );
    assert_eq!(
        request_h2(store.address(), "GET", "/f/three", &[], "").status,
        404
    );
}
