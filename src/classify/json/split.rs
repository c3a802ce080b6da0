//! A batch into its items, as places in the body: nothing is copied.
//!
//! Splitting looks only at structure (quotes, brackets, commas); each item is then scanned by
//! itself, so that one broken item does not take the others with it. That two readers might
//! split a broken item differently does no harm: it is never sent on.

use memchr::{memchr, memchr2};

use super::bytes;

/// Where an item stands in the body, without the white space around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    start: u32,
    end: u32,
}

/// The body cannot be split: one fault for the whole batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {offset}")]
pub struct SplitFault {
    pub offset: usize,
    pub kind: SplitFaultKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SplitFaultKind {
    #[error("not a JSON array")]
    NotAnArray,
    #[error("byte order mark (RFC 8259 §8.1)")]
    ByteOrderMark,
    #[error("array that does not end")]
    CutShort,
    #[error("closing bracket that fits no opening one")]
    Mismatch,
    #[error("comma without an element before or after it")]
    EmptyElement,
    #[error("text after the array")]
    SecondValue,
    #[error("more than {0} items")]
    TooMany(usize),
    #[error("text longer than 4 GiB")]
    TooLong,
}

impl Item {
    pub fn range(&self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }

    /// The item's bytes; `body` must be what was split.
    pub fn of<'a>(&self, body: &'a [u8]) -> &'a [u8] {
        body.get(self.range()).unwrap_or_default()
    }

    /// Itself, or the CR that stands in it.
    #[cold]
    fn one_line(self, body: &[u8]) -> Self {
        let found = memchr(b'\r', self.of(body));
        let at = found.and_then(|at| u32::try_from(at).ok());
        at.map_or(self, |at| Self {
            start: self.start + at,
            end: self.start + at + 1,
        })
    }

    fn trimmed(body: &[u8], start: usize, end: usize) -> Option<Self> {
        let text = body.get(start..end)?;
        let first = text.iter().position(|b| !is_space(*b))?;
        let last = text.iter().rposition(|b| !is_space(*b))?;
        Some(Self {
            start: u32::try_from(start + first).ok()?,
            end: u32::try_from(start + last + 1).ok()?,
        })
    }
}

/// Splits newline-delimited JSON. Lines end with LF; a CR before it is white space. Blank lines
/// are skipped and have no number; the last line may lack its LF.
///
/// A CR within a line is white space to JSON and the end of a line to many readers (Python's
/// `splitlines`, Java's `readLine`), which would find other records in it than we do. Such a line
/// is given as that CR alone, which is no record.
///
/// A body without items is an empty list.
pub fn split_ndjson(body: &[u8], max_items: usize) -> Result<Vec<Item>, SplitFault> {
    short_enough(body)?;
    let mut items = Vec::new();
    let mut start = 0;
    while let Some(rest) = body.get(start..).filter(|r| !r.is_empty()) {
        // One pass finds both: a CR is rare, or stands beside its LF.
        let (end, may_hold_cr) = match memchr2(b'\n', b'\r', rest) {
            None => (body.len(), false),
            Some(at) if rest.get(at) == Some(&b'\n') => (start + at + 1, false),
            Some(at) if rest.get(at + 1) == Some(&b'\n') => (start + at + 2, false),
            Some(at) => (
                line_feed(body, start + at).map_or(body.len(), |f| f + 1),
                true,
            ),
        };
        if let Some(mut item) = Item::trimmed(body, start, end) {
            if may_hold_cr {
                item = item.one_line(body);
            }
            push(&mut items, item, max_items, start)?;
        }
        start = end;
    }
    Ok(items)
}

/// The place of the next line feed at or after `from`.
pub fn line_feed(body: &[u8], from: usize) -> Option<usize> {
    let rest = body.get(from..)?;
    Some(from + memchr(b'\n', rest)?)
}

/// Splits a JSON array into its elements.
pub fn split_array(body: &[u8], max_items: usize) -> Result<Vec<Item>, SplitFault> {
    short_enough(body)?;
    let fault = |offset, kind| Err(SplitFault { offset, kind });
    if body.starts_with(b"\xef\xbb\xbf") {
        return fault(0, SplitFaultKind::ByteOrderMark);
    }
    let open = body.iter().position(|b| !is_space(*b));
    let Some(open) = open.filter(|at| body.get(*at) == Some(&b'[')) else {
        return fault(open.unwrap_or(0), SplitFaultKind::NotAnArray);
    };
    let mut items = Vec::new();
    let mut nesting = Nesting::default();
    let mut start = open + 1;
    let mut at = start;
    loop {
        let Some(byte) = body.get(at) else {
            return fault(body.len(), SplitFaultKind::CutShort);
        };
        match byte {
            b'"' => {
                let Some(end) = string_end(body, at + 1) else {
                    return fault(body.len(), SplitFaultKind::CutShort);
                };
                at = end;
            }
            b'[' | b'{' => nesting.open(*byte == b'{'),
            b',' if nesting.is_flat() => {
                let Some(item) = Item::trimmed(body, start, at) else {
                    return fault(at, SplitFaultKind::EmptyElement);
                };
                push(&mut items, item, max_items, start)?;
                start = at + 1;
            }
            b']' if nesting.is_flat() => {
                match Item::trimmed(body, start, at) {
                    Some(item) => push(&mut items, item, max_items, start)?,
                    None if items.is_empty() => {}
                    None => return fault(at, SplitFaultKind::EmptyElement),
                }
                break;
            }
            b']' | b'}' if !nesting.close(*byte == b'}') => {
                return fault(at, SplitFaultKind::Mismatch);
            }
            _ => {}
        }
        at += 1;
    }
    let after = body.get(at + 1..).unwrap_or_default();
    match after.iter().position(|b| !is_space(*b)) {
        None => Ok(items),
        Some(more) => fault(at + 1 + more, SplitFaultKind::SecondValue),
    }
}

fn short_enough(body: &[u8]) -> Result<(), SplitFault> {
    match u32::try_from(body.len()) {
        Ok(_) => Ok(()),
        Err(_) => Err(SplitFault {
            offset: 0,
            kind: SplitFaultKind::TooLong,
        }),
    }
}

fn push(items: &mut Vec<Item>, item: Item, max: usize, offset: usize) -> Result<(), SplitFault> {
    if items.len() >= max {
        return Err(SplitFault {
            offset,
            kind: SplitFaultKind::TooMany(max),
        });
    }
    items.push(item);
    Ok(())
}

/// The place of the quote that ends the string whose text starts at `from`.
fn string_end(body: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += bytes::special(body.get(at..)?);
        match body.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            // A control character, which the item's own scan will refuse.
            _ => at += 1,
        }
    }
}

fn is_space(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\n' | b'\r')
}

/// Which brackets are open, one bit each: a hostile body of brackets costs an eighth of its size.
#[derive(Default)]
struct Nesting {
    /// The innermost 64, the innermost lowest; 1 is an object.
    top: u64,
    depth: usize,
    deeper: Vec<u64>,
}

impl Nesting {
    fn is_flat(&self) -> bool {
        self.depth == 0
    }

    fn open(&mut self, object: bool) {
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.deeper.push(self.top);
            self.top = 0;
        }
        self.top = self.top << 1 | u64::from(object);
        self.depth += 1;
    }

    /// `false` if the innermost bracket is of the other kind, or none is open.
    fn close(&mut self, object: bool) -> bool {
        if self.depth == 0 || (self.top & 1 == 1) != object {
            return false;
        }
        self.top >>= 1;
        self.depth -= 1;
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.top = self.deeper.pop().unwrap_or(0);
        }
        true
    }
}
