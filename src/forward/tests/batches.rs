use std::collections::BTreeMap;

use http::StatusCode;

use super::{script::Server, *};

fn items(cleared: &Cleared, count: usize) -> impl Iterator<Item = EachItem<'_>> {
    (0..count).map(move |i| EachItem {
        decision: crate::domain::DecisionId::new(1, 2),
        cleared,
        path: format!("/people/{i}").parse().unwrap(),
        body: Bytes::from(format!("record {i}")),
    })
}

/// What the pipeline does with a batch, without deciding anything.
#[test]
fn a_batch_is_split_sent_at_once_and_merged_in_order() {
    run(async {
        let both_arrived = Rc::new(tokio::sync::Barrier::new(2));
        let mut servers = Vec::new();
        for statuses in [[201, 409], [200, 201]] {
            let arrived = Rc::clone(&both_arrived);
            let server = Server::start(async move |_, peer| {
                peer.request().await;
                // Neither answers before both were asked.
                arrived.wait().await;
                let [a, b] = statuses;
                let told =
                    format!("{{\"index\":1,\"status\":{b}}}\n{{\"index\":0,\"status\":{a}}}\n");
                let length = told.len();
                peer.write(&format!(
                    "HTTP/1.1 207 Multi-Status\r\nContent-Length: {length}\r\n\r\n{told}"
                ))
                .await;
                peer.until_closed().await;
            })
            .await;
            servers.push(server);
        }
        let both = [
            settings("eu", &[servers[0].url()]),
            settings("in", &[servers[1].url()]),
        ];
        let up = upstreams(&both, &patient(), MANY);

        let body = Bytes::from("a\nb\nc\nd\ne\n");
        let homes = [Some(1), Some(0), None, Some(0), Some(1)];
        let items = homes
            .iter()
            .enumerate()
            .map(|(i, home)| (i * 2..i * 2 + 1, home.map(RegionId)));
        let split = Split::new(&body, Framing::Ndjson, items).unwrap();
        let mut statuses = vec![StatusCode::UNPROCESSABLE_ENTITY; split.items()];
        let told = join_all(split.into_parts().into_iter().map(async |part| {
            let permits: Vec<_> = part
                .indices
                .iter()
                .map(|_| cleared(part.region.0))
                .collect();
            let mut out = outgoing(Method::POST, OutgoingBody::Slices(part.body));
            let answer = up.send(&permits, &mut out).await.unwrap();
            let verdicts = Verdicts::read(answer, part.indices.len()).await.unwrap();
            (part.indices, verdicts)
        }))
        .await;
        for (indices, verdicts) in told {
            for (n, index) in indices.iter().enumerate() {
                statuses[*index as usize] = verdicts.status(n).unwrap();
            }
        }
        assert_eq!(
            batch_status(statuses.iter().copied()),
            StatusCode::MULTI_STATUS
        );
        assert_eq!(
            statuses,
            [200, 201, 422, 409, 201].map(|s| StatusCode::from_u16(s).unwrap())
        );
        assert!(servers[0].read(0).ends_with("\r\n\r\nb\nd\n"));
        assert!(servers[1].read(0).ends_with("\r\n\r\na\ne\n"));
    });
}

#[test]
fn each_record_is_one_request_and_is_told_once() {
    run(async {
        let server = Server::start(async |_, peer| peer.answer("201 Created", "kept").await).await;
        let up = eu(&[server.url()], &patient());
        let (permit, mut told) = (cleared(0), BTreeMap::new());
        let headers = Fields::default();
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
        let headers = Fields::default();
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
