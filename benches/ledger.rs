//! What evidence costs: appending by commits of several sizes, and verifying.

#![expect(
    clippy::unwrap_used,
    reason = "a bench that cannot set itself up has nothing to measure"
)]

use std::{hint::black_box, sync::Arc};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use domicile::{
    attest::{Draft, Journal, Options, Party, Profile, Stated, Verdict, verify},
    domain::{Circumstances, DecisionId, Digest, EvidenceKind, EvidenceSet, Operation, SubjectKey},
    locate::{Directory, Pin, PinCache, SubjectHasher},
    settings::Secret,
};
use jiff::Timestamp;

fn profile() -> Arc<Profile> {
    let party = |place: &str, entity: &str| Party {
        place: place.parse().unwrap(),
        entity: Some(entity.into()),
    };
    Arc::new(Profile {
        policy: Digest([7; 32]),
        settings: Some(Digest([8; 32])),
        route: "/people/{subject}".into(),
        operation: Operation::Store,
        laws: vec!["eu".into()],
        categories: vec!["user.contact.email".into()],
        from: party("SG", "acme-sg"),
        to: party("DE", "acme-eu"),
        via: None,
        region: Some("eu".into()),
        mechanism: Some("homebound".into()),
        instrument: None,
        module: None,
        exporter: None,
        importer: None,
        rules: vec!["eu/3".into()],
        outcome: Verdict::Refuse,
        problem: None,
        duties: Vec::new(),
        missing: Vec::new(),
        counted: Vec::new(),
        observed: Vec::new(),
        circumstances: Circumstances::default(),
        reached: None,
        stated: Stated::default(),
    })
}

fn drafts(count: u64, profile: &Arc<Profile>) -> Vec<Draft> {
    let mut evidence = EvidenceSet::EMPTY;
    evidence.insert(EvidenceKind::Declared);
    (0..count)
        .map(|n| Draft {
            at: Timestamp::from_microsecond(1_795_000_000_000_000).unwrap(),
            decision: DecisionId::new(1_795_000_000_000, u128::from(n)),
            profile: Arc::clone(profile),
            subject: Some(SubjectKey::from_bytes(u128::from(n).to_le_bytes())),
            evidence,
            pin: None,
            reference: None,
            order: None,
            holds: Default::default(),
        })
        .collect()
}

/// Entries a second through the journal's thread, encoding, hashing and one fsync for each commit
/// included. `refuse` and `permit` take the same way; a refusal needs no permit.
fn append(c: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let directory = Directory::open(&folder.path().join("directory")).unwrap();
    let ledger = folder.path().join("ledger");
    let (journal, _) = Journal::open(&ledger, Options::default(), directory).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let profile = profile();
    let mut group = c.benchmark_group("ledger/append");
    for size in [1u64, 64, 1_000, 20_000] {
        group.throughput(Throughput::Elements(size));
        group.sample_size(20);
        group.bench_function(format!("entries={size}"), |b| {
            b.iter_batched(
                || drafts(size, &profile),
                |drafts| {
                    runtime
                        .block_on(journal.clear_all(Vec::new(), drafts))
                        .unwrap()
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
    // Requests that wait for their evidence one by one: how well they share commits.
    let mut group = c.benchmark_group("ledger/refuse");
    for clients in [1usize, 64] {
        let each = 50;
        group.throughput(Throughput::Elements((clients * each) as u64));
        group.sample_size(10);
        group.bench_function(format!("clients={clients}"), |b| {
            b.iter(|| {
                let local = tokio::task::LocalSet::new();
                for _ in 0..clients {
                    let (journal, profile) = (journal.clone(), Arc::clone(&profile));
                    local.spawn_local(async move {
                        for draft in drafts(each as u64, &profile) {
                            journal.refuse(draft).await.unwrap();
                        }
                    });
                }
                runtime.block_on(local);
            });
        });
    }
    group.finish();
    journal.close().unwrap();
    let report = verify(&ledger).unwrap();
    let mut group = c.benchmark_group("ledger/verify");
    group.throughput(Throughput::Bytes(report.bytes));
    group.sample_size(10);
    group.bench_function(format!("entries={}", report.entries), |b| {
        b.iter(|| verify(black_box(&ledger)).unwrap());
    });
    group.finish();
}

/// What finding a known subject's home costs a worker.
fn locate(c: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let directory = Directory::open(folder.path()).unwrap();
    let hasher = SubjectHasher::new(&Secret::new([3; 32])).unwrap();
    let key = |n: u64| hasher.key("person", &n.to_le_bytes());
    let pin = Pin::new(
        "eu".into(),
        std::iter::once("DE".parse().unwrap()).collect(),
    );
    directory
        .import((0..100_000).map(|n| (key(n), pin.clone())))
        .unwrap();
    let mut cache = PinCache::new(directory.clone(), PinCache::CAPACITY);
    let mut n = 0;
    c.bench_function("locate/key", |b| {
        b.iter(|| hasher.key("person", black_box(b"u-4711@example.com")));
    });
    let keys: Vec<_> = (0..20_000).map(key).collect();
    c.bench_function("locate/cache/hit", |b| {
        b.iter(|| {
            n = (n + 1) % keys.len();
            black_box(cache.lookup(keys.get(n).unwrap()).unwrap());
        });
    });
    c.bench_function("locate/directory", |b| {
        b.iter(|| {
            n = (n + 1) % keys.len();
            black_box(directory.lookup(keys.get(n).unwrap()).unwrap());
        });
    });
}

criterion_group!(benches, append, locate);
criterion_main!(benches);
