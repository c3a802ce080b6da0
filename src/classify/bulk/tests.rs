use proptest::prelude::*;

use super::*;
use crate::classify::json::JsonFaultKind;

fn fault(body: &str) -> BulkSplitFault {
    split_bulk(body.as_bytes(), 100).expect_err(body)
}

#[test]
fn items_are_their_lines_as_they_came() {
    let body = b"{\"index\":{\"_index\":\"people\",\"_id\":\"7\"}}\r\n{\"a\":1}\r\n\n \n\
        { \"delete\" : { \"_id\" : 12.50, \"_index\":\"p\\u0065ople\" } }\n\
        {\"update\":{\"_id\":\"x\",\"pipeline\":\"p\"}}\n{\"doc\":{}}\n{\"create\":{}}\n\n";
    let items = split_bulk(body, 100).unwrap();
    let told: Vec<_> = items
        .iter()
        .map(|i| {
            (
                i.action,
                i.index(body).map(|t| t.into_owned()),
                i.id(body).map(|t| t.into_owned()),
                i.source(body).map(|s| std::str::from_utf8(s).unwrap()),
            )
        })
        .collect();
    let text = |t: &str| Some(t.to_owned());
    assert_eq!(
        told,
        [
            (Action::Index, text("people"), text("7"), Some("{\"a\":1}")),
            (Action::Delete, text("people"), text("12.50"), None),
            (Action::Update, None, text("x"), Some("{\"doc\":{}}")),
            // A blank line after an action is its source, however little it holds.
            (Action::Create, None, None, Some("")),
        ]
    );
    assert_eq!(items[2].pipeline(body).as_deref(), Some("p"));
    assert_eq!(
        &body[items[0].range()],
        b"{\"index\":{\"_index\":\"people\",\"_id\":\"7\"}}\r\n{\"a\":1}"
    );
    assert!(!body[items[1].range()].contains(&b'\n'));
}

#[test]
fn what_cannot_be_split_is_one_fault_for_all() {
    use BulkSplitFaultKind as Kind;
    let good = "{\"delete\":{\"_index\":\"a\",\"_id\":\"1\"}}\n";
    for (line, fault) in [
        (
            "{\"delete\":{\"_id\":\"1\"},\"index\":{}}",
            ActionFault::SecondAction,
        ),
        (
            "{\"delete\":{\"_id\":\"1\"},\"delete\":{}}",
            ActionFault::SecondAction,
        ),
        ("{\"remove\":{\"_id\":\"1\"}}", ActionFault::NoAction),
        ("{}", ActionFault::NoAction),
        (
            "{\"delete\":{\"_id\":\"1\",\"_id\":\"2\"}}",
            ActionFault::ParameterTwice,
        ),
        (
            "{\"delete\":{\"_id\":\"1\",\"_\\u0069d\":\"2\"}}",
            ActionFault::ParameterTwice,
        ),
        (
            "{\"delete\":{\"op_type\":\"index\"}}",
            ActionFault::UnknownParameter,
        ),
        ("{\"delete\":{\"_id\":[\"1\"]}}", ActionFault::Shape),
        ("{\"delete\":{\"_id\":true}}", ActionFault::Shape),
        ("{\"delete\":{\"_index\":7}}", ActionFault::Shape),
        ("{\"delete\":{\"routing\":{}}}", ActionFault::Shape),
        (
            "{\"delete\":{}} x",
            ActionFault::Json(JsonFaultKind::SecondValue),
        ),
        (
            "{\"delete\":{\"version\":01}}",
            ActionFault::Json(JsonFaultKind::Number),
        ),
        (
            "\u{feff}{\"delete\":{}}",
            ActionFault::Json(JsonFaultKind::Unexpected),
        ),
        ("{\"delete\":\r{}}", ActionFault::CarriageReturn),
        (
            "{\"index\":{\"dynamic_templates\":{\"a\":1,\"a\":2}}}",
            ActionFault::Json(JsonFaultKind::DuplicateKey),
        ),
        ("[]", ActionFault::Json(JsonFaultKind::Unexpected)),
    ] {
        let body = format!("{good}{line}\n{{}}\n");
        let found = split_bulk(body.as_bytes(), 100).expect_err(line);
        assert_eq!((found.line, found.kind), (2, Kind::Action(fault)), "{line}");
    }
    assert_eq!(fault(good.trim_end()).kind, Kind::NoFinalNewline);
    let cut = format!("{good}{{\"index\":{{}}}}\n{{\"a\":1}}");
    assert_eq!(
        (fault(&cut).line, fault(&cut).kind),
        (3, Kind::NoFinalNewline)
    );
    assert_eq!(
        fault(&format!("{good}{{\"index\":{{}}}}\n")).kind,
        Kind::NoSource
    );
    assert_eq!(fault("").kind, Kind::Empty);
    assert_eq!(fault("\n \r\n").kind, Kind::Empty);
    assert_eq!(
        split_bulk(good.repeat(3).as_bytes(), 2).unwrap_err().kind,
        Kind::TooMany(2)
    );
}

#[test]
fn what_an_answer_would_bring_back_is_marked() {
    for (line, wants) in [
        ("{\"update\":{\"_source\":true}}", true),
        ("{\"update\":{\"_source\":[\"a\"]}}", true),
        ("{\"update\":{\"_source\":{\"includes\":\"a\"}}}", true),
        ("{\"update\":{\"_source\":\"a\"}}", true),
        ("{\"update\":{\"_source\":false}}", false),
        ("{\"update\":{\"_source\":null}}", false),
        ("{\"update\":{}}", false),
    ] {
        let body = format!("{line}\n{{}}\n");
        let items = split_bulk(body.as_bytes(), 1).unwrap();
        assert_eq!(items[0].wants_source, wants, "{line}");
    }
}

#[test]
fn updates_are_read_as_the_documents_in_them() {
    let found = update(br#"{"doc_as_upsert":true, "doc" : {"a":{"b":[1]}},"upsert":{"c":2}}"#);
    let found = found.unwrap_or_else(|fault| panic!("{fault}"));
    assert_eq!(found.doc, br#"{"a":{"b":[1]}}"#);
    assert_eq!(found.upsert, Some(&br#"{"c":2}"#[..]));
    for (source, wanted) in [
        (r#"{"script":{"source":"x"}}"#, UpdateFault::Script),
        (r#"{"doc":{},"script":"x"}"#, UpdateFault::Script),
        (r#"{"doc":{},"scripted_upsert":true}"#, UpdateFault::Script),
        (r#"{"upsert":{}}"#, UpdateFault::NoDoc),
        (r#"{"doc":[{}]}"#, UpdateFault::NoObject),
        (r#"{"doc":null}"#, UpdateFault::NoObject),
        (r#"{"doc":{},"_source":true}"#, UpdateFault::WantsSource),
        (r#"{"doc":{},"name":"x"}"#, UpdateFault::UnknownMember),
    ] {
        assert_eq!(update(source.as_bytes()).err(), Some(wanted), "{source}");
    }
    for broken in [
        r#"{"doc":{},"doc":{}}"#,
        r#"{"doc":{"a":1,"a":2}}"#,
        "[]",
        "",
        "{\"doc\":{]}}",
    ] {
        assert!(
            matches!(update(broken.as_bytes()), Err(UpdateFault::Json(_))),
            "{broken}"
        );
    }
}

fn near_miss() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("{\"index\":{\"_index\":\"a\",\"_id\":\"1\"}}"),
        Just("{\"delete\":{\"_id\":7}}"),
        Just("{\"update\":{\"_id\":\"\\u0041\"}}"),
        Just("{\"doc\":{\"a\":1}}"),
        Just("{\"create\":{"),
        Just("\"_index\":\"b\""),
        Just("}}"),
        Just("\n"),
        Just("\n"),
        Just("\r\n"),
        Just("\r"),
        Just(" "),
        Just(","),
        Just("\u{85}"),
    ];
    prop::collection::vec(piece, 0..16).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_bytes_are_read_as_another_reader_reads_them(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        text in near_miss(),
    ) {
        harness::try_bytes(&bytes);
        harness::try_bytes(text.as_bytes());
        harness::try_bytes(format!("{text}\n").as_bytes());
    }
}

#[test]
fn the_fuzzing_corpus_passes() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/bulk");
    let (mut split, mut refused) = (0, 0);
    for file in std::fs::read_dir(folder).expect("a corpus") {
        let bytes = std::fs::read(file.expect("a file").path()).expect("readable");
        harness::try_bytes(&bytes);
        match split_bulk(&bytes, 1000) {
            Ok(_) => split += 1,
            Err(_) => refused += 1,
        }
    }
    assert!(split >= 8 && refused >= 10, "{split} and {refused}");
}
