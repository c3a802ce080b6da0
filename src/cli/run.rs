//! `domicile run`: the router, until a signal ends it.

use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
    process, thread,
    time::Duration,
};

use super::{Ended, Failure, args::Run, eprint_line};
use crate::{
    router::{
        Running, StartError,
        running::{Bound, Clock, Signals, render},
    },
    telemetry::log,
};

pub fn run(args: &Run) -> Result<Ended, Failure> {
    let signals = Signals::begin()?;
    let clock = match args.clock_is_right {
        true => Clock::Vouched,
        false => Clock::Minded,
    };
    let router = start(&args.config, None, clock)?;
    tracing::info!(listen = %router.listen, admin = %router.admin, "ready");
    Ok(until_signal(router, signals))
}

/// Runs until a signal ends it. What fails from here on is no mistake of settings, and has a code of
/// its own: systemd does not start anew what ended with 2.
pub fn until_signal(router: Running, signals: Signals) -> Ended {
    let waited = router.wait_for_signal(signals).map_err(Failure::from);
    end_within(router.stops_within(), router.awaited());
    match waited.and_then(|()| Ok(router.stop()?)) {
        Ok(()) => Ended::Good,
        Err(failure) => {
            eprint_line(&format!("error: {failure}"));
            Ended::Failed
        }
    }
}

/// Ends the process although it could not stop: threads that wait for a disk that hangs cannot be
/// told to. Says so before, while the disk may still come back.
fn end_within(stops: Duration, awaited: impl Fn() -> Vec<&'static str> + Send + 'static) {
    let ends = move || {
        thread::sleep(stops + DISK_TELLS);
        let (files, why, _) = hung(&awaited());
        tracing::error!(wait = ?DISK_ENDS, files, "{why}");
        thread::sleep(DISK_ENDS);
        let (files, _, end) = hung(&awaited());
        tracing::error!(files, "{end}");
        log::close();
        process::exit(1);
    };
    // Without it everything is as before: whoever supervises the process ends it.
    let _ = thread::Builder::new().name("ending".into()).spawn(ends);
}

/// What an end that waits for these files says: which they are, at first, and at last. The ledger where
/// it is not known what else it may be.
fn hung(files: &[&str]) -> (String, &'static str, &'static str) {
    let (first, last) = match files.is_empty() || files.contains(&"ledger") {
        true => (
            "stopping waits for a disk that does not answer: entries of the last moments are not in the ledger yet",
            "ended without the ledger's last entries: the disk does not answer",
        ),
        false => (
            "stopping waits for the disk of `directory.path`, which does not answer: what these files lack of pins and counts stands in the ledger and is stored at the next start",
            "ended without what these files lack: the disk of `directory.path` does not answer; the next start stores what the ledger has of it",
        ),
    };
    (files.join(", "), first, last)
}

/// Within this a disk that works has taken what was left.
const DISK_TELLS: Duration = Duration::from_secs(2);
/// A disk that hangs has so long to come back.
const DISK_ENDS: Duration = Duration::from_secs(20);

/// Starts a router; broken files are told with the offending lines underlined.
pub fn start(config: &Path, bound: Option<Bound>, clock: Clock) -> Result<Running, Failure> {
    log::start(&log_settings(config))?;
    Running::start_by(config, bound, clock).map_err(|error| match error {
        StartError::Broken(broken) => {
            let coloured =
                std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            let count = broken.0.iter().filter(|f| f.is_error()).count();
            let text = render(&broken.0, coloured);
            format!("{count} mistake(s) in settings or policies\n\n{text}").into()
        }
        other => other.into(),
    })
}

/// Logging must stand before the settings are judged; if they are broken, the defaults do.
fn log_settings(config: &Path) -> crate::settings::Log {
    let faults = crate::document::Faults::new();
    let path: PathBuf = config.to_owned();
    crate::settings::read(&path, crate::settings::environment(), &faults)
        .map(|s| s.log)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_that_waits_names_the_files_that_it_waits_for() {
        let (files, first, last) = hung(&["pins", "erasures"]);
        assert_eq!(files, "pins, erasures");
        for told in [first, last] {
            assert!(told.contains("`directory.path`"), "{told}");
        }
        for files in [&[][..], &["ledger", "pins"]] {
            let (_, first, _) = hung(files);
            assert!(first.contains("not in the ledger yet"), "{first}");
        }
    }
}
