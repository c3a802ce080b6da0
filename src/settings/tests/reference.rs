//! The table of keys against the reader, and the printed reference against the table.

use std::path::Path;

use super::{read_with, sound, summaries};
use crate::settings::{KEYS, Key, KeyDefault, KeyKind, reference};

/// Sound settings in which every section stands, each with the given line added to it.
pub(super) fn with(section: &str, line: &str) -> String {
    let lines = |name: &str| if name == section { line } else { "" };
    let without = |name: &str, given: &str| match line.split_once(" = ") {
        Some((key, _)) if section == name && given.starts_with(&format!("{key} = ")) => {
            String::new()
        }
        _ => format!("{given}\n"),
    };
    let mut out = String::new();
    let mut put = |name: &str, header: &str, given: &[&str]| {
        out.push_str(header);
        out.push('\n');
        given.iter().for_each(|g| out.push_str(&without(name, g)));
        out.push_str(lines(name));
        out.push('\n');
    };
    put("", "", &["policies = \"policies\"", "observe_to = \"sg\""]);
    put(
        "location",
        "[location]",
        &["country = \"SG\"", "entity = \"acme-sg\""],
    );
    put("data_plane", "[data_plane]", &[]);
    let pair = ["chain = \"a.pem\"", "key = \"a.key\""];
    let with_ca = match line.starts_with("client_ca ") {
        true => "",
        false => "client_ca = \"ca.pem\"",
    };
    put("data_plane.tls", "[data_plane.tls]", &[with_ca]);
    let certificates = "data_plane.tls.certificates.<n>";
    put(certificates, "[[data_plane.tls.certificates]]", &pair);
    put("admin", "[admin]", &[]);
    put("admin.tls", "[admin.tls]", &[with_ca]);
    let certificates = "admin.tls.certificates.<n>";
    put(certificates, "[[admin.tls.certificates]]", &pair);
    put("probes", "[probes]", &["listen = \"127.0.0.1:9091\""]);
    put("geoip", "[geoip]", &[]);
    put("jwt", "[jwt]", &["keys = \"jwks.json\""]);
    put("ledger", "[ledger]", &[]);
    put("directory", "[directory]", &[]);
    put("limits", "[limits]", &[]);
    put("reload", "[reload]", &[]);
    put("log", "[log]", &[]);
    put("access_log", "[access_log]", &["path = \"stdout\""]);
    put("otlp", "[otlp]", &["endpoint = \"http://127.0.0.1:4318\""]);
    if section == "otlp.tls" {
        put(section, "[otlp.tls]", &pair);
    }
    let region = [
        "country = \"SG\"",
        "entity = \"acme-sg\"",
        "endpoints = [\"http://127.0.0.1:7105\"]",
    ];
    put("regions.<name>", "[regions.sg]", &region);
    if section == "regions.<name>.tls" {
        put(section, "[regions.sg.tls]", &pair);
    }
    put(
        "regions.<name>.health",
        "[regions.sg.health]",
        &["path = \"/healthz\""],
    );
    put(
        "recipients.<name>",
        "[recipients.map-provider]",
        &["endpoints = [\"http://127.0.0.1:7205\"]"],
    );
    if section == "recipients.<name>.tls" {
        put(section, "[recipients.map-provider.tls]", &pair);
    }
    put(
        "schemas.<name>",
        "[schemas.person]",
        &["fields = { \"/id\" = \"user.unique_id\" }"],
    );
    let route = [
        "path = \"/people/{subject}\"",
        "format = \"array\"",
        "subject = \"body:/id\"",
    ];
    let route = match section {
        "routes.<n>" if line.starts_with("recipient") => [
            "path = \"/people/{subject}\"",
            "format = \"record\"\nsubject = \"path:subject\"",
            "schema = \"person\"\nupstream = { each = \"POST /x\" }",
        ],
        "routes.<n>" if line.starts_with("indices") => [
            "path = \"/_bulk\"",
            "format = \"bulk\"",
            "subject = \"bulk:id\"",
        ],
        "routes.<n>" if line.starts_with("pipelines") => [
            "path = \"/_bulk\"",
            "format = \"bulk\"\nindices = [\"*\"]",
            "subject = \"bulk:id\"",
        ],
        "routes.<n>" if line.starts_with("erase = \"subject\"") => [
            "path = \"/people/{subject}\"",
            "format = \"record\"",
            "subject = \"path:subject\"",
        ],
        "routes.<n>" if line.starts_with("subject = ") => {
            ["path = \"/people/{subject}\"", "format = \"record\"", ""]
        }
        _ => route,
    };
    put("routes.<n>", "[[routes]]", &route);
    put(
        "routes.<n>.upstream",
        if section == "routes.<n>.upstream" {
            "[routes.upstream]"
        } else {
            ""
        },
        &[],
    );
    out
}

/// Keys that need another beside them to be sound.
fn companion(key: &Key) -> &'static str {
    match key.path {
        "geoip.field" => "database = \"x.mmdb\"\n",
        _ => "",
    }
}

/// Keys whose files do not exist here.
fn needs_files(key: &Key) -> bool {
    matches!(
        key.path,
        "admin.token_file" | "directory.secret_file" | "otlp.headers_file"
    )
}

#[test]
fn every_example_is_sound_and_every_reserved_key_says_not_yet() {
    for key in KEYS.iter().filter(|key| !needs_files(key)) {
        let line = format!("{} = {}", key.name(), key.example);
        let line = match key.path {
            "admin.listen" => "listen = \"127.0.0.1:9999\"".to_owned(),
            _ => format!("{line}\n{}", companion(key)),
        };
        match key.kind {
            KeyKind::Secret => {}
            KeyKind::Later => {
                let (read, faults) = read_with(&with(key.section(), &line), &[]);
                let told = summaries(&faults);
                assert!(read.is_none(), "{}", key.path);
                assert!(
                    told[0].contains(&format!("`{}` is not supported yet", key.name())),
                    "{told:#?}"
                );
            }
            _ => drop(sound(&with(key.section(), &line), &[])),
        }
    }
}

#[test]
fn defaults_are_what_the_table_says() {
    let mut compared = 0;
    for key in KEYS {
        if let KeyDefault::Value(default) = key.default {
            let line = format!("{} = {default}", key.name());
            let written = sound(&with(key.section(), &line), &[]);
            let silent = sound(&with("", ""), &[]);
            assert_eq!(
                format!("{written:?}"),
                format!("{silent:?}"),
                "{}",
                key.path
            );
            compared += 1;
        }
    }
    assert!(compared > 30, "{compared}");
}

#[test]
fn required_keys_are_missed() {
    for key in KEYS
        .iter()
        .filter(|key| key.default == KeyDefault::Required)
    {
        let whole = with(key.section(), "");
        let name = key.name();
        let header = match key.section() {
            "" => String::new(),
            "routes.<n>" => "[[routes]]".to_owned(),
            "regions.<name>" => "[regions.sg]".to_owned(),
            "recipients.<name>" => "[recipients.map-provider]".to_owned(),
            "schemas.<name>" => "[schemas.person]".to_owned(),
            "regions.<name>.tls" => "[regions.sg.tls]".to_owned(),
            "regions.<name>.health" => "[regions.sg.health]".to_owned(),
            "recipients.<name>.tls" => "[recipients.map-provider.tls]".to_owned(),
            section if section.ends_with(".<n>") => {
                format!("[[{}]]", section.trim_end_matches(".<n>"))
            }
            section => format!("[{section}]"),
        };
        let (before, after) = whole.split_once(&header).expect("the section stands");
        let mut seen = false;
        let cut: String = after
            .lines()
            .filter(|line| {
                seen || {
                    seen = line.starts_with(&format!("{name} = "));
                    !seen
                }
            })
            .map(|line| format!("{line}\n"))
            .collect();
        let (read, faults) = read_with(&format!("{before}{header}{cut}"), &[]);
        let told = summaries(&faults);
        assert!(read.is_none(), "{}", key.path);
        assert!(
            told.iter()
                .any(|t| t.contains(&format!("missing key `{name}`"))),
            "{}: {told:#?}",
            key.path
        );
    }
}

/// An unknown key's hint lists what the reader asks for: exactly the table's keys.
#[test]
fn the_reader_asks_for_the_tables_keys_and_no_others() {
    let mut sections: Vec<&str> = KEYS.iter().map(Key::section).collect();
    sections.dedup();
    for section in sections {
        let (_, faults) = read_with(&with(section, "zzzzzzzzzzzzzzzz = 1"), &[]);
        let hint = faults
            .iter()
            .find(|f| f.message == "unknown key `zzzzzzzzzzzzzzzz`")
            .and_then(|f| f.hint.clone());
        let hint = hint.unwrap_or_else(|| panic!("{section}: {:#?}", summaries(&faults)));
        let listed = hint.strip_prefix("known here: ").expect("a list");
        let mut asked: Vec<&str> = listed.split(", ").collect();
        // Tables of their own, which are no keys.
        asked.retain(|key| {
            let path = match section {
                "" => (*key).to_owned(),
                section => format!("{section}.{key}"),
            };
            let is_table = |k: &Key| k.path.starts_with(&format!("{path}."));
            KEYS.iter().any(|k| k.path == path) || !KEYS.iter().any(is_table)
        });
        asked.sort_unstable();
        asked.dedup();
        let mut known: Vec<&str> = KEYS
            .iter()
            .filter(|k| k.section() == section)
            .map(Key::name)
            .collect();
        known.sort_unstable();
        assert_eq!(asked, known, "{section}");
    }
}

#[test]
fn the_printed_reference_is_the_tables() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/settings.md");
    let text = reference();
    for key in KEYS {
        assert!(text.contains(key.meaning), "{}", key.path);
    }
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &text).expect("written");
    }
    let file = std::fs::read_to_string(&path).expect("docs/settings.md");
    assert!(
        file == text,
        "docs/settings.md is stale: UPDATE=1 cargo test reference"
    );
}

#[test]
fn every_section_of_the_reference_stands_once() {
    let text = reference();
    let mut headings: Vec<&str> = text.lines().filter(|l| l.starts_with("## ")).collect();
    let all = headings.len();
    headings.sort_unstable();
    headings.dedup();
    assert_eq!(headings.len(), all, "{headings:#?}");
    assert!(text.contains("| `tls.chain` |"), "{text}");
}

#[test]
fn what_needs_a_restart_is_a_key_and_is_told() {
    let text = reference();
    let line = text.lines().find(|l| l.starts_with("- **Restart.**"));
    let line = line.expect("the list of what needs a restart");
    for key in [
        "data_plane.workers",
        "log.level",
        "log.json",
        "probes.listen",
    ] {
        assert!(line.contains(&format!("`{key}`")), "{key}: {line}");
    }
}
