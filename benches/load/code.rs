//! What callgrind wrote, by instruction (`--dump-instr=yes`).

use std::{
    collections::HashMap,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
};

/// Where an instruction stands: which object file, by a hash of its name, and the address.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    object: u64,
    address: u64,
}

impl Place {
    /// Its line of a processor's cache.
    pub fn line(self) -> (u64, u64) {
        (self.object, self.address / 64)
    }
}

/// How often each instruction was executed.
pub struct Counts(HashMap<Place, u64>);

impl Counts {
    /// `None` for what is not of this form.
    pub fn read(text: &str) -> Option<Self> {
        let (mut counts, mut objects) = (HashMap::new(), HashMap::new());
        let mut place = Place {
            object: 0,
            address: 0,
        };
        // The costs of what was called stand after `calls=`; they are that function's own.
        let mut is_call = false;
        for line in text.lines() {
            if let Some(object) = line.strip_prefix("ob=") {
                place.object = of_name(&mut objects, object)?;
            } else if let Some(object) = line.strip_prefix("cob=") {
                of_name(&mut objects, object)?;
            } else if line.starts_with("calls=") {
                is_call = true;
            } else if line.starts_with(['0', '+', '-', '*']) {
                let mut words = line.split(' ');
                place.address = address(place.address, words.next()?)?;
                let count: u64 = words.nth(1)?.parse().ok()?;
                if !std::mem::take(&mut is_call) {
                    *counts.entry(place).or_default() += count;
                }
            }
        }
        (!counts.is_empty()).then_some(Self(counts))
    }

    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// What was executed more often than in a shorter run, and how much more.
    pub fn since(&self, shorter: &Self) -> impl Iterator<Item = (Place, u64)> {
        self.0.iter().map(|(place, count)| {
            let before = shorter.0.get(place).copied().unwrap_or(0);
            (*place, count.saturating_sub(before))
        })
    }
}

/// A file's name stands beside its number, `(4) /lib/…`, where the number stands first.
fn of_name<'t>(objects: &mut HashMap<&'t str, u64>, text: &'t str) -> Option<u64> {
    let (number, name) = text.split_once(')')?;
    if !name.is_empty() {
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        objects.insert(number, hasher.hash_one(name));
    }
    objects.get(number).copied()
}

/// An address, or how far it lies from the last one.
fn address(last: u64, word: &str) -> Option<u64> {
    match word.split_at_checked(1)? {
        ("*", "") => Some(last),
        ("+", more) => last.checked_add(more.parse().ok()?),
        ("-", less) => last.checked_sub(less.parse().ok()?),
        _ => u64::from_str_radix(word.strip_prefix("0x")?, 16).ok(),
    }
}
