//! Frames (RFC 9113 §4 and §6), as far as they can be told sound one by one, and the field
//! sections in them.

use h2::Reason;

use super::hpack::{self, Decoder};

/// RFC 9113 §3.4.
const PREFACE: usize = 24;

const HEAD: usize = 9;

/// SETTINGS_MAX_FRAME_SIZE, which nothing here announces otherwise (RFC 9113 §6.5.2).
const LARGEST: usize = 1 << 14;

/// How much longer than the limit a field section may be before the connection ends, as h2 has it. Up
/// to that the stream alone ends, with an answer that says why.
const ABUSE: usize = 4;

/// What a field line counts for beyond its octets (RFC 9113 §6.5.2).
const OVERHEAD: usize = 32;

/// CONTINUATION frames of a field section, besides the last, for which h2 (0.4.20) ends the connection if
/// there are more, whatever they hold: as many as the limit needs if each is full, and a quarter more.
/// Found here, what is at work beside it is still answered.
const fn continuations(limit: usize) -> usize {
    let full = limit / LARGEST;
    let full = if full == 0 { 1 } else { full };
    let padded = full + full / 4;
    if padded < 5 { 5 } else { padded }
}

/// DATA frames in a row that hold and end nothing, and are left out: h2 (0.4.20) ends a connection for the
/// 101st, however long it has lasted. A flood of them it gets to see.
const VOID: usize = 16;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 0x1;
const ACK: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const WITH_PRIORITY: u8 = 0x20;

const ENABLE_PUSH: u16 = 2;
const INITIAL_WINDOW_SIZE: u16 = 4;

/// Who judges what the field sections of one side say.
pub trait Judge {
    /// Whose frames these are.
    const OF: Side;

    /// A field section of the stream begins.
    fn begin(&mut self, stream: u32) -> Result<(), Reason>;

    /// A field line of it. `false`: one for which h2 ends the connection.
    fn field(&mut self, name: &[u8], value: &[u8]) -> bool;

    /// It is whole, of this size as RFC 9113 §6.5.2 counts, and the last of its stream if `is_last`.
    fn end(&mut self, stream: u32, size: usize, is_last: bool) -> Result<(), Reason>;

    /// So many octets of content come on the stream.
    fn content(&mut self, _stream: u32, _length: usize) -> Result<(), Reason> {
        Ok(())
    }

    /// Nothing more comes on the stream.
    fn over(&mut self, _stream: u32) {}

    /// Whether content may come on the stream, so that DATA without any may be left out.
    fn may_have_content(&self, stream: u32) -> bool;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Of a client, which begins with a preface.
    Client,
    Server,
}

/// The connection is to end, with this error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    pub reason: Reason,
    /// Where the frame begins that is not to be read, from the beginning of the piece in which the
    /// fault was found; 0 of one that began before.
    pub at: usize,
}

/// Reads the frames of one direction of a connection, in pieces of any size.
pub struct Frames<J> {
    pub judge: J,
    fields: Decoder,
    /// The first frame came, which has to be of SETTINGS (RFC 9113 §3.4).
    begun: bool,
    /// The stream whose field section goes on in a CONTINUATION frame, and whether it ends that.
    open: Option<(u32, bool)>,
    /// What the other side began, and has to bring to its end in good time, came to it so often.
    ends: u64,
    /// Of the current field section, as RFC 9113 §6.5.2 counts.
    size: usize,
    most: usize,
    /// CONTINUATION frames of it that were not its last.
    continued: usize,
    most_continued: usize,
    /// DATA frames in a row that hold and end nothing.
    void: usize,
    /// Where such frames stand in the piece that was read last that may be left out.
    superfluous: Vec<usize>,
    part: Part,
}

#[derive(Clone, Copy, Debug)]
enum Part {
    /// These many octets of the preface are to come.
    Preface(usize),
    Head(Gathered<HEAD>),
    Payload(Head, Payload),
}

/// What is to come of a frame's payload.
#[derive(Clone, Copy, Debug)]
enum Payload {
    /// Of HEADERS and DATA, what stands before the fragment or the content.
    Prefix(Gathered<6>),
    /// Of a field section, and the padding after it.
    Fragment {
        left: usize,
        padding: usize,
    },
    /// Settings of six octets each.
    Settings(Gathered<6>, usize),
    Rest(usize),
}

/// Octets of which some have come.
#[derive(Clone, Copy, Debug)]
struct Gathered<const N: usize> {
    octets: [u8; N],
    count: usize,
    wanted: usize,
}

#[derive(Clone, Copy, Debug)]
struct Head {
    length: usize,
    kind: u8,
    flags: u8,
    stream: u32,
}

impl<J: Judge> Frames<J> {
    /// `limit`: the longest field section that is served.
    pub fn new(judge: J, limit: usize) -> Self {
        let most = limit.saturating_mul(ABUSE);
        Self {
            judge,
            fields: Decoder::new(most),
            begun: false,
            open: None,
            ends: 0,
            size: 0,
            most,
            continued: 0,
            most_continued: continuations(limit),
            void: 0,
            superfluous: Vec::new(),
            part: match J::OF {
                Side::Client => Part::Preface(PREFACE),
                Side::Server => Part::Head(Gathered::new(HEAD)),
            },
        }
    }

    /// Whether something has begun to come, and not its end, that is no content: the preface and the
    /// first SETTINGS, the head of a frame, a frame, a field section.
    pub fn is_amid(&self) -> bool {
        let is_amid_frame = match &self.part {
            Part::Preface(_) => true,
            Part::Head(head) => head.count > 0,
            Part::Payload(head, _) => head.kind != DATA,
        };
        is_amid_frame || self.open.is_some() || !self.begun
    }

    /// How often such a thing came to its end.
    pub fn ends(&self) -> u64 {
        self.ends
    }

    /// Reads the next piece. After a fault nothing may be read any more.
    pub fn read(&mut self, piece: &[u8]) -> Result<(), Fault> {
        let mut left = piece;
        let mut at = None;
        self.superfluous.clear();
        while !left.is_empty() {
            if matches!(&self.part, Part::Head(head) if head.count == 0) {
                at = Some(piece.len() - left.len());
            }
            let is_superfluous = self.step(&mut left).map_err(|reason| Fault {
                reason,
                at: at.unwrap_or_default(),
            })?;
            // Of one that began in the piece before, h2 has a part.
            self.superfluous.extend(at.filter(|_| is_superfluous));
        }
        Ok(())
    }

    /// Moves what is to be read of the piece that was read last to its beginning, and says how much that
    /// is: all but what may be left out. `piece` may end where a fault was found.
    pub fn keep(&self, piece: &mut [u8]) -> usize {
        let (mut kept, mut from) = (0, 0);
        for at in self.superfluous.iter().copied().chain([piece.len()]) {
            if from != kept {
                piece.copy_within(from..at, kept);
            }
            kept += at - from;
            from = at + HEAD;
        }
        kept
    }

    /// Whether a frame ended that may be left out.
    fn step(&mut self, left: &mut &[u8]) -> Result<bool, Reason> {
        match self.part {
            // Whether it is what it has to be, h2 sees to.
            Part::Preface(missing) => {
                let taken = take(left, missing).len();
                self.part = match missing - taken {
                    0 => Part::Head(Gathered::new(HEAD)),
                    missing => Part::Preface(missing),
                };
            }
            Part::Head(mut head) => match head.fill(left) {
                false => self.part = Part::Head(head),
                true => {
                    let head = Head::new(head.octets);
                    let payload = self.begin(&head)?;
                    self.go_on(head, payload)?;
                    return Ok(self.is_superfluous(&head));
                }
            },
            Part::Payload(head, payload) => {
                let payload = self.payload(&head, payload, left)?;
                self.go_on(head, payload)?;
            }
        }
        Ok(false)
    }

    fn is_superfluous(&mut self, head: &Head) -> bool {
        match (head.kind, head.length) {
            // With padding it takes of the windows.
            (DATA, 0) if !head.has(END_STREAM) => {
                self.void += 1;
                self.void <= VOID && self.judge.may_have_content(head.stream)
            }
            (DATA | HEADERS, 1..) => {
                self.void = 0;
                false
            }
            _ => false,
        }
    }

    /// Ends the frame, if all of it came.
    fn go_on(&mut self, head: Head, payload: Payload) -> Result<(), Reason> {
        if !payload.is_over() {
            self.part = Part::Payload(head, payload);
            return Ok(());
        }
        self.part = Part::Head(Gathered::new(HEAD));
        if self.open.is_none() || head.has(END_HEADERS) {
            self.ends = self.ends.wrapping_add(1);
        }
        match (head.kind, self.open) {
            (HEADERS | CONTINUATION, Some((stream, is_last))) if head.has(END_HEADERS) => {
                self.open = None;
                self.fields.end().map_err(unreadable)?;
                self.judge.end(stream, self.size, is_last)
            }
            (DATA, _) if head.has(END_STREAM) => {
                self.judge.over(head.stream);
                Ok(())
            }
            (RST_STREAM, _) => {
                self.judge.over(head.stream);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// What a frame's head alone tells.
    fn begin(&mut self, head: &Head) -> Result<Payload, Reason> {
        // RFC 9113 §4.2.
        if head.length > LARGEST {
            return Err(Reason::FRAME_SIZE_ERROR);
        }
        // RFC 9113 §6.10: nothing comes between the frames of a field section.
        let goes_on = head.kind == CONTINUATION;
        if self.open.map(|(stream, _)| stream) != goes_on.then_some(head.stream) {
            return Err(Reason::PROTOCOL_ERROR);
        }
        if !self.begun && (head.kind != SETTINGS || head.has(ACK)) {
            return Err(Reason::PROTOCOL_ERROR);
        }
        self.begun = true;
        let is_ones_own = match head.kind {
            DATA | HEADERS | PRIORITY | RST_STREAM => head.stream != 0,
            SETTINGS | PING | GOAWAY => head.stream == 0,
            _ => true,
        };
        // Nobody is given leave to push (RFC 9113 §8.4).
        if !is_ones_own || head.kind == PUSH_PROMISE {
            return Err(Reason::PROTOCOL_ERROR);
        }
        let prefix = head.prefix();
        let is_sized = match head.kind {
            DATA | HEADERS => head.length >= prefix,
            PRIORITY => head.length == 5,
            RST_STREAM | WINDOW_UPDATE => head.length == 4,
            SETTINGS if head.has(ACK) => head.length == 0,
            SETTINGS => head.length.is_multiple_of(6),
            PING => head.length == 8,
            GOAWAY => head.length >= 8,
            _ => true,
        };
        if !is_sized {
            return Err(Reason::FRAME_SIZE_ERROR);
        }
        Ok(match head.kind {
            HEADERS => {
                // RFC 9113 §5.1.1: streams are the client's to begin, and odd.
                if head.stream.is_multiple_of(2) {
                    return Err(Reason::PROTOCOL_ERROR);
                }
                self.open = Some((head.stream, head.has(END_STREAM)));
                self.size = 0;
                self.continued = 0;
                self.judge.begin(head.stream)?;
                match prefix {
                    0 => Payload::Fragment {
                        left: head.length,
                        padding: 0,
                    },
                    _ => Payload::Prefix(Gathered::new(prefix)),
                }
            }
            DATA if prefix > 0 => Payload::Prefix(Gathered::new(prefix)),
            DATA => {
                self.judge.content(head.stream, head.length)?;
                Payload::Rest(head.length)
            }
            CONTINUATION => {
                self.continued += usize::from(!head.has(END_HEADERS));
                if self.continued > self.most_continued {
                    let most = self.most_continued;
                    tracing::debug!(
                        most,
                        "a field section in more CONTINUATION frames than are read"
                    );
                    return Err(Reason::ENHANCE_YOUR_CALM);
                }
                Payload::Fragment {
                    left: head.length,
                    padding: 0,
                }
            }
            SETTINGS => Payload::Settings(Gathered::new(6), head.length),
            _ => Payload::Rest(head.length),
        })
    }

    fn payload(
        &mut self,
        head: &Head,
        payload: Payload,
        bytes: &mut &[u8],
    ) -> Result<Payload, Reason> {
        Ok(match payload {
            Payload::Prefix(mut prefix) => match prefix.fill(bytes) {
                true => match head.padded(&prefix.octets)? {
                    (left, padding) if head.kind == DATA => {
                        self.judge.content(head.stream, left)?;
                        Payload::Rest(left + padding)
                    }
                    (left, padding) => Payload::Fragment { left, padding },
                },
                false => Payload::Prefix(prefix),
            },
            Payload::Fragment { left: 0, padding } => {
                let taken = take(bytes, padding).len();
                let padding = padding - taken;
                Payload::Fragment { left: 0, padding }
            }
            Payload::Fragment { left, padding } => {
                let fragment = take(bytes, left);
                self.fragment(fragment)?;
                let left = left - fragment.len();
                Payload::Fragment { left, padding }
            }
            Payload::Settings(mut setting, left) => {
                let before = bytes.len();
                if setting.fill(bytes) {
                    check_setting(setting.octets, J::OF)?;
                    setting = Gathered::new(6);
                }
                Payload::Settings(setting, left - (before - bytes.len()))
            }
            Payload::Rest(left) => Payload::Rest(left - take(bytes, left).len()),
        })
    }

    fn fragment(&mut self, fragment: &[u8]) -> Result<(), Reason> {
        let (size, most, judge) = (&mut self.size, self.most, &mut self.judge);
        let mut each = |name: &[u8], value: &[u8]| {
            *size += name.len() + value.len() + OVERHEAD;
            // Few octets can name much of the table again and again.
            if *size > most {
                return Err(hpack::Fault::TooLong);
            }
            // Malformed at the least (RFC 9113 §8.2.1). h2 leaves the line out of its table.
            if name.is_empty() {
                return Err(hpack::Fault::Nameless);
            }
            match judge.field(name, value) {
                true => Ok(()),
                false => Err(hpack::Fault::Malformed),
            }
        };
        self.fields.read(fragment, &mut each).map_err(unreadable)
    }
}

/// RFC 9113 §4.3 and §10.5.1.
fn unreadable(fault: hpack::Fault) -> Reason {
    match fault {
        hpack::Fault::TooLong => Reason::ENHANCE_YOUR_CALM,
        hpack::Fault::Nameless | hpack::Fault::Malformed => Reason::PROTOCOL_ERROR,
        _ => Reason::COMPRESSION_ERROR,
    }
}

/// RFC 9113 §6.5.2, as far as h2 has another error for it, or none. A server may not ask for leave to
/// push.
fn check_setting([a, b, value @ ..]: [u8; 6], of: Side) -> Result<(), Reason> {
    match (u16::from_be_bytes([a, b]), u32::from_be_bytes(value)) {
        (INITIAL_WINDOW_SIZE, 0x8000_0000..) => Err(Reason::FLOW_CONTROL_ERROR),
        (ENABLE_PUSH, 1..) if of == Side::Server => Err(Reason::PROTOCOL_ERROR),
        _ => Ok(()),
    }
}

impl Head {
    fn new([a, b, c, kind, flags, stream @ ..]: [u8; HEAD]) -> Self {
        Self {
            length: u32::from_be_bytes([0, a, b, c]) as usize,
            kind,
            flags,
            // RFC 9113 §4.1: the reserved bit is ignored.
            stream: u32::from_be_bytes(stream) & (u32::MAX >> 1),
        }
    }

    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The octets that DATA and HEADERS have before their content.
    fn prefix(&self) -> usize {
        let padded = usize::from(self.has(PADDED));
        match self.kind {
            DATA => padded,
            HEADERS if self.has(WITH_PRIORITY) => padded + 5,
            HEADERS => padded,
            _ => 0,
        }
    }

    /// What follows the prefix, and the padding after that.
    fn padded(&self, prefix: &[u8; 6]) -> Result<(usize, usize), Reason> {
        let (padding, priority) = match (self.has(PADDED), prefix) {
            (true, [padding, priority @ ..]) => (usize::from(*padding), priority),
            (false, [priority @ .., _]) => (0, priority),
        };
        // h2 resets a stream that depends on itself, and leaves its fields unread: what comes after
        // would be read with the wrong table.
        let [a, b, c, d, _] = *priority;
        let parent = u32::from_be_bytes([a, b, c, d]) & (u32::MAX >> 1);
        let has_priority = self.kind == HEADERS && self.has(WITH_PRIORITY);
        if has_priority && parent == self.stream {
            return Err(Reason::PROTOCOL_ERROR);
        }
        // RFC 9113 §6.1 and §6.2.
        let rest = self.length - self.prefix();
        let left = rest.checked_sub(padding).ok_or(Reason::PROTOCOL_ERROR)?;
        Ok((left, padding))
    }
}

impl Payload {
    fn is_over(&self) -> bool {
        match self {
            Self::Prefix(_) => false,
            Self::Fragment { left, padding } => *left == 0 && *padding == 0,
            Self::Settings(_, left) | Self::Rest(left) => *left == 0,
        }
    }
}

impl<const N: usize> Gathered<N> {
    fn new(wanted: usize) -> Self {
        Self {
            octets: [0; N],
            count: 0,
            wanted,
        }
    }

    /// Takes what is missing; whether nothing is, then.
    fn fill(&mut self, bytes: &mut &[u8]) -> bool {
        let taken = take(bytes, self.wanted - self.count);
        let room = self.octets.iter_mut().skip(self.count);
        room.zip(taken).for_each(|(octet, taken)| *octet = *taken);
        self.count += taken.len();
        self.count == self.wanted
    }
}

/// The next octets, as many as there are of `most`.
fn take<'a>(bytes: &mut &'a [u8], most: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(most.min(bytes.len()));
    *bytes = rest;
    taken
}

#[cfg(test)]
mod tests;
