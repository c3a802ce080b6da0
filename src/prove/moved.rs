//! Whether a change of a law moves any flow: what `policy mutants` asks of what nobody noticed.
//!
//! The same classes as `policy diff`, of the laws and days alone that compile to something else, and
//! only until the first class that is decided otherwise. Each class is put to the decision under
//! both policies, so 'no flow moves' is as sure as a proof is.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use foldhash::{HashMap, HashMapExt, HashSet};
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde::Serialize;
use serde_json::Value;

use crate::policy::{Checked, Compiled, Interval};

use super::{
    axes::Extra,
    classes::compare,
    days::{Mark, days, instant},
    diff::{context, law_of, nothing, print, said},
    engine::Bits,
    facts::question,
    mutants::Mutant,
    promised,
    prove::{Untrue, in_parallel},
    scene::{Said, Scene},
    ways::Ways,
};

/// A policy as it stands, to compare changes of it with.
pub struct Baseline {
    checked: Arc<Checked>,
    days: BTreeSet<Date>,
    context: String,
    /// By law, what it compiles to on each day: for changes that may concern any of them.
    prints: OnceLock<BTreeMap<String, Prints>>,
}

type Prints = BTreeMap<Date, Option<Mark>>;

#[derive(Clone, Debug)]
pub enum Moved {
    Flow(Box<Flow>),
    Nothing(Still),
    /// The classes and the decision disagree: nothing is known.
    Unsure(Untrue),
}

/// A flow that is decided otherwise than before.
#[derive(Clone, Debug, Serialize)]
pub struct Flow {
    pub law: String,
    pub was: String,
    pub is: String,
    /// As `policy explain --input` reads it.
    pub question: Value,
}

/// Days on which a change can matter: nothing but one rule differs, and it is in force on these.
#[derive(Clone, Copy, Debug)]
pub enum Window {
    Any,
    Rule {
        before: Option<Interval>,
        after: Option<Interval>,
        /// The rule says the same; it begins or ends on another day.
        only_days: bool,
    },
}

impl Window {
    pub fn holds(&self, day: Date) -> bool {
        match self {
            Self::Any => true,
            Self::Rule {
                before,
                after,
                only_days,
            } => {
                let [was, is] = [before, after].map(|i| i.is_some_and(|i| i.contains(day)));
                match only_days {
                    true => was != is,
                    false => was || is,
                }
            }
        }
    }

    /// The same of an instant, whatever the zone.
    pub fn holds_at(&self, at: Timestamp) -> bool {
        let day = at.to_zoned(TimeZone::UTC).date();
        let near = [day.yesterday().ok(), Some(day), day.tomorrow().ok()];
        near.into_iter().flatten().any(|d| self.holds(d))
    }
}

/// Why no flow moves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Still {
    /// Days on which a law compiles to something else.
    pub days: usize,
    /// Classes that were compared on them.
    pub classes: u64,
    /// Rules that decide where the changed rule would hold.
    pub decided_by: BTreeSet<String>,
}

impl Still {
    pub fn and(&mut self, other: Self) {
        self.days += other.days;
        self.classes += other.classes;
        self.decided_by.extend(other.decided_by);
    }
}

impl Baseline {
    pub fn new(checked: &Arc<Checked>) -> Self {
        Self {
            checked: Arc::clone(checked),
            days: days(checked),
            context: context(checked),
            prints: OnceLock::new(),
        }
    }

    /// Whether `new`, which a mutant made of this policy, decides any flow otherwise.
    pub fn moved(&self, new: &Arc<Checked>, mutant: &Mutant) -> Moved {
        let (law, rule) = (mutant.law.as_deref(), mutant.rule.as_deref());
        let window = self.window(new, mutant);
        let laws: Vec<String> = match law {
            Some(law) => vec![law.to_owned()],
            None => self.checked.laws().map(|(_, l)| l.id.to_string()).collect(),
        };
        // A few days are asked for anew; of many, what they are is kept.
        let known = match window {
            Window::Any => Some(self.prints.get_or_init(|| self.all_prints())),
            Window::Rule { .. } => None,
        };
        let promised: Mutex<HashSet<[String; 2]>> = Mutex::default();
        let same = self.context == context(new);
        let all: Vec<Date> = self.days.union(&days(new)).copied().collect();
        let all: Vec<Date> = all.into_iter().filter(|d| window.holds(*d)).collect();
        let told = in_parallel(all.len(), |i| {
            let day = *all.get(i)?;
            let is = new.compile(instant(day));
            let mut was = None;
            let each = laws.iter().map(|law| {
                let known = known.and_then(|all| all.get(law)?.get(&day).copied());
                let before = known.unwrap_or_else(|| {
                    let old = was.get_or_insert_with(|| self.checked.compile(instant(day)));
                    print(old, law)
                });
                [before, print(&is, law)]
            });
            let each: Vec<[Option<Mark>; 2]> = each.collect();
            // Groups of countries may stand in promises, which seldom change from day to day.
            let promised = law.is_none() && {
                let old = was.get_or_insert_with(|| self.checked.compile(instant(day)));
                let told = [&*old, &is].map(promised::told);
                let new = |told| {
                    let mut seen = promised.lock().unwrap_or_else(PoisonError::into_inner);
                    seen.insert(told)
                };
                told[0] != told[1] && new(told) && !promised::changes(old, &is).is_empty()
            };
            Some((each, promised))
        });
        let mut still = Still::default();
        let mut seen: HashSet<(usize, [Option<Mark>; 2])> = HashSet::default();
        let mut jobs: Vec<(Date, usize)> = Vec::new();
        for (day, (prints, promised)) in all.iter().zip(told.into_iter().flatten()) {
            if promised {
                return Moved::Flow(Box::new(Flow {
                    law: "promise".to_owned(),
                    was: "as promised".to_owned(),
                    is: format!("otherwise on {day}"),
                    question: Value::Null,
                }));
            }
            for (law, print) in prints.into_iter().enumerate() {
                if !same || print[0] != print[1] {
                    still.days += 1;
                    if seen.insert((law, print)) {
                        jobs.push((*day, law));
                    }
                }
            }
        }
        let stop = AtomicBool::new(false);
        let compared = in_parallel(jobs.len(), |i| {
            let (day, law) = jobs.get(i)?;
            if stop.load(Ordering::Relaxed) {
                return None;
            }
            let policies = [&self.checked, new].map(|p| p.compile(instant(*day)));
            let found = of_law(&policies, laws.get(*law)?, rule, &stop);
            if !matches!(found, Moved::Nothing(_)) {
                stop.store(true, Ordering::Relaxed);
            }
            Some(found)
        });
        for found in compared.into_iter().flatten() {
            match found {
                Moved::Nothing(more) => still.and(more),
                other => return other,
            }
        }
        Moved::Nothing(still)
    }

    /// The days on which a mutant can decide anything otherwise.
    pub fn window(&self, new: &Checked, mutant: &Mutant) -> Window {
        let interval = |policy: &Checked| {
            let law = policy
                .laws()
                .find(|(_, l)| mutant.law.as_deref() == Some(&*l.id));
            let rules = law.map_or(&[][..], |(_, l)| l.rules.as_slice());
            let own = rules
                .iter()
                .find(|r| mutant.rule.as_deref() == Some(&*r.id));
            own.map(|r| r.interval)
        };
        // Without a name it is an age or a kind of data, or a group.
        let before = interval(&self.checked);
        if before.is_none() {
            return Window::Any;
        }
        Window::Rule {
            before,
            after: interval(new),
            only_days: mutant.moved,
        }
    }

    fn all_prints(&self) -> BTreeMap<String, Prints> {
        let days: Vec<Date> = self.days.iter().copied().collect();
        let laws: Vec<&str> = self.checked.laws().map(|(_, l)| &*l.id).collect();
        let each = in_parallel(days.len(), |i| {
            let compiled = days.get(i).map(|day| self.checked.compile(instant(*day)));
            let prints = laws.iter().map(|law| print(compiled.as_ref()?, law));
            prints.collect::<Vec<_>>()
        });
        let mut all: BTreeMap<String, Prints> = BTreeMap::new();
        for (day, prints) in days.iter().zip(each) {
            for (law, print) in laws.iter().zip(prints) {
                let of_law = all.entry((*law).to_owned()).or_default();
                of_law.insert(*day, print);
            }
        }
        all
    }
}

/// One law on one day under both policies.
fn of_law(policies: &[Compiled; 2], law: &str, rule: Option<&str>, stop: &AtomicBool) -> Moved {
    let [old, new] = policies;
    let ways = policies.each_ref().map(|p| {
        let id = law_of(p, law)?;
        Ways::of(p, id)
    });
    let [Some(before), Some(after)] = &ways else {
        return Moved::Flow(Box::new(Flow {
            law: law.to_owned(),
            was: "there".to_owned(),
            is: "gone".to_owned(),
            question: Value::Null,
        }));
    };
    let sides = [before, after];
    let scene = Scene::new(old.at(), &[old, new], &sides, &Extra::default(), &|_| true);
    let Some(last) = scene.axes.len().checked_sub(1) else {
        return Moved::Nothing(Still::default());
    };
    // Where the changed rule stands in either list.
    let own: [Vec<usize>; 2] = sides.map(|ways| {
        let all = ways.list.iter().enumerate();
        let own = all.filter(|(_, w)| rule.is_some_and(|r| *ways.name(w) == *r));
        own.map(|(i, _)| i).collect()
    });
    let mut words: [HashMap<Said, Arc<str>>; 2] = [HashMap::new(), HashMap::new()];
    let mut word = |side: usize, said_of: Said, leaf: &Bits| -> Arc<str> {
        match words.get_mut(side) {
            Some(known) => Arc::clone(
                known
                    .entry(said_of)
                    .or_insert_with(|| said(&scene, side, leaf).into()),
            ),
            None => nothing().into(),
        }
    };
    let mut still = Still::default();
    let mut found = None;
    let edges = scene.diagram.edges.get(last);
    scene.diagram.walk(&mut |axis, state, path| {
        if found.is_some() || stop.load(Ordering::Relaxed) {
            return false;
        }
        if axis < last {
            return true;
        }
        for edge in edges.into_iter().flatten() {
            let leaf = scene.diagram.step(state, last, edge);
            let mut full = path.to_vec();
            full.extend(edge.values.first());
            let told = [0, 1].map(|side| scene.said(side, &leaf));
            for (side, told) in told.into_iter().enumerate() {
                if !matches!(told, Said::Nothing | Said::Unreal)
                    && let Err(untrue) = compare(&scene, side, told, &full)
                {
                    found = Some(Moved::Unsure(untrue));
                    return false;
                }
            }
            still.classes += 1;
            let [was, is] = [(0, told[0]), (1, told[1])].map(|(side, t)| word(side, t, &leaf));
            if was != is {
                found = Some(Moved::Flow(Box::new(Flow {
                    law: law.to_owned(),
                    was: was.to_string(),
                    is: is.to_string(),
                    question: question(scene.at, &scene.facts(&full)),
                })));
                return false;
            }
            if own.iter().all(Vec::is_empty) {
                continue;
            }
            let whole = scene.leaf(&full);
            for (side, own) in own.iter().enumerate() {
                if own.iter().any(|way| scene.holds(side, *way, &whole))
                    && let Some(way) = told.get(side).and_then(|t| scene.way(side, *t))
                    && let Some(ways) = sides.get(side)
                {
                    still.decided_by.insert(ways.name(way).to_string());
                }
            }
        }
        false
    });
    found.unwrap_or(Moved::Nothing(still))
}
