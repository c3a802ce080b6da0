//! Which of a listener's certificates a caller is shown.

use std::{collections::HashMap, sync::Arc};

use rustls::{
    NamedGroup, SignatureAlgorithm, SignatureScheme,
    server::{ClientHello, ResolvesServerCert},
    sign::{CertifiedKey, Signer, SigningKey},
};

use super::Names;

/// Our certificates by the names that are in them.
#[derive(Debug, Default)]
pub(super) struct Wardrobe {
    /// By name, or by what follows the `*` of a wildcard.
    exact: HashMap<Box<str>, Keys>,
    wildcard: HashMap<Box<str>, Keys>,
    /// The first certificate of the settings, and those with the same names.
    default: Keys,
}

/// In the order of the settings; several for several kinds of key.
type Keys = Vec<Arc<CertifiedKey>>;

impl Wardrobe {
    pub fn add(&mut self, key: &Arc<CertifiedKey>, names: &Names) {
        for name in names.dns() {
            let (map, name) = match name.strip_prefix('*') {
                Some(rest) => (&mut self.wildcard, rest),
                None => (&mut self.exact, name),
            };
            map.entry(name.into()).or_default().push(Arc::clone(key));
        }
        // Last in line for whoever asks for no name of ours.
        self.default.push(Arc::clone(key));
    }

    fn choose(&self, name: Option<&str>) -> &Keys {
        let Some(name) = name.map(str::to_ascii_lowercase) else {
            return &self.default;
        };
        let wild = || {
            let dot = name.find('.')?;
            self.wildcard.get(name.get(dot..)?)
        };
        let found = self.exact.get(name.as_str()).or_else(wild);
        found.unwrap_or(&self.default)
    }
}

impl ResolvesServerCert for Wardrobe {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let schemes = hello.signature_schemes();
        let fits = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(schemes).is_some();
        let keys = self.choose(hello.server_name());
        // In TLS 1.2 the caller's groups are those of certificates, too (RFC 8422 §5.1). Which version
        // it will be is not told here; in TLS 1.3 either certificate is as good.
        let on_its_curves = |key: &&Arc<CertifiedKey>| {
            let groups = hello.named_groups();
            groups.is_none_or(|groups| curve(key).is_none_or(|curve| groups.contains(&curve)))
        };
        let best = keys.iter().find(|key| fits(key) && on_its_curves(key));
        // Many callers name the curves of their key exchange alone and take any: theirs to refuse.
        match best.or_else(|| keys.iter().find(fits)) {
            Some(key) => Some(Arc::clone(key)),
            None => keys.first().map(|key| refusal(key)),
        }
    }
}

/// Of an ECDSA key.
fn curve(key: &CertifiedKey) -> Option<NamedGroup> {
    const CURVES: [(SignatureScheme, NamedGroup); 3] = [
        (
            SignatureScheme::ECDSA_NISTP256_SHA256,
            NamedGroup::secp256r1,
        ),
        (
            SignatureScheme::ECDSA_NISTP384_SHA384,
            NamedGroup::secp384r1,
        ),
        (
            SignatureScheme::ECDSA_NISTP521_SHA512,
            NamedGroup::secp521r1,
        ),
    ];
    let signs = |scheme| key.key.choose_scheme(&[scheme]).is_some();
    let found = CURVES.iter().find(|(scheme, _)| signs(*scheme));
    found.map(|(_, group)| *group)
}

/// For whom nothing fits. To be given no certificate rustls answers `access_denied`, as if the
/// caller were unwelcome; a key that signs in no way makes it `handshake_failure`
/// (RFC 8446 §4.1.1, RFC 5246 §7.4.1.3).
fn refusal(key: &CertifiedKey) -> Arc<CertifiedKey> {
    Arc::new(CertifiedKey::new(key.cert.clone(), Arc::new(NoKey)))
}

#[derive(Debug)]
struct NoKey;

impl SigningKey for NoKey {
    fn choose_scheme(&self, _offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        None
    }

    /// No cipher suite of TLS 1.2 has it.
    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::Anonymous
    }
}
