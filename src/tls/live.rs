use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use jiff::Timestamp;

use super::{Files, Placed};

/// What is built from settings and files, whole or not at all.
pub trait Material: Sized {
    type Settings: Clone + PartialEq + std::fmt::Debug;

    /// Every file that takes part.
    fn files(settings: &Self::Settings) -> Vec<&Path>;

    /// # Errors
    /// Every fault of the files.
    fn build(settings: &Self::Settings, files: &Files, at: Timestamp) -> Result<Self, Vec<Placed>>;

    /// What others may refuse about it.
    fn doubts(&self) -> &[Placed] {
        &[]
    }
}

/// A material in use, exchanged when its files change. Reading it takes no lock.
pub struct Live<M: Material> {
    pub settings: M::Settings,
    current: ArcSwap<M>,
    /// Held while files are read, which is as long as the disk takes.
    looking: Mutex<()>,
    /// Never held for long: probes and metrics ask for it.
    seen: Mutex<Seen>,
}

/// What [`Live::look`] did.
#[derive(Debug)]
pub enum Change {
    Unchanged,
    /// With what is doubtful about the new ones.
    Swapped(Vec<Placed>),
    /// The new files are no good; the old ones stay in use. Told once for each new content.
    Kept(Vec<Placed>),
}

struct Seen {
    /// Of the content that is in use, or that was told to be broken.
    judged: [u8; 32],
    /// A broken content seen once. Certificate and key are two files: between the two writes of an
    /// exchange they do not fit, and the next look finds them whole.
    doubtful: Option<[u8; 32]>,
    /// What is wrong with the files on disk, while others are in use.
    broken: Option<Vec<Placed>>,
}

impl<M: Material> Live<M> {
    /// # Errors
    /// Every fault of the files.
    pub fn new(settings: M::Settings, at: Timestamp) -> Result<Self, Vec<Placed>> {
        let files = Files::read(M::files(&settings));
        let current = M::build(&settings, &files, at)?;
        Ok(Self {
            current: ArcSwap::from_pointee(current),
            looking: Mutex::default(),
            seen: Mutex::new(Seen {
                judged: files.digest(),
                doubtful: None,
                broken: None,
            }),
            settings,
        })
    }

    pub fn load(&self) -> Arc<M> {
        self.current.load_full()
    }

    /// Whether the files on disk are not those in use, because they are broken.
    pub fn is_behind(&self) -> bool {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.broken.is_some()
    }

    /// What is wrong with the files on disk if they are not those in use.
    pub fn faults(&self) -> Vec<Placed> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.broken.clone().unwrap_or_default()
    }

    /// Reads the files and exchanges what is in use if they changed. Blocks on the disk; the files
    /// are small, so contents are compared and not times: a Kubernetes volume changes by a link.
    ///
    /// `patient`: broken files are told only when they are found the same twice.
    pub fn look(&self, at: Timestamp, patient: bool) -> Change {
        let _one_at_a_time = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        let files = Files::read(M::files(&self.settings));
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let digest = files.digest();
        let is_known = digest == seen.judged;
        // What was broken is tried again: a certificate that was not yet valid becomes so.
        if is_known && seen.broken.is_none() {
            seen.doubtful = None;
            return Change::Unchanged;
        }
        match M::build(&self.settings, &files, at) {
            Ok(next) => {
                let doubts = next.doubts().to_vec();
                self.current.store(Arc::new(next));
                *seen = Seen {
                    judged: digest,
                    doubtful: None,
                    broken: None,
                };
                Change::Swapped(doubts)
            }
            Err(faults) if is_known => {
                // Not the same ones for ever: a certificate begins, and ends.
                seen.broken = Some(faults);
                Change::Unchanged
            }
            Err(_) if patient && seen.doubtful != Some(digest) => {
                seen.doubtful = Some(digest);
                Change::Unchanged
            }
            Err(faults) => {
                *seen = Seen {
                    judged: digest,
                    doubtful: None,
                    broken: Some(faults.clone()),
                };
                Change::Kept(faults)
            }
        }
    }
}

impl<M: Material> std::fmt::Debug for Live<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Live").field(&self.settings).finish()
    }
}
