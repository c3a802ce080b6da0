use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::Arc,
};

use super::{Claim, Directory, DirectoryError, Pin};
use crate::domain::SubjectKey;

/// One worker's memory of pins: a known subject costs one hash lookup and one atomic load, no
/// lock.
///
/// Two generations bound it: when the young one is full it becomes the old one, and what is still
/// asked for moves back. Absence is never remembered. A pin that moved, gained or lost a copy is
/// read anew, because its slot's epoch changed.
///
/// There are as many subjects as people, and few pins that differ: a subject is remembered with
/// the number of its pin.
pub struct PinCache {
    directory: Directory,
    young: Map,
    old: Map,
    half: usize,
    pins: Vec<Arc<Pin>>,
    places: HashMap<Arc<Pin>, u32>,
    /// The subject that was last found to have no pin, and [`Directory::births`] before that look.
    absent: Option<(SubjectKey, u32)>,
    /// Pins that were known and are forgotten.
    forgotten: u64,
    /// Workers keep their own: the cache must not be shared.
    _not_sync: std::marker::PhantomData<std::cell::Cell<()>>,
}

/// Which pin it is, among all that one cache has met: the same number is the same pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PinNumber(u64);

impl PinNumber {
    pub fn get(self) -> u64 {
        self.0
    }
}

/// By subject: the epoch of its slot, and the place of its pin.
type Map = HashMap<SubjectKey, (u32, u32), BuildHasherDefault<KeyHasher>>;

impl PinCache {
    /// Pins that one worker remembers by default, about 3 MB.
    pub const CAPACITY: usize = 65_536;

    pub fn new(directory: Directory, capacity: usize) -> Self {
        Self {
            directory,
            young: Map::default(),
            old: Map::default(),
            half: (capacity / 2).max(1),
            pins: Vec::new(),
            places: HashMap::new(),
            absent: None,
            forgotten: 0,
            _not_sync: std::marker::PhantomData,
        }
    }

    /// The durable pin of a subject. Reads the directory's file on a miss (microseconds).
    pub fn lookup(&mut self, key: &SubjectKey) -> Result<Option<&Pin>, DirectoryError> {
        let place = self.place(key)?;
        Ok(place.and_then(|place| self.pins.get(place as usize).map(|pin| &**pin)))
    }

    /// As [`PinCache::lookup`], and which pin it is.
    pub fn lookup_numbered(
        &mut self,
        key: &SubjectKey,
    ) -> Result<Option<(PinNumber, &Pin)>, DirectoryError> {
        let place = self.place(key)?;
        Ok(place.and_then(|place| {
            let number = PinNumber(self.forgotten + u64::from(place));
            Some((number, &**self.pins.get(place as usize)?))
        }))
    }

    fn place(&mut self, key: &SubjectKey) -> Result<Option<u32>, DirectoryError> {
        // Read before the pin: a change in between makes the remembered epoch stale, never fresh.
        let epoch = self.directory.epoch(key);
        match self.young.get(key) {
            Some((at, place)) if *at == epoch => Ok(Some(*place)),
            _ => self.read(key, epoch),
        }
    }

    /// [`Directory::claim`]; of the subject that was just found to have no pin, the file is not
    /// asked once more.
    pub fn claim(&mut self, key: SubjectKey, pin: Pin) -> Result<Claim, DirectoryError> {
        let absent = self.absent.take().filter(|(of, _)| *of == key);
        self.directory
            .claim_since(key, pin, absent.map(|(_, births)| births))
    }

    #[cold]
    fn read(&mut self, key: &SubjectKey, epoch: u32) -> Result<Option<u32>, DirectoryError> {
        let births = self.directory.births(key);
        let place = match self.old.remove(key) {
            Some((at, place)) if at == epoch => place,
            _ => match self.directory.lookup(key)? {
                Some(pin) => self.place_of(pin),
                None => {
                    self.young.remove(key);
                    self.absent = Some((*key, births));
                    return Ok(None);
                }
            },
        };
        if self.young.len() >= self.half {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(*key, (epoch, place));
        Ok(Some(place))
    }

    /// Where a pin stands from now on.
    fn place_of(&mut self, pin: Arc<Pin>) -> u32 {
        if let Some(place) = self.places.get(&pin) {
            return *place;
        }
        // Regions and countries bound them, but no setting does.
        if self.pins.len() >= self.half {
            self.forgotten += self.pins.len() as u64;
            self.pins.clear();
            self.places.clear();
            self.young.clear();
            self.old.clear();
        }
        let place = u32::try_from(self.pins.len()).unwrap_or(u32::MAX);
        self.pins.push(Arc::clone(&pin));
        self.places.insert(pin, place);
        place
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
