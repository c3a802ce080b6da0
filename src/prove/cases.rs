//! Cases: questions with the answers that the law's sources demand, and what came out instead.
//!
//! One reader for `policy test`, for the tests of this program, and for the mutants that the cases
//! must catch. A case file names its organisation; everything else is the question's own shape.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    decide::{answer, decide},
    document::{Faults, Node, Refused, Where, read_items},
    domain::{Answer, Outcome, Question, Regions},
    policy::{Checked, Compiled, load},
};

/// What a file of cases says beside its cases.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseHead {
    /// Relative to the file itself; without it the caller's organisation is asked.
    #[serde(default)]
    organisation: Option<PathBuf>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    pub name: String,
    /// The article, guideline or fact that the expectation was written from.
    pub source: String,
    pub expect: Expect,
    pub question: Question,
}

/// What the flat answer must say; what is absent is not asked.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    pub outcome: Expected,
    pub mechanism: Option<String>,
    pub rule: Option<String>,
    pub module: Option<u8>,
    pub instrument: Option<String>,
    /// Only where settings say what regions there are.
    pub region: Option<String>,
    /// Among the duties.
    pub duty: Option<String>,
    /// Each among the mechanisms that could have permitted; an empty list: there is none.
    pub missing: Option<Vec<String>>,
    /// Rules under observation that would have turned the outcome, all of them; an empty list: with
    /// them in force the outcome would be the same.
    pub observed: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Expected {
    Permit,
    #[default]
    Refuse,
}

/// How one case came out.
#[derive(Clone, Debug, Serialize)]
pub struct CaseResult {
    pub file: String,
    pub name: String,
    pub source: String,
    pub passed: bool,
    /// What differs; empty when it passed.
    pub differences: Vec<Difference>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    pub field: &'static str,
    pub expected: String,
    pub found: String,
}

#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    #[error("cannot read {path}: {error}")]
    Read { path: String, error: std::io::Error },
    #[error("there is no case in {path}")]
    None { path: String },
    #[error(
        "{path} names no organisation: say `organisation = \"…\"` in it, or give --organisation"
    )]
    NoOrganisation { path: String },
    #[error(transparent)]
    Policy(#[from] Refused),
    /// What is broken before anything is changed would catch every change.
    #[error(
        "under {organisation} the policy as it stands is not proven ({property}): see `policy prove`"
    )]
    Unproven {
        organisation: String,
        property: String,
    },
}

/// A file of cases with the path by which people know it.
#[derive(Clone, Debug)]
pub struct NamedFile {
    pub shown: String,
    /// Where its organisation lies, if it names one.
    pub organisation: Option<PathBuf>,
    pub cases: Vec<Case>,
}

/// Every `*.toml` in `folder`, in the order of their names.
///
/// # Errors
/// The folder cannot be read, or holds no file of cases; every file that cannot be read or has
/// another shape, with line and column of each mistake.
pub fn read_folder(folder: &Path) -> Result<Vec<NamedFile>, CaseError> {
    let unreadable = |path: &Path, error| CaseError::Read {
        path: path.display().to_string(),
        error,
    };
    let entries = std::fs::read_dir(folder).map_err(|e| unreadable(folder, e))?;
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|e| e.ok().map(|e| e.path()))
        .filter(|p| p.extension().is_some_and(|e| e == "toml"))
        .collect();
    paths.sort();
    if paths.is_empty() {
        return Err(CaseError::None {
            path: folder.display().to_string(),
        });
    }
    let mut files = Vec::new();
    let mut faults = Vec::new();
    for path in &paths {
        match read_items::<CaseHead, Case>(path, "case") {
            Ok((head, cases)) => files.push(NamedFile {
                shown: path.display().to_string(),
                organisation: head.organisation.map(|o| folder.join(o)),
                cases,
            }),
            Err(told) => faults.extend(told),
        }
    }
    if faults.is_empty() {
        return Ok(files);
    }
    Err(Refused(faults).into())
}

/// Runs every case of `files` against the laws in `dir`; each organisation is loaded once.
///
/// # Errors
/// A policy with mistakes; questions that cannot be put, each mistake at its place.
pub fn run(
    dir: &Path,
    organisation: Option<&Path>,
    files: &[NamedFile],
    regions: Option<&Regions>,
) -> Result<Vec<CaseResult>, CaseError> {
    let mut policies: BTreeMap<PathBuf, Arc<Checked>> = BTreeMap::new();
    let mut results = Vec::new();
    for file in files {
        let path = file.organisation.as_deref().or(organisation);
        let path = path.ok_or_else(|| CaseError::NoOrganisation {
            path: file.shown.clone(),
        })?;
        let policy = match policies.get(path) {
            Some(known) => Arc::clone(known),
            None => {
                let loaded = Arc::new(load_bound(dir, path, regions)?);
                policies.insert(path.to_owned(), Arc::clone(&loaded));
                loaded
            }
        };
        let mut asked = Asked::new(&policy);
        asked.puts_all(file)?;
        results.extend(file.cases.iter().map(|c| CaseResult {
            file: file.shown.clone(),
            ..asked.try_case(c, regions)
        }));
    }
    Ok(results)
}

/// One policy with its tables at the instants that cases have asked about.
pub struct Asked {
    policy: Arc<Checked>,
    compiled: BTreeMap<Timestamp, Compiled>,
}

fn load_bound(
    dir: &Path,
    organisation: &Path,
    regions: Option<&Regions>,
) -> Result<Checked, Refused> {
    let faults = Faults::new();
    let checked = load(dir, organisation, &faults).map(|c| match regions {
        // An example's homes need not be the settings': its cases ask for no region then.
        Some(regions) => c.bind(regions, &Faults::new()),
        None => c,
    });
    checked.ok_or_else(|| Refused(faults.into_sorted()))
}

impl Asked {
    pub fn new(policy: &Arc<Checked>) -> Self {
        Self {
            policy: Arc::clone(policy),
            compiled: BTreeMap::new(),
        }
    }

    /// # Errors
    /// Questions of the file that cannot be put, such as of an entity that nobody knows: a mistake in
    /// the file, and no answer of the policy's.
    fn puts_all(&mut self, file: &NamedFile) -> Result<(), Refused> {
        let faults = Faults::new();
        let mut tree = None;
        for (number, case) in file.cases.iter().enumerate() {
            let at = case.question.at;
            let policy = &self.policy;
            let compiled = self.compiled.entry(at);
            let compiled = compiled.or_insert_with(|| policy.compile(at));
            let Err(told) = compiled.resolve(&case.question) else {
                continue;
            };
            let tree =
                tree.get_or_insert_with(|| Node::load(Path::new(&file.shown), &Faults::new()));
            for one in told.iter() {
                let steps = one.pointer.split('/').skip(1);
                let number = number.to_string();
                let way = ["case", &number, "question"].into_iter().chain(steps);
                let at = match &tree {
                    Some(tree) => tree.nearest(way).clone(),
                    None => Where::Path(file.shown.clone()),
                };
                faults.error(&at, format!("the question cannot be put: {}", one.fault));
            }
        }
        let faults = faults.into_sorted();
        match faults.is_empty() {
            true => Ok(()),
            false => Err(Refused(faults)),
        }
    }

    /// The laws that govern what a case asks, and the rules that they name in the answer.
    pub fn governed(&mut self, case: &Case) -> (Vec<String>, Vec<String>) {
        let at = case.question.at;
        let policy = &self.policy;
        let compiled = self
            .compiled
            .entry(at)
            .or_insert_with(|| policy.compile(at));
        let Ok(query) = compiled.resolve(&case.question) else {
            return (Vec::new(), Vec::new());
        };
        let verdict = decide(compiled, &query);
        let found = answer(compiled, &query, &verdict, None).laws;
        let rules = found.iter().flat_map(|l| &l.rules);
        let rules = rules.map(|r| r.id.clone()).collect();
        (found.into_iter().map(|l| l.law).collect(), rules)
    }

    /// One case against the policy.
    pub fn try_case(&mut self, case: &Case, regions: Option<&Regions>) -> CaseResult {
        let at = case.question.at;
        let compiled = self
            .compiled
            .entry(at)
            .or_insert_with(|| self.policy.compile(at));
        let differences = match compiled.resolve(&case.question) {
            Ok(query) => {
                let verdict = decide(compiled, &query);
                compare(&case.expect, &answer(compiled, &query, &verdict, regions))
            }
            Err(fault) => vec![Difference {
                field: "question",
                expected: "one that can be put".to_owned(),
                found: fault.to_string(),
            }],
        };
        CaseResult {
            file: String::new(),
            name: case.name.clone(),
            source: case.source.clone(),
            passed: differences.is_empty(),
            differences,
        }
    }
}

fn compare(expect: &Expect, answer: &Answer) -> Vec<Difference> {
    let mut all = Vec::new();
    let mut differ = |field, expected: String, found: String| {
        all.push(Difference {
            field,
            expected,
            found,
        });
    };
    let found = match answer.outcome {
        Outcome::Permit => Expected::Permit,
        Outcome::Refuse => Expected::Refuse,
    };
    if found != expect.outcome {
        let word = |o| match o {
            Expected::Permit => "permit",
            Expected::Refuse => "refuse",
        };
        differ("outcome", word(expect.outcome).into(), word(found).into());
    }
    let module = |m: Option<u8>| m.map(|m| m.to_string());
    for (field, wanted, got) in [
        (
            "mechanism",
            expect.mechanism.clone(),
            answer.mechanism.clone(),
        ),
        ("rule", expect.rule.clone(), answer.rule.clone()),
        ("module", module(expect.module), module(answer.module)),
        (
            "instrument",
            expect.instrument.clone(),
            answer.instrument.clone(),
        ),
        ("region", expect.region.clone(), answer.region.clone()),
    ] {
        if let Some(wanted) = wanted
            && got.as_ref() != Some(&wanted)
        {
            differ(field, wanted, got.unwrap_or_else(|| "none".to_owned()));
        }
    }
    if let Some(duty) = &expect.duty
        && !answer.duties.contains(duty)
    {
        differ("duty", duty.clone(), listed(&answer.duties));
    }
    if let Some(wanted) = &expect.missing {
        let mut names: Vec<String> = Vec::new();
        for missing in &answer.missing {
            if !names.contains(&missing.mechanism) {
                names.push(missing.mechanism.clone());
            }
        }
        let good = match wanted.is_empty() {
            true => names.is_empty(),
            false => wanted.iter().all(|w| names.contains(w)),
        };
        if !good {
            differ("missing", listed(wanted), listed(&names));
        }
    }
    if let Some(wanted) = &expect.observed {
        let mut wanted = wanted.clone();
        let mut found: Vec<String> = answer.observed.iter().map(|o| o.rule.clone()).collect();
        wanted.sort();
        found.sort();
        if wanted != found {
            differ("observed", listed(&wanted), listed(&found));
        }
    }
    all
}

fn listed(names: &[String]) -> String {
    match names {
        [] => "none".to_owned(),
        names => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ObservedRule;

    fn found() -> Answer {
        Answer {
            outcome: Outcome::Permit,
            region: Some("sg".into()),
            mechanism: Some("scc".into()),
            module: Some(2),
            instrument: Some("eu-sg".into()),
            rule: Some("eu-scc".into()),
            citation: None,
            laws: Vec::new(),
            promises: Vec::new(),
            duties: vec!["log-transfer".into()],
            missing: Vec::new(),
            observed: vec![ObservedRule {
                rule: "in-telecom".into(),
                citation: String::new(),
                outcome: Outcome::Refuse,
            }],
            holds: Vec::new(),
            policy: String::new(),
        }
    }

    #[test]
    fn each_expectation_is_compared() {
        let good = Expect {
            outcome: Expected::Permit,
            mechanism: Some("scc".into()),
            rule: Some("eu-scc".into()),
            module: Some(2),
            instrument: Some("eu-sg".into()),
            region: Some("sg".into()),
            duty: Some("log-transfer".into()),
            missing: Some(Vec::new()),
            observed: Some(vec!["in-telecom".into()]),
        };
        assert_eq!(compare(&good, &found()), []);
        let text = |s: &str| Some(s.to_owned());
        let wrong: [(&str, Expect); 10] = [
            (
                "outcome",
                Expect {
                    outcome: Expected::Refuse,
                    ..good.clone()
                },
            ),
            (
                "mechanism",
                Expect {
                    mechanism: text("bcr"),
                    ..good.clone()
                },
            ),
            (
                "rule",
                Expect {
                    rule: text("eu-bcr"),
                    ..good.clone()
                },
            ),
            (
                "module",
                Expect {
                    module: Some(1),
                    ..good.clone()
                },
            ),
            (
                "instrument",
                Expect {
                    instrument: text("other"),
                    ..good.clone()
                },
            ),
            (
                "region",
                Expect {
                    region: text("eu"),
                    ..good.clone()
                },
            ),
            (
                "duty",
                Expect {
                    duty: text("inform"),
                    ..good.clone()
                },
            ),
            (
                "observed",
                Expect {
                    observed: Some(Vec::new()),
                    ..good.clone()
                },
            ),
            (
                "observed",
                Expect {
                    observed: Some(vec!["in-telecom".into(), "in-payment".into()]),
                    ..good.clone()
                },
            ),
            (
                "missing",
                Expect {
                    missing: Some(vec!["scc".into()]),
                    ..good.clone()
                },
            ),
        ];
        for (field, expect) in wrong {
            let told = compare(&expect, &found());
            assert_eq!(told.len(), 1, "{field}");
            assert_eq!(told[0].field, field);
        }
    }
}
