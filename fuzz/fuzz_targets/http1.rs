#![no_main]

use domicile::admit::http1::harness::{Read, Request, read, try_bytes};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    try_bytes(bytes);
    for found in read([bytes]) {
        if let Read::Request(request) = found {
            compare(&request);
        }
    }
});

/// What is accepted reads the same to `httparse`, a parser that many servers have.
fn compare(request: &Request) {
    let mut room = [httparse::EMPTY_HEADER; 128];
    let mut theirs = httparse::Request::new(&mut room);
    let read = theirs.parse(&request.raw);
    let whole = httparse::Status::Complete(request.raw.len());
    assert_eq!(read, Ok(whole), "where the head ends");
    assert_eq!(theirs.method, Some(request.method.as_str()));
    if request.target.starts_with('/') {
        assert_eq!(theirs.path, Some(request.target.as_str()));
    }
    let version = theirs.version.map(|minor| format!("HTTP/1.{minor}"));
    assert_eq!(version, Some(format!("{:?}", request.version)));
    let fields = request.fields.iter();
    let ours: Vec<(String, &[u8])> = fields
        .map(|(_, name, value)| (name.to_owned(), value.as_bytes()))
        .collect();
    let fields = theirs.headers.iter();
    let theirs: Vec<(String, &[u8])> = fields
        .map(|field| (field.name.to_ascii_lowercase(), field.value))
        .collect();
    assert_eq!(ours, theirs);
}
