//! The head of an answer (RFC 9112 §4 to §6), and how its body is framed.

use std::{cell::RefCell, time::SystemTime};

use bytes::{BufMut, BytesMut};
use http::{Method, StatusCode, Version};

use crate::{
    clock,
    http1::encode::{decimal, line, number},
    message::{Field, FieldSet, Fields, ResponseParts},
};

/// How the end of an answer's body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none, whatever the fields say (HEAD, 204, 304).
    Nothing,
    Length(u64),
    Chunked,
    /// By the connection's end: HTTP/1.0 knows nothing else.
    UntilClose,
}

/// What of the request an answer depends on.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    pub version: Version,
    pub is_head: bool,
    pub takes_trailers: bool,
}

impl Asked {
    pub fn new(method: &Method, version: Version, takes_trailers: bool) -> Self {
        Self {
            version,
            is_head: *method == Method::HEAD,
            takes_trailers,
        }
    }

    /// RFC 9112 §6.3; `length` is the body's own word.
    pub fn framing(self, status: StatusCode, length: Option<u64>) -> Framing {
        if self.is_head
            || status == StatusCode::NO_CONTENT
            || status == StatusCode::NOT_MODIFIED
            || status.is_informational()
        {
            return Framing::Nothing;
        }
        if status == StatusCode::RESET_CONTENT {
            return Framing::Length(0);
        }
        match length {
            Some(length) => Framing::Length(length),
            None if self.version == Version::HTTP_11 => Framing::Chunked,
            None => Framing::UntilClose,
        }
    }
}

/// Fields that this connection says itself.
const OWN: FieldSet = FieldSet::of(&[
    Field::ContentLength,
    Field::Connection,
    Field::TransferEncoding,
    Field::Upgrade,
    Field::KeepAlive,
    Field::ProxyConnection,
]);

/// Whether the handler wants the connection to end with this answer.
pub fn wants_close(fields: &Fields) -> bool {
    fields
        .get(Field::Connection)
        .is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"close"))
}

/// Writes the head. `length` is the body's own word, which HEAD passes on.
pub fn head(
    out: &mut BytesMut,
    parts: &ResponseParts,
    framing: Framing,
    length: Option<u64>,
    asked: Asked,
    keeps: bool,
) {
    status_line(out, parts.status);
    // What a region said of the length is true as a rule, and passes with all else.
    let is_said = matches!(framing, Framing::Length(length) if says(&parts.headers, length));
    let own = match is_said {
        true => const { OWN.without(Field::ContentLength) },
        false => OWN,
    };
    parts.headers.write(out, own);
    match framing {
        Framing::Length(_) if is_said => {}
        Framing::Length(length) => number(out, length),
        Framing::Chunked => out.put_slice(b"transfer-encoding: chunked\r\n"),
        Framing::UntilClose => {}
        // RFC 9110 §8.6: what GET would have; nothing in a 204, where readers might wait for it.
        Framing::Nothing if parts.status != StatusCode::NO_CONTENT => {
            let stated = parts.headers.get(Field::ContentLength);
            match (stated, length) {
                (Some(stated), _) => line(out, b"content-length", stated.as_bytes()),
                (None, Some(length)) if asked.is_head && length > 0 => number(out, length),
                _ => {}
            }
        }
        Framing::Nothing => {}
    }
    if !parts.headers.contains_key(Field::Date) {
        date(out);
    }
    if !keeps {
        out.put_slice(b"connection: close\r\n");
    } else if asked.version == Version::HTTP_10 {
        out.put_slice(b"connection: keep-alive\r\n");
    }
    out.put_slice(b"\r\n");
}

/// Whether the one `Content-Length` says just this.
fn says(fields: &Fields, length: u64) -> bool {
    let mut digits = [0; 20];
    let digits = decimal(length, &mut digits);
    matches!(fields.only(Field::ContentLength), Ok(Some(said)) if said.as_bytes() == digits)
}

fn status_line(out: &mut BytesMut, status: StatusCode) {
    let usual: &[u8] = match status {
        StatusCode::OK => b"HTTP/1.1 200 OK\r\n",
        StatusCode::CREATED => b"HTTP/1.1 201 Created\r\n",
        StatusCode::NO_CONTENT => b"HTTP/1.1 204 No Content\r\n",
        _ => b"",
    };
    out.put_slice(usual);
    if usual.is_empty() {
        out.put_slice(b"HTTP/1.1 ");
        out.put_slice(status.as_str().as_bytes());
        out.put_u8(b' ');
        out.put_slice(status.canonical_reason().unwrap_or("-").as_bytes());
        out.put_slice(b"\r\n");
    }
}

/// RFC 9110 §6.6.1; the text is made once a second.
fn date(out: &mut BytesMut) {
    thread_local! {
        static LINE: RefCell<(i64, String)> = const { RefCell::new((i64::MIN, String::new())) };
    }
    let now = clock::time();
    LINE.with_borrow_mut(|(second, text)| {
        if *second != now.as_second() {
            *second = now.as_second();
            *text = format!(
                "date: {}\r\n",
                httpdate::fmt_http_date(SystemTime::from(now))
            );
        }
        out.put_slice(text.as_bytes());
    });
}

#[cfg(test)]
mod tests {
    use http::Response;

    use super::*;

    fn written(
        response: Response<()>,
        framing: Framing,
        length: Option<u64>,
        keeps: bool,
    ) -> String {
        let asked = Asked {
            version: Version::HTTP_11,
            is_head: framing == Framing::Nothing,
            takes_trailers: false,
        };
        let (mut parts, ()) = crate::message::Response::from(response).into_parts();
        parts.headers.insert("date", "today");
        let mut out = BytesMut::new();
        head(&mut out, &parts, framing, length, asked, keeps);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn the_connections_own_fields_are_ours() {
        let response = Response::builder()
            .header("content-length", "7")
            .header("transfer-encoding", "gzip")
            .header("connection", "x-a")
            .header("keep-alive", "timeout=1")
            .header("x-a", "1")
            .body(())
            .unwrap();
        assert_eq!(
            written(response, Framing::Length(1203), Some(1203), true),
            "HTTP/1.1 200 OK\r\nx-a: 1\r\ndate: today\r\ncontent-length: 1203\r\n\r\n"
        );
    }

    #[test]
    fn bodies_are_framed_by_method_status_and_version() {
        let asked = |version, is_head| Asked {
            version,
            is_head,
            takes_trailers: false,
        };
        let new = asked(Version::HTTP_11, false);
        let old = asked(Version::HTTP_10, false);
        for (status, length, framing) in [
            (200, Some(5), Framing::Length(5)),
            (200, None, Framing::Chunked),
            (204, Some(5), Framing::Nothing),
            (304, Some(5), Framing::Nothing),
            (205, Some(5), Framing::Length(0)),
            (404, Some(0), Framing::Length(0)),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(new.framing(status, length), framing, "{status}");
        }
        assert_eq!(old.framing(StatusCode::OK, None), Framing::UntilClose);
        assert_eq!(
            asked(Version::HTTP_11, true).framing(StatusCode::OK, None),
            Framing::Nothing
        );
    }

    #[test]
    fn head_states_the_length_that_get_would_have() {
        let head = written(Response::new(()), Framing::Nothing, Some(12), false);
        assert!(head.contains("\r\ncontent-length: 12\r\n"), "{head}");
        assert!(head.ends_with("\r\nconnection: close\r\n\r\n"), "{head}");
        let none = Response::builder().status(204).body(()).unwrap();
        assert!(!written(none, Framing::Nothing, Some(12), true).contains("length"));
    }

    #[test]
    fn a_date_is_there_once() {
        let mut out = BytesMut::new();
        let (parts, ()) = crate::message::Response::new(()).into_parts();
        let asked = Asked::new(&Method::GET, Version::HTTP_10, false);
        head(&mut out, &parts, Framing::Length(0), None, asked, true);
        let text = String::from_utf8(out.to_vec()).unwrap();
        assert_eq!(text.matches("date: ").count(), 1);
        assert!(text.contains(" GMT\r\n") && text.contains("connection: keep-alive\r\n"));
    }
}
