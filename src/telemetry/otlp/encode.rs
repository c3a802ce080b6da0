//! `ExportTraceServiceRequest` in protobuf (opentelemetry-proto 1.x, `trace/v1/trace.proto`), and
//! what is read of its answer. Attributes are named by OpenTelemetry's semantic conventions for
//! HTTP; what those lack begins with `domicile.`.

use std::sync::Arc;

use super::trace::Span;

/// `SpanKind`.
const SERVER: u64 = 2;
const CLIENT: u64 = 3;
/// `StatusCode`.
const ERROR: u64 = 2;
/// `SpanFlags`: whether the parent is remote is known, and is it.
const KNOWN_REMOTE: u32 = 0x100;
const REMOTE: u32 = 0x200;

/// One request with all spans.
pub fn request(service: &str, spans: &[Box<Span>]) -> Vec<u8> {
    let mut out = Message(Vec::with_capacity(512 + spans.len() * 384));
    let version = env!("CARGO_PKG_VERSION");
    out.nested(1, |resource_spans| {
        resource_spans.nested(1, |resource| {
            for (key, value) in [
                ("service.name", service),
                ("service.version", version),
                ("telemetry.sdk.name", "domicile"),
                ("telemetry.sdk.language", "rust"),
                ("telemetry.sdk.version", version),
            ] {
                resource.attribute(1, key, |v| v.bytes(1, value.as_bytes()));
            }
        });
        resource_spans.nested(2, |scope_spans| {
            scope_spans.nested(1, |scope| {
                scope.bytes(1, b"domicile");
                scope.bytes(2, version.as_bytes());
            });
            for span in spans {
                scope_spans.nested(2, |out| write(span, out));
            }
        });
    });
    out.0
}

fn write(span: &Span, out: &mut Message) {
    out.bytes(1, &span.trace.to_be_bytes());
    out.bytes(2, &span.id.to_be_bytes());
    if let Some(parent) = span.parent {
        out.bytes(4, &parent.to_be_bytes());
    }
    let name = match &span.route {
        Some(route) => format!("{} {route}", method_name(span.method)),
        None => method_name(span.method).to_owned(),
    };
    out.bytes(5, name.as_bytes());
    out.varint(6, if span.is_server { SERVER } else { CLIENT });
    out.fixed64(7, span.start);
    out.fixed64(8, span.end.max(span.start));
    attributes(span, out);
    if span.failed {
        out.nested(15, |status| status.varint(3, ERROR));
    }
    let remote = if span.is_parent_remote { REMOTE } else { 0 };
    out.fixed32(16, u32::from(span.flags) | KNOWN_REMOTE | remote);
}

/// In a span's name a method of a caller's own invention is `HTTP`.
fn method_name(method: &str) -> &str {
    if method == "_OTHER" { "HTTP" } else { method }
}

fn attributes(span: &Span, out: &mut Message) {
    let mut text = |key: &str, value: Option<&str>| {
        if let Some(value) = value {
            out.attribute(9, key, |v| v.bytes(1, value.as_bytes()));
        }
    };
    let status = span.status.map(|s| s.to_string());
    let error = span.error.or(status.as_deref());
    let decision = span.decision.text();
    text("http.request.method", Some(span.method));
    text("http.route", span.route.as_deref());
    text("url.scheme", span.scheme);
    text("network.protocol.version", span.version);
    text("error.type", error.filter(|_| span.failed));
    text("domicile.decision", std::str::from_utf8(&decision).ok());
    text("domicile.region", span.region.as_deref());
    text("domicile.mechanism", span.mechanism.as_deref());
    text("domicile.problem", span.problem);
    let number = |out: &mut Message, key, value: u64| {
        out.attribute(9, key, |v| v.varint(3, value));
    };
    if let Some(status) = span.status {
        number(out, "http.response.status_code", status.into());
    }
    if let Some(items) = span.items {
        number(out, "domicile.items", items);
    }
    if !span.rules.is_empty() {
        out.attribute(9, "domicile.rules", |v| list(v, &span.rules));
    }
}

fn list(value: &mut Message, items: &[Arc<str>]) {
    value.nested(5, |array| {
        for item in items {
            array.nested(1, |v| v.bytes(1, item.as_bytes()));
        }
    });
}

/// A message being written.
struct Message(Vec<u8>);

impl Message {
    fn key(&mut self, field: u64, wire: u64) {
        self.number(field << 3 | wire);
    }

    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn varint(&mut self, field: u64, number: u64) {
        self.key(field, 0);
        self.number(number);
    }

    fn fixed64(&mut self, field: u64, number: u64) {
        self.key(field, 1);
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn fixed32(&mut self, field: u64, number: u32) {
        self.key(field, 5);
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.key(field, 2);
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// The length goes before what is written, whose length is known only then.
    fn nested(&mut self, field: u64, write: impl FnOnce(&mut Self)) {
        self.key(field, 2);
        let start = self.0.len();
        write(self);
        let mut length = Self(Vec::with_capacity(5));
        length.number((self.0.len() - start) as u64);
        self.0.splice(start..start, length.0);
    }

    fn attribute(&mut self, field: u64, key: &str, value: impl FnOnce(&mut Self)) {
        self.nested(field, |pair| {
            pair.bytes(1, key.as_bytes());
            pair.nested(2, value);
        });
    }
}

/// How many spans the collector did not take of a request that it answered with 200:
/// `ExportTraceServiceResponse.partial_success.rejected_spans`. Unreadable counts as none.
pub fn rejected(answer: &[u8]) -> u64 {
    let partial = field(answer, 1);
    let number = partial.and_then(|Found { bytes, .. }| field(bytes?, 1));
    number.and_then(|found| found.number).unwrap_or(0)
}

/// A field's value.
struct Found<'a> {
    number: Option<u64>,
    bytes: Option<&'a [u8]>,
}

fn field(mut message: &[u8], wanted: u64) -> Option<Found<'_>> {
    while !message.is_empty() {
        let key = take_number(&mut message)?;
        let mut found = Found {
            number: None,
            bytes: None,
        };
        match key & 7 {
            0 => found.number = Some(take_number(&mut message)?),
            1 => drop(take(&mut message, 8)?),
            2 => {
                let length = usize::try_from(take_number(&mut message)?).ok()?;
                found.bytes = Some(take(&mut message, length)?);
            }
            5 => drop(take(&mut message, 4)?),
            _ => return None,
        }
        if key >> 3 == wanted {
            return Some(found);
        }
    }
    None
}

fn take<'a>(message: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = message.split_at_checked(length)?;
    *message = rest;
    Some(taken)
}

fn take_number(message: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = message.split_first()?;
        *message = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::{
        collector::trace::v1::{
            ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
        },
        common::v1::{KeyValue, any_value::Value},
        trace::v1::span::SpanKind,
    };
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;
    use crate::domain::DecisionId;

    fn span() -> Span {
        Span {
            trace: 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c,
            id: 7,
            parent: Some(9),
            is_parent_remote: true,
            flags: 1,
            is_server: true,
            start: 1_000,
            end: 2_000,
            method: "_OTHER",
            route: Some("/people/{subject}".into()),
            status: Some(503),
            error: Some("region-unavailable"),
            region: Some("eu".into()),
            decision: DecisionId::new(1, 2),
            mechanism: Some("scc; module=2".into()),
            problem: Some("region-unavailable"),
            rules: vec!["eu-scc".into(), "house-1".into()],
            version: Some("2"),
            scheme: Some("https"),
            items: Some(300),
            failed: true,
        }
    }

    fn value(attributes: &[KeyValue], key: &str) -> Option<Value> {
        let found = attributes.iter().find(|a| a.key == key)?;
        found.value.clone()?.value
    }

    fn text(attributes: &[KeyValue], key: &str) -> String {
        match value(attributes, key) {
            Some(Value::StringValue(text)) => text,
            other => panic!("{key}: {other:?}"),
        }
    }

    #[test]
    fn others_read_what_is_written() {
        let long = Span {
            rules: (0..99).map(|i| format!("rule-{i}").into()).collect(),
            ..span()
        };
        let bytes = request("domicile-sg", &[Box::new(span()), Box::new(long)]);
        let read = ExportTraceServiceRequest::decode(bytes.as_slice()).unwrap();
        let of = &read.resource_spans[0];
        let resource = &of.resource.as_ref().unwrap().attributes;
        assert_eq!(text(resource, "service.name"), "domicile-sg");
        assert_eq!(text(resource, "telemetry.sdk.language"), "rust");
        let spans = &of.scope_spans[0].spans;
        assert_eq!(spans.len(), 2);
        let one = &spans[0];
        assert_eq!(one.trace_id, span().trace.to_be_bytes());
        assert_eq!(one.span_id, 7u64.to_be_bytes());
        assert_eq!(one.parent_span_id, 9u64.to_be_bytes());
        assert_eq!(one.name, "HTTP /people/{subject}");
        assert_eq!(one.kind(), SpanKind::Server);
        assert_eq!(
            (one.start_time_unix_nano, one.end_time_unix_nano),
            (1_000, 2_000)
        );
        assert_eq!(one.flags, 0x301);
        assert_eq!(one.status.as_ref().unwrap().code, 2);
        let all = &one.attributes;
        assert_eq!(text(all, "error.type"), "region-unavailable");
        assert_eq!(text(all, "network.protocol.version"), "2");
        assert_eq!(text(all, "url.scheme"), "https");
        assert_eq!(
            value(all, "http.response.status_code"),
            Some(Value::IntValue(503))
        );
        assert_eq!(value(all, "domicile.items"), Some(Value::IntValue(300)));
        let Some(Value::ArrayValue(rules)) = value(&spans[1].attributes, "domicile.rules") else {
            panic!("{:?}", spans[1]);
        };
        assert_eq!(rules.values.len(), 99);
    }

    #[test]
    fn what_did_not_fail_has_no_error() {
        let good = Span {
            status: Some(404),
            error: None,
            failed: false,
            ..span()
        };
        let bytes = request("d", &[Box::new(good)]);
        let read = ExportTraceServiceRequest::decode(bytes.as_slice()).unwrap();
        let one = &read.resource_spans[0].scope_spans[0].spans[0];
        assert_eq!(one.status, None);
        assert_eq!(value(&one.attributes, "error.type"), None);
    }

    proptest! {
        #[test]
        fn the_rejected_are_counted(rejected_spans in 0i64.., message: String) {
            let answer = ExportTraceServiceResponse {
                partial_success: Some(ExportTracePartialSuccess {
                    rejected_spans,
                    error_message: message,
                }),
            };
            prop_assert_eq!(rejected(&answer.encode_to_vec()), rejected_spans as u64);
        }

        #[test]
        fn no_answer_is_too_much(bytes: Vec<u8>) {
            let _ = rejected(&bytes);
        }
    }
}
