use proptest::prelude::*;

use super::*;

type Lines = Vec<(Vec<u8>, Vec<u8>)>;

/// Reads whole sections, each in pieces of this size, with one decoder.
fn read(sections: &[Vec<u8>], size: usize) -> Result<Vec<Lines>, Fault> {
    let mut decoder = Decoder::new(1 << 16);
    let mut all = Vec::new();
    for section in sections {
        let mut lines = Vec::new();
        let mut each = |name: &[u8], value: &[u8]| {
            lines.push((name.to_vec(), value.to_vec()));
            Ok(())
        };
        for piece in section.chunks(size) {
            decoder.read(piece, &mut each)?;
        }
        decoder.end()?;
        all.push(lines);
    }
    Ok(all)
}

fn fault(section: &[u8]) -> Option<Fault> {
    read(&[section.to_vec()], usize::MAX).err()
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    let octet = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(octet).collect()
}

#[test]
fn the_examples_of_the_standard_are_read() {
    // RFC 7541 appendix C.3 and C.4: the same three requests, without and with Huffman's code.
    let plain = [
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ];
    let coded = [
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ];
    let lines = |fields: &[(&str, &str)]| -> Lines {
        let owned = |(a, b): &(&str, &str)| (a.as_bytes().to_vec(), b.as_bytes().to_vec());
        fields.iter().map(owned).collect()
    };
    let host = (":authority", "www.example.com");
    let wanted = [
        lines(&[
            (":method", "GET"),
            (":scheme", "http"),
            (":path", "/"),
            host,
        ]),
        lines(&[
            (":method", "GET"),
            (":scheme", "http"),
            (":path", "/"),
            host,
            ("cache-control", "no-cache"),
        ]),
        lines(&[
            (":method", "GET"),
            (":scheme", "https"),
            (":path", "/index.html"),
            host,
            ("custom-key", "custom-value"),
        ]),
    ];
    for sections in [plain, coded] {
        let sections = sections.map(hex);
        for size in [1, 2, 7, usize::MAX] {
            assert_eq!(read(&sections, size).unwrap(), wanted, "{size}");
        }
    }
}

#[test]
fn what_cannot_be_read_is_refused() {
    for (section, wanted) in [
        // Index 0, the first without an entry, one far beyond.
        (&[0x80][..], Fault::Index),
        (&[0xbe], Fault::Index),
        (&[0xff, 0xff, 0x7f], Fault::Index),
        (&[0x7f, 0x00, 0x01, b'a'], Fault::Index),
        // Integers of too many octets, of value 0 too.
        (&[0xff, 0x80, 0x80, 0x80, 0x80, 0x00], Fault::Integer),
        (&[0x00, 0x7f, 0xff, 0xff, 0xff, 0xff, 0x7f], Fault::Integer),
        // Updates of the table's size: too large, after a field, within a section.
        (&[0x3f, 0xe2, 0x1f], Fault::Resize),
        (&[0x82, 0x20], Fault::Resize),
        // Padding of a whole octet, padding of zeros, and EOS.
        (&[0x00, 0x82, 0x07, 0xff, 0x00], Fault::Huffman),
        (&[0x00, 0x81, 0x00, 0x00], Fault::Huffman),
        (
            &[0x00, 0x01, b'a', 0x84, 0xff, 0xff, 0xff, 0xff],
            Fault::Huffman,
        ),
        // Ends within a line.
        (&[0x00], Fault::Cut),
        (&[0x00, 0x01, b'a'], Fault::Cut),
        (&[0x00, 0x01, b'a', 0x02, b'b'], Fault::Cut),
        (&[0xff], Fault::Cut),
    ] {
        assert_eq!(fault(section), Some(wanted), "{section:x?}");
    }
    // The largest size, 0, and both, at the beginning.
    assert_eq!(
        fault(&[0x3f, 0xe1, 0x1f, 0x20, 0x3f, 0xe1, 0x1f, 0x82]),
        None
    );
}

#[test]
fn a_size_update_within_a_section_is_refused_where_its_pieces_meet() {
    let mut decoder = Decoder::new(1000);
    let mut none = |_: &[u8], _: &[u8]| Ok(());
    assert_eq!(decoder.read(&[0x82], &mut none), Ok(()));
    assert_eq!(decoder.read(&[0x20], &mut none), Err(Fault::Resize));
}

#[test]
fn a_line_that_does_not_end_is_given_up() {
    let mut decoder = Decoder::new(1000);
    let mut none = |_: &[u8], _: &[u8]| Ok(());
    let long = [&[0x00, 0x01, b'a', 0x7f, 0x80, 0x7f][..], &[b'x'; 990]].concat();
    assert_eq!(decoder.read(&long, &mut none), Ok(()));
    assert_eq!(decoder.read(&[b'x'; 10], &mut none), Err(Fault::TooLong));
}

#[test]
fn the_entry_that_lends_its_name_may_make_room() {
    let big = vec![b'x'; 4000];
    let insert = |first: &[u8], value: &[u8]| {
        let length = value.len() - 127;
        let low = u8::try_from(length % 128).unwrap() | 0x80;
        let high = u8::try_from(length / 128).unwrap();
        [first, &[0x7f, low, high], value].concat()
    };
    // The name of entry 62, which goes as the new one comes.
    let section = [
        insert(&[0x40, 0x01, b'n'], &big),
        insert(&[0x7e], &big),
        vec![0xbe],
    ]
    .concat();
    let lines = read(&[section], usize::MAX).unwrap().remove(0);
    assert_eq!(lines.len(), 3);
    assert!(
        lines
            .iter()
            .all(|(name, value)| name == b"n" && *value == big)
    );
}

/// An encoder that is as plain as can be: it picks what it is told to.
#[derive(Clone, Copy, Debug)]
enum How {
    Kept,
    Passing,
    Never,
}

fn write_integer(out: &mut Vec<u8>, first: u8, prefix: u32, mut value: usize) {
    let most = (1usize << prefix) - 1;
    if value < most {
        out.push(first | u8::try_from(value).unwrap());
        return;
    }
    out.push(first | u8::try_from(most).unwrap());
    value -= most;
    while value >= 128 {
        out.push(u8::try_from(value % 128).unwrap() | 0x80);
        value /= 128;
    }
    out.push(u8::try_from(value).unwrap());
}

fn write_text(out: &mut Vec<u8>, text: &[u8], is_coded: bool) {
    let coded = huffman::encode(text);
    let (flag, bytes) = match is_coded {
        true => (0x80, &coded[..]),
        false => (0, text),
    };
    write_integer(out, flag, 7, bytes.len());
    out.extend_from_slice(bytes);
}

/// Writes with the table that a reader must have come to have.
fn write(table: &mut Table, out: &mut Vec<u8>, name: &[u8], value: &[u8], how: How, coded: bool) {
    let entries = || (1..).map_while(|i| table.get(i).map(|entry| (i, entry)));
    if let Some((index, _)) = entries().find(|(_, entry)| *entry == (name, value)) {
        return write_integer(out, 0x80, 7, index);
    }
    let named = entries().find(|(_, entry)| entry.0 == name).map(|(i, _)| i);
    let (first, prefix) = match how {
        How::Kept => (0x40, 6),
        How::Passing => (0, 4),
        How::Never => (0x10, 4),
    };
    write_integer(out, first, prefix, named.unwrap_or(0));
    if named.is_none() {
        write_text(out, name, coded);
    }
    write_text(out, value, coded);
    if matches!(how, How::Kept) {
        table.insert(name, value);
    }
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(prop::sample::select(b"ab:-".to_vec()), 0..3),
        prop::collection::vec(any::<u8>(), 0..300),
        prop::sample::select(vec![b":path".to_vec(), b"cookie".to_vec(), b"GET".to_vec()]),
    ]
}

fn field() -> impl Strategy<Value = (Vec<u8>, Vec<u8>, How, bool)> {
    let how = prop::sample::select(vec![How::Kept, How::Kept, How::Passing, How::Never]);
    (text(), text(), how, any::<bool>())
}

proptest! {
    #[test]
    fn what_an_encoder_writes_is_read_however_it_is_cut(
        sections in prop::collection::vec(
            (prop::option::of(0usize..=TABLE), prop::collection::vec(field(), 0..8)),
            1..6,
        ),
        size in 1usize..500,
    ) {
        let mut table = Table::new(TABLE);
        let (mut written, mut wanted) = (Vec::new(), Vec::new());
        for (resize, fields) in sections {
            let mut section = Vec::new();
            if let Some(most) = resize {
                write_integer(&mut section, 0x20, 5, most);
                table.resize(most);
            }
            let mut lines = Vec::new();
            for (name, value, how, coded) in fields {
                write(&mut table, &mut section, &name, &value, how, coded);
                lines.push((name, value));
            }
            written.push(section);
            wanted.push(lines);
        }
        prop_assert_eq!(read(&written, size).unwrap(), wanted);
    }

    /// Whatever comes: no panic, and cuts change nothing.
    #[test]
    fn cuts_change_nothing(
        sections in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..4),
        size in 1usize..20,
    ) {
        prop_assert_eq!(read(&sections, size), read(&sections, usize::MAX));
    }
}
