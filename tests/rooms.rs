//! Rooms use only what lies below them: the folders of `src/` as a table, and every `crate::` in them.
//!
//! The compiler does not hold this within one package. A binary of its own that needs nothing of the
//! library, so that it says so within a second.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "all of this binary is tests, whose failures are to be loud"
)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// From the bottom up. A room may use those of the lines above its own, and none of its own line.
const ROOMS: [&[&str]; 19] = [
    &["clock", "document", "domain", "http2", "message"],
    &["http1", "problem", "settings"],
    &["classify", "tls"],
    &["disk", "policy"],
    &["decide", "locate"],
    &["state"],
    &["attest"],
    &["admit"],
    &["respond"],
    &["forward"],
    &["telemetry"],
    &["shared"],
    &["pipeline"],
    &["prove", "report", "scan", "tlog"],
    &["admin"],
    &["router"],
    &["store"],
    &["cli"],
    &["lib", "main"],
];

/// Steps up that stand for now, and what would take them away. None is to come to these.
const UPWARD: [(&str, &str); 3] = [
    // Where a value of a request is read from, and who a server is, are words of the settings too:
    // `ValueSource` and `Identity` would have to lie in `domain`.
    ("settings", "classify"),
    ("settings", "tls"),
    // Takes `shared` by its old name, and when the keeper's next day comes.
    ("admin", "router"),
];

#[test]
fn rooms_use_only_what_lies_below_them() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut steps_up = BTreeSet::new();
    for file in sources(&src) {
        let room = room_of(&src, &file);
        let own = level(&room).unwrap_or_else(|| panic!("`{room}` stands nowhere in ROOMS"));
        let text = fs::read_to_string(&file).expect("a source file");
        for used in used_by(&text) {
            let below = level(&used).is_some_and(|level| level < own);
            if used == room || below {
                continue;
            }
            let step = UPWARD
                .into_iter()
                .find(|(from, to)| *from == room && *to == used);
            let file = file.display();
            let step = step.unwrap_or_else(|| panic!("{file} uses `{used}`, which lies not below"));
            steps_up.insert(step);
        }
    }
    let gone: Vec<_> = UPWARD.iter().filter(|s| !steps_up.contains(s)).collect();
    assert!(
        gone.is_empty(),
        "nobody takes these steps any more: {gone:?}"
    );
}

fn level(room: &str) -> Option<usize> {
    ROOMS.iter().position(|level| level.contains(&room))
}

/// The files of the program. What is for tests alone may look anywhere.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().and_then(|n| n.to_str());
        match name {
            Some("tests" | "harness") => {}
            _ if path.is_dir() => found.extend(sources(&path)),
            _ if path.extension().is_some_and(|e| e == "rs") => found.push(path),
            _ => {}
        }
    }
    found
}

/// The folder of `src/`, or the file.
fn room_of(src: &Path, file: &Path) -> String {
    let within = file.strip_prefix(src).expect("a file of src");
    let first = within.iter().next().and_then(|n| n.to_str());
    let first = first.expect("a name");
    first.strip_suffix(".rs").unwrap_or(first).to_owned()
}

/// The rooms that a text names by `crate::`, but for its tests at the end.
fn used_by(text: &str) -> BTreeSet<String> {
    let text = text.split("#[cfg(test)]\nmod tests {").next();
    let code: Vec<&str> = text
        .unwrap_or_default()
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect();
    let code = code.join("\n");
    code.split("crate::").skip(1).flat_map(rooms_at).collect()
}

/// The first names of a path, of which braces hold several.
fn rooms_at(path: &str) -> Vec<String> {
    let Some(group) = path.strip_prefix('{') else {
        return vec![name_at(path)];
    };
    let (mut depth, mut begins, mut names) = (1, true, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => begins = true,
            c if depth == 1 && begins && c.is_alphabetic() => {
                names.push(name_at(group.get(at..).unwrap_or_default()));
                begins = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    names
}

fn name_at(text: &str) -> String {
    let is_name = |c: &char| c.is_alphanumeric() || *c == '_';
    text.chars().take_while(is_name).collect()
}

#[test]
fn every_name_of_a_use_is_found() {
    let text = "use crate::{\n    admit::{body, http1::Head}, // crate::no\n    tls,\n};\n\
                let a = crate::clock::now();\n#[cfg(test)]\nmod tests {\n    use crate::cli;\n";
    let found: Vec<String> = used_by(text).into_iter().collect();
    assert_eq!(found, ["admit", "clock", "tls"]);
}
