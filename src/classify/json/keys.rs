//! No key twice in an object: the check that keeps two readers from seeing two records.

use std::{borrow::Cow, collections::HashSet, hash::RandomState};

use smallvec::SmallVec;

use super::value::unescape;

/// Up to this many keys an object's keys are compared one by one; beyond, by a hash set whose
/// seed nobody knows, so that an object of many keys cannot cost the square of its length.
const FEW: usize = 32;

/// The keys of all objects that are open, innermost last.
pub(super) struct OpenKeys<'a> {
    keys: SmallVec<[Key<'a>; 48]>,
    /// For objects of more than [`FEW`] keys, innermost last.
    sets: Vec<HashSet<Cow<'a, [u8]>, RandomState>>,
}

/// One open object.
#[derive(Clone, Copy)]
pub(super) struct Opened {
    first: usize,
    /// One bit for each key by its fingerprint: no bit, no such key.
    mask: u64,
    many: bool,
}

/// A key as it stands in the text, and the fingerprint of what it means.
#[derive(Clone, Copy)]
pub(super) struct Key<'a> {
    raw: &'a str,
    escaped: bool,
    pub print: u64,
}

impl<'a> Key<'a> {
    pub fn new(raw: &'a str, escaped: bool) -> Self {
        let print = if escaped {
            fingerprint(unescape(raw).as_bytes())
        } else {
            fingerprint(raw.as_bytes())
        };
        Self {
            raw,
            escaped,
            print,
        }
    }

    pub fn meant(&self) -> Cow<'a, [u8]> {
        if self.escaped {
            Cow::Owned(unescape(self.raw).into_bytes())
        } else {
            Cow::Borrowed(self.raw.as_bytes())
        }
    }

    fn same(&self, other: &Self) -> bool {
        if self.escaped || other.escaped {
            self.meant() == other.meant()
        } else {
            self.raw == other.raw
        }
    }
}

impl<'a> OpenKeys<'a> {
    pub fn new() -> Self {
        Self {
            keys: SmallVec::new(),
            sets: Vec::new(),
        }
    }

    pub fn open(&self) -> Opened {
        Opened {
            first: self.keys.len(),
            mask: 0,
            many: false,
        }
    }

    /// Whether `key` is new in the innermost object, which is `opened`.
    #[inline]
    pub fn is_new(&mut self, opened: &mut Opened, key: Key<'a>) -> bool {
        if opened.many {
            return self
                .sets
                .last_mut()
                .is_some_and(|set| set.insert(key.meant()));
        }
        let bit = 1u64 << (key.print >> 58);
        let so_far = self.keys.get(opened.first..).unwrap_or_default();
        if opened.mask & bit != 0 && so_far.iter().any(|k| k.print == key.print && k.same(&key)) {
            return false;
        }
        if so_far.len() >= FEW {
            return self.turn_many(opened, key);
        }
        opened.mask |= bit;
        self.keys.push(key);
        true
    }

    pub fn close(&mut self, opened: Opened) {
        self.keys.truncate(opened.first);
        if opened.many {
            self.sets.pop();
        }
    }

    #[cold]
    fn turn_many(&mut self, opened: &mut Opened, key: Key<'a>) -> bool {
        let mut set = HashSet::with_capacity_and_hasher(FEW * 4, RandomState::new());
        set.extend(self.keys.drain(opened.first..).map(|k| k.meant()));
        let new = set.insert(key.meant());
        self.sets.push(set);
        opened.many = true;
        new
    }
}

/// A cheap mark of a name: its length, first and last eight bytes. Names that differ may share
/// one; names that share none differ.
#[inline]
pub(super) fn fingerprint(name: &[u8]) -> u64 {
    let (head, tail) = match (name.first_chunk::<8>(), name.last_chunk::<8>()) {
        (Some(head), Some(tail)) => (u64::from_le_bytes(*head), u64::from_le_bytes(*tail)),
        _ => match (name.first_chunk::<4>(), name.last_chunk::<4>()) {
            (Some(head), Some(tail)) => (
                u64::from(u32::from_le_bytes(*head)),
                u64::from(u32::from_le_bytes(*tail)),
            ),
            _ => {
                let byte = |b: Option<&u8>| b.copied().map_or(0, u64::from);
                (
                    byte(name.first()) | byte(name.get(1)) << 8,
                    byte(name.last()),
                )
            }
        },
    };
    let length = u64::try_from(name.len()).unwrap_or(u64::MAX);
    let mixed = (head ^ tail.rotate_left(29) ^ length.wrapping_mul(0xff51_afd7_ed55_8ccd))
        .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 32)
}
