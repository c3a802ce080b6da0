use crate::{domain::SubjectKey, settings::Secret};

use super::secret::{SecretError, key_bytes};

/// Turns ids into [`SubjectKey`]s: keyed BLAKE3, cut to 128 bits.
///
/// The hash covers the namespace's length (8 bytes, little-endian), the namespace, and the id, so
/// that no two pairs meet by moving the border between them. The key is derived from the secret
/// for this purpose alone, so that other uses of the same secret share nothing with it.
#[derive(Clone)]
pub struct SubjectHasher {
    key: [u8; blake3::KEY_LEN],
    keyed: blake3::Hasher,
    pseudonyms: blake3::Hasher,
}

/// BLAKE3 `derive_key` context; a constant of the format, never to change.
const CONTEXT: &str = "domicile 2026-11 subject key v1";

/// Bytes of length, namespace and id that are hashed without a hasher.
const SHORT: usize = 128;

/// The like, for the pseudonyms that recipients get.
const PSEUDONYMS: &str = "domicile 2026-11 recipient pseudonym v1";

impl SubjectHasher {
    /// # Errors
    /// [`SecretError::Length`] unless the secret is 32 bytes, or 64 hexadecimal digits.
    pub fn new(secret: &Secret) -> Result<Self, SecretError> {
        let secret = key_bytes(secret)?;
        let key = blake3::derive_key(CONTEXT, &secret);
        let pseudonyms = blake3::derive_key(PSEUDONYMS, &secret);
        Ok(Self {
            keyed: blake3::Hasher::new_keyed(&key),
            pseudonyms: blake3::Hasher::new_keyed(&pseudonyms),
            key,
        })
    }

    /// What `recipient` gets instead of `value`: 32 hexadecimal digits, the same for the same
    /// value and recipient. Two recipients cannot match theirs, and nobody without the secret can
    /// try values out.
    pub fn pseudonym(&self, recipient: &str, value: &[u8]) -> String {
        let mut hasher = self.pseudonyms.clone();
        hasher.update(&(recipient.len() as u64).to_le_bytes());
        hasher.update(recipient.as_bytes());
        hasher.update(value);
        let mut bytes = [0; 16];
        hasher.finalize_xof().fill(&mut bytes);
        format!("{:032x}", u128::from_be_bytes(bytes))
    }

    /// Tells this secret from others and says nothing else of it. What is hashed is no
    /// namespace and id: as a length its first eight bytes are beyond all namespaces.
    pub(super) fn fingerprint(&self) -> [u8; SubjectKey::LEN] {
        let mut hasher = self.keyed.clone();
        hasher.update(b"fingerprint of the secret");
        let mut bytes = [0; SubjectKey::LEN];
        hasher.finalize_xof().fill(&mut bytes);
        bytes
    }

    /// Allocates nothing.
    pub fn key(&self, namespace: &str, id: &[u8]) -> SubjectKey {
        let length = (namespace.len() as u64).to_le_bytes();
        let mut text = [0; SHORT];
        let mut rest = text.as_mut_slice();
        for part in [&length, namespace.as_bytes(), id] {
            let Some((place, after)) = rest.split_at_mut_checked(part.len()) else {
                return self.long_key(namespace, id);
            };
            place.copy_from_slice(part);
            rest = after;
        }
        let left = rest.len();
        // The hasher, which can wait for more, is two kilobytes that would be copied.
        let hash = blake3::keyed_hash(&self.key, text.get(..SHORT - left).unwrap_or_default());
        let first = hash.as_bytes().first_chunk().copied();
        SubjectKey::from_bytes(first.unwrap_or_default())
    }

    fn long_key(&self, namespace: &str, id: &[u8]) -> SubjectKey {
        let mut hasher = self.keyed.clone();
        hasher.update(&(namespace.len() as u64).to_le_bytes());
        hasher.update(namespace.as_bytes());
        hasher.update(id);
        let mut bytes = [0; SubjectKey::LEN];
        hasher.finalize_xof().fill(&mut bytes);
        SubjectKey::from_bytes(bytes)
    }
}

impl std::fmt::Debug for SubjectHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SubjectHasher(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hasher(byte: u8) -> SubjectHasher {
        SubjectHasher::new(&Secret::new([byte; 32])).unwrap()
    }

    #[test]
    fn secret_namespace_and_id_each_make_another_key() {
        let h = hasher(1);
        assert_eq!(h.key("person", b"u-1"), h.key("person", b"u-1"));
        assert_ne!(h.key("person", b"u-1"), hasher(2).key("person", b"u-1"));
        assert_ne!(h.key("person", b"u-1"), h.key("device", b"u-1"));
        assert_ne!(h.key("person", b"u-1"), h.key("person", b"u-2"));
    }

    #[test]
    fn the_border_between_namespace_and_id_counts() {
        let h = hasher(1);
        assert_ne!(h.key("ab", b"c"), h.key("a", b"bc"));
        assert_ne!(h.key("", b"abc"), h.key("abc", b""));
    }

    #[test]
    fn pseudonyms_are_the_recipients_own() {
        let h = hasher(1);
        let one = h.pseudonym("steps", b"u-1");
        assert_eq!(one, h.pseudonym("steps", b"u-1"));
        assert_eq!(one.len(), 32);
        let others = [
            h.pseudonym("music", b"u-1"),
            h.pseudonym("steps", b"u-2"),
            hasher(2).pseudonym("steps", b"u-1"),
            h.key("steps", b"u-1").reveal(),
        ];
        assert!(!others.contains(&one));
    }

    #[test]
    fn the_format_stands_still() {
        // A changed derivation would orphan every pin in every directory.
        assert_eq!(
            hasher(7).key("person", b"someone@example.com").reveal(),
            "d41b853bf382e6cc537be60d40af7762"
        );
    }

    #[test]
    fn a_short_text_and_a_long_one_are_hashed_alike() {
        let h = hasher(3);
        for namespace in ["", "person", &"n".repeat(130)] {
            for length in [0, 1, 55, 56, 57, 113, 114, 115, 119, 120, 121, 500, 3000] {
                let id = vec![b'x'; length];
                assert_eq!(
                    h.key(namespace, &id),
                    h.long_key(namespace, &id),
                    "{length}"
                );
            }
        }
    }

    #[test]
    fn a_hexadecimal_secret_is_the_same_secret() {
        let text = "07".repeat(32);
        let h = SubjectHasher::new(&Secret::new(text.as_bytes())).unwrap();
        assert_eq!(h.key("p", b"x"), hasher(7).key("p", b"x"));
        assert!(SubjectHasher::new(&Secret::new(*b"short")).is_err());
    }
}
