//! A decoder of HPACK (RFC 7541) that reads field sections as they come, in pieces of any size.

use super::{huffman, table::Table};

/// The largest dynamic table: SETTINGS_HEADER_TABLE_SIZE as neither h2's server nor its client
/// announces it otherwise (RFC 9113 §6.5.2).
const TABLE: usize = 4096;

/// Octets of an integer after its first. Five of them would be more than 32 bits hold.
const CONTINUED: usize = 4;

/// Why a field section cannot be read on. The connection ends: what follows would be read with
/// another table than it was written with (RFC 9113 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An index without an entry.
    Index,
    /// An integer that is longer than any sensible one.
    Integer,
    Huffman,
    /// A dynamic table size update after a field line, or above the size that was announced.
    Resize,
    /// It ends within a field line.
    Cut,
    /// One field line is longer than any that would be served.
    TooLong,
    /// A field has no name.
    Nameless,
    /// Who is told of the lines does not want to hear more.
    Malformed,
}

/// Reads the field sections of one direction of a connection.
///
/// Memory: the dynamic table, and what came of a field line that is not whole, up to `longest`.
#[derive(Debug)]
pub struct Decoder {
    table: Table,
    /// Bytes of a field line that is not whole.
    rest: Vec<u8>,
    /// A field line came, after which the table's size stays (RFC 7541 §4.2).
    begun: bool,
    longest: usize,
}

/// One representation of a field (RFC 7541 §6), not yet looked up or decoded.
enum Line<'a> {
    Indexed(usize),
    Literal {
        name: Name<'a>,
        value: Text<'a>,
        is_kept: bool,
    },
    Resize(usize),
}

enum Name<'a> {
    Indexed(usize),
    New(Text<'a>),
}

struct Text<'a> {
    bytes: &'a [u8],
    is_coded: bool,
}

impl Decoder {
    /// `longest`: the bytes that one field line may take.
    pub fn new(longest: usize) -> Self {
        Self {
            table: Table::new(TABLE),
            rest: Vec::new(),
            begun: false,
            longest,
        }
    }

    /// Reads a piece of a section, and tells `each` of the name and value of each field line that is
    /// whole, in order, until it finds a fault with one.
    pub fn read(
        &mut self,
        piece: &[u8],
        each: &mut impl FnMut(&[u8], &[u8]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        if self.rest.is_empty() {
            let read = self.lines(piece, each)?;
            self.rest
                .extend_from_slice(piece.get(read..).unwrap_or_default());
        } else {
            let mut rest = std::mem::take(&mut self.rest);
            rest.extend_from_slice(piece);
            let read = self.lines(&rest, each)?;
            rest.drain(..read);
            self.rest = rest;
        }
        match self.rest.len() > self.longest {
            true => Err(Fault::TooLong),
            false => Ok(()),
        }
    }

    /// The section has come to its end.
    pub fn end(&mut self) -> Result<(), Fault> {
        self.begun = false;
        match self.rest.is_empty() {
            true => {
                // One that waits holds no buffer.
                self.rest = Vec::new();
                Ok(())
            }
            false => Err(Fault::Cut),
        }
    }

    /// The length of the whole lines that `bytes` begin with, after they were read.
    fn lines(
        &mut self,
        bytes: &[u8],
        each: &mut impl FnMut(&[u8], &[u8]) -> Result<(), Fault>,
    ) -> Result<usize, Fault> {
        let mut left = bytes;
        loop {
            let mut ahead = left;
            match line(&mut ahead)? {
                Some(_) if left.len() - ahead.len() > self.longest => return Err(Fault::TooLong),
                Some(line) => self.take(line, each)?,
                None => return Ok(bytes.len() - left.len()),
            }
            left = ahead;
        }
    }

    fn take(
        &mut self,
        line: Line<'_>,
        each: &mut impl FnMut(&[u8], &[u8]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        match line {
            Line::Resize(size) if self.begun || size > TABLE => return Err(Fault::Resize),
            Line::Resize(size) => {
                self.table.resize(size);
                return Ok(());
            }
            Line::Indexed(index) => {
                let (name, value) = self.table.get(index).ok_or(Fault::Index)?;
                each(name, value)?;
            }
            Line::Literal {
                name,
                value,
                is_kept,
            } => {
                let mut decoded = (Vec::new(), Vec::new());
                let value = value.read(&mut decoded.1)?;
                let name = match name {
                    Name::New(text) => text.read(&mut decoded.0)?,
                    Name::Indexed(index) => self.table.get(index).ok_or(Fault::Index)?.0,
                };
                each(name, value)?;
                if is_kept {
                    // The entry that lends its name may be the one that makes room (§4.4).
                    let name = name.to_vec();
                    self.table.insert(&name, value);
                }
            }
        }
        self.begun = true;
        Ok(())
    }
}

impl<'a> Text<'a> {
    fn read(self, room: &'a mut Vec<u8>) -> Result<&'a [u8], Fault> {
        if !self.is_coded {
            return Ok(self.bytes);
        }
        room.reserve(self.bytes.len() * 8 / 5);
        huffman::decode(self.bytes, room).map_err(|_| Fault::Huffman)?;
        Ok(room)
    }
}

/// Takes the field line that `bytes` begin with; `None` if not all of it is there.
fn line<'a>(bytes: &mut &'a [u8]) -> Result<Option<Line<'a>>, Fault> {
    let Some(first) = bytes.first() else {
        return Ok(None);
    };
    let (prefix, is_kept) = match first {
        0x80.. => return Ok(integer(bytes, 7)?.map(Line::Indexed)),
        0x40.. => (6, true),
        0x20.. => return Ok(integer(bytes, 5)?.map(Line::Resize)),
        _ => (4, false),
    };
    let Some(index) = integer(bytes, prefix)? else {
        return Ok(None);
    };
    let name = match index {
        0 => match text(bytes)? {
            Some(name) => Name::New(name),
            None => return Ok(None),
        },
        index => Name::Indexed(index),
    };
    Ok(text(bytes)?.map(|value| Line::Literal {
        name,
        value,
        is_kept,
    }))
}

/// RFC 7541 §5.2.
fn text<'a>(bytes: &mut &'a [u8]) -> Result<Option<Text<'a>>, Fault> {
    let is_coded = bytes.first().is_some_and(|b| b & 0x80 != 0);
    let Some(length) = integer(bytes, 7)? else {
        return Ok(None);
    };
    let Some((text, rest)) = bytes.split_at_checked(length) else {
        return Ok(None);
    };
    *bytes = rest;
    Ok(Some(Text {
        bytes: text,
        is_coded,
    }))
}

/// An integer whose first octet has `prefix` bits of it (RFC 7541 §5.1).
fn integer(bytes: &mut &[u8], prefix: u32) -> Result<Option<usize>, Fault> {
    let Some((first, mut rest)) = bytes.split_first() else {
        return Ok(None);
    };
    let most = (1u8 << prefix) - 1;
    let mut value = usize::from(first & most);
    if value == usize::from(most) {
        for at in 0.. {
            let Some((octet, after)) = rest.split_first() else {
                return Ok(None);
            };
            if at == CONTINUED {
                return Err(Fault::Integer);
            }
            rest = after;
            value += usize::from(octet & 0x7f) << (7 * at);
            if octet & 0x80 == 0 {
                break;
            }
        }
    }
    *bytes = rest;
    Ok(Some(value))
}

#[cfg(test)]
mod tests;
