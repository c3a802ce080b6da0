//! The thread that writes the log of open erasures, so that nobody else waits for its disk.
//!
//! What is to be written is handed over while the table's lock is held, and written in that order:
//! the log always tells a state that the table was in. That is enough, since
//!
//! * an erasure begins once the line that opens it is written ([`super::Erasures::note`] waits for
//!   it), so none that a holder may know of is missing, whenever the process ends;
//! * an answer that says that something stays open waits until that is durable
//!   ([`super::Erasures::sync`]);
//! * a line that closes may be lost with the process: then what is done is listed once more.
//!
//! A line that nobody waits for any longer is not called back but followed by another that takes it
//! back: it may be half written already.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
};

use tokio::sync::oneshot;

use super::{Row, log::Log};
use crate::{
    disk::{Writing, copy},
    domain::SubjectKey,
};

/// Who waits for what was handed over.
pub(super) type Told = oneshot::Sender<io::Result<()>>;

/// What the thread is to do.
pub(super) enum Job {
    /// Whole lines. A disk that fails is told of in the log for operators alone where nobody waits.
    Lines(Vec<u8>, Option<Told>),
    /// Nothing is open.
    Empty,
    /// The log is to hold nothing but these, which are all.
    CutBack(Vec<(SubjectKey, Row)>),
    /// What was handed over before is to be durable.
    Sync(Told),
    /// To find out whether the log can be written again.
    Look,
}

#[derive(Default)]
pub(super) struct Pen {
    /// Locked after the table, and never while the disk is waited for.
    queue: Mutex<Queue>,
    wake: Condvar,
    writing: Writing,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    /// Why the last line could not be written; `None`: it could.
    trouble: Option<String>,
    /// The log has grown enough to be cut back.
    grown: bool,
    /// No more comes.
    closed: bool,
    /// The thread is gone.
    dead: bool,
}

impl Pen {
    /// Never waits. Where the thread is gone, whoever waits for the answer is told at once.
    pub fn push(&self, job: Job) {
        let mut queue = self.lock();
        if !queue.dead {
            queue.jobs.push_back(job);
            self.wake.notify_one();
        }
    }

    /// Why the last line could not be written, or that the disk hangs.
    pub fn trouble(&self) -> Option<String> {
        let trouble = self.lock().trouble.clone();
        trouble.or_else(|| self.writing.hang())
    }

    /// What is to be looked after: a log in trouble, or one that has grown. Nothing while something is
    /// being written: that tells as much, and on a disk that hangs it would pile up.
    pub fn needs(&self) -> (bool, bool) {
        let queue = self.lock();
        match queue.jobs.is_empty() && self.writing.lasts().is_zero() {
            true => (queue.trouble.is_some(), queue.grown),
            false => (false, false),
        }
    }

    pub fn writing(&self) -> &Writing {
        &self.writing
    }

    /// `None` at the end.
    fn take(&self) -> Option<VecDeque<Job>> {
        let idle = |q: &mut Queue| q.jobs.is_empty() && !q.closed;
        let queue = self.wake.wait_while(self.lock(), idle);
        let jobs = std::mem::take(&mut queue.unwrap_or_else(PoisonError::into_inner).jobs);
        (!jobs.is_empty()).then_some(jobs)
    }

    fn run(&self, mut log: Log) {
        let _gone = Gone(self);
        while let Some(jobs) = self.take() {
            let mut to_sync = Vec::new();
            for job in jobs {
                let under_way = self.writing.begin();
                match job {
                    Job::Lines(text, told) => {
                        let written = log.append(&text);
                        drop(under_way);
                        self.show(&log);
                        if let Some(told) = told {
                            let _ = told.send(written);
                        }
                    }
                    Job::Empty => log.empty(),
                    Job::CutBack(rows) => log.cut_back(&rows),
                    Job::Sync(told) => to_sync.push(told),
                    Job::Look => log.look(),
                }
            }
            if !to_sync.is_empty() {
                let under_way = self.writing.begin();
                let synced = log.sync();
                drop(under_way);
                for told in to_sync {
                    let _ = told.send(synced.as_ref().copied().map_err(copy));
                }
            }
            self.show(&log);
        }
    }

    fn show(&self, log: &Log) {
        let mut queue = self.lock();
        queue.trouble = log.trouble().map(str::to_owned);
        queue.grown = log.has_grown();
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells when the thread ends.
struct Gone<'a>(&'a Pen);

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        queue.dead = true;
        // Whoever waits is told by that.
        queue.jobs.clear();
        if thread::panicking() {
            queue.trouble = Some("its thread has ended: restart the router".to_owned());
        }
    }
}

/// The thread. Dropped, it writes what was handed over and ends; the drop waits for that.
pub(super) struct Writer {
    pen: Arc<Pen>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    pub fn start(pen: Arc<Pen>, log: Log) -> io::Result<Self> {
        let writes = Arc::clone(&pen);
        let thread = thread::Builder::new()
            .name("erasures".into())
            .spawn(move || writes.run(log))?;
        Ok(Self {
            pen,
            thread: Mutex::new(Some(thread)),
        })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.pen.lock().closed = true;
        self.pen.wake.notify_one();
        let thread = self.thread.get_mut();
        if let Some(thread) = thread.unwrap_or_else(PoisonError::into_inner).take() {
            // A panic there was reported by the thread.
            let _ = thread.join();
        }
    }
}
