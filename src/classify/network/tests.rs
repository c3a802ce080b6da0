use super::{
    writer::{Data, database},
    *,
};

fn address(text: &str) -> IpAddr {
    text.parse().expect(text)
}

fn flat(code: &'static str) -> Data {
    Data::Map(vec![("country_code", Data::Text(code))])
}

fn nested(code: &'static str) -> Data {
    Data::Map(vec![
        ("continent", Data::Map(vec![("code", Data::Text("XX"))])),
        ("country", Data::Map(vec![("iso_code", Data::Text(code))])),
        (
            "registered_country",
            Data::Map(vec![("iso_code", Data::Text("US"))]),
        ),
    ])
}

fn write(path: &std::path::Path, bytes: &[u8]) {
    fs::write(path, bytes).expect("written");
}

/// A file and the database opened from it.
fn open(bytes: &[u8], field: Option<&str>) -> (tempfile::TempDir, PathBuf, Result<Geo, GeoError>) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("country.mmdb");
    write(&path, bytes);
    let geo = Geo::open(&path, field);
    (folder, path, geo)
}

fn read(geo: &Geo, text: &str) -> Option<String> {
    geo.country(address(text)).map(|c| c.to_string())
}

#[test]
fn the_embedded_table_knows_the_world() {
    let geo = Geo::embedded().expect("embedded");
    for (text, country) in [
        ("8.8.8.8", "US"),
        ("202.96.128.86", "CN"),
        ("195.208.1.1", "RU"),
        ("::ffff:195.208.1.1", "RU"),
        ("2001:4860:4860::8888", "US"),
        ("165.21.83.88", "SG"),
        ("2405:200::1", "IN"),
        ("2003::1", "DE"),
        ("2400:3200::1", "CN"),
    ] {
        assert_eq!(read(&geo, text).as_deref(), Some(country), "{text}");
    }
    assert!(geo.is_embedded());
    let built = geo.built().expect("a build time");
    assert!(built.to_string().starts_with("2026-06-"), "{built}");
    let later = built + std::time::Duration::from_secs(3 * 86_400 + 5);
    assert_eq!(geo.age_days(later), Some(3));
    assert!(matches!(geo.reload_if_changed(), Reload::Unchanged));
    assert_eq!(read(&Geo::off(), "8.8.8.8"), None);
}

#[test]
fn addresses_of_nobody_in_particular_are_no_evidence() {
    // A database that knows every address, so that only our own judgement says no.
    let everything = [
        ("0.0.0.0/1", flat("DE")),
        ("128.0.0.0/1", flat("DE")),
        ("::/1", flat("DE")),
    ];
    let (_keep, _, geo) = open(&database(1, &everything[..2]), None);
    let v4 = geo.expect("opens");
    let (_keep, _, geo) = open(&database(1, &everything[2..]), None);
    let v6 = geo.expect("opens");
    for text in [
        "0.1.2.3",
        "10.1.2.3",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "169.254.1.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::ffff:10.0.0.1",
        "::ffff:192.0.2.1",
    ] {
        assert_eq!(read(&v4, text), None, "{text}");
    }
    for text in [
        "::",
        "::1",
        "::1.2.3.4",
        "64:ff9b::808:808",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:0:4136:e378::1",
        "2001:db8::1",
        "2002:808:808::1",
        "2620:4f:8000::1",
        "3fff::1",
        "fc00::1",
        "fdff::1",
        "fe80::1",
        "ff02::1",
        "5f00::1",
    ] {
        assert_eq!(read(&v6, text), None, "{text}");
    }
    for text in [
        "1.1.1.1",
        "100.63.255.255",
        "100.128.0.1",
        "172.32.0.1",
        "198.20.0.1",
    ] {
        assert_eq!(read(&v4, text).as_deref(), Some("DE"), "{text}");
    }
    for text in ["2001:200::1", "2003::1", "2a00::1", "2620:4f:8001::1"] {
        assert_eq!(read(&v6, text).as_deref(), Some("DE"), "{text}");
    }
}

#[test]
fn every_vendors_field_is_found_and_the_registered_country_never() {
    let plain = |code| Data::Map(vec![("country", Data::Text(code))]);
    let named = |code| {
        Data::Map(vec![
            ("country", Data::Text("India")),
            ("country_code", Data::Text(code)),
        ])
    };
    for record in [nested("IN"), flat("IN"), plain("IN"), named("IN")] {
        let (_keep, _, geo) = open(&database(1, &[("49.32.0.0/11", record)]), None);
        assert_eq!(
            read(&geo.expect("opens"), "49.36.1.1").as_deref(),
            Some("IN")
        );
    }
    let registered = Data::Map(vec![(
        "registered_country",
        Data::Map(vec![("iso_code", Data::Text("US"))]),
    )]);
    let both = [("49.32.0.0/11", nested("IN")), ("5.0.0.0/8", registered)];
    let (_keep, _, geo) = open(&database(1, &both), None);
    assert_eq!(read(&geo.expect("opens"), "5.1.1.1"), None);
    let (_keep, _, geo) = open(&database(1, &both[1..]), None);
    assert!(matches!(geo, Err(GeoError::NoCountryField { .. })));
    let odd = Data::Map(vec![("geo", Data::Map(vec![("cc", Data::Text("IN"))]))]);
    let (_keep, _, geo) = open(&database(1, &[("49.32.0.0/11", odd)]), Some("geo.cc"));
    assert_eq!(
        read(&geo.expect("opens"), "49.36.1.1").as_deref(),
        Some("IN")
    );
}

#[test]
fn hosting_and_anonymisers_are_no_evidence() {
    let with = |name, value| {
        let traits = Data::Map(vec![("is_anycast", Data::Bool(true)), (name, value)]);
        let Data::Map(mut members) = nested("IN") else {
            panic!("a map");
        };
        members.push(("traits", traits));
        Data::Map(members)
    };
    let read_as = |record| {
        let (_keep, _, geo) = open(&database(1, &[("49.32.0.0/11", record)]), None);
        read(&geo.expect("opens"), "49.36.1.1")
    };
    for name in [
        "is_anonymous",
        "is_anonymous_proxy",
        "is_anonymous_vpn",
        "is_hosting_provider",
        "is_public_proxy",
        "is_residential_proxy",
        "is_tor_exit_node",
    ] {
        assert_eq!(read_as(with(name, Data::Bool(true))), None, "{name}");
        let not = read_as(with(name, Data::Bool(false)));
        assert_eq!(not.as_deref(), Some("IN"), "{name}");
        assert_eq!(read_as(with(name, Data::Text("yes"))), None, "{name}");
    }
    let other = read_as(with("isp", Data::Text("Example")));
    assert_eq!(other.as_deref(), Some("IN"));
}

#[test]
fn codes_that_are_no_country_are_nothing() {
    let networks = [
        ("49.32.0.0/11", flat("IN")),
        ("5.0.0.0/8", flat("EU")),
        ("6.0.0.0/8", flat("None")),
    ];
    let (_keep, _, geo) = open(&database(1, &networks), None);
    let geo = geo.expect("opens");
    assert_eq!(read(&geo, "5.1.1.1"), None);
    assert_eq!(read(&geo, "6.1.1.1"), None);
    assert_eq!(read(&geo, "7.1.1.1"), None);
}

#[test]
fn a_new_file_takes_over_and_a_broken_one_does_not() {
    let (_keep, path, geo) = open(&database(1, &[("49.32.0.0/11", flat("IN"))]), None);
    let geo = geo.expect("opens");
    assert!(matches!(geo.reload_if_changed(), Reload::Unchanged));

    write(&path, &database(2_000_000, &[("49.32.0.0/11", flat("SG"))]));
    touch(&path, 10);
    match geo.reload_if_changed() {
        Reload::Swapped { built } => assert_eq!(built.as_second(), 2_000_000),
        other => panic!("{other:?}"),
    }
    assert_eq!(read(&geo, "49.36.1.1").as_deref(), Some("SG"));

    write(&path, b"not a database");
    touch(&path, 20);
    assert!(matches!(
        geo.reload_if_changed(),
        Reload::Kept(GeoError::Broken(_))
    ));
    assert!(
        matches!(geo.reload_if_changed(), Reload::Unchanged),
        "told once"
    );
    assert_eq!(read(&geo, "49.36.1.1").as_deref(), Some("SG"));

    fs::remove_file(&path).expect("removed");
    assert!(matches!(
        geo.reload_if_changed(),
        Reload::Kept(GeoError::Unreadable { .. })
    ));
    assert!(
        matches!(geo.reload_if_changed(), Reload::Unchanged),
        "told once"
    );
    write(&path, &database(3_000_000, &[("49.32.0.0/11", flat("DE"))]));
    assert!(matches!(geo.reload_if_changed(), Reload::Swapped { .. }));
    assert_eq!(read(&geo, "49.36.1.1").as_deref(), Some("DE"));
}

/// File times may be too coarse to tell two writes of one test apart.
fn touch(path: &std::path::Path, seconds: u64) {
    let file = fs::File::options().write(true).open(path).expect("opens");
    let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000 + seconds);
    file.set_modified(time).expect("set");
}

#[test]
fn a_damaged_file_never_panics() {
    let sound = database(
        1,
        &[("49.32.0.0/11", nested("IN")), ("2a00::/12", flat("DE"))],
    );
    for at in 0..sound.len() {
        for byte in [0x00, 0xff, 0x80, sound[at].wrapping_add(1)] {
            let mut damaged = sound.clone();
            damaged[at] = byte;
            if let Ok(database) = Database::parse(damaged, None) {
                let _ = database.country(address("49.36.1.1"));
                let _ = database.country(address("2a00::1"));
            }
        }
        let _ = Database::parse(sound[..at].to_vec(), None);
    }
}
