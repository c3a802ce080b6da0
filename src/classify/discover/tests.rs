use proptest::prelude::*;

use super::*;
use crate::classify::json::check;

/// A vocabulary whose categories are all that the words know.
fn discovery() -> (Discovery, Vec<String>) {
    let mut keys: Vec<String> = vec!["user".to_owned()];
    keys.extend(Words::get().categories().map(str::to_owned));
    let all = keys.clone();
    let resolve = move |key: &str| {
        let at = all.iter().position(|k| k == key)?;
        Some(CategoryId(u8::try_from(at).unwrap()))
    };
    (Discovery::new(&resolve).unwrap(), keys)
}

fn found(body: &str) -> Vec<String> {
    let (discovery, keys) = discovery();
    check(body.as_bytes()).unwrap();
    let found = discovery.look(body.as_bytes(), &mut |_, _| {});
    let name = |at: usize| keys[at].clone();
    (0..keys.len())
        .filter(|at| found.contains(CategoryId(u8::try_from(*at).unwrap())))
        .map(name)
        .collect()
}

#[test]
fn names_say_what_a_field_holds() {
    for (name, category) in [
        ("customerEmail", "user.contact.email"),
        ("E-Mail", "user.contact.email"),
        ("birthdate", "user.demographic.date_of_birth"),
        ("DateOfBirth", "user.demographic.date_of_birth"),
        ("出生日期", "user.demographic.date_of_birth"),
        ("客户手机号", "user.contact.phone_number"),
        (
            "shenfenzheng",
            "user.government_id.national_identification_number",
        ),
        ("дата_рождения", "user.demographic.date_of_birth"),
        ("Номер паспорта", "user.government_id.passport_number"),
        ("जन्म तिथि", "user.demographic.date_of_birth"),
        ("आधार", "user.government_id.national_identification_number"),
        ("Geburtsdatum", "user.demographic.date_of_birth"),
        ("patientDiagnosis", "user.health.medical_diagnosis"),
        ("religion", "user.demographic.religious_belief"),
        ("sex", "user.demographic.gender"),
        ("heart_rate", "user.health.heart_rate"),
        (
            "codice_fiscale",
            "user.government_id.national_identification_number",
        ),
    ] {
        let body = format!(r#"{{"{name}":"x"}}"#);
        let found = found(&body);
        assert!(found.iter().any(|f| f == category), "{name}: {found:?}");
    }
    for name in [
        "sessions",
        "essex",
        "grace",
        "total",
        "state_machine",
        "lonely",
        "pan_europe",
    ] {
        assert_eq!(found(&format!(r#"{{"{name}":"x"}}"#)), [""; 0], "{name}");
    }
}

#[test]
fn values_say_what_a_field_holds_whatever_it_is_called() {
    for (value, category) in [
        (r#""asha@example.in""#, "user.contact.email"),
        (
            r#""write to <asha@example.in>, please""#,
            "user.contact.email",
        ),
        (r#""asha\u0040example.in""#, "user.contact.email"),
        (r#""+91 98765 43210""#, "user.contact.phone_number"),
        ("4111111111111111", "user.financial.credit_card"),
        (
            r#"["a",{"b":"DE89370400440532013000"}]"#,
            "user.financial.bank_account",
        ),
        (
            r#""11010519491231002X""#,
            "user.government_id.national_identification_number",
        ),
        (
            r#""id: S1234567D.""#,
            "user.government_id.national_identification_number",
        ),
        (r#""203.0.113.7""#, "user.device.ip_address"),
    ] {
        let found = found(&format!(r#"{{"x":{value}}}"#));
        assert_eq!(found, [category], "{value}");
    }
    assert_eq!(found(r#"{"asha@example.in":1}"#), ["user.contact.email"]);
    for value in [
        "null",
        "\"\"",
        "17",
        "1732406400000",
        "true",
        "\"2026-11-24T01:02:03Z\"",
        "\"1.25\"",
    ] {
        assert_eq!(found(&format!(r#"{{"x":{value}}}"#)), [""; 0], "{value}");
    }
    assert_eq!(found(r#"{"diagnosis":null}"#), [""; 0]);
}

#[test]
fn ages_are_told_where_they_can_be_read() {
    let (discovery, _) = discovery();
    let told = |body: &str| {
        let mut told = Vec::new();
        discovery.look(body.as_bytes(), &mut |what, _| told.push(what));
        told
    };
    assert_eq!(told(r#"{"dob":"2015-02-03"}"#), [Tells::Born]);
    assert_eq!(told(r#"{"child":{"age":12}}"#), [Tells::Age]);
    assert_eq!(told(r#"{"age":"unknown","dob":"spring","stage":3}"#), []);
}

#[test]
fn a_category_that_the_vocabulary_lacks_is_the_next_above() {
    let user = CategoryId(0);
    let health = CategoryId(1);
    let resolve = |key: &str| match key {
        "user" => Some(user),
        "user.health" => Some(health),
        _ => None,
    };
    let discovery = Discovery::new(&resolve).unwrap();
    let found = discovery.look(br#"{"diagnosis":"x"}"#, &mut |_, _| {});
    assert_eq!(found, CategorySet::from_iter([health]));
    let found = discovery.look(br#"{"email":"x"}"#, &mut |_, _| {});
    assert_eq!(found, CategorySet::from_iter([user]));
    assert!(Discovery::new(&|_| None).is_none());
}

proptest! {
    #[test]
    fn any_text_is_looked_at(text in "\\PC{0,60}", name in "\\PC{0,20}") {
        let body = serde_json::json!({ name: text, "list": [text] }).to_string();
        let (discovery, _) = discovery();
        discovery.look(body.as_bytes(), &mut |_, _| {});
    }
}
