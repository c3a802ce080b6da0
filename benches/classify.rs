//! What reading one record costs: scan and schema, phone, GeoIP, weighing.
//!
//! `cargo bench --bench classify`

#![expect(
    clippy::panic,
    reason = "a bench that cannot be set up has nothing to measure"
)]

use std::{collections::BTreeMap, fmt::Write, hint::black_box, net::IpAddr};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use domicile::{
    classify::{
        evidence::{Evidence, read_text, weigh},
        json::{Watch, harness::Findings, scan, split_array, split_ndjson},
        network::Geo,
        phone,
        schema::CompiledSchema,
    },
    domain::{CategoryId, EvidenceKind},
    settings::{Conflict, Schema},
};

/// A person's record of about `size` bytes, as an application writes it: some 25 members, of
/// which the route knows a third, and a text that fills the rest.
fn record(size: usize) -> String {
    let mut text = String::from(
        r#"{"id":"p-000017","name":{"given":"Ada","family":"Example"},"email":"ada@example.com","phone":"+65 6123 4567","address":{"street":"1 Example Road","city":"Singapore","postal_code":"018956","country":"SG"},"born":"1990-01-02","language":"en-SG","consents":[{"purpose":"service","given":true,"at":"2026-01-02T03:04:05Z"},{"purpose":"news","given":false,"at":null}],"created":1767225600,"score":-12.5e3,"tags":["a","b","c"]"#,
    );
    let mut i = 0;
    while text.len() + 100 < size {
        let _ = write!(
            text,
            r#","attribute_{i}":"plain text, quotes \"escaped\" now and then, and some more of it""#
        );
        i += 1;
    }
    text.push('}');
    text
}

fn schema() -> CompiledSchema {
    let fields = [
        ("/id", 1),
        ("/name", 2),
        ("/email", 3),
        ("/phone", 4),
        ("/address", 5),
        ("/born", 6),
        ("/language", 7),
        ("/consents/*/purpose", 8),
    ];
    let schema = Schema {
        fields: fields
            .iter()
            .map(|(p, c)| ((*p).to_owned(), c.to_string()))
            .collect::<BTreeMap<_, _>>(),
        strict: false,
    };
    let slots = ["/id", "/country", "/address/country", "/phone"];
    let resolve = |key: &str| match key {
        "user" => Some(CategoryId(0)),
        number => number.parse().ok().map(CategoryId),
    };
    match CompiledSchema::compile(Some(&schema), &[], &slots, &resolve) {
        Ok(schema) => schema,
        Err(faults) => panic!("{faults:?}"),
    }
}

fn reading(c: &mut Criterion) {
    let schema = schema();
    let mut group = c.benchmark_group("record");
    for size in [1 << 10, 16 << 10] {
        let body = record(size);
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_with_input(BenchmarkId::new("check", size), &body, |b, body| {
            let watch = Watch::nothing();
            b.iter(|| {
                let mut findings = Nobody;
                scan(black_box(body.as_bytes()), &watch, &mut findings)
            });
        });
        group.bench_with_input(BenchmarkId::new("classify", size), &body, |b, body| {
            b.iter(|| {
                schema
                    .classify(black_box(body.as_bytes()))
                    .map(|c| c.categories)
            });
        });
        group.bench_with_input(
            BenchmarkId::new("serde_json value", size),
            &body,
            |b, body| {
                b.iter(|| serde_json::from_slice::<serde_json::Value>(black_box(body.as_bytes())));
            },
        );
    }
    group.finish();
}

struct Nobody;

impl<'a> domicile::classify::json::Sink<'a> for Nobody {
    fn value(&mut self, _: u16, _: domicile::classify::json::Value<'a>) {}
    fn unknown(&mut self, _: domicile::classify::json::KnownPart) {}
}

fn hostile(c: &mut Criterion) {
    let mut group = c.benchmark_group("hostile");
    let keys: Vec<String> = (0..60_000).map(|i| format!("\"k{i}\":1")).collect();
    let many_keys = format!("{{{}}}", keys.join(","));
    let deep = "[".repeat(1 << 20);
    for (name, body) in [("many keys", many_keys), ("brackets", deep)] {
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                scan(
                    black_box(body.as_bytes()),
                    &Watch::nothing(),
                    &mut Findings::default(),
                )
            });
        });
    }
    group.finish();
}

fn batch(c: &mut Criterion) {
    let records = vec![record(1 << 10); 1000];
    let (array, lines) = (format!("[{}]", records.join(",")), records.join("\n"));
    let mut group = c.benchmark_group("split 1000");
    group.bench_function("array", |b| {
        b.iter(|| split_array(black_box(array.as_bytes()), 1000))
    });
    group.bench_function("ndjson", |b| {
        b.iter(|| split_ndjson(black_box(lines.as_bytes()), 1000))
    });
    group.finish();
}

fn countries(c: &mut Criterion) {
    c.bench_function("phone", |b| {
        b.iter(|| phone::country(black_box("+65 6123 4567")))
    });
    c.bench_function("text", |b| b.iter(|| read_text(black_box("sgp"))));
    let geo = match Geo::embedded() {
        Ok(geo) => geo,
        Err(fault) => panic!("{fault}"),
    };
    let addresses: Vec<IpAddr> = (0..1024u32)
        .map(|i| IpAddr::V4((i.wrapping_mul(0x9e37_79b9) | 1).into()))
        .collect();
    let mut next = addresses.iter().cycle();
    c.bench_function("geo v4", |b| {
        b.iter(|| next.next().map(|a| geo.country(black_box(*a))));
    });
    let found: Vec<Evidence> = [
        (EvidenceKind::Declared, "SG"),
        (EvidenceKind::Phone, "RU"),
        (EvidenceKind::Network, "DE"),
    ]
    .into_iter()
    .filter_map(|(kind, place)| {
        Some(Evidence {
            kind,
            place: place.parse().ok()?,
        })
    })
    .collect();
    c.bench_function("weigh", |b| {
        b.iter(|| weigh(black_box(&found), Conflict::All))
    });
}

criterion_group!(benches, reading, hostile, batch, countries);
criterion_main!(benches);
