//! `domicile policy test|matrix|diff|prove`: what the library found, for people or as JSON.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::{Timestamp, civil::Date};

use super::{
    Ended, Failure,
    args::{Diff, Matrix, Mutants, PolicyFiles, PolicyTest, Prove},
    eprint_line, policy, print_line,
};
use crate::{
    clock,
    document::{Faults, Refused, Source, place_of_word, read_text},
    prove::{
        cases, diff,
        files::Files,
        judge, matrix, mutants,
        property::{Properties, PropertyError},
        prove as proof,
        prove::Untrue,
    },
};

pub fn test(args: &PolicyTest) -> Result<Ended, Failure> {
    let dir = &args.files.policies;
    let folder = args.cases.clone().unwrap_or_else(|| dir.join("tests"));
    let regions = args.config.as_deref().map(policy::regions).transpose()?;
    let own = dir.join("organisation.toml");
    let organisation = args
        .files
        .organisation
        .as_deref()
        .or(own.exists().then_some(own.as_path()));
    let json = args.files.json;
    let files = cases::read_folder(&folder).map_err(broken_cases(json))?;
    let results = cases::run(dir, organisation, &files, regions.as_ref());
    let results = results.map_err(broken_cases(json))?;
    let failed = results.iter().filter(|r| !r.passed).count();
    let passed = results.len() - failed;
    if args.files.json {
        let all = serde_json::json!({ "passed": passed, "failed": failed, "cases": results });
        print_line(&all.to_string());
    } else {
        for result in results.iter().filter(|r| !r.passed) {
            print_line(&format!("{}: {}", result.file, result.name));
            print_line(&format!("  source: {}", result.source));
            for d in &result.differences {
                print_line(&format!("  - {}: {}", d.field, d.expected));
                print_line(&format!("  + {}: {}", d.field, d.found));
            }
        }
        print_line(&format!("{passed} passed, {failed} failed"));
    }
    Ok(if failed == 0 { Ended::Good } else { Ended::No })
}

pub fn prove(args: &Prove) -> Result<Ended, Failure> {
    let files = files(&args.files)?;
    let json = args.files.json;
    let properties = properties(&args.files.policies, args.properties.as_ref(), json)?;
    let path = properties_path(&args.files.policies, args.properties.as_ref());
    let report = proof::prove(&files, &properties, None).map_err(|e| unproven(e, &path, json))?;
    if args.files.json {
        print_line(&serde_json::to_string(&report)?);
    } else {
        for property in &report.properties {
            let held = if property.held { "holds" } else { "BROKEN" };
            print_line(&format!("{held:<6} {}: {}", property.name, property.text));
            if let Some(example) = &property.counterexample {
                let law = example.law.as_deref().map(|l| format!("{l}: "));
                print_line(&format!(
                    "       {}{}",
                    law.unwrap_or_default(),
                    example.said
                ));
                if !example.question.is_null() {
                    print_line(&format!("       {}", example.question));
                }
            }
        }
        let held = report.properties.iter().filter(|p| p.held).count();
        let broken = report.properties.len() - held;
        print_line(&format!(
            "{:.1e} single flows in {} classes, of {} laws on {} days ({} differ); {} questions asked, {} of them under several laws",
            report.raw_flows,
            report.classes,
            report.laws,
            report.days,
            report.scenes,
            report.questions,
            report.composed,
        ));
        if !report.bounded.is_empty() {
            let laws: Vec<&str> = report.bounded.iter().map(String::as_str).collect();
            print_line(&format!(
                "not all sets of categories, or sums of counts, were looked at for: {}",
                laws.join(", ")
            ));
        }
        print_line(&format!("{held} hold, {broken} broken"));
    }
    disagreeing(&report.untrue)?;
    Ok(if report.held() {
        Ended::Good
    } else {
        Ended::No
    })
}

pub fn matrix(args: &Matrix) -> Result<Ended, Failure> {
    let checked = files(&args.files)?.check().map_err(told(args.files.json))?;
    let asked = matrix::Asked::new(&checked, &args.operation, args.categories.clone())?;
    let at: Timestamp = match &args.at {
        Some(text) => text
            .parse()
            .map_err(|_| format!("`{text}` is no instant such as 2026-11-21T12:00:00Z"))?,
        None => clock::now(),
    };
    let all = matrix::Matrix::new(&checked.compile(at), &asked);
    if args.files.json {
        print_line(&serde_json::to_string(&all)?);
    }
    let rows = all.laws;
    if args.files.json {
        let faults: Vec<Untrue> = rows.into_iter().filter_map(|r| r.fault).collect();
        return disagreeing(&faults).map(|()| Ended::Good);
    }
    print_line(&format!(
        "{} of {} at {at}",
        args.operation,
        args.categories.join(", ")
    ));
    for row in &rows {
        print_line(&format!("{} ({})", row.law, row.name));
        for cell in &row.cells {
            let mut to = shortened(&cell.destinations).replace(", ", " ");
            for promise in &cell.promises {
                let some = cell.promised_to.iter().find(|p| p.promise == *promise);
                let whose = some.map(|p| format!(", of {}", shortened(&p.people)));
                let whose = whose.unwrap_or_default();
                to.push_str(&format!(" (against promise {promise}{whose})"));
            }
            for hold in &cell.holds {
                to.push_str(&format!(" (against hold {hold})"));
            }
            if cell.open.is_empty() {
                print_line(&format!("  closed  {to}"));
                continue;
            }
            print_line(&format!("  to      {to}"));
            for open in &cell.open {
                let mut text = format!("          {} ({})", open.mechanism, open.rule);
                if let Some(instrument) = &open.instrument {
                    text.push_str(&format!(" under {instrument}"));
                }
                if !open.needs.is_empty() {
                    text.push_str(&format!("; needs {}", open.needs.join("; ")));
                }
                print_line(&text);
            }
        }
        for held in &row.holds {
            let whom = match (held.single_people, held.people.is_empty()) {
                (0, true) => "everybody".to_owned(),
                (0, false) => format!("people of {}", held.people.join(" ")),
                (many, true) => format!("{many} single people"),
                (many, false) => format!("{many} single people, of {}", held.people.join(" ")),
            };
            let (id, citation) = (&held.id, &held.citation);
            let what = held.categories.join(" ");
            let mut text = format!("  held    {whom} ({id}, {citation}): {what}");
            if let Some(until) = held.until {
                text.push_str(&format!("; until {until}"));
            }
            print_line(&text);
        }
        for kept in &row.retention {
            let edge = if kept.least { "at least" } else { "at most" };
            let (keep, what) = (&kept.keep, kept.categories.join(" "));
            let mut text = format!("  kept    {edge} {keep} ({}): {what}", kept.id);
            if let Some(source) = &kept.source {
                text.push_str(&format!("; {source}"));
            }
            print_line(&text);
        }
    }
    let faults: Vec<Untrue> = rows.into_iter().filter_map(|r| r.fault).collect();
    disagreeing(&faults).map(|()| Ended::Good)
}

pub fn diff(args: &Diff) -> Result<Ended, Failure> {
    let load = |dir: &PathBuf| {
        let files = PolicyFiles {
            policies: dir.clone(),
            organisation: args.organisation.clone(),
            json: args.json,
        };
        self::files(&files)
    };
    let (old, new) = (load(&args.old)?, load(&args.new)?);
    let found = diff::diff_files(&old, &new).map_err(told(args.json))?;
    if args.json {
        print_line(&serde_json::to_string(&found)?);
    } else {
        found.notes.iter().for_each(|n| print_line(n));
        for key in &found.unmoved {
            print_line(&format!("{key}: differs, moves no flow that was asked"));
        }
        for change in &found.changes {
            print_line(&format!("{}: {}", change.by, change.was));
            print_line(&format!("  -> {}", change.is));
            let spans: Vec<String> = change.days.iter().map(span).collect();
            print_line(&format!(
                "  {}; {:.3e} flows a day",
                spans.join(", "),
                change.flows
            ));
            for (axis, values) in &change.on {
                print_line(&format!("  {axis}: {}", shortened(values)));
            }
        }
    }
    disagreeing(&found.untrue)?;
    Ok(if found.is_empty() {
        Ended::Good
    } else {
        Ended::No
    })
}

fn span((from, until): &(Option<Date>, Option<Date>)) -> String {
    match (from, until) {
        (None, None) => "on all days".to_owned(),
        (Some(from), None) => format!("from {from}"),
        (None, Some(until)) => format!("until {until}"),
        (Some(from), Some(until)) => format!("{from} to {until}"),
    }
}

fn shortened(values: &[String]) -> String {
    const SHOWN: usize = 16;
    let shown: Vec<&str> = values.iter().take(SHOWN).map(String::as_str).collect();
    match values.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Seconds from which a mutant is worth a line of its own.
const SLOW: u64 = 10;

pub fn mutants(args: &Mutants) -> Result<Ended, Failure> {
    let dir = &args.files.policies;
    let own = args.files.organisation.clone();
    let organisation = own.unwrap_or_else(|| dir.join("organisation.toml"));
    let json = args.files.json;
    let cases = cases::read_folder(&dir.join("tests")).map_err(broken_cases(json))?;
    let properties = properties(dir, args.properties.as_ref(), json)?;
    let first = cases.iter().find_map(|c| c.organisation.clone());
    let files =
        Files::load(dir, &first.unwrap_or_else(|| organisation.clone())).map_err(told(json))?;
    let mut all = mutants::mutants(&files, args.sample);
    if let Some(text) = &args.only {
        all.retain(|m| m.said.contains(text.as_str()));
        if all.is_empty() {
            return Err(
                format!("no mutant's name holds `{text}`: give a rule's id or a law's").into(),
            );
        }
    }
    eprint_line(&format!("{} mutants, seed {}", all.len(), mutants::SEED));
    let tally = judge::judge(
        dir,
        &cases,
        Some(&properties),
        &organisation,
        &all,
        &|one, n| {
            let said = match &one.fate {
                judge::Fate::Survived(_) => format!("NOT NOTICED {}", one.mutant),
                judge::Fate::Equivalent(_) => format!("changes no flow: {}", one.mutant),
                _ if one.took.as_secs() >= SLOW => format!("noticed: {}", one.mutant),
                _ if n % 100 == 0 => "judged".to_owned(),
                _ => return,
            };
            let said = match one.took.as_secs() {
                SLOW.. => format!("{said} (took {} s)", one.took.as_secs()),
                _ => said,
            };
            eprint_line(&format!("{n} of {}: {said}", all.len()));
        },
    )
    .map_err(broken_cases(json))?;
    if args.files.json {
        print_line(&serde_json::to_string(&tally)?);
    } else {
        for one in &tally.equivalent {
            print_line(&format!("changes no flow: {}", one.mutant));
            print_line(&format!("  {}", one.reason));
        }
        for survivor in &tally.survivors {
            print_line(&format!("not noticed: {}", survivor.mutant));
            if let Some(flow) = &survivor.flow {
                print_line(&format!("  {}: {}", flow.law, flow.was));
                print_line(&format!("  -> {}", flow.is));
                print_line(&format!("  {}", flow.question));
            }
        }
        print_line(&format!(
            "{} mutants: {} noticed by the reader, {} by cases, {} by properties; {} change no flow; {} not noticed",
            tally.mutants,
            tally.by_check,
            tally.by_test,
            tally.by_prove,
            tally.equivalent.len(),
            tally.survivors.len(),
        ));
        print_line(&format!(
            "{:.1} % of all, and {:.1} % of those that change a flow, were noticed",
            tally.caught_of_all(),
            tally.caught()
        ));
    }
    Ok(if tally.caught() >= 95.0 {
        Ended::Good
    } else {
        Ended::No
    })
}

fn files(files: &PolicyFiles) -> Result<Files, Failure> {
    let own: PathBuf = match &files.organisation {
        Some(path) => path.clone(),
        None => files.policies.join("organisation.toml"),
    };
    Files::load(&files.policies, &own).map_err(told(files.json))
}

fn properties(dir: &Path, named: Option<&PathBuf>, json: bool) -> Result<Properties, Failure> {
    let path = properties_path(dir, named);
    Properties::load(&path).map_err(|error| match error {
        PropertyError::File(refused) => told(json)(refused),
        other => unproven(other.into(), &path, json),
    })
}

fn properties_path(dir: &Path, named: Option<&PathBuf>) -> PathBuf {
    named
        .cloned()
        .unwrap_or_else(|| dir.join("properties.toml"))
}

/// What the classes of a law say counts only where the decision says it too.
fn disagreeing(faults: &[Untrue]) -> Result<(), Failure> {
    if faults.is_empty() {
        return Ok(());
    }
    let each = faults
        .iter()
        .map(|u| format!("{}: {}: {}", u.law, u.said, u.question));
    let each: Vec<String> = each.collect();
    Err(policy::Told(format!(
        "nothing is told of these laws, as the classes and the decision disagree on them:\n{}",
        each.join("\n")
    ))
    .into())
}

fn unproven(error: proof::ProveError, path: &Path, json: bool) -> Failure {
    let said = error.to_string();
    let (property, word) = match &error {
        proof::ProveError::Property(PropertyError::Unknown { property, name, .. }) => {
            (property, name.as_str())
        }
        proof::ProveError::Property(PropertyError::Vacuous { property, kind, .. }) => {
            (property, *kind)
        }
        proof::ProveError::Property(PropertyError::Unread { property, keys, .. }) => {
            (property, keys.first().copied().unwrap_or_default())
        }
        proof::ProveError::NoLaw { property, law } => (property, law.as_str()),
        _ => {
            return match error {
                proof::ProveError::Policy(refused) => told(json)(refused),
                other => other.into(),
            };
        }
    };
    // It stands somewhere after the property's own name.
    let Ok(text) = read_text(path) else {
        return error.into();
    };
    let start = text.find(&format!("\"{property}\"")).unwrap_or(0);
    let source = Arc::new(Source {
        path: path.display().to_string(),
        text,
    });
    let faults = Faults::new();
    let rest = start..source.text.len();
    faults.error(&place_of_word(&source, rest, word), said);
    policy::refused(&faults.into_sorted(), json)
}

fn broken_cases(json: bool) -> impl Fn(cases::CaseError) -> Failure {
    move |error| match error {
        cases::CaseError::Policy(refused) => told(json)(refused),
        other => other.into(),
    }
}

/// The mistakes of files with their places.
fn told(json: bool) -> impl Fn(Refused) -> Failure {
    move |Refused(faults)| policy::refused(&faults, json)
}
