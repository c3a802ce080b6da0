use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    Citations, People, Reading, Register, ReportError, Scope, Span,
    flows::{Decided, Flows, Row},
    json as as_json,
    register::COLUMNS,
    sheet::{Sheet, Table},
    words,
};
use crate::attest::{Entry, Kind, Verdict};

/// Keys of people that are kept for each instrument.
const KEYS: usize = 100_000;

/// What was signed and filed, and how often each of it carried a flow.
#[derive(Debug)]
pub struct Instruments {
    pub span: Span,
    pub reading: Reading,
    pub used: BTreeMap<Arc<str>, Used>,
}

#[derive(Debug, Default)]
pub struct Used {
    pub people: People,
    /// Never empty.
    pub rows: Vec<Row>,
}

impl Used {
    fn flows(&self) -> u64 {
        self.rows.iter().map(|row| row.flows).sum()
    }

    fn confirmed(&self) -> u64 {
        self.rows.iter().map(|row| row.confirmed).sum()
    }

    fn first(&self) -> Option<Timestamp> {
        self.rows.iter().map(|row| row.first).min()
    }

    fn last(&self) -> Option<Timestamp> {
        self.rows.iter().map(|row| row.last).max()
    }
}

impl Instruments {
    /// Reads the whole ledger, and verifies it as it goes. Blocks.
    ///
    /// # Errors
    /// There is no ledger, or it cannot be read; damage is no error (see [`Reading`]).
    pub fn read(folder: &Path, span: Span) -> Result<Self, ReportError> {
        let scope = Scope::whole();
        let mut flows = Flows::new(&scope);
        let mut people: BTreeMap<Arc<str>, People> = BTreeMap::new();
        let reading = Reading::of(folder, &scope, |reading, entry: &Entry| {
            if let Kind::Outcome { decision, status } = entry.kind {
                flows.answered(decision, status);
            }
            let Some(decided) = Decided::of(entry).filter(|_| span.contains(entry.at)) else {
                return Ok::<(), ReportError>(());
            };
            let profile = decided.profile;
            let Some(instrument) = &profile.instrument else {
                return Ok(());
            };
            if profile.outcome != Verdict::Permit {
                return Ok(());
            }
            reading.note_decided(entry);
            if let Some(subject) = decided.subject {
                match people.get_mut(instrument) {
                    Some(known) => known.add_within(subject, KEYS),
                    None => people
                        .entry(instrument.clone())
                        .or_default()
                        .add_within(subject, KEYS),
                }
            }
            flows.add(&decided)
        })?;
        let mut used: BTreeMap<Arc<str>, Used> = BTreeMap::new();
        for row in flows.into_rows() {
            if let Some(instrument) = row.sort.instrument.clone() {
                used.entry(instrument).or_default().rows.push(row);
            }
        }
        for (instrument, people) in people {
            if let Some(used) = used.get_mut(&instrument) {
                used.people = people;
            }
        }
        Ok(Self {
            span,
            reading,
            used,
        })
    }

    /// Those of the register and those that were used.
    fn ids(&self, register: &Register) -> BTreeSet<Arc<str>> {
        register.ids().chain(self.used.keys()).cloned().collect()
    }

    pub fn json(&self, citations: &Citations, register: &Register) -> Value {
        let none = Used::default();
        let one = |id: Arc<str>| {
            let used = self.used.get(&id).unwrap_or(&none);
            let rows = used.rows.iter().map(|row| as_json::row(row, citations));
            let mut one = json!({
                "id": id, "register": register.entry(&id),
                "flows": used.flows(), "confirmed": used.confirmed(),
                "first": used.first().map(as_json::time), "last": used.last().map(as_json::time), "uses": rows.collect::<Vec<_>>(),
            });
            if let Some(members) = one.as_object_mut() {
                members.extend(
                    used.people
                        .json()
                        .map(|(name, value)| (name.to_owned(), value)),
                );
            }
            one
        };
        let all: Vec<Value> = self.ids(register).into_iter().map(one).collect();
        json!({
            "report": "instruments",
            "asked": { "since": self.span.since, "until": self.span.until, "zone": self.span.zone },
            "ledger": self.reading,
            "notes": [words::ONE_ROUTER],
            "instruments": all,
        })
    }

    /// For people, and for tables.
    pub fn sheet(&self, citations: &Citations, register: &Register) -> Sheet {
        let mut sheet = Sheet::new("Instruments", &self.reading);
        sheet.head("time of use", self.span.told());
        let mut columns = COLUMNS.to_vec();
        columns.extend(["flows", "confirmed", "people", "first used", "last used"]);
        let mut table = Table::new("instruments", &columns);
        let time = |at: Option<Timestamp>| at.map(words::time).unwrap_or_default();
        let cells = |id: &Arc<str>| {
            let mut cells = register.cells(id);
            match self.used.get(id) {
                None => cells.extend(["0", "0", "0", "", ""].map(str::to_owned)),
                Some(used) => cells.extend([
                    used.flows().to_string(),
                    used.confirmed().to_string(),
                    used.people.told(),
                    time(used.first()),
                    time(used.last()),
                ]),
            }
            cells
        };
        table.rows = self.ids(register).iter().map(cells).collect();
        sheet.csv = table.clone();
        sheet.tables.push(table);
        for (id, used) in &self.used {
            let title = format!("what {id} carried");
            sheet
                .tables
                .push(words::flows(&title, &used.rows, citations));
        }
        if self
            .ids(register)
            .iter()
            .any(|id| register.entry(id).is_none())
        {
            sheet.note("of an instrument without parties and dates the organisation's file says nothing (any more), or no settings were given (--config)");
        }
        sheet.note(words::ONE_ROUTER);
        sheet.note(words::ONE_INSTRUMENT);
        sheet.note(words::COUNTS);
        sheet
    }
}
