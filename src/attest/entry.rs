use std::{fmt, sync::Arc};

use jiff::Timestamp;
use serde::{Serialize, Serializer, ser::SerializeMap};

use super::{Ordered, Profile, Stated};
use crate::{
    domain::{Circumstances, DecisionId, EvidenceSet, SubjectKey},
    locate::PinChange,
};

/// One entry as it was read back.
///
/// Its JSON (`/v1/ledger`, `ledger tail --json`) is one flat object; what an entry does not have
/// is left out. The subject is its key in hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// From 1, without gaps.
    pub seq: u64,
    /// To the microsecond.
    pub at: Timestamp,
    pub kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Decision {
        decision: DecisionId,
        profile: Arc<Profile>,
        subject: Option<SubjectKey>,
        evidence: EvidenceSet,
        pin: Option<PinChange>,
        reference: Option<Arc<str>>,
        order: Option<Arc<Ordered>>,
    },
    /// What the backend answered; status 0: no answer came.
    Outcome { decision: DecisionId, status: u16 },
    /// At this start `lost` acknowledged entries were missing from the end of the ledger.
    Recovered { lost: u64 },
    /// The ledger could be written again, after `refused` requests had been turned away.
    Resumed { refused: u64 },
}

impl Entry {
    pub fn decision(&self) -> Option<DecisionId> {
        match self.kind {
            Kind::Decision { decision, .. } | Kind::Outcome { decision, .. } => Some(decision),
            Kind::Recovered { .. } | Kind::Resumed { .. } => None,
        }
    }
}

impl Kind {
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Decision { .. } => "decision",
            Self::Outcome { .. } => "outcome",
            Self::Recovered { .. } => "recovered",
            Self::Resumed { .. } => "resumed",
        }
    }
}

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut map = s.serialize_map(None)?;
        map.serialize_entry("seq", &self.seq)?;
        // All as long as each other, so that times in the order of texts stand in that of time.
        map.serialize_entry("at", &format_args!("{:.6}", self.at))?;
        map.serialize_entry("kind", self.kind.as_str())?;
        match &self.kind {
            Kind::Outcome { decision, status } => {
                map.serialize_entry("decision", decision)?;
                map.serialize_entry("status", status)?;
            }
            Kind::Recovered { lost } => map.serialize_entry("lost", lost)?,
            Kind::Resumed { refused } => map.serialize_entry("refused", refused)?,
            Kind::Decision {
                decision,
                profile,
                subject,
                evidence,
                pin,
                reference,
                order,
            } => {
                map.serialize_entry("decision", decision)?;
                write_profile(&mut map, profile)?;
                if let Some(subject) = subject {
                    map.serialize_entry("subject", &subject.reveal())?;
                }
                map.serialize_entry("evidence", evidence)?;
                if let Some(pin) = pin {
                    map.serialize_entry("pin", pin_word(pin))?;
                    map.serialize_entry("pin_region", pin_region(pin))?;
                    if let PinChange::Claim { countries, .. } = pin {
                        map.serialize_entry("pin_countries", countries.as_slice())?;
                    }
                }
                if let Some(reference) = reference {
                    map.serialize_entry("reference", reference)?;
                }
                if let Some(order) = order {
                    write_order(&mut map, order)?;
                }
            }
        }
        map.end()
    }
}

fn write_order<M: SerializeMap>(map: &mut M, order: &Ordered) -> Result<(), M::Error> {
    let Ordered {
        authority_country,
        approval,
        ground_reference,
    } = order;
    map.serialize_entry("authority_country", authority_country)?;
    if let Some(approval) = approval {
        map.serialize_entry("approval", approval)?;
    }
    if let Some(reference) = ground_reference {
        map.serialize_entry("ground_reference", reference)?;
    }
    Ok(())
}

fn write_profile<M: SerializeMap>(map: &mut M, profile: &Profile) -> Result<(), M::Error> {
    // Named in full: a new member will not compile until somebody has thought of it here.
    let Profile {
        policy,
        settings,
        route,
        operation,
        laws,
        categories,
        from,
        to,
        via,
        region,
        mechanism,
        instrument,
        module,
        exporter,
        importer,
        rules,
        outcome,
        problem,
        duties,
        missing,
        counted,
        observed,
        circumstances,
        reached,
        stated,
    } = profile;
    map.serialize_entry("outcome", outcome)?;
    map.serialize_entry("policy", policy)?;
    if let Some(settings) = settings {
        map.serialize_entry("settings", settings)?;
    }
    map.serialize_entry("route", route)?;
    map.serialize_entry("operation", operation)?;
    map.serialize_entry("laws", laws)?;
    map.serialize_entry("categories", categories)?;
    map.serialize_entry("from", from)?;
    map.serialize_entry("to", to)?;
    map.serialize_entry("rules", rules)?;
    map.serialize_entry("duties", duties)?;
    map.serialize_entry("missing", missing)?;
    let texts = [
        ("region", region),
        ("reached", reached),
        ("mechanism", mechanism),
        ("instrument", instrument),
        ("exporter", exporter),
        ("importer", importer),
        ("problem", problem),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            map.serialize_entry(name, text)?;
        }
    }
    if !counted.is_empty() {
        map.serialize_entry("counted", counted)?;
    }
    if !observed.is_empty() {
        map.serialize_entry("observed", observed)?;
    }
    let Circumstances {
        subject_kind,
        basis,
        transaction,
        special_ground,
    } = circumstances;
    if let Some(kind) = subject_kind {
        map.serialize_entry("subject_kind", kind)?;
    }
    if let Some(basis) = basis {
        map.serialize_entry("basis", basis)?;
    }
    if let Some(transaction) = transaction {
        map.serialize_entry("transaction", transaction)?;
    }
    if let Some(ground) = special_ground {
        map.serialize_entry("special_ground", ground)?;
    }
    let Stated {
        purpose,
        grounds,
        lifted,
    } = stated;
    if let Some(purpose) = purpose {
        map.serialize_entry("purpose", purpose)?;
    }
    if !grounds.is_empty() {
        map.serialize_entry("grounds", grounds)?;
    }
    if !lifted.is_empty() {
        map.serialize_entry("lifted", lifted)?;
    }
    if let Some(via) = via {
        map.serialize_entry("via", via)?;
    }
    if let Some(module) = module {
        map.serialize_entry("module", module)?;
    }
    Ok(())
}

fn pin_word(change: &PinChange) -> &'static str {
    match change {
        PinChange::Claim { .. } => "claim",
        PinChange::Move { .. } => "move",
        PinChange::Copy { .. } => "copy",
        PinChange::Drop { .. } => "drop",
    }
}

fn pin_region(change: &PinChange) -> &Arc<str> {
    match change {
        PinChange::Claim { region, .. }
        | PinChange::Move { region }
        | PinChange::Copy { region }
        | PinChange::Drop { region } => region,
    }
}

/// One line for people, as `ledger tail` prints it.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>8}  {:.6}  ", self.seq, self.at)?;
        match &self.kind {
            Kind::Outcome {
                decision,
                status: 0,
            } => {
                write!(f, "outcome  {decision}  no answer from the backend")
            }
            Kind::Outcome { decision, status } => {
                write!(f, "outcome  {decision}  status {status}")
            }
            Kind::Recovered { lost } => write!(
                f,
                "recovered  {lost} acknowledged entries were missing at this start"
            ),
            Kind::Resumed { refused } => write!(
                f,
                "resumed  the ledger could not be written; {refused} requests were turned away"
            ),
            Kind::Decision {
                decision,
                profile,
                subject,
                evidence,
                pin,
                reference,
                order,
            } => {
                write!(
                    f,
                    "{:<7}  {decision}  {} {}",
                    profile.outcome.as_str(),
                    profile.operation.as_str(),
                    profile.from.place,
                )?;
                if let Some(via) = &profile.via {
                    write!(f, ">{}", via.place)?;
                }
                write!(f, ">{}", profile.to.place)?;
                let texts = [
                    ("region", &profile.region),
                    ("reached", &profile.reached),
                    ("mechanism", &profile.mechanism),
                    ("instrument", &profile.instrument),
                    ("problem", &profile.problem),
                    ("reference", reference),
                ];
                for (name, text) in texts {
                    if let Some(text) = text {
                        write!(f, "  {name}={text}")?;
                    }
                }
                if let Some(order) = order {
                    write!(f, "  authority_country={}", order.authority_country)?;
                    let texts = [
                        ("approval", &order.approval),
                        ("ground_reference", &order.ground_reference),
                    ];
                    for (name, text) in texts {
                        if let Some(text) = text {
                            write!(f, "  {name}={text}")?;
                        }
                    }
                }
                if let Some(module) = profile.module {
                    write!(f, "  module={module}")?;
                }
                let lists = [("laws", &profile.laws), ("rules", &profile.rules)];
                for (name, list) in lists {
                    if !list.is_empty() {
                        write!(f, "  {name}={}", list.join(","))?;
                    }
                }
                for observed in &profile.observed {
                    let (rule, would) = (&observed.rule, observed.outcome.as_str());
                    write!(f, "  observed={rule}:{would}")?;
                }
                if !evidence.is_empty() {
                    let kinds: Vec<_> = evidence.iter().map(|k| k.as_str()).collect();
                    write!(f, "  evidence={}", kinds.join(","))?;
                }
                if let Some(pin) = pin {
                    write!(f, "  pin={}:{}", pin_word(pin), pin_region(pin))?;
                }
                if let Some(subject) = subject {
                    write!(f, "  subject={}", subject.reveal())?;
                }
                Ok(())
            }
        }
    }
}
