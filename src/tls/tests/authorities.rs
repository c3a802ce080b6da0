use super::*;

fn at(text: &str) -> jiff::Timestamp {
    text.parse().unwrap()
}

fn region(ca_file: &Path) -> BackendTls {
    BackendTls {
        ca_file: ca_file.to_owned(),
        identity: vec![Identity::parse("spiffe://acme/eu/store").unwrap()],
        certificate: None,
        resume: false,
        http: HttpVersion::One,
    }
}

/// Whether the region's server is believed with this certificate.
fn judged(live: &Live<BackendSide>, pem: &str, at: jiff::Timestamp) -> Result<(), String> {
    use rustls::pki_types::pem::PemObject;
    let leaf = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let host = ServerName::try_from("store.eu").unwrap();
    let judged = live.load().judge_for_tests(&leaf, &host, unix_time(at));
    judged.map_err(|error| error.to_string())
}

fn told(placed: &[Placed]) -> String {
    let told = placed
        .iter()
        .map(|p| format!("{}: {}\n", p.steps.join("."), p.fault));
    told.collect()
}

/// Who pins a server's certificate makes nobody an authority by it.
#[test]
fn what_may_sign_nobody_is_no_authority() {
    let folder = tempfile::tempdir().unwrap();
    let pem = |is_ca: IsCa, usages: &[KeyUsagePurpose]| {
        let mut params = CertificateParams::new(vec!["store.eu".to_owned()]).unwrap();
        params.is_ca = is_ca;
        params.key_usages = usages.to_vec();
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().pem()
    };
    let ca = || IsCa::Ca(BasicConstraints::Constrained(0));
    let leaf = Authority::new("acme").sign(&["dns:store.eu"]).0;
    let file = folder.path().join("ca.pem");
    let pair = write_pair(
        folder.path(),
        "server",
        Authority::new("a").sign(&["dns:a"]),
    );
    for (pem, is_authority) in [
        (pem(ca(), &[]), true),
        (pem(ca(), &[KeyUsagePurpose::KeyCertSign]), true),
        (pem(ca(), &[KeyUsagePurpose::DigitalSignature]), false),
        (pem(IsCa::ExplicitNoCa, &[]), false),
        (pem(IsCa::NoCa, &[]), false),
        (leaf, false),
    ] {
        std::fs::write(&file, Authority::new("first").pem + &pem).unwrap();
        let callers = faults(&listener(vec![pair.clone()], Some(file.clone()))).join("\n");
        let built = Live::<BackendSide>::new(region(&file), clock::now());
        let servers = told(&built.err().unwrap_or_default());
        for told in [&callers, &servers] {
            assert_eq!(told.is_empty(), is_authority, "{told}");
            let has = |text| is_authority || told.contains(text);
            assert!(has("certificate 2 in") && has("is no authority"), "{told}");
        }
    }
}

#[test]
fn authorities_are_believed_no_longer_than_they_last() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    let short = Authority::of("short", (2020, 2030));
    let long = Authority::of("long", (2020, 2040));
    std::fs::write(&file, format!("{}{}", short.pem, long.pem)).unwrap();
    let (by_short, _) = short.sign(&["spiffe://acme/eu/store"]);
    let (by_long, _) = long.sign(&["spiffe://acme/eu/store"]);
    let [before, between, after] =
        ["2025", "2035", "2045"].map(|y| at(&format!("{y}-06-01T00:00:00Z")));
    // At the start the ended one is passed over.
    let live = Live::<BackendSide>::new(region(&file), between).unwrap();
    assert!(told(live.load().doubts()).contains("ca_file: authority 1 in"));
    assert!(judged(&live, &by_short, between).is_err());
    assert_eq!(judged(&live, &by_long, between), Ok(()));
    let ended = Live::<BackendSide>::new(region(&file), after)
        .err()
        .unwrap();
    assert!(told(&ended).contains("every authority"));

    // And while it is in use, whatever has become of the file.
    for is_broken in [false, true] {
        let live = Live::<BackendSide>::new(region(&file), before).unwrap();
        assert!(matches!(live.look(before, false), Change::Unchanged));
        if is_broken {
            std::fs::write(&file, "nothing").unwrap();
            assert!(matches!(live.look(before, false), Change::Kept(_)));
        }
        assert_eq!(judged(&live, &by_short, before), Ok(()));
        let Change::Swapped(doubts) = live.look(between, true) else {
            panic!("the first has ended");
        };
        assert!(told(&doubts).contains("ended at 2030-01-01"), "{doubts:?}");
        assert!(judged(&live, &by_short, between).is_err());
        assert_eq!(judged(&live, &by_long, between), Ok(()));
        assert!(matches!(live.look(between, true), Change::Unchanged));
        let Change::Swapped(doubts) = live.look(after, true) else {
            panic!("all have ended");
        };
        assert!(told(&doubts).contains("every authority"), "{doubts:?}");
        let refused = judged(&live, &by_long, between).unwrap_err();
        assert!(refused.contains("every authority"), "{refused}");
        assert!(matches!(live.look(after, true), Change::Unchanged));
        assert_eq!(live.is_behind(), is_broken);
    }
}

#[test]
fn callers_are_believed_no_longer_than_their_authorities_last() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, Authority::of("callers", (2020, 2030)).pem).unwrap();
    let pair = write_pair(
        folder.path(),
        "server",
        Authority::new("a").sign(&["dns:a"]),
    );
    let settings = listener(vec![pair], Some(file.clone()));
    let [before, after] = ["2025", "2035"].map(|y| at(&format!("{y}-06-01T00:00:00Z")));
    let live = Live::<ServerSide>::new(settings, before).unwrap();
    let Change::Swapped(doubts) = live.look(after, true) else {
        panic!("it has ended");
    };
    assert!(
        told(&doubts).contains("client_ca: every authority"),
        "{doubts:?}"
    );
    assert!(
        live.load()
            .expiries
            .iter()
            .any(|(of, v)| *of == file && v.until == at("2030-01-01T00:00:00Z"))
    );
}

#[test]
fn an_authority_below_another_is_shared_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let root = Authority::new("root");
    let (one, two) = (root.below("one"), root.below("two"));
    let namesake = Authority::new("root");
    let side = |name: &str, authority: &Authority| {
        let file = folder.path().join(name);
        std::fs::write(&file, &authority.pem).unwrap();
        Live::<BackendSide>::new(region(&file), clock::now())
            .unwrap()
            .load()
    };
    let sides = [
        side("root", &root),
        side("one", &one),
        side("two", &two),
        side("namesake", &namesake),
    ];
    let shared = [(0, 0), (0, 1), (0, 2), (1, 1), (2, 2), (3, 3)];
    for (i, own) in sides.iter().enumerate() {
        for (j, other) in sides.iter().enumerate() {
            let wanted = shared.contains(&(i.min(j), i.max(j)));
            assert_eq!(own.shares_authority(other), wanted, "{i} {j}");
        }
    }
}
