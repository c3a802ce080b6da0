//! Whom a law wants to be told of a breach, and by when. Nothing of it decides about a flow: the
//! report of an incident tells it.

use std::sync::Arc;

use jiff::SignedDuration;

use crate::document::{Faults, Node, Where};

use super::{law::Law, organisation::twice, read, sets::Interval};

/// One duty to tell.
#[derive(Debug)]
pub struct Breach {
    pub id: Arc<str>,
    pub at: Where,
    pub tell: Told,
    /// Who that is, in the law's words.
    pub who: String,
    /// `None`: at once; the law names no number.
    pub within: Option<SignedDuration>,
    pub from: Starts,
    /// When there is such a duty, or none, in words.
    pub when: Option<String>,
    pub citation: Arc<str>,
    pub interval: Interval,
    /// How sure the fact is: `high`, `medium` or `low`. An unsure one leans to the shorter time.
    pub confidence: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Authority,
    People,
    /// Whom a processor works for.
    Principal,
}

/// What the time is counted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Starts {
    /// Somebody became aware of the breach.
    Awareness,
    /// It was found that the breach must be told.
    Assessment,
}

impl Told {
    pub const ALL: [Self; 3] = [Self::Authority, Self::People, Self::Principal];

    const TABLE: [(&str, Self); 3] = [
        ("authority", Self::Authority),
        ("people", Self::People),
        ("principal", Self::Principal),
    ];

    pub fn as_str(self) -> &'static str {
        word(self, &Self::TABLE)
    }
}

impl Starts {
    const TABLE: [(&str, Self); 2] = [
        ("awareness", Self::Awareness),
        ("assessment", Self::Assessment),
    ];

    pub fn as_str(self) -> &'static str {
        word(self, &Self::TABLE)
    }
}

fn word<T: PartialEq>(value: T, table: &[(&'static str, T)]) -> &'static str {
    let found = table.iter().find(|(_, v)| *v == value);
    found.map_or("", |(name, _)| name)
}

pub(super) fn read_breach(node: &Node, faults: &Faults) -> Option<Breach> {
    let f = node.fields(faults)?;
    let tell = f.need("tell");
    let tell = tell.and_then(|n| read::pick(n, "one to tell", &Told::TABLE, faults));
    let from = f.maybe("counted_from");
    let from = from.map(|n| read::pick(n, "beginning of a time", &Starts::TABLE, faults));
    let sure = f.maybe("confidence").map(|n| {
        let table = ["high", "medium", "low"].map(|c| (c, c));
        read::pick(n, "confidence", &table, faults)
    });
    let within = f.maybe("within");
    let breach = Breach {
        id: f.need_text("id").unwrap_or("?").into(),
        at: f.at.clone(),
        tell: tell.unwrap_or(Told::Authority),
        who: f.need_text("who").unwrap_or_default().to_owned(),
        within: within.and_then(|n| time(n, faults)),
        from: from.flatten().unwrap_or(Starts::Awareness),
        when: f.maybe_text("when").map(str::to_owned),
        citation: read::citation(&f).into(),
        interval: read::interval(&f),
        confidence: sure.flatten().unwrap_or("high"),
    };
    f.finish();
    Some(breach)
}

fn time(node: &Node, faults: &Faults) -> Option<SignedDuration> {
    let text = node.text(faults)?;
    let read = || {
        let (number, unit) = text.split_once(' ')?;
        let number = number.parse().ok().filter(|n| (1..=10_000).contains(n))?;
        let hours = match unit {
            "hour" | "hours" => number,
            "day" | "days" => 24 * number,
            _ => return None,
        };
        Some(SignedDuration::from_hours(hours))
    };
    let found = read();
    if found.is_none() {
        faults.error_hint(
            &node.at,
            format!("`{text}` is no time to tell somebody in"),
            "such as `72 hours` or `3 days`; leave `within` out where the law says at once",
        );
    }
    found
}

/// The report names a duty by its id.
pub(super) fn unique(laws: &[Law], faults: &Faults) {
    let all = laws.iter().flat_map(|law| &law.breaches);
    twice(
        all.map(|b| (&*b.id, &b.at)),
        "duty to tell of a breach",
        faults,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Option<Breach>, Vec<String>) {
        let faults = Faults::new();
        let node = Node::parse("t.toml", text.to_owned(), &faults).unwrap();
        let breach = read_breach(&node, &faults);
        let told = faults.into_sorted().iter().map(|f| f.summary()).collect();
        (breach, told)
    }

    #[test]
    fn a_duty_to_tell_is_read() {
        let text = "id = \"a\"\ntell = \"people\"\nwho = \"each\"\nwithin = \"3 days\"\n\
            counted_from = \"assessment\"\nwhen = \"if many\"\ncitation = \"Art. 1\"\n\
            from = 2026-01-01\nconfidence = \"medium\"\n";
        let (breach, told) = read(text);
        assert_eq!(told, Vec::<String>::new());
        let breach = breach.unwrap();
        assert_eq!(breach.within, Some(SignedDuration::from_hours(72)));
        assert_eq!(
            (breach.tell, breach.from),
            (Told::People, Starts::Assessment)
        );
        assert_eq!(breach.confidence, "medium");
        let at_once = "id = \"a\"\ntell = \"authority\"\nwho = \"it\"\ncitation = \"Art. 1\"\n";
        let breach = read(at_once).0.unwrap();
        assert_eq!((breach.within, breach.from), (None, Starts::Awareness));
    }

    #[test]
    fn each_mistake_in_a_duty_is_told_at_its_place() {
        let text = "id = \"a\"\ntell = \"press\"\nwho = 1\nwithin = \"soon\"\n\
            counted_from = \"monday\"\ncitation = \"\"\nconfidence = \"sure\"\nhours = 72\n";
        let (_, told) = read(text);
        let lines = ["2:8", "3:7", "4:10", "5:16", "6:12", "7:14", "8:1"];
        assert_eq!(told.len(), lines.len(), "{told:#?}");
        for (line, told) in lines.iter().zip(&told) {
            assert!(
                told.starts_with(&format!("t.toml:{line}: ")),
                "{line}: {told}"
            );
        }
        for within in ["0 hours", "-3 days", "72", "72h", "99999 days", "3 weeks"] {
            let text = format!(
                "id = \"a\"\ntell = \"people\"\nwho = \"x\"\ncitation = \"y\"\nwithin = \"{within}\"\n"
            );
            assert_eq!(read(&text).1.len(), 1, "{within}");
        }
        // What must stand.
        let (_, told) = read("within = \"3 days\"\n");
        assert_eq!(told.len(), 4, "{told:#?}");
    }
}
