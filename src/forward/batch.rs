//! Cuts a decided batch into one part per region. Pure.

use std::ops::Range;

use bytes::Bytes;
use memchr::memchr;

use super::slices::{Framing, Slices, Span};
use crate::domain::RegionId;

/// A batch, cut: every item that has a region is in exactly one part, in the caller's order.
/// Costs 12 bytes an item beside the caller's body, which the parts share.
#[derive(Clone)]
pub struct Split {
    parts: Vec<Part>,
    items: usize,
}

/// What one region gets.
#[derive(Clone)]
pub struct Part {
    pub region: RegionId,
    /// Indices in the caller's batch, ascending: `indices[n]` is the region's item `n`.
    pub indices: Vec<u32>,
    pub body: Slices,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// The item's range does not fit the body, or does not fit into 32 bits (4 GiB).
    #[error("item {0} does not lie inside the body")]
    OutOfBody(usize),
    /// A line feed in an NDJSON item would make two records of one.
    #[error("item {0} holds a line feed, so it cannot be sent as one line")]
    LineFeed(usize),
}

impl Split {
    /// Items are given in the caller's order as their range in `body` and, unless they are
    /// refused, their region.
    ///
    /// # Errors
    /// See [`SplitError`]; then nothing of the batch may be sent.
    pub fn new(
        body: &Bytes,
        framing: Framing,
        items: impl IntoIterator<Item = (Range<usize>, Option<RegionId>)>,
    ) -> Result<Self, SplitError> {
        let mut heaps = Heaps::default();
        let mut count = 0;
        for (index, (range, region)) in items.into_iter().enumerate() {
            count += 1;
            let Some(region) = region else { continue };
            let span = heaps.add(body, index, range, region)?;
            if framing == Framing::Ndjson && memchr(b'\n', span.bytes(body)).is_some() {
                return Err(SplitError::LineFeed(index));
            }
        }
        Ok(Self {
            parts: heaps.into_parts(body, framing),
            items: count,
        })
    }

    /// Only the items that are sent: each is given with its number, in ascending order and once for
    /// each region it goes to. Those of NDJSON are whole lines: one, or two with the line feed between
    /// them, as in a bulk request; that these are those that its first one announces is the caller's
    /// word.
    ///
    /// # Errors
    /// As [`Split::new`], but for line feeds.
    pub fn of_items(
        body: &Bytes,
        framing: Framing,
        sends: impl IntoIterator<Item = (usize, Range<usize>, RegionId)>,
    ) -> Result<Self, SplitError> {
        let mut heaps = Heaps::default();
        let mut items = 0;
        for (index, range, region) in sends {
            items = index + 1;
            heaps.add(body, index, range, region)?;
        }
        Ok(Self {
            parts: heaps.into_parts(body, framing),
            items,
        })
    }

    /// Regions in the order in which they first occur.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    pub fn into_parts(self) -> Vec<Part> {
        self.parts
    }

    /// Items of the whole batch, the refused included.
    pub fn items(&self) -> usize {
        self.items
    }
}

/// What goes to each region: at most 255, and hardly ever more than five in one batch.
#[derive(Default)]
struct Heaps(Vec<(RegionId, Vec<u32>, Vec<Span>)>);

impl Heaps {
    fn add(
        &mut self,
        body: &Bytes,
        index: usize,
        range: Range<usize>,
        region: RegionId,
    ) -> Result<Span, SplitError> {
        let out_of_body = SplitError::OutOfBody(index);
        let span = Span::new(range, body.len()).ok_or(out_of_body)?;
        let number = u32::try_from(index).map_err(|_| out_of_body)?;
        match self.0.iter_mut().find(|(r, _, _)| *r == region) {
            Some((_, indices, spans)) => {
                indices.push(number);
                spans.push(span);
            }
            None => self.0.push((region, vec![number], vec![span])),
        }
        Ok(span)
    }

    fn into_parts(self, body: &Bytes, framing: Framing) -> Vec<Part> {
        let parts = self.0.into_iter().map(|(region, indices, spans)| Part {
            region,
            indices,
            body: Slices::new(body.clone(), spans, framing),
        });
        parts.collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A body with the given items, and where each stands in it.
    fn lay_out(items: &[String], framing: Framing, gaps: &[u8]) -> (Bytes, Vec<Range<usize>>) {
        let (open, between, close) = match framing {
            Framing::Array => ("[", ",", "]"),
            Framing::Ndjson => ("", "\n", "\n"),
        };
        let mut body = open.to_owned();
        let mut ranges = Vec::new();
        for (i, item) in items.iter().enumerate() {
            if i > 0 {
                body.push_str(between);
            }
            let gap = gaps.get(i).copied().unwrap_or(0) % 3;
            body.push_str(&" ".repeat(usize::from(gap)));
            ranges.push(body.len()..body.len() + item.len());
            body.push_str(item);
        }
        body.push_str(close);
        (Bytes::from(body), ranges)
    }

    fn framing() -> impl Strategy<Value = Framing> {
        prop_oneof![Just(Framing::Array), Just(Framing::Ndjson)]
    }

    /// Mostly short items, now and then one that is sent without a copy.
    fn item() -> impl Strategy<Value = String> {
        prop_oneof![
            9 => "[0-9]{1,40}",
            1 => (8_000_usize..20_000).prop_map(|n| "7".repeat(n)),
        ]
    }

    proptest! {
        #[test]
        fn every_item_with_a_region_is_in_exactly_one_part_byte_for_byte(
            items in prop::collection::vec((item(), prop::option::of(0_u8..4)), 0..40),
            gaps in prop::collection::vec(any::<u8>(), 0..40),
            framing in framing(),
        ) {
            let texts: Vec<_> = items.iter().map(|(t, _)| t.clone()).collect();
            let (body, ranges) = lay_out(&texts, framing, &gaps);
            let regions = items.iter().map(|(_, r)| r.map(RegionId));
            let split = Split::new(&body, framing, ranges.into_iter().zip(regions)).unwrap();
            prop_assert_eq!(split.items(), items.len());

            let mut seen = vec![0; items.len()];
            for part in split.parts() {
                prop_assert!(part.indices.is_sorted());
                prop_assert_eq!(part.indices.len(), part.body.items());
                for (n, index) in part.indices.iter().enumerate() {
                    let (text, region) = &items[*index as usize];
                    seen[*index as usize] += 1;
                    prop_assert_eq!(*region, Some(part.region.0));
                    prop_assert_eq!(part.body.item(n).unwrap(), text.as_bytes());
                }
                let chunks: Vec<Bytes> = part.body.chunks().collect();
                prop_assert!(chunks.iter().all(|c| !c.is_empty()));
                let sent = String::from_utf8(chunks.concat()).unwrap();
                prop_assert_eq!(sent.len() as u64, part.body.length());
                let mine = part.indices.iter().map(|i| texts[*i as usize].as_str());
                let wanted = match framing {
                    Framing::Ndjson => mine.map(|t| format!("{t}\n")).collect::<String>(),
                    Framing::Array => format!("[{}]", mine.collect::<Vec<_>>().join(",")),
                };
                prop_assert!(sent == wanted, "the sub-batch differs");
            }
            for ((_, region), times) in items.iter().zip(seen) {
                prop_assert_eq!(times, i32::from(region.is_some()));
            }
        }
    }

    #[test]
    fn items_of_two_lines_go_whole_and_to_several_regions() {
        let body = Bytes::from_static(b"{\"index\":{}}\r\n{\"a\":1}\r\n{\"delete\":{}}\n");
        let (pair, single) = (0..21, 23..36);
        let (one, two) = (RegionId(1), RegionId(2));
        let sends = [(0, pair, one), (3, single.clone(), one), (3, single, two)];
        let split = Split::of_items(&body, Framing::Ndjson, sends).unwrap();
        let told: Vec<_> = split
            .parts()
            .iter()
            .map(|p| {
                let sent: Vec<Bytes> = p.body.chunks().collect();
                (
                    p.region,
                    p.indices.clone(),
                    String::from_utf8(sent.concat()).unwrap(),
                )
            })
            .collect();
        let first = "{\"index\":{}}\r\n{\"a\":1}\n{\"delete\":{}}\n".to_owned();
        let second = "{\"delete\":{}}\n".to_owned();
        assert_eq!(told, [(one, vec![0, 3], first), (two, vec![3], second)]);
        assert_eq!(
            Split::of_items(&body, Framing::Ndjson, [(0, 30..40, one)]).err(),
            Some(SplitError::OutOfBody(0))
        );
    }

    #[test]
    fn a_run_that_already_stands_right_is_not_copied() {
        let items: Vec<String> = (0..5_000).map(|i| format!("{{\"id\":{i}}}")).collect();
        let (body, ranges) = lay_out(&items, Framing::Ndjson, &[]);
        let whole = ranges.into_iter().map(|r| (r, Some(RegionId(0))));
        let split = Split::new(&body, Framing::Ndjson, whole).unwrap();
        let first = split.parts()[0].body.chunks().next().unwrap();
        assert_eq!(first.as_ptr(), body.as_ptr());
        assert_eq!(first.len(), body.len() - 1);
    }

    #[test]
    fn items_that_would_break_the_framing_or_the_body_are_refused() {
        let body = Bytes::from_static(b"{\n}\n");
        let item = [(0..3, Some(RegionId(0)))];
        assert_eq!(
            Split::new(&body, Framing::Ndjson, item.clone()).err(),
            Some(SplitError::LineFeed(0))
        );
        assert!(Split::new(&body, Framing::Array, item).is_ok());
        #[expect(clippy::reversed_empty_ranges, reason = "a hostile range")]
        for range in [0..5, 3..2] {
            assert_eq!(
                Split::new(&body, Framing::Array, [(range, Some(RegionId(0)))]).err(),
                Some(SplitError::OutOfBody(0))
            );
        }
    }
}
