//! What a decision and a compilation cost: mixed flows over the shipped laws, with few and with
//! many entities and instruments.
//!
//! `cargo bench --bench decide`

#![expect(
    clippy::expect_used,
    reason = "a benchmark that cannot be set up should say so loudly"
)]

use std::{fmt::Write, hint::black_box, path::Path, sync::Arc};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use domicile::{
    decide::{Party, Query, Subject, decide},
    document::{Faults, Node},
    domain::{CategorySet, Operation},
    policy::{Checked, Compiled, check},
};

const AT: &str = "2026-11-21T12:00:00Z";

/// The demo's organisation with `more` entities, each with an instrument of clauses to it.
fn policy(more: usize) -> Arc<Checked> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let faults = Faults::new();
    let read = |name: &str| Node::load(&dir.join(name), &faults).expect("a shipped file");
    let laws: Vec<Node> = domicile::policy::shipped::LAW
        .iter()
        .filter(|(name, _)| name.starts_with("law/"))
        .map(|(name, _)| read(name))
        .collect();
    let path = dir.join("examples/demo/organisation.toml");
    let mut text = std::fs::read_to_string(path).expect("the demo's organisation");
    for i in 0..more {
        write!(
            text,
            "\n[entities.other-{i}]\ncountry = \"US\"\nrole = \"processor\"\n[[instruments]]\nid = \"i{i}\"\nmechanism = \"scc\"\nexporter = [\"acme-eu\"]\nimporter = [\"other-{i}\"]\nvalid = {{ from = 2024-01-01 }}\n"
        )
        .expect("a string takes everything");
    }
    let organisation = Node::parse("organisation.toml", text, &faults).expect("valid TOML");
    let vocabulary = read("vocabulary.toml");
    Arc::new(check(&vocabulary, &laws, &organisation, &faults).expect("a sound policy"))
}

/// Stores at home and abroad, reads under clauses and without ground.
fn queries(policy: &Compiled) -> Vec<Query> {
    let checked = policy.checked();
    let party = |place: &str, entity: &str| {
        let entity = checked.entity(entity).expect("an entity of the demo");
        Party::new(place.parse().expect("a place"), entity)
    };
    let (cn, india, ru, eu, sg) = (
        party("CN", "acme-cn"),
        party("IN", "acme-in"),
        party("RU", "acme-ru"),
        party("DE", "acme-eu"),
        party("SG", "acme-sg"),
    );
    let keys = [
        "user.contact.email",
        "user.contact.phone_number",
        "user.name",
    ];
    let categories = CategorySet::from_iter(keys.map(|k| checked.category(k).expect("a key")));
    [
        ("SG", Operation::Store, sg, sg),
        ("IN", Operation::Store, sg, india),
        ("CN", Operation::Store, sg, cn),
        ("RU", Operation::Store, sg, ru),
        ("DE", Operation::Store, sg, eu),
        ("DE", Operation::Read, eu, sg),
        ("IN", Operation::Read, india, sg),
        ("CN", Operation::Read, cn, sg),
        ("RU", Operation::Store, ru, eu),
        ("FR", Operation::Read, eu, eu),
        ("US", Operation::Store, sg, sg),
        ("US", Operation::Read, sg, cn),
        ("GB", Operation::Read, eu, sg),
        ("HK", Operation::Store, sg, sg),
    ]
    .into_iter()
    .map(|(country, operation, from, to)| {
        let mut subject = Subject::default();
        subject.countries.push(country.parse().expect("a place"));
        Query::new(
            policy,
            policy.at(),
            operation,
            subject,
            categories,
            from,
            to,
        )
    })
    .collect()
}

fn decisions(c: &mut Criterion) {
    let at = AT.parse().expect("an instant");
    for more in [0, 1000] {
        let compiled = policy(more).compile(at);
        let queries = queries(&compiled);
        c.bench_function(
            &format!("decide/mixed flows/{more} more instruments"),
            |b| {
                b.iter(|| {
                    for query in &queries {
                        black_box(decide(&compiled, black_box(query)));
                    }
                });
            },
        );
    }
    let compiled = policy(0).compile(at);
    for query in queries(&compiled) {
        let name = format!(
            "decide/{} {} {} to {}",
            query.operation.as_str(),
            query.subject.countries.first().expect("one country"),
            query.from.place,
            query.to.place
        );
        c.bench_function(&name, |b| b.iter(|| decide(&compiled, black_box(&query))));
    }
}

fn compilation(c: &mut Criterion) {
    let at = AT.parse().expect("an instant");
    let checked = policy(1000);
    c.bench_function("compile/1000 more entities and instruments", |b| {
        b.iter_batched(
            || Arc::clone(&checked),
            |p| p.compile(at),
            BatchSize::PerIteration,
        );
    });
}

criterion_group!(benches, decisions, compilation);
criterion_main!(benches);
