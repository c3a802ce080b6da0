//! Erasing at every holder: the home first, then each region that holds a copy.
//!
//! What is asked for stands in the log of open erasures before the first holder is called, and
//! leaves it when the holder has confirmed. A holder that cannot be reached is named in the answer
//! and tried again in the background (`retry`), as long as the router runs.

use std::sync::Arc;

use http::StatusCode;
use tokio::task::JoinHandle;

use super::{
    Content, Exchange, Flow, Judgement, Kept, Routed, judge, keep,
    outcome::Outcomes,
    overtake,
    person::{Person, Traces},
    single::{attest, path_and_query, send},
    way_back::flow_back,
};
use crate::{
    attest::{Draft, Journal, Pinning, Profile, Unwritable},
    domain::{DecisionId, EvidenceSet, RegionId, SubjectKey},
    forward::{AnswerBody, Outgoing, OutgoingBody, read_off, throw_away},
    message::{Fields, Parts, Response},
    respond::Refused,
    settings::Erase,
    state::{Ending, Erasures, NewErasure, RowId, Settled, StateError},
};

/// What a holder's answer to an erasure means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// The record is not there (any more).
    Gone,
    /// Not now: the same request may succeed later, or has been taken and is not known to be done.
    NotNow,
    /// Not this request, however often it comes.
    Never,
}

impl Said {
    /// A status that is about the record.
    pub fn of(status: StatusCode) -> Self {
        match status {
            // Which may never be done (RFC 9110 §15.3.3), or is not everywhere (RFC 4918 §9.6.1).
            StatusCode::ACCEPTED | StatusCode::MULTI_STATUS => Self::NotNow,
            s if s.is_success() => Self::Gone,
            StatusCode::NOT_FOUND | StatusCode::GONE => Self::Gone,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
                Self::NotNow
            }
            s if s.is_server_error() => Self::NotNow,
            _ => Self::Never,
        }
    }

    /// A status that is about a whole part of a bulk request, or about an error of one item. That
    /// nothing is found there says something of the path or the index, and nothing of the records.
    pub fn of_part(status: StatusCode) -> Self {
        match Self::of(status) {
            Self::Gone => Self::NotNow,
            said => said,
        }
    }
}

/// Erases at every holder. All must be permitted before one is asked, and what the home refuses no
/// copy is asked.
///
/// Cancel safety: what was not confirmed when the caller goes away is tried in the background.
pub async fn erase(
    x: &Exchange<'_>,
    routed: &Routed<'_>,
    parts: &Parts,
    person: &Person,
) -> Result<Response<Content>, Refused> {
    let at_home = Flow::new(routed, person, person.home);
    keep::not_held(x, &routed.route.settings, person, &at_home)?;
    let judged = permitted_everywhere(x, routed, person)?;
    let mut open = note(x, routed, parts, person, &judged).await?;
    let profile = judged.first().map(|(_, _, j)| Arc::clone(&j.profile));
    let mut first = None;
    let mut left = Left::default();
    for (number, (region, flow, judged)) in judged.into_iter().enumerate() {
        // The log, and those before, may have taken long, and what came into force meanwhile may keep
        // the record.
        let route = &routed.route.settings;
        let not_held = |()| keep::not_held(x, route, person, &at_home);
        if let Err(refused) = x.still_holds().and_then(not_held) {
            if number == 0 {
                open.forget();
                return Err(refused);
            }
            // The next try decides anew.
            let name = x.snapshot.regions.name(region);
            let status = StatusCode::SERVICE_UNAVAILABLE;
            left.add(name, Some(status), open.leave_open());
            continue;
        }
        let cleared = match attest(x, person, &flow, &judged).await {
            Ok(cleared) => cleared,
            Err(refused) => {
                if number == 0 {
                    open.forget();
                }
                return Err(refused);
            }
        };
        let mut outgoing = Outgoing {
            method: parts.method.clone(),
            path_and_query: path_and_query(parts),
            headers: headers(x, parts, &judged),
            body: OutgoingBody::Empty,
            is_once: false,
        };
        let name = x.snapshot.regions.name(region);
        let (answer, outcomes) = match send(x, region, &cleared, &mut outgoing).await {
            Ok(answered) => answered,
            Err(refused) => {
                left.add(name, Some(refused.status()), open.leave_open());
                continue;
            }
        };
        let (status, said) = (answer.status(), Said::of(answer.status()));
        // What the home says, be it that it has taken the request, is the caller's answer.
        let passes = region == person.home && (said != Said::NotNow || status.is_success());
        if !passes {
            if let Some(retried) = settle_unheard(answer, said, &outcomes, &mut open).await {
                left.add(name, Some(StatusCode::BAD_GATEWAY), retried);
            }
            continue;
        }
        if said == Said::Never {
            // Nothing stays open, and no copy is asked, which may not know the right or the
            // precondition that failed.
            open.forget();
        }
        match flow_back(x, routed, person, &flow, answer).await {
            Ok(mut answer) => {
                x.say(answer.headers_mut(), &judged, region);
                match said {
                    Said::Gone => open.settle(Settled::Confirmed),
                    Said::NotNow => left.add(name, None, open.leave_open()),
                    Said::Never => return Ok(answer),
                }
                first = Some(answer);
            }
            // Of an answer that breaks off nothing counts, its status neither.
            Err(broken) if said != Said::Never && broken.is_of_the_answer() => {
                outcomes.broken();
                left.add(name, Some(broken.status()), open.leave_open());
            }
            Err(refused) => {
                if said == Said::Gone {
                    open.settle(Settled::Confirmed);
                    drop(open);
                    // Where no copy is left it ends here, or is listed.
                    if let Some(profile) = profile {
                        drop(end_pin(x, person.key, profile).await);
                    }
                }
                return Err(refused);
            }
        }
    }
    drop(open);
    if !left.unreached.is_empty() {
        sync(x).await?;
    }
    if let Some(status) = left.failed {
        return Err(Refused::ErasureOpen {
            status,
            unreached: left.unreached,
            retried: left.retried,
        });
    }
    if let Some(profile) = profile {
        end_pin(x, person.key, profile).await?;
    }
    first.ok_or(Refused::Internal("a subject without a home was erased"))
}

/// The judgement on the erasure at each holder, the home's first.
///
/// # Errors
/// One of them is forbidden.
fn permitted_everywhere(
    x: &Exchange<'_>,
    routed: &Routed<'_>,
    person: &Person,
) -> Result<Vec<(RegionId, Flow, Judgement)>, Refused> {
    let judge = |region| {
        let flow = Flow::new(routed, person, region);
        let judged = judge::judge(x, routed, person, &flow)?;
        let _permit = judged.permit(x)?;
        Ok((region, flow, judged))
    };
    person.holders().into_iter().map(judge).collect()
}

/// What becomes of the next one by an answer that the caller does not get. `None`: it is done; else
/// whether it is tried again.
async fn settle_unheard(
    answer: Response<AnswerBody>,
    said: Said,
    outcomes: &Outcomes<'_, '_>,
    open: &mut Unsettled<'_, '_>,
) -> Option<bool> {
    match said {
        Said::Gone => {
            if whole(answer).await {
                open.settle(Settled::Confirmed);
                return None;
            }
            outcomes.broken();
            Some(open.leave_open())
        }
        Said::NotNow => {
            throw_away(answer.into_body()).await;
            Some(open.leave_open())
        }
        Said::Never => {
            throw_away(answer.into_body()).await;
            open.settle(Settled::Repeat { refused: None });
            Some(false)
        }
    }
}

/// Where an erasure is not done.
struct Left {
    /// What the caller is told, unless it gets the home's answer.
    failed: Option<StatusCode>,
    unreached: Vec<String>,
    /// All of them are tried again.
    retried: bool,
}

impl Default for Left {
    fn default() -> Self {
        Self {
            failed: None,
            unreached: Vec::new(),
            retried: true,
        }
    }
}

impl Left {
    /// `failed`: `None` where the home itself tells the caller.
    fn add(&mut self, region: &str, failed: Option<StatusCode>, retried: bool) {
        self.failed = self.failed.or(failed);
        self.unreached.push(region.to_owned());
        self.retried &= retried;
    }
}

/// What goes to a holder. It is not asked to answer before it has erased (RFC 7240 §4.1); any
/// preference may be left out.
fn headers(x: &Exchange<'_>, parts: &Parts, judged: &Judgement) -> Fields {
    let mut headers = x.outgoing_headers(parts, !judged.flow_home);
    headers.remove("prefer");
    headers
}

/// Whether the answer is whole, so that its status counts.
pub(super) async fn whole(answer: Response<AnswerBody>) -> bool {
    let mut body = answer.into_body();
    body.keep_pace();
    read_off(body).await.is_ok()
}

/// Writes the erasure into the log, with what is needed to try it again at each holder.
async fn note<'x, 'w>(
    x: &'x Exchange<'w>,
    routed: &Routed<'_>,
    parts: &Parts,
    person: &Person,
    judged: &[(RegionId, Flow, Judgement)],
) -> Result<Unsettled<'x, 'w>, Refused> {
    let address = Arc::new(overtake::address(x, parts.uri.path(), parts.uri.query()));
    let regions: Vec<Arc<str>> = judged
        .iter()
        .map(|(region, _, _)| x.snapshot.regions.name(*region).into())
        .collect();
    let new = NewErasure {
        subject: person.key,
        address: &address,
        decision: x.decision,
        route: Arc::clone(&routed.route.settings.name),
        since: x.at(),
        ends_pin: person.pinned && routed.route.settings.erase == Erase::Subject,
    };
    let noted = x.worker.shared.erasures.note(&new, &regions).await;
    noted.map_err(|e| state_refused(&e))?;
    let kept = judged
        .iter()
        .zip(regions)
        .rev()
        .map(|((_, flow, judged), region)| {
            let row = RowId {
                subject: person.key,
                region,
                record: address.record,
                decision: x.decision,
            };
            let headers = headers(x, parts, judged);
            Kept::new(
                x,
                row,
                person,
                flow,
                path_and_query(parts).into_owned(),
                headers,
            )
        })
        .collect();
    Ok(Unsettled { x, kept })
}

/// The holders of which nothing is known yet, the next one last. Dropped with some left, these
/// stay open: the caller has gone.
struct Unsettled<'x, 'w> {
    x: &'x Exchange<'w>,
    kept: Vec<Kept>,
}

impl Unsettled<'_, '_> {
    fn erasures(&self) -> &Erasures {
        &self.x.worker.shared.erasures
    }

    /// What became of the next one.
    fn settle(&mut self, settled: Settled) {
        if let Some(kept) = self.kept.pop() {
            self.erasures().settle(&kept.row, settled);
        }
    }

    /// The next one is tried again in the background, if there is room to keep its request.
    fn leave_open(&mut self) -> bool {
        match self.kept.pop() {
            Some(kept) => kept.leave_to(self.x.worker),
            None => false,
        }
    }

    /// Nothing was sent, or the home has refused: nothing is open but what was before.
    fn forget(&mut self) {
        if let Some(kept) = self.kept.last() {
            self.erasures().keep_pin(kept.row.subject);
        }
        while !self.kept.is_empty() {
            self.settle(Settled::Forgotten);
        }
    }
}

impl Drop for Unsettled<'_, '_> {
    fn drop(&mut self) {
        while !self.kept.is_empty() {
            self.leave_open();
        }
    }
}

/// An answer that names what is open is given when a restart would list it.
pub async fn sync(x: &Exchange<'_>) -> Result<(), Refused> {
    let synced = x.worker.shared.erasures.sync().await;
    synced.map_err(|e| state_refused(&e))
}

pub fn state_refused(error: &StateError) -> Refused {
    Refused::Directory(format!("the log of open erasures: {error}"))
}

/// An account whose erasure may be whole now.
pub struct Account {
    pub key: SubjectKey,
    /// The erasure's own, and what stands in the entry that removes the pin.
    pub decision: DecisionId,
    pub profile: Arc<Profile>,
    pub evidence: EvidenceSet,
}

/// Removes a subject's pin, once home and all copies have confirmed, where its erasures were to end
/// it. A region that took a copy meanwhile was not asked: then the pin stays. The entry that does it
/// stands when this returns; should the caller be gone by then, the pin is removed all the same.
///
/// # Errors
/// The ledger cannot be written, or a region was not asked: the pin stays, and the erasure is
/// listed to be repeated.
pub async fn end_pin(
    x: &Exchange<'_>,
    key: SubjectKey,
    profile: Arc<Profile>,
) -> Result<(), Refused> {
    let account = Account {
        key,
        decision: x.decision,
        profile,
        evidence: x.story.borrow().traces.evidence,
    };
    match end_pins(x, [account]).stand().await? {
        true => Ok(()),
        false => Err(Refused::Directory(
            "a region took a copy while the account was erased: repeat the request".to_owned(),
        )),
    }
}

/// Pins that are being removed, whether or not somebody waits for it.
pub struct Ends {
    written: Option<(Journal, JoinHandle<Result<(), Unwritable>>)>,
    refused: Option<Refused>,
    all_asked: bool,
}

impl Ends {
    /// `false`: some region was not asked about one of them, whose erasure is listed to be repeated.
    /// Cancel safe.
    ///
    /// # Errors
    /// Ledger or directory cannot be written or read; what that keeps is listed to be repeated. While
    /// the ledger's disk hangs the pins may still be removed, and nothing is listed before that is known.
    pub async fn stand(self) -> Result<bool, Refused> {
        match self.written {
            None => {}
            Some((journal, written)) => {
                let written = journal.in_time(written).await;
                match written.map_err(|e| Refused::Ledger(e.to_string()))? {
                    Ok(written) => written.map_err(|e| Refused::Ledger(e.to_string()))?,
                    Err(_) => return Err(Refused::Internal("a pin was not removed")),
                }
            }
        }
        self.refused.map_or(Ok(self.all_asked), Err)
    }
}

/// Begins what [`end_pin`] does, for several, with one commit. Does not wait, so that it may be
/// called where the caller has gone.
pub fn end_pins(x: &Exchange<'_>, accounts: impl IntoIterator<Item = Account>) -> Ends {
    let shared = &x.worker.shared;
    let (mut drafts, mut endings) = (Vec::new(), Vec::new());
    let (mut all_asked, mut refused) = (true, None);
    for account in accounts {
        let Some(ending) = shared.erasures.end_pin(account.key) else {
            continue;
        };
        let pin = match shared.directory.lookup(&account.key) {
            Ok(Some(pin)) => pin,
            Ok(None) => {
                ending.done();
                continue;
            }
            Err(error) => {
                refused = Some(Refused::Directory(error.to_string()));
                continue;
            }
        };
        let asked = |region: &Arc<str>| ending.confirmed().contains(region);
        if !asked(&pin.region) || !pin.held_in.iter().all(asked) {
            all_asked = false;
            continue;
        }
        let traces = Traces {
            key: Some(account.key),
            evidence: account.evidence,
        };
        let mut draft = x.plain_draft(account.profile, traces);
        draft.decision = account.decision;
        draft.pin = Some(Pinning::Drop {
            region: Arc::clone(&pin.region),
        });
        drafts.push(draft);
        endings.push(ending);
    }
    let written = (!drafts.is_empty()).then(|| {
        let journal = shared.journal.clone();
        let removing = remove(journal.clone(), drafts, endings);
        (journal, tokio::task::spawn_local(removing))
    });
    Ends {
        written,
        refused,
        all_asked,
    }
}

/// Waits as long as it takes: an entry that comes to stand late removes the pin all the same, and
/// until then no write of the person may begin (`Erasures::hold`).
async fn remove(
    journal: Journal,
    drafts: Vec<Draft>,
    endings: Vec<Ending>,
) -> Result<(), Unwritable> {
    journal.write_out(drafts).await?;
    endings.into_iter().for_each(Ending::done);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::attest::tests::{
        Rig, draft,
        hanging_disk::{Opens, on_a_gate},
        profile,
    };
    use crate::state::Address;

    #[test]
    fn a_pin_whose_end_comes_to_stand_late_is_not_listed_to_be_repeated() {
        let rig = Rig::new();
        let (journal, gate, clock) = on_a_gate(&rig);
        let folder = tempfile::tempdir().unwrap();
        let erasures = Erasures::open(folder.path(), |_| true).unwrap();
        let mut draft = draft(1, &profile("/p"));
        let (region, subject): (Arc<str>, _) = ("eu".into(), draft.subject.unwrap());
        draft.pin = Some(Pinning::Drop {
            region: Arc::clone(&region),
        });
        let address = Arc::new(Address::new("/people/1", None, |_| subject));
        let new = NewErasure {
            subject,
            address: &address,
            decision: draft.decision,
            route: "/p".into(),
            since: draft.at,
            ends_pin: true,
        };
        // By a clock that does not run ahead.
        let other = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let noted = other.block_on(erasures.note(&new, &[Arc::clone(&region)]));
        noted.unwrap();
        let row = RowId {
            subject,
            region,
            record: subject,
            decision: draft.decision,
        };
        erasures.settle(&row, Settled::Confirmed);
        let ending = erasures.end_pin(subject).unwrap();

        // The journal's thread must end whatever the test finds.
        let opens = Opens(&gate);
        gate.set(true);
        let removing = clock.spawn(remove(journal.clone(), vec![draft], vec![ending]));
        let ends = Ends {
            written: Some((journal.clone(), removing)),
            refused: None,
            all_asked: true,
        };
        let told = clock.block_on(ends.stand());
        assert!(matches!(told, Err(Refused::Ledger(_))), "{told:?}");
        // Nor does a write of the person wait for ever; that the pin may end yet, it does not overtake.
        let write = || erasures.hold(vec![(subject, Arc::clone(&row.region))]);
        let held = clock.block_on(overtake::unless_disk_hangs(&journal, write()));
        assert!(matches!(held, Err(Refused::Ledger(_))), "{held:?}");
        // Long after everybody's patience has ended.
        clock.block_on(async { tokio::time::sleep(Duration::from_secs(60)).await });
        assert_eq!(erasures.count(), 0, "it is not known yet");
        drop(opens);
        other.block_on(journal.flush()).unwrap();
        clock.block_on(async {
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
        });
        assert!(erasures.is_empty(), "{:?}", erasures.list());
        let held = clock.block_on(overtake::unless_disk_hangs(&journal, write()));
        assert!(matches!(held, Ok(None)), "{held:?}");
    }
}
