//! What fuzzing and the property tests run over the parser: a connection's reading without the
//! connection, and what must hold for any bytes.

mod passing;
mod served;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Version};

use super::{
    decode::{Decoder, Piece},
    fault::{FramingFault, HeadFault},
    head::{self, Framing, Head, Last},
    scan::{MAX_FIELDS, Scan},
};
use crate::message::{FieldSet, Fields, Kind};

pub use served::try_connection;

/// Most bytes of a head here; small, so that fuzzing finds the limit.
pub const HEADER_BYTES: usize = 2 << 10;

/// What was read of one request, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    Request(Box<Request>),
    RefusedHead(HeadFault),
    RefusedBody(FramingFault),
}

/// One request that nothing is wrong with, as it would be handled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The head's bytes as they came.
    pub raw: Bytes,
    pub method: String,
    pub target: String,
    pub version: Version,
    pub fields: Fields,
    pub is_chunked: bool,
    pub body: Vec<u8>,
    pub trailers: Option<HeaderMap>,
    pub keeps_alive: bool,
}

/// Reads one request after the other from pieces, as they might come over a connection, until
/// one is refused or the pieces end.
pub fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Read> {
    read_within(pieces, HEADER_BYTES)
}

/// The same with another limit of a head.
fn read_within<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, limit: usize) -> Vec<Read> {
    run(pieces, limit).found
}

fn run<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, limit: usize) -> Reader {
    let mut reader = Reader {
        limit,
        ..Reader::default()
    };
    for piece in pieces {
        reader.buffer.extend_from_slice(piece);
        while reader.step() {}
    }
    reader
}

#[derive(Default)]
struct Reader {
    limit: usize,
    buffer: BytesMut,
    scan: Scan,
    last: Last,
    /// The request whose body is being read.
    open: Option<(Box<Request>, Decoder)>,
    found: Vec<Read>,
    /// The heads as the connection knows them.
    heads: Vec<(Fields, Kind)>,
    is_over: bool,
}

impl Reader {
    /// One step; false where more bytes are needed.
    fn step(&mut self) -> bool {
        if self.is_over {
            return false;
        }
        let Some((request, decoder)) = &mut self.open else {
            return self.read_head();
        };
        match decoder.decode(&mut self.buffer) {
            Ok(Piece::More) => return false,
            Ok(Piece::Data(data)) => request.body.extend_from_slice(&data),
            Ok(Piece::Trailers(fields)) => request.trailers = Some(fields),
            Ok(Piece::End) => {}
            Err(fault) => {
                self.is_over = true;
                self.found.push(Read::RefusedBody(fault));
                return false;
            }
        }
        if decoder.is_done()
            && let Some((request, _)) = self.open.take()
        {
            // The bytes after the last request of a connection are never looked at.
            self.is_over = !request.keeps_alive;
            self.found.push(Read::Request(request));
        }
        true
    }

    fn read_head(&mut self) -> bool {
        let before = self.buffer.clone();
        match head::take(&mut self.scan, &mut self.last, &mut self.buffer, self.limit) {
            Ok(Some(head)) => {
                let length = before.len() - self.buffer.len();
                let raw = before.freeze().slice(..length);
                self.heads
                    .push((head.parts.headers.clone(), head.parts.kind));
                self.open = Some((Box::new(request(raw, &head)), head.framing.into()));
                self.scan = Scan::default();
                true
            }
            Ok(None) => false,
            Err(fault) => self.refuse(fault),
        }
    }

    fn refuse(&mut self, fault: HeadFault) -> bool {
        self.is_over = true;
        self.found.push(Read::RefusedHead(fault));
        false
    }
}

fn request(raw: Bytes, head: &Head) -> Request {
    Request {
        raw,
        method: head.parts.method.as_str().to_owned(),
        target: head.parts.uri.to_string(),
        version: head.parts.version,
        fields: head.parts.headers.clone(),
        is_chunked: head.framing == Framing::Chunked,
        body: Vec::new(),
        trailers: None,
        keeps_alive: head.keeps_alive,
    }
}

/// The request as a client would write it; a chunked body in one chunk.
pub fn print(request: &Request) -> Vec<u8> {
    let version = match request.version {
        Version::HTTP_10 => "1.0",
        _ => "1.1",
    };
    let mut text = format!("{} {} HTTP/{version}\r\n", request.method, request.target).into_bytes();
    let mut fields = BytesMut::new();
    request.fields.write(&mut fields, FieldSet::default());
    text.extend_from_slice(&fields);
    text.extend_from_slice(b"\r\n");
    if !request.is_chunked {
        text.extend_from_slice(&request.body);
        return text;
    }
    if !request.body.is_empty() {
        text.extend_from_slice(format!("{:x}\r\n", request.body.len()).as_bytes());
        text.extend_from_slice(&request.body);
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"0\r\n");
    print_fields(
        request.trailers.as_ref().unwrap_or(&HeaderMap::new()),
        &mut text,
    );
    text
}

fn print_fields(fields: &HeaderMap, text: &mut Vec<u8>) {
    for (name, value) in fields {
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"\r\n");
}

/// Reads arbitrary bytes as a connection's, and checks what must hold for any of them: the cuts
/// between reads change nothing, what is accepted is strict by a second, naive reading, it is read
/// as the same when written anew, a region gets it as one request, and what a connection remembers
/// of its heads changes nothing of that.
///
/// # Panics
/// If something does not hold; that is its purpose.
#[expect(
    clippy::panic,
    reason = "a fuzzing harness reports what it found by panicking"
)]
pub fn try_bytes(bytes: &[u8]) {
    let whole = read([bytes]);
    if read(bytes.chunks(1)) != whole {
        panic!("byte by byte it reads differently");
    }
    let cut = bytes
        .first()
        .map_or(0, |b| usize::from(*b))
        .min(bytes.len());
    if let Some((first, second)) = bytes.split_at_checked(cut)
        && read([first, second]) != whole
    {
        panic!("cut in two it reads differently");
    }
    let step = bytes.last().map_or(1, |b| usize::from(*b).max(2));
    if read(bytes.chunks(step)) != whole {
        panic!("in pieces it reads differently");
    }
    // From the third time on a head is told from memory.
    let heads = run([bytes, bytes, bytes], HEADER_BYTES).heads;
    if let Err(fault) = passing::check_memory(&heads) {
        panic!("{fault}");
    }
    for found in whole {
        let Read::Request(request) = found else {
            continue;
        };
        if !is_strict(&request.raw) {
            panic!("accepted a head that is not strict");
        }
        if let Err(fault) = passing::check(&request) {
            panic!("{fault}");
        }
        let text = print(&request);
        // A blank after each colon, which the caller may have left out.
        let again = read_within([text.as_slice()], HEADER_BYTES + MAX_FIELDS);
        let [Read::Request(again)] = again.as_slice() else {
            panic!("written anew it is not one request");
        };
        let mut again = again.clone();
        again.raw = request.raw.clone();
        // `http` writes an empty path of an absolute target as `/`.
        again.target.clone_from(&request.target);
        if again != request {
            panic!("written anew it reads differently");
        }
    }
}

/// The rules by a second hand: line by line, with nothing but splitting and searching.
fn is_strict(raw: &[u8]) -> bool {
    // Bytes beyond ASCII may stand in values alone, as may quotes.
    let ascii = raw
        .iter()
        .map(|b| if b.is_ascii() { char::from(*b) } else { '"' });
    let text: String = ascii.collect();
    let Some(text) = text.strip_suffix("\r\n\r\n") else {
        return false;
    };
    let mut lines = text.strip_prefix("\r\n").unwrap_or(text).split("\r\n");
    let words: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
    let [method, target, version] = words.as_slice() else {
        return false;
    };
    let token = |text: &str| {
        !text.is_empty()
            && !text.contains(|c: char| c.is_ascii_control() || "\"(),/:;<=>?@[\\]{} ".contains(c))
    };
    if !token(method)
        || !target
            .bytes()
            .all(|b| b.is_ascii_graphic() && b != b'#' && b != b'"')
        || !matches!(*version, "HTTP/1.0" | "HTTP/1.1")
    {
        return false;
    }
    let mut seen: Vec<(String, String)> = Vec::new();
    for line in lines {
        let Some((name, value)) = line.split_once(':') else {
            return false;
        };
        if !token(name) || value.contains(|c: char| c.is_ascii_control() && c != '\t') {
            return false;
        }
        seen.push((name.to_ascii_lowercase(), value.trim().to_ascii_lowercase()));
    }
    let all = |wanted: &str| -> Vec<&str> {
        let found = seen.iter().filter(|(name, _)| name == wanted);
        found.map(|(_, value)| value.as_str()).collect()
    };
    let (hosts, lengths, codings) = (all("host"), all("content-length"), all("transfer-encoding"));
    let is_old = *version == "HTTP/1.0";
    let one_host = hosts.len() == 1 || (hosts.is_empty() && is_old);
    let framing = match (lengths.as_slice(), codings.as_slice()) {
        ([], []) => true,
        ([length], []) => !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit()),
        ([], ["chunked"]) => !is_old,
        _ => false,
    };
    one_host && framing
}
