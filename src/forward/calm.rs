//! How often a silent HTTP/2 connection is asked whether it still is one.
//!
//! Servers of gRPC end a connection (ENHANCE_YOUR_CALM, `too_many_pings`) on which more than two pings came
//! sooner than five minutes after the one before, while they themselves had nothing to say. hyper asks at one
//! interval for ever; its timer is the one place at which that can be changed.

use std::{
    pin::Pin,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use hyper::{
    client::conn::http2::Builder,
    rt::{Sleep, Timer},
};
use hyper_util::rt::TokioTimer;

/// How long a connection with streams may be silent before it is asked.
const SILENCE: Duration = Duration::from_secs(10);

/// How long it may take to answer. Longer than the silence: by that the one is told from the other.
const ANSWERS: Duration = Duration::from_secs(15);

/// After how much more silence it is asked anew, once it has answered, and again.
const LATER: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(360)];

/// Has connections asked so.
pub(super) fn ask_silent<E: Clone>(builder: &mut Builder<E>) -> &mut Builder<E> {
    builder
        .timer(Calm::default())
        .keep_alive_interval(SILENCE)
        .keep_alive_timeout(ANSWERS)
}

/// The timer of one connection, which puts off what hyper (1.12) sets it to after an answer.
#[derive(Default)]
struct Calm {
    /// Pings in a row that nothing came after but the answer.
    answered: AtomicUsize,
    /// The same, and one that is out, if any.
    asked: AtomicUsize,
}

impl Calm {
    /// When to ring for a deadline that is so far away: that of an answer, or of the end of a silence,
    /// which began with what came last.
    fn put_off(&self, deadline: Instant, away: Duration) -> Instant {
        let answered = self.answered.load(Ordering::Relaxed);
        if away > SILENCE {
            self.asked.store(answered + 1, Ordering::Relaxed);
            return deadline;
        }
        // Set twice without a question between: something came, and hyper saw it when the last one rang.
        let asked = self.asked.load(Ordering::Relaxed);
        let in_a_row = if asked > answered { asked } else { 0 };
        self.answered.store(in_a_row, Ordering::Relaxed);
        self.asked.store(in_a_row, Ordering::Relaxed);
        let later = in_a_row
            .checked_sub(1)
            .and_then(|n| LATER.get(n).or(LATER.last()));
        deadline + later.map_or(Duration::ZERO, |later| *later - SILENCE)
    }
}

impl Timer for Calm {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        TokioTimer::new().sleep(duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        TokioTimer::new().sleep_until(deadline)
    }

    fn now(&self) -> Instant {
        TokioTimer::new().now()
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn Sleep>>, deadline: Instant) {
        let away = deadline.saturating_duration_since(self.now());
        TokioTimer::new().reset(sleep, self.put_off(deadline, away));
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use bytes::Bytes;
    use http_body_util::Empty;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
        time::{sleep, timeout},
    };

    use super::*;

    const PING: u8 = 6;
    const ACK: u8 = 1;

    /// A server that has an answer begun for a minute, says nothing more and answers pings if `answers`;
    /// and when they came.
    async fn silent(
        mut wire: DuplexStream,
        answers: bool,
        pings: &RefCell<Vec<tokio::time::Instant>>,
    ) {
        wire.read_exact(&mut [0; 24]).await.unwrap();
        wire.write_all(b"\0\0\0\x04\0\0\0\0\0").await.unwrap();
        loop {
            let mut head = [0; 9];
            if wire.read_exact(&mut head).await.is_err() {
                return;
            }
            let [a, b, c, kind, flags, ..] = head;
            let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
            wire.read_exact(&mut payload).await.unwrap();
            if kind == PING && flags != ACK {
                pings.borrow_mut().push(tokio::time::Instant::now());
                if answers {
                    let answer = [b"\0\0\x08\x06\x01\0\0\0\0", &payload[..]].concat();
                    wire.write_all(&answer).await.unwrap();
                }
            }
        }
    }

    /// Seconds of silence before each ping on a connection with a stream, in 30 minutes, and whether it
    /// lasted.
    fn asked(answers: bool) -> (Vec<u64>, bool) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let (near, far) = duplex(1 << 14);
            let begun = tokio::time::Instant::now();
            let pings = RefCell::default();
            let mut builder = Builder::new(TokioExecutor::new());
            let exchange = async {
                let shaken = ask_silent(&mut builder).handshake(TokioIo::new(near)).await;
                let (mut sender, connection) = shaken.unwrap();
                let request = http::Request::new(Empty::<Bytes>::new());
                let answer = sender.send_request(request);
                tokio::select! {
                    _ = connection => false,
                    _ = answer => false,
                    () = sleep(Duration::from_secs(1800)) => true,
                }
            };
            let server = silent(far, answers, &pings);
            let (lasted, _) = tokio::join!(exchange, timeout(Duration::from_secs(1800), server));
            let mut last = begun;
            let since =
                |at: tokio::time::Instant| (at - std::mem::replace(&mut last, at)).as_secs();
            (pings.take().into_iter().map(since).collect(), lasted)
        })
    }

    #[test]
    fn who_answers_is_asked_ever_more_seldom() {
        assert_eq!(asked(true), (vec![10, 60, 360, 360, 360, 360], true));
    }

    #[test]
    fn who_does_not_answer_is_gone() {
        assert_eq!(asked(false), (vec![10], false));
    }

    #[test]
    fn what_came_until_it_rang_begins_anew() {
        let calm = Calm::default();
        let now = Instant::now();
        let wait = |away| calm.put_off(now + away, away) - now;
        for _ in 0..2 {
            assert_eq!(wait(SILENCE), SILENCE);
            assert_eq!(wait(ANSWERS), ANSWERS);
            assert_eq!(wait(SILENCE), LATER[0]);
            assert_eq!(wait(ANSWERS), ANSWERS);
            assert_eq!(wait(SILENCE), LATER[1]);
        }
    }
}
