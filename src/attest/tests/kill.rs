//! SIGKILL at any moment: nothing acknowledged is missing, nobody has two homes.

use std::{
    collections::{HashMap, HashSet},
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
};

use smallvec::smallvec;

use super::*;
use crate::locate::{Claim, Pin, PinChange};

const FOLDER: &str = "DOMICILE_TEST_KILL_FOLDER";
const ITSELF: &str = "attest::tests::kill::nothing_acknowledged_is_lost_and_no_one_has_two_homes";
const ROUND: &str = "DOMICILE_TEST_KILL_ROUND";
const SUBJECTS: u64 = 3_000;
const REGIONS: [&str; 5] = ["cn", "eu", "in", "ru", "sg"];

/// What the test below starts, in a process of its own, and kills. Several threads claim homes for
/// the same subjects, each thread another one; each acknowledged home is told on standard output.
fn child(folder: &Path) {
    let round: u64 = std::env::var(ROUND).unwrap().parse().unwrap();
    let directory = Directory::open(&folder.join("directory")).unwrap();
    let options = Options {
        segment_bytes: 20_000,
        ..Options::default()
    };
    let (journal, _) = Journal::open(&folder.join("ledger"), options, directory.clone()).unwrap();
    std::thread::scope(|s| {
        for thread in 0..5u64 {
            let (directory, worker) = (directory.clone(), journal.worker());
            s.spawn(move || {
                block_on(async {
                    let shared = profile("/people/{subject}");
                    for step in 0..SUBJECTS {
                        let n = (step + round * 700) % SUBJECTS;
                        let wanted = REGIONS[usize::try_from((thread + n + round) % 5).unwrap()];
                        write_home(&directory, &worker, &shared, n, wanted).await;
                        let id = (round * 5 + thread) * SUBJECTS + step + 1_000_000;
                        let _ = worker.clear(abroad(), draft(id, &shared)).await.unwrap();
                        tell(&format!("SENT {id}\n"));
                    }
                });
            });
        }
    });
}

async fn write_home(
    directory: &Directory,
    worker: &WorkerJournal,
    shared: &Arc<Profile>,
    n: u64,
    wanted: &str,
) {
    let mut draft = draft(n, shared);
    let home = match directory
        .claim(key(n), Pin::new(wanted.into(), smallvec![]))
        .unwrap()
    {
        Claim::Held(pin) => pin.region.clone(),
        // Follows the other's home, and makes it durable with its own entry.
        Claim::Won(claimed) | Claim::Contested(_, claimed) => {
            let region = claimed.pin().region.clone();
            draft.pin = Some(Pinning::Claim(claimed));
            region
        }
    };
    let _ = worker.clear(homeward(), draft).await.unwrap();
    tell(&format!("HOME {n} {home}\n"));
}

fn tell(line: &str) {
    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
}

#[test]
fn nothing_acknowledged_is_lost_and_no_one_has_two_homes() {
    if let Ok(folder) = std::env::var(FOLDER) {
        return child(Path::new(&folder));
    }
    let rig = Rig::new();
    let mut homes: HashMap<u64, String> = HashMap::new();
    let mut sent = Vec::new();
    for (round, lines) in [40, 700, 1, 2_500].into_iter().enumerate() {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", ITSELF])
            .args(["--nocapture", "--test-threads=1"])
            .env(FOLDER, rig.folder.path())
            .env(ROUND, round.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut told = 0;
        let output = BufReader::new(child.stdout.take().unwrap());
        for line in output.lines().map_while(Result::ok) {
            if let Some((_, id)) = line.split_once("SENT ") {
                sent.push(decision(id.parse().unwrap()));
            }
            // The test harness speaks on the same line now and then.
            let Some((_, home)) = line.split_once("HOME ") else {
                continue;
            };
            let Some((n, region)) = home.split_once(' ') else {
                continue;
            };
            let standing = homes.entry(n.parse().unwrap()).or_insert(region.to_owned());
            assert_eq!(standing, region, "subject {n} has two homes");
            told += 1;
            if told == lines {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(
            told >= lines,
            "the child ended by itself after {told} homes"
        );

        let report = verify(&rig.ledger()).unwrap();
        assert_eq!(report.recoveries, []);
        let directory = rig.directory();
        let (journal, opened) =
            Journal::open(&rig.ledger(), Options::default(), directory.clone()).unwrap();
        assert_eq!(opened.lost, 0);
        for (n, region) in &homes {
            let pin = directory.lookup(&key(*n)).unwrap();
            assert_eq!(pin.map(|p| p.region.to_string()).as_ref(), Some(region));
        }
        journal.close().unwrap();
    }
    let mut pinned = HashMap::new();
    let mut written = HashSet::new();
    for entry in read(&rig.ledger(), 0, usize::MAX, None).unwrap().0 {
        written.extend(entry.decision());
        if let Kind::Decision {
            subject: Some(key),
            pin: Some(PinChange::Claim { region, .. }),
            ..
        } = entry.kind
        {
            let first = pinned.entry(key).or_insert(region.clone());
            assert_eq!(*first, region, "two homes in the ledger");
        }
    }
    assert!(sent.len() > 1_000, "{}", sent.len());
    for id in sent {
        assert!(written.contains(&id), "{id} left without an entry");
    }
    for (n, region) in &homes {
        assert_eq!(pinned.get(&key(*n)).map(|r| &**r), Some(region.as_str()));
    }
}
