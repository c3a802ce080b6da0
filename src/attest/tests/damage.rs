//! Whatever is changed, cut, moved or taken away is found, and told with its place.

use std::fs;

use proptest::prelude::*;

use super::*;
use crate::attest::segment::{self, Walk};

fn damaged(folder: &Path) -> Damage {
    match verify(folder) {
        Err(LedgerError::Damaged(damage)) => damage,
        other => panic!("not found damaged: {other:?}"),
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

#[test]
fn every_flipped_bit_is_found() {
    let rig = Rig::new();
    small_ledger(&rig);
    let folder = rig.ledger();
    let mut files = segment_files(&folder);
    files.push(folder.join("head"));
    assert!(verify(&folder).is_ok());
    for file in files {
        let sound = fs::read(&file).unwrap();
        for index in 0..sound.len() {
            let mut bytes = sound.clone();
            bytes[index] ^= 1 << (index % 8);
            fs::write(&file, &bytes).unwrap();
            let damage = damaged(&folder);
            assert_eq!(damage.file, file, "byte {index}: {damage}");
            assert!(damage.offset <= index as u64, "byte {index}: {damage}");
        }
        fs::write(&file, &sound).unwrap();
    }
    assert!(verify(&folder).is_ok());
}

#[test]
fn every_cut_is_found() {
    let rig = Rig::new();
    small_ledger(&rig);
    let folder = rig.ledger();
    for file in segment_files(&folder) {
        let sound = fs::read(&file).unwrap();
        for length in 0..sound.len() {
            fs::write(&file, &sound[..length]).unwrap();
            damaged(&folder);
        }
        fs::write(&file, &sound).unwrap();
    }
}

#[test]
fn segments_missing_swapped_or_foreign_are_found() {
    let rig = Rig::new();
    small_ledger(&rig);
    let folder = rig.ledger();
    let files = segment_files(&folder);
    let aside = rig.folder.path().join("aside");
    for file in &files {
        fs::rename(file, &aside).unwrap();
        damaged(&folder);
        fs::rename(&aside, file).unwrap();
    }
    for pair in files.windows(2) {
        let swap = || {
            fs::rename(&pair[0], &aside).unwrap();
            fs::rename(&pair[1], &pair[0]).unwrap();
            fs::rename(&aside, &pair[1]).unwrap();
        };
        swap();
        damaged(&folder);
        swap();
    }
    let other = Rig::new();
    small_ledger(&other);
    let sound = fs::read(&files[1]).unwrap();
    fs::copy(&segment_files(&other.ledger())[1], &files[1]).unwrap();
    damaged(&folder);
    fs::write(&files[1], sound).unwrap();
    fs::write(folder.join("7.seg"), b"").unwrap();
    damaged(&folder);
    fs::remove_file(folder.join("7.seg")).unwrap();
    fs::rename(&files[1], &aside).unwrap();
    fs::create_dir(&files[1]).unwrap();
    assert_eq!(damaged(&folder).what, "it is no file");
    fs::remove_dir(&files[1]).unwrap();
    fs::rename(&aside, &files[1]).unwrap();
    fs::remove_file(folder.join("head")).unwrap();
    assert!(damaged(&folder).what.contains("missing"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any two pieces of a segment exchanged, or a piece repeated or left out.
    #[test]
    fn moved_pieces_are_found(
        which: prop::sample::Index,
        cuts: [prop::sample::Index; 3],
        how in 0..3,
    ) {
        let rig = Rig::new();
        small_ledger(&rig);
        let files = segment_files(&rig.ledger());
        let file = which.get(&files);
        let sound = fs::read(file).unwrap();
        let mut cuts = cuts.map(|c| c.index(sound.len() + 1));
        cuts.sort_unstable();
        let (a, b, c, d) = (
            &sound[..cuts[0]],
            &sound[cuts[0]..cuts[1]],
            &sound[cuts[1]..cuts[2]],
            &sound[cuts[2]..],
        );
        let moved = match how {
            0 => [a, c, b, d].concat(),
            1 => [a, b, b, c, d].concat(),
            _ => [a, c, d].concat(),
        };
        prop_assume!(moved != sound);
        fs::write(file, &moved).unwrap();
        let found = match verify(&rig.ledger()) {
            Err(_) => true,
            // What follows the last acknowledged frame is no part of the ledger, and is told.
            Ok(report) => moved.starts_with(&sound) && report.torn_bytes > 0,
        };
        prop_assert!(found);
    }
}

/// Every byte: what is read is what was written, or the damage is told.
#[test]
fn who_reads_sees_no_entry_that_was_not_written() {
    let rig = Rig::new();
    small_ledger(&rig);
    let (all, _) = read(&rig.ledger(), 0, 1000, None).unwrap();
    let file = segment_files(&rig.ledger()).remove(1);
    let sound = fs::read(&file).unwrap();
    for at in (0..sound.len()).step_by(7) {
        let mut bytes = sound.clone();
        bytes[at] ^= 4;
        fs::write(&file, &bytes).unwrap();
        let Err(LedgerError::Damaged(damage)) = read(&rig.ledger(), 0, 1000, None) else {
            panic!("byte {at} can be changed");
        };
        assert_eq!(damage.file, file, "byte {at}");
        let (before, damage) = tail_until_damage(&rig.ledger(), 1000).unwrap();
        assert!(damage.is_some() && all.starts_with(&before) && !before.is_empty());
        assert!(tail(&rig.ledger(), 1000).is_err());
        // A page that ends before it is not held up.
        let (page, _) = read(&rig.ledger(), 0, 2, None).unwrap();
        assert_eq!(page, all[..2]);
    }
    fs::write(&file, &sound).unwrap();

    let last = segment_files(&rig.ledger()).pop().unwrap();
    let whole = fs::read(&last).unwrap();
    fs::write(&last, &whole[..whole.len() - 90]).unwrap();
    let (before, damage) = tail_until_damage(&rig.ledger(), 1000).unwrap();
    assert!(all.starts_with(&before) && before.len() < all.len());
    assert!(damage.is_some(), "acknowledged entries are missing");
}

#[test]
fn who_reads_is_told_of_segments_that_are_missing() {
    let rig = Rig::new();
    small_ledger(&rig);
    let folder = rig.ledger();
    let files = segment_files(&folder);
    let (count, second) = (files.len(), segment::list(&folder).unwrap()[1].first);
    assert!(count > 2);
    let aside = rig.folder.path().join("aside");
    for (at, file) in files.iter().enumerate() {
        fs::rename(file, &aside).unwrap();
        let read = read(&folder, 0, 1000, None);
        assert!(
            matches!(read, Err(LedgerError::Damaged(_))),
            "{at}: {read:?}"
        );
        let (_, damage) = tail_until_damage(&folder, 1000).unwrap();
        assert!(damage.is_some(), "{at}");
        fs::rename(&aside, file).unwrap();
    }
    // A page that needs nothing of it is a good one, as is one behind the end.
    fs::remove_file(&files[0]).unwrap();
    assert_eq!(read(&folder, second - 1, 1, None).unwrap().0[0].seq, second);
    for file in &files[1..] {
        fs::remove_file(file).unwrap();
    }
    let error = read(&folder, 0, 1, None).unwrap_err();
    assert!(error.to_string().contains("go to 30"), "{error}");
    assert!(tail(&folder, 5).is_err());
    assert_eq!(read(&folder, 30, 1, None).unwrap(), (Vec::new(), None));
}

#[test]
fn damage_before_the_tail_keeps_the_router_from_starting() {
    let rig = Rig::new();
    small_ledger(&rig);
    let files = segment_files(&rig.ledger());
    for file in [&files[0], files.last().unwrap()] {
        let sound = fs::read(file).unwrap();
        let mut bytes = sound.clone();
        bytes[120] ^= 1;
        fs::write(file, &bytes).unwrap();
        let error = Journal::open(&rig.ledger(), Options::default(), rig.directory()).unwrap_err();
        let LedgerError::Damaged(damage) = error else {
            panic!("{error}");
        };
        assert_eq!(&damage.file, file);
        assert!(damage.offset <= 120);
        fs::write(file, &sound).unwrap();
    }
}

#[test]
fn a_torn_tail_is_cut_off_and_loses_nothing() {
    let rig = Rig::new();
    small_ledger(&rig);
    let last = segment_files(&rig.ledger()).pop().unwrap();
    let sound = fs::read(&last).unwrap();
    // Half of a frame that nobody was told of, up to a byte that is not zero.
    let torn = [&sound[..], &sound[96..149]].concat();
    fs::write(&last, &torn).unwrap();
    assert_eq!(verify(&rig.ledger()).unwrap().torn_bytes, 53);
    let (journal, opened) = rig.open();
    assert_eq!(
        (opened.torn_bytes, opened.lost, opened.entries),
        (53, 0, 30)
    );
    assert_eq!(fs::read(&last).unwrap(), sound);
    drop(journal);
    assert_eq!(verify(&rig.ledger()).unwrap().torn_bytes, 0);
}

#[test]
fn lost_acknowledged_entries_are_attested_at_the_next_start() {
    let whole = Rig::new();
    small_ledger(&whole);
    let last = segment_files(&whole.ledger()).pop().unwrap();
    let length = fs::read(&last).unwrap().len();
    // At a frame's border and within a frame alike.
    for cut in [1, 40, length - 96] {
        let rig = Rig::new();
        copy(&whole.ledger(), &rig.ledger());
        let file = rig.ledger().join(last.file_name().unwrap());
        let bytes = fs::read(&file).unwrap();
        fs::write(&file, &bytes[..length - cut]).unwrap();
        damaged(&rig.ledger());
        let (journal, opened) = rig.open();
        assert!(opened.lost > 0, "{opened:?}");
        assert_eq!(opened.entries, 30 - opened.lost + 1);
        drop(journal);
        let report = verify(&rig.ledger()).unwrap();
        assert_eq!(report.recoveries.len(), 1);
        assert_eq!(report.recoveries[0].lost, opened.lost);
        assert!(report.to_string().contains("missing"), "{report}");
        // It is told once.
        assert_eq!(rig.open().1.lost, 0);
    }
}

/// Frames that stand whole behind it would go, too.
#[test]
fn a_start_cuts_nothing_off_behind_a_flaw_or_a_hole() {
    let rig = Rig::new();
    let (journal, _) = rig.open();
    let shared = profile("/p");
    for n in 0..4 {
        let _ = block_on(journal.clear(abroad(), draft(n, &shared))).unwrap();
    }
    journal.close().unwrap();
    drop(journal);
    let file = segment_files(&rig.ledger()).pop().unwrap();
    let sound = fs::read(&file).unwrap();
    let mut walk = Walk::open(&segment::list(&rig.ledger()).unwrap()[0]).unwrap();
    let mut begins = Vec::new();
    loop {
        begins.push(usize::try_from(walk.offset).unwrap());
        if walk.next_frame().unwrap().is_none() {
            break;
        }
    }
    begins.truncate(4);
    let directory = rig.directory();
    let refused = |bytes: &[u8], what: &str| {
        fs::write(&file, bytes).unwrap();
        let opened = Journal::open(&rig.ledger(), Options::default(), directory.clone());
        let Err(LedgerError::Damaged(damage)) = opened else {
            panic!("{what}: {opened:?}");
        };
        assert_eq!(fs::read(&file).unwrap(), bytes, "{what}: {damage}");
    };
    for (frame, begin) in begins.iter().enumerate() {
        // With room behind it as without.
        for room in [0, 500] {
            let mut hole = [&sound[..], &vec![0; room]].concat();
            hole[*begin..*begin + 20].fill(0);
            refused(&hole, &format!("a hole in frame {frame}"));
        }
    }
    // The file is shorter than the head says, but what is wrong is not its end. A flaw in the last
    // frame, which is cut, takes no other with it.
    let last = begins.pop().unwrap();
    for bit in 96 * 8..last * 8 {
        let mut bytes = sound[..sound.len() - 1].to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        refused(&bytes, &format!("bit {bit}"));
    }
}

#[test]
fn a_segment_behind_a_link_is_as_long_as_its_file() {
    let rig = Rig::new();
    small_ledger(&rig);
    let aside = rig.folder.path().join("aside");
    fs::create_dir(&aside).unwrap();
    for file in segment_files(&rig.ledger()) {
        let to = aside.join(file.file_name().unwrap());
        fs::rename(&file, &to).unwrap();
        std::os::unix::fs::symlink(&to, &file).unwrap();
    }
    // Of all but the last segment, the joints alone.
    let (journal, opened) = rig.open_with(Options {
        check_bytes: 1,
        ..Options::default()
    });
    assert_eq!((opened.entries, opened.lost), (30, 0));
    let lengths = segment_files(&aside)
        .iter()
        .map(|f| fs::metadata(f).unwrap().len())
        .sum::<u64>();
    assert_eq!(journal.status().bytes, lengths);
    journal.close().unwrap();
    assert!(verify(&rig.ledger()).is_ok());
}

#[test]
fn a_segment_that_was_only_begun_is_begun_again() {
    let rig = Rig::new();
    small_ledger(&rig);
    let begun = rig.ledger().join(format!("{:020}.seg", 31));
    fs::write(&begun, b"DOMLED").unwrap();
    assert_eq!(verify(&rig.ledger()).unwrap().torn_bytes, 6);
    let (journal, opened) = rig.open();
    assert_eq!((opened.entries, opened.lost), (30, 0));
    assert!(!begun.exists());
    drop(journal);
}

#[test]
fn an_older_copy_of_the_whole_ledger_is_missed_by_the_directory() {
    let rig = Rig::new();
    small_ledger(&rig);
    let older = rig.ledger().with_file_name("older");
    copy(&rig.ledger(), &older);
    let (journal, _) = rig.open();
    let shared = profile("/p");
    for n in 30..35 {
        let _ = block_on(journal.clear(abroad(), draft(n, &shared))).unwrap();
    }
    journal.close().unwrap();
    drop(journal);
    fs::remove_dir_all(rig.ledger()).unwrap();
    fs::rename(&older, rig.ledger()).unwrap();
    // Alone it looks as it did.
    assert_eq!(verify(&rig.ledger()).unwrap().recoveries, []);
    let (journal, opened) = rig.open();
    assert_eq!(opened.lost, 5);
    journal.close().unwrap();
    drop(journal);
    let recoveries = verify(&rig.ledger()).unwrap().recoveries;
    assert_eq!(recoveries.iter().map(|r| r.lost).collect::<Vec<_>>(), [5]);
    assert_eq!(rig.open().1.lost, 0, "told once");
}

/// A slot may be torn by a power failure, so the other one is believed; but it is told, and whether
/// entries can be missing that the damaged one alone knew of.
#[test]
fn a_damaged_slot_of_the_head_is_told_at_the_start() {
    let whole = Rig::new();
    small_ledger(&whole);
    let sound = fs::read(whole.ledger().join("head")).unwrap();
    let generation = |slot: usize| sound[slot * 512 + 24];
    let newer = usize::from(generation(1) > generation(0));
    let flip = |slot: usize, at: usize| {
        let mut bytes = sound.clone();
        bytes[slot * 512 + at] ^= 1;
        bytes
    };
    let slots = |first: &[u8], second: &[u8]| [first, second].concat();
    let (a, b) = (&sound[..512], &sound[512..]);
    let old = [a, b][1 - newer];
    let zeros = [0; 512];
    let zeroed = [slots(&zeros, b), slots(a, &zeros)];
    let copied = [slots(old, b), slots(a, old)];
    for (head, slot) in [
        (flip(0, 100), 0),
        (flip(0, 300), 0),
        (flip(1, 24), 1),
        (flip(1, 511), 1),
        (zeroed[newer].clone(), newer),
        (copied[newer].clone(), newer),
    ] {
        let rig = Rig::new();
        copy(&whole.ledger(), &rig.ledger());
        fs::write(rig.ledger().join("head"), &head).unwrap();
        damaged(&rig.ledger());
        let (journal, opened) = rig.open();
        assert_eq!((opened.entries, opened.lost), (30, 0));
        let flaw = opened.head_flaw.unwrap();
        assert_eq!(flaw.slot.map(usize::from), Some(slot));
        // The older slot ends a frame before the ledger; the newer one where it does.
        assert_eq!(flaw.may_hide_loss, slot != newer, "{flaw:?}");
        journal.close().unwrap();
        drop(journal);
        assert!(verify(&rig.ledger()).is_ok());
        assert_eq!(rig.open().1.head_flaw, None, "told once");
    }
    // Both are sound, and do not belong together.
    let other = Rig::new();
    small_ledger(&other);
    let foreign = fs::read(other.ledger().join("head")).unwrap();
    let rig = Rig::new();
    copy(&whole.ledger(), &rig.ledger());
    let mixed = [slots(&foreign[..512], b), slots(a, &foreign[512..])];
    fs::write(rig.ledger().join("head"), &mixed[1 - newer]).unwrap();
    damaged(&rig.ledger());
    assert_eq!(rig.open().1.head_flaw.unwrap().slot, None);
}

/// What a damaged slot alone told of cannot be known again; that there may be something is told.
#[test]
fn a_cut_behind_a_damaged_slot_is_told_as_possible() {
    let whole = Rig::new();
    small_ledger(&whole);
    let head = fs::read(whole.ledger().join("head")).unwrap();
    let newer = usize::from(head[512 + 24] > head[24]);
    let number = |slot: usize, at: usize| {
        let field = head[slot * 512 + at..][..8].try_into().unwrap();
        u64::from_le_bytes(field)
    };
    let older = 1 - newer;
    assert_eq!(number(older, 32) + 1, number(newer, 32));
    let mut spoilt = head.clone();
    spoilt[newer * 512 + 100] ^= 1;
    fs::write(whole.ledger().join("head"), spoilt).unwrap();
    let segment = whole
        .ledger()
        .join(format!("{:020}.seg", number(older, 40)));
    let bytes = fs::read(&segment).unwrap();
    let ends = usize::try_from(number(older, 48)).unwrap();
    fs::write(&segment, &bytes[..ends]).unwrap();
    if number(older, 40) != number(newer, 40) {
        fs::remove_file(
            whole
                .ledger()
                .join(format!("{:020}.seg", number(newer, 40))),
        )
        .unwrap();
    }
    // With a directory that saw less than the head did.
    let rig = Rig::new();
    copy(&whole.ledger(), &rig.ledger());
    let (_journal, opened) = rig.open();
    assert_eq!((opened.entries, opened.lost), (number(older, 32), 0));
    assert!(opened.head_flaw.unwrap().may_hide_loss);
    // The directory that went with it knows.
    assert_eq!(whole.open().1.lost, 1);
}

#[test]
fn a_first_start_that_was_cut_short_has_no_damaged_head() {
    let rig = Rig::new();
    let (journal, opened) = rig.open();
    assert_eq!(opened.head_flaw, None);
    journal.close().unwrap();
    drop(journal);
    let head = rig.ledger().join("head");
    let mut bytes = fs::read(&head).unwrap();
    assert_eq!(segment_files(&rig.ledger()), [] as [PathBuf; 0]);
    bytes[..512].fill(0);
    fs::write(&head, bytes).unwrap();
    assert_eq!(rig.open().1.head_flaw, None);
}
