//! Exports of real ledgers, and proofs from both.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::{
    attest::tests::{Rig, block_on, decision, draft, homeward, profile},
    tlog::{self, Checked, Contained, LogError, Proof, Signed, Signer, Which, check, export},
};

/// Adds decisions of these numbers.
fn grow(rig: &Rig, numbers: std::ops::Range<u64>, route: &str) {
    let (journal, _) = rig.open();
    let profiles = [profile(route), profile("/files/{subject}")];
    block_on(async {
        for n in numbers {
            let profile = &profiles[usize::from(n % 7 == 0)];
            let cleared = journal.clear(homeward(), draft(n, profile)).await;
            drop(cleared.unwrap());
        }
    });
    journal.close().unwrap();
}

struct Scene {
    rig: Rig,
    signer: Signer,
    folder: TempDir,
}

impl Scene {
    fn new(entries: u64) -> Self {
        let rig = Rig::new();
        grow(&rig, 0..entries, "/people/{subject}");
        let (signer, _) = Signer::generate("example.com/ledger").unwrap();
        let folder = tempfile::tempdir().unwrap();
        Self {
            rig,
            signer,
            folder,
        }
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("export")
    }

    fn export(&self) -> Result<u64, LogError> {
        export(&self.rig.ledger(), &self.out(), &self.signer).map(|e| e.size)
    }

    fn contains(
        &self,
        folder: &Path,
        old: &Signed,
        new: Option<&str>,
    ) -> Result<Contained, LogError> {
        tlog::contains(folder, old, new, self.signer.verifier())
    }

    fn check(&self, path: &Path, since: Option<&Signed>) -> Result<Checked, LogError> {
        check(path, self.signer.verifier(), since)
    }

    fn checkpoint(&self) -> Signed {
        let note = fs::read_to_string(self.out().join("checkpoint")).unwrap();
        Signed::open(&note, self.signer.verifier()).unwrap()
    }

    fn file(&self, text: &str) -> PathBuf {
        let path = self.folder.path().join("file");
        fs::write(&path, text).unwrap();
        path
    }
}

fn prove(folder: &Path, which: Which, note: Option<&str>) -> Result<Vec<Proof>, LogError> {
    tlog::prove(folder, which, note, None)
}

fn why<T>(result: Result<T, LogError>) -> String {
    match result {
        Ok(_) => panic!("it was taken"),
        Err(error) => error
            .refusal()
            .unwrap_or_else(|| panic!("no answer: {error}")),
    }
}

/// Every file below, with what it holds.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

#[test]
fn an_export_is_whole_and_goes_on_where_it_was() {
    let scene = Scene::new(300);
    assert_eq!(scene.export().unwrap(), 300);
    let checked = scene.check(&scene.out(), None).unwrap();
    assert_eq!(
        (checked.checkpoint.size, checked.readable),
        (300, Some(300))
    );
    let (old, before) = (scene.checkpoint(), files(&scene.out()));

    grow(&scene.rig, 300..820, "/people/{subject}");
    assert_eq!(scene.export().unwrap(), 820);
    let checked = scene.check(&scene.out(), Some(&old)).unwrap();
    assert_eq!((checked.since, checked.readable), (Some(300), Some(820)));
    let after = files(&scene.out());
    for (path, bytes) in &before {
        let changed = path.ends_with("checkpoint");
        assert_eq!(after[path] != *bytes, changed, "{}", path.display());
    }
    let has = |name: &str| after.contains_key(&scene.out().join(name));
    for name in [
        "tile/0/002",
        "tile/0/003.p/52",
        "tile/1/000.p/3",
        "tile/entries/003.p/52",
        "entries/00000000000000000001-00000000000000000300.ndjson",
        "entries/00000000000000000301-00000000000000000820.ndjson",
    ] {
        assert!(has(name), "{name}");
    }
    let hidden = |p: &PathBuf| p.file_name().unwrap().to_string_lossy().starts_with('.');
    assert!(!after.keys().any(hidden));

    // Nothing new: nothing changes.
    assert_eq!(scene.export().unwrap(), 820);
    assert_eq!(files(&scene.out()), after);
    // As if it had been made at once.
    let (one, other) = (scene.checkpoint(), scene.folder.path().join("other"));
    export(&scene.rig.ledger(), &other, &scene.signer).unwrap();
    let note = fs::read_to_string(other.join("checkpoint")).unwrap();
    assert_eq!(note, one.note);
}

#[test]
fn an_empty_ledger_has_an_empty_export() {
    let scene = Scene::new(0);
    assert_eq!(scene.export().unwrap(), 0);
    let old = scene.checkpoint();
    assert_eq!(scene.check(&scene.out(), None).unwrap().checkpoint.size, 0);
    grow(&scene.rig, 0..3, "/people/{subject}");
    assert_eq!(scene.export().unwrap(), 3);
    assert_eq!(
        scene.check(&scene.out(), Some(&old)).unwrap().since,
        Some(0)
    );
}

#[test]
fn each_entry_is_proven_from_ledger_and_export_alike() {
    let scene = Scene::new(300);
    scene.export().unwrap();
    let note = scene.checkpoint().note;
    grow(&scene.rig, 300..310, "/people/{subject}");
    for number in [1, 2, 255, 256, 257, 299, 300] {
        let which = Which::Entry(number);
        let texts = |proofs: Vec<Proof>| proofs.into_iter().map(|p| p.text).collect::<Vec<_>>();
        let of_ledger = texts(prove(&scene.rig.ledger(), which, Some(&note)).unwrap());
        assert_eq!(of_ledger, texts(prove(&scene.out(), which, None).unwrap()));
        let [text] = &of_ledger[..] else {
            panic!("one entry");
        };
        let checked = scene.check(&scene.file(text), None).unwrap();
        let entry = checked.entry.unwrap();
        assert_eq!(entry.seq, number);
        let by_decision = Which::Decision(entry.decision().unwrap());
        assert_eq!(
            of_ledger,
            texts(prove(&scene.out(), by_decision, None).unwrap())
        );
    }
    for which in [Which::Entry(301), Which::Decision(decision(305))] {
        let told = why(prove(&scene.rig.ledger(), which, Some(&note)));
        assert!(told.contains("among the 300"), "{told}");
    }
    // An older checkpoint is as good.
    scene.export().unwrap();
    assert!(prove(&scene.out(), Which::Entry(300), Some(&note)).is_ok());
    assert!(prove(&scene.out(), Which::Entry(301), Some(&note)).is_err());
}

#[test]
fn growth_is_proven_from_ledger_and_export_alike() {
    let scene = Scene::new(200);
    scene.export().unwrap();
    let old = scene.checkpoint();
    grow(&scene.rig, 200..300, "/people/{subject}");
    let contained = scene.contains(&scene.rig.ledger(), &old, None).unwrap();
    assert_eq!((contained.old, contained.size), (200, 300));
    assert!(contained.proof.is_none());

    scene.export().unwrap();
    let new = scene.checkpoint();
    let of_ledger = scene
        .contains(&scene.rig.ledger(), &old, Some(&new.note))
        .unwrap();
    let of_export = scene.contains(&scene.out(), &old, None).unwrap();
    assert_eq!(of_ledger.proof, of_export.proof);
    let text = of_ledger.proof.unwrap();
    let checked = scene.check(&scene.file(&text), Some(&old)).unwrap();
    assert_eq!((checked.since, checked.checkpoint.size), (Some(200), 300));

    for at in 0..text.len() {
        let mut bytes = text.as_bytes().to_vec();
        bytes[at] ^= 1;
        let Ok(other) = String::from_utf8(bytes) else {
            continue;
        };
        assert!(
            scene.check(&scene.file(&other), Some(&old)).is_err(),
            "{at}"
        );
    }
    // The wrong way round.
    assert!(scene.contains(&scene.out(), &new, Some(&old.note)).is_err());
}

#[test]
fn every_changed_byte_of_an_export_is_found() {
    let scene = Scene::new(270);
    scene.export().unwrap();
    for (path, bytes) in files(&scene.out()) {
        for at in [0, bytes.len() / 2, bytes.len() - 2] {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            fs::write(&path, changed).unwrap();
            let told = scene.check(&scene.out(), None);
            assert!(told.is_err(), "{} byte {at}", path.display());
        }
        fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        assert!(
            scene.check(&scene.out(), None).is_err(),
            "{}",
            path.display()
        );
        fs::remove_file(&path).unwrap();
        let left = scene.check(&scene.out(), None);
        // The readable copy may be left out.
        let readable = path.extension().is_some_and(|e| e == "ndjson");
        assert_eq!(left.is_ok(), readable, "{}", path.display());
        fs::write(&path, bytes).unwrap();
    }
    assert!(scene.check(&scene.out(), None).is_ok());
}

#[test]
fn every_changed_byte_of_a_proof_is_found() {
    let scene = Scene::new(40);
    scene.export().unwrap();
    let proofs = prove(&scene.out(), Which::Entry(17), None).unwrap();
    let text = &proofs[0].text;
    for at in 0..text.len() {
        let mut bytes = text.as_bytes().to_vec();
        bytes[at] ^= 1;
        if let Ok(other) = String::from_utf8(bytes) {
            assert!(scene.check(&scene.file(&other), None).is_err(), "{at}");
        }
    }
    assert!(scene.check(&scene.file(text), None).is_ok());
}

/// A ledger that was cut (with its head), or exchanged: both verify, and neither is signed.
#[test]
fn another_ledger_is_not_signed_over_the_last_one() {
    let scene = Scene::new(300);
    scene.export().unwrap();
    let (old, before) = (scene.checkpoint(), files(&scene.out()));
    let shorter = Scene::new(280);
    let other = Rig::new();
    grow(&other, 0..400, "/elsewhere/{subject}");
    for (ledger, what) in [
        (shorter.rig.ledger(), "ends with entry 280"),
        (other.ledger(), "are not those that were signed"),
    ] {
        crate::attest::verify(&ledger).unwrap();
        let told = why(export(&ledger, &scene.out(), &scene.signer));
        assert!(told.contains(what), "{told}");
        assert_eq!(files(&scene.out()), before);
        let told = why(scene.contains(&ledger, &old, None));
        assert!(told.contains(what), "{told}");
        let told = why(prove(&ledger, Which::Entry(5), Some(&old.note)));
        assert!(told.contains(what), "{told}");
    }
    // What was signed elsewhere by the same key is found by whoever holds the older checkpoint.
    let elsewhere = scene.folder.path().join("elsewhere");
    export(&other.ledger(), &elsewhere, &scene.signer).unwrap();
    assert!(scene.check(&elsewhere, None).is_ok());
    let told = why(scene.check(&elsewhere, Some(&old)));
    assert!(told.contains("does not contain"), "{told}");
}

#[test]
fn a_damaged_ledger_is_not_signed() {
    let scene = Scene::new(30);
    let segment = scene.rig.ledger().join("00000000000000000001.seg");
    let mut bytes = fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&segment, bytes).unwrap();
    assert!(why(scene.export()).contains("does not verify"));
    assert!(!scene.out().exists());
}

/// The head is not made durable for each frame.
#[test]
fn a_head_that_a_power_failure_left_behind_is_no_loss() {
    let scene = Scene::new(5);
    let head = scene.rig.ledger().join("head");
    let before = fs::read(&head).unwrap();
    grow(&scene.rig, 5..10, "/people/{subject}");
    scene.export().unwrap();
    let (signed, all) = (scene.checkpoint(), files(&scene.out()));
    fs::write(&head, before).unwrap();
    let report = crate::attest::verify(&scene.rig.ledger()).unwrap();
    assert_eq!(report.after_head, 5);
    assert_eq!(scene.export().unwrap(), 10);
    assert_eq!(files(&scene.out()), all);
    let contained = scene.contains(&scene.rig.ledger(), &signed, None).unwrap();
    assert_eq!((contained.old, contained.size), (10, 10));
    assert!(prove(&scene.rig.ledger(), Which::Entry(9), Some(&signed.note)).is_ok());
    // It goes on from there.
    grow(&scene.rig, 10..12, "/people/{subject}");
    assert_eq!(scene.export().unwrap(), 12);
}

#[test]
fn an_export_that_was_killed_is_repeated() {
    let scene = Scene::new(270);
    scene.export().unwrap();
    let first = fs::read(scene.out().join("checkpoint")).unwrap();
    grow(&scene.rig, 270..600, "/people/{subject}");
    scene.export().unwrap();
    // All but the checkpoint was written, and a file more was begun.
    fs::write(scene.out().join("checkpoint"), &first).unwrap();
    fs::write(scene.out().join(".writing"), "half").unwrap();
    grow(&scene.rig, 600..610, "/people/{subject}");
    assert_eq!(scene.export().unwrap(), 610);
    let checked = scene.check(&scene.out(), None).unwrap();
    assert_eq!(checked.readable, Some(610));
    let readable = fs::read_dir(scene.out().join("entries")).unwrap().count();
    assert_eq!(readable, 2, "what the killed one left has gone");

    // What no checkpoint tells of may be half written, after a power failure.
    fs::write(scene.out().join("checkpoint"), &first).unwrap();
    for name in ["tile/0/001", "tile/entries/001"] {
        fs::write(scene.out().join(name), "half").unwrap();
    }
    assert_eq!(scene.export().unwrap(), 610);
    assert!(scene.check(&scene.out(), None).is_ok());
}

#[test]
fn only_its_own_key_goes_on_with_an_export() {
    let scene = Scene::new(5);
    scene.export().unwrap();
    let (other, _) = Signer::generate("example.com/ledger").unwrap();
    let told = why(export(&scene.rig.ledger(), &scene.out(), &other));
    assert!(told.contains("not signed by the key"), "{told}");
    let verifier = other.verifier();
    for told in [
        why(check(&scene.out(), verifier, None)),
        why(tlog::contains(
            &scene.out(),
            &scene.checkpoint(),
            None,
            verifier,
        )),
        why(tlog::prove(
            &scene.out(),
            Which::Entry(1),
            None,
            Some(verifier),
        )),
    ] {
        assert!(told.contains("not signed by the key"), "{told}");
    }
}

#[test]
fn a_folder_of_other_things_is_left_alone() {
    let scene = Scene::new(5);
    fs::create_dir(scene.out()).unwrap();
    fs::write(scene.out().join("letter"), "dear").unwrap();
    let told = scene.export().unwrap_err().to_string();
    assert!(told.contains("`letter`"), "{told}");
    let inside = scene.rig.ledger().join("export");
    let told = export(&scene.rig.ledger(), &inside, &scene.signer).unwrap_err();
    assert!(told.to_string().contains("own folder"), "{told}");
    assert!(!inside.exists());
}

/// What was moved away, or lost, is written again; what stands there is compared.
#[test]
fn an_export_that_lost_files_is_made_whole() {
    let scene = Scene::new(600);
    scene.export().unwrap();
    let whole = files(&scene.out());
    let names = [
        "tile/0/000",
        "tile/0/002.p/88",
        "tile/1/000.p/2",
        "tile/entries/001",
        "tile/entries/002.p/88",
    ];
    let profile = fs::read_dir(scene.out().join("profile")).unwrap().next();
    let profile = profile.unwrap().unwrap().file_name();
    let profile = format!("profile/{}", profile.to_str().unwrap());
    for name in names.into_iter().chain([&*profile]) {
        fs::remove_file(scene.out().join(name)).unwrap();
        assert!(why(scene.check(&scene.out(), None)).contains("is missing"));
        scene.export().unwrap();
        assert_eq!(files(&scene.out()), whole, "{name}");
    }
    // But not while something else stands where a checkpoint tells what does.
    let tile = scene.out().join("tile/0/001");
    let bytes = fs::read(&tile).unwrap();
    fs::write(&tile, "other").unwrap();
    fs::remove_file(scene.out().join("tile/0/000")).unwrap();
    assert!(why(scene.export()).contains("tile/0/001"));
    fs::write(&tile, bytes).unwrap();
    // A checkpoint alone is made a whole export, without the readable copy of before.
    grow(&scene.rig, 600..610, "/people/{subject}");
    for folder in ["tile", "profile", "entries"] {
        fs::remove_dir_all(scene.out().join(folder)).unwrap();
    }
    scene.export().unwrap();
    let checked = scene.check(&scene.out(), None).unwrap();
    assert_eq!((checked.checkpoint.size, checked.readable), (610, Some(10)));
}

/// People read the copy, so everything in it is compared, and nothing twice.
#[test]
fn a_readable_copy_of_other_entries_is_found() {
    let scene = Scene::new(20);
    scene.export().unwrap();
    let name = |first: u64, last: u64| format!("{first:020}-{last:020}.ndjson");
    let entries = scene.out().join("entries");
    let whole = entries.join(name(1, 20));
    let text = fs::read_to_string(&whole).unwrap();
    for other in [
        "1-20.ndjson".to_owned(),
        "letter".to_owned(),
        name(20, 1),
        name(0, 3),
        name(5, 9),
        name(15, 30),
    ] {
        fs::write(entries.join(&other), &text).unwrap();
        let told = why(scene.check(&scene.out(), None));
        assert!(told.contains(&other), "{told}");
        fs::remove_file(entries.join(&other)).unwrap();
    }
    // The first counts to some readers, the last to others.
    let twice = text.replacen('{', "{\"seq\":9,", 1);
    fs::write(&whole, twice).unwrap();
    assert!(why(scene.check(&scene.out(), None)).contains("entry 1 is not"));
    fs::write(&whole, &text).unwrap();
    // One with a number that is not padded is no file of ours, and in nobody's way.
    fs::write(entries.join("21-30.ndjson"), "").unwrap();
    grow(&scene.rig, 20..25, "/people/{subject}");
    assert_eq!(scene.export().unwrap(), 25);
}
