//! Authorities of the test's own, and what they sign.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, SignatureAlgorithm, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

/// A certificate and its key, in PEM.
#[derive(Clone)]
pub struct Pair {
    pub chain: String,
    pub key: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        domicile::tls::install_provider();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self {
            pem: certificate.pem(),
            issuer: Issuer::new(params, key),
        }
    }

    /// Names as settings write them: `dns:`, `ip:`, or a URI.
    pub fn sign(&self, names: &[&str]) -> Pair {
        self.sign_until(names, 2099)
    }

    pub fn sign_until(&self, names: &[&str], year: i32) -> Pair {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = names.iter().map(|name| san(name)).collect();
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        self.issue(&params, &KeyPair::generate().unwrap())
    }

    /// One whose last second is so many seconds after 1970.
    pub fn sign_until_second(&self, names: &[&str], last: u64) -> Pair {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = names.iter().map(|name| san(name)).collect();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(1970, 1, 1) + std::time::Duration::from_secs(last);
        self.issue(&params, &KeyPair::generate().unwrap())
    }

    /// One with a key of this kind.
    pub fn sign_kind(&self, names: &[&str], kind: &'static SignatureAlgorithm) -> Pair {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = names.iter().map(|name| san(name)).collect();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(&params, &KeyPair::generate_for(kind).unwrap())
    }

    fn issue(&self, params: &CertificateParams, key: &KeyPair) -> Pair {
        let certificate = params.signed_by(key, &self.issuer).unwrap();
        Pair {
            chain: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        let der = CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap();
        roots.add(der).unwrap();
        roots
    }

    /// Believes this authority; shows `own`; offers `alpn`.
    pub fn client(&self, own: Option<&Pair>, alpn: &[&str]) -> ClientConfig {
        self.client_of(own, alpn, rustls::DEFAULT_VERSIONS)
    }

    pub fn client_of(
        &self,
        own: Option<&Pair>,
        alpn: &[&str],
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> ClientConfig {
        let builder = ClientConfig::builder_with_protocol_versions(versions)
            .with_root_certificates(self.roots());
        let mut config = match own {
            Some(own) => builder
                .with_client_auth_cert(own.certificates(), own.private_key())
                .unwrap(),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
        config
    }
}

impl Pair {
    /// Writes `NAME.pem` and `NAME.key`, and gives the table that settings name them by.
    pub fn write(&self, folder: &Path, name: &str) -> toml::Value {
        std::fs::write(folder.join(format!("{name}.pem")), &self.chain).unwrap();
        std::fs::write(folder.join(format!("{name}.key")), &self.key).unwrap();
        let mut table = toml::Table::new();
        table.insert("chain".into(), format!("{name}.pem").into());
        table.insert("key".into(), format!("{name}.key").into());
        table.into()
    }

    fn certificates(&self) -> Vec<CertificateDer<'static>> {
        vec![CertificateDer::from_pem_slice(self.chain.as_bytes()).unwrap()]
    }

    fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap()
    }

    /// For a backend; `callers`: whose certificates it asks for.
    pub fn server(&self, callers: Option<&Authority>, alpn: &[&str]) -> ServerConfig {
        let builder = ServerConfig::builder();
        let builder = match callers {
            None => builder.with_no_client_auth(),
            Some(callers) => builder.with_client_cert_verifier(
                rustls::server::WebPkiClientVerifier::builder(Arc::new(callers.roots()))
                    .build()
                    .unwrap(),
            ),
        };
        let mut config = builder
            .with_single_cert(self.certificates(), self.private_key())
            .unwrap();
        config.alpn_protocols = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
        config
    }

    /// The certificate as it stands on the wire.
    pub fn der(&self) -> Vec<u8> {
        self.certificates().remove(0).to_vec()
    }
}

pub fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn san(name: &str) -> SanType {
    if let Some(dns) = name.strip_prefix("dns:") {
        return SanType::DnsName(dns.try_into().unwrap());
    }
    match name.strip_prefix("ip:") {
        Some(ip) => SanType::IpAddress(ip.parse().unwrap()),
        None => SanType::URI(name.try_into().unwrap()),
    }
}
