//! Broken settings, each with the place and the words it is refused with.

mod table;

use super::{BASE, read_with, summaries};

use table::{BROKEN, ROUTE};

#[test]
fn every_mistake_is_told_at_its_place() {
    let mut differing = Vec::new();
    for (old, new, wanted) in BROKEN {
        let text = match *old {
            ROUTE => format!("{BASE}{new}"),
            old => {
                assert!(BASE.contains(old), "{old}");
                BASE.replacen(old, new, 1)
            }
        };
        let (read, faults) = read_with(&text, &[]);
        let told = summaries(&faults);
        assert!(read.is_none(), "{new}");
        let wanted = format!("t.toml:{wanted}");
        if told.len() != 1 || !told[0].starts_with(&wanted) {
            differing.push(format!("{new}\nwanted {wanted}\ntold {told:#?}"));
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
    assert!(BROKEN.len() >= 40);
}

#[test]
fn all_mistakes_of_a_file_are_told_at_once() {
    let text = r#"mode = "obsrve"
location = { country = "ZZ" }
policy = "x"

[limits]
idle = "0s"
record_bytes = "big"

[regions.eu]
country = "UK"
entity = "acme-eu"
endpoints = ["ftp://x:1", "http://h"]

[[routes]]
path = "x"
format = "record"
country = ["nowhere", "jwt:c"]
schema = "person"
"#;
    let (read, faults) = read_with(text, &[("DOMICILE__LIMITS__BATCH_ITEMS", "-1")]);
    assert!(read.is_none());
    let told = summaries(&faults);
    let wanted = [
        "environment variable DOMICILE__LIMITS__BATCH_ITEMS: `-1` is not between",
        "t.toml:1:1: missing key `policies`",
        "t.toml:1:8: `obsrve` is not known here (did you mean `observe`?)",
        "t.toml:2:12: missing key `entity`",
        "t.toml:2:24: `ZZ`: no such country",
        "t.toml:3:1: unknown key `policy`",
        "t.toml:6:8: the duration",
        "t.toml:7:16: expected a size",
        "t.toml:10:11: `UK`: no such country",
        "t.toml:12:14: the endpoint is no http or https address",
        "t.toml:12:27: the endpoint has no port",
        "t.toml:14:1: the route needs a `subject`",
        "t.toml:15:8: `x` must start with `/`",
        "t.toml:17:12: `nowhere` is no source",
        "t.toml:18:10: there is no schema `person`",
        "t.toml:17:23: `jwt:c` is never evidence",
    ];
    assert_eq!(told.len(), wanted.len(), "{told:#?}");
    for (told, wanted) in told.iter().zip(wanted) {
        assert!(told.starts_with(wanted), "wanted {wanted}\ntold {told}");
    }
}

#[test]
fn an_empty_file_misses_what_must_stand() {
    let (read, faults) = read_with("", &[]);
    assert!(read.is_none());
    let told = summaries(&faults);
    for key in ["location", "policies", "regions", "routes"] {
        assert!(
            told.contains(&format!("t.toml:1:1: missing key `{key}`")),
            "{told:#?}"
        );
    }
    assert_eq!(told.len(), 4);
}

/// In whatever build: without the section nothing asks for them.
#[test]
fn fields_for_a_collector_that_is_not_there_are_told() {
    let given = [("DOMICILE__OTLP__HEADERS", "x-api-key=hidden-word")];
    let (read, faults) = read_with(BASE, &given);
    assert!(read.is_some());
    let told = summaries(&faults).join("\n");
    assert!(told.contains("DOMICILE__OTLP__HEADERS"), "{told}");
    assert!(told.contains("without a section [otlp]"), "{told}");
    assert!(!told.contains("hidden-word"), "{told}");
}

#[test]
fn a_fault_of_the_environment_is_rendered_with_its_variable() {
    let (_, faults) = read_with(BASE, &[("DOMICILE__LIMITS__IDEL", "1s")]);
    let shown = faults[0].render(false);
    assert!(shown.starts_with("error: unknown setting\n"), "{shown}");
    assert!(shown.contains("environment variable DOMICILE__LIMITS__IDEL"));
    assert!(shown.contains("did you mean DOMICILE__LIMITS__IDLE?"));
}

/// Each value of a document, one at a time: taken out, and of another type.
fn spoiled(document: &toml::Value) -> Vec<toml::Value> {
    use toml::Value;
    let put = |place: &mut dyn FnMut(Option<Value>) -> Value| {
        [
            None,
            Some(Value::Array(Vec::new())),
            Some(Value::Integer(-7)),
        ]
        .map(place)
    };
    match document {
        Value::Table(table) => table
            .iter()
            .flat_map(|(key, value)| {
                let with = |value: Option<Value>| {
                    let mut table = table.clone();
                    table.remove(key);
                    table.extend(value.map(|v| (key.clone(), v)));
                    Value::Table(table)
                };
                let own = put(&mut { with });
                let below = spoiled(value).into_iter();
                own.into_iter()
                    .chain(below.map(|v| with(Some(v))))
                    .collect::<Vec<_>>()
            })
            .collect(),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .flat_map(|(at, item)| {
                let with = |item: Value| {
                    let mut items = items.clone();
                    items[at] = item;
                    Value::Array(items)
                };
                spoiled(item).into_iter().map(with).collect::<Vec<_>>()
            })
            .collect(),
        _ => Vec::new(),
    }
}

#[test]
fn one_mistake_makes_no_other_key_unknown() {
    let wholes = [
        super::digest::WHOLE.to_owned(),
        super::sound::WHOLE.replace("people as lines", "people-lines"),
    ];
    let mut tried = 0;
    for whole in wholes {
        let document: toml::Value = toml::from_str(&whole).unwrap();
        for text in spoiled(&document) {
            let text = toml::to_string(&text).unwrap();
            let (_, faults) = read_with(&text, &[]);
            let unknown: Vec<_> = summaries(&faults)
                .into_iter()
                .filter(|told| told.contains("unknown key"))
                .collect();
            assert!(unknown.is_empty(), "{unknown:#?} in\n{text}");
            tried += 1;
        }
    }
    assert!(tried > 300, "{tried}");
}
