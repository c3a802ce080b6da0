//! Start, end, and what outlives them.

use std::io::Write;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use domicile::store::{Store, StoreError, StoreOptions};

use super::{BINARY, JSON, NDJSON};
use crate::support::{HttpClient, RawClient, TempWorld, request};

#[test]
fn a_restart_keeps_everything() {
    let world = TempWorld::new();
    let store = world.store("in");
    let address = store.address();
    let mut client = HttpClient::connect(address);
    client.request("PUT", "/people/a", &[JSON], "{\"id\":\"a\"}");
    client.request(
        "POST",
        "/people",
        &[NDJSON],
        "{\"id\":\"b\"}\n{\"id\":\"c\"}\n",
    );
    client.request("PATCH", "/people/b", &[JSON], "{\"x\":1}");
    client.request("DELETE", "/people/c", &[], "");
    client.request("PUT", "/files/a", &[BINARY], vec![9; 200_000]);
    store.stop().unwrap();
    assert!(RawClient::try_connect(address).is_err());

    // On the same port again, as an operator would.
    let options = StoreOptions {
        listen: address,
        ..world.store_options("in")
    };
    let store = Store::bind(options).unwrap().spawn().unwrap();
    let mut client = HttpClient::connect(store.address());
    assert_eq!(
        client.request("GET", "/people/a", &[], "").text(),
        "{\"id\":\"a\"}"
    );
    assert_eq!(
        client.request("GET", "/people/b", &[], "").text(),
        "{\"id\":\"b\",\"x\":1}"
    );
    assert_eq!(client.request("GET", "/people/c", &[], "").status, 404);
    assert_eq!(
        client.request("GET", "/files/a", &[], "").body,
        vec![9; 200_000]
    );
}

#[test]
fn a_taken_port_is_named() {
    let world = TempWorld::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap();
    let options = StoreOptions {
        listen,
        ..world.store_options("eu")
    };
    let error = Store::bind(options).err().unwrap();
    assert!(matches!(error, StoreError::Listen { address, .. } if address == listen));
    assert!(error.to_string().contains(&listen.to_string()));
}

#[test]
fn a_folder_belongs_to_one_store_at_a_time() {
    let world = TempWorld::new();
    let store = world.store("eu");
    let second = Store::bind(world.store_options("eu"));
    assert!(matches!(second.err().unwrap(), StoreError::InUse(_)));
    assert_eq!(
        request(store.address(), "GET", "/-/health", &[], "").status,
        200
    );
    store.stop().unwrap();
    assert!(Store::bind(world.store_options("eu")).is_ok());
}

#[test]
fn what_cannot_be_a_store_is_refused_at_the_start() {
    let world = TempWorld::new();
    let file = world.file("file", "");
    let options = StoreOptions {
        data: file,
        ..world.store_options("eu")
    };
    assert!(matches!(
        Store::bind(options).err().unwrap(),
        StoreError::Folder { .. }
    ));
    let options = StoreOptions {
        region: "e\nu".into(),
        ..world.store_options("eu")
    };
    assert!(matches!(
        Store::bind(options).err().unwrap(),
        StoreError::RegionName(_)
    ));
    world.file(
        "eu/documents.redb",
        "this is no database, but long enough to be looked at",
    );
    let error = Store::bind(world.store_options("eu")).err().unwrap();
    assert!(matches!(error, StoreError::Database { .. }));
}

#[test]
fn idle_and_stalled_connections_do_not_keep_it_from_ending() {
    let world = TempWorld::new();
    let store = world.store("eu");
    let mut idle = HttpClient::connect(store.address());
    idle.request("PUT", "/a", &[JSON], "1");
    let _silent = RawClient::connect(store.address());
    let mut stalled = RawClient::connect(store.address());
    stalled
        .send("PUT /b HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(stalled.read_answer().status, 100);
    stalled.send("12345");
    // Would wait for good if it waited for them.
    store.stop().unwrap();
    assert!(Store::bind(world.store_options("eu")).is_ok());
}

#[test]
fn a_stalled_body_is_given_up() {
    let world = TempWorld::new();
    let mut options = world.store_options("eu");
    options.limits.body_stall = std::time::Duration::from_millis(20);
    let store = Store::bind(options).unwrap().spawn().unwrap();
    let mut stalled = RawClient::connect(store.address());
    stalled.send("PUT /b HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345");
    assert_eq!(stalled.read_answer().status, 408);
    assert_eq!(request(store.address(), "GET", "/b", &[], "").status, 404);
}

#[test]
fn it_serves_on_the_callers_runtime_too() {
    let world = TempWorld::new();
    let store = Store::bind(world.store_options("eu")).unwrap();
    let address = store.address();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(store.serve(async { stopped.await.unwrap_or_default() }))
    });
    assert_eq!(request(address, "PUT", "/a", &[JSON], "1").status, 201);
    stop.send(()).unwrap();
    serving.join().unwrap().unwrap();
    assert!(RawClient::try_connect(address).is_err());
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn its_log_names_nobody() {
    let world = TempWorld::new();
    let log = Log::default();
    let sink = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_env_filter("domicile=trace")
        .with_writer(move || sink.clone())
        .finish();
    let store = Store::bind(world.store_options("eu")).unwrap();
    let address = store.address();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = std::thread::spawn(move || {
        let _scope = tracing::subscriber::set_default(subscriber);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(store.serve(async { stopped.await.unwrap_or_default() }))
    });
    let mut client = HttpClient::connect(address);
    let path = "/people/anna@example.com";
    for body in ["{\"name\":\"Anna Probe\"}", "Anna Probe"] {
        client.request("PUT", path, &[JSON], body);
        client.request("PATCH", path, &[JSON], body);
        client.request("POST", "/people", &[JSON], body);
    }
    // A document whose file is gone, and a connection that is no HTTP: both are logged.
    client.request("PUT", path, &[BINARY], vec![b'A'; 100_000]);
    std::fs::remove_dir_all(world.path().join("eu/files")).unwrap();
    assert_eq!(client.request("GET", path, &[], "").status, 500);
    let mut garbage = RawClient::connect(address);
    garbage.send(format!("GET {path} anna@example.com Anna Probe\r\n\r\n"));
    let _ = garbage.read_to_end();
    stop.send(()).unwrap();
    serving.join().unwrap().unwrap();

    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("cannot read a document"), "{log}");
    assert!(log.contains("ended early"), "{log}");
    for needle in ["anna", "Anna", "/people", "AAAA"] {
        assert!(!log.contains(needle), "{log}");
    }
}
