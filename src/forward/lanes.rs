use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

/// Drives all futures on this task and gives their outputs in order. Only those that were woken
/// are polled again. Cancel safe if the futures are: dropping it drops them.
///
/// For the handful of regions of a batch, which borrow from the request and so cannot be spawned.
pub async fn join_all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut lanes: Vec<Lane<F>> = futures.into_iter().map(Lane::new).collect();
    poll_fn(|cx| {
        let mut is_pending = false;
        for lane in &mut lanes {
            is_pending |= !lane.poll(cx);
        }
        if is_pending {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    })
    .await;
    lanes.into_iter().filter_map(|lane| lane.output).collect()
}

struct Lane<F: Future> {
    /// `None` when done.
    future: Option<Pin<Box<F>>>,
    output: Option<F::Output>,
    alarm: Arc<Alarm>,
}

/// Remembers which lane was woken, and wakes the task that drives all of them.
struct Alarm {
    rang: AtomicBool,
    task: Mutex<Waker>,
}

impl<F: Future> Lane<F> {
    fn new(future: F) -> Self {
        Self {
            future: Some(Box::pin(future)),
            output: None,
            alarm: Arc::new(Alarm {
                rang: AtomicBool::new(true),
                task: Mutex::new(Waker::noop().clone()),
            }),
        }
    }

    /// True when done.
    fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(future) = &mut self.future else {
            return true;
        };
        self.alarm.watch(cx.waker());
        // The waker is set first, so an alarm that rings from here on is not lost.
        if !self.alarm.rang.swap(false, Ordering::AcqRel) {
            return false;
        }
        let waker = Waker::from(Arc::clone(&self.alarm));
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Pending => false,
            Poll::Ready(output) => {
                self.output = Some(output);
                self.future = None;
                true
            }
        }
    }
}

impl Alarm {
    fn watch(&self, waker: &Waker) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        task.clone_from(waker);
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rang.store(true, Ordering::Release);
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        task.wake_by_ref();
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, time::Duration};

    use tokio::{sync::oneshot, time::timeout};

    use super::*;

    #[tokio::test]
    async fn outputs_stand_in_order_and_sleeping_lanes_are_left_alone() {
        let (send_a, a) = oneshot::channel::<u8>();
        let (send_b, b) = oneshot::channel::<u8>();
        let polls = Cell::new(0);
        let lanes: Vec<Pin<Box<dyn Future<Output = u8>>>> = vec![
            Box::pin(async {
                let mut a = Box::pin(a);
                poll_fn(|cx| {
                    polls.set(polls.get() + 1);
                    a.as_mut().poll(cx)
                })
                .await
                .unwrap()
            }),
            Box::pin(async {
                let n = b.await.unwrap();
                tokio::task::yield_now().await;
                send_a.send(1).unwrap();
                n
            }),
            Box::pin(async {
                tokio::task::yield_now().await;
                send_b.send(2).unwrap();
                3
            }),
        ];
        let outputs = timeout(Duration::from_secs(60), join_all(lanes)).await;
        assert_eq!(outputs.unwrap(), [1, 2, 3]);
        assert_eq!(polls.get(), 2, "polled at the start and when woken");
    }

    #[tokio::test]
    async fn no_futures_are_done_at_once() {
        let none: Vec<std::future::Ready<()>> = Vec::new();
        assert!(join_all(none).await.is_empty());
    }
}
