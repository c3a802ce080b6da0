//! The bytes of entries and leaves, as `docs/ledger-format.md` gives them. Pure.

use std::sync::Arc;

use jiff::Timestamp;
use smallvec::SmallVec;

use super::{
    Draft, Entry, Kind, Ordered, Pinning, Profile, REFERENCE_MAX,
    codec::{Malformed, Put, Read, Take},
    format::{Hash, sha256},
    lazy::{Came, Home},
    profile::place,
};
use crate::{
    domain::{DecisionId, EvidenceSet, SubjectKey},
    locate::PinChange,
};

pub(super) const DECISION: u8 = 0x10;
pub(super) const OUTCOME: u8 = 0x11;
const RECOVERED: u8 = 0x12;
const RESUMED: u8 = 0x13;

const HAS_SUBJECT: u8 = 1;
const HAS_PIN: u8 = 2;
const HAS_REFERENCE: u8 = 4;
const HAS_ORDER: u8 = 8;
const FLAGS: u8 = HAS_SUBJECT | HAS_PIN | HAS_REFERENCE | HAS_ORDER;

/// What a caller called the papers of its flow.
#[derive(Clone, Copy, Default)]
pub(super) struct Papers<'a> {
    pub reference: Option<&'a str>,
    pub order: Option<&'a Ordered>,
}

/// How an entry refers to its profile: by number in a segment, by digest in a leaf.
pub(super) enum ProfileRef<'a> {
    Number(u32),
    Digest(&'a Hash),
}

/// The part of a decision that follows its time.
pub(super) fn put_decision(
    out: &mut Vec<u8>,
    decision: &[u8; 16],
    profile: &ProfileRef<'_>,
    subject: Option<SubjectKey>,
    evidence: EvidenceSet,
    pin: Option<&PinChange>,
    papers: Papers<'_>,
) {
    out.extend_from_slice(decision);
    match profile {
        ProfileRef::Number(number) => out.varint(u64::from(*number)),
        ProfileRef::Digest(digest) => out.extend_from_slice(*digest),
    }
    let reference = papers.reference.map(shortened).filter(|r| !r.is_empty());
    let mut flags = 0;
    for (there, flag) in [
        (subject.is_some(), HAS_SUBJECT),
        (pin.is_some(), HAS_PIN),
        (reference.is_some(), HAS_REFERENCE),
        (papers.order.is_some(), HAS_ORDER),
    ] {
        flags |= if there { flag } else { 0 };
    }
    out.extend_from_slice(&[flags, evidence.bits()]);
    if let Some(subject) = subject {
        out.extend_from_slice(&subject.to_bytes());
    }
    if let Some(pin) = pin {
        put_pin(out, pin);
    }
    if let Some(reference) = reference {
        out.text(reference);
    }
    if let Some(order) = papers.order {
        put_order(out, order);
    }
}

fn put_order(out: &mut Vec<u8>, order: &Ordered) {
    let Ordered {
        authority_country,
        approval,
        ground_reference,
    } = order;
    out.text(&authority_country.to_string());
    for text in [approval, ground_reference] {
        let text = text.as_deref().map(shortened);
        out.maybe(text.filter(|text| !text.is_empty()));
    }
}

fn take_order(take: &mut Take<'_>) -> Read<Ordered> {
    fn bounded(take: &mut Take<'_>) -> Read<Option<Arc<str>>> {
        let text = take.maybe()?;
        let fits = |text: &Arc<str>| (1..=REFERENCE_MAX).contains(&text.len());
        match text.as_ref().is_none_or(fits) {
            true => Ok(text),
            false => Err(Malformed("what is said of an order is empty or too long")),
        }
    }
    Ok(Ordered {
        authority_country: place(take)?,
        approval: bounded(take)?,
        ground_reference: bounded(take)?,
    })
}

fn put_pin(out: &mut Vec<u8>, pin: &PinChange) {
    let (tag, region) = match pin {
        PinChange::Claim { region, .. } => (0, region),
        PinChange::Move { region } => (1, region),
        PinChange::Copy { region } => (2, region),
        PinChange::Drop { region } => (3, region),
    };
    out.push(tag);
    out.text(region);
    if let PinChange::Claim { countries, .. } = pin {
        out.varint(countries.len() as u64);
        for country in countries {
            out.text(&country.to_string());
        }
    }
}

fn take_pin(take: &mut Take<'_>) -> Read<PinChange> {
    let tag = take.byte()?;
    let region = take.shared()?;
    Ok(match tag {
        0 => PinChange::Claim {
            region,
            countries: {
                let count = take.count()?;
                (0..count)
                    .map(|_| place(take))
                    .collect::<Read<SmallVec<_>>>()?
            },
        },
        1 => PinChange::Move { region },
        2 => PinChange::Copy { region },
        3 => PinChange::Drop { region },
        _ => return Err(Malformed("no such change of a pin")),
    })
}

/// At most [`REFERENCE_MAX`] bytes, cut between characters.
fn shortened(reference: &str) -> &str {
    let mut end = REFERENCE_MAX.min(reference.len());
    while !reference.is_char_boundary(end) {
        end -= 1;
    }
    reference.get(..end).unwrap_or_default()
}

/// Writes a decision; `profile` is its number in the segment, `base` the frame's.
pub(super) fn put_draft(out: &mut Vec<u8>, draft: &Draft, profile: u32, base: i64) {
    out.push(DECISION);
    out.signed(draft.at.as_microsecond().saturating_sub(base));
    put_decision(
        out,
        &draft.decision.to_bytes(),
        &ProfileRef::Number(profile),
        draft.key(),
        draft.evidence,
        draft.pin.as_ref().map(Pinning::change).as_ref(),
        Papers {
            reference: draft.reference.as_deref(),
            order: draft.order.as_deref(),
        },
    );
}

/// Writes a flow home; as [`put_draft`].
pub(super) fn put_home(out: &mut Vec<u8>, home: &Home, profile: u32, base: i64) {
    out.push(DECISION);
    out.signed(home.at.saturating_sub(base));
    let profile = ProfileRef::Number(profile);
    put_decision(
        out,
        &home.decision,
        &profile,
        home.subject,
        home.evidence,
        None,
        Papers::default(),
    );
}

pub(super) fn put_outcome(out: &mut Vec<u8>, came: &Came, base: i64) {
    out.push(OUTCOME);
    out.signed(came.at.saturating_sub(base));
    out.extend_from_slice(&came.decision);
    out.extend_from_slice(&came.status.to_le_bytes());
}

pub(super) fn put_recovered(out: &mut Vec<u8>, at: i64, lost: u64, base: i64) {
    out.push(RECOVERED);
    out.signed(at.saturating_sub(base));
    out.varint(lost);
}

pub(super) fn put_resumed(out: &mut Vec<u8>, at: i64, refused: u64, base: i64) {
    out.push(RESUMED);
    out.signed(at.saturating_sub(base));
    out.varint(refused);
}

/// Reads one entry; `profiles` are those of the segment so far.
pub(super) fn take_entry(
    take: &mut Take<'_>,
    seq: u64,
    base: i64,
    profiles: &[Arc<Profile>],
) -> Read<Entry> {
    let tag = take.byte()?;
    let at = take
        .signed()?
        .checked_add(base)
        .and_then(|at| Timestamp::from_microsecond(at).ok())
        .ok_or(Malformed("a time is out of range"))?;
    let kind = match tag {
        DECISION => {
            let decision = DecisionId::from_bytes(take.array()?);
            let number = take.varint()?;
            let profile = usize::try_from(number)
                .ok()
                .and_then(|n| profiles.get(n))
                .ok_or(Malformed(
                    "an entry names a profile that does not stand before it",
                ))?;
            take_decision(take, decision, Arc::clone(profile))?
        }
        tag => take_other(tag, take)?,
    };
    Ok(Entry { seq, at, kind })
}

/// What stands after a decision's profile.
fn take_decision(take: &mut Take<'_>, decision: DecisionId, profile: Arc<Profile>) -> Read<Kind> {
    let flags = take.byte()?;
    if flags & !FLAGS != 0 {
        return Err(Malformed("an entry has an unknown flag"));
    }
    let bits = take.byte()?;
    let evidence = EvidenceSet::from_bits(bits);
    if evidence.bits() != bits {
        return Err(Malformed("no such kind of evidence"));
    }
    let subject = if flags & HAS_SUBJECT != 0 {
        Some(SubjectKey::from_bytes(take.array()?))
    } else {
        None
    };
    let pin = if flags & HAS_PIN != 0 {
        Some(take_pin(take)?)
    } else {
        None
    };
    let reference = if flags & HAS_REFERENCE != 0 {
        let text = take.text()?;
        if text.is_empty() || text.len() > REFERENCE_MAX {
            return Err(Malformed("a reference is empty or too long"));
        }
        Some(text.into())
    } else {
        None
    };
    let order = if flags & HAS_ORDER != 0 {
        Some(take_order(take)?.into())
    } else {
        None
    };
    Ok(Kind::Decision {
        decision,
        profile,
        subject,
        evidence,
        pin,
        reference,
        order,
    })
}

fn take_other(tag: u8, take: &mut Take<'_>) -> Read<Kind> {
    Ok(match tag {
        OUTCOME => Kind::Outcome {
            decision: DecisionId::from_bytes(take.array()?),
            status: u16::from_le_bytes(take.array()?),
        },
        RECOVERED => Kind::Recovered {
            lost: take.varint()?,
        },
        RESUMED => Kind::Resumed {
            refused: take.varint()?,
        },
        _ => return Err(Malformed("no such kind of entry")),
    })
}

impl Entry {
    /// The entry's bytes outside any segment, for Merkle trees: the same fields, with the number
    /// and the time in full and the profile by its digest, so that they prove the whole entry to
    /// whoever holds the profile's bytes.
    pub fn leaf(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(160);
        let tag = match &self.kind {
            Kind::Decision { .. } => DECISION,
            Kind::Outcome { .. } => OUTCOME,
            Kind::Recovered { .. } => RECOVERED,
            Kind::Resumed { .. } => RESUMED,
        };
        out.push(tag);
        out.extend_from_slice(&self.seq.to_le_bytes());
        out.extend_from_slice(&self.at.as_microsecond().to_le_bytes());
        match &self.kind {
            Kind::Decision {
                decision,
                profile,
                subject,
                evidence,
                pin,
                reference,
                order,
            } => put_decision(
                &mut out,
                &decision.to_bytes(),
                &ProfileRef::Digest(&profile.digest()),
                *subject,
                *evidence,
                pin.as_ref(),
                Papers {
                    reference: reference.as_deref(),
                    order: order.as_deref(),
                },
            ),
            Kind::Outcome { decision, status } => {
                out.extend_from_slice(&decision.to_bytes());
                out.extend_from_slice(&status.to_le_bytes());
            }
            Kind::Recovered { lost } => out.varint(*lost),
            Kind::Resumed { refused } => out.varint(*refused),
        }
        out
    }

    /// The entry of a leaf; `profile` gives the one of a digest.
    ///
    /// # Errors
    /// What is wrong with bytes that are no leaf, or that the profile cannot be had.
    pub fn from_leaf(
        leaf: &[u8],
        profile: impl FnOnce(&[u8; 32]) -> Option<Arc<Profile>>,
    ) -> Result<Self, &'static str> {
        let mut take = Take::new(leaf);
        let read = || {
            let tag = take.byte()?;
            let seq = take.u64()?;
            let at = Timestamp::from_microsecond(i64::from_le_bytes(take.array()?))
                .map_err(|_| Malformed("a time is out of range"))?;
            let kind = match tag {
                DECISION => {
                    let decision = DecisionId::from_bytes(take.array()?);
                    let profile = profile(&take.array()?)
                        .ok_or(Malformed("the profile that it names is not there"))?;
                    take_decision(&mut take, decision, profile)?
                }
                tag => take_other(tag, &mut take)?,
            };
            match take.is_empty() {
                true => Ok(Self { seq, at, kind }),
                false => Err(Malformed("more stands there than an entry")),
            }
        };
        read().map_err(|Malformed(what)| what)
    }

    /// RFC 6962 §2.1: SHA-256 of a zero byte and the leaf.
    pub fn leaf_hash(&self) -> [u8; 32] {
        sha256(&[&[0], &self.leaf()])
    }
}
