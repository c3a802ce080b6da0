use super::*;
use crate::{
    attest::tests::{at, decision, key, profile},
    domain::EvidenceSet,
};

fn hit() -> Hit {
    Hit {
        span: Span::default(),
        region: Some(Region {
            name: "eu".to_owned(),
            place: Some("DE".parse().unwrap()),
            entity: Some("acme-eu".to_owned()),
        }),
        instrument: None,
        part: None,
        aware: at(0),
        assessed: None,
    }
}

fn entry(number: u64, change: impl FnOnce(&mut Profile), pin: Option<PinChange>) -> Entry {
    let mut profile = Profile::clone(&profile("/p"));
    change(&mut profile);
    Entry {
        seq: number,
        at: at(number),
        kind: Kind::Decision {
            decision: decision(number),
            profile: Arc::new(profile),
            subject: Some(key(1)),
            evidence: EvidenceSet::EMPTY,
            pin,
            reference: None,
            order: None,
        },
    }
}

fn people(hit: &Hit, entries: &[Entry]) -> usize {
    folded(hit, entries).people.len()
}

fn folded(hit: &Hit, entries: &[Entry]) -> Fold {
    let mut fold = Fold::new();
    let mut reading = Reading::begin();
    for entry in entries {
        fold.see(hit, &mut reading, entry).unwrap();
    }
    fold
}

fn named(region: &'static str) -> impl Fn(&mut Profile) {
    move |profile| profile.region = Some(region.into())
}

#[test]
fn of_a_region_everybody_is_hit_whose_data_lay_there() {
    let stored = || entry(5, named("eu"), None);
    assert_eq!(people(&hit(), &[stored()]), 1);
    // Written before it began, too; not after its end.
    let mut before = hit();
    before.span.since = Some(at(9));
    assert_eq!(people(&before, &[stored()]), 1);
    let mut after = hit();
    after.span.until = Some(at(5));
    assert_eq!(people(&after, &[stored()]), 0);
    // Elsewhere, refused, or never there.
    assert_eq!(people(&hit(), &[entry(5, named("sg"), None)]), 0);
    let refused = |p: &mut Profile| p.outcome = Verdict::Refuse;
    assert_eq!(people(&hit(), &[entry(5, refused, None)]), 0);
    let observed = |reached: &'static str| {
        move |p: &mut Profile| {
            p.outcome = Verdict::Observe;
            p.reached = Some(reached.into());
        }
    };
    assert_eq!(people(&hit(), &[entry(5, observed("sg"), None)]), 0);
    assert_eq!(people(&hit(), &[entry(5, observed("eu"), None)]), 1);
    // What is copied from there lay there; the place alone is another's.
    let copied = |p: &mut Profile| {
        p.operation = Operation::Replicate;
        p.region = Some("sg".into());
    };
    assert_eq!(people(&hit(), &[entry(5, copied, None)]), 1);
    let claim = PinChange::Claim {
        region: "eu".into(),
        countries: Default::default(),
    };
    assert_eq!(people(&hit(), &[entry(5, named("sg"), Some(claim))]), 1);
}

#[test]
fn what_does_not_say_where_it_went_may_have_gone_to_any_region() {
    let observed = |operation: Operation| {
        let change = move |p: &mut Profile| {
            p.outcome = Verdict::Observe;
            p.operation = operation;
        };
        entry(5, change, None)
    };
    let mut other = hit();
    other.region.as_mut().unwrap().name = "sg".to_owned();
    for hit in [hit(), other] {
        let fold = folded(&hit, &[observed(Operation::Store)]);
        assert_eq!((fold.people.len(), fold.unclear), (1, 1));
        // That a slip of the pen is found does not hang on them.
        assert_eq!(fold.is_named, hit.region.as_ref().unwrap().name == "eu");
        // A disclosure went to its recipient.
        let fold = folded(&hit, &[observed(Operation::Disclose)]);
        assert_eq!((fold.people.len(), fold.unclear), (0, 0));
    }
}

#[test]
fn what_was_refused_at_an_imported_home_lay_there() {
    let refused = |operation: Operation, kind: EvidenceKind| {
        let change = move |p: &mut Profile| {
            p.outcome = Verdict::Refuse;
            p.operation = operation;
        };
        let mut entry = entry(5, change, None);
        if let Kind::Decision { evidence, .. } = &mut entry.kind {
            evidence.insert(kind);
        }
        people(&hit(), &[entry])
    };
    assert_eq!(refused(Operation::Read, EvidenceKind::Pinned), 1);
    assert_eq!(refused(Operation::Erase, EvidenceKind::Pinned), 1);
    assert_eq!(refused(Operation::Read, EvidenceKind::Declared), 0);
    assert_eq!(refused(Operation::Replicate, EvidenceKind::Pinned), 0);
}

#[test]
fn whose_account_had_ended_before_was_not_hit() {
    let end = || PinChange::Drop {
        region: "eu".into(),
    };
    let flows = |after: Option<Entry>| {
        let mut all = vec![
            entry(1, named("eu"), None),
            entry(2, named("eu"), Some(end())),
        ];
        all.extend(after);
        all
    };
    let mut since = hit();
    since.span.since = Some(later(3));
    assert_eq!(people(&since, &flows(None)), 0);
    assert_eq!(people(&since, &flows(Some(entry(3, named("eu"), None)))), 1);
    // It may have ended while the incident went on, or nobody knows when that began.
    since.span.since = Some(later(2));
    assert_eq!(people(&since, &flows(None)), 1);
    since.span.since = Some(at(3));
    assert_eq!(people(&since, &flows(None)), 1);
    assert_eq!(people(&hit(), &flows(None)), 1);
}

/// So long after that an erasure which had begun by then is over.
fn later(number: u64) -> Timestamp {
    at(number) + ERASING
}

fn pin_change(region: &'static str, change: fn(Arc<str>) -> PinChange) -> Option<PinChange> {
    Some(change(region.into()))
}

/// Observe mode pins nobody, so that no erasure reaches what it sent.
#[test]
fn the_end_of_an_account_takes_nobody_out_of_a_region_that_was_not_asked_to_erase() {
    let mut hit = hit();
    hit.span.since = Some(later(9));
    let copy = |region| pin_change(region, |region| PinChange::Copy { region });
    let drop = |region| {
        entry(
            5,
            named(region),
            pin_change(region, |region| PinChange::Drop { region }),
        )
    };
    let observed = || {
        let change = |p: &mut Profile| {
            p.outcome = Verdict::Observe;
            p.reached = Some("eu".into());
        };
        entry(1, change, None)
    };
    assert_eq!(people(&hit, &[observed(), drop("eu")]), 1);
    assert_eq!(people(&hit, &[observed(), drop("sg")]), 1);
    let claimed = entry(2, named("eu"), copy("eu"));
    assert_eq!(people(&hit, &[observed(), claimed.clone(), drop("sg")]), 1);
    // A copy that the pin names is erased with the home, data that no pin names is not.
    assert_eq!(people(&hit, &[claimed, drop("sg")]), 0);
    assert_eq!(people(&hit, &[entry(2, named("eu"), None), drop("sg")]), 1);
    assert_eq!(people(&hit, &[entry(2, named("eu"), None), drop("eu")]), 0);
}

/// The time of an entry is when its request began: an erasure may end hours later.
#[test]
fn an_erasure_that_ended_after_the_beginning_takes_nobody_out() {
    let mut hit = hit();
    hit.span.since = Some(later(6));
    let begun = |since: u64| {
        let mut other = entry(since, named("sg"), None);
        if let Kind::Decision { subject, .. } = &mut other.kind {
            *subject = Some(key(2));
        }
        let drop = pin_change("eu", |region| PinChange::Drop { region });
        [
            entry(1, named("eu"), None),
            other,
            entry(2, named("eu"), drop),
        ]
    };
    assert_eq!(people(&hit, &begun(7)), 1);
    assert_eq!(people(&hit, &begun(5)), 0);
}

#[test]
fn an_instrument_or_a_time_alone_is_hit_in_its_time() {
    let mut by = hit();
    by.region = None;
    by.span.since = Some(at(3));
    assert_eq!(people(&by, &[entry(2, |_| {}, None)]), 0);
    assert_eq!(people(&by, &[entry(3, |_| {}, None)]), 1);
    by.instrument = Some("eu-sg-2024".to_owned());
    assert_eq!(people(&by, &[entry(3, |_| {}, None)]), 1);
    by.instrument = Some("other".to_owned());
    assert_eq!(people(&by, &[entry(3, |_| {}, None)]), 0);
}

#[test]
fn the_parts_share_the_people_and_leave_nobody_out() {
    for of in [1_u32, 2, 3, 7] {
        for byte in 0..=255_u8 {
            let key = SubjectKey::from_bytes([byte; 16]);
            let is_in = |part: u32| {
                let part = Some((part, of));
                Hit { part, ..hit() }.is_in_part(key)
            };
            assert_eq!((1..=of).filter(|part| is_in(*part)).count(), 1);
        }
    }
}
