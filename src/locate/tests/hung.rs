//! A directory whose disk hangs.

use std::{thread, time::Duration};

use super::*;

#[test]
fn a_disk_that_hangs_is_told_and_pins_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::default();
    let directory = Directory::with(Store::open_on(&disk, folder.path())).unwrap();
    directory.attach([1; 16], 0).unwrap();
    directory.apply(1, key(1), &claim_change("eu")).unwrap();
    directory.flush().unwrap();
    assert_eq!(directory.status().pins, 1);
    disk.turn(State::Hangs);
    directory.apply(2, key(2), &claim_change("sg")).unwrap();
    while directory.writing().lasts().is_zero() {
        thread::sleep(Duration::from_millis(5));
    }
    let clock = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    clock.block_on(async {
        assert_eq!(directory.status().error, None, "it may be slow");
        tokio::time::advance(Duration::from_secs(12)).await;
        let status = directory.status();
        let told = status.error.unwrap();
        assert!(told.contains("has not confirmed a write for 1"), "{told}");
        assert_eq!(status.pins, 1);
    });
    for (n, region) in [(1, "eu"), (2, "sg")] {
        assert_eq!(&*directory.lookup(&key(n)).unwrap().unwrap().region, region);
    }
    disk.turn(State::Sound);
    directory.flush().unwrap();
    clock.block_on(async { assert_eq!(directory.status().error, None) });
    assert_eq!(directory.status().pins, 2);
}
