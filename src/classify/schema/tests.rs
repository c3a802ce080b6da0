use std::collections::BTreeMap;

use super::*;
use crate::classify::{
    Age, Unreadable,
    evidence::{Reading as Told, read_value},
};

const USER: CategoryId = CategoryId(0);

const VOCABULARY: [&str; 6] = [
    "user",
    "user.contact.email",
    "user.contact.phone_number",
    "user.demographic.date_of_birth",
    "user.demographic.age_range",
    "system.operations",
];

fn resolve(key: &str) -> Option<CategoryId> {
    VOCABULARY
        .iter()
        .position(|k| *k == key)
        .and_then(|i| u8::try_from(i).ok())
        .map(CategoryId)
}

fn set(keys: &[&str]) -> CategorySet {
    keys.iter().map(|k| resolve(k).expect("known")).collect()
}

fn schema(strict: bool, fields: &[(&str, &str)]) -> Schema {
    let own = |(p, k): &(&str, &str)| ((*p).to_owned(), (*k).to_owned());
    Schema {
        fields: fields.iter().map(own).collect::<BTreeMap<_, _>>(),
        strict,
    }
}

fn person(strict: bool) -> Schema {
    schema(
        strict,
        &[
            ("/email", "user.contact.email"),
            ("/contacts/*/phone", "user.contact.phone_number"),
            ("/born", "user.demographic.date_of_birth"),
            ("/settings", "system.operations"),
        ],
    )
}

fn compiled(schema: &Schema, slots: &[&str]) -> CompiledSchema {
    CompiledSchema::compile(Some(schema), &[], slots, &resolve).expect("compiles")
}

#[test]
fn a_record_has_the_categories_of_its_fields() {
    let schema = compiled(&person(false), &[]);
    let of = |body: &str| schema.classify(body.as_bytes()).expect("sound").categories;
    assert_eq!(of("{}"), CategorySet::EMPTY);
    assert_eq!(
        of(r#"{"email":"a@example.com"}"#),
        set(&["user.contact.email"])
    );
    assert_eq!(
        of(r#"{"contacts":[{"phone":"+1"}],"settings":{"a":{"b":[1]}}}"#),
        set(&["user.contact.phone_number", "system.operations"])
    );
    // Non-personal only while every field is known and non-personal.
    assert_eq!(of(r#"{"settings":1}"#), set(&["system.operations"]));
    assert_eq!(
        of(r#"{"settings":1,"note":"x"}"#),
        set(&["system.operations", "user"])
    );
    assert_eq!(of(r#"{"contacts":[{"name":"x"}]}"#), set(&["user"]));
    assert_eq!(of(r#"{"contacts":null}"#), CategorySet::EMPTY);
}

#[test]
fn a_strict_schema_refuses_what_it_does_not_know_and_tells_no_name_of_it() {
    let schema = compiled(&person(true), &["/country"]);
    let classify = |body: &'static str| schema.classify(body.as_bytes()).expect("sound");
    let refused = |body| {
        let classified = classify(body);
        classified
            .refused
            .map(|part| schema.known_pointer(part).to_owned())
    };
    assert_eq!(
        refused(r#"{"email":"x","contacts":[],"country":"CN"}"#),
        None
    );
    assert_eq!(refused(r#"{"Ada Example":1}"#).as_deref(), Some(""));
    assert_eq!(
        refused(r#"{"contacts":[{"phone":"1"},{"Ada":{"Example":1}}]}"#).as_deref(),
        Some("/contacts/*")
    );
    assert_eq!(
        refused(r#"{"country":{"code":1}}"#).as_deref(),
        Some("/country")
    );
    assert_eq!(classify(r#"{"x":[1,2,{}],"y":3}"#).unknown_fields, 4);
    // Known by a source alone: not refused, but `user`.
    assert_eq!(classify(r#"{"country":"CN"}"#).categories, set(&["user"]));
}

#[test]
fn slots_give_the_values_of_the_sources() {
    let schema = compiled(
        &person(false),
        &["/id", "/contacts/*/phone", "/settings/country"],
    );
    let body =
        br#"{"settings":{"country":"CN"},"contacts":[{"phone":"+86 1"},{"phone":null}],"id":7}"#;
    let found = schema.classify(body).expect("sound");
    assert_eq!(found.all(1).count(), 2);
    assert_eq!(
        found.first(2).map(|v| read_value(&v)),
        Some(Told::Country("CN".parse().unwrap()))
    );
    assert!(matches!(found.first(0), Some(Value::Number(n)) if n.as_u64() == Some(7)));
    assert_eq!(found.first(3), None);
    // Covered by `/settings` and `/contacts/*/phone`, so only `/id` counts as `user`.
    assert_eq!(
        found.categories,
        set(&["system.operations", "user.contact.phone_number", "user"])
    );
}

#[test]
fn of_all_dates_of_birth_and_ages_none_is_passed_over() {
    let fields = [
        ("/born", "user.demographic.date_of_birth"),
        ("/people/*/born", "user.demographic.date_of_birth"),
        ("/age", "user.demographic.age_range"),
        ("/group", "user.demographic.age_range"),
    ];
    let schema = compiled(&schema(false, &fields), &["/born"]);
    let age = |found: &Classified<'_>| Age::read(found.ages(), found.births());
    let read = |body: &'static str| schema.classify(body.as_bytes()).expect("sound");
    let born = |day: &str| Some(day.parse().expect("a day"));
    for (body, years, born) in [
        (
            r#"{"born":null,"people":[{"born":"2018-01-01"}]}"#,
            None,
            born("2018-01-01"),
        ),
        (
            r#"{"born":" ","people":[{"born":"2018-01-01"},{}]}"#,
            None,
            born("2018-01-01"),
        ),
        (
            r#"{"born":"1980-01-01","people":[{"born":"2018-01-01"},{"born":""}]}"#,
            None,
            born("2018-01-01"),
        ),
        (r#"{"age":"40","group":"13-17"}"#, Some(13), None),
        (
            r#"{"group":9,"born":"1980-01-01","age":null}"#,
            Some(9),
            born("1980-01-01"),
        ),
        (r#"{"age":"","born":null}"#, None, None),
    ] {
        assert_eq!(age(&read(body)), Ok(Age { years, born }), "{body}");
    }
    // No other hides one that cannot be read.
    for body in [
        r#"{"born":"soon","people":[{"born":"2018-01-01"}]}"#,
        r#"{"age":40,"group":{}}"#,
    ] {
        assert_eq!(age(&read(body)), Err(Unreadable), "{body}");
    }
    let mut both = read(r#"{"born":"1980-01-01"}"#);
    both.join(read(r#"{"born":"2018-01-01"}"#));
    assert_eq!(age(&both).map(|a| a.born), Ok(born("2018-01-01")));
    assert_eq!(both.all(0).count(), 2);
    let many = format!(
        r#"{{"people":[{}]}}"#,
        [r#"{"born":1}"#; MAX_VALUES + 1].join(",")
    );
    assert!(schema.classify(many.as_bytes()).expect("sound").overfull);
}

/// A category by its older name is the same one.
#[test]
fn an_alias_tells_the_age_too() {
    let resolve = |key: &str| match key {
        "user.children.age" => resolve("user.demographic.age_range"),
        key => resolve(key),
    };
    let schema = schema(false, &[("/age", "user.children.age")]);
    let schema = CompiledSchema::compile(Some(&schema), &[], &[], &resolve).expect("compiles");
    let found = schema.classify(br#"{"age":9}"#).expect("sound");
    assert_eq!(found.ages().count(), 1);
}

#[test]
fn routes_without_a_schema_say_it_all_at_once() {
    let fixed = ["user.contact.email".to_owned()];
    let schema = CompiledSchema::compile(None, &fixed, &[], &resolve).expect("compiles");
    let found = schema.classify(br#"{"anything":1}"#).expect("sound");
    assert_eq!(found.categories, set(&["user.contact.email"]));
    assert_eq!(
        schema.categories_without_body(),
        set(&["user.contact.email"])
    );

    let schema = CompiledSchema::compile(None, &[], &["/c"], &resolve).expect("compiles");
    let found = schema.classify(br#"{"c":"CN"}"#).expect("sound");
    assert_eq!(found.categories, set(&["user"]));
    assert!(found.first(0).is_some());
    assert_eq!(schema.categories_without_body(), set(&["user"]));

    let all = set(&[
        "user.contact.email",
        "user.contact.phone_number",
        "user.demographic.date_of_birth",
        "system.operations",
    ]);
    let strict = compiled(&person(true), &[]).categories_without_body();
    let open = compiled(&person(false), &[]).categories_without_body();
    assert_eq!(strict, all);
    assert_eq!(open, all.union(CategorySet::from_iter([USER])));
}

#[test]
fn only_an_object_is_a_record() {
    let schema = compiled(&person(false), &[]);
    let kind = |body: &str| schema.classify(body.as_bytes()).expect_err("refused").kind;
    use crate::classify::json::JsonFaultKind::*;
    assert_eq!(kind("[{}]"), NotAnObject);
    assert_eq!(kind(" 7"), NotAnObject);
    assert_eq!(kind(r#"{"a":1,"a":1}"#), DuplicateKey);
}

#[test]
fn a_key_that_others_would_take_for_one_that_decides_is_refused() {
    let fields = [
        ("/email", "user.contact.email"),
        ("/person/born", "user.demographic.date_of_birth"),
        ("/ID", "user"),
        ("/tags/*/kind", "user"),
    ];
    let slots = ["/country", "/id", "/person/k", "/list/*/s"];
    let schema = compiled(&schema(false, &fields), &slots);
    let kind = |body: &str| schema.classify(body.as_bytes()).map_err(|f| f.kind).err();
    use crate::classify::json::JsonFaultKind::LetterCase;
    for body in [
        r#"{"country":"SG","Country":"BR"}"#,
        r#"{"COUNTRY":"BR"}"#,
        r#"{"\u0043ountry":"BR"}"#,
        r#"{"country":"SG","country\u0000":"BR"}"#,
        r#"{"person":{"k\u0000x":"BR"}}"#,
        r#"{"Countr\u0079\u0000":"BR"}"#,
        r#"{"Person":{"born":"2018-01-01"}}"#,
        r#"{"person":{"Born":"2018-01-01"}}"#,
        // The signs of Kelvin and of the long s.
        r#"{"person":{"\u212a":"x"}}"#,
        "{\"person\":{\"\u{212a}\":\"x\"}}",
        "{\"list\":[{},{\"\u{17f}\":\"x\"}]}",
    ] {
        assert_eq!(kind(body), Some(LetterCase), "{body}");
    }
    for body in [
        // Named by the schema, elsewhere, of no weight, or another name.
        r#"{"id":1,"ID":2}"#,
        r#"{"other":{"Country":"BR"}}"#,
        r#"{"Email":"x","tags":[{"Kind":1}]}"#,
        r#"{"countries":1,"Countrý":1,"\u0000country":1,"country\u0001":1}"#,
    ] {
        assert_eq!(kind(body), None, "{body}");
    }
}

#[test]
fn too_many_values_are_told_rather_than_dropped() {
    let schema = compiled(&person(false), &["/contacts/*/country"]);
    let body = |n: usize| {
        let one = r#"{"country":"CN"}"#;
        format!(r#"{{"contacts":[{}]}}"#, vec![one; n].join(","))
    };
    let (fits, over) = (body(MAX_VALUES), body(MAX_VALUES + 1));
    assert!(!schema.classify(fits.as_bytes()).expect("sound").overfull);
    assert!(schema.classify(over.as_bytes()).expect("sound").overfull);
}

#[test]
fn every_mistake_is_told_at_once() {
    let schema = schema(
        false,
        &[("/a", "user.nonsense"), ("b", "user.contact.email")],
    );
    let fixed = ["nothing".to_owned()];
    let faults =
        CompiledSchema::compile(Some(&schema), &fixed, &["/~"], &resolve).expect_err("refused");
    assert_eq!(faults.len(), 4, "{faults:?}");
    let none = |_: &str| None;
    let faults = CompiledSchema::compile(None, &[], &[], &none).expect_err("refused");
    assert_eq!(faults, [SchemaFault::NoUserCategory]);
}

#[test]
fn dotted_names_are_the_members_they_stand_for() {
    let fields = [
        ("/address/city/name", "user.contact.email"),
        ("/contacts/*/phone", "user.contact.phone_number"),
    ];
    let schema = schema(true, &fields);
    let slots = ["/address/country", "/tags/*"];
    let dotted = CompiledSchema::compile_dotted(Some(&schema), &[], &slots, &resolve);
    let dotted = dotted.expect("compiles");
    let read = |body: &'static str| dotted.classify(body.as_bytes()).expect(body);
    for body in [
        r#"{"address":{"city":{"name":"x"},"country":"DE"}}"#,
        r#"{"address.city":{"name":"x"},"address.country":"DE"}"#,
        r#"{"address":{"city.name":"x"},"address.country":"DE"}"#,
        r#"{"address.city.name":"x","address":{"country":"DE"}}"#,
    ] {
        let found = read(body);
        assert!(found.refused.is_none(), "{body}");
        assert!(
            found
                .categories
                .contains(resolve("user.contact.email").unwrap()),
            "{body}"
        );
        assert_eq!(found.all(0).count(), 1, "{body}");
    }
    for body in [
        r#"{"contacts":[{"phone":"1"}]}"#,
        r#"{"contacts":{"phone":"1"}}"#,
        r#"{"contacts.phone":["1"]}"#,
    ] {
        let phone = resolve("user.contact.phone_number").unwrap();
        assert!(read(body).categories.contains(phone), "{body}");
    }
    // Both spellings in one document are two values, and an array is not its elements.
    let both = read(r#"{"address":{"country":"DE"},"address.country":"RU","tags":["a","b"]}"#);
    assert_eq!((both.all(0).count(), both.all(1).count()), (2, 2));
    let plain = CompiledSchema::compile(Some(&schema), &[], &slots, &resolve).expect("compiles");
    let plain = plain
        .classify(br#"{"address.country":"DE"}"#)
        .expect("read");
    assert!(plain.refused.is_some());
}

/// Documents as Elasticsearch flattens them.
#[test]
fn an_array_of_objects_is_each_of_them() {
    let fields = [
        ("/address/city/name", "user.contact.email"),
        ("/contacts/*/phone", "user.contact.phone_number"),
        ("/person/born", "user.demographic.date_of_birth"),
    ];
    let schema = schema(true, &fields);
    let slots = [
        "/address/country",
        "/contacts/*/land",
        "/lands/*",
        "/country",
    ];
    let flat = CompiledSchema::compile_dotted(Some(&schema), &[], &slots, &resolve);
    let flat = flat.expect("compiles");
    for (body, slot, count) in [
        (r#"{"address":[{"country":"RU"}]}"#, 0, 1),
        (r#"{"address":[[{},{"country":"RU"}],[]]}"#, 0, 1),
        (
            r#"{"address":[{"country":"RU"},{"country":"DE"}],"address.country":"IN"}"#,
            0,
            3,
        ),
        (r#"{"contacts":[{"land":"RU"},[{"land":"DE"}]]}"#, 1, 2),
        (r#"{"contacts":{"land":"RU"},"contacts.land":"DE"}"#, 1, 2),
        (r#"{"lands":["RU","DE"]}"#, 2, 2),
        (r#"{"lands":"RU"}"#, 2, 1),
        (r#"{"lands":[]}"#, 2, 0),
    ] {
        let found = flat.classify(body.as_bytes()).expect(body);
        assert!(found.refused.is_none(), "{body}");
        assert_eq!(found.all(slot).count(), count, "{body}");
    }
    let read = |body: &'static str| flat.classify(body.as_bytes()).expect(body);
    // Which is no country: the record is refused.
    let array = read(r#"{"country":["RU"]}"#);
    assert!(matches!(array.first(3), Some(Value::Array)));
    let city = read(r#"{"address":[{"city":[{"name":"x"}]}]}"#);
    assert!(city.refused.is_none());
    assert!(
        city.categories
            .contains(resolve("user.contact.email").unwrap())
    );
    assert_eq!(
        read(r#"{"person":[{"born":"2018-01-01"}]}"#)
            .births()
            .count(),
        1
    );
    assert!(read(r#"{"address":[{"other":1}]}"#).refused.is_some());
    assert!(read(r#"{"address":["x"]}"#).refused.is_some());
    let kind = |body: &str| flat.classify(body.as_bytes()).map_err(|f| f.kind).err();
    use crate::classify::json::JsonFaultKind::{DotAtEnd, LetterCase};
    for body in [
        r#"{"country":"DE","country.":"RU"}"#,
        r#"{"address.country.":"RU"}"#,
        r#"{"address":{"country..":"RU"}}"#,
        r#"{"address":[{"country\u002e":"RU"}]}"#,
        r#"{"address.":{"country":"RU"}}"#,
        r#"{"address.city.":{"name":"x"}}"#,
    ] {
        assert_eq!(kind(body), Some(DotAtEnd), "{body}");
    }
    assert_eq!(kind(r#"{"address":[{"Country":"RU"}]}"#), Some(LetterCase));
    assert_eq!(kind(r#"{"other":{"Mr.":1}}"#), None);
    // Other routes' documents are read as they stand.
    let plain = CompiledSchema::compile(None, &[], &slots, &resolve).expect("compiles");
    let found = plain.classify(br#"{"address":[{"country":"RU"}],"country.":1}"#);
    assert_eq!(found.expect("read").values().count(), 0);
}

#[test]
fn long_pointers_have_two_spellings() {
    let spelt = |pointer: &str| -> Vec<String> {
        let all = spellings(pointer).into_iter();
        all.map(|(way, lone)| if lone { way + " alone" } else { way })
            .collect()
    };
    assert_eq!(
        spelt("/a/b/c/d/e/f/g"),
        ["/a/b/c/d/e/f/g", "/a.b.c.d.e.f.g"]
    );
    assert_eq!(spelt("/a/b/c/d/e/f").len(), 32);
    assert_eq!(spelt("/a/b"), ["/a/b", "/a.b"]);
    assert_eq!(spelt("/a.b"), ["/a/b", "/a.b"]);
    assert_eq!(spelt("/a/*/b"), ["/a/b", "/a.b"]);
    assert_eq!(spelt("/a"), ["/a"]);
    assert_eq!(spelt("/a/*"), ["/a/*", "/a alone"]);
    assert_eq!(spelt("/*"), ["/*"]);
}
