//! A log whose disk hangs.

use std::{
    fs::File,
    io::{PipeReader, Read as _, pipe},
    os::fd::OwnedFd,
    thread,
};

use super::*;

/// A log that goes into a pipe: once that is full it hangs until somebody reads.
fn on_a_pipe() -> (TempDir, Erasures, File, PipeReader) {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, _) = Log::open(folder.path()).unwrap();
    let (reader, writer) = pipe().unwrap();
    let writer = File::from(OwnedFd::from(writer));
    log.write_into(writer.try_clone().unwrap());
    let erasures = Erasures::with(log, Vec::new()).unwrap();
    (folder, erasures, writer, reader)
}

/// Fills the pipe with what is no text.
fn hang(mut writer: &File) {
    rustix::io::ioctl_fionbio(writer, true).unwrap();
    for piece in [4096, 1] {
        while writer.write(&vec![0; piece]).is_ok() {}
    }
    rustix::io::ioctl_fionbio(writer, false).unwrap();
}

/// Lets the log go on to its end: what was written.
fn written(erasures: Erasures, writer: File, mut reader: PipeReader) -> String {
    let reads = thread::spawn(move || {
        let mut text = Vec::new();
        reader.read_to_end(&mut text).unwrap();
        text.retain(|b| *b != 0);
        String::from_utf8(text).unwrap()
    });
    drop((erasures, writer));
    reads.join().unwrap()
}

/// A clock that runs ahead while nothing else is to be done.
fn ahead() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
}

fn erasure(subject: u8, address: &Arc<Address>, number: u128) -> NewErasure<'_> {
    NewErasure {
        subject: key(subject),
        address,
        decision: DecisionId::new(1, number),
        route: "/people/{subject}".into(),
        since: Timestamp::UNIX_EPOCH,
        ends_pin: false,
    }
}

/// What a start would find after these lines, by subject, region and decision.
fn open_after(text: &str) -> Vec<(SubjectKey, Arc<str>, DecisionId)> {
    let rows = log::read(text.as_bytes()).unwrap().into_iter();
    let mut rows: Vec<_> = rows.map(|(s, r)| (s, r.region, r.decision)).collect();
    rows.sort();
    rows
}

#[test]
fn while_its_disk_hangs_no_erasure_begins_and_nobody_else_waits() {
    let (_folder, erasures, writer, reader) = on_a_pipe();
    let one = note(&erasures, 1, "/people/1", 1, &["eu"]);
    let two = note(&erasures, 2, "/people/2", 2, &["eu", "sg"]);
    for row in one.iter().chain(&two) {
        erasures.settle(row, Settled::Open);
    }
    hang(&writer);
    let clock = ahead();
    // Asked for once more, and not to begin: what it was to take the place of is open as before.
    let one_address = Arc::new(address("/people/1"));
    let again = erasure(1, &one_address, 3);
    let noted = clock.block_on(erasures.note(&again, &regions(&["eu", "sg"])));
    assert!(matches!(noted, Err(StateError::Hangs(_))), "{noted:?}");
    while erasures.writing().lasts().is_zero() {
        thread::yield_now();
    }
    let open = [
        (1, "eu".into(), "retrying"),
        (2, "eu".into(), "retrying"),
        (2, "sg".into(), "retrying"),
    ];
    assert_eq!(states(&erasures), open);
    assert_eq!(erasures.list()[0].decision, DecisionId::new(1, 1));
    // From now on at once, and it is told.
    let late = clock.block_on(async {
        tokio::time::advance(Duration::from_secs(50)).await;
        let told = erasures.trouble().unwrap();
        assert!(told.contains("has not confirmed a write for"), "{told}");
        erasures.look();
        assert!(matches!(erasures.sync().await, Err(StateError::Hangs(_))));
        assert!(matches!(erasures.can_note(1), Err(StateError::Hangs(_))));
        erasures.note(&again, &regions(&["eu"])).await
    });
    let Err(StateError::Hangs(lasts)) = late else {
        panic!("{late:?}");
    };
    assert!(lasts.as_secs() > 11, "{lasts:?}");
    // What a holder says, and a write, are as ever.
    erasures.settle(&two[0], Settled::Confirmed);
    let write = held(&erasures, 2, "sg").unwrap();
    write.overtake(&address("/orders/7"));
    assert_eq!(erasures.count(), 2);

    let text = written(erasures, writer, reader);
    let key_of = |s: u8, r: &str, d| (key(s), Arc::from(r), DecisionId::new(1, d));
    let left = [key_of(1, "eu", 1), key_of(2, "sg", 2)];
    assert_eq!(open_after(&text), left);
    // Whenever the process had ended: no line made it forget what was open.
    let ends = text.match_indices('\n').map(|(at, _)| at + 1);
    for end in ends.skip(one.len() + two.len() - 1) {
        let open = open_after(text.get(..end).unwrap());
        for (subject, region, _) in &left {
            let has = open.iter().any(|(s, r, _)| s == subject && r == region);
            assert!(has, "{end} of {text}");
        }
    }
}

#[test]
fn what_nobody_waits_for_any_longer_is_taken_back() {
    let (_folder, erasures, writer, reader) = on_a_pipe();
    hang(&writer);
    block_on(async {
        let address = Arc::new(address("/people/1"));
        let new = erasure(1, &address, 1);
        let at = regions(&["eu"]);
        let noting = erasures.note(&new, &at);
        tokio::pin!(noting);
        let early = tokio::time::timeout(Duration::from_millis(5), &mut noting).await;
        assert!(early.is_err());
        assert!(erasures.concerns(&key(1)));
    });
    assert!(erasures.is_empty());
    let text = written(erasures, writer, reader);
    assert_eq!(text.lines().count(), 2, "{text}");
    assert_eq!(open_after(&text), []);
}

/// The copy of what is open and the lines around it have one order.
#[test]
fn what_comes_while_the_log_is_cut_back_is_in_it() {
    let (folder, erasures) = opened();
    let path = folder.path().join("erasures.log");
    let rows = note(&erasures, 1, "/people/1", 1, &["eu", "sg"]);
    let all = |erasures: &Erasures| {
        let state = erasures.inner.lock();
        let rows = state.rows.iter();
        let rows = rows.flat_map(|(s, rows)| rows.iter().map(|r| (*s, r.clone())));
        rows.collect::<Vec<_>>()
    };
    erasures.inner.pen.push(Job::CutBack(all(&erasures)));
    erasures.settle(&rows[0], Settled::Confirmed);
    note(&erasures, 2, "/people/2", 2, &["eu"]);
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 4, "{text}");
    let rows = [(1, "sg", 1), (2, "eu", 2)];
    let rows = rows.map(|(s, r, d)| (key(s), Arc::from(r), DecisionId::new(1, d)));
    assert_eq!(open_after(&text), rows);
}
