//! Messages as the stations hand them on: a head whose fields stay the text they came as.
//!
//! Goals: a field is looked at where it stands, no name is hashed, nothing is copied that is not
//! changed; what goes out to HTTP/1.1 is text already. `http::HeaderMap`, with a hash, two
//! reference counts and 100 bytes for each field, took a seventh of all instructions of a request
//! (`docs/performance.md`). Trade-off: looking up a name that is not in [`Field`] may
//! walk the fields, which is why their number is limited, and HTTP/2 pays a conversion at its edge.

mod earlier;
mod field;
mod fields;
mod line;
mod list;
mod parse;
pub mod trailer;
mod value;

use http::{Method, StatusCode, Uri, Version};

pub use earlier::{Earlier, Kind};
pub use field::{CLIENT_ADDRESS, Field, FieldSet, Key, Names, OWN_PREFIX};
pub use fields::{Fields, Several, never_indexed};
pub use list::tokens;
pub use parse::{LineFault, MOST_FIELDS, check_name, is_token};
pub use value::{NotText, Value};

/// The head of a request.
#[derive(Clone, Debug)]
pub struct Parts {
    pub method: Method,
    pub uri: Uri,
    pub version: Version,
    pub headers: Fields,
    /// Of the fields as they came, among those of the connection.
    pub kind: Kind,
}

#[derive(Debug)]
pub struct Request<B> {
    /// Apart, so that a request is cheap to hand on.
    pub parts: Box<Parts>,
    pub body: B,
}

impl<B> Request<B> {
    pub fn into_parts(self) -> (Box<Parts>, B) {
        (self.parts, self.body)
    }
}

impl<B> From<http::Request<B>> for Request<B> {
    fn from(request: http::Request<B>) -> Self {
        let (parts, body) = request.into_parts();
        let parts = Parts {
            method: parts.method,
            uri: parts.uri,
            version: parts.version,
            headers: Fields::from(&parts.headers),
            kind: Kind::default(),
        };
        let parts = Box::new(parts);
        Self { parts, body }
    }
}

/// The head of an answer.
#[derive(Clone, Debug)]
pub struct ResponseParts {
    pub status: StatusCode,
    pub headers: Fields,
    /// The version of HTTP in which a region sent it; `None` for the router's own answers.
    pub version: Option<Version>,
    _off_class: u64,
}

// A box of exactly one of mimalloc's sizes that is no power of two (80 bytes) is never found in a
// page of that size: what is aligned is taken from the next one when there is none, so there never
// is, and each box goes the slow way, at 150 instructions.
#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<ResponseParts>() != 80);

impl ResponseParts {
    pub fn new(status: StatusCode, headers: Fields) -> Self {
        Self {
            status,
            headers,
            version: None,
            _off_class: 0,
        }
    }

    pub fn of_version(self, version: Version) -> Self {
        let version = Some(version);
        Self { version, ..self }
    }
}

/// An answer; its version is the connection's.
#[derive(Debug)]
pub struct Response<B> {
    /// Apart, so that an answer is cheap to hand on.
    head: Box<ResponseParts>,
    body: B,
}

impl<B> Response<B> {
    /// 200, without fields.
    pub fn new(body: B) -> Self {
        let head = Box::new(ResponseParts::new(StatusCode::OK, Fields::default()));
        Self { head, body }
    }

    pub fn from_parts(head: Box<ResponseParts>, body: B) -> Self {
        Self { head, body }
    }

    pub fn into_parts(self) -> (Box<ResponseParts>, B) {
        (self.head, self.body)
    }

    pub fn status(&self) -> StatusCode {
        self.head.status
    }

    pub fn status_mut(&mut self) -> &mut StatusCode {
        &mut self.head.status
    }

    /// In which it came from a region; `None` of an answer of the router's own.
    pub fn version(&self) -> Option<Version> {
        self.head.version
    }

    pub fn headers(&self) -> &Fields {
        &self.head.headers
    }

    pub fn headers_mut(&mut self) -> &mut Fields {
        &mut self.head.headers
    }

    pub fn body(&self) -> &B {
        &self.body
    }

    pub fn body_mut(&mut self) -> &mut B {
        &mut self.body
    }

    pub fn into_body(self) -> B {
        self.body
    }

    pub fn map<C>(self, change: impl FnOnce(B) -> C) -> Response<C> {
        Response {
            head: self.head,
            body: change(self.body),
        }
    }
}

impl<B> From<http::Response<B>> for Response<B> {
    fn from(response: http::Response<B>) -> Self {
        let (parts, body) = response.into_parts();
        let head = ResponseParts::new(parts.status, Fields::from(&parts.headers));
        let head = Box::new(head.of_version(parts.version));
        Self { head, body }
    }
}

impl<B> From<Response<B>> for http::Response<B> {
    fn from(response: Response<B>) -> Self {
        let mut answer = Self::new(response.body);
        *answer.status_mut() = response.head.status;
        *answer.headers_mut() = response.head.headers.to_map();
        answer
    }
}
