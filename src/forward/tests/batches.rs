use std::collections::BTreeMap;

use http::StatusCode;

use super::{script::Server, *};
use crate::domain::SubjectKey;

fn items(cleared: &Cleared, count: usize) -> impl Iterator<Item = EachItem<'_>> {
    (0..count).map(move |i| EachItem {
        decision: crate::domain::DecisionId::new(1, 2),
        whose: whose(i),
        cleared,
        path: format!("/people/{i}").parse().unwrap(),
        body: Bytes::from(format!("record {i}")),
    })
}

fn whose(number: usize) -> SubjectKey {
    SubjectKey::from_bytes(u128::try_from(number).unwrap().to_be_bytes())
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

/// More of one person's than may be held back, and others' among them.
#[test]
fn records_of_one_subject_go_in_their_order_beside_those_of_others() {
    run(async {
        let server = Server::start(async |_, peer| {
            while peer.request().await {
                // Others go meanwhile.
                tokio::task::yield_now().await;
                peer.write("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
                    .await;
            }
        })
        .await;
        let up = eu(&[server.url()], &patient());
        let (permit, mut told) = (cleared(0), Vec::new());
        let headers = Fields::default();
        let items = items(&permit, 3_000).enumerate().map(|(i, mut item)| {
            item.whose = whose(if i % 10 == 0 { i } else { 7 });
            item
        });
        up.send_each(&Method::PUT, &headers, items, |i, outcome| {
            assert_eq!(outcome.unwrap(), 201);
            told.push(i);
        })
        .await;
        assert_eq!(told.len(), 3_000);
        let own: Vec<_> = told.iter().filter(|i| *i % 10 != 0).collect();
        assert!(own.is_sorted(), "one overtook another");
        assert!(!told.is_sorted(), "others do not wait for them");
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

/// RFC 9112 §8: an answer that breaks off is none, whatever its head says. Each says another status, so
/// that it shows which of them counted.
#[test]
fn a_record_whose_answer_breaks_off_was_not_stored_for_all_that_is_known() {
    const CHUNKED: &str = "Transfer-Encoding: chunked\r\n\r\n";
    for (answer, resets, is_whole) in [
        (
            "201 Created\r\nContent-Length: 2\r\n\r\n{}".to_owned(),
            false,
            true,
        ),
        ("201 Created\r\n\r\n{}".to_owned(), false, true),
        (
            "409 Conflict\r\nContent-Length: 2\r\n\r\n{}".to_owned(),
            false,
            true,
        ),
        // So long that its end is nobody's business here.
        (
            format!(
                "200 OK\r\nContent-Length: 999999\r\n\r\n{}",
                "x".repeat(200_000)
            ),
            false,
            true,
        ),
        (
            "200 OK\r\nContent-Length: 20\r\n\r\n{}".to_owned(),
            false,
            false,
        ),
        (
            "200 OK\r\nContent-Length: 20\r\n\r\n{}".to_owned(),
            true,
            false,
        ),
        ("200 OK\r\n\r\n{}".to_owned(), true, false),
        (format!("201 Created\r\n{CHUNKED}ZZ\r\n"), false, false),
        (
            format!("201 Created\r\n{CHUNKED}2\r\n{{}}\r\n"),
            false,
            false,
        ),
        (
            "409 Conflict\r\nContent-Length: 20\r\n\r\n{}".to_owned(),
            false,
            false,
        ),
    ] {
        run(async {
            let shown = answer.get(..40).unwrap_or(&answer).to_owned();
            let status: u16 = answer.get(..3).unwrap().parse().unwrap();
            let server = Server::start(async move |_, peer| {
                peer.request().await;
                if resets {
                    peer.will_reset();
                }
                peer.write(&format!("HTTP/1.1 {answer}")).await;
                // So that what was written is read before it is taken back.
                tokio::time::sleep(Duration::from_millis(50)).await;
            })
            .await;
            let up = eu(&[server.url()], &patient());
            let (permit, mut told) = (cleared(0), None);
            let one = items(&permit, 1);
            up.send_each(&Method::PUT, &Fields::default(), one, |_, outcome| {
                told = Some(outcome.map(|status| status.as_u16()));
            })
            .await;
            let bad = Err(ForwardError::BadAnswer { region: name() });
            let wanted = if is_whole { Ok(status) } else { bad };
            assert_eq!(told, Some(wanted), "{shown} {resets}");

            // A part of a batch that is answered by one status, on a connection of its own.
            let up = eu(&[server.url()], &patient());
            let answer = send(&up, post("record")).await.unwrap();
            let verdicts = Verdicts::read(answer, 3).await;
            let wanted = match is_whole {
                true => Ok(Verdicts::All(StatusCode::from_u16(status).unwrap())),
                false => Err(NoVerdict::Unclear),
            };
            assert_eq!(verdicts, wanted, "{shown} {resets}");
        });
    }
}

#[test]
fn a_record_whose_answer_does_not_end_is_late() {
    run(async {
        let server = Server::start(async |_, peer| {
            peer.request().await;
            peer.write("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{}")
                .await;
            peer.hang().await;
        })
        .await;
        let up = eu(&[server.url()], &hasty());
        let (permit, mut told) = (cleared(0), None);
        let one = items(&permit, 1);
        up.send_each(&Method::PUT, &Fields::default(), one, |_, outcome| {
            told = Some(outcome)
        })
        .await;
        let sent = Sent::Perhaps;
        let late = ForwardError::Timeout {
            region: name(),
            sent,
        };
        assert_eq!(told, Some(Err(late)));
    });
}
