//! The authorities of a file: whom we believe when they say who somebody is.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustls::{RootCertStore, crypto::WebPkiSupportedAlgorithms, pki_types::CertificateDer};
use x509_parser::prelude::*;

use super::{FileFault, Files, Names, Validity, pem::certificates};

/// Those of a file that have not ended.
#[derive(Debug)]
pub struct Authorities {
    /// Empty if all have ended while the file was in use: then nobody is believed.
    pub roots: RootCertStore,
    certificates: Vec<CertificateDer<'static>>,
    /// The last second in which all of `roots` are to be believed.
    pub until: Option<Timestamp>,
    /// The file, and the validity of what ends last in it.
    pub expiry: (PathBuf, Validity),
    /// Which were passed over, and why.
    pub doubts: Vec<FileFault>,
}

impl Authorities {
    /// At least one that has not ended, unless the file is in use already.
    ///
    /// # Errors
    /// `NoAuthority` for a certificate that may sign nobody: who verifies a chain looks at no
    /// extension of what stands at its end, so its key would sign whomever it likes (RFC 5280
    /// §6.1.4 (k) and (n) concern what lies between). As [`Files::get`] and for what is no PEM.
    pub fn read(files: &Files, path: &Path, at: Timestamp) -> Result<Self, FileFault> {
        let found = certificates(path, files.get(path)?)?;
        let unreadable = || FileFault::Certificate(path.to_owned());
        let mut last: Option<Validity> = None;
        let mut authorities = Vec::new();
        let mut doubts = Vec::new();
        for (number, certificate) in (1..).zip(found) {
            let names = Names::read(&certificate).ok_or_else(unreadable)?;
            if !may_sign(&certificate) {
                let path = path.to_owned();
                return Err(FileFault::NoAuthority { path, number });
            }
            let validity = names.validity();
            if last.is_none_or(|last| last.until < validity.until) {
                last = Some(validity);
            }
            match validity.until < at {
                false => authorities.push((validity.until, certificate)),
                true => doubts.push(FileFault::AuthorityEnded {
                    path: path.to_owned(),
                    number,
                    until: validity.until,
                }),
            }
        }
        if authorities.is_empty() {
            let fault = FileFault::AuthoritiesEnded(path.to_owned());
            match files.is_kept(path) {
                true => doubts = vec![fault],
                false => return Err(fault),
            }
        }
        let mut roots = RootCertStore::empty();
        for (_, certificate) in &authorities {
            roots.add(certificate.clone()).map_err(|_| unreadable())?;
        }
        Ok(Self {
            roots,
            until: authorities.iter().map(|(until, _)| *until).min(),
            certificates: authorities.into_iter().map(|(_, c)| c).collect(),
            expiry: (path.to_owned(), last.ok_or_else(unreadable)?),
            doubts,
        })
    }

    /// Whether some authority may vouch for the servers of both: it stands in both, or one that
    /// stands here is signed by one that stands there.
    pub fn have_one_in_common(&self, other: &Self, algorithms: &WebPkiSupportedAlgorithms) -> bool {
        let (own, others) = (self.parsed(), other.parsed());
        own.iter().any(|own| {
            others.iter().any(|other| {
                own.public_key().raw == other.public_key().raw
                    || has_signed(own, other, algorithms)
                    || has_signed(other, own, algorithms)
            })
        })
    }

    fn parsed(&self) -> Vec<X509Certificate<'_>> {
        let all = self.certificates.iter();
        all.filter_map(|der| Some(X509Certificate::from_der(der).ok()?.1))
            .collect()
    }
}

/// RFC 5280 §4.2.1.9 and §4.2.1.3. One of the first version says nothing of the kind.
fn may_sign(der: &[u8]) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else {
        return false;
    };
    let is_authority = matches!(certificate.basic_constraints(), Ok(Some(basic)) if basic.value.ca);
    is_authority
        && match certificate.key_usage() {
            Ok(usage) => usage.is_none_or(|usage| usage.value.key_cert_sign()),
            Err(_) => false,
        }
}

fn has_signed(
    signer: &X509Certificate<'_>,
    signed: &X509Certificate<'_>,
    algorithms: &WebPkiSupportedAlgorithms,
) -> bool {
    let key = &signer.public_key().subject_public_key.data;
    let (message, signature) = (
        signed.tbs_certificate.as_ref(),
        &signed.signature_value.data,
    );
    signer.subject().as_raw() == signed.issuer().as_raw()
        // Which of them it is stands in the certificate; that of another kind of key fails at once.
        && algorithms
            .all
            .iter()
            .any(|one| one.verify_signature(key, message, signature).is_ok())
}
