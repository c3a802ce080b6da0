//! The items of a bulk body.

use std::borrow::Cow;

use super::{
    super::json::{Pull, Value, line_feed},
    Action, ActionFault, action,
};

/// The whole body is refused: `line` counts from 1. Holds and prints nothing of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line [{line}]: {kind}")]
pub struct BulkSplitFault {
    pub line: usize,
    pub kind: BulkSplitFaultKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BulkSplitFaultKind {
    #[error("malformed action/metadata line, {0}")]
    Action(#[from] ActionFault),
    #[error("The bulk request must be terminated by a newline [\\n]")]
    NoFinalNewline,
    #[error("the last action has no source line")]
    NoSource,
    #[error("no requests added")]
    Empty,
    #[error("more than {0} items")]
    TooMany(usize),
    #[error("text longer than 4 GiB")]
    TooLong,
}

/// One item, as places in the body. The accessors must be given the body that was split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BulkItem {
    pub action: Action,
    /// It asks that the document comes back in the answer.
    pub wants_source: bool,
    start: u32,
    /// Where the source line starts; the item's end for `delete`.
    source: u32,
    end: u32,
    index: (u32, u32),
    id: (u32, u32),
    pipeline: (u32, u32),
}

impl BulkItem {
    /// Action line and source line as they came, without the last line's end.
    pub fn range(&self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }

    /// The document, or what stands in its place in an update; `None` for a `delete`.
    pub fn source<'b>(&self, body: &'b [u8]) -> Option<&'b [u8]> {
        let source = body.get(self.source as usize..self.end as usize);
        (self.action != Action::Delete).then(|| source.unwrap_or_default())
    }

    pub fn index<'b>(&self, body: &'b [u8]) -> Option<Cow<'b, str>> {
        text(self.index_json(body)?)
    }

    /// What names the document; a number as it is written.
    pub fn id<'b>(&self, body: &'b [u8]) -> Option<Cow<'b, str>> {
        text(self.id_json(body)?)
    }

    pub fn pipeline<'b>(&self, body: &'b [u8]) -> Option<Cow<'b, str>> {
        text(part(body, self.pipeline)?)
    }

    /// As JSON, just as it came.
    pub fn index_json<'b>(&self, body: &'b [u8]) -> Option<&'b str> {
        part(body, self.index)
    }

    /// As JSON, just as it came: a string or a number.
    pub fn id_json<'b>(&self, body: &'b [u8]) -> Option<&'b str> {
        part(body, self.id)
    }
}

fn part(body: &[u8], (start, end): (u32, u32)) -> Option<&str> {
    let bytes = body.get(start as usize..end as usize)?;
    std::str::from_utf8(bytes).ok().filter(|t| !t.is_empty())
}

fn text(json: &str) -> Option<Cow<'_, str>> {
    match Pull::new(json).scalar().ok()?? {
        Value::String(text) => Some(text.unescape()),
        Value::Number(number) => Some(Cow::Borrowed(number.as_str())),
        Value::Bool(_) | Value::Null | Value::Object | Value::Array => None,
    }
}

/// Splits the body and reads its action lines. Costs 44 bytes an item.
///
/// # Errors
/// When it cannot be said of every line what it is; nothing of the body may then be sent.
pub fn split_bulk(body: &[u8], max_items: usize) -> Result<Vec<BulkItem>, BulkSplitFault> {
    use BulkSplitFaultKind as Kind;
    let mut items = Vec::new();
    let mut line = 0;
    let mut start = 0;
    if u32::try_from(body.len()).is_err() {
        return Err(BulkSplitFault {
            line: 1,
            kind: Kind::TooLong,
        });
    }
    while start < body.len() {
        line += 1;
        let fault = |kind| BulkSplitFault { line, kind };
        let end = line_feed(body, start).ok_or(fault(Kind::NoFinalNewline))?;
        let text = without_cr(body, start, end);
        if text.iter().all(|b| matches!(b, b' ' | b'\t')) {
            start = end + 1;
            continue;
        }
        if items.len() >= max_items {
            return Err(fault(Kind::TooMany(max_items)));
        }
        let read = action::read(text).map_err(|f| fault(f.into()))?;
        let mut item = BulkItem {
            action: read.action,
            wants_source: read.wants_source,
            start: place(start),
            source: 0,
            end: place(start + text.len()),
            index: at(start, read.index),
            id: at(start, read.id),
            pipeline: at(start, read.pipeline),
        };
        item.source = item.end;
        start = end + 1;
        if read.action != Action::Delete {
            if start >= body.len() {
                return Err(fault(Kind::NoSource));
            }
            line += 1;
            let end = line_feed(body, start).ok_or(BulkSplitFault {
                line,
                kind: Kind::NoFinalNewline,
            })?;
            item.source = place(start);
            item.end = place(start + without_cr(body, start, end).len());
            start = end + 1;
        }
        items.push(item);
    }
    if items.is_empty() {
        return Err(BulkSplitFault {
            line: 1,
            kind: Kind::Empty,
        });
    }
    Ok(items)
}

/// The line from `start` to its LF at `end`, without a CR before that.
fn without_cr(body: &[u8], start: usize, end: usize) -> &[u8] {
    let line = body.get(start..end).unwrap_or_default();
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn at(line: usize, range: action::Range) -> (u32, u32) {
    (place(line + range.start), place(line + range.end))
}

/// Places fit: longer bodies are refused.
fn place(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
