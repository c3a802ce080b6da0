//! Bundles: in the ledger, nothing tells them from drafts.

use proptest::prelude::*;
use smallvec::smallvec;

use super::*;
use crate::locate::{Claim, Pin};

/// One entry, as often as it is needed.
#[derive(Clone, Debug)]
struct One {
    number: u64,
    profile: usize,
    permits: Option<bool>,
    is_named: bool,
    kinds: u8,
    reference: Option<String>,
    order: Option<Arc<Ordered>>,
    copies: bool,
}

fn one() -> impl Strategy<Value = One> {
    let reference = prop::option::weighted(0.2, "[a-z/]{0,8}");
    let order = prop::option::weighted(0.2, orders());
    let flags = (any::<bool>(), prop::bool::weighted(0.2));
    let parts = (
        0..3_usize,
        prop::option::weighted(0.8, any::<bool>()),
        0..4_u8,
    );
    (parts, flags, reference, order).prop_map(
        |((profile, permits, kinds), (is_named, copies), reference, order)| One {
            number: 0,
            profile,
            permits,
            is_named: is_named || copies,
            kinds,
            reference,
            order: order.map(Arc::new),
            copies,
        },
    )
}

impl One {
    fn draft(&self, profiles: &[Arc<Profile>]) -> Draft {
        let copy = Pinning::Copy {
            region: "sg".into(),
        };
        Draft {
            at: at(7),
            subject: self.is_named.then(|| key(self.number)),
            evidence: EvidenceSet::from_bits(self.kinds),
            pin: self.copies.then_some(copy),
            reference: self.reference.as_deref().map(Arc::from),
            order: self.order.clone(),
            ..draft(self.number, &profiles[self.profile])
        }
    }

    fn permit(&self) -> Option<Permit> {
        self.permits
            .map(|home| if home { homeward() } else { abroad() })
    }
}

/// What stands in a ledger, without its numbers.
fn entries(rig: &Rig) -> Vec<(Timestamp, Kind)> {
    let (entries, _) = read(&rig.ledger(), 0, 10_000, None).unwrap();
    verify(&rig.ledger()).unwrap();
    entries.into_iter().map(|e| (e.at, e.kind)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_bundle_is_read_as_each_of_its_entries_alone(
        mut all in prop::collection::vec(one(), 0..40),
        // Profiles get numbers of one byte and of two.
        before in prop_oneof![Just(0_u64), Just(126), Just(300)],
    ) {
        all.iter_mut().zip(1..).for_each(|(one, number)| one.number = number);
        let profiles: Vec<_> = (0..3).map(|n| profile(&format!("/r{n}"))).collect();
        let known = |journal: &Journal| {
            let others = (0..before).map(|n| draft(n, &profile(&format!("/other/{n}"))));
            block_on(journal.clear_all(Vec::new(), others.collect())).unwrap();
        };
        let (plain, packed) = (Rig::new(), Rig::new());
        let (journal, _) = plain.open();
        known(&journal);
        block_on(async {
            for one in &all {
                journal.refuse(one.draft(&profiles)).await.unwrap();
            }
            for one in &all {
                journal.outcome(OutcomeDraft { at: at(9), decision: decision(one.number), status: 200 });
            }
        });
        journal.close().unwrap();

        let (journal, _) = packed.open();
        known(&journal);
        let mut bundle = Bundle::new(at(7), all.len());
        let mut likes: Vec<(&One, Like)> = Vec::new();
        let mut outcomes = Outcomes::new(at(9), all.len());
        for one in &all {
            let is_like = |other: &One| {
                let same = One { number: other.number, ..one.clone() };
                !one.copies && one.is_named && format!("{same:?}") == format!("{other:?}")
            };
            let known = likes.iter().find(|(other, _)| is_like(other)).map(|(_, like)| *like);
            match known {
                Some(like) => bundle.push_like(like, decision(one.number), key(one.number)),
                None => likes.push((one, bundle.push(one.permit(), one.draft(&profiles)))),
            }
            outcomes.push(decision(one.number), 200);
        }
        let cleared = block_on(journal.clear_bundle(bundle)).unwrap();
        for (one, like) in &likes {
            prop_assert_eq!(cleared.of(*like).is_some(), one.permits.is_some());
        }
        journal.outcomes(outcomes);
        journal.close().unwrap();
        prop_assert_eq!(entries(&packed), entries(&plain));
    }
}

#[test]
fn only_flows_home_that_change_nothing_run_ahead() {
    let shared = profile("/r");
    let follows = |permits: &[Option<Permit>], profile: &Arc<Profile>, copies: bool| {
        let mut bundle = Bundle::new(at(0), 2);
        for (number, permit) in (0..).zip(permits) {
            let mut one = draft(number, profile);
            one.pin = copies.then(|| Pinning::Copy {
                region: "sg".into(),
            });
            bundle.push(permit.clone(), one);
        }
        bundle.may_follow()
    };
    assert!(follows(
        &[Some(homeward()), Some(homeward())],
        &shared,
        false
    ));
    assert!(!follows(
        &[Some(homeward()), Some(abroad())],
        &shared,
        false
    ));
    assert!(!follows(&[Some(homeward()), None], &shared, false));
    assert!(!follows(&[Some(homeward())], &shared, true));
    let counted = Arc::new(Profile {
        counted: vec!["tally".into()],
        ..(*shared).clone()
    });
    assert!(!follows(&[Some(homeward())], &counted, false));
}

#[test]
fn of_a_batch_that_is_not_sent_the_refusals_stand_and_no_claim_does() {
    let rig = Rig::new();
    let directory = rig.directory();
    let (journal, _) = Journal::open(&rig.ledger(), Options::default(), directory.clone()).unwrap();
    let shared = profile("/r");
    let mut bundle = Bundle::new(at(0), 4);
    let pin = Pin::new("eu".into(), smallvec!["DE".parse().unwrap()]);
    let Claim::Won(claimed) = directory.claim(key(1), pin.clone()).unwrap() else {
        panic!("nobody else claims");
    };
    let claim = Draft {
        pin: Some(Pinning::Claim(claimed)),
        ..draft(1, &shared)
    };
    let copy = Draft {
        pin: Some(Pinning::Copy {
            region: "sg".into(),
        }),
        ..draft(1, &shared)
    };
    bundle.push(Some(abroad()), claim);
    bundle.push(None, copy);
    bundle.push(None, draft(2, &shared));
    bundle.push(Some(homeward()), draft(3, &shared));
    let _ = block_on(journal.clear_bundle(bundle.into_refusals())).unwrap();
    journal.close().unwrap();
    let (entries, _) = read(&rig.ledger(), 0, 99, None).unwrap();
    let decisions: Vec<_> = entries.iter().map(Entry::decision).collect();
    assert_eq!(decisions, [Some(decision(2))]);
    assert_eq!(directory.lookup(&key(1)).unwrap(), None);
    assert!(matches!(directory.claim(key(1), pin), Ok(Claim::Won(_))));
}

#[test]
fn a_claim_in_a_bundle_pins_its_subject() {
    let rig = Rig::new();
    let directory = rig.directory();
    let (journal, _) = Journal::open(&rig.ledger(), Options::default(), directory.clone()).unwrap();
    let shared = profile("/r");
    let mut bundle = Bundle::new(at(0), 4);
    for number in 0..4 {
        let mut one = draft(number, &shared);
        if number % 2 == 1 {
            let pin = Pin::new("eu".into(), smallvec!["DE".parse().unwrap()]);
            let Claim::Won(claimed) = directory.claim(key(number), pin).unwrap() else {
                panic!("nobody else claims");
            };
            one.pin = Some(Pinning::Claim(claimed));
        }
        bundle.push(Some(homeward()), one);
    }
    let _ = block_on(journal.clear_bundle(bundle)).unwrap();
    for number in 0..4 {
        let pinned = directory.lookup(&key(number)).unwrap().is_some();
        assert_eq!(pinned, number % 2 == 1);
    }
}

/// Beyond what may wait for the directory's file, no flow makes a copy; what has happened is told.
#[test]
fn no_copy_is_let_go_while_the_directory_is_behind() {
    let rig = Rig::new();
    let directory = rig.directory();
    let (journal, _) = Journal::open(&rig.ledger(), Options::default(), directory.clone()).unwrap();
    let shared = profile("/p");
    let pinning = |number, pin: fn(Arc<str>) -> Pinning| Draft {
        pin: Some(pin("sg".into())),
        ..draft(number, &shared)
    };
    let copy = |number| pinning(number, |region| Pinning::Copy { region });
    let moved = |number| pinning(number, |region| Pinning::Move { region });
    let bundle = || {
        let mut bundle = Bundle::new(at(1), 1);
        bundle.push(Some(abroad()), copy(1));
        bundle
    };
    let copies = || {
        let clear = block_on(journal.clear(abroad(), copy(1))).map(drop);
        let all = vec![(abroad(), draft(1, &shared))];
        let all = block_on(journal.clear_all(all, vec![copy(1)])).map(drop);
        [
            clear,
            all,
            block_on(journal.clear_bundle(bundle())).map(drop),
        ]
    };
    assert_eq!(copies(), [Ok(()), Ok(()), Ok(())]);
    directory.break_storing_for_tests();
    (0..=500_000).for_each(|_| directory.mark(1));
    for refused in copies() {
        assert!(
            matches!(refused, Err(Unwritable::Directory(_))),
            "{refused:?}"
        );
    }
    let _ = block_on(journal.clear(abroad(), draft(2, &shared))).unwrap();
    let happened = vec![moved(2), copy(2)];
    let _ = block_on(journal.clear_all(Vec::new(), happened)).unwrap();
}
