//! The harness does what it says: otherwise the tests that use it would prove nothing.

use std::io::ErrorKind;
use std::process::Command;
use std::time::Duration;

use crate::support::{
    Gate, HttpClient, RawClient, RecordingBackend, Reply, Running, TempWorld, request, search_bytes,
};

const GET: &str = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn a_backend_records_each_byte_and_echoes() {
    let backend = RecordingBackend::start(Reply::echo());
    let mut client = HttpClient::connect(backend.address());
    let body: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let headers = [("Content-Type", "a/b"), ("X-One", "1")];
    let answer = client.request("PUT", "/p/%41?q=1", &headers, &body);
    assert_eq!((answer.status, &answer.body), (200, &body));
    client.request("GET", "/second", &[], "");

    let requests = backend.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].method, "PUT");
    assert_eq!(requests[0].target, "/p/%41?q=1");
    assert_eq!(requests[0].header("x-one"), Some("1"));
    assert_eq!(requests[0].body, body);
    assert!(requests[0].complete);
    assert!(requests[0].at <= requests[1].at);
    assert_eq!(requests[1].connection, requests[0].connection);
    assert_eq!(backend.connections(), 1);
}

#[test]
fn a_backend_reads_chunks_and_trailers_and_answers_in_chunks() {
    let backend = RecordingBackend::start(Reply::echo().chunked());
    let mut client = RawClient::connect(backend.address());
    client.send("POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.read_answer().status, 100);
    client.send("3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-Sum: 5\r\n\r\n");
    let answer = client.read_answer();
    assert_eq!(answer.text(), "abcde");
    assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
    let request = &backend.requests()[0];
    assert_eq!(request.text(), "abcde");
    assert_eq!(request.trailers, [("x-sum".to_owned(), b"5".to_vec())]);
}

#[test]
fn replies_come_from_the_queue_then_from_the_script() {
    let backend = RecordingBackend::start(Reply::status(204));
    backend.queue([
        Reply::json(500, "{}").header("Retry-After", "1"),
        Reply::status(404),
    ]);
    let mut client = HttpClient::connect(backend.address());
    let first = client.request("GET", "/", &[], "");
    assert_eq!(
        (first.status, first.header("retry-after")),
        (500, Some("1"))
    );
    assert_eq!(client.request("GET", "/", &[], "").status, 404);
    assert_eq!(client.request("GET", "/", &[], "").status, 204);
    backend.answer_with(|request| Reply::json(200, request.target.clone()));
    assert_eq!(client.request("GET", "/seen", &[], "").text(), "/seen");
    let head = client.request("HEAD", "/seen", &[], "");
    assert_eq!(
        (head.header("content-length"), head.body.len()),
        (Some("5"), 0)
    );
    assert_eq!(
        client.request("GET", "/still-in-step", &[], "").text(),
        "/still-in-step"
    );
}

#[test]
fn batches_are_answered_per_item_in_their_shape() {
    let backend = RecordingBackend::start(Reply::each_item(201));
    let json = [("Content-Type", "application/json")];
    let array = request(
        backend.address(),
        "POST",
        "/c",
        &json,
        r#"[{"id":1},{"id":2}]"#,
    );
    assert_eq!(
        array.text(),
        r#"[{"index":0,"status":201},{"index":1,"status":201}]"#
    );
    let ndjson = [("Content-Type", "application/x-ndjson")];
    let lines = request(
        backend.address(),
        "POST",
        "/c",
        &ndjson,
        "{\"id\":1}\n{\"id\":2}\n",
    );
    assert_eq!(lines.ndjson(), array.json().as_array().unwrap().clone());
}

#[test]
fn an_answer_waits_at_its_gates() {
    let (head, rest) = (Gate::new(), Gate::new());
    let reply = Reply::json(200, "0123456789")
        .head_when(&head)
        .rest_when(4, &rest);
    let backend = RecordingBackend::start(reply);
    let mut client = RawClient::connect(backend.address());
    client.send(GET);
    backend.wait_for(1);
    assert!(client.silent_for(Duration::from_millis(50)));
    head.open();
    let mut seen = Vec::new();
    while !seen.ends_with(b"0123") {
        seen.extend(client.read_some().unwrap());
    }
    assert!(client.silent_for(Duration::from_millis(50)));
    rest.open();
    seen.extend(client.read_some().unwrap());
    assert!(seen.ends_with(b"0123456789"));
}

#[test]
fn delays_end_in_whole_answers() {
    let short = Duration::from_millis(5);
    let reply = Reply::json(200, "0123456789")
        .head_after(short)
        .pause_after(3, short);
    let backend = RecordingBackend::start(reply);
    assert_eq!(
        request(backend.address(), "GET", "/", &[], "").text(),
        "0123456789"
    );
}

#[test]
fn a_reset_is_a_reset_and_comes_after_the_bytes_it_should() {
    let backend = RecordingBackend::start(Reply::json(200, "0123456789").reset_after(20));
    let mut client = RawClient::connect(backend.address());
    client.send(GET);
    let mut seen = Vec::new();
    let error = loop {
        match client.read_some() {
            Ok(some) => {
                assert!(!some.is_empty(), "an end in order instead of a reset");
                seen.extend(some);
            }
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(seen, b"HTTP/1.1 200 Scripte");
}

#[test]
fn a_reset_in_the_middle_of_the_request_leaves_it_incomplete() {
    let backend = RecordingBackend::start(Reply::status(200).reset_request_after(5));
    let mut client = RawClient::connect(backend.address());
    client.send("PUT /x HTTP/1.1\r\nContent-Length: 10\r\n\r\n01234");
    let end = client.read_to_end();
    assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
    let requests = backend.requests();
    assert_eq!((requests[0].text(), requests[0].complete), ("01234", false));
}

#[test]
fn cut_absent_and_garbled_answers_end_in_order() {
    let backend = RecordingBackend::start(Reply::status(200));
    for (reply, expected) in [
        (
            Reply::json(200, "0123456789").cut_after(12),
            &b"HTTP/1.1 200"[..],
        ),
        (Reply::close_without_answer(), b""),
        (
            Reply::garbage(*b"\0\xff nonsense\n\n"),
            b"\0\xff nonsense\n\n",
        ),
    ] {
        backend.queue([reply]);
        let mut client = RawClient::connect(backend.address());
        client.send(GET);
        assert_eq!(client.read_to_end().unwrap(), expected);
    }
    backend.queue([Reply::status(200).closing()]);
    let mut client = RawClient::connect(backend.address());
    client.send(GET);
    assert_eq!(client.read_answer().header("connection"), Some("close"));
    assert_eq!(client.read_to_end().unwrap(), b"");
}

#[test]
fn a_stalled_answer_ends_with_the_backend_and_the_port_comes_back() {
    let mut backend = RecordingBackend::start(Reply::stall());
    let mut client = RawClient::connect(backend.address());
    client.send(GET);
    backend.wait_for(1);
    assert!(client.silent_for(Duration::from_millis(50)));
    backend.kill();
    // A reset or an end: a killed process gives either.
    assert!(client.read_to_end().is_ok_and(|rest| rest.is_empty()) || client.read_some().is_err());
    let refused = RawClient::try_connect(backend.address());
    assert!(refused.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused));

    backend.restart();
    backend.always(Reply::status(200));
    assert_eq!(
        request(backend.address(), "GET", "/again", &[], "").status,
        200
    );
    let targets: Vec<String> = backend.requests().into_iter().map(|r| r.target).collect();
    assert_eq!(targets, ["/x", "/again"]);
}

#[test]
fn a_program_is_watched_and_ended() {
    let shell = |script: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Running::start(command)
    };
    let mut killed = shell("echo out; echo ready >&2; exec sleep 600");
    assert_eq!(killed.wait_for_line("read"), "ready");
    assert!(!killed.kill().success());

    let mut ended = shell("trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.01; done");
    ended.wait_for_line("ready");
    assert_eq!(ended.terminate().code(), Some(3));
    assert_eq!(ended.lines(), ["ready", "bye"]);
}

#[test]
fn needles_are_found_in_contents_and_names_and_nothing_else_is() {
    let world = TempWorld::new();
    let file = world.file("deep/er/log", b"\0\xffxx+15550100xx+15550100");
    world.file("deep/anna@example.com.json", "");
    let needles = ["+15550100", "anna@example.com", "absent", "+15550199"];
    let mut hits = search_bytes(world.path(), &needles);
    hits.sort_by_key(|hit| (hit.needle.clone(), hit.offset));
    let found: Vec<_> = hits
        .iter()
        .map(|hit| (hit.needle.as_slice(), hit.offset))
        .collect();
    let expected: [(&[u8], usize); 3] = [
        (b"+15550100", 4),
        (b"+15550100", 15),
        (b"anna@example.com", 0),
    ];
    assert_eq!(found, expected);
    assert_eq!(hits[0].file, file);
}
