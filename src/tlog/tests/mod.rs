mod exports;
mod notes;
mod tiles;
mod trees;

use super::merkle::Hash;

/// Of hexadecimal digits.
fn hash(text: &str) -> Hash {
    hex(text).try_into().unwrap()
}

fn hex(text: &str) -> Vec<u8> {
    let digits = |at: usize| u8::from_str_radix(text.get(at..at + 2).unwrap(), 16).unwrap();
    (0..text.len()).step_by(2).map(digits).collect()
}
