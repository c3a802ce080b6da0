//! Answers of HTTP/2 that h2 takes and that a reader of HTTP/1.1 behind the router could take otherwise.

use std::cell::Cell;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::sync::Notify;

use super::*;
use crate::settings::HttpVersion;

type Answer = (http::Response<()>, Option<HeaderMap>);

/// A region of HTTP/2 and what it saw.
struct Region {
    url: String,
    connections: Rc<Cell<usize>>,
    /// Lets it answer a POST.
    patience: Rc<Notify>,
}

impl Region {
    /// Answers all but POST at once by `answer`: without content, or with `text` and trailers.
    async fn start(answer: impl Fn() -> Answer + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let region = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            connections: Rc::default(),
            patience: Rc::default(),
        };
        let (connections, patience) = (region.connections.clone(), region.patience.clone());
        let answer = Rc::new(answer);
        tokio::task::spawn_local(async move {
            loop {
                let (wire, _) = listener.accept().await.unwrap();
                connections.set(connections.get() + 1);
                let (answer, patience) = (Rc::clone(&answer), Rc::clone(&patience));
                tokio::task::spawn_local(async move {
                    let mut connection = h2::server::handshake(wire).await.unwrap();
                    while let Some(Ok((request, mut respond))) = connection.accept().await {
                        let (answer, patience) = (Rc::clone(&answer), Rc::clone(&patience));
                        tokio::task::spawn_local(async move {
                            let is_post = request.method() == Method::POST;
                            let mut body = request.into_body();
                            while let Some(Ok(_)) = body.data().await {}
                            if is_post {
                                patience.notified().await;
                                let fine = http::Response::new(());
                                return drop(respond.send_response(fine, true));
                            }
                            let (head, trailers) = answer();
                            let ends = trailers.is_none();
                            let Ok(mut out) = respond.send_response(head, ends) else {
                                return;
                            };
                            if let Some(trailers) = trailers {
                                let _ = out.send_data(Bytes::from("text"), false);
                                let _ = out.send_trailers(trailers);
                            }
                        });
                    }
                });
            }
        });
        region
    }

    fn upstreams(&self) -> Upstreams {
        let mut settings = settings("eu", std::slice::from_ref(&self.url));
        settings.http = HttpVersion::Two;
        upstreams(&[settings], &patient(), MANY)
    }
}

fn head(status: u16, fields: &[(&'static str, &'static str)]) -> http::Response<()> {
    let mut head = http::Response::new(());
    *head.status_mut() = StatusCode::from_u16(status).unwrap();
    for (name, value) in fields {
        let value = HeaderValue::from_static(value);
        head.headers_mut()
            .append(HeaderName::from_static(name), value);
    }
    head
}

fn of(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    head(200, fields).headers().clone()
}

#[test]
fn a_head_that_says_what_none_may_ends_its_stream_alone() {
    let many = |count| vec![("x-a", "b"); count];
    for (method, status, fields, is_sound) in [
        (Method::GET, 200, vec![("x-a", "b \tc"), ("x-b", "")], true),
        (Method::GET, 599, vec![("content-length", "0")], true),
        (Method::HEAD, 200, vec![("content-length", "7")], true),
        (Method::GET, 200, many(100), true),
        // RFC 9113 §8.2.1.
        (Method::GET, 200, vec![("x-a", " b")], false),
        (Method::GET, 200, vec![("x-a", "b ")], false),
        (Method::GET, 200, vec![("x-a", "\tb")], false),
        (Method::GET, 200, vec![("x-a", "b"), ("x-a", "b\t")], false),
        (Method::GET, 404, vec![("x-a", " ")], false),
        // RFC 9110 §5.1.
        (Method::GET, 200, vec![("x\"a", "b")], false),
        // RFC 9110 §8.6.
        (Method::GET, 200, vec![("content-length", "")], false),
        (Method::HEAD, 200, vec![("content-length", "")], false),
        (Method::GET, 304, vec![("content-length", "")], false),
        (Method::HEAD, 200, vec![("content-length", "+7")], false),
        (Method::HEAD, 200, vec![("content-length", "7, 7")], false),
        (Method::GET, 304, vec![("content-length", "7"); 2], false),
        // RFC 9110 §15.
        (Method::GET, 600, vec![], false),
        (Method::GET, 999, vec![], false),
        // As many as in HTTP/1.1.
        (Method::GET, 200, many(101), false),
    ] {
        run(async {
            let shown = format!("{method} {status} {fields:?}");
            let region = Region::start(move || (head(status, &fields), None)).await;
            let up = Rc::new(region.upstreams());
            let other = Rc::clone(&up);
            let other = tokio::task::spawn_local(async move {
                let answer = send(&other, post("x")).await;
                answer.map(|answer| answer.status())
            });
            while region.connections.get() == 0 {
                tokio::task::yield_now().await;
            }
            // Several, each of which would end the connection if one did.
            for _ in 0..3 {
                let answer = send(&up, outgoing(method.clone(), OutgoingBody::Empty)).await;
                let told = answer.map(|answer| answer.status().as_u16());
                let bad = Err(ForwardError::BadAnswer { region: name() });
                assert_eq!(told, if is_sound { Ok(status) } else { bad }, "{shown}");
            }
            region.patience.notify_one();
            assert_eq!(other.await.unwrap(), Ok(StatusCode::OK), "{shown}");
        });
    }
}

#[test]
fn trailers_of_an_answer_are_held_to_the_rules_of_http_1() {
    for (fields, passes) in [
        (vec![("x-sum", "7")], Some(1)),
        // RFC 9110 §6.5.1: left out.
        (vec![("x-sum", "7"), ("set-cookie", "a")], Some(1)),
        (vec![("set-cookie", "a")], Some(0)),
        (vec![("x-sum", " 7")], None),
        (vec![("x-sum", "7\t")], None),
        (vec![("x-sum", "7"); 100], Some(100)),
        (vec![("x-sum", "7"); 101], None),
    ] {
        run(async {
            let trailers = of(&fields);
            let region = Region::start(move || (head(200, &[]), Some(trailers.clone()))).await;
            let answer = send(&region.upstreams(), get()).await.unwrap();
            let whole = answer.into_body().collect().await;
            match passes {
                Some(count) => {
                    let whole = whole.unwrap();
                    assert_eq!(whole.trailers().map_or(0, HeaderMap::len), count);
                    assert_eq!(&*whole.to_bytes(), b"text");
                }
                None => {
                    let fault = whole.err().map(|error| error.fault);
                    assert_eq!(fault, Some(AnswerFault::Broken), "{:?}", fields.first());
                }
            }
        });
    }
}
