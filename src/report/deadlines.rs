use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use super::words;
use crate::policy::{Breach, Checked, Law, Starts, Told};

/// Whom a law wants to be told of a breach, and by when.
#[derive(Debug, Serialize)]
pub struct Deadline {
    pub law: Arc<str>,
    /// The duty's id; `None`: the law pack knows of none (for `tell`), so ask a lawyer at once.
    pub id: Option<Arc<str>>,
    pub tell: Option<&'static str>,
    pub who: String,
    /// In hours; `None`: at once.
    pub within_hours: Option<i64>,
    pub counted_from: Option<&'static str>,
    /// Never later than the law says: days are counted as 24 hours.
    pub due: Timestamp,
    /// The same in the law's own time.
    pub due_there: String,
    pub when: Option<String>,
    pub citation: Option<Arc<str>>,
    pub confidence: Option<&'static str>,
}

/// The duties of these laws that are in force on the day of the incident, the most urgent first.
pub fn due<'a>(
    policy: &Checked,
    laws: impl Iterator<Item = &'a str>,
    aware: Timestamp,
    assessed: Option<Timestamp>,
) -> Vec<Deadline> {
    let mut all = Vec::new();
    for name in laws {
        let law = policy.laws().find(|(_, law)| *law.id == *name);
        let Some((_, law)) = law else {
            all.push(Deadline::unknown(
                name,
                aware,
                "the policy has no such law (any more)",
            ));
            continue;
        };
        let day = aware.to_zoned(law.timezone.clone()).date();
        let duties = law.breaches.iter().filter(|b| b.interval.contains(day));
        let duties: Vec<&Breach> = duties.collect();
        // A pack that knows whom to tell first may know nothing of the others.
        for tell in Told::ALL {
            if !duties.iter().any(|duty| duty.tell == tell) {
                let what = "nothing is known of it to this law pack: ask a lawyer at once";
                let mut row = Deadline::unknown(name, aware, what);
                row.tell = Some(tell.as_str());
                all.push(row);
            }
        }
        let known = duties.into_iter();
        all.extend(known.map(|b| Deadline::of(law, b, aware, assessed)));
    }
    all.sort_by(|a, b| (a.due, &a.law, &a.id, a.tell).cmp(&(b.due, &b.law, &b.id, b.tell)));
    all
}

impl Deadline {
    fn of(law: &Law, duty: &Breach, aware: Timestamp, assessed: Option<Timestamp>) -> Self {
        let start = match duty.from {
            Starts::Awareness => aware,
            // What is not told yet may be over already.
            Starts::Assessment => assessed.unwrap_or(aware),
        };
        let within = duty.within.unwrap_or_default();
        let due = start.checked_add(within).unwrap_or(start);
        Self {
            law: law.id.clone(),
            id: Some(duty.id.clone()),
            tell: Some(duty.tell.as_str()),
            who: duty.who.clone(),
            within_hours: duty.within.map(|within| within.as_hours()),
            counted_from: Some(duty.from.as_str()),
            due,
            due_there: due.to_zoned(law.timezone.clone()).to_string(),
            when: duty.when.clone(),
            citation: Some(duty.citation.clone()),
            confidence: Some(duty.confidence),
        }
    }

    fn unknown(law: &str, aware: Timestamp, what: &str) -> Self {
        Self {
            law: law.into(),
            id: None,
            tell: None,
            who: what.to_owned(),
            within_hours: None,
            counted_from: None,
            due: aware,
            due_there: words::time(aware),
            when: None,
            citation: None,
            confidence: None,
        }
    }

    /// `due`, `law`, `tell`, `who`, `within`, `when`, `citation`, `confidence`.
    pub fn cells(&self) -> Vec<String> {
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let due = match self.within_hours {
            Some(_) => format!("{} ({})", words::time(self.due), self.due_there),
            None => "at once".to_owned(),
        };
        let within = match (self.within_hours, self.counted_from) {
            (Some(hours), Some(from)) => format!("{hours} hours of {from}"),
            _ => String::new(),
        };
        let sure = match self.confidence {
            Some("high") | None => String::new(),
            Some(confidence) => format!("{confidence}: the fact is not sure, look it up"),
        };
        vec![
            due,
            self.law.to_string(),
            text(self.tell),
            self.who.clone(),
            within,
            text(self.when.as_deref()),
            text(self.citation.as_deref()),
            sure,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::tests::demo;

    fn told(law: &str) -> Vec<Deadline> {
        let aware = "2026-11-24T08:00:00Z".parse().unwrap();
        due(&demo(), [law].into_iter(), aware, None)
    }

    #[test]
    fn a_first_notice_without_delay_is_told_apart_from_its_details() {
        let board = |id: &str| {
            let id = Some(Arc::from(id));
            let found = told("IN").into_iter().find(|d| d.id == id);
            found.map(|d| d.within_hours)
        };
        assert_eq!(board("in-breach-board-first"), Some(None));
        assert_eq!(board("in-breach-board-details"), Some(Some(72)));
    }

    #[test]
    fn whom_a_law_pack_says_nothing_of_is_told_for_each() {
        let unknown = |law: &str| -> Vec<Option<&'static str>> {
            let all = told(law).into_iter();
            all.filter(|d| d.id.is_none()).map(|d| d.tell).collect()
        };
        let [authority, people, principal] = Told::ALL.map(|tell| Some(tell.as_str()));
        assert_eq!(unknown("RU"), [people, principal]);
        assert_eq!(unknown("IN"), [principal]);
        assert_eq!(unknown("EU"), []);
        assert_eq!(unknown("AE"), [authority, people, principal]);
        // Not one of the policy's.
        assert_eq!(unknown("XX"), [None]);
    }
}
