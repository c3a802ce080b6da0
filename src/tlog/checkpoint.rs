use super::{
    LogError, Signer, Verifier, base64,
    merkle::{Hash, root_of},
    note,
};

/// How far a log goes (c2sp.org/tlog-checkpoint).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    pub origin: String,
    pub size: u64,
    pub root: Hash,
}

/// A checkpoint with the note that says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    pub checkpoint: Checkpoint,
    /// As it stands, with the signatures of others.
    pub note: String,
}

impl Signed {
    /// The log is called as its key is.
    pub fn sign(signer: &Signer, size: u64, root: Hash) -> Self {
        let checkpoint = Checkpoint {
            origin: signer.verifier().name().to_owned(),
            size,
            root,
        };
        let note = signer.sign(&checkpoint.to_string());
        Self { checkpoint, note }
    }

    /// A checkpoint that this key has signed, of the log that is called as the key is.
    ///
    /// # Errors
    /// [`LogError::No`] where it is none.
    pub fn open(note: &str, verifier: &Verifier) -> Result<Self, LogError> {
        let checkpoint: Checkpoint = verifier.open(note)?.parse()?;
        if checkpoint.origin != verifier.name() {
            return Err(LogError::no(format!(
                "it is a checkpoint of `{}`, signed by `{}`",
                checkpoint.origin,
                verifier.name()
            )));
        }
        let note = note.to_owned();
        Ok(Self { checkpoint, note })
    }

    /// Whoever signed it: for what is compared with the ledger itself.
    ///
    /// # Errors
    /// As [`Signed::open`].
    pub fn read(note: &str) -> Result<Self, LogError> {
        let (text, _) = note::parts(note)?;
        let (checkpoint, note) = (text.parse()?, note.to_owned());
        Ok(Self { checkpoint, note })
    }
}

impl Checkpoint {
    /// In base64, as the third line has it.
    pub fn root_text(&self) -> String {
        base64::encode(&self.root)
    }
}

impl std::fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\n{}\n{}\n", self.origin, self.size, self.root_text())
    }
}

impl std::str::FromStr for Checkpoint {
    type Err = LogError;

    fn from_str(text: &str) -> Result<Self, LogError> {
        let no = |why: &str| LogError::no(format!("it is no checkpoint: {why}"));
        let mut lines = text.strip_suffix('\n').unwrap_or(text).split('\n');
        let (origin, size, root) = (lines.next(), lines.next(), lines.next());
        let origin = origin.filter(|o| !o.is_empty());
        let origin = origin.ok_or_else(|| no("its first line, the log's name, is empty"))?;
        let size = size
            .and_then(number)
            .ok_or_else(|| no("its second line is no size"))?;
        let root = root
            .and_then(hash)
            .ok_or_else(|| no("its third line is no hash"))?;
        if lines.any(str::is_empty) {
            return Err(no("it has an empty line"));
        }
        if size == 0 && root != root_of(&[]) {
            return Err(no("an empty log has another root"));
        }
        let origin = origin.to_owned();
        Ok(Self { origin, size, root })
    }
}

/// A decimal number without leading zeros.
pub fn number(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

pub fn hash(text: &str) -> Option<Hash> {
    base64::decode(text)?.try_into().ok()
}
