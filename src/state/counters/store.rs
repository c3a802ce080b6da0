//! The counters' file.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use redb::{Database, ReadOnlyTable, ReadableDatabase, ReadableTable, TableDefinition};

use super::{Change, StateError, tally::Quarter};
use crate::{
    disk::{
        Healing, Words, Writing,
        applied::{self, META},
    },
    domain::SubjectKey,
};

/// Tally's name → its id.
const TALLIES: TableDefinition<'_, &str, u32> = TableDefinition::new("tallies");
/// Tally and person → the quarter of an hour in which the person was counted last.
const PEOPLE: TableDefinition<'_, (u32, [u8; 16]), Quarter> = TableDefinition::new("people");
/// Tally and quarter of an hour → how many people were counted last then.
const TIMES: TableDefinition<'_, (u32, Quarter), u64> = TableDefinition::new("times");

pub(super) const TELLS: Words = Words {
    begun: "the counters' file cannot be used; what is to be stored stays in memory and in the ledger",
    over: "the counters' file can be written again",
};

pub(super) struct Store {
    /// As of the last write, and of which opening of the file: to open it takes thirty times as
    /// long as to look a person up.
    people: Mutex<Option<Known>>,
    file: Healing,
}

type People = ReadOnlyTable<(u32, [u8; 16]), Quarter>;
/// Of which opening, and its table.
type Known = (u64, People);

fn opened<'k>(
    known: &'k mut Option<Known>,
    database: &Database,
    generation: u64,
) -> Result<&'k mut People, redb::Error> {
    known.take_if(|(of, _)| *of != generation);
    let (_, people) = match known {
        Some(known) => known,
        none => none.insert((generation, database.begin_read()?.open_table(PEOPLE)?)),
    };
    Ok(people)
}

/// A tally as it stands in the file: name, id, people by last time.
pub(super) type Stored = (String, u32, Vec<(Quarter, u64)>);

impl Store {
    /// The file's tallies as well.
    pub fn with(file: Healing) -> Result<(Self, Vec<Stored>), StateError> {
        let found = file.write(|write| {
            let mut found = Vec::new();
            let tallies = write.open_table(TALLIES)?;
            let times = write.open_table(TIMES)?;
            write.open_table(PEOPLE)?;
            write.open_table(META)?;
            for row in tallies.iter()? {
                let (name, id) = row?;
                let id = id.value();
                let mut all = Vec::new();
                for row in times.range((id, 0)..=(id, Quarter::MAX))? {
                    let (key, people) = row?;
                    all.push((key.value().1, people.value()));
                }
                found.push((name.value().to_owned(), id, all));
            }
            Ok(found)
        })?;
        let people = Mutex::default();
        Ok((Self { people, file }, found))
    }

    pub fn writing(&self) -> &Writing {
        self.file.writing()
    }

    /// When the person was counted last.
    pub fn last(&self, tally: u32, key: &SubjectKey) -> Result<Option<Quarter>, StateError> {
        let found = self.file.read_of(|database, generation| {
            let mut known = self.lock();
            let people = opened(&mut known, database, generation)?;
            Ok(people.get((tally, key.to_bytes()))?.map(|v| v.value()))
        });
        Ok(found?)
    }

    /// To be called after a commit: who was counted is seen from here on. The table is opened at once,
    /// for whoever asks while the next commit waits for the disk: redb may open none then.
    fn renew(&self) {
        *self.lock() = None;
        // Else whoever needs it opens it.
        let _ = (self.file).read_of(|d, of| opened(&mut self.lock(), d, of).map(|_| ()));
    }

    fn lock(&self) -> MutexGuard<'_, Option<Known>> {
        self.people.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes changes in their order, in one durable transaction.
    pub fn write(&self, changes: &[Change]) -> Result<(), StateError> {
        let Some(last) = changes.last() else {
            return Ok(());
        };
        let written = self.file.write(|write| {
            let mut tallies = write.open_table(TALLIES)?;
            let mut people = write.open_table(PEOPLE)?;
            let mut moved: BTreeMap<(u32, Quarter), (u64, u64)> = BTreeMap::new();
            let mut named = None;
            for (tally, key, time) in changes.iter().filter_map(|c| c.of.as_ref()) {
                if named != Some(tally.id) {
                    tallies.insert(&*tally.name, tally.id)?;
                    named = Some(tally.id);
                }
                let slot = (tally.id, key.to_bytes());
                let before = people.get(slot)?.map(|v| v.value());
                if before.is_some_and(|b| b >= *time) {
                    continue;
                }
                people.insert(slot, time)?;
                if let Some(before) = before {
                    moved.entry((tally.id, before)).or_default().1 += 1;
                }
                moved.entry((tally.id, *time)).or_default().0 += 1;
            }
            let mut times = write.open_table(TIMES)?;
            for (at, (came, went)) in moved {
                let people = times.get(at)?.map_or(0, |v| v.value());
                match (people + came).saturating_sub(went) {
                    0 => drop(times.remove(at)?),
                    people => drop(times.insert(at, people)?),
                }
            }
            applied::note(write, last.seq)
        });
        self.renew();
        Ok(written?)
    }

    /// See [`super::Counters::attach`].
    pub fn attach(&self, ledger: [u8; 16], last: u64) -> Result<u64, StateError> {
        let attached = self
            .file
            .write(|write| applied::attach(write, ledger, last))?;
        Ok(attached.applied)
    }
}
