use std::path::Path;

use jiff::{Timestamp, Unit};
use serde::Serialize;

use crate::{
    attest::{self, Damage, Entry, Kind, LedgerError},
    domain::Digest,
    telemetry::clock,
};

/// Pairs of policy and settings that are told one by one.
const DECIDED_BY: usize = 1_000;

/// What a report was made from, and whether it is what was written.
#[derive(Debug, Serialize)]
pub struct Reading {
    /// The ledger's id; `None` where it cannot be told.
    pub id: Option<String>,
    /// When it was read.
    pub at: Timestamp,
    /// Numbers of the first and the last entry that were read; 0 for none.
    pub first: u64,
    pub last: u64,
    pub first_at: Option<Timestamp>,
    pub last_at: Option<Timestamp>,
    /// `None`: a part was read, of which alone nobody can say it.
    pub verified: Option<bool>,
    pub damage: Option<Damage>,
    /// The chain, and after which entry.
    pub chain: Option<String>,
    pub chain_after: Option<u64>,
    /// By what was decided, of the entries that the report is about: each pair once.
    pub decided_by: Vec<DecidedBy>,
    /// The entry to go on after, where the ledger goes on.
    pub next: Option<u64>,
}

#[derive(Debug, Serialize)]
pub struct DecidedBy {
    pub policy: Digest,
    pub settings: Option<Digest>,
    pub entries: u64,
}

impl Reading {
    /// Reads the whole ledger up to what is acknowledged now, and verifies it as it goes. Damage is
    /// no error but stands in what is given, after the entries before it. Takes no lock; blocks.
    ///
    /// # Errors
    /// There is no ledger, or the system does not let it be read; or what `see` says.
    pub fn whole<E: From<LedgerError>>(
        folder: &Path,
        mut see: impl FnMut(&mut Self, &Entry) -> Result<(), E>,
    ) -> Result<Self, E> {
        let mut reading = Self::begin();
        let mut failed = None;
        let read = attest::verify_each(folder, &mut |entry| {
            if failed.is_none() {
                reading.note(entry);
                failed = see(&mut reading, entry).err();
            }
        });
        match (read, failed) {
            (_, Some(error)) => return Err(error),
            (Ok(report), None) => {
                reading.verified = Some(true);
                reading.id = Some(report.ledger);
                reading.chain = Some(report.chain);
                reading.chain_after = Some(report.entries);
            }
            (Err(LedgerError::Damaged(damage)), None) => {
                reading.verified = Some(false);
                reading.damage = Some(damage);
            }
            (Err(error), None) => return Err(error.into()),
        }
        Ok(reading)
    }

    /// As [`Reading::whole`], of `most` entries after number `after` at most. Where these are the
    /// whole ledger it is verified; of a part each segment is compared with its own chain.
    pub fn part<E: From<LedgerError>>(
        folder: &Path,
        after: u64,
        most: u64,
        mut see: impl FnMut(&mut Self, &Entry) -> Result<(), E>,
    ) -> Result<Self, E> {
        // What is wrong with the head is told there.
        let fits = attest::acknowledged(folder).map_or(true, |last| last <= most);
        if after == 0 && fits {
            return Self::whole(folder, see);
        }
        let mut reading = Self::begin();
        let mut failed = None;
        let read = attest::scan(folder, after, |entry| {
            if entry.seq > after.saturating_add(most) {
                reading.next = Some(reading.last);
                return false;
            }
            reading.note(&entry);
            failed = see(&mut reading, &entry).err();
            failed.is_none()
        });
        match (read, failed) {
            (_, Some(error)) => return Err(error),
            (Err(LedgerError::Damaged(damage)), None) => {
                reading.verified = Some(false);
                reading.damage = Some(damage);
            }
            (read, None) => read?,
        }
        Ok(reading)
    }

    pub(super) fn begin() -> Self {
        let now = clock::now();
        Self {
            id: None,
            at: now.round(Unit::Second).unwrap_or(now),
            first: 0,
            last: 0,
            first_at: None,
            last_at: None,
            verified: None,
            damage: None,
            chain: None,
            chain_after: None,
            decided_by: Vec::new(),
            next: None,
        }
    }

    fn note(&mut self, entry: &Entry) {
        if self.first == 0 {
            self.first = entry.seq;
            self.first_at = Some(entry.at);
        }
        self.last = entry.seq;
        self.last_at = Some(entry.at);
    }

    /// Of a decision that the report is about.
    pub fn note_decided(&mut self, entry: &Entry) {
        let Kind::Decision { profile, .. } = &entry.kind else {
            return;
        };
        let (policy, settings) = (profile.policy, profile.settings);
        let mut known = self.decided_by.iter_mut().rev();
        if let Some(by) = known.find(|by| (by.policy, by.settings) == (policy, settings)) {
            by.entries += 1;
        } else if self.decided_by.len() < DECIDED_BY {
            self.decided_by.push(DecidedBy {
                policy,
                settings,
                entries: 1,
            });
        }
    }
}
