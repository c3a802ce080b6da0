use std::collections::BTreeMap;

use super::{script::Server, *};

fn items(cleared: &Cleared, count: usize) -> impl Iterator<Item = EachItem<'_>> {
    (0..count).map(move |i| EachItem {
        cleared,
        path: format!("/people/{i}").parse().unwrap(),
        body: Bytes::from(format!("record {i}")),
    })
}

#[test]
fn each_record_is_one_request_and_is_told_once() {
    run(async {
        let server = Server::start(async |_, peer| peer.answer("201 Created", "kept").await).await;
        let up = eu(&[server.url()], &patient());
        let (permit, mut told) = (cleared(0), BTreeMap::new());
        let headers = HeaderMap::new();
        up.send_each(&Method::PUT, &headers, items(&permit, 100), |i, outcome| {
            assert_eq!(told.insert(i, outcome.unwrap()), None, "told twice");
        })
        .await;
        assert_eq!(told.len(), 100);
        assert!(told.values().all(|s| *s == 201));
        let read: String = (0..server.connections()).map(|c| server.read(c)).collect();
        for i in 0..100 {
            let times = |text: String| read.matches(&text).count();
            assert_eq!(times(format!("PUT /people/{i} HTTP/1.1")), 1);
        }
        assert!(server.connections() <= 16);
    });
}

#[test]
fn a_dead_region_is_given_up_and_every_record_told() {
    run(async {
        let server = Server::start(async |_, _| {}).await;
        let up = eu(&[server.url()], &patient());
        let (permit, mut given_up, mut failed) = (cleared(0), 0, 0);
        let headers = HeaderMap::new();
        up.send_each(
            &Method::POST,
            &headers,
            items(&permit, 1_000),
            |_, outcome| match outcome.unwrap_err() {
                ForwardError::GivenUp { .. } => given_up += 1,
                _ => failed += 1,
            },
        )
        .await;
        assert_eq!(given_up + failed, 1_000);
        assert!((3..=16 + 3).contains(&failed), "{failed} were tried");
    });
}
