use super::TokenFault;

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
    // `{"` in base64url: a JWS or JWE, of however many parts.
    let is_signed = token.starts_with("eyJ") || token.split('.').count() == 3;
    Ok(is_signed.then_some(token))
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
