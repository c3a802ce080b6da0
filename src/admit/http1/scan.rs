//! Finding a head's end without reading it twice, however slowly it comes.
//!
//! What is found depends on the bytes alone, never on how they were cut into reads: faults are
//! looked for line by line, and those of the request line as soon as it can have them.

use bytes::BytesMut;
use memchr::memchr;

use super::{fault::HeadFault, line};

/// Fields of one head.
pub const MAX_FIELDS: usize = 100;

/// How far a head was looked through.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scan {
    /// Where the head begins: after an empty line that still stands before it.
    head: usize,
    /// Where the line begins that has not ended yet.
    line: usize,
    /// Up to where no line feed stands.
    seen: usize,
    /// Lines that have ended, the empty one before the request aside.
    lines: usize,
    /// An empty line stood before the request (RFC 9112 §2.2 asks to allow for one).
    blank: bool,
}

impl Scan {
    /// Whether nothing was looked at yet.
    pub fn is_fresh(&self) -> bool {
        self.seen == 0
    }

    /// Looks on in `bytes`, which begin where those of the last look began. `Some` is the length
    /// of the whole head, its last empty line included.
    ///
    /// # Errors
    /// What the lines are found to be wrong in. `limit` is the most bytes that a head may have; an
    /// empty line before it, which may have been taken away, counts for nothing.
    pub fn find_end(&mut self, bytes: &[u8], limit: usize) -> Result<Option<usize>, HeadFault> {
        loop {
            let most = limit.saturating_add(self.head);
            let within = bytes.get(..most).unwrap_or(bytes);
            let Some(found) = memchr(b'\n', within.get(self.seen..).unwrap_or_default()) else {
                self.seen = within.len();
                return self.unended(within, most);
            };
            let end = self.seen + found;
            let line = within.get(self.line..end).unwrap_or_default();
            if self.lines == 0 {
                // First, as it is of a line that comes in pieces.
                line::check_begun(line)?;
            }
            let Some(line) = line.strip_suffix(b"\r") else {
                return Err(HeadFault::BareLineFeed);
            };
            self.line = end + 1;
            self.seen = end + 1;
            if self.lines > 0 {
                if line.is_empty() {
                    return Ok(Some(end + 1));
                }
                if self.lines > MAX_FIELDS {
                    return Err(HeadFault::TooMany);
                }
            } else if line.is_empty() {
                if self.blank {
                    return Err(HeadFault::EmptyLines);
                }
                self.blank = true;
                self.head = self.line;
                continue;
            } else {
                line::check(line)?;
            }
            self.lines += 1;
        }
    }

    fn unended(&self, within: &[u8], limit: usize) -> Result<Option<usize>, HeadFault> {
        let line = within.get(self.line..).unwrap_or_default();
        if self.lines == 0 {
            line::check_begun(line)?;
        }
        if within.len() < limit {
            return Ok(None);
        }
        Err(if self.lines == 0 {
            HeadFault::LongTarget
        } else {
            HeadFault::TooLarge
        })
    }

    /// Whether nothing of a request has come yet but an empty line before it.
    pub fn is_blank(&self, bytes: &[u8]) -> bool {
        self.lines == 0 && bytes.len() <= self.line
    }

    /// Takes the empty line away, so that a connection which waits holds no bytes.
    pub fn take_blank(&mut self, bytes: &mut BytesMut) {
        bytes.clear();
        self.head = 0;
        self.line = 0;
        self.seen = 0;
    }
}
