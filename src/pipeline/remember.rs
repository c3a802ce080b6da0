//! What one worker remembers of one snapshot: judgements that name no person.

use std::{cell::RefCell, collections::HashMap, ops::Deref, rc::Rc, sync::Arc};

use foldhash::fast::RandomState;
use smallvec::SmallVec;

use super::{
    Exchange,
    counted::{CountGuards, Names, Plan},
    judge::{Flow, Judged},
};
use crate::{
    attest::Profile,
    decide::{Disagreement, Lifted, Verdict},
    domain::{CategorySet, Circumstances, Operation, Place, RegionId},
    respond::{Forbidden, Refused},
};

/// Judgements that one worker remembers before it begins anew.
pub const REMEMBERED: usize = 4096;

/// A decision on one person's flow: [`Judged`], and the person's places in the counts, which the
/// entry must keep until it stands.
#[derive(Debug)]
pub struct Judgement {
    judged: Rc<Judged>,
    holds: RefCell<CountGuards>,
    on_everybody: bool,
}

impl Deref for Judgement {
    type Target = Judged;

    fn deref(&self) -> &Judged {
        &self.judged
    }
}

impl Judgement {
    pub(super) fn new(judged: Rc<Judged>, holds: CountGuards) -> Self {
        Self {
            judged,
            holds: RefCell::new(holds),
            on_everybody: false,
        }
    }

    /// On a flow that asks nothing of the person: of which no count, consent or age is known.
    pub(super) fn on_everybody(judged: Rc<Judged>) -> Self {
        Self {
            judged,
            holds: RefCell::default(),
            on_everybody: true,
        }
    }

    /// Whether the same flow of anybody is judged alike, of whom the register knows no consent and
    /// the record no age.
    pub fn is_on_everybody(&self) -> bool {
        self.on_everybody
    }

    /// What is told of it, without the person's places.
    pub fn shared(&self) -> Rc<Judged> {
        Rc::clone(&self.judged)
    }

    /// The places in the counts, for the draft that is written; once.
    pub fn take_holds(&self) -> CountGuards {
        std::mem::take(&mut self.holds.borrow_mut())
    }
}

/// What one worker remembers of one snapshot.
#[derive(Default)]
pub struct Judgements {
    pub(super) flows: HashMap<Flow, Remembered, RandomState>,
    pub(super) homes: HashMap<HomeKey, Homes, RandomState>,
    pub(super) plain: HashMap<PlainKey, Plain, RandomState>,
}

/// What is remembered of one flow.
#[derive(Default)]
pub(super) struct Remembered {
    /// Which counts the flow asks, once that was looked up.
    pub plan: Option<Option<Rc<Plan>>>,
    /// The judgement on everybody of whom nothing is known that a law asks; only of flows that
    /// ask no count.
    pub plain: Option<Rc<Judged>>,
    /// Permits that hung on a count, a consent or an age. The decision itself is taken anew each
    /// time; what is remembered is how such a verdict is told.
    pub varied: Vec<(Varied, Rc<Judged>)>,
}

/// What two people's verdicts on one flow may differ in, and are told by.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Varied {
    pub verdict: Verdict,
    pub counted: Names,
    /// Rules under observation may hang on the person where the verdict does not.
    pub observed: Disagreement,
    /// So may rules that a consent lifted.
    pub lifted: Lifted,
}

/// Verdicts of one flow that are remembered; there are rarely more than two.
pub const VARIED: usize = 16;

pub type HomeKey = (SmallVec<[Place; 4]>, CategorySet, Circumstances);
pub type Homes = Result<SmallVec<[RegionId; 4]>, Refused>;
/// The last is the address of the refusal's reasons, 0 without any.
pub type PlainKey = (Option<Arc<str>>, Operation, &'static str, usize);
/// The reasons are kept, so that their address is not that of others.
pub type Plain = (Arc<Profile>, Option<Arc<Forbidden>>);

/// How a permit like this one was told before.
pub(super) fn already_told(x: &Exchange<'_>, flow: &Flow, like: &Varied) -> Option<Rc<Judged>> {
    // What a refusal lacks hangs on more than the verdict.
    if !like.verdict.is_permit() {
        return None;
    }
    let remembered = x.worker.judgements(&x.snapshot)?;
    let mut varied = remembered.flows.get(flow)?.varied.iter();
    let same = varied.find(|(told, _)| told == like)?;
    Some(Rc::clone(&same.1))
}

/// Changes what is remembered of a flow, if its snapshot is still in force.
pub(super) fn remember(x: &Exchange<'_>, flow: &Flow, change: impl FnOnce(&mut Remembered)) {
    let Some(mut judgements) = x.worker.judgements(&x.snapshot) else {
        return;
    };
    if let Some(known) = judgements.flows.get_mut(flow) {
        change(known);
        return;
    }
    if judgements.flows.len() >= REMEMBERED {
        judgements.flows.clear();
    }
    change(judgements.flows.entry(flow.clone()).or_default());
}
