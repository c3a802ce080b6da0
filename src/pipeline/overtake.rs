//! What a write has to do with erasures that are still open.

use std::{pin::pin, sync::Arc, time::Duration};

use http::Uri;
use tokio::time::timeout;

use super::Exchange;
use crate::{
    admit::path,
    attest::Journal,
    domain::{Operation, RegionId, SubjectKey},
    respond::Refused,
    state::{Address, WriteGuard},
};

/// How often a write that waits looks whether the ledger's disk hangs.
const LOOK: Duration = Duration::from_secs(1);

/// Whether a write may have to do with an open erasure: false is certain. Costs one atomic load while
/// nothing is open.
pub fn may_concern(x: &Exchange<'_>, operation: Operation) -> bool {
    operation.writes() && !x.worker.shared.erasures.is_empty()
}

/// To be called before the entries of a write are written: what is open of its subjects there is
/// held, so that no try to erase begins and one under way has ended. Keep the guard until the
/// entries stand. Not to be called where it [cannot concern](may_concern) an erasure.
///
/// This may [wait](WriteGuard::has_waited) as long as a region takes to answer: what was found and decided
/// before is then to be found and decided again.
///
/// # Errors
/// The subject's pin ended while this waited: the caller must ask again, since the person may have
/// another home now. And while a pin's end waits for a ledger whose disk hangs.
pub async fn hold(
    x: &Exchange<'_>,
    to: impl Iterator<Item = (SubjectKey, RegionId)>,
) -> Result<Option<WriteGuard>, Refused> {
    let name = |region| Arc::from(x.snapshot.regions.name(region));
    let to = to.map(|(key, region)| (key, name(region))).collect();
    let shared = &x.worker.shared;
    let held = unless_disk_hangs(&shared.journal, shared.erasures.hold(to)).await?;
    if held.as_ref().is_some_and(WriteGuard::pin_ended) {
        let detail = "the person's account was erased at this moment: repeat the request";
        return Err(Refused::Directory(detail.to_owned()));
    }
    Ok(held)
}

/// Whether all of `written` was held. Both are in the order of their numbers.
pub fn is_among(
    written: &[(SubjectKey, RegionId, usize)],
    held: &[(SubjectKey, RegionId, usize)],
) -> bool {
    let mut held = held.iter();
    written.iter().all(|one| held.any(|other| other == one))
}

/// What a write is refused with that goes elsewhere once its person is found again.
pub fn moved() -> Refused {
    let detail = "the person's home changed at this moment: repeat the request";
    Refused::Directory(detail.to_owned())
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
pub fn stand(x: &Exchange<'_>, held: Option<WriteGuard>, uri: &Uri) {
    if let Some(held) = held {
        held.overtake(&address(x, uri.path(), uri.query()));
    }
}

/// As [`stand`], where each record has a place of its own: `place` gives it by the number that stands
/// with subject and region. `None`: the record is new, and overtakes none.
pub fn stand_each(
    x: &Exchange<'_>,
    held: Option<WriteGuard>,
    written: &[(SubjectKey, RegionId, usize)],
    place: impl Fn(usize) -> Option<Address>,
) {
    let Some(held) = held else { return };
    let name = |region| x.snapshot.regions.name(region);
    let all = written
        .iter()
        .map(|(key, to, number)| (*key, name(*to), *number));
    held.overtake_each(all, place);
}

/// By what a record is known. A path that cannot be decoded stays as it is.
pub fn address(x: &Exchange<'_>, path: &str, query: Option<&str>) -> Address {
    let path = path::decode(path).unwrap_or(path.into());
    address_at(x, &path, query)
}

/// As [`address`], of a path that is percent-decoded.
pub fn address_at(x: &Exchange<'_>, path: &str, query: Option<&str>) -> Address {
    // No route's namespace, which are words of the settings, has a control character.
    let hasher = &x.worker.shared.hasher;
    Address::new(path, query, |text| hasher.key("\u{1}path", text.as_bytes()))
}
