use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use jiff::Timestamp;

use super::{Files, Placed};

/// What is built from settings and files.
pub trait Material: Sized {
    type Settings: Clone + PartialEq + std::fmt::Debug;

    /// Every file that takes part, by what belongs together: a certificate and its key, say. A part
    /// is exchanged whole or not at all, and a broken one holds up no other.
    fn parts(settings: &Self::Settings) -> Vec<Vec<&Path>>;

    fn files(settings: &Self::Settings) -> Vec<&Path> {
        Self::parts(settings).concat()
    }

    /// Of these, private keys.
    fn keys(_: &Self::Settings) -> Vec<&Path> {
        Vec::new()
    }

    /// # Errors
    /// Every fault of the files. None for the age of what is kept.
    fn build(settings: &Self::Settings, files: &Files, at: Timestamp) -> Result<Self, Vec<Placed>>;

    /// What others may refuse about it.
    fn doubts(&self) -> &[Placed] {
        &[]
    }

    /// Past which it is to be built again, though no file has changed.
    fn until(&self) -> Option<Timestamp> {
        None
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
    /// Both: the old ones stay in place of what is no good.
    Partly {
        doubts: Vec<Placed>,
        faults: Vec<Placed>,
    },
}

struct Seen {
    /// What is in use was built from these.
    used: Files,
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
                used: files,
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
        self.look_if(at, patient, |_| Ok(()))
    }

    /// The same, where what is sound in itself may be no good beside others.
    pub fn look_if(
        &self,
        at: Timestamp,
        patient: bool,
        accept: impl Fn(&M) -> Result<(), Vec<Placed>>,
    ) -> Change {
        let _one_at_a_time = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        let files = Files::read(M::files(&self.settings));
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let digest = files.digest();
        let is_known = digest == seen.judged;
        let is_over = self.load().until().is_some_and(|until| until < at);
        // What was broken is tried again: a certificate that was not yet valid becomes so.
        if is_known && seen.broken.is_none() && !is_over {
            seen.doubtful = None;
            return Change::Unchanged;
        }
        let build = |files: &Files| {
            let next = M::build(&self.settings, files, at)?;
            accept(&next).map(|()| next)
        };
        let files = files.beside(&seen.used);
        let faults = match build(&files) {
            Ok(next) => {
                let doubts = self.put(next);
                *seen = Seen {
                    used: files,
                    judged: digest,
                    doubtful: None,
                    broken: None,
                };
                return Change::Swapped(doubts);
            }
            Err(faults) => faults,
        };
        if !is_known && patient && seen.doubtful != Some(digest) {
            seen.doubtful = Some(digest);
            return Change::Unchanged;
        }
        let sound = self.sound_parts(&seen.used, &files, &build);
        let mut doubts = None;
        if (is_over || sound.digest() != seen.used.digest())
            && let Ok(next) = build(&sound)
        {
            doubts = Some(self.put(next));
            seen.used = sound;
        }
        seen.judged = digest;
        seen.doubtful = None;
        // Not the same ones for ever: a certificate begins, and ends.
        seen.broken = Some(faults.clone());
        match doubts {
            Some(doubts) if is_known => Change::Swapped(doubts),
            Some(doubts) => Change::Partly { doubts, faults },
            None if is_known => Change::Unchanged,
            None => Change::Kept(faults),
        }
    }

    fn put(&self, next: M) -> Vec<Placed> {
        let doubts = next.doubts().to_vec();
        self.current.store(Arc::new(next));
        doubts
    }

    /// What is in use, with each part of the newer files that goes with it.
    fn sound_parts(
        &self,
        used: &Files,
        newer: &Files,
        build: &impl Fn(&Files) -> Result<M, Vec<Placed>>,
    ) -> Files {
        let mut sound = used.clone().beside(used);
        for part in M::parts(&self.settings) {
            let tried = sound.with(&part, newer);
            if tried.digest() != sound.digest() && build(&tried).is_ok() {
                sound = tried;
            }
        }
        sound
    }
}

impl<M: Material> std::fmt::Debug for Live<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Live").field(&self.settings).finish()
    }
}
