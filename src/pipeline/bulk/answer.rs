//! One answer to a bulk request, in the caller's order and Elasticsearch's shape.

use std::{io::Write as _, rc::Rc, sync::Arc};

use bytes::Bytes;
use http::StatusCode;
use serde::Serialize;

use super::{Fate, Heard, ItemState, Verdict, send::PRODUCT, shape::asks_elastic};
use crate::{
    classify::bulk::{Action, BulkItem},
    domain::{DecisionId, FlowEnd, Missing},
    forward::BulkItemAnswer,
    message::{Field, Parts, Response},
    pipeline::Content,
    respond::Refused,
    shared::Snapshot,
};

/// About the bytes of one chunk of the answer: all that is held at one time beside the items as
/// they came.
const CHUNK: usize = 32 << 10;

/// What an answer is made of.
pub struct Answer {
    pub snapshot: Arc<Snapshot>,
    pub states: Rc<[ItemState]>,
    pub heard: Heard,
    pub took: u128,
    labels: Vec<Label>,
}

/// How an item that is not told as it came names itself.
struct Label {
    action: Action,
    /// `"_index":…,"_id":…`, empty where the item is told as it came.
    names: Box<str>,
}

impl Answer {
    /// `index` is that of items that name none.
    pub fn new(
        snapshot: Arc<Snapshot>,
        states: Rc<[ItemState]>,
        heard: Heard,
        took: u128,
        (body, items): (&[u8], &[BulkItem]),
        index: Option<&str>,
    ) -> Self {
        let index = index.map(|i| serde_json::Value::from(i).to_string());
        let labels = states.iter().zip(items).map(|(state, item)| {
            let as_it_came = matches!(
                &state.fate,
                Fate::Sent { verdict, .. }
                    if matches!(verdict.get(), Verdict::BulkItemAnswer { withheld: false, .. })
            );
            let names = if as_it_came {
                String::new()
            } else {
                names(item, body, index.as_deref())
            };
            Label {
                action: item.action,
                names: names.into(),
            }
        });
        let labels = labels.collect();
        Self {
            snapshot,
            states,
            heard,
            took,
            labels,
        }
    }

    /// Always 200: the items say what failed, and Elasticsearch's clients look there.
    pub fn into_response(self, parts: &Parts) -> Response<Content> {
        let is_elastic =
            self.heard.is_elastic || (self.heard.answers.is_empty() && asks_elastic(parts));
        let mut writing = Writing {
            next: 0,
            is_over: false,
            answer: self,
        };
        let chunks = Box::new(move || writing.next_chunk());
        let mut answer = Response::new(Content::Chunks(chunks));
        let fields = answer.headers_mut();
        fields.insert(Field::ContentType, "application/json");
        if is_elastic {
            fields.insert(PRODUCT, "Elasticsearch");
        }
        answer
    }

    fn has_errors(&self) -> bool {
        let mut items = self.states.iter().zip(&self.labels);
        items.any(|(state, label)| match &state.fate {
            Fate::Refused(_) => true,
            Fate::Sent { verdict, .. } => match verdict.get() {
                Verdict::BulkItemAnswer { answer, at, .. } => {
                    self.heard.told(answer, at).is_none_or(|(_, told)| {
                        // Nothing to delete is no error there.
                        let nothing = label.action == Action::Delete
                            && told.is_plain
                            && told.status == StatusCode::NOT_FOUND;
                        !told.status.is_success() && !nothing
                    })
                }
                _ => true,
            },
        })
    }

    fn write(&self, index: usize, out: &mut Vec<u8>) {
        let (Some(state), Some(label)) = (self.states.get(index), self.labels.get(index)) else {
            return;
        };
        let (region, verdict) = match &state.fate {
            Fate::Refused(refused) => return self.write_refused(state, label, refused, out),
            Fate::Sent { region, verdict } => (*region, verdict.get()),
        };
        let name = self.snapshot.regions.name(region);
        let refused = match verdict {
            Verdict::BulkItemAnswer {
                answer,
                at,
                withheld,
            } => match self.heard.told(answer, at) {
                Some((answer, told)) if !withheld => {
                    return match answer.relayed(told) {
                        Some(relayed) => self.write_relayed(state, name, relayed, out),
                        None => self.write_as_it_came(state, name, answer.text(told), out),
                    };
                }
                Some((answer, told)) => {
                    return self.write_withheld(
                        state,
                        label,
                        name,
                        (told, answer.words(told)),
                        out,
                    );
                }
                None => Refused::Internal("an answer is not where it was put"),
            },
            Verdict::All(status) => return self.write_all(state, label, name, status, out),
            Verdict::Failed(status) => failure(status, name),
            Verdict::Open => failure(StatusCode::BAD_GATEWAY, name),
            Verdict::ErasureLeft => match self.heard.left.get(&index) {
                Some(left) => left.told(&self.snapshot.regions),
                None => Refused::Internal("an open erasure is not where it was put"),
            },
        };
        self.write_refused(state, label, &refused, out);
    }

    fn write_as_it_came(&self, state: &ItemState, region: &str, text: &str, out: &mut Vec<u8>) {
        // `{"index":{…}}`, read before: what comes before the last two brackets, then ours.
        let inner = text.trim_end().strip_suffix('}').map(str::trim_end);
        let inner = inner.and_then(|t| t.strip_suffix('}')).unwrap_or(text);
        out.extend_from_slice(inner.as_bytes());
        out.push(b',');
        write_ours(out, Some(region), state.decision, None);
        out.extend_from_slice(b"}}");
    }

    /// What a router behind said, told apart from our word: within it.
    fn write_relayed(
        &self,
        state: &ItemState,
        region: &str,
        (begun, theirs): (String, &str),
        out: &mut Vec<u8>,
    ) {
        out.extend_from_slice(begun.as_bytes());
        write_ours(out, Some(region), state.decision, None);
        // It ends with a brace, and is never empty.
        out.pop();
        out.extend_from_slice(b",\"behind\":");
        out.extend_from_slice(theirs.as_bytes());
        out.extend_from_slice(b"}}}");
    }

    fn write_withheld(
        &self,
        state: &ItemState,
        label: &Label,
        region: &str,
        (told, (result, error)): (&BulkItemAnswer, (Option<&str>, Option<&str>)),
        out: &mut Vec<u8>,
    ) {
        open(out, label, told.status);
        if let Some(result) = result {
            member(out, "result", &result);
        }
        // That nothing was found is no error: a router in front would not take it for an erasure then.
        if told.is_error || (!told.status.is_success() && result.is_none()) {
            #[derive(Serialize)]
            struct Error<'a> {
                r#type: &'a str,
                reason: &'a str,
            }
            let error = Error {
                r#type: error.unwrap_or("domicile_withheld"),
                reason: "withheld: the reason may quote the document, and reading it from there is not permitted here",
            };
            member(out, "error", &error);
        }
        out.push(b',');
        write_ours(out, Some(region), state.decision, Some("withheld"));
        out.extend_from_slice(b"}}");
    }

    fn write_all(
        &self,
        state: &ItemState,
        label: &Label,
        region: &str,
        status: StatusCode,
        out: &mut Vec<u8>,
    ) {
        // A 4xx is a refusal; behind a 5xx, a gateway's above all, some may have been done.
        let done = match status.is_server_error() {
            true => "and does not say what of it was carried out",
            false => "of which nothing was carried out",
        };
        let detail =
            format!("region `{region}` answered {status} to its whole part of the request, {done}");
        let error = Error {
            r#type: "domicile_region_refused",
            reason: &detail,
            region: Some(region),
            decision: state.decision,
            rule: None,
            citation: None,
            from: None,
            to: None,
            missing: None,
            unreached: &[],
        };
        open(out, label, status);
        member(out, "error", &error);
        out.push(b',');
        write_ours(out, Some(region), state.decision, None);
        out.extend_from_slice(b"}}");
    }

    fn write_refused(
        &self,
        state: &ItemState,
        label: &Label,
        refused: &Refused,
        out: &mut Vec<u8>,
    ) {
        let problem = refused.problem(None);
        let reason = format!("{}: {}", problem.title, problem.detail);
        let kind = error_type(refused.name());
        let error = Error {
            r#type: &kind,
            reason: &reason,
            region: problem.region.as_deref(),
            decision: state.decision,
            rule: problem.rule.as_deref(),
            citation: problem.citation.as_deref(),
            from: problem.from.as_ref(),
            to: problem.to.as_ref(),
            missing: problem.missing.as_deref(),
            unreached: &problem.unreached,
        };
        open(out, label, refused.status());
        member(out, "error", &error);
        out.push(b',');
        write_ours(out, problem.region.as_deref(), state.decision, None);
        out.extend_from_slice(b"}}");
    }
}

/// Why an item failed, with what a problem document would say beside `type` and `reason`.
#[derive(Serialize)]
struct Error<'a> {
    r#type: &'a str,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<&'a str>,
    decision: DecisionId,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    citation: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a FlowEnd>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'a FlowEnd>,
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<&'a [Missing]>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    unreached: &'a [String],
}

/// `transfer-forbidden` as Elasticsearch writes such words.
pub fn error_type(name: &str) -> String {
    format!("domicile_{}", name.replace('-', "_"))
}

/// What the router has to say of an item, in every item's own member.
fn write_ours(
    out: &mut Vec<u8>,
    region: Option<&str>,
    decision: DecisionId,
    body: Option<&'static str>,
) {
    #[derive(Serialize)]
    struct Ours<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        region: Option<&'a str>,
        decision: DecisionId,
        #[serde(skip_serializing_if = "Option::is_none")]
        body: Option<&'static str>,
    }
    out.extend_from_slice(b"\"domicile\":");
    let ours = Ours {
        region,
        decision,
        body,
    };
    write_json(out, &ours);
}

fn open(out: &mut Vec<u8>, label: &Label, status: StatusCode) {
    let (action, names) = (label.action.as_str(), &label.names);
    let status = status.as_u16();
    // Into memory: it cannot fail.
    let _ = write!(out, "{{\"{action}\":{{{names},\"status\":{status}");
}

fn member(out: &mut Vec<u8>, name: &str, value: &impl Serialize) {
    let _ = write!(out, ",\"{name}\":");
    write_json(out, value);
}

fn write_json(out: &mut Vec<u8>, value: &impl Serialize) {
    let start = out.len();
    if serde_json::to_writer(&mut *out, value).is_err() {
        out.truncate(start);
        out.extend_from_slice(b"null");
    }
}

fn names(item: &BulkItem, body: &[u8], index: Option<&str>) -> String {
    let index = item.index_json(body).or(index).unwrap_or("null");
    let id = item.id_json(body).unwrap_or("null");
    let quote = if id.starts_with(|c: char| c.is_ascii_digit() || c == '-') {
        "\""
    } else {
        ""
    };
    format!("\"_index\":{index},\"_id\":{quote}{id}{quote}")
}

/// What the router's own status for a permitted item means.
fn failure(status: StatusCode, region: &str) -> Refused {
    let named = region.to_owned();
    match status {
        StatusCode::SERVICE_UNAVAILABLE => Refused::BackendUnreachable {
            region: named,
            detail: format!("region `{region}` cannot be reached or is busy"),
        },
        StatusCode::GATEWAY_TIMEOUT => Refused::BackendTimeout {
            region: named,
            detail: format!("region `{region}` did not answer in time"),
        },
        _ => Refused::BackendBroken {
            region: named,
            detail: format!("region `{region}` did not say what became of the item"),
        },
    }
}

/// Where the writing of an answer is.
struct Writing {
    answer: Answer,
    next: usize,
    is_over: bool,
}

impl Writing {
    fn next_chunk(&mut self) -> Option<Bytes> {
        if self.is_over {
            return None;
        }
        let mut out = Vec::with_capacity(CHUNK + CHUNK / 4);
        if self.next == 0 {
            let (took, errors) = (self.answer.took, self.answer.has_errors());
            let _ = write!(out, "{{\"took\":{took},\"errors\":{errors},\"items\":[");
        }
        let count = self.answer.states.len();
        while self.next < count && out.len() < CHUNK {
            if self.next > 0 {
                out.push(b',');
            }
            self.answer.write(self.next, &mut out);
            self.next += 1;
        }
        if self.next >= count {
            self.is_over = true;
            out.extend_from_slice(b"]}");
        }
        Some(out.into())
    }
}
