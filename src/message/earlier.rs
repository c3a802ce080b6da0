//! Heads that follow each other on a connection are alike: most lines of one are those of the one
//! before, which need not be read again.
//!
//! Goal: a line that came before costs a comparison; what differs is read as ever. Trade-off: a
//! connection keeps the fields of its last head while it waits. Without `Debug`: they can be
//! personal.

use std::ops::Range;

use super::{
    Field, FieldSet, Fields,
    line::Line,
    parse::{ADDED, MOST_FIELDS, Parted},
};

/// Two heads of one connection are of one kind if they have the same names in the same order, and
/// the same values of what tells kinds apart there. Nothing is known of the default one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kind(u64);

impl Kind {
    pub fn is_known(self) -> bool {
        self != Self::default()
    }
}

/// Room for the lines of most heads; of sixteen it would have exactly one of the allocator's sizes
/// (see [`ResponseParts`](super::ResponseParts)).
const LINES: usize = 15;

/// The fields of the last head of a connection.
#[derive(Default)]
pub struct Earlier {
    /// As they came.
    came: Vec<u8>,
    /// As they were read: each byte in its place, names in lower case.
    read: Fields,
    kind: Kind,
    telling: FieldSet,
}

impl Earlier {
    /// Kinds are told apart by the values of these fields.
    pub fn telling(telling: FieldSet) -> Self {
        Self {
            telling,
            ..Self::default()
        }
    }

    /// Reads the lines that `bytes` begin with, up to the empty one, and tells how many bytes these
    /// are with it, and the kind. `None` where a line has a fault or is not here as a whole: [`Fields::parse`]
    /// tells which.
    pub fn read(&mut self, bytes: &[u8]) -> Option<(Fields, usize, Kind)> {
        u32::try_from(bytes.len()).ok()?;
        let mut fields = Fields::with_capacity(LINES, self.came.len() + ADDED);
        let mut known = self.read.lines.as_slice();
        let (mut is_new, mut is_other) = (false, false);
        loop {
            let rest = bytes.get(fields.text.len()..)?;
            let again = self.begin(rest, known);
            let (same, others) = known.split_at_checked(again).unwrap_or_default();
            fields.append_lines(&self.read, same, &self.place(same, others));
            let rest = bytes.get(fields.text.len()..)?;
            if rest.starts_with(b"\r\n") {
                is_other |= !others.is_empty();
                is_new |= is_other;
                break;
            }
            if fields.len() >= MOST_FIELDS {
                return None;
            }
            let parted = Parted::read(rest)?;
            fields.append_raw(rest.get(..parted.length)?, parted);
            is_other |= !self.is_of_kind(others.first(), &fields);
            // In the place of one that was there: another length, as a rule.
            known = others.get(1..).unwrap_or_default();
            is_new = true;
        }
        let length = fields.text.len();
        if is_new {
            self.came.clear();
            self.came.extend_from_slice(bytes.get(..length)?);
            self.read.become_like(&fields);
        }
        if is_other {
            self.kind = Kind(self.kind.0 + 1);
        }
        Some((fields, length + 2, self.kind))
    }

    /// Whether the last of the fields, in the place of one that was there, leaves the kind as it was.
    fn is_of_kind(&self, stood: Option<&Line>, fields: &Fields) -> bool {
        let (Some(stood), Some(line)) = (stood, fields.lines.last()) else {
            return false;
        };
        let is_same_name = stood.field == line.field
            && (line.field != Field::Other
                || stood.name(&self.read.text) == line.name(&fields.text));
        is_same_name
            && (!self.telling.contains(line.field)
                || stood.value(&self.read.text) == line.value(&fields.text))
    }

    /// How many of the known lines `bytes` begin with.
    fn begin(&self, bytes: &[u8], known: &[Line]) -> usize {
        let Some(first) = known.first() else {
            return 0;
        };
        let start = first.start();
        let came = self.came.get(start..).unwrap_or_default();
        if bytes.starts_with(came) {
            return known.len();
        }
        let same = start + common(bytes, came);
        let begun = known.iter().filter(|line| line.start() <= same).count();
        begun.saturating_sub(1)
    }

    /// Where lines stand that others follow.
    fn place(&self, lines: &[Line], others: &[Line]) -> Range<u32> {
        let end = others.first().map_or(self.came.len(), Line::start) as u32;
        lines.first().map_or(end, |line| line.start() as u32)..end
    }
}

/// How many bytes both begin with.
fn common(one: &[u8], other: &[u8]) -> usize {
    let (words, _) = one.as_chunks::<8>();
    let (others, _) = other.as_chunks::<8>();
    let mut same = 0;
    for (word, other) in words.iter().zip(others) {
        let differ = u64::from_le_bytes(*word) ^ u64::from_le_bytes(*other);
        if differ != 0 {
            return same + differ.trailing_zeros() as usize / 8;
        }
        same += 8;
    }
    let rest = one.get(same..).unwrap_or_default().iter();
    let others = other.get(same..).unwrap_or_default();
    same + rest.zip(others).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(earlier: &mut Earlier, text: &str) -> Option<Fields> {
        let (fields, length, _) = earlier.read(text.as_bytes())?;
        assert!(text.as_bytes()[..length].ends_with(b"\r\n"));
        Some(fields)
    }

    #[test]
    fn what_was_read_before_is_read_alike() {
        let heads = [
            "Host: a\r\nAccept: */*\r\nContent-Length: 12\r\nX-End:\t1\r\n\r\nbody",
            "Host: a\r\nAccept: */*\r\nContent-Length: 12\r\nX-End:\t1\r\n\r\nother",
            "Host: a\r\nAccept: */*\r\nContent-Length: 9\r\nX-End:\t1\r\n\r\n",
            "Host: a\r\nAccept: */*\r\n\r\n",
            "HOST: a\r\nAccept: */*\r\nX-End:\t1\r\n\r\n",
            "Host: a\r\nHost: a\r\nAccept: */*\r\n\r\n",
            "\r\n",
            "Host: ab\r\nHost: a\r\n\r\n",
            "Host: a\r\n\r\n",
        ];
        let mut earlier = Earlier::default();
        for head in heads {
            let afresh = Earlier::default().read(head.as_bytes()).unwrap();
            let again = earlier.read(head.as_bytes()).unwrap();
            assert_eq!((&again.0, again.1), (&afresh.0, afresh.1), "{head}");
            let end = head.find("\r\n\r\n").map_or(2, |at| at + 4);
            assert_eq!(again.1, end);
            let slow = Fields::parse(&head.as_bytes()[..end]).unwrap();
            assert_eq!(again.0, slow, "{head}");
            for other in [afresh.0, slow] {
                assert_eq!(written(&again.0), written(&other));
            }
        }
    }

    #[test]
    fn heads_of_one_kind_have_the_same_names_and_what_tells_kinds_apart() {
        let one = "Host: a\r\nContent-Length: 12\r\nX-B: b\r\nX-C: c\r\n\r\n";
        let alike = [
            "Host: a\r\nContent-Length: 12\r\nX-B: b\r\nX-C: c\r\n\r\n",
            "HOST:a\r\nContent-Length: 9\r\nX-B: b\r\nX-C: c\r\n\r\n",
            "Host: a\r\ncontent-length:\t9\r\nX-B: bb\r\nx-c: d\r\n\r\nbody",
        ];
        let others = [
            "Host: a\r\nContent-Length: 12\r\nX-B: b\r\n\r\n",
            "Host: a\r\nContent-Length: 12\r\nX-B: b\r\nX-D: c\r\n\r\n",
            "Host: a\r\nContent-Length: 12\r\nX-C: b\r\nX-B: c\r\n\r\n",
            "Host: a\r\nX-B: b\r\nContent-Length: 12\r\nX-C: c\r\n\r\n",
            "Host: a\r\nContent-Length: 12\r\nX-C: c\r\n\r\n",
            "Host: b\r\nContent-Length: 12\r\nX-B: b\r\nX-C: c\r\n\r\n",
            "Host: a\r\nContent-Length: 12\r\nContent-Length: 12\r\nX-B: b\r\nX-C: c\r\n\r\n",
            "Host: a\r\nContent-Length: 12\r\nX-B: b\r\nX-C: c\r\nX-D: d\r\n\r\n",
            "\r\n",
        ];
        let kind = |earlier: &mut Earlier, head: &str| earlier.read(head.as_bytes()).unwrap().2;
        let mut earlier = Earlier::telling(FieldSet::of(&[Field::Host]));
        let first = kind(&mut earlier, one);
        assert!(first.is_known());
        for head in alike {
            assert_eq!(kind(&mut earlier, head), first, "{head}");
        }
        for head in others {
            let before = kind(&mut earlier, one);
            let other = kind(&mut earlier, head);
            assert_ne!(other, before, "{head}");
            let after = kind(&mut earlier, one);
            assert!(after != before && after != other, "{head}");
        }
    }

    fn written(fields: &Fields) -> bytes::BytesMut {
        let mut out = bytes::BytesMut::new();
        fields.write(&mut out, super::super::FieldSet::default());
        out
    }

    #[test]
    fn what_is_not_whole_or_not_sound_is_not_read() {
        let mut earlier = Earlier::default();
        let head = "Host: a\r\nAccept: */*\r\n\r\n";
        assert!(read(&mut earlier, head).is_some());
        for end in 0..head.len() {
            let cut = &head.as_bytes()[..end];
            assert!(earlier.read(cut).is_none(), "{end}");
        }
        for wrong in [
            "Host: a\r\nAccept: */*\r\n b\r\n\r\n",
            "Host: a\r\nAccept: */*\n\r\n",
            "Host: a\r\nAccept: */*\r\n\n",
            "Host: a\rAccept: */*\r\n\r\n",
        ] {
            assert!(read(&mut earlier, wrong).is_none(), "{wrong:?}");
        }
        assert_eq!(read(&mut earlier, head).unwrap().len(), 2);
        let many = "a: 1\r\n".repeat(MOST_FIELDS);
        for _ in 0..2 {
            assert!(read(&mut earlier, &format!("{many}\r\n")).is_some());
            assert!(read(&mut earlier, &format!("{many}a: 1\r\n\r\n")).is_none());
        }
    }

    #[test]
    fn what_is_common_is_counted_to_the_byte() {
        let text = b"Content-Length: 12\r\nHost: a\r\n";
        for end in 0..text.len() {
            let mut other = text.to_vec();
            other[end] ^= 1;
            assert_eq!(common(text, &other), end);
            assert_eq!(common(text, &text[..end]), end);
            assert_eq!(common(&text[..end], text), end);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_head_is_read_as_without_those_before(
            heads in proptest::collection::vec(
                "((Host|host|a|Content-Length|x-b|x_b|_):[ \t]{0,2}[a-c1\t]{0,9}\r\n){0,5}\r?\n?",
                1..6,
            ),
        ) {
            let mut earlier = Earlier::telling(FieldSet::of(&[Field::Host]));
            let mut kinds: Vec<(Kind, Vec<_>)> = Vec::new();
            for head in heads {
                let afresh = Earlier::default().read(head.as_bytes());
                let again = earlier.read(head.as_bytes());
                let told = |read: &Option<(Fields, usize, Kind)>| {
                    read.as_ref().map(|(fields, length, _)| (fields.clone(), *length))
                };
                proptest::prop_assert_eq!(told(&again), told(&afresh));
                if let Some((fields, length, kind)) = again {
                    // What is told of a kind holds of all its heads.
                    let stays: Vec<(String, Vec<u8>)> = fields
                        .iter()
                        .map(|(f, name, value)| match f == Field::Host {
                            true => (name.to_owned(), value.as_bytes().to_vec()),
                            false => (name.to_owned(), Vec::new()),
                        })
                        .collect();
                    if let Some((_, other)) = kinds.iter().find(|(k, _)| *k == kind) {
                        proptest::prop_assert_eq!(&stays, other);
                    }
                    kinds.push((kind, stays));
                    let slow = Fields::parse(&head.as_bytes()[..length]).unwrap();
                    proptest::prop_assert_eq!(&fields, &slow);
                    let has_underscore = fields.iter().any(|(_, name, _)| name.contains('_'));
                    for read in [&fields, &slow] {
                        let may = read.may_have_underscores();
                        proptest::prop_assert!(may || !has_underscore);
                    }
                    proptest::prop_assert_eq!(written(&fields), written(&slow));
                }
            }
        }
    }
}
