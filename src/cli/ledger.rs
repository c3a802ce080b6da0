//! `domicile ledger`: verify and read what was decided.

use std::time::Duration;

use serde_json::json;

use super::{
    Ended, Failure,
    args::{self, LedgerCommand},
    eprint_line, is_unread, ledger_proofs, print_line,
};
use crate::attest::{self, Damage, Entry, Follow, LedgerError};

pub fn ledger(args: &args::Ledger) -> Result<Ended, Failure> {
    match &args.command {
        LedgerCommand::Verify(args) => verify(args),
        LedgerCommand::Tail(args) => tail(args),
        LedgerCommand::Keygen(args) => ledger_proofs::keygen(args),
        LedgerCommand::Export(args) => ledger_proofs::export(args),
        LedgerCommand::Prove(args) => ledger_proofs::prove(args),
    }
}

/// Exits 1 with the place of the damage; 2 when there is no ledger to judge.
fn verify(args: &args::Verify) -> Result<Ended, Failure> {
    match attest::verify(&args.folder) {
        Ok(report) => {
            if args.json {
                print_line(&json!({ "verified": true, "report": report }).to_string());
            } else {
                print_line(&report.to_string());
            }
            Ok(Ended::Good)
        }
        Err(LedgerError::Damaged(damage)) => {
            if args.json {
                print_line(&json!({ "verified": false, "damage": damage }).to_string());
            } else {
                print_line(&format!("the ledger does not verify: {damage}"));
            }
            Ok(Ended::No)
        }
        Err(error) => Err(error.into()),
    }
}

/// Damage is an answer, as it is to `verify`; entries alone go to standard output.
fn no_further(damage: &Damage) -> Ended {
    eprint_line(&format!("error: the ledger does not verify: {damage}"));
    Ended::No
}

/// Exits 1 where there is damage, after the entries before it.
fn tail(args: &args::Tail) -> Result<Ended, Failure> {
    let folder = &args.folder;
    let show = |entries: &[Entry]| {
        for entry in entries {
            if args.json {
                print_line(&serde_json::to_string(entry).unwrap_or_default());
            } else {
                print_line(&entry.to_string());
            }
        }
    };
    let (entries, damage) = attest::tail_until_damage(folder, args.lines)?;
    show(&entries);
    if let Some(damage) = damage {
        return Ok(no_further(&damage));
    }
    if !args.follow {
        return Ok(Ended::Good);
    }
    let after = match entries.last() {
        Some(last) => last.seq,
        None => attest::acknowledged(folder)?,
    };
    let mut follow = Follow::new(folder, after);
    while !is_unread() {
        let news = match follow.news() {
            Err(LedgerError::Damaged(damage)) => return Ok(no_further(&damage)),
            news => news?,
        };
        if news.is_empty() {
            std::thread::sleep(Duration::from_millis(200));
        }
        show(&news);
    }
    Ok(Ended::Good)
}
