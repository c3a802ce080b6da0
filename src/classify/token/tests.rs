use aws_lc_rs::{
    encoding::AsDer,
    hmac,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
        RSA_PKCS1_SHA256, RsaKeyPair,
    },
};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::settings::{Jwt, JwtAlgorithm};

const NOW: i64 = 1_800_000_000;

/// One key of each type.
struct Signers {
    rsa: RsaKeyPair,
    ec: EcdsaKeyPair,
    ed: Ed25519KeyPair,
    secret: Vec<u8>,
}

impl Signers {
    fn new() -> Self {
        Self {
            rsa: RsaKeyPair::generate(KeySize::Rsa2048).expect("generated"),
            ec: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("generated"),
            ed: Ed25519KeyPair::generate().expect("generated"),
            secret: (0..32).collect(),
        }
    }

    fn keys(&self) -> Vec<Value> {
        let n = self.rsa.public_key().modulus();
        let e = self.rsa.public_key().exponent();
        let point = self.ec.public_key().as_ref();
        vec![
            json!({"kty": "RSA", "kid": "r", "use": "sig", "alg": "RS256",
                   "n": b64(n.big_endian_without_leading_zero()), "e": b64(e.big_endian_without_leading_zero())}),
            json!({"kty": "EC", "kid": "e", "crv": "P-256", "x": b64(&point[1..33]), "y": b64(&point[33..])}),
            json!({"kty": "OKP", "kid": "d", "crv": "Ed25519", "x": b64(self.ed.public_key().as_ref())}),
            json!({"kty": "oct", "kid": "h", "k": b64(&self.secret)}),
        ]
    }

    fn sign(&self, alg: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match alg {
            "RS256" => {
                let mut signature = vec![0; self.rsa.public_modulus_len()];
                self.rsa
                    .sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .expect("signed");
                signature
            }
            "ES256" => self
                .ec
                .sign(&random, message)
                .expect("signed")
                .as_ref()
                .to_vec(),
            "EdDSA" => self.ed.sign(message).as_ref().to_vec(),
            _ => mac(&self.secret, message),
        }
    }

    fn token(&self, header: &Value, claims: &str) -> String {
        let message = format!(
            "{}.{}",
            b64(header.to_string().as_bytes()),
            b64(claims.as_bytes())
        );
        let alg = header["alg"].as_str().unwrap_or("HS256");
        let signature = self.sign(alg, message.as_bytes());
        format!("{message}.{}", b64(&signature))
    }
}

fn mac(secret: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message)
        .as_ref()
        .to_vec()
}

fn b64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let mut word = [0; 4];
        word[1..=chunk.len()].copy_from_slice(chunk);
        let word = u32::from_be_bytes(word);
        for i in 0..=chunk.len() {
            out.push(DIGITS[(word >> (18 - 6 * i) & 63) as usize].into());
        }
    }
    out
}

/// What is told of keys stands in digests: of a secret not even enough to compare a guess with.
#[test]
fn of_a_secret_nothing_is_told_but_its_id() {
    let told = |keys: &[Value]| {
        let set = json!({ "keys": keys }).to_string();
        let keys = KeySet::parse(set.as_bytes(), &settings()).expect("sound");
        keys.public_keys()
    };
    let keys = Signers::new().keys();
    let others = Signers::new().keys();
    for (one, other) in keys.iter().zip(&others).take(3) {
        let [one] = &told(std::slice::from_ref(one))[..] else {
            panic!("one key");
        };
        let [other] = &told(std::slice::from_ref(other))[..] else {
            panic!("one key");
        };
        assert_ne!(one, other);
    }
    let secret = told(&keys[3..]);
    assert_eq!(secret, [r#"["HS256","h",[]]"#]);
    let mut another = keys[3].clone();
    another["k"] = b64(&[7; 32]).into();
    assert_eq!(told(&[another.clone()]), secret);
    another["kid"] = "i".into();
    assert_ne!(told(&[another]), secret);
}

fn settings() -> Jwt {
    Jwt {
        keys: "unused".into(),
        algorithms: vec![
            JwtAlgorithm::Rs256,
            JwtAlgorithm::Es256,
            JwtAlgorithm::EdDsa,
            JwtAlgorithm::Hs256,
        ],
        issuer: vec!["https://id.example.com".into()],
        audience: vec!["domicile".into(), "other".into()],
        leeway: std::time::Duration::from_secs(30),
    }
}

fn claims() -> Value {
    json!({"iss": "https://id.example.com", "aud": "domicile", "exp": NOW + 60, "nbf": NOW - 60,
           "country": "CN", "person": {"home": "IN"}, "level": 3})
}

fn set(keys: &[Value], settings: &Jwt) -> Result<KeySet, KeySetError> {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes(), settings)
}

fn now() -> Timestamp {
    Timestamp::from_second(NOW).expect("a time")
}

#[test]
fn each_algorithm_verifies_with_and_without_a_key_id() {
    let signers = Signers::new();
    let keys = set(&signers.keys(), &settings()).expect("loads");
    for (alg, kid) in [
        ("RS256", "r"),
        ("ES256", "e"),
        ("EdDSA", "d"),
        ("HS256", "h"),
    ] {
        for header in [
            json!({"alg": alg, "kid": kid, "typ": "JWT"}),
            json!({ "alg": alg }),
        ] {
            let token = signers.token(&header, &claims().to_string());
            let claims = keys.verify(&token, now()).expect(alg);
            assert_eq!(claims.text("country"), Some("CN"));
            assert_eq!(claims.text("/person/home"), Some("IN"));
            assert_eq!(claims.text("level"), None);
            assert!(!format!("{claims:?}").contains("CN"));

            let forged = signers.token(&header, &claims_for("RU").to_string());
            let (forged, _) = forged.rsplit_once('.').expect("a signature");
            let (_, signature) = token.rsplit_once('.').expect("a signature");
            assert_eq!(
                keys.verify(&format!("{forged}.{signature}"), now()),
                Err(TokenFault::Signature),
                "{alg}"
            );
        }
        let header = json!({"alg": alg, "kid": "somebody else's"});
        let token = signers.token(&header, &claims().to_string());
        assert_eq!(keys.verify(&token, now()), Err(TokenFault::NoKey), "{alg}");
    }
}

fn claims_for(country: &str) -> Value {
    let mut claims = claims();
    claims["country"] = country.into();
    claims
}

#[test]
fn a_key_is_never_used_with_another_types_algorithm() {
    let signers = Signers::new();
    let keys = set(&signers.keys()[..3], &settings()).expect("loads");
    // The public key's bytes as an HMAC secret: the classic confusion.
    let message = format!(
        "{}.{}",
        b64(br#"{"alg":"HS256","kid":"r"}"#),
        b64(claims().to_string().as_bytes())
    );
    let modulus = signers.rsa.public_key().modulus();
    let public = signers.rsa.public_key().as_der().expect("der");
    for secret in [modulus.big_endian_without_leading_zero(), public.as_ref()] {
        let token = format!("{message}.{}", b64(&mac(secret, message.as_bytes())));
        assert_eq!(keys.verify(&token, now()), Err(TokenFault::Algorithm));
    }
    for alg in ["none", "None", "RS512", "PS256", "HS384", "ES384", ""] {
        let body = b64(claims().to_string().as_bytes());
        let head = b64(json!({ "alg": alg }).to_string().as_bytes());
        for signature in ["", "AAAA"] {
            let token = format!("{head}.{body}.{signature}");
            assert_eq!(
                keys.verify(&token, now()),
                Err(TokenFault::Algorithm),
                "{alg}"
            );
        }
    }
    // Listed keys, unlisted algorithm.
    let mut only_ec = settings();
    only_ec.algorithms = vec![JwtAlgorithm::Es256];
    let keys = set(&signers.keys(), &only_ec).expect("loads");
    let token = signers.token(&json!({"alg": "RS256"}), &claims().to_string());
    assert_eq!(keys.verify(&token, now()), Err(TokenFault::Algorithm));
}

#[test]
fn times_issuer_and_audience_are_checked() {
    let signers = Signers::new();
    let keys = set(&signers.keys(), &settings()).expect("loads");
    let judge = |change: &dyn Fn(&mut Value)| {
        let mut claims = claims();
        change(&mut claims);
        let token = signers.token(&json!({"alg": "HS256"}), &claims.to_string());
        keys.verify(&token, now()).err()
    };
    let set = |name: &'static str, value: Value| move |c: &mut Value| c[name] = value.clone();
    let drop = |name: &'static str| {
        move |c: &mut Value| {
            c.as_object_mut().expect("an object").remove(name);
        }
    };
    assert_eq!(judge(&drop("exp")), Some(TokenFault::NoExpiry));
    assert_eq!(
        judge(&set("exp", json!("soon"))),
        Some(TokenFault::Malformed)
    );
    assert_eq!(judge(&set("exp", json!(NOW - 29))), None);
    assert_eq!(
        judge(&set("exp", json!(NOW - 30))),
        Some(TokenFault::Expired)
    );
    assert_eq!(judge(&set("exp", json!(NOW as f64 - 29.5))), None);
    assert_eq!(judge(&set("nbf", json!(NOW + 30))), None);
    assert_eq!(
        judge(&set("nbf", json!(NOW + 31))),
        Some(TokenFault::NotYet)
    );
    assert_eq!(judge(&drop("nbf")), None);
    assert_eq!(judge(&drop("iss")), Some(TokenFault::Issuer));
    assert_eq!(
        judge(&set("iss", json!("https://evil.example"))),
        Some(TokenFault::Issuer)
    );
    assert_eq!(
        judge(&set("iss", json!(["https://id.example.com"]))),
        Some(TokenFault::Issuer)
    );
    assert_eq!(judge(&drop("aud")), Some(TokenFault::Audience));
    assert_eq!(
        judge(&set("aud", json!("nobody"))),
        Some(TokenFault::Audience)
    );
    assert_eq!(judge(&set("aud", json!(["nobody", "other"]))), None);
    assert_eq!(judge(&set("aud", json!([]))), Some(TokenFault::Audience));

    let open = Jwt {
        issuer: vec![],
        audience: vec![],
        ..settings()
    };
    let keys = super::tests::set(&signers.keys(), &open).expect("loads");
    let judge = |claims: Value| {
        let token = signers.token(&json!({"alg": "HS256"}), &claims.to_string());
        keys.verify(&token, now()).err()
    };
    assert_eq!(judge(json!({"exp": NOW + 1})), None);
    assert_eq!(judge(json!({"exp": NOW + 1, "iss": "anybody"})), None);
    assert_eq!(
        judge(json!({"exp": NOW + 1, "aud": "domicile"})),
        Some(TokenFault::Audience)
    );
}

#[test]
fn what_could_be_read_in_two_ways_is_malformed() {
    let signers = Signers::new();
    let keys = set(&signers.keys(), &settings()).expect("loads");
    let good = claims().to_string();
    let twice = good.replacen("{", r#"{"country":"RU","#, 1);
    let token = signers.token(&json!({"alg": "HS256"}), &twice);
    assert_eq!(keys.verify(&token, now()), Err(TokenFault::Malformed));
    let token = signers.token(&json!({"alg": "HS256"}), "[1]");
    assert_eq!(keys.verify(&token, now()), Err(TokenFault::Malformed));
    let token = signers.token(
        &json!({"alg": "HS256", "crit": ["b64"], "b64": false}),
        &good,
    );
    assert_eq!(keys.verify(&token, now()), Err(TokenFault::Critical));
    let token = signers.token(&json!({"alg": "HS256"}), &good);
    for broken in [
        String::new(),
        ".".into(),
        "..".into(),
        "a.b".into(),
        format!("{token}="),
        format!("{token}.x"),
        format!(" {token}"),
        token.replace('.', ""),
    ] {
        assert_eq!(
            keys.verify(&broken, now()),
            Err(TokenFault::Malformed),
            "{broken}"
        );
    }
    let long = "a".repeat(16_385);
    assert_eq!(keys.verify(&long, now()), Err(TokenFault::TooLong));
}

#[test]
fn tokens_that_are_signed_for_something_else_are_refused() {
    let signers = Signers::new();
    let keys = set(&signers.keys(), &settings()).expect("loads");
    let judge = |header: Value| {
        let token = signers.token(&header, &claims().to_string());
        keys.verify(&token, now()).err()
    };
    for typ in [
        "JWT",
        "jwt",
        "at+jwt",
        "AT+JWT",
        "application/at+jwt",
        "Application/JWT",
    ] {
        assert_eq!(judge(json!({"alg": "HS256", "typ": typ})), None, "{typ}");
    }
    for typ in [
        json!("dpop+jwt"),
        json!("logout+jwt"),
        json!(""),
        json!(null),
        json!(1),
    ] {
        let header = json!({"alg": "HS256", "typ": typ});
        assert_eq!(judge(header), Some(TokenFault::Kind), "{typ}");
    }
    let header = json!({"alg": "HS256", "crit": null});
    assert_eq!(judge(header), Some(TokenFault::Critical));
}

#[test]
fn several_keys_of_a_type_are_tried() {
    let (old, new) = (Signers::new(), Signers::new());
    let mut keys = vec![old.keys()[1].clone(), new.keys()[1].clone()];
    let token = new.token(&json!({"alg": "ES256"}), &claims().to_string());
    assert!(
        set(&keys, &settings())
            .expect("loads")
            .verify(&token, now())
            .is_ok()
    );
    keys.pop();
    let outcome = set(&keys, &settings())
        .expect("loads")
        .verify(&token, now());
    assert_eq!(outcome, Err(TokenFault::Signature));
    // A key without an id fits a token with one.
    let mut unnamed = new.keys()[1].clone();
    unnamed.as_object_mut().expect("an object").remove("kid");
    let token = new.token(&json!({"alg": "ES256", "kid": "e"}), &claims().to_string());
    assert!(
        set(&[unnamed], &settings())
            .expect("loads")
            .verify(&token, now())
            .is_ok()
    );
}

#[test]
fn key_sets_are_judged_when_they_load() {
    let signers = Signers::new();
    let good = signers.keys();
    let fails = |keys: Vec<Value>| set(&keys, &settings()).expect_err("refused").to_string();
    let with = |i: usize, name: &str, value: &str| {
        let mut key = good[i].clone();
        key[name] = value.into();
        vec![key]
    };
    assert!(fails(with(3, "k", &b64(b"short"))).contains("32 bytes"));
    assert!(fails(with(0, "n", &b64(&[1; 128]))).contains("2048"));
    assert!(fails(with(1, "x", "AAAA")).contains("32 bytes"));
    assert!(fails(with(2, "x", "!")).contains("32 bytes"));
    for unusable in [
        with(0, "use", "enc"),
        with(0, "alg", "PS256"),
        with(1, "crv", "P-384"),
        with(3, "kty", "new"),
        vec![],
    ] {
        assert!(fails(unusable).contains("no signing key"));
    }
    let mut settings = settings();
    let text = r#"{"keys":[],"keys":[]}"#.as_bytes();
    assert!(matches!(
        KeySet::parse(text, &settings),
        Err(KeySetError::Malformed(_))
    ));
    assert!(matches!(
        KeySet::parse(b"[]", &settings),
        Err(KeySetError::Malformed(_))
    ));
    settings.keys = "/nonexistent/jwks.json".into();
    assert!(matches!(
        KeySet::load(&settings),
        Err(KeySetError::Unreadable { .. })
    ));
    settings.algorithms.clear();
    assert!(matches!(
        set(&good, &settings),
        Err(KeySetError::NoAlgorithm)
    ));
}

proptest! {
    #[test]
    fn a_changed_token_is_never_believed(at in any::<prop::sample::Index>(), to in "[A-Za-z0-9_.-]") {
        let key = json!({"kty": "oct", "k": b64(&[7; 32])});
        let keys = set(&[key], &settings()).expect("loads");
        let message = format!("{}.{}", b64(br#"{"alg":"HS256"}"#), b64(claims().to_string().as_bytes()));
        let token = format!("{message}.{}", b64(&mac(&[7; 32], message.as_bytes())));
        prop_assert!(keys.verify(&token, now()).is_ok());
        let at = at.index(token.len());
        let mut changed = token.clone();
        changed.replace_range(at..=at, &to);
        prop_assume!(changed != token);
        prop_assert!(keys.verify(&changed, now()).is_err());
    }
}
