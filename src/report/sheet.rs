use super::Reading;

/// A report as people read it: a head that says what it was made from, tables, notes. The
/// renderers know nothing else.
#[derive(Debug, Default)]
pub struct Sheet {
    pub title: String,
    /// Why this proves nothing; stands before everything else.
    pub warning: Option<String>,
    pub head: Vec<(String, String)>,
    pub tables: Vec<Table>,
    pub notes: Vec<String>,
    /// The one table of a CSV file.
    pub csv: Table,
    /// The ledger, and whether it verified: in each row of a CSV file, which has no head.
    pub origin: [String; 2],
}

#[derive(Clone, Debug, Default)]
pub struct Table {
    pub title: String,
    pub columns: Vec<&'static str>,
    /// As many cells as columns; an empty one says nothing.
    pub rows: Vec<Vec<String>>,
}

impl Sheet {
    pub fn new(title: &str, reading: &Reading) -> Self {
        let mut sheet = Self {
            title: title.to_owned(),
            ..Self::default()
        };
        let ledger = reading.id.as_deref().unwrap_or("not known");
        sheet.head("made", format!("{:.0}", reading.at));
        sheet.head("ledger", ledger);
        let at = |at: Option<jiff::Timestamp>| at.map_or(String::new(), |at| format!("{at:.6}"));
        sheet.head(
            "read",
            match reading.last {
                0 => "no entries".to_owned(),
                last => format!(
                    "entries {} to {last}, {} to {}",
                    reading.first,
                    at(reading.first_at),
                    at(reading.last_at)
                ),
            },
        );
        let verified = match (reading.verified, &reading.chain, reading.chain_after) {
            (Some(true), Some(chain), Some(after)) => {
                format!("yes: chain {chain} after entry {after}")
            }
            (Some(true), ..) => "yes".to_owned(),
            (Some(false), ..) => "NO".to_owned(),
            (None, ..) => "a part was read; `domicile ledger verify` reads all".to_owned(),
        };
        sheet.head("verified", verified);
        for by in &reading.decided_by {
            let settings = by.settings.map_or("not told".to_owned(), |s| s.to_string());
            let entries = by.entries;
            let text = format!(
                "policy {}, settings {settings} ({entries} entries)",
                by.policy
            );
            sheet.head("decided by", text);
        }
        sheet.warning = reading.damage.as_ref().map(|damage| {
            format!(
                "THE LEDGER DOES NOT VERIFY, so this report proves nothing: {damage}. It holds what stands before the damage."
            )
        });
        let verdict = match reading.verified {
            Some(true) => "yes",
            Some(false) => "no",
            None => "in part",
        };
        sheet.origin = [ledger.to_owned(), verdict.to_owned()];
        sheet
    }

    pub fn head(&mut self, name: &str, text: impl Into<String>) {
        self.head.push((name.to_owned(), text.into()));
    }

    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }
}

impl Table {
    pub fn new(title: impl Into<String>, columns: &[&'static str]) -> Self {
        Self {
            title: title.into(),
            columns: columns.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Tables of the same columns, one after the other.
    pub fn joined(tables: impl IntoIterator<Item = Self>) -> Self {
        let joined = tables.into_iter().reduce(|mut all, one| {
            all.rows.extend(one.rows);
            all
        });
        joined.unwrap_or_default()
    }
}
