//! What a write has to do with erasures that are still open.

use std::{pin::pin, sync::Arc, time::Duration};

use smallvec::SmallVec;
use tokio::time::timeout;

use super::Exchange;
use crate::{
    admit::path,
    attest::Journal,
    domain::{Operation, RegionId, SubjectKey},
    respond::Refused,
    state::Held,
};

/// How often a write that waits looks whether the ledger's disk hangs.
const LOOK: Duration = Duration::from_secs(1);

/// Where a request writes whose records.
pub struct Write<'p> {
    path: &'p str,
    to: SmallVec<[(SubjectKey, RegionId); 1]>,
}

impl<'p> Write<'p> {
    pub fn of(path: &'p str, to: impl IntoIterator<Item = (SubjectKey, RegionId)>) -> Self {
        Self {
            path,
            to: to.into_iter().collect(),
        }
    }
}

/// Whether a write may have to do with an open erasure: false is certain. Costs one atomic load while
/// nothing is open.
pub fn may_concern(x: &Exchange<'_>, operation: Operation) -> bool {
    let writes = matches!(
        operation,
        Operation::Store | Operation::Replicate | Operation::Relocate
    );
    writes && !x.worker.shared.erasures.is_empty()
}

/// To be called before the entries of a write are written: what is open of its subjects there is
/// held, so that no try to erase begins and one under way has ended. Keep the guard until the
/// entries stand. Nothing happens where it [cannot concern](may_concern) an erasure.
///
/// # Errors
/// The subject's pin ended while this waited: the caller must ask again, since the person may have
/// another home now.
pub async fn hold(
    x: &Exchange<'_>,
    operation: Operation,
    write: &Write<'_>,
) -> Result<Option<Held>, Refused> {
    if !may_concern(x, operation) {
        return Ok(None);
    }
    hold_all(x, write.to.iter().copied()).await
}

/// As [`hold`], of writes to several places.
///
/// # Errors
/// As [`hold`], and while a pin's end waits for a ledger whose disk hangs.
pub async fn hold_all(
    x: &Exchange<'_>,
    to: impl Iterator<Item = (SubjectKey, RegionId)>,
) -> Result<Option<Held>, Refused> {
    let name = |region| Arc::from(x.snapshot.regions.name(region));
    let to = to.map(|(key, region)| (key, name(region))).collect();
    let shared = &x.worker.shared;
    let held = unless_disk_hangs(&shared.journal, shared.erasures.hold(to)).await?;
    if held.as_ref().is_some_and(Held::pin_ended) {
        let detail = "the person's account was erased at this moment: repeat the request";
        return Err(Refused::Directory(detail.to_owned()));
    }
    Ok(held)
}

/// Waits for work that may have to wait for a pin's removal, which takes as long as its entry is on its
/// way.
///
/// # Errors
/// The ledger's disk hangs; the work is dropped.
pub async fn unless_disk_hangs<T>(
    journal: &Journal,
    work: impl Future<Output = T>,
) -> Result<T, Refused> {
    let mut work = pin!(work);
    loop {
        match timeout(LOOK, &mut work).await {
            Ok(done) => return Ok(done),
            Err(_) => {
                let disk = journal.check_disk();
                disk.map_err(|e| Refused::Ledger(e.to_string()))?;
            }
        }
    }
}

/// The entries stand, and nothing was sent yet: a newer record takes the place of what was to be
/// erased.
pub fn stand(x: &Exchange<'_>, held: Option<Held>, write: &Write<'_>) {
    let Some(held) = held else { return };
    let path = decoded(write.path);
    held.overtake(&path, record(x, &path));
}

/// Notes that the home has taken a record: a law that wants the primary copy first has it.
pub fn mark(x: &Exchange<'_>, key: SubjectKey, home: RegionId) {
    let home = x.snapshot.regions.name(home);
    if let Err(error) = x.worker.shared.directory.mark_stored(key, home) {
        // The record is stored; that the home counts as empty can only refuse copies.
        tracing::warn!(%error, "a home could not be marked as holding a record");
    }
}

/// A path as it is compared. One that cannot be decoded stays as it is.
pub fn decoded(text: &str) -> std::borrow::Cow<'_, str> {
    path::decode(text).unwrap_or(text.into())
}

/// The keyed hash by which a record is known: paths may hold ids.
pub fn record(x: &Exchange<'_>, decoded: &str) -> SubjectKey {
    // No route's namespace, which are words of the settings, has a control character.
    x.worker.shared.hasher.key("\u{1}path", decoded.as_bytes())
}
