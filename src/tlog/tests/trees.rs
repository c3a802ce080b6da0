//! Merkle trees, against the vectors of Certificate Transparency (as github.com/transparency-dev/merkle
//! has them) and against the definitions of RFC 6962 §2.1, written down as they stand there.

use proptest::prelude::*;

use super::{hash, hex};
use crate::tlog::merkle::*;

const LEAVES: [&str; 8] = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
];

const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

const LEAF_2: &str = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7";
const LEAF_3: &str = "0298d122906dcfc10892cb53a73992fc5b9f493ea4c9badb27b791b4127a7fe7";
const LEAF_4: &str = "07506a85fd9dd2f120eb694f86011e5bb4662e5c415a62917033d4a9624487e7";
const LEAF_5: &str = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b";
const LEAF_7: &str = "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f";
const OF_3_4: &str = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e";
const OF_5_6: &str = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a";
const OF_7_8: &str = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0";
const OF_5_8: &str = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4";

fn leaves() -> Vec<Hash> {
    LEAVES.iter().map(|leaf| leaf_hash(&hex(leaf))).collect()
}

fn root_by_growing(leaves: &[Hash]) -> Hash {
    let mut tree = Frontier::default();
    leaves.iter().for_each(|leaf| tree.push(*leaf));
    tree.root()
}

fn proven(leaves: &[Hash], ranges: Vec<std::ops::Range<u64>>) -> Vec<Hash> {
    let mut wanted = Wanted::new(ranges);
    for (index, leaf) in leaves.iter().enumerate() {
        wanted.push(index as u64, *leaf);
    }
    wanted.hashes().unwrap()
}

#[test]
fn the_roots_are_those_of_certificate_transparency() {
    for (size, root) in ROOTS.iter().enumerate() {
        assert_eq!(root_of(&leaves()[..size]), hash(root), "{size}");
        assert_eq!(root_by_growing(&leaves()[..size]), hash(root), "{size}");
    }
}

#[test]
fn the_inclusion_proofs_are_those_of_certificate_transparency() {
    for (index, size, proof) in [
        (0, 1, vec![]),
        (0, 8, vec![LEAF_2, OF_3_4, OF_5_8]),
        (5, 8, vec![LEAF_5, OF_7_8, ROOTS[4]]),
        (2, 3, vec![ROOTS[2]]),
        (1, 5, vec![ROOTS[1], OF_3_4, LEAF_5]),
    ] {
        let hashes: Vec<Hash> = proof.into_iter().map(hash).collect();
        let leaves = &leaves()[..size as usize];
        assert_eq!(proven(leaves, inclusion(index, size)), hashes);
        let root = root_by_inclusion(index, size, leaves[index as usize], &hashes);
        assert_eq!(root, Some(hash(ROOTS[size as usize])));
    }
}

#[test]
fn the_consistency_proofs_are_those_of_certificate_transparency() {
    for (old, new, proof) in [
        (1, 1, vec![]),
        (1, 8, vec![LEAF_2, OF_3_4, OF_5_8]),
        (6, 8, vec![OF_5_6, OF_7_8, ROOTS[4]]),
        (2, 5, vec![OF_3_4, LEAF_5]),
        (3, 7, vec![LEAF_3, LEAF_4, ROOTS[2], "567"]),
        (6, 7, vec![OF_5_6, LEAF_7, ROOTS[4]]),
    ] {
        let of_5_7 = node_hash(&hash(OF_5_6), &hash(LEAF_7));
        let known = |h| if h == "567" { of_5_7 } else { hash(h) };
        let hashes: Vec<Hash> = proof.into_iter().map(known).collect();
        assert_eq!(
            proven(&leaves()[..new as usize], consistency(old, new)),
            hashes
        );
        let root = |size: u64| (size, hash(ROOTS[size as usize]));
        assert!(is_consistent(root(old), root(new), &hashes), "{old} {new}");
    }
}

/// RFC 6962 §2.1.
fn mth(d: &[Hash]) -> Hash {
    match d.len() {
        0 => hash(ROOTS[0]),
        1 => d[0],
        n => node_hash(&mth(&d[..k(n)]), &mth(&d[k(n)..])),
    }
}

fn k(n: usize) -> usize {
    let mut k = 1;
    while k * 2 < n {
        k *= 2;
    }
    k
}

/// RFC 6962 §2.1.1.
fn path(m: usize, d: &[Hash]) -> Vec<Hash> {
    let n = d.len();
    if n == 1 {
        return Vec::new();
    }
    let (left, right) = d.split_at(k(n));
    let (mut proof, sibling) = if m < k(n) {
        (path(m, left), mth(right))
    } else {
        (path(m - k(n), right), mth(left))
    };
    proof.push(sibling);
    proof
}

/// RFC 6962 §2.1.2.
fn subproof(m: usize, d: &[Hash], b: bool) -> Vec<Hash> {
    let n = d.len();
    if m == n {
        return if b { Vec::new() } else { vec![mth(d)] };
    }
    let (left, right) = d.split_at(k(n));
    let (mut proof, sibling) = if m <= k(n) {
        (subproof(m, left, b), mth(right))
    } else {
        (subproof(m - k(n), right, false), mth(left))
    };
    proof.push(sibling);
    proof
}

fn tree_of(size: u64) -> Vec<Hash> {
    (0..size).map(|n| leaf_hash(&n.to_le_bytes())).collect()
}

#[test]
fn small_trees_are_as_the_definitions_say() {
    for size in 0..=20_u64 {
        let d = tree_of(size);
        assert_eq!(root_by_growing(&d), mth(&d));
        for index in 0..size {
            let proof = proven(&d, inclusion(index, size));
            assert_eq!(proof, path(index as usize, &d), "{index} of {size}");
        }
        for old in 1..=size {
            let proof = proven(&d, consistency(old, size));
            assert_eq!(proof, subproof(old as usize, &d, true), "{old} of {size}");
        }
        assert_eq!(consistency(0, size), []);
    }
}

#[test]
fn an_empty_old_tree_is_contained_in_any() {
    let empty = (0, hash(ROOTS[0]));
    assert!(is_consistent(empty, (3, hash(ROOTS[3])), &[]));
    assert!(!is_consistent(
        (0, hash(ROOTS[1])),
        (3, hash(ROOTS[3])),
        &[]
    ));
    assert!(!is_consistent(
        empty,
        (3, hash(ROOTS[3])),
        &[hash(ROOTS[1])]
    ));
    assert!(!is_consistent((3, hash(ROOTS[3])), empty, &[]));
    assert!(!is_consistent(
        (3, hash(ROOTS[3])),
        (3, hash(ROOTS[4])),
        &[]
    ));
}

proptest! {
    #[test]
    fn proofs_hold_and_hold_for_nothing_else(
        size in 1_u64..700,
        index: prop::sample::Index,
        old: prop::sample::Index,
        flipped: prop::sample::Index,
        bit in 0_u8..8,
    ) {
        let d = tree_of(size);
        let root = mth(&d);
        let index = index.index(size as usize);
        let mut proof = path(index, &d);
        prop_assert_eq!(&proof, &proven(&d, inclusion(index as u64, size)));
        let by = |index: u64, size, leaf, proof: &[Hash]| root_by_inclusion(index, size, leaf, proof);
        let leaf = d[index];
        prop_assert_eq!(by(index as u64, size, leaf, &proof), Some(root));
        prop_assert_ne!(by(index as u64, size, [1; 32], &proof), Some(root));
        if size > 1 {
            prop_assert_ne!(by((index as u64 + 1) % size, size, leaf, &proof), Some(root));
            let at = flipped.index(proof.len() * 32);
            proof[at / 32][at % 32] ^= 1 << bit;
            prop_assert_ne!(by(index as u64, size, leaf, &proof), Some(root));
            proof.pop();
            prop_assert_eq!(by(index as u64, size, leaf, &proof), None);
        }

        let old = old.index(size as usize) + 1;
        let old_root = mth(&d[..old]);
        let (before, now) = ((old as u64, old_root), (size, root));
        let mut proof = subproof(old, &d, true);
        prop_assert_eq!(&proof, &proven(&d, consistency(old as u64, size)));
        prop_assert!(is_consistent(before, now, &proof));
        prop_assert!(!is_consistent((old as u64, [1; 32]), now, &proof));
        prop_assert!(!is_consistent(before, (size, [1; 32]), &proof));
        if !proof.is_empty() {
            let at = flipped.index(proof.len() * 32);
            proof[at / 32][at % 32] ^= 1 << bit;
            prop_assert!(!is_consistent(before, now, &proof));
            proof.pop();
            prop_assert!(!is_consistent(before, now, &proof));
        }
    }
}
