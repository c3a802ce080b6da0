use super::*;

/// Where an authority of the callers that ends in this year is in use.
fn believes(live: &Live<ServerSide>, year: i16) -> bool {
    let side = live.load();
    let mut all = side.expiries.iter();
    all.any(|(_, validity)| validity.until.to_zoned(jiff::tz::TimeZone::UTC).year() == year)
}

/// A certificate that nobody has renewed must not keep a stolen authority in force.
#[test]
fn a_certificate_that_ends_while_in_use_holds_up_no_other_file() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Authority::new("test");
    let ending = write_pair(
        folder.path(),
        "ending",
        ca.sign_for(&["dns:a"], (2020, 2030)),
    );
    let other = write_pair(
        folder.path(),
        "other",
        ca.sign_for(&["dns:b"], (2020, 2050)),
    );
    let callers = folder.path().join("callers.pem");
    std::fs::write(&callers, Authority::of("before", (2020, 2060)).pem).unwrap();
    let settings = listener(vec![ending, other], Some(callers.clone()));
    let [before, after] =
        ["2025-06-01T00:00:00Z", "2035-06-01T00:00:00Z"].map(|t| t.parse().unwrap());
    let live = Live::<ServerSide>::new(settings, before).unwrap();

    std::fs::write(&callers, Authority::of("after", (2020, 2070)).pem).unwrap();
    let Change::Swapped(doubts) = live.look(after, true) else {
        panic!("it is sound");
    };
    let told: Vec<String> = doubts.iter().map(|d| d.fault.to_string()).collect();
    assert!(
        matches!(&*told, [one] if one.contains("ended at 2030")),
        "{told:?}"
    );
    assert!(believes(&live, 2070) && !believes(&live, 2060));
    write_pair(
        folder.path(),
        "other",
        ca.sign_for(&["dns:b"], (2020, 2051)),
    );
    assert!(matches!(live.look(after, true), Change::Swapped(_)));
    assert!(believes(&live, 2051));
    // One that has ended before it came is no good.
    write_pair(
        folder.path(),
        "other",
        ca.sign_for(&["dns:b"], (2020, 2031)),
    );
    assert!(matches!(live.look(after, false), Change::Kept(_)));
    assert!(believes(&live, 2051));
}

#[test]
fn a_broken_file_holds_up_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Authority::new("test");
    let first = write_pair(
        folder.path(),
        "first",
        ca.sign_for(&["dns:a"], (2020, 2050)),
    );
    let second = write_pair(
        folder.path(),
        "second",
        ca.sign_for(&["dns:b"], (2020, 2060)),
    );
    let callers = folder.path().join("callers.pem");
    std::fs::write(&callers, Authority::of("before", (2020, 2070)).pem).unwrap();
    let settings = listener(vec![first.clone(), second], Some(callers.clone()));
    let now = clock::now();
    let live = Live::<ServerSide>::new(settings, now).unwrap();

    std::fs::write(&first.key, "nothing").unwrap();
    write_pair(
        folder.path(),
        "second",
        ca.sign_for(&["dns:b"], (2020, 2061)),
    );
    std::fs::write(&callers, Authority::of("after", (2020, 2071)).pem).unwrap();
    assert!(matches!(live.look(now, true), Change::Unchanged));
    let Change::Partly { faults, .. } = live.look(now, true) else {
        panic!("two of three are sound");
    };
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(live.is_behind());
    for (year, is_in_use) in [
        (2050, true),
        (2060, false),
        (2061, true),
        (2070, false),
        (2071, true),
    ] {
        assert_eq!(believes(&live, year), is_in_use, "{year}");
    }
    let settled = live.load();
    assert!(matches!(live.look(now, true), Change::Unchanged));
    assert!(std::sync::Arc::ptr_eq(&settled, &live.load()));
    // What is mended is taken with the rest.
    write_pair(
        folder.path(),
        "first",
        ca.sign_for(&["dns:a"], (2020, 2051)),
    );
    assert!(matches!(live.look(now, true), Change::Swapped(_)));
    assert!(believes(&live, 2051) && !live.is_behind());
}
