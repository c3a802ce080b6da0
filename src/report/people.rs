use std::collections::HashSet;

use foldhash::fast::FixedState;
use serde_json::{Value, json};

use crate::domain::SubjectKey;

/// Bits of a key that choose a register.
const REGISTER_BITS: u32 = 14;
const REGISTERS: usize = 1 << REGISTER_BITS;

/// How many distinct people were seen: exactly, or in 16 KiB by HyperLogLog, whose standard error
/// is 0.8 %.
///
/// Keys are hashes already (keyed BLAKE3), so their own bits are what the estimate needs.
#[derive(Debug)]
pub enum People {
    Exact(HashSet<SubjectKey, FixedState>),
    Estimated(Box<[u8; REGISTERS]>),
}

impl Default for People {
    fn default() -> Self {
        Self::Exact(HashSet::default())
    }
}

impl People {
    /// Whether it takes room for one more key.
    pub fn add(&mut self, key: SubjectKey) -> bool {
        match self {
            Self::Exact(keys) => keys.insert(key),
            Self::Estimated(registers) => {
                note(registers, key);
                false
            }
        }
    }

    /// Adds a key, of which `most` are kept; beyond that people are estimated.
    pub fn add_within(&mut self, key: SubjectKey, most: usize) {
        if self.add(key) && self.kept() > most {
            self.estimate();
        }
    }

    /// Keys that are kept.
    pub fn kept(&self) -> usize {
        match self {
            Self::Exact(keys) => keys.len(),
            Self::Estimated(_) => 0,
        }
    }

    /// Gives up the keys for an estimate.
    pub fn estimate(&mut self) {
        if let Self::Exact(keys) = self {
            let mut registers = Box::new([0; REGISTERS]);
            keys.iter().for_each(|key| note(&mut registers, *key));
            *self = Self::Estimated(registers);
        }
    }

    pub fn is_exact(&self) -> bool {
        matches!(self, Self::Exact(_))
    }

    pub fn count(&self) -> u64 {
        match self {
            Self::Exact(keys) => keys.len() as u64,
            Self::Estimated(registers) => estimated(registers),
        }
    }

    /// For people: an estimate says so.
    pub fn told(&self) -> String {
        match self {
            Self::Exact(keys) => keys.len().to_string(),
            Self::Estimated(_) => format!("about {}", self.count()),
        }
    }

    /// The members `subjects` and `subjects_exact`.
    pub fn json(&self) -> [(&'static str, Value); 2] {
        [
            ("subjects", json!(self.count())),
            ("subjects_exact", json!(self.is_exact())),
        ]
    }
}

fn note(registers: &mut [u8; REGISTERS], key: SubjectKey) {
    let bits = u128::from_be_bytes(key.to_bytes());
    let register = (bits >> (128 - REGISTER_BITS)) as usize;
    // Counted in what is left of the key, which is never all zeros in practice.
    let zeros = (bits << REGISTER_BITS).leading_zeros().min(113);
    let rank = u8::try_from(zeros + 1).unwrap_or(u8::MAX);
    if let Some(known) = registers.get_mut(register) {
        *known = rank.max(*known);
    }
}

/// Flajolet and others (2007), with their correction for few.
fn estimated(registers: &[u8; REGISTERS]) -> u64 {
    let count = REGISTERS as f64;
    let alpha = 0.7213 / (1.0 + 1.079 / count);
    let sum: f64 = registers.iter().map(|r| (-f64::from(*r)).exp2()).sum();
    let raw = alpha * count * count / sum;
    let empty = registers.iter().filter(|r| **r == 0).count();
    let found = if raw <= 2.5 * count && empty > 0 {
        count * (count / empty as f64).ln()
    } else {
        raw
    };
    found.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u64) -> SubjectKey {
        let hash = blake3::hash(&number.to_le_bytes());
        let bytes: [u8; 16] = hash.as_bytes()[..16].try_into().unwrap();
        SubjectKey::from_bytes(bytes)
    }

    #[test]
    fn each_person_counts_once() {
        let mut people = People::default();
        assert!(people.add(key(1)));
        assert!(!people.add(key(1)));
        assert!(people.add(key(2)));
        assert_eq!((people.count(), people.is_exact()), (2, true));
    }

    #[test]
    fn an_estimate_is_within_three_of_its_standard_errors() {
        for number in [10_u64, 1_000, 40_000, 300_000] {
            let mut people = People::default();
            (0..number / 2).for_each(|n| people.add_within(key(n), usize::MAX));
            people.estimate();
            (0..number).for_each(|n| people.add_within(key(n), usize::MAX));
            let off = people.count().abs_diff(number) as f64 / number as f64;
            assert!(off < 0.025, "{} of {number}", people.count());
            assert!(!people.is_exact());
        }
    }
}
