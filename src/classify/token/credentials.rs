use serde_json::Value;

use super::{TokenFault, base64url::base64url};

/// The token that an `Authorization` field brings for us to verify; `None` if it brings none, or
/// one that says nothing to anybody but its issuer.
///
/// `Bearer` (RFC 6750) and `DPoP` (RFC 9449; the proof is the backend's business) in any case. What
/// some servers would take for the token of such a scheme is never passed over.
///
/// # Errors
/// Where something else than blanks stands behind the scheme, or the token is no text.
pub fn token_of(field: &[u8]) -> Result<Option<&str>, TokenFault> {
    let end = field.iter().position(|b| !is_token(*b));
    let Some((scheme, rest)) = field.split_at_checked(end.unwrap_or(field.len())) else {
        return Ok(None);
    };
    let is_known = [&b"bearer"[..], b"dpop"];
    if !is_known.iter().any(|k| scheme.eq_ignore_ascii_case(k)) || rest.is_empty() {
        return Ok(None);
    }
    if rest.first() != Some(&b' ') {
        return Err(TokenFault::Separator);
    }
    let token = std::str::from_utf8(rest).map_err(|_| TokenFault::Malformed)?;
    let token = token.trim_matches(' ');
    // `{"` in base64url: a JWS, of however many parts.
    let is_signed = token.starts_with("eyJ") || token.split('.').count() == 3;
    Ok((is_signed && !is_encrypted(token)).then_some(token))
}

/// A JWE (RFC 7516 §7.1), which its issuer alone can read. By its header: who appends parts to a signed
/// token cannot change what was signed.
fn is_encrypted(token: &str) -> bool {
    if token.split('.').count() != 5 {
        return false;
    }
    let header = token.split('.').next().and_then(base64url);
    let header: Option<Value> = header.and_then(|h| serde_json::from_slice(&h).ok());
    header.is_some_and(|h| h.get("enc").is_some_and(Value::is_string))
}

/// RFC 9110 §5.6.2.
fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_backend_may_honour_is_never_passed_over() {
        let read = |field: &'static str| token_of(field.as_bytes());
        for field in [
            "Bearer eyJ.b.c",
            "bEARER   eyJ.b.c",
            "DPoP eyJ.b.c",
            "dpop eyJ.b.c ",
        ] {
            assert_eq!(read(field), Ok(Some("eyJ.b.c")), "{field}");
        }
        // Such as are verified, and found malformed.
        for token in [
            "eyJ.b.c.",
            "eyJ.b.c.d.e",
            "eyJ.b",
            "eyJ",
            "a.b.c",
            "a.b.c d",
        ] {
            let field = format!("Bearer {token}");
            assert_eq!(token_of(field.as_bytes()), Ok(Some(token)), "{token}");
        }
        for field in ["Bearer\teyJ.b.c", "bearer,eyJ.b.c", "DPoP\t a", "Bearer=a"] {
            assert_eq!(read(field), Err(TokenFault::Separator), "{field}");
        }
        assert_eq!(token_of(b"Bearer eyJ\xff.b.c"), Err(TokenFault::Malformed));
        // {"alg":"dir","enc":"A256GCM"} with five parts is encrypted for somebody else; with {"alg":"HS256"}
        // it is a signed token to which two parts were added.
        let encrypted = "Bearer eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..aXY.dGV4dA.dGFn";
        assert_eq!(read(encrypted), Ok(None));
        let longer = "eyJhbGciOiJIUzI1NiJ9.e30.c2ln.dGV4dA.dGFn";
        let field = format!("Bearer {longer}");
        assert_eq!(token_of(field.as_bytes()), Ok(Some(longer)));
        for field in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer opaque",
            "Bearer a.b",
            "DPoP opaque",
            "Basic eyJ.b.c",
            "BearerX eyJ.b.c",
        ] {
            assert_eq!(read(field), Ok(None), "{field}");
        }
    }
}
