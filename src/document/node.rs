use std::{ops::Range, path::Path, sync::Arc};

use jiff::civil::Date;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{Fault, Faults, Fields, Source, Where, read_text};

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
    /// given: half a file must not be taken for a whole one.
    pub fn parse(path: &str, text: String, faults: &Faults) -> Option<Self> {
        let source = Arc::new(Source {
            path: path.to_owned(),
            text,
        });
        let (table, errors) = DeTable::parse_recoverable(&source.text);
        for error in &errors {
            let span = error.span().unwrap_or(0..0);
            faults.error(&at(&source, span), error.message().to_owned());
        }
        if !errors.is_empty() {
            return None;
        }
        let span = table.span();
        Some(Self {
            at: at(&source, span),
            value: from_table(&source, table.get_ref(), faults),
        })
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

    pub fn fields<'a>(&'a self, faults: &'a Faults) -> Option<Fields<'a>> {
        match &self.value {
            Value::Table(entries) => Some(Fields::new(&self.at, entries, faults)),
            _ => self.wrong("a table", faults),
        }
    }

    pub fn text(&self, faults: &Faults) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => self.wrong("a string", faults),
        }
    }

    pub fn boolean(&self, faults: &Faults) -> Option<bool> {
        match self.value {
            Value::Boolean(b) => Some(b),
            _ => self.wrong("true or false", faults),
        }
    }

    pub fn integer(&self, faults: &Faults) -> Option<i64> {
        match self.value {
            Value::Integer(i) => Some(i),
            _ => self.wrong("a whole number", faults),
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
                Err(_) => self.wrong("a date such as 2026-01-31", faults),
            },
            _ => self.wrong("a date such as 2026-01-31", faults),
        }
    }

    pub fn list(&self, faults: &Faults) -> Option<&[Self]> {
        match &self.value {
            Value::List(items) => Some(items),
            _ => self.wrong("a list", faults),
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
        }
    }

    fn wrong<T>(&self, expected: &str, faults: &Faults) -> Option<T> {
        faults.error(
            &self.at,
            format!("expected {expected}, found {}", self.kind()),
        );
        None
    }
}

fn at(source: &Arc<Source>, span: Range<usize>) -> Where {
    Where::File {
        source: Arc::clone(source),
        span,
    }
}

fn from_table(source: &Arc<Source>, table: &DeTable<'_>, faults: &Faults) -> Value {
    let mut entries: Vec<(String, Where, Node)> = table
        .iter()
        .filter_map(|(key, value)| {
            let node = from_value(source, value, faults)?;
            Some((key.get_ref().to_string(), at(source, key.span()), node))
        })
        .collect();
    entries.sort_by_key(|(_, place, _)| match place {
        Where::File { span, .. } => span.start,
        Where::Environment(_) | Where::Path(_) => 0,
    });
    Value::Table(entries)
}

fn from_value(source: &Arc<Source>, value: &Spanned<DeValue<'_>>, faults: &Faults) -> Option<Node> {
    let place = at(source, value.span());
    let refuse = |message: String| {
        faults.error(&place, message);
        None
    };
    let value = match value.get_ref() {
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
                    None => return refuse(format!("`{when}` is not a day of the calendar")),
                }
            }
            _ => return refuse(format!("`{when}`: expected a day without a time of day")),
        },
        DeValue::Array(items) => Value::List(
            items
                .iter()
                .filter_map(|i| from_value(source, i, faults))
                .collect(),
        ),
        DeValue::Table(table) => from_table(source, table, faults),
    };
    Some(Node { at: place, value })
}

/// So that callers can hand a list of faults on as one error.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(Fault::summary).collect::<Vec<_>>().join("\n"))]
pub struct Refused(pub Vec<Fault>);
