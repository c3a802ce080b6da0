use std::{ops::Range, rc::Rc};

use bytes::{BufMut, Bytes, BytesMut};

use super::body::PIECE;

/// Small items are gathered up to about this size: copying some KiB costs far less than sending
/// each item with its own part of a system call.
const GATHER: usize = 32 << 10;

/// Runs at least this long go out as slices of the caller's body, without a copy.
const LONG: usize = 8 << 10;

/// How items of a batch stand side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// A JSON array: `[`, items between commas, `]`.
    Array,
    /// One item a line, each ended by one line feed.
    Ndjson,
}

/// Some items of the caller's body as a body of their own: each item byte for byte, in order, in
/// the caller's framing. Holds 8 bytes per item beside the shared body; cloning is cheap.
#[derive(Clone)]
pub struct Slices {
    source: Bytes,
    spans: Rc<[Span]>,
    framing: Framing,
    length: u64,
}

/// Where an item stands in the body. Bodies of 4 GiB and more are refused before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// `None` for a range that is not inside a body of `len` bytes, or beyond 4 GiB.
    pub(super) fn new(range: Range<usize>, len: usize) -> Option<Self> {
        (range.start <= range.end && range.end <= len).then_some(())?;
        Some(Self {
            start: u32::try_from(range.start).ok()?,
            end: u32::try_from(range.end).ok()?,
        })
    }

    fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    pub(super) fn bytes(self, source: &[u8]) -> &[u8] {
        source.get(self.range()).unwrap_or_default()
    }
}

impl Slices {
    /// The spans must lie inside `source`.
    pub(super) fn new(source: Bytes, spans: Vec<Span>, framing: Framing) -> Self {
        let items: u64 = spans.iter().map(|s| u64::from(s.end - s.start)).sum();
        let count = spans.len() as u64;
        let around = match framing {
            Framing::Array => count.saturating_sub(1) + 2,
            Framing::Ndjson => count,
        };
        Self {
            source,
            spans: spans.into(),
            framing,
            length: items + around,
        }
    }

    /// Bytes of the whole body.
    pub fn length(&self) -> u64 {
        self.length
    }

    pub fn items(&self) -> usize {
        self.spans.len()
    }

    /// One item's bytes, sharing the caller's body.
    pub fn item(&self, position: usize) -> Option<Bytes> {
        let range = self.spans.get(position)?.range();
        (range.end <= self.source.len()).then(|| self.source.slice(range))
    }

    /// The body as pieces to send in order.
    pub fn chunks(&self) -> impl Iterator<Item = Bytes> + use<> {
        let mut cursor = self.clone().cursor();
        std::iter::from_fn(move || cursor.next_chunk())
    }

    pub(super) fn cursor(self) -> SlicesCursor {
        let prefix: &[u8] = match (self.framing, self.spans.is_empty()) {
            (Framing::Array, true) => b"[]",
            (Framing::Array, false) => b"[",
            (Framing::Ndjson, _) => b"",
        };
        SlicesCursor {
            left: self.length,
            slices: self,
            next: 0,
            prefix,
            piece: None,
        }
    }
}

/// A place in the body of [`Slices`].
pub(super) struct SlicesCursor {
    slices: Slices,
    /// The next item to send.
    next: usize,
    /// What goes out before the next item.
    prefix: &'static [u8],
    /// A long run, or the rest of one, that waits for the bytes before it to be sent.
    piece: Option<Bytes>,
    /// Bytes still to send.
    left: u64,
}

impl SlicesCursor {
    pub(super) fn slices(&self) -> Slices {
        self.slices.clone()
    }

    pub(super) fn left(&self) -> u64 {
        self.left
    }

    pub(super) fn is_done(&self) -> bool {
        self.left == 0
    }

    /// The next bytes, never empty; `None` at the end.
    pub(super) fn next_chunk(&mut self) -> Option<Bytes> {
        if self.left == 0 {
            return None;
        }
        let mut chunk = match self.piece.take() {
            Some(piece) => piece,
            None => self.gather(),
        };
        if chunk.len() > PIECE {
            self.piece = Some(chunk.split_off(PIECE));
        }
        self.left = self.left.saturating_sub(chunk.len() as u64);
        Some(chunk)
    }

    fn gather(&mut self) -> Bytes {
        let room = usize::try_from(self.left).unwrap_or(usize::MAX);
        let mut chunk = BytesMut::with_capacity(room.min(GATHER + LONG));
        chunk.put_slice(std::mem::take(&mut self.prefix));
        while chunk.len() < GATHER
            && let Some(run) = self.next_run()
        {
            let is_last = self.next >= self.slices.spans.len();
            let after: &[u8] = match (self.slices.framing, is_last) {
                (Framing::Ndjson, _) => b"\n",
                (Framing::Array, false) => b",",
                (Framing::Array, true) => b"]",
            };
            if run.len() >= LONG && run.end <= self.slices.source.len() {
                let piece = self.slices.source.slice(run);
                self.prefix = after;
                if chunk.is_empty() {
                    return piece;
                }
                self.piece = Some(piece);
                break;
            }
            chunk.put_slice(self.slices.source.get(run).unwrap_or_default());
            chunk.put_slice(after);
        }
        chunk.freeze()
    }

    /// The next item, together with those that already stand behind it exactly as they should.
    fn next_run(&mut self) -> Option<Range<usize>> {
        let separator = match self.slices.framing {
            Framing::Array => b',',
            Framing::Ndjson => b'\n',
        };
        let mut spans = self.slices.spans.get(self.next..)?.iter();
        let mut run = spans.next()?.range();
        self.next += 1;
        for span in spans {
            let adjoins = span.range().start == run.end + 1;
            if !adjoins || self.slices.source.get(run.end) != Some(&separator) {
                break;
            }
            run.end = span.range().end;
            self.next += 1;
        }
        Some(run)
    }
}
