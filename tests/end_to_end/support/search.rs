//! Looks for bytes that must not be there.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Where a needle was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    pub file: PathBuf,
    pub offset: usize,
    pub needle: Vec<u8>,
}

/// Every place in the files below `folder` (or in the file `folder`) where one of `needles` stands,
/// byte for byte. Names of files count, too. Each file is read once, however many needles there
/// are.
pub fn search_bytes<N: AsRef<[u8]>>(folder: &Path, needles: &[N]) -> Vec<Hit> {
    let index = Index::new(needles);
    let mut hits = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(path) = waiting.pop() {
        let metadata = match std::fs::symlink_metadata(&path) {
            // Logs rotate and databases compact while we look.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            metadata => metadata.expect("a readable folder"),
        };
        if path != folder {
            let name = path.file_name().unwrap_or_default().as_encoded_bytes();
            index.search(name, &path, &mut hits);
        }
        if metadata.is_dir() {
            let entries = std::fs::read_dir(&path).expect("a readable folder");
            waiting.extend(entries.map(|entry| entry.expect("a readable folder").path()));
        } else if metadata.is_file() {
            let bytes = std::fs::read(&path).expect("a readable file");
            index.search(&bytes, &path, &mut hits);
        }
    }
    hits
}

/// The needles by their first two bytes.
struct Index(HashMap<[u8; 2], Vec<Vec<u8>>>, Vec<bool>);

impl Index {
    fn new<N: AsRef<[u8]>>(needles: &[N]) -> Self {
        let mut starts = HashMap::<[u8; 2], Vec<Vec<u8>>>::new();
        let mut known = vec![false; 1 << 16];
        for needle in needles {
            let needle = needle.as_ref();
            assert!(
                needle.len() >= 4,
                "{needle:?} is too short to mean anything"
            );
            let start = [needle[0], needle[1]];
            known[usize::from(u16::from_be_bytes(start))] = true;
            starts.entry(start).or_default().push(needle.to_vec());
        }
        Self(starts, known)
    }

    fn search(&self, bytes: &[u8], file: &Path, hits: &mut Vec<Hit>) {
        for (offset, pair) in bytes.windows(2).enumerate() {
            let start = [pair[0], pair[1]];
            if !self.1[usize::from(u16::from_be_bytes(start))] {
                continue;
            }
            for needle in self.0.get(&start).into_iter().flatten() {
                if bytes[offset..].starts_with(needle) {
                    hits.push(Hit {
                        file: file.to_owned(),
                        offset,
                        needle: needle.clone(),
                    });
                }
            }
        }
    }
}
