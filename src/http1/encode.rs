//! What both ends write: field lines, lengths, chunks (RFC 9112 §5 to §7).

use std::io::Write as _;

use bytes::{BufMut, BytesMut};
use http::HeaderMap;

use crate::message::trailer;

/// A field line.
pub fn line(out: &mut BytesMut, name: &[u8], value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    out.put_slice(name);
    out.put_slice(b": ");
    out.put_slice(value);
    out.put_slice(b"\r\n");
}

/// `Content-Length`.
pub fn number(out: &mut BytesMut, length: u64) {
    const NAME: &[u8] = b"content-length: ";
    let mut digits = [0; 20];
    let digits = decimal(length, &mut digits);
    let mut text = [0; NAME.len() + 22];
    let mut rest = text.as_mut_slice();
    // One write is cheaper than four; there is room for all of it.
    for part in [NAME, digits, b"\r\n"] {
        let _ = rest.write_all(part);
    }
    let left = rest.len();
    out.put_slice(text.get(..text.len() - left).unwrap_or_default());
}

/// Written in decimal digits, at the end of `digits`.
pub fn decimal(mut number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut start = digits.len();
    for (at, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        start = at;
        if number == 0 {
            break;
        }
    }
    digits.get(start..).unwrap_or_default()
}

/// A chunk's size line.
pub fn chunk_size(out: &mut BytesMut, size: usize) {
    let digits = (usize::BITS - size.leading_zeros()).div_ceil(4).max(1);
    for at in (0..digits).rev() {
        let digit = (size >> (4 * at) & 0xf) as u8;
        out.put_u8(match digit {
            0..=9 => b'0' + digit,
            _ => b'a' + digit - 10,
        });
    }
    out.put_slice(b"\r\n");
}

/// The last chunk, with the trailer fields that may stand there.
pub fn last_chunk(out: &mut BytesMut, trailers: Option<&HeaderMap>) {
    out.put_slice(b"0\r\n");
    for (name, value) in trailers.into_iter().flatten() {
        if !trailer::is_forbidden(name) {
            line(out, name.as_str().as_bytes(), value.as_bytes());
        }
    }
    out.put_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_they_are_read() {
        for number in [0, 1, 9, 10, 255, 256, 65_536, u64::MAX] {
            let mut digits = [0; 20];
            let text = decimal(number, &mut digits);
            assert_eq!(std::str::from_utf8(text).unwrap().parse(), Ok(number));
            let size = number as usize;
            let mut out = BytesMut::new();
            chunk_size(&mut out, size);
            assert_eq!(out, format!("{size:x}\r\n").as_bytes());
        }
    }
}
