//! The ledger as a whole, over real files.

mod bundles;
mod clock;
mod counts;
mod damage;
mod decided_by;
mod failing_disk;
mod group;
pub(crate) mod hanging_disk;
mod kill;
mod marks;
mod replay;
mod room;
mod round_trip;
mod steps;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use tempfile::TempDir;

use super::*;
use crate::{
    decide::Permit,
    domain::{
        Circumstances, DecisionId, Digest, EvidenceKind, EvidenceSet, GroundKind, Operation,
        RegionId, SubjectKey,
    },
    locate::Directory,
};

/// A ledger and a directory in a folder of their own.
pub(crate) struct Rig {
    folder: TempDir,
}

impl Rig {
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub fn ledger(&self) -> PathBuf {
        self.folder.path().join("ledger")
    }

    pub fn directory(&self) -> Directory {
        Directory::open(&self.folder.path().join("directory")).unwrap()
    }

    pub fn open(&self) -> (Journal, Opened) {
        self.open_with(Options::default())
    }

    pub fn open_with(&self, options: Options) -> (Journal, Opened) {
        Journal::open(&self.ledger(), options, self.directory()).unwrap()
    }
}

pub(crate) fn profile(route: &str) -> Arc<Profile> {
    let text = |t: &str| Some(Arc::from(t));
    let party = |place: &str, entity| Party {
        place: place.parse().unwrap(),
        entity: text(entity),
    };
    Arc::new(Profile {
        policy: Digest([7; 32]),
        settings: Some(Digest([8; 32])),
        route: route.into(),
        operation: Operation::Read,
        laws: vec!["eu".into()],
        categories: vec!["user.contact.email".into(), "user.name".into()],
        from: party("DE", "acme-eu"),
        to: party("SG", "acme-sg"),
        via: None,
        region: text("eu"),
        mechanism: text("scc"),
        instrument: text("eu-sg-2024"),
        module: Some(2),
        exporter: text("acme-eu"),
        importer: text("acme-sg"),
        rules: vec!["eu/46".into()],
        outcome: Verdict::Permit,
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

pub(super) fn orders() -> impl proptest::strategy::Strategy<Value = Ordered> {
    use proptest::prelude::*;
    let text = || prop::option::of("[ -~]{1,96}".prop_map(Arc::<str>::from));
    (
        prop::sample::select(vec!["US", "CN", "CN-GD"]),
        text(),
        text(),
    )
        .prop_map(|(country, approval, ground_reference)| Ordered {
            authority_country: country.parse().unwrap(),
            approval,
            ground_reference,
        })
}

pub(crate) fn key(number: u64) -> SubjectKey {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    bytes[8..].copy_from_slice(&number.to_le_bytes());
    SubjectKey::from_bytes(bytes)
}

pub(crate) fn at(number: u64) -> Timestamp {
    Timestamp::from_microsecond(1_795_000_000_000_000 + i64::try_from(number).unwrap()).unwrap()
}

pub(crate) fn decision(number: u64) -> DecisionId {
    DecisionId::new(1_795_000_000_000, u128::from(number))
}

pub(crate) fn draft(number: u64, profile: &Arc<Profile>) -> Draft {
    let mut evidence = EvidenceSet::EMPTY;
    evidence.insert(EvidenceKind::Declared);
    Draft {
        at: at(number),
        decision: decision(number),
        profile: Arc::clone(profile),
        subject: Some(key(number)),
        evidence,
        pin: None,
        reference: None,
        order: None,
        holds: Vec::new(),
    }
}

pub(super) fn abroad() -> Permit {
    Permit::danger_for_tests(RegionId(0), Operation::Read, false)
}

pub(crate) fn homeward() -> Permit {
    Permit::danger_for_tests(RegionId(0), Operation::Store, true)
}

pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

/// A small ledger of several segments and frames, cleanly closed.
pub(super) fn small_ledger(rig: &Rig) {
    let options = Options {
        segment_bytes: 900,
        ..Options::default()
    };
    let (journal, _) = rig.open_with(options);
    let (a, b) = (profile("/people/{subject}"), profile("/files/{subject}"));
    block_on(async {
        for n in 0..30 {
            let profile = if n % 3 == 0 { &b } else { &a };
            let _ = journal.clear(abroad(), draft(n, profile)).await.unwrap();
        }
    });
    journal.close().unwrap();
}

pub(super) fn segment_files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|f| f.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "seg"))
        .collect();
    files.sort();
    files
}
