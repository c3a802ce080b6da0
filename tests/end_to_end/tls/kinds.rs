//! Kinds of keys: which certificate a caller is shown, and how one is told that none suits.

use std::io;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{
    AlertDescription, CipherSuite, ClientConfig, Error, NamedGroup, SignatureScheme,
    SupportedProtocolVersion,
};

use super::client::Caller;
use super::pki::Authority;
use super::{secured, shared};

const OLD: &SupportedProtocolVersion = &rustls::version::TLS12;
const NEW: &SupportedProtocolVersion = &rustls::version::TLS13;

/// A client that can do only what `limit` leaves.
fn client(
    ca: &Authority,
    version: &'static SupportedProtocolVersion,
    limit: impl Fn(&mut CryptoProvider),
) -> ClientConfig {
    let mut provider = aws_lc_rs::default_provider();
    limit(&mut provider);
    ClientConfig::builder_with_provider(shared(provider))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(ca.roots())
        .with_no_client_auth()
}

fn groups(only: &'static [NamedGroup]) -> impl Fn(&mut CryptoProvider) {
    |provider| {
        provider.kx_groups = aws_lc_rs::ALL_KX_GROUPS.to_vec();
        provider.kx_groups.retain(|g| only.contains(&g.name()));
    }
}

fn schemes(only: SignatureScheme) -> impl Fn(&mut CryptoProvider) {
    move |provider| {
        let all = &mut provider.signature_verification_algorithms;
        let found = all.mapping.iter().copied().filter(|(s, _)| *s == only);
        all.mapping = Box::leak(found.collect());
    }
}

#[test]
fn a_certificate_on_a_curve_that_the_caller_names_goes_first() {
    let ca = Authority::new("servers");
    let (mut setup, _backends) = secured(&ca);
    let names = ["dns:api.test"];
    let pairs = [
        ca.sign_kind(&names, &rcgen::PKCS_ECDSA_P256_SHA256),
        ca.sign_kind(&names, &rcgen::PKCS_ECDSA_P384_SHA384),
    ];
    let folder = setup.folder.path().to_owned();
    let written: Vec<_> = pairs.iter().zip(["a", "b"]).collect();
    let written: Vec<_> = written.iter().map(|(p, n)| p.write(&folder, n)).collect();
    setup.set(&["data_plane", "tls", "certificates"], written);
    let router = setup.start();
    use NamedGroup::{X25519, secp256r1, secp384r1};
    let cases: [(_, &[_], _); 6] = [
        (OLD, &[X25519, secp256r1, secp384r1], 0),
        (OLD, &[X25519, secp384r1], 1),
        (OLD, &[secp256r1], 0),
        // It names no curve of ours, and decides itself whether it takes the first.
        (OLD, &[X25519], 0),
        (NEW, &[X25519, secp384r1], 1),
        (NEW, &[X25519], 0),
    ];
    for (version, offered, shown) in cases {
        let config = shared(client(&ca, version, groups(offered)));
        let caller = Caller::connect(router.router, &config, "api.test").unwrap();
        assert!(caller.shown() == pairs[shown].der(), "{offered:?}");
    }
}

/// RFC 8446 §4.1.1: `handshake_failure`, not `access_denied`, which is about who asks.
#[test]
fn a_caller_with_nothing_in_common_is_told_so() {
    let ca = Authority::new("servers");
    let (setup, _backends) = secured(&ca);
    let router = setup.start();
    let told = |config: ClientConfig| -> Option<Error> {
        let error = Caller::connect(router.router, &shared(config), "api.test").err()?;
        let inner = error.downcast::<Error>();
        inner.map_err(|e: io::Error| panic!("{e}")).ok()
    };
    let rsa_suites = |provider: &mut CryptoProvider| {
        let of_rsa = CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256;
        provider.cipher_suites.retain(|s| s.suite() == of_rsa);
    };
    let failure = Some(Error::AlertReceived(AlertDescription::HandshakeFailure));
    assert_eq!(told(client(&ca, OLD, rsa_suites)), failure);
    for version in [OLD, NEW] {
        for only in [
            SignatureScheme::RSA_PSS_SHA256,
            SignatureScheme::ECDSA_NISTP384_SHA384,
        ] {
            let config = client(&ca, version, schemes(only));
            assert_eq!(told(config), failure, "{version:?} {only:?}");
        }
        let exotic = groups(&[NamedGroup::MLKEM768, NamedGroup::secp256r1MLKEM768]);
        if version == NEW {
            assert_eq!(told(client(&ca, version, exotic)), failure);
        }
    }
    let config = client(&ca, NEW, |_| {});
    assert_eq!(told(config), None, "and who has, gets in");
}
