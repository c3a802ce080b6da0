//! The facts of a flow, one axis at a time, in names: so that two policies can be asked the same.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use smallvec::SmallVec;

use crate::{
    decide::{
        Party, Query, QueryConsent, QueryOrder, Subject,
        inside::{Attached, Link},
    },
    domain::{
        Basis, CategorySet, ConsentKind, Country, Giver, GroundKind, Operation, Place, Protection,
        Role, SpecialGround, SubjectKind, Transaction,
    },
    policy::{Compiled, LawId},
};

/// One value of one axis.
#[derive(Clone, Debug)]
pub enum Fact {
    Asked {
        operation: Operation,
        country: Place,
        citizenship: Option<Country>,
        held_in: Option<Place>,
    },
    Ends {
        from: End,
        to: End,
        instructs: bool,
        collected_in: Option<Place>,
    },
    Order(Option<(Place, bool)>),
    Basis(Option<Basis>),
    Special(Option<SpecialGround>),
    Transaction(Option<Transaction>),
    Kind(Option<SubjectKind>),
    Purpose(Option<Arc<str>>),
    Protection(Protection),
    /// `Some(true)`: occasional.
    Ground(GroundKind, Option<bool>),
    Consent(Option<ConsentFact>),
    Record {
        keys: Vec<Arc<str>>,
        age: Option<u16>,
        counts: Vec<(Arc<str>, u64)>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    pub place: Place,
    pub entity: Option<Arc<str>>,
    pub role: Option<Role>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsentFact {
    pub kind: ConsentKind,
    /// `None`: whoever may speak for the person, at whatever age: both agree.
    pub by: Option<Giver>,
    pub informed: bool,
    pub occasional: bool,
    pub withdrawn: bool,
}

/// What a policy with nothing known is asked, to be filled fact by fact.
pub fn blank(policy: &Compiled, at: Timestamp, place: Place) -> Query {
    let nobody = Party {
        place,
        entity: None,
        role: None,
    };
    Query::new(
        policy,
        at,
        Operation::Read,
        Subject::default(),
        CategorySet::EMPTY,
        nobody,
        nobody,
    )
}

impl End {
    fn party(&self, policy: &Compiled) -> Party {
        let known = self.entity.as_deref();
        Party {
            place: self.place,
            entity: known.and_then(|e| policy.checked().entity(e)),
            role: self.role,
        }
    }

    fn json(&self) -> Value {
        let mut end = json!({ "country": self.place });
        if let Value::Object(map) = &mut end {
            if let Some(entity) = &self.entity {
                map.insert("entity".into(), json!(entity.as_ref()));
            }
            if let Some(role) = self.role {
                map.insert("role".into(), json!(role));
            }
        }
        end
    }
}

impl ConsentFact {
    fn givers(self) -> impl Iterator<Item = Giver> {
        let all = [Giver::Person, Giver::Parent];
        all.into_iter()
            .filter(move |giver| self.by.is_none_or(|by| by == *giver))
    }

    fn consent(self, by: Giver) -> QueryConsent {
        QueryConsent {
            kind: self.kind,
            by,
            purpose: None,
            to: SmallVec::new(),
            given: None,
            withdrawn: self.withdrawn.then(|| jiff::civil::date(1970, 1, 2)),
            occasional: self.occasional,
            informed: self.informed,
        }
    }
}

impl Fact {
    /// Puts the fact into a query.
    pub fn apply(&self, policy: &Compiled, query: &mut Query) {
        match self {
            Self::Asked {
                operation,
                country,
                citizenship,
                held_in,
            } => {
                query.operation = *operation;
                query.subject.countries = SmallVec::from_iter([*country]);
                query.subject.citizenships = citizenship.iter().map(|c| Place::of(*c)).collect();
                query.held_in = held_in.iter().copied().collect();
            }
            Self::Ends {
                from,
                to,
                instructs,
                collected_in,
            } => {
                query.from = from.party(policy);
                query.to = to.party(policy);
                query.instructs_exporter = *instructs;
                query.subject.collected_in = *collected_in;
            }
            Self::Order(order) => {
                query.order = order.map(|(authority, approved)| QueryOrder {
                    authority,
                    approved,
                });
            }
            Self::Basis(basis) => query.basis = *basis,
            Self::Special(letter) => query.special_ground = *letter,
            Self::Transaction(transaction) => query.transaction = *transaction,
            Self::Kind(kind) => query.subject.kind = *kind,
            Self::Purpose(purpose) => {
                query.purpose = purpose.as_deref().map(|p| policy.checked().purpose(p));
            }
            Self::Protection(protection) => query.protection = *protection,
            Self::Ground(kind, said) => {
                if let Some(occasional) = said {
                    query.grounds.insert(*kind, *occasional);
                }
            }
            Self::Consent(consent) => {
                let consents = &mut query.subject.consents;
                if let Some(consent) = consent {
                    consents.extend(consent.givers().map(|by| consent.consent(by)));
                }
            }
            Self::Record { keys, age, counts } => {
                let checked = policy.checked();
                let set: CategorySet = keys.iter().filter_map(|k| checked.category(k)).collect();
                query.set_categories(policy, set);
                query.subject.age = *age;
                query.counts = counts
                    .iter()
                    .filter_map(|(key, n)| Some((checked.vocabulary.counter(key)?, *n)))
                    .collect();
            }
        }
    }

    /// In words for the summary of a group; empty where nothing is said.
    pub fn words(&self) -> Vec<(&'static str, String)> {
        let said =
            |axis, text: Option<String>| vec![(axis, text.unwrap_or_else(|| "unsaid".to_owned()))];
        match self {
            Self::Asked {
                operation,
                country,
                citizenship,
                held_in,
            } => {
                let citizen =
                    citizenship.map_or(String::new(), |c| format!(" (citizen {})", c.as_str()));
                vec![
                    ("operation", operation.as_str().to_owned()),
                    ("person", format!("{country}{citizen}")),
                    (
                        "copy at home",
                        if held_in.is_some() { "yes" } else { "no" }.to_owned(),
                    ),
                ]
            }
            Self::Ends { from, to, .. } => {
                let entity = |e: &End| match &e.entity {
                    Some(entity) => entity.to_string(),
                    None => "nobody".to_owned(),
                };
                vec![
                    ("origin", from.place.to_string()),
                    ("destination", to.place.to_string()),
                    ("exporter", entity(from)),
                    ("importer", entity(to)),
                ]
            }
            Self::Order(order) => said(
                "order",
                order.map(|(p, approved)| {
                    let state = if approved { "approved" } else { "not approved" };
                    format!("of {p}, {state}")
                }),
            ),
            Self::Basis(b) => said("basis", b.map(|b| word(&b))),
            Self::Special(letter) => said("special ground", letter.map(|l| word(&l))),
            Self::Transaction(t) => said("transaction", t.map(|t| word(&t))),
            Self::Kind(k) => said("kind of person", k.map(|k| word(&k))),
            Self::Purpose(p) => said("purpose", p.as_ref().map(|p| p.to_string())),
            Self::Protection(p) => said("protection", Some(word(p))),
            Self::Ground(kind, said) => {
                let text = match said {
                    None => format!("no {}", word(kind)),
                    Some(true) => format!("occasional {}", word(kind)),
                    Some(false) => word(kind),
                };
                vec![("ground", text)]
            }
            Self::Consent(consent) => {
                let text = consent.map(|c| {
                    let mut text = word(&c.kind);
                    for (flag, name) in [
                        (c.informed, " informed"),
                        (c.occasional, " occasional"),
                        (c.withdrawn, " withdrawn"),
                    ] {
                        if flag {
                            text.push_str(name);
                        }
                    }
                    text
                });
                said("consent", text)
            }
            Self::Record { keys, age, counts } => {
                let keys: Vec<&str> = keys.iter().map(AsRef::as_ref).collect();
                let mut all = vec![("categories", keys.join(" + "))];
                all.extend(age.map(|a| ("age", a.to_string())));
                if !counts.is_empty() {
                    let counts: Vec<String> =
                        counts.iter().map(|(k, n)| format!("{k}={n}")).collect();
                    all.push(("counts", counts.join(" ")));
                }
                all
            }
        }
    }
}

/// The word by which JSON knows a value.
pub fn word<T: serde::Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(text)) => text,
        _ => String::new(),
    }
}

/// The question that a path of facts asks, as `policy explain --input` reads it; what is unsaid
/// is left out, so that a counterexample holds no more than it needs.
pub fn question(at: Timestamp, facts: &[Fact]) -> Value {
    let mut q = json!({ "at": at.to_string() });
    let mut subject = serde_json::Map::new();
    let mut grounds = Vec::new();
    let mut consents = Vec::new();
    // A parent's word is needed only beside an age.
    let aged = facts
        .iter()
        .any(|f| matches!(f, Fact::Record { age: Some(_), .. }));
    let mut set = |key: &str, value: Value| {
        if let Value::Object(map) = &mut q {
            map.insert(key.to_owned(), value);
        }
    };
    for fact in facts {
        match fact {
            Fact::Asked {
                operation,
                country,
                citizenship,
                held_in,
            } => {
                set("operation", json!(operation));
                subject.insert("countries".into(), json!([country]));
                if let Some(c) = citizenship {
                    subject.insert("citizenships".into(), json!([Place::of(*c)]));
                }
                if let Some(place) = held_in {
                    set("held_in", json!([place]));
                }
            }
            Fact::Ends {
                from,
                to,
                instructs,
                collected_in,
            } => {
                set("from", from.json());
                let mut to = to.json();
                if let (true, Value::Object(map)) = (*instructs, &mut to) {
                    map.insert("instructs_exporter".into(), json!(true));
                }
                set("to", to);
                if let Some(place) = collected_in {
                    subject.insert("collected_in".into(), json!(place));
                }
            }
            Fact::Order(Some((authority, approved))) => {
                let approval = approved.then_some("granted");
                set(
                    "order",
                    json!({ "authority_country": authority, "approval": approval }),
                );
            }
            Fact::Basis(Some(basis)) => set("basis", json!(basis)),
            Fact::Special(Some(letter)) => set("special_ground", json!(letter)),
            Fact::Transaction(Some(transaction)) => set("transaction", json!(transaction)),
            Fact::Kind(Some(kind)) => {
                subject.insert("kind".into(), json!(kind));
            }
            Fact::Purpose(Some(purpose)) => set("purpose", json!(purpose.as_ref())),
            Fact::Protection(p) if *p != Protection::Clear => set("protection", json!(p)),
            Fact::Ground(kind, Some(occasional)) => {
                grounds.push(json!({ "kind": kind, "occasional": occasional }));
            }
            Fact::Consent(Some(c)) => {
                for by in c
                    .givers()
                    .filter(|by| aged || c.by == Some(*by) || *by == Giver::Person)
                {
                    let mut consent = json!({ "kind": c.kind, "by": by, "informed": c.informed,
                        "occasional": c.occasional });
                    if let (true, Value::Object(map)) = (c.withdrawn, &mut consent) {
                        map.insert("withdrawn".into(), json!("1970-01-02"));
                    }
                    consents.push(consent);
                }
            }
            Fact::Record { keys, age, counts } => {
                let keys: Vec<&str> = keys.iter().map(AsRef::as_ref).collect();
                set("categories", json!(keys));
                if let Some(age) = age {
                    subject.insert("age".into(), json!(age));
                }
                if !counts.is_empty() {
                    let map: serde_json::Map<String, Value> = counts
                        .iter()
                        .map(|(k, n)| (k.to_string(), json!(n)))
                        .collect();
                    set("counts", Value::Object(map));
                }
            }
            Fact::Order(None)
            | Fact::Basis(None)
            | Fact::Special(None)
            | Fact::Transaction(None)
            | Fact::Kind(None)
            | Fact::Purpose(None)
            | Fact::Protection(_)
            | Fact::Ground(_, None)
            | Fact::Consent(None) => {}
        }
    }
    if !grounds.is_empty() {
        set("grounds", Value::Array(grounds));
    }
    if !consents.is_empty() {
        subject.insert("consents".into(), Value::Array(consents));
    }
    set("subject", Value::Object(subject));
    q
}

/// What of the query's subject attaches one law, before any exporter is known.
pub fn link_of(policy: &Compiled, law: LawId, query: &Query) -> Link {
    let attached = Attached::of(policy, query);
    Link {
        person: attached.person.contains(law),
        citizen: attached.citizen.contains(law),
        by_via: false,
    }
}
