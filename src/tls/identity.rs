use std::{fmt, net::IpAddr, sync::Arc};

/// One name that a certificate must have, or that is trusted when it does.
///
/// From the settings by [`Identity::parse`] alone; an address only stands for an endpoint that is
/// named by one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Identity {
    /// A SPIFFE ID (SPIFFE-ID §2), in its one spelling.
    Spiffe(Arc<str>),
    /// A host name in lower case, without wildcards.
    Dns(Arc<str>),
    Ip(IpAddr),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    #[error("`{0}` is no identity: write `spiffe://trust.domain/path` or `dns:host.name`")]
    Unknown(String),
    #[error(
        "`{0}` is no SPIFFE ID: the trust domain is lower-case letters, digits and `.-_`, and a path of letters, digits and `.-_` follows, without a slash at its end"
    )]
    Spiffe(String),
    #[error("`{0}` is no host name: wildcards name nobody in particular")]
    Wildcard(String),
    #[error("`{0}` is no host name")]
    Dns(String),
}

impl Identity {
    /// # Errors
    /// For anything but a SPIFFE ID or `dns:` with a host name (RFC 1123 §2.1, `_` allowed).
    pub fn parse(text: &str) -> Result<Self, IdentityError> {
        if text.starts_with("spiffe:") {
            return match is_spiffe_id(text) {
                true => Ok(Self::Spiffe(text.into())),
                false => Err(IdentityError::Spiffe(text.to_owned())),
            };
        }
        let Some(name) = text.strip_prefix("dns:") else {
            return Err(IdentityError::Unknown(text.to_owned()));
        };
        if name.contains('*') {
            return Err(IdentityError::Wildcard(text.to_owned()));
        }
        match is_host_name(name) {
            true => Ok(Self::Dns(name.to_ascii_lowercase().into())),
            false => Err(IdentityError::Dns(text.to_owned())),
        }
    }

    /// What an endpoint without a configured identity must present: its own host. `None` where
    /// the host is neither an address nor a name that a certificate can have.
    pub fn of_host(host: &str) -> Option<Self> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        match bare.parse() {
            Ok(ip) => Some(Self::Ip(ip)),
            Err(_) => is_host_name(host).then(|| Self::Dns(host.to_ascii_lowercase().into())),
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spiffe(id) => f.write_str(id),
            Self::Dns(name) => write!(f, "dns:{name}"),
            Self::Ip(ip) => write!(f, "ip:{ip}"),
        }
    }
}

/// SPIFFE-ID §2.1 to §2.3. A workload's path is never empty: that ID is the trust domain's own.
fn is_spiffe_id(text: &str) -> bool {
    let Some((domain, path)) = text
        .strip_prefix("spiffe://")
        .and_then(|rest| rest.split_once('/'))
    else {
        return false;
    };
    let in_domain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
    let in_path = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    text.len() <= 2048
        && !domain.is_empty()
        && domain.len() <= 255
        && domain.bytes().all(in_domain)
        && path
            .split('/')
            .all(|s| !matches!(s, "" | "." | "..") && s.bytes().all(in_path))
}

fn is_host_name(name: &str) -> bool {
    let label = |l: &str| {
        !l.is_empty()
            && l.len() <= 63
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    name.len() <= 253 && name.parse::<IpAddr>().is_err() && name.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_have_one_spelling_each() {
        for text in [
            "spiffe://acme/eu/store",
            "spiffe://acme.example/a.b-c_D",
            "dns:store.eu.internal",
            "dns:localhost",
        ] {
            assert_eq!(Identity::parse(text).expect(text).to_string(), text);
        }
        assert_eq!(
            Identity::parse("dns:Store.EU").expect("a name").to_string(),
            "dns:store.eu"
        );
    }

    #[test]
    fn what_could_mean_two_things_is_refused() {
        for text in [
            "",
            "store.eu.internal",
            "https://acme/eu",
            "spiffe:acme",
            "spiffe://acme",
            "spiffe://acme/",
            "spiffe://Acme/eu",
            "spiffe://acme/eu/",
            "spiffe://acme//eu",
            "spiffe://acme/../in",
            "spiffe://acme/e%75",
            "spiffe://acme:80/eu",
            "spiffe://user@acme/eu",
            "spiffe://acme/eu?x",
            "dns:",
            "dns:*.eu.internal",
            "dns:a..b",
            "dns:10.0.0.1",
            "dns:a b",
        ] {
            assert!(Identity::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_endpoints_own_host_is_a_name_or_an_address() {
        assert_eq!(
            Identity::of_host("[::1]"),
            Some(Identity::Ip("::1".parse().unwrap()))
        );
        assert_eq!(
            Identity::of_host("Store.eu"),
            Some(Identity::Dns("store.eu".into()))
        );
        assert_eq!(Identity::of_host("a%20b"), None);
    }
}
