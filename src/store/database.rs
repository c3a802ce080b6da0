//! The database: what stands under which key, and which files belong to it.

use std::ops::Bound;
use std::path::Path;

use bytes::Bytes;
use redb::{Database, DatabaseError, ReadableDatabase, TableDefinition};

use super::StoreError;
use super::path::Place;
use super::record::{self, Record};

/// Key (see `path`) → value (see `record`).
pub(super) const DOCUMENTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("documents");
/// The files that documents name, so that a start can tell them from what a crash left over.
pub(super) const FILES: TableDefinition<'_, u128, ()> = TableDefinition::new("files");

/// Pages kept in memory. Small, since five stores share one process in the demo.
const CACHE: usize = 16 << 20;

/// Any failure of the database, told in the log alone.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Failure(Box<redb::Error>);

impl<E: Into<redb::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(Box::new(error.into()))
    }
}

/// Opens the database in `folder`, creating it when it is not there.
///
/// # Errors
/// `InUse` if another store has it open, `Database` if it cannot be read or created.
pub(super) fn open(folder: &Path) -> Result<Database, StoreError> {
    let failed = |reason: String| StoreError::Database {
        folder: folder.to_owned(),
        reason,
    };
    let database = redb::Builder::new()
        .set_cache_size(CACHE)
        .create(folder.join("documents.redb"))
        .map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => StoreError::InUse(folder.to_owned()),
            error => failed(error.to_string()),
        })?;
    // Readers may then count on both tables.
    create_tables(&database).map_err(|error| failed(error.to_string()))?;
    Ok(database)
}

fn create_tables(database: &Database) -> Result<(), Failure> {
    let transaction = database.begin_write()?;
    transaction.open_table(DOCUMENTS)?;
    transaction.open_table(FILES)?;
    transaction.commit()?;
    Ok(())
}

/// What stands at `key`. Copies its bytes once; blocks for a disk read when they are not cached.
pub(super) fn get(database: &Database, key: &str) -> Result<Option<Record>, Failure> {
    let documents = database.begin_read()?.open_table(DOCUMENTS)?;
    let Some(value) = documents.get(key)? else {
        return Ok(None);
    };
    match record::read(Bytes::copy_from_slice(value.value())) {
        Some(record) => Ok(Some(record)),
        None => Err(redb::Error::Corrupted("a document of an unknown format".into()).into()),
    }
}

/// Up to `limit` paths below `place`, relative to it, in the order of their bytes, after `after`;
/// and whether there are more.
pub(super) fn list(
    database: &Database,
    place: &Place,
    after: Option<&str>,
    limit: usize,
) -> Result<(Vec<String>, bool), Failure> {
    let prefix = place.prefix();
    // The byte after `/` is `0`, so this ends just behind everything that starts with the prefix.
    let end = format!("{}0", place.key);
    let start = format!("{prefix}{}", after.unwrap_or_default());
    let documents = database.begin_read()?.open_table(DOCUMENTS)?;
    let mut ids = Vec::new();
    let range = (
        Bound::Excluded(start.as_str()),
        Bound::Excluded(end.as_str()),
    );
    for entry in documents.range::<&str>(range)? {
        let (key, _) = entry?;
        if ids.len() == limit {
            return Ok((ids, true));
        }
        ids.extend(key.value().strip_prefix(&prefix).map(str::to_owned));
    }
    Ok((ids, false))
}

/// Whether a document names the file.
pub(super) fn names_file(database: &Database, name: u128) -> Result<bool, Failure> {
    let files = database.begin_read()?.open_table(FILES)?;
    Ok(files.get(name)?.is_some())
}
