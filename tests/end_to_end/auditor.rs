//! An auditor elsewhere: signed exports of the ledger, proofs, and what becomes of those that were
//! tampered with.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::kit::process::{domicile, run_to_end};
use crate::kit::setup::{Router, Setup};
use crate::kit::{decision, entries_of};

/// Files beside a router's folder, and the commands on them.
struct Desk<'a> {
    folder: &'a Path,
    verifier: String,
}

impl<'a> Desk<'a> {
    fn new(folder: &'a Path) -> Self {
        let mut desk = Self {
            folder,
            verifier: String::new(),
        };
        let made = desk.run(&["keygen", "KEY", "--name", "example.com/ledger"]);
        desk.verifier = good(&made).trim().to_owned();
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Words in capitals are files; `VERIFIER` is the key's text.
    fn run(&self, words: &[&str]) -> Output {
        let word = |word: &&str| match *word {
            "VERIFIER" => self.verifier.clone(),
            "LEDGER" => self.path("ledger").display().to_string(),
            file if file.chars().all(|c| c.is_ascii_uppercase()) => {
                self.path(file).display().to_string()
            }
            other => other.to_owned(),
        };
        let words: Vec<String> = words.iter().map(word).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        run_to_end(&[&["ledger"], &words[..]].concat(), "")
    }

    fn export(&self) -> Output {
        self.run(&["export", "LEDGER", "--out", "OUT", "--key", "KEY"])
    }

    fn keep(&self, name: &str, output: &Output) -> String {
        let text = good(output);
        fs::write(self.path(name), &text).unwrap();
        text
    }

    /// Keeps the checkpoint as it is now.
    fn deposit(&self, name: &str) {
        fs::copy(self.path("OUT/checkpoint"), self.path(name)).unwrap();
    }
}

#[track_caller]
fn good(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Exit code 1, and everything that was said.
#[track_caller]
fn no(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let all = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8(all).unwrap()
}

fn put(router: &Router, numbers: std::ops::Range<u32>) {
    for n in numbers {
        let answer = router.put(&format!("u{n}"), r#"{"country":"IN","name":"Asha"}"#);
        assert!(answer.is_success(), "{answer:?}");
    }
}

/// Flips a bit in the middle of a file; gives what puts it back.
fn flip(path: &Path) -> impl FnOnce() + use<> {
    let bytes = fs::read(path).unwrap();
    let mut changed = bytes.clone();
    changed[bytes.len() / 2] ^= 1;
    fs::write(path, changed).unwrap();
    let path = path.to_owned();
    move || fs::write(path, bytes).unwrap()
}

#[test]
fn a_stranger_checks_what_a_running_router_wrote() {
    let (setup, _backends) = Setup::recording();
    let router = setup.start();
    let desk = Desk::new(router.folder.path());
    let key = fs::metadata(desk.path("KEY")).unwrap();
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
    put(&router, 0..70);
    good(&desk.export());
    desk.deposit("OLD");

    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut n = 100;
            while !stop.load(Ordering::Relaxed) {
                put(&router, n..n + 1);
                n += 1;
            }
        });
        for _ in 0..4 {
            let told = good(&desk.export());
            assert!(told.contains("of them new"), "{told}");
        }
        stop.store(true, Ordering::Relaxed);
    });
    let folder = [
        "prove",
        "--check",
        "OUT",
        "--verifier",
        "VERIFIER",
        "--since",
        "OLD",
    ];
    let told = good(&desk.run(&folder));
    assert!(told.starts_with("holds: all "), "{told}");

    // Who was told an id can have its entries proven.
    let answer = router.put("u1", r#"{"country":"IN","name":"Asha"}"#);
    let id = decision(&answer);
    let entries = entries_of(router.admin, id);
    let words = ["export", "LEDGER", "--out", "OUT", "--key", "KEY", "--json"];
    let exported: Value = serde_json::from_str(&good(&desk.run(&words))).unwrap();
    assert_eq!(exported["export"]["verifier"], desk.verifier);
    desk.deposit("NOTE");
    let several = desk.run(&["prove", "OUT", "--decision", id]);
    assert_eq!(several.status.code(), Some(2), "{several:?}");
    let of_ledger = ["prove", "LEDGER", "--checkpoint", "NOTE"];
    let made = [&of_ledger[..], &["--decision", id, "--out", "PROOFS"]].concat();
    let made = good(&desk.run(&made));
    assert_eq!(made.lines().count(), entries.len());
    for (file, entry) in made.lines().zip(&entries) {
        let check = ["prove", "--verifier", "VERIFIER", "--json", "--check", file];
        let told: Value = serde_json::from_str(&good(&desk.run(&check))).unwrap();
        assert_eq!((&told["holds"], &told["entry"]), (&true.into(), entry));
        assert_eq!(told["checkpoint"]["size"], exported["export"]["size"]);
    }

    // And that the ledger of today contains that of before.
    let since = ["prove", "--since", "OLD", "--verifier", "VERIFIER"];
    let told = good(&desk.run(&[&since[..], &["LEDGER"]].concat()));
    assert!(told.starts_with("holds: "), "{told}");
    let proof = desk.run(&[&since[..], &["OUT"]].concat());
    assert!(desk.keep("GROWN", &proof).starts_with("old "));
    let told = good(&desk.run(&[&since[..], &["--check", "GROWN"]].concat()));
    assert!(told.contains("they begin with the "), "{told}");
}

#[test]
fn what_was_tampered_with_is_refused_with_the_reason() {
    let (setup, _backends) = Setup::recording();
    let mut router = setup.start();
    let desk = Desk::new(router.folder.path());
    put(&router, 0..20);
    good(&desk.export());
    desk.deposit("OLD");
    put(&router, 20..150);
    router.process.terminate();
    good(&desk.export());
    desk.deposit("NEW");
    desk.keep("ENTRY", &desk.run(&["prove", "OUT", "--entry", "17"]));
    let verify = ["prove", "--verifier", "VERIFIER", "--check"];
    let check = |what: &str| desk.run(&[&verify[..], &[what]].concat());
    good(&check("ENTRY"));

    for (file, what, why) in [
        ("ENTRY", "ENTRY", "does not hold: "),
        ("NEW", "NEW", "does not hold: "),
        ("OUT/checkpoint", "OUT", "does not hold: "),
        (
            "OUT/tile/0/000",
            "OUT",
            "does not hold the hashes of the entries",
        ),
        ("OUT/tile/entries/000", "OUT", "does not hold: "),
    ] {
        let back = flip(&desk.path(file));
        let told = no(&check(what));
        assert!(told.contains(why), "{file}: {told}");
        back();
    }
    let json = [&verify[..], &["OUT", "--json", "--since", "OLD"]].concat();
    let told: Value = serde_json::from_str(&good(&desk.run(&json))).unwrap();
    assert_eq!(
        (&told["holds"], &told["readable"]),
        (&true.into(), &told["checkpoint"]["size"])
    );

    // The ledger itself: nothing is signed, nothing proven.
    let segment = desk.path("ledger/00000000000000000001.seg");
    let back = flip(&segment);
    for words in [
        &["export", "LEDGER", "--out", "OUT", "--key", "KEY"][..],
        &["prove", "LEDGER", "--entry", "3", "--checkpoint", "OLD"],
        &[
            "prove",
            "LEDGER",
            "--since",
            "OLD",
            "--verifier",
            "VERIFIER",
        ],
    ] {
        let told = no(&desk.run(words));
        assert!(told.contains("does not verify"), "{told}");
    }
    back();
    good(&desk.export());
    let other = desk.run(&["keygen", "OTHER", "--name", "example.com/ledger"]);
    desk.keep("OTHERKEY", &other);
    let told = no(&desk.run(&["prove", "--check", "OUT", "--verifier", "OTHERKEY"]));
    assert!(told.contains("not signed by the key"), "{told}");
}

/// The whole folder is put back to what it was: it verifies, and only the checkpoint tells.
#[test]
fn a_ledger_that_was_put_back_is_found() {
    let (setup, _backends) = Setup::recording();
    let mut router = setup.start();
    let folder = router.folder.path().to_owned();
    let desk = Desk::new(&folder);
    put(&router, 0..5);
    router.process.terminate();
    let copy = |from: &str, to: &str| {
        fs::create_dir_all(desk.path(to)).unwrap();
        for file in fs::read_dir(desk.path(from)).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), desk.path(to).join(file.file_name())).unwrap();
        }
    };
    copy("ledger", "before");
    router.restart();
    put(&router, 5..10);
    router.process.terminate();
    good(&desk.export());
    desk.deposit("OLD");

    fs::remove_dir_all(desk.path("ledger")).unwrap();
    copy("before", "ledger");
    good(&desk.run(&["verify", "LEDGER"]));
    let told = no(&desk.export());
    assert!(told.contains("nothing was signed: "), "{told}");
    assert_eq!(told.to_lowercase().matches("nothing was signed").count(), 1);
    assert!(told.contains("the ledger ends with entry "), "{told}");
    let since = [
        "prove",
        "LEDGER",
        "--since",
        "OLD",
        "--verifier",
        "VERIFIER",
    ];
    assert!(no(&desk.run(&since)).contains("were signed"));
    // Grown again, it is another one.
    router.restart();
    put(&router, 20..30);
    let told = no(&desk.export());
    assert!(told.contains("are not those that were signed"), "{told}");
    let before = fs::read(desk.path("OLD")).unwrap();
    assert_eq!(fs::read(desk.path("OUT/checkpoint")).unwrap(), before);
    good(&desk.run(&["prove", "--check", "OUT", "--verifier", "VERIFIER"]));
}

#[test]
fn an_export_that_is_killed_leaves_what_was_signed() {
    let (setup, _backends) = Setup::recording();
    let mut router = setup.start();
    let desk = Desk::new(router.folder.path());
    put(&router, 0..10);
    good(&desk.export());
    put(&router, 10..400);
    router.process.terminate();
    let check = ["prove", "--check", "OUT", "--verifier", "VERIFIER"];
    for wait in [1, 5, 10, 20, 40, 80] {
        let mut child = domicile()
            .args(["ledger", "export"])
            .args([&desk.path("ledger"), Path::new("--out"), &desk.path("OUT")])
            .args([Path::new("--key"), &desk.path("KEY")])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        thread::sleep(Duration::from_millis(wait));
        child.kill().unwrap();
        child.wait().unwrap();
        good(&desk.run(&check));
    }
    good(&desk.export());
    let told = good(&desk.run(&check));
    assert!(told.contains("800 of them readable"), "{told}");
}

#[test]
fn wrong_usage_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let desk = Desk::new(folder.path());
    fs::write(desk.path("NOTES"), "none").unwrap();
    for (words, why) in [
        (
            &["keygen", "KEY", "--name", "b"][..],
            "exists and is kept; its verifier key is example.com/ledger+",
        ),
        (
            &["keygen", "NEWKEY", "--name", "a b"],
            "neither blanks nor `+`",
        ),
        (&["keygen", "NEWKEY"], "--name"),
        (
            &["export", "LEDGER", "--out", "OUT", "--key", "KEY"],
            "holds no ledger",
        ),
        (
            &["export", "LEDGER", "--out", "OUT", "--key", "NOTES"],
            "no private key",
        ),
        (
            &["export", "LEDGER", "--out", "OUT", "--key", "NONE"],
            "cannot read",
        ),
        (&["export", "LEDGER"], "--out"),
        (&["prove", "LEDGER"], "--entry"),
        (
            &["prove", "LEDGER", "--entry", "0", "--checkpoint", "NOTES"],
            "numbers from 1",
        ),
        (&["prove", "LEDGER", "--entry", "1"], "--checkpoint"),
        (
            &["prove", "LEDGER", "--decision", "u1"],
            "Domicile-Decision",
        ),
        (&["prove", "LEDGER", "--since", "NOTES"], "--verifier"),
        (&["prove", "--check", "NOTES"], "--verifier"),
        (
            &[
                "prove",
                "LEDGER",
                "--check",
                "NOTES",
                "--verifier",
                "VERIFIER",
            ],
            "--check",
        ),
        (
            &["prove", "--check", "NOTES", "--verifier", "x"],
            "no verifier key",
        ),
        (
            &["prove", "--check", "NOTHING", "--verifier", "VERIFIER"],
            "cannot be used",
        ),
    ] {
        let output = desk.run(words);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {output:?}");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains(why), "{words:?}: {told}");
    }
    assert!(!desk.path("OUT").exists());
    // What is no note is an answer.
    let told = no(&desk.run(&["prove", "--check", "NOTES", "--verifier", "VERIFIER"]));
    assert!(told.contains("no signed note"), "{told}");
}

#[test]
fn a_key_that_could_not_be_written_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    // As on a full disk: no file may have a byte.
    let limited = "trap '' XFSZ; ulimit -f 0; exec \"$0\" ledger keygen \"$1\" --name a";
    let output = std::process::Command::new("sh")
        .args(["-c", limited])
        .arg(domicile().get_program())
        .arg(&key)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("cannot be written"), "{told}");
    assert!(!key.exists());
}
