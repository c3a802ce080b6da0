use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

use super::{sheet::Table, words};
use crate::policy::Checked;

/// What the organisation has signed and filed, as its file says it today. The ledger has ids alone,
/// so of an instrument that is no longer there nothing more is known than how it was used.
#[derive(Debug, Default)]
pub struct Register(BTreeMap<Arc<str>, Value>);

impl Register {
    pub fn of(policy: &Checked) -> Self {
        let all = policy.instruments();
        Self(
            all.map(|(_, i)| (i.id.clone(), i.register_entry(policy)))
                .collect(),
        )
    }

    /// As `GET /v1/instruments` gives it.
    pub fn entry(&self, id: &str) -> Option<&Value> {
        self.0.get(id)
    }

    pub fn ids(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0.keys()
    }

    /// For people.
    pub fn table(&self, title: &str, ids: impl IntoIterator<Item = Arc<str>>) -> Table {
        let mut table = Table::new(title, &COLUMNS);
        table.rows = ids.into_iter().map(|id| self.cells(&id)).collect();
        table
    }

    /// Those of [`COLUMNS`].
    pub fn cells(&self, id: &str) -> Vec<String> {
        let entry = self.entry(id);
        let mut cells = vec![id.to_owned()];
        cells.extend(MEMBERS.map(|name| entry.map(|e| plain(&e[name])).unwrap_or_default()));
        cells
    }
}

/// Of a register's table; the members of its entries are called so, too.
pub const COLUMNS: [&str; 13] = [
    "instrument",
    "mechanism",
    "edition",
    "module",
    "exporter",
    "importer",
    "countries",
    "concluded",
    "from",
    "until",
    "assessment",
    "document_sha256",
    "copy",
];
const MEMBERS: [&str; 12] = [
    "mechanism",
    "edition",
    "module",
    "exporter",
    "importer",
    "countries",
    "concluded",
    "from",
    "until",
    "assessment",
    "document_sha256",
    "copy",
];

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => words::list(items.iter().map(plain)),
        other => other.to_string(),
    }
}
