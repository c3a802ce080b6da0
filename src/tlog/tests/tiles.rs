//! Tiles, against what c2sp.org/tlog-tiles says of its examples.

use proptest::prelude::*;

use crate::tlog::{
    merkle::{Frontier, Hash, leaf_hash},
    tiles::*,
};

/// Names of full tiles, and of partial ones.
fn tiles(size: u64) -> (Vec<String>, Vec<String>, Tiles) {
    let (mut tree, mut full) = (Tiles::default(), Vec::new());
    for n in 0..size {
        let pushed = tree.push(leaf_hash(&n.to_le_bytes()), |tile| {
            full.push(tile.path());
            Ok::<_, ()>(())
        });
        pushed.unwrap();
    }
    let partial = tree.partial().map(|tile| tile.path()).collect();
    (full, partial, tree)
}

#[test]
fn paths_are_those_of_the_specification() {
    assert_eq!(path("0", 1_234_067, 256), "tile/0/x001/x234/067");
    assert_eq!(path("entries", 0, 256), "tile/entries/000");
    assert_eq!(path("63", 999, 1), "tile/63/999.p/1");
    assert_eq!(path("1", 1000, 255), "tile/1/x001/000.p/255");
}

#[test]
fn a_tree_of_70_000_has_the_tiles_of_the_specification() {
    let (full, partial, _) = tiles(70_000);
    let of_level = |level: &str| full.iter().filter(|t| t.starts_with(level)).count();
    assert_eq!((of_level("tile/0/"), of_level("tile/1/")), (273, 1));
    assert_eq!(full.len(), 274);
    let expected = ["tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1"];
    assert_eq!(partial, expected);
}

#[test]
fn a_tree_of_256_has_one_full_tile_and_begins_the_next_level() {
    let (full, partial, _) = tiles(256);
    assert_eq!(full, ["tile/0/000"]);
    assert_eq!(partial, ["tile/1/000.p/1"]);
    assert_eq!(tiles(0).1, [] as [&str; 0]);
}

#[test]
fn a_tile_belongs_to_the_trees_that_have_all_of_it() {
    let hashes = [[0; 32]; 256];
    let is_of = |level, index, width: usize, size| {
        let hashes = &hashes[..width];
        Tile {
            level,
            index,
            hashes,
        }
        .is_of(size)
    };
    assert!(is_of(0, 0, 256, 256) && !is_of(0, 0, 256, 255));
    assert!(is_of(0, 1, 5, 261) && !is_of(0, 1, 5, 260));
    assert!(is_of(1, 0, 2, 512) && !is_of(1, 0, 2, 511));
    assert!(is_of(2, 0, 1, 65_536) && !is_of(2, 0, 1, 65_535));
}

#[test]
fn the_root_is_that_of_the_tree() {
    for size in [
        0, 1, 255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537, 70_000,
    ] {
        let mut tree = Frontier::default();
        (0..size).for_each(|n: u64| tree.push(leaf_hash(&n.to_le_bytes())));
        assert_eq!(tiles(size).2.root(), tree.root(), "{size}");
    }
}

proptest! {
    #[test]
    fn a_tile_holds_the_roots_that_the_specification_says(size in 1_u64..1500) {
        let leaves: Vec<Hash> = (0..size).map(|n| leaf_hash(&n.to_le_bytes())).collect();
        let mut tree = Tiles::default();
        let mth = |leaves: &[Hash]| {
            let mut tree = Frontier::default();
            leaves.iter().for_each(|l| tree.push(*l));
            tree.root()
        };
        let look = |tile: Tile<'_>| {
            let span = 256_usize.pow(tile.level as u32);
            for (i, hash) in tile.hashes.iter().enumerate() {
                let start = (tile.index as usize * 256 + i) * span;
                assert_eq!(*hash, mth(&leaves[start..start + span]));
            }
            Ok::<_, ()>(())
        };
        for leaf in &leaves {
            tree.push(*leaf, look).unwrap();
        }
        tree.partial().for_each(|tile| look(tile).unwrap());
    }
}
