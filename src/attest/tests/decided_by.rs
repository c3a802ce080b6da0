//! The digest of the settings in profiles, and ledgers of before it was told.

use std::fs;

use serde_json::Value;

use super::*;
use crate::attest::{
    codec::Take,
    profile::{put_profile, take_profile},
};

/// A ledger of the last version that told no digest of the settings: the demo, some records.
const SEGMENT: &[u8] = include_bytes!("without_settings/00000000000000000001.seg");
const HEAD: &[u8] = include_bytes!("without_settings/head");
const CHAIN: &str = "21db99718a2f24215204f8d2874ff3754b5c86dcd5ccc53d9013dc878f7b7ffa";

fn bytes(profile: &Profile) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_profile(&mut bytes, profile);
    bytes
}

fn of_before(rig: &Rig) {
    fs::create_dir_all(rig.ledger()).unwrap();
    fs::write(rig.ledger().join("00000000000000000001.seg"), SEGMENT).unwrap();
    fs::write(rig.ledger().join("head"), HEAD).unwrap();
}

fn json(entry: &Entry) -> Value {
    serde_json::to_value(entry).unwrap()
}

/// Ledgers of before stay readable and profiles keep their digests.
#[test]
fn what_came_later_stands_last_and_is_announced() {
    let with = Profile {
        circumstances: Circumstances {
            basis: Some(crate::domain::Basis::Contract),
            ..Circumstances::default()
        },
        ..(*profile("/r")).clone()
    };
    let without = Profile {
        settings: None,
        ..with.clone()
    };
    let went = Profile {
        reached: Some("sg".into()),
        ..with.clone()
    };
    let ground = |kind, occasional| Asserted { kind, occasional };
    let stated = Profile {
        stated: Stated {
            purpose: Some("support".into()),
            grounds: vec![
                ground(GroundKind::ContractNecessity, false),
                ground(GroundKind::Journalism, true),
            ],
            lifted: vec!["cn-1".into()],
        },
        ..went.clone()
    };
    let told = serde_json::to_value(Entry {
        seq: 1,
        at: at(1),
        kind: Kind::Decision {
            decision: DecisionId::from_bytes([1; 16]),
            profile: Arc::new(stated.clone()),
            subject: None,
            evidence: EvidenceSet::default(),
            pin: None,
            reference: None,
            order: None,
        },
    })
    .unwrap();
    let grounds = serde_json::json!([
        { "kind": "contract-necessity", "occasional": false },
        { "kind": "journalism", "occasional": true },
    ]);
    assert_eq!(
        (&told["purpose"], &told["grounds"]),
        (&"support".into(), &grounds)
    );
    assert_eq!(told["lifted"], serde_json::json!(["cn-1"]));
    let stated = bytes(&stated);
    let (with, without, went) = (bytes(&with), bytes(&without), bytes(&went));
    // The outcome stands behind 32 bytes of the policy and one of the operation.
    assert_eq!((without[33], with[33]), (0x20, 0x30));
    assert_eq!(with[34..without.len()], without[34..]);
    assert_eq!(with[without.len()..], [8; 32]);
    // Where it went in observe mode: later still.
    assert_eq!(went[33], 0x38);
    assert_eq!(went[34..with.len()], with[34..]);
    assert_eq!(went[with.len()..], *b"\x02sg");
    let cut = &with[..with.len() - 1];
    assert!(take_profile(&mut Take::new(cut)).is_err());
    // What was stated of the flow: last, with room for more.
    assert_eq!(stated[33], 0x3c);
    assert_eq!(stated[34..went.len()], went[34..]);
    let tail = &stated[went.len()..];
    assert_eq!(tail, b"\x07\x07support\x02\x01\x8c\x01\x04cn-1");
    let refused = |bytes: &[u8]| take_profile(&mut Take::new(bytes)).unwrap_err().0;
    // What a later version may add is told as that.
    let mut unknown = stated.clone();
    unknown[went.len()] |= 0x08;
    assert_eq!(
        refused(&unknown),
        "a profile holds what this version does not know"
    );
    // Each value has one encoding.
    let with_tail = |tail: &[u8]| [&stated[..went.len()], tail].concat();
    for (tail, why) in [
        (&b"\x00"[..], "a profile states nothing of its flow"),
        (b"\x02\x00", "grounds that are none, or not in their order"),
        (
            b"\x02\x02\x8c\x01",
            "grounds that are none, or not in their order",
        ),
        (
            b"\x02\x02\x01\x81",
            "grounds that are none, or not in their order",
        ),
        (b"\x02\x01\x0d", "no such ground"),
        (b"\x02\x01\x80", "no such ground"),
        (b"\x04\x00", "a profile lifts no rule"),
    ] {
        assert_eq!(refused(&with_tail(tail)), why);
    }
}

#[test]
fn a_ledger_of_before_is_read_verified_and_gone_on_with() {
    let rig = Rig::new();
    of_before(&rig);
    let report = verify(&rig.ledger()).unwrap();
    assert_eq!((report.entries, report.chain.as_str()), (12, CHAIN));
    let [by] = report.decided_by[..] else {
        panic!("{report:?}");
    };
    assert_eq!(by.settings, None);
    assert_eq!((by.first, by.last, by.entries), (1, 11, 7));
    assert!(report.to_string().contains("settings not told"), "{report}");
    let entries = read(&rig.ledger(), 0, 100, None).unwrap().0;
    assert_eq!(entries.len(), 12);
    let abroad = json(&entries[5]);
    assert_eq!(abroad["mechanism"], "scc");
    assert_eq!(abroad["policy"], by.policy.to_string());
    assert!(entries.iter().all(|e| json(e).get("settings").is_none()));
    // A profile's digest stands in leaves: it must stay what it was.
    for entry in &entries {
        if let Kind::Decision { profile, .. } = &entry.kind {
            let bytes = bytes(profile);
            assert!(SEGMENT.windows(bytes.len()).any(|w| w == bytes));
        }
    }

    let (journal, opened) = rig.open();
    assert_eq!((opened.entries, opened.lost), (12, 0));
    block_on(journal.refuse(draft(13, &profile("/r")))).unwrap();
    journal.close().unwrap();
    let report = verify(&rig.ledger()).unwrap();
    assert_eq!(report.entries, 13);
    assert_eq!(report.decided_by.len(), 2, "{report}");
    let told = json(&tail(&rig.ledger(), 1).unwrap()[0]);
    assert_eq!(told["settings"], Digest([8; 32]).to_string());
}

#[test]
fn verify_tells_by_what_was_decided() {
    let rig = Rig::new();
    let (journal, _) = rig.open();
    let first = profile("/r");
    let second = Arc::new(Profile {
        settings: Some(Digest([9; 32])),
        ..(*first).clone()
    });
    block_on(async {
        for (n, profile) in [(1, &first), (2, &first), (3, &second), (4, &first)] {
            journal.refuse(draft(n, profile)).await.unwrap();
        }
    });
    journal.close().unwrap();
    let report = verify(&rig.ledger()).unwrap();
    let told: Vec<_> = report
        .decided_by
        .iter()
        .map(|by| (by.settings, by.first, by.last, by.entries))
        .collect();
    assert_eq!(
        told,
        [
            (Some(Digest([8; 32])), 1, 4, 3),
            (Some(Digest([9; 32])), 3, 3, 1)
        ]
    );
    let line = format!(
        "\n1 entries of decisions from 3 to 3 by policy {}, settings {}",
        Digest([7; 32]),
        Digest([9; 32])
    );
    assert!(report.to_string().contains(&line), "{report}");
}
