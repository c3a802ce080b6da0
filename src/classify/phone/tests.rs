use std::collections::BTreeMap;

use phonenumber::metadata::DATABASE;
use proptest::prelude::*;

use super::*;

fn read(text: &str) -> Option<String> {
    country(text).map(|c| c.to_string())
}

fn all(pairs: &[(&str, &str)]) {
    for (text, expected) in pairs {
        let expected = (!expected.is_empty()).then(|| (*expected).to_owned());
        assert_eq!(read(text), expected, "{text}");
    }
}

#[test]
fn the_five_regions_and_the_shared_plans() {
    all(&[
        ("+86 138 0013 8000", "CN"),
        ("+852 2123 4567", "HK"),
        ("+853 2821 2345", "MO"),
        ("+886 2 2123 4567", "TW"),
        ("+91 98765 43210", "IN"),
        ("+65 6123 4567", "SG"),
        ("+49 (0) 30 901820", "DE"),
        ("+44 (0)20 7946 0000", "GB"),
        ("+7 495 123-45-67", "RU"),
        ("+7 301 212 34 56", "RU"),
        ("+7.812.123.45.67", "RU"),
        ("+7 978 123-45-67", "RU"),
        ("+7 840 123-45-67", "RU"),
        ("+7 727 212 34 56", "KZ"),
        ("+7 701 123 45 67", "KZ"),
        ("+7 600 123 45 67", "KZ"),
        ("+7 100 123 45 67", ""),
        ("+1 202 555 0100", "US"),
        ("+1 (416) 555-0100", "CA"),
        ("+1 600 555 0100", "CA"),
        ("+1 876 555 0100", "JM"),
        ("+1 787 555 0100", "PR"),
        ("+1 809 555 0100", "DO"),
        ("+1 671 555 0100", "GU"),
        ("+1 800 555 0100", ""),
        ("+1 888 555 0100", ""),
        ("+1 900 555 0100", ""),
        ("+1 500 555 0100", ""),
        ("+1 211 555 0100", ""),
        ("+44 1481 912345", "GG"),
        ("+44 (0)1534 412345", "JE"),
        ("+44 1624 712345", "IM"),
        ("+44 7911 123456", "GG"),
        ("+44 7700 900123", "GB"),
        ("+39 06 1234 5678", "IT"),
        ("+39 (0)6 698 12345", "VA"),
        ("+39 06 698 12345", "VA"),
        ("+47 22 12 34 56", "NO"),
        ("+47 79 12 34 56", "SJ"),
        ("+61 2 5550 1234", "AU"),
        ("+61 8 9162 1234", "CC"),
        ("+61 8 9164 1234", "CX"),
        ("+212 5288 12345", "EH"),
        ("+212 6501 23456", "MA"),
        ("+262 262 12 34 56", "RE"),
        ("+262 269 61 23 45", "YT"),
        ("+262 639 01 23 45", "YT"),
        ("+290 22158", "SH"),
        ("+290 8999 12", "SH"),
        ("+247 62889", "SH"),
        ("+358 18 12345", "AX"),
        ("+358 41 2345678", "FI"),
        ("+590 690 00 12 34", "GP"),
        ("+599 9 518 1234", "CW"),
        ("+599 318 1234", "BQ"),
        ("+500 31234", "FK"),
        ("+246 3709100", "IO"),
        ("+672 3 81234", "NF"),
        ("+672 1 06123", "NF"),
        ("+383 43 201 234", "XK"),
        ("+870 773 111 632", ""),
        ("+881 612 345 678", ""),
        ("+882 16 1234567", ""),
        ("+800 1234 5678", ""),
        ("+979 123 456 789", ""),
        ("+878 10 1234567890", ""),
        ("+210 1234567", ""),
        ("+999 1234567", ""),
    ]);
}

#[test]
fn what_is_no_international_number_is_none() {
    for text in [
        "",
        "+",
        "86 138 0013 8000",
        "008613800138000",
        "+86",
        "+86 1234",
        "+8613800138000123",
        "+86 138 0013 800x",
        "++8613800138000",
        "+86:13800138000",
        "+٨٦١٣٨٠٠١٣٨٠٠٠",
        "+0 1234567",
    ] {
        assert_eq!(country(text), None, "{text}");
    }
}

#[test]
fn a_number_is_digits_and_what_stands_between_them() {
    for text in [
        "13800138000",
        "+86 138 0013/8000",
        "+870 773 111 632",
        " (020) 7946-0000 ",
        "030/901820",
        "008613800138000",
        "1234",
        "12-34-56",
        "0",
        "000",
    ] {
        assert!(is_phone(text), "{text}");
    }
    for text in [
        "",
        "+",
        "()",
        "CN",
        "+CN",
        "8 (800) ring",
        "1+2345678",
        "12:30:45:00",
        "156",
        "076",
        "1-5-6",
        "+12",
        "+86 138",
        "+8613800138000123",
        "+0 1234567",
    ] {
        assert!(!is_phone(text), "{text}");
    }
}

/// Every example number in libphonenumber's metadata, of every country and kind that the crate
/// carries, against the country under which it stands there.
#[test]
fn libphonenumbers_examples_read_as_their_country() {
    // Kinds whose numbers a country shares with its plan's main country, or which we give none.
    let differs = |id: &str, kind: &str, number: &str| -> Option<&'static str> {
        Some(match (id, kind) {
            // One country in ISO 3166-1.
            ("AC" | "TA", _) => "SH",
            // Within Guadeloupe's plan, see `codes`.
            ("BL" | "MF", _) => "GP",
            // Freephone, premium and personal numbers of the British, French, Australian,
            // Italian, Norwegian and Finnish plans belong to the plan's main country.
            ("GG" | "JE" | "IM", kind) if kind != "fixed" && kind != "mobile" => "GB",
            ("CC" | "CX", kind) if kind != "fixed" => "AU",
            ("SJ", kind) if kind != "fixed" => "NO",
            ("VA", kind) if kind != "fixed" => "IT",
            ("AX", kind) if kind != "fixed" => "FI",
            ("EH", kind) if kind != "fixed" => "MA",
            ("YT", "toll free") => "RE",
            // Both countries use +7 80x; see `codes`.
            ("KZ", "toll free" | "premium") => "RU",
            // Freephone and premium codes of +1 belong to no country.
            _ if number.starts_with("+1") && (kind == "toll free" || kind == "premium") => "",
            // +1 5xx, which libphonenumber carries under each country of the plan.
            _ if number.starts_with("+15") && kind == "voip" => "",
            _ => return None,
        })
    };
    let (mut seen, mut wrong) = (0, BTreeMap::new());
    for data in DATABASE.iter().filter(|d| d.id() != "001") {
        let id = data.id();
        let d = data.descriptors();
        let kinds = [
            ("fixed", d.fixed_line()),
            ("mobile", d.mobile()),
            ("toll free", d.toll_free()),
            ("premium", d.premium_rate()),
            ("voip", d.voip()),
        ];
        for (kind, descriptor) in kinds {
            let Some(example) = descriptor.and_then(|d| d.example()) else {
                continue;
            };
            let number = format!("+{}{example}", data.country_code());
            if number.len() < 8 {
                continue; // shorter than any number we read
            }
            seen += 1;
            let expected = differs(id, kind, &number).unwrap_or(id);
            let got = read(&number).unwrap_or_default();
            if got != expected {
                wrong.insert((id, kind), (number, got));
            }
        }
    }
    assert!(seen > 400, "{seen}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Every three-digit area code of +1 against the crate's own reading.
#[test]
fn every_area_code_is_what_libphonenumber_says_or_nobodys() {
    let mut assigned = 0;
    for area in 200..1000 {
        let text = format!("+1{area}2345678");
        let theirs = phonenumber::parse(None, &text)
            .ok()
            .filter(phonenumber::is_valid)
            .and_then(|n| n.country().id())
            .map(|id| format!("{id:?}"));
        let ours = read(&text);
        let Some(ours) = ours else { continue };
        assigned += 1;
        if let Some(theirs) = theirs {
            assert_eq!(ours, theirs, "{area}");
        }
    }
    assert!(assigned > 420, "{assigned}");
}

proptest! {
    #[test]
    fn any_text_is_read_without_panic(text in "\\PC{0,24}", digits in "\\+[0-9() .-]{0,24}") {
        country(&text);
        country(&digits);
    }

    #[test]
    fn separators_change_nothing(digits in "[1-9][0-9]{6,14}", cuts in proptest::collection::vec(0..15usize, 0..4)) {
        let mut text = format!("+{digits}");
        for cut in cuts {
            let at = 1 + cut % digits.len();
            text.insert(at, [' ', '-', '.', '/'][cut % 4]);
        }
        prop_assert_eq!(country(&text), country(&format!("+{digits}")));
    }
}
