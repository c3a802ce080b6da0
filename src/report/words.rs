//! Flows in words and cells: what the tables of all reports share.

use std::{collections::BTreeSet, sync::Arc};

use jiff::Timestamp;

use super::{Citations, flows::Row, sheet::Table};
use crate::attest::{Party, Verdict};

pub const COUNTS: &str = "flows: decisions, each counted once; confirmed: those that the region or recipient answered with 2xx (an entry is written before anything is sent, so of the others nobody can say here whether they arrived); people: distinct subject keys";

pub const ONE_ROUTER: &str = "this tells of one router's ledger alone: where several routers stand side by side each has its own, so make the report of each";
pub const ONE_REGION: &str = "of a region are listed: flows whose entry names it, and stores, replicates and relocates from its place and entity, which is all that an entry tells of where they left";
pub const ONE_INSTRUMENT: &str = "an entry names one instrument, that of its most demanding law: where two laws each asked for one, the other's use does not count here";
pub const OBSERVED: &str = "observe mode: nothing was refused, and these flows went to the region under `reached` (a disclosure: to its recipient); ends, region and ground are those that the policy would have chosen";
/// The title of a table of them.
pub const UNRULED: &str = "under observation: not ruled by the policy";

pub fn party(party: &Party) -> String {
    match &party.entity {
        Some(entity) => format!("{} {entity}", party.place),
        None => party.place.to_string(),
    }
}

pub fn time(at: Timestamp) -> String {
    format!("{at:.0}")
}

pub fn list<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> String {
    let texts: Vec<T> = items.into_iter().collect();
    let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
    texts.join(", ")
}

fn text(text: Option<&Arc<str>>) -> String {
    text.map(ToString::to_string).unwrap_or_default()
}

fn way(row: &Row) -> String {
    let sort = &row.sort;
    let via = sort.via.as_ref().map(|via| format!(" via {}", party(via)));
    let via = via.unwrap_or_default();
    format!("{}{via} -> {}", party(&sort.from), party(&sort.to))
}

/// `scc, module 2, instrument eu-sg-2024 (acme-eu to acme-sg)`.
fn ground(row: &Row) -> String {
    let sort = &row.sort;
    let mut ground = text(sort.mechanism.as_ref());
    if let Some(module) = sort.module {
        ground.push_str(&format!(", module {module}"));
    }
    if let Some(instrument) = &sort.instrument {
        ground.push_str(&format!(", instrument {instrument}"));
        if let (Some(exporter), Some(importer)) = (&sort.exporter, &sort.importer) {
            ground.push_str(&format!(" ({exporter} to {importer})"));
        }
    }
    ground
}

fn rules(rules: &BTreeSet<Arc<str>>, citations: &Citations) -> String {
    list(rules.iter().map(|rule| citations.told(rule)))
}

pub fn flows(title: &str, rows: &[Row], citations: &Citations) -> Table {
    let mut table = Table::new(
        title,
        &[
            "flow",
            "operation",
            "region",
            "reached",
            "ground",
            "rules",
            "laws",
            "purpose",
            "problem",
            "categories",
            "flows",
            "confirmed",
            "people",
            "first",
            "last",
        ],
    );
    let cells = |row: &Row| {
        let sort = &row.sort;
        vec![
            way(row),
            sort.operation.as_str().to_owned(),
            text(sort.region.as_ref()),
            text(sort.reached.as_ref()),
            ground(row),
            rules(&row.rules, citations),
            list(&sort.laws),
            text(sort.purpose.as_ref()),
            text(sort.problem.as_ref()),
            list(&row.categories),
            row.flows.to_string(),
            row.confirmed.to_string(),
            row.people.told(),
            time(row.first),
            time(row.last),
        ]
    };
    table.rows = rows.iter().map(cells).collect();
    table
}

pub fn refusals(title: &str, rows: &[Row], citations: &Citations) -> Table {
    let mut table = Table::new(
        title,
        &[
            "flow",
            "operation",
            "problem",
            "refused by",
            "laws",
            "purpose",
            "categories",
            "refusals",
            "people",
            "first",
            "last",
        ],
    );
    let cells = |row: &Row| {
        let sort = &row.sort;
        vec![
            way(row),
            sort.operation.as_str().to_owned(),
            text(sort.problem.as_ref()),
            list(sort.refused_by.iter().map(|rule| citations.told(rule))),
            list(&sort.laws),
            text(sort.purpose.as_ref()),
            list(&row.categories),
            row.flows.to_string(),
            row.people.told(),
            time(row.first),
            time(row.last),
        ]
    };
    table.rows = rows.iter().map(cells).collect();
    table
}

/// One line a row, one value a cell.
pub fn csv(rows: &[Row], citations: &Citations) -> Table {
    let mut table = Table::new(
        "",
        &[
            "outcome",
            "operation",
            "from_country",
            "from_entity",
            "via_country",
            "via_entity",
            "to_country",
            "to_entity",
            "region",
            "reached",
            "mechanism",
            "module",
            "instrument",
            "exporter",
            "importer",
            "laws",
            "purpose",
            "problem",
            "rules",
            "citations",
            "categories",
            "flows",
            "confirmed",
            "subjects",
            "subjects_exact",
            "first",
            "last",
        ],
    );
    let cells = |row: &Row| {
        let sort = &row.sort;
        let ends = |party: Option<&Party>| {
            let place = party.map(|p| p.place.to_string()).unwrap_or_default();
            let entity = party.and_then(|p| p.entity.as_ref());
            [place, text(entity)]
        };
        let outcome = match sort.outcome {
            Verdict::Permit => "permit",
            Verdict::Refuse => "refuse",
            Verdict::Observe => "observe",
        };
        let cited = row.rules.iter().filter_map(|rule| citations.get(rule));
        let mut cells = vec![outcome.to_owned(), sort.operation.as_str().to_owned()];
        cells.extend(ends(Some(&sort.from)));
        cells.extend(ends(sort.via.as_ref()));
        cells.extend(ends(Some(&sort.to)));
        cells.extend([
            text(sort.region.as_ref()),
            text(sort.reached.as_ref()),
            text(sort.mechanism.as_ref()),
            sort.module.map(|m| m.to_string()).unwrap_or_default(),
            text(sort.instrument.as_ref()),
            text(sort.exporter.as_ref()),
            text(sort.importer.as_ref()),
            list(&sort.laws),
            text(sort.purpose.as_ref()),
            text(sort.problem.as_ref()),
            list(&row.rules),
            cited.collect::<Vec<_>>().join("; "),
            list(&row.categories),
            row.flows.to_string(),
            row.confirmed.to_string(),
            row.people.count().to_string(),
            row.people.is_exact().to_string(),
            format!("{:.6}", row.first),
            format!("{:.6}", row.last),
        ]);
        cells
    };
    table.rows = rows.iter().map(cells).collect();
    table
}
