//! Merkle trees of RFC 6962 §2.1 (the same in RFC 9162). Pure.
//!
//! A proof is a list of ranges of leaves, of each of which it gives the hash: [`inclusion`] and
//! [`consistency`] say which, [`Wanted`] works them out while leaves come by.

use std::ops::Range;

use aws_lc_rs::digest::{Context, SHA256};

pub type Hash = [u8; 32];

fn sha256(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    // SHA-256 gives 32 bytes.
    context.finish().as_ref().try_into().unwrap_or_default()
}

pub fn leaf_hash(leaf: &[u8]) -> Hash {
    sha256(&[&[0], leaf])
}

pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    sha256(&[&[1], left, right])
}

pub fn digest(bytes: &[u8]) -> Hash {
    sha256(&[bytes])
}

/// The root over subtrees of one size, of which the last may be smaller.
pub fn root_of(hashes: &[Hash]) -> Hash {
    match hashes {
        [] => sha256(&[]),
        [one] => *one,
        _ => {
            let (left, right) = hashes.split_at(split(hashes.len() as u64) as usize);
            node_hash(&root_of(left), &root_of(right))
        }
    }
}

/// The largest power of two below `size`, which is 2 at least.
fn split(size: u64) -> u64 {
    1 << (u64::BITS - 1 - (size.max(2) - 1).leading_zeros())
}

/// A tree that grows leaf by leaf; keeps the roots of its perfect subtrees alone.
#[derive(Clone, Debug, Default)]
pub struct Frontier {
    size: u64,
    roots: Vec<Hash>,
}

impl Frontier {
    pub fn push(&mut self, leaf: Hash) {
        self.size += 1;
        let merges = self.size.trailing_zeros();
        let merged = (0..merges).fold(leaf, |right, _| match self.roots.pop() {
            Some(left) => node_hash(&left, &right),
            None => right,
        });
        self.roots.push(merged);
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    pub fn root(&self) -> Hash {
        let smallest_first = self.roots.iter().rev().copied();
        let root = smallest_first.reduce(|right, left| node_hash(&left, &right));
        root.unwrap_or_else(|| root_of(&[]))
    }
}

/// What proves leaf `index` (from 0) of a tree of `size`, from the leaf's sibling upwards: RFC 6962
/// §2.1.1. Empty where there is no such leaf.
pub fn inclusion(index: u64, size: u64) -> Vec<Range<u64>> {
    let (mut ranges, mut here) = (Vec::new(), 0..size);
    while index < size && here.end - here.start > 1 {
        let middle = here.start + split(here.end - here.start);
        if index < middle {
            ranges.push(middle..here.end);
            here.end = middle;
        } else {
            ranges.push(here.start..middle);
            here.start = middle;
        }
    }
    ranges.reverse();
    ranges
}

/// What proves that a tree of `new` leaves begins with one of `old`: RFC 6962 §2.1.2. Empty where
/// nothing need be proven.
pub fn consistency(old: u64, new: u64) -> Vec<Range<u64>> {
    let (mut ranges, mut here) = (Vec::new(), 0..new);
    if old == 0 || old >= new {
        return ranges;
    }
    while old < here.end {
        let middle = here.start + split(here.end - here.start);
        if old <= middle {
            ranges.push(middle..here.end);
            here.end = middle;
        } else {
            ranges.push(here.start..middle);
            here.start = middle;
        }
    }
    // Else it is the old tree itself, whose root the verifier has.
    if here.start > 0 {
        ranges.push(here);
    }
    ranges.reverse();
    ranges
}

/// The root that `proof` leads to from a leaf; `None` where it has not the right length.
pub fn root_by_inclusion(index: u64, size: u64, leaf: Hash, proof: &[Hash]) -> Option<Hash> {
    let ranges = inclusion(index, size);
    if index >= size || ranges.len() != proof.len() {
        return None;
    }
    let steps = ranges.iter().zip(proof);
    Some(steps.fold(leaf, |here, (range, hash)| {
        if range.start > index {
            node_hash(&here, hash)
        } else {
            node_hash(hash, &here)
        }
    }))
}

/// Whether `proof` shows that the tree of `new` leaves begins with that of `old`.
pub fn is_consistent(old: (u64, Hash), new: (u64, Hash), proof: &[Hash]) -> bool {
    let ((old_size, old_root), (new_size, new_root)) = (old, new);
    let ranges = consistency(old_size, new_size);
    if old_size > new_size || ranges.len() != proof.len() {
        return false;
    }
    if old_size == 0 {
        return old_root == root_of(&[]);
    }
    let mut steps = ranges.iter().zip(proof).peekable();
    // The last subtree of the old tree; all of it, where it is perfect.
    let first = match steps.next_if(|(range, _)| range.end == old_size) {
        Some((_, hash)) => *hash,
        None => old_root,
    };
    let (mut of_old, mut of_new) = (first, first);
    for (range, hash) in steps {
        if range.end <= old_size {
            of_old = node_hash(hash, &of_old);
            of_new = node_hash(hash, &of_new);
        } else {
            of_new = node_hash(&of_new, hash);
        }
    }
    of_old == old_root && of_new == new_root
}

/// The hashes of ranges of leaves, as the leaves come by in order.
pub struct Wanted(Vec<(Range<u64>, Frontier)>);

impl Wanted {
    pub fn new(ranges: Vec<Range<u64>>) -> Self {
        let with = |range| (range, Frontier::default());
        Self(ranges.into_iter().map(with).collect())
    }

    pub fn push(&mut self, index: u64, leaf: Hash) {
        for (_, tree) in self.0.iter_mut().filter(|(r, _)| r.contains(&index)) {
            tree.push(leaf);
        }
    }

    /// In the order in which they were wanted; `None` where leaves did not come.
    pub fn hashes(&self) -> Option<Vec<Hash>> {
        let whole = |(range, tree): &(Range<u64>, Frontier)| {
            (tree.size() == range.end - range.start).then(|| tree.root())
        };
        self.0.iter().map(whole).collect()
    }
}
