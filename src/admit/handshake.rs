//! The TLS handshakes of callers: in time, in turn, and without starving whoever is inside.
//!
//! A handshake costs a worker some hundred microseconds of key exchange and signing. They take
//! turns: before each step of one everything else that is ready in the worker runs first, so a flood of them
//! slows handshakes, not requests. Those that are not over are bounded in time and number; one too
//! many pushes out the oldest, which an honest caller has long finished.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    io,
    net::SocketAddr,
    rc::Rc,
    sync::{Arc, LazyLock},
    time::Duration,
};

use http::StatusCode;
use rustls::server::Acceptor;
use tokio::{
    net::TcpStream,
    sync::{Mutex, oneshot},
    time::timeout,
};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};

use super::{farewell, outgoing};
use crate::{
    problem::Problem,
    tls::{ServerSide, TlsPeer},
};

/// Unfinished handshakes in one worker.
const MOST: usize = 1024;

/// First byte of every TLS record that a handshake begins with (RFC 8446 §5.1).
const HANDSHAKE: u8 = 22;

static PLAIN: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let problem = Problem::new(
        StatusCode::BAD_REQUEST,
        "not-tls",
        "this port speaks TLS: write https://",
        "the connection began without a handshake, and was closed".to_owned(),
    );
    farewell::answer(&problem, "")
});

/// The handshakes of one worker.
#[derive(Default)]
pub struct Handshakes {
    turn: Mutex<()>,
    waiting: RefCell<VecDeque<(u64, oneshot::Sender<()>)>>,
    next: Cell<u64>,
}

/// Why a connection got no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoHandshake {
    /// It ended without a word.
    BrokenOff,
    /// It showed no certificate, and had to.
    NoCertificate,
    /// It showed one that is not believed: of another authority, ended, damaged.
    BadCertificate,
    /// Its ALPN names no protocol of ours.
    NoProtocol,
    /// No version, cipher, group or kind of key suits both.
    Incompatible,
    /// It sent an alert: as a rule it does not believe our certificate.
    Refused,
    /// It broke the protocol, or something failed here.
    Other,
    Late,
    /// It spoke without TLS and was told so, if it looked like HTTP.
    Plain,
    /// Too many others came after it.
    PushedOut,
}

impl NoHandshake {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BrokenOff => "broken-off",
            Self::NoCertificate => "no-certificate",
            Self::BadCertificate => "bad-certificate",
            Self::NoProtocol => "no-protocol",
            Self::Incompatible => "incompatible",
            Self::Refused => "refused",
            Self::Other => "other",
            Self::Late => "late",
            Self::Plain => "plain",
            Self::PushedOut => "pushed-out",
        }
    }
}

impl Handshakes {
    /// Makes a secure stream of a new connection within `limit`. Dropping the future cuts the
    /// connection.
    pub async fn accept(
        &self,
        stream: TcpStream,
        side: &Arc<ServerSide>,
        limit: Duration,
    ) -> Result<TlsStream<TcpStream>, NoHandshake> {
        let (_entry, pushed_out) = self.enter();
        tokio::select! {
            done = timeout(limit, self.shake(stream, side)) => {
                done.unwrap_or(Err(NoHandshake::Late))
            }
            _ = pushed_out => Err(NoHandshake::PushedOut),
        }
    }

    async fn shake(
        &self,
        stream: TcpStream,
        side: &Arc<ServerSide>,
    ) -> Result<TlsStream<TcpStream>, NoHandshake> {
        let stream = expect_tls(stream).await?;
        let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await;
        let hello = hello.map_err(|error| why(&error))?;
        let mut accept = Box::pin(hello.into_stream(side.config()));
        loop {
            let polled = {
                let _turn = self.turn.lock().await;
                // Before, not after: a wake that came in between would be lost.
                tokio::task::yield_now().await;
                poll_once(accept.as_mut()).await
            };
            match polled {
                Some(done) => return done.map_err(|error| why(&error)),
                None => woken().await,
            }
        }
    }

    fn enter(&self) -> (Entry<'_>, oneshot::Receiver<()>) {
        let (push, pushed_out) = oneshot::channel();
        let number = self.next.get();
        self.next.set(number.wrapping_add(1));
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() >= MOST
            && let Some((_, oldest)) = waiting.pop_front()
        {
            let _ = oldest.send(());
        }
        waiting.push_back((number, push));
        (Entry(self, number), pushed_out)
    }
}

/// A handshake that is not over.
struct Entry<'h>(&'h Handshakes, u64);

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        let mut waiting = self.0.waiting.borrow_mut();
        if let Ok(at) = waiting.binary_search_by_key(&self.1, |(number, _)| *number) {
            waiting.remove(at);
        }
    }
}

/// One poll, and what came of it.
async fn poll_once<F: Future + Unpin>(mut future: F) -> Option<F::Output> {
    std::future::poll_fn(|cx| {
        std::task::Poll::Ready(match std::pin::Pin::new(&mut future).poll(cx) {
            std::task::Poll::Ready(done) => Some(done),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

/// Until the task is woken again, by whatever it waits for.
async fn woken() {
    let mut waits = true;
    std::future::poll_fn(|_| match std::mem::take(&mut waits) {
        true => std::task::Poll::Pending,
        false => std::task::Poll::Ready(()),
    })
    .await;
}

/// The connection as it came, if it begins with a handshake. One that does not is told so and
/// closed.
///
/// # Errors
/// `Plain`, or `BrokenOff` for one that ends before it begins.
pub async fn expect_tls(stream: TcpStream) -> Result<TcpStream, NoHandshake> {
    let mut first = [0];
    match stream.peek(&mut first).await {
        Ok(1) if first == [HANDSHAKE] => Ok(stream),
        Ok(1) => {
            // Only what looks like HTTP would understand.
            if first[0].is_ascii_uppercase() {
                farewell::say(stream, &PLAIN).await;
            }
            Err(NoHandshake::Plain)
        }
        _ => Err(NoHandshake::BrokenOff),
    }
}

/// Told at `debug` too: which of the many reasons of a kind it was. No error here says whose
/// certificate or which address.
#[cold]
pub fn why(error: &io::Error) -> NoHandshake {
    use rustls::Error as E;
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<E>());
    let why = match tls {
        None => NoHandshake::BrokenOff,
        Some(E::NoCertificatesPresented) => NoHandshake::NoCertificate,
        Some(E::InvalidCertificate(_)) => NoHandshake::BadCertificate,
        Some(E::NoApplicationProtocol) => NoHandshake::NoProtocol,
        Some(E::PeerIncompatible(_)) => NoHandshake::Incompatible,
        Some(E::AlertReceived(_)) => NoHandshake::Refused,
        Some(_) => NoHandshake::Other,
    };
    tracing::debug!(result = why.as_str(), %error, "a TLS handshake failed");
    why
}

/// The address and, after a handshake, the certificate of a connection's other end.
pub struct Peer {
    pub address: SocketAddr,
    pub tls: Option<Rc<TlsPeer>>,
    /// What regions were told of it last.
    pub told: outgoing::Memory,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_canned_answer_states_its_length() {
        let text = std::str::from_utf8(&PLAIN).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let length = format!("Content-Length: {}\r\n", body.len());
        assert!(format!("{head}\r\n").contains(&length), "{}", body.len());
    }

    #[test]
    fn one_too_many_pushes_out_the_oldest_alone() {
        let all = Handshakes::default();
        let mut entries: Vec<_> = (0..MOST).map(|_| all.enter()).collect();
        assert!(entries[0].1.try_recv().is_err());
        drop(entries.remove(5));
        let _room = all.enter();
        assert!(entries[0].1.try_recv().is_err(), "there was room");
        let _more = all.enter();
        assert!(entries[0].1.try_recv().is_ok());
        assert!(entries[1].1.try_recv().is_err());
        drop(entries);
        assert_eq!(all.waiting.borrow().len(), 2);
    }
}
