//! What a listener needs, and who is at the other end.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use jiff::Timestamp;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, ProtocolVersion,
    RootCertStore, ServerConfig, ServerConnection, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{
        WebPkiSupportedAlgorithms, aws_lc_rs::Ticketer, verify_tls12_signature,
        verify_tls13_signature,
    },
    pki_types::{CertificateDer, UnixTime},
    server::{
        NoServerSessionStorage, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};

use super::{
    FileFault, Files, Material, Names, Placed, Shown, Validity, authorities::Authorities, provider,
    unix_time, wardrobe::Wardrobe,
};
use crate::settings::{ClientCertificates, ListenerTls};

/// One listener's certificates and the authorities of its callers, as they are in use.
pub struct ServerSide {
    config: Arc<ServerConfig>,
    callers: Option<Arc<dyn ClientCertVerifier>>,
    /// No two that were ever built have the same.
    number: u64,
    /// The files of chains and authorities, and when each ends.
    pub expiries: Vec<(PathBuf, Validity)>,
    /// As [`Authorities::until`].
    until: Option<Timestamp>,
    doubts: Vec<Placed>,
}

/// The certificate of a connection's caller, verified in the handshake.
///
/// It is asked for with each request: authorities may have been exchanged since, and it ends.
pub struct TlsPeer {
    certificate: Option<Certificate>,
    version: &'static str,
}

struct Certificate {
    chain: Vec<CertificateDer<'static>>,
    names: Names,
    /// By which [`ServerSide`] it was judged last, doubled, and 1 more if it held.
    judged: AtomicU64,
}

impl ServerSide {
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// Who is at the other end of a connection whose handshake is over.
    pub fn peer(&self, connection: &ServerConnection) -> TlsPeer {
        let chain = connection.peer_certificates().unwrap_or_default();
        let names = chain.first().and_then(|leaf| Names::read(leaf));
        TlsPeer {
            version: match connection.protocol_version() {
                Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
                Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
                _ => "other",
            },
            certificate: names.map(|names| Certificate {
                chain: chain.iter().map(|c| c.clone().into_owned()).collect(),
                names,
                // A resumed session carries what an earlier handshake verified, so nothing is
                // taken for granted.
                judged: AtomicU64::new(0),
            }),
        }
    }

    fn verifies(&self, chain: &[CertificateDer<'_>], at: Timestamp) -> bool {
        let Some((leaf, rest)) = chain.split_first() else {
            return false;
        };
        self.callers.as_ref().is_some_and(|callers| {
            callers
                .verify_client_cert(leaf, rest, unix_time(at))
                .is_ok()
        })
    }
}

impl TlsPeer {
    /// Of the protocol, for the access log.
    pub fn version(&self) -> &'static str {
        self.version
    }

    /// The names of the caller's certificate, as long as it is valid and an authority that is in
    /// use now vouches for it.
    pub fn names(&self, side: &ServerSide, at: Timestamp) -> Option<&Names> {
        let certificate = self.certificate.as_ref()?;
        if !certificate.names.is_valid_at(at) {
            return None;
        }
        let judged = certificate.judged.load(Ordering::Relaxed);
        let mut holds = judged & 1 == 1;
        if judged >> 1 != side.number {
            holds = side.verifies(&certificate.chain, at);
            let judged = side.number << 1 | u64::from(holds);
            certificate.judged.store(judged, Ordering::Relaxed);
        }
        holds.then_some(&certificate.names)
    }
}

impl Material for ServerSide {
    type Settings = ListenerTls;

    fn parts(settings: &ListenerTls) -> Vec<Vec<&Path>> {
        let pairs = settings.certificates.iter();
        let pairs = pairs.map(|pair| vec![&*pair.chain, &*pair.key]);
        let ca = settings.client_ca.iter();
        pairs.chain(ca.map(|ca| vec![&**ca])).collect()
    }

    fn keys(settings: &ListenerTls) -> Vec<&Path> {
        settings
            .certificates
            .iter()
            .map(|pair| &*pair.key)
            .collect()
    }

    fn build(settings: &ListenerTls, files: &Files, at: Timestamp) -> Result<Self, Vec<Placed>> {
        let mut faults = Vec::new();
        let mut wardrobe = Wardrobe::default();
        let (mut expiries, mut doubts) = (Vec::new(), Vec::new());
        for (number, pair) in settings.certificates.iter().enumerate() {
            let steps = ["certificates", &number.to_string()];
            match files.certified_key(pair, &steps, Shown::ToClients, at) {
                Ok(own) => {
                    expiries.push((pair.chain.clone(), own.names.validity()));
                    wardrobe.add(&own.key, &own.names);
                    doubts.extend(own.doubts);
                }
                Err(found) => faults.extend(found),
            }
        }
        let place = |fault| Placed {
            steps: vec!["client_ca".to_owned()],
            fault,
        };
        let ca = settings.client_ca.as_deref();
        let authorities = ca
            .map(|path| Authorities::read(files, path, at))
            .transpose();
        let callers = authorities.and_then(|authorities| {
            let Some(authorities) = authorities else {
                return Ok((None, None));
            };
            let Authorities { expiry, until, .. } = authorities;
            expiries.push(expiry);
            doubts.extend(authorities.doubts.into_iter().map(place));
            let is_required = settings.client_certificates == ClientCertificates::Required;
            let callers = callers(authorities.roots, is_required)?;
            Ok((Some(callers), until))
        });
        let (callers, until) = callers.unwrap_or_else(|fault| {
            faults.push(place(fault));
            (None, None)
        });
        if !faults.is_empty() {
            return Err(faults);
        }
        let config = config(wardrobe, callers.clone(), settings.speaks_h2);
        let config = config.map_err(|error| {
            let fault = FileFault::Rustls(error.to_string());
            let steps = vec!["certificates".to_owned()];
            vec![Placed { steps, fault }]
        })?;
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        Ok(Self {
            config: Arc::new(config),
            callers,
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
            expiries,
            until,
            doubts,
        })
    }

    fn doubts(&self) -> &[Placed] {
        &self.doubts
    }

    fn until(&self) -> Option<Timestamp> {
        self.until
    }
}

fn callers(
    roots: RootCertStore,
    is_required: bool,
) -> Result<Arc<dyn ClientCertVerifier>, FileFault> {
    if roots.is_empty() {
        return Ok(Arc::new(Nobody {
            is_required,
            algorithms: provider().signature_verification_algorithms,
        }));
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    let builder = match is_required {
        true => builder,
        false => builder.allow_unauthenticated(),
    };
    let built = builder.build();
    built.map_err(|error| FileFault::Rustls(error.to_string()))
}

/// Every authority has ended: certificates are asked for as before, and none is believed.
#[derive(Debug)]
struct Nobody {
    is_required: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for Nobody {
    fn client_auth_mandatory(&self) -> bool {
        self.is_required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Err(CertificateError::UnknownIssuer.into())
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

fn config(
    wardrobe: Wardrobe,
    callers: Option<Arc<dyn ClientCertVerifier>>,
    speaks_h2: bool,
) -> Result<ServerConfig, rustls::Error> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?;
    let mut config = match callers {
        Some(callers) => builder.with_client_cert_verifier(callers),
        None => builder.with_no_client_auth(),
    }
    .with_cert_resolver(Arc::new(wardrobe));
    config.alpn_protocols = match speaks_h2 {
        true => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        false => vec![b"http/1.1".to_vec()],
    };
    // Our order: the strongest first. Callers without fast AES lose little.
    config.ignore_client_order = true;
    // Tickets alone, under a secret of this configuration: nothing that an earlier one verified
    // can be resumed here.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = Ticketer::new()?;
    config.max_early_data_size = 0;
    Ok(config)
}
