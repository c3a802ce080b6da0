//! How long data is kept, and what must not be erased: the organisation's `[[retention]]` and
//! `[[holds]]`.

use std::sync::Arc;

use jiff::{Span, Timestamp, civil::Date, tz::TimeZone};

use crate::{
    document::{Faults, Node, Where},
    domain::{CategorySet, Place, SubjectKey},
};

use super::{checked::Checked, days::day_in, read, sets::Interval, vocabulary::Words};

/// How long records with some categories are kept.
#[derive(Debug)]
pub struct Retention {
    pub id: Arc<str>,
    pub at: Where,
    /// The laws whose records it is for, by id; empty: all.
    pub laws: Vec<(Arc<str>, Where)>,
    pub categories: CategorySet,
    /// Years, months, weeks and days.
    pub keep: Span,
    /// At least so long, where others say at most.
    pub least: bool,
    pub source: Option<Arc<str>>,
    /// Something of it could not be read, which is told: nothing else follows of it.
    pub misread: bool,
}

/// Records that stay although their person asks for erasure.
#[derive(Debug)]
pub struct Hold {
    pub id: Arc<str>,
    pub at: Where,
    pub citation: Arc<str>,
    pub interval: Interval,
    /// People of these countries; empty: everybody.
    pub subjects: Vec<Place>,
    /// Single people, by their keys; empty: everybody.
    pub keys: Vec<SubjectKey>,
    pub categories: CategorySet,
}

impl Hold {
    /// Whether it is about records on `day` that hold `categories`, whoever they are about.
    fn concerns(&self, day: Date, categories: CategorySet) -> bool {
        self.interval.contains(day) && self.categories.intersects(categories)
    }

    /// Whether people of these countries are among those that it is for, single people apart.
    pub fn is_for(&self, countries: &[Place]) -> bool {
        let lives = |p: &Place| self.subjects.iter().any(|of| p.within(of));
        self.subjects.is_empty() || countries.iter().any(lives)
    }

    /// Whether it is for the person with this key, who is not known to a question.
    pub fn is_for_key(&self, key: Option<SubjectKey>) -> bool {
        self.keys.is_empty() || key.is_some_and(|key| self.keys.contains(&key))
    }
}

impl Checked {
    /// The holds in force at an instant, by its day in UTC, for records that are said to hold
    /// `stated`. What might lie below a stated category does not count: a hold on orders would keep
    /// every record of which is known only that it is about a person.
    pub fn holds_of(&self, at: Timestamp, stated: CategorySet) -> impl Iterator<Item = &Hold> {
        let day = day_in(at, &TimeZone::UTC);
        let holds = self.holds().iter();
        holds.filter(move |hold| hold.concerns(day, stated))
    }

    /// The first hold that forbids to erase a record: what the router asks before any law, and the
    /// policy tools for it. `key`: whose it is, where that is known.
    pub fn hold_on(
        &self,
        at: Timestamp,
        key: Option<SubjectKey>,
        countries: &[Place],
        stated: CategorySet,
    ) -> Option<&Hold> {
        self.holds_of(at, stated)
            .find(|hold| hold.is_for_key(key) && hold.is_for(countries))
    }
}

/// The last day on which a record of `day` is kept: the earliest that a limit says, but none
/// earlier than the latest that a least says. `None`: nothing says anything.
pub fn retain_until(
    rules: &[Retention],
    laws: &[Arc<str>],
    categories: CategorySet,
    day: Date,
) -> Option<Date> {
    let mut most: Option<Date> = None;
    let mut least: Option<Date> = None;
    for rule in rules {
        let of_law = rule.laws.is_empty() || rule.laws.iter().any(|(l, _)| laws.contains(l));
        if !of_law || !rule.categories.intersects(categories) {
            continue;
        }
        let Ok(end) = day.checked_add(rule.keep) else {
            continue;
        };
        if rule.least {
            least = Some(least.map_or(end, |l| l.max(end)));
        } else {
            most = Some(most.map_or(end, |m| m.min(end)));
        }
    }
    match (most, least) {
        (Some(most), Some(least)) => Some(most.max(least)),
        (most, least) => most.or(least),
    }
}

pub(super) fn read_retention(node: &Node, words: &Words<'_>, faults: &Faults) -> Option<Retention> {
    let f = node.fields(faults)?;
    let keep = f.need("keep").and_then(|n| span(n, faults));
    let laws = f.maybe("laws").map(|n| n.texts(faults));
    let laws = laws.unwrap_or_default().into_iter();
    let retention = Retention {
        id: f.need_text("id").unwrap_or("?").into(),
        at: f.at.clone(),
        laws: laws.map(|(t, n)| (t.into(), n.at.clone())).collect(),
        categories: f
            .need("categories")
            .map(|n| read::categories(n, words, faults))
            .unwrap_or_default(),
        keep: keep.unwrap_or_default(),
        least: f
            .maybe("least")
            .and_then(|n| n.boolean(faults))
            .unwrap_or(false),
        source: read::source(&f).map(Arc::from),
        misread: false,
    };
    f.finish();
    Some(Retention {
        misread: faults.concern(node),
        ..retention
    })
}

fn span(node: &Node, faults: &Faults) -> Option<Span> {
    let text = node.text(faults)?;
    let probe = jiff::civil::date(2001, 1, 1);
    let read = text.parse::<Span>().ok();
    let sound = read.filter(|s| probe.checked_add(*s).is_ok_and(|end| end > probe));
    if sound.is_none() {
        let hint = "write years, months or days: \"3 years\", \"6 months\", \"180 days\"";
        faults.error_hint(&node.at, format!("`{text}` is no time to keep data"), hint);
    }
    sound
}

pub(super) fn read_hold(node: &Node, words: &Words<'_>, faults: &Faults) -> Option<Hold> {
    let f = node.fields(faults)?;
    let mut subjects = Vec::new();
    let listed = f.maybe("subjects").and_then(|n| n.list(faults));
    for item in listed.unwrap_or(&[]) {
        subjects.extend(read::place(item, faults));
    }
    let mut keys = Vec::new();
    for (text, item) in f.maybe("keys").map(|n| n.texts(faults)).unwrap_or_default() {
        match SubjectKey::parse(text) {
            Ok(key) => keys.push(key),
            // A person's id must not be printed; what stands here may be one.
            Err(_) => faults.error_hint(
                &item.at,
                "this is no subject key",
                "`domicile key` prints the keys of ids",
            ),
        }
    }
    let hold = Hold {
        id: f.need_text("id").unwrap_or("?").into(),
        at: f.at.clone(),
        citation: read::citation(&f).into(),
        interval: read::interval(&f),
        subjects,
        keys,
        categories: f.maybe("categories").map_or_else(
            || words.ids().collect(),
            |n| read::categories(n, words, faults),
        ),
    };
    f.finish();
    Some(hold)
}

/// The laws that retention rules name must be there.
pub(super) fn review<'l>(
    rules: &[Retention],
    laws: impl Iterator<Item = &'l str> + Clone,
    faults: &Faults,
) {
    for (name, at) in rules.iter().flat_map(|r| &r.laws) {
        if !laws.clone().any(|law| law == &**name) {
            // Of codes of two letters each is near some other one: they are told, none is proposed.
            let known: Vec<&str> = laws.clone().collect();
            let hint = format!("laws of this policy: {}", known.join(", "));
            faults.error_hint(at, format!("unknown law `{name}`"), hint);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::CategoryId;

    fn set(ids: &[u8]) -> CategorySet {
        ids.iter().map(|i| CategoryId(*i)).collect()
    }

    fn rule(categories: &[u8], laws: &[&str], keep: &str, least: bool) -> Retention {
        let at = Where::Path("t.toml".to_owned());
        Retention {
            id: "r".into(),
            laws: laws.iter().map(|l| ((*l).into(), at.clone())).collect(),
            at,
            categories: set(categories),
            keep: keep.parse().unwrap(),
            least,
            source: None,
            misread: false,
        }
    }

    #[test]
    fn the_shortest_limit_holds_but_for_a_laws_least() {
        let rules = [
            rule(&[1], &[], "1 year", false),
            rule(&[2], &[], "30 days", false),
            rule(&[3], &["CN"], "3 years", true),
        ];
        let day: Date = "2024-02-29".parse().unwrap();
        let until = |laws: &[&str], categories: &[u8]| {
            let laws: Vec<Arc<str>> = laws.iter().map(|l| (*l).into()).collect();
            retain_until(&rules, &laws, set(categories), day).map(|d| d.to_string())
        };
        assert_eq!(until(&["EU"], &[1]).as_deref(), Some("2025-02-28"));
        assert_eq!(until(&["EU"], &[1, 2]).as_deref(), Some("2024-03-30"));
        assert_eq!(until(&["CN"], &[2, 3]).as_deref(), Some("2027-02-28"));
        assert_eq!(until(&["EU"], &[2, 3]).as_deref(), Some("2024-03-30"));
        assert_eq!(until(&["CN", "SG"], &[3]).as_deref(), Some("2027-02-28"));
        assert_eq!(until(&["EU"], &[3]), None);
    }

    #[test]
    fn a_hold_is_for_its_people_data_and_days() {
        let key = SubjectKey::from_bytes([7; SubjectKey::LEN]);
        let other = SubjectKey::from_bytes([8; SubjectKey::LEN]);
        let place = |p: &str| -> Place { p.parse().unwrap() };
        let hold = Hold {
            id: "h".into(),
            at: Where::Path("t.toml".to_owned()),
            citation: "case 1".into(),
            interval: Interval {
                from: None,
                until: Some("2026-12-31".parse().unwrap()),
            },
            subjects: vec![place("CN")],
            keys: vec![key],
            categories: set(&[3]),
        };
        let binds = |day: &str, key, country, categories: &[u8]| {
            hold.concerns(day.parse().unwrap(), set(categories))
                && hold.is_for_key(Some(key))
                && hold.is_for(&[place(country)])
        };
        assert!(binds("2026-12-31", key, "CN", &[3, 4]));
        assert!(!binds("2027-01-01", key, "CN", &[3]));
        assert!(!binds("2026-12-31", other, "CN", &[3]));
        assert!(!binds("2026-12-31", key, "SG", &[3]));
        assert!(!binds("2026-12-31", key, "CN", &[4]));
    }
}
