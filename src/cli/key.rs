//! `domicile key`: the subject keys of given ids, to match reports with people.

use std::{
    io::{stdin, stdout},
    path::Path,
};

use super::{Ended, Failure, args, directory::known_namespace, unread};
use crate::{
    document::Faults,
    locate::{ImportError, SubjectHasher, load_or_create_secret, print_keys},
    router::running::{SECRET_FILE, render},
    settings::{self, Settings},
};

pub fn key(args: &args::Key) -> Result<Ended, Failure> {
    let settings = settings(&args.config)?;
    known_namespace(&settings, &args.namespace)?;
    let hasher = hasher_without_directory(&settings)?;
    match print_keys(&hasher, &args.namespace, stdin().lock(), stdout().lock()) {
        Err(ImportError::Unwritten(error)) => unread(&error),
        printed => printed?,
    }
    Ok(Ended::Good)
}

/// The secret as it stands; a running router has the directory's file, but not its secret, in
/// exclusive use.
pub(super) fn hasher_without_directory(settings: &Settings) -> Result<SubjectHasher, Failure> {
    let secret = match &settings.directory.secret {
        Some(secret) => secret.clone(),
        None => {
            let path = settings.directory.path.join(SECRET_FILE);
            if !has_secret(settings) {
                return Err(format!(
                    "there is no secret in {}: start the router once, or give directory.secret_file",
                    path.display()
                )
                .into());
            }
            load_or_create_secret(&path)?
        }
    };
    Ok(SubjectHasher::new(&secret)?)
}

/// Whether there is one. One that may not be read is not absent: reading it tells why.
pub fn has_secret(settings: &Settings) -> bool {
    let path = settings.directory.path.join(SECRET_FILE);
    settings.directory.secret.is_some() || !matches!(path.try_exists(), Ok(false))
}

/// The settings alone; policies are not needed here.
pub fn settings(config: &Path) -> Result<Settings, Failure> {
    let faults = Faults::new();
    let read = settings::read(config, settings::environment(), &faults);
    read.ok_or_else(|| {
        format!(
            "the settings are broken\n\n{}",
            render(&faults.into_sorted(), false)
        )
        .into()
    })
}
