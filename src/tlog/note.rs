//! Signed notes (c2sp.org/signed-note) with Ed25519 keys in the text forms of
//! golang.org/x/mod/sumdb/note, which other tools read.

use std::{fmt, str::FromStr};

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use super::{base64, error::LogError, merkle::digest};

/// The type of Ed25519 signatures.
const ED: u8 = 1;
const DASH: &str = "\u{2014} ";

/// A public key with the name of whose it is: `NAME+ID+KEY`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verifier {
    name: String,
    key: [u8; 32],
}

impl Verifier {
    pub fn name(&self) -> &str {
        &self.name
    }

    fn id(&self) -> [u8; 4] {
        let hash = digest(&[self.name.as_bytes(), b"\n", &[ED], &self.key].concat());
        hash.first_chunk().copied().unwrap_or_default()
    }

    /// The text of a note that this key has signed; others may have signed it too.
    ///
    /// # Errors
    /// [`LogError::No`] where it is no note, is not signed by this key, or the signature does not hold.
    pub fn open<'n>(&self, note: &'n str) -> Result<&'n str, LogError> {
        let (text, signatures) = parts(note)?;
        let mut signed = false;
        for (name, signature) in signatures {
            let Some((id, signature)) = signature.split_first_chunk::<4>() else {
                return Err(no_note("a signature is too short"));
            };
            if (name, *id) != (&self.name, self.id()) {
                continue;
            }
            let key = UnparsedPublicKey::new(&ED25519, &self.key);
            key.verify(text.as_bytes(), signature)
                .map_err(|_| LogError::no(format!("the signature by `{name}` does not hold")))?;
            signed = true;
        }
        match signed {
            true => Ok(text),
            false => Err(LogError::no(format!(
                "it is not signed by the key `{self}`"
            ))),
        }
    }
}

fn no_note(why: &str) -> LogError {
    LogError::no(format!("it is no signed note: {why}"))
}

/// A name, and the bytes of key id and signature.
type Signature<'n> = (&'n str, Vec<u8>);

/// The text of a note, and who signed it; nothing is verified.
pub fn parts(note: &str) -> Result<(&str, Vec<Signature<'_>>), LogError> {
    if note.chars().any(|c| c < ' ' && c != '\n') {
        return Err(no_note("it holds control characters"));
    }
    let end = note.rfind("\n\n").map(|at| at + 1);
    let (text, signatures) = end
        .and_then(|end| note.split_at_checked(end))
        .ok_or_else(|| no_note("no empty line stands before the signatures"))?;
    let lines = signatures.strip_prefix('\n').unwrap_or_default();
    let lines = lines.strip_suffix('\n').filter(|l| !l.is_empty());
    let lines = lines.ok_or_else(|| no_note("it does not end with a signature"))?;
    let one = |line| {
        let line = str::strip_prefix(line, DASH);
        let (name, signature) = line.and_then(|l| l.split_once(' '))?;
        Some((name, base64::decode(signature)?)).filter(|_| is_name(name))
    };
    let signatures = lines.split('\n').map(one).collect::<Option<Vec<_>>>();
    let signatures = signatures.ok_or_else(|| no_note("a line of signatures is none"))?;
    Ok((text, signatures))
}

/// Of a key: what may stand in a signature's line.
pub fn is_name(name: &str) -> bool {
    let fits = |c: char| !c.is_whitespace() && !c.is_control() && c != '+';
    !name.is_empty() && name.chars().all(fits)
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = u32::from_be_bytes(self.id());
        let key = base64::encode(&[&[ED], &self.key[..]].concat());
        write!(f, "{}+{id:08x}+{key}", self.name)
    }
}

impl FromStr for Verifier {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, key) = keyed(text).ok_or("it is no verifier key NAME+ID+KEY")?;
        let verifier = Self { name, key };
        match verifier.to_string() == text {
            true => Ok(verifier),
            false => Err("the ID in it is not that of name and key"),
        }
    }
}

/// Name and key of `NAME+ID+KEY`.
fn keyed(text: &str) -> Option<(String, [u8; 32])> {
    // The key's base64 may hold a `+`, too.
    let mut parts = text.splitn(3, '+');
    let (name, _, key) = (parts.next()?, parts.next()?, parts.next()?);
    let key = base64::decode(key)?;
    let (kind, key) = key.split_first()?;
    let key = key.try_into().ok().filter(|_| *kind == ED)?;
    is_name(name).then(|| (name.to_owned(), key))
}

/// A private key; as text `PRIVATE+KEY+NAME+ID+SEED`.
pub struct Signer {
    verifier: Verifier,
    pair: Ed25519KeyPair,
}

const PRIVATE: &str = "PRIVATE+KEY+";

impl Signer {
    /// A new key and the text to keep of it.
    ///
    /// # Errors
    /// [`LogError::Usage`] for a name that no key may have; otherwise where the system gives no random bytes.
    pub fn generate(name: &str) -> Result<(Self, String), LogError> {
        if !is_name(name) {
            return Err(LogError::usage(format!(
                "`{name}` is no name of a key: it may hold neither blanks nor `+`, such as example.com/ledger-eu"
            )));
        }
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)
            .map_err(|e| LogError::usage(format!("the system gives no random bytes: {e}")))?;
        let signer = Self::of(name.to_owned(), &seed)
            .ok_or_else(|| LogError::usage("the key cannot be made".to_owned()))?;
        let id = u32::from_be_bytes(signer.verifier.id());
        let seed = base64::encode(&[&[ED], &seed[..]].concat());
        Ok((signer, format!("{PRIVATE}{name}+{id:08x}+{seed}\n")))
    }

    /// From the text that was kept.
    ///
    /// # Errors
    /// What is wrong with it; nothing of it is repeated.
    pub fn from_text(text: &str) -> Result<Self, &'static str> {
        const NONE: &str = "it is no private key of `domicile ledger keygen`";
        let text = text.strip_suffix('\n').unwrap_or(text);
        let rest = text.strip_prefix(PRIVATE).ok_or(NONE)?;
        let (name, seed) = keyed(rest).ok_or(NONE)?;
        let signer = Self::of(name, &seed).ok_or(NONE)?;
        let id = u32::from_be_bytes(signer.verifier.id());
        let told = rest.split('+').nth(1);
        match told == Some(format!("{id:08x}").as_str()) {
            true => Ok(signer),
            false => Err("the ID in the private key is not that of name and key"),
        }
    }

    fn of(name: String, seed: &[u8; 32]) -> Option<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
        let key = pair.public_key().as_ref().try_into().ok()?;
        let verifier = Verifier { name, key };
        Some(Self { verifier, pair })
    }

    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// The note of `text`, which ends with a line's end.
    pub fn sign(&self, text: &str) -> String {
        let signature = self.pair.sign(text.as_bytes());
        let line = [&self.verifier.id()[..], signature.as_ref()].concat();
        let (name, line) = (&self.verifier.name, base64::encode(&line));
        format!("{text}\n{DASH}{name} {line}\n")
    }
}
