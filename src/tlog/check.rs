//! `ledger prove --check`: what a stranger does with a proof or an export and the verifier key.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead as _, BufReader, Read as _},
    iter::Peekable,
    path::Path,
    sync::Arc,
    vec,
};

use super::{
    LogError, Signed, Verifier,
    checkpoint::Checkpoint,
    entries::profile_of,
    export::{Readable, readable},
    folder::{CHECKPOINT, Folder, read_text},
    merkle::{Hash, digest, is_consistent, leaf_hash, root_by_inclusion},
    proof::{Consistency, INCLUSION, Inclusion},
    tiles::Tiles,
};
use crate::attest::{Entry, Profile};

/// What holds.
#[derive(Clone, Debug)]
pub struct Checked {
    pub checkpoint: Checkpoint,
    /// Entries of the older checkpoint that it contains.
    pub since: Option<u64>,
    /// The entry that is proven to stand in it.
    pub entry: Option<Entry>,
    /// Of an export: how many entries of the readable copy say what the log holds.
    pub readable: Option<u64>,
}

/// Checks a proof, a checkpoint, or the folder of an export, which `verifier` must have signed.
/// `since`: an older checkpoint that must be contained in it.
///
/// # Errors
/// [`LogError::refusal`] tells those that are answers.
pub fn check(
    path: &Path,
    verifier: &Verifier,
    since: Option<&Signed>,
) -> Result<Checked, LogError> {
    let since = since.map(|s| &s.checkpoint);
    if path.is_dir() {
        return export(&Folder::new(path), verifier, since);
    }
    let text = read_text(path)?;
    let checked = if text.starts_with(INCLUSION) {
        if since.is_some() {
            return Err(LogError::usage(
                "the proof is of one entry: --since is for the proof that a log has grown, or for an export's folder",
            ));
        }
        entry(&Inclusion::parse(&text)?, verifier)
    } else if Consistency::is_meant(&text) {
        let Some(since) = since else {
            return Err(LogError::usage(
                "the proof is that a log has grown: give the older checkpoint with --since",
            ));
        };
        grown(&Consistency::parse(&text)?, verifier, since)
    } else {
        alone(&text, verifier, since)
    };
    checked.map_err(|e| e.of(path.display()))
}

/// A checkpoint says of itself alone, and of an equal one.
fn alone(note: &str, verifier: &Verifier, since: Option<&Checkpoint>) -> Result<Checked, LogError> {
    let checkpoint = Signed::open(note, verifier)?.checkpoint;
    match since {
        Some(old) if old.size == checkpoint.size && old.root != checkpoint.root => {
            Err(LogError::no(format!(
                "two checkpoints of {} entries differ: the log was exchanged",
                old.size
            )))
        }
        Some(old) if old.size != checkpoint.size => Err(LogError::usage(
            "a checkpoint alone does not show what it contains: give the consistency proof, or the export's folder",
        )),
        _ => Ok(Checked {
            since: since.map(|s| s.size),
            checkpoint,
            entry: None,
            readable: None,
        }),
    }
}

fn entry(proof: &Inclusion, verifier: &Verifier) -> Result<Checked, LogError> {
    let checkpoint = Signed::open(&proof.note, verifier)?.checkpoint;
    let Some((leaf, profile)) = proof.carried() else {
        return Err(LogError::usage(
            "the proof does not carry the entry (a line `extra`, as `ledger prove` writes it)",
        ));
    };
    let root = root_by_inclusion(proof.index, checkpoint.size, leaf_hash(leaf), &proof.hashes);
    if root != Some(checkpoint.root) {
        return Err(LogError::no(
            "the entry does not stand in the log at this place: the proof does not lead to the signed root",
        ));
    }
    let profile = (!profile.is_empty()).then_some(profile);
    let entry = read_entry(leaf, proof.index, |digest| match profile {
        Some(bytes) => parse_profile(bytes, digest),
        None => Err("the profile that it names is not there"),
    })?;
    if profile.is_some() && profile_of(leaf).is_none() {
        return Err(LogError::no("the proof carries more than the entry"));
    }
    Ok(Checked {
        checkpoint,
        since: None,
        entry: Some(entry),
        readable: None,
    })
}

/// What a leaf says that stands at `index`.
fn read_entry(
    leaf: &[u8],
    index: u64,
    profile: impl FnOnce(&Hash) -> Result<Arc<Profile>, &'static str>,
) -> Result<Entry, LogError> {
    let number = index + 1;
    let mut why = None;
    let read = Entry::from_leaf(leaf, |digest| match profile(digest) {
        Ok(profile) => Some(profile),
        Err(what) => {
            why = Some(what);
            None
        }
    });
    let what = match read {
        Ok(entry) if entry.seq == number => return Ok(entry),
        Ok(_) => "it has another number",
        Err(what) => why.unwrap_or(what),
    };
    Err(LogError::no(format!("entry {number}: {what}")))
}

fn parse_profile(bytes: &[u8], named: &Hash) -> Result<Arc<Profile>, &'static str> {
    if digest(bytes) != *named {
        return Err("the profile is not the one that it names");
    }
    Profile::from_bytes(bytes).map(Arc::new)
}

fn grown(
    proof: &Consistency,
    verifier: &Verifier,
    since: &Checkpoint,
) -> Result<Checked, LogError> {
    let checkpoint = Signed::open(&proof.note, verifier)?.checkpoint;
    if proof.old != since.size {
        return Err(LogError::no(format!(
            "the proof is from {} entries on, and the older checkpoint has {}",
            proof.old, since.size
        )));
    }
    let new = (checkpoint.size, checkpoint.root);
    if !is_consistent((since.size, since.root), new, &proof.hashes) {
        return Err(LogError::no(
            "the log does not contain what the older checkpoint says: the proof does not lead from one root to the other",
        ));
    }
    Ok(Checked {
        checkpoint,
        since: Some(since.size),
        entry: None,
        readable: None,
    })
}

/// Every file of an export: each entry and profile, each tile, the readable copy.
fn export(
    folder: &Folder,
    verifier: &Verifier,
    since: Option<&Checkpoint>,
) -> Result<Checked, LogError> {
    let note = folder.checkpoint()?;
    let path = folder.path(CHECKPOINT);
    let note = note.ok_or_else(|| {
        LogError::usage(format!(
            "`{}` is missing: the folder is no export",
            path.display()
        ))
    })?;
    let signed = Signed::open(&note, verifier).map_err(|e| e.of(path.display()))?;
    let checkpoint = signed.checkpoint;
    if let Some(old) = since.filter(|old| old.size > checkpoint.size) {
        return Err(LogError::no(format!(
            "the export has {} entries, and {} were signed before: it was cut, or is another one",
            checkpoint.size, old.size
        )));
    }
    let mut tree = Tiles::default();
    let mut old_root = Some(tree.root()).filter(|_| since.is_some_and(|old| old.size == 0));
    let mut profiles: HashMap<Hash, Arc<Profile>> = HashMap::new();
    let mut copy = Copy::of(folder, checkpoint.size)?;
    folder.each(checkpoint.size, checkpoint.size, |index, leaf| {
        let entry = read_entry(leaf, index, |digest| {
            if let Some(known) = profiles.get(digest) {
                return Ok(Arc::clone(known));
            }
            let bytes = folder.read(&Folder::profile_name(digest));
            let bytes = bytes.map_err(|_| "the profile that it names is missing")?;
            let profile = parse_profile(&bytes, digest)?;
            if profiles.len() >= PROFILES_KEPT {
                profiles.clear();
            }
            profiles.insert(*digest, Arc::clone(&profile));
            Ok(profile)
        })?;
        copy.compare(&entry)?;
        tree.push(leaf_hash(leaf), |tile| {
            same(folder, &tile.path(), &tile.bytes())
        })?;
        if since.is_some_and(|old| old.size == tree.size()) {
            old_root = Some(tree.root());
        }
        Ok(())
    })?;
    for tile in tree.partial() {
        same(folder, &tile.path(), &tile.bytes())?;
    }
    if tree.root() != checkpoint.root {
        return Err(LogError::no(
            "the entries are not those that were signed: they lead to another root",
        ));
    }
    if since.is_some_and(|old| old_root != Some(old.root)) {
        return Err(LogError::no(
            "the log does not contain what the older checkpoint says: its first entries are others",
        ));
    }
    Ok(Checked {
        checkpoint,
        since: since.map(|s| s.size),
        entry: None,
        readable: Some(copy.compared),
    })
}

const PROFILES_KEPT: usize = 1 << 16;
/// An entry as JSON has a few thousand bytes.
const LINE_MOST: u64 = 8 << 20;

fn same(folder: &Folder, name: &str, bytes: &[u8]) -> Result<(), LogError> {
    match folder.read(name)? == bytes {
        true => Ok(()),
        false => Err(LogError::no("it does not hold the hashes of the entries")
            .of(folder.path(name).display())),
    }
}

/// The readable copy, read beside the entries.
struct Copy<'a> {
    folder: &'a Folder,
    files: Peekable<vec::IntoIter<Readable>>,
    open: Option<(Readable, BufReader<File>)>,
    compared: u64,
}

impl<'a> Copy<'a> {
    /// Whatever people may read there is compared: nothing else than files of signed entries, each
    /// entry in one of them at most.
    fn of(folder: &'a Folder, size: u64) -> Result<Self, LogError> {
        let (files, others) = readable(folder)?;
        let no = |what: &str, name: &str| Err(LogError::no(what).of(folder.path(name).display()));
        if let Some(other) = others.first() {
            return no("an export has no file of this name", other);
        }
        let mut before = 0;
        for file in &files {
            if file.first > file.last || file.first <= before {
                return no(
                    "its name tells no entries, or those of another",
                    &file.name(),
                );
            }
            // One that lies wholly beyond is of an export that was killed before it signed.
            if file.first <= size && file.last > size {
                return no("it tells of entries that were not signed", &file.name());
            }
            before = file.last;
        }
        Ok(Self {
            folder,
            files: files.into_iter().peekable(),
            open: None,
            compared: 0,
        })
    }

    /// Where there is a line of the entry, it says what the entry does.
    fn compare(&mut self, entry: &Entry) -> Result<(), LogError> {
        while self.files.next_if(|f| f.last < entry.seq).is_some() {}
        if let Some(file) = self.files.next_if(|f| f.first == entry.seq) {
            let path = self.folder.path(&file.name());
            let opened = File::open(&path).map_err(LogError::io(path))?;
            self.open = Some((file, BufReader::new(opened)));
        }
        let Some((file, reader)) = &mut self.open else {
            return Ok(());
        };
        let path = self.folder.path(&file.name());
        let mut line = String::new();
        let read = reader.by_ref().take(LINE_MOST).read_line(&mut line);
        read.map_err(LogError::io(&path))?;
        // As it was written: JSON that is equal may be read otherwise, such as with a member twice.
        let written = serde_json::to_string(entry).ok();
        if line.strip_suffix('\n') != written.as_deref() {
            let what = format!("entry {} is not what it says", entry.seq);
            return Err(LogError::no(what).of(path.display()));
        }
        self.compared += 1;
        if file.last == entry.seq {
            let mut more = [0];
            let ended = reader.read(&mut more);
            if ended.map_err(LogError::io(&path))? > 0 {
                return Err(LogError::no("it holds more than its name says").of(path.display()));
            }
            self.open = None;
        }
        Ok(())
    }
}
