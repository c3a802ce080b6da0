//! Format `bulk`: Elasticsearch's and OpenSearch's `_bulk`. Decided as a whole, split by region,
//! sent concurrently, answered in the caller's order and in Elasticsearch's own shape, so that its
//! clients need not know of us.
//!
//! `index` and `create` are stores; so is `update`, of which the documents it brings are
//! classified and what it cannot be told of (a script) is refused; `delete` is an erasure, and
//! goes to the home and every known copy.

mod answer;
mod back;
mod decide;
mod erasures;
mod lanes;
mod look;
mod observe;
mod query;
mod send;
mod shape;

use std::{cell::Cell, collections::HashMap, rc::Rc, sync::Arc};

use bytes::Bytes;
use http::StatusCode;
use jiff::civil::Date;
use tokio::time::Instant;

pub use erasures::said_of;
pub use shape::{reader, shape};

use super::{
    Content, Exchange, Routed,
    form::{PART, is_other_charset},
    landing::Whose,
    overtake,
    person::Traces,
    pinning,
};
use crate::{
    admit::{
        body::Incoming,
        gunzip::{GunzipFault, gunzip},
    },
    attest::{Draft, Profile},
    classify::bulk::{BulkFault, BulkItem, BulkSplitFaultKind, split_bulk},
    domain::{DecisionId, EvidenceSet, Operation, RegionId, SubjectKey},
    forward::{BulkAnswer, BulkItemAnswer},
    message::{Field, Fields, Parts, Response},
    respond::Refused,
    state::WriteGuard,
};
use answer::Answer;
use decide::{Decided, decide, refusal};
use erasures::{Left, Open};
use lanes::Lanes;
use send::{Load, send};

/// Media types of bulk bodies: all are lines of JSON, whatever they are called.
const MEDIA: [&str; 4] = [
    "application/x-ndjson",
    "application/json",
    "application/vnd.elasticsearch+x-ndjson",
    "application/vnd.elasticsearch+json",
];

/// What is held of an item beside its bytes until the answer is out, at most: its places, what
/// becomes of it, its draft, and what is told of it. The regions' answers are counted as they come.
const ITEM_BYTES: usize = 512;

/// What a region answers to an ordinary item.
const ANSWER_BYTES: usize = 160;

/// What became of one item so far.
pub struct ItemState {
    decision: DecisionId,
    fate: Fate,
}

enum Fate {
    Refused(Rc<Refused>),
    /// Permitted. The region is the one whose answer the item gets.
    Sent {
        region: RegionId,
        verdict: Cell<Verdict>,
    },
}

/// What a permitted item's region said.
#[derive(Clone, Copy, Default)]
enum Verdict {
    #[default]
    Open,
    /// An item of an answer.
    BulkItemAnswer {
        answer: u32,
        at: u32,
        withheld: bool,
    },
    /// This, to its whole part.
    All(StatusCode),
    /// Nothing that can be used: the status is ours.
    Failed(StatusCode),
    /// An erasure is not done everywhere: [`Heard::left`] says where.
    ErasureLeft,
}

/// One item on its way to one region.
pub struct SendState {
    item: usize,
    region: RegionId,
    /// Its answer is the item's; else it is the erasure of a copy.
    is_main: bool,
    /// The last day on which the policy keeps what is written.
    until: Option<Date>,
    /// Of what is written.
    whose: Option<Whose>,
    profile: Arc<Profile>,
    evidence: EvidenceSet,
    /// What is said of it; 0: nothing yet.
    status: Cell<u16>,
    /// It is said of this document by itself: not of the whole part, and of no error on the way to it.
    is_own: Cell<bool>,
    /// The region's own, as the ledger has it; 0 while none came.
    came: Cell<u16>,
}

/// What the regions answered.
#[derive(Default)]
pub struct Heard {
    answers: Vec<BulkAnswer>,
    /// Some region says that it is Elasticsearch.
    is_elastic: bool,
    /// By item: where an erasure is still open.
    left: HashMap<usize, Left>,
}

impl Heard {
    fn told(&self, answer: u32, at: u32) -> Option<(&BulkAnswer, &BulkItemAnswer)> {
        let answer = self.answers.get(usize::try_from(answer).ok()?)?;
        Some((answer, answer.items().get(usize::try_from(at).ok()?)?))
    }
}

pub async fn way<'a>(
    x: &'a Exchange<'_>,
    routed: Routed<'a>,
    parts: &'a Parts,
    incoming: Incoming,
) -> Result<Response<Content>, Refused> {
    let started = Instant::now();
    let limits = &x.snapshot.settings.limits;
    let observed = x.snapshot.observe_to;
    if observed.is_none() && !is_bulk(&parts.headers) {
        return Err(Refused::MediaType(MEDIA.map(str::to_owned).to_vec()));
    }
    let mut lanes = Lanes::new(x, routed, parts)?;
    let query = query::read(parts.uri.query(), |name| lanes.reads(name));
    if observed.is_none() && parts.headers.may_have(PART) {
        return Err(Refused::Part);
    }
    let coding = coding(&parts.headers);
    if observed.is_none() {
        coding.as_ref().map_err(|f| Refused::Bulk(*f))?;
    }
    let came = x.read(incoming, limits.batch_bytes).await?;
    let unpacked = unpack(x, &came, coding).await;
    if let Some(region) = observed {
        lanes.set_pipeline(query.ok().and_then(|q| q.pipeline));
        let body = unpacked.unwrap_or_default();
        let items = split_bulk(&body, limits.batch_items).unwrap_or_default();
        return observe::way(x, &lanes, parts, (&body, &items), came, region).await;
    }
    drop(came);
    let query = query.map_err(Refused::Bulk)?;
    let path = query.path_and_query(lanes::path_of(parts));
    let path = path.ok_or(Refused::Internal("a query cannot be put together"))?;
    lanes.set_pipeline(query.pipeline);
    let body = unpacked?;
    let items = split_bulk(&body, limits.batch_items).map_err(|fault| match fault.kind {
        BulkSplitFaultKind::TooMany(limit) => Refused::TooManyItems(limit),
        _ => Refused::Bulk(BulkFault::Split(fault)),
    })?;
    let room = x.held.grow(items.len().saturating_mul(ITEM_BYTES));
    room.map_err(Refused::Body)?;
    // Told now, while nothing is sent: later it could only be said that an outcome is unknown.
    let answers = items.len().saturating_mul(ANSWER_BYTES) as u64;
    x.held.foresee(answers).map_err(Refused::Body)?;
    let mut decided = decide(x, &lanes, &body, &items).await?;
    let mut held = None;
    if !x.worker.shared.erasures.is_empty() {
        (decided, held) = Box::pin(hold(x, &lanes, (&body, &items), decided)).await?;
    }
    let heard;
    let states: Rc<[ItemState]>;
    if lanes.are_atomic() && decided.items.iter().any(ItemState::is_refused) {
        states = nothing_sent(x, decided).await?.into();
        heard = Heard::default();
    } else {
        let load = Load {
            parts,
            path,
            body: &body,
            items: &items,
        };
        (states, heard) = carry_out(x, &lanes, load, decided, held).await?;
    }
    lanes.call_by_first(x);
    let took = started.elapsed().as_millis();
    let snapshot = Arc::clone(&x.snapshot);
    let read = (&body[..], &items[..]);
    let answer = Answer::new(snapshot, states, heard, took, read, lanes.index());
    Ok(answer.into_response(parts))
}

/// The entries stand, then everything goes out, then what comes back is looked at.
async fn carry_out(
    x: &Exchange<'_>,
    lanes: &Lanes<'_>,
    load: Load<'_>,
    decided: Decided,
    held: Option<WriteGuard>,
) -> Result<(Rc<[ItemState]>, Heard), Refused> {
    let unwritable = |e: crate::attest::Unwritable| Refused::Ledger(e.to_string());
    let journal = &x.worker.journal;
    erasures::has_room(x, &decided)?;
    let written = held.as_ref().map(|_| written(&decided));
    let again = erasures::brought_again(&decided);
    let cleared = journal.clear_all(decided.permits, decided.entries).await;
    let cleared = cleared.map_err(unwritable)?;
    overtake::stand_each(x, held, &written.unwrap_or_default(), |item| {
        erasures::place(x, lanes, &load, item)
    });
    let states: Rc<[ItemState]> = decided.items.into();
    let (sends, leaves) = (&decided.sends, &decided.leaves_home);
    // After what is written: an erasure of this request is overtaken by what comes after it alone.
    let mut open = Open::note(
        (x, lanes, &load),
        (&states, sends, leaves),
        decided.erasing,
        &again,
    )
    .await?;
    open.still_holds()?;
    let mut heard = send(x, &load, &states, sends, &cleared, leaves, &decided.first).await?;
    // In the order of the items, as what asks for them.
    let is_taken = |item: usize| {
        let send = main_of(&decided.sends, item);
        send.is_some_and(|s| (200..300).contains(&s.status.get()))
    };
    let taken = decided
        .moves
        .into_iter()
        .filter(|(item, _)| is_taken(*item));
    let entries = taken.map(|(_, entry)| entry).collect();
    // Whatever comes of the erasures beside them.
    let moved = pinning::write_moves(x, entries).await;
    heard.left = open.settle().await?;
    drop(open);
    moved?;
    back::back(x, lanes, &load, &states, &heard).await?;
    Ok((states, heard))
}

/// The send whose answer is the item's: the first of it.
fn main_of(sends: &[SendState], item: usize) -> Option<&SendState> {
    let at = sends.partition_point(|s| s.item < item);
    sends.get(at).filter(|s| s.item == item)
}

/// Holds what is open where the records go, and decides again if that had to be waited for.
async fn hold(
    x: &Exchange<'_>,
    lanes: &Lanes<'_>,
    (body, items): (&Bytes, &[BulkItem]),
    decided: Decided,
) -> Result<(Decided, Option<WriteGuard>), Refused> {
    let to = written(&decided);
    let held = overtake::hold(x, to.iter().map(|(key, region, _)| (*key, *region))).await?;
    if !held.as_ref().is_some_and(WriteGuard::has_waited) {
        return Ok((decided, held));
    }
    x.still_holds()?;
    // Its claims go with it.
    drop(decided);
    let decided = decide(x, lanes, body, items).await?;
    if !overtake::is_among(&written(&decided), &to) {
        return Err(overtake::moved());
    }
    Ok((decided, held))
}

/// Whose records go where, and by which item.
fn written(decided: &Decided) -> Vec<(SubjectKey, RegionId, usize)> {
    let sends = decided.permits.iter().zip(&decided.sends);
    let stores = sends.filter(|((_, draft), _)| draft.profile.operation != Operation::Erase);
    stores
        .filter_map(|((_, draft), send)| Some((draft.subject?, send.region, send.item)))
        .collect()
}

impl ItemState {
    fn is_refused(&self) -> bool {
        matches!(self.fate, Fate::Refused(_))
    }
}

/// An atomic request with a refused item: nothing is sent and nobody pinned; the claims go with
/// the drafts that are dropped here.
async fn nothing_sent(x: &Exchange<'_>, decided: Decided) -> Result<Vec<ItemState>, Refused> {
    let Decided {
        mut items,
        permits,
        entries,
        ..
    } = decided;
    drop(permits);
    let whole = Refused::AtomicBatch {
        status: StatusCode::FAILED_DEPENDENCY,
    };
    let mut refusals: Vec<Draft> = entries.into_iter().filter(|e| e.pin.is_none()).collect();
    if items.first().is_some_and(|i| !i.is_refused()) {
        // Its id is the answer's own, which is to be found in the ledger.
        refusals.push(refusal(x, x.decision, &whole, Traces::default()));
    }
    let written = x.worker.journal.clear_all(Vec::new(), refusals).await;
    written.map_err(|e| Refused::Ledger(e.to_string()))?;
    let whole = Rc::new(whole);
    for item in &mut items {
        if !item.is_refused() {
            item.fate = Fate::Refused(Rc::clone(&whole));
        }
    }
    Ok(items)
}

/// Whether the media type is one of bulk bodies. Its parameters (`compatible-with`) are the regions'
/// business, but for a `charset` by which they would read other documents.
fn is_bulk(headers: &Fields) -> bool {
    let mut values = headers.get_all(Field::ContentType);
    let (Some(value), None) = (values.next(), values.next()) else {
        return false;
    };
    let essence = value.to_str().ok().and_then(|v| v.split(';').next());
    let essence = essence.unwrap_or_default().trim();
    !is_other_charset(value.as_bytes()) && MEDIA.iter().any(|m| m.eq_ignore_ascii_case(essence))
}

/// Whether the body is packed.
fn coding(headers: &Fields) -> Result<bool, BulkFault> {
    let mut values = headers.get_all(Field::ContentEncoding);
    match (values.next(), values.next()) {
        (None, _) => Ok(false),
        (Some(one), None) if one.as_bytes().eq_ignore_ascii_case(b"identity") => Ok(false),
        (Some(one), None) if is_gzip(one.as_bytes()) => Ok(true),
        _ => Err(BulkFault::Encoding),
    }
}

/// By its other name, too (RFC 9110 §8.4.1.3).
fn is_gzip(coding: &[u8]) -> bool {
    [&b"gzip"[..], b"x-gzip"]
        .iter()
        .any(|name| name.eq_ignore_ascii_case(coding))
}

async fn unpack(
    x: &Exchange<'_>,
    came: &Bytes,
    coding: Result<bool, BulkFault>,
) -> Result<Bytes, Refused> {
    if !coding.map_err(Refused::Bulk)? {
        return Ok(came.clone());
    }
    let limit = x.snapshot.settings.limits.batch_bytes;
    gunzip(came.clone(), limit, &x.held)
        .await
        .map_err(|f| match f {
            GunzipFault::Body(fault) => Refused::Body(fault),
            GunzipFault::Malformed => Refused::Bulk(BulkFault::Gzip),
        })
}
