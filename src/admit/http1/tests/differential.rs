//! Beside another reader: what is accepted here, hyper splits in the same places.

use std::{cell::RefCell, convert::Infallible, rc::Rc};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1::Builder, service::service_fn};
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex, split};

use super::laws::{nearly_sound, stitched};
use crate::admit::http1::harness::{Read, read};

/// Method, target and body.
type Seen = (String, String, Vec<u8>);

/// The whole requests that hyper reads from a connection with these bytes.
fn by_hyper(bytes: &[u8]) -> Vec<Seen> {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let service = service_fn(|request: Request<Incoming>| {
        let seen = Rc::clone(&seen);
        async move {
            let (head, body) = request.into_parts();
            if let Ok(body) = body.collect().await {
                let body = body.to_bytes().to_vec();
                let one = (head.method.to_string(), head.uri.to_string(), body);
                seen.borrow_mut().push(one);
            }
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (near, far) = duplex(1 << 16);
        let (mut answers, mut asks) = split(near);
        asks.write_all(bytes).await.unwrap();
        asks.shutdown().await.unwrap();
        let mut sink = Vec::new();
        let serving = Builder::new()
            .half_close(true)
            .serve_connection(TokioIo::new(far), service);
        let (_, _) = tokio::join!(serving, answers.read_to_end(&mut sink));
    });
    seen.take()
}

fn compare(bytes: &[u8]) -> Result<usize, TestCaseError> {
    let theirs = by_hyper(bytes);
    let ours = read([bytes]).into_iter().filter_map(|found| match found {
        Read::Request(request) => Some((request.method, request.target, request.body)),
        _ => None,
    });
    let mut alike = 0;
    for (ours, theirs) in ours.zip(theirs) {
        prop_assert_eq!(ours, theirs, "{:?}", String::from_utf8_lossy(bytes));
        alike += 1;
    }
    Ok(alike)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn parts_are_split_alike(bytes in stitched()) {
        compare(&bytes)?;
    }

    #[test]
    fn requests_are_split_alike(requests in prop::collection::vec(nearly_sound(), 1..4)) {
        compare(&requests.concat())?;
    }
}

#[test]
fn the_comparison_sees_requests() {
    let two = b"PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\
                PUT /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
    assert_eq!(compare(two).unwrap(), 2);
}
