//! Every shipped file of policy and settings, broken in many ways: no panic, and a file that is
//! refused is refused with file, line and column.
//!
//! Which mutations are tried is fixed. `DOMICILE_FUZZ_CASES=20000 cargo test --test end_to_end
//! broken_files` tries that many of each kind of file instead of a few.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domicile::document::{Fault, Faults, Node, Refused, Source, Where, read_json};
use domicile::domain::Question;
use domicile::policy::{Checked, check};
use domicile::prove::cases::{CaseError, read_folder};
use domicile::prove::property::{Properties, PropertyError};
use domicile::settings;
use tempfile::TempDir;

use super::newcomer::commands::QUESTION;

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/policies");

fn cases(few: usize) -> usize {
    let wanted = std::env::var("DOMICILE_FUZZ_CASES").ok();
    wanted.and_then(|n| n.parse().ok()).unwrap_or(few)
}

/// xorshift64*: the same numbers everywhere.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(number).unwrap() % limit.max(1)
    }

    fn of<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[self.below(all.len())]
    }
}

/// Values of every type, in range and out of it, for keys that wanted another one.
const VALUES: &[&str] = &[
    "1",
    "-1",
    "99999999999999999999",
    "9223372036854775807",
    "1e400",
    "nan",
    "true",
    "\"\"",
    "\"x\"",
    "\"UK\"",
    "\"user\"",
    "[]",
    "{}",
    "[[]]",
    "[1]",
    "[\"\"]",
    "[\"x\", 1]",
    "[{}]",
    "{ from = 2026-01-01 }",
    "{ from = 2026-02-01, until = 2026-01-01 }",
    "2026-02-30",
    "2026-01-01",
    "9999-12-31",
    "0001-01-01",
    "2026-01-01T00:00:00Z",
    "\"9999-12-31\"",
    "\"-9999-01-01\"",
    "'''\n'''",
    "\"\\u0000\"",
    "\"\u{202e}\"",
    "[\"*\"]",
    "[\"X-\"]",
    "\"filed-for:255\"",
    "[\"filed-for:255\", \"instrument\"]",
    "[\"instrument\", \"instrument\"]",
    "\"cn.ordinary < 18446744073709551616\"",
    "[\"cn.ordinary < 18446744073709551615\"]",
    "\"99999999999 years\"",
    "\"P1Y\"",
    "[[[[[[[[[[1]]]]]]]]]]",
    "[\"store\", \"store\"]",
];

/// One mutation of `text`, as bytes: some are no UTF-8.
fn broken(text: &str, chance: &mut Chance) -> Vec<u8> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let line = chance.below(lines.len());
    let joined = |lines: Vec<String>| (lines.join("\n") + "\n").into_bytes();
    match chance.below(22) {
        0 | 1 => {
            lines.remove(line);
            joined(lines)
        }
        2 => {
            let copy = lines[line].clone();
            lines.insert(line, copy);
            joined(lines)
        }
        3..=8 => {
            // Another value for a key; nearest assignment from here on.
            let found = (line..lines.len()).find(|i| lines[*i].contains(" = "));
            if let Some(at) = found {
                let key = lines[at].split(" = ").next().unwrap().to_owned();
                lines[at] = format!("{key} = {}", chance.of(VALUES));
            }
            joined(lines)
        }
        9 => {
            let other = chance.below(lines.len());
            lines.swap(line, other);
            joined(lines)
        }
        10 => lines.join("\r\n").into_bytes(),
        11 => {
            let mut bytes = text.as_bytes().to_vec();
            bytes.truncate(chance.below(bytes.len()));
            bytes
        }
        12 => {
            let mut bytes = text.as_bytes().to_vec();
            let at = chance.below(bytes.len());
            bytes[at] = u8::try_from(chance.below(256)).unwrap();
            bytes
        }
        13 => {
            let mut bytes = text.as_bytes().to_vec();
            let at = chance.below(bytes.len());
            let piece = chance.of(&[
                "\0", "\u{feff}", "\"", "[", "]", "{", "}", "=", "#", "é", "\r", "\\", "[[x]]\n",
                ".",
            ]);
            bytes.splice(at..at, piece.bytes());
            bytes
        }
        14 => {
            let deep = "[".repeat(chance.below(3000));
            format!("{text}\ndeep = {deep}").into_bytes()
        }
        15 => [b"\xef\xbb\xbf", text.as_bytes()].concat(),
        16 => {
            // A slip in a word.
            let mut chars: Vec<char> = lines[line].chars().collect();
            if !chars.is_empty() {
                let at = chance.below(chars.len());
                chars.remove(at);
            }
            lines[line] = chars.into_iter().collect();
            joined(lines)
        }
        17 => {
            // A whole block twice.
            let from = line;
            let until = (from + 1 + chance.below(12)).min(lines.len());
            let copy = lines[from..until].to_vec();
            lines.splice(until..until, copy);
            joined(lines)
        }
        18 => {
            let from = line;
            let until = (from + 1 + chance.below(12)).min(lines.len());
            lines.drain(from..until);
            joined(lines)
        }
        19 | 20 => {
            // What UTF-8 does not allow: a sequence cut short, half of a pair, a sign too far.
            let mut bytes = text.as_bytes().to_vec();
            let at = chance.below(bytes.len());
            let pieces: [&[u8]; 5] = [
                b"\xc3",
                b"\xe2\x82",
                b"\xf0\x9f\x98",
                b"\xed\xa0\x80",
                b"\xf4\x90\x80\x80",
            ];
            bytes.splice(at..at, pieces[chance.below(pieces.len())].iter().copied());
            bytes
        }
        _ => {
            // A word of the file in the place of another one.
            let words: Vec<&str> = text
                .split(|c: char| !(c.is_alphanumeric() || "-._".contains(c)))
                .collect();
            let words: Vec<&str> = words.into_iter().filter(|w| w.len() > 1).collect();
            if words.is_empty() {
                // Cut down to nothing before.
                return text.as_bytes().to_vec();
            }
            let (old, new) = (chance.of(&words), chance.of(&words));
            text.replacen(old, new, 1 + chance.below(3)).into_bytes()
        }
    }
}

/// Each fault can be told in every way; an error of a file that can be read has its place.
fn told(faults: &[Fault], what: &str) {
    for fault in faults {
        assert!(!fault.render(false).is_empty());
        assert!(!fault.render(true).is_empty());
        let json = serde_json::to_value(fault).unwrap();
        assert!(
            !fault.summary().is_empty() && !fault.message.is_empty(),
            "{what}"
        );
        if let Where::Path(path) = &fault.at {
            panic!("{what}: `{path}` has no line: {}", fault.message);
        }
        assert!(
            json["line"].is_u64() && json["column"].is_u64(),
            "{what}: {json}"
        );
    }
}

/// Runs `judge`, which may not panic, on mutations of `text`.
fn try_all(name: &str, text: &str, number: usize, mut judge: impl FnMut(&Path, &[u8], &str)) {
    let folder = TempDir::new().unwrap();
    let file = Path::new(name).file_name().unwrap();
    let path = folder.path().join(file);
    let seed = name
        .bytes()
        .fold(7u64, |h, b| h.wrapping_mul(31).wrapping_add(u64::from(b)));
    for case in 0..number {
        let mut chance = Chance(
            seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .wrapping_add(1 + case as u64),
        );
        for _ in 0..4 {
            chance.below(2);
        }
        let mut bytes = broken(text, &mut chance);
        // Several mistakes at once, too.
        for _ in 0..chance.below(3) {
            let again = String::from_utf8_lossy(&bytes).into_owned();
            bytes = broken(&again, &mut chance);
        }
        fs::write(&path, &bytes).unwrap();
        let what = format!("{name}, mutation {case}");
        let done = catch_unwind(AssertUnwindSafe(|| judge(&path, &bytes, &what)));
        if done.is_err() {
            let kept =
                std::env::temp_dir().join(format!("domicile-broken-{case}-{}", file.display()));
            let _ = fs::write(&kept, &bytes);
            panic!("{what}: see above; the file is kept as {}", kept.display());
        }
    }
}

struct Shipped {
    vocabulary: Node,
    laws: Vec<(String, Node)>,
    organisation: Node,
}

fn node(path: &Path) -> Node {
    let faults = Faults::new();
    let node = Node::load(path, &faults);
    node.unwrap_or_else(|| panic!("{}", path.display()))
}

fn tomls(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(Path::new(SHIPPED).join(folder)).unwrap();
    let mut all: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).collect();
    all.retain(|p| p.extension().is_some_and(|e| e == "toml"));
    all.sort();
    all
}

impl Shipped {
    fn load() -> Self {
        let root = Path::new(SHIPPED);
        let laws = tomls("law")
            .into_iter()
            .map(|p| (p.display().to_string(), node(&p)));
        Self {
            vocabulary: node(&root.join("vocabulary.toml")),
            laws: laws.collect(),
            organisation: node(&root.join("examples/cases/organisation.toml")),
        }
    }

    /// Reads the file in the place of `replaced` and judges it with the others.
    fn judge(&self, replaced: &str, path: &Path, what: &str) {
        let faults = Faults::new();
        let read = Node::load(path, &faults);
        let checked = read.and_then(|read| {
            if replaced.ends_with("vocabulary.toml") {
                let laws: Vec<Node> = self.laws.iter().map(|(_, n)| n.clone()).collect();
                return check(&read, &laws, &self.organisation, &faults);
            }
            if replaced.ends_with("organisation.toml") || replaced.ends_with("accepting.toml") {
                let laws: Vec<Node> = self.laws.iter().map(|(_, n)| n.clone()).collect();
                return check(&self.vocabulary, &laws, &read, &faults);
            }
            // One law alone: what hangs on the others is tried with the organisations.
            check(&self.vocabulary, &[read], &self.organisation, &faults)
        });
        assert_eq!(checked.is_none(), faults.has_errors(), "{what}");
        if let Some(checked) = checked {
            use_it(checked, &faults);
        }
        told(&faults.into_sorted(), what);
    }
}

/// What the router does with a policy that loads.
fn use_it(checked: Checked, faults: &Faults) {
    checked.warnings("2026-11-22".parse().unwrap(), faults);
    let compiled = Arc::new(checked).compile("2026-11-22T12:00:00Z".parse().unwrap());
    assert!(compiled.next_boundary().is_none_or(|b| b > compiled.at()));
}

#[test]
fn policy_files() {
    let shipped = Shipped::load();
    let examples = [
        "demo",
        "cases",
        "cases-world",
        "fitness-app",
        "smart-devices",
        "developer-platform",
    ];
    let mut files: Vec<PathBuf> = tomls("law");
    files.extend(examples.map(|e| {
        Path::new(SHIPPED)
            .join("examples")
            .join(e)
            .join("organisation.toml")
    }));
    files.push(Path::new(SHIPPED).join("examples/cases-world/accepting.toml"));
    files.push(Path::new(SHIPPED).join("vocabulary.toml"));
    for file in &files {
        let name = file.display().to_string();
        let text = fs::read_to_string(file).unwrap();
        let number = cases(8) / if name.contains("/law/") { 4 } else { 1 };
        try_all(&name, &text, number.max(2), |path, _, what| {
            shipped.judge(&name, path, what)
        });
    }
}

#[test]
fn settings_files() {
    for example in ["demo", "fitness-app", "smart-devices", "developer-platform"] {
        let file = Path::new(SHIPPED)
            .join("examples")
            .join(example)
            .join("domicile.toml");
        let text = fs::read_to_string(&file).unwrap();
        try_all(
            &file.display().to_string(),
            &text,
            cases(40),
            |path, _, what| {
                let faults = Faults::new();
                let read = settings::read(path, std::iter::empty(), &faults);
                assert_eq!(read.is_none(), faults.has_errors(), "{what}");
                told(&faults.into_sorted(), what);
            },
        );
    }
}

#[test]
fn cases_and_properties() {
    for file in tomls("tests") {
        let text = fs::read_to_string(&file).unwrap();
        // The first cases of a file are as good as all of them, and read sooner.
        let text: String = text.lines().take(60).map(|l| format!("{l}\n")).collect();
        try_all(
            &file.display().to_string(),
            &text,
            cases(12),
            |path, _, what| {
                if let Err(CaseError::Policy(Refused(faults))) = read_folder(path.parent().unwrap())
                {
                    assert!(!faults.is_empty());
                    told(&faults, what);
                }
            },
        );
    }
    let file = Path::new(SHIPPED).join("properties.toml");
    let text = fs::read_to_string(&file).unwrap();
    try_all("properties.toml", &text, cases(40), |path, _, what| {
        if let Err(PropertyError::File(Refused(faults))) = Properties::load(path) {
            assert!(!faults.is_empty());
            told(&faults, what);
        }
    });
}

#[test]
fn questions() {
    let shipped = Shipped::load();
    let laws: Vec<Node> = shipped.laws.iter().map(|(_, n)| n.clone()).collect();
    let faults = Faults::new();
    let checked = check(&shipped.vocabulary, &laws, &shipped.organisation, &faults).unwrap();
    let compiled = Arc::new(checked).compile("2026-11-22T12:00:00Z".parse().unwrap());
    let mut answered = 0;
    try_all("question.json", QUESTION, cases(400), |_, bytes, what| {
        let Ok(text) = String::from_utf8(bytes.to_vec()) else {
            return;
        };
        let source = Arc::new(Source {
            path: "q.json".into(),
            text,
        });
        match read_json::<Question>(&source, 0..source.text.len()) {
            Ok(question) => {
                answered += usize::from(compiled.resolve(&question).is_ok());
            }
            Err(fault) => told(&[fault], what),
        }
    });
    assert!(
        answered > 0,
        "some mutations leave a question that can be put"
    );
}
