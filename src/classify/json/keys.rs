//! No key twice in an object: the check that keeps two readers from seeing two records.

use std::{borrow::Cow, collections::HashSet, hash::RandomState};

use smallvec::SmallVec;

use super::value::unescape;

/// Up to this many keys an object's keys are compared one by one, beyond by a table.
const FEW: usize = 32;

/// The keys of all objects that are open, innermost last.
pub(super) struct OpenKeys<'a> {
    keys: SmallVec<[Key<'a>; 64]>,
    /// For objects of more than [`FEW`] keys, innermost last.
    many: Vec<Many<'a>>,
}

/// The keys of an object of many.
///
/// Fingerprints make a cheap table, but anybody can choose keys that share one. A table in which
/// look-ups collide more than honest keys do is exchanged for a hash set whose seed nobody knows,
/// so that no object costs the square of its length.
enum Many<'a> {
    /// Places in the open keys, from the object's first, plus one; 0 is free. A power of two, at
    /// most half full.
    Cheap {
        table: Vec<u32>,
        collisions: usize,
    },
    Seeded(HashSet<Cow<'a, [u8]>, RandomState>),
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
            many: Vec::new(),
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
            return self.is_new_of_many(opened, key);
        }
        let bit = 1u64 << (key.print >> 58);
        let so_far = self.keys.get(opened.first..).unwrap_or_default();
        if opened.mask & bit != 0 && so_far.iter().any(|k| k.print == key.print && k.same(&key)) {
            return false;
        }
        if so_far.len() >= FEW {
            self.many.push(Many::cheap(so_far));
            opened.many = true;
            return self.is_new_of_many(opened, key);
        }
        opened.mask |= bit;
        self.keys.push(key);
        true
    }

    pub fn close(&mut self, opened: Opened) {
        self.keys.truncate(opened.first);
        if opened.many {
            self.many.pop();
        }
    }

    fn is_new_of_many(&mut self, opened: &Opened, key: Key<'a>) -> bool {
        let so_far = self.keys.get(opened.first..).unwrap_or_default();
        let Some(many) = self.many.last_mut() else {
            return false;
        };
        match many {
            Many::Seeded(set) => return set.insert(key.meant()),
            Many::Cheap { table, collisions } => {
                if table.len() <= so_far.len() * 2 {
                    *table = index(so_far, table.len() * 2, collisions);
                }
                if !insert(table, so_far, &key, so_far.len(), collisions) {
                    return false;
                }
                self.keys.push(key);
                // Honest keys collide about once each while a table grows to half full.
                if *collisions <= 8 * (self.keys.len() - opened.first) {
                    return true;
                }
            }
        }
        let keys = self.keys.drain(opened.first..);
        *many = Many::Seeded(keys.map(|k| k.meant()).collect());
        true
    }
}

impl<'a> Many<'a> {
    fn cheap(keys: &[Key<'a>]) -> Self {
        let mut collisions = 0;
        Self::Cheap {
            table: index(keys, FEW * 4, &mut collisions),
            collisions,
        }
    }
}

/// A table of `size`, a power of two, over keys that differ.
fn index(keys: &[Key<'_>], size: usize, collisions: &mut usize) -> Vec<u32> {
    let mut table = vec![0; size];
    for (place, key) in keys.iter().enumerate() {
        insert(&mut table, keys, key, place, collisions);
    }
    table
}

/// Puts the key at `place` into the table; `false` if it is there already.
fn insert(
    table: &mut [u32],
    keys: &[Key<'_>],
    key: &Key<'_>,
    place: usize,
    collisions: &mut usize,
) -> bool {
    for slot in probe(key.print, table.len()) {
        let Some(held) = table.get_mut(slot) else {
            return false;
        };
        let Some(other) = held.checked_sub(1) else {
            // Places fit: there are fewer keys than bytes in the text, which fit.
            *held = u32::try_from(place + 1).unwrap_or(u32::MAX);
            return true;
        };
        *collisions += 1;
        let other = keys.get(other as usize);
        if other.is_some_and(|k| k.print == key.print && k.same(key)) {
            return false;
        }
    }
    false
}

/// Every slot of a table of `size`, a power of two or 0, once, from the one that `print` says.
pub(super) fn probe(print: u64, size: usize) -> impl Iterator<Item = usize> {
    let mask = size.wrapping_sub(1);
    let first = usize::try_from(print & 0xffff_ffff).unwrap_or(0);
    (0..size).map(move |i| first.wrapping_add(i) & mask)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn all_new(keys: &[String]) -> OpenKeys<'_> {
        let mut open = OpenKeys::new();
        let mut opened = open.open();
        for key in keys {
            assert!(open.is_new(&mut opened, Key::new(key, false)), "{key}");
        }
        for key in keys {
            assert!(!open.is_new(&mut opened, Key::new(key, false)), "{key}");
        }
        open
    }

    #[test]
    fn honest_keys_stay_in_the_cheap_table() {
        let keys: Vec<String> = (0..5000).map(|i| format!("attribute_{i}")).collect();
        let open = all_new(&keys);
        assert!(matches!(open.many.last(), Some(Many::Cheap { .. })));
    }

    #[test]
    fn keys_chosen_to_collide_meet_a_seed() {
        let keys: Vec<String> = (0..5000)
            .map(|i| format!("12345678{i:06}12345678"))
            .collect();
        let prints: HashSet<u64> = keys.iter().map(|k| Key::new(k, false).print).collect();
        assert_eq!(prints.len(), 1, "the attack works on the fingerprint");
        let open = all_new(&keys);
        assert!(matches!(open.many.last(), Some(Many::Seeded(_))));
    }

    #[test]
    fn a_closed_object_leaves_its_parents_keys() {
        let keys: Vec<String> = (0..100).map(|i| format!("k{i}")).collect();
        let mut open = OpenKeys::new();
        let mut outer = open.open();
        for key in &keys {
            assert!(open.is_new(&mut outer, Key::new(key, false)));
            let mut inner = open.open();
            for key in &keys {
                assert!(open.is_new(&mut inner, Key::new(key, false)));
            }
            open.close(inner);
        }
        for key in &keys {
            assert!(!open.is_new(&mut outer, Key::new(key, false)));
        }
        open.close(outer);
        assert!(open.keys.is_empty() && open.many.is_empty());
    }
}
