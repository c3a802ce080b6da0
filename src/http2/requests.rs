//! The field sections of requests (RFC 9113 §8.1 and §8.3.1), and whether h2 made the same of them.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    hash::BuildHasher,
    rc::Rc,
};

use foldhash::fast::RandomState;
use h2::Reason;
use http::{HeaderMap, Method, Uri};
use tokio::time::Instant;

use super::{
    field::{Order, is_malformed, is_readable},
    frames::{Judge, Side},
    target::{is_authority, is_path, is_scheme},
};

/// Heads of requests, and trailers, that h2 has not asked for. It has so many streams at one time,
/// and bears so many faults of others, that no sound caller comes near.
const MOST: usize = 2048;

/// What one connection's requests were seen to say, until h2 hands them over.
#[derive(Default)]
pub struct Seen {
    /// In the order of their streams, in which h2 hands them over.
    heads: RefCell<VecDeque<(u32, Head)>>,
    trailers: RefCell<VecDeque<(u32, Trailers)>>,
    fault: Cell<Option<Reason>>,
    /// Streams whose end has not come yet, the oldest first.
    unended: RefCell<VecDeque<u32>>,
    /// Of this one and older ones it is forgotten whether it has.
    forgotten: Cell<u32>,
    undocumented: Cell<Undocumented>,
    progress: Progress,
    random: RandomState,
}

/// How many requests ended without a problem document, and why. h2 tells nobody of those that it resets
/// by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Undocumented {
    /// The stream was reset, or the connection ended, since they were not sound HTTP/2.
    pub malformed: u32,
    /// Beyond a limit: h2 answers 431, or the connection ended.
    pub too_large: u32,
    /// The connection ended before the rest of a head came.
    pub too_slow: u32,
}

/// How the bytes come and go.
#[derive(Default)]
pub(super) struct Progress {
    /// Since when something that is no content is on its way.
    pub amid: Cell<Option<Instant>>,
    /// All that came is read, and more is waited for.
    pub reads: Cell<bool>,
    /// The caller takes no more at present.
    pub writes: Cell<bool>,
}

/// Of the head of a request, what h2 does not tell, and what to know it by.
#[derive(Clone, Copy, Debug)]
struct Head {
    scheme: Scheme,
    has_fragment: bool,
    is_malformed: bool,
    digest: u64,
}

#[derive(Clone, Copy, Debug)]
struct Trailers {
    is_malformed: bool,
    digest: u64,
}

/// The `:scheme` of a request (RFC 9113 §8.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
    Other,
    /// Only CONNECT may go without.
    #[default]
    None,
}

/// Why what h2 handed over may not be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unseen {
    /// It was not seen so: one of the two readers is wrong, and the connection has to end.
    Otherwise,
    /// h2 left out what makes it malformed (RFC 9113 §8.1.1).
    Malformed,
    /// h2 left out that its target has a fragment.
    Fragment,
}

impl Seen {
    /// Why the connection has to end, if it has.
    pub fn fault(&self) -> Option<Reason> {
        self.fault.get()
    }

    pub fn found(&self, fault: Reason) {
        self.fault.set(Some(fault));
    }

    /// The rest of a head did not come in time.
    pub fn found_late(&self) {
        self.count(|c| c.too_slow += 1);
        self.found(Reason::ENHANCE_YOUR_CALM);
    }

    /// What ended without a document since this was asked last.
    pub fn undocumented(&self) -> Undocumented {
        self.undocumented.take()
    }

    /// The frames tell of a fault, for which the connection is to end.
    pub(super) fn unsound(&self, fault: Reason) {
        self.count(|c| match fault {
            Reason::ENHANCE_YOUR_CALM => c.too_large += 1,
            _ => c.malformed += 1,
        });
    }

    fn count(&self, one: impl Fn(&mut Undocumented)) {
        let mut counts = self.undocumented.get();
        one(&mut counts);
        self.undocumented.set(counts);
    }

    pub(super) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Since when the rest of a head is waited for: of a field section, a frame other than of DATA, the
    /// preface.
    pub fn waits_since(&self) -> Option<Instant> {
        let Progress { amid, reads, .. } = &self.progress;
        amid.get().filter(|_| reads.get())
    }

    /// Whether something is still to be written that the caller does not take at present.
    pub fn writes(&self) -> bool {
        self.progress.writes.get()
    }

    /// Whether the stream's request is not whole.
    pub fn is_unended(&self, stream: u32) -> bool {
        self.unended.borrow().binary_search(&stream).is_ok()
    }

    fn begun(&self, stream: u32) {
        let mut unended = self.unended.borrow_mut();
        if unended.len() >= MOST
            && let Some(oldest) = unended.pop_front()
        {
            self.forgotten.set(oldest);
        }
        unended.push_back(stream);
    }

    fn ended(&self, stream: u32) {
        let mut unended = self.unended.borrow_mut();
        if let Ok(at) = unended.binary_search(&stream) {
            unended.remove(at);
        }
    }

    /// The scheme of a request that h2 hands over.
    ///
    /// # Errors
    /// [`Unseen`]: of another request than was seen on this stream, `Otherwise`.
    pub fn head(
        &self,
        stream: u32,
        method: &Method,
        uri: &Uri,
        fields: &HeaderMap,
    ) -> Result<Scheme, Unseen> {
        let mut heads = self.heads.borrow_mut();
        // Those before were never handed over: malformed, refused, reset, or too long.
        while heads.front().is_some_and(|(s, _)| *s < stream) {
            heads.pop_front();
        }
        let head = heads.pop_front_if(|(s, _)| *s == stream);
        let (_, head) = head.ok_or_else(|| self.disagreed())?;
        if head.is_malformed {
            return Err(Unseen::Malformed);
        }
        if head.has_fragment {
            return Err(Unseen::Fragment);
        }
        let authority = uri.authority().map(|a| (":authority", a.as_str()));
        let path = uri.path_and_query().map(|p| (":path", p.as_str()));
        let pseudo = [Some((":method", method.as_str())), authority, path];
        let pseudo = pseudo.into_iter().flatten();
        let digest = pseudo.fold(self.digest(fields), |digest, (name, value)| {
            digest.wrapping_add(self.line(name.as_bytes(), value.as_bytes()))
        });
        match digest == head.digest {
            true => Ok(head.scheme),
            false => Err(self.disagreed()),
        }
    }

    /// Whether the trailers that h2 hands over may be taken.
    ///
    /// # Errors
    /// [`Unseen`]: of trailers with pseudo-fields, `Malformed`; of others than were seen, `Otherwise`.
    pub fn trailers(&self, stream: u32, fields: &HeaderMap) -> Result<(), Unseen> {
        let mut all = self.trailers.borrow_mut();
        let at = all.iter().position(|(s, _)| *s == stream);
        let found = at.and_then(|at| all.remove(at));
        match found {
            Some((_, seen)) if seen.is_malformed => Err(Unseen::Malformed),
            Some((_, seen)) if seen.digest == self.digest(fields) => Ok(()),
            _ => Err(self.disagreed()),
        }
    }

    /// Nobody will ask for the stream's trailers.
    pub fn forget(&self, stream: u32) {
        self.trailers.borrow_mut().retain(|(s, _)| *s != stream);
    }

    fn disagreed(&self) -> Unseen {
        self.found(Reason::INTERNAL_ERROR);
        Unseen::Otherwise
    }

    /// Of lines in whatever order: h2 keeps only that of lines with one name.
    fn digest(&self, fields: &HeaderMap) -> u64 {
        let line = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            self.line(name.as_str().as_bytes(), value.as_bytes())
        };
        fields.iter().map(line).fold(0, u64::wrapping_add)
    }

    fn line(&self, name: &[u8], value: &[u8]) -> u64 {
        self.random.hash_one((name, value))
    }
}

/// Judges the field sections that a caller sends.
pub struct Requests {
    seen: Rc<Seen>,
    /// The newest stream: what comes on an older one is trailers, or nothing that h2 takes.
    newest: u32,
    /// The longest field section that is served.
    limit: usize,
    section: Section,
}

/// What is known of a section so far.
#[derive(Default)]
struct Section {
    is_head: bool,
    order: Order,
    /// One bit for each pseudo-field that came.
    pseudo: u8,
    is_connect: bool,
    has_fragment: bool,
    is_malformed: bool,
    scheme: Scheme,
    length: Option<u64>,
    digest: u64,
}

impl Requests {
    pub fn new(seen: Rc<Seen>, limit: usize) -> Self {
        Self {
            seen,
            newest: 0,
            limit,
            section: Section::default(),
        }
    }

    /// Whether the stream's end has come (RFC 9113 §5.1), so that h2 would end the connection, and what
    /// is at work with it. Of those that this side has ended it has not.
    fn is_over(&self, stream: u32) -> bool {
        let is_known = stream <= self.newest && stream > self.seen.forgotten.get();
        is_known && !self.seen.is_unended(stream)
    }
}

impl Judge for Requests {
    const OF: Side = Side::Client;

    fn begin(&mut self, stream: u32) -> Result<(), Reason> {
        if self.is_over(stream) {
            // RFC 9113 §5.1; §5.1.1 of one that may never have begun.
            return Err(match stream == self.newest {
                true => Reason::STREAM_CLOSED,
                false => Reason::PROTOCOL_ERROR,
            });
        }
        self.section = Section {
            is_head: stream > self.newest,
            ..Section::default()
        };
        self.newest = self.newest.max(stream);
        Ok(())
    }

    fn field(&mut self, name: &[u8], value: &[u8]) -> bool {
        if !is_readable(name, value) {
            return false;
        }
        let section = &mut self.section;
        section.is_malformed |= section.order.is_broken_by(name) || is_malformed(name, value);
        match name {
            [b':', ..] => section.pseudo_field(name, value),
            b"content-length" => section.announce(value),
            _ => {}
        }
        // h2 keeps it only beside an authority.
        if name != b":scheme" {
            let line = self.seen.line(name, value);
            section.digest = section.digest.wrapping_add(line);
        }
        true
    }

    fn end(&mut self, stream: u32, size: usize, is_last: bool) -> Result<(), Reason> {
        let section = std::mem::take(&mut self.section);
        let digest = section.digest;
        match section.is_head {
            true if !is_last => self.seen.begun(stream),
            false if is_last => self.seen.ended(stream),
            _ => {}
        }
        if section.is_head {
            let is_malformed = section.is_malformed_head(is_last);
            self.seen.count(|c| match is_malformed {
                true => c.malformed += 1,
                false => c.too_large += u32::from(size >= self.limit),
            });
            let mut heads = self.seen.heads.borrow_mut();
            if heads.len() >= MOST {
                return Err(Reason::ENHANCE_YOUR_CALM);
            }
            let head = Head {
                scheme: section.scheme,
                has_fragment: section.has_fragment,
                is_malformed,
                digest,
            };
            heads.push_back((stream, head));
            return Ok(());
        }
        let mut trailers = self.seen.trailers.borrow_mut();
        if trailers.len() >= MOST {
            // Of a stream that was over when they came, as a rule; of another, they will be missed.
            trailers.pop_front();
        }
        let seen = Trailers {
            // RFC 9113 §8.1: they have no pseudo-fields.
            is_malformed: section.is_malformed || section.pseudo != 0,
            digest,
        };
        trailers.push_back((stream, seen));
        Ok(())
    }

    fn content(&mut self, stream: u32, _length: usize) -> Result<(), Reason> {
        match self.is_over(stream) {
            true => Err(Reason::STREAM_CLOSED),
            false => Ok(()),
        }
    }

    fn over(&mut self, stream: u32) {
        self.seen.ended(stream);
    }

    fn may_have_content(&self, stream: u32) -> bool {
        self.seen.is_unended(stream)
    }
}

/// Digits of an announced length: more might not be held by 64 bits.
const LONGEST: usize = 19;

const METHOD: u8 = 1;
const SCHEME: u8 = 2;
const AUTHORITY: u8 = 4;
const PATH: u8 = 8;
const OTHER: u8 = 16;

impl Section {
    /// Whether the head is one that h2 resets, or would have to.
    fn is_malformed_head(&self, is_last: bool) -> bool {
        // RFC 9113 §8.1.1.
        let lacks_content = is_last && self.length.is_some_and(|n| n > 0);
        self.is_malformed || self.lacks_pseudo_fields() || lacks_content
    }

    /// `Content-Length`, which says one thing, however often (RFC 9110 §8.6).
    fn announce(&mut self, value: &[u8]) {
        let is_number = value.len() <= LONGEST && value.iter().all(u8::is_ascii_digit);
        if !is_number {
            self.is_malformed = true;
            return;
        }
        let add = |n: u64, digit: &u8| n * 10 + u64::from(digit - b'0');
        let number = value.iter().fold(0, add);
        self.is_malformed |= self.length.is_some_and(|n| n != number);
        self.length = Some(number);
    }

    /// RFC 9113 §8.3.1. h2 takes a request without `:path` and `:authority` for one of `/`. What
    /// CONNECT needs it sees to; what that may not have (§8.5) is here.
    fn lacks_pseudo_fields(&self) -> bool {
        let of_resources = SCHEME | PATH;
        let needed = METHOD | of_resources;
        match self.is_connect {
            true => self.pseudo & of_resources != 0,
            false => self.pseudo & needed != needed,
        }
    }

    /// RFC 9113 §8.3: each stands once, and there are no others.
    fn pseudo_field(&mut self, name: &[u8], value: &[u8]) {
        let bit = match name {
            b":method" => {
                self.is_connect = value == b"CONNECT";
                METHOD
            }
            b":scheme" => {
                self.scheme = match value {
                    _ if value.eq_ignore_ascii_case(b"http") => Scheme::Http,
                    _ if value.eq_ignore_ascii_case(b"https") => Scheme::Https,
                    _ => Scheme::Other,
                };
                self.is_malformed |= !is_scheme(value);
                SCHEME
            }
            b":authority" => {
                self.is_malformed |= !is_authority(value);
                AUTHORITY
            }
            b":path" => {
                self.is_malformed |= !is_path(value);
                self.has_fragment |= value.contains(&b'#');
                PATH
            }
            // None that a request has here. It counts as one in trailers.
            _ => {
                self.is_malformed = true;
                OTHER
            }
        };
        self.is_malformed |= self.pseudo & bit != 0;
        self.pseudo |= bit;
    }
}
