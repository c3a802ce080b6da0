//! Verified tokens (JWT, RFC 7519) as attested evidence.
//!
//! The algorithm follows from the key, never from the token: each key of the set is bound to the
//! one algorithm of its type, and a token's `alg` only selects among keys that have it. So `none`
//! and an RSA key used as an HMAC secret cannot be expressed. Time is handed in.
//!
//! Header and claims pass the strict scanner first: a token with a claim twice is refused, as
//! two readers could believe different ones (RFC 7519 §4, RFC 8725 §2.4).

mod base64url;
mod claims;
mod credentials;
mod keys;

use std::path::PathBuf;

use base64url::base64url;
pub use claims::Claims;
pub use credentials::token_of;
pub use keys::KeySet;

#[derive(Debug, thiserror::Error)]
pub enum KeySetError {
    #[error("the key set `{}` cannot be read: {error}", path.display())]
    Unreadable {
        path: PathBuf,
        error: std::io::Error,
    },
    #[error("the key set is not a JSON Web Key Set (RFC 7517 §5): {0}")]
    Malformed(String),
    #[error("key {index} of the set is broken: {reason}")]
    BrokenKey { index: usize, reason: &'static str },
    #[error("the key set holds no signing key for the algorithms in `jwt.algorithms`")]
    NoUsableKey,
    #[error("`jwt.algorithms` is empty; name at least one of RS256, ES256, EdDSA, HS256")]
    NoAlgorithm,
}

/// Why a token is not believed. Prints nothing of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    #[error("the token is not a signed JWT (RFC 7515 §7.1)")]
    Malformed,
    #[error("the token is longer than 16 KiB")]
    TooLong,
    #[error("the token's algorithm is not accepted here")]
    Algorithm,
    #[error("one or more blanks stand between `Bearer` or `DPoP` and the token (RFC 9110 §11.4)")]
    Separator,
    #[error("the token's `typ` says that it is not for access (RFC 8725 §3.11)")]
    Kind,
    #[error("the token demands an extension (`crit`) that is not known here")]
    Critical,
    #[error("no key of the set fits the token")]
    NoKey,
    #[error("the token's signature does not verify")]
    Signature,
    #[error("the token has no expiry (`exp`)")]
    NoExpiry,
    #[error("the token has expired")]
    Expired,
    #[error("the token is not valid yet (`nbf`)")]
    NotYet,
    #[error("the token was issued by somebody else (`iss`)")]
    Issuer,
    #[error("the token is meant for somebody else (`aud`)")]
    Audience,
}

#[cfg(test)]
mod tests;
