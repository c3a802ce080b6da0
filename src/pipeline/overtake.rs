//! What a write has to do with erasures that are still open, and with its subject's pin.

use std::sync::Arc;

use smallvec::SmallVec;

use super::{Exchange, judge::Judged, person::Person, single};
use crate::{
    admit::path,
    attest::Draft,
    domain::{Operation, RegionId, SubjectKey},
    respond::Refused,
    state::Held,
};

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
/// As [`hold`].
pub async fn hold_all(
    x: &Exchange<'_>,
    to: impl Iterator<Item = (SubjectKey, RegionId)>,
) -> Result<Option<Held>, Refused> {
    let name = |region| Arc::from(x.snapshot.regions.name(region));
    let to = to.map(|(key, region)| (key, name(region))).collect();
    let held = x.worker.shared.erasures.hold(to).await;
    if held.as_ref().is_some_and(Held::pin_ended) {
        let detail = "the person's account was erased at this moment: repeat the request";
        return Err(Refused::Directory(detail.to_owned()));
    }
    Ok(held)
}

/// The entries stand, and nothing was sent yet: a newer record takes the place of what was to be
/// erased.
pub fn stand(x: &Exchange<'_>, held: Option<Held>, write: &Write<'_>) {
    let Some(held) = held else { return };
    let path = decoded(write.path);
    held.overtake(&path, record(x, &path));
}

/// Whether the home that has taken a record of this person is known to hold one, so that there is
/// nothing to note.
pub fn is_stored(x: &Exchange<'_>, person: &Person) -> Result<bool, Refused> {
    let is_noted = !(person.pinned || person.claims);
    Ok(is_noted || (person.stored && is_pinned(x, person)?))
}

/// The home has taken a record of this person: a law that wants the primary copy first has it.
///
/// # Errors
/// The account was erased while the record was under way, and the home cannot be claimed again.
pub async fn stored(x: &Exchange<'_>, person: &Person, judged: &Judged) -> Result<(), Refused> {
    if !(person.pinned || person.claims) {
        return Ok(());
    }
    if is_pinned(x, person)? {
        if !person.stored {
            mark(x, person.key);
        }
        return Ok(());
    }
    let traces = x.story.borrow().traces;
    if let Some(pinning) = single::claim(x, person)? {
        let entry = Draft {
            pin: Some(pinning),
            ..x.draft(judged, traces)
        };
        let written = Box::pin(x.worker.journal.clear_all(Vec::new(), vec![entry])).await;
        written.map_err(|e| Refused::Ledger(e.to_string()))?;
    }
    mark(x, person.key);
    Ok(())
}

/// Notes that the home has taken a record.
pub fn mark(x: &Exchange<'_>, key: SubjectKey) {
    if let Err(error) = x.worker.shared.directory.mark_stored(key) {
        // The record is stored; that the home counts as empty can only refuse copies.
        tracing::warn!(%error, "a home could not be marked as holding a record");
    }
}

fn is_pinned(x: &Exchange<'_>, person: &Person) -> Result<bool, Refused> {
    let mut pins = x.worker.pins.borrow_mut();
    pins.lookup(&person.key)
        .map(|pin| pin.is_some())
        .map_err(|e| Refused::Directory(e.to_string()))
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
