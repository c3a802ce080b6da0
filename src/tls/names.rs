use std::{fmt, net::IpAddr};

use jiff::Timestamp;
use x509_parser::{extensions::GeneralName, prelude::*};

use super::Identity;

/// Who a certificate speaks of, and for how long: its subject alternative names (RFC 5280
/// §4.2.1.6). The common name counts for nothing (RFC 9525 §2).
///
/// Where one of them cannot be read, the certificate has none at all.
///
/// Says nothing about who signed it: only for certificates that were verified, or are our own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    uris: Vec<Box<str>>,
    /// In lower case.
    dns: Vec<Box<str>>,
    ips: Vec<IpAddr>,
    /// First and last second of validity.
    pub from: Timestamp,
    pub until: Timestamp,
}

/// First and last second of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Validity {
    pub from: Timestamp,
    pub until: Timestamp,
}

impl Names {
    pub fn validity(&self) -> Validity {
        let Self { from, until, .. } = *self;
        Validity { from, until }
    }

    /// `None` for what is no certificate.
    pub fn read(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let validity = certificate.validity();
        let second = |t: ASN1Time| Timestamp::from_second(t.timestamp()).ok();
        let mut names = Self {
            uris: Vec::new(),
            dns: Vec::new(),
            ips: Vec::new(),
            from: second(validity.not_before)?,
            // "No well-defined expiration date" is the year 9999 (RFC 5280 §4.1.2.5).
            until: second(validity.not_after).unwrap_or(Timestamp::MAX),
        };
        // A second extension of the kind, or a broken one, is no list of names.
        if let Some(found) = certificate.subject_alternative_name().ok()? {
            for name in &found.value.general_names {
                match name {
                    GeneralName::URI(uri) => names.uris.push((*uri).into()),
                    GeneralName::DNSName(name) => {
                        names.dns.push(name.to_ascii_lowercase().into());
                    }
                    GeneralName::IPAddress(bytes) => names.ips.extend(address(bytes)),
                    // It may be a second URI, which another reader sees.
                    GeneralName::Invalid(..) => {
                        (names.uris, names.dns, names.ips) = Default::default();
                        break;
                    }
                    _ => {}
                }
            }
        }
        Some(names)
    }

    /// Whether the certificate has this name, letter by letter.
    ///
    /// One with several URIs has no SPIFFE ID (X.509-SVID §2: exactly one).
    pub fn has(&self, identity: &Identity) -> bool {
        match identity {
            Identity::Spiffe(id) => matches!(&*self.uris, [only] if **only == **id),
            Identity::Dns(name) => self.dns.iter().any(|n| **n == **name),
            Identity::Ip(ip) => self.ips.contains(ip),
        }
    }

    pub fn dns(&self) -> impl Iterator<Item = &str> {
        self.dns.iter().map(|n| &**n)
    }

    /// Whether it speaks of nobody.
    pub fn are_none(&self) -> bool {
        self.uris.is_empty() && self.dns.is_empty() && self.ips.is_empty()
    }

    pub fn is_valid_at(&self, at: Timestamp) -> bool {
        self.from <= at && at <= self.until
    }
}

/// As an error names them: servers are no people, but a foreign certificate may be long.
impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MANY: usize = 4;
        let uris = self.uris.iter().map(ToString::to_string);
        let dns = self.dns.iter().map(|n| format!("dns:{n}"));
        let ips = self.ips.iter().map(|ip| format!("ip:{ip}"));
        let all: Vec<String> = uris.chain(dns).chain(ips).collect();
        for (i, name) in all.iter().take(MANY).enumerate() {
            let short: String = name.chars().filter(|c| !c.is_control()).take(128).collect();
            write!(f, "{}`{short}`", if i > 0 { ", " } else { "" })?;
        }
        match all.len() {
            0 => f.write_str("no name at all"),
            n if n > MANY => write!(f, " and {} more", n - MANY),
            _ => Ok(()),
        }
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}
