//! A last word to a caller that is not let in, so that it gets to read it.

use std::{io, rc::Rc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
    time::timeout,
};

use super::connection::Counter;

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
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\n\
Cache-Control: no-store\r\nRetry-After: 5\r\nConnection: close\r\nContent-Length: 181\r\n\r\n\
{\"type\":\"urn:domicile:problem:overloaded\",\"title\":\"the router has too many connections\",\"status\":503,\
\"detail\":\"the connection was closed before anything was read; try again later\"}\n";

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
                say(stream, FULL).await;
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
        let text = std::str::from_utf8(FULL).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let length = format!("Content-Length: {}\r\n", body.len());
        assert!(format!("{head}\r\n").contains(&length), "{}", body.len());
        let document: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(document["status"], 503);
    }
}
