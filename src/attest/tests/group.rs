//! Who waits, who does not, and what is shared.

use super::*;

#[test]
fn a_flow_home_does_not_wait_and_is_written_all_the_same() {
    let rig = Rig::new();
    let (journal, _) = rig.open();
    let worker = journal.worker();
    let shared = profile("/people/{subject}");
    block_on(async {
        let before = journal.status().commits;
        for n in 0..100 {
            let _ = worker.clear(homeward(), draft(n, &shared)).await.unwrap();
        }
        // Ready at the first poll, so no commit was waited for: at most a timed one went by.
        assert!(journal.status().commits <= before + 3);
        worker.outcome(OutcomeDraft {
            at: at(100),
            decision: decision(99),
            status: 0,
        });
        journal.flush().await.unwrap();
    });
    assert_eq!(journal.status().waiting, 0);
    let entries = read(&rig.ledger(), 0, 1000, None).unwrap().0;
    assert_eq!(entries.len(), 101);
    assert_eq!(entries[100].kind.as_str(), "outcome");
}

#[test]
fn what_is_queued_is_written_without_being_asked() {
    let rig = Rig::new();
    let (journal, _) = rig.open();
    let worker = journal.worker();
    block_on(worker.clear(homeward(), draft(0, &profile("/r"))))
        .map(drop)
        .unwrap();
    drop(worker);
    // No timed assert: the loop ends when the thread has done its work, however long it takes.
    while acknowledged(&rig.ledger()).unwrap() == 0 {
        std::thread::yield_now();
    }
    drop(journal);
}

#[test]
fn closing_writes_what_is_queued_and_refuses_what_comes_later() {
    let rig = Rig::new();
    let (journal, _) = rig.open();
    let worker = journal.worker();
    let shared = profile("/r");
    block_on(async {
        let _ = worker.clear(homeward(), draft(0, &shared)).await.unwrap();
        journal.close().unwrap();
        for permit in [homeward(), abroad()] {
            let late = worker.clear(permit, draft(1, &shared)).await;
            assert_eq!(late.unwrap_err(), Unwritable::Closed);
        }
        let late = journal.worker().clear(homeward(), draft(1, &shared)).await;
        assert_eq!(late.unwrap_err(), Unwritable::Closed);
    });
    assert_eq!(verify(&rig.ledger()).unwrap().entries, 1);
}

#[test]
fn concurrent_requests_share_commits() {
    let rig = Rig::new();
    let (journal, _) = rig.open();
    let shared = profile("/r");
    const EACH: u64 = 50;
    std::thread::scope(|s| {
        for thread in 0..4 {
            let (journal, shared) = (&journal, &shared);
            s.spawn(move || {
                block_on(async {
                    let all: Vec<_> = (0..EACH)
                        .map(|n| journal.clear(abroad(), draft(thread * EACH + n, shared)))
                        .collect();
                    for cleared in futures_all(all).await {
                        let _ = cleared.unwrap();
                    }
                });
            });
        }
    });
    let status = journal.status();
    assert_eq!(status.entries, 4 * EACH);
    assert!(status.commits < 4 * EACH / 4, "{status:?}");
    let entries = read(&rig.ledger(), 0, 1000, None).unwrap().0;
    let distinct: std::collections::HashSet<_> = entries.iter().map(|e| e.decision()).collect();
    assert_eq!(distinct.len() as u64, 4 * EACH);
}

#[test]
fn a_dropped_caller_changes_nothing_for_its_entry() {
    let rig = Rig::new();
    let (journal, _) = rig.open();
    block_on(async {
        {
            let mut clearing = std::pin::pin!(journal.clear(abroad(), draft(0, &profile("/r"))));
            let polled = std::future::poll_fn(|cx| {
                std::task::Poll::Ready(clearing.as_mut().poll(cx).is_ready())
            });
            polled.await;
        }
        journal.flush().await.unwrap();
    });
    assert_eq!(read(&rig.ledger(), 0, 9, None).unwrap().0.len(), 1);
}

#[test]
fn a_batch_is_one_frame_in_order() {
    let rig = Rig::new();
    let (journal, _) = rig.open();
    let shared = profile("/r");
    block_on(async {
        let permits = (0..5).map(|n| (abroad(), draft(n, &shared))).collect();
        let refusals = (5..8).map(|n| draft(n, &shared)).collect();
        let cleared = journal.clear_all(permits, refusals).await.unwrap();
        assert_eq!(cleared.len(), 5);
        assert_eq!(journal.status().commits, 1);
        // All flows home: queued together.
        let home = (8..10).map(|n| (homeward(), draft(n, &shared))).collect();
        assert_eq!(journal.clear_all(home, Vec::new()).await.unwrap().len(), 2);
        assert_eq!(
            journal
                .clear_all(Vec::new(), Vec::new())
                .await
                .unwrap()
                .len(),
            0
        );
    });
    drop(journal);
    let order: Vec<_> = read(&rig.ledger(), 0, 99, None)
        .unwrap()
        .0
        .iter()
        .map(Entry::decision)
        .collect();
    assert_eq!(
        order,
        (0..10).map(|n| Some(decision(n))).collect::<Vec<_>>()
    );
}

#[test]
fn a_change_of_pin_names_its_subject() {
    let rig = Rig::new();
    let (journal, _) = rig.open();
    let mut nobody = draft(0, &profile("/r"));
    nobody.subject = None;
    nobody.pin = Some(Pinning::Copy {
        region: "sg".into(),
    });
    let refused = block_on(journal.clear(abroad(), nobody));
    assert_eq!(refused.unwrap_err(), Unwritable::NoSubject);
}

/// Polls all futures until each has ended.
async fn futures_all<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.into_iter().map(|f| (Box::pin(f), None)).collect();
    std::future::poll_fn(move |cx| {
        let mut pending = false;
        for (future, output) in &mut futures {
            if output.is_none() {
                match future.as_mut().poll(cx) {
                    std::task::Poll::Ready(value) => *output = Some(value),
                    std::task::Poll::Pending => pending = true,
                }
            }
        }
        if pending {
            return std::task::Poll::Pending;
        }
        std::task::Poll::Ready(futures.iter_mut().filter_map(|(_, o)| o.take()).collect())
    })
    .await
}
