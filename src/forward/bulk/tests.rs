use std::task::{Context, Poll};

use http_body::Frame;

use super::*;
use crate::message::Field;

const ASKED: [(Action, Option<&str>); 3] = [
    (Action::Index, Some("1")),
    (Action::Create, None),
    (Action::Delete, Some("ü")),
];

fn parse(items: &str) -> Result<BulkAnswer, NoVerdict> {
    let text = format!(r#"{{"took":3,"errors":true,"items":[{items}]}}"#);
    BulkAnswer::parse(text.into(), ASKED.len(), |i| {
        let (action, id) = ASKED.get(i)?;
        Some(Expected {
            action: *action,
            id: id.map(Cow::Borrowed),
        })
    })
}

const FIRST: &str = r#"{"index":{"_index":"p","_id":"1","_version":1,"result":"created","_shards":{"total":2,"successful":1,"failed":0},"_seq_no":0,"_primary_term":1,"status":201}}"#;
const SECOND: &str = r#"{"create":{"_index":"p","_id":"W0tpsmIBdwcYyG50zbta","status":201}}"#;
const THIRD: &str = r#"{"delete":{"_index":"p","_id":"\u00fc","status":404,"result":"not_found"}}"#;

#[test]
fn items_stay_as_they_came() {
    let answer = parse(&format!("{FIRST}, {SECOND} ,{THIRD}")).unwrap();
    let texts: Vec<_> = answer
        .items()
        .iter()
        .map(|t| answer.text(t).trim())
        .collect();
    assert_eq!(texts, [FIRST, SECOND, THIRD]);
    let statuses: Vec<_> = answer.items().iter().map(|t| t.status.as_u16()).collect();
    assert_eq!(statuses, [201, 201, 404]);
    assert!(answer.items().iter().all(|t| t.is_plain && !t.is_error));
    assert_eq!(answer.words(&answer.items()[2]), (Some("not_found"), None));
}

/// An answer that comes as one piece.
struct Whole(Option<Bytes>);

impl Body for Whole {
    type Data = Bytes;
    type Error = NoVerdict;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, NoVerdict>>> {
        Poll::Ready(self.0.take().map(|data| Ok(Frame::data(data))))
    }
}

async fn read(text: String, coding: Option<&str>, bytes: u64) -> Result<BulkVerdict, NoVerdict> {
    let mut answer = Response::new(Whole(Some(text.into())));
    if let Some(coding) = coding {
        answer.headers_mut().insert(Field::ContentEncoding, coding);
    }
    let expected = |_| {
        Some(Expected {
            action: Action::Index,
            id: Some("1".into()),
        })
    };
    BulkAnswer::read(answer, (1, bytes), expected, |_| true).await
}

fn refusing(value: &str) -> String {
    format!(
        r#"{{"took":1,"errors":true,"items":[{{"index":{{"_id":"1","status":400,"error":{{"type":"document_parsing_exception","reason":"Preview of field's value: '{value}'","caused_by":{{"type":"illegal_argument_exception","reason":"For input string: \"{value}\""}}}}}}}}]}}"#
    )
}

/// Elasticsearch quotes the value that it cannot take, twice.
#[tokio::test]
async fn an_error_may_quote_a_long_value() {
    let answer = refusing(&"x".repeat(100_000));
    let told = read(answer.clone(), None, 100_100).await;
    assert!(matches!(told, Ok(BulkVerdict::Items(_))), "{told:?}");
    // Nothing so long was sent.
    let told = read(answer, None, 1000).await;
    assert!(matches!(told, Err(NoVerdict::Unclear)), "{told:?}");
}

#[tokio::test]
async fn an_answer_as_it_is_may_say_so() {
    for (coding, is_read) in [("identity", true), ("Identity", true), ("gzip", false)] {
        let told = read(refusing("x"), Some(coding), 100).await;
        assert_eq!(told.is_ok(), is_read, "{coding}");
    }
}

#[test]
fn what_servers_say_of_themselves_is_plain() {
    for member in [
        r#""_index":".ds-people-2026.11.22-000001""#,
        r#""_type":"_doc""#,
        r#""result":"noop""#,
        r#""failure_store":"not_applicable_or_unknown""#,
        r#""forced_refresh":true"#,
        r#""_version":18446744073709551615"#,
        r#""_seq_no":-2"#,
        r#""_shards":{"total":2,"successful":1,"failed":0}"#,
    ] {
        let first = format!(r#"{{"index":{{"_id":"1","status":200,{member}}}}}"#);
        let answer = parse(&format!("{first},{SECOND},{THIRD}")).unwrap();
        assert!(answer.items()[0].is_plain, "{member}");
    }
}

#[test]
fn what_could_carry_a_document_is_not_plain() {
    for member in [
        r#""error":{"type":"mapper_parsing_exception","reason":"x"}"#,
        r#""get":{"_source":{"name":"x"}}"#,
        r#""result":{"a":1}"#,
        r#""result":"Jo Doe""#,
        r#""result":"jo_doe""#,
        r#""_type":"jo""#,
        r#""failure_store":"jo""#,
        r#""_index":"Jo Doe""#,
        r#""_index":"""#,
        r#""_version":1980.0101"#,
        r#""_seq_no":123456789012345678901"#,
        r#""_shards":{"total":1.5}"#,
        r#""_shards":{"failures":[{"reason":"x"}]}"#,
        r#""_shards":{"total":"x"}"#,
        r#""_seq_no":"x""#,
        r#""news":1"#,
    ] {
        let first = format!(r#"{{"index":{{"_id":"1","status":400,{member}}}}}"#);
        let answer = parse(&format!("{first},{SECOND},{THIRD}")).unwrap();
        assert!(!answer.items()[0].is_plain, "{member}");
        assert_eq!(answer.items()[0].is_error, member.contains("error"));
        let (result, _) = answer.words(&answer.items()[0]);
        assert_eq!(result, None, "{member}");
    }
    let third =
        r#"{"delete":{"_id":"ü","status":400,"error":{"reason":"Jo said \"x\"","type":"a_b"}}}"#;
    let spoken = SECOND.replace("W0tpsmIBdwcYyG50zbta", "Jo Doe");
    let answer = parse(&format!("{FIRST},{spoken},{third}")).unwrap();
    assert!(!answer.items()[1].is_plain, "no server makes such an id");
    assert_eq!(answer.words(&answer.items()[2]), (None, Some("a_b")));
}

#[test]
fn what_a_router_behind_said_is_told_apart_from_our_word() {
    let relayed = |theirs: &str| {
        let first = format!(
            r#"{{"index": {{"_id":"1","domic\u0069le" : {theirs} ,"status":201,"error":{{"domicile":1}}}}}}"#
        );
        let answer = parse(&format!("{first},{SECOND},{THIRD}")).unwrap();
        let told = answer.items()[0];
        let (begun, theirs) = answer.relayed(&told).unwrap();
        assert_eq!(
            begun,
            r#"{"index":{"_id":"1","status":201,"error":{"domicile":1},"#
        );
        assert!(answer.relayed(&answer.items()[1]).is_none());
        theirs.to_owned()
    };
    for theirs in [r#"{"region":"eu","decision":"01a2-b"}"#, "7", "[{}]"] {
        assert_eq!(relayed(theirs), theirs);
    }
    for (theirs, is_plain) in [
        (r#"{"region":"eu","decision":"01a2-b"}"#, true),
        (r#"{"decision":"01a2-b","body":"withheld"}"#, true),
        (r#"{"region":"Jo Doe"}"#, false),
        (r#"{"name":"jo"}"#, false),
        (r#"{"region":{"a":1}}"#, false),
        (r#""jo""#, false),
        ("[1]", false),
    ] {
        let first = format!(r#"{{"index":{{"_id":"1","status":201,"domicile":{theirs}}}}}"#);
        let answer = parse(&format!("{first},{SECOND},{THIRD}")).unwrap();
        assert_eq!(answer.items()[0].is_plain, is_plain, "{theirs}");
    }
    let twice = r#"{"index":{"_id":"1","status":201,"domicile":{},"domicile":{}}}"#;
    assert!(parse(&format!("{twice},{SECOND},{THIRD}")).is_err());
}

#[test]
fn an_answer_to_something_else_is_none() {
    for items in [
        format!("{FIRST},{SECOND}"),
        format!("{FIRST},{SECOND},{THIRD},{THIRD}"),
        format!("{SECOND},{FIRST},{THIRD}"),
        format!("{FIRST},{SECOND},{}", THIRD.replace("\\u00fc", "2")),
        format!(
            "{FIRST},{SECOND},{}",
            THIRD.replace(r#""_id":"\u00fc","#, "")
        ),
        format!("{FIRST},{SECOND},{}", THIRD.replace(r#""\u00fc""#, "null")),
        format!(
            "{},{SECOND},{THIRD}",
            FIRST.replace(r#""_id":"1""#, r#""_id":1"#)
        ),
        format!("{FIRST},{SECOND},{}", THIRD.replace("404", "\"404\"")),
        format!("{FIRST},{SECOND},{}", THIRD.replace("404", "99")),
        format!("{FIRST},{SECOND},{}", THIRD.replace("404", "4e2")),
        format!("{FIRST},{SECOND},{}", THIRD.replace("_index", "_id")),
        format!("{FIRST},{SECOND},{{\"delete\":{{}}}}"),
        format!("{FIRST},{SECOND},{{\"delete\":{{\"status\":200}},\"x\":1}}"),
        format!("{FIRST},{SECOND},null"),
    ] {
        assert!(parse(&items).is_err(), "{items}");
    }
    for text in ["", "OK", "{}", "[]", r#"{"items":{}}"#, r#"{"items":[]"#] {
        let read = BulkAnswer::parse(Bytes::from_static(text.as_bytes()), 0, |_| None);
        assert!(read.is_err(), "{text}");
    }
}

#[test]
fn the_fuzzing_corpus_passes() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/bulk_answers");
    let mut seen = 0;
    for file in std::fs::read_dir(folder).expect("a corpus") {
        let bytes = std::fs::read(file.expect("a file").path()).expect("readable");
        crate::forward::harness::try_bulk_answer(&bytes);
        seen += 1;
    }
    assert!(seen >= 10, "{seen}");
}

proptest::proptest! {
    #[test]
    fn what_is_believed_another_reader_reads_too(
        places in proptest::collection::vec(0..PIECES.len(), 0..12),
    ) {
        let answer: String = places.iter().map(|at| PIECES[*at]).collect();
        let body = "{\"index\":{\"_id\":\"1\"}}\n{}\n{\"create\":{}}\n{}\n";
        for answer in [answer.clone(), format!("{{\"items\":[{FIRST},{SECOND}{answer}")] {
            let text = format!("{body}\0{answer}");
            crate::forward::harness::try_bulk_answer(text.as_bytes());
        }
    }
}

/// Pieces of which sound and broken answers are made.
const PIECES: [&str; 15] = [
    "{\"items\":[",
    "]}",
    "]",
    "}",
    ",",
    FIRST,
    SECOND,
    THIRD,
    "\"it\\u0065ms\":[]",
    "\"took\":1",
    "{\"index\":{\"_id\":\"1\",\"status\":",
    "200",
    "\"error\":{\"type\":\"a\",\"x\":[]}",
    "{\"index\":{\"domicile\":{\"region\":\"eu\"},\"_id\":\"1\",\"status\":200}}",
    " ",
];
