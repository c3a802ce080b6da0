use proptest::{collection::vec, prelude::*};

use super::*;
use crate::classify::json::{Reach, Sink, Watch, scan};

fn at(text: &str) -> Place {
    text.parse().expect(text)
}

fn ev(kind: EvidenceKind, place: &str) -> Evidence {
    Evidence {
        kind,
        place: at(place),
    }
}

#[test]
fn country_codes_read_in_every_usual_spelling() {
    for (text, place) in [
        ("CN", "CN"),
        ("cn", "CN"),
        (" De ", "DE"),
        ("CHN", "CN"),
        ("deu", "DE"),
        ("XKX", "XK"),
        ("CN-GD", "CN-GD"),
        ("cn-gd", "CN-GD"),
        ("us-tx", "US-TX"),
        ("GB-ENG", "GB-ENG"),
        ("UK", "GB"),
        ("uk-sct", "GB-SCT"),
        ("el", "GR"),
    ] {
        assert_eq!(read_text(text), Reading::Country(at(place)), "{text}");
    }
}

#[test]
fn telephone_numbers_read_by_their_prefix() {
    let ru = Country::new("RU").expect("assigned");
    assert_eq!(read_text("+7 495 123-45-67"), Reading::Phone(ru));
    assert_eq!(read_text("tel:+74951234567"), Reading::Phone(ru));
    assert_eq!(read_text("+7 495/123-45-67"), Reading::Phone(ru));
    for text in [
        "TEL:+74951234567",
        "Tel:+7-495-123-45-67;ext=5",
        "tel:+74951234567;EXT=5;isub=12",
        "+7 495 123-45-67;ext=5",
    ] {
        assert_eq!(read_text(text), Reading::Phone(ru), "{text}");
    }
    for text in ["84951234567", "+870 773 111 632", "+1 800 555 0100"] {
        assert_eq!(read_text(text), Reading::Nothing, "{text}");
    }
}

#[test]
fn what_means_nothing_to_us_is_told_and_not_passed_over() {
    for text in [
        "China",
        "Germany",
        "EU",
        "XX",
        "ZZZ",
        "CN-",
        "CN-ABCD",
        "X-EPO",
        "+CN",
        "C",
        "Ü",
        "ü-1",
        "-",
        "AÜ",
        "中国",
        "D3",
        "CN GD",
        "nowhere in particular",
        // ISO 3166-1 numeric, and numbers that are cut off, or two in one.
        "076",
        "643",
        "156",
        "1-5-6",
        "+12",
        "+55 11",
        "+55 11 98765-4321 / 98765-4322",
        "+0 1234567",
        // Another number, and what leads on from none.
        "tel:4951234567;phone-context=+7",
        "tel:+74951234567;ext=",
        "tel:+74951234567;",
        "+74951234567;+4930901820",
        "tel:CN",
        "tel:",
        "null",
    ] {
        assert_eq!(read_text(text), Reading::Unreadable, "{text}");
    }
    assert_eq!(read_text(""), Reading::Nothing);
    assert_eq!(read_text("  "), Reading::Nothing);
}

#[test]
fn every_assigned_country_reads_by_two_letters_and_three() {
    let by_three: Vec<Place> = ('A'..='Z')
        .flat_map(|a| ('A'..='Z').flat_map(move |b| ('A'..='Z').map(move |c| format!("{a}{b}{c}"))))
        .filter_map(|code| match read_text(&code) {
            Reading::Country(place) => Some(place),
            _ => None,
        })
        .collect();
    let mut distinct = by_three.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!((by_three.len(), distinct.len()), (250, 250));
    for country in Country::all() {
        let reading = read_text(&country.as_str().to_ascii_lowercase());
        assert_eq!(reading, Reading::Country(Place::of(country)));
    }
}

#[test]
fn json_values_read_by_their_type() {
    struct Last(Option<Reading>);
    impl<'a> Sink<'a> for Last {
        fn value(&mut self, _: u16, value: Value<'a>) {
            self.0 = Some(read_value(&value));
        }
        fn unknown(&mut self, _: crate::classify::json::KnownPart) {}
    }
    let watch = Watch::compile([("/c", Reach::Value)]).expect("compiles");
    for (json, reading) in [
        (r#""\u0043N""#, Reading::Country(at("CN"))),
        ("null", Reading::Nothing),
        ("156", Reading::Unreadable),
        ("76.0", Reading::Unreadable),
        ("84951234567", Reading::Nothing),
        ("true", Reading::Nothing),
        (r#""""#, Reading::Nothing),
        (r#""somewhere""#, Reading::Unreadable),
        (r#"{"code":"CN"}"#, Reading::Unreadable),
        (r#"["CN"]"#, Reading::Unreadable),
    ] {
        let mut last = Last(None);
        scan(format!(r#"{{"c":{json}}}"#).as_bytes(), &watch, &mut last).expect("sound");
        assert_eq!(last.0, Some(reading), "{json}");
    }
}

#[test]
fn the_source_makes_the_kind_and_a_phone_stays_a_phone() {
    let source = |text: &str| ValueSource::parse(text).expect(text);
    let cn = read_text("CN");
    let kind = |text: &str, reading| evidence(&source(text), reading).map(|e| e.kind);
    assert_eq!(kind("jwt:country", cn), Some(EvidenceKind::Attested));
    assert_eq!(kind("header:x-country", cn), Some(EvidenceKind::Attested));
    assert_eq!(kind("body:/country", cn), Some(EvidenceKind::Declared));
    assert_eq!(kind("query:c", cn), Some(EvidenceKind::Declared));
    assert_eq!(kind("pinned", cn), Some(EvidenceKind::Pinned));
    assert_eq!(kind("network", cn), Some(EvidenceKind::Network));
    let phone = read_text("+65 6123 4567");
    assert_eq!(kind("jwt:phone", phone), Some(EvidenceKind::Phone));
    assert_eq!(kind("body:/phone", Reading::Nothing), None);
    assert_eq!(kind("body:/phone", Reading::Unreadable), None);
}

#[test]
fn all_lets_the_strongest_choose_and_every_declared_law_attach() {
    use EvidenceKind::*;
    let found = [
        ev(Declared, "CN"),
        ev(Declared, "DE"),
        ev(Phone, "RU"),
        ev(Pinned, "CN"),
        ev(Network, "SG"),
    ];
    let standing = weigh(&found, Conflict::All).expect("settled");
    assert_eq!(standing.home_by, at("CN"));
    assert_eq!(standing.countries.as_slice(), [at("CN"), at("DE")]);
    assert_eq!(standing.strongest, Declared);
    assert_eq!(standing.kinds.iter().count(), 4);

    // The strongest attaches whatever its strength.
    let found = [ev(Phone, "RU"), ev(Declared, "IN"), ev(Network, "SG")];
    let standing = weigh(&found, Conflict::All).expect("settled");
    assert_eq!(standing.countries.as_slice(), [at("RU"), at("IN")]);
    let standing = weigh(&found, Conflict::First).expect("settled");
    assert_eq!(standing.countries.as_slice(), [at("RU")]);
    assert_eq!(standing.kinds.iter().count(), 3);

    let standing = weigh(&[ev(Network, "SG")], Conflict::All).expect("settled");
    assert_eq!(standing.countries.as_slice(), [at("SG")]);
    assert_eq!(weigh(&[], Conflict::All), Err(Unsettled::Nothing));
}

#[test]
fn subdivisions_agree_with_their_country_and_never_replace_it() {
    use EvidenceKind::*;
    let fine_first = [ev(Attested, "CN-GD"), ev(Declared, "CN")];
    let standing = weigh(&fine_first, Conflict::Refuse).expect("settled");
    assert_eq!(standing.countries.as_slice(), [at("CN-GD")]);
    let whole_first = [ev(Attested, "CN"), ev(Declared, "CN-GD")];
    let standing = weigh(&whole_first, Conflict::Refuse).expect("settled");
    assert_eq!(standing.countries.as_slice(), [at("CN"), at("CN-GD")]);
    assert_eq!(standing.home_by, at("CN"));
}

#[test]
fn refuse_means_claims_and_leaves_the_network_out() {
    use EvidenceKind::*;
    let claims = [ev(Declared, "CN"), ev(Phone, "RU")];
    assert_eq!(weigh(&claims, Conflict::Refuse), Err(Unsettled::Conflict));
    let traveller = [ev(Declared, "CN"), ev(Network, "SG"), ev(Phone, "CN")];
    let standing = weigh(&traveller, Conflict::Refuse).expect("settled");
    assert_eq!(standing.countries.as_slice(), [at("CN")]);
    let network_first = [ev(Network, "SG"), ev(Declared, "CN"), ev(Phone, "RU")];
    assert_eq!(
        weigh(&network_first, Conflict::Refuse),
        Err(Unsettled::Conflict)
    );
}

#[test]
fn a_pin_of_two_countries_is_one_belief() {
    use EvidenceKind::*;
    let pin = [at("CN-GD"), at("DE")];
    let with_pin = |claims: &[Evidence]| {
        let pinned = pin.iter().map(|place| Evidence {
            kind: Pinned,
            place: *place,
        });
        claims.iter().copied().chain(pinned).collect::<Vec<_>>()
    };
    for (claims, differ) in [
        (&[][..], false),
        (&[ev(Network, "RU")], false),
        (&[ev(Declared, "CN")], false),
        (&[ev(Declared, "DE"), ev(Phone, "DE")], false),
        (&[ev(Declared, "RU")], true),
        (&[ev(Declared, "CN"), ev(Phone, "DE")], true),
    ] {
        assert_eq!(disagree(&with_pin(claims), &pin), differ, "{claims:?}");
    }
    let standing = weigh(&with_pin(&[]), Conflict::Refuse).expect("settled");
    assert_eq!(standing.countries.as_slice(), pin);
    assert!(!disagree(&with_pin(&[ev(Declared, "RU")]), &[]));
}

fn found() -> impl Strategy<Value = Vec<Evidence>> {
    let one = (
        prop::sample::select(EvidenceKind::ALL.to_vec()),
        prop::sample::select(vec!["CN", "CN-GD", "IN", "RU", "DE", "SG"]),
    );
    vec(one.prop_map(|(kind, place)| ev(kind, place)), 1..8)
}

#[test]
fn a_claim_of_another_shape_is_no_absence() {
    let read = |claim: serde_json::Value| read_claim(&claim);
    assert_eq!(read("ru".into()), read_text("RU"));
    for claim in [serde_json::json!(["RU", "IN"]), serde_json::json!({})] {
        assert_eq!(read(claim.clone()), Reading::Unreadable, "{claim}");
    }
    assert_eq!(read(serde_json::Value::Null), Reading::Nothing);
    assert_eq!(read(156.into()), Reading::Unreadable);
}

proptest! {
    #[test]
    fn weighing_keeps_its_promises(found in found()) {
        let all = weigh(&found, Conflict::All).expect("settled");
        let first = weigh(&found, Conflict::First).expect("settled");
        prop_assert_eq!(all.home_by, found[0].place);
        prop_assert_eq!(first.home_by, found[0].place);
        prop_assert_eq!(all.countries[0], found[0].place);
        prop_assert_eq!(first.countries.as_slice(), [found[0].place]);
        // Every declared country's law attaches, and nothing that was not evidenced.
        for e in &found {
            if e.kind.strength() == Strength::Declared {
                prop_assert!(all.countries.iter().any(|c| c.within(&e.place)));
            }
        }
        prop_assert!(all.countries.iter().all(|c| found.iter().any(|e| e.place == *c)));
        let mut distinct = all.countries.to_vec();
        distinct.sort();
        distinct.dedup();
        prop_assert_eq!(distinct.len(), all.countries.len());
        // Refusing is the same or a refusal, and never with agreement.
        match weigh(&found, Conflict::Refuse) {
            Ok(standing) => prop_assert_eq!(standing, all),
            Err(fault) => {
                prop_assert_eq!(fault, Unsettled::Conflict);
                prop_assert!(found.iter().any(|e| e.place.country() != found[0].place.country()));
            }
        }
    }

    #[test]
    fn more_evidence_never_takes_a_law_away(found in found(), more in found()) {
        let before = weigh(&found, Conflict::All).expect("settled");
        let longer: Vec<Evidence> = found.iter().chain(&more).copied().collect();
        let after = weigh(&longer, Conflict::All).expect("settled");
        prop_assert!(before.countries.iter().all(|c| after.countries.contains(c)));
    }

    #[test]
    fn any_text_reads_as_something(text in "\\PC{0,12}") {
        read_text(&text);
    }
}

#[test]
fn what_devices_and_registers_say_is_weaker_than_a_country() {
    let country = |code| Country::new(code).expect(code);
    for (text, reading) in [
        ("sv-SE", Reading::Weak(country("SE"))),
        (" fr-CA ", Reading::Weak(country("CA"))),
        ("en_IN.UTF-8", Reading::Weak(country("IN"))),
        ("Asia/Kolkata", Reading::Weak(country("IN"))),
        ("Etc/UTC", Reading::Nothing),
        ("es-419", Reading::Nothing),
        ("cn-GD", Reading::Country(at("CN-GD"))),
        ("CN_GD", Reading::Unreadable),
        ("US_IN", Reading::Unreadable),
        ("ES_CN", Reading::Unreadable),
        ("ind_CN", Reading::Unreadable),
        ("11010519491231002X", Reading::Identifier(country("CN"))),
        ("s1234567d", Reading::Identifier(country("SG"))),
        ("11010519491231003X", Reading::Unreadable),
        ("S1234567E", Reading::Unreadable),
        ("Mars/Olympus", Reading::Unreadable),
        // Bavaria or Belarus, Portugal or Brazil.
        ("de-by", Reading::Unreadable),
        ("pt-br", Reading::Unreadable),
        ("de-de", Reading::Country(at("DE-DE"))),
        ("DE-BY", Reading::Country(at("DE-BY"))),
        ("us-tx", Reading::Country(at("US-TX"))),
    ] {
        assert_eq!(read_text(text), reading, "{text}");
    }
    let body = ValueSource::parse("body:/locale").expect("a source");
    let kind = |text| evidence(&body, read_text(text)).map(|e| e.kind);
    assert_eq!(kind("hi-IN"), Some(EvidenceKind::Weak));
    assert_eq!(kind("S1234567D"), Some(EvidenceKind::Identifier));
    let claim = ValueSource::parse("jwt:zoneinfo").expect("a source");
    let told = evidence(&claim, read_text("Europe/Moscow"));
    assert_eq!(told.map(|e| e.kind), Some(EvidenceKind::Weak));
}
