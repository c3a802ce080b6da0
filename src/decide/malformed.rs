//! Every mistake of a question at once, where serde would stop at the first.
//!
//! The question is walked as JSON, member by member; what is wrong is told and replaced by
//! something harmless, so that the names in the rest can be looked at in the same run. Only
//! questions that cannot be put come here.

use std::sync::Arc;

use jiff::{Timestamp, civil::Date};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    document::{escaped, suggest},
    domain::{
        Basis, ConsentKind, Giver, GroundKind, Operation, Place, Protection, Question, Role,
        SubjectKind, Transaction,
    },
    policy::Checked,
};

use super::resolve::QuestionFault;

/// A mistake and the JSON pointer (RFC 6901) to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mistake {
    pub pointer: String,
    pub message: String,
}

/// All mistakes of a question; `None` where the text is not even JSON.
pub fn mistakes(checked: &Arc<Checked>, text: &str) -> Option<Vec<Mistake>> {
    let mut value: Value = serde_json::from_str(text).ok()?;
    let mut told = repair(&mut value);
    // Of two members with one name JSON values keep the last.
    let own = Question::from_json(text.as_bytes()).err();
    if let Some(message) = own.map(|e| e.to_string())
        && message.starts_with("duplicate field")
    {
        let end = message.rfind(" at line ").unwrap_or(message.len());
        told.push(Mistake {
            pointer: String::new(),
            message: message.get(..end).unwrap_or(&message).to_owned(),
        });
    }
    let Ok(question) = serde_json::from_value::<Question>(value) else {
        return Some(told);
    };
    let known = |pointer: &str| told.iter().any(|m| *m.pointer == *pointer);
    let mut more = Vec::new();
    if let Err(faults) = checked.compile(question.at).resolve(&question) {
        for placed in faults.iter() {
            let by_day = placed.fault == QuestionFault::BornOutOfTime && known("/at");
            if !by_day && !known(&placed.pointer) {
                more.push(Mistake {
                    pointer: placed.pointer.clone(),
                    message: placed.fault.to_string(),
                });
            }
        }
    }
    told.extend(more);
    Some(told)
}

/// Tells every mistake in the shape of a question, and repairs them.
fn repair(question: &mut Value) -> Vec<Mistake> {
    let mut told = Vec::new();
    Shape::Object(QUESTION).repair("", question, &mut told);
    told
}

/// What must stand somewhere.
enum Shape {
    /// A value that this reads.
    Leaf(fn(&Value) -> Result<(), serde_json::Error>, &'static str),
    Object(&'static [Member]),
    List(&'static Shape),
    /// Any names, each with such a value.
    Map(&'static Shape),
}

struct Member {
    name: &'static str,
    need: Need,
    shape: Shape,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    Required,
    /// May be absent.
    Optional,
    /// May be absent or null.
    Nullable,
}

const fn must(name: &'static str, shape: Shape) -> Member {
    let need = Need::Required;
    Member { name, need, shape }
}

const fn may(name: &'static str, shape: Shape) -> Member {
    let need = Need::Optional;
    Member { name, need, shape }
}

const fn null(name: &'static str, shape: Shape) -> Member {
    let need = Need::Nullable;
    Member { name, need, shape }
}

const fn leaf<T: DeserializeOwned>(harmless: &'static str) -> Shape {
    Shape::Leaf(|value| T::deserialize(value).map(|_| ()), harmless)
}

const TEXT: Shape = leaf::<String>("\"\"");
const PLACE: Shape = leaf::<Place>("\"DE\"");
const FLAG: Shape = leaf::<bool>("false");
const DAY: Shape = leaf::<Date>("\"2026-01-01\"");
const ROLE: Shape = leaf::<Role>("\"controller\"");

const QUESTION: &[Member] = &[
    must("at", leaf::<Timestamp>("\"2026-01-01T00:00:00Z\"")),
    must("operation", leaf::<Operation>("\"read\"")),
    must("subject", Shape::Object(SUBJECT)),
    must("categories", Shape::List(&leaf::<String>("\"user\""))),
    must("from", Shape::Object(FROM)),
    must("to", Shape::Object(TO)),
    null("via", Shape::Object(FROM)),
    null("recipient", TEXT),
    null("purpose", TEXT),
    may("grounds", Shape::List(&Shape::Object(GROUND))),
    null("order", Shape::Object(ORDER)),
    null("transaction", leaf::<Transaction>("\"other\"")),
    null("protection", leaf::<Protection>("\"clear\"")),
    may("held_in", Shape::List(&PLACE)),
    may("counts", Shape::Map(&leaf::<u64>("0"))),
    null("basis", leaf::<Basis>("\"contract\"")),
    null("special_ground", leaf::<String>("\"a\"")),
    null("origin", Shape::Object(ORIGIN)),
];
const SUBJECT: &[Member] = &[
    must("countries", Shape::List(&PLACE)),
    may("citizenships", Shape::List(&PLACE)),
    null("collected_in", PLACE),
    null("age", leaf::<u16>("30")),
    null("born", DAY),
    null("kind", leaf::<SubjectKind>("\"other\"")),
    may("consents", Shape::List(&Shape::Object(CONSENT))),
];
const CONSENT: &[Member] = &[
    must("kind", leaf::<ConsentKind>("\"transfer\"")),
    null("purpose", TEXT),
    may("to", Shape::List(&leaf::<String>("\"DE\""))),
    may("by", leaf::<Giver>("\"person\"")),
    null("given", DAY),
    null("withdrawn", DAY),
    may("occasional", FLAG),
    may("informed", FLAG),
];
const FROM: &[Member] = &[
    must("country", PLACE),
    null("entity", TEXT),
    null("role", ROLE),
];
const TO: &[Member] = &[
    must("country", PLACE),
    null("entity", TEXT),
    null("role", ROLE),
    may("instructs_exporter", FLAG),
];
const GROUND: &[Member] = &[
    must("kind", leaf::<GroundKind>("\"treaty\"")),
    null("reference", TEXT),
    may("occasional", FLAG),
];
const ORDER: &[Member] = &[
    must("authority_country", PLACE),
    null("reference", TEXT),
    null("approval", TEXT),
];
const ORIGIN: &[Member] = &[
    must("country", PLACE),
    null("entity", TEXT),
    null("instrument", TEXT),
];

impl Shape {
    fn repair(&self, pointer: &str, value: &mut Value, told: &mut Vec<Mistake>) {
        let mut tell = |message: String| {
            told.push(Mistake {
                pointer: pointer.to_owned(),
                message,
            });
        };
        match (self, &mut *value) {
            (Self::Leaf(read, harmless), _) => {
                if let Err(error) = read(value) {
                    tell(error.to_string());
                    *value = serde_json::from_str(harmless).unwrap_or(Value::Null);
                }
            }
            (Self::List(shape), Value::Array(items)) => {
                for (i, item) in items.iter_mut().enumerate() {
                    shape.repair(&format!("{pointer}/{i}"), item, told);
                }
            }
            (Self::Map(shape), Value::Object(members)) => {
                for (name, member) in members.iter_mut() {
                    shape.repair(&format!("{pointer}/{}", escaped(name)), member, told);
                }
            }
            (Self::Object(known), Value::Object(members)) => {
                self::members(known, pointer, members, told);
            }
            (Self::Object(_) | Self::Map(_), _) => {
                tell("expected an object with named members".to_owned());
                *value = self.harmless();
            }
            (Self::List(_), _) => {
                tell("expected a list".to_owned());
                *value = self.harmless();
            }
        }
    }

    fn harmless(&self) -> Value {
        match self {
            Self::Leaf(_, text) => serde_json::from_str(text).unwrap_or(Value::Null),
            Self::List(item) => match item {
                Self::Leaf(..) => json!([item.harmless()]),
                _ => json!([]),
            },
            Self::Map(_) => json!({}),
            Self::Object(known) => {
                let needed = known.iter().filter(|m| m.need == Need::Required);
                let each = needed.map(|m| (m.name.to_owned(), m.shape.harmless()));
                Value::Object(each.collect())
            }
        }
    }
}

fn members(
    known: &[Member],
    pointer: &str,
    members: &mut serde_json::Map<String, Value>,
    told: &mut Vec<Mistake>,
) {
    let names: Vec<String> = members.keys().cloned().collect();
    let mut meant: Vec<String> = Vec::new();
    for name in names {
        if known.iter().any(|m| m.name == name) {
            continue;
        }
        members.remove(&name);
        // Those that stand already are not what it was to be.
        let free = known.iter().map(|m| m.name);
        let free: Vec<&str> = free.filter(|n| !members.contains_key(*n)).collect();
        meant.extend(suggest(&name, free.iter().copied()));
        let all: Vec<String> = known.iter().map(|m| format!("`{}`", m.name)).collect();
        told.push(Mistake {
            pointer: format!("{pointer}/{}", escaped(&name)),
            message: format!("unknown field `{name}`, expected one of {}", all.join(", ")),
        });
    }
    for member in known {
        match members.get_mut(member.name) {
            Some(Value::Null) if member.need == Need::Nullable => {}
            Some(value) => {
                let place = format!("{pointer}/{}", member.name);
                member.shape.repair(&place, value, told);
            }
            None if member.need == Need::Required => {
                // A name that is written wrongly is told once.
                let named = format!("did you mean `{}`?", member.name);
                if !meant.contains(&named) {
                    told.push(Mistake {
                        pointer: format!("{pointer}/{}", member.name),
                        message: format!("missing field `{}`", member.name),
                    });
                }
                members.insert(member.name.to_owned(), member.shape.harmless());
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole() -> Value {
        json!({
            "at": "2026-11-21T12:00:00Z", "operation": "store",
            "subject": { "countries": ["DE"], "citizenships": ["RU"], "collected_in": "DE", "age": null,
                "kind": "customer", "consents": [{ "kind": "transfer", "purpose": "x", "to": ["SG"],
                "by": "person", "given": "2026-01-02", "withdrawn": null, "occasional": false, "informed": true }] },
            "categories": ["user"], "from": { "country": "DE", "entity": "a", "role": "controller" },
            "to": { "country": "SG", "instructs_exporter": true }, "via": { "country": "FR" },
            "recipient": null, "purpose": "service",
            "grounds": [{ "kind": "treaty", "reference": "1", "occasional": true }],
            "order": { "authority_country": "US", "reference": "r", "approval": null },
            "transaction": null, "protection": "clear", "held_in": ["DE"], "counts": { "cn.ordinary": 1 },
            "basis": "consent", "special_ground": "a", "origin": { "country": "DE", "entity": null, "instrument": null }
        })
    }

    /// What the shapes call sound, the question's own reader takes, and the other way round.
    #[test]
    fn the_shapes_are_those_of_the_question() {
        let mut value = whole();
        assert_eq!(repair(&mut value), []);
        assert_eq!(value, whole());
        assert!(serde_json::from_value::<Question>(value).is_ok());
        let mut pointers = vec![String::new()];
        let mut seen = Vec::new();
        while let Some(pointer) = pointers.pop() {
            let children: Vec<String> = match whole().pointer(&pointer) {
                Some(Value::Object(map)) => map.keys().map(|k| escaped(k)).collect(),
                Some(Value::Array(list)) => (0..list.len()).map(|i| i.to_string()).collect(),
                _ => Vec::new(),
            };
            pointers.extend(children.iter().map(|c| format!("{pointer}/{c}")));
            seen.push(pointer);
        }
        assert!(seen.len() > 50);
        for pointer in seen {
            for wrong in [
                json!(null),
                json!("odd"),
                json!(-1),
                json!([{}]),
                json!({ "odd": 1 }),
            ] {
                let mut value = whole();
                *value.pointer_mut(&pointer).unwrap() = wrong;
                let refused = Question::from_json(value.to_string().as_bytes()).is_err();
                let told = repair(&mut value);
                assert_eq!(refused, !told.is_empty(), "{pointer}: {told:?}");
                assert_eq!(repair(&mut value), [], "{pointer}");
                assert!(
                    serde_json::from_value::<Question>(value).is_ok(),
                    "{pointer}"
                );
            }
        }
    }

    #[test]
    fn every_mistake_is_told_at_its_place() {
        let mut value = whole();
        value["operaton"] = value["operation"].take();
        value.as_object_mut().unwrap().remove("operation");
        value["from"] = json!({ "country": "UK" });
        value["subject"]["consents"][0]["kind"] = json!("transfr");
        value["counts"]["cn.ordinary"] = json!(-1);
        value.as_object_mut().unwrap().remove("to");
        let told = repair(&mut value);
        let places: Vec<&str> = told.iter().map(|f| f.pointer.as_str()).collect();
        let expected = [
            "/operaton",
            "/subject/consents/0/kind",
            "/from/country",
            "/to",
            "/counts/cn.ordinary",
        ];
        assert_eq!(places, expected, "{told:?}");
        assert!(told[3].message.contains("missing field `to`"), "{told:?}");
    }
}
