//! The question that is put to the decision, and its answer, as they stand in JSON.
//!
//! One shape everywhere: `policy explain`, the admin API, the cases of `policy test`, and (in its
//! resolved form) inside the router. Unknown keys and values are errors.

use std::collections::BTreeMap;

use jiff::{Timestamp, civil::Date};
use serde::{Deserialize, Serialize};

use super::{
    Operation, Place,
    object::{maybe_object, object, objects},
};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    pub at: Timestamp,
    pub operation: Operation,
    #[serde(deserialize_with = "object")]
    pub subject: SubjectFacts,
    /// fideslang keys or ours, never none: `user` when unknown, `system.operations` when nothing
    /// in the record is personal.
    pub categories: Vec<String>,
    #[serde(deserialize_with = "object")]
    pub from: PartyEnd,
    #[serde(deserialize_with = "object")]
    pub to: ToEnd,
    #[serde(default, deserialize_with = "maybe_object")]
    pub via: Option<PartyEnd>,
    #[serde(default)]
    pub recipient: Option<String>,
    #[serde(default)]
    pub purpose: Option<String>,
    #[serde(default, deserialize_with = "objects")]
    pub grounds: Vec<Ground>,
    #[serde(default, deserialize_with = "maybe_object")]
    pub order: Option<Order>,
    #[serde(default)]
    pub transaction: Option<Transaction>,
    #[serde(default)]
    pub protection: Option<Protection>,
    #[serde(default)]
    pub held_in: Vec<Place>,
    /// Distinct people so far, this one excluded. An absent counter is unknown.
    #[serde(default)]
    pub counts: BTreeMap<String, u64>,
    #[serde(default)]
    pub basis: Option<Basis>,
    /// Letter of GDPR Art. 9(2).
    #[serde(default)]
    pub special_ground: Option<String>,
    #[serde(default, deserialize_with = "maybe_object")]
    pub origin: Option<Origin>,
}

impl Question {
    /// Reads a question from JSON: one object, each member by its name and once.
    ///
    /// # Errors
    /// Text that is no JSON or no question, with line and column.
    pub fn from_json(text: &[u8]) -> Result<Self, serde_json::Error> {
        let mut reader = serde_json::Deserializer::from_slice(text);
        let question = object(&mut reader)?;
        reader.end()?;
        Ok(question)
    }
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubjectFacts {
    pub countries: Vec<Place>,
    #[serde(default)]
    pub citizenships: Vec<Place>,
    #[serde(default)]
    pub collected_in: Option<Place>,
    #[serde(default)]
    pub age: Option<u16>,
    /// May stand instead of `age`.
    #[serde(default)]
    pub born: Option<Date>,
    #[serde(default)]
    pub kind: Option<SubjectKind>,
    #[serde(default, deserialize_with = "objects")]
    pub consents: Vec<Consent>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SubjectKind {
    Customer,
    Employee,
    Other,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consent {
    pub kind: ConsentKind,
    #[serde(default)]
    pub purpose: Option<String>,
    /// Countries or recipients; empty means any.
    #[serde(default)]
    pub to: Vec<String>,
    #[serde(default)]
    pub by: Giver,
    #[serde(default)]
    pub given: Option<Date>,
    #[serde(default)]
    pub withdrawn: Option<Date>,
    #[serde(default)]
    pub occasional: bool,
    #[serde(default)]
    pub informed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConsentKind {
    Transfer,
    Disclosure,
    /// PIPL Art. 39.
    Separate,
    SpecialCategory,
    Parental,
    /// A document of its own (152-FZ Art. 9).
    Written,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Giver {
    #[default]
    Person,
    Parent,
}

/// One end of a flow: a place, the legal person there, and its role in this flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartyEnd {
    pub country: Place,
    /// Absent on `from`: the person hands the data over directly.
    #[serde(default)]
    pub entity: Option<String>,
    #[serde(default)]
    pub role: Option<Role>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToEnd {
    pub country: Place,
    #[serde(default)]
    pub entity: Option<String>,
    #[serde(default)]
    pub role: Option<Role>,
    /// Clauses of module 4: this importer is the controller that instructs the exporter.
    #[serde(default)]
    pub instructs_exporter: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Controller,
    Processor,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ground {
    pub kind: GroundKind,
    #[serde(default)]
    pub reference: Option<String>,
    #[serde(default)]
    pub occasional: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GroundKind {
    ContractNecessity,
    ContractInInterest,
    HumanResources,
    VitalInterest,
    LegalClaims,
    PublicInterest,
    StatutoryDuty,
    PublicRegister,
    PublicData,
    Transit,
    Treaty,
    Journalism,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    pub authority_country: Place,
    #[serde(default)]
    pub reference: Option<String>,
    #[serde(default)]
    pub approval: Option<String>,
}

/// 28 CFR 202.210.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transaction {
    Brokerage,
    Vendor,
    Employment,
    Investment,
    CorporateGroup,
    Other,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protection {
    #[default]
    Clear,
    Pseudonymised,
    EncryptedExporterKeys,
    TransitOnly,
}

/// GDPR Art. 6(1) and its sisters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    Consent,
    Contract,
    LegalObligation,
    VitalInterest,
    PublicTask,
    LegitimateInterests,
}

/// Where data came from before this hop, for an onward transfer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    pub country: Place,
    #[serde(default)]
    pub entity: Option<String>,
    #[serde(default)]
    pub instrument: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Permit,
    Refuse,
}

/// The answer. The flat fields repeat the finding of the most demanding law.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    pub outcome: Outcome,
    pub region: Option<String>,
    pub mechanism: Option<String>,
    pub module: Option<u8>,
    pub instrument: Option<String>,
    /// What refuses, in a refusal; the permitting rule otherwise.
    pub rule: Option<String>,
    pub citation: Option<String>,
    pub laws: Vec<Finding>,
    pub promises: Vec<PromiseFinding>,
    pub duties: Vec<String>,
    pub missing: Vec<Missing>,
    /// Rules under observation, where the policy with them in force would answer otherwise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub observed: Vec<ObservedRule>,
    /// Of an erasure: the legal holds that concern it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub holds: Vec<HoldFinding>,
    /// `sha256:…` of the policy that answered.
    pub policy: String,
}

/// A legal hold in force for people and data such as these.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HoldFinding {
    pub id: String,
    pub citation: String,
    /// False: it is for single people, whom a question does not name; of these it refuses it too.
    pub binds: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    pub law: String,
    pub outcome: Outcome,
    pub mechanism: Option<String>,
    pub module: Option<u8>,
    pub instrument: Option<String>,
    pub rules: Vec<RuleFinding>,
    pub missing: Vec<Missing>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RuleFinding {
    pub id: String,
    pub citation: String,
    /// `permit`, `forbid`, `localise`, or `missing` for a mechanism that lacks something.
    pub effect: String,
}

/// A rule under observation that would have turned the outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ObservedRule {
    pub rule: String,
    pub citation: String,
    /// What the outcome would be with the rules under observation in force.
    pub outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PromiseFinding {
    pub id: String,
    pub outcome: PromiseOutcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PromiseOutcome {
    Kept,
    Broken,
    NotConcerned,
}

/// What one mechanism lacks, in words a person can act on; never personal data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Missing {
    pub law: String,
    pub mechanism: String,
    pub needs: Vec<String>,
}

/// One end of a flow as refusals name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FlowEnd {
    pub country: Place,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entity: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = r#"{ "at": "2026-11-21T12:00:00Z", "operation": "store",
        "subject": { "countries": ["DE"] }, "categories": ["user.name"],
        "from": { "country": "DE" }, "to": { "country": "DE" } }"#;

    #[test]
    fn a_question_is_one_object_with_named_members() {
        assert!(Question::from_json(PLAIN.as_bytes()).is_ok());
        for (whole, part) in [
            (r#"{ "countries": ["DE"] }"#, r#"[["DE"]]"#),
            (r#""from": { "country": "DE" }"#, r#""from": ["DE"]"#),
            (r#""to": { "country": "DE" }"#, r#""to": ["DE"]"#),
            (r#""to":"#, r#""grounds": [["legal-claims"]], "to":"#),
            (r#""to":"#, r#""order": ["US"], "to":"#),
            (r#"["DE"] }"#, r#"["DE"], "consents": [["transfer"]] }"#),
        ] {
            let text = PLAIN.replacen(whole, part, 1);
            assert_ne!(text, PLAIN);
            let error = Question::from_json(text.as_bytes()).unwrap_err();
            let told = error.to_string();
            assert!(told.contains("an object with named members"), "{told}");
        }
        let values = r#"["2026-11-21T12:00:00Z", "store", { "countries": ["DE"] }, ["user.name"],
            { "country": "DE" }, { "country": "DE" }]"#;
        assert!(Question::from_json(values.as_bytes()).is_err());
    }

    #[test]
    fn members_stand_once_and_nothing_follows() {
        let twice = PLAIN.replacen(r#""from":"#, r#""from": { "country": "FR" }, "from":"#, 1);
        let error = Question::from_json(twice.as_bytes()).unwrap_err();
        assert!(error.to_string().contains("duplicate field"), "{error}");
        assert!(Question::from_json(format!("{PLAIN} {{}}").as_bytes()).is_err());
    }
}
