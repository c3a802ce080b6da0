//! `ledger export`: the ledger as tiles, with a signed checkpoint.

use std::{
    collections::HashSet,
    io::{BufWriter, Write as _},
    path::Path,
};

use serde::Serialize;

use super::{
    LogError, Signed, Signer,
    checkpoint::Checkpoint,
    entries::profile_of,
    folder::{CHECKPOINT, Folder, READABLE, Writing, put_leaf},
    merkle::{Hash, leaf_hash},
    tiles::{self, Tiles, WIDTH},
};
use crate::attest::{self, Entry, Kind};

/// What was signed.
#[derive(Clone, Debug, Serialize)]
pub struct Exported {
    pub origin: String,
    pub size: u64,
    /// In base64, as the checkpoint has it.
    pub root: String,
    /// Entries in the checkpoint that stood there before, which this one contains.
    pub before: Option<u64>,
    pub verifier: String,
}

/// Writes what the ledger holds beyond the checkpoint in `out`, up to its last durable entry, and
/// signs a new one. Reads the disk without any lock, so it may run beside the router; blocks.
///
/// Nothing is signed unless the whole chain verifies and contains what was signed before. Killed at
/// any moment it leaves the checkpoint that stood there, with all that belongs to it.
///
/// # Errors
/// [`LogError::refusal`] tells those that are answers.
pub fn export(ledger: &Path, out: &Path, signer: &Signer) -> Result<Exported, LogError> {
    apart(ledger, out)?;
    let before = signed_before(out, signer)?;
    let since = before.as_ref().map_or(0, |b| b.size);
    // After a power failure the head may be behind what stands, until the next start.
    let last = attest::acknowledged(ledger)?.max(since);
    let start = pass(ledger, last, before.as_ref()).map_err(|e| e.of(out.display()))?;
    let report = |checkpoint: &Checkpoint| Exported {
        origin: checkpoint.origin.clone(),
        size: checkpoint.size,
        root: checkpoint.root_text(),
        before: before.as_ref().map(|b| b.size),
        verifier: signer.verifier().to_string(),
    };
    let mut writing = Writing::begin(out)?;
    if signed_before(out, signer)? != before {
        let why = "another export has signed since this one began: repeat it";
        return Err(LogError::usage(why));
    }
    let whole =
        has_tiles(&writing.folder, since)? && has_profiles(&writing.folder, &start.profiles)?;
    if let Some(before) = before.as_ref().filter(|b| whole && b.size == last) {
        return Ok(report(before));
    }
    // What is missing is written again, and the rest compared.
    let from = if whole {
        start.aligned
    } else {
        Tiles::default()
    };
    let root = write(ledger, &mut writing, from, (since, last))?;
    if root != start.root {
        return Err(LogError::no("the ledger changed while it was read"));
    }
    let signed = Signed::sign(signer, last, root);
    writing.sign(&signed.note)?;
    Ok(report(&signed.checkpoint))
}

/// An export within the ledger's folder would be in the router's way.
fn apart(ledger: &Path, out: &Path) -> Result<(), LogError> {
    let whole = |path: &Path| path.canonicalize().ok();
    let stands = out.ancestors().find_map(whole);
    let within = whole(ledger).is_some_and(|l| stands.is_some_and(|o| o.starts_with(l)));
    match within {
        true => Err(LogError::usage(
            "the export cannot lie in the ledger's own folder: choose another with --out",
        )),
        false => Ok(()),
    }
}

/// What this key has signed in the folder.
fn signed_before(out: &Path, signer: &Signer) -> Result<Option<Checkpoint>, LogError> {
    let folder = Folder::new(out);
    let Some(note) = folder.checkpoint()? else {
        return Ok(None);
    };
    let opened = Signed::open(&note, signer.verifier());
    let opened = opened.map_err(|e| e.of(folder.path(CHECKPOINT).display()))?;
    Ok(Some(opened.checkpoint))
}

struct Start {
    root: Hash,
    /// The tree at the last full tile before what is new.
    aligned: Tiles,
    /// That were signed before.
    profiles: HashSet<Hash>,
}

/// Verifies the chain, and that it contains what was signed before.
fn pass(ledger: &Path, last: u64, before: Option<&Checkpoint>) -> Result<Start, LogError> {
    let since = before.map_or(0, |b| b.size);
    let mut tree = Tiles::default();
    let (mut aligned, mut root_before) = (Tiles::default(), None);
    let mut profiles = HashSet::new();
    attest::verify_each(ledger, |entry, _| {
        if entry.seq > last {
            return;
        }
        if let (Kind::Decision { profile, .. }, true) = (&entry.kind, entry.seq <= since) {
            profiles.insert(profile.digest());
        }
        let Ok(()) = tree.push(entry.leaf_hash(), |_| Ok::<_, std::convert::Infallible>(()));
        if tree.size() == since - since % WIDTH as u64 {
            aligned = tree.clone();
        }
        if tree.size() == since {
            root_before = Some(tree.root());
        }
    })?;
    let root = tree.root();
    let Some(before) = before else {
        return Ok(Start {
            root,
            aligned,
            profiles,
        });
    };
    if since == 0 {
        root_before = Some(Tiles::default().root());
    }
    match root_before {
        Some(root_before) if root_before == before.root => Ok(Start {
            root,
            aligned,
            profiles,
        }),
        Some(_) => Err(LogError::no(format!(
            "the ledger is not the one of the checkpoint: its first {since} entries are not those \
             that were signed. Keep both, and find out which was exchanged \
             (a new ledger, such as after a rotation of the subject-key secret, has a folder and \
             a key of its own)"
        ))),
        None => Err(LogError::no(format!(
            "the ledger ends with entry {}, and {since} entries were signed: it was cut, or is \
             another one",
            tree.size()
        ))),
    }
}

fn has_profiles(folder: &Folder, profiles: &HashSet<Hash>) -> Result<bool, LogError> {
    for digest in profiles {
        let path = folder.path(&Folder::profile_name(digest));
        if !path.try_exists().map_err(LogError::io(&path))? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether every tile and bundle of a tree of `size` is there.
fn has_tiles(folder: &Folder, size: u64) -> Result<bool, LogError> {
    let there = |name: String| {
        let path = folder.path(&name);
        path.try_exists().map_err(LogError::io(path))
    };
    let (mut level, mut hashes) = (0, size);
    while hashes > 0 {
        let full = hashes / WIDTH as u64;
        let rest = usize::try_from(hashes % WIDTH as u64).unwrap_or(0);
        let tiles = (0..full).map(|n| (n, WIDTH));
        let begun = (rest > 0).then_some((full, rest));
        for (index, width) in tiles.chain(begun) {
            let bundle = tiles::path("entries", index, width);
            let tile = tiles::path(&level.to_string(), index, width);
            if !there(tile)? || (level == 0 && !there(bundle)?) {
                return Ok(false);
            }
        }
        (level, hashes) = (level + 1, full);
    }
    Ok(true)
}

/// Writes what lies between, and gives the root.
fn write(
    ledger: &Path,
    writing: &mut Writing,
    aligned: Tiles,
    (since, last): (u64, u64),
) -> Result<Hash, LogError> {
    let mut out = Out {
        readable: BufWriter::with_capacity(1 << 18, writing.create(READABLE)?),
        writing,
        bundle: Vec::new(),
        profiles: HashSet::new(),
        since,
    };
    let from = aligned.size();
    let mut tree = aligned;
    let mut failed = None;
    attest::scan(ledger, from, |entry| {
        if entry.seq > last {
            return false;
        }
        failed = out.entry(&entry, &mut tree).err();
        failed.is_none()
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    out.end(&tree, last)?;
    Ok(tree.root())
}

struct Out<'a> {
    writing: &'a mut Writing,
    /// Entries since the last full bundle.
    bundle: Vec<u8>,
    /// Those of this run.
    profiles: HashSet<Hash>,
    readable: BufWriter<std::fs::File>,
    since: u64,
}

impl Out<'_> {
    fn entry(&mut self, entry: &Entry, tree: &mut Tiles) -> Result<(), LogError> {
        let leaf = entry.leaf();
        put_leaf(&mut self.bundle, &leaf)?;
        self.profile(entry, &leaf)?;
        if entry.seq > self.since {
            let failed = LogError::io(self.writing.folder.path(READABLE));
            let line = serde_json::to_writer(&mut self.readable, entry).map_err(Into::into);
            line.and_then(|()| self.readable.write_all(b"\n"))
                .map_err(failed)?;
        }
        let (writing, bundle, since) = (&mut *self.writing, &mut self.bundle, self.since);
        tree.push(leaf_hash(&leaf), |tile| {
            if tile.level == 0 {
                let name = tiles::path("entries", tile.index, WIDTH);
                writing.keep(&name, bundle, tile.is_of(since))?;
                bundle.clear();
            }
            writing.keep(&tile.path(), &tile.bytes(), tile.is_of(since))
        })
    }

    fn profile(&mut self, entry: &Entry, leaf: &[u8]) -> Result<(), LogError> {
        let (Kind::Decision { profile, .. }, Some(digest)) = (&entry.kind, profile_of(leaf)) else {
            return Ok(());
        };
        if self.profiles.insert(digest) {
            let name = Folder::profile_name(&digest);
            // Its name says what it must hold.
            self.writing.keep(&name, &profile.to_bytes(), false)?;
        }
        Ok(())
    }

    fn end(self, tree: &Tiles, last: u64) -> Result<(), LogError> {
        for tile in tree.partial() {
            if tile.level == 0 {
                let name = tiles::path("entries", tile.index, tile.hashes.len());
                let signed = tile.is_of(self.since);
                self.writing.keep(&name, &self.bundle, signed)?;
            }
            let signed = tile.is_of(self.since);
            self.writing.keep(&tile.path(), &tile.bytes(), signed)?;
        }
        let path = self.writing.folder.path(READABLE);
        let file = self.readable.into_inner().map_err(|e| e.into_error());
        let synced = file.and_then(|file| file.sync_all());
        synced.map_err(LogError::io(path))?;
        // Of an export that was killed before it signed.
        for left in readable(&self.writing.folder)?.0 {
            if left.first > self.since {
                self.writing.remove(&left.name())?;
            }
        }
        let new = Readable {
            first: self.since + 1,
            last,
        };
        match new.first <= last {
            true => self.writing.rename(READABLE, &new.name()),
            false => self.writing.remove(READABLE),
        }
    }
}

/// A readable copy of some entries: what one export added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Readable {
    pub first: u64,
    pub last: u64,
}

impl Readable {
    pub fn name(&self) -> String {
        format!("entries/{:020}-{:020}.ndjson", self.first, self.last)
    }
}

/// Those in a folder, in order, and the names of what else lies beside them.
pub fn readable(folder: &Folder) -> Result<(Vec<Readable>, Vec<String>), LogError> {
    let path = folder.path("entries");
    let files = match std::fs::read_dir(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Default::default()),
        files => files.map_err(LogError::io(&path))?,
    };
    let (mut found, mut others) = (Vec::new(), Vec::new());
    for file in files {
        let name = file.map_err(LogError::io(&path))?.file_name();
        let name = name.to_string_lossy();
        let stem = name.strip_suffix(".ndjson").and_then(|n| n.split_once('-'));
        let numbers = stem.and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
        let file = numbers.map(|(first, last)| Readable { first, last });
        let name = format!("entries/{name}");
        match file.filter(|file| file.name() == name) {
            Some(file) => found.push(file),
            None => others.push(name),
        }
    }
    found.sort_unstable();
    Ok((found, others))
}
