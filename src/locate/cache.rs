use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

use super::{Directory, DirectoryError, Pin};
use crate::domain::SubjectKey;

/// One worker's memory of pins: a known subject costs one hash lookup and one atomic load, no
/// lock.
///
/// Two generations bound it: when the young one is full it becomes the old one, and what is still
/// asked for moves back. Absence is never remembered. A pin that moved, gained or lost a copy is
/// read anew, because its slot's epoch changed.
pub struct PinCache {
    directory: Directory,
    young: Map,
    old: Map,
    half: usize,
    /// Workers keep their own: the cache must not be shared.
    _not_sync: std::marker::PhantomData<std::cell::Cell<()>>,
}

type Map = HashMap<SubjectKey, (u32, Pin), BuildHasherDefault<KeyHasher>>;

impl PinCache {
    /// Pins that one worker remembers by default, about 10 MB.
    pub const CAPACITY: usize = 65_536;

    pub fn new(directory: Directory, capacity: usize) -> Self {
        Self {
            directory,
            young: Map::default(),
            old: Map::default(),
            half: (capacity / 2).max(1),
            _not_sync: std::marker::PhantomData,
        }
    }

    /// The durable pin of a subject. Reads the directory's file on a miss (microseconds).
    pub fn lookup(&mut self, key: &SubjectKey) -> Result<Option<&Pin>, DirectoryError> {
        // Read before the pin: a change in between makes the remembered epoch stale, never fresh.
        let epoch = self.directory.epoch(key);
        let fresh = self.young.get(key).is_some_and(|(at, _)| *at == epoch);
        if !fresh {
            let pin = match self.old.remove(key) {
                Some((at, pin)) if at == epoch => pin,
                _ => match self.directory.lookup(key)? {
                    Some(pin) => pin,
                    None => {
                        self.young.remove(key);
                        return Ok(None);
                    }
                },
            };
            if self.young.len() >= self.half {
                self.old = std::mem::take(&mut self.young);
            }
            self.young.insert(*key, (epoch, pin));
        }
        Ok(self.young.get(key).map(|(_, pin)| pin))
    }

    /// How many pins are remembered.
    pub fn remembered(&self) -> usize {
        self.young.len() + self.old.len()
    }

    pub fn directory(&self) -> &Directory {
        &self.directory
    }
}

/// Takes the key's own bytes: they are a keyed hash already, which no caller can steer.
#[derive(Default)]
pub(super) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk::<8>() {
            self.0 ^= u64::from_le_bytes(*first);
        }
    }

    /// The length prefix of the array says nothing.
    fn write_usize(&mut self, _: usize) {}
}
