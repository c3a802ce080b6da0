//! Tiles (c2sp.org/tlog-tiles): a tree as files of 256 hashes each, that never change.

use super::merkle::{Hash, root_of};

/// Hashes in a full tile, entries in a full bundle.
pub const WIDTH: usize = 256;

/// A tree that grows leaf by leaf; holds what stands in no full tile yet.
#[derive(Clone, Debug, Default)]
pub struct Tiles {
    size: u64,
    levels: Vec<Vec<Hash>>,
}

/// One tile: its level, its place in it, its hashes.
pub struct Tile<'a> {
    pub level: usize,
    pub index: u64,
    pub hashes: &'a [Hash],
}

impl Tile<'_> {
    pub fn path(&self) -> String {
        path(&self.level.to_string(), self.index, self.hashes.len())
    }

    /// Whether it belongs to a tree of `size`.
    pub fn is_of(&self, size: u64) -> bool {
        let shift = u32::try_from(8 * self.level).unwrap_or(u32::MAX);
        let there = size.checked_shr(shift).unwrap_or(0);
        self.index * WIDTH as u64 + self.hashes.len() as u64 <= there
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.hashes.concat()
    }
}

impl Tiles {
    /// `full` gets each tile that this leaf makes full, from below.
    pub fn push<E>(
        &mut self,
        leaf: Hash,
        mut full: impl FnMut(Tile<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.size += 1;
        let (mut hash, mut level, mut tiles) = (leaf, 0, self.size);
        loop {
            if level == self.levels.len() {
                self.levels.push(Vec::with_capacity(WIDTH));
            }
            let Some(hashes) = self.levels.get_mut(level) else {
                return Ok(());
            };
            hashes.push(hash);
            if hashes.len() < WIDTH {
                return Ok(());
            }
            tiles /= WIDTH as u64;
            full(Tile {
                level,
                index: tiles - 1,
                hashes,
            })?;
            hash = root_of(hashes);
            hashes.clear();
            level += 1;
        }
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    /// Each tile begun and not full.
    pub fn partial(&self) -> impl Iterator<Item = Tile<'_>> {
        let begun = self.levels.iter().enumerate();
        begun.filter(|(_, h)| !h.is_empty()).map(|(level, hashes)| {
            let shift = u32::try_from(8 * (level + 1)).unwrap_or(u32::MAX);
            let index = self.size.checked_shr(shift).unwrap_or(0);
            Tile {
                level,
                index,
                hashes,
            }
        })
    }

    pub fn root(&self) -> Hash {
        let mut right: Option<Hash> = None;
        for hashes in self.levels.iter().filter(|h| !h.is_empty()) {
            let all: Vec<Hash> = hashes.iter().copied().chain(right).collect();
            right = Some(root_of(&all));
        }
        right.unwrap_or_else(|| root_of(&[]))
    }
}

/// `level`: a number, or `entries`.
pub fn path(level: &str, index: u64, width: usize) -> String {
    let mut groups = vec![format!("{:03}", index % 1000)];
    let mut rest = index / 1000;
    while rest > 0 {
        groups.push(format!("x{:03}", rest % 1000));
        rest /= 1000;
    }
    groups.reverse();
    let path = format!("tile/{level}/{}", groups.join("/"));
    match width {
        WIDTH => path,
        _ => format!("{path}.p/{width}"),
    }
}
