//! `policy prove`: the properties over every class of flows of every law, on every day on which
//! anything differs, and over composed flows for what only several laws together can break.

use std::{
    collections::{BTreeSet, HashSet},
    panic::resume_unwind,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use jiff::{Timestamp, civil::Date};
use serde::Serialize;
use serde_json::Value;

use crate::{
    document::Refused,
    policy::{Checked, Compiled, LawId},
};

use super::{
    classes::of_law,
    composed,
    days::{Mark, days, fingerprint, instant, law_ids},
    files::Files,
    property::{Kind, Properties, PropertyError},
    ways::Ways,
};

/// What `policy prove` found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    pub policy: String,
    pub laws: usize,
    /// Days on which something begins or has ended.
    pub days: usize,
    /// Pairs of a law and a day that differ from every earlier day of that law.
    pub scenes: usize,
    /// Single flows that the classes stand for, were they written out.
    pub raw_flows: f64,
    /// Equivalence classes of flows that were walked.
    pub classes: u64,
    /// Questions that were put to the decision itself, to compare.
    pub questions: u64,
    /// Of these, flows under several laws at once.
    pub composed: u64,
    /// Laws whose records were looked at only up to a number of sets of categories, those of the
    /// fewest first, or whose volumes add up more than two counters.
    pub bounded: BTreeSet<String>,
    /// Laws of which nothing is proven, one each.
    pub untrue: Vec<Untrue>,
    pub properties: Vec<PropertyResult>,
}

#[derive(Clone, Debug, Serialize)]
pub struct PropertyResult {
    pub name: String,
    pub text: String,
    pub held: bool,
    /// Classes that the property had something to say of.
    pub classes: u64,
    pub counterexample: Option<Counterexample>,
}

/// The least that breaks a property.
#[derive(Clone, Debug, Serialize)]
pub struct Counterexample {
    pub law: Option<String>,
    pub said: String,
    /// As `policy explain --input` reads it.
    pub question: Value,
}

#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    #[error(transparent)]
    Policy(#[from] Refused),
    #[error(transparent)]
    Property(#[from] PropertyError),
    #[error("property `{property}` is about the law `{law}`, which is not among the files")]
    NoLaw { property: String, law: String },
    /// A fault of this program: say it loudly, prove nothing.
    #[error("the classes do not describe law {} truly: {}; {}", .0.law, .0.said, .0.question)]
    Untrue(Untrue),
}

/// Where the cut into classes and the decision disagree: nothing that the classes say of this law
/// counts.
#[derive(Clone, Debug, Serialize)]
pub struct Untrue {
    pub law: String,
    pub said: String,
    pub question: Value,
}

/// What one scene, or the composed flows of one day, added.
#[derive(Debug, Default)]
pub struct Part {
    pub raw_flows: f64,
    pub classes: u64,
    pub questions: u64,
    pub composed: u64,
    /// By property: classes, and the first counterexample.
    pub found: Vec<(u64, Option<Counterexample>)>,
    pub bounded: BTreeSet<String>,
    pub fault: Option<ProveError>,
}

impl Part {
    pub fn new(properties: usize) -> Self {
        Self {
            found: (0..properties).map(|_| (0, None)).collect(),
            ..Self::default()
        }
    }

    pub fn concerns(&mut self, property: usize) {
        if let Some((n, _)) = self.found.get_mut(property) {
            *n += 1;
        }
    }

    pub fn breaks(&mut self, property: usize, example: impl FnOnce() -> Counterexample) {
        if let Some((_, first)) = self.found.get_mut(property) {
            first.get_or_insert_with(example);
        }
    }

    pub fn is_broken(&self, property: usize) -> bool {
        self.found.get(property).is_some_and(|(_, e)| e.is_some())
    }
}

/// Which laws to look at; `None`: all, and the composed flows.
pub type Only<'a> = Option<&'a str>;

/// Which days to look at.
pub type On<'a> = &'a dyn Fn(Date) -> bool;

/// Proves `properties` of the policy in `files`, on as many threads as there are cores.
///
/// # Errors
/// A policy or a property with mistakes.
pub fn prove(files: &Files, properties: &Properties, only: Only<'_>) -> Result<Report, ProveError> {
    let checked = files.check()?;
    let composed = match only {
        None => Some(composed::Variants::new(files, &checked)?),
        Some(_) => None,
    };
    run(
        checked,
        properties,
        only,
        &|_| true,
        composed.as_ref(),
        &mut Proven::default(),
    )
}

/// What was looked at: laws by all that hangs on their day, and on the properties of that day.
#[derive(Clone, Debug, Default)]
pub struct Proven(HashSet<(String, Mark, Vec<bool>)>);

/// Proves what `proven` does not hold, each law by itself and on some days, and adds it. For changes of laws alone:
/// what is known of one organisation says nothing of another.
///
/// # Errors
/// A property with mistakes.
pub fn prove_beyond(
    checked: Arc<Checked>,
    properties: &Properties,
    only: Only<'_>,
    on: On<'_>,
    proven: &mut Proven,
) -> Result<Report, ProveError> {
    run(checked, properties, only, on, None, proven)
}

fn run(
    checked: Arc<Checked>,
    properties: &Properties,
    only: Only<'_>,
    on: On<'_>,
    composed: Option<&composed::Variants>,
    proven: &mut Proven,
) -> Result<Report, ProveError> {
    for property in &properties.list {
        if let Some(law) = &property.law
            && !property.optional
            && !checked.laws().any(|(_, l)| *l.id == **law)
        {
            return Err(ProveError::NoLaw {
                property: property.name.clone(),
                law: law.clone(),
            });
        }
    }
    let mut all = days(&checked);
    for property in &properties.list {
        let about = &property.about;
        all.extend(about.since);
        all.extend(about.until.and_then(|u| u.tomorrow().ok()));
    }
    let all: Vec<Date> = all.into_iter().filter(|day| on(*day)).collect();
    let jobs = jobs(&checked, &all, properties, only, proven);
    let parts = in_parallel(jobs.len(), |i| {
        let (day, laws) = jobs.get(i)?;
        let policy = checked.compile(instant(*day));
        let mut parts: Vec<Part> = laws
            .iter()
            .filter_map(|id| Some(of_law(&Ways::of(&policy, *id)?, *day, properties)))
            .collect();
        parts.extend(composed.map(|v| v.on(&policy, i, properties)));
        Some(parts)
    });
    let mut report = Report {
        policy: checked.digest().to_string(),
        laws: checked.laws().count(),
        days: all.len(),
        scenes: jobs.iter().map(|(_, laws)| laws.len()).sum(),
        ..Report::default()
    };
    let mut total = Part::new(properties.list.len());
    for part in parts.into_iter().flatten().flatten() {
        match part.fault {
            Some(ProveError::Untrue(untrue)) => {
                let known = report.untrue.iter().any(|u| u.law == untrue.law);
                report.untrue.extend((!known).then_some(untrue));
            }
            Some(fault) => return Err(fault),
            None => {}
        }
        report.bounded.extend(part.bounded);
        total.raw_flows += part.raw_flows;
        total.classes += part.classes;
        total.questions += part.questions;
        total.composed += part.composed;
        for (sum, (n, example)) in total.found.iter_mut().zip(part.found) {
            sum.0 += n;
            if sum.1.is_none() {
                sum.1 = example;
            }
        }
    }
    report.raw_flows = total.raw_flows;
    report.classes = total.classes;
    report.questions = total.questions;
    report.composed = total.composed;
    for (property, (classes, mut counterexample)) in properties.list.iter().zip(total.found) {
        if composed.is_some() && classes == 0 && property.must_concern() {
            counterexample = Some(Counterexample {
                law: property.law.clone(),
                said: "no flow is what it is about: does the law still attach?".to_owned(),
                question: Value::Null,
            });
        }
        report.properties.push(PropertyResult {
            name: property.name.clone(),
            text: property.text.clone(),
            held: counterexample.is_none(),
            classes,
            counterexample,
        });
    }
    Ok(report)
}

impl Report {
    pub fn held(&self) -> bool {
        self.untrue.is_empty() && self.properties.iter().all(|p| p.held)
    }
}

/// The days, each with the laws that differ there from all earlier days.
fn jobs(
    checked: &Arc<Checked>,
    days: &[Date],
    properties: &Properties,
    only: Only<'_>,
    proven: &mut Proven,
) -> Vec<(Date, Vec<LawId>)> {
    let prints = in_parallel(days.len(), |i| {
        let day = *days.get(i)?;
        let policy = checked.compile(instant(day));
        // Which of the law's own properties ask of this day.
        let dated = |law: &str| -> Vec<bool> {
            let list = properties.list.iter();
            let own = list.filter(|p| p.law.as_deref().is_none_or(|l| l == law));
            own.map(|p| p.covers_day(day)).collect()
        };
        let wanted = law_ids(&policy)
            .into_iter()
            .filter(|id| only.is_none_or(|name| policy.checked().law_id(*id) == name));
        Some(
            wanted
                .filter_map(|id| Some((id, fingerprint(&policy, &Ways::of(&policy, id)?))))
                .map(|(id, mark)| {
                    let name = policy.checked().law_id(id);
                    (id, (name.to_owned(), mark, dated(name)))
                })
                .collect::<Vec<_>>(),
        )
    });
    let mut jobs = Vec::new();
    for (day, prints) in days.iter().zip(prints) {
        let new = prints
            .into_iter()
            .flatten()
            .filter_map(|(id, print)| proven.0.insert(print).then_some(id));
        let laws: Vec<LawId> = new.collect();
        if !laws.is_empty() {
            jobs.push((*day, laws));
        }
    }
    jobs
}

/// The results of `0..count`, in order, whoever works them out.
pub fn in_parallel<T: Send>(count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let threads = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(count.max(1));
    let next = AtomicUsize::new(0);
    let mut done: Vec<(usize, T)> = std::thread::scope(|scope| {
        let one = || {
            let mut done = Vec::new();
            loop {
                let i = next.fetch_add(1, Ordering::Relaxed);
                if i >= count {
                    return done;
                }
                done.push((i, work(i)));
            }
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        workers
            .into_iter()
            // Without its results the others would stand for other jobs than theirs.
            .flat_map(|w| w.join().unwrap_or_else(|panic| resume_unwind(panic)))
            .collect()
    });
    done.sort_by_key(|(i, _)| *i);
    done.into_iter().map(|(_, t)| t).collect()
}

/// For the parts: what a kind needs.
pub fn of_kind(properties: &Properties, kind: Kind) -> impl Iterator<Item = usize> + '_ {
    let list = properties.list.iter().enumerate();
    list.filter(move |(_, p)| p.kind == kind).map(|(i, _)| i)
}

pub fn at(policy: &Compiled) -> Timestamp {
    policy.at()
}
