//! Notes and checkpoints, against the examples of the specifications and of
//! golang.org/x/mod/sumdb/note.

use proptest::prelude::*;

use crate::{
    attest::tests::profile,
    tlog::{
        LogError, Signed, Signer, Verifier,
        checkpoint::Checkpoint,
        harness,
        proof::{Consistency, Inclusion},
    },
};

/// Of the documentation of golang.org/x/mod/sumdb/note.
const NEUMANN: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const NEUMANN_SECRET: &str =
    "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const TEXT: &str = "If you think cryptography is the answer to your problem,\n\
    then you don't know what your problem is.\n";
const NOTE: &str = "If you think cryptography is the answer to your problem,\n\
    then you don't know what your problem is.\n\n\
    — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

fn verifier(text: &str) -> Verifier {
    text.parse().unwrap()
}

fn why<T>(result: Result<T, LogError>) -> String {
    match result {
        Err(LogError::No(why)) => why,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was taken"),
    }
}

#[test]
fn the_example_of_the_go_package_is_signed_and_opened() {
    let signer = Signer::from_text(NEUMANN_SECRET).unwrap();
    assert_eq!(signer.verifier().to_string(), NEUMANN);
    assert_eq!(signer.sign(TEXT), NOTE);
    assert_eq!(verifier(NEUMANN).open(NOTE).unwrap(), TEXT);
}

#[test]
fn the_example_of_the_specification_is_opened() {
    let key = verifier("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k");
    let note = "This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
    assert_eq!(key.open(note).unwrap(), "This is an example message.\n");
    assert!(why(verifier(NEUMANN).open(note)).contains("not signed by the key"));
}

#[test]
fn signatures_of_others_are_passed_over() {
    let (other, _) = Signer::generate("example.com/witness").unwrap();
    let theirs = other.sign(TEXT);
    let line = theirs.rsplit("\n\n").next().unwrap();
    let both = format!("{NOTE}{line}");
    assert_eq!(verifier(NEUMANN).open(&both).unwrap(), TEXT);
    assert_eq!(other.verifier().open(&both).unwrap(), TEXT);
}

#[test]
fn every_change_of_a_note_is_found() {
    let key = verifier(NEUMANN);
    for at in 0..NOTE.len() {
        for bit in [0, 3, 7] {
            let mut bytes = NOTE.as_bytes().to_vec();
            bytes[at] ^= 1 << bit;
            if let Ok(text) = std::str::from_utf8(&bytes) {
                assert!(key.open(text).is_err(), "{at} {bit}");
            }
        }
        let cut = NOTE.as_bytes().get(..at).unwrap();
        assert!(
            std::str::from_utf8(cut).is_err()
                || key.open(std::str::from_utf8(cut).unwrap()).is_err()
        );
    }
}

#[test]
fn broken_keys_say_what_is_wrong() {
    for text in ["", "name", "a+b", "+c74f20a3+AQ==", "a b+c74f20a3+AQ=="] {
        assert!(text.parse::<Verifier>().is_err(), "{text}");
    }
    let other = NEUMANN.replace("c74f20a3", "c74f20a4");
    assert!(other.parse::<Verifier>().unwrap_err().contains("ID"));
    // Another kind of key.
    let cosigner = NEUMANN.replace("+AR", "+BB");
    assert!(cosigner.parse::<Verifier>().is_err());
    assert!(Signer::from_text(NEUMANN).is_err());
    assert!(Signer::from_text(&NEUMANN_SECRET.replace("PeterN", "Petern")).is_err());
    for name in ["", "a b", "a+b", "a\nb", "a\u{2003}b"] {
        assert!(Signer::generate(name).is_err(), "{name}");
    }
}

#[test]
fn a_new_key_reads_back_as_itself() {
    let (signer, text) = Signer::generate("example.com/ledger").unwrap();
    let again = Signer::from_text(&text).unwrap();
    assert_eq!(signer.verifier(), again.verifier());
    assert_eq!(verifier(&signer.verifier().to_string()), *again.verifier());
    let (other, _) = Signer::generate("example.com/ledger").unwrap();
    assert_ne!(signer.verifier(), other.verifier());
}

/// Of c2sp.org/tlog-checkpoint.
const BEHIND: &str =
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";

#[test]
fn the_checkpoint_of_the_specification_is_read() {
    let checkpoint: Checkpoint = BEHIND.parse().unwrap();
    assert_eq!(checkpoint.size, 20_852_163);
    assert_eq!(checkpoint.to_string(), BEHIND);
    // Extension lines are allowed.
    assert_eq!(
        format!("{BEHIND}more\n").parse::<Checkpoint>().unwrap(),
        checkpoint
    );
    for (from, to) in [
        ("example.com/behind-the-sofa\n", "\n"),
        ("20852163", "020852163"),
        ("20852163", "+20852163"),
        ("20852163", ""),
        ("20852163", "0"),
        ("q2I=", "q2I"),
        ("q2I=\n", "q2I=\n\nx\n"),
    ] {
        assert!(
            BEHIND.replace(from, to).parse::<Checkpoint>().is_err(),
            "{to}"
        );
    }
}

#[test]
fn a_checkpoint_of_another_log_is_told() {
    let (signer, _) = Signer::generate("example.com/ledger").unwrap();
    let note = signer.sign(BEHIND);
    let why = why(Signed::open(&note, signer.verifier()));
    assert!(why.contains("`example.com/behind-the-sofa`"), "{why}");
    assert!(Signed::read(&note).is_ok());
}

#[test]
fn the_proof_of_the_specification_of_witnesses_is_read() {
    let (signer, _) = Signer::generate("example.com/behind-the-sofa").unwrap();
    let lines = "old 20852014\nPlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\njrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=\n5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=\n/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=\n";
    let text = format!("{lines}\n{}", signer.sign(BEHIND));
    let proof = Consistency::parse(&text).unwrap();
    assert_eq!((proof.old, proof.hashes.len()), (20_852_014, 4));
    assert_eq!(proof.to_string(), text);
    assert!(Signed::open(&proof.note, signer.verifier()).is_ok());
}

proptest! {
    #[test]
    fn proofs_read_back_as_they_were_written(
        index: u64,
        hashes: Vec<[u8; 32]>,
        leaf in prop::collection::vec(any::<u8>(), 0..300),
        profile: Vec<u8>,
        carries: bool,
    ) {
        let hashes: Vec<_> = hashes.into_iter().take(63).collect();
        let note = NOTE.to_owned();
        let extra = carries.then(|| Inclusion::extra(&leaf, &profile).unwrap());
        let proof = Inclusion { index, extra, hashes: hashes.clone(), note: note.clone() };
        let read = Inclusion::parse(&proof.to_string()).unwrap();
        prop_assert_eq!(&read, &proof);
        prop_assert_eq!(read.carried(), carries.then_some((&leaf[..], &profile[..])));
        let proof = Consistency { old: index, hashes, note };
        prop_assert_eq!(Consistency::parse(&proof.to_string()).unwrap(), proof);
    }

    #[test]
    fn nothing_is_taken_that_would_be_written_otherwise(
        bytes: Vec<u8>,
        text: String,
        at: prop::sample::Index,
        bit in 0_u8..8,
    ) {
        let note = NOTE.replace(TEXT, BEHIND);
        let hashes = vec![[1; 32]];
        let known = profile("/people/{subject}");
        let extra = Inclusion::extra(&bytes, &known.to_bytes()).unwrap();
        let inclusion = Inclusion { index: 7, extra: Some(extra), hashes: hashes.clone(), note: note.clone() };
        let consistency = Consistency { old: 3, hashes, note: note.clone() };
        harness::try_bytes(&bytes);
        for text in [text, inclusion.to_string(), consistency.to_string(), note, NEUMANN.into(), BEHIND.into()] {
            harness::try_bytes(text.as_bytes());
            let mut changed = text.into_bytes();
            if !changed.is_empty() {
                let at = at.index(changed.len());
                changed[at] ^= 1 << bit;
                harness::try_bytes(&changed);
                harness::try_bytes(&changed[..at]);
            }
        }
    }
}
