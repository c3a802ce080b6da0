//! The files of settings and policy: which they are, what they hold, and whether they held still
//! while they were read.
//!
//! Contents are compared and not times. Kubernetes exchanges a mounted ConfigMap by one rename of
//! the link `..data`, so that every path stays and everything behind it is another; whoever reads
//! file after file may begin before the rename and end after it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;

use super::{
    Snapshot,
    snapshot::{Broken, Built},
};
use crate::{
    document::{Fault, Faults, MOST_BYTES, Where, read_whole},
    policy::law_files,
    settings::{self, Settings, Watch},
};

/// How often files are read anew when they change under the reader. A copy of a few files is over
/// long before.
const TRIES: usize = 5;

/// What each file held; `None` for one that could not be read.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Which files there are: those that the settings on disk name, though they may be refused.
    settings: Option<Arc<Settings>>,
    held: BTreeMap<PathBuf, Option<[u8; 32]>>,
}

impl Seen {
    /// Reads every file that takes part. Blocks on the disk for about a millisecond.
    fn take(config: &Path, settings: Option<Arc<Settings>>) -> Self {
        let held = held(files(config, settings.as_deref()));
        Self { settings, held }
    }

    /// The same files now, those alone that `watch` covers.
    pub fn again(&self, config: &Path, watch: Watch) -> Self {
        let mut files = files(config, self.settings.as_deref());
        let mut folders = Folders::new(watch);
        files.retain(|file| folders.is_watched(file));
        Self {
            settings: self.settings.clone(),
            held: held(files),
        }
    }

    /// Whether the files that `watch` covers held the same when `self` was taken.
    pub fn still_holds(&self, now: &Self, watch: Watch) -> bool {
        let mut folders = Folders::new(watch);
        let known = self
            .held
            .iter()
            .filter(|(file, _)| folders.is_watched(file));
        now.held.iter().eq(known)
    }

    pub fn is_same(&self, other: &Self) -> bool {
        self.held == other.held
    }

    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}

/// [`Snapshot::build`] of files that held still, and what they held.
///
/// A mixture of old and new files would be a policy that nobody wrote, and could be sound all the
/// same: files that change while they are read are read again, and a set that never holds still
/// is refused.
pub fn build(
    config: &Path,
    at: Timestamp,
    previous: Option<&Snapshot>,
) -> (Result<Built, Broken>, Seen) {
    // What is wrong with the settings is told by `Snapshot::build`.
    let mut settings = settings::read(config, settings::environment(), &Faults::new())
        .map(Arc::new)
        .or_else(|| previous.map(|p| Arc::clone(&p.settings)));
    let take = |built: Option<&Result<Built, Broken>>| {
        if let Some(Ok(built)) = built {
            settings = Some(Arc::clone(&built.snapshot.settings));
        }
        Seen::take(config, settings.clone())
    };
    let build = || Snapshot::build(config, at, previous);
    if let Some(settled) = settled(take, build) {
        return settled;
    }
    let faults = Faults::new();
    faults.error_hint(
        &Where::Path(config.display().to_string()),
        "settings or policies change while they are read",
        "put the whole set in place, then reload",
    );
    let seen = Seen::take(config, settings);
    (Err(Broken(faults.into_sorted())), seen)
}

/// What was made of files that held the same before and after. `take` looks at those that take
/// part by what was made of them last.
fn settled<T>(
    mut take: impl FnMut(Option<&T>) -> Seen,
    mut make: impl FnMut() -> T,
) -> Option<(T, Seen)> {
    let mut last = None;
    for _ in 0..TRIES {
        let before = take(last.as_ref());
        let made = make();
        if take(Some(&made)).is_same(&before) {
            return Some((made, before));
        }
        last = Some(made);
    }
    None
}

/// Whether two lists of faults would be told in the same words.
pub fn alike(one: &[Fault], other: &[Fault]) -> bool {
    one.iter()
        .map(Fault::summary)
        .eq(other.iter().map(Fault::summary))
}

fn held(files: Vec<PathBuf>) -> BTreeMap<PathBuf, Option<[u8; 32]>> {
    let hash = |file: &PathBuf| {
        let bytes = read_whole(file, MOST_BYTES).ok()?;
        Some(*blake3::hash(&bytes).as_bytes())
    };
    files.into_iter().map(|f| (f.clone(), hash(&f))).collect()
}

/// Not among them: what is exchanged by itself (certificates, the admin token, the GeoIP database).
fn files(config: &Path, settings: Option<&Settings>) -> Vec<PathBuf> {
    let mut files = vec![config.to_owned()];
    let Some(settings) = settings else {
        return files;
    };
    files.push(settings.organisation.clone());
    files.push(settings.policies.join("vocabulary.toml"));
    // What is wrong with the folder is told by whoever reads the policy.
    files.extend(law_files(&settings.policies, &Faults::new()));
    files.extend(settings.jwt.as_ref().map(|jwt| jwt.keys.clone()));
    files
}

/// Which files `watch` covers. A policy is dozens of files in a few folders, and each is looked
/// for every second: a folder is asked once.
struct Folders {
    watch: Watch,
    volumes: BTreeMap<PathBuf, bool>,
}

impl Folders {
    fn new(watch: Watch) -> Self {
        let volumes = BTreeMap::new();
        Self { watch, volumes }
    }

    fn is_watched(&mut self, file: &Path) -> bool {
        match self.watch {
            Watch::Always => true,
            Watch::Never => false,
            Watch::Volumes => file.parent().is_some_and(|folder| self.is_volume(folder)),
        }
    }

    fn is_volume(&mut self, folder: &Path) -> bool {
        if let Some(known) = self.volumes.get(folder) {
            return *known;
        }
        let found = folder.ancestors().any(|folder| {
            // The volume's root alone has the link; `items` of a volume may lie deeper.
            let link = std::fs::symlink_metadata(folder.join("..data"));
            link.is_ok_and(|link| link.is_symlink())
        });
        self.volumes.insert(folder.to_owned(), found);
        found
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn a_volume_is_known_by_its_link_however_deep_a_file_lies() {
        let folder = tempfile::tempdir().unwrap();
        let volume = folder.path().join("volume");
        fs::create_dir_all(volume.join("..2026_1/law")).unwrap();
        fs::write(volume.join("..2026_1/law/eu.toml"), "").unwrap();
        symlink("..2026_1", volume.join("..data")).unwrap();
        symlink("..data/law", volume.join("law")).unwrap();
        let deep = volume.join("law/eu.toml");
        assert!(deep.exists());
        let is_watched = |file: &Path, watch| Folders::new(watch).is_watched(file);
        assert!(is_watched(&deep, Watch::Volumes));
        assert!(is_watched(&volume.join("gone.toml"), Watch::Volumes));
        let plain = folder.path().join("domicile.toml");
        assert!(!is_watched(&plain, Watch::Volumes));
        assert!(is_watched(&plain, Watch::Always));
        assert!(!is_watched(&deep, Watch::Never));
    }

    /// However an exchange falls between two reads.
    #[test]
    fn files_that_change_while_they_are_read_are_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let files = ["a", "b"].map(|name| folder.path().join(name));
        let lay = |version: &str| files.iter().for_each(|f| fs::write(f, version).unwrap());
        let read = |exchange: &mut dyn FnMut()| {
            let first = fs::read_to_string(&files[0]).unwrap();
            exchange();
            first + &fs::read_to_string(&files[1]).unwrap()
        };
        let take = |_: Option<&String>| Seen {
            settings: None,
            held: held(files.to_vec()),
        };
        lay("1");
        let mut exchanges = ["2", "3"].into_iter();
        let whole = settled(take, || {
            read(&mut || exchanges.next().into_iter().for_each(lay))
        });
        assert_eq!(whole.unwrap().0, "33");
        let mut turn = 0;
        let mut never = || {
            turn += 1;
            lay(&turn.to_string());
        };
        assert!(settled(take, || read(&mut never)).is_none());
    }

    #[test]
    fn what_came_what_went_and_what_changed_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        let look = |names: &[&str]| Seen {
            settings: None,
            held: held(names.iter().map(|n| file(n)).collect()),
        };
        fs::write(file("a"), "1").unwrap();
        fs::write(file("b"), "1").unwrap();
        let before = look(&["a", "b"]);
        assert!(before.still_holds(&look(&["a", "b"]), Watch::Always));
        assert!(!before.still_holds(&look(&["a"]), Watch::Always), "went");
        assert!(!look(&["a"]).still_holds(&before, Watch::Always), "came");
        fs::write(file("b"), "2").unwrap();
        assert!(!before.still_holds(&look(&["a", "b"]), Watch::Always));
        fs::remove_file(file("b")).unwrap();
        assert!(!before.still_holds(&look(&["a", "b"]), Watch::Always));
        // Outside volumes none of this counts unless it is asked for.
        assert!(before.still_holds(&look(&[]), Watch::Volumes));
    }
}
