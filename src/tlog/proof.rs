//! The texts of proofs: c2sp.org/tlog-proof, and the consistency proof of c2sp.org/tlog-witness.

use std::fmt;

use super::{
    LogError, base64,
    checkpoint::{hash, number},
    folder::put_leaf,
    merkle::Hash,
};

pub const INCLUSION: &str = "c2sp.org/tlog-proof@v1";
const OLD: &str = "old ";
/// A tree has no more levels than that.
const HASHES_MOST: usize = 63;

/// That an entry stands in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inclusion {
    /// From 0.
    pub index: u64,
    /// The `extra` line: the leaf as a bundle holds it, then the bytes of its profile.
    pub extra: Option<Vec<u8>>,
    pub hashes: Vec<Hash>,
    /// The checkpoint as it stands.
    pub note: String,
}

/// That a log contains all that it contained when it had `old` entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consistency {
    pub old: u64,
    pub hashes: Vec<Hash>,
    pub note: String,
}

impl Inclusion {
    /// The text for leaf and profile.
    pub fn extra(leaf: &[u8], profile: &[u8]) -> Result<Vec<u8>, LogError> {
        let mut extra = Vec::with_capacity(2 + leaf.len() + profile.len());
        put_leaf(&mut extra, leaf)?;
        extra.extend_from_slice(profile);
        Ok(extra)
    }

    /// Leaf and profile, where the proof carries them.
    pub fn carried(&self) -> Option<(&[u8], &[u8])> {
        let (length, rest) = self.extra.as_deref()?.split_first_chunk()?;
        rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
    }

    /// # Errors
    /// [`LogError::No`] where it is no such proof.
    pub fn parse(text: &str) -> Result<Self, LogError> {
        let (lines, note) = halves(text)?;
        let mut lines = lines.split('\n').peekable();
        if lines.next() != Some(INCLUSION) {
            return Err(no("it does not begin as one"));
        }
        let extra = lines.next_if(|l| l.starts_with("extra "));
        let extra = match extra.and_then(|l| l.strip_prefix("extra ")) {
            None => None,
            Some(text) => {
                let bytes = base64::decode(text);
                Some(bytes.ok_or_else(|| no("its `extra` line is not base64"))?)
            }
        };
        let index = lines.next().and_then(|l| l.strip_prefix("index "));
        let index = index.and_then(number);
        Ok(Self {
            index: index.ok_or_else(|| no("it has no line `index NUMBER`"))?,
            extra,
            hashes: hashes(lines)?,
            note,
        })
    }
}

impl Consistency {
    /// Whether a text means to be one.
    pub fn is_meant(text: &str) -> bool {
        text.starts_with(OLD)
    }

    /// # Errors
    /// As [`Inclusion::parse`].
    pub fn parse(text: &str) -> Result<Self, LogError> {
        let (lines, note) = halves(text)?;
        let mut lines = lines.split('\n');
        let old = lines.next().and_then(|l| l.strip_prefix(OLD));
        let old = old.and_then(number);
        Ok(Self {
            old: old.ok_or_else(|| no("it does not begin with `old NUMBER`"))?,
            hashes: hashes(lines)?,
            note,
        })
    }
}

fn no(why: &str) -> LogError {
    LogError::no(format!("it is no proof: {why}"))
}

fn halves(text: &str) -> Result<(&str, String), LogError> {
    let halves = text.split_once("\n\n");
    let (lines, note) = halves.ok_or_else(|| no("no checkpoint follows after an empty line"))?;
    Ok((lines, note.to_owned()))
}

fn hashes<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Vec<Hash>, LogError> {
    let hashes = lines.map(hash).collect::<Option<Vec<_>>>();
    let hashes = hashes.filter(|h| h.len() <= HASHES_MOST);
    hashes.ok_or_else(|| no("a line of it is no hash, or there are too many"))
}

fn put_hashes(f: &mut fmt::Formatter<'_>, hashes: &[Hash]) -> fmt::Result {
    let mut lines = hashes.iter().map(|h| base64::encode(h));
    lines.try_for_each(|line| writeln!(f, "{line}"))
}

impl fmt::Display for Inclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{INCLUSION}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", base64::encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        put_hashes(f, &self.hashes)?;
        write!(f, "\n{}", self.note)
    }
}

impl fmt::Display for Consistency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{OLD}{}", self.old)?;
        put_hashes(f, &self.hashes)?;
        write!(f, "\n{}", self.note)
    }
}
