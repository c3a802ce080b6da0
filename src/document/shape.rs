//! Files and texts that serde reads (cases, properties, questions), with the mistakes told as
//! [`Fault`]s at their places. serde stops at the first mistake of a value; so lists are read item
//! by item, and each item tells its own.

use std::{ops::Range, path::Path, sync::Arc};

use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue, Deserializer, ValueDeserializer};

use super::{Fault, Severity, Source, Where, locate, read_input, suggest};

/// Reads a TOML file that is one list of tables, `[[key]]`, and a head of other keys.
///
/// # Errors
/// The file cannot be read; every mistake of its syntax; or one mistake of the head and of each
/// item.
pub fn read_items<H, T>(path: &Path, key: &str) -> Result<(H, Vec<T>), Vec<Fault>>
where
    H: DeserializeOwned,
    T: DeserializeOwned,
{
    let text = read_input(path).map_err(|fault| vec![fault])?;
    let source = Arc::new(Source {
        path: path.display().to_string(),
        text,
    });
    let told = |error: &toml::de::Error| {
        let span = error.span().unwrap_or(0..0);
        fault(&source, span, error.message())
    };
    let (mut table, errors) = DeTable::parse_recoverable(&source.text);
    if !errors.is_empty() {
        return Err(errors.iter().map(told).collect());
    }
    let mut faults = Vec::new();
    let found = table.get_mut().remove(key);
    let mut items = Vec::new();
    match found.map(|list| (list.span(), list.into_inner())) {
        Some((span, DeValue::Array(list))) => {
            if list.is_empty() {
                let message = format!("there is no `[[{key}]]` in this file");
                faults.push(fault(&source, span, &message));
            }
            for item in list {
                match T::deserialize(ValueDeserializer::from(item)) {
                    Ok(item) => items.push(item),
                    Err(error) => faults.push(told(&error)),
                }
            }
        }
        Some((span, _)) => {
            faults.push(fault(
                &source,
                span,
                &format!("expected tables `[[{key}]]`"),
            ));
        }
        None => {
            let message = format!("there is no `[[{key}]]` in this file");
            faults.push(fault(&source, 0..0, &message));
        }
    }
    let head = H::deserialize(Deserializer::from(table));
    match head {
        Ok(head) if faults.is_empty() => Ok((head, items)),
        Ok(_) => Err(faults),
        Err(error) => {
            faults.push(told(&error));
            Err(faults)
        }
    }
}

/// Reads the JSON that stands in `source` at `range`.
///
/// # Errors
/// The first mistake, at its place in the whole source.
pub fn read_json<T: DeserializeOwned>(
    source: &Arc<Source>,
    range: Range<usize>,
) -> Result<T, Fault> {
    read_json_with(source, range, |text| serde_json::from_str(text))
}

/// As [`read_json`], with a reader of the value's own.
///
/// # Errors
/// The first mistake, at its place in the whole source.
pub fn read_json_with<T>(
    source: &Arc<Source>,
    range: Range<usize>,
    read: impl FnOnce(&str) -> Result<T, serde_json::Error>,
) -> Result<T, Fault> {
    let text = source.text.get(range.clone()).unwrap_or_default();
    read(text).map_err(|error| {
        let message = error.to_string();
        // serde_json ends its messages with a place of its own.
        let end = message.rfind(" at line ").unwrap_or(message.len());
        let message = message.get(..end).unwrap_or(&message);
        let before: usize = text
            .split_inclusive('\n')
            .take(error.line().saturating_sub(1))
            .map(str::len)
            .sum();
        // It counts the bytes that it has read, the one that does not fit included.
        let read = (before + error.column()).min(text.len());
        let start = start_of_word(text, read, message);
        let span = range.start + start..range.start + read.max(start);
        fault(source, span, message)
    })
}

/// The place of the quoted `word` in a source from `from` on; the whole source where it is not.
pub fn place_of_word(source: &Arc<Source>, range: Range<usize>, word: &str) -> Where {
    let text = source.text.get(range.clone()).unwrap_or_default();
    let quoted = serde_json::to_string(word).unwrap_or_default();
    let span = match text.find(&quoted) {
        Some(at) => range.start + at..range.start + at + quoted.len(),
        None => range.start..range.start,
    };
    Where::File {
        source: Arc::clone(source),
        span,
    }
}

/// Where the word stands that a JSON mistake is about, which ends before `read`.
fn start_of_word(text: &str, read: usize, message: &str) -> usize {
    let before = text.get(..read).unwrap_or_default();
    let word = quoted(message).next();
    let quoted = word.and_then(|w| before.rfind(&format!("\"{w}\"")));
    let last = || before.char_indices().next_back().map_or(0, |(at, _)| at);
    quoted.unwrap_or_else(last)
}

/// The words that stand in backticks.
fn quoted(message: &str) -> impl Iterator<Item = &str> {
    message.split('`').skip(1).step_by(2)
}

/// A mistake at a JSON pointer into what stands in `source` at `range`.
pub fn json_fault(
    source: &Arc<Source>,
    range: &Range<usize>,
    pointer: &str,
    message: &str,
) -> Fault {
    let text = source.text.get(range.clone()).unwrap_or_default();
    let found = locate(text, pointer);
    let span = match found.name {
        Some(name) if message.starts_with("unknown field") => name,
        _ => found.value,
    };
    let span = range.start + span.start..range.start + span.end;
    let mut fault = fault(source, span, message);
    if !pointer.is_empty() {
        fault.message = format!("{} at `{pointer}`", fault.message);
    }
    fault
}

/// A fault from a message of serde's, the list of what is known turned into a hint.
fn fault(source: &Arc<Source>, span: Range<usize>, message: &str) -> Fault {
    let message = message.trim();
    let (said, expected) = message.split_once(", expected ").unwrap_or((message, ""));
    let hint = match quoted(said).next() {
        Some(word) if said.starts_with("unknown ") && !expected.is_empty() => {
            let near = suggest(word, quoted(expected));
            Some(near.unwrap_or_else(|| format!("expected {expected}")))
        }
        _ => None,
    };
    let message = match hint {
        Some(_) => said,
        None => message,
    };
    // A mistake inside of a table is told of the whole table by some readers: look for the word.
    let inner = source.text.get(span.clone()).unwrap_or_default();
    let word = quoted(said).next().filter(|_| said.starts_with("unknown "));
    let narrow = word.and_then(|w| {
        let at = inner.find(w)?;
        Some(span.start + at..span.start + at + w.len())
    });
    Fault {
        severity: Severity::Error,
        at: Where::File {
            source: Arc::clone(source),
            span: narrow.unwrap_or(span),
        },
        message: message.to_owned(),
        hint,
        also: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Head {}

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "what is read is not asked for")]
    struct Item {
        name: String,
        number: u8,
    }

    fn told(text: &str) -> Vec<String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.toml");
        std::fs::write(&path, text).expect("written");
        let faults = read_items::<Head, Item>(&path, "item").expect_err("broken");
        let place = |f: &Fault| f.at.line_column().expect("a place");
        let line = |f: &Fault| {
            let (line, column) = place(f);
            format!(
                "{line}:{column} {} {}",
                f.message,
                f.hint.clone().unwrap_or_default()
            )
        };
        faults.iter().map(line).collect()
    }

    #[test]
    fn each_item_and_the_head_tell_their_mistake() {
        let told =
            told("odd = 1\n[[item]]\nname = 1\nnumber = 1\n[[item]]\nname = \"x\"\nnumbr = 2\n");
        assert_eq!(told.len(), 3, "{told:?}");
        for (place, words) in [
            ("3:8", "invalid type"),
            ("7:1", "did you mean `number`?"),
            ("1:1", "unknown field `odd`"),
        ] {
            let found = told
                .iter()
                .any(|t| t.starts_with(place) && t.contains(words));
            assert!(found, "{place} {words} in {told:?}");
        }
    }

    #[test]
    fn broken_syntax_and_other_shapes_are_told() {
        assert!(told("a = = 1\nb = [\n").len() >= 2);
        assert!(told("").first().expect("one").contains("no `[[item]]`"));
        assert!(told("item = 3").first().expect("one").starts_with("1:8"));
    }

    #[test]
    fn json_mistakes_have_their_place_in_the_whole_text() {
        let text = "{}\n{\"name\": \"x\",\n \"numer\": 1}".to_owned();
        let source = Arc::new(Source {
            path: "q".into(),
            text,
        });
        let len = source.text.len();
        let fault = read_json::<Item>(&source, 3..len).expect_err("broken");
        assert_eq!(fault.at.line_column(), Some((3, 3)), "{fault:?}");
        assert_eq!(fault.hint.as_deref(), Some("did you mean `number`?"));
        assert_eq!(
            place_of_word(&source, 3..len, "x").line_column(),
            Some((2, 10))
        );
    }
}
