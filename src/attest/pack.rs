//! The entries of a batch in bytes: the same as of each alone, made from what they share.

use std::sync::Arc;

use super::{
    Bundle, Outcomes, Profile, bundle,
    codec::Put,
    record::{DECISION, OUTCOME, Papers, ProfileRef, put_decision},
};
use crate::{
    domain::{DecisionId, SubjectKey},
    locate::PinChange,
};

/// Writes the decisions of a batch; `number` gives the numbers of profiles in the segment.
///
/// Entries of one kind are the same bytes but for decision and subject, which are written over.
pub(super) fn put_bundle(
    out: &mut Vec<u8>,
    bundle: &Bundle,
    base: i64,
    number: &mut impl FnMut(&Arc<Profile>) -> u32,
) {
    let nobody = SubjectKey::from_bytes([0; SubjectKey::LEN]);
    let time = bundle.at().as_microsecond().saturating_sub(base);
    // By kind: its bytes, and where its own decision and subject stand.
    let mut likes: Vec<(u32, Vec<u8>, usize, Option<usize>)> = Vec::new();
    for kind in bundle.kinds() {
        let number = number(&kind.profile);
        let subject = kind.is_named.then_some(nobody);
        let mut bytes = Vec::with_capacity(64);
        let id = DecisionId::from_bytes([0; 16]);
        let decision_at = put(&mut bytes, time, number, id, kind, subject, None);
        let mut number_bytes = Vec::new();
        number_bytes.varint(u64::from(number));
        let subject_at = decision_at + 16 + number_bytes.len() + 2;
        let subject_at = kind.is_named.then_some(subject_at);
        likes.push((number, bytes, decision_at, subject_at));
    }
    for (kind, row, extra) in bundle.rows() {
        let Some((number, bytes, decision_at, subject_at)) = likes.get(kind) else {
            continue;
        };
        if let Some(pin) = extra.and_then(|e| e.pin.as_ref())
            && let Some(kind) = bundle.kinds().get(kind)
        {
            let decision = DecisionId::from_bytes(row.decision);
            let pin = pin.change();
            put(
                out,
                time,
                *number,
                decision,
                kind,
                row.key(kind),
                Some(&pin),
            );
            continue;
        }
        let start = out.len();
        out.extend_from_slice(bytes);
        let entry = out.get_mut(start..).unwrap_or_default();
        write_over(entry, *decision_at, &row.decision);
        if let Some(at) = subject_at {
            write_over(entry, *at, &row.subject);
        }
    }
}

/// Writes one entry, and gives where its decision stands.
fn put(
    out: &mut Vec<u8>,
    time: i64,
    number: u32,
    decision: DecisionId,
    kind: &bundle::Kind,
    subject: Option<SubjectKey>,
    pin: Option<&PinChange>,
) -> usize {
    out.push(DECISION);
    out.signed(time);
    let decision_at = out.len();
    let profile = ProfileRef::Number(number);
    let papers = Papers {
        reference: kind.reference.as_deref(),
        order: kind.order.as_deref(),
    };
    put_decision(
        out,
        &decision.to_bytes(),
        &profile,
        subject,
        kind.evidence,
        pin,
        papers,
    );
    decision_at
}

#[inline(always)]
fn write_over(entry: &mut [u8], at: usize, with: &[u8; 16]) {
    if let Some(place) = entry.get_mut(at..).and_then(|e| e.first_chunk_mut()) {
        *place = *with;
    }
}

pub(super) fn put_outcomes(out: &mut Vec<u8>, outcomes: &Outcomes, base: i64) {
    let mut head = vec![OUTCOME];
    head.signed(outcomes.at.as_microsecond().saturating_sub(base));
    for (decision, status) in &outcomes.rows {
        out.extend_from_slice(&head);
        let mut rest = [0; 18];
        let (id, code) = rest.split_at_mut(16);
        id.copy_from_slice(decision);
        code.copy_from_slice(&status.to_le_bytes());
        out.extend_from_slice(&rest);
    }
}
