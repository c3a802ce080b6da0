//! Classify, locate and decide the items of a batch; nothing is sent or written yet.

use std::{cell::Cell, rc::Rc};

use bytes::Bytes;
use http::StatusCode;
use jiff::civil::Date;

use super::{
    Failure, ItemState, State, each_path,
    facts::{Facts, Known},
};
use crate::{
    attest::{Bundle, Draft, Like},
    classify::{
        json::Item,
        schema::{Alike, Classified},
    },
    domain::{DecisionId, RegionId, SubjectKey},
    pipeline::{
        Exchange, Flow, Judged, Routed, judge, keep,
        landing::Whose,
        person::{self, Traces},
        pinning::{self, PinPlan, Then},
    },
    respond::Refused,
    settings::UpstreamShape,
};

/// Work that is done before other requests of the worker have their turn, in items that are read
/// by what they have in common with those before.
const TURN: usize = 2048;
/// What an item costs that is read by itself, in the same measure.
const ALONE: usize = 4;

/// What is held of a refusal until the answer is out, beside what every item has: the refusal with
/// its texts, and what its entry shares with no other.
const REFUSAL_BYTES: usize = 384;

/// A batch, decided.
pub(super) struct Decided {
    pub items: Vec<ItemState>,
    /// The entries: of permits, of refusals, and of copies of subjects that are new.
    pub bundle: Bundle,
    /// Whether anything that goes to this region leaves its subject's home.
    pub leaves_home: Vec<RegionId>,
    /// By item: the entry of its move, if the region takes it.
    pub moves: Vec<(usize, Draft)>,
    /// Items whose subjects' homes are not known to hold a record yet.
    pub first: Vec<usize>,
    /// By item: the last day on which it is kept, where the policy says one.
    pub until: Vec<(usize, Date)>,
}

/// # Errors
/// The memory for bodies cannot hold what is refused.
pub(super) async fn decide(
    x: &Exchange<'_>,
    routed: &Routed<'_>,
    body: &Bytes,
    items: &[Item],
) -> Result<Decided, Refused> {
    let mut deciding = Deciding {
        x,
        routed,
        alike: Alike::default(),
        found: Classified::default(),
        facts: Facts::new(routed),
        decided: Decided {
            items: Vec::with_capacity(items.len()),
            bundle: Bundle::new(x.at(), items.len()),
            leaves_home: Vec::new(),
            moves: Vec::new(),
            first: Vec::new(),
            until: Vec::new(),
        },
    };
    let mut work = 0;
    for (index, item) in items.iter().enumerate() {
        if work >= TURN {
            work = 0;
            tokio::task::yield_now().await;
        }
        // The answer's own id is that of its first item, so that it too is found in the ledger.
        let decision = if index == 0 {
            x.decision
        } else {
            x.worker.decision_id(x.at())
        };
        work += deciding.item(item.of(body), decision)?;
    }
    deciding.facts.count(x);
    Ok(deciding.decided)
}

struct Deciding<'d, 'w, 'r, 'b> {
    x: &'d Exchange<'w>,
    routed: &'d Routed<'r>,
    alike: Alike,
    /// What the present item says.
    found: Classified<'b>,
    facts: Facts,
    decided: Decided,
}

type ItemRefused = (Refused, Option<Rc<Judged>>);

impl<'b> Deciding<'_, '_, '_, 'b> {
    /// Decides one item, and gives what that cost.
    fn item(&mut self, bytes: &'b [u8], decision: DecisionId) -> Result<usize, Refused> {
        let mut traces = Traces::default();
        let mut cost = ALONE;
        let state = match self.decide(bytes, decision, &mut traces, &mut cost) {
            Ok(state) => state,
            Err((refused, judged)) => {
                let room = self.x.held.grow(REFUSAL_BYTES);
                room.map_err(Refused::Body)?;
                let judged = judged.as_deref();
                let entry = refusal(self.x, decision, &refused, judged, traces);
                self.decided.bundle.push(None, entry);
                State::Refused(Rc::new(refused))
            }
        };
        self.decided.items.push(ItemState { decision, state });
        Ok(cost)
    }

    fn decide(
        &mut self,
        bytes: &'b [u8],
        decision: DecisionId,
        traces: &mut Traces,
        cost: &mut usize,
    ) -> Result<State, ItemRefused> {
        let (x, routed) = (self.x, self.routed);
        let plain = |refused| (refused, None);
        judge::has_length(x, bytes).map_err(plain)?;
        judge::classify_alike(routed, bytes, &mut self.alike, &mut self.found).map_err(plain)?;
        let key = person::subject(x, routed, Some(&self.found)).map_err(plain)?;
        let said = self.facts.said(&self.found);
        if let Some(said) = &said
            && let Some(known) = self.facts.find(x, said, key)
        {
            let each = &routed.route.settings.upstream;
            if let UpstreamShape::Each { path, .. } = each
                && let Err(refused) = each_path(routed, path, bytes)
            {
                traces.key = Some(key);
                traces.evidence = known.take_back();
                return Err(plain(refused));
            }
            *cost = 1;
            return Ok(self.decided.like(known, decision, key));
        }
        let pinned = said.and_then(|said| Some((said, Facts::pin(x, key)?)));
        let body = Some(&self.found);
        let person = person::find_of(x, routed, key, body, routed.operation, None, traces);
        let person = person.map_err(plain)?;
        traces.evidence = person.evidence;
        if let UpstreamShape::Each { path, .. } = &routed.route.settings.upstream {
            each_path(routed, path, bytes).map_err(plain)?;
        }
        let region = routed.wishes.target.unwrap_or(person.home);
        let flow = Flow::new(routed, &person, region);
        let judged = judge::judge(x, routed, &person, &flow).map_err(plain)?;
        let permit = match judged.permit(x) {
            Ok(permit) => permit,
            Err(refused) => return Err((refused, Some(judged.shared()))),
        };
        let decided = &mut self.decided;
        let index = decided.items.len();
        let mut draft = x.draft(&judged, *traces);
        draft.decision = decision;
        draft.reference = flow.reference();
        draft.holds = judged.take_holds();
        let plan = PinPlan::new(&person, &flow);
        let pinnings = plan.pinnings(x, &person, region).map_err(plain)?;
        draft.pin = pinnings.own;
        let second = pinnings.second.map(|copy| Draft {
            decision,
            pin: Some(copy),
            ..x.draft(&judged, *traces)
        });
        if plan.then == Then::Moved {
            let plain = Draft {
                decision,
                ..x.draft(&judged, *traces)
            };
            let entry = pinning::moved(x, &flow, plain);
            decided.moves.push((index, entry));
        }
        if plan.is_first(&person) {
            decided.first.push(index);
        }
        let until = keep::until(x, &flow, &judged);
        decided.until.extend(until.map(|day| (index, day)));
        if !judged.flow_home && !decided.leaves_home.contains(&region) {
            decided.leaves_home.push(region);
        }
        judged.count();
        x.worker.shared.metrics.evidence(person.evidence);
        let like = decided.bundle.push(Some(permit), draft);
        if let Some(entry) = second {
            decided.bundle.push(None, entry);
        }
        if let Some(facts) = pinned {
            self.facts
                .note(x, facts, &person, &flow, &judged, like, until);
        }
        let home = Whose::of(&person).map(|whose| whose.home);
        Ok(sent(region, person.key, home, like))
    }
}

impl Decided {
    /// An item whose facts were judged before.
    fn like(&mut self, known: &Known, decision: DecisionId, key: SubjectKey) -> State {
        let index = self.items.len();
        if known.is_first() {
            self.first.push(index);
        }
        self.until.extend(known.until.map(|day| (index, day)));
        self.bundle.push_like(known.like, decision, key);
        sent(known.region, key, Some(known.region), known.like)
    }
}

fn sent(region: RegionId, key: SubjectKey, home: Option<RegionId>, like: Like) -> State {
    State::Sent {
        region,
        key,
        home,
        like,
        status: Cell::new(StatusCode::BAD_GATEWAY),
        failed: Cell::new(Some(Failure::Broken)),
    }
}

/// The entry of a refusal.
pub(super) fn refusal(
    x: &Exchange<'_>,
    decision: DecisionId,
    refused: &Refused,
    judged: Option<&Judged>,
    traces: Traces,
) -> Draft {
    let mut draft = match judged {
        Some(judged) => x.draft(judged, traces),
        None => {
            let profile = judge::plain_refusal(x, &x.story.borrow(), refused);
            x.plain_draft(profile, traces)
        }
    };
    draft.decision = decision;
    judge::count_refusal(&x.worker.shared.metrics, &draft.profile, refused);
    draft
}
