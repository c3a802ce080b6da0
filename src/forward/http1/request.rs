//! The head of a request (RFC 9112 §3), written from the fields as they are.

use bytes::{BufMut, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, uri::PathAndQuery};
use http_body::Body;

use crate::{
    forward::{Endpoint, body::Upload},
    http1::encode,
    message::{Field, FieldSet, Fields, tokens},
};

/// One try of a request, as all tries have it.
pub(in crate::forward) struct Call<'a> {
    pub(in crate::forward) endpoint: &'a Endpoint,
    pub(in crate::forward) method: &'a Method,
    /// With the endpoint's prefix.
    pub(in crate::forward) target: &'a PathAndQuery,
    pub(in crate::forward) headers: &'a Fields,
}

impl Call<'_> {
    /// Writes line and fields. `Host` is the endpoint's, the framing that of the body.
    pub(super) fn write(&self, out: &mut BytesMut, upload: &Upload) {
        out.put_slice(self.method.as_str().as_bytes());
        out.put_u8(b' ');
        out.put_slice(self.target.as_str().as_bytes());
        out.put_slice(self.endpoint.line_end_and_host());
        self.headers.write(out, OWN);
        if self.headers.may_have(const { FieldSet::of(&[Field::Te]) }) {
            // RFC 9110 §10.1.4.
            out.put_slice(b"connection: te\r\n");
        }
        if upload.is_chunked() {
            out.put_slice(b"transfer-encoding: chunked\r\n");
        } else if let Some(length) = length(self.method, upload) {
            encode::number(out, length);
        }
        out.put_slice(b"\r\n");
    }

    /// The names in `Trailer`; of their values nothing is known yet.
    pub(super) fn announced(&self) -> Option<HeaderMap> {
        let values = self.headers.get_all(Field::Trailer);
        let named = values.flat_map(|v| tokens(v.as_bytes()));
        let named: HeaderMap = named
            .flatten()
            .filter_map(|name| HeaderName::from_bytes(name).ok())
            .map(|name| (name, HeaderValue::from_static("")))
            .collect();
        (!named.is_empty()).then_some(named)
    }
}

/// RFC 9110 §8.6: methods that expect a body say that there is none.
pub(in crate::forward) fn expects_content(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

/// What `Content-Length` says.
fn length(method: &Method, upload: &Upload) -> Option<u64> {
    match upload.size_hint().exact() {
        Some(0) => expects_content(method).then_some(0),
        length => length,
    }
}

/// Fields that belong to one connection or one body, which this side says itself.
pub(in crate::forward) const OWN: FieldSet = FieldSet::of(&[
    Field::Host,
    Field::ContentLength,
    Field::TransferEncoding,
    Field::Connection,
    Field::Expect,
    Field::Upgrade,
]);
