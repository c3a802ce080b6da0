//! What fuzzing and the property tests run over the scanner: one function, no expectations about
//! the input.

use super::{KnownPart, Reach, Shape, Sink, Value, Watch, scan, split_array, split_ndjson};

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
    let mut parts = bytes.splitn(2, |b| *b == 0);
    if let (Some(one), Some(other)) = (parts.next(), parts.next()) {
        try_shape(one, other, &watch);
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

/// Whether a text that is read by the shape of `one` is one to the scanner, too, in which it finds
/// the same things.
///
/// # Panics
/// If it is not.
#[expect(
    clippy::panic,
    reason = "a fuzzing harness reports what it found by panicking"
)]
pub fn try_shape(one: &[u8], other: &[u8], watch: &Watch) {
    let (mut before, mut after) = (Findings::default(), Findings::default());
    if scan(one, watch, &mut before).is_err() {
        return;
    }
    let Some((mut shape, starts)) = Shape::of(one) else {
        return;
    };
    (0..starts.len()).for_each(|value| shape.want(value));
    let mut values = 0;
    if !shape.read(one, |_| values += 1) || values != starts.len() {
        panic!("a text has not its own shape");
    }
    if !shape.read(other, |_| {}) {
        return;
    }
    if scan(other, watch, &mut after).is_err() {
        panic!("a shape accepted what the scanner refuses");
    }
    let pointers = |findings: &Findings| -> Vec<u16> {
        findings
            .values
            .iter()
            .map(|(pointer, _)| *pointer)
            .collect()
    };
    if pointers(&before) != pointers(&after) || before.unknown != after.unknown {
        panic!("two texts of one shape have other things to find");
    }
}
