//! `domicile policy`: check the files, ask them.

use std::{
    io::{Read, stdin},
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::{Timestamp, civil::Date, tz::TimeZone};

use super::{
    Ended, Failure,
    args::{self, Explain, PolicyCheck, PolicyCommand, PolicyFiles},
    check::show,
    policy_tools, print_line,
};
use crate::{
    clock,
    decide::{explain_with, mistakes as question_mistakes},
    document::{
        Fault, Faults, Source, Where, is_missing, json_fault, read_input as read_file,
        read_json_with,
    },
    domain::{Answer, Outcome, Question, Region, Regions},
    policy::{self, Checked},
    router::running::render,
};

pub fn policy(args: &args::Policy) -> Result<Ended, Failure> {
    let (ended, json) = match &args.command {
        PolicyCommand::Check(args) => (check(args), args.files.json),
        // Of a batch the answers stand there already, a line each.
        PolicyCommand::Explain(args) => (explain(args), args.files.json && !args.batch),
        PolicyCommand::Matrix(args) => (policy_tools::matrix(args), args.files.json),
        PolicyCommand::Test(args) => (policy_tools::test(args), args.files.json),
        PolicyCommand::Prove(args) => (policy_tools::prove(args), args.files.json),
        PolicyCommand::Diff(args) => (policy_tools::diff(args), args.json),
        PolicyCommand::Mutants(args) => (policy_tools::mutants(args), args.files.json),
    };
    if let (Err(failure), true) = (&ended, json)
        && !failure.is::<Told>()
    {
        let fault = serde_json::json!({
            "severity": "error", "file": null, "line": null, "column": null,
            "message": failure.to_string(), "hint": null, "also": [],
        });
        print_line(&serde_json::json!({ "faults": [fault], "policy": null }).to_string());
    }
    ended
}

/// A failure of which standard output has what `--json` promises.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Told(pub String);

pub(super) fn load(files: &PolicyFiles, faults: &Faults) -> Option<Checked> {
    let organisation: PathBuf = match &files.organisation {
        Some(path) => path.clone(),
        None => files.policies.join("organisation.toml"),
    };
    if files.organisation.is_none() && files.policies.is_dir() && is_missing(&organisation) {
        faults.error_hint(
            &Where::Path(organisation.display().to_string()),
            "there is no organisation file",
            "write one (docs/policy-files.md, policies/examples), or name one with --organisation",
        );
        return None;
    }
    policy::load(&files.policies, &organisation, faults).filter(|_| !faults.has_errors())
}

fn check(args: &PolicyCheck) -> Result<Ended, Failure> {
    let day = args.at.as_deref().map(day).transpose()?;
    let regions = args.config.as_deref().map(regions).transpose()?;
    let faults = Faults::new();
    let mut checked = load(&args.files, &faults);
    if let Some(regions) = &regions {
        let bound = checked.map(|c| c.bind(regions, &faults));
        checked = bound.filter(|_| !faults.has_errors());
    }
    if let Some(checked) = &checked {
        checked.warnings(day.unwrap_or_else(clock::today), &faults);
    }
    let faults = faults.into_sorted();
    let digest = checked.as_ref().map(|c| c.digest().to_string());
    if args.files.json {
        print_line(&serde_json::json!({ "faults": faults, "policy": digest }).to_string());
    } else {
        show(&faults);
        let warnings = faults.iter().filter(|f| !f.is_error()).count();
        if let Some(digest) = &digest {
            if warnings > 0 {
                print_line(&format!("{warnings} warning(s); the policy can be used"));
            }
            print_line(&format!("policy {digest}"));
        }
    }
    match checked {
        Some(_) => Ok(Ended::Good),
        None => Err(mistakes(&faults)),
    }
}

/// A day, or the day in UTC of an instant.
fn day(text: &str) -> Result<Date, Failure> {
    let of_instant = |t: Timestamp| t.to_zoned(TimeZone::UTC).date();
    let instant = || text.parse::<Timestamp>().map(of_instant);
    // `2026-11-21T12:00:00` without a zone is neither: a date parser would take its day.
    let plain = text.len() == "2026-11-21".len();
    let read = if plain {
        text.parse::<Date>()
    } else {
        instant()
    };
    read.map_err(|_| {
        format!("`{text}` is neither a day such as 2026-11-21 nor an instant such as 2026-11-21T12:00:00Z").into()
    })
}

/// The mistakes of files, for people on standard error or as JSON on standard output; exit 2.
pub(super) fn refused(faults: &[Fault], json: bool) -> Failure {
    if json {
        print_line(&serde_json::json!({ "faults": faults, "policy": null }).to_string());
        return mistakes(faults);
    }
    format!("{}\n\n{}", mistakes(faults), render(faults, false)).into()
}

pub(super) fn mistakes(faults: &[Fault]) -> Failure {
    let count = faults.iter().filter(|f| f.is_error()).count();
    Told(format!(
        "{count} mistake(s); nothing was asked of the policy"
    ))
    .into()
}

fn explain(args: &Explain) -> Result<Ended, Failure> {
    let faults = Faults::new();
    let checked = load(&args.files, &faults);
    let Some(checked) = checked else {
        return Err(refused(&faults.into_sorted(), args.files.json));
    };
    let regions = args.config.as_deref().map(regions).transpose()?;
    let checked = Arc::new(match &regions {
        Some(regions) => checked.bind(regions, &Faults::new()),
        None => checked,
    });
    let json = args.files.json && !args.batch;
    let source = Arc::new(read_input(&args.input).map_err(|faults| match json {
        true => refused(&faults, true),
        false => format!("the question cannot be read\n\n{}", render(&faults, false)).into(),
    })?);
    if args.batch {
        let mut start = 0;
        for (number, line) in (1..).zip(source.text.split_inclusive('\n')) {
            let range = start..start + line.trim_end().len();
            start += line.len();
            if range.is_empty() {
                continue;
            }
            let answer = answer(&checked, &source, range, regions.as_ref()).map_err(|faults| {
                let told = faults
                    .iter()
                    .map(|f| format!("line {number}: {}", f.summary()));
                told.collect::<Vec<_>>().join("\n")
            })?;
            print_line(&serde_json::to_string(&answer)?);
        }
        return Ok(Ended::Good);
    }
    let whole = 0..source.text.len();
    let answer = match answer(&checked, &source, whole, regions.as_ref()) {
        Ok(answer) => answer,
        Err(faults) if args.files.json => return Err(refused(&faults, true)),
        Err(faults) => {
            return Err(format!("the question cannot be put\n\n{}", render(&faults, false)).into());
        }
    };
    if args.files.json {
        print_line(&serde_json::to_string(&answer)?);
    } else {
        tell(&answer);
    }
    Ok(Ended::Good)
}

/// The answer, or every mistake of the question at its place.
fn answer(
    checked: &Arc<Checked>,
    source: &Arc<Source>,
    range: Range<usize>,
    regions: Option<&Regions>,
) -> Result<Answer, Vec<Fault>> {
    let read = read_json_with(source, range.clone(), |text| {
        Question::from_json(text.as_bytes())
    });
    let first = match read {
        Ok(question) => match explain_with(checked, &question, regions) {
            Ok(answer) => return Ok(answer),
            Err(faults) => json_fault(source, &range, "", &faults.to_string()),
        },
        Err(fault) => fault,
    };
    let text = source.text.get(range.clone()).unwrap_or_default();
    let told = question_mistakes(checked, text).unwrap_or_default();
    // Of a member that stands twice the reader alone knows the place.
    let mut faults: Vec<Fault> = told
        .iter()
        .filter(|m| !m.pointer.is_empty())
        .map(|m| json_fault(source, &range, &m.pointer, &m.message))
        .collect();
    if faults.len() < told.len() || faults.is_empty() {
        faults.push(first);
    }
    Err(faults)
}

/// The questions with the name by which people know where they stand.
fn read_input(path: &Path) -> Result<Source, Vec<Fault>> {
    if path == Path::new("-") {
        let wrong = |message: String| {
            let faults = Faults::new();
            faults.error(&Where::Path("<stdin>".to_owned()), message);
            faults.into_sorted()
        };
        let mut bytes = Vec::new();
        let read = stdin().lock().read_to_end(&mut bytes);
        read.map_err(|e| wrong(format!("standard input cannot be read: {e}")))?;
        let text = String::from_utf8(bytes).map_err(|e| {
            wrong(format!(
                "standard input is not UTF-8 from byte {} on",
                e.utf8_error().valid_up_to() + 1
            ))
        })?;
        return Ok(Source {
            path: "<stdin>".to_owned(),
            text,
        });
    }
    let text = read_file(path).map_err(|fault| vec![fault])?;
    Ok(Source {
        path: path.display().to_string(),
        text,
    })
}

pub(super) fn regions(config: &Path) -> Result<Regions, Failure> {
    let settings = super::key::settings(config)?;
    let regions = settings.regions.iter().map(|r| Region {
        name: Arc::clone(&r.name),
        place: r.place,
        entity: Arc::clone(&r.entity),
    });
    let location = Arc::clone(&settings.location.entity);
    Ok(Regions::new(regions.collect()).read_by(location))
}

/// The answer for people: what was decided, each law's finding, what is missing.
fn tell(answer: &Answer) {
    let outcome = match answer.outcome {
        Outcome::Permit => "permitted",
        Outcome::Refuse => "refused",
    };
    let mut head = outcome.to_owned();
    for (label, value) in [
        (" by ", &answer.mechanism),
        (", instrument ", &answer.instrument),
        (", rule ", &answer.rule),
    ] {
        if let Some(value) = value {
            head.push_str(&format!("{label}{value}"));
        }
    }
    if let Some(citation) = &answer.citation {
        head.push_str(&format!(" ({citation})"));
    }
    print_line(&head);
    for law in &answer.laws {
        let outcome = match law.outcome {
            Outcome::Permit => "permits",
            Outcome::Refuse => "refuses",
        };
        let rules: Vec<String> = law
            .rules
            .iter()
            .map(|r| format!("{} ({})", r.id, r.citation))
            .collect();
        print_line(&format!("  {} {outcome}: {}", law.law, rules.join(", ")));
    }
    for missing in &answer.missing {
        let needs = missing.needs.join(", ");
        print_line(&format!(
            "  {} {} lacks {needs}",
            missing.law, missing.mechanism
        ));
    }
    for observed in &answer.observed {
        let would = match observed.outcome {
            Outcome::Permit => "permit",
            Outcome::Refuse => "refuse",
        };
        let (rule, citation) = (&observed.rule, &observed.citation);
        print_line(&format!("  observed: {rule} would {would} ({citation})"));
    }
    for hold in &answer.holds {
        let (id, citation) = (&hold.id, &hold.citation);
        let keeps = match hold.binds {
            true => "keeps such records",
            false => "keeps such records of single people, who are not asked about here",
        };
        print_line(&format!("  hold {id} {keeps} ({citation})"));
    }
    for duty in &answer.duties {
        print_line(&format!("  duty {duty}"));
    }
    print_line(&format!("  policy {}", answer.policy));
}
