//! What fuzzing and the property tests run over the scanner: one function, no expectations about
//! the input.

use super::{KnownPart, Reach, Sink, Value, Watch, scan, split_array, split_ndjson};

/// Everything a scan reports, in order; for tests and fuzzing, so `Debug` shows data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Pointer index, and the value: strings unescaped, numbers as written, `{` and `[` for
    /// containers.
    pub values: Vec<(u16, String)>,
    /// For each unknown leaf, the known part of its pointer.
    pub unknown: Vec<KnownPart>,
}

impl<'a> Sink<'a> for Findings {
    fn value(&mut self, pointer: u16, value: Value<'a>) {
        let text = match value {
            Value::String(text) => format!("\"{}", text.unescape()),
            Value::Number(number) => number.as_str().to_owned(),
            Value::Bool(truth) => truth.to_string(),
            Value::Null => "null".to_owned(),
            Value::Object => "{".to_owned(),
            Value::Array => "[".to_owned(),
        };
        self.values.push((pointer, text));
    }

    fn unknown(&mut self, below: KnownPart) {
        self.unknown.push(below);
    }
}

/// Scans and splits arbitrary bytes, and checks what must hold for any of them.
///
/// # Panics
/// If something does not hold; that is its purpose.
#[expect(
    clippy::panic,
    reason = "a fuzzing harness reports what it found by panicking"
)]
pub fn try_bytes(bytes: &[u8]) {
    let pointers = [
        ("/a", Reach::Value),
        ("/a/b", Reach::Subtree),
        ("/c/*/d", Reach::Value),
        ("/c/0", Reach::Value),
        ("/*", Reach::Value),
    ];
    let Ok(watch) = Watch::compile(pointers) else {
        panic!("the harness's own pointers do not compile");
    };
    let mut findings = Findings::default();
    if scan(bytes, &watch, &mut findings).is_ok()
        && serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_err()
    {
        panic!("accepted what serde_json refuses");
    }
    for items in [split_array(bytes, 1000), split_ndjson(bytes, 1000)]
        .into_iter()
        .flatten()
    {
        let mut end = 0;
        for item in items {
            let range = item.range();
            if range.start < end || range.is_empty() || range.end > bytes.len() {
                panic!("items overlap, are empty, or leave the body");
            }
            end = range.end;
        }
    }
}
