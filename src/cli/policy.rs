//! `domicile policy`: check the files, ask them.

use std::{
    io::{Read, stdin},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Ended, Failure,
    args::{self, Explain, PolicyCommand, PolicyFiles},
    check::show,
    policy_tools, print_line,
};
use crate::{
    decide::{ExplainError, explain_with},
    document::{Fault, Faults, Where},
    domain::{Answer, Outcome, Question, Region, Regions},
    policy::{self, Checked},
    router::running::render,
    telemetry::clock,
};

pub fn policy(args: &args::Policy) -> Result<Ended, Failure> {
    match &args.command {
        PolicyCommand::Check(files) => check(files),
        PolicyCommand::Explain(args) => explain(args),
        PolicyCommand::Matrix(args) => policy_tools::matrix(args),
        PolicyCommand::Test(args) => policy_tools::test(args),
        PolicyCommand::Prove(args) => policy_tools::prove(args),
        PolicyCommand::Diff(args) => policy_tools::diff(args),
        PolicyCommand::Mutants(args) => policy_tools::mutants(args),
    }
}

pub(super) fn load(files: &PolicyFiles, faults: &Faults) -> Option<Checked> {
    let organisation: PathBuf = match &files.organisation {
        Some(path) => path.clone(),
        None => files.policies.join("organisation.toml"),
    };
    if files.organisation.is_none() && files.policies.is_dir() && !organisation.exists() {
        faults.error_hint(
            &Where::Path(organisation.display().to_string()),
            "there is no organisation file",
            "write one (docs/policy-files.md, policies/examples), or name one with --organisation",
        );
        return None;
    }
    policy::load(&files.policies, &organisation, faults).filter(|_| !faults.has_errors())
}

fn check(files: &PolicyFiles) -> Result<Ended, Failure> {
    let faults = Faults::new();
    let checked = load(files, &faults);
    if let Some(checked) = &checked {
        checked.warnings(clock::today(), &faults);
    }
    let faults = faults.into_sorted();
    let digest = checked.as_ref().map(|c| c.digest().to_string());
    if files.json {
        print_line(&serde_json::json!({ "faults": faults, "policy": digest }).to_string());
    } else {
        show(&faults);
        if let Some(digest) = &digest {
            print_line(&format!("policy {digest}"));
        }
    }
    match checked {
        Some(_) => Ok(Ended::Good),
        None => Err(mistakes(&faults)),
    }
}

pub(super) fn mistakes(faults: &[Fault]) -> Failure {
    let count = faults.iter().filter(|f| f.is_error()).count();
    format!("{count} mistake(s) in the policy").into()
}

fn explain(args: &Explain) -> Result<Ended, Failure> {
    let faults = Faults::new();
    let checked = load(&args.files, &faults);
    let Some(checked) = checked else {
        let faults = faults.into_sorted();
        return Err(format!("{}\n\n{}", mistakes(&faults), render(&faults, false)).into());
    };
    let regions = args.config.as_deref().map(regions).transpose()?;
    let checked = Arc::new(match &regions {
        Some(regions) => checked.bind(regions, &Faults::new()),
        None => checked,
    });
    let input = read_input(&args.input)?;
    if args.batch {
        for (number, line) in (1..)
            .zip(input.lines())
            .filter(|(_, l)| !l.trim().is_empty())
        {
            let answer = answer(&checked, line, regions.as_ref())
                .map_err(|e| format!("line {number}: {e}"))?;
            print_line(&serde_json::to_string(&answer)?);
        }
        return Ok(Ended::Good);
    }
    let answer = answer(&checked, &input, regions.as_ref())?;
    if args.files.json {
        print_line(&serde_json::to_string(&answer)?);
    } else {
        tell(&answer);
    }
    Ok(Ended::Good)
}

fn answer(
    checked: &Arc<Checked>,
    text: &str,
    regions: Option<&Regions>,
) -> Result<Answer, Failure> {
    let question = Question::from_json(text.as_bytes())
        .map_err(|e| format!("the question cannot be read: {e}"))?;
    explain_with(checked, &question, regions)
        .map_err(|e| Failure::from(ExplainError::Question(e).to_string()))
}

fn read_input(path: &Path) -> Result<String, Failure> {
    if path == Path::new("-") {
        let mut text = String::new();
        stdin().lock().read_to_string(&mut text)?;
        return Ok(text);
    }
    std::fs::read_to_string(path).map_err(|e| format!("cannot read {}: {e}", path.display()).into())
}

pub(super) fn regions(config: &Path) -> Result<Regions, Failure> {
    let settings = super::key::settings(config)?;
    let regions = settings.regions.iter().map(|r| Region {
        name: Arc::clone(&r.name),
        place: r.place,
        entity: Arc::clone(&r.entity),
    });
    Ok(Regions::new(regions.collect()))
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
    for duty in &answer.duties {
        print_line(&format!("  duty {duty}"));
    }
    print_line(&format!("  policy {}", answer.policy));
}
