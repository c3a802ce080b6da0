use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    Citations, Reading, Register, ReportError, Scope, Span,
    flows::{Decided, Flows, Row},
    json as as_json,
    sheet::{Sheet, Table},
    words,
};
use crate::{
    attest::{Entry, Kind, Party, Verdict},
    domain::{Operation, SubjectKey},
    locate::PinChange,
};

/// One person under one namespace; `None`: the key alone was given.
#[derive(Clone)]
pub struct Who {
    pub key: SubjectKey,
    pub namespace: Option<String>,
}

/// Every region, recipient, mechanism and instrument that a person's data met.
pub struct Subject {
    pub who: Vec<Who>,
    pub span: Span,
    pub reading: Reading,
    /// By key and region.
    pub held: HeldIn,
    pub permitted: Vec<Row>,
    pub refused: Vec<Row>,
    pub observed: Vec<Row>,
}

/// By key and region, the earliest period first: data may come to a region again after its end.
pub type HeldIn = BTreeMap<(SubjectKey, Arc<str>), Vec<Held>>;

/// A time through which a region holds a person's data, as far as the ledger tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub home: bool,
    pub since: Timestamp,
    /// `None`: it still does.
    pub until: Option<Timestamp>,
}

impl Subject {
    /// Reads the ledger, and verifies it as it goes. Blocks.
    ///
    /// # Errors
    /// There is no ledger, or it cannot be read; damage is no error (see [`Reading`]).
    pub fn read(
        folder: &Path,
        who: Vec<Who>,
        span: Span,
        scope: &Scope,
    ) -> Result<Self, ReportError> {
        let mut flows = Flows::new(scope);
        let mut held = BTreeMap::new();
        let reading = Reading::of(folder, scope, |reading, entry| {
            if let Kind::Outcome { decision, status } = entry.kind {
                flows.answered(decision, status);
            }
            let Some(decided) = Decided::of(entry) else {
                return Ok::<(), ReportError>(());
            };
            let Some(key) = decided
                .subject
                .filter(|key| who.iter().any(|w| w.key == *key))
            else {
                return Ok(());
            };
            if let Some(change) = change(entry) {
                apply(&mut held, key, change, entry.at);
            }
            if !span.contains(entry.at) {
                return Ok(());
            }
            reading.note_decided(entry);
            flows.add(&decided)
        })?;
        let [permitted, refused, observed] = flows.into_outcomes();
        Ok(Self {
            who,
            span,
            reading,
            held,
            permitted,
            refused,
            observed,
        })
    }

    /// Whether the ledger, as far as it was read, has anything about the person.
    pub fn is_known(&self) -> bool {
        let rows = [&self.permitted, &self.refused, &self.observed];
        rows.iter().any(|rows| !rows.is_empty()) || !self.held.is_empty()
    }

    /// What went on, whether the policy ruled it or not.
    fn went(&self) -> impl Iterator<Item = &Row> {
        self.permitted.iter().chain(&self.observed)
    }

    fn regions(&self) -> BTreeSet<Arc<str>> {
        let flows = self.permitted.iter().filter_map(|r| r.sort.region.clone());
        let reached = self.observed.iter().filter_map(|r| r.sort.reached.clone());
        let held = self.held.keys().map(|(_, region)| region.clone());
        flows.chain(reached).chain(held).collect()
    }

    fn recipients(&self) -> Vec<&Party> {
        let disclosed = |row: &&Row| row.sort.operation == Operation::Disclose;
        let mut found: Vec<&Party> = Vec::new();
        for row in self.went().filter(disclosed) {
            if !found.contains(&&row.sort.to) {
                found.push(&row.sort.to);
            }
        }
        found
    }

    fn mechanisms(&self) -> BTreeSet<Arc<str>> {
        let rows = self.permitted.iter();
        rows.filter_map(|r| r.sort.mechanism.clone()).collect()
    }

    fn instruments(&self) -> BTreeSet<Arc<str>> {
        let rows = self.permitted.iter();
        rows.filter_map(|r| r.sort.instrument.clone()).collect()
    }

    pub fn json(&self, citations: &Citations, register: &Register) -> Value {
        let rows = |rows: &[Row]| -> Vec<Value> {
            rows.iter().map(|r| as_json::row(r, citations)).collect()
        };
        let who = |w: &Who| json!({ "key": w.key.reveal(), "namespace": w.namespace });
        let held = |(key, region, held): (&SubjectKey, &Arc<str>, &Held)| {
            json!({ "key": key.reveal(), "region": region, "home": held.home,
                    "since": as_json::time(held.since), "until": held.until.map(as_json::time) })
        };
        let instruments = self.instruments();
        let instrument = |id: &Arc<str>| json!({ "id": id, "register": register.entry(id) });
        json!({
            "report": "subject",
            "asked": { "keys": self.who.iter().map(who).collect::<Vec<_>>(),
                       "since": self.span.since, "until": self.span.until, "zone": self.span.zone },
            "ledger": self.reading,
            "notes": self.notes(),
            "held": periods(&self.held).map(held).collect::<Vec<_>>(),
            "regions": self.regions(),
            "recipients": self.recipients(),
            "mechanisms": self.mechanisms(),
            "instruments": instruments.iter().map(instrument).collect::<Vec<_>>(),
            "flows": rows(&self.permitted),
            "refusals": rows(&self.refused),
            "observed": rows(&self.observed),
        })
    }

    /// What to know of what is, and is not, listed.
    fn notes(&self) -> Vec<&'static str> {
        let nothing = "nothing in this ledger is about this person: look at the spelling of the id, at the namespace, and whether the secret was another one then (docs/keys.md)";
        let nothing = (!self.is_known()).then_some(nothing);
        nothing.into_iter().chain([words::ONE_ROUTER]).collect()
    }

    /// For people, and for tables.
    pub fn sheet(&self, citations: &Citations, register: &Register) -> Sheet {
        let mut sheet = Sheet::new("What became of a person's data", &self.reading);
        for who in &self.who {
            let key = who.key.reveal();
            let name = who.namespace.as_ref();
            let of = name
                .map(|name| format!(" (namespace {name})"))
                .unwrap_or_default();
            sheet.head("person", format!("{key}{of}"));
        }
        sheet.head("time", self.span.told());
        sheet.head("regions", words::list(self.regions()));
        let recipients = self.recipients();
        sheet.head(
            "recipients",
            match recipients.is_empty() {
                true => "none".to_owned(),
                false => words::list(recipients.into_iter().map(words::party)),
            },
        );
        sheet.head("mechanisms", words::list(self.mechanisms()));
        self.notes().into_iter().for_each(|note| sheet.note(note));
        let mut held = Table::new(
            "regions that hold data",
            &["region", "as", "since", "until", "key"],
        );
        held.rows = periods(&self.held)
            .map(|(key, region, held)| {
                vec![
                    region.to_string(),
                    if held.home { "home" } else { "copy" }.to_owned(),
                    words::time(held.since),
                    held.until.map(words::time).unwrap_or_default(),
                    key.reveal(),
                ]
            })
            .collect();
        sheet.tables.push(held);
        sheet
            .tables
            .push(register.table("instruments used", self.instruments()));
        sheet
            .tables
            .push(words::flows("permitted flows", &self.permitted, citations));
        sheet
            .tables
            .push(words::refusals("refusals", &self.refused, citations));
        if !self.observed.is_empty() {
            sheet.note(words::OBSERVED);
            sheet
                .tables
                .push(words::flows(words::UNRULED, &self.observed, citations));
        }
        sheet.note("homes that were imported (`domicile directory import`) stand in the directory, not in the ledger");
        sheet.note(words::COUNTS);
        sheet.csv = Table::joined([
            words::csv(&self.permitted, citations),
            words::csv(&self.refused, citations),
            words::csv(&self.observed, citations),
        ]);
        sheet
    }
}

fn change(entry: &Entry) -> Option<&PinChange> {
    match &entry.kind {
        // Under observation nobody is pinned.
        Kind::Decision { profile, pin, .. } if profile.outcome == Verdict::Permit => pin.as_ref(),
        _ => None,
    }
}

fn apply(held: &mut HeldIn, key: SubjectKey, change: &PinChange, at: Timestamp) {
    let mine = |held: &mut HeldIn, end: &mut dyn FnMut(&Arc<str>, &mut Held)| {
        for ((_, region), periods) in held.iter_mut().filter(|((k, _), _)| *k == key) {
            let open = periods.iter_mut().filter(|one| one.until.is_none());
            open.for_each(|one| end(region, one));
        }
    };
    let mut has_home = false;
    mine(held, &mut |_, one| has_home |= one.home);
    let (region, home) = match change {
        // The first writer wins.
        PinChange::Claim { .. } if has_home => return,
        PinChange::Claim { region, .. } => (region, true),
        PinChange::Move { region } => {
            mine(held, &mut |_, one| one.home = false);
            (region, true)
        }
        PinChange::Copy { region } => (region, false),
        PinChange::Drop { region } => {
            let (mut is_home, mut is_copy) = (false, false);
            mine(held, &mut |r, one| {
                is_home |= r == region && one.home;
                is_copy |= r == region && !one.home;
            });
            // A home that was imported is in no entry: what ends then is the account.
            let ends_all = is_home || (!has_home && !is_copy);
            mine(held, &mut |r, one| {
                if ends_all || r == region {
                    one.until = Some(at);
                }
            });
            return;
        }
    };
    let periods = held.entry((key, region.clone())).or_default();
    match periods.last_mut() {
        Some(one) if one.until.is_none() => one.home |= home,
        _ => periods.push(Held {
            home,
            since: at,
            until: None,
        }),
    }
}

/// Each period by itself.
fn periods(held: &HeldIn) -> impl Iterator<Item = (&SubjectKey, &Arc<str>, &Held)> {
    let all = held.iter();
    all.flat_map(|((key, region), periods)| periods.iter().map(move |one| (key, region, one)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attest::tests::{at, key};

    #[test]
    fn where_data_lies_follows_the_changes_of_the_pin() {
        let mut held = BTreeMap::new();
        let region = |name: &str| -> Arc<str> { name.into() };
        let claim = |name| PinChange::Claim {
            region: region(name),
            countries: Default::default(),
        };
        let person = key(1);
        let told = |held: &HeldIn| -> Vec<String> {
            let one = |(_, region, held): (&SubjectKey, &Arc<str>, &Held)| {
                let ended = if held.until.is_some() { " ended" } else { "" };
                format!(
                    "{region} {}{ended}",
                    if held.home { "home" } else { "copy" }
                )
            };
            periods(held).map(one).collect()
        };
        apply(&mut held, person, &claim("eu"), at(1));
        apply(&mut held, person, &claim("sg"), at(2));
        assert_eq!(told(&held), ["eu home"]);
        apply(
            &mut held,
            person,
            &PinChange::Copy {
                region: region("sg"),
            },
            at(3),
        );
        apply(
            &mut held,
            person,
            &PinChange::Copy {
                region: region("eu"),
            },
            at(3),
        );
        assert_eq!(told(&held), ["eu home", "sg copy"]);
        apply(
            &mut held,
            person,
            &PinChange::Move {
                region: region("sg"),
            },
            at(4),
        );
        assert_eq!(told(&held), ["eu copy", "sg home"]);
        apply(
            &mut held,
            person,
            &PinChange::Drop {
                region: region("eu"),
            },
            at(5),
        );
        assert_eq!(told(&held), ["eu copy ended", "sg home"]);
        apply(
            &mut held,
            person,
            &PinChange::Copy {
                region: region("eu"),
            },
            at(6),
        );
        apply(
            &mut held,
            person,
            &PinChange::Drop {
                region: region("sg"),
            },
            at(7),
        );
        let ended = ["eu copy ended", "eu copy ended", "sg home ended"];
        assert_eq!(told(&held), ended);
        apply(&mut held, key(2), &claim("ru"), at(8));
        apply(&mut held, person, &claim("eu"), at(9));
        let now: Vec<_> = periods(&held).filter(|(.., h)| h.until.is_none()).collect();
        assert_eq!(now.len(), 2);
        // What was there before is told, too.
        assert_eq!(
            told(&held)[..3],
            ["eu copy ended", "eu copy ended", "eu home"]
        );
    }

    /// The home of an import is in the directory alone.
    #[test]
    fn the_end_of_an_imported_home_ends_its_copies() {
        let region = |name: &str| -> Arc<str> { name.into() };
        let copy = |name| PinChange::Copy {
            region: region(name),
        };
        let drop = |name| PinChange::Drop {
            region: region(name),
        };
        let mut held = BTreeMap::new();
        apply(&mut held, key(1), &copy("sg"), at(1));
        apply(&mut held, key(1), &copy("in"), at(1));
        apply(&mut held, key(2), &copy("in"), at(1));
        apply(&mut held, key(1), &drop("in"), at(2));
        let open = |held: &HeldIn| periods(held).filter(|(.., h)| h.until.is_none()).count();
        assert_eq!(open(&held), 2, "a copy ends alone");
        apply(&mut held, key(1), &drop("eu"), at(3));
        assert_eq!(open(&held), 1, "of another person");
        let claim = PinChange::Claim {
            region: region("eu"),
            countries: Default::default(),
        };
        apply(&mut held, key(1), &claim, at(4));
        apply(&mut held, key(1), &copy("sg"), at(5));
        apply(&mut held, key(1), &drop("in"), at(6));
        assert_eq!(open(&held), 3, "its home is known and another one");
    }
}
