//! The scanner against a naïve model, which parses with serde_json level by level.

use std::collections::HashSet;

use proptest::{collection::vec, prelude::*};
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{harness::Findings, *};

/// What serde_json makes of one level: members in order, duplicates and all.
enum Level<'a> {
    Object(Vec<(String, &'a RawValue)>),
    Array(Vec<&'a RawValue>),
    Leaf(String),
}

struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> serde::Deserialize<'de> for Members<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Vec<(String, &'de RawValue)>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(members)
            }
        }
        d.deserialize_map(V).map(Members)
    }
}

fn level(text: &str) -> Option<Level<'_>> {
    Some(match text.bytes().next()? {
        b'{' => Level::Object(serde_json::from_str::<Members<'_>>(text).ok()?.0),
        b'[' => Level::Array(serde_json::from_str(text).ok()?),
        b'"' => Level::Leaf(format!("\"{}", serde_json::from_str::<String>(text).ok()?)),
        _ => Level::Leaf(text.to_owned()),
    })
}

/// One pointer's tokens so far match `path`, whose array steps are marked.
fn matches(pointer: &str, path: &[(String, bool)]) -> bool {
    let tokens: Vec<String> = pointer
        .split('/')
        .skip(1)
        .map(|t| t.replace("~1", "/").replace("~0", "~"))
        .collect();
    tokens.len() == path.len()
        && tokens
            .iter()
            .zip(path)
            .all(|(t, (p, array))| if t == "*" { *array } else { t == p })
}

/// A pointer's beginning of the length of `path` matches it.
fn leads(pointer: &str, path: &[(String, bool)]) -> bool {
    let cut: Vec<&str> = pointer.split('/').take(path.len() + 1).collect();
    matches(&cut.join("/"), path)
}

struct Model<'p> {
    pointers: &'p [(String, Reach)],
    values: Vec<(u16, String)>,
    unknown: usize,
}

impl Model<'_> {
    /// `None`: refused.
    fn walk(&mut self, text: &str, path: &mut Vec<(String, bool)>, depth: usize) -> Option<()> {
        let level = level(text)?;
        let (shown, empty) = match &level {
            Level::Object(m) => ("{".to_owned(), m.is_empty()),
            Level::Array(e) => ("[".to_owned(), e.is_empty()),
            Level::Leaf(text) => (text.clone(), false),
        };
        for (i, (pointer, _)) in self.pointers.iter().enumerate() {
            if matches(pointer, path) {
                self.values.push((i as u16, shown.clone()));
            }
        }
        let covered = (0..=path.len()).any(|n| {
            self.pointers.iter().any(|(p, reach)| {
                matches(p, &path[..n]) && (n == path.len() || *reach == Reach::Subtree)
            })
        });
        let on_the_way = self.pointers.iter().any(|(p, _)| leads(p, path));
        let harmless = on_the_way && (empty || shown == "null");
        let is_leaf = empty || matches!(level, Level::Leaf(_));
        if is_leaf && !covered && !harmless {
            self.unknown += 1;
        }
        match level {
            Level::Leaf(_) => {}
            _ if depth == MAX_DEPTH => return None,
            Level::Object(members) => {
                let mut seen = HashSet::new();
                for (key, value) in members {
                    if !seen.insert(key.clone()) {
                        return None;
                    }
                    path.push((key, false));
                    self.walk(value.get(), path, depth + 1)?;
                    path.pop();
                }
            }
            Level::Array(elements) => {
                for (i, value) in elements.into_iter().enumerate() {
                    path.push((i.to_string(), true));
                    self.walk(value.get(), path, depth + 1)?;
                    path.pop();
                }
            }
        }
        Some(())
    }
}

fn model(body: &[u8], pointers: &[(String, Reach)]) -> Option<(Vec<(u16, String)>, usize)> {
    let text = std::str::from_utf8(body).ok()?;
    let whole: &RawValue = serde_json::from_str(text).ok()?;
    let mut model = Model {
        pointers,
        values: Vec::new(),
        unknown: 0,
    };
    model.walk(whole.get(), &mut Vec::new(), 0)?;
    Some((model.values, model.unknown))
}

fn watch(pointers: &[(String, Reach)]) -> Watch {
    Watch::compile(pointers.iter().map(|(p, r)| (p.as_str(), *r))).expect("pointers compile")
}

fn compare(body: &[u8], pointers: &[(String, Reach)]) -> Result<(), TestCaseError> {
    let mut findings = Findings::default();
    let fast = scan(body, &watch(pointers), &mut findings);
    match model(body, pointers) {
        Some((values, unknown)) => {
            prop_assert!(fast.is_ok(), "{fast:?} {}", String::from_utf8_lossy(body));
            prop_assert_eq!(findings.values, values);
            prop_assert_eq!(findings.unknown.len(), unknown);
        }
        None => prop_assert!(fast.is_err(), "{}", String::from_utf8_lossy(body)),
    }
    Ok(())
}

fn keys() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(vec!["a", "b", "c", "0", "1", "*", "", "a/b", "~", "ключ", "longer-than-eight"])
            .prop_map(str::to_owned),
        1 => "[ -~é漢]{0,12}",
    ]
}

fn pointers() -> impl Strategy<Value = Vec<(String, Reach)>> {
    let token = prop::sample::select(vec![
        "a",
        "b",
        "c",
        "0",
        "1",
        "*",
        "",
        "a~1b",
        "~0",
        "ключ",
        "longer-than-eight",
        "01",
    ]);
    let pointer = vec(token, 1..4).prop_map(|t| format!("/{}", t.join("/")));
    let reach = prop_oneof![Just(Reach::Value), Just(Reach::Subtree)];
    vec((pointer, reach), 0..6)
}

/// JSON text as many people write it: escapes or not, spaces or not, keys repeated now and then.
fn json() -> impl Strategy<Value = String> {
    let string = prop_oneof![
        keys().prop_map(|k| serde_json::to_string(&k).unwrap()),
        keys().prop_map(|k| {
            let units: String = k.encode_utf16().map(|u| format!("\\u{u:04X}")).collect();
            format!("\"{units}\"")
        }),
        prop::sample::select(vec![
            r#""\ud83d\ude00""#,
            r#""\n\t\"\\\/\b\f\r""#,
            r#""plain text that is longer than one step of the scanner""#,
        ])
        .prop_map(str::to_owned),
    ];
    let leaf = prop_oneof![
        string.clone(),
        prop::sample::select(vec![
            "null",
            "true",
            "false",
            "0",
            "-0",
            "1",
            "-12.5e+7",
            "1E400",
            "123456789012345678901",
        ])
        .prop_map(str::to_owned),
    ];
    let space = prop::sample::select(vec!["", "", " ", "\r\n\t"]);
    leaf.prop_recursive(5, 48, 6, move |inner| {
        let member = (string.clone(), inner.clone(), space.clone())
            .prop_map(|(k, v, s)| format!("{s}{k}{s}:{s}{v}{s}"));
        prop_oneof![
            (vec(member, 0..6), space.clone()).prop_map(|(m, s)| format!("{{{s}{}}}", m.join(","))),
            (vec(inner, 0..6), space.clone()).prop_map(|(e, s)| format!("[{s}{}{s}]", e.join(","))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn sound_texts_read_as_the_model_reads_them(text in json(), pointers in pointers()) {
        compare(text.as_bytes(), &pointers)?;
    }

    #[test]
    fn damaged_texts_are_judged_as_the_model_judges_them(
        text in json(),
        pointers in pointers(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>(), 0..3u8), 1..3),
    ) {
        let mut bytes = text.into_bytes();
        for (at, byte, kind) in damage {
            let at = at.index(bytes.len().max(1));
            match kind {
                0 if at < bytes.len() => { bytes.remove(at); }
                1 if at < bytes.len() => bytes[at] = byte,
                _ => bytes.insert(at, b"{}[],:\"\\u0e-.1tn \x00\xef\xff"[usize::from(byte) % 20]),
            }
        }
        compare(&bytes, &pointers)?;
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..200)) {
        harness::try_bytes(&bytes);
    }

    #[test]
    fn bytes_of_the_grammar_never_panic(text in r#"[\[\]{},:"\\u0-9truefalsn\. \n-]{0,80}"#) {
        harness::try_bytes(text.as_bytes());
        compare(text.as_bytes(), &[("/a".into(), Reach::Value)])?;
    }

    #[test]
    fn a_shape_accepts_only_what_the_scanner_reads_alike(
        text in json(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 0..3),
        pointers in pointers(),
    ) {
        let mut other = text.clone().into_bytes();
        for (at, byte, how) in changes {
            let at = at.index(other.len().max(1));
            match how {
                0 if at < other.len() => other[at] = byte,
                1 if at < other.len() => drop(other.remove(at)),
                _ => other.insert(at.min(other.len()), byte),
            }
        }
        harness::try_shape(text.as_bytes(), &other, &watch(&pointers));
    }

    #[test]
    fn an_array_splits_into_what_it_was_joined_from(
        items in vec(json(), 0..8),
        space in prop::sample::select(vec!["", " ", "\n"]),
    ) {
        let body = format!("{space}[{space}{}{space}]{space}", items.join(&format!("{space},{space}")));
        let split = split_array(body.as_bytes(), 100).expect("splits");
        prop_assert_eq!(split.len(), items.len());
        for (item, text) in split.iter().zip(&items) {
            prop_assert_eq!(item.of(body.as_bytes()), text.as_bytes());
        }
    }

    #[test]
    fn lines_end_where_a_simple_reader_ends_them(text in "[{}a \\t\\r\\n]{0,60}|[a\\r\\n]{0,9}") {
        let mut expected = Vec::new();
        let mut start = 0;
        for line in text.split('\n') {
            let blank = |c| matches!(c, ' ' | '\t' | '\r');
            let item = line.trim_matches(blank);
            if !item.is_empty() {
                let from = start + line.len() - line.trim_start_matches(blank).len();
                expected.push(match item.find('\r') {
                    Some(at) => from + at..from + at + 1,
                    None => from..from + item.len(),
                });
            }
            start += line.len() + 1;
        }
        let split = split_ndjson(text.as_bytes(), 100).expect("splits");
        let found: Vec<_> = split.iter().map(Item::range).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn lines_split_into_what_they_were_joined_from(
        items in vec(json(), 0..8),
        end in prop::sample::select(vec!["\n", "\r\n", "\n\n", "\r\n \t\r\n"]),
    ) {
        let items: Vec<String> = items.iter().map(|t| t.replace(['\n', '\r'], " ")).collect();
        let body = items.join(end);
        let split = split_ndjson(body.as_bytes(), 100).expect("splits");
        prop_assert_eq!(split.len(), items.len());
        for (item, text) in split.iter().zip(&items) {
            prop_assert_eq!(item.of(body.as_bytes()), text.trim().as_bytes());
        }
    }
}

#[test]
fn the_fuzzing_corpus_passes() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/json_scan");
    let mut seen = 0;
    for file in std::fs::read_dir(folder).expect("a corpus") {
        let bytes = std::fs::read(file.expect("a file").path()).expect("readable");
        harness::try_bytes(&bytes);
        let pointers = [
            ("/a".to_owned(), Reach::Value),
            ("/c/*/d".to_owned(), Reach::Subtree),
        ];
        compare(&bytes, &pointers).expect("as the model");
        seen += 1;
    }
    assert!(seen >= 9, "{seen}");
}

fn fault(body: impl AsRef<[u8]>) -> JsonFaultKind {
    let body = body.as_ref();
    scan(body, &Watch::nothing(), &mut Findings::default())
        .expect_err("refused")
        .kind
}

fn sound(body: impl AsRef<[u8]>) -> bool {
    scan(body.as_ref(), &Watch::nothing(), &mut Findings::default()).is_ok()
}

#[test]
fn each_way_to_be_two_records_at_once_is_refused() {
    use JsonFaultKind::*;
    assert_eq!(fault(r#"{"a":1,"a":2}"#), DuplicateKey);
    assert_eq!(fault(r#"{"a":1,"\u0061":2}"#), DuplicateKey);
    assert_eq!(fault(r#"{"x":[{"y":{"\/":1,"/":2}}]}"#), DuplicateKey);
    assert_eq!(fault(r#"{"a":{},"b":[],"a":null}"#), DuplicateKey);
    assert_eq!(fault(r#"{} {}"#), SecondValue);
    assert_eq!(fault("\u{feff}{}"), ByteOrderMark);
    assert_eq!(fault(b"{\"a\":\"\xff\"}"), Utf8);
    assert_eq!(fault(b"\"\xed\xa0\x80\""), Utf8);
    assert_eq!(fault(r#""\ud800""#), LoneSurrogate);
    assert_eq!(fault(r#""\ud800\u0041""#), LoneSurrogate);
    assert_eq!(fault(r#""\udc00\ud800""#), LoneSurrogate);
    assert_eq!(fault("\"a\tb\""), ControlCharacter);
    assert_eq!(fault("  "), Empty);
    assert_eq!(fault("{"), CutShort);
    assert_eq!(fault("{\"a\""), CutShort);
    assert_eq!(fault("[1,]"), Unexpected);
    assert_eq!(fault("{a:1}"), Unexpected);
    assert_eq!(fault("01"), Number);
    assert_eq!(fault("1.e5"), Number);
    assert_eq!(fault(r#""\x41""#), Escape);
    assert!(sound(r#"{"a":{"a":1},"A":2}"#), "same key in other objects");
}

#[test]
fn nesting_is_bounded_and_never_recurses() {
    assert!(sound("[".repeat(64) + &"]".repeat(64)));
    assert_eq!(
        fault("[".repeat(65) + &"]".repeat(65)),
        JsonFaultKind::TooDeep
    );
    assert_eq!(fault(r#"{"a":"#.repeat(65)), JsonFaultKind::TooDeep);
    assert_eq!(fault("[".repeat(1 << 20)), JsonFaultKind::TooDeep);
    let brackets = "[".repeat(1 << 20) + &"]".repeat(1 << 20);
    assert_eq!(
        split_array(brackets.as_bytes(), 1).expect("splits").len(),
        1
    );
}

#[test]
fn duplicates_are_found_among_many_keys() {
    for n in [31, 32, 33, 34, 200, 5000] {
        let mut members: Vec<String> = (0..n)
            .map(|i| format!("\"key{i}\":{{\"k\":{i}}}"))
            .collect();
        assert!(sound(format!("{{{}}}", members.join(","))), "{n}");
        for again in [0, n / 2, n - 1] {
            members.push(format!("\"\\u006bey{again}\":0"));
            assert_eq!(
                fault(format!("{{{}}}", members.join(","))),
                JsonFaultKind::DuplicateKey,
                "{n} {again}"
            );
            members.pop();
        }
    }
}

#[test]
fn faults_name_the_place_and_nothing_of_the_text() {
    let body = br#"{"name":"Ada Example","name":"x"}"#;
    let fault = scan(body, &Watch::nothing(), &mut Findings::default()).expect_err("refused");
    assert_eq!(fault.offset, 22);
    assert_eq!(
        fault.to_string(),
        "key that stands twice in one object at byte 22"
    );
    assert!(!format!("{fault:?}").contains("Ada"));
}

#[test]
fn values_show_nothing_in_debug() {
    let text = cursor::Text {
        raw: b"Ada",
        escaped: false,
    };
    let shown = format!("{:?}", Value::String(RawString::checked(text)));
    assert!(!shown.contains("Ada"), "{shown}");
}

#[test]
fn pointers_follow_arrays_by_star_and_by_number() {
    let pointers = [
        ("/c/*/e".to_owned(), Reach::Value),
        ("/c/1/e".to_owned(), Reach::Value),
        ("/c/01".to_owned(), Reach::Value),
    ];
    let mut findings = Findings::default();
    let body = br#"{"c":[{"e":"x"},{"e":"y","f":1}],"d":2}"#;
    scan(body, &watch(&pointers), &mut findings).expect("sound");
    let text = |s: &str| format!("\"{s}");
    assert_eq!(
        findings.values,
        [(0, text("x")), (0, text("y")), (1, text("y"))]
    );
    let watch = watch(&pointers);
    let unknown: Vec<&str> = findings
        .unknown
        .iter()
        .map(|u| watch.pointer_of(*u))
        .collect();
    assert_eq!(unknown, ["/c/*", ""]);
    // `*` is no member's name, and a member may be called `0`.
    let mut findings = Findings::default();
    let body = br#"{"c":{"*":{"e":1},"1":{"e":2}}}"#;
    scan(body, &watch, &mut findings).expect("sound");
    assert_eq!(findings.values, [(1, "2".to_owned())]);
}

#[test]
fn malformed_pointers_are_refused() {
    for text in ["a", "/a~", "/a~2"] {
        let outcome = Watch::compile([(text, Reach::Value)]);
        assert!(matches!(outcome, Err(WatchError::Malformed(_))), "{text}");
    }
    let deep = "/a".repeat(65);
    let outcome = Watch::compile([(deep.as_str(), Reach::Value)]);
    assert!(matches!(outcome, Err(WatchError::TooDeep(_))));
}

#[test]
fn broken_batches_are_one_fault_and_broken_items_their_own() {
    use SplitFaultKind::*;
    let kind = |body: &str| split_array(body.as_bytes(), 3).expect_err(body).kind;
    assert_eq!(kind("{}"), NotAnArray);
    assert_eq!(kind(""), NotAnArray);
    assert_eq!(kind("\u{feff}[]"), ByteOrderMark);
    assert_eq!(kind("[1,2"), CutShort);
    assert_eq!(kind("[\"a"), CutShort);
    assert_eq!(kind("[{]}"), Mismatch);
    assert_eq!(kind("[1,,2]"), EmptyElement);
    assert_eq!(kind("[1,]"), EmptyElement);
    assert_eq!(kind("[] []"), SecondValue);
    assert_eq!(kind("[1,2,3,4]"), TooMany(3));
    assert_eq!(split_array(b" [ ] ", 3), Ok(vec![]));
    assert_eq!(
        split_ndjson(b"1\n2\n3\n4\n", 3).expect_err("many").kind,
        TooMany(3)
    );
    assert_eq!(split_ndjson(b"\n \r\n", 3), Ok(vec![]));

    let body = br#"[{"a":1,"a":2}, {"b":tru}, 7, {"c":"]},\"["}]"#;
    let items = split_array(body, 10).expect("splits");
    let faults: Vec<_> = items
        .iter()
        .map(|i| {
            scan_object(i.of(body), &Watch::nothing(), &mut Findings::default())
                .err()
                .map(|f| f.kind)
        })
        .collect();
    assert_eq!(
        faults,
        [
            Some(JsonFaultKind::DuplicateKey),
            Some(JsonFaultKind::Unexpected),
            Some(JsonFaultKind::NotAnObject),
            None
        ]
    );
}

#[test]
fn a_line_that_other_readers_would_end_earlier_is_no_record() {
    let body = b"{\"id\":1}\r\n{\"id\":2,\"x\":[\r{\"id\":\"hidden\"}\r]}\r\n{\"id\":3}\r{\"id\":4}\n{\"id\":5}\r";
    let items = split_ndjson(body, 10).unwrap();
    let sound: Vec<bool> = items
        .iter()
        .map(|item| {
            let mut sink = Findings::default();
            scan_object(item.of(body), &Watch::nothing(), &mut sink).is_ok()
        })
        .collect();
    assert_eq!(sound, [true, false, false, true]);
}
