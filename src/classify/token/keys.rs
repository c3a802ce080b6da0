use std::path::Path;

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::{Claims, KeySetError, TokenFault, base64url};
use crate::{
    classify::json::{KnownPart, Sink, Value as JsonValue, Watch, scan_object},
    document::{MOST_BYTES, read_whole},
    settings::{Jwt, JwtAlgorithm},
};

/// Longer tokens are refused unread.
const MAX_TOKEN: usize = 16 << 10;

/// The keys that may sign tokens, and what a token must say besides.
pub struct KeySet {
    keys: Vec<Key>,
    issuer: Vec<String>,
    audience: Vec<String>,
    /// Seconds.
    leeway: f64,
}

struct Key {
    id: Option<String>,
    /// The only algorithm this key is ever used with.
    algorithm: JwtAlgorithm,
    key: DecodingKey,
    /// Its algorithm, id and public parameters, in JSON; of a secret there are none.
    public: String,
}

/// RFC 7517 §4, and RFC 7518 §6 for the parameters of each type.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    k: Option<String>,
}

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<Value>,
}

/// RFC 7515 §4.1; all other members are of no consequence.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// Present with whatever value: `null` is no list of names (RFC 7515 §4.1.11).
    #[serde(default, deserialize_with = "present")]
    crit: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    typ: Option<Value>,
}

fn present<'de, D: Deserializer<'de>>(member: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(member).map(Some)
}

/// Whether a token of this `typ` says who its bearer is: none, `JWT` or `at+jwt` (RFC 9068 §2.1), with or
/// without `application/` (RFC 7515 §4.1.9). What is signed for something else, such as a proof or
/// a logout, is not believed (RFC 8725 §3.11).
fn is_for_access(typ: Option<&Value>) -> bool {
    let Some(typ) = typ else {
        return true;
    };
    typ.as_str().is_some_and(|typ| {
        let typ = typ.to_ascii_lowercase();
        let kind = typ.strip_prefix("application/").unwrap_or(&typ);
        matches!(kind, "jwt" | "at+jwt")
    })
}

impl KeySet {
    /// Reads the key set that the settings name. Blocks on the disk.
    pub fn load(settings: &Jwt) -> Result<Self, KeySetError> {
        let bytes = read(&settings.keys)?;
        Self::parse(&bytes, settings)
    }

    /// Keys of unknown types, for encryption, or for algorithms that the settings do not list are
    /// skipped (RFC 7517 §5); a broken key among the rest is an error.
    pub fn parse(jwks: &[u8], settings: &Jwt) -> Result<Self, KeySetError> {
        if settings.algorithms.is_empty() {
            return Err(KeySetError::NoAlgorithm);
        }
        // serde_json's own messages may quote the text, which can hold a secret.
        let malformed = |what: &str| KeySetError::Malformed(what.to_owned());
        strict(jwks).map_err(|e| KeySetError::Malformed(e.to_string()))?;
        let set: Jwks = serde_json::from_slice(jwks)
            .map_err(|_| malformed("it has no member `keys` that is an array"))?;
        let mut keys = Vec::new();
        for (index, value) in set.keys.into_iter().enumerate() {
            let jwk: Jwk = serde_json::from_value(value).map_err(|_| KeySetError::BrokenKey {
                index,
                reason: "a member is missing or of the wrong type (RFC 7517 §4)",
            })?;
            let key = jwk
                .key()
                .map_err(|reason| KeySetError::BrokenKey { index, reason })?;
            keys.extend(key.filter(|k| settings.algorithms.contains(&k.algorithm)));
        }
        if keys.is_empty() {
            return Err(KeySetError::NoUsableKey);
        }
        Ok(Self {
            keys,
            issuer: settings.issuer.clone(),
            audience: settings.audience.clone(),
            leeway: settings.leeway.as_secs_f64(),
        })
    }

    /// What anybody may know of each key: its algorithm, its id, and of a key pair the public
    /// half. Two sets that say the same here verify the same tokens, but for those that were
    /// signed with a shared secret (HS256): of that the id alone is told.
    pub fn public_keys(&self) -> Vec<String> {
        self.keys.iter().map(|key| key.public.clone()).collect()
    }

    /// Verifies a token in compact form at the time `now`.
    ///
    /// `exp` must be there and lie ahead, `nbf` must not; `iss` and `aud` must be among those of
    /// the settings. Without an audience in the settings a token that names one is refused, as
    /// RFC 7519 §4.1.3 wants. A token with a `kid` is tried with the keys of that id and those
    /// without one; a token without is tried with every key of its algorithm.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Claims, TokenFault> {
        if token.len() > MAX_TOKEN {
            return Err(TokenFault::TooLong);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(TokenFault::Malformed)?;
        let (header, payload) = message.split_once('.').ok_or(TokenFault::Malformed)?;
        let header: Header = part(header)?;
        if header.crit.is_some() {
            return Err(TokenFault::Critical);
        }
        if !is_for_access(header.typ.as_ref()) {
            return Err(TokenFault::Kind);
        }
        self.verify_signature(&header, message, signature)?;
        let claims: Value = part(payload)?;
        self.check(&claims, now)?;
        Ok(Claims::verified(claims))
    }

    fn verify_signature(
        &self,
        header: &Header,
        message: &str,
        signature: &str,
    ) -> Result<(), TokenFault> {
        let mut of_algorithm = self
            .keys
            .iter()
            .filter(|k| name(k.algorithm) == header.alg)
            .peekable();
        if of_algorithm.peek().is_none() {
            return Err(TokenFault::Algorithm);
        }
        // Only the canonical spelling of a signature: one token, one text.
        base64url(signature).ok_or(TokenFault::Malformed)?;
        let mut outcome = Err(TokenFault::NoKey);
        for key in of_algorithm {
            let fits = match (&header.kid, &key.id) {
                (Some(wanted), Some(id)) => wanted == id,
                _ => true,
            };
            if !fits {
                continue;
            }
            let algorithm = key.algorithm();
            match jsonwebtoken::crypto::verify(signature, message.as_bytes(), &key.key, algorithm) {
                Ok(true) => return Ok(()),
                Ok(false) | Err(_) => outcome = Err(TokenFault::Signature),
            }
        }
        outcome
    }

    /// RFC 7519 §4.1.
    fn check(&self, claims: &Value, now: Timestamp) -> Result<(), TokenFault> {
        let date = |claim: &str| match claims.get(claim) {
            None => Ok(None),
            Some(value) => value.as_f64().map(Some).ok_or(TokenFault::Malformed),
        };
        #[expect(
            clippy::cast_precision_loss,
            reason = "milliseconds since 1970 stay exact in an f64 for 285,000 years"
        )]
        let now = now.as_millisecond() as f64 / 1000.0;
        let expiry = date("exp")?.ok_or(TokenFault::NoExpiry)?;
        if now >= expiry + self.leeway {
            return Err(TokenFault::Expired);
        }
        if date("nbf")?.is_some_and(|start| now + self.leeway < start) {
            return Err(TokenFault::NotYet);
        }
        if !self.issuer.is_empty() && !names(claims.get("iss"), &self.issuer, false) {
            return Err(TokenFault::Issuer);
        }
        let audience = claims.get("aud");
        let required = !self.audience.is_empty() || audience.is_some();
        if required && !names(audience, &self.audience, true) {
            return Err(TokenFault::Audience);
        }
        Ok(())
    }
}

impl std::fmt::Debug for KeySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeySet({} keys)", self.keys.len())
    }
}

impl Key {
    fn algorithm(&self) -> Algorithm {
        match self.algorithm {
            JwtAlgorithm::Rs256 => Algorithm::RS256,
            JwtAlgorithm::Es256 => Algorithm::ES256,
            JwtAlgorithm::EdDsa => Algorithm::EdDSA,
            JwtAlgorithm::Hs256 => Algorithm::HS256,
        }
    }
}

/// `alg` as it stands in tokens and keys (RFC 7518 §3.1, RFC 8037 §3.1).
fn name(algorithm: JwtAlgorithm) -> &'static str {
    match algorithm {
        JwtAlgorithm::Rs256 => "RS256",
        JwtAlgorithm::Es256 => "ES256",
        JwtAlgorithm::EdDsa => "EdDSA",
        JwtAlgorithm::Hs256 => "HS256",
    }
}

impl Jwk {
    /// The key, bound to the algorithm of its type; `None` if it is not for verifying with one
    /// of ours.
    fn key(&self) -> Result<Option<Key>, &'static str> {
        let verifies = self.usage.as_deref().is_none_or(|u| u == "sig")
            && self
                .key_ops
                .as_ref()
                .is_none_or(|ops| ops.iter().any(|o| o == "verify"));
        let (algorithm, key) = match (self.kty.as_str(), self.crv.as_deref()) {
            _ if !verifies => return Ok(None),
            ("RSA", _) => (JwtAlgorithm::Rs256, self.rsa()?),
            ("EC", Some("P-256")) => (JwtAlgorithm::Es256, self.p256()?),
            ("OKP", Some("Ed25519")) => (JwtAlgorithm::EdDsa, self.ed25519()?),
            ("oct", _) => (JwtAlgorithm::Hs256, self.secret()?),
            _ => return Ok(None),
        };
        if self.alg.as_deref().is_some_and(|a| a != name(algorithm)) {
            return Ok(None);
        }
        Ok(Some(Key {
            id: self.kid.clone(),
            algorithm,
            key,
            public: self.public(algorithm),
        }))
    }

    /// Each parameter has one spelling in base64url. `k` is a secret: not even its hash may be
    /// told, or whoever guesses it could compare.
    fn public(&self, algorithm: JwtAlgorithm) -> String {
        let parameters: &[&Option<String>] = match algorithm {
            JwtAlgorithm::Rs256 => &[&self.n, &self.e],
            JwtAlgorithm::Es256 => &[&self.x, &self.y],
            JwtAlgorithm::EdDsa => &[&self.x],
            JwtAlgorithm::Hs256 => &[],
        };
        json!([name(algorithm), self.kid, parameters]).to_string()
    }

    fn rsa(&self) -> Result<DecodingKey, &'static str> {
        let (Some(n), Some(e)) = (bytes(&self.n), bytes(&self.e)) else {
            return Err("`n` and `e` must be base64url (RFC 7518 §6.3.1)");
        };
        if n.first() == Some(&0) || !(256..=1024).contains(&n.len()) {
            return Err("an RSA modulus has 2048 to 8192 bits, without leading zeros");
        }
        Ok(DecodingKey::from_rsa_raw_components(&n, &e))
    }

    fn p256(&self) -> Result<DecodingKey, &'static str> {
        const WRONG: &str = "`x` and `y` must be 32 bytes in base64url (RFC 7518 §6.2.1)";
        match (&self.x, &self.y) {
            (Some(x), Some(y)) if is_32(&self.x) && is_32(&self.y) => {
                DecodingKey::from_ec_components(x, y).map_err(|_| WRONG)
            }
            _ => Err(WRONG),
        }
    }

    fn ed25519(&self) -> Result<DecodingKey, &'static str> {
        const WRONG: &str = "`x` must be 32 bytes in base64url (RFC 8037 §2)";
        match &self.x {
            Some(x) if is_32(&self.x) => DecodingKey::from_ed_components(x).map_err(|_| WRONG),
            _ => Err(WRONG),
        }
    }

    fn secret(&self) -> Result<DecodingKey, &'static str> {
        let secret = bytes(&self.k).ok_or("`k` must be base64url (RFC 7518 §6.4.1)")?;
        if secret.len() < 32 {
            return Err("an HS256 secret has at least 32 bytes (RFC 7518 §3.2)");
        }
        Ok(DecodingKey::from_secret(&secret))
    }
}

fn bytes(text: &Option<String>) -> Option<Vec<u8>> {
    text.as_deref().and_then(base64url)
}

fn is_32(text: &Option<String>) -> bool {
    bytes(text).is_some_and(|b| b.len() == 32)
}

fn read(path: &Path) -> Result<Vec<u8>, KeySetError> {
    read_whole(path, MOST_BYTES).map_err(|unread| KeySetError::Unreadable {
        path: path.to_owned(),
        error: unread.into(),
    })
}

/// A header or payload: base64url of a JSON object in which no key stands twice.
fn part<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, TokenFault> {
    let bytes = base64url(text).ok_or(TokenFault::Malformed)?;
    strict(&bytes).map_err(|_| TokenFault::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| TokenFault::Malformed)
}

fn strict(bytes: &[u8]) -> Result<(), crate::classify::json::JsonFault> {
    struct Nobody;
    impl<'a> Sink<'a> for Nobody {
        fn value(&mut self, _: u16, _: JsonValue<'a>) {}
        fn unknown(&mut self, _: KnownPart) {}
    }
    scan_object(bytes, &Watch::nothing(), &mut Nobody)
}

/// Whether the claim is one of `accepted`, or (where a list may stand) holds one of them.
fn names(claim: Option<&Value>, accepted: &[String], list: bool) -> bool {
    let is_accepted = |v: &Value| v.as_str().is_some_and(|t| accepted.iter().any(|a| a == t));
    match claim {
        Some(Value::Array(all)) if list => all.iter().any(is_accepted),
        Some(one) => is_accepted(one),
        None => false,
    }
}
