//! The settings reference, printed from the table of keys.

use std::fmt::Write as _;

use super::keys::{KEYS, Key, KeyDefault, Kind, RESTART};

const HEAD: &str = "\
# Settings

<!-- Printed from `src/settings/keys.rs`: do not edit. `UPDATE=1 cargo test reference` prints it anew. -->

One TOML file (`--config`), then the environment. Unknown keys and variables are refused; `domicile check` tells every mistake at once, with file, line and column.

- **Environment.** `DOMICILE__SECTION__KEY` overrides the file: two underscores between the levels, letters of any case, `_` where a region's name has `-`. Lists are separated by commas. Entries of `[[routes]]` count from 0; the number after the last adds one. Tables of your own names (`schemas.<name>.fields`) stand in the file alone.
- **Secrets** come from files or the environment and are refused in the settings file.
- **Paths** are relative to the settings file's folder.
- **Sizes**: `\"64KiB\"`, `\"1MiB\"`, `\"1GiB\"` (powers of 1024), `\"10MB\"` (powers of 1000), or a number of bytes. **Durations**: `\"10s\"`, `\"500ms\"`, `\"2m\"`, `\"1h\"`.
- **Sources** say where a route reads a value: `path:NAME`, `header:NAME`, `query:NAME`, `body:/json/pointer`, `jwt:CLAIM`, for the country `pinned` and `network`, for the subject of a bulk item `bulk:id` (its `_id`). Headers count from trusted callers alone.
- **Digest.** Settings that decide stand in every ledger entry by their digest, beside that of the policy; `domicile check` prints both. In it are `mode` and `observe_to`, `location`, whose word counts (`trusted`, `proxies`, `[geoip]`, `[jwt]` with its public keys), each region's `country` and `entity`, each route whole, with its schema and its recipient's `country`, `headers` and `transaction`. Everything else may change without another digest (docs/ledger-format.md).
- **Not yet** marks keys that a later version will take; using one is an error.
";

/// `docs/settings.md`.
pub fn reference() -> String {
    let mut out = HEAD.to_owned();
    let keys: Vec<String> = RESTART.iter().map(|key| format!("`{key}`")).collect();
    let _ = writeln!(
        out,
        "- **Restart.** A reload takes up every other key. While one of these differs from what the router was started with it is refused as a whole, and says so: {}. `otlp` and `admin.tls` stand for all keys of theirs, `data_plane.tls` for whether it is there.",
        keys.join(", ")
    );
    let mut section = None;
    for key in KEYS {
        let own = home(key.section());
        if section != Some(own) {
            section = Some(own);
            heading(&mut out, own);
        }
        row(&mut out, key, own);
    }
    out
}

/// The section under whose heading a key stands: a key's own small table stands with its parent.
fn home(section: &'static str) -> &'static str {
    const SMALL: [&str; 3] = [".upstream", ".certificates.<n>", ".tls"];
    // These are large enough for a heading.
    const LARGE: [&str; 2] = ["data_plane.tls", "admin.tls"];
    if LARGE.contains(&section) {
        return section;
    }
    let mut parents = SMALL.iter().filter_map(|small| section.strip_suffix(small));
    parents.next().unwrap_or(section)
}

fn heading(out: &mut String, section: &str) {
    let title = match section {
        "" => "At the top".to_owned(),
        "routes.<n>" => "`[[routes]]`".to_owned(),
        section => format!(
            "`[{}]`",
            section.replace(['<', '>'], "").replace(".name", ".NAME")
        ),
    };
    let _ = write!(
        out,
        "\n## {title}\n\n| key | holds | default | example | meaning |\n|---|---|---|---|---|\n"
    );
}

fn row(out: &mut String, key: &Key, section: &str) {
    let name = match section {
        "" => key.path,
        section => key
            .path
            .strip_prefix(section)
            .and_then(|rest| rest.strip_prefix('.'))
            .unwrap_or(key.path),
    };
    let kind = match key.kind {
        Kind::Text => "string",
        Kind::Path => "path",
        Kind::Address => "address and port",
        Kind::Boolean => "boolean",
        Kind::Number => "number",
        Kind::Ratio => "number from 0 to 1",
        Kind::Size => "size",
        Kind::Duration => "duration",
        Kind::List => "list",
        Kind::Map => "table",
        Kind::Secret => "secret",
        Kind::Later => "not yet",
    };
    let default = match key.default {
        KeyDefault::Required => "required".to_owned(),
        KeyDefault::Absent => "none".to_owned(),
        KeyDefault::Value(toml) => format!("`{toml}`"),
        KeyDefault::Computed(words) => words.to_owned(),
    };
    let example = match key.kind {
        Kind::Secret => format!("only as `{}`", key.variable()),
        Kind::Later => String::new(),
        _ => format!("`{}`", key.example),
    };
    let meaning = key.meaning;
    let _ = writeln!(
        out,
        "| `{name}` | {kind} | {default} | {example} | {meaning} |"
    );
}
