//! What was decided, in ids: cheap to carry from the decision to ledger, metrics and answer.

use smallvec::SmallVec;

use crate::{
    domain::{Country, Operation, Outcome},
    policy::{
        Checked, Instrument, InstrumentId, LawId, MechanismId, RecipientId, RuleId, RuleInfo,
    },
};

/// The decision on one flow. Its accessors take the policy that decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub(super) outcome: Outcome,
    pub(super) operation: Operation,
    pub(super) findings: SmallVec<[LawFinding; 4]>,
    pub(super) broken: SmallVec<[RuleId; 2]>,
    pub(super) lead: Lead,
    pub(super) flow_home: bool,
    /// Who was asked about, in a disclosure.
    pub(super) recipient: Option<RecipientId>,
}

/// What one law says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LawFinding {
    pub law: FindingLaw,
    pub kind: FindingKind,
    /// The rule that permits or refuses.
    pub rule: RuleId,
    pub mechanism: Option<MechanismId>,
    pub module: Option<u8>,
    pub instrument: Option<InstrumentId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FindingLaw {
    Law(LawId),
    /// A country without a law file.
    Country(Country),
    /// Nothing attaches at all.
    None,
}

/// In the order in which the flat answer names what refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FindingKind {
    Forbidden,
    Localised,
    Missing,
    Permitted,
}

/// Which finding the flat fields repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lead {
    /// Nothing personal: no law was asked.
    None,
    /// Index among the findings.
    Finding(u8),
    Promise(RuleId),
}

impl Verdict {
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// The operation that was decided on.
    pub fn operation(&self) -> Operation {
        self.operation
    }

    pub fn is_permit(&self) -> bool {
        self.outcome == Outcome::Permit
    }

    /// One per law that attaches, in the order of the laws' ids.
    pub fn findings(&self) -> &[LawFinding] {
        &self.findings
    }

    /// The finding that the flat fields repeat; `None` when a promise refuses, or when nothing
    /// in the record is personal.
    pub fn lead(&self) -> Option<&LawFinding> {
        match self.lead {
            Lead::Finding(i) => self.findings.get(usize::from(i)),
            Lead::None | Lead::Promise(_) => None,
        }
    }

    /// Nothing in the record is personal, so no law and no promise was asked.
    pub fn is_impersonal(&self) -> bool {
        self.is_permit() && self.lead == Lead::None && self.findings.is_empty()
    }

    /// The recipient that the decision was about.
    pub fn recipient(&self) -> Option<RecipientId> {
        self.recipient
    }

    /// Nothing moves but to the subject's home, or nothing crosses a border at all.
    pub fn is_flow_home(&self) -> bool {
        self.flow_home
    }

    /// The mechanism of the most demanding law; `None` in a refusal.
    pub fn mechanism<'p>(&self, policy: &'p Checked) -> Option<&'p str> {
        let id = self.permitted()?.mechanism?;
        policy.mechanism(id).map(|m| m.key.as_ref())
    }

    pub fn mechanism_id(&self) -> Option<MechanismId> {
        self.permitted()?.mechanism
    }

    pub fn module(&self) -> Option<u8> {
        self.permitted()?.module
    }

    /// With its parties, for the ledger entry.
    pub fn instrument<'p>(&self, policy: &'p Checked) -> Option<&'p Instrument> {
        policy.instrument(self.instrument_id()?)
    }

    pub fn instrument_id(&self) -> Option<InstrumentId> {
        self.permitted()?.instrument
    }

    fn permitted(&self) -> Option<&LawFinding> {
        self.lead().filter(|_| self.is_permit())
    }

    /// The one rule that the flat answer names.
    pub fn rule<'p>(&self, policy: &'p Checked) -> Option<&'p RuleInfo> {
        match self.lead {
            Lead::None => None,
            Lead::Promise(rule) => policy.rule(rule),
            Lead::Finding(_) => policy.rule(self.lead()?.rule),
        }
    }

    /// Every rule that was decisive: one per law, then the broken promises.
    pub fn rules(&self) -> impl Iterator<Item = RuleId> + '_ {
        let of_laws = self.findings.iter().map(|f| f.rule);
        of_laws.chain(self.broken.iter().copied())
    }

    /// Names of the laws that attached, `BR` for a country without a law file.
    pub fn laws<'p>(&'p self, policy: &'p Checked) -> impl Iterator<Item = &'p str> {
        self.findings.iter().filter_map(|f| f.law.name(policy))
    }

    /// What the permit obliges to, without repetition; empty in a refusal.
    pub fn duties<'p>(&self, policy: &'p Checked) -> SmallVec<[&'p str; 8]> {
        let mut duties: SmallVec<[&str; 8]> = SmallVec::new();
        if !self.is_permit() {
            return duties;
        }
        let mut add = |duty: &'p str| {
            if !duties.contains(&duty) {
                duties.push(duty);
            }
        };
        for finding in &self.findings {
            let FindingLaw::Law(id) = finding.law else {
                add(policy.mechanism_key(policy.no_law_file));
                continue;
            };
            let Some(law) = policy.law(id) else {
                continue;
            };
            let Some(rule) = law.rules.iter().find(|r| r.number == finding.rule) else {
                continue;
            };
            let home = rule
                .mechanism
                .and_then(|m| policy.mechanism(m))
                .is_some_and(|m| m.home);
            if rule.is_crossing() && !home && !rule.only_erases() {
                law.transfer_duties.iter().for_each(|d| add(d));
            }
            rule.duties.iter().for_each(|d| add(d));
        }
        duties
    }
}

impl FindingLaw {
    pub fn name<'p>(&'p self, policy: &'p Checked) -> Option<&'p str> {
        match self {
            Self::Law(id) => Some(policy.law_id(*id)),
            Self::Country(country) => Some(country.as_str()),
            Self::None => None,
        }
    }
}
