//! Certificates of invented people's servers, and what is built from them.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, ServerName};

use super::*;
use crate::{
    clock,
    settings::{BackendTls, CertificateFiles, ClientCertificates, HttpVersion, ListenerTls},
};

mod authorities;
mod exchange;
mod pem;

/// An authority that signs what a test asks for, and a folder for the files.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        Self::of(name, (2020, 2099))
    }

    fn of(name: &str, years: (i32, i32)) -> Self {
        let params = Self::params(name, years);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self {
            pem: certificate.pem(),
            issuer: Issuer::new(params, key),
        }
    }

    /// An authority that this one vouches for.
    fn below(&self, name: &str) -> Self {
        let params = Self::params(name, (2020, 2099));
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Self {
            pem: certificate.pem(),
            issuer: Issuer::new(params, key),
        }
    }

    fn params(name: &str, years: (i32, i32)) -> CertificateParams {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.not_before = date_time_ymd(years.0, 1, 1);
        params.not_after = date_time_ymd(years.1, 1, 1);
        params
    }

    /// A certificate and its key in PEM; names as settings write them (`dns:`, `ip:`, a URI).
    pub(crate) fn sign(&self, names: &[&str]) -> (String, String) {
        self.sign_for(names, (2020, 2099))
    }

    pub(crate) fn sign_for(&self, names: &[&str], years: (i32, i32)) -> (String, String) {
        self.sign_with(names, years, &[])
    }

    /// `usages`: none stands for those of both ends.
    fn sign_with(
        &self,
        names: &[&str],
        years: (i32, i32),
        usages: &[ExtendedKeyUsagePurpose],
    ) -> (String, String) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = names.iter().map(|n| san(n)).collect();
        params.extended_key_usages = match usages {
            [] => vec![
                ExtendedKeyUsagePurpose::ServerAuth,
                ExtendedKeyUsagePurpose::ClientAuth,
            ],
            some => some.to_vec(),
        };
        params.not_before = date_time_ymd(years.0, 1, 1);
        params.not_after = date_time_ymd(years.1, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
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

/// Writes both into `folder` as `NAME.pem` and `NAME.key`.
pub(crate) fn write_pair(
    folder: &Path,
    name: &str,
    (chain, key): (String, String),
) -> CertificateFiles {
    let file = |end: &str, text: String| -> PathBuf {
        let path = folder.join(format!("{name}.{end}"));
        std::fs::write(&path, text).unwrap();
        path
    };
    CertificateFiles {
        chain: file("pem", chain),
        key: file("key", key),
    }
}

fn listener(pairs: Vec<CertificateFiles>, ca: Option<PathBuf>) -> ListenerTls {
    ListenerTls {
        certificates: pairs,
        client_ca: ca,
        client_certificates: ClientCertificates::Required,
        speaks_h2: true,
    }
}

fn faults(settings: &ListenerTls) -> Vec<String> {
    let built = Live::<ServerSide>::new(settings.clone(), clock::now());
    let found = built.err().unwrap_or_default();
    let told = found.iter();
    told.map(|p| format!("{}: {}", p.steps.join("."), p.fault))
        .collect()
}

fn names(pem: &str) -> Names {
    use rustls::pki_types::pem::PemObject;
    Names::read(&CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap()
}

#[test]
fn names_match_letter_by_letter_and_wildcards_are_nobody() {
    let ca = Authority::new("test");
    let has = |names: &Names, text: &str| names.has(&Identity::parse(text).unwrap());
    let (pem, _) = ca.sign(&[
        "spiffe://acme/eu/store",
        "dns:Store.eu",
        "dns:*.in",
        "ip:127.0.0.1",
    ]);
    let store = names(&pem);
    assert!(has(&store, "spiffe://acme/eu/store") && has(&store, "dns:store.EU"));
    assert!(store.has(&Identity::of_host("127.0.0.1").unwrap()));
    for other in [
        "spiffe://acme/eu",
        "spiffe://acme/eu/store2",
        "dns:store.in",
        "dns:eu",
    ] {
        assert!(!has(&store, other), "{other}");
    }
    assert!(!store.has(&Identity::of_host("127.0.0.2").unwrap()));
    let (pem, _) = ca.sign(&["spiffe://acme/eu/store", "spiffe://acme/in/store"]);
    assert!(!has(&names(&pem), "spiffe://acme/eu/store"), "two are none");
    assert_eq!(names(&ca.sign(&[]).0).to_string(), "no name at all");
}

/// One URI and one that is no text are two URIs, as whoever passes over neither reads them.
#[test]
fn a_certificate_with_a_name_that_cannot_be_read_has_none() {
    let good = b"spiffe://acme/eu/store";
    for (second, is_known) in [(&b"spiffe://acme/in/\xff\xfe"[..], false), (b"", true)] {
        let mut sans = vec![0x82, 1, b'a', 0x86, good.len() as u8];
        sans.extend(good);
        if !second.is_empty() {
            sans.extend([0x86, second.len() as u8]);
            sans.extend(second);
        }
        let mut content = vec![0x30, sans.len() as u8];
        content.extend(sans);
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        let extension = CustomExtension::from_oid_content(&[2, 5, 29, 17], content);
        params.custom_extensions = vec![extension];
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let names = Names::read(certificate.der()).unwrap();
        for name in ["spiffe://acme/eu/store", "dns:a"] {
            let identity = Identity::parse(name).unwrap();
            assert_eq!(names.has(&identity), is_known, "{name}");
        }
    }
}

#[test]
fn every_broken_file_is_told_at_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Authority::new("test");
    let good = write_pair(folder.path(), "good", ca.sign(&["dns:a"]));
    let other = write_pair(folder.path(), "other", ca.sign(&["dns:b"]));
    let old = write_pair(folder.path(), "old", ca.sign_for(&["dns:c"], (2020, 2021)));
    let early = write_pair(
        folder.path(),
        "early",
        ca.sign_for(&["dns:d"], (2098, 2099)),
    );
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "nothing").unwrap();
    assert_eq!(faults(&listener(vec![good.clone()], None)), [""; 0]);
    let crossed = CertificateFiles {
        chain: good.chain.clone(),
        key: other.key.clone(),
    };
    let gone = CertificateFiles {
        chain: empty.clone(),
        key: folder.path().join("gone.key"),
    };
    let swapped = CertificateFiles {
        chain: good.key.clone(),
        key: good.chain.clone(),
    };
    let told = faults(&listener(
        vec![good, crossed, old, early, gone, swapped],
        Some(empty),
    ));
    let expected = [
        ("certificates.1.key: ", "is not the key of"),
        ("certificates.2.chain: ", "ended at 2021-01-01"),
        ("certificates.3.chain: ", "begins at 2098-01-01"),
        ("certificates.4.chain: ", "holds no certificate"),
        ("certificates.4.key: cannot read", "gone.key"),
        ("certificates.5.chain: ", "holds no certificate"),
        ("certificates.5.key: ", "holds no private key"),
        ("client_ca: ", "holds no certificate"),
    ];
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for (told, (place, message)) in told.iter().zip(expected) {
        assert!(told.starts_with(place) && told.contains(message), "{told}");
    }
}

#[test]
fn files_are_exchanged_whole_and_broken_ones_are_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Authority::new("test");
    let pair = write_pair(folder.path(), "server", ca.sign(&["dns:a"]));
    let live = Live::<ServerSide>::new(listener(vec![pair], None), clock::now()).unwrap();
    let first = live.load();
    assert!(matches!(live.look(clock::now(), true), Change::Unchanged));
    // The certificate is there, its key is still to come.
    let (chain, key) = ca.sign(&["dns:a"]);
    std::fs::write(folder.path().join("server.pem"), chain).unwrap();
    assert!(matches!(live.look(clock::now(), true), Change::Unchanged));
    assert!(!live.is_behind());
    assert!(matches!(live.look(clock::now(), true), Change::Kept(_)));
    assert!(live.is_behind());
    assert!(matches!(live.look(clock::now(), true), Change::Unchanged));
    assert!(std::sync::Arc::ptr_eq(&first, &live.load()));
    std::fs::write(folder.path().join("server.key"), key).unwrap();
    assert!(matches!(live.look(clock::now(), true), Change::Swapped(_)));
    assert!(!live.is_behind() && !std::sync::Arc::ptr_eq(&first, &live.load()));
}

#[test]
fn a_volumes_link_is_followed_and_a_lost_file_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Authority::new("test");
    let data = folder.path().join("..data");
    for turn in ["one", "two"] {
        let turn = folder.path().join(turn);
        std::fs::create_dir(&turn).unwrap();
        write_pair(&turn, "tls", ca.sign(&["dns:a"]));
    }
    std::os::unix::fs::symlink("one", &data).unwrap();
    let pair = CertificateFiles {
        chain: data.join("tls.pem"),
        key: data.join("tls.key"),
    };
    let live = Live::<ServerSide>::new(listener(vec![pair], None), clock::now()).unwrap();
    std::fs::remove_file(&data).unwrap();
    assert!(matches!(live.look(clock::now(), true), Change::Unchanged));
    std::os::unix::fs::symlink("two", &data).unwrap();
    assert!(matches!(live.look(clock::now(), true), Change::Swapped(_)));
}

#[test]
fn what_was_not_yet_valid_is_taken_when_its_time_comes() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Authority::new("test");
    let pair = write_pair(folder.path(), "server", ca.sign(&["dns:a"]));
    let live = Live::<ServerSide>::new(listener(vec![pair], None), clock::now()).unwrap();
    write_pair(
        folder.path(),
        "server",
        ca.sign_for(&["dns:a"], (2098, 2099)),
    );
    assert!(matches!(live.look(clock::now(), false), Change::Kept(_)));
    let then = "2098-06-01T00:00:00Z".parse().unwrap();
    assert!(matches!(live.look(then, true), Change::Swapped(_)));
}

#[test]
fn a_region_believes_its_own_authorities_and_identity_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, &ours.pem).unwrap();
    let settings = |identity: &[&str]| BackendTls {
        ca_file: ca_file.clone(),
        identity: identity
            .iter()
            .map(|i| Identity::parse(i).unwrap())
            .collect(),
        certificate: None,
        resume: false,
        http: HttpVersion::One,
    };
    let judge = |settings: BackendTls, pem: &str| {
        use rustls::pki_types::pem::PemObject;
        let side = Live::<BackendSide>::new(settings, clock::now()).unwrap();
        let leaf = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let host = ServerName::try_from("store.eu").unwrap();
        let judged = side
            .load()
            .judge_for_tests(&leaf, &host, unix_time(clock::now()));
        judged.map_err(|error| error.to_string())
    };
    let eu = ["spiffe://acme/eu/store"];
    let (right, _) = ours.sign(&["spiffe://acme/eu/store"]);
    assert_eq!(judge(settings(&eu), &right), Ok(()));
    assert!(
        judge(settings(&[]), &right).is_err(),
        "the host counts where no identity does"
    );
    let (by_host, _) = ours.sign(&["dns:store.eu"]);
    assert_eq!(judge(settings(&[]), &by_host), Ok(()));
    let told = judge(settings(&eu), &by_host).unwrap_err();
    let imposter = Imposter {
        expected: "`spiffe://acme/eu/store`".into(),
        presented: "`dns:store.eu`".into(),
    };
    assert!(told.contains(&format!("{imposter:?}")), "{told}");
    let (india, _) = ours.sign(&["spiffe://acme/in/store", "dns:store.eu"]);
    assert!(judge(settings(&eu), &india).is_err());
    let (foreign, _) = theirs.sign(&["spiffe://acme/eu/store"]);
    assert!(judge(settings(&eu), &foreign).is_err());
    let (old, _) = ours.sign_for(&["spiffe://acme/eu/store"], (2020, 2021));
    assert!(judge(settings(&eu), &old).is_err());
    let (wild, _) = ours.sign(&["dns:*.eu"]);
    assert!(judge(settings(&[]), &wild).is_err());
}

/// Made for these tests, and of no other use. No generator here makes such keys.
const RSA_1024: &str = "MIICdwIBADANBgkqhkiG9w0BAQEFAASCAmEwggJdAgEAAoGBAPX42UX2+g+dWWa9
X8FlHRPH766kN/khyHeYTKvwVokQW7tcGwPwpZUhskE4l97pZ0XRiCk4PMoW/5Ff
T3Bibq/ZtZ5JHOODjyxXIyCEFzGu0mbT7ZU8MhLx+6r1sVJLIedAF3b35FmWJ1sn
ICUC8wfRnPE9tfypUzp+ptd/UJJBAgMBAAECgYEA4Y77n58mHJ+MVhye7LgOfA9C
igHpmjoSnSk6VgmlMTehByUlWO2ayjEGR6zgB/g9TdchZ7s8c423etXOAR8io69Y
fFgO9gnwNgzGX157ES1olIHMdmjuNlGLgQppl3Vb1E3KwMfXC9TIS45NJuS/Oa0c
uytbCcb8ltrBXqeQWIkCQQD+nUZytZDRiXavtRMv82Do6n9g8yo+NxcewGnKih2O
1qH/9QrA57rrscmfY4FI6TyK4I5TYpab5m+tM0nwZihXAkEA90+IgbKvdaK2yGx+
DdGaxmR74Z/QIyGFLRyxYv7IKySpdSEXW947gCSMIFnIncDXKNKNfrmB77dYq1Wk
z/LbJwJAIME84d7nvX0QrrP9vupxaiVYs7E0mwJdUBByy6KPAOQtvQ7aDk0BZ/bc
OEwFwsp2hmszBBknxPCVJ1P0zB9oSwJATC53wlwkqHwDCiJBgkg7AToa3xm3p9q/
h3H7Qp9xUbjtamNTKr1+Xq7ja2O85Ltui+iwJYVHfWxhKAYtytDoqQJBAKMA12R1
LlbCNYUuC67RWG9KS8S9TLKn0bUqunVTPqSD6O2OpCnXXIG4A2y+oKd4ynztF0wd
fBHS6OKKB/9AoaM=";
const SECP256K1: &str = "MIGEAgEAMBAGByqGSM49AgEGBSuBBAAKBG0wawIBAQQguNTnZ5r/2fSzqsz/CGN+
bBuWRycwtrMVmfZD8gd+JcGhRANCAAQQ+V7FhGkRHckSmKsXpciGwmjj1WBiheMy
YlN2QvXDSrIK+b7HvuFSYf3EiHA/5DPX++wbsTXxA3ToQQpebcw7";

#[test]
fn keys_that_cannot_be_used_are_told_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Authority::new("test");
    let told = |key: &str| {
        let (chain, _) = ca.sign(&["dns:a"]);
        let pair = write_pair(folder.path(), "server", (chain, key.to_owned()));
        faults(&listener(vec![pair], None)).join("\n")
    };
    for (label, head) in [
        ("ENCRYPTED PRIVATE KEY-----", ""),
        (
            "EC PRIVATE KEY-----",
            "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n",
        ),
    ] {
        let told = told(&format!(
            "-----BEGIN {label}\n{head}MAA=\n-----END {label}\n"
        ));
        assert!(
            told.contains("keys with passwords are not supported"),
            "{told}"
        );
        assert!(told.contains("openssl pkey -in "), "{told}");
    }
    for key in [SECP256K1, RSA_1024] {
        let label = "PRIVATE KEY-----";
        let told = told(&format!("-----BEGIN {label}\n{key}\n-----END {label}\n"));
        assert!(
            told.contains("RSA of 2048 to 8192 bits, ECDSA on P-256"),
            "{told}"
        );
    }
}

/// What those to whom it is shown say of a certificate.
fn doubts(settings: &ListenerTls) -> Vec<String> {
    let live = Live::<ServerSide>::new(settings.clone(), clock::now()).unwrap();
    let side = live.load();
    let told = side.doubts().iter();
    told.map(|p| format!("{}: {}", p.steps.join("."), p.fault))
        .collect()
}

#[test]
fn a_certificate_that_no_client_will_accept_is_doubtful() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Authority::new("test");
    let years = (2020, 2099);
    let client_only = [ExtendedKeyUsagePurpose::ClientAuth];
    let any = [ExtendedKeyUsagePurpose::Any];
    let (chain, key) = ca.sign(&["dns:c"]);
    let (ended, _) = ca.sign_for(&[], (2020, 2021));
    let pairs = [
        ca.sign(&["dns:a"]),
        ca.sign_with(&["dns:a"], years, &any),
        ca.sign_with(&["dns:b"], years, &client_only),
        ca.sign(&[]),
        (chain + &ended, key),
    ];
    let names = ["good", "any", "client", "nobody", "ended"];
    let write = |(name, pair)| write_pair(folder.path(), name, pair);
    let pairs = names.into_iter().zip(pairs).map(write).collect();
    let told = doubts(&listener(pairs, None));
    let expected = [
        ("certificates.2.chain: ", "lacks serverAuth"),
        ("certificates.3.chain: ", "no subject alternative name"),
        ("certificates.4.chain: ", "ended at 2021-01-01"),
    ];
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for (told, (place, message)) in told.iter().zip(expected) {
        assert!(told.starts_with(place) && told.contains(message), "{told}");
    }
}

#[test]
fn a_certificate_that_no_region_will_accept_is_doubtful() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Authority::new("test");
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, &ca.pem).unwrap();
    let doubts = |usage| {
        let pair = ca.sign_with(&[], (2020, 2099), &[usage]);
        let settings = BackendTls {
            ca_file: ca_file.clone(),
            identity: Vec::new(),
            certificate: Some(write_pair(folder.path(), "router", pair)),
            resume: false,
            http: HttpVersion::One,
        };
        let live = Live::<BackendSide>::new(settings, clock::now()).unwrap();
        let side = live.load();
        let told = side.doubts().iter();
        told.map(|p| format!("{}: {}", p.steps.join("."), p.fault))
            .collect::<Vec<_>>()
    };
    assert_eq!(doubts(ExtendedKeyUsagePurpose::ClientAuth), [""; 0]);
    let told = doubts(ExtendedKeyUsagePurpose::ServerAuth);
    assert!(
        matches!(&*told, [one] if one.starts_with("tls.chain: ") && one.contains("lacks clientAuth")),
        "{told:?}"
    );
}
