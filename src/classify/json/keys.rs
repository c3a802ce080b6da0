//! No key twice in an object: the check that keeps two readers from seeing two records.

use std::{borrow::Cow, collections::HashSet, hash::RandomState};

use smallvec::SmallVec;

use super::{RawString, bytes, cursor::Text};

/// Up to this many keys an object's keys are compared one by one, beyond by a table.
const FEW: u8 = 32;

/// The keys of all objects that are open, innermost last.
pub(super) struct OpenKeys<'a> {
    text: &'a [u8],
    keys: SmallVec<[Key; 64]>,
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
    /// One bit for each key by its fingerprint: no bit, no such key.
    mask: u64,
    /// Fits: there are fewer keys than bytes in the text.
    first: u32,
    /// How many more keys there may be before they go by a table; 0 once they do.
    few: u8,
    many: bool,
}

impl Opened {
    #[inline(always)]
    fn first(self) -> usize {
        self.first as usize
    }
}

/// A key: where it stands in the text, and the fingerprint of what it means. Small, since one is
/// kept of every member.
#[derive(Clone, Copy)]
pub(super) struct Key {
    pub print: u64,
    /// Of what stands between its quotes.
    start: u32,
    length: u32,
    pub escaped: bool,
}

impl Key {
    /// The key whose opening quote stands at `at`, if it is short and plain and eight bytes
    /// follow, and the place after it. One word is all that is read: the key's end is the lowest
    /// mark in it, and all that follows is cut off by a mask.
    #[inline(always)]
    pub fn short(text: &[u8], at: usize) -> Option<(Self, usize)> {
        let word = u64::from_le_bytes(*text.get(at + 1..)?.first_chunk()?);
        let marks = bytes::specials(word);
        if marks == 0 {
            return None;
        }
        let bits = marks.trailing_zeros() & 0x38;
        if (word >> bits) as u8 != b'"' {
            return None;
        }
        let length = bits / 8;
        let head = word & !(u64::MAX << bits);
        let key = Self {
            print: mixed(head, 0, u64::from(length)),
            // Texts of 4 GiB are refused before.
            start: (at + 1) as u32,
            length,
            escaped: false,
        };
        Some((key, at + 2 + length as usize))
    }

    /// The key between quotes that begins after `at` in the text.
    pub fn new(at: usize, key: Text<'_>) -> Self {
        let print = if key.escaped {
            fingerprint(&meant(key))
        } else {
            fingerprint(key.raw)
        };
        Self {
            print,
            start: (at + 1) as u32,
            length: key.raw.len() as u32,
            escaped: key.escaped,
        }
    }

    /// Where its opening quote stands.
    pub fn at(&self) -> usize {
        (self.start as usize).saturating_sub(1)
    }

    pub fn meant<'a>(&self, text: &'a [u8]) -> Cow<'a, [u8]> {
        meant(Text {
            raw: self.raw(text),
            escaped: self.escaped,
        })
    }

    fn raw<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        let start = self.start as usize;
        text.get(start..start + self.length as usize)
            .unwrap_or_default()
    }

    fn same(&self, other: &Self, text: &[u8]) -> bool {
        if self.print != other.print {
            false
        } else if self.escaped || other.escaped {
            self.meant(text) == other.meant(text)
        } else {
            self.is_named(other.length as usize, || other.raw(text), text)
        }
    }

    /// Whether a key without escapes is a name of this length, which has the same fingerprint.
    #[inline(always)]
    pub fn is_named<'n>(
        &self,
        length: usize,
        name: impl FnOnce() -> &'n [u8],
        text: &[u8],
    ) -> bool {
        self.length as usize == length && (length < SHORT || self.raw(text) == name())
    }
}

pub(super) fn meant(key: Text<'_>) -> Cow<'_, [u8]> {
    match RawString::checked(key).unescape() {
        Cow::Owned(meant) => Cow::Owned(meant.into_bytes()),
        Cow::Borrowed(_) => Cow::Borrowed(key.raw),
    }
}

impl<'a> OpenKeys<'a> {
    pub fn new(text: &'a [u8]) -> Self {
        Self {
            text,
            keys: SmallVec::new(),
            many: Vec::new(),
        }
    }

    #[inline(always)]
    pub fn open(&self) -> Opened {
        Opened {
            mask: 0,
            first: u32::try_from(self.keys.len()).unwrap_or(u32::MAX),
            few: FEW,
            many: false,
        }
    }

    /// Whether `key` is new in the innermost object, which is `opened`.
    #[inline(always)]
    pub fn is_new(&mut self, opened: &mut Opened, key: Key) -> bool {
        let bit = 1u64 << (key.print >> 58);
        if opened.mask & bit == 0 && opened.few > 0 {
            opened.mask |= bit;
            opened.few -= 1;
            self.keys.push(key);
            return true;
        }
        self.is_new_still(opened, key)
    }

    /// [`OpenKeys::is_new`] for a key that another may have the bit of, or in an object of many.
    #[inline(never)]
    fn is_new_still(&mut self, opened: &mut Opened, key: Key) -> bool {
        if opened.many {
            return self.is_new_of_many(opened, key);
        }
        let so_far = self.keys.get(opened.first()..).unwrap_or_default();
        if so_far.iter().any(|k| k.same(&key, self.text)) {
            return false;
        }
        if opened.few == 0 {
            self.many.push(Many::cheap(so_far, self.text));
            opened.many = true;
            return self.is_new_of_many(opened, key);
        }
        opened.few -= 1;
        self.keys.push(key);
        true
    }

    #[inline(always)]
    pub fn close(&mut self, opened: Opened) {
        self.keys.truncate(opened.first());
        if opened.many {
            self.many.pop();
        }
    }

    fn is_new_of_many(&mut self, opened: &Opened, key: Key) -> bool {
        let so_far = self.keys.get(opened.first()..).unwrap_or_default();
        let Some(many) = self.many.last_mut() else {
            return false;
        };
        match many {
            Many::Seeded(set) => return set.insert(key.meant(self.text)),
            Many::Cheap { table, collisions } => {
                if table.len() <= so_far.len() * 2 {
                    *table = index(so_far, self.text, table.len() * 2, collisions);
                }
                if !insert(table, so_far, self.text, &key, so_far.len(), collisions) {
                    return false;
                }
                self.keys.push(key);
                // Honest keys collide about once each while a table grows to half full.
                if *collisions <= 8 * (self.keys.len() - opened.first()) {
                    return true;
                }
            }
        }
        let keys = self.keys.drain(opened.first()..);
        *many = Many::Seeded(keys.map(|k| k.meant(self.text)).collect());
        true
    }
}

impl Many<'_> {
    fn cheap(keys: &[Key], text: &[u8]) -> Self {
        let mut collisions = 0;
        Self::Cheap {
            table: index(keys, text, usize::from(FEW) * 4, &mut collisions),
            collisions,
        }
    }
}

/// A table of `size`, a power of two, over keys that differ.
fn index(keys: &[Key], text: &[u8], size: usize, collisions: &mut usize) -> Vec<u32> {
    let mut table = vec![0; size];
    for (place, key) in keys.iter().enumerate() {
        insert(&mut table, keys, text, key, place, collisions);
    }
    table
}

/// Puts the key at `place` into the table; `false` if it is there already.
fn insert(
    table: &mut [u32],
    keys: &[Key],
    text: &[u8],
    key: &Key,
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
        if other.is_some_and(|k| k.same(key, text)) {
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

/// Names shorter than this are told apart by fingerprint and length alone.
const SHORT: usize = 8;

/// A cheap mark of a name: its length, first and last eight bytes. Names that differ may share
/// one, short ones of the same length never; names that share none differ.
pub(super) fn fingerprint(name: &[u8]) -> u64 {
    if let (Some(head), Some(tail)) = (name.first_chunk(), name.last_chunk()) {
        let (head, tail) = (u64::from_le_bytes(*head), u64::from_le_bytes(*tail));
        return mixed(head, tail, name.len() as u64);
    }
    let mut head = [0; SHORT];
    for (to, from) in head.iter_mut().zip(name) {
        *to = *from;
    }
    mixed(u64::from_le_bytes(head), 0, name.len() as u64)
}

/// Each step can be undone, so that of one length and tail each head has its own.
#[inline(always)]
fn mixed(head: u64, tail: u64, length: u64) -> u64 {
    let mixed = (head ^ tail.rotate_left(29) ^ length.wrapping_mul(0xff51_afd7_ed55_8ccd))
        .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys in one text after another, and where each stands.
    fn text(keys: &[String]) -> (Vec<u8>, Vec<Key>) {
        let mut text = String::new();
        let mut found = Vec::new();
        for name in keys {
            let raw = name.as_bytes();
            let escaped = false;
            found.push(Key::new(text.len(), Text { raw, escaped }));
            text.push('"');
            text.push_str(name);
            text.push('"');
        }
        (text.into_bytes(), found)
    }

    fn is_seeded_after(names: &[String]) -> bool {
        let (text, keys) = text(names);
        let mut open = OpenKeys::new(&text);
        let mut opened = open.open();
        for (name, key) in names.iter().zip(&keys) {
            assert!(open.is_new(&mut opened, *key), "{name}");
        }
        for (name, key) in names.iter().zip(&keys) {
            assert!(!open.is_new(&mut opened, *key), "{name}");
        }
        matches!(open.many.last(), Some(Many::Seeded(_)))
    }

    #[test]
    fn honest_keys_stay_in_the_cheap_table() {
        let names: Vec<String> = (0..5000).map(|i| format!("attribute_{i}")).collect();
        assert!(!is_seeded_after(&names));
    }

    #[test]
    fn keys_chosen_to_collide_meet_a_seed() {
        let names: Vec<String> = (0..5000)
            .map(|i| format!("12345678{i:06}12345678"))
            .collect();
        let prints: HashSet<u64> = names.iter().map(|n| fingerprint(n.as_bytes())).collect();
        assert_eq!(prints.len(), 1, "the attack works on the fingerprint");
        assert!(is_seeded_after(&names));
    }

    #[test]
    fn a_closed_object_leaves_its_parents_keys() {
        let names: Vec<String> = (0..100).map(|i| format!("k{i}")).collect();
        let (text, keys) = text(&names);
        let mut open = OpenKeys::new(&text);
        let mut outer = open.open();
        for key in &keys {
            assert!(open.is_new(&mut outer, *key));
            let mut inner = open.open();
            for key in &keys {
                assert!(open.is_new(&mut inner, *key));
            }
            open.close(inner);
        }
        for key in &keys {
            assert!(!open.is_new(&mut outer, *key));
        }
        open.close(outer);
        assert!(open.keys.is_empty() && open.many.is_empty());
    }

    #[test]
    fn a_key_has_one_fingerprint_however_it_is_read() {
        let names = [
            "",
            "a",
            "id",
            "country",
            "eight-by",
            "longer than eight",
            "\0",
            "a\0",
        ];
        for name in names {
            for after in ["\"", "\":1234567", "\\\"", "\u{1}\""] {
                let whole = format!("{{\"{name}{after}, and more of it");
                let short = Key::short(whole.as_bytes(), 1);
                let is_short = name.len() < 8 && !name.contains('\0') && after.starts_with('"');
                assert_eq!(short.is_some(), is_short, "{name:?} before {after:?}");
                if let Some((key, end)) = short {
                    assert_eq!(key.print, fingerprint(name.as_bytes()));
                    assert_eq!(key.raw(whole.as_bytes()), name.as_bytes());
                    assert_eq!(end, name.len() + 3);
                }
            }
        }
        let all = names.map(|n| (fingerprint(n.as_bytes()), n.len()));
        let distinct: HashSet<_> = all.into_iter().collect();
        assert_eq!(distinct.len(), names.len());
    }
}
