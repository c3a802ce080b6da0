use super::*;

/// What a listener says of a file of authorities.
fn told(folder: &Path, bytes: &[u8]) -> String {
    let pair = write_pair(folder, "server", Authority::new("server").sign(&["dns:a"]));
    let file = folder.join("callers.pem");
    std::fs::write(&file, bytes).unwrap();
    faults(&listener(vec![pair], Some(file))).join("\n")
}

#[test]
fn no_certificate_of_a_file_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let told = |text: &str| told(folder.path(), text.as_bytes());
    let (one, two) = (Authority::new("one").pem, Authority::new("two").pem);
    let key = Authority::new("key").sign(&[]).1;
    for sound in [
        format!("{one}{two}"),
        format!("{one}{}", two.trim_end()),
        format!("{one}{two}").replace('\n', "\r\n"),
        format!("subject=CN = one\n{one}\n# two\n{two}"),
        format!("{key}{one}"),
    ] {
        assert_eq!(told(&sound), "", "{sound}");
    }
    let indented: String = two.lines().map(|line| format!("  {line}\n")).collect();
    for torn in [
        format!("{}{two}", one.trim_end()),
        format!("\u{feff}{one}{two}"),
        format!("{one}{indented}"),
        format!("{one}{}", two.replace("CERTIFICATE", "TRUSTED CERTIFICATE")),
        format!("{one}{}", two.replace("CERTIFICATE", "X509 CERTIFICATE")),
    ] {
        let told = told(&torn);
        assert!(told.contains("of 2 certificates"), "{torn}\n{told}");
        assert!(told.contains("1 can be read"), "{torn}\n{told}");
    }
}

#[test]
fn a_file_of_another_kind_is_told_with_what_to_do() {
    use rustls::pki_types::pem::PemObject;
    let folder = tempfile::tempdir().unwrap();
    let pem = Authority::new("one").pem;
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let told_of = told(folder.path(), &der);
    assert!(told_of.contains("openssl x509 -inform der"), "{told_of}");
    for (mark, order) in [
        ("\u{feff}", u16::to_le_bytes as fn(u16) -> _),
        ("", u16::to_be_bytes),
    ] {
        let wide = format!("{mark}{pem}");
        let wide: Vec<u8> = wide.encode_utf16().flat_map(order).collect();
        let told = told(folder.path(), &wide);
        assert!(told.contains("is UTF-16"), "{told}");
    }
    let (chain, key) = Authority::new("server").sign(&["dns:a"]);
    let key = KeyPair::from_pem(&key).unwrap().serialize_der();
    let pair = write_pair(folder.path(), "server", (chain, String::new()));
    std::fs::write(&pair.key, key).unwrap();
    let told = faults(&listener(vec![pair], None)).join("\n");
    assert!(told.contains("openssl pkey -inform der"), "{told}");
}
