//! Up to which entry of which ledger a file has everything.

use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};

/// `ledger`: the id of the ledger that was replayed; `applied`: up to which entry, little-endian;
/// and what else is said of the file as a whole.
pub(crate) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const LEDGER: &str = "ledger";
const APPLIED: &str = "applied";

pub(crate) struct Attached {
    /// Up to which entry of this ledger the file has everything.
    pub applied: u64,
    /// Up to which entry of another ledger it had everything until now.
    pub of_another: u64,
}

/// Binds the file to a ledger whose last entry is `last`. With another ledger than before, or with
/// one that lost entries, counting starts again at what is common.
pub(crate) fn attach(
    write: &WriteTransaction,
    ledger: [u8; 16],
    last: u64,
) -> Result<Attached, redb::Error> {
    let mut meta = write.open_table(META)?;
    let (of, stored) = read(&meta)?;
    let same = of == Some(ledger);
    let applied = if same { stored.min(last) } else { 0 };
    meta.insert(LEDGER, ledger.as_slice())?;
    meta.insert(APPLIED, applied.to_le_bytes().as_slice())?;
    Ok(Attached {
        applied,
        of_another: if same { 0 } else { stored },
    })
}

/// Up to which entry of `ledger` the file has everything; 0 of another.
pub(crate) fn seen(transaction: &ReadTransaction, ledger: [u8; 16]) -> Result<u64, redb::Error> {
    let (of, stored) = read(&transaction.open_table(META)?)?;
    Ok(if of == Some(ledger) { stored } else { 0 })
}

/// Notes that the file has everything up to entry `newest`.
pub(crate) fn note(write: &WriteTransaction, newest: u64) -> Result<(), redb::Error> {
    let newest = newest.to_le_bytes();
    write.open_table(META)?.insert(APPLIED, newest.as_slice())?;
    Ok(())
}

fn read(
    meta: &impl ReadableTable<&'static str, &'static [u8]>,
) -> Result<(Option<[u8; 16]>, u64), redb::Error> {
    let ledger = meta.get(LEDGER)?.and_then(|id| id.value().try_into().ok());
    let stored = meta.get(APPLIED)?.and_then(|n| n.value().try_into().ok());
    Ok((ledger, stored.map_or(0, u64::from_le_bytes)))
}
