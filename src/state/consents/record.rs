use jiff::{Timestamp, civil::Date};
use serde::{Deserialize, Serialize};

use crate::domain::{Consent, ConsentKind, Giver, same_purpose};

/// A consent on the register.
///
/// Its JSON is what the file holds and what the admin API answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentRecord {
    /// `c1`, `c2`, …: unique on this register.
    id: String,
    #[serde(flatten)]
    pub consent: NewConsent,
    /// When it came onto the register.
    pub recorded: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<Withdrawal>,
}

/// What was agreed to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewConsent {
    pub kind: ConsentKind,
    /// `None`: any purpose.
    pub purpose: Option<String>,
    /// Countries or recipients; empty: any.
    pub to: Vec<String>,
    pub by: Giver,
    /// The day from which it counts, in the time zone of the law that asks; `None`: from the
    /// instant of its recording.
    pub given: Option<Date>,
    pub occasional: bool,
    pub informed: bool,
}

/// The end of a consent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdrawal {
    /// When it came onto the register.
    pub at: Timestamp,
    /// The day from which it counts, where that is still to come; `None`: at once.
    pub from: Option<Date>,
}

/// Which of a person's consents are meant; what is not set fits all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub id: Option<String>,
    pub kind: Option<ConsentKind>,
    pub purpose: Option<String>,
    /// One of its destinations; a consent to any destination does not name one.
    pub to: Option<String>,
    pub by: Option<Giver>,
}

impl ConsentRecord {
    pub(super) fn new(number: u64, consent: NewConsent, recorded: Timestamp) -> Self {
        Self {
            id: format!("c{number}"),
            consent,
            recorded,
            withdrawn: None,
        }
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let record: Self = serde_json::from_slice(bytes).ok()?;
        record.id.strip_prefix('c')?.parse::<u64>().ok()?;
        Some(record)
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub(super) fn number(&self) -> u64 {
        let digits = self.id.strip_prefix('c').unwrap_or_default();
        digits.parse().unwrap_or(0)
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    /// The consent with this end; `None` when it has ended already, or ends no later.
    pub(super) fn withdrawn_by(mut self, withdrawal: Withdrawal) -> Option<Self> {
        let sooner = match (self.withdrawn, withdrawal.from) {
            (None, _) => true,
            (Some(Withdrawal { from: None, .. }), _) => false,
            (Some(_), None) => true,
            (
                Some(Withdrawal {
                    from: Some(old), ..
                }),
                Some(new),
            ) => new < old,
        };
        if !sooner {
            return None;
        }
        self.withdrawn = Some(withdrawal);
        Some(self)
    }

    /// The consent as a question puts it; `None` once it is withdrawn.
    pub fn standing(&self) -> Option<Consent> {
        let withdrawn = match self.withdrawn {
            Some(Withdrawal { from: None, .. }) => return None,
            // Days are the asking law's, which may be behind: the decision sees to them.
            Some(Withdrawal { from, .. }) => from,
            None => None,
        };
        let c = &self.consent;
        Some(Consent {
            kind: c.kind,
            purpose: c.purpose.clone(),
            to: c.to.clone(),
            by: c.by,
            given: c.given,
            withdrawn,
            occasional: c.occasional,
            informed: c.informed,
        })
    }
}

impl Filter {
    /// Whether a consent that does not fit covers the destination or the purpose all the same, since
    /// it has none of its own. Where neither is asked for, everything fits.
    pub(super) fn leaves_standing(&self, record: &ConsentRecord) -> bool {
        let c = &record.consent;
        let names_neither = self.id.is_some() || (self.purpose.is_none() && self.to.is_none());
        !names_neither
            && !self.fits(record)
            && record.withdrawn.is_none()
            && self.kind.is_none_or(|k| k == c.kind)
            && self.by.is_none_or(|b| b == c.by)
            && (self.purpose.as_ref())
                .is_none_or(|p| c.purpose.as_ref().is_none_or(|own| same_purpose(own, p)))
            && self
                .to
                .as_ref()
                .is_none_or(|t| c.to.is_empty() || c.to.contains(t))
    }

    pub fn fits(&self, record: &ConsentRecord) -> bool {
        let c = &record.consent;
        self.id.as_ref().is_none_or(|id| *id == record.id)
            && self.kind.is_none_or(|k| k == c.kind)
            && self
                .purpose
                .as_ref()
                .is_none_or(|p| c.purpose.as_ref().is_some_and(|own| same_purpose(own, p)))
            && self.to.as_ref().is_none_or(|t| c.to.contains(t))
            && self.by.is_none_or(|b| b == c.by)
    }
}
