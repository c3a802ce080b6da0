//! The one thread that writes. It takes whatever is waiting, commits it as one durable
//! transaction, and only then answers: the more clients write at once, the more share an fsync.

use std::collections::HashSet;
use std::sync::Arc;
use std::thread::JoinHandle;

use bytes::Bytes;
use redb::{Database, Durability, ReadableTable, Table};
use tokio::sync::{mpsc, oneshot};

use super::answer::Problem;
use super::batch::Batch;
use super::database::{DOCUMENTS, FILES, Failure};
use super::files::{Files, Finished};
use super::record::{self, Content, Kind, Tag};
use super::{StoreError, merge};

/// What one transaction takes at most, so that the first of many waits not too long.
const GROUP_CHANGES: usize = 256;
const GROUP_BYTES: usize = 8 << 20;
/// Requests beyond these wait for a place.
const QUEUE: usize = 1024;

/// One thing to be written. All of a change is committed, or nothing.
pub(super) enum Change {
    Save {
        key: String,
        kind: Kind,
        body: Bytes,
    },
    SaveFile {
        key: String,
        kind: Kind,
        file: Finished,
    },
    /// Saves each item that has a key; the others are answered with 400.
    SaveItems(Batch),
    Remove {
        key: String,
    },
    /// JSON Merge Patch on an existing JSON document that may become `max` bytes large.
    Merge {
        key: String,
        patch: Bytes,
        max: usize,
    },
}

/// What a change came to; durable when it is answered.
#[derive(Debug)]
pub(super) enum Outcome {
    Saved {
        created: bool,
        tag: Tag,
    },
    /// One HTTP status an item.
    Items(Vec<u16>),
    Removed,
    Refused(Problem),
}

struct Job {
    change: Change,
    reply: oneshot::Sender<Result<Outcome, Problem>>,
}

/// The door to the writing thread. Dropping it waits until what was accepted is written.
pub(super) struct Writer {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(database: Arc<Database>, files: Files) -> Result<Self, StoreError> {
        let (jobs, waiting) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("domicile-store-writer".into())
            .spawn(move || run(&database, &files, waiting))
            .map_err(StoreError::Start)?;
        Ok(Self {
            jobs: Some(jobs),
            thread: Some(thread),
        })
    }

    /// Writes durably. Dropping the future while it waits for a place abandons the change;
    /// afterwards the change is made all the same.
    ///
    /// # Errors
    /// `CannotWrite` if the transaction failed: nothing of it was kept.
    pub(super) async fn write(&self, change: Change) -> Result<Outcome, Problem> {
        let (reply, answer) = oneshot::channel();
        let jobs = self.jobs.as_ref().ok_or(Problem::CannotWrite)?;
        jobs.send(Job { change, reply })
            .await
            .map_err(|_| Problem::CannotWrite)?;
        answer.await.map_err(|_| Problem::CannotWrite)?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the store's writing thread ended by a panic");
        }
    }
}

fn run(database: &Database, files: &Files, mut waiting: mpsc::Receiver<Job>) {
    while let Some(first) = waiting.blocking_recv() {
        let mut bytes = weight(&first.change);
        let mut group = vec![first];
        while group.len() < GROUP_CHANGES && bytes < GROUP_BYTES {
            let Ok(job) = waiting.try_recv() else { break };
            bytes += weight(&job.change);
            group.push(job);
        }
        match commit(database, &group) {
            Ok((outcomes, abandoned)) => {
                for (job, outcome) in group.into_iter().zip(outcomes) {
                    if let Change::SaveFile { file, .. } = job.change {
                        file.keep();
                    }
                    // Whoever asked may have hung up.
                    let _ = job.reply.send(Ok(outcome));
                }
                abandoned.into_iter().for_each(|name| files.remove(name));
            }
            Err(error) => {
                tracing::error!(%error, changes = group.len(), "the store cannot write");
                for job in group {
                    let _ = job.reply.send(Err(Problem::CannotWrite));
                }
            }
        }
    }
}

fn weight(change: &Change) -> usize {
    match change {
        Change::Save { body, .. } => body.len(),
        Change::SaveItems(batch) => batch.body.len(),
        Change::Merge { patch, .. } => patch.len(),
        Change::SaveFile { .. } | Change::Remove { .. } => 0,
    }
}

/// Makes the changes in order, all in one transaction. Gives the outcomes and the files that
/// nothing names any more.
fn commit(database: &Database, group: &[Job]) -> Result<(Vec<Outcome>, HashSet<u128>), Failure> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    let mut outcomes = Vec::with_capacity(group.len());
    let abandoned;
    {
        let mut tables = Tables {
            documents: transaction.open_table(DOCUMENTS)?,
            files: transaction.open_table(FILES)?,
            abandoned: HashSet::new(),
        };
        for job in group {
            outcomes.push(tables.apply(&job.change)?);
        }
        abandoned = tables.abandoned;
    }
    transaction.commit()?;
    Ok((outcomes, abandoned))
}

struct Tables<'t> {
    documents: Table<'t, &'static str, &'static [u8]>,
    files: Table<'t, u128, ()>,
    abandoned: HashSet<u128>,
}

impl Tables<'_> {
    fn apply(&mut self, change: &Change) -> Result<Outcome, Failure> {
        match change {
            Change::Save { key, kind, body } => self.save(key, kind, body),
            Change::SaveFile { key, kind, file } => {
                let tag = Tag::from_hash(file.hash);
                let created = self.forget(key)?;
                self.files.insert(file.name, ())?;
                // A file that this transaction named and dropped before cannot come back: names
                // are random and used once.
                let value = record::head(tag, kind, Some((file.name, file.length)));
                self.documents.insert(key.as_str(), value.as_slice())?;
                Ok(Outcome::Saved { created, tag })
            }
            Change::SaveItems(batch) => self.save_items(batch),
            Change::Remove { key } => Ok(match self.forget(key)? {
                true => Outcome::Refused(Problem::NotFound),
                false => {
                    self.documents.remove(key.as_str())?;
                    Outcome::Removed
                }
            }),
            Change::Merge { key, patch, max } => self.merge(key, patch, *max),
        }
    }

    fn save(&mut self, key: &str, kind: &Kind, body: &[u8]) -> Result<Outcome, Failure> {
        let created = self.forget(key)?;
        let tag = Tag::of(body);
        let head = record::head(tag, kind, None);
        let (head_length, length) = (head.len(), head.len() + body.len());
        // Written in place, so that a large body is not copied once more to stand behind its head.
        let mut value = self.documents.insert_reserve(key, length)?;
        let (head_space, body_space) = value.as_mut().split_at_mut(head_length);
        head_space.copy_from_slice(&head);
        body_space.copy_from_slice(body);
        Ok(Outcome::Saved { created, tag })
    }

    fn save_items(&mut self, batch: &Batch) -> Result<Outcome, Failure> {
        let kind = Kind::json();
        let mut statuses = Vec::with_capacity(batch.items.len());
        for item in &batch.items {
            let bytes = batch.body.get(item.range.clone()).unwrap_or_default();
            statuses.push(match &item.key {
                None => 400,
                Some(key) => match self.save(key, &kind, bytes)? {
                    Outcome::Saved { created: true, .. } => 201,
                    _ => 200,
                },
            });
        }
        Ok(Outcome::Items(statuses))
    }

    fn merge(&mut self, key: &str, patch: &Bytes, max: usize) -> Result<Outcome, Failure> {
        let Some(value) = self
            .documents
            .get(key)?
            .map(|value| Bytes::copy_from_slice(value.value()))
        else {
            return Ok(Outcome::Refused(Problem::NotFound));
        };
        let refused = |problem| Ok(Outcome::Refused(problem));
        let (kind, target) = match record::read(value) {
            Some(record) if record.kind.is_json() => match record.content {
                Content::Inline(body) => (record.kind, body),
                Content::File { .. } => return refused(Problem::MediaType("not a JSON document")),
            },
            Some(_) => return refused(Problem::MediaType("not a JSON document")),
            None => return refused(Problem::CannotRead),
        };
        let (Ok(target), Ok(patch)) = (std::str::from_utf8(&target), std::str::from_utf8(patch))
        else {
            return refused(Problem::Body("is not JSON (RFC 8259)"));
        };
        match merge::merge(target, patch) {
            Ok(merged) if merged.len() > max => refused(Problem::TooLarge),
            Ok(merged) => self.save(key, &kind, merged.as_bytes()),
            Err(merge::MergeError::Patch) => {
                refused(Problem::Body("is not JSON, or nests too deep"))
            }
            Err(merge::MergeError::Target) => refused(Problem::CannotRead),
        }
    }

    /// Gives up the file that `key` names, if it does. Whether `key` is free.
    fn forget(&mut self, key: &str) -> Result<bool, Failure> {
        let Some(value) = self.documents.get(key)? else {
            return Ok(true);
        };
        let file = record::file_of(value.value());
        drop(value);
        if let Some(name) = file {
            self.files.remove(name)?;
            self.abandoned.insert(name);
        }
        Ok(false)
    }
}
