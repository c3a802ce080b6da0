//! The head of an answer (RFC 9112 §4 to §6): found, parsed, and cleaned of what ends at this hop.

use bytes::{Buf, BytesMut};
use http::{StatusCode, Version};
use memchr::memchr;

use super::{MOST_HEAD, decode::Decoder};
use crate::message::{Earlier, Field, FieldSet, Fields, ResponseParts, Value, tokens};

/// Fields of one head.
pub(in crate::forward) const MOST_FIELDS: usize = 100;

/// What came is no head of an answer that can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoAnswer;

/// How far a head was looked through.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scan {
    /// Where the line begins that has not ended yet.
    line: usize,
    /// Up to where no line feed stands.
    seen: usize,
    lines: usize,
}

impl Scan {
    /// Looks on in `bytes`, which begin where those of the last look began. `Some` is the length
    /// of the whole head, its last empty line included.
    pub fn find_end(&mut self, bytes: &[u8]) -> Result<Option<usize>, NoAnswer> {
        let within = bytes.get(..MOST_HEAD).unwrap_or(bytes);
        loop {
            let Some(found) = memchr(b'\n', within.get(self.seen..).unwrap_or_default()) else {
                self.seen = within.len();
                let begun = within.get(..STATUS.len()).unwrap_or(within);
                return match STATUS.starts_with(begun) && within.len() < MOST_HEAD {
                    true => Ok(None),
                    false => Err(NoAnswer),
                };
            };
            let end = self.seen + found;
            let line = within.get(self.line..end).unwrap_or_default();
            let line = line.strip_suffix(b"\r").ok_or(NoAnswer)?;
            self.line = end + 1;
            self.seen = end + 1;
            if self.lines == 0 {
                status(line)?;
            } else if line.is_empty() {
                return Ok(Some(end + 1));
            } else if self.lines > MOST_FIELDS {
                return Err(NoAnswer);
            }
            self.lines += 1;
        }
    }
}

/// What an answer begins with.
const STATUS: &[u8] = b"HTTP/1.";

/// Version and status of `HTTP/1.1 200 OK`. That the space before a missing reason is missing
/// too, as some servers have it, can be read in one way only.
fn status(line: &[u8]) -> Result<(Version, StatusCode), NoAnswer> {
    let rest = line.strip_prefix(STATUS).ok_or(NoAnswer)?;
    let [minor @ (b'0' | b'1'), b' ', code @ ..] = rest else {
        return Err(NoAnswer);
    };
    let (code, reason) = code.split_at_checked(3).ok_or(NoAnswer)?;
    let reason = match reason {
        [] => reason,
        [b' ', reason @ ..] => reason,
        _ => return Err(NoAnswer),
    };
    if reason
        .iter()
        .any(|b| (*b < b' ' && *b != b'\t') || *b == 0x7f)
    {
        return Err(NoAnswer);
    }
    let version = match minor {
        b'0' => Version::HTTP_10,
        _ => Version::HTTP_11,
    };
    let status = StatusCode::from_bytes(code).ok();
    let status = status.filter(|status| is_status(*status));
    Ok((version, status.ok_or(NoAnswer)?))
}

/// RFC 9110 §15: there are five classes, and other numbers are invalid.
pub(in crate::forward) fn is_status(status: StatusCode) -> bool {
    status.as_u16() < 600
}

pub enum Head {
    /// 1xx.
    Interim,
    Final {
        /// Without the fields that end at this hop.
        told: Box<ResponseParts>,
        decoder: Decoder,
        keeps_alive: bool,
        /// Trailer fields that end at this hop, too.
        nominated: Vec<String>,
    },
}

/// Fields that end at this hop (RFC 9110 §7.6.1).
const OF_THE_HOP: FieldSet = FieldSet::of(&[
    Field::Connection,
    Field::TransferEncoding,
    Field::Upgrade,
    Field::Te,
    Field::KeepAlive,
    Field::ProxyConnection,
]);

/// Takes the next head out of `bytes` once it has come as a whole; `scan` is of what has come
/// before, and begins anew with each head; `earlier` is of the connection.
///
/// # Errors
/// For whatever has no one meaning: 101, which nobody asked for; a status that is none; both `Transfer-Encoding` and
/// `Content-Length`, or either twice; another coding than `chunked`; a length that is not digits.
pub fn take(
    scan: &mut Scan,
    earlier: &mut Earlier,
    bytes: &mut BytesMut,
    to_head: bool,
) -> Result<Option<Head>, NoAnswer> {
    // Most heads come in one piece and are sound. Of all others the scan tells the same, however
    // they were cut.
    if scan.seen == 0
        && let Some((head, length)) = take_at_once(earlier, bytes, to_head)
    {
        bytes.advance(length);
        return Ok(Some(head));
    }
    let Some(length) = scan.find_end(bytes)? else {
        return Ok(None);
    };
    let head = parse(bytes.get(..length).unwrap_or_default(), to_head)?;
    bytes.advance(length);
    *scan = Scan::default();
    Ok(Some(head))
}

fn take_at_once(earlier: &mut Earlier, bytes: &[u8], to_head: bool) -> Option<(Head, usize)> {
    let bytes = bytes.get(..MOST_HEAD).unwrap_or(bytes);
    let (line, lines) = split(bytes).ok()?;
    let (fields, length, _) = earlier.read(lines)?;
    let is_within = fields.len() <= MOST_FIELDS;
    let head = Head::of(line, fields, to_head).ok().filter(|_| is_within)?;
    Some((head, bytes.len() - lines.len() + length))
}

/// Parses a whole head.
fn parse(head: &[u8], to_head: bool) -> Result<Head, NoAnswer> {
    let (line, lines) = split(head)?;
    let fields = Fields::parse(lines).map_err(|_| NoAnswer)?;
    Head::of(line, fields, to_head)
}

/// The first line, and what follows it.
fn split(head: &[u8]) -> Result<((Version, StatusCode), &[u8]), NoAnswer> {
    let end = memchr(b'\n', head).ok_or(NoAnswer)?;
    let line = head.get(..end).unwrap_or_default();
    let line = status(line.strip_suffix(b"\r").ok_or(NoAnswer)?)?;
    Ok((line, head.get(end + 1..).unwrap_or_default()))
}

impl Head {
    /// What status and fields say together.
    fn of(
        (version, status): (Version, StatusCode),
        mut fields: Fields,
        to_head: bool,
    ) -> Result<Self, NoAnswer> {
        let framing = Framing::of(&fields)?;
        if status.is_informational() {
            return match status {
                StatusCode::SWITCHING_PROTOCOLS => Err(NoAnswer),
                _ => Ok(Self::Interim),
            };
        }
        let decoder = framing.decoder(version, status, to_head)?;
        let keeps_alive = framing.keeps_alive(version) && !decoder.ends_with_connection();
        if fields.may_have(OF_THE_HOP) {
            fields.retain(|field, name| {
                !OF_THE_HOP.contains(field) && !framing.named.iter().any(|named| named == name)
            });
        }
        if status == StatusCode::NO_CONTENT {
            // RFC 9110 §8.6 forbids it there, and a reader might wait for such a body.
            fields.remove(Field::ContentLength);
        }
        let told = Box::new(ResponseParts::new(status, fields).of_version(version));
        Ok(Self::Final {
            told,
            decoder,
            keeps_alive,
            nominated: framing.named,
        })
    }
}

/// What the fields say of the body's end and of the connection.
#[derive(Default)]
struct Framing {
    length: Option<u64>,
    chunked: bool,
    closes: bool,
    keeps: bool,
    /// Other fields that `Connection` names.
    named: Vec<String>,
}

impl Framing {
    fn of(fields: &Fields) -> Result<Self, NoAnswer> {
        let mut framing = Self::default();
        if let Some(length) = fields.only(Field::ContentLength).map_err(|_| NoAnswer)? {
            framing.length = Some(digits(length.as_bytes()).ok_or(NoAnswer)?);
        }
        if let Some(coding) = fields.only(Field::TransferEncoding).map_err(|_| NoAnswer)? {
            framing.chunked = coding.as_bytes().eq_ignore_ascii_case(b"chunked");
            if !framing.chunked {
                return Err(NoAnswer);
            }
        }
        let options = fields.get_all(Field::Connection).map(Value::as_bytes);
        for value in options {
            framing.options(value)?;
        }
        Ok(framing)
    }

    fn options(&mut self, value: &[u8]) -> Result<(), NoAnswer> {
        for option in tokens(value) {
            let option = option.ok_or(NoAnswer)?;
            if option.eq_ignore_ascii_case(b"close") {
                self.closes = true;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                self.keeps = true;
            } else if !option.eq_ignore_ascii_case(b"content-length") {
                // Framing is not the peer's to take away.
                let name = String::from_utf8_lossy(option);
                self.named.push(name.to_ascii_lowercase());
            }
        }
        Ok(())
    }

    fn keeps_alive(&self, version: Version) -> bool {
        !self.closes && (self.keeps || version == Version::HTTP_11)
    }

    /// RFC 9112 §6.3, with the leniencies left out.
    fn decoder(
        &self,
        version: Version,
        status: StatusCode,
        to_head: bool,
    ) -> Result<Decoder, NoAnswer> {
        if self.chunked && (self.length.is_some() || version == Version::HTTP_10) {
            return Err(NoAnswer);
        }
        let has_none =
            to_head || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
        Ok(match self.length {
            _ if has_none => Decoder::Done,
            _ if self.chunked => Decoder::chunked(),
            Some(0) => Decoder::Done,
            Some(length) => Decoder::Length(length),
            None => Decoder::UntilClose,
        })
    }
}

/// `1*DIGIT` that fits (RFC 9110 §8.6).
pub(in crate::forward) fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 19 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let add = |n: u64, digit: &u8| n.checked_mul(10)?.checked_add(u64::from(digit - b'0'));
    text.iter().try_fold(0, add)
}
