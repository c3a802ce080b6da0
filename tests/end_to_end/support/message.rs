//! Reads HTTP/1.1 messages from a blocking stream, strictly and exactly.

use std::io::{self, ErrorKind, Read};

/// Names in lower case, values as they came, in their order.
pub type Headers = Vec<(String, Vec<u8>)>;

/// Bytes read but not used yet, in front of a stream.
pub struct Input<R> {
    stream: R,
    ahead: Vec<u8>,
}

/// A start line and the headers behind it.
pub struct Head {
    pub start: String,
    pub headers: Headers,
}

impl Head {
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    pub fn length(&self) -> Option<usize> {
        self.header("content-length")
            .map(|text| text.parse().expect("a Content-Length"))
    }

    pub fn chunked(&self) -> bool {
        self.header("transfer-encoding")
            .is_some_and(|text| text.eq_ignore_ascii_case("chunked"))
    }
}

/// The first value of a header, if it is text.
pub fn find<'a>(headers: &'a Headers, name: &str) -> Option<&'a str> {
    headers
        .iter()
        .find(|(have, _)| have == name)
        .and_then(|(_, value)| std::str::from_utf8(value).ok())
}

impl<R: Read> Input<R> {
    pub fn new(stream: R) -> Self {
        Self {
            stream,
            ahead: Vec::new(),
        }
    }

    /// Reads more; `false` at the end of the stream.
    fn fill(&mut self) -> io::Result<bool> {
        let mut chunk = [0; 16 << 10];
        let read = self.stream.read(&mut chunk)?;
        self.ahead.extend_from_slice(&chunk[..read]);
        Ok(read > 0)
    }

    /// Some bytes that are there, at most `max`; empty at the end of the stream.
    pub fn some(&mut self, max: usize) -> io::Result<Vec<u8>> {
        if self.ahead.is_empty() && !self.fill()? {
            return Ok(Vec::new());
        }
        let take = max.min(self.ahead.len());
        Ok(self.ahead.drain(..take).collect())
    }

    pub fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = self.ahead.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.ahead.drain(..=at).collect();
                let line = line.strip_suffix(b"\r\n").expect("lines end with CRLF");
                return Ok(String::from_utf8_lossy(line).into_owned());
            }
            if !self.fill()? {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// The next head; `None` when the stream ends before its first byte.
    pub fn head(&mut self) -> io::Result<Option<Head>> {
        if self.ahead.is_empty() && !self.fill()? {
            return Ok(None);
        }
        let start = self.line()?;
        let headers = self.headers()?;
        Ok(Some(Head { start, headers }))
    }

    fn headers(&mut self) -> io::Result<Headers> {
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(headers);
            }
            let (name, value) = line.split_once(':').expect("a header has a colon");
            headers.push((name.to_ascii_lowercase(), value.trim().as_bytes().to_vec()));
        }
    }

    /// Exactly `length` bytes, handed to `sink` as they come.
    pub fn exact(&mut self, length: usize, sink: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        let mut left = length;
        while left > 0 {
            let some = self.some(left)?;
            if some.is_empty() {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            left -= some.len();
            sink(&some);
        }
        Ok(())
    }

    /// A chunked body without its framing, and its trailers.
    pub fn chunks(&mut self, sink: &mut dyn FnMut(&[u8])) -> io::Result<Headers> {
        loop {
            let line = self.line()?;
            let digits = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(digits, 16).map_err(|_| ErrorKind::InvalidData)?;
            if size == 0 {
                return self.headers();
            }
            self.exact(size, sink)?;
            if !self.line()?.is_empty() {
                return Err(ErrorKind::InvalidData.into());
            }
        }
    }

    pub fn rest(&mut self, sink: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        loop {
            let some = self.some(usize::MAX)?;
            if some.is_empty() {
                return Ok(());
            }
            sink(&some);
        }
    }
}
