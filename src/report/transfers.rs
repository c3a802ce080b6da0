use std::{path::Path, sync::Arc};

use serde_json::{Value, json};

use super::{
    Citations, Reading, Region, ReportError, Scope, Span,
    flows::{Decided, Flows, Row},
    json::{self as as_json},
    sheet::{Sheet, Table},
    words,
};
use crate::{
    attest::{Entry, Kind, Party, Profile},
    domain::Operation,
};

/// What a report of transfers is asked for.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    pub span: Span,
    pub region: Option<Region>,
    pub law: Option<String>,
    pub instrument: Option<String>,
    /// Flows that leave no country, too.
    pub all: bool,
}

/// What crossed which border, on what ground; what was refused; and what went on unruled while
/// nothing was refused.
#[derive(Debug)]
pub struct Transfers {
    pub asked: Asked,
    pub reading: Reading,
    /// Flows of which nobody can say whether they left the region that was asked for: they came before
    /// the first entry that tells where it is.
    pub unclear: u64,
    /// Permitted flows that left no country and went to no recipient; 0 when those are listed.
    pub at_home: u64,
    pub permitted: Vec<Row>,
    pub refused: Vec<Row>,
    pub observed: Vec<Row>,
}

impl Asked {
    fn wants(&self, profile: &Profile) -> bool {
        let is = |wanted: &Option<String>, found: &[&Option<Arc<str>>]| {
            wanted
                .as_deref()
                .is_none_or(|wanted| found.iter().any(|found| found.as_deref() == Some(wanted)))
        };
        is(&self.instrument, &[&profile.instrument])
            && self
                .law
                .as_deref()
                .is_none_or(|wanted| profile.laws.iter().any(|l| **l == *wanted))
    }
}

impl Transfers {
    /// Reads the ledger, and verifies it as it goes. Blocks.
    ///
    /// # Errors
    /// There is no ledger, or it cannot be read; damage is no error (see [`Reading`]).
    pub fn read(folder: &Path, asked: Asked, scope: &Scope) -> Result<Self, ReportError> {
        let mut fold = Fold::new(asked, Flows::new(scope));
        let reading = Reading::of(folder, scope, |reading, entry| fold.see(reading, entry))?;
        Ok(fold.end(reading))
    }

    pub fn json(&self, citations: &Citations) -> Value {
        let rows = |rows: &[Row]| -> Vec<Value> {
            rows.iter()
                .map(|row| as_json::row(row, citations))
                .collect()
        };
        let Asked {
            span,
            region,
            law,
            instrument,
            all,
        } = &self.asked;
        json!({
            "report": "transfers",
            "asked": { "since": span.since, "until": span.until, "zone": span.zone,
                       "region": region.as_ref().map(|r| &r.name), "law": law, "instrument": instrument, "all": all },
            "ledger": self.reading,
            "notes": self.notes(),
            "at_home": self.at_home,
            "transfers": rows(&self.permitted),
            "refusals": rows(&self.refused),
            "observed": rows(&self.observed),
        })
    }

    /// What to know of what is, and is not, listed.
    fn notes(&self) -> Vec<String> {
        let mut notes = vec![words::ONE_ROUTER.to_owned()];
        let asked = &self.asked;
        let found = [&self.permitted, &self.refused, &self.observed];
        let nothing = self.at_home == 0 && found.iter().all(|rows| rows.is_empty());
        if nothing && (asked.region.is_some() || asked.law.is_some() || asked.instrument.is_some())
        {
            notes.push(
                "nothing in this time fits region, law and instrument: look at how they are spelt"
                    .to_owned(),
            );
        }
        if asked.region.is_some() {
            notes.push(words::ONE_REGION.to_owned());
        }
        if self.unclear > 0 {
            let unclear = self.unclear;
            notes.push(format!("{unclear} entries of stores and copies elsewhere are not listed though they may have left this region: they stand before the first entry that tells where it is. Give settings (--config FILE) that name the region, as it is spelt there"));
        }
        notes
    }

    /// For people, and for tables.
    pub fn sheet(&self, citations: &Citations) -> Sheet {
        let mut sheet = Sheet::new("Transfers", &self.reading);
        sheet.head("time", self.asked.span.told());
        for (name, wanted) in [
            (
                "region",
                &self.asked.region.as_ref().map(|r| r.name.clone()),
            ),
            ("law", &self.asked.law),
            ("instrument", &self.asked.instrument),
        ] {
            if let Some(wanted) = wanted {
                sheet.head(name, format!("{wanted} alone"));
            }
        }
        let sum = |rows: &[Row]| rows.iter().map(|r| r.flows).sum::<u64>();
        let permitted = if self.asked.all {
            "permitted flows"
        } else {
            "permitted transfers"
        };
        sheet.head(permitted, sum(&self.permitted).to_string());
        sheet.head("refusals", sum(&self.refused).to_string());
        if !self.asked.all {
            let of = "within one country, not listed (--all lists them)";
            sheet.head("at home", format!("{}, {of}", self.at_home));
        }
        sheet
            .tables
            .push(words::flows(permitted, &self.permitted, citations));
        sheet
            .tables
            .push(words::refusals("refusals", &self.refused, citations));
        if !self.observed.is_empty() {
            sheet.note(words::OBSERVED);
            sheet
                .tables
                .push(words::flows(words::UNRULED, &self.observed, citations));
        }
        self.notes().into_iter().for_each(|note| sheet.note(note));
        sheet.note(words::COUNTS);
        sheet.csv = Table::joined([
            words::csv(&self.permitted, citations),
            words::csv(&self.refused, citations),
            words::csv(&self.observed, citations),
        ]);
        sheet
    }
}

struct Fold {
    asked: Asked,
    flows: Flows,
    unclear: u64,
    /// Where the region that is asked for is and was, by the settings and the entries so far.
    ends: Vec<Party>,
}

/// How a flow has to do with the region that is asked for.
enum Fit {
    Yes,
    No,
    MayBe,
}

impl Fold {
    fn new(asked: Asked, flows: Flows) -> Self {
        let end = |region: &Region| {
            let entity = region.entity.as_deref().map(Arc::from);
            region.place.map(|place| Party { place, entity })
        };
        let ends = asked.region.as_ref().and_then(end);
        Self {
            asked,
            flows,
            unclear: 0,
            ends: ends.into_iter().collect(),
        }
    }

    fn fits(&mut self, profile: &Profile) -> Fit {
        let Some(region) = &self.asked.region else {
            return Fit::Yes;
        };
        if let Some((name, end)) = Region::named_end(profile)
            && **name == *region.name
            && !self.ends.contains(end)
        {
            self.ends.push(end.clone());
        }
        let leaves = matches!(
            profile.operation,
            Operation::Store | Operation::Replicate | Operation::Relocate
        );
        match () {
            () if region.is_named(profile) => Fit::Yes,
            () if !leaves => Fit::No,
            () if self.ends.is_empty() => Fit::MayBe,
            () if self.ends.contains(&profile.from) => Fit::Yes,
            () => Fit::No,
        }
    }

    fn see(&mut self, reading: &mut Reading, entry: &Entry) -> Result<(), ReportError> {
        // Whenever it came: what was decided in time may be answered later.
        if let Kind::Outcome { decision, status } = entry.kind {
            self.flows.answered(decision, status);
        }
        let Some(decided) = Decided::of(entry) else {
            return Ok(());
        };
        // What tells where the region is need not be in time.
        let fits = self.fits(decided.profile);
        if !self.asked.span.contains(entry.at) || !self.asked.wants(decided.profile) {
            return Ok(());
        }
        match fits {
            Fit::Yes => {}
            Fit::No => return Ok(()),
            Fit::MayBe => {
                self.unclear += 1;
                return Ok(());
            }
        }
        reading.note_decided(entry);
        self.flows.add(&decided)
    }

    fn end(self, reading: Reading) -> Transfers {
        let [permitted, refused, observed] = self.flows.into_outcomes();
        let lists = |row: &Row| self.asked.all || row.sort.leaves();
        let (permitted, home): (Vec<_>, Vec<_>) = permitted.into_iter().partition(lists);
        let at_home = home.iter().map(|row| row.flows).sum();
        Transfers {
            asked: self.asked,
            reading,
            unclear: self.unclear,
            at_home,
            permitted,
            refused,
            observed,
        }
    }
}
