use std::path::Path;

use jiff::{Timestamp, Unit};
use serde::Serialize;

use super::Scope;
use crate::{
    attest::{self, Damage, Entry, Kind, LedgerError, VerifyReport},
    clock,
    domain::Digest,
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
    /// Reads the ledger up to what is acknowledged now. Where that is the whole, it is verified as it
    /// goes; of a part each segment is compared with its own chain. Damage is no error but stands in
    /// what is given, after the entries before it. Takes no lock; blocks.
    ///
    /// # Errors
    /// There is no ledger, or the system does not let it be read; or what `see` says.
    pub fn of<E: From<LedgerError>>(
        folder: &Path,
        scope: &Scope,
        mut see: impl FnMut(&mut Self, &Entry) -> Result<(), E>,
    ) -> Result<Self, E> {
        let mut reading = Self::begin();
        let mut failed = None;
        // What is wrong with the head is told by whoever reads the whole.
        let fits = attest::acknowledged(folder).map_or(true, |last| last <= scope.most);
        let read = if scope.after == 0 && fits {
            let read = attest::verify_each(folder, |entry, acknowledged| {
                if acknowledged && failed.is_none() {
                    reading.note(entry);
                    failed = see(&mut reading, entry).err();
                }
            });
            read.map(|report| reading.sound(report))
        } else {
            attest::scan(folder, scope.after, |entry| {
                if entry.seq > scope.after.saturating_add(scope.most) {
                    reading.next = Some(reading.last);
                    return false;
                }
                reading.note(&entry);
                failed = see(&mut reading, &entry).err();
                failed.is_none()
            })
        };
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

    fn sound(&mut self, report: VerifyReport) {
        self.verified = Some(true);
        self.id = Some(report.ledger);
        self.chain = Some(report.chain);
        self.chain_after = Some(report.entries);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attest::tests::{Rig, draft, profile};

    fn read(folder: &Path, after: u64, most: u64) -> (Vec<u64>, Reading) {
        let mut seen = Vec::new();
        let scope = Scope {
            after,
            most,
            ..Scope::whole()
        };
        let reading = Reading::of(folder, &scope, |_, entry| {
            seen.push(entry.seq);
            Ok::<(), LedgerError>(())
        });
        (seen, reading.unwrap())
    }

    fn ledger(entries: u64) -> Rig {
        let rig = Rig::new();
        let (journal, _) = rig.open();
        let profile = profile("/p");
        // Each in a frame of its own.
        for number in 1..=entries {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let written = journal.write_out(vec![draft(number, &profile)]);
            runtime.block_on(written).unwrap();
        }
        journal.close().unwrap();
        rig
    }

    #[test]
    fn pages_follow_each_other_and_say_that_they_are_parts() {
        let rig = ledger(10);
        let mut all = Vec::new();
        let mut after = Some(0);
        while let Some(from) = after {
            let (seen, reading) = read(&rig.ledger(), from, 4);
            assert_eq!(reading.verified, None);
            assert_eq!(
                (reading.first, reading.last),
                (from + 1, *seen.last().unwrap())
            );
            assert!(seen.len() <= 4, "{seen:?}");
            all.extend(seen);
            after = reading.next;
        }
        assert_eq!(all, (1..=10).collect::<Vec<_>>());
        // One page that holds everything is a whole report.
        let (seen, reading) = read(&rig.ledger(), 0, 10);
        assert_eq!(
            (seen.len(), reading.verified, reading.next),
            (10, Some(true), None)
        );
        assert_eq!(reading.chain_after, Some(10));
        let (seen, reading) = read(&rig.ledger(), 10, 10);
        assert_eq!((seen.len(), reading.last, reading.next), (0, 0, None));
    }

    #[test]
    fn damage_is_told_after_the_entries_before_it() {
        let rig = ledger(10);
        let segment = rig.ledger().join("00000000000000000001.seg");
        let mut bytes = std::fs::read(&segment).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&segment, bytes).unwrap();
        for most in [100, 9] {
            let (seen, reading) = read(&rig.ledger(), 0, most);
            assert_eq!(reading.verified, Some(false));
            let damage = reading.damage.unwrap();
            assert_eq!(seen, (1..damage.entry).collect::<Vec<_>>(), "{damage}");
            assert!(!seen.is_empty() && seen.len() < 9, "{seen:?}");
        }
        let nowhere = rig.ledger().join("nowhere");
        let read = Reading::of(&nowhere, &Scope::whole(), |_, _| Ok(()));
        assert!(matches!(read, Err(LedgerError::NoLedger { .. })));
    }
}
