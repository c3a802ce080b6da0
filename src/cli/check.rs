//! `domicile check`: settings and policies, every mistake at once, and what the policy means for
//! this location.

use std::io::IsTerminal;

use serde_json::json;

use super::{Ended, Failure, args::Check, print_line};
use crate::{
    clock,
    document::Fault,
    router::{outlook, running::render},
    shared::{Snapshot, snapshot::Broken},
};

pub fn check(args: &Check) -> Result<Ended, Failure> {
    let built = Snapshot::build(&args.config, clock::now(), None);
    let (faults, outlook) = match &built {
        Ok(built) => (
            &built.warnings,
            Some(outlook::of(&built.snapshot, clock::now())),
        ),
        Err(Broken(faults)) => (faults, None),
    };
    if args.json {
        let snapshot = built.as_ref().ok().map(|b| &b.snapshot);
        let told = json!({
            "faults": faults,
            "policy": snapshot.map(|s| s.checked.digest()),
            "settings": snapshot.map(|s| s.settings_digest),
            "outlook": outlook,
        });
        print_line(&told.to_string());
    } else {
        show(faults);
        if let (Ok(built), Some(outlook)) = (&built, &outlook) {
            outlook.lines().iter().for_each(|line| print_line(line));
            let snapshot = &built.snapshot;
            print_line(&format!("policy {}", snapshot.checked.digest()));
            print_line(&format!("settings {}", snapshot.settings_digest));
        }
    }
    match built {
        Ok(_) => Ok(Ended::Good),
        Err(Broken(faults)) => {
            let count = faults.iter().filter(|f| f.is_error()).count();
            Err(format!("{count} mistake(s); nothing was started or changed").into())
        }
    }
}

/// Every fault as the terminal can show it.
pub fn show(faults: &[Fault]) {
    if !faults.is_empty() {
        let coloured = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        print_line(&render(faults, coloured));
    }
}
