//! The command `domicile`. Exit codes: 0 good, 1 the answer is no or the router failed while it ran,
//! 2 wrong usage or settings, or an answer that could not be written.

mod args;
mod check;
mod demo;
mod directory;
mod key;
mod ledger;
mod ledger_proofs;
mod policy;
mod policy_tools;
mod probe;
mod report;
mod report_args;
mod run;
mod scan;
mod store;

use std::{
    io,
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
};

use clap::Parser;

use args::{Args, Command};

use crate::telemetry::log;

/// How a command ended, when it could be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Good,
    /// The answer is no: a ledger does not verify, a policy test fails.
    No,
    /// The router was at work and ended with a failure of the machine, which was told; whoever
    /// supervises it may start it anew.
    Failed,
}

/// Why a command could not be carried out; said on standard error, exit code 2.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

pub fn main() -> ExitCode {
    let _log = log::ClosedAtEnd;
    crate::tls::install_provider();
    let ended = match Args::parse().command {
        Command::Demo(args) => demo::demo(args),
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::check(&args),
        Command::Policy(args) => policy::policy(&args),
        Command::Ledger(args) => ledger::ledger(&args),
        Command::Directory(args) => directory::directory(&args),
        Command::Key(args) => key::key(&args),
        Command::Probe(args) => probe::probe(&args),
        Command::Store(args) => store::store(args),
        Command::Scan(args) => scan::scan(&args),
        Command::Report(args) => report::report(&args),
    };
    match ended {
        Ok(_) if UNWRITTEN.load(Ordering::Relaxed) => ExitCode::from(2),
        Ok(Ended::Good) => ExitCode::SUCCESS,
        Ok(Ended::No | Ended::Failed) => ExitCode::from(1),
        Err(failure) => {
            eprint_line(&format!("error: {failure}"));
            ExitCode::from(2)
        }
    }
}

/// Standard output is of no more use: its reader has gone, or it cannot be written.
static UNREAD: AtomicBool = AtomicBool::new(false);
/// Standard output could not be written, and that was told.
static UNWRITTEN: AtomicBool = AtomicBool::new(false);

/// To standard output. Where that fails the command goes on to its verdict, which its exit code
/// says. A reader that has gone (a closed pipe) is no failure, as it is none for other tools; after
/// any other error the code is 2, since the answer was not given.
fn print_line(line: &str) {
    use std::io::Write;
    if is_unread() {
        return;
    }
    if let Err(error) = writeln!(std::io::stdout().lock(), "{line}") {
        unread(&error);
    }
}

/// Whether nothing more has to be printed.
fn is_unread() -> bool {
    UNREAD.load(Ordering::Relaxed)
}

fn unread(error: &io::Error) {
    UNREAD.store(true, Ordering::Relaxed);
    if error.kind() != io::ErrorKind::BrokenPipe {
        UNWRITTEN.store(true, Ordering::Relaxed);
        eprint_line(&format!(
            "error: standard output cannot be written: {error}"
        ));
    }
}

/// To standard error. A command that has a log does not wait for its reader.
fn eprint_line(line: &str) {
    log::say(line);
}
