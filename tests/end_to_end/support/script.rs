//! What a scripted backend does with a request.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::PATIENCE;

/// A reply, proper or not. Built from one of the constructors and bent with the others:
/// `Reply::json(200, "{}").head_after(…)`, `Reply::echo().reset_after(10)`.
#[derive(Clone, Debug)]
pub struct Reply {
    pub(super) act: Act,
    pub(super) head: Wait,
    /// After this many bytes of the body: wait so.
    pub(super) pause: Option<(usize, Wait)>,
    /// Reset the connection after this many bytes of the answer, head included.
    pub(super) reset_after: Option<usize>,
    /// Close in order after this many bytes of the answer, head included.
    pub(super) cut_after: Option<usize>,
    pub(super) close: bool,
    pub(super) chunked: bool,
    /// Reset the connection after this many bytes of the request's body were read.
    pub(super) reset_request_after: Option<usize>,
}

#[derive(Clone, Debug)]
pub(super) enum Act {
    Fixed {
        status: u16,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    },
    Echo,
    /// One `{"index","status"}` an item, in the shape of the request, as the embedded store does.
    EachItem(u16),
    Bytes(Vec<u8>),
    Close,
    Stall,
}

#[derive(Clone, Debug)]
pub(super) enum Wait {
    Not,
    For(Duration),
    Until(Gate),
}

impl Reply {
    fn new(act: Act) -> Self {
        Self {
            act,
            head: Wait::Not,
            pause: None,
            reset_after: None,
            cut_after: None,
            close: false,
            chunked: false,
            reset_request_after: None,
        }
    }

    /// A status with an empty body.
    pub fn status(status: u16) -> Self {
        Self::new(Act::Fixed {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        })
    }

    pub fn json(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::new(Act::Fixed {
            status,
            headers: vec![("Content-Type".into(), "application/json".into())],
            body: body.into(),
        })
    }

    /// 200 with the request's own body and content type.
    pub fn echo() -> Self {
        Self::new(Act::Echo)
    }

    /// 200 with `status` for each item of the array or NDJSON that came.
    pub fn each_item(status: u16) -> Self {
        Self::new(Act::EachItem(status))
    }

    /// These bytes instead of an answer, then the end of the connection.
    pub fn garbage(bytes: impl Into<Vec<u8>>) -> Self {
        let mut reply = Self::new(Act::Bytes(bytes.into()));
        reply.close = true;
        reply
    }

    /// Reads the request, then closes in order without a byte.
    pub fn close_without_answer() -> Self {
        Self::new(Act::Close)
    }

    /// Reads the request, then says nothing until the backend is killed.
    pub fn stall() -> Self {
        Self::new(Act::Stall)
    }

    /// One more header; of a [`Reply::status`] or [`Reply::json`].
    pub fn header(mut self, name: &str, value: &str) -> Self {
        match &mut self.act {
            Act::Fixed { headers, .. } => headers.push((name.into(), value.into())),
            _ => panic!("only fixed answers have headers of their own"),
        }
        self
    }

    pub fn head_after(mut self, delay: Duration) -> Self {
        self.head = Wait::For(delay);
        self
    }

    /// The head waits until the gate is open.
    pub fn head_when(mut self, gate: &Gate) -> Self {
        self.head = Wait::Until(gate.clone());
        self
    }

    pub fn pause_after(mut self, body_bytes: usize, delay: Duration) -> Self {
        self.pause = Some((body_bytes, Wait::For(delay)));
        self
    }

    /// The rest of the body waits until the gate is open.
    pub fn rest_when(mut self, body_bytes: usize, gate: &Gate) -> Self {
        self.pause = Some((body_bytes, Wait::Until(gate.clone())));
        self
    }

    /// Resets the connection (RST) after so many bytes of the answer; 0: instead of it.
    pub fn reset_after(mut self, bytes: usize) -> Self {
        self.reset_after = Some(bytes);
        self
    }

    /// Closes in order after so many bytes of the answer: a cut answer.
    pub fn cut_after(mut self, bytes: usize) -> Self {
        self.cut_after = Some(bytes);
        self
    }

    /// Resets the connection after so many bytes of the request's body, without an answer.
    pub fn reset_request_after(mut self, bytes: usize) -> Self {
        self.reset_request_after = Some(bytes);
        self
    }

    /// `Connection: close`, and does.
    pub fn closing(mut self) -> Self {
        self.close = true;
        self
    }

    /// The body in chunks instead of with a length.
    pub fn chunked(mut self) -> Self {
        self.chunked = true;
        self
    }

    /// The bytes of the answer to a request, and where its body starts in them.
    pub(super) fn render(&self, content_type: &str, request: &[u8]) -> (Vec<u8>, usize) {
        let (status, headers, body) = match &self.act {
            Act::Bytes(bytes) => return (bytes.clone(), 0),
            Act::Close | Act::Stall => return (Vec::new(), 0),
            Act::Fixed {
                status,
                headers,
                body,
            } => (*status, headers.clone(), body.clone()),
            Act::Echo => (200, typed(content_type), request.to_vec()),
            Act::EachItem(status) => (
                200,
                typed(content_type),
                each_item(*status, content_type, request),
            ),
        };
        let mut head = format!("HTTP/1.1 {status} Scripted\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if self.close {
            head.push_str("Connection: close\r\n");
        }
        let framed = if self.chunked {
            head.push_str("Transfer-Encoding: chunked\r\n");
            let mut framed = Vec::new();
            for chunk in body.chunks(1000) {
                framed.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                framed.extend_from_slice(chunk);
                framed.extend_from_slice(b"\r\n");
            }
            framed.extend_from_slice(b"0\r\n\r\n");
            framed
        } else {
            // 1xx, 204 and 304 have no body and no length (RFC 9110 §8.6).
            if status >= 200 && status != 204 && status != 304 {
                head.push_str(&format!("Content-Length: {}\r\n", body.len()));
            }
            body
        };
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        let body_at = bytes.len();
        bytes.extend_from_slice(&framed);
        (bytes, body_at)
    }
}

fn typed(content_type: &str) -> Vec<(String, String)> {
    vec![("Content-Type".into(), content_type.into())]
}

fn each_item(status: u16, content_type: &str, request: &[u8]) -> Vec<u8> {
    let item = |index: usize| format!("{{\"index\":{index},\"status\":{status}}}");
    if content_type.starts_with("application/x-ndjson") {
        let lines = request.split(|&byte| byte == b'\n');
        let count = lines.filter(|line| !line.trim_ascii().is_empty()).count();
        let lines: String = (0..count).map(|index| item(index) + "\n").collect();
        lines.into_bytes()
    } else {
        let items: Vec<serde::de::IgnoredAny> =
            serde_json::from_slice(request).expect("a batch is a JSON array");
        let items: Vec<String> = (0..items.len()).map(item).collect();
        format!("[{}]", items.join(",")).into_bytes()
    }
}

/// Something that a test opens when it is ready; whoever waits goes on then.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn open(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }

    /// Waits until it is open, or for `limit`. Whether it is open.
    pub(super) fn wait(&self, limit: Duration) -> bool {
        let open = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        *self
            .0
            .1
            .wait_timeout_while(open, limit.min(PATIENCE), |open| !*open)
            .unwrap_or_else(PoisonError::into_inner)
            .0
    }
}
