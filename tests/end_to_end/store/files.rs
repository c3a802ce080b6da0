//! Bodies that live beside the database.

use std::path::Path;

use domicile::store::Store;

use super::BINARY;
use crate::support::{HttpClient, RawClient, TempWorld};

const LARGE: usize = 3_000_000;

fn large(seed: usize) -> Vec<u8> {
    (0..LARGE).map(|n| ((n * 31 + seed) >> 3) as u8).collect()
}

fn files_in(world: &TempWorld) -> usize {
    let folder = world.path().join("eu/files");
    std::fs::read_dir(folder).unwrap().count()
}

#[test]
fn a_large_file_comes_back_and_leaves_with_its_document() {
    let world = TempWorld::new();
    let store = world.store("eu");
    let mut client = HttpClient::connect(store.address());
    let (first, second) = (large(1), large(2));
    let put = client.request("PUT", "/files/p/a", &[BINARY], &first);
    assert_eq!(put.status, 201);
    let got = client.request("GET", "/files/p/a", &[], "");
    assert!(got.body == first);
    assert_eq!(got.header("content-length"), Some(&*LARGE.to_string()));
    assert_eq!(got.header("etag"), put.header("etag"));
    let head = client.request("HEAD", "/files/p/a", &[], "");
    assert_eq!(head.header("content-length"), Some(&*LARGE.to_string()));
    assert_eq!(files_in(&world), 1);

    assert_eq!(
        client
            .request("PUT", "/files/p/a", &[BINARY], &second)
            .status,
        200
    );
    assert!(client.request("GET", "/files/p/a", &[], "").body == second);
    assert_eq!(
        client
            .request("PUT", "/files/p/a", &[BINARY], "small")
            .status,
        200
    );
    assert_eq!(client.request("GET", "/files/p/a", &[], "").text(), "small");
    client.request("PUT", "/files/p/a", &[BINARY], &first);
    assert_eq!(client.request("DELETE", "/files/p/a", &[], "").status, 204);
    store.stop().unwrap();
    assert_eq!(files_in(&world), 0);
}

#[test]
fn a_chunked_upload_of_unknown_length_is_a_file_too() {
    let world = TempWorld::new();
    let store = world.store("eu");
    let mut client = RawClient::connect(store.address());
    client.send("PUT /f HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    let body = large(3);
    for chunk in body.chunks(70_000) {
        client.send(format!("{:x}\r\n", chunk.len()));
        client.send(chunk);
        client.send("\r\n");
    }
    client.send("0\r\nX-Trailer: passed over\r\n\r\n");
    assert_eq!(client.read_answer().status, 201);
    let mut client = HttpClient::connect(store.address());
    assert!(client.request("GET", "/f", &[], "").body == body);
}

#[test]
fn an_upload_that_breaks_off_leaves_the_old_document_and_no_file() {
    let world = TempWorld::new();
    let store = world.store("eu");
    let mut client = HttpClient::connect(store.address());
    client.request("PUT", "/f", &[BINARY], "old");
    let mut broken = RawClient::connect(store.address());
    broken.send("PUT /f HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
    broken.send(vec![b'x'; 500_000]);
    broken.reset();
    assert_eq!(client.request("GET", "/f", &[], "").text(), "old");
    store.stop().unwrap();
    assert_eq!(files_in(&world), 0);
}

#[test]
fn the_limit_holds_whether_the_length_is_declared_or_not() {
    let world = TempWorld::new();
    let mut options = world.store_options("eu");
    options.limits.file_bytes = 100_000;
    options.limits.document_bytes = 1000;
    let store = Store::bind(options).unwrap().spawn().unwrap();
    let mut client = HttpClient::connect(store.address());
    assert_eq!(
        client
            .request("PUT", "/f", &[BINARY], vec![0; 100_000])
            .status,
        201
    );
    assert_eq!(
        client
            .request("PUT", "/g", &[BINARY], vec![0; 100_001])
            .status,
        413
    );
    let long = format!("\"{}\"", "x".repeat(999));
    let mut client = HttpClient::connect(store.address());
    assert_eq!(
        client
            .request("PUT", "/j", &[super::JSON], &long[1..])
            .status,
        400
    );
    assert_eq!(
        client.request("PUT", "/j", &[super::JSON], &long).status,
        413
    );

    let mut chunked = RawClient::connect(store.address());
    chunked.send("PUT /g HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for _ in 0..3 {
        chunked.send("c350\r\n");
        chunked.send(vec![b'x'; 50_000]);
        chunked.send("\r\n");
    }
    chunked.send("0\r\n\r\n");
    assert_eq!(chunked.read_answer().status, 413);
    // Declared too large and asking first: refused before a byte is sent.
    let mut asking = RawClient::connect(store.address());
    asking.send(
        "PUT /g HTTP/1.1\r\nHost: a\r\nContent-Length: 100001\r\nExpect: 100-continue\r\n\r\n",
    );
    assert_eq!(asking.read_answer().status, 413);
    let mut client = HttpClient::connect(store.address());
    assert_eq!(client.request("GET", "/g", &[], "").status, 404);
    store.stop().unwrap();
    assert_eq!(files_in(&world), 1);
}

#[test]
fn what_a_crash_left_over_is_removed_on_start_and_nothing_else() {
    let world = TempWorld::new();
    let store = world.store("eu");
    let mut client = HttpClient::connect(store.address());
    let body = large(4);
    client.request("PUT", "/f", &[BINARY], &body);
    store.stop().unwrap();
    let orphan = world.file(&format!("eu/files/{:032x}", 7), "left over");
    let foreign = world.file("eu/files/README", "somebody else's");

    let store = world.store("eu");
    let exists = Path::exists;
    assert!(!exists(&orphan) && exists(&foreign));
    let mut client = HttpClient::connect(store.address());
    assert!(client.request("GET", "/f", &[], "").body == body);
}
