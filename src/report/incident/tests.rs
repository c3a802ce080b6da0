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
    let mut fold = Fold {
        laws: Vec::new(),
        by_law: HashMap::default(),
        people: HashMap::default(),
        is_named: false,
    };
    let mut reading = Reading::begin();
    for entry in entries {
        fold.see(hit, &mut reading, entry).unwrap();
    }
    fold.people.len()
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
    since.span.since = Some(at(3));
    assert_eq!(people(&since, &flows(None)), 0);
    assert_eq!(people(&since, &flows(Some(entry(3, named("eu"), None)))), 1);
    // It ended while the incident went on, or nobody knows when that began.
    since.span.since = Some(at(2));
    assert_eq!(people(&since, &flows(None)), 1);
    assert_eq!(people(&hit(), &flows(None)), 1);
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
