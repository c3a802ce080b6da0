//! Secrets are read from files and the environment and shown nowhere.

use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;

use super::{BASE, read_with, sound, summaries};
use crate::document::Fault;

const TOKEN: &str = "hunter2-hunter2-hunter2";
const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const BASE64: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn shown(faults: &[Fault]) -> String {
    let rendered: String = faults.iter().map(|f| f.render(false)).collect();
    let json = serde_json::to_string(faults).expect("JSON");
    format!("{rendered}{json}{}", summaries(faults).join("\n"))
}

#[test]
fn secrets_come_from_the_environment_and_debug_shows_none() {
    let bytes: Vec<u8> = (0..32).collect();
    for secret in [HEX, BASE64] {
        let environment = [
            ("DOMICILE__ADMIN__TOKEN", TOKEN),
            ("DOMICILE__ADMIN__LISTEN", "0.0.0.0:9090"),
            ("DOMICILE__DIRECTORY__SECRET", secret),
        ];
        let settings = sound(BASE, &environment);
        let token = settings.admin.token.as_ref().expect("a token");
        assert_eq!(token.reveal(), TOKEN.as_bytes());
        let key = settings.directory.secret.as_ref().expect("a secret");
        assert_eq!(key.reveal(), bytes);
        let (read, _) = read_with(BASE, &environment);
        let debug = format!("{settings:?} {read:?}");
        assert!(!debug.contains(TOKEN) && !debug.contains(secret));
        assert!(!debug.contains("104, 117, 110"), "the token's bytes");
    }
}

#[test]
fn secrets_come_from_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let raw: Vec<u8> = (100..132).collect();
    let path = |name: &str| folder.path().join(name).display().to_string();
    for (name, bytes) in [
        ("token", format!("{TOKEN}\n").as_bytes()),
        ("raw", raw.as_slice()),
        ("hex", format!("{HEX}\n").as_bytes()),
        ("short", b"0011"),
        ("blank", b" \n"),
        ("empty", b""),
    ] {
        std::fs::write(path(name), bytes).expect("written");
        let own = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(path(name), own).expect("a mode");
    }
    let text = |token: &str, secret: &str| {
        let (token, secret) = (path(token), path(secret));
        format!("{BASE}[admin]\ntoken_file = '{token}'\n[directory]\nsecret_file = '{secret}'\n")
    };
    let settings = sound(&text("token", "raw"), &[]);
    assert_eq!(
        settings.admin.token.expect("a token").reveal(),
        TOKEN.as_bytes()
    );
    assert_eq!(settings.directory.secret.expect("a secret").reveal(), raw);
    assert!(sound(&text("token", "hex"), &[]).directory.secret.is_some());
    for (token, secret, part) in [
        ("token", "short", "the secret must be 32 bytes"),
        ("token", "absent", "cannot read"),
        ("token", "empty", "is empty"),
        ("blank", "raw", "the token must be visible ASCII"),
        ("absent", "raw", "cannot read"),
    ] {
        let (read, faults) = read_with(&text(token, secret), &[]);
        assert!(read.is_none() && faults.len() == 1, "{faults:#?}");
        assert!(faults[0].message.contains(part), "{faults:#?}");
        assert!(faults[0].at.line_column().is_some());
    }
    let environment = [("DOMICILE__ADMIN__TOKEN", "another-token-of-ours")];
    let (read, faults) = read_with(&text("token", "raw"), &environment);
    let (settings, _) = read.expect("sound");
    assert_eq!(
        settings.admin.token.expect("a token").reveal(),
        b"another-token-of-ours"
    );
    assert!(faults[0].message.contains("`token_file` is not used"));
}

#[test]
fn a_secret_in_the_file_is_refused_and_not_quoted() {
    let long = BASE.replace("policies =", "operator_uri = 7\npolicies =");
    for (section, place) in [
        ("admin = { listn = \"x\", token = \"hunter2\" }", "1:32"),
        ("admin.token = \"hunter2\"", "1:15"),
        ("directory.secret = 'hunter2'", "1:20"),
        ("directory.secret = [\"hunter2\"]", "1:20"),
        ("admin.token = \"\"\"\nhunter2\nä\"\"\"", "1:15"),
    ] {
        let (read, faults) = read_with(&format!("{section}\n{long}"), &[]);
        assert!(read.is_none());
        let told = summaries(&faults);
        let wanted = format!("t.toml:{place}: ");
        let hint = "must not stand in the settings file (put it into a file";
        assert!(
            told.iter()
                .any(|t| t.starts_with(&wanted) && t.contains(hint)),
            "{told:#?}"
        );
        assert!(!shown(&faults).contains("hunter2"), "{}", shown(&faults));
        assert!(
            told.iter().any(|t| t.contains("expected a string")),
            "{told:#?}"
        );
    }
}

#[test]
fn what_may_be_a_secret_is_not_quoted_either() {
    for text in [
        "[admin]\ntokn = \"hunter2\"\n",
        "[admin]\ntoken = \"hunter2\n",
        "[directory]\nsecret == hunter2\n",
        "[directory]\nbackend = \"postgres://me:hunter2@db/x\"\n",
        "[directory]\nbackend = \"postgres://me:hunter2@db/x\nx",
        "[regions.in]\ntoken = \"hunter2\"\n",
        "[recipients.maps]\napi_key = \"hunter2\"\n",
        "[data_plane]\nAdminPassword = \"hunter2\"\n",
        "[[routes]]\nclient_secret = [\"hunter2\"]\n",
        "[sekret]\nvalue = \"hunter2\"\n",
        "[regions.in]\ncountry = \"IN\"\nentity = \"e\"\nendpoints = [\"http://me:hunter2@h:1\"]\n",
        "[regions.in]\ncountry = \"IN\"\nentity = \"e\"\nendpoints = [\"me:hunter2@h:1\"]\n",
    ] {
        let (read, faults) = read_with(&format!("{BASE}{text}"), &[]);
        assert!(read.is_none() && !faults.is_empty(), "{text}");
        assert!(!shown(&faults).contains("hunter2"), "{}", shown(&faults));
    }
}

/// What looks like the name of a secret and is none stays what it is.
#[test]
fn what_is_known_is_read_and_quoted_though_its_name_has_a_key() {
    let text = format!("{BASE}[schemas.s]\nfields = {{ \"/api_key\" = \"user.unheard.of\" }}\n");
    let (_, faults) = read_with(&text, &[]);
    let hidden = shown(&faults).contains("***");
    assert!(!hidden, "{}", shown(&faults));
    let (read, faults) = read_with(&text.replace("unheard.of", "contact.email"), &[]);
    assert!(read.is_some(), "{}", shown(&faults));
    let (_, faults) = read_with(&format!("nonsense = 1\n{BASE}[routez]\na = 1\n"), &[]);
    let told = shown(&faults);
    assert!(
        told.contains("[routez]") && told.contains("nonsense = *"),
        "{told}"
    );
}

#[test]
fn secrets_that_are_none_are_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    let text = format!("{BASE}[directory]\nsecret_file = '{}'\n", file.display());
    for (bytes, mode, part) in [
        (&b"0123456789abcdef0123456789abcdef"[..], 0o600, "128 bits"),
        (&[7; 32], 0o600, "one byte 32 times"),
        (&b"00".repeat(32)[..], 0o600, "one byte 32 times"),
        (
            &b"0123456789abcdef0123456789abcdeg"[..],
            0o644,
            "every user can read the secret",
        ),
    ] {
        std::fs::write(&file, bytes).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let (read, faults) = read_with(&text, &[]);
        assert!(read.is_some());
        let told = summaries(&faults);
        assert!(
            matches!(&told[..], [one] if one.contains(part)),
            "{part}: {told:#?}"
        );
    }
    std::fs::write(&file, b"0123456789abcdef0123456789abcdeg").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(read_with(&text, &[]).1.is_empty());
}

#[test]
fn bad_secrets_in_the_environment_are_not_quoted() {
    for (name, value) in [
        ("DOMICILE__ADMIN__TOKEN", "hunter2 with blanks"),
        ("DOMICILE__ADMIN__TOKEN", ""),
        ("DOMICILE__ADMIN__TOKN", "hunter2"),
        ("DOMICILE__DIRECTORY__SECRET", "hunter2"),
        ("DOMICILE__DIRECTORY__SECRET", "zz"),
    ] {
        let (read, faults) = read_with(BASE, &[(name, value)]);
        assert!(read.is_none() && faults.len() == 1, "{name}={value}");
        assert!(!shown(&faults).contains("hunter2"));
        assert!(shown(&faults).contains(name));
    }
}

#[test]
fn off_loopback_the_admin_listener_needs_a_token() {
    let (read, faults) = read_with(&format!("{BASE}[admin]\nlisten = \"0.0.0.0:9090\"\n"), &[]);
    assert!(read.is_none());
    assert!(
        summaries(&faults)[0].starts_with("t.toml:23:10: off loopback"),
        "{faults:#?}"
    );
}

proptest! {
    /// Hostile input never panics, and never passes as settings by chance.
    #[test]
    fn arbitrary_text_never_panics(text in ".{0,200}", name in "[A-Z_]{0,12}", value in ".{0,20}") {
        let name = format!("DOMICILE__{name}");
        let (read, faults) = read_with(&text, &[(&name, &value)]);
        prop_assert!(read.is_none() && !faults.is_empty());
        let _ = shown(&faults);
    }

    /// Sound settings with one stretch replaced: read or refused with a reason, never a panic.
    #[test]
    fn damaged_settings_never_panic(start in 0..BASE.len(), length in 0..40usize, new in "[\"\\[\\]{}=.,/:a-z0-9 \nß@]{0,12}") {
        let end = (start + length).min(BASE.len());
        let mut text = BASE.to_owned();
        text.replace_range(start..end, &new);
        let (read, faults) = read_with(&text, &[]);
        prop_assert!(read.is_some() || !faults.is_empty());
        let _ = shown(&faults);
    }

    #[test]
    fn a_secret_is_never_shown_wherever_it_stands(pad in "[ \t]{0,3}", quote in "[\"']", junk in "[a-z=\\[ ]{0,5}") {
        let text = format!("{BASE}[admin]\n{junk}\ntoken{pad}={pad}{quote}s3cr3t-token{quote} {junk}\n");
        let (read, faults) = read_with(&text, &[]);
        prop_assert!(read.is_none());
        prop_assert!(!shown(&faults).contains("s3cr3t"));
    }
}
