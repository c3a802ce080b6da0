//! A blocking HTTP/1.1 client that sends the bytes it is given and hides nothing of the answer.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;
use socket2::SockRef;

/// Reads and writes of the client; every router under test has shorter limits.
const LIMIT: Duration = Duration::from_secs(120);

#[derive(Clone, Debug)]
pub struct Request {
    pub method: &'static str,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Option<Vec<u8>>,
    pub chunked: bool,
}

impl Request {
    pub fn new(method: &'static str, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            headers: Vec::new(),
            body: None,
            chunked: false,
        }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn maybe(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.header(name, value),
            None => self,
        }
    }

    pub fn body(mut self, media: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self.header("content-type", media)
    }

    pub fn json(self, body: impl Into<Vec<u8>>) -> Self {
        self.body("application/json", body)
    }

    pub fn ndjson(self, body: impl Into<Vec<u8>>) -> Self {
        self.body("application/x-ndjson", body)
    }

    pub fn chunked(mut self) -> Self {
        self.chunked = true;
        self
    }

    /// Sends on a connection of its own; a broken connection fails the test.
    #[track_caller]
    pub fn send(&self, to: SocketAddr) -> Answer {
        match Client::new(to).send(self) {
            Ok(answer) => answer,
            Err(error) => panic!("{} {}: {error}", self.method, self.path),
        }
    }

    /// Sends on a connection of its own and reads nothing yet.
    pub fn begin(&self, to: SocketAddr) -> TcpStream {
        let mut stream = TcpStream::connect(to).unwrap();
        self.write(&mut stream, to).unwrap();
        stream
    }

    fn write(&self, to: &mut impl Write, authority: SocketAddr) -> io::Result<()> {
        let mut head = format!(
            "{} {} HTTP/1.1\r\nhost: {authority}\r\n",
            self.method, self.path
        );
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        match &self.body {
            Some(_) if self.chunked => head.push_str("transfer-encoding: chunked\r\n"),
            Some(body) => head.push_str(&format!("content-length: {}\r\n", body.len())),
            None => {}
        }
        head.push_str("\r\n");
        to.write_all(head.as_bytes())?;
        if let Some(body) = &self.body {
            if self.chunked {
                for chunk in body.chunks(7919) {
                    write!(to, "{:x}\r\n", chunk.len())?;
                    to.write_all(chunk)?;
                    to.write_all(b"\r\n")?;
                }
                to.write_all(b"0\r\n\r\n")?;
            } else {
                to.write_all(body)?;
            }
        }
        to.flush()
    }
}

/// The caller goes away. Who closes in order may still wait for the answer (RFC 9112 §9.6); who
/// resets does not.
pub fn reset(stream: TcpStream) {
    let socket = SockRef::from(&stream);
    socket.set_linger(Some(Duration::ZERO)).unwrap();
}

/// GET on a connection of its own.
#[track_caller]
pub fn get(to: SocketAddr, path: &str) -> Answer {
    Request::new("GET", path).send(to)
}

#[derive(Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The body came to the end that its framing announced.
    pub complete: bool,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let body = String::from_utf8_lossy(&self.body);
        let short: String = body.chars().take(2000).collect();
        write!(f, "{} {:?} {short}", self.status, self.headers)
    }
}

impl Answer {
    /// The value of the header; two of the same name fail the test.
    #[track_caller]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self
            .headers
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str());
        let value = values.next();
        assert_eq!(values.next(), None, "two `{name}` on {self:?}");
        value
    }

    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(error) => panic!("not JSON ({error}): {self:?}"),
        }
    }

    /// The items of a batch answer, of an array or of lines.
    #[track_caller]
    pub fn items(&self) -> Vec<Value> {
        let media = self.header("content-type").unwrap_or_default();
        if media.starts_with("application/x-ndjson") {
            return self
                .body
                .split(|byte| *byte == b'\n')
                .filter(|line| !line.is_empty())
                .map(|line| serde_json::from_slice(line).expect("each line is JSON"))
                .collect();
        }
        assert!(media.starts_with("application/json"), "{self:?}");
        self.json().as_array().expect("an array").clone()
    }

    /// Everything in it as one text, to search.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{:?}", self.headers).into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// One kept-alive connection.
pub struct Client {
    to: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
}

impl Client {
    pub fn new(to: SocketAddr) -> Self {
        Self { to, stream: None }
    }

    /// A kept connection that the peer closed meanwhile is opened anew, once.
    pub fn send(&mut self, request: &Request) -> io::Result<Answer> {
        let reused = self.stream.is_some();
        match self.attempt(request) {
            Err(_) if reused => self.attempt(request),
            result => result,
        }
    }

    /// Without a second try: a connection that was closed meanwhile is an error.
    pub fn send_once(&mut self, request: &Request) -> io::Result<Answer> {
        self.attempt(request)
    }

    fn attempt(&mut self, request: &Request) -> io::Result<Answer> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(self.to)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(LIMIT))?;
                stream.set_write_timeout(Some(LIMIT))?;
                BufReader::new(stream)
            }
        };
        let mut buffer = io::BufWriter::with_capacity(64 << 10, stream.get_mut());
        let written = request.write(&mut buffer, self.to);
        let _ = buffer.into_parts();
        // A server may refuse before it has read everything: its answer counts, not the broken pipe.
        let answer = match (written, read_answer(&mut stream, request.method)) {
            (_, Ok(answer)) => answer,
            (Err(error), _) | (Ok(()), Err(error)) => return Err(error),
        };
        let ends = answer
            .header("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"));
        if answer.complete && !ends {
            self.stream = Some(stream);
        }
        Ok(answer)
    }
}

fn read_answer(stream: &mut impl BufRead, method: &str) -> io::Result<Answer> {
    loop {
        let (first, headers) = read_head(stream)?;
        let status = first
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3))
            .and_then(|code| code.parse().ok())
            .ok_or_else(|| io::Error::new(ErrorKind::InvalidData, first.clone()))?;
        if (100..200).contains(&status) {
            continue;
        }
        let empty = method == "HEAD" || status == 204 || status == 304;
        let (body, complete) = if empty {
            (Vec::new(), true)
        } else {
            read_body(stream, &headers, true)
        };
        return Ok(Answer {
            status,
            headers,
            body,
            complete,
        });
    }
}

/// The start line and the header lines.
pub fn read_head(stream: &mut impl BufRead) -> io::Result<(String, Vec<(String, String)>)> {
    let first = read_line(stream)?;
    let mut headers = Vec::new();
    loop {
        let line = read_line(stream)?;
        if line.is_empty() {
            return Ok((first, headers));
        }
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| io::Error::new(ErrorKind::InvalidData, line.clone()))?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

fn read_line(stream: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    stream.read_until(b'\n', &mut line)?;
    if line.pop() != Some(b'\n') {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

/// The body and whether it came to its end. `to_end`: one without any framing runs to the end of
/// the connection, else it is empty.
pub fn read_body(
    stream: &mut impl BufRead,
    headers: &[(String, String)],
    to_end: bool,
) -> (Vec<u8>, bool) {
    let find = |name: &str| {
        headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    };
    let mut body = Vec::new();
    if find("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        let complete = read_chunks(stream, &mut body).is_ok();
        return (body, complete);
    }
    if let Some(length) = find("content-length").and_then(|value| value.parse::<u64>().ok()) {
        let _ = stream.take(length).read_to_end(&mut body);
        let complete = body.len() as u64 == length;
        return (body, complete);
    }
    if !to_end {
        return (body, true);
    }
    let complete = stream.read_to_end(&mut body).is_ok();
    (body, complete)
}

fn read_chunks(stream: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let line = read_line(stream)?;
        let size = line.split(';').next().unwrap_or_default().trim().to_owned();
        let size = u64::from_str_radix(&size, 16)
            .map_err(|_| io::Error::new(ErrorKind::InvalidData, "chunk size"))?;
        if size == 0 {
            while !read_line(stream)?.is_empty() {}
            return Ok(());
        }
        let before = body.len();
        stream.by_ref().take(size).read_to_end(body)?;
        if (body.len() - before) as u64 != size || !read_line(stream)?.is_empty() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
}
