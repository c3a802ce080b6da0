use serde_json::Value;

/// The claims of a token whose signature, time, issuer and audience hold. `Debug` shows none.
#[derive(Clone, PartialEq)]
pub struct Claims(Value);

impl Claims {
    /// `claims` is a JSON object of a verified token.
    pub(super) fn verified(claims: Value) -> Self {
        Self(claims)
    }

    /// The text of a claim; a name that starts with `/` is a JSON pointer into the claims.
    /// `None` if the claim is absent or is no text.
    pub fn text(&self, claim: &str) -> Option<&str> {
        self.value(claim)?.as_str()
    }

    /// The claim as it stands, whatever its type.
    pub fn value(&self, claim: &str) -> Option<&Value> {
        if claim.starts_with('/') {
            self.0.pointer(claim)
        } else {
            self.0.get(claim)
        }
    }
}

impl std::fmt::Debug for Claims {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Claims(redacted)")
    }
}
