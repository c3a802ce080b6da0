use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    domain::SubjectKey,
    locate::{Pin, PinChange},
};

/// The homes that people would have, in observe mode: nobody is pinned there, and later requests
/// about the same person shall be judged as if.
///
/// In memory alone, gone at the end of the process. Bounded: of more people than [`PEOPLE`] those
/// that were not asked for longest are forgotten, half at a time. One lock for all workers, which
/// the mode `enforce` never takes.
#[derive(Debug)]
pub struct Supposed {
    known: Mutex<Known>,
    half: usize,
}

/// At most so many people are remembered, some 60 bytes each.
const PEOPLE: usize = 1 << 18;

#[derive(Debug, Default)]
struct Known {
    young: HashMap<SubjectKey, Arc<Pin>>,
    old: HashMap<SubjectKey, Arc<Pin>>,
    /// Few pins differ.
    pins: HashSet<Arc<Pin>>,
}

impl Default for Supposed {
    fn default() -> Self {
        Self::with_room_for(PEOPLE)
    }
}

impl Supposed {
    fn with_room_for(people: usize) -> Self {
        Self {
            known: Mutex::default(),
            half: (people / 2).max(1),
        }
    }

    pub fn get(&self, key: &SubjectKey) -> Option<Arc<Pin>> {
        self.with(|known, half| {
            let pin = known.take(key)?;
            known.put(*key, Arc::clone(&pin), half);
            Some(pin)
        })
    }

    /// Nobody is remembered any more.
    pub fn forget(&self) {
        self.with(|known, _| *known = Known::default());
    }

    /// As [`PinChange`] says of pins.
    pub fn change(&self, key: SubjectKey, change: &PinChange) {
        self.with(|known, half| {
            let standing = known.take(&key);
            if let Some(pin) = Pin::after(standing, change) {
                known.put(key, pin, half);
            }
        });
    }

    /// The home would have taken a record.
    pub fn stored(&self, key: SubjectKey) {
        self.with(|known, half| {
            if let Some(pin) = known.take(&key) {
                let pin = match pin.stored {
                    true => pin,
                    false => Arc::new(Arc::unwrap_or_clone(pin).stored()),
                };
                known.put(key, pin, half);
            }
        });
    }

    fn with<T>(&self, act: impl FnOnce(&mut Known, usize) -> T) -> T {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        act(&mut known, self.half)
    }
}

impl Known {
    fn take(&mut self, key: &SubjectKey) -> Option<Arc<Pin>> {
        self.young.remove(key).or_else(|| self.old.remove(key))
    }

    fn put(&mut self, key: SubjectKey, pin: Arc<Pin>, half: usize) {
        if self.young.len() >= half {
            self.old = std::mem::take(&mut self.young);
        }
        // Regions and countries bound them, but no setting does.
        if self.pins.len() >= half {
            self.pins.clear();
        }
        let pin = match self.pins.get(&pin) {
            Some(same) => Arc::clone(same),
            None => {
                self.pins.insert(Arc::clone(&pin));
                pin
            }
        };
        self.young.insert(key, pin);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u8) -> SubjectKey {
        SubjectKey::from_bytes([number; 16])
    }

    fn claim(region: &str) -> PinChange {
        PinChange::Claim {
            region: region.into(),
            countries: smallvec::smallvec!["DE".parse().unwrap()],
        }
    }

    #[test]
    fn the_first_home_holds_until_it_is_dropped() {
        let supposed = Supposed::default();
        assert_eq!(supposed.get(&key(1)), None);
        supposed.stored(key(1));
        assert_eq!(supposed.get(&key(1)), None, "nobody claimed it");
        supposed.change(key(1), &claim("eu"));
        supposed.change(key(1), &claim("sg"));
        let pin = supposed.get(&key(1)).unwrap();
        assert_eq!((pin.region.as_ref(), pin.stored), ("eu", false));
        supposed.stored(key(1));
        let region = Arc::from("sg");
        supposed.change(key(1), &PinChange::Copy { region });
        let pin = supposed.get(&key(1)).unwrap();
        assert!(pin.stored && pin.held_in.len() == 1, "{pin:?}");
        let region = Arc::from("eu");
        supposed.change(key(1), &PinChange::Drop { region });
        assert_eq!(supposed.get(&key(1)), None);
        supposed.change(key(1), &claim("eu"));
        supposed.forget();
        assert_eq!(supposed.get(&key(1)), None);
    }

    #[test]
    fn who_is_asked_for_stays_and_the_others_make_room() {
        let supposed = Supposed::with_room_for(8);
        for number in 0..40 {
            supposed.change(key(number), &claim("eu"));
            assert!(supposed.get(&key(0)).is_some(), "{number}");
        }
        let left = (0..40).filter(|n| supposed.get(&key(*n)).is_some()).count();
        assert!((2..=8).contains(&left), "{left}");
        assert_eq!(supposed.known.lock().unwrap().pins.len(), 1, "one for all");
    }
}
