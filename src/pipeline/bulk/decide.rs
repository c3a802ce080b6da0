//! Classify, locate and decide the items of a bulk request; nothing is sent or written yet.

use std::{cell::Cell, collections::HashMap, rc::Rc, sync::Arc};

use bytes::Bytes;
use jiff::civil::Date;
use smallvec::SmallVec;

use super::{
    Fate, ItemState, SendState,
    erasures::Erasing,
    lanes::{Lane, Lanes},
    look::look,
};
use crate::{
    attest::Draft,
    classify::bulk::{Action, BulkItem},
    decide::Permit,
    domain::{DecisionId, Place, RegionId, SubjectKey},
    locate::Pin,
    pipeline::{
        Exchange, Flow, Judgement, Routed, judge, keep,
        landing::Whose,
        person::{Person, Traces},
        pinning::{self, PinPlan, Then},
    },
    respond::Refused,
    settings::Erase,
};

/// Items that are decided before other requests of the worker have their turn.
pub const TURN: usize = 512;

/// What is held of a refusal beside what every item has: its texts.
const REFUSAL_BYTES: usize = 256;

/// A bulk request, decided.
pub struct Decided {
    pub items: Vec<ItemState>,
    /// What goes out, in the order of the items.
    pub sends: Vec<SendState>,
    /// For each of `sends`.
    pub permits: Vec<(Permit, Draft)>,
    /// Entries beside those of permits: refusals, and copies of subjects that are new.
    pub entries: Vec<Draft>,
    /// Regions to which something goes that leaves its subject's home.
    pub leaves_home: Vec<RegionId>,
    /// By item: the entry of its move, if the region takes it.
    pub moves: Vec<(usize, Draft)>,
    /// Of `sends`, those whose subjects' homes are not known to hold a record yet.
    pub first: Vec<usize>,
    /// Of `sends`, those that erase.
    pub erasing: Vec<Erasing>,
    /// Homes that items of this request claim, for the items after them.
    homes: Homes,
}

/// What becomes of persons that earlier items of a request brought. Small, since every item of a
/// request may bring one.
#[derive(Default)]
pub struct Homes(HashMap<SubjectKey, (RegionId, SmallVec<[Place; 2]>)>);

impl Homes {
    pub fn of(&self, x: &Exchange<'_>, key: &SubjectKey) -> Option<Pin> {
        let (home, countries) = self.0.get(key)?;
        let name = x.snapshot.regions.name(*home);
        Some(Pin::new(name.into(), countries.clone()))
    }
}

/// # Errors
/// The memory for bodies cannot hold what is refused.
pub async fn decide(
    x: &Exchange<'_>,
    lanes: &Lanes<'_>,
    body: &Bytes,
    items: &[BulkItem],
) -> Result<Decided, Refused> {
    let mut decided = Decided {
        items: Vec::with_capacity(items.len()),
        sends: Vec::with_capacity(items.len()),
        permits: Vec::with_capacity(items.len()),
        entries: Vec::new(),
        leaves_home: Vec::new(),
        moves: Vec::new(),
        first: Vec::new(),
        erasing: Vec::new(),
        homes: Homes::default(),
    };
    for (index, item) in items.iter().enumerate() {
        if index % TURN == TURN - 1 {
            tokio::task::yield_now().await;
        }
        // The answer's own id is that of its first item, so that it too is found in the ledger.
        let decision = match index {
            0 => x.decision,
            _ => x.worker.decision_id(x.at()),
        };
        let mut traces = Traces::default();
        x.story.borrow_mut().profile = None;
        let mut one = One {
            x,
            index,
            decision,
            decided: &mut decided,
        };
        let fate = match one.decide(lanes, item, body, &mut traces) {
            Ok(region) => Fate::Sent {
                region,
                verdict: Cell::default(),
            },
            Err(refused) => {
                x.held.grow(REFUSAL_BYTES).map_err(Refused::Body)?;
                let draft = refusal(x, decision, &refused, traces);
                decided.entries.push(draft);
                Fate::Refused(Rc::new(refused))
            }
        };
        decided.items.push(ItemState { decision, fate });
    }
    Ok(decided)
}

/// The entry of a refusal.
pub fn refusal(x: &Exchange<'_>, decision: DecisionId, refused: &Refused, traces: Traces) -> Draft {
    let story = x.story.borrow();
    let profile = match (&story.profile, refused) {
        (Some(profile), Refused::Forbidden(_)) => Arc::clone(profile),
        _ => judge::plain_refusal(x, &story, refused),
    };
    let mut draft = x.plain_draft(profile, traces);
    draft.decision = decision;
    judge::count_refusal(&x.worker.shared.metrics, &draft.profile, refused);
    draft
}

/// One item on its way.
struct One<'d, 'x, 'w> {
    x: &'x Exchange<'w>,
    index: usize,
    decision: DecisionId,
    decided: &'d mut Decided,
}

/// A flow that may be.
struct Granted {
    flow: Flow,
    judged: Judgement,
    permit: Permit,
}

impl One<'_, '_, '_> {
    /// The region whose answer the item gets.
    fn decide(
        &mut self,
        lanes: &Lanes<'_>,
        item: &BulkItem,
        body: &[u8],
        traces: &mut Traces,
    ) -> Result<RegionId, Refused> {
        let x = self.x;
        let lane = lanes.of(item, body).map_err(Refused::Bulk)?;
        let (routed, person) = look(x, lane, item, body, &self.decided.homes, traces)?;
        traces.evidence = person.evidence;
        if item.action == Action::Delete {
            return self.erase(lane, &person, *traces);
        }
        let region = routed.wishes.target.unwrap_or(person.home);
        let granted = self.grant(routed, &person, region)?;
        let mut draft = self.draft(&granted, *traces);
        let plan = PinPlan::new(&person, &granted.flow);
        let pinnings = plan.pinnings(x, &person, region)?;
        draft.pin = pinnings.own;
        if let Some(copy) = pinnings.second {
            let mut second = self.plain(&granted.judged, *traces);
            second.pin = Some(copy);
            self.decided.entries.push(second);
        }
        if plan.claims {
            let countries = person.countries.iter().copied().collect();
            let homes = &mut self.decided.homes.0;
            homes.insert(person.key, (person.home, countries));
        }
        if plan.is_first(&person) {
            self.decided.first.push(self.decided.sends.len());
        }
        if plan.then == Then::Moved {
            let plain = self.plain(&granted.judged, *traces);
            let entry = pinning::moved(x, &granted.flow, plain);
            self.decided.moves.push((self.index, entry));
        }
        granted.judged.count();
        x.worker.shared.metrics.evidence(person.evidence);
        let until = keep::until(x, &granted.flow, &granted.judged);
        let whose = Whose::of(&person);
        let flow_home = granted.judged.flow_home;
        self.push(region, true, granted.permit, draft, flow_home, until, whose);
        Ok(region)
    }

    /// An erasure goes to every holder, the home first, and all must be permitted.
    fn erase(
        &mut self,
        lane: &Lane<'_>,
        person: &Person,
        traces: Traces,
    ) -> Result<RegionId, Refused> {
        let (x, routed) = (self.x, &lane.erase);
        if routed.wishes.target.is_some() || routed.wishes.operation.is_some() {
            return Err(Refused::Steering(
                "a `delete` reaches every holder; it takes neither target nor operation".to_owned(),
            ));
        }
        let at_home = Flow::new(routed, person, person.home);
        keep::not_held(x, &routed.route.settings, person, &at_home)?;
        let granted: SmallVec<[(RegionId, Granted); 3]> = person
            .holders()
            .into_iter()
            .map(|region| Ok((region, self.grant(routed, person, region)?)))
            .collect::<Result<_, Refused>>()?;
        let ends = person.pinned && routed.route.settings.erase == Erase::Subject;
        for (region, granted) in granted {
            let draft = self.draft(&granted, traces);
            self.decided.erasing.push(Erasing {
                send: self.decided.sends.len(),
                subject: person.key,
                ends: ends.then(|| (Arc::clone(&granted.judged.profile), traces.evidence)),
            });
            granted.judged.count();
            let flow_home = granted.judged.flow_home;
            let is_main = region == person.home;
            self.push(
                region,
                is_main,
                granted.permit,
                draft,
                flow_home,
                None,
                None,
            );
        }
        x.worker.shared.metrics.evidence(person.evidence);
        Ok(person.home)
    }

    fn grant(
        &self,
        routed: &Routed<'_>,
        person: &Person,
        region: RegionId,
    ) -> Result<Granted, Refused> {
        let flow = Flow::new(routed, person, region);
        let judged = judge::judge(self.x, routed, person, &flow)?;
        let permit = judged.permit(self.x)?;
        Ok(Granted {
            flow,
            judged,
            permit,
        })
    }

    fn draft(&self, granted: &Granted, traces: Traces) -> Draft {
        let mut draft = self.plain(&granted.judged, traces);
        draft.reference = granted.flow.reference();
        draft.holds = granted.judged.take_holds();
        draft
    }

    fn plain(&self, judged: &Judgement, traces: Traces) -> Draft {
        let mut draft = self.x.draft(judged, traces);
        draft.decision = self.decision;
        draft
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "what one item sends, used together once"
    )]
    fn push(
        &mut self,
        region: RegionId,
        is_main: bool,
        permit: Permit,
        draft: Draft,
        flow_home: bool,
        until: Option<Date>,
        whose: Option<Whose>,
    ) {
        let leaves = &mut self.decided.leaves_home;
        if !flow_home && !leaves.contains(&region) {
            leaves.push(region);
        }
        self.decided.sends.push(SendState {
            item: self.index,
            region,
            is_main,
            until,
            whose,
            profile: Arc::clone(&draft.profile),
            evidence: draft.evidence,
            status: Cell::new(0),
            is_own: Cell::new(false),
            came: Cell::new(0),
        });
        self.decided.permits.push((permit, draft));
    }
}
