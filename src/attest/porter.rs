//! Answers on their way back to a worker.
//!
//! A commit answers many requests. Told one by one from the journal's thread, each takes the lock
//! of the worker's runtime and may wake its thread; here all of one commit are put down together,
//! the worker is woken once, and tells its requests itself.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, oneshot};

use super::Unwritable;

/// What a request waits for.
pub(super) type Answer = Result<(), Unwritable>;
pub(super) type Told = (oneshot::Sender<Answer>, Answer);

/// How a request gets its answer.
pub(super) struct Reply {
    pub to: oneshot::Sender<Answer>,
    /// Of the worker that asked, if it has a porter.
    pub inbox: Option<Arc<Inbox>>,
}

/// Where the journal's thread puts answers down for one worker.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct State {
    told: Vec<Told>,
    /// Nobody fetches any more.
    closed: bool,
}

/// Carries answers from a worker's inbox to its requests, for as long as it is run.
#[derive(Debug)]
pub struct Porter {
    inbox: Arc<Inbox>,
}

impl Porter {
    pub(super) fn new(inbox: Arc<Inbox>) -> Self {
        Self { inbox }
    }

    /// Runs for ever, in the worker's own thread. Cancel safe: when it is dropped, what lies in the
    /// inbox is told, and what comes later is told by the journal's thread.
    pub async fn carry(self) {
        let mut told = Vec::new();
        loop {
            self.inbox.arrived.notified().await;
            mem::swap(&mut self.inbox.lock().told, &mut told);
            tell(&mut told);
        }
    }
}

impl Drop for Porter {
    fn drop(&mut self) {
        let mut state = self.inbox.lock();
        state.closed = true;
        let mut told = mem::take(&mut state.told);
        drop(state);
        tell(&mut told);
    }
}

impl Inbox {
    fn put(&self, told: &mut Vec<Told>) {
        let mut state = self.lock();
        if state.closed {
            drop(state);
            tell(told);
            return;
        }
        state.told.append(told);
        drop(state);
        self.arrived.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The answers of one commit, sorted by whom they go to.
#[derive(Default)]
pub(super) struct Post {
    bags: Vec<(Arc<Inbox>, Vec<Told>)>,
}

impl Post {
    pub fn add(&mut self, reply: Reply, answer: Answer) {
        let Some(inbox) = reply.inbox else {
            // Who no longer listens has gone; the entry stands all the same.
            let _ = reply.to.send(answer);
            return;
        };
        // As many as there are workers.
        let known = self.bags.iter_mut().find(|(i, _)| Arc::ptr_eq(i, &inbox));
        match known {
            Some((_, bag)) => bag.push((reply.to, answer)),
            None => self.bags.push((inbox, vec![(reply.to, answer)])),
        }
    }

    pub fn deliver(self) {
        for (inbox, mut bag) in self.bags {
            inbox.put(&mut bag);
        }
    }
}

fn tell(told: &mut Vec<Told>) {
    for (to, answer) in told.drain(..) {
        let _ = to.send(answer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(inbox: &Arc<Inbox>) -> oneshot::Receiver<Answer> {
        let (to, answer) = oneshot::channel();
        let mut post = Post::default();
        let inbox = Some(Arc::clone(inbox));
        post.add(Reply { to, inbox }, Ok(()));
        post.deliver();
        answer
    }

    #[tokio::test]
    async fn answers_wait_for_the_porter_who_tells_all_of_them() {
        let inbox = Arc::new(Inbox::default());
        let mut first = post(&inbox);
        let second = post(&inbox);
        assert!(first.try_recv().is_err(), "told by the journal's thread");
        let porter = tokio::spawn(Porter::new(Arc::clone(&inbox)).carry());
        assert_eq!((first.await, second.await), (Ok(Ok(())), Ok(Ok(()))));
        assert_eq!(post(&inbox).await, Ok(Ok(())), "after a rest");
        porter.abort();
    }

    #[tokio::test]
    async fn without_its_porter_no_answer_is_lost() {
        let inbox = Arc::new(Inbox::default());
        let before = post(&inbox);
        drop(Porter::new(Arc::clone(&inbox)));
        assert_eq!(before.await, Ok(Ok(())));
        assert_eq!(post(&inbox).await, Ok(Ok(())));
    }
}
