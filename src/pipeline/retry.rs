//! Erasures that stay open, tried again until their holders confirm.
//!
//! Each try is a request of its own: judged by the policy and the holds of its moment, with its own
//! decision id and ledger entries, to the one region that it is about. The request, and with it the
//! id in its path, is in memory alone.
//!
//! A region that cannot be reached is asked for one record at a time with growing pauses, however
//! many wait for it: each try costs the ledger two entries. A record that its holder refuses for
//! now waits for itself; after three in a row the region does.

use std::{borrow::Cow, collections::BTreeMap, rc::Rc, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Version, uri::PathAndQuery};
use smallvec::SmallVec;
use tokio::time::{Instant, sleep_until};

use super::{
    Exchange, Flow, Worker, bulk,
    erase::{self, Said},
    judge, keep,
    person::{Person, Traces},
    single::{attest, send},
};
use crate::{
    admit::caller::Caller,
    attest::Profile,
    classify::Age,
    domain::{CategorySet, Circumstances, EvidenceSet, Ground, Operation, Place},
    forward::{Outgoing, OutgoingBody},
    message::{Field, Fields},
    policy::Checked,
    respond::Refused,
    shared::{ReadyRoute, Snapshot},
    state::{Begun, Room, RowId, Settled},
};

/// Before the first further try, and the longest between two.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);
/// A region that says `not now` so often in a row is left alone for a while, too.
const IN_A_ROW: u32 = 3;
/// How soon to look again at what a write or a reload keeps from being tried.
const SOON: Duration = Duration::from_millis(200);

/// What one holder is to be asked again. Names stand for what numbers mean in a snapshot alone.
pub struct Kept {
    pub row: RowId,
    route: Arc<str>,
    countries: SmallVec<[Place; 4]>,
    evidence: EvidenceSet,
    categories: Vec<Arc<str>>,
    home: Arc<str>,
    purpose: Option<String>,
    grounds: SmallVec<[Ground; 1]>,
    circumstances: Circumstances,
    caller: Caller,
    version: Version,
    method: Method,
    path_and_query: PathAndQuery,
    headers: Fields,
    /// Of a bulk request: the item's own line, which is all of the body.
    line: Option<Bytes>,
    pause: Duration,
    due: Instant,
    room: Option<Room>,
}

impl Kept {
    pub fn new(
        x: &Exchange<'_>,
        row: RowId,
        person: &Person,
        flow: &Flow,
        path_and_query: PathAndQuery,
        headers: Fields,
    ) -> Self {
        let route = x.snapshot.routes.get(flow.route);
        Self {
            row,
            route: route.map_or_else(|| "".into(), |r| Arc::clone(&r.settings.name)),
            countries: person.countries.clone(),
            evidence: person.evidence,
            categories: keys(&x.snapshot.checked, person.categories),
            home: x.snapshot.regions.name(person.home).into(),
            purpose: flow.purpose.clone(),
            grounds: flow.grounds.clone(),
            circumstances: flow.circumstances,
            caller: x.caller,
            version: x.version,
            method: x.method.clone(),
            path_and_query,
            headers,
            line: None,
            pause: FIRST,
            due: Instant::now() + FIRST,
            room: None,
        }
    }

    /// Of a bulk request: asked for by this line.
    pub fn with_line(mut self, line: Bytes) -> Self {
        self.line = Some(line);
        self
    }

    /// Gives it to the worker that tries again. Where there is no room to keep the request, the
    /// caller must repeat it: `false`.
    pub fn leave_to(mut self, worker: &Worker) -> bool {
        let erasures = &worker.shared.erasures;
        self.room = erasures.keep(self.size());
        if self.room.is_none() {
            tracing::warn!(
                region = %self.row.region,
                "there is no room to keep another erasure that is to be tried again; `/v1/erasures` lists it to be repeated"
            );
            erasures.settle(&self.row, Settled::Repeat { refused: None });
            return false;
        }
        erasures.settle(&self.row, Settled::Open);
        if !erasures.is_tried(&self.row) {
            // A write came meanwhile that may have brought the record back.
            return false;
        }
        self.due = Instant::now() + FIRST;
        worker.lanes.borrow_mut().add(self);
        worker.open_again.notify_one();
        true
    }

    /// Its bytes in memory, about.
    fn size(&self) -> usize {
        let fields = self.headers.iter();
        let fields = fields.map(|(_, name, value)| name.len() + value.as_bytes().len() + 32);
        let fields: usize = fields.sum();
        let line = self.line.as_ref().map_or(0, Bytes::len);
        let categories = self.categories.len() * size_of::<Arc<str>>();
        1024 + categories + self.path_and_query.as_str().len() + line + fields
    }

    fn put_off(&mut self) {
        self.due = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(LONGEST);
    }
}

/// A region, and what is due there.
type Turn = (Arc<str>, Vec<Kept>);

/// What one worker is to try again, by region.
#[derive(Default)]
pub struct Lanes(BTreeMap<Arc<str>, Lane>);

struct Lane {
    waiting: Vec<Kept>,
    /// Of the region, while it cannot be reached.
    pause: Duration,
    due: Instant,
    /// Its task is at work.
    busy: bool,
}

impl Default for Lane {
    fn default() -> Self {
        Self {
            waiting: Vec::new(),
            pause: FIRST,
            due: Instant::now(),
            busy: false,
        }
    }
}

impl Lanes {
    fn add(&mut self, kept: Kept) {
        let lane = self.0.entry(Arc::clone(&kept.row.region)).or_default();
        lane.waiting.push(kept);
    }

    /// Takes what is due of each region that is not at work, and says when the next will be.
    fn take_due(&mut self, now: Instant) -> (Vec<Turn>, Option<Instant>) {
        self.0
            .retain(|_, lane| lane.busy || !lane.waiting.is_empty());
        let mut ready = Vec::new();
        let mut next: Option<Instant> = None;
        for (region, lane) in self.0.iter_mut().filter(|(_, lane)| !lane.busy) {
            let due = |kept: &Kept| kept.due.max(lane.due);
            let soonest = lane.waiting.iter().map(due).min();
            if soonest.is_some_and(|at| at <= now) {
                let all = std::mem::take(&mut lane.waiting);
                let (due, later) = all.into_iter().partition(|k| k.due <= now);
                lane.waiting = later;
                lane.busy = true;
                ready.push((Arc::clone(region), due));
            } else if let Some(at) = soonest {
                next = Some(next.map_or(at, |n| n.min(at)));
            }
        }
        (ready, next)
    }
}

/// Tries again what is open, until it is dropped with the worker's runtime.
pub async fn keep_trying(worker: Rc<Worker>) {
    loop {
        let (ready, next) = worker.lanes.borrow_mut().take_due(Instant::now());
        for (region, due) in ready {
            tokio::task::spawn_local(lane(Rc::clone(&worker), region, due));
        }
        let until = next.unwrap_or_else(|| Instant::now() + LONGEST);
        tokio::select! {
            () = worker.open_again.notified() => {}
            () = sleep_until(until) => {}
        }
    }
}

/// What comes after a try.
enum Next {
    /// Closed, or listed to be repeated.
    Done,
    Soon,
    /// This record, later.
    Later,
    /// The region cannot be reached: nothing else of it is tried before its pause is over.
    Unreachable,
}

/// One region's turn.
async fn lane(worker: Rc<Worker>, region: Arc<str>, due: Vec<Kept>) {
    let mut waiting = Vec::new();
    let mut reached = None;
    let mut not_now = 0;
    let mut due = due.into_iter();
    for mut kept in due.by_ref() {
        match attempt(&worker, &kept).await {
            Next::Done => {
                reached = Some(true);
                not_now = 0;
            }
            Next::Soon => {
                kept.due = Instant::now() + SOON;
                waiting.push(kept);
            }
            Next::Later => {
                not_now += 1;
                reached = Some(not_now < IN_A_ROW);
                kept.put_off();
                waiting.push(kept);
                if not_now == IN_A_ROW {
                    break;
                }
            }
            Next::Unreachable => {
                reached = Some(false);
                waiting.push(kept);
                break;
            }
        }
    }
    waiting.extend(due);
    {
        let mut lanes = worker.lanes.borrow_mut();
        let lane = lanes.0.entry(region).or_default();
        lane.waiting.append(&mut waiting);
        lane.busy = false;
        match reached {
            Some(true) => lane.pause = FIRST,
            Some(false) => {
                lane.due = Instant::now() + lane.pause;
                lane.pause = (lane.pause * 2).min(LONGEST);
            }
            None => {}
        }
    }
    worker.open_again.notify_one();
}

async fn attempt(worker: &Worker, kept: &Kept) -> Next {
    let x = Exchange::again(worker, kept.caller, kept.method.clone(), kept.version);
    if x.snapshot.observe_to.is_some() {
        // Nothing goes where the policy says while the router only observes.
        return Next::Later;
    }
    let erasures = &worker.shared.erasures;
    let _trying = match erasures.begin(&kept.row) {
        Begun::Go(trying) => trying,
        Begun::Later => return Next::Soon,
        Begun::Gone => return Next::Done,
    };
    match ask(&x, kept).await {
        Ok((Said::Gone, profile)) => {
            erasures.settle(&kept.row, Settled::Confirmed);
            // Not removed: the row says so from now on.
            if let Err(error) = erase::end_pin(&x, kept.row.subject, profile).await {
                tracing::warn!(why = error.name(), "an erased account keeps its pin");
            }
            Next::Done
        }
        Ok((Said::NotNow, _)) => Next::Later,
        Ok((Said::Never, _)) => {
            erasures.settle(&kept.row, Settled::Repeat { refused: None });
            Next::Done
        }
        Err(refused) if is_passing(&refused) => Next::Unreachable,
        Err(refused) => {
            let rule = match &refused {
                Refused::Forbidden(why) => why.rule.as_deref().map(Arc::from),
                _ => None,
            };
            tracing::warn!(
                region = %kept.row.region,
                why = refused.name(),
                rule = rule.as_deref(),
                "an open erasure is refused; `/v1/erasures` lists it to be repeated"
            );
            let refused_by = rule.unwrap_or_else(|| refused.name().into());
            // Its entry.
            drop(x.refuse(refused).await);
            let refused = Some(refused_by);
            erasures.settle(&kept.row, Settled::Repeat { refused });
            Next::Done
        }
    }
}

/// Whether the same request may succeed later.
fn is_passing(refused: &Refused) -> bool {
    matches!(
        refused,
        Refused::BackendUnreachable { .. }
            | Refused::BackendTimeout { .. }
            | Refused::BackendBroken { .. }
            | Refused::RegionBusy { .. }
            | Refused::Ledger(_)
            | Refused::Directory(_)
            | Refused::Overloaded
            | Refused::Internal(_)
    )
}

/// Judges, writes the entry and asks the holder.
async fn ask(x: &Exchange<'_>, kept: &Kept) -> Result<(Said, Arc<Profile>), Refused> {
    let traces = Traces {
        key: Some(kept.row.subject),
        evidence: kept.evidence,
    };
    {
        let mut story = x.story.borrow_mut();
        story.route = Some(Arc::clone(&kept.route));
        story.operation = Some(Operation::Erase);
        story.traces = traces;
    }
    let (index, route) = route(&x.snapshot, &kept.route)?;
    let (person, flow) = person(x, kept, index)?;
    keep::not_held(x, &route.settings, &person, &flow)?;
    let judged = judge::judge_on(x, &route.settings, &person, &flow)?;
    let cleared = attest(x, &person, &flow, &judged).await?;
    let mut headers = kept.headers.clone();
    headers.insert(Field::DomicileDecision, x.decision_text);
    let mut outgoing = Outgoing {
        method: kept.method.clone(),
        path_and_query: Cow::Borrowed(&kept.path_and_query),
        headers,
        body: match &kept.line {
            None => OutgoingBody::Empty,
            Some(line) => OutgoingBody::Whole(line.clone()),
        },
        is_once: false,
    };
    let (answer, outcomes) = send(x, flow.region, &cleared, &mut outgoing).await?;
    let said = match &kept.line {
        Some(line) => bulk::said_of(answer, line).await,
        None => {
            let said = Said::of(answer.status());
            match said {
                Said::Gone if !erase::whole(answer).await => {
                    outcomes.broken();
                    Said::NotNow
                }
                said => said,
            }
        }
    };
    Ok((said, Arc::clone(&judged.profile)))
}

fn route<'s>(snapshot: &'s Snapshot, name: &str) -> Result<(usize, &'s ReadyRoute), Refused> {
    let mut routes = snapshot.routes.iter().enumerate();
    let found = routes.find(|(_, r)| *r.settings.name == *name);
    found.ok_or(Refused::NoRoute)
}

fn keys(policy: &Checked, set: CategorySet) -> Vec<Arc<str>> {
    let keys = set.iter().filter_map(|id| policy.category_key(id));
    keys.cloned().collect()
}

/// # Errors
/// The policy has one of them no more: what is held or forbidden of the record cannot be told.
fn numbers(policy: &Checked, keys: &[Arc<str>]) -> Result<CategorySet, Refused> {
    let numbers = keys.iter().map(|key| policy.category(key));
    numbers.collect::<Option<_>>().ok_or(Refused::PolicyChanged(
        "the vocabulary has a category of the record no more; repeat the erasure",
    ))
}

/// The person and the flow, in the numbers of the snapshot in force.
fn person(x: &Exchange<'_>, kept: &Kept, route: usize) -> Result<(Person, Flow), Refused> {
    let region = |name: &Arc<str>| {
        x.snapshot.regions.id(name).ok_or_else(|| {
            Refused::NoHome(format!(
                "`{name}` is no region of the settings any more; bring it back to erase there"
            ))
        })
    };
    let categories = numbers(&x.snapshot.checked, &kept.categories)?;
    let person = Person {
        key: kept.row.subject,
        countries: kept.countries.clone(),
        evidence: kept.evidence,
        categories,
        age: Age::default(),
        home: region(&kept.home)?,
        held_in: SmallVec::new(),
        pinned: false,
        claims: false,
        stored: false,
    };
    let flow = Flow {
        route,
        operation: Operation::Erase,
        countries: kept.countries.clone(),
        categories,
        home: person.home,
        region: region(&kept.row.region)?,
        held_in: SmallVec::new(),
        purpose: kept.purpose.clone(),
        grounds: kept.grounds.clone(),
        circumstances: kept.circumstances,
    };
    Ok((person, flow))
}
