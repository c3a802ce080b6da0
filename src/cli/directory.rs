//! `domicile directory import`: existing records get their pins.

use std::{io::stdin, sync::Arc};

use super::{Ended, Failure, args, eprint_line, key::settings, print_line};
use crate::{locate::import_ids, router::running::caught_up, telemetry::log};

/// Lines of ids with another home that are told one by one.
const TOLD: usize = 100;

/// Exits 1 when an id has another home: the first writer wins, and a person must settle it.
pub fn directory(args: &args::Directory) -> Result<Ended, Failure> {
    let args::DirectoryCommand::Import(args) = &args.command;
    let settings = settings(&args.config)?;
    let Some(region) = settings.regions.iter().find(|r| *r.name == *args.region) else {
        let known: Vec<&str> = settings.regions.iter().map(|r| r.name.as_ref()).collect();
        let known = known.join(", ");
        return Err(format!("`{}` is no region; the settings name {known}", args.region).into());
    };
    known_namespace(&settings, &args.namespace)?;
    // What is found amiss with the ledger is told as at a start.
    log::start(&settings.log)?;
    let (directory, hasher) = caught_up(&settings)?;
    let region: Arc<str> = Arc::clone(&region.name);
    let mut told = 0;
    let report = import_ids(
        &directory,
        &hasher,
        &args.namespace,
        &region,
        stdin().lock(),
        |line, home| {
            told += 1;
            // The id itself is personal data; whoever has the list finds it by its line.
            if told <= TOLD {
                eprint_line(&format!("line {line}: has its home in {home} and keeps it"));
            }
        },
    )?;
    if told > TOLD {
        eprint_line(&format!("and {} more", told - TOLD));
    }
    print_line(&format!(
        "{} ids read: {} pinned to {region}, {} had this home already, {} have another home and keep it",
        report.read, report.added, report.standing, report.elsewhere
    ));
    Ok(if report.elsewhere > 0 {
        Ended::No
    } else {
        Ended::Good
    })
}

/// A mistyped namespace would pin people whom no route ever asks for.
pub fn known_namespace(
    settings: &crate::settings::Settings,
    namespace: &str,
) -> Result<(), Failure> {
    if settings.routes.iter().any(|r| *r.namespace == *namespace) {
        return Ok(());
    }
    let mut known: Vec<&str> = settings
        .routes
        .iter()
        .map(|r| r.namespace.as_ref())
        .collect();
    known.sort_unstable();
    known.dedup();
    Err(format!(
        "no route has the namespace `{namespace}`; the settings name {}",
        known.join(", ")
    )
    .into())
}
