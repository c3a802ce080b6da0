//! What fuzzing and the property tests run over the reading of answers: a connection's bytes
//! without the connection, and what must hold for any of them.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, uri::PathAndQuery};
use http_body_util::{BodyExt, Full};
use tokio::time::Instant;

use super::{
    Call, MOST_INTERIM,
    decode::{Decoder, Piece},
    head::{self, Head, Scan},
};
use crate::{
    admit::memory::Reservation,
    forward::{
        Endpoint,
        body::{OutgoingBody, Upload},
    },
    http1::encode,
    message::{Earlier, Fields},
};

/// A request as a region gets it, `body` as a whole or in one chunk.
pub fn request_bytes(
    method: &Method,
    target: &PathAndQuery,
    headers: &Fields,
    body: Vec<u8>,
    is_chunked: bool,
) -> Vec<u8> {
    let address = http::Uri::from_static("http://192.0.2.1:8080");
    let Ok(endpoint) = Endpoint::parse(&address) else {
        return Vec::new();
    };
    let call = Call {
        endpoint: &endpoint,
        method,
        target,
        headers,
    };
    let body = Bytes::from(body);
    let sent = match is_chunked {
        true => OutgoingBody::Stream {
            body: Box::pin(Full::new(body.clone()).map_err(|never| match never {})),
            length: None,
            held: Reservation::uncounted(),
        },
        false => OutgoingBody::Whole(body.clone()),
    };
    let mut out = BytesMut::new();
    call.write(&mut out, &Upload::new(sent, Instant::now()));
    if is_chunked && !body.is_empty() {
        encode::chunk_size(&mut out, body.len());
        out.extend_from_slice(&body);
        out.extend_from_slice(b"\r\n");
    } else {
        out.extend_from_slice(&body);
    }
    if is_chunked {
        encode::last_chunk(&mut out, None);
    }
    out.to_vec()
}

/// What was read of one answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// More bytes are needed.
    Open(Box<Answer>),
    Whole(Box<Answer>),
    /// It is no answer, or broke off where this is all that was believed.
    Refused(Box<Answer>),
}

/// An answer, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The head's bytes as they came; empty while there is none.
    pub head: Vec<u8>,
    pub status: u16,
    pub fields: Fields,
    pub body: Vec<u8>,
    pub trailers: Option<HeaderMap>,
    pub keeps_alive: bool,
    pub ends_with_connection: bool,
    /// Bytes that came after it.
    pub rest: usize,
}

/// Reads one answer from pieces, as they might come over a connection that then ends.
pub fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, to_head: bool) -> Read {
    let mut reader = Reader {
        to_head,
        ..Reader::default()
    };
    for piece in pieces {
        reader.came.extend_from_slice(piece);
        reader.buffer.extend_from_slice(piece);
        if !reader.is_refused && reader.step().is_none() {
            reader.is_refused = true;
        }
    }
    reader.end()
}

#[derive(Default)]
struct Reader {
    /// Everything.
    came: Vec<u8>,
    /// Not read yet.
    buffer: BytesMut,
    to_head: bool,
    scan: Scan,
    earlier: Earlier,
    interim: usize,
    /// Once the head is here.
    decoder: Option<Decoder>,
    answer: Box<Answer>,
    is_refused: bool,
}

impl Reader {
    /// Reads as far as the bytes go; `None`: they are no answer.
    fn step(&mut self) -> Option<()> {
        while self.decoder.is_none() {
            let start = self.came.len() - self.buffer.len();
            let head = head::take(
                &mut self.scan,
                &mut self.earlier,
                &mut self.buffer,
                self.to_head,
            );
            let Some(head) = head.ok()? else {
                return Some(());
            };
            let end = self.came.len() - self.buffer.len();
            match head {
                Head::Interim => {
                    self.interim += 1;
                    if self.interim > MOST_INTERIM {
                        return None;
                    }
                }
                Head::Final {
                    told,
                    decoder,
                    keeps_alive,
                    ..
                } => {
                    self.answer.head = self.came.get(start..end)?.to_vec();
                    self.answer.status = told.status.as_u16();
                    self.answer.fields = told.headers;
                    self.answer.keeps_alive = keeps_alive;
                    self.answer.ends_with_connection = decoder.ends_with_connection();
                    self.decoder = Some(decoder);
                }
            }
        }
        let decoder = self.decoder.as_mut()?;
        loop {
            match decoder.decode(&mut self.buffer).ok()? {
                Piece::Data(data) => self.answer.body.extend_from_slice(&data),
                Piece::Trailers(fields) => self.answer.trailers = Some(fields),
                Piece::More | Piece::End => return Some(()),
            }
        }
    }

    fn end(mut self) -> Read {
        let Some(decoder) = self.decoder.filter(|_| !self.is_refused) else {
            return match self.is_refused {
                true => Read::Refused(self.answer),
                false => Read::Open(self.answer),
            };
        };
        if !decoder.is_done() && !decoder.ends_with_connection() {
            return Read::Open(self.answer);
        }
        self.answer.rest = self.buffer.len();
        Read::Whole(self.answer)
    }
}

/// Reads arbitrary bytes as a region's, and checks what must hold for any of them: the cuts between
/// reads change nothing, a head that is believed is strict by a second, naive reading, and so is
/// the content of its body.
///
/// # Panics
/// If something does not hold; that is its purpose.
#[expect(
    clippy::panic,
    reason = "a fuzzing harness reports what it found by panicking"
)]
pub fn try_bytes(bytes: &[u8]) {
    // The first byte chooses method and cut, so that one corpus covers both.
    let (choice, bytes) = bytes.split_first().unwrap_or((&0, &[]));
    let to_head = choice & 1 == 1;
    let whole = read([bytes], to_head);
    if read(bytes.chunks(1), to_head) != whole {
        panic!("byte by byte it reads differently");
    }
    let cut = usize::from(choice >> 1).min(bytes.len());
    if let Some((first, second)) = bytes.split_at_checked(cut)
        && read([first, second], to_head) != whole
    {
        panic!("cut in two it reads differently");
    }
    let (answer, is_whole) = match &whole {
        Read::Whole(answer) => (answer, true),
        Read::Open(answer) | Read::Refused(answer) => (answer, false),
    };
    if answer.head.is_empty() {
        if !answer.body.is_empty() || is_whole {
            panic!("an answer without a head");
        }
        return;
    }
    let Some(framing) = naive(&answer.head, to_head) else {
        panic!("believed a head that is not strict");
    };
    let OfBody { lines, is_fixed } = framing;
    let Some(length) = lines.filter(|_| is_fixed) else {
        return;
    };
    if is_whole && answer.body.len() as u64 != length || answer.body.len() as u64 > length {
        panic!("the body is not of its announced length");
    }
}

/// What the naive reading finds of the body.
struct OfBody {
    /// Its length, where the head says it.
    lines: Option<u64>,
    is_fixed: bool,
}

/// The rules by a second hand: line by line, with nothing but splitting and searching.
fn naive(raw: &[u8], to_head: bool) -> Option<OfBody> {
    // Bytes beyond ASCII may stand in values and the reason alone, as may quotes.
    let ascii = raw
        .iter()
        .map(|b| if b.is_ascii() { char::from(*b) } else { '"' });
    let text: String = ascii.collect();
    let mut lines = text.strip_suffix("\r\n\r\n")?.split("\r\n");
    let first = lines.next()?;
    let is_clean = |text: &str| !text.contains(|c: char| c.is_ascii_control() && c != '\t');
    let (version, rest) = first.split_once(' ')?;
    let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
    let is_known = matches!(version, "HTTP/1.0" | "HTTP/1.1");
    let status: u16 = code.parse().ok()?;
    if !is_known || code.len() != 3 || !(200..600).contains(&status) || !is_clean(reason) {
        return None;
    }
    let token = |text: &str| {
        !text.is_empty()
            && !text.contains(|c: char| c.is_ascii_control() || "\"(),/:;<=>?@[\\]{} ".contains(c))
    };
    let (mut lengths, mut codings) = (Vec::new(), Vec::new());
    for line in lines {
        let (name, value) = line.split_once(':')?;
        if !token(name) || !is_clean(value) {
            return None;
        }
        let value = value.trim_matches([' ', '\t']).to_ascii_lowercase();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => lengths.push(value),
            "transfer-encoding" => codings.push(value),
            _ => {}
        }
    }
    let length = match (lengths.as_slice(), codings.as_slice()) {
        ([], []) => None,
        ([length], []) if length.bytes().all(|b| b.is_ascii_digit()) => Some(length.parse().ok()?),
        ([], [coding]) if coding == "chunked" && version == "HTTP/1.1" => None,
        _ => return None,
    };
    let has_none = to_head || status == 204 || status == 304;
    Some(OfBody {
        lines: if has_none { Some(0) } else { length },
        is_fixed: has_none || length.is_some(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PARTS: [&str; 30] = [
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.0 200\r\n",
        "HTTP/1.1 204 No Content\r\n",
        "HTTP/1.1 304 \r\n",
        "Content-Length: 3\r\n",
        "Content-Length: 0\r\n",
        "content-length:03\r\n",
        "Content-Length: +3\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Connection: close\r\n",
        "Connection: x, keep-alive\r\n",
        "X: a\r\n",
        " folded\r\n",
        "X : a\r\n",
        "X: \u{e9}\r\n",
        "Trailer: x\r\n",
        "\r\n",
        "\n",
        "\r",
        "abc",
        "3\r\nabc\r\n",
        "3;a=\"b\"\r\nabc\r\n",
        "0\r\n\r\n",
        "0\r\nX: a\r\nContent-Length: 1\r\n\r\n",
        "ffffffffffffffffff\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n",
        "HTTP/2 200\r\n",
        "\0",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn the_laws_hold_for_what_is_nearly_sound(
            choice: u8,
            line in prop::sample::select(&PARTS[..5]),
            fields in prop::collection::vec(prop::sample::select(&PARTS[5..18]), 0..4),
            body in prop::collection::vec(prop::sample::select(&PARTS[18..]), 0..4),
        ) {
            let mut text = vec![choice];
            text.extend(line.as_bytes());
            fields.iter().for_each(|f| text.extend(f.as_bytes()));
            text.extend(b"\r\n");
            body.iter().for_each(|b| text.extend(b.as_bytes()));
            try_bytes(&text);
        }

        #[test]
        fn the_laws_hold_for_any_bytes(bytes: Vec<u8>) {
            try_bytes(&bytes);
        }
    }

    #[test]
    fn the_fuzzing_corpus_passes() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/answers");
        let mut seen = 0;
        for file in std::fs::read_dir(folder).expect("a corpus") {
            try_bytes(&std::fs::read(file.unwrap().path()).unwrap());
            seen += 1;
        }
        assert!(seen >= 10, "{seen}");
    }

    #[test]
    fn an_answer_is_read_as_it_stands() {
        let text = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\
            Connection: x-hop\r\nx-hop: 1\r\nx: 2\r\n\r\n3;a\r\nabc\r\n2\r\nde\r\n0\r\ny: z\r\n\r\nmore";
        let Read::Whole(answer) = read([text.as_slice()], false) else {
            panic!("it is whole");
        };
        assert_eq!(
            (answer.status, answer.body.as_slice()),
            (200, &b"abcde"[..])
        );
        assert_eq!(answer.fields.len(), 1);
        assert_eq!(answer.trailers.as_ref().map(HeaderMap::len), Some(1));
        assert_eq!((answer.keeps_alive, answer.rest), (true, 4));
        let none = read(
            [&b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab"[..]],
            false,
        );
        assert!(matches!(none, Read::Open(_)), "{none:?}");
    }
}
