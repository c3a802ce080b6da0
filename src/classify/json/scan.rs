use smallvec::SmallVec;

use super::{
    JsonFault, JsonFaultKind as Kind, KnownPart, RawNumber, RawString, Value, Watch,
    cursor::Cursor,
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
/// objects of more than 32 keys, keys written with escapes, and more than 64 open keys. Linear
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
    // Run in place: with its inline buffers the scanner is too large to move about.
    let mut scanner = Scanner {
        cursor: Cursor::new(text),
        watch,
        sink,
        inner: Frame {
            spot: Spot {
                state: None,
                known: DEAD,
            },
            holds: Holds::Root,
        },
        outer: SmallVec::new(),
        keys: OpenKeys::new(),
    };
    scanner.run()
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
    cursor: Cursor<'a>,
    watch: &'w Watch,
    sink: &'w mut S,
    /// What the present value stands in, and what that stands in, outermost first.
    inner: Frame<'w>,
    outer: SmallVec<[Frame<'w>; 16]>,
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
    /// The one value of the text.
    Root,
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
    fn run(&mut self) -> Result<(), JsonFault> {
        self.cursor.skip_space();
        if self.cursor.peek().is_none() {
            return self.cursor.fault(Kind::Empty);
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
        self.cursor.skip_space();
        match self.cursor.peek() {
            None => Ok(()),
            Some(_) => self.cursor.fault(Kind::SecondValue),
        }
    }

    /// Reads a scalar or an empty container whole (`None`), or opens a container and says where
    /// its first value stands.
    fn value(&mut self, spot: Spot<'w>) -> Result<Option<Spot<'w>>, JsonFault> {
        let start = self.cursor.at;
        match self.cursor.peek() {
            Some(b'"') => {
                let (raw, escaped) = self.cursor.string()?;
                self.leaf(spot, Value::String(RawString::checked(raw, escaped)));
            }
            Some(b'{') => return self.open_object(spot),
            Some(b'[') => return self.open_array(spot),
            Some(b'-' | b'0'..=b'9') => {
                self.cursor.number()?;
                let raw = self.cursor.slice(start, self.cursor.at)?;
                self.leaf(spot, Value::Number(RawNumber(raw)));
            }
            Some(b't') => {
                self.cursor.literal(b"true")?;
                self.leaf(spot, Value::Bool(true));
            }
            Some(b'f') => {
                self.cursor.literal(b"false")?;
                self.leaf(spot, Value::Bool(false));
            }
            Some(b'n') => {
                self.cursor.literal(b"null")?;
                self.leaf(spot, Value::Null);
            }
            _ => return self.cursor.unexpected(),
        }
        Ok(None)
    }

    fn open_object(&mut self, spot: Spot<'w>) -> Result<Option<Spot<'w>>, JsonFault> {
        self.open(spot, Value::Object)?;
        if self.cursor.peek() == Some(b'}') {
            self.cursor.at += 1;
            self.empty(spot);
            return Ok(None);
        }
        let mut opened = self.keys.open();
        let first = self.member(spot, &mut opened)?;
        self.enter(spot, Holds::Members(opened));
        Ok(Some(first))
    }

    fn open_array(&mut self, spot: Spot<'w>) -> Result<Option<Spot<'w>>, JsonFault> {
        self.open(spot, Value::Array)?;
        if self.cursor.peek() == Some(b']') {
            self.cursor.at += 1;
            self.empty(spot);
            return Ok(None);
        }
        self.enter(spot, Holds::Elements(0));
        Ok(Some(self.element(spot, 0)))
    }

    fn open(&mut self, spot: Spot<'w>, value: Value<'a>) -> Result<(), JsonFault> {
        if self.outer.len() >= MAX_DEPTH {
            return self.cursor.fault(Kind::TooDeep);
        }
        self.cursor.at += 1;
        self.cursor.skip_space();
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

    fn enter(&mut self, spot: Spot<'w>, holds: Holds) {
        let outer = std::mem::replace(&mut self.inner, Frame { spot, holds });
        self.outer.push(outer);
    }

    /// Closes what ends here and finds the next value.
    fn after_value(&mut self) -> Result<Next<'w>, JsonFault> {
        loop {
            if let Holds::Root = self.inner.holds {
                return Ok(Next::End);
            }
            self.cursor.skip_space();
            let spot = self.inner.spot;
            match (&mut self.inner.holds, self.cursor.peek()) {
                (Holds::Members(opened), Some(b',')) => {
                    let mut opened = *opened;
                    self.cursor.at += 1;
                    self.cursor.skip_space();
                    let next = self.member(spot, &mut opened)?;
                    self.inner.holds = Holds::Members(opened);
                    return Ok(Next::Value(next));
                }
                (Holds::Elements(index), Some(b',')) => {
                    *index = index.saturating_add(1);
                    let index = *index;
                    self.cursor.at += 1;
                    self.cursor.skip_space();
                    return Ok(Next::Value(self.element(spot, index)));
                }
                (Holds::Members(opened), Some(b'}')) => self.keys.close(*opened),
                (Holds::Elements(_), Some(b']')) => {}
                _ => return self.cursor.unexpected(),
            }
            self.cursor.at += 1;
            match self.outer.pop() {
                Some(outer) => self.inner = outer,
                None => return Ok(Next::End),
            }
        }
    }

    /// Reads `"key" :` and the space after it.
    fn member(&mut self, parent: Spot<'w>, opened: &mut Opened) -> Result<Spot<'w>, JsonFault> {
        let start = self.cursor.at;
        if self.cursor.peek() != Some(b'"') {
            return self.cursor.unexpected();
        }
        let (raw, escaped) = self.cursor.string()?;
        let key = Key::new(raw, escaped);
        if !self.keys.is_new(opened, key) {
            return Err(JsonFault {
                offset: start,
                kind: Kind::DuplicateKey,
            });
        }
        self.cursor.skip_space();
        if self.cursor.peek() != Some(b':') {
            return self.cursor.unexpected();
        }
        self.cursor.at += 1;
        self.cursor.skip_space();
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
}
