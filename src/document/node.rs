use std::{cell::Cell, ops::Range, path::Path, sync::Arc};

use jiff::civil::Date;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{Fault, Faults, Fields, Source, Where, meant, read_text};

/// One value of a file with its place.
#[derive(Clone, Debug)]
pub struct Node {
    pub at: Where,
    pub value: Value,
}

#[derive(Clone, Debug)]
pub enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    Date(Date),
    List(Vec<Node>),
    /// In the order of the file: key, place of the key, value.
    Table(Vec<(String, Where, Node)>),
    /// A date that is none: its fault is told, and whoever asks for the value says no more of it.
    Broken,
}

impl Node {
    /// Reads and parses a file; faults say why it cannot be.
    pub fn load(path: &Path, faults: &Faults) -> Option<Self> {
        let shown = path.display().to_string();
        match read_text(path) {
            Ok(text) => Self::parse(&shown, text, faults),
            Err(fault) => {
                faults.adopt(fault);
                None
            }
        }
    }

    /// Parses TOML. On syntax errors all that the parser can tell apart are told, and no node is
    /// given: half a file must not be taken for a whole one. A day that the calendar has not leaves
    /// the rest whole, so that its other mistakes are told in the same run.
    pub fn parse(path: &str, text: String, faults: &Faults) -> Option<Self> {
        let source = Arc::new(Source {
            path: path.to_owned(),
            text,
        });
        let (table, errors) = DeTable::parse_recoverable(&source.text);
        let spans: Vec<Range<usize>> = errors.iter().map(|e| e.span().unwrap_or(0..0)).collect();
        for (error, span) in errors.iter().zip(&spans) {
            let place = at(&source, span.clone());
            let message = error.message().to_owned();
            let is_day = error.message().starts_with("invalid date");
            match meant::instead(&source.text, span) {
                Some(hint) => faults.error_hint(&place, message, hint),
                None if is_day => faults.error_hint(&place, message, A_DAY),
                None => faults.error(&place, message),
            }
        }
        let inner = Faults::new();
        let reader = Reader {
            source: &source,
            broken: &spans,
            met: Cell::new(0),
            faults: &inner,
        };
        let value = reader.table(table.get_ref());
        if reader.met.get() < spans.len() {
            return None;
        }
        faults.absorb(inner.into_sorted());
        Some(Self {
            at: at(&source, table.span()),
            value,
        })
    }

    /// From where to where it stands in its file, with all that is in it.
    pub(super) fn extent(&self) -> Option<(&Arc<Source>, Range<usize>)> {
        let Where::File { source, span } = &self.at else {
            return None;
        };
        let mut whole = span.clone();
        let mut wider = |place: &Where| {
            if let Where::File { span, .. } = place {
                whole = whole.start.min(span.start)..whole.end.max(span.end);
            }
        };
        let mut inner = |node: &Self| {
            if let Some((source, span)) = node.extent() {
                let source = Arc::clone(source);
                wider(&Where::File { source, span });
            }
        };
        match &self.value {
            Value::List(items) => items.iter().for_each(inner),
            Value::Table(entries) => {
                for (_, _, node) in entries {
                    inner(node);
                }
                for (_, key, _) in entries {
                    wider(key);
                }
            }
            _ => {}
        }
        Some((source, whole))
    }

    /// The place of the value under `path` (`valid.until`), or of the nearest that stands above it.
    pub fn place(&self, path: &str) -> &Where {
        let mut node = self;
        for key in path.split('.') {
            let Value::Table(entries) = &node.value else {
                break;
            };
            match entries.iter().find(|(k, _, _)| k == key) {
                Some((_, _, inner)) => node = inner,
                None => break,
            }
        }
        &node.at
    }

    /// The place of the value to which the steps lead, or of the nearest that stands above it.
    pub fn nearest<'s>(&self, steps: impl Iterator<Item = &'s str>) -> &Where {
        let mut node = self;
        for step in steps {
            let next = match &node.value {
                Value::Table(entries) => entries.iter().find(|(k, _, _)| k == step).map(|e| &e.2),
                Value::List(items) => step.parse().ok().and_then(|i: usize| items.get(i)),
                _ => None,
            };
            match next {
                Some(next) => node = next,
                None => break,
            }
        }
        &node.at
    }

    pub fn fields<'a>(&'a self, faults: &'a Faults) -> Option<Fields<'a>> {
        match &self.value {
            Value::Table(entries) => Some(Fields::new(&self.at, entries, faults)),
            _ => self.wrong("a table", faults),
        }
    }

    pub fn text(&self, faults: &Faults) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => self.wrong(TEXT, faults),
        }
    }

    pub fn boolean(&self, faults: &Faults) -> Option<bool> {
        match self.value {
            Value::Boolean(b) => Some(b),
            _ => self.wrong(TRUTH, faults),
        }
    }

    pub fn integer(&self, faults: &Faults) -> Option<i64> {
        match self.value {
            Value::Integer(i) => Some(i),
            _ => self.wrong(WHOLE, faults),
        }
    }

    /// A whole number within `range`.
    pub fn integer_in(&self, range: std::ops::RangeInclusive<i64>, faults: &Faults) -> Option<i64> {
        let i = self.integer(faults)?;
        if range.contains(&i) {
            return Some(i);
        }
        let (low, high) = (range.start(), range.end());
        faults.error(&self.at, format!("`{i}` is not between {low} and {high}"));
        None
    }

    /// A TOML date, or a string that holds one.
    pub fn date(&self, faults: &Faults) -> Option<Date> {
        match &self.value {
            Value::Date(date) => Some(*date),
            Value::Text(text) => match text.parse() {
                Ok(date) => Some(date),
                Err(_) => self.wrong(DAY, faults),
            },
            _ => self.wrong(DAY, faults),
        }
    }

    pub fn list(&self, faults: &Faults) -> Option<&[Self]> {
        match &self.value {
            Value::List(items) => Some(items),
            _ => self.wrong(LIST, faults),
        }
    }

    /// A list of strings with their nodes; items of another kind are faults and left out.
    pub fn texts<'a>(&'a self, faults: &Faults) -> Vec<(&'a str, &'a Self)> {
        let items = self.list(faults).unwrap_or(&[]);
        items
            .iter()
            .filter_map(|n| Some((n.text(faults)?, n)))
            .collect()
    }

    /// What kind of value stands here, for messages.
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Text(_) => "a string",
            Value::Integer(_) => "a whole number",
            Value::Float(_) => "a decimal number",
            Value::Boolean(_) => "true or false",
            Value::Date(_) => "a date",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
            Value::Broken => "a date that is none",
        }
    }

    fn wrong<T>(&self, expected: &str, faults: &Faults) -> Option<T> {
        let message = format!("expected {expected}, found {}", self.kind());
        match (self.instead_of(expected), &self.value) {
            (_, Value::Broken) => {}
            (Some(hint), _) => faults.error_hint(&self.at, message, hint),
            (None, _) => faults.error(&self.at, message),
        }
        None
    }

    /// How what was meant is written. Texts are not repeated: they may be secrets.
    fn instead_of(&self, expected: &str) -> Option<String> {
        let hint = match (expected, &self.value) {
            (WHOLE, Value::Text(text)) => {
                let number: i64 = text.trim().parse().ok()?;
                return Some(format!("write it without quotes: `{number}`"));
            }
            (WHOLE, Value::Float(_)) => "write it without a decimal point",
            (TRUTH, _) => "write `true` or `false`, without quotes",
            (TEXT, Value::List(_)) => "one alone goes here, without brackets",
            (TEXT, Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Date(_)) => {
                "put it in quotes"
            }
            (LIST, Value::Text(_)) => "put it in brackets, of one too: `[\"…\"]`",
            (DAY, Value::Text(text)) => {
                return Some(meant::day(text).unwrap_or_else(|| A_DAY.to_owned()));
            }
            (DAY, _) => A_DAY,
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

const TEXT: &str = "a string";
const WHOLE: &str = "a whole number";
const TRUTH: &str = "true or false";
const LIST: &str = "a list";
const DAY: &str = "a date such as 2026-01-31";
const A_DAY: &str = "year, month and day, each as the calendar has it";

fn at(source: &Arc<Source>, span: Range<usize>) -> Where {
    Where::File {
        source: Arc::clone(source),
        span,
    }
}

/// Makes nodes of what the parser gives.
struct Reader<'a> {
    source: &'a Arc<Source>,
    /// Where it found something wrong.
    broken: &'a [Range<usize>],
    /// How many of these are dates that are none.
    met: Cell<usize>,
    faults: &'a Faults,
}

impl Reader<'_> {
    fn table(&self, table: &DeTable<'_>) -> Value {
        let mut entries: Vec<(String, Where, Node)> = table
            .iter()
            .filter_map(|(key, value)| {
                let node = self.value(value)?;
                let place = at(self.source, key.span());
                Some((key.get_ref().to_string(), place, node))
            })
            .collect();
        entries.sort_by_key(|(_, place, _)| match place {
            Where::File { span, .. } => span.start,
            Where::Environment(_) | Where::Path(_) => 0,
        });
        Value::Table(entries)
    }

    fn value(&self, value: &Spanned<DeValue<'_>>) -> Option<Node> {
        let place = at(self.source, value.span());
        let refuse = |message: String| {
            self.faults.error(&place, message);
            None
        };
        let value = match value.get_ref() {
            DeValue::Datetime(_) if self.broken.contains(&value.span()) => {
                self.met.set(self.met.get() + 1);
                Value::Broken
            }
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(i) => {
                let digits = i.as_str().replace('_', "");
                match i64::from_str_radix(&digits, i.radix()) {
                    Ok(i) => Value::Integer(i),
                    Err(_) => return refuse("the number does not fit into 64 bits".to_owned()),
                }
            }
            DeValue::Float(x) => match x.as_str().replace('_', "").parse() {
                Ok(x) => Value::Float(x),
                Err(_) => return refuse(format!("`{}` is not a number", x.as_str())),
            },
            DeValue::Boolean(b) => Value::Boolean(*b),
            DeValue::Datetime(when) => match (when.date, when.time) {
                (Some(d), None) => {
                    let date = i16::try_from(d.year)
                        .ok()
                        .zip(i8::try_from(d.month).ok())
                        .zip(i8::try_from(d.day).ok())
                        .and_then(|((y, m), d)| Date::new(y, m, d).ok());
                    match date {
                        Some(date) => Value::Date(date),
                        None => {
                            let message = format!("`{when}` is not a day of the calendar");
                            self.faults.error_hint(&place, message, A_DAY);
                            Value::Broken
                        }
                    }
                }
                _ => {
                    let message = format!("`{when}`: expected a day without a time of day");
                    self.faults
                        .error_hint(&place, message, "such as `2026-01-31`");
                    Value::Broken
                }
            },
            DeValue::Array(items) => {
                Value::List(items.iter().filter_map(|i| self.value(i)).collect())
            }
            DeValue::Table(table) => self.table(table),
        };
        Some(Node { at: place, value })
    }
}

/// So that callers can hand a list of faults on as one error.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(Fault::summary).collect::<Vec<_>>().join("\n"))]
pub struct Refused(pub Vec<Fault>);
