//! `ExportTraceServiceRequest` (`trace/v1/trace.proto`) by OpenTelemetry's own types, and what is
//! read of its answer. Attributes are named by OpenTelemetry's semantic conventions for HTTP; what
//! those lack begins with `domicile.`.

use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
    common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::{
        ResourceSpans, ScopeSpans, Span as AnswerAttributes, SpanFlags, Status, span::SpanKind,
        status::StatusCode,
    },
};
use prost::Message as _;

use super::trace::Span;

/// One request with all spans.
pub fn request(service: &str, spans: &[Box<Span>]) -> Vec<u8> {
    let version = env!("CARGO_PKG_VERSION");
    let resource = [
        ("service.name", service),
        ("service.version", version),
        ("telemetry.sdk.name", "domicile"),
        ("telemetry.sdk.language", "rust"),
        ("telemetry.sdk.version", version),
    ];
    let resource = resource.map(|(key, value)| attribute(key, text(value)));
    let scope = InstrumentationScope {
        name: "domicile".to_owned(),
        version: version.to_owned(),
        ..InstrumentationScope::default()
    };
    let scope_spans = ScopeSpans {
        scope: Some(scope),
        spans: spans.iter().map(|span| told(span)).collect(),
        ..ScopeSpans::default()
    };
    let resource_spans = ResourceSpans {
        resource: Some(Resource {
            attributes: resource.to_vec(),
            ..Resource::default()
        }),
        scope_spans: vec![scope_spans],
        ..ResourceSpans::default()
    };
    let request = ExportTraceServiceRequest {
        resource_spans: vec![resource_spans],
    };
    request.encode_to_vec()
}

fn told(span: &Span) -> AnswerAttributes {
    let name = match &span.route {
        Some(route) => format!("{} {route}", method_name(span.method)),
        None => method_name(span.method).to_owned(),
    };
    let kind = match span.is_server {
        true => SpanKind::Server,
        false => SpanKind::Client,
    };
    let remote = match span.is_parent_remote {
        true => SpanFlags::ContextIsRemoteMask as u32,
        false => 0,
    };
    AnswerAttributes {
        trace_id: span.trace.to_be_bytes().to_vec(),
        span_id: span.id.to_be_bytes().to_vec(),
        parent_span_id: span
            .parent
            .map(|id| id.to_be_bytes().to_vec())
            .unwrap_or_default(),
        name,
        kind: kind.into(),
        start_time_unix_nano: span.start,
        end_time_unix_nano: span.end.max(span.start),
        attributes: attributes(span),
        status: span.failed.then(|| Status {
            code: StatusCode::Error.into(),
            ..Status::default()
        }),
        flags: u32::from(span.flags) | SpanFlags::ContextHasIsRemoteMask as u32 | remote,
        ..AnswerAttributes::default()
    }
}

/// In a span's name a method of a caller's own invention is `HTTP`.
fn method_name(method: &str) -> &str {
    if method == "_OTHER" { "HTTP" } else { method }
}

fn attributes(span: &Span) -> Vec<KeyValue> {
    let status = span.status.map(|s| s.to_string());
    let error = span.error.or(status.as_deref());
    let decision = span.decision.text();
    let texts = [
        ("http.request.method", Some(span.method)),
        ("http.route", span.route.as_deref()),
        ("url.scheme", span.scheme),
        ("network.protocol.version", span.version),
        ("error.type", error.filter(|_| span.failed)),
        ("domicile.decision", std::str::from_utf8(&decision).ok()),
        ("domicile.region", span.region.as_deref()),
        ("domicile.mechanism", span.mechanism.as_deref()),
        ("domicile.problem", span.problem),
    ];
    let texts = texts
        .into_iter()
        .filter_map(|(key, value)| Some(attribute(key, text(value?))));
    let numbers = [
        ("http.response.status_code", span.status.map(i64::from)),
        (
            "domicile.items",
            span.items.map(|n| i64::try_from(n).unwrap_or(i64::MAX)),
        ),
    ];
    let numbers = numbers
        .into_iter()
        .filter_map(|(key, value)| Some(attribute(key, Value::IntValue(value?))));
    let rules = (!span.rules.is_empty()).then(|| {
        let values = span.rules.iter().map(|rule| any(text(rule))).collect();
        attribute("domicile.rules", Value::ArrayValue(ArrayValue { values }))
    });
    texts.chain(numbers).chain(rules).collect()
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(any(value)),
        ..KeyValue::default()
    }
}

fn text(value: &str) -> Value {
    Value::StringValue(value.to_owned())
}

fn any(value: Value) -> AnyValue {
    AnyValue { value: Some(value) }
}

/// How many spans the collector did not take of a request that it answered with 200. Unreadable
/// counts as none.
pub fn rejected(answer: &[u8]) -> u64 {
    let answer = ExportTraceServiceResponse::decode(answer).ok();
    let partial = answer.and_then(|answer| answer.partial_success);
    partial.map_or(0, |p| u64::try_from(p.rejected_spans).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTracePartialSuccess;
    use proptest::prelude::*;

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
