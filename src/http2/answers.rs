//! The field sections of a region's answers (RFC 9113 §8.1 and §8.3.2), as far as h2 and hyper would
//! pass over what is wrong with them.

use std::collections::BTreeMap;

use h2::Reason;

use super::{
    field::{Order, is_malformed},
    frames::{Judge, Side},
};

/// Informational answers (1xx) to one request, as many as are read in HTTP/1.1.
const INTERIM: u8 = 16;

/// Streams that are remembered: many more than are open at one time. Those that were given up are
/// never said to be over.
const MOST: usize = 1024;

/// Judges the field sections that a region sends.
#[derive(Default)]
pub struct Answers {
    streams: BTreeMap<u32, Progress>,
    section: Section,
}

/// How far the answer on a stream has come.
#[derive(Clone, Copy, Debug)]
enum Progress {
    /// So many informational answers.
    Interim(u8),
    /// Its head; what follows are trailers.
    Begun,
    /// The same, and it has no content (RFC 9110 §6.4.1).
    Empty,
}

#[derive(Default)]
struct Section {
    status: Option<Status>,
    order: Order,
    is_malformed: bool,
}

/// What a `:status` means for what comes after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Informational,
    /// 101, which HTTP/2 has not (RFC 9113 §8.6).
    Switching,
    Final,
    /// 204 and 304.
    Empty,
}

impl Judge for Answers {
    const OF: Side = Side::Server;

    fn begin(&mut self, _stream: u32) -> Result<(), Reason> {
        self.section = Section::default();
        Ok(())
    }

    fn field(&mut self, name: &[u8], value: &[u8]) -> bool {
        let section = &mut self.section;
        section.is_malformed |= section.order.is_broken_by(name) || is_malformed(name, value);
        if !name.starts_with(b":") {
            return true;
        }
        // RFC 9113 §8.3.2: there is one, and it stands once.
        section.is_malformed |= name != b":status" || section.status.is_some();
        section.status = Some(match value {
            b"101" => Status::Switching,
            [b'1', ..] => Status::Informational,
            b"204" | b"304" => Status::Empty,
            _ => Status::Final,
        });
        true
    }

    fn end(&mut self, stream: u32, _size: usize, is_last: bool) -> Result<(), Reason> {
        let Section {
            status,
            is_malformed,
            ..
        } = std::mem::take(&mut self.section);
        let before = self.streams.get(&stream).copied();
        let progress = match (before, status) {
            _ if is_malformed => return Err(Reason::PROTOCOL_ERROR),
            // RFC 9113 §8.1: trailers have no pseudo-fields.
            (Some(Progress::Begun | Progress::Empty), Some(_)) => {
                return Err(Reason::PROTOCOL_ERROR);
            }
            (Some(begun @ (Progress::Begun | Progress::Empty)), None) => begun,
            (_, Some(Status::Switching)) => return Err(Reason::PROTOCOL_ERROR),
            // RFC 9113 §8.1: it cannot be the last.
            (_, Some(Status::Informational)) if is_last => return Err(Reason::PROTOCOL_ERROR),
            (Some(Progress::Interim(INTERIM..)), Some(Status::Informational)) => {
                return Err(Reason::ENHANCE_YOUR_CALM);
            }
            (Some(Progress::Interim(count)), Some(Status::Informational)) => {
                Progress::Interim(count + 1)
            }
            (None, Some(Status::Informational)) => Progress::Interim(1),
            (_, Some(Status::Empty)) => Progress::Empty,
            // Without a status it is malformed, which h2 sees.
            (_, Some(Status::Final) | None) => Progress::Begun,
        };
        if is_last {
            self.over(stream);
            return Ok(());
        }
        self.streams.insert(stream, progress);
        if self.streams.len() > MOST {
            self.streams.pop_first();
        }
        Ok(())
    }

    fn content(&mut self, stream: u32, length: usize) -> Result<(), Reason> {
        match self.streams.get(&stream) {
            Some(Progress::Empty) if length > 0 => Err(Reason::PROTOCOL_ERROR),
            _ => Ok(()),
        }
    }

    fn over(&mut self, stream: u32) {
        self.streams.remove(&stream);
    }

    fn may_have_content(&self, stream: u32) -> bool {
        matches!(
            self.streams.get(&stream),
            Some(Progress::Begun | Progress::Empty)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of sections, of which those with a star end the stream.
    fn judge(sections: &[&[(&str, &str)]]) -> Result<(), Reason> {
        let mut answers = Answers::default();
        for fields in sections {
            assert_eq!(answers.begin(1), Ok(()));
            let is_last = fields.contains(&("*", ""));
            for (name, value) in fields.iter().filter(|(name, _)| *name != "*") {
                answers.field(name.as_bytes(), value.as_bytes());
            }
            answers.end(1, 0, is_last)?;
        }
        let left = answers.streams.len();
        let ended = sections.last().is_some_and(|s| s.contains(&("*", "")));
        assert_eq!(left, usize::from(!ended));
        Ok(())
    }

    const OK: &[(&str, &str)] = &[(":status", "200"), ("x", "y")];
    const HINTS: &[(&str, &str)] = &[(":status", "103")];

    #[test]
    fn sound_answers_pass() {
        for sections in [
            &[OK][..],
            &[&[(":status", "204"), ("*", "")]],
            &[HINTS, HINTS, OK],
            &[OK, &[("x-checksum", "a"), ("*", "")]],
        ] {
            assert_eq!(judge(sections), Ok(()), "{sections:?}");
        }
        assert_eq!(judge(&[&[HINTS; 16][..], &[OK]].concat()), Ok(()));
    }

    #[test]
    fn what_h2_passes_over_ends_the_connection() {
        for sections in [
            // Trailers with pseudo-fields, and answers with a request's.
            &[OK, &[(":status", "200"), ("*", "")]][..],
            &[OK, &[(":path", "/"), ("*", "")]],
            &[&[(":status", "200"), (":method", "GET")]],
            &[&[(":status", "200"), (":authority", "a")]],
            &[&[(":status", "200"), (":status", "200")]],
            &[&[("x", "y"), (":status", "200")]],
            &[&[(":status", "200"), ("connection", "close")]],
            &[OK, &[("transfer-encoding", "chunked"), ("*", "")]],
            &[&[(":status", "101")]],
            &[HINTS, &[(":status", "101")]],
            &[&[(":status", "103"), ("*", "")]],
        ] {
            let refused = Err(Reason::PROTOCOL_ERROR);
            assert_eq!(judge(sections), refused, "{sections:?}");
        }
        assert_eq!(judge(&[HINTS; 17]), Err(Reason::ENHANCE_YOUR_CALM));
    }

    #[test]
    fn answers_that_have_no_content_get_none() {
        for (status, wanted) in [
            ("204", Err(Reason::PROTOCOL_ERROR)),
            ("304", Err(Reason::PROTOCOL_ERROR)),
            ("200", Ok(())),
        ] {
            let mut answers = Answers::default();
            assert_eq!(answers.begin(1), Ok(()));
            answers.field(b":status", status.as_bytes());
            assert_eq!(answers.end(1, 0, false), Ok(()));
            assert_eq!(answers.content(1, 0), Ok(()), "{status}");
            assert_eq!(answers.content(1, 1), wanted, "{status}");
            assert_eq!(answers.content(3, 1), Ok(()));
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut answers = Answers::default();
        for stream in 0..5000 {
            assert_eq!(answers.begin(2 * stream + 1), Ok(()));
            answers.field(b":status", b"200");
            assert_eq!(answers.end(2 * stream + 1, 0, false), Ok(()));
        }
        assert_eq!(answers.streams.len(), MOST);
    }
}
