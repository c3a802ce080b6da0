//! Lists of ids that are none.

use super::*;

/// Nobody asks for such an id: an import that took it would report people as pinned who are not.
#[test]
fn what_is_no_id_is_told_by_its_line_and_nothing_is_imported() {
    let (_folder, directory) = opened();
    let eu: Arc<str> = "eu".into();
    let import = |ids: &[u8]| {
        import_ids(&directory, &hasher(), "person", &eu, ids, |_, _| {}).map_err(|e| e.to_string())
    };
    let utf_16 = |text: &str| {
        text.encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect::<Vec<u8>>()
    };
    for (ids, told) in [
        (utf_16("\u{feff}u-1\nu-2\n"), "line 1: this is UTF-16;"),
        (
            utf_16("u-1\nu-2\n"),
            "line 1: it holds a NUL, as UTF-16 does;",
        ),
        (b"u-1\nM\xfcller\n".to_vec(), "line 2: this is not UTF-8;"),
        (
            b"u-1\n\nu\t2\n".to_vec(),
            "line 3: it holds a control character;",
        ),
        (
            b"u-1\r\r\n".to_vec(),
            "line 1: it holds a control character;",
        ),
        (
            b"u-1\nu-2\x7f".to_vec(),
            "line 2: it holds a control character;",
        ),
    ] {
        let error = import(&ids).unwrap_err();
        assert!(error.starts_with(told), "{error}");
        assert!(error.contains("nothing was imported"), "{error}");
        assert!(!error.contains("u-"), "{error}");
        let printed = print_keys(&hasher(), "person", &ids[..], Vec::new()).unwrap_err();
        assert!(printed.to_string().starts_with(told), "{printed}");
    }
    assert_eq!(directory.status().pins, 0);
    // A mark of the byte order is no part of the first id, and of no other.
    let report = import("\u{feff}u-1\nu-2\n".as_bytes()).unwrap();
    assert_eq!((report.read, report.added), (2, 2));
    let first = directory.lookup(&hasher().key("person", b"u-1")).unwrap();
    assert!(first.is_some());
}
