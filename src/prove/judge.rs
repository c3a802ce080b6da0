//! Judging mutants: does the reader, a case or a property notice the change?
//!
//! Each is tried against the reader of policies, then the cases of every organisation, then the
//! properties, and only what all of them let pass is compared with the policy as it stands. A change
//! that moves no flow of any of the organisations is told apart, with the reason: nothing that asks
//! questions could notice it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::policy::Checked;

use super::{
    cases::{Asked, Case, CaseError, NamedFile},
    files::Files,
    moved::{Baseline, Flow, Moved, Still, Window},
    mutants::Mutant,
    property::Properties,
    prove::{ProveError, Proven, in_parallel, prove_beyond},
};

#[derive(Clone, Debug, Serialize)]
pub struct Judged {
    pub mutant: String,
    pub fate: Fate,
    /// By the clock.
    #[serde(skip)]
    pub took: Duration,
}

/// What became of a mutant.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// The reader refuses the files.
    Refused,
    /// A case came out otherwise: its name.
    FailedCase(String),
    /// A property broke: its name.
    BrokenProperty(String),
    /// Nobody noticed, and no flow of any organisation is decided otherwise.
    Equivalent(Still),
    /// Nobody noticed; with a flow that is decided otherwise, where one was looked for.
    Survived(Option<Box<Flow>>),
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Tally {
    pub mutants: usize,
    pub by_check: usize,
    pub by_test: usize,
    pub by_prove: usize,
    pub survivors: Vec<Survivor>,
    /// Those that change no flow.
    pub equivalent: Vec<Equivalent>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Survivor {
    pub mutant: String,
    pub flow: Option<Box<Flow>>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Equivalent {
    pub mutant: String,
    pub reason: String,
}

impl Tally {
    /// Of those that change something, the share that was noticed, in percent.
    #[expect(clippy::cast_precision_loss, reason = "a share for people to read")]
    pub fn caught(&self) -> f64 {
        let all = self.mutants - self.equivalent.len();
        100.0 * self.noticed() as f64 / all.max(1) as f64
    }

    /// The same of all, equivalent ones among them.
    #[expect(clippy::cast_precision_loss, reason = "a share for people to read")]
    pub fn caught_of_all(&self) -> f64 {
        100.0 * self.noticed() as f64 / self.mutants.max(1) as f64
    }

    pub fn noticed(&self) -> usize {
        self.by_check + self.by_test + self.by_prove
    }

    fn add(&mut self, one: Judged, organisations: usize) {
        self.mutants += 1;
        match one.fate {
            Fate::Refused => self.by_check += 1,
            Fate::FailedCase(_) => self.by_test += 1,
            Fate::BrokenProperty(_) => self.by_prove += 1,
            Fate::Equivalent(still) => self.equivalent.push(Equivalent {
                mutant: one.mutant,
                reason: reason(&still, organisations),
            }),
            Fate::Survived(flow) => self.survivors.push(Survivor {
                mutant: one.mutant,
                flow,
            }),
        }
    }
}

fn reason(still: &Still, organisations: usize) -> String {
    if still.days == 0 {
        return format!(
            "under each of {organisations} organisations the law compiles to the same on every day"
        );
    }
    let mut text = format!(
        "{} classes of flows, under {organisations} organisations, are decided as before",
        still.classes
    );
    let deciders: Vec<&str> = still.decided_by.iter().map(String::as_str).collect();
    match deciders.as_slice() {
        [] => text.push_str("; what it is about holds of none of them"),
        [one] => text.push_str(&format!("; where the rule holds, `{one}` decides")),
        more => text.push_str(&format!(
            "; where the rule holds, one of {} decides",
            more.join(", ")
        )),
    }
    text
}

/// Each judgement as it falls, with how many have fallen.
pub type Progress<'a> = &'a (dyn Fn(&Judged, usize) + Sync);

/// Tries mutants against the cases of each organisation and against the properties; without
/// properties against the cases alone, which is quicker, and then no survivor is called equivalent.
///
/// # Errors
/// The policy as it stands has mistakes, or breaks a property.
pub fn judge(
    dir: &Path,
    cases: &[NamedFile],
    properties: Option<&Properties>,
    organisation: &Path,
    mutants: &[Mutant],
    progress: Progress<'_>,
) -> Result<Tally, CaseError> {
    let mut by_organisation: BTreeMap<PathBuf, Vec<&Case>> = BTreeMap::new();
    for file in cases {
        let path = file
            .organisation
            .clone()
            .unwrap_or_else(|| organisation.to_owned());
        by_organisation.entry(path).or_default().extend(&file.cases);
    }
    let mut suites: Vec<Suite<'_>> = Vec::new();
    for (path, cases) in by_organisation {
        suites.push(Suite::new(Files::load(dir, &path)?, &cases, properties)?);
    }
    let done = AtomicUsize::new(0);
    let judged = in_parallel(mutants.len(), |i| {
        let mutant = mutants.get(i)?;
        let begun = Instant::now();
        let judged = Judged {
            mutant: mutant.said.clone(),
            fate: fate(&suites, properties, mutant),
            took: begun.elapsed(),
        };
        progress(&judged, done.fetch_add(1, Ordering::Relaxed) + 1);
        Some(judged)
    });
    let mut tally = Tally::default();
    for one in judged.into_iter().flatten() {
        tally.add(one, suites.len());
    }
    Ok(tally)
}

/// A case with the laws that govern it, and the rules that they name.
struct Told<'a> {
    case: &'a Case,
    laws: Vec<String>,
    rules: Vec<String>,
}

/// One organisation with its cases, as the laws stand.
struct Suite<'a> {
    files: Files,
    cases: Vec<Told<'a>>,
    /// Where the properties hold already.
    proven: Proven,
    baseline: Baseline,
}

impl<'a> Suite<'a> {
    fn new(
        files: Files,
        cases: &[&'a Case],
        properties: Option<&Properties>,
    ) -> Result<Self, CaseError> {
        let checked = files.check()?;
        let mut asked = Asked::new(&checked);
        let told = |case: &&'a Case| {
            let (laws, rules) = asked.governed(case);
            Told { case, laws, rules }
        };
        let cases = cases.iter().map(told).collect();
        let mut suite = Self {
            files,
            cases,
            proven: Proven::default(),
            baseline: Baseline::new(&checked),
        };
        let Some(properties) = properties else {
            return Ok(suite);
        };
        let report = prove_beyond(checked, properties, None, &|_| true, &mut suite.proven);
        let organisation = suite.files.organisation.at.to_string();
        // What is broken already would catch every mutant.
        match report {
            Ok(report) if report.held() => {}
            Ok(report) => {
                let broken = report.properties.into_iter().find(|p| !p.held);
                return Err(CaseError::Unproven {
                    organisation,
                    property: broken.map(|p| p.name).unwrap_or_default(),
                });
            }
            Err(ProveError::Policy(refused)) => return Err(refused.into()),
            Err(other) => {
                return Err(CaseError::Unproven {
                    organisation,
                    property: other.to_string(),
                });
            }
        }
        Ok(suite)
    }

    /// The cases that a change can concern, those first that name the changed rule: what other
    /// laws say of a case, and what the law says on other days, is the same as before.
    fn concerned(&self, mutant: &Mutant, window: Window) -> Vec<&'a Case> {
        let law = |told: &&Told<'_>| match &mutant.law {
            Some(own) => told.laws.contains(own),
            None => true,
        };
        let day = |told: &&Told<'_>| window.holds_at(told.case.question.at);
        let mut all: Vec<&Told<'_>> = self.cases.iter().filter(law).filter(day).collect();
        all.sort_by_key(|told| !told.names(mutant));
        all.into_iter().map(|told| told.case).collect()
    }

    fn naming(&self, mutant: &Mutant) -> usize {
        self.cases.iter().filter(|t| t.names(mutant)).count()
    }
}

impl Told<'_> {
    fn names(&self, mutant: &Mutant) -> bool {
        mutant.rule.as_ref().is_some_and(|r| self.rules.contains(r))
    }
}

fn fate(suites: &[Suite<'_>], properties: Option<&Properties>, mutant: &Mutant) -> Fate {
    // Those first whose cases are most likely to notice.
    let mut order: Vec<&Suite<'_>> = suites.iter().collect();
    order.sort_by_key(|s| std::cmp::Reverse((s.naming(mutant), s.cases.len())));
    let mut changed: Vec<(&Suite<'_>, Arc<Checked>)> = Vec::new();
    for suite in order {
        let Ok(checked) = mutant.apply(&suite.files).check() else {
            return Fate::Refused;
        };
        let mut asked = Asked::new(&checked);
        let window = suite.baseline.window(&checked, mutant);
        let mut concerned = suite.concerned(mutant, window).into_iter();
        let failed = concerned.find(|case| !asked.try_case(case, None).passed);
        if let Some(case) = failed {
            return Fate::FailedCase(case.name.clone());
        }
        changed.push((suite, checked));
    }
    let Some(properties) = properties else {
        return Fate::Survived(None);
    };
    let mut still = Still::default();
    for (suite, checked) in &changed {
        match suite.baseline.moved(checked, mutant) {
            Moved::Nothing(more) => still.and(more),
            Moved::Flow(flow) => {
                let by = broken(&changed, properties, mutant);
                return by.map_or(Fate::Survived(Some(flow)), Fate::BrokenProperty);
            }
            Moved::Unsure(untrue) => {
                let flow = Flow {
                    law: untrue.law,
                    was: "as the decision says".to_owned(),
                    is: untrue.said,
                    question: untrue.question,
                };
                return Fate::Survived(Some(Box::new(flow)));
            }
        }
    }
    // Some properties read the rules themselves.
    let by = broken(&changed, properties, mutant);
    by.map_or(Fate::Equivalent(still), Fate::BrokenProperty)
}

/// The first property that does not hold any more.
fn broken(
    changed: &[(&Suite<'_>, Arc<Checked>)],
    properties: &Properties,
    mutant: &Mutant,
) -> Option<String> {
    changed.iter().find_map(|(suite, checked)| {
        let mut proven = suite.proven.clone();
        let law = mutant.law.as_deref();
        let window = suite.baseline.window(checked, mutant);
        let days = |day| window.holds(day);
        match prove_beyond(Arc::clone(checked), properties, law, &days, &mut proven) {
            // What is not proven has noticed nothing.
            Ok(report) => {
                let mut broken = report.properties.into_iter().filter(|p| !p.held);
                broken.next().map(|p| p.name)
            }
            Err(fault) => Some(fault.to_string()),
        }
    })
}
