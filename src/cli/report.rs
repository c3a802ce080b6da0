//! `domicile report`: what the ledger shows to an authority, a person or a lawyer.

use std::{
    io::{self, BufWriter, Write},
    path::PathBuf,
};

use serde_json::Value;

use super::{
    Ended, Failure,
    args::LEDGER,
    directory::known_namespace,
    eprint_line,
    key::{hasher_without_directory, settings},
    report_args::{self as args, Format, Report, ReportCommand, Source, Times},
    unread,
};
use crate::{
    document::Faults,
    domain::SubjectKey,
    locate::keys_of_one,
    policy::{self, Checked},
    report::{self, Asked, Citations, Reading, Register, Sheet, Span, Who, render},
    router::running::render as render_faults,
    settings::Settings,
};

pub fn report(args: &Report) -> Result<Ended, Failure> {
    match &args.command {
        ReportCommand::Transfers(args) => transfers(args),
        ReportCommand::Subject(args) => subject(args),
        ReportCommand::Instruments(args) => instruments(args),
    }
}

fn transfers(args: &args::Transfers) -> Result<Ended, Failure> {
    let asked = Asked {
        span: span(&args.times)?,
        region: args.region.clone(),
        law: args.law.clone(),
        instrument: args.instrument.clone(),
        all: args.all,
    };
    let from = From::of(&args.source)?;
    let report = report::Transfers::read(&from.ledger, asked)?;
    let citations = from.citations();
    let json = || report.json(&citations);
    print(args.source.format, &report.reading, json, || {
        report.sheet(&citations)
    })
}

fn subject(args: &args::Subject) -> Result<Ended, Failure> {
    let span = span(&args.times)?;
    let from = From::of(&args.source)?;
    let who = from.who(args)?;
    let report = report::Subject::read(&from.ledger, who, span)?;
    let (citations, register) = (from.citations(), from.register());
    let json = || report.json(&citations, &register);
    print(args.source.format, &report.reading, json, || {
        report.sheet(&citations, &register)
    })
}

fn instruments(args: &args::Instruments) -> Result<Ended, Failure> {
    let span = span(&args.times)?;
    let from = From::of(&args.source)?;
    let report = report::Instruments::read(&from.ledger, span)?;
    let (citations, register) = (from.citations(), from.register());
    let json = || report.json(&citations, &register);
    print(args.source.format, &report.reading, json, || {
        report.sheet(&citations, &register)
    })
}

fn span(times: &Times) -> Result<Span, Failure> {
    let (since, until) = (times.since.as_deref(), times.until.as_deref());
    Span::new(since, until, Some(&times.zone)).map_err(|error| format!("{error}").into())
}

/// What a report is made from.
struct From {
    ledger: PathBuf,
    settings: Option<Settings>,
    policy: Option<Checked>,
}

impl From {
    fn of(source: &Source) -> Result<Self, Failure> {
        let settings = source.config.as_deref().map(settings).transpose()?;
        let policy = settings.as_ref().map(checked).transpose()?;
        let ledger = match (&source.folder, &settings) {
            (Some(folder), _) => folder.clone(),
            (None, Some(settings)) => settings.ledger.clone(),
            (None, None) => PathBuf::from(LEDGER),
        };
        Ok(Self {
            ledger,
            settings,
            policy,
        })
    }

    /// By the keys given, or by the id on standard input.
    fn who(&self, args: &args::Subject) -> Result<Vec<Who>, Failure> {
        if !args.key.is_empty() {
            let keys = args.key.iter().map(|key| SubjectKey::parse(key));
            return Ok(keys
                .map(|key| {
                    key.map(|key| Who {
                        key,
                        namespace: None,
                    })
                })
                .collect::<Result<_, _>>()?);
        }
        let Some(settings) = &self.settings else {
            return Err("keys are made under the router's secret: give --config FILE, or --key KEY in place of the id".into());
        };
        for namespace in &args.namespace {
            known_namespace(settings, namespace)?;
        }
        let hasher = hasher_without_directory(settings)?;
        let namespaces = args.namespace.iter().map(String::as_str);
        let keys = keys_of_one(&hasher, namespaces, io::stdin().lock())?;
        let named = keys.into_iter().zip(&args.namespace);
        let who = |(key, namespace): (SubjectKey, &String)| Who {
            key,
            namespace: Some(namespace.clone()),
        };
        Ok(named.map(who).collect())
    }

    fn register(&self) -> Register {
        self.policy.as_ref().map(Register::of).unwrap_or_default()
    }

    fn citations(&self) -> Citations {
        self.policy.as_ref().map(Citations::of).unwrap_or_default()
    }
}

fn checked(settings: &Settings) -> Result<Checked, Failure> {
    let faults = Faults::new();
    let checked = policy::load(&settings.policies, &settings.organisation, &faults);
    let checked = checked.filter(|_| !faults.has_errors());
    checked.ok_or_else(|| {
        let told = render_faults(&faults.into_sorted(), false);
        format!("the policies are broken\n\n{told}").into()
    })
}

/// Exits 1 where the ledger does not verify: then standard error says so, too, for CSV has no head.
fn print(
    format: Format,
    reading: &Reading,
    json: impl FnOnce() -> Value,
    sheet: impl FnOnce() -> Sheet,
) -> Result<Ended, Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    let written = match format {
        Format::Json => serde_json::to_writer_pretty(&mut out, &json())
            .map_err(io::Error::from)
            .and_then(|()| writeln!(out)),
        Format::Text => render::text(&sheet(), &mut out),
        Format::Csv => render::csv(&sheet(), &mut out),
        Format::Html => render::html(&sheet(), &mut out),
    };
    if let Err(error) = written.and_then(|()| out.flush()) {
        unread(&error);
    }
    match &reading.damage {
        Some(damage) => {
            eprint_line(&format!("error: the ledger does not verify: {damage}"));
            Ok(Ended::No)
        }
        None => Ok(Ended::Good),
    }
}
