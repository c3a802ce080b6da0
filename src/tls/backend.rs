//! What calling one region needs: its authorities, who its servers must be, who we are to them.

use std::{fmt, path::Path, path::PathBuf, sync::Arc};

use jiff::Timestamp;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, HandshakeKind,
    OtherError, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};

use super::{
    FileFault, Files, Identity, Material, Names, Placed, Shown, Validity, authorities::Authorities,
    provider,
};
use crate::settings::{BackendTls, HttpVersion};

/// Sessions of one region that can be resumed; more than it has endpoints.
const SESSIONS: usize = 64;

/// One region's or recipient's side, as it is in use. Shared by no other: neither its authorities
/// nor its sessions.
pub struct BackendSide {
    config: Arc<ClientConfig>,
    verifier: Arc<Verifier>,
    /// The files of our own certificate and of the authorities, and when each ends.
    pub expiries: Vec<(PathBuf, Validity)>,
    doubts: Vec<Placed>,
}

/// A server with a sound certificate of somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imposter {
    pub expected: Box<str>,
    pub presented: Box<str>,
}

impl fmt::Display for Imposter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            expected,
            presented,
        } = self;
        write!(
            f,
            "its server must present {expected}, and presented {presented}"
        )
    }
}

impl std::error::Error for Imposter {}

impl BackendSide {
    pub fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }

    /// Whether some authority may vouch for servers of both, in whichever files it stands.
    pub fn shares_authority(&self, other: &Self) -> bool {
        let Verifier {
            authorities,
            algorithms,
            ..
        } = &*self.verifier;
        authorities.have_one_in_common(&other.verifier.authorities, algorithms)
    }

    /// Judges anew what a resumed session took over from an earlier handshake.
    ///
    /// # Errors
    /// As the handshake's own verification.
    pub fn judge_resumed(
        &self,
        connection: &ClientConnection,
        host: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Error> {
        if connection.handshake_kind() != Some(HandshakeKind::Resumed) {
            return Ok(());
        }
        let chain = connection.peer_certificates().unwrap_or_default();
        let (leaf, rest) = chain.split_first().ok_or(Error::NoCertificatesPresented)?;
        let judged = self.verifier.verify_server_cert(leaf, rest, host, &[], now);
        judged.map(drop)
    }

    #[cfg(test)]
    pub(super) fn judge_for_tests(
        &self,
        leaf: &CertificateDer<'_>,
        host: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Error> {
        let judged = self.verifier.verify_server_cert(leaf, &[], host, &[], now);
        judged.map(drop)
    }
}

impl Material for BackendSide {
    type Settings = BackendTls;

    fn parts(settings: &BackendTls) -> Vec<Vec<&Path>> {
        let own = settings.certificate.iter();
        let own = own.map(|pair| vec![&*pair.chain, &*pair.key]);
        own.chain([vec![&*settings.ca_file]]).collect()
    }

    fn keys(settings: &BackendTls) -> Vec<&Path> {
        settings.certificate.iter().map(|pair| &*pair.key).collect()
    }

    fn build(settings: &BackendTls, files: &Files, at: Timestamp) -> Result<Self, Vec<Placed>> {
        let mut faults = Vec::new();
        let place = |step: &str, fault| Placed {
            steps: vec![step.to_owned()],
            fault,
        };
        let authorities = Authorities::read(files, &settings.ca_file, at);
        let authorities = authorities.map_err(|f| faults.push(place("ca_file", f)));
        let mut doubts = Vec::new();
        let own = settings.certificate.as_ref().map(|pair| {
            let own = files.certified_key(pair, &["tls"], Shown::ToServers, at)?;
            doubts = own.doubts;
            Ok((own.key, (pair.chain.clone(), own.names.validity())))
        });
        let own: Result<Option<_>, Vec<Placed>> = own.transpose();
        let own = own.map_err(|f| faults.extend(f)).ok();
        let (Ok(authorities), Some(own)) = (authorities, own) else {
            return Err(faults);
        };
        let told = authorities.doubts.iter().cloned();
        doubts.extend(told.map(|fault| place("ca_file", fault)));
        let provider = provider();
        let verifier = Arc::new(Verifier {
            authorities,
            expected: settings.identity.clone(),
            algorithms: provider.signature_verification_algorithms,
        });
        let (key, expiry) = own.unzip();
        let expiries = expiry.into_iter();
        let expiries = expiries.chain([verifier.authorities.expiry.clone()]);
        let expiries = expiries.collect();
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|error| {
                let fault = FileFault::Rustls(error.to_string());
                vec![place("ca_file", fault)]
            })?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&verifier) as _);
        let mut config = match key {
            Some(key) => {
                let resolver = rustls::sign::SingleCertAndKey::from(key);
                builder.with_client_cert_resolver(Arc::new(resolver))
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = match settings.http {
            HttpVersion::One => vec![b"http/1.1".to_vec()],
            HttpVersion::Two => vec![b"h2".to_vec()],
        };
        config.resumption = if settings.resume {
            Resumption::in_memory_sessions(SESSIONS)
        } else {
            Resumption::disabled()
        };
        config.enable_early_data = false;
        Ok(Self {
            config: Arc::new(config),
            verifier,
            expiries,
            doubts,
        })
    }

    fn doubts(&self) -> &[Placed] {
        &self.doubts
    }

    fn until(&self) -> Option<Timestamp> {
        self.verifier.authorities.until
    }
}

/// The region's own authorities must vouch for the server, and it must be the one expected.
struct Verifier {
    authorities: Authorities,
    /// Any one of them; empty: the host of the endpoint.
    expected: Vec<Identity>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    fn is_expected(&self, names: &Names, host: &ServerName<'_>) -> Result<(), Imposter> {
        let by_host;
        let expected = if self.expected.is_empty() {
            by_host = Identity::of_host(&host.to_str());
            by_host.as_slice()
        } else {
            &self.expected
        };
        if expected.iter().any(|identity| names.has(identity)) {
            return Ok(());
        }
        let expected: Vec<String> = expected.iter().map(|i| format!("`{i}`")).collect();
        Err(Imposter {
            expected: expected.join(" or ").into(),
            presented: names.to_string().into(),
        })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.authorities.roots.is_empty() {
            return Err(Error::General(
                "every authority in its `ca_file` has ended".to_owned(),
            ));
        }
        let parsed = ParsedCertificate::try_from(end_entity)?;
        verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &self.authorities.roots,
            intermediates,
            now,
            self.algorithms.all,
        )?;
        let names = Names::read(end_entity)
            .ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))?;
        self.is_expected(&names, server_name)
            .map(|()| ServerCertVerified::assertion())
            .map_err(|imposter| CertificateError::Other(OtherError(Arc::new(imposter))).into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Verifier").field(&self.expected).finish()
    }
}
