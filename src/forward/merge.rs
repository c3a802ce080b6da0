//! Writes the merged answer of a batch in the caller's order, a chunk at a time.

use std::{
    convert::Infallible,
    io::Write,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body, Frame};
use serde::Serialize;

use super::slices::Framing;
use crate::domain::{DecisionId, FlowEnd, Missing};

/// About the bytes of one chunk of the answer: all that is held at one time.
const CHUNK: usize = 32 << 10;

/// What the caller is told of one item.
#[derive(Clone, Copy, Debug)]
pub struct ItemAnswer<'a> {
    pub status: StatusCode,
    /// Where the item went, or was to go; `None` when no region was found.
    pub region: Option<&'a str>,
    pub decision: Option<DecisionId>,
    /// For items that were refused or failed.
    pub problem: Option<ItemProblem<'a>>,
}

/// The members of a problem document (RFC 9457) beside `status`, `decision` and `region`.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct ItemProblem<'a> {
    /// `urn:domicile:problem:<name>`.
    #[serde(rename = "type")]
    pub kind: &'a str,
    pub title: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub citation: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<&'a FlowEnd>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<&'a FlowEnd>,
    /// In a 451 always there, empty where nothing could have permitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<&'a [Missing]>,
}

/// The status of the whole batch: 200 when every item has a success status, else 207.
pub fn batch_status(statuses: impl IntoIterator<Item = StatusCode>) -> StatusCode {
    if statuses.into_iter().all(|s| s.is_success()) {
        StatusCode::OK
    } else {
        StatusCode::MULTI_STATUS
    }
}

/// The merged answer as a body: `write` is asked for one item after the other, just before it is
/// sent, so that only the small state it draws from is held.
pub struct BatchBody<F> {
    write: F,
    framing: Framing,
    items: u32,
    next: u32,
    is_over: bool,
    known: Phrases,
}

/// Takes exactly one answer for the item it was made for.
pub struct ItemWriter<'b> {
    out: &'b mut Vec<u8>,
    index: u32,
    known: &'b mut Phrases,
}

/// What stands between the index and the decision of most items: statuses and regions are few.
#[derive(Default)]
struct Phrases(Vec<Phrase>);

/// Phrases that are kept for one answer.
const PHRASES: usize = 8;

struct Phrase {
    status: StatusCode,
    region: Box<str>,
    text: Box<[u8]>,
}

/// Proof that an item was answered.
#[must_use]
pub struct Written(());

impl<F: FnMut(u32, ItemWriter<'_>) -> Written> BatchBody<F> {
    /// `write` answers the item of the given index; that it does, [`Written`] proves.
    pub fn new(framing: Framing, items: u32, write: F) -> Self {
        Self {
            write,
            framing,
            items,
            next: 0,
            is_over: false,
            known: Phrases::default(),
        }
    }

    /// The next bytes of the answer; `None` at its end.
    pub fn next_chunk(&mut self) -> Option<Bytes> {
        if self.is_over {
            return None;
        }
        let mut out = Vec::with_capacity(CHUNK + CHUNK / 4);
        let is_array = self.framing == Framing::Array;
        if is_array && self.next == 0 {
            out.push(b'[');
        }
        while self.next < self.items && out.len() < CHUNK {
            if is_array && self.next > 0 {
                out.push(b',');
            }
            let writer = ItemWriter {
                out: &mut out,
                index: self.next,
                known: &mut self.known,
            };
            let Written(()) = (self.write)(self.next, writer);
            if !is_array {
                out.push(b'\n');
            }
            self.next += 1;
        }
        if self.next >= self.items {
            self.is_over = true;
            if is_array {
                out.push(b']');
            }
        }
        (!out.is_empty()).then(|| Bytes::from(out))
    }
}

impl ItemWriter<'_> {
    /// Writes one object: `index`, `status`, `region`, `decision`, then the problem's members.
    pub fn answer(self, item: &ItemAnswer<'_>) -> Written {
        // By hand, since it is most of what is written for a batch.
        let out = &mut *self.out;
        out.reserve(128);
        out.extend_from_slice(b"{\"index\":");
        write_number(out, self.index);
        match (item.region, item.decision) {
            (Some(region), Some(decision)) => {
                self.known.write(out, item.status, region);
                out.extend_from_slice(&decision.text());
                out.push(b'"');
            }
            (region, decision) => {
                write_status(out, item.status, region);
                if let Some(decision) = decision {
                    out.extend_from_slice(DECISION);
                    out.extend_from_slice(&decision.text());
                    out.push(b'"');
                }
            }
        }
        out.push(b'}');
        if let Some(problem) = &item.problem {
            // Two objects become one: `{a}` and `{b}` to `{a,b}`. Neither is ever empty.
            let joint = self.out.len();
            write_json(self.out, problem);
            if let [.., end] = self.out.get_mut(..joint).unwrap_or_default() {
                *end = b',';
            }
            self.out.remove(joint);
        }
        Written(())
    }
}

const DECISION: &[u8] = b",\"decision\":\"";

impl Phrases {
    /// Writes status, region and the name of the decision.
    fn write(&mut self, out: &mut Vec<u8>, status: StatusCode, region: &str) {
        // Names of regions are too short for a call to be worth it.
        let is_it = |known: &&Phrase| {
            known.status == status
                && known.region.len() == region.len()
                && known.region.bytes().eq(region.bytes())
        };
        if let Some(known) = self.0.iter().find(is_it) {
            out.extend_from_slice(&known.text);
            return;
        }
        let start = out.len();
        write_status(out, status, Some(region));
        out.extend_from_slice(DECISION);
        if self.0.len() < PHRASES {
            self.0.push(Phrase {
                status,
                region: region.into(),
                text: out.get(start..).unwrap_or_default().into(),
            });
        }
    }
}

fn write_status(out: &mut Vec<u8>, status: StatusCode, region: Option<&str>) {
    out.extend_from_slice(b",\"status\":");
    out.extend_from_slice(status.as_str().as_bytes());
    if let Some(region) = region {
        out.extend_from_slice(b",\"region\":");
        write_text(out, region);
    }
}

fn write_number(out: &mut Vec<u8>, number: u32) {
    let mut digits = [0; 10];
    let mut left = number;
    let mut start = digits.len();
    for (at, place) in digits.iter_mut().enumerate().rev() {
        *place = b'0' + (left % 10) as u8;
        left /= 10;
        start = at;
        if left == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(start..).unwrap_or_default());
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    if text.bytes().any(|b| b < 0x20 || b == b'"' || b == b'\\') {
        write_json(out, &text);
        return;
    }
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

/// Strings, numbers and lists into memory: neither the shapes nor the writer can fail.
fn write_json(out: &mut Vec<u8>, value: &impl Serialize) {
    let start = out.len();
    if serde_json::to_writer(&mut *out, value).is_err() {
        out.truncate(start);
        let _ = out.write_all(b"{}");
    }
}

impl<F: FnMut(u32, ItemWriter<'_>) -> Written + Unpin> Body for BatchBody<F> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.next_chunk().map(|chunk| Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_over
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn whole<F: FnMut(u32, ItemWriter<'_>) -> Written>(mut body: BatchBody<F>) -> Vec<u8> {
        let mut out = Vec::new();
        while let Some(chunk) = body.next_chunk() {
            assert!(
                chunk.len() < 4 * CHUNK,
                "a chunk holds a few items too many at most"
            );
            out.extend_from_slice(&chunk);
        }
        out
    }

    fn values(text: &[u8], framing: Framing) -> Vec<Value> {
        match framing {
            Framing::Array => serde_json::from_slice(text).unwrap(),
            Framing::Ndjson => text
                .split_inclusive(|b| *b == b'\n')
                .map(|line| serde_json::from_slice(line).unwrap())
                .collect(),
        }
    }

    proptest! {
        #[test]
        fn a_line_is_what_another_writer_makes_of_it(
            index: u32,
            status in 200_u16..600,
            region in prop::option::of("[a-z\"\\\\é\u{1}-]{0,8}"),
            id in prop::option::of(any::<[u8; 16]>()),
        ) {
            let mut out = Vec::new();
            let decision = id.map(DecisionId::from_bytes);
            let mut known = Phrases::default();
            // The second is written from memory, where there is any.
            let mut again = Vec::new();
            for out in [&mut out, &mut again] {
                let writer = ItemWriter { out, index, known: &mut known };
                let Written(()) = writer.answer(&ItemAnswer {
                    status: StatusCode::from_u16(status).unwrap(),
                    region: region.as_deref(),
                    decision,
                    problem: None,
                });
            }
            prop_assert_eq!(&out, &again);
            let mut expected = json!({"index": index, "status": status});
            if let Some(region) = region {
                expected["region"] = json!(region);
            }
            if let Some(decision) = decision {
                expected["decision"] = json!(decision.to_string());
            }
            prop_assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), expected);
        }
    }

    #[test]
    fn a_refused_item_is_one_object_with_its_problem() {
        let missing = [Missing {
            law: "cn".to_owned(),
            mechanism: "cn-standard-contract".to_owned(),
            needs: vec!["a filed contract".to_owned()],
        }];
        let problem = ItemProblem {
            kind: "urn:domicile:problem:forbidden",
            title: "not \"there\"",
            rule: Some("ru-18-5"),
            missing: Some(&missing),
            ..ItemProblem::default()
        };
        let decision = DecisionId::new(1, 2);
        let body = BatchBody::new(Framing::Array, 2, |index, writer| {
            writer.answer(&ItemAnswer {
                status: StatusCode::from_u16(if index == 0 { 201 } else { 451 }).unwrap(),
                region: Some("ru"),
                decision: Some(decision),
                problem: (index == 1).then_some(problem),
            })
        });
        assert_eq!(
            values(&whole(body), Framing::Array),
            [
                json!({"index": 0, "status": 201, "region": "ru",
                    "decision": decision.to_string()}),
                json!({"index": 1, "status": 451, "region": "ru",
                    "decision": decision.to_string(), "type": "urn:domicile:problem:forbidden",
                    "title": "not \"there\"", "rule": "ru-18-5",
                    "missing": [{"law": "cn", "mechanism": "cn-standard-contract",
                        "needs": ["a filed contract"]}]}),
            ]
        );
    }

    #[test]
    fn an_empty_batch_is_an_empty_list() {
        let nothing = |_, _: ItemWriter<'_>| unreachable!("there is no item");
        assert_eq!(whole(BatchBody::new(Framing::Array, 0, nothing)), b"[]");
        assert_eq!(whole(BatchBody::new(Framing::Ndjson, 0, nothing)), b"");
    }

    #[test]
    fn one_failure_makes_the_batch_207() {
        let ok = StatusCode::CREATED;
        assert_eq!(batch_status([ok, StatusCode::NO_CONTENT]), StatusCode::OK);
        assert_eq!(
            batch_status([ok, StatusCode::FOUND]),
            StatusCode::MULTI_STATUS
        );
    }

    proptest! {
        #[test]
        fn what_regions_answer_to_their_parts_comes_back_in_the_callers_order(
            homes in prop::collection::vec(prop::option::of(0_u8..4), 0..1_500),
            is_array in any::<bool>(),
        ) {
            use crate::{domain::RegionId, forward::Split};
            let framing = if is_array { Framing::Array } else { Framing::Ndjson };
            let body = Bytes::from("1".repeat(homes.len()));
            let items = homes.iter().enumerate().map(|(i, h)| (i..i + 1, h.map(RegionId)));
            let split = Split::new(&body, framing, items).unwrap();
            // The status tells region and index apart, as far as three digits can.
            let status = |region: u8, index: u32| 200 + u16::from(region) * 100 + (index % 90) as u16;
            let mut merged = vec![451; homes.len()];
            for part in split.parts() {
                for index in &part.indices {
                    merged[*index as usize] = status(part.region.0, *index);
                }
            }
            let body = BatchBody::new(framing, homes.len() as u32, |index, writer| {
                writer.answer(&ItemAnswer {
                    status: StatusCode::from_u16(merged[index as usize]).unwrap(),
                    region: None,
                    decision: None,
                    problem: None,
                })
            });
            let answers = values(&whole(body), framing);
            prop_assert_eq!(answers.len(), homes.len());
            for (i, (answer, home)) in answers.iter().zip(&homes).enumerate() {
                let wanted = home.map_or(451, |r| status(r, i as u32));
                prop_assert_eq!(answer, &json!({"index": i, "status": wanted}));
            }
        }
    }
}
