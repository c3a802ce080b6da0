//! The library side of `directory import` and `key`: ids come in line by line, only keys stay.

use std::{
    io::{self, BufRead, Write},
    sync::Arc,
};

use smallvec::SmallVec;

use super::{Directory, DirectoryError, Pin, SubjectHasher};
use crate::domain::SubjectKey;

/// What an import did, counted in ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportReport {
    pub read: usize,
    pub added: usize,
    /// Had this very home already.
    pub standing: usize,
    /// Have another home, which stands: to move them is a relocation, another decision.
    pub elsewhere: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("line {line}: an id may have at most {LONGEST} bytes")]
    TooLong { line: usize },
    #[error("line {line}: {what}; nothing was imported. Write the ids as UTF-8, one a line")]
    NoId { line: usize, what: &'static str },
    #[error("line {line} cannot be read: {error}")]
    Io {
        line: usize,
        #[source]
        error: io::Error,
    },
    #[error(
        "standard input has {found} ids, and this is about one person: write one id, on one line"
    )]
    NotOne { found: &'static str },
    #[error("the keys cannot be written: {0}")]
    Unwritten(#[source] io::Error),
    #[error(transparent)]
    Directory(#[from] DirectoryError),
}

/// Bytes of an id in one line.
const LONGEST: usize = 4096;

/// Pins every id of `ids` (one a line, blank lines skipped) to `region`. Durable when it returns.
/// All lines are read, and kept as keys, before the first is pinned: after an error about one of
/// them nothing was. After an error of the directory some may be, and running it again does no harm.
/// `elsewhere` is told the line and the standing home of each id that has another one.
pub fn import_ids(
    directory: &Directory,
    hasher: &SubjectHasher,
    namespace: &str,
    region: &Arc<str>,
    ids: impl BufRead,
    mut elsewhere: impl FnMut(usize, &str),
) -> Result<ImportReport, ImportError> {
    let mut failed = None;
    let keys = keys(hasher, namespace, ids).collect::<Result<Vec<_>, _>>()?;
    let pins = keys
        .into_iter()
        .map(|(line, key)| {
            if let Some(held) = directory.lookup(&key)?.filter(|p| p.region != *region) {
                elsewhere(line, &held.region);
            }
            Ok(key)
        })
        .map_while(|key: Result<_, ImportError>| key.map_err(|error| failed = Some(error)).ok())
        // Imported are the subjects of records that lie there.
        .map(|key| (key, Pin::new(region.clone(), SmallVec::new()).stored()));
    let report = directory.import(pins)?;
    failed.map_or(Ok(report), Err)
}

/// Writes the key of each id as 32 hexadecimal digits, a line each, in order.
pub fn print_keys(
    hasher: &SubjectHasher,
    namespace: &str,
    ids: impl BufRead,
    mut out: impl Write,
) -> Result<(), ImportError> {
    for found in keys(hasher, namespace, ids) {
        let (_, key) = found?;
        writeln!(out, "{}", key.reveal()).map_err(ImportError::Unwritten)?;
    }
    Ok(())
}

/// The keys of the one id in `ids` under each namespace, in their order.
pub fn keys_of_one<'a>(
    hasher: &SubjectHasher,
    namespaces: impl IntoIterator<Item = &'a str>,
    ids: impl BufRead,
) -> Result<Vec<SubjectKey>, ImportError> {
    let mut input = Vec::new();
    // More than one id of the longest kind is refused whatever it is.
    let read = io::Read::read_to_end(&mut ids.take(4 * LONGEST as u64), &mut input);
    read.map_err(|error| ImportError::Io { line: 1, error })?;
    let one = |namespace| {
        let mut found = keys(hasher, namespace, &*input);
        let first = found.next().ok_or(ImportError::NotOne { found: "no" })??;
        match found.next() {
            None => Ok(first.1),
            Some(_) => Err(ImportError::NotOne { found: "several" }),
        }
    };
    namespaces.into_iter().map(one).collect()
}

/// Line by line, with the line's number from 1 on; blank lines have no key.
fn keys(
    hasher: &SubjectHasher,
    namespace: &str,
    mut ids: impl BufRead,
) -> impl Iterator<Item = Result<(usize, SubjectKey), ImportError>> {
    let mut line = 0;
    let mut bytes = Vec::new();
    std::iter::from_fn(move || {
        loop {
            line += 1;
            bytes.clear();
            let limit = LONGEST as u64 + 2;
            match io::Read::take(&mut ids, limit).read_until(b'\n', &mut bytes) {
                Err(error) => return Some(Err(ImportError::Io { line, error })),
                Ok(0) => return None,
                Ok(_) => {}
            }
            let id = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
            let id = id.strip_suffix(b"\r").unwrap_or(id);
            if id.len() > LONGEST {
                return Some(Err(ImportError::TooLong { line }));
            }
            // Some editors begin a file with it; it is no part of the first id.
            let id = match line {
                1 => id.strip_prefix(b"\xef\xbb\xbf").unwrap_or(id),
                _ => id,
            };
            if let Some(what) = no_id(id) {
                return Some(Err(ImportError::NoId { line, what }));
            }
            if !id.is_empty() {
                return Some(Ok((line, hasher.key(namespace, id))));
            }
        }
    })
}

/// Why bytes are no id: no request can name anybody by them.
fn no_id(id: &[u8]) -> Option<&'static str> {
    if id.starts_with(b"\xff\xfe") || id.starts_with(b"\xfe\xff") {
        return Some("this is UTF-16");
    }
    match str::from_utf8(id) {
        Err(_) => Some("this is not UTF-8"),
        Ok(text) if text.contains('\0') => Some("it holds a NUL, as UTF-16 does"),
        Ok(text) if text.bytes().any(|b| b.is_ascii_control()) => {
            Some("it holds a control character")
        }
        Ok(_) => None,
    }
}
