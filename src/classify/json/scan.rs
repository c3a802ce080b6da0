use smallvec::SmallVec;

use super::{
    JsonFault, JsonFaultKind as Kind, KnownPart, RawNumber, RawString, Value, Watch, bytes,
    cursor::{fault, literal, number, skip_space, string, unexpected},
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
/// [`MAX_DEPTH`], a surrogate escape without its other half, a key that stands twice in one
/// object (compared after unescaping), and what [`Watch::compile_exact`] says. Numbers are not
/// evaluated. Iterative; allocates only for objects of more than 32 keys, keys written with
/// escapes, and more than 64 open keys. Linear in the length of the text whatever stands in it.
pub fn scan<'a>(body: &'a [u8], watch: &Watch, sink: &mut impl Sink<'a>) -> Result<(), JsonFault> {
    if u32::try_from(body.len()).is_err() {
        return Err(fault(0, Kind::TooLong));
    }
    if body.starts_with(b"\xef\xbb\xbf") {
        return Err(fault(0, Kind::ByteOrderMark));
    }
    // Most texts are ASCII, which is known sooner.
    if !bytes::is_ascii(body)
        && let Err(error) = std::str::from_utf8(body)
    {
        return Err(fault(error.valid_up_to(), Kind::Utf8));
    }
    // Not in the scanner: with their inline buffers these are too large to move about.
    let mut outer = SmallVec::new();
    let mut keys = OpenKeys::new(body);
    let mut scanner = Scanner {
        text: body,
        watch,
        sink,
        outer: &mut outer,
        keys: &mut keys,
    };
    scanner.run()
}

#[inline(never)]
fn long_key(text: &[u8], at: usize) -> Result<(Key, usize), JsonFault> {
    let (found, after) = string(text, at)?;
    Ok((Key::new(at, found), after))
}

/// [`scan`] for a record: the value must be an object.
pub fn scan_object<'a>(
    body: &'a [u8],
    watch: &Watch,
    sink: &mut impl Sink<'a>,
) -> Result<(), JsonFault> {
    scan(body, watch, sink)?;
    let start = skip_space(body, 0);
    if body.get(start) == Some(&b'{') {
        return Ok(());
    }
    Err(fault(start, Kind::NotAnObject))
}

struct Scanner<'a, 'w, 'k, S> {
    text: &'a [u8],
    watch: &'w Watch,
    sink: &'w mut S,
    /// What the containers around the present one stand in, outermost first.
    outer: &'k mut SmallVec<[Frame<'w>; 16]>,
    keys: &'k mut OpenKeys<'a>,
}

/// Where in the watched pointers a value stands.
#[derive(Clone, Copy)]
struct Spot<'w> {
    /// `None`: no pointer reaches here.
    state: Option<&'w State>,
    /// The nearest state above (or here) that is alive.
    known: StateId,
}

/// What a value stands in. Small, since one is put by for every container.
#[derive(Clone, Copy)]
struct Frame<'w> {
    spot: Spot<'w>,
    holds: Holds,
    /// Of an object.
    opened: Opened,
    /// Of an array: the index of the present element.
    index: u32,
}

#[derive(Clone, Copy)]
enum Holds {
    /// The one value of the text.
    Root,
    Members,
    Elements,
}

/// What stands at the present place.
enum Next {
    Value,
    /// A key of the innermost object.
    Member,
    /// What follows a value.
    After,
}

impl<'a, 'w, S: Sink<'a>> Scanner<'a, 'w, '_, S> {
    /// One loop, whose place in the text and innermost container are no fields but variables,
    /// which the compiler keeps in registers; so what it calls is made part of it.
    fn run(&mut self) -> Result<(), JsonFault> {
        let text = self.text;
        let mut at = skip_space(text, 0);
        if at >= text.len() {
            return Err(fault(at, Kind::Empty));
        }
        let mut spot = self.spot(self.watch.root(), DEAD);
        let mut inner = self.frame(spot, Holds::Root);
        let mut next = Next::Value;
        loop {
            match next {
                Next::Value => {
                    next = Next::After;
                    match text.get(at) {
                        Some(b'"') => {
                            let (found, after) = string(text, at)?;
                            at = after;
                            self.leaf(spot, Value::String(RawString::checked(found)));
                        }
                        Some(b'{') => {
                            at = self.open(spot, Value::Object, at)?;
                            if text.get(at) == Some(&b'}') {
                                at += 1;
                                self.empty(spot);
                            } else {
                                self.outer.push(inner);
                                inner = self.frame(spot, Holds::Members);
                                next = Next::Member;
                            }
                        }
                        Some(b'[') => {
                            at = self.open(spot, Value::Array, at)?;
                            if text.get(at) == Some(&b']') {
                                at += 1;
                                self.empty(spot);
                            } else {
                                self.outer.push(inner);
                                inner = self.frame(spot, Holds::Elements);
                                spot = self.element(spot, 0);
                                next = Next::Value;
                            }
                        }
                        Some(b'-' | b'0'..=b'9') => {
                            let start = at;
                            at = number(text, start)?;
                            let found = text.get(start..at).unwrap_or_default();
                            self.leaf(spot, Value::Number(RawNumber(found)));
                        }
                        Some(b't') => {
                            at = literal(text, at, b"true")?;
                            self.leaf(spot, Value::Bool(true));
                        }
                        Some(b'f') => {
                            at = literal(text, at, b"false")?;
                            self.leaf(spot, Value::Bool(false));
                        }
                        Some(b'n') => {
                            at = literal(text, at, b"null")?;
                            self.leaf(spot, Value::Null);
                        }
                        _ => return Err(unexpected(text, at)),
                    }
                }
                Next::Member => {
                    if text.get(at) != Some(&b'"') {
                        return Err(unexpected(text, at));
                    }
                    let (key, after) = match Key::short(text, at) {
                        Some(short) => short,
                        None => long_key(text, at)?,
                    };
                    if !self.keys.is_new(&mut inner.opened, key) {
                        return Err(fault(at, Kind::DuplicateKey));
                    }
                    at = skip_space(text, after);
                    if text.get(at) != Some(&b':') {
                        return Err(unexpected(text, at));
                    }
                    at = skip_space(text, at + 1);
                    spot = match inner.spot.state {
                        None => inner.spot,
                        Some(state) => {
                            let to = if !state.branches {
                                state.other
                            } else if key.escaped {
                                state.member(&key.meant(text), key.print)
                            } else {
                                state.plain_member(&key, text)
                            };
                            if to == state.other
                                && state.is_careful
                                && let Some(kind) = state.taken_for(&key, text)
                            {
                                return Err(fault(key.at(), kind));
                            }
                            self.spot(to, inner.spot.known)
                        }
                    };
                    next = Next::Value;
                }
                Next::After => {
                    at = skip_space(text, at);
                    match (inner.holds, text.get(at)) {
                        (Holds::Root, None) => return Ok(()),
                        (Holds::Root, Some(_)) => return Err(fault(at, Kind::SecondValue)),
                        (Holds::Members, Some(b',')) => {
                            at = skip_space(text, at + 1);
                            next = Next::Member;
                        }
                        (Holds::Elements, Some(b',')) => {
                            inner.index = inner.index.saturating_add(1);
                            spot = self.element(inner.spot, inner.index);
                            at = skip_space(text, at + 1);
                            next = Next::Value;
                        }
                        (Holds::Members, Some(b'}')) => {
                            self.keys.close(inner.opened);
                            inner = self.close(at)?;
                            at += 1;
                        }
                        (Holds::Elements, Some(b']')) => {
                            inner = self.close(at)?;
                            at += 1;
                        }
                        _ => return Err(unexpected(text, at)),
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn frame(&self, spot: Spot<'w>, holds: Holds) -> Frame<'w> {
        Frame {
            spot,
            holds,
            opened: self.keys.open(),
            index: 0,
        }
    }

    /// Begins the container that opens at `at`, and gives the place of what stands in it.
    #[inline(always)]
    fn open(&mut self, spot: Spot<'w>, value: Value<'a>, at: usize) -> Result<usize, JsonFault> {
        if self.outer.len() >= MAX_DEPTH {
            return Err(fault(at, Kind::TooDeep));
        }
        if let Some(state) = spot.state {
            for pointer in &state.matches {
                self.sink.value(*pointer, value);
            }
        }
        Ok(skip_space(self.text, at + 1))
    }

    /// What the container that ends at `at` stands in. There is always one: the root ends nowhere.
    #[inline(always)]
    fn close(&mut self, at: usize) -> Result<Frame<'w>, JsonFault> {
        match self.outer.pop() {
            Some(outer) => Ok(outer),
            None => Err(unexpected(self.text, at)),
        }
    }

    #[inline(always)]
    fn empty(&mut self, spot: Spot<'w>) {
        if spot.state.is_none() {
            self.sink.unknown(KnownPart(spot.known));
        }
    }

    #[inline(always)]
    fn leaf(&mut self, spot: Spot<'w>, value: Value<'a>) {
        let known = match spot.state {
            None => false,
            Some(state) => {
                for pointer in &state.matches {
                    self.sink.value(*pointer, value);
                }
                state.known || matches!(value, Value::Null)
            }
        };
        if !known {
            self.sink.unknown(KnownPart(spot.known));
        }
    }

    #[inline(always)]
    fn element(&self, parent: Spot<'w>, index: u32) -> Spot<'w> {
        match parent.state {
            None => parent,
            Some(state) => self.spot(state.element(index), parent.known),
        }
    }

    #[inline(always)]
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
