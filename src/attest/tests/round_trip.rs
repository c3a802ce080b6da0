use proptest::prelude::*;
use smallvec::smallvec;

use super::*;
use crate::{
    attest::{
        codec::Take,
        lazy::Lazy,
        profile::{put_profile, take_profile},
        record::{put_draft, put_home, take_entry},
    },
    domain::{Basis, Place, SpecialGround, SubjectKind, Transaction},
    locate::{Claim, Pin},
};

#[test]
fn what_was_written_is_read_back() {
    let rig = Rig::new();
    let directory = rig.directory();
    let (journal, opened) =
        Journal::open(&rig.ledger(), Options::default(), directory.clone()).unwrap();
    assert_eq!(opened, Opened::default());
    let shared = profile("/people/{subject}");
    block_on(async {
        let _ = journal.clear(abroad(), draft(1, &shared)).await.unwrap();
        journal.outcome(OutcomeDraft {
            at: at(2),
            decision: decision(1),
            status: 200,
        });
        let de: Place = "DE".parse().unwrap();
        let pin = Pin::new("eu".into(), smallvec![de]);
        let Claim::Won(claimed) = directory.claim(key(3), pin.clone()).unwrap() else {
            panic!("nobody else claims");
        };
        let mut claiming = draft(3, &shared);
        claiming.pin = Some(Pinning::Claim(claimed));
        claiming.reference = Some("case 7/2026".into());
        let _ = journal.clear(homeward(), claiming).await.unwrap();
        assert_eq!(directory.lookup(&key(3)).unwrap().as_deref(), Some(&pin));
        let refusal = Arc::new(Profile {
            outcome: Verdict::Refuse,
            problem: Some("conflict".into()),
            ..(*shared).clone()
        });
        journal.refuse(draft(4, &refusal)).await.unwrap();
    });
    let (entries, next) = read(&rig.ledger(), 0, 100, None).unwrap();
    assert_eq!(next, None);
    assert_eq!(
        entries.iter().map(|e| e.seq).collect::<Vec<_>>(),
        [1, 2, 3, 4]
    );
    let json: Vec<_> = entries
        .iter()
        .map(|e| serde_json::to_value(e).unwrap())
        .collect();
    assert_eq!(json[0]["mechanism"], "scc");
    assert_eq!(json[0]["module"], 2);
    assert_eq!(json[0]["from"]["country"], "DE");
    assert_eq!(json[0]["subject"], key(1).reveal());
    assert_eq!(json[0]["evidence"][0], "declared");
    assert!(json[0].get("problem").is_none());
    assert_eq!(json[1]["kind"], "outcome");
    assert_eq!(json[1]["status"], 200);
    assert_eq!(json[1]["decision"], json[0]["decision"]);
    assert_eq!(json[2]["pin"], "claim");
    assert_eq!(json[2]["pin_region"], "eu");
    assert_eq!(json[2]["reference"], "case 7/2026");
    assert_eq!(json[3]["outcome"], "refuse");
    assert_eq!(json[3]["problem"], "conflict");
    // A live ledger verifies, pages and filters.
    assert_eq!(verify(&rig.ledger()).unwrap().entries, 4);
    let (page, next) = read(&rig.ledger(), 1, 2, None).unwrap();
    assert_eq!((page[0].seq, page.len(), next), (2, 2, Some(3)));
    let (of_one, next) = read(&rig.ledger(), 0, 9, Some(decision(1))).unwrap();
    assert_eq!((of_one.len(), next), (2, None));
    assert_eq!(tail(&rig.ledger(), 2).unwrap(), entries[2..]);
    assert_eq!(tail(&rig.ledger(), 0).unwrap(), []);
}

#[test]
fn segments_rotate_and_a_second_start_goes_on() {
    let rig = Rig::new();
    small_ledger(&rig);
    assert!(segment_files(&rig.ledger()).len() > 3);
    let (journal, opened) = rig.open();
    assert_eq!((opened.entries, opened.torn_bytes, opened.lost), (30, 0, 0));
    block_on(journal.refuse(draft(30, &profile("/people/{subject}")))).unwrap();
    journal.close().unwrap();
    let report = verify(&rig.ledger()).unwrap();
    assert_eq!((report.entries, report.after_head), (31, 0));
    let entries = read(&rig.ledger(), 0, 100, None).unwrap().0;
    for (n, entry) in (0..).zip(&entries) {
        assert_eq!(entry.decision(), Some(decision(n)));
    }
    // Not checked in full, segments are still checked to join.
    let (_, opened) = rig.open_with(Options {
        check_bytes: 0,
        ..Options::default()
    });
    assert_eq!(opened.entries, 31);
}

#[test]
fn a_follower_sees_each_entry_once_across_segments() {
    let rig = Rig::new();
    let (journal, _) = rig.open_with(Options {
        segment_bytes: 900,
        ..Options::default()
    });
    let shared = profile("/r");
    let mut seen = Vec::new();
    let mut follow = Follow::new(&rig.ledger(), 2);
    for n in (0..40).step_by(4) {
        let refusals = (n..n + 4).map(|n| draft(n, &shared)).collect();
        block_on(journal.clear_all(Vec::new(), refusals)).unwrap();
        if n % 8 == 0 {
            let mut news = follow.news().unwrap();
            while !news.is_empty() {
                seen.extend(news.iter().map(|e| e.seq));
                news = follow.news().unwrap();
            }
        }
    }
    assert!(segment_files(&rig.ledger()).len() > 1);
    loop {
        let news = follow.news().unwrap();
        if news.is_empty() {
            break;
        }
        seen.extend(news.iter().map(|e| e.seq));
    }
    assert_eq!(seen, (3..=40).collect::<Vec<_>>());
    // A segment that is gone is an error, not an endless search.
    let mut follow = Follow::new(&rig.ledger(), 0);
    assert!(!follow.news().unwrap().is_empty());
    for file in &segment_files(&rig.ledger())[1..] {
        std::fs::remove_file(file).unwrap();
    }
    let missed = (0..40).map(|_| follow.news()).find(Result::is_err);
    assert!(matches!(missed, Some(Err(LedgerError::Damaged(_)))));
}

#[test]
fn an_entry_with_a_known_profile_is_small() {
    let rig = Rig::new();
    let (journal, _) = rig.open();
    let shared = profile("/people/{subject}");
    let refusals = |n: u64| (n..n + 1000).map(|n| draft(n, &shared)).collect();
    block_on(async {
        journal.clear_all(Vec::new(), refusals(0)).await.unwrap();
        let before = journal.status().bytes;
        journal.clear_all(Vec::new(), refusals(1000)).await.unwrap();
        let each = (journal.status().bytes - before) / 1000;
        assert!(each <= 48, "{each} bytes an entry");
    });
}

#[test]
fn one_process_at_a_time() {
    let rig = Rig::new();
    let (_journal, _) = rig.open();
    let elsewhere = Directory::open(&rig.ledger().join("other")).unwrap();
    let error = Journal::open(&rig.ledger(), Options::default(), elsewhere).unwrap_err();
    let told = error.to_string();
    assert!(matches!(error, LedgerError::InUse { .. }), "{told}");
    assert!(told.contains(&std::process::id().to_string()), "{told}");
}

fn texts() -> impl Strategy<Value = Vec<Arc<str>>> {
    prop::collection::vec("[a-zа-я/{}]{0,20}".prop_map(Arc::from), 0..4)
}

fn text() -> impl Strategy<Value = Option<Arc<str>>> {
    prop::option::of("[a-z中-]{0,20}".prop_map(Arc::from))
}

fn places() -> impl Strategy<Value = Place> {
    prop::sample::select(vec!["CN", "CN-GD", "US-TX", "X-EPO", "DE"])
        .prop_map(|p| p.parse().unwrap())
}

fn parties() -> impl Strategy<Value = Party> {
    (places(), text()).prop_map(|(place, entity)| Party { place, entity })
}

fn circumstances() -> impl Strategy<Value = Circumstances> {
    fn word<T: Copy + std::fmt::Debug + 'static>(
        words: &'static [(&'static str, T)],
    ) -> impl Strategy<Value = Option<T>> {
        prop::option::of(prop::sample::select(words).prop_map(|(_, value)| value))
    }
    let kind = word(&SubjectKind::WORDS);
    let (basis, transaction) = (word(&Basis::WORDS), word(&Transaction::WORDS));
    let all = (kind, basis, transaction, word(&SpecialGround::WORDS));
    all.prop_map(
        |(subject_kind, basis, transaction, special_ground)| Circumstances {
            subject_kind,
            basis,
            transaction,
            special_ground,
        },
    )
}

fn observed() -> impl Strategy<Value = Vec<Observed>> {
    let outcome = prop::sample::select(vec![Verdict::Permit, Verdict::Refuse]);
    let one = ("[a-z-]{0,12}", outcome).prop_map(|(rule, outcome)| Observed {
        rule: rule.into(),
        outcome,
    });
    prop::collection::vec(one, 0..3)
}

prop_compose! {
    fn stated()(purpose in text(), kinds: u16, occasional: u16, lifted in texts()) -> Stated {
        let words = GroundKind::WORDS.into_iter().enumerate();
        let grounds = words.filter(|(bit, _)| kinds & (1 << bit) != 0);
        let grounds = grounds.map(|(bit, (_, kind))| Asserted {
            kind,
            occasional: occasional & (1 << bit) != 0,
        });
        Stated { purpose, grounds: grounds.collect(), lifted }
    }
}

prop_compose! {
    fn profiles()(
        policy: [u8; 32],
        settings: Option<[u8; 32]>,
        lists in (texts(), texts(), texts(), texts(), texts(), texts()),
        ends in (parties(), parties(), prop::option::of(parties())),
        words in (text(), text(), text(), text(), text(), text(), text()),
        operation in prop::sample::select(Operation::ALL.to_vec()),
        outcome in prop::sample::select(Verdict::ALL.to_vec()),
        module: Option<u8>,
        observed in observed(),
        circumstances in circumstances(),
        stated in stated(),
    ) -> Profile {
        Profile {
            policy: Digest(policy),
            settings: settings.map(Digest),
            route: "/r".into(),
            operation,
            laws: lists.0,
            categories: lists.1,
            from: ends.0,
            to: ends.1,
            via: ends.2,
            region: words.0,
            mechanism: words.1,
            instrument: words.2,
            module,
            exporter: words.3,
            importer: words.4,
            rules: lists.2,
            outcome,
            problem: words.5,
            duties: lists.3,
            missing: lists.4,
            counted: lists.5,
            observed,
            circumstances,
            reached: words.6,
            stated,
        }
    }
}

/// Ledgers of before stay readable and profiles keep their digests: without a rule under
/// observation nothing is written of any.
#[test]
fn what_nobody_observes_takes_no_bytes() {
    let without = Profile {
        settings: None,
        ..(*profile("/r")).clone()
    };
    let observed = vec![Observed {
        rule: "eu-scc".into(),
        outcome: Verdict::Refuse,
    }];
    let with = Profile {
        observed,
        ..without.clone()
    };
    let bytes = |profile: &Profile| {
        let mut bytes = Vec::new();
        put_profile(&mut bytes, profile);
        bytes
    };
    let (without, with) = (bytes(&without), bytes(&with));
    // The outcome stands behind 32 bytes of the policy and one of the operation.
    assert_eq!((without[33], with[33]), (0, 0x40));
    assert_eq!(with[34..without.len()], without[34..]);
    assert_eq!(with[without.len()..], *b"\x01\x01\x06eu-scc");
    let mut none = with[..without.len()].to_vec();
    none.push(0);
    assert!(
        take_profile(&mut Take::new(&none)).is_err(),
        "none are not written"
    );
}

/// Ledgers of before stay readable and entries keep their leaves: without an order nothing is
/// written of any.
#[test]
fn what_obeys_no_order_takes_no_bytes() {
    let written = |order: Option<Ordered>| {
        let mut draft = draft(1, &profile("/r"));
        draft.reference = Some("r".into());
        draft.order = order.map(Arc::new);
        let mut bytes = Vec::new();
        put_draft(&mut bytes, &draft, 0, draft.at.as_microsecond());
        bytes
    };
    let without = written(None);
    let with = written(Some(Ordered {
        authority_country: "US".parse().unwrap(),
        approval: Some("a".into()),
        ground_reference: None,
    }));
    // Kind, time, decision and profile stand before the flags.
    let flags = 1 + 1 + 16 + 1;
    assert_eq!((without[flags], with[flags]), (5, 5 | 8));
    assert_eq!(with[flags + 1..without.len()], without[flags + 1..]);
    assert_eq!(with[without.len()..], *b"\x02US\x02a\x00");
    let profiles = [profile("/r")];
    let mut empty = with.clone();
    let approval = without.len() + 3;
    empty.splice(approval..approval + 2, [1]);
    let read = |bytes: &[u8]| take_entry(&mut Take::new(bytes), 1, 0, &profiles).is_ok();
    assert!(read(&with) && read(&without));
    assert!(
        !read(&empty),
        "an approval that says nothing is not written"
    );
}

proptest! {
    #[test]
    fn profiles_round_trip(profile in profiles()) {
        let mut bytes = Vec::new();
        put_profile(&mut bytes, &profile);
        let mut take = Take::new(&bytes);
        prop_assert_eq!(take_profile(&mut take), Ok(profile));
        prop_assert!(take.is_empty());
    }

    #[test]
    fn entries_round_trip(
        number in 0..1_000_000u64,
        base in -1_000_000i64..1_000_000,
        subject: Option<[u8; 16]>,
        bits in 0..128u8,
        reference in prop::option::of("[ -~ж]{1,120}"),
        pin in prop::option::of(("[a-z]{1,8}", 0..3)),
        order in prop::option::of(orders()),
    ) {
        let mut draft = draft(number, &profile("/r"));
        draft.subject = subject.map(SubjectKey::from_bytes);
        draft.evidence = EvidenceSet::from_bits(bits);
        draft.reference = reference.as_deref().map(Arc::from);
        draft.order = order.map(Arc::new);
        draft.pin = pin.map(|(region, kind)| {
            let region = Arc::from(region);
            match kind {
                0 => Pinning::Move { region },
                1 => Pinning::Copy { region },
                _ => Pinning::Drop { region },
            }
        });
        let mut bytes = Vec::new();
        let base = draft.at.as_microsecond() + base;
        put_draft(&mut bytes, &draft, 0, base);
        let mut take = Take::new(&bytes);
        let profiles = [draft.profile.clone()];
        let entry = take_entry(&mut take, 9, base, &profiles).unwrap();
        prop_assert!(take.is_empty());
        prop_assert_eq!(entry.at, draft.at);
        let Kind::Decision { subject, evidence, pin, reference: kept, order, .. } = entry.kind.clone() else {
            panic!("a decision was written");
        };
        prop_assert_eq!(subject, draft.subject);
        prop_assert_eq!(evidence, draft.evidence);
        prop_assert_eq!(pin, draft.pin.as_ref().map(Pinning::change));
        prop_assert_eq!(order, draft.order.clone());
        let whole = reference.unwrap_or_default();
        let kept = kept.as_deref().unwrap_or_default();
        prop_assert!(whole.starts_with(kept) && kept.len() <= REFERENCE_MAX);
        prop_assert!(kept == whole || kept.len() > REFERENCE_MAX - 2);
        let plain = draft.pin.is_none() && draft.reference.is_none() && draft.order.is_none();
        let lazy = Lazy::from(draft);
        prop_assert_eq!(matches!(lazy, Lazy::Home(_)), plain);
        let mut again = Vec::new();
        match lazy {
            Lazy::Home(home) => put_home(&mut again, &home, 0, base),
            Lazy::Draft(draft) => put_draft(&mut again, &draft, 0, base),
            _ => panic!("it is one decision"),
        }
        prop_assert_eq!(&again, &bytes);
    }

    #[test]
    fn hostile_bytes_are_errors_not_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let profiles = [profile("/r")];
        let _ = take_entry(&mut Take::new(&bytes), 1, 0, &profiles);
        let _ = take_profile(&mut Take::new(&bytes));
        let _ = crate::attest::format::SegmentHeader::decode(&bytes);
    }
}

#[test]
fn leaves_tell_all_entries_apart_and_do_not_depend_on_segments() {
    let rig = Rig::new();
    small_ledger(&rig);
    let entries = read(&rig.ledger(), 0, 100, None).unwrap().0;
    let hashes: std::collections::HashSet<_> = entries.iter().map(Entry::leaf_hash).collect();
    assert_eq!(hashes.len(), entries.len());
    let mut other = entries[3].clone();
    if let Kind::Decision { profile, .. } = &mut other.kind {
        *profile = super::profile("/elsewhere");
    }
    assert_ne!(other.leaf_hash(), entries[3].leaf_hash());
    // The format document gives this length: 1 + 8 + 8 + 16 + 32 + 1 + 1 + 16.
    assert_eq!(entries[3].leaf().len(), 83);
}

/// Who holds a leaf and the bytes of its profile holds the whole entry.
#[test]
fn a_leaf_and_its_profile_are_the_whole_entry() {
    let rig = Rig::new();
    small_ledger(&rig);
    for entry in read(&rig.ledger(), 0, 100, None).unwrap().0 {
        let known = match &entry.kind {
            Kind::Decision { profile, .. } => profile.to_bytes(),
            _ => Vec::new(),
        };
        let leaf = entry.leaf();
        let again = Entry::from_leaf(&leaf, |digest| {
            let profile = Arc::new(Profile::from_bytes(&known).unwrap());
            (profile.digest() == *digest).then_some(profile)
        });
        assert_eq!(again.as_ref(), Ok(&entry));
        assert!(Entry::from_leaf(&leaf, |_| None).is_err());
        // Whatever is read has no other bytes.
        for bit in 0..leaf.len() * 8 {
            let mut flipped = leaf.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let read = Entry::from_leaf(&flipped, |_| {
                Some(Arc::new(Profile::from_bytes(&known).unwrap()))
            });
            let again = read.map(|entry| entry.leaf());
            let of_profile = (33..65).contains(&(bit / 8)) && !known.is_empty();
            assert!(
                of_profile || again.is_err() || again == Ok(flipped),
                "bit {bit}"
            );
        }
        for cut in 0..leaf.len() {
            let profile = |_: &[u8; 32]| Some(super::profile("/x"));
            assert!(Entry::from_leaf(&leaf[..cut], profile).is_err(), "{cut}");
        }
        let longer = [&leaf[..], &[0]].concat();
        assert!(Entry::from_leaf(&longer, |_| Some(super::profile("/x"))).is_err());
    }
}
