use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::{FileFault, Files, Material, Placed};
use crate::settings::Secret;

/// A bearer token that stands in a file: visible ASCII, blanks around it dropped (RFC 6750 §2.1).
pub struct Token(Secret);

impl Token {
    pub fn secret(&self) -> &Secret {
        &self.0
    }
}

impl Material for Token {
    type Settings = PathBuf;

    fn parts(settings: &PathBuf) -> Vec<Vec<&Path>> {
        vec![vec![settings]]
    }

    fn build(settings: &PathBuf, files: &Files, _: Timestamp) -> Result<Self, Vec<Placed>> {
        let token = files.get(settings).and_then(|bytes| {
            let token = bytes.trim_ascii();
            let sound = !token.is_empty() && token.iter().all(u8::is_ascii_graphic);
            match sound {
                true => Ok(Self(Secret::new(token))),
                false => Err(FileFault::Token(settings.clone())),
            }
        });
        token.map_err(|fault| {
            let steps = vec!["token_file".to_owned()];
            vec![Placed { steps, fault }]
        })
    }
}
