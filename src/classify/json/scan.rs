use smallvec::SmallVec;

use super::{
    JsonFault, JsonFaultKind as Kind, KnownPart, RawNumber, RawString, Value, Watch,
    keys::{Key, OpenKeys, Opened},
    watch::{DEAD, State, StateId},
};

/// Arrays and objects that may be open at once.
pub const MAX_DEPTH: usize = 64;

/// Receives what a scan finds, in the order of the text.
///
/// What was received before a fault is void: act only on a scan that returned `Ok`.
pub trait Sink<'a> {
    /// A value under the pointer of this index.
    fn value(&mut self, pointer: u16, value: Value<'a>);
    /// A leaf (scalar, or empty object or array) that no pointer knows. A `null`, `{}` or `[]`
    /// on the way to a pointer is not one.
    fn unknown(&mut self, below: KnownPart);
}

/// Checks that `body` is exactly one JSON value, and reports what `watch` asks for.
///
/// Refused: anything outside RFC 8259, text that is not UTF-8, a byte order mark, nesting beyond
/// [`MAX_DEPTH`], a surrogate escape without its other half, and a key that stands twice in one
/// object (compared after unescaping). Numbers are not evaluated. Iterative; allocates only for
/// objects of more than 32 keys, keys written with escapes, and more than 48 open keys. Linear
/// in the length of the text whatever stands in it.
pub fn scan<'a>(body: &'a [u8], watch: &Watch, sink: &mut impl Sink<'a>) -> Result<(), JsonFault> {
    if u32::try_from(body.len()).is_err() {
        return Err(JsonFault {
            offset: 0,
            kind: Kind::TooLong,
        });
    }
    if body.starts_with(b"\xef\xbb\xbf") {
        return Err(JsonFault {
            offset: 0,
            kind: Kind::ByteOrderMark,
        });
    }
    let text = std::str::from_utf8(body).map_err(|e| JsonFault {
        offset: e.valid_up_to(),
        kind: Kind::Utf8,
    })?;
    Scanner {
        text,
        bytes: body,
        at: 0,
        watch,
        sink,
        frames: SmallVec::new(),
        keys: OpenKeys::new(),
    }
    .run()
}

/// [`scan`] for a record: the value must be an object.
pub fn scan_object<'a>(
    body: &'a [u8],
    watch: &Watch,
    sink: &mut impl Sink<'a>,
) -> Result<(), JsonFault> {
    scan(body, watch, sink)?;
    let is_space = |b: &u8| matches!(b, b' ' | b'\t' | b'\n' | b'\r');
    let start = body.iter().position(|b| !is_space(b)).unwrap_or(0);
    if body.get(start) == Some(&b'{') {
        return Ok(());
    }
    Err(JsonFault {
        offset: start,
        kind: Kind::NotAnObject,
    })
}

struct Scanner<'a, 'w, S> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    watch: &'w Watch,
    sink: &'w mut S,
    /// Arrays and objects around the present place, outermost first.
    frames: SmallVec<[Frame<'w>; 16]>,
    keys: OpenKeys<'a>,
}

/// Where in the watched pointers a value stands.
#[derive(Clone, Copy)]
struct Spot<'w> {
    /// `None`: no pointer reaches here.
    state: Option<&'w State>,
    /// The nearest state above (or here) that is alive.
    known: StateId,
}

#[derive(Clone, Copy)]
struct Frame<'w> {
    spot: Spot<'w>,
    holds: Holds,
}

#[derive(Clone, Copy)]
enum Holds {
    Members(Opened),
    /// The index of the present element.
    Elements(u32),
}

/// What comes after a value.
enum Next<'w> {
    Value(Spot<'w>),
    End,
}

impl<'a, 'w, S: Sink<'a>> Scanner<'a, 'w, S> {
    fn run(mut self) -> Result<(), JsonFault> {
        self.skip_space();
        if self.peek().is_none() {
            return self.fault(Kind::Empty);
        }
        let mut spot = self.spot(self.watch.root(), DEAD);
        loop {
            let next = match self.value(spot)? {
                Some(inside) => Next::Value(inside),
                None => self.after_value()?,
            };
            match next {
                Next::Value(next) => spot = next,
                Next::End => break,
            }
        }
        self.skip_space();
        match self.peek() {
            None => Ok(()),
            Some(_) => self.fault(Kind::SecondValue),
        }
    }

    /// Reads a scalar or an empty container whole (`None`), or opens a container and says where
    /// its first value stands.
    fn value(&mut self, spot: Spot<'w>) -> Result<Option<Spot<'w>>, JsonFault> {
        let start = self.at;
        match self.peek() {
            Some(b'"') => {
                let (raw, escaped) = self.string()?;
                self.leaf(spot, Value::String(RawString::checked(raw, escaped)));
            }
            Some(b'{') => return self.open_object(spot),
            Some(b'[') => return self.open_array(spot),
            Some(b'-' | b'0'..=b'9') => {
                self.number()?;
                let raw = self.slice(start, self.at)?;
                self.leaf(spot, Value::Number(RawNumber(raw)));
            }
            Some(b't') => {
                self.literal(b"true")?;
                self.leaf(spot, Value::Bool(true));
            }
            Some(b'f') => {
                self.literal(b"false")?;
                self.leaf(spot, Value::Bool(false));
            }
            Some(b'n') => {
                self.literal(b"null")?;
                self.leaf(spot, Value::Null);
            }
            _ => return self.unexpected(),
        }
        Ok(None)
    }

    fn open_object(&mut self, spot: Spot<'w>) -> Result<Option<Spot<'w>>, JsonFault> {
        self.open(spot, Value::Object)?;
        if self.peek() == Some(b'}') {
            self.at += 1;
            self.empty(spot);
            return Ok(None);
        }
        let mut opened = self.keys.open();
        let first = self.member(spot, &mut opened)?;
        self.frames.push(Frame {
            spot,
            holds: Holds::Members(opened),
        });
        Ok(Some(first))
    }

    fn open_array(&mut self, spot: Spot<'w>) -> Result<Option<Spot<'w>>, JsonFault> {
        self.open(spot, Value::Array)?;
        if self.peek() == Some(b']') {
            self.at += 1;
            self.empty(spot);
            return Ok(None);
        }
        self.frames.push(Frame {
            spot,
            holds: Holds::Elements(0),
        });
        Ok(Some(self.element(spot, 0)))
    }

    fn open(&mut self, spot: Spot<'w>, value: Value<'a>) -> Result<(), JsonFault> {
        if self.frames.len() >= MAX_DEPTH {
            return self.fault(Kind::TooDeep);
        }
        self.at += 1;
        self.skip_space();
        if let Some(state) = spot.state {
            for pointer in &state.matches {
                self.sink.value(*pointer, value);
            }
        }
        Ok(())
    }

    fn empty(&mut self, spot: Spot<'w>) {
        if spot.state.is_none() {
            self.sink.unknown(KnownPart(spot.known));
        }
    }

    fn leaf(&mut self, spot: Spot<'w>, value: Value<'a>) {
        let known = match spot.state {
            None => false,
            Some(state) => {
                for pointer in &state.matches {
                    self.sink.value(*pointer, value);
                }
                state.known || value == Value::Null
            }
        };
        if !known {
            self.sink.unknown(KnownPart(spot.known));
        }
    }

    /// Closes what ends here and finds the next value.
    fn after_value(&mut self) -> Result<Next<'w>, JsonFault> {
        loop {
            let Some(frame) = self.frames.last() else {
                return Ok(Next::End);
            };
            let frame = *frame;
            self.skip_space();
            match (frame.holds, self.peek()) {
                (Holds::Members(mut opened), Some(b',')) => {
                    self.at += 1;
                    self.skip_space();
                    let next = self.member(frame.spot, &mut opened)?;
                    self.hold(Holds::Members(opened));
                    return Ok(Next::Value(next));
                }
                (Holds::Elements(index), Some(b',')) => {
                    self.at += 1;
                    self.skip_space();
                    let index = index.saturating_add(1);
                    self.hold(Holds::Elements(index));
                    return Ok(Next::Value(self.element(frame.spot, index)));
                }
                (Holds::Members(opened), Some(b'}')) => {
                    self.at += 1;
                    self.keys.close(opened);
                    self.frames.pop();
                }
                (Holds::Elements(_), Some(b']')) => {
                    self.at += 1;
                    self.frames.pop();
                }
                _ => return self.unexpected(),
            }
        }
    }

    fn hold(&mut self, holds: Holds) {
        if let Some(frame) = self.frames.last_mut() {
            frame.holds = holds;
        }
    }

    /// Reads `"key" :` and the space after it.
    fn member(&mut self, parent: Spot<'w>, opened: &mut Opened) -> Result<Spot<'w>, JsonFault> {
        let start = self.at;
        if self.peek() != Some(b'"') {
            return self.unexpected();
        }
        let (raw, escaped) = self.string()?;
        let key = Key::new(raw, escaped);
        if !self.keys.is_new(opened, key) {
            return Err(JsonFault {
                offset: start,
                kind: Kind::DuplicateKey,
            });
        }
        self.skip_space();
        if self.peek() != Some(b':') {
            return self.unexpected();
        }
        self.at += 1;
        self.skip_space();
        Ok(match parent.state {
            None => parent,
            Some(state) if !state.branches => self.spot(state.other, parent.known),
            Some(state) if escaped => {
                self.spot(state.member(&key.meant(), key.print), parent.known)
            }
            Some(state) => self.spot(state.member(raw.as_bytes(), key.print), parent.known),
        })
    }

    fn element(&self, parent: Spot<'w>, index: u32) -> Spot<'w> {
        match parent.state {
            None => parent,
            Some(state) => self.spot(state.element(index), parent.known),
        }
    }

    fn spot(&self, id: StateId, above: StateId) -> Spot<'w> {
        if id == DEAD {
            return Spot {
                state: None,
                known: above,
            };
        }
        Spot {
            state: self.watch.state(id),
            known: id,
        }
    }

    /// Reads a string from its opening quote; returns what stands between the quotes and whether
    /// it holds an escape.
    #[inline]
    fn string(&mut self) -> Result<(&'a str, bool), JsonFault> {
        self.at += 1;
        let start = self.at;
        let mut escaped = false;
        loop {
            self.skip_plain();
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => return self.fault(Kind::ControlCharacter),
                None => return self.fault(Kind::CutShort),
            }
        }
        let raw = self.slice(start, self.at)?;
        self.at += 1;
        Ok((raw, escaped))
    }

    /// Moves to the next quote, backslash or control character, eight bytes at a step.
    #[inline]
    fn skip_plain(&mut self) {
        const ONES: u64 = 0x0101_0101_0101_0101;
        const TOPS: u64 = 0x8080_8080_8080_8080;
        // Marks, in the top bit of each byte, bytes below `limit` (at most 0x80). The lowest
        // mark is exact; marks above a true one may be false, which the first one hides.
        let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word & TOPS;
        while let Some(chunk) = self.rest().first_chunk::<8>() {
            let word = u64::from_le_bytes(*chunk);
            let special = below(word, 0x20)
                | below(word ^ (ONES * u64::from(b'"')), 1)
                | below(word ^ (ONES * u64::from(b'\\')), 1);
            if special != 0 {
                self.at += (special.trailing_zeros() >> 3) as usize;
                return;
            }
            self.at += 8;
        }
        let tail = self.rest();
        let plain = |b: &u8| *b >= 0x20 && *b != b'"' && *b != b'\\';
        self.at += tail.iter().position(|b| !plain(b)).unwrap_or(tail.len());
    }

    /// RFC 8259 §7, and both halves of a surrogate pair together.
    #[cold]
    fn escape(&mut self) -> Result<(), JsonFault> {
        let start = self.at;
        let fault = |kind| {
            Err(JsonFault {
                offset: start,
                kind,
            })
        };
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                self.at += 1;
                match self.code_unit()? {
                    0xD800..=0xDBFF => {
                        if !self.rest().starts_with(b"\\u") {
                            return fault(Kind::LoneSurrogate);
                        }
                        self.at += 2;
                        if !matches!(self.code_unit()?, 0xDC00..=0xDFFF) {
                            return fault(Kind::LoneSurrogate);
                        }
                    }
                    0xDC00..=0xDFFF => return fault(Kind::LoneSurrogate),
                    _ => {}
                }
            }
            Some(_) => return fault(Kind::Escape),
            None => return self.fault(Kind::CutShort),
        }
        Ok(())
    }

    fn code_unit(&mut self) -> Result<u16, JsonFault> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = match self.peek() {
                Some(b @ b'0'..=b'9') => b - b'0',
                Some(b @ b'a'..=b'f') => b - b'a' + 10,
                Some(b @ b'A'..=b'F') => b - b'A' + 10,
                Some(_) => return self.fault(Kind::Escape),
                None => return self.fault(Kind::CutShort),
            };
            unit = unit << 4 | u16::from(digit);
            self.at += 1;
        }
        Ok(unit)
    }

    /// RFC 8259 §6.
    fn number(&mut self) -> Result<(), JsonFault> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        match self.peek() {
            Some(b'0'..=b'9' | b'.' | b'-' | b'+') => self.fault(Kind::Number),
            _ => Ok(()),
        }
    }

    fn digits(&mut self) -> Result<(), JsonFault> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        match self.peek() {
            _ if self.at > start => Ok(()),
            None => self.fault(Kind::CutShort),
            Some(_) => self.fault(Kind::Number),
        }
    }

    fn literal(&mut self, word: &[u8]) -> Result<(), JsonFault> {
        if self.rest().starts_with(word) {
            self.at += word.len();
            return Ok(());
        }
        for expected in word {
            match self.peek() {
                Some(b) if b == *expected => self.at += 1,
                _ => break,
            }
        }
        self.unexpected()
    }

    #[inline]
    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Both ends lie beside ASCII bytes that the scanner has read, so the slice always exists.
    #[inline]
    fn slice(&self, start: usize, end: usize) -> Result<&'a str, JsonFault> {
        self.text.get(start..end).ok_or(JsonFault {
            offset: start,
            kind: Kind::Utf8,
        })
    }

    #[cold]
    fn unexpected<T>(&self) -> Result<T, JsonFault> {
        self.fault(match self.peek() {
            None => Kind::CutShort,
            Some(_) => Kind::Unexpected,
        })
    }

    #[cold]
    fn fault<T>(&self, kind: Kind) -> Result<T, JsonFault> {
        Err(JsonFault {
            offset: self.at,
            kind,
        })
    }
}
