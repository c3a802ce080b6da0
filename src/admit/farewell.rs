//! A last word to a caller that is not let in, so that it gets to read it.

use std::{io, rc::Rc, sync::LazyLock, time::Duration};

use http::StatusCode;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
    time::timeout,
};

use super::connection::Counter;
use crate::problem::Problem;

/// How long a connection without a request goes on when the router stops: its caller may have sent
/// one that is still on its way, and is told with the answer that the connection ends.
pub const GRACE: Duration = Duration::from_millis(300);

/// Waits until the worker wants to stop and callers have had their [`GRACE`].
pub async fn leave(stop: &mut watch::Receiver<bool>) {
    // An error: nobody is left who could wish.
    let _ = stop.wait_for(|stop| *stop).await;
    tokio::time::sleep(GRACE).await;
}

/// How long a caller may take to go after it was told.
const PATIENCE: Duration = Duration::from_secs(1);

/// Callers of one worker that are being told at one time; more are closed without a word.
const AT_ONCE: usize = 64;

/// What a connection beyond `data_plane.connections` is told. Before anything was read of it, so
/// in HTTP/1.1 whatever it speaks.
static FULL: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let detail = "the connection was closed before anything was read; try again later";
    let problem = Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "overloaded",
        "the router has too many connections",
        detail.to_owned(),
    );
    answer(&problem, "Cache-Control: no-store\r\nRetry-After: 5\r\n")
});

/// The whole of an answer that ends its connection; `fields` are lines beside those of the document.
pub fn answer(problem: &Problem, fields: &str) -> Vec<u8> {
    let mut text = serde_json::to_string(problem).unwrap_or_default();
    text.push('\n');
    let status = problem.status;
    let reason = StatusCode::from_u16(status).ok();
    let reason = reason.and_then(|s| s.canonical_reason()).unwrap_or("");
    let length = text.len();
    format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: application/problem+json\r\n{fields}\
         Connection: close\r\nContent-Length: {length}\r\n\r\n{text}"
    )
    .into_bytes()
}

/// Says `text`, and closes so that the caller can read it: unread bytes would turn the close into
/// a reset, which can overtake the answer.
pub async fn say(mut stream: TcpStream, text: &'static [u8]) {
    let told = async {
        stream.write_all(text).await?;
        stream.shutdown().await?;
        let mut rest = [0; 4096];
        while stream.read(&mut rest).await? > 0 {}
        Ok::<_, io::Error>(())
    };
    let _ = timeout(PATIENCE, told).await;
}

/// Those who are told that there are too many connections. Beyond a bound they are not: who is
/// refused must not cost what being let in does.
#[derive(Default)]
pub struct Refusals(Counter);

impl Refusals {
    /// Closes a connection; must run where `spawn_local` does. One of a listener that speaks TLS ends
    /// without a word, since a handshake is what there is no room for.
    pub fn refuse(self: &Rc<Self>, stream: TcpStream, secure: bool) {
        if secure {
            return;
        }
        if let Some(place) = self.0.enter(AT_ONCE) {
            tokio::task::spawn_local(async move {
                say(stream, &FULL).await;
                drop(place);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_canned_answer_states_its_length_and_is_a_problem_document() {
        let text = std::str::from_utf8(&FULL).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let length = format!("Content-Length: {}\r\n", body.len());
        assert!(format!("{head}\r\n").contains(&length), "{}", body.len());
        let document: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(document["status"], 503);
        assert_eq!(document["type"], "urn:domicile:problem:overloaded");
        assert!(
            head.starts_with("HTTP/1.1 503 Service Unavailable\r\n"),
            "{head}"
        );
        assert!(
            head.contains("\r\nCache-Control: no-store\r\nRetry-After: 5\r\nConnection: close\r\n"),
            "{head}"
        );
    }
}
