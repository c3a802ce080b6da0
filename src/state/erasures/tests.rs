use std::{fs, io::Write as _, time::Duration};

use proptest::prelude::*;
use tempfile::TempDir;

mod hung;

use super::*;

mod displaced;

fn opened() -> (TempDir, Erasures) {
    let folder = tempfile::tempdir().unwrap();
    let erasures = Erasures::open(folder.path(), |_| true).unwrap();
    (folder, erasures)
}

fn reopened(folder: &TempDir) -> Erasures {
    Erasures::open(folder.path(), |_| true).unwrap()
}

fn key(number: u8) -> SubjectKey {
    SubjectKey::from_bytes([number; 16])
}

/// The hash of a path, for tests.
fn record(path: &str) -> SubjectKey {
    let mut bytes = [0; 16];
    for (i, b) in path.bytes().enumerate() {
        bytes[i % 16] ^= b.rotate_left(u32::try_from(i / 16).unwrap());
    }
    SubjectKey::from_bytes(bytes)
}

/// `path` with or without a query.
fn address(path: &str) -> Address {
    let (path, query) = match path.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (path, None),
    };
    Address::new(path, query, record)
}

fn regions(names: &[&str]) -> Vec<Arc<str>> {
    names.iter().map(|n| Arc::from(*n)).collect()
}

/// Notes an erasure and gives its rows.
fn note(erasures: &Erasures, subject: u8, path: &str, number: u128, names: &[&str]) -> Vec<RowId> {
    note_as(erasures, subject, path, number, names, false)
}

fn note_as(
    erasures: &Erasures,
    subject: u8,
    path: &str,
    number: u128,
    names: &[&str],
    ends_pin: bool,
) -> Vec<RowId> {
    let decision = DecisionId::new(1, number);
    let address = Arc::new(address(path));
    let new = NewErasure {
        subject: key(subject),
        address: &address,
        decision,
        route: "/people/{subject}".into(),
        since: Timestamp::from_second(i64::try_from(number).unwrap()).unwrap(),
        ends_pin,
    };
    let regions = regions(names);
    block_on(erasures.note(&new, &regions)).unwrap();
    let rows = regions.into_iter().map(|region| RowId {
        subject: key(subject),
        region,
        record: address.record,
        decision,
    });
    rows.collect()
}

fn states(erasures: &Erasures) -> Vec<(u8, String, &'static str)> {
    let listed = erasures.list().into_iter();
    listed
        .map(|o| (o.subject.to_bytes()[0], o.region.to_string(), o.state))
        .collect()
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
        .block_on(future)
}

fn held(erasures: &Erasures, subject: u8, region: &str) -> Option<WriteGuard> {
    block_on(erasures.hold(vec![(key(subject), region.into())]))
}

fn going(begun: Begun) -> Trying {
    match begun {
        Begun::Go(trying) => trying,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_not_confirmed_outlives_the_process() {
    let (folder, erasures) = opened();
    let rows = note(&erasures, 1, "/people/1", 1, &["eu", "sg", "in"]);
    assert!(
        erasures.list().is_empty(),
        "the caller has its answer yet to come"
    );
    erasures.settle(&rows[0], Settled::Confirmed);
    erasures.settle(&rows[1], Settled::Open);
    assert_eq!(states(&erasures), [(1, "sg".into(), "retrying")]);
    drop(erasures);
    let erasures = reopened(&folder);
    let expected = [(1, "in".into(), "repeat"), (1, "sg".into(), "repeat")];
    assert_eq!(states(&erasures), expected);
    // The repeated request takes their place, whatever its decision.
    let rows = note(&erasures, 1, "/people/1", 2, &["sg", "in"]);
    rows.iter()
        .for_each(|row| erasures.settle(row, Settled::Confirmed));
    assert!(erasures.is_empty() && erasures.count() == 0);
    drop(erasures);
    assert!(reopened(&folder).is_empty());
}

#[test]
fn a_refusal_is_told_after_a_restart_too() {
    let (folder, erasures) = opened();
    let rows = note(&erasures, 1, "/people/1", 1, &["sg"]);
    let refused = Some("case-7".into());
    erasures.settle(&rows[0], Settled::Repeat { refused });
    drop(erasures);
    let listed = reopened(&folder).list();
    assert_eq!(listed[0].refused.as_deref(), Some("case-7"));
}

#[test]
fn a_request_is_settled_under_its_own_decision_alone() {
    let (_folder, erasures) = opened();
    let old = note(&erasures, 1, "/people/1", 1, &["sg"]);
    erasures.settle(&old[0], Settled::Open);
    let new = note(&erasures, 1, "/people/1", 2, &["sg"]);
    assert!(matches!(erasures.begin(&old[0]), Begun::Later));
    erasures.settle(&old[0], Settled::Confirmed);
    erasures.settle(&new[0], Settled::Open);
    assert!(matches!(erasures.begin(&old[0]), Begun::Gone));
    assert_eq!(erasures.count(), 1);
    drop(going(erasures.begin(&new[0])));
}

#[test]
fn a_line_cut_short_is_dropped_and_another_broken_one_is_told() {
    let (folder, erasures) = opened();
    let rows = note(&erasures, 1, "/people/1", 1, &["sg"]);
    erasures.settle(&rows[0], Settled::Open);
    block_on(erasures.sync()).unwrap();
    drop(erasures);
    let path = folder.path().join("erasures.log");
    let append = |text: &str| {
        let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    };
    append("{\"close\":{\"subject\":\"01");
    let erasures = reopened(&folder);
    assert_eq!(erasures.count(), 1);
    // What is written after it begins a line of its own.
    note(&erasures, 2, "/people/2", 2, &["eu"]);
    drop(erasures);
    assert_eq!(reopened(&folder).count(), 2);
    append("nonsense\n");
    let error = Erasures::open(folder.path(), |_| true).unwrap_err();
    assert!(error.to_string().contains("line 3"), "{error}");
}

#[test]
fn a_write_overtakes_its_own_place_and_what_lies_under_or_above_it() {
    for (erased, written, overtaken) in [
        ("/people/1", "/people/1", true),
        ("/people/1/", "/people/1", true),
        ("/people/1", "/people", true),
        ("/people", "/people/1", true),
        ("/people/1", "/people/1/photo", true),
        ("/people/1", "/people/10", false),
        ("/orders/7", "/orders/8", false),
        ("/people/1", "/", true),
    ] {
        let (_folder, erasures) = opened();
        let rows = note(&erasures, 1, erased, 1, &["eu", "sg"]);
        rows.iter()
            .for_each(|row| erasures.settle(row, Settled::Open));
        let held = held(&erasures, 1, "sg").unwrap();
        assert!(matches!(erasures.begin(&rows[1]), Begun::Later));
        held.overtake(&address(written));
        let gone = matches!(erasures.begin(&rows[1]), Begun::Gone);
        assert_eq!(gone, overtaken, "{erased} {written}");
        // Another region is another copy.
        drop(going(erasures.begin(&rows[0])));
    }
}

#[test]
fn records_that_a_query_tells_apart_have_rows_of_their_own() {
    for (erased, again, rows) in [
        ("/o?u=S&id=1", "/o?u=S&id=2", 2),
        ("/o?u=S&id=1", "/o?id=1&u=S", 1),
        ("/o?u=S&id=1", "/o", 2),
        (
            "/b/k?x-id=DeleteObject&X-Amz-Date=1",
            "/b/k?X-Amz-Date=2",
            1,
        ),
        ("/b/k?tagging", "/b/k", 2),
    ] {
        let (_folder, erasures) = opened();
        for (number, path) in (1..).zip([erased, again]) {
            let noted = note(&erasures, 1, path, number, &["eu"]);
            erasures.settle(&noted[0], Settled::Open);
        }
        assert_eq!(erasures.count(), rows, "{erased} {again}");
    }
}

/// As of another version's object, or of its tags.
#[test]
fn a_write_with_another_query_leaves_the_erasure_to_the_caller() {
    for (erased, written, left) in [
        ("/b/k?versionId=1", "/b/k?versionId=2", Some("repeat")),
        ("/b/k", "/b/k?tagging", Some("repeat")),
        ("/b/k?versionId=1", "/b/k", Some("repeat")),
        ("/b/k?versionId=1", "/b/k?versionId=1", None),
        ("/b/k?x-id=DeleteObject", "/b/k?x-id=PutObject", None),
        ("/people/1", "/people?refresh=true", None),
        ("/b/k", "/b/l?tagging", Some("retrying")),
    ] {
        let (_folder, erasures) = opened();
        let rows = note(&erasures, 1, erased, 1, &["sg"]);
        erasures.settle(&rows[0], Settled::Open);
        held(&erasures, 1, "sg")
            .unwrap()
            .overtake(&address(written));
        let found: Vec<_> = states(&erasures).into_iter().map(|s| s.2).collect();
        assert_eq!(found, Vec::from_iter(left), "{erased} {written}");
    }
    // A request that is under way does not try again afterwards.
    let (_folder, erasures) = opened();
    let rows = note(&erasures, 1, "/b/k", 1, &["sg"]);
    let held = held(&erasures, 1, "sg").unwrap();
    held.overtake(&address("/b/k?tagging"));
    erasures.settle(&rows[0], Settled::Open);
    assert_eq!(states(&erasures), [(1, "sg".into(), "repeat")]);
    erasures.settle(&rows[0], Settled::Confirmed);
    assert!(erasures.is_empty());
}

#[test]
fn who_has_to_repeat_is_not_told_that_it_is_tried() {
    let (_folder, erasures) = opened();
    let rows = note(&erasures, 1, "/b/k", 1, &["sg"]);
    assert!(erasures.is_tried(&rows[0]));
    let write = held(&erasures, 1, "sg").unwrap();
    write.overtake(&address("/b/k?tagging"));
    erasures.settle(&rows[0], Settled::Open);
    assert!(!erasures.is_tried(&rows[0]));
    erasures.settle(&rows[0], Settled::Confirmed);
    assert!(erasures.is_tried(&rows[0]), "nothing is open");
}

/// They have the hash of the path alone.
#[test]
fn rows_of_an_earlier_router_are_known_by_their_paths() {
    let hash = record("/people/1").reveal();
    let line = format!(
        r#"{{"open":{{"subject":"{}","region":"sg","record":"{hash}","decision":"{}","route":"r","since":"2026-11-01T00:00:00Z","ends_pin":false}}}}"#,
        key(1).reveal(),
        DecisionId::new(1, 1),
    );
    let found = || {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("erasures.log"), format!("{line}\n")).unwrap();
        let erasures = reopened(&folder);
        assert_eq!(erasures.count(), 1);
        (folder, erasures)
    };
    for (written, left) in [("/people/1", 0), ("/people/1?id=1", 1), ("/people/2", 1)] {
        let (_folder, erasures) = found();
        held(&erasures, 1, "sg")
            .unwrap()
            .overtake(&address(written));
        assert_eq!(erasures.count(), left, "{written}");
    }
    // With a query it may be of another record there.
    for (again, left) in [("/people/1", 1), ("/people/1?id=1", 2)] {
        let (folder, erasures) = found();
        note(&erasures, 2, "/people/2", 3, &["sg"]);
        let rows = note(&erasures, 1, again, 2, &["sg"]);
        erasures.settle(&rows[0], Settled::Confirmed);
        drop(erasures);
        let after = states(&reopened(&folder));
        assert!(after.contains(&(2, "sg".into(), "repeat")), "{again}");
        assert_eq!(after.len(), left, "{again}: {after:?}");
    }
}

#[test]
fn a_write_that_did_not_stand_overtakes_nothing() {
    let (_folder, erasures) = opened();
    let rows = note(&erasures, 1, "/people/1", 1, &["sg"]);
    erasures.settle(&rows[0], Settled::Open);
    drop(held(&erasures, 1, "sg"));
    drop(going(erasures.begin(&rows[0])));
    // Nobody else is held.
    assert!(held(&erasures, 2, "sg").is_none());
}

#[test]
fn after_a_restart_a_write_overtakes_its_own_place_alone() {
    let (folder, erasures) = opened();
    note(&erasures, 1, "/people/1", 1, &["sg"]);
    note(&erasures, 1, "/orders/7", 2, &["sg"]);
    drop(erasures);
    let erasures = reopened(&folder);
    let held = held(&erasures, 1, "sg").unwrap();
    held.overtake(&address("/people/1"));
    assert_eq!(erasures.count(), 1);
    assert_eq!(erasures.list()[0].decision, DecisionId::new(1, 2));
}

/// The order that the whole is for: hold, end of the try, entry, send.
#[test]
fn a_write_waits_for_the_end_of_a_try() {
    let (_folder, erasures) = opened();
    let rows = note(&erasures, 1, "/people/1", 1, &["sg"]);
    erasures.settle(&rows[0], Settled::Open);
    let trying = going(erasures.begin(&rows[0]));
    block_on(async {
        let hold = erasures.hold(vec![(key(1), "sg".into())]);
        tokio::pin!(hold);
        let early = tokio::time::timeout(Duration::ZERO, &mut hold).await;
        assert!(early.is_err(), "the try is under way");
        // From the first poll on nothing new begins.
        assert!(matches!(erasures.begin(&rows[0]), Begun::Later));
        // Elsewhere nobody waits.
        drop(erasures.hold(vec![(key(1), "eu".into())]).await);
        drop(trying);
        let held = hold.await.unwrap();
        assert!(!held.pin_ended());
    });
}

#[test]
fn a_pin_ends_with_the_last_of_its_rows() {
    let (folder, erasures) = opened();
    let rows = note_as(&erasures, 1, "/people/1", 1, &["eu", "sg"], true);
    erasures.settle(&rows[0], Settled::Confirmed);
    assert!(erasures.end_pin(key(1)).is_none());
    erasures.settle(&rows[1], Settled::Open);
    erasures.settle(&rows[1], Settled::Confirmed);
    let ending = erasures.end_pin(key(1)).unwrap();
    assert!(erasures.end_pin(key(1)).is_none(), "once");
    // The entry was not written: to be repeated.
    drop(ending);
    assert_eq!(erasures.count(), 2);
    let rows = note_as(&erasures, 1, "/people/1", 2, &["eu", "sg"], true);
    rows.iter()
        .for_each(|row| erasures.settle(row, Settled::Confirmed));
    erasures.end_pin(key(1)).unwrap().done();
    assert!(erasures.is_empty());
    drop(erasures);
    assert!(reopened(&folder).is_empty());
}

#[test]
fn what_is_asked_for_while_a_pin_ends_stays_open() {
    for done in [true, false] {
        let (_folder, erasures) = opened();
        let rows = note_as(&erasures, 1, "/people/1", 1, &["eu"], true);
        erasures.settle(&rows[0], Settled::Confirmed);
        let ending = erasures.end_pin(key(1)).unwrap();
        let later = note_as(&erasures, 1, "/people/1/photo", 2, &["eu"], true);
        match done {
            true => ending.done(),
            false => drop(ending),
        }
        // Its region fails.
        erasures.settle(&later[0], Settled::Open);
        let expected = match done {
            true => vec![(1, "eu".to_owned(), "retrying")],
            false => vec![
                (1, "eu".to_owned(), "repeat"),
                (1, "eu".to_owned(), "retrying"),
            ],
        };
        assert_eq!(states(&erasures), expected);
    }
}

#[test]
fn a_write_keeps_the_pin() {
    let (_folder, erasures) = opened();
    let rows = note_as(&erasures, 1, "/people/1", 1, &["eu", "sg"], true);
    erasures.settle(&rows[0], Settled::Confirmed);
    // Anywhere, since it is the account that is written to.
    let written = held(&erasures, 1, "in").unwrap();
    written.overtake(&address("/orders/7"));
    erasures.settle(&rows[1], Settled::Confirmed);
    assert!(erasures.end_pin(key(1)).is_none());
    assert!(erasures.is_empty());
}

#[test]
fn a_write_that_waits_for_the_end_of_the_pin_is_told() {
    let (_folder, erasures) = opened();
    let rows = note_as(&erasures, 1, "/people/1", 1, &["eu"], true);
    erasures.settle(&rows[0], Settled::Confirmed);
    let ending = erasures.end_pin(key(1)).unwrap();
    block_on(async {
        let hold = erasures.hold(vec![(key(1), "eu".into())]);
        tokio::pin!(hold);
        let early = tokio::time::timeout(Duration::ZERO, &mut hold).await;
        assert!(early.is_err());
        ending.done();
        assert!(hold.await.unwrap().pin_ended());
    });
}

#[test]
fn a_write_that_fails_leaves_the_end_of_the_pin_to_the_caller() {
    let (_folder, erasures) = opened();
    let rows = note_as(&erasures, 1, "/people/1", 1, &["eu"], true);
    let held = held(&erasures, 1, "eu").unwrap();
    erasures.settle(&rows[0], Settled::Confirmed);
    assert!(
        erasures.end_pin(key(1)).is_none(),
        "a write may be about to stand"
    );
    drop(held);
    assert_eq!(states(&erasures), [(1, "eu".into(), "repeat")]);
}

#[test]
fn an_account_whose_pin_is_gone_is_erased_whole() {
    let (folder, erasures) = opened();
    note_as(&erasures, 1, "/people/1", 1, &["eu", "sg"], true);
    note(&erasures, 2, "/people/2", 2, &["eu"]);
    drop(erasures);
    // Killed between the entry that removed the pin and the log's last line.
    let erasures = Erasures::open(folder.path(), |_| false).unwrap();
    assert_eq!(states(&erasures), [(2, "eu".into(), "repeat")]);
    drop(erasures);
    assert_eq!(reopened(&folder).count(), 1, "for good");
}

#[test]
fn the_log_is_cut_back() {
    let (folder, erasures) = opened();
    let length = || {
        fs::metadata(folder.path().join("erasures.log"))
            .unwrap()
            .len()
    };
    let open = note(&erasures, 1, "/people/1", 1, &["sg"]);
    erasures.settle(&open[0], Settled::Open);
    let one = length();
    for number in 2..4_000 {
        let rows = note(&erasures, 2, "/people/2", number, &["eu"]);
        erasures.settle(&rows[0], Settled::Confirmed);
    }
    // By the keeper alone, as its disk is waited for.
    let grown = length();
    assert!(grown > 1 << 20);
    block_on(erasures.sync()).unwrap();
    erasures.look();
    block_on(erasures.sync()).unwrap();
    assert!(length() < one * 2, "{} {one}", length());
    drop(erasures);
    let erasures = reopened(&folder);
    assert_eq!(erasures.count(), 1);
    erasures.settle(&open[0], Settled::Confirmed);
    block_on(erasures.sync()).unwrap();
    assert_eq!(length(), 0);
}

#[test]
fn there_is_an_end_to_what_is_kept() {
    let (_folder, erasures) = opened();
    let room = erasures.keep(KEPT).unwrap();
    assert!(erasures.keep(1).is_none());
    drop(room);
    assert!(erasures.keep(1).is_some());
    let many: Vec<String> = (0..=MOST).map(|n| format!("r{n}")).collect();
    let many: Vec<Arc<str>> = many.iter().map(|n| Arc::from(n.as_str())).collect();
    let address = Arc::new(address("/x"));
    let new = NewErasure {
        subject: key(1),
        address: &address,
        decision: DecisionId::new(1, 1),
        route: "r".into(),
        since: Timestamp::UNIX_EPOCH,
        ends_pin: false,
    };
    let error = block_on(erasures.note(&new, &many)).unwrap_err();
    assert!(matches!(error, StateError::ErasuresFull(MOST)), "{error}");
    assert!(erasures.is_empty());
}

#[test]
fn no_path_is_in_the_log_or_in_what_is_printed() {
    let (folder, erasures) = opened();
    note(&erasures, 1, "/people/invented@example.com", 1, &["sg"]);
    let log = fs::read_to_string(folder.path().join("erasures.log")).unwrap();
    assert!(!log.contains("invented") && log.contains("\"sg\""));
    let state = erasures.inner.lock();
    assert!(!format!("{:?}", state.rows).contains("invented"));
}

#[derive(Clone, Debug)]
enum Step {
    Note(u8, usize),
    Settle(usize, u8),
    Write(u8, usize),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..3u8, 0..4usize).prop_map(|(s, p)| Step::Note(s, p)),
        (0..20usize, 0..4u8).prop_map(|(r, how)| Step::Settle(r, how)),
        (0..3u8, 0..4usize).prop_map(|(s, p)| Step::Write(s, p)),
        Just(Step::Restart),
    ];
    prop::collection::vec(step, 0..30)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The number of rows, which writes trust, is that of the table; and the log says what the
    /// table does.
    #[test]
    fn the_log_and_the_number_follow_the_table(steps in steps()) {
        const PATHS: [&str; 4] = ["/a", "/a/b", "/c", "/c?id=1"];
        let folder = tempfile::tempdir().unwrap();
        let mut erasures = reopened(&folder);
        let mut rows: Vec<RowId> = Vec::new();
        for (number, step) in (1..).zip(steps) {
            match step {
                Step::Note(subject, path) => {
                    rows.extend(note(&erasures, subject, PATHS[path], number, &["eu", "sg"]));
                }
                Step::Settle(row, how) => {
                    let settled = match how {
                        0 => Settled::Confirmed,
                        1 => Settled::Open,
                        2 => Settled::Forgotten,
                        _ => Settled::Repeat { refused: None },
                    };
                    if let Some(row) = rows.get(row) {
                        erasures.settle(row, settled);
                    }
                }
                Step::Write(subject, path) => {
                    if let Some(held) = held(&erasures, subject, "eu") {
                        held.overtake(&address(PATHS[path]));
                    }
                }
                Step::Restart => {}
            }
            let table = |erasures: &Erasures| {
                let state = erasures.inner.lock();
                let mut all: Vec<_> = state
                    .rows
                    .iter()
                    .flat_map(|(s, rows)| rows.iter().map(|r| (*s, r.region.clone(), r.record, r.decision)))
                    .collect();
                all.sort();
                all
            };
            let before = table(&erasures);
            prop_assert_eq!(erasures.inner.open.load(Ordering::SeqCst), before.len());
            if matches!(step, Step::Restart) {
                drop(erasures);
                erasures = reopened(&folder);
                prop_assert_eq!(table(&erasures), before);
            }
        }
    }
}
