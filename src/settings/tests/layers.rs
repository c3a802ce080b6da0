//! The environment over the file.

use std::time::Duration;

use http::Method;

use super::{BASE, read_with, sound, summaries};
use crate::settings::*;

#[test]
fn variables_override_add_and_are_read_as_their_keys_expect() {
    let settings = sound(
        BASE,
        &[
            ("PATH", "/bin"),
            ("DOMICILE_LIMITS_IDLE", "not ours: one underscore"),
            ("DOMICILE__LOCATION__COUNTRY", "DE"),
            ("DOMICILE__OPERATOR_URI", "https://example.com/why"),
            ("DOMICILE__LIMITS__RECORD_BYTES", "4096"),
            ("DOMICILE__LIMITS__BATCH_ITEMS", "7"),
            ("domicile__limits__idle", "5m"),
            ("DOMICILE__LOG__JSON", "TRUE"),
            ("DOMICILE__DATA_PLANE__TRUSTED", "10.0.0.0/8, 127.0.0.1"),
            ("DOMICILE__DATA_PLANE__PROXIES", ""),
            ("DOMICILE__REGIONS__EU__COUNTRY", "NL"),
            ("DOMICILE__REGIONS__CN_NORTH__COUNTRY", "CN"),
            ("DOMICILE__REGIONS__CN_NORTH__ENTITY", "acme-cn"),
            (
                "DOMICILE__REGIONS__CN_NORTH__ENDPOINTS",
                "http://cn:1,http://cn:2",
            ),
            ("DOMICILE__SCHEMAS__PERSON__STRICT", "true"),
            ("DOMICILE__ROUTES__0__METHODS", "GET,PUT"),
            ("DOMICILE__ROUTES__0__UNKNOWN_HOME", "cn-north"),
            ("DOMICILE__ROUTES__1__PATH", "/people"),
            ("DOMICILE__ROUTES__1__FORMAT", "array"),
            ("DOMICILE__ROUTES__1__SUBJECT", "body:/id"),
            ("DOMICILE__ROUTES__1__ATOMIC", "true"),
            (
                "DOMICILE__ROUTES__1__UPSTREAM__EACH",
                "PUT /people/{subject}",
            ),
            ("DOMICILE__PROBES__LISTEN", "127.0.0.1:9091"),
        ],
    );
    assert_eq!(settings.location.place.to_string(), "DE");
    assert_eq!(settings.limits.record_bytes, 4096);
    assert_eq!(settings.limits.batch_items, 7);
    assert_eq!(settings.limits.idle, Duration::from_secs(300));
    assert!(settings.log.json);
    assert_eq!(settings.data_plane.trusted.len(), 2);
    assert!(settings.probes.is_some());
    assert_eq!(settings.regions[0].place.to_string(), "NL");
    let cn = &settings.regions[2];
    assert_eq!((cn.name.as_ref(), cn.endpoints.len()), ("cn-north", 2));
    assert!(settings.schemas["person"].strict);
    assert_eq!(settings.routes[0].methods, [Method::GET, Method::PUT]);
    assert_eq!(settings.routes[0].path.text, "/people/{subject}");
    assert!(settings.routes[1].atomic);
    assert!(matches!(
        settings.routes[1].upstream,
        UpstreamShape::Each { .. }
    ));
}

#[test]
fn eleven_routes_can_come_from_the_environment_alone() {
    let without = BASE.split("[[routes]]").next().expect("a head");
    let variables: Vec<(String, String)> = (0..11)
        .flat_map(|i| {
            [
                (format!("DOMICILE__ROUTES__{i}__PATH"), format!("/{i}")),
                (
                    format!("DOMICILE__ROUTES__{i}__FORMAT"),
                    "opaque".to_owned(),
                ),
            ]
        })
        .collect();
    let variables: Vec<(&str, &str)> = variables
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_str()))
        .collect();
    let settings = sound(without, &variables);
    assert_eq!(settings.routes[10].path.text, "/10");
}

#[test]
fn names_meet_whatever_their_case() {
    let text = BASE
        .replace("schemas.person", "schemas.Person")
        .replace("\"person\"", "\"Person\"")
        .replace("regions.eu", "regions.eu-west");
    let settings = sound(
        &text,
        &[
            ("DOMICILE__SCHEMAS__PERSON__STRICT", "true"),
            ("DOMICILE__REGIONS__EU_WEST__COUNTRY", "FR"),
        ],
    );
    assert!(settings.schemas["Person"].strict);
    assert_eq!(settings.regions.len(), 2);
    assert_eq!(settings.regions[0].place.to_string(), "FR");
}

#[test]
fn bad_variables_are_faults_that_name_them() {
    for (name, value, message) in [
        (
            "DOMICILE__LIMITS__IDEL",
            "1s",
            "unknown setting (did you mean DOMICILE__LIMITS__IDLE?)",
        ),
        (
            "DOMICILE__REGIONS__EU__CONTRY",
            "DE",
            "unknown setting (did you mean DOMICILE__REGIONS__EU__COUNTRY?)",
        ),
        // As a shell takes it.
        (
            "DOMICILE__REGIONS__SG_WEST__CONTRY",
            "SG",
            "unknown setting (did you mean DOMICILE__REGIONS__SG_WEST__COUNTRY?)",
        ),
        (
            "DOMICILE__BANANA__SPLIT__NOW__PLEASE",
            "x",
            "unknown setting (variables are",
        ),
        ("DOMICILE__", "x", "unknown setting"),
        (
            "DOMICILE__LIMITS",
            "x",
            "the variable names a table, not a key (set its keys one by one, such as DOMICILE__LIMITS__HEADER_BYTES)",
        ),
        ("DOMICILE__LIMITS__IDLE", "soon", "expected a duration"),
        (
            "DOMICILE__LIMITS__IDLE",
            "0s",
            "the duration is not between 1ms and",
        ),
        (
            "DOMICILE__LIMITS__BATCH_ITEMS",
            "many",
            "expected a whole number, found `many`",
        ),
        (
            "DOMICILE__LIMITS__BATCH_ITEMS",
            "0",
            "`0` is not between 1 and",
        ),
        (
            "DOMICILE__LOG__JSON",
            "yes",
            "expected true or false, found `yes`",
        ),
        (
            "DOMICILE__LOCATION__COUNTRY",
            "UK",
            "`UK`: no such country in ISO 3166-1 (did you mean `GB`?)",
        ),
        (
            "DOMICILE__SCHEMAS__PERSON__FIELDS",
            "{}",
            "the table can be given in the file alone",
        ),
        (
            "DOMICILE__ROUTES__7__PATH",
            "/x",
            "there is no entry 7 (entries count from 0; the next new one is 1)",
        ),
        ("DOMICILE__ROUTES__X__PATH", "/x", "unknown setting"),
        (
            "DOMICILE__ABROAD",
            "redirect",
            "`abroad` is not supported yet",
        ),
        (
            "DOMICILE__ROUTES__0__FORMAT",
            "object",
            "format `object` is not supported yet",
        ),
        (
            "DOMICILE__DATA_PLANE__LISTEN",
            "localhost:80",
            "`localhost:80` is no address",
        ),
        (
            "DOMICILE__OPERATOR_URI",
            "https://ex\u{fffd}.example",
            "the value is not UTF-8",
        ),
    ] {
        let (read, faults) = read_with(BASE, &[(name, value)]);
        assert!(read.is_none(), "{name}={value}");
        let told = summaries(&faults);
        let wanted = format!("environment variable {name}: {message}");
        assert!(
            told.len() == 1 && told[0].starts_with(&wanted),
            "{wanted}\n{told:#?}"
        );
    }
}

#[test]
fn one_variable_in_two_cases_is_a_fault() {
    let (read, faults) = read_with(
        BASE,
        &[
            ("DOMICILE__LOG__LEVEL", "info"),
            ("domicile__log__level", "debug"),
        ],
    );
    assert!(read.is_none());
    assert!(summaries(&faults)[0].contains("also set as `DOMICILE__LOG__LEVEL`"));
}
