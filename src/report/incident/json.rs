use std::{collections::BTreeMap, sync::Arc};

use serde::{Serialize, Serializer, ser::SerializeStruct};

use super::{
    super::{deadlines::Deadline, json as as_json},
    Hit, Incident, Jurisdiction,
};
use crate::policy::Checked;

/// The report of an incident in JSON.
pub struct Json<'a> {
    pub incident: &'a Incident,
    pub policy: &'a Checked,
}

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let incident = self.incident;
        let Hit {
            span,
            region,
            instrument,
            part,
            aware,
            assessed,
        } = &incident.hit;
        let mut deadlines: BTreeMap<Arc<str>, Vec<Deadline>> = BTreeMap::new();
        for deadline in incident.deadlines(self.policy) {
            deadlines
                .entry(deadline.law.clone())
                .or_default()
                .push(deadline);
        }
        let laws = incident.jurisdictions();
        let law = |j: &&Jurisdiction| {
            serde_json::json!({
                "law": j.law, "people": j.people, "categories": j.categories, "entries": j.entries,
                "first": as_json::time(j.first), "last": as_json::time(j.last),
                "deadlines": deadlines.get(&j.law),
            })
        };
        let laws: Vec<_> = laws.iter().map(law).collect();
        let asked = serde_json::json!({
            "since": span.since, "until": span.until, "zone": span.zone,
            "region": region.as_ref().map(|r| &r.name), "instrument": instrument,
            "part": part.map(|(part, of)| format!("{part}/{of}")),
            "aware": aware, "assessed": assessed,
        });
        let mut report = s.serialize_struct("Incident", 7)?;
        report.serialize_field("report", "incident")?;
        report.serialize_field("asked", &asked)?;
        report.serialize_field("ledger", &incident.reading)?;
        report.serialize_field("notes", &incident.notes())?;
        report.serialize_field("people", &incident.people())?;
        report.serialize_field("laws", &laws)?;
        report.serialize_field("subjects", &Subjects(incident))?;
        report.end()
    }
}

/// The people, written one by one.
struct Subjects<'a>(&'a Incident);

impl Serialize for Subjects<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Person<'a> {
            key: String,
            laws: Vec<&'a str>,
        }
        let all = self.0.subjects();
        s.collect_seq(all.iter().map(|(key, bits)| Person {
            key: key.reveal(),
            laws: self.0.laws_of(*bits).collect(),
        }))
    }
}
