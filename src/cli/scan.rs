//! `domicile scan`: what is in an existing export.

use std::io::{BufWriter, IsTerminal, Write, stdin, stdout};

use super::{Ended, Failure, args, eprint_line, key, print_line, unread};
use crate::{
    clock,
    document::Fault,
    domain::RegionId,
    locate::{Glance, SubjectHasher},
    router::running::render,
    scan::{Form, Report, Scan, Told},
    settings::{PinMode, Secret},
    shared::{Snapshot, snapshot::Broken},
};

/// Bytes of the input that are read at once.
const PIECE: usize = 1 << 18;
/// Broken lines that are told one by one.
const TOLD: usize = 100;

/// Exits 1 unless every line is a record that has a home, lies there (if `--region` says where it
/// lies), and may.
pub fn scan(args: &args::Scan) -> Result<Ended, Failure> {
    let at = clock::now();
    let built = Snapshot::build(&args.config, at, None);
    let built = built.map_err(|Broken(faults)| {
        let errors: Vec<Fault> = faults.into_iter().filter(Fault::is_error).collect();
        format!("the settings are broken\n\n{}", render(&errors, false))
    })?;
    let snapshot = built.snapshot;
    let place = args.region.as_deref();
    let place = place.map(|name| region(&snapshot, name)).transpose()?;
    let form = Form::choose(&snapshot, args.route.as_deref(), args.subject.as_deref())?;
    let mut notes = Vec::new();
    let (hasher, has_own_keys) = hasher(&snapshot, &form, &mut notes)?;
    let directory = directory(&snapshot, &form, has_own_keys, &mut notes);
    let mut scan = Scan {
        snapshot: &snapshot,
        form: &form,
        at,
        place,
        hasher: &hasher,
        has_own_keys,
        directory,
    };
    if stdin().is_terminal() {
        eprint_line("records are read from the terminal, one JSON object a line; end with Ctrl-D");
    }
    let input = std::io::BufReader::with_capacity(PIECE, stdin().lock());
    let mut broken = 0;
    let scanned = if args.each {
        let mut out = BufWriter::new(stdout().lock());
        let mut write = |told: &Told<'_>| {
            let line = serde_json::to_string(told).unwrap_or_default();
            let written = writeln!(out, "{line}");
            written.inspect_err(unread).is_ok()
        };
        let scanned = scan.run(input, &mut write);
        if !super::is_unread()
            && let Err(error) = out.flush()
        {
            unread(&error);
        }
        // What it could not write it must not try again when it goes.
        let _ = out.into_parts();
        scanned?
    } else {
        scan.run(input, &mut |told| {
            if told.outcome == "broken" {
                broken += 1;
                if broken <= TOLD {
                    let detail = told.detail.as_deref().unwrap_or_default();
                    eprint_line(&format!("line {}: {detail}", told.line));
                }
            }
            true
        })?
    };
    if broken > TOLD {
        eprint_line(&format!("and {} more", broken - TOLD));
    }
    let report = Report::of(&scan, scanned, notes);
    if args.json {
        print_line(&serde_json::to_string(&report)?);
    } else if args.each {
        report.lines().iter().for_each(|line| eprint_line(line));
    } else {
        report.lines().iter().for_each(|line| print_line(line));
    }
    Ok(match report.is_good() {
        true => Ended::Good,
        false => Ended::No,
    })
}

fn region(snapshot: &Snapshot, name: &str) -> Result<RegionId, Failure> {
    let known = || -> Vec<&str> { snapshot.regions.iter().map(|(_, r)| &*r.name).collect() };
    snapshot.regions.id(name).ok_or_else(|| {
        let known = known().join(", ");
        format!("`{name}` is no region; the settings name {known}").into()
    })
}

/// The router's own, or before its first start one of this run: people are told apart by it, and no
/// key of it is told.
fn hasher(
    snapshot: &Snapshot,
    form: &Form,
    notes: &mut Vec<String>,
) -> Result<(SubjectHasher, bool), Failure> {
    if !form.left_out.is_empty() {
        notes.push(format!(
            "no evidence here, since only a request answers them: {}",
            form.left_out.join(", ")
        ));
    }
    if form.subject.is_none() {
        notes.push(
            "whose the records are was not read, since the route takes it from the request: name the field of the ids with --subject /POINTER"
                .to_owned(),
        );
    }
    if key::has_secret(&snapshot.settings) {
        return Ok((key::hasher_without_directory(&snapshot.settings)?, true));
    }
    if form.subject.is_some() {
        notes.push("there is no subject-key secret yet, so no keys are told".to_owned());
    }
    let mut own = [0; 32];
    getrandom::fill(&mut own).map_err(|e| format!("no random number for keys: {e}"))?;
    Ok((SubjectHasher::new(&Secret::new(own))?, false))
}

/// Where people are known to have their homes. What cannot be looked into is told, and left out.
fn directory(
    snapshot: &Snapshot,
    form: &Form,
    has_own_keys: bool,
    notes: &mut Vec<String>,
) -> Option<Glance> {
    if form.subject.is_none() || !has_own_keys || form.route.pin == PinMode::Never {
        return None;
    }
    match Glance::open(&snapshot.settings.directory.path) {
        Ok(directory) => directory,
        Err(unseen) => {
            notes.push(format!(
                "homes that people have already (pinned) are left out: the directory {} cannot be read: {unseen}",
                snapshot.settings.directory.path.display()
            ));
            None
        }
    }
}
