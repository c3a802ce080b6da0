//! The lines of an export, of any length and number: no more of one is held than a record may have.

use std::io::{self, BufRead, ErrorKind};

/// What stands in one line, without its end.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'b> {
    Text(&'b [u8]),
    /// It has more bytes than a record may have; they were passed over.
    TooLong,
}

pub struct Lines<R> {
    from: R,
    limit: usize,
    held: Vec<u8>,
    /// Of the last line; from 1 on.
    pub number: u64,
}

/// Some programs begin a file with it; it is no part of the first record.
const MARK: &[u8] = b"\xef\xbb\xbf";

impl<R: BufRead> Lines<R> {
    /// `limit`: bytes that a record may have.
    pub fn new(from: R, limit: usize) -> Self {
        let held = Vec::new();
        Self {
            from,
            limit,
            held,
            number: 0,
        }
    }

    /// `None` at the end. A line ends with LF or CRLF, the last one with the input as well.
    ///
    /// # Errors
    /// What the input cannot be read for; [`Lines::number`] is that line's.
    pub fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.held.clear();
        self.number += 1;
        // Beside the record the mark, and CR.
        let room = self.limit.saturating_add(MARK.len() + 1);
        let (mut is_long, mut is_any) = (false, false);
        loop {
            let some = match self.from.fill_buf() {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                some => some?,
            };
            if some.is_empty() {
                break;
            }
            is_any = true;
            let end = memchr::memchr(b'\n', some);
            let part = some.get(..end.unwrap_or(some.len())).unwrap_or_default();
            is_long |= self.held.len() + part.len() > room;
            if !is_long {
                self.held.extend_from_slice(part);
            }
            let read = part.len() + usize::from(end.is_some());
            self.from.consume(read);
            if end.is_some() {
                break;
            }
        }
        if !is_any {
            return Ok(None);
        }
        let text = self.held.strip_suffix(b"\r").unwrap_or(&self.held);
        let text = match self.number {
            1 => text.strip_prefix(MARK).unwrap_or(text),
            _ => text,
        };
        Ok(Some(match is_long || text.len() > self.limit {
            true => Line::TooLong,
            false => Line::Text(text),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8], limit: usize, piece: usize) -> Vec<Option<Vec<u8>>> {
        let mut lines = Lines::new(io::BufReader::with_capacity(piece, text), limit);
        let mut all = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            all.push(match line {
                Line::Text(text) => Some(text.to_vec()),
                Line::TooLong => None,
            });
        }
        all
    }

    #[test]
    fn lines_end_as_they_do_however_the_input_comes() {
        let text = b"\xef\xbb\xbfone\r\n\ntwo\n\xef\xbb\xbfx\nlongest!\r\nlonger than that\nend";
        let told: [Option<&[u8]>; 7] = [
            Some(b"one"),
            Some(b""),
            Some(b"two"),
            Some(b"\xef\xbb\xbfx"),
            Some(b"longest!"),
            None,
            Some(b"end"),
        ];
        for piece in [1, 2, 3, 7, 4096] {
            let lines = read(text, 8, piece);
            let lines: Vec<Option<&[u8]>> = lines.iter().map(Option::as_deref).collect();
            assert_eq!(lines, told, "{piece}");
        }
        assert!(read(b"", 8, 16).is_empty());
        assert_eq!(read(b"\n", 8, 16), [Some(Vec::new())]);
    }

    #[test]
    fn of_a_long_line_no_more_is_held_than_a_record_may_have() {
        let text = vec![b'x'; 1 << 20];
        let mut lines = Lines::new(io::BufReader::with_capacity(512, &text[..]), 1000);
        assert_eq!(lines.next().unwrap(), Some(Line::TooLong));
        assert!(lines.held.capacity() < 4096, "{}", lines.held.capacity());
    }
}
