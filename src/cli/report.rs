//! `domicile report`: what the ledger shows to an authority, a person or a lawyer.

use std::{
    io::{self, BufWriter, Write},
    path::PathBuf,
};

use serde::Serialize;

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
    clock,
    document::Faults,
    domain::SubjectKey,
    locate::keys_of_one,
    policy::{self, Checked},
    report::{
        self, Asked, Citations, Hit, Reading, Region, Register, Scope, Sheet, Span, SpanError, Who,
        render,
    },
    router::running::render as render_faults,
    settings::Settings,
};

pub fn report(args: &Report) -> Result<Ended, Failure> {
    match &args.command {
        ReportCommand::Transfers(args) => transfers(args),
        ReportCommand::Subject(args) => subject(args),
        ReportCommand::Instruments(args) => instruments(args),
        ReportCommand::Incident(args) => incident(args),
    }
}

fn transfers(args: &args::Transfers) -> Result<Ended, Failure> {
    let span = span(&args.times)?;
    let from = From::of(&args.source)?;
    let settings = from.settings.as_ref();
    let region = args.region.as_deref().map(|name| region(settings, name));
    let asked = Asked {
        span,
        region,
        law: args.law.clone(),
        instrument: args.instrument.clone(),
        all: args.all,
    };
    let report = report::Transfers::read(&from.ledger, asked, &Scope::whole())?;
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
    let report = report::Subject::read(&from.ledger, who, span, &Scope::whole())?;
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

fn incident(args: &args::Incident) -> Result<Ended, Failure> {
    let span = span(&args.times)?;
    if args.region.is_none() && args.instrument.is_none() && !span.is_bounded() {
        return Err(
            "say what was hit: --region REGION, --instrument ID, or the time (--since, --until)"
                .into(),
        );
    }
    let from = From::of(&args.source)?;
    let (Some(settings), Some(policy)) = (&from.settings, &from.policy) else {
        return Err("what each law wants stands in the policies: give --config FILE".into());
    };
    let told = |error: SpanError| error.to_string();
    let now = clock::now();
    let aware = span.start(now, "aware", &args.aware).map_err(told)?;
    let assessed = args.assessed.as_deref();
    let assessed = assessed.map(|text| span.start(now, "assessed", text));
    let hit = Hit {
        region: args
            .region
            .as_deref()
            .map(|name| region(Some(settings), name)),
        instrument: args.instrument.clone(),
        part: args.part.as_deref().map(part).transpose()?,
        aware,
        assessed: assessed.transpose().map_err(told)?,
        span,
    };
    let report = report::Incident::read(&from.ledger, hit)?;
    known(&report, settings, policy)?;
    if args.source.format == Format::Csv {
        return write(&report.reading, |out| report.csv(out));
    }
    print(
        args.source.format,
        &report.reading,
        || report.json(policy),
        || report.sheet(policy),
    )
}

fn region(settings: Option<&Settings>, name: &str) -> Region {
    match settings {
        Some(settings) => Region::of(settings, name),
        None => Region::unknown(name),
    }
}

/// That nobody was hit must not come of a slip of the pen.
fn known(report: &report::Incident, settings: &Settings, policy: &Checked) -> Result<(), Failure> {
    let hit = &report.hit;
    if report.is_named || report.reading.damage.is_some() {
        return Ok(());
    }
    if let Some(region) = hit.region.as_ref().filter(|region| region.place.is_none()) {
        let known: Vec<&str> = settings.regions.iter().map(|r| r.name.as_ref()).collect();
        let (name, known) = (&region.name, known.join(", "));
        return Err(format!(
            "`{name}` is no region of settings or ledger; the settings name {known}"
        )
        .into());
    }
    let is = |id: &&str| policy.instruments().any(|(_, i)| *i.id == **id);
    match hit.instrument.as_deref().filter(|id| !is(id)) {
        Some(id) => Err(format!(
            "`{id}` is no instrument of the organisation's file or of the ledger; `domicile report instruments` lists them"
        )
        .into()),
        None => Ok(()),
    }
}

fn part(text: &str) -> Result<(u32, u32), Failure> {
    let read = || {
        let (part, of) = text.split_once('/')?;
        let (part, of): (u32, u32) = (part.parse().ok()?, of.parse().ok()?);
        (1..=of)
            .contains(&part)
            .then_some((part, of))
            .filter(|(_, of)| *of <= 1_000)
    };
    read().ok_or_else(|| format!("`{text}` is no part: write 1/4 to 4/4 for four of them").into())
}

fn span(times: &Times) -> Result<Span, Failure> {
    let (since, until) = (times.since.as_deref(), times.until.as_deref());
    let zone = times.zone.as_deref();
    Span::new(clock::now(), since, until, zone).map_err(|error| format!("{error}").into())
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

fn print<T: Serialize>(
    format: Format,
    reading: &Reading,
    json: impl FnOnce() -> T,
    sheet: impl FnOnce() -> Sheet,
) -> Result<Ended, Failure> {
    write(reading, |out| match format {
        Format::Json => {
            serde_json::to_writer_pretty(&mut *out, &json())?;
            writeln!(out)
        }
        Format::Text => render::text(&sheet(), out),
        Format::Csv => render::csv(&sheet(), out),
        Format::Html => render::html(&sheet(), out),
    })
}

/// Exits 1 where the ledger does not verify: then standard error says so, too, for CSV has no head.
fn write(
    reading: &Reading,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<Ended, Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    if let Err(error) = write(&mut out).and_then(|()| out.flush()) {
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
