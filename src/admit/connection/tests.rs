//! What HTTP/2 callers do not take of their answers.

use std::{cell::Cell, pin::pin};

use h2::client::{Builder, Connection, ResponseFuture, SendRequest};
use http_body_util::Full;
use tokio::{
    io::{DuplexStream, duplex},
    time::sleep,
};

use super::*;

#[test]
fn what_is_at_work_is_shown_until_its_place_is_given_back() {
    let counter = Counter::default();
    let shown = counter.shown();
    let places = [counter.enter(2), counter.enter(2)];
    assert!(places.iter().all(Option::is_some));
    assert!(counter.enter(2).is_none());
    assert_eq!(shown.load(Ordering::Relaxed), 2);
    drop(places);
    assert_eq!(shown.load(Ordering::Relaxed), 0);
}

/// RFC 9113 §6.9.1.
const MOST: u32 = (1 << 31) - 1;

/// A caller that lets everything come, and takes it while it is driven.
struct Caller {
    sender: SendRequest<Bytes>,
    connection: Connection<DuplexStream>,
    stop: watch::Sender<bool>,
    /// Answers that are not handed over.
    at_work: Rc<Cell<usize>>,
}

impl Caller {
    /// Of a router whose answers are `size` bytes.
    async fn connect(size: usize) -> Self {
        Self::with_window(size, MOST).await
    }

    /// One that lets so much come of each answer before it takes it.
    async fn with_window(size: usize, window: u32) -> Self {
        let (near, far) = duplex(16 << 10);
        let (stop, stopped) = watch::channel(false);
        let (never, over) = watch::channel(false);
        let at_work = Rc::new(Cell::new(0));
        let count = Rc::clone(&at_work);
        tokio::task::spawn_local(async move {
            let terms = Terms {
                is_gateway: false,
                stop: stopped,
                over,
            };
            let handle = move |_, at_work| {
                count.set(count.get() + 1);
                let held = (at_work, OnDrop(Rc::clone(&count)));
                std::future::ready(answer(size, held))
            };
            serve_as(far, true, &Limits::default(), terms, handle, |_| {}).await;
            drop(never);
        });
        let mut builder = Builder::new();
        builder.initial_window_size(window);
        builder.initial_connection_window_size(MOST);
        let (sender, connection) = builder.handshake(near).await.unwrap();
        Self {
            sender,
            connection,
            stop,
            at_work,
        }
    }

    async fn ask(&mut self) -> ResponseFuture {
        let request = http::Request::get("http://a/people/p").body(()).unwrap();
        self.while_driven(async |sender| sender.clone().ready().await)
            .await
            .unwrap();
        self.sender.send_request(request, true).unwrap().0
    }

    async fn while_driven<T>(&mut self, task: impl AsyncFnOnce(&mut SendRequest<Bytes>) -> T) -> T {
        tokio::select! {
            biased;
            done = task(&mut self.sender) => done,
            ended = &mut self.connection => panic!("{ended:?}"),
        }
    }

    async fn whole(&mut self, answer: ResponseFuture) -> Result<usize, h2::Error> {
        let mut length = 0;
        let mut read = pin!(async {
            let mut body = answer.await?.into_body();
            while let Some(data) = body.data().await {
                let data = data?;
                length += data.len();
                let _ = body.flow_control().release_capacity(data.len());
            }
            Ok(length)
        });
        tokio::select! {
            biased;
            read = read.as_mut() => read,
            // Its streams know how it ended.
            _ = &mut self.connection => read.await,
        }
    }
}

#[test]
fn nothing_follows_an_answer_of_205() {
    run(async {
        let mut caller = Caller::connect(205).await;
        let answer = caller.ask().await;
        assert_eq!(caller.whole(answer).await.unwrap(), 0);
    });
}

struct OnDrop(Rc<Cell<usize>>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

fn answer<H: 'static>(size: usize, held: H) -> Response<Holding<H>> {
    let body = Full::new(Bytes::from(vec![b'x'; size]));
    let mut answer = Response::new(Holding(body, held));
    if size == 205 {
        *answer.status_mut() = http::StatusCode::RESET_CONTENT;
        answer.headers_mut().insert("content-length", "205");
    }
    answer
}

/// A body as the pipeline's are: what it holds goes with it.
struct Holding<H>(Full<Bytes>, H);

impl<H: Unpin> Body for Holding<H> {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        std::pin::Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.0.size_hint()
    }
}

/// Time runs ahead when everybody waits.
fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(tokio::task::LocalSet::new().run_until(test));
}

const SOON: Duration = Duration::from_secs(3);

#[test]
fn what_a_caller_does_not_take_stays_at_work() {
    run(async {
        const ASKED: usize = 64;
        let size = 100 << 10;
        let mut caller = Caller::connect(size).await;
        let mut answers = Vec::new();
        for _ in 0..ASKED {
            answers.push(caller.ask().await);
        }
        let first = answers.remove(0);
        assert_eq!(caller.whole(first).await.unwrap(), size);
        sleep(SOON).await;
        let left = caller.at_work.get();
        assert!(left > ASKED - 8, "{left}");
        for answer in answers {
            assert_eq!(caller.whole(answer).await.unwrap(), size);
        }
        assert_eq!(caller.at_work.get(), 0);
    });
}

#[test]
fn an_answer_that_was_handed_over_is_written_to_its_end_after_the_stop() {
    run(async {
        let size = 60 << 10;
        let mut caller = Caller::connect(size).await;
        let answer = caller.ask().await;
        // Until the request is out.
        caller.while_driven(async |_| sleep(SOON / 3).await).await;
        let next = caller.ask().await;
        caller
            .while_driven(async |_| tokio::task::yield_now().await)
            .await;
        sleep(SOON).await;
        assert_eq!(caller.at_work.get(), 0, "handed over");
        caller.stop.send_replace(true);
        sleep(SOON).await;
        assert_eq!(caller.whole(answer).await.unwrap(), size);
        assert_eq!(caller.whole(next).await.unwrap(), size);
    });
}

#[test]
fn an_answer_that_nobody_takes_ends_alone() {
    run(async {
        let size = 400 << 10;
        let mut caller = Caller::with_window(size, 64 << 10).await;
        let stall = Limits::default().body_stall;
        let moves = caller.ask().await;
        let moves = caller.while_driven(async |_| moves.await).await;
        let mut moves = moves.unwrap().into_body();
        let mut left = Vec::new();
        let mut length = 0;
        while let Some(data) = caller.while_driven(async |_| moves.data().await).await {
            length += data.unwrap().len();
            let _ = moves.flow_control().release_capacity(16 << 10);
            if left.len() < 2 {
                left.push(caller.ask().await);
            }
            caller.while_driven(async |_| sleep(stall / 4).await).await;
        }
        assert_eq!(length, size, "what moved");
        for answer in left {
            let ended = caller.whole(answer).await.unwrap_err();
            assert_eq!(ended.reason(), Some(h2::Reason::CANCEL));
        }
        assert_eq!(caller.at_work.get(), 0);
        let next = caller.ask().await;
        assert_eq!(caller.whole(next).await.unwrap(), size);
    });
}
