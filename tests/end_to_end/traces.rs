//! Traces over OTLP: what the collector is told, what regions are handed, and that a collector's
//! troubles are nobody else's.

#[cfg(not(feature = "otlp"))]
#[test]
fn a_program_without_traces_refuses_the_section() {
    use crate::kit::process::run_to_end;
    use crate::kit::setup::Setup;

    let mut setup = Setup::new();
    setup.set(&["otlp", "endpoint"], "http://127.0.0.1:4318");
    let config = setup.write();
    let output = run_to_end(&["check", "--config", config.to_str().unwrap()], "");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains("built without traces"), "{told}");
    assert!(told.contains("--features otlp"), "{told}");
}

#[cfg(feature = "otlp")]
mod built {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU16, Ordering};

    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind};
    use prost::Message as _;

    use crate::kit::backend::{Backend, Reply};
    use crate::kit::http::{Answer, Request};
    use crate::kit::setup::{Backends, Router, Setup, metrics};
    use crate::kit::{contains, decision, eventually, free_address, problem};

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const PARENT: &str = "b7ad6b7169203331";

    /// As much of a collector as OTLP/HTTP asks for.
    struct Collector {
        backend: Backend,
        status: Arc<AtomicU16>,
    }

    impl Collector {
        fn new() -> Self {
            let status = Arc::new(AtomicU16::new(200));
            let says = Arc::clone(&status);
            let backend = Backend::scripted(move |_| Reply::Answer {
                status: says.load(Ordering::SeqCst),
                media: "application/x-protobuf",
                body: Vec::new(),
            });
            Self { backend, status }
        }

        fn spans(&self) -> Vec<Span> {
            let requests = self.backend.requests().into_iter();
            requests
                .flat_map(|seen| {
                    assert_eq!((&*seen.method, &*seen.path), ("POST", "/v1/traces"));
                    let media = seen.header("content-type");
                    assert_eq!(media, Some("application/x-protobuf"));
                    let told = ExportTraceServiceRequest::decode(seen.body.as_slice()).unwrap();
                    let resources = told.resource_spans.into_iter();
                    resources.flat_map(|r| r.scope_spans).flat_map(|s| s.spans)
                })
                .collect()
        }

        /// The spans of one answer's request: the server's, then those of its exchanges.
        #[track_caller]
        fn of(&self, answer: &Answer, exchanges: usize) -> (Span, Vec<Span>) {
            let decision = decision(answer).to_owned();
            let mut spans = eventually("the spans arrive", || {
                let mut spans = self.spans();
                spans.retain(|s| text(s, "domicile.decision").as_deref() == Some(&decision));
                (spans.len() > exchanges).then_some(spans)
            });
            spans.sort_by_key(|s| s.kind() != SpanKind::Server);
            let server = spans.remove(0);
            assert_eq!(server.kind(), SpanKind::Server, "{server:?}");
            assert_eq!(spans.len(), exchanges, "{spans:?}");
            for span in &spans {
                assert_eq!(span.kind(), SpanKind::Client);
                assert_eq!(span.trace_id, server.trace_id);
                assert_eq!(span.parent_span_id, server.span_id);
                assert!(span.start_time_unix_nano >= server.start_time_unix_nano);
                assert!(span.end_time_unix_nano <= server.end_time_unix_nano);
            }
            (server, spans)
        }
    }

    fn value(span: &Span, key: &str) -> Option<Value> {
        let found = span.attributes.iter().find(|a| a.key == key)?;
        found.value.clone()?.value
    }

    fn text(span: &Span, key: &str) -> Option<String> {
        match value(span, key)? {
            Value::StringValue(text) => Some(text),
            other => panic!("{key}: {other:?}"),
        }
    }

    fn status(span: &Span) -> Option<i64> {
        match value(span, "http.response.status_code")? {
            Value::IntValue(status) => Some(status),
            other => panic!("{other:?}"),
        }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    fn world() -> (Setup, Backends, Collector) {
        let (mut setup, backends) = Setup::recording();
        let collector = Collector::new();
        let endpoint = format!("http://{}", collector.backend.address);
        setup.set(&["otlp", "endpoint"], endpoint);
        (setup, backends, collector)
    }

    fn put(id: &str, body: &str) -> Request {
        Request::new("PUT", format!("/people/{id}")).json(body)
    }

    /// `traceparent` as the region got it last.
    fn handed(backends: &Backends, region: &str) -> (String, String, String) {
        let seen = backends.of(region).seen();
        let field = seen.last().unwrap().header("traceparent").unwrap();
        let parts: Vec<&str> = field.split('-').collect();
        let [version, trace, span, flags] = parts[..] else {
            panic!("{field}");
        };
        assert_eq!(version, "00");
        (trace.to_owned(), span.to_owned(), flags.to_owned())
    }

    fn count(router: &Router, outcome: &str) -> u64 {
        let name = format!("domicile_otlp_spans_total{{outcome=\"{outcome}\"}} ");
        let scrape = metrics(router.admin);
        let line = scrape.lines().find_map(|l| l.strip_prefix(&name));
        line.unwrap_or_else(|| panic!("{name}in {scrape}"))
            .parse()
            .unwrap()
    }

    #[test]
    fn a_callers_trace_goes_on_through_the_router() {
        let (mut setup, backends, collector) = world();
        let secret = setup.folder.path().join("otlp-headers");
        std::fs::write(&secret, "x-api-key=top%20secret\nx-tenant=sg\n").unwrap();
        setup.set(&["otlp", "headers_file"], secret.to_str().unwrap());
        setup.set(&["otlp", "service"], "domicile-sg");
        // One's own traces come from callers whose addresses are nobody's business either.
        let router = setup.start();
        let answer = put(
            "erika.person%40example.com?note=anna-note",
            r#"{"id":"x","country":"DE","name":"Secretive"}"#,
        )
        .header("traceparent", &format!("00-{TRACE}-{PARENT}-01"))
        .header("tracestate", "vendor=opaque-state")
        .send(router.router);
        assert!(answer.is_success(), "{answer:?}");
        let (server, calls) = collector.of(&answer, 1);
        let call = &calls[0];
        assert_eq!(hex(&server.trace_id), TRACE);
        assert_eq!(hex(&server.parent_span_id), PARENT);
        assert_eq!(
            handed(&backends, "eu"),
            (TRACE.to_owned(), hex(&call.span_id), "01".to_owned())
        );
        let seen = backends.of("eu").seen();
        let state = seen.last().unwrap().header("tracestate");
        assert_eq!(state, Some("vendor=opaque-state"));

        assert_eq!(server.name, "PUT /people/{subject}");
        assert_eq!(status(&server), Some(i64::from(answer.status)));
        for (key, expected) in [
            ("http.request.method", "PUT"),
            ("http.route", "/people/{subject}"),
            ("url.scheme", "http"),
            ("network.protocol.version", "1.1"),
            ("domicile.region", "eu"),
        ] {
            assert_eq!(text(&server, key).as_deref(), Some(expected), "{key}");
        }
        assert!(value(&server, "domicile.rules").is_some());
        assert_eq!(text(call, "domicile.region").as_deref(), Some("eu"));
        assert_eq!(status(call), Some(201));
        assert_eq!((&server.status, &call.status), (&None, &None));

        let requests = collector.backend.requests();
        assert_eq!(requests[0].header("x-api-key"), Some("top secret"));
        assert_eq!(requests[0].header("x-tenant"), Some("sg"));
        for request in &requests {
            for personal in [
                "erika",
                "anna-note",
                "Secretive",
                "opaque-state",
                "127.0.0.1",
            ] {
                assert!(!contains(&request.body, personal.as_bytes()), "{personal}");
            }
        }
        assert!(contains(&requests[0].body, b"domicile-sg"));
        // Neither does the router tell the key to anybody else.
        assert!(!router.process.text().contains("top secret"));
    }

    #[test]
    fn who_begins_a_trace_decides_whether_it_is_told() {
        let (setup, backends, collector) = world();
        let router = setup.start();
        let german = |trace: Option<&str>| {
            put("parent", r#"{"country":"DE"}"#)
                .maybe("traceparent", trace)
                .header("tracestate", "a=b")
                .send(router.router)
        };
        // Not told: nor do we, but the region learns which trace it is.
        german(Some(&format!("00-{TRACE}-{PARENT}-00")));
        let (trace, span, flags) = handed(&backends, "eu");
        assert_eq!((&*trace, &*flags), (TRACE, "00"));
        assert_ne!(span, PARENT);
        // What cannot be read begins a new one, and so does none.
        for broken in [
            Some(format!("00-{TRACE}-{PARENT}")),
            Some(format!("ff-{TRACE}-{PARENT}-01")),
            None,
        ] {
            let answer = german(broken.as_deref());
            let (server, calls) = collector.of(&answer, 1);
            let (trace, span, flags) = handed(&backends, "eu");
            assert_eq!(trace, hex(&server.trace_id));
            assert_eq!(span, hex(&calls[0].span_id));
            assert_eq!(flags, "01");
            assert_ne!(trace, TRACE);
            assert!(server.parent_span_id.is_empty());
            let seen = backends.of("eu").seen();
            assert_eq!(seen.last().unwrap().header("tracestate"), None);
        }
        assert!(collector.spans().iter().all(|s| hex(&s.trace_id) != TRACE));
    }

    #[test]
    fn none_of_the_own_traces_is_told_where_the_share_is_zero() {
        let (mut setup, backends, collector) = world();
        setup.set(&["otlp", "sample"], 0.0);
        let mut router = setup.start();
        assert!(router.put("quiet", r#"{"country":"DE"}"#).is_success());
        assert_eq!(handed(&backends, "eu").2, "00");
        let told = put("loud", r#"{"country":"DE"}"#)
            .header("traceparent", &format!("00-{TRACE}-{PARENT}-01"))
            .send(router.router);
        collector.of(&told, 1);
        // What waits when the router ends still goes out.
        router.process.terminate();
        assert_eq!(collector.spans().len(), 2);
    }

    #[test]
    fn refusals_and_failures_say_why() {
        let (mut setup, _backends, collector) = world();
        setup.region("in", free_address());
        let router = setup.start();
        let refused = put("ivan", r#"{"country":"RU"}"#)
            .header("domicile-target", "eu")
            .send(router.router);
        let rule = problem(&refused, 451)["rule"].as_str().unwrap().to_owned();
        let (server, _) = collector.of(&refused, 0);
        let Some(Value::ArrayValue(rules)) = value(&server, "domicile.rules") else {
            panic!("{server:?}");
        };
        let first = rules.values[0].value.clone();
        assert_eq!(first, Some(Value::StringValue(rule)));
        assert!(text(&server, "domicile.problem").is_some());
        // The caller's fault, or nobody's: not the server's.
        assert_eq!(text(&server, "error.type"), None);
        let down = router.put("asha", r#"{"country":"IN"}"#);
        problem(&down, 503);
        let (server, calls) = collector.of(&down, 1);
        for span in [&server, &calls[0]] {
            let kind = text(span, "error.type");
            assert_eq!(kind.as_deref(), Some("region-unavailable"));
            assert_eq!(span.status.as_ref().map(|s| s.code), Some(2));
        }
        assert_eq!(status(&server), Some(503));
        assert_eq!(status(&calls[0]), None);
    }

    #[test]
    fn each_region_of_a_batch_has_an_exchange() {
        let (mut setup, _backends, collector) = world();
        setup.set_route("ndjson", "upstream", {
            let mut each = toml::Table::new();
            each.insert("each".to_owned(), "PUT /people/{subject}".into());
            each
        });
        let router = setup.start();
        let lines = "{\"id\":\"a1\",\"country\":\"DE\"}\n{\"id\":\"a2\",\"country\":\"FR\"}\n\
                     {\"id\":\"a3\",\"country\":\"SG\"}\n";
        let request = Request::new("POST", "/people").ndjson(lines);
        let answer = request.send(router.router);
        assert!(answer.is_success(), "{answer:?}");
        let (_, calls) = collector.of(&answer, 2);
        let items = |region: &str| {
            let of = calls
                .iter()
                .find(|c| text(c, "domicile.region").as_deref() == Some(region));
            value(of.unwrap(), "domicile.items")
        };
        assert_eq!(items("eu"), Some(Value::IntValue(2)));
        assert_eq!(items("sg"), Some(Value::IntValue(1)));
    }

    #[test]
    fn a_collector_in_trouble_is_nobody_elses() {
        let (setup, _backends, collector) = world();
        collector.status.store(400, Ordering::SeqCst);
        let mut router = setup.start();
        assert!(router.put("first", r#"{"country":"DE"}"#).is_success());
        eventually("they are given up", || {
            (count(&router, "failed") == 2).then_some(())
        });
        // Not now: what waits is brought again.
        collector.status.store(503, Ordering::SeqCst);
        assert!(router.put("second", r#"{"country":"DE"}"#).is_success());
        let asked = collector.backend.requests().len();
        eventually("it is asked again", || {
            (collector.backend.requests().len() > asked + 1).then_some(())
        });
        collector.status.store(200, Ordering::SeqCst);
        eventually("they are taken", || {
            (count(&router, "exported") >= 2).then_some(())
        });
        assert_eq!(
            (count(&router, "failed"), count(&router, "dropped")),
            (2, 0)
        );
        let log = router.process.text();
        assert_eq!(log.matches("traces cannot be exported").count(), 1, "{log}");
        // Nobody there at all, and the router ends all the same.
        drop(collector);
        assert!(router.put("third", r#"{"country":"DE"}"#).is_success());
        let (ended, _) = router.process.terminate();
        assert!(ended.success(), "{ended}");
    }
}
