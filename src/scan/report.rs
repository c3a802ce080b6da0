//! What a scan found, for people and as one JSON object.

use serde::Serialize;

use super::{
    Scan, Scanned,
    outcome::{Judged, Reason},
    tables::{AtHome, Group, Tables},
};

/// The whole of it. Holds no id, key or value.
#[derive(Debug, Serialize)]
pub struct Report {
    pub route: String,
    pub schema: Option<String>,
    /// Where the records lie, as the caller said.
    pub place: Option<String>,
    pub at: String,
    pub policy: String,
    pub settings: String,
    pub lines: u64,
    pub records: u64,
    /// Different people, where records name them.
    pub people: Option<usize>,
    /// There are more than are told apart.
    pub more_people: bool,
    pub wrong_place: WrongPlace,
    /// Lie at home, or are to be stored there, and may not.
    pub forbidden_at_home: u64,
    pub no_home: u64,
    pub broken: u64,
    /// Whose home is another than that of the same person's first record.
    pub second_homes: u64,
    pub by_home: Vec<Home>,
    pub by_law: Vec<Law>,
    pub by_category: Vec<Category>,
    pub judged: Vec<Group<Judged>>,
    pub without_home: Vec<Group<Reason>>,
    pub broken_lines: Vec<Group<Reason>>,
    /// What is to be known beside the figures.
    pub notes: Vec<String>,
}

#[derive(Debug, Serialize)]
pub struct WrongPlace {
    pub records: u64,
    pub permitted: u64,
    pub forbidden: u64,
}

#[derive(Debug, Serialize)]
pub struct Home {
    pub home: String,
    #[serde(flatten)]
    pub counts: AtHome,
}

#[derive(Debug, Serialize)]
pub struct Law {
    pub law: String,
    pub records: u64,
}

#[derive(Debug, Serialize)]
pub struct Category {
    pub category: String,
    pub records: u64,
}

impl Report {
    /// `notes` are the caller's, and go before those of the scan.
    pub fn of(scan: &Scan<'_>, scanned: Scanned, mut notes: Vec<String>) -> Self {
        let (snapshot, form) = (scan.snapshot, scan.form);
        let tables = scanned.tables;
        let by_category = tables.by_category(&snapshot.checked);
        let elsewhere = |permitted: bool| {
            Tables::sum(&tables.judged, |j: &Judged| {
                j.wrong_place && j.is_permitted() == permitted
            })
        };
        let wrong_place = WrongPlace {
            records: elsewhere(true) + elsewhere(false),
            permitted: elsewhere(true),
            forbidden: elsewhere(false),
        };
        let at_home = |j: &Judged| !j.wrong_place && !j.is_permitted();
        let forbidden_at_home = Tables::sum(&tables.judged, at_home);
        let (people, more_people) = tables.people.count();
        if scanned.lines == scanned.blank {
            notes.push("there was nothing to read".to_owned());
        }
        notes.extend(scanned.hint.map(str::to_owned));
        let second_homes = tables.people.elsewhere;
        if second_homes > 0 {
            let lines = lines_of(&tables.people.lines, second_homes);
            notes.push(format!(
                "of people with several records, {} a home other than the first's{lines}: the router pins the first and answers the others with 409",
                if second_homes == 1 { "1 has".to_owned() } else { format!("{second_homes} have") },
            ));
        }
        if wrong_place.forbidden + forbidden_at_home > 0 {
            notes.push(
                "consents and counts stand in the router's registers, which are not read here: what hangs on them is forbidden"
                    .to_owned(),
            );
        }
        Self {
            route: form.route.name.to_string(),
            schema: form.route.schema.clone(),
            place: scan.place.map(|p| snapshot.regions.name(p).to_owned()),
            at: scan.at.to_string(),
            policy: snapshot.checked.digest().to_string(),
            settings: snapshot.settings_digest.to_string(),
            lines: scanned.lines,
            records: scanned.records,
            people: form.subject.map(|_| people),
            more_people,
            wrong_place,
            forbidden_at_home,
            no_home: Tables::sum(&tables.no_home, |_| true),
            broken: Tables::sum(&tables.broken, |_| true),
            second_homes,
            by_home: tables
                .homes
                .into_iter()
                .map(|(home, counts)| Home { home, counts })
                .collect(),
            by_law: tables
                .laws
                .into_iter()
                .map(|(law, records)| Law { law, records })
                .collect(),
            by_category: by_category
                .into_iter()
                .map(|(category, records)| Category { category, records })
                .collect(),
            judged: tables.judged,
            without_home: tables.no_home,
            broken_lines: tables.broken,
            notes,
        }
    }

    /// Every line is a record with a home, and lies there as far as anybody said where it lies. Nothing
    /// read is not good: an export that failed is empty.
    pub fn is_good(&self) -> bool {
        self.records > 0 && self.faults() == 0
    }

    fn faults(&self) -> u64 {
        self.wrong_place.records
            + self.forbidden_at_home
            + self.no_home
            + self.broken
            + self.second_homes
    }

    /// For people, line by line.
    pub fn lines(&self) -> Vec<String> {
        let mut out = vec![self.head()];
        out.push(format!(
            "read as route {}, {}; policy {}",
            self.route,
            match &self.schema {
                Some(schema) => format!("schema {schema}"),
                None => "without a schema".to_owned(),
            },
            self.policy
        ));
        out.push(match &self.place {
            Some(place) => format!("they lie in {place}"),
            None => "where they lie was not said (--region): judged is the store of each at its home, from this router's location".to_owned(),
        });
        self.tables(&mut out);
        let elsewhere = |j: &Judged| j.wrong_place;
        let title = format!("in the wrong place: {}", records(self.wrong_place.records));
        self.judgements(&mut out, &title, elsewhere);
        let title = match &self.place {
            Some(_) => "forbidden though they lie at home",
            None => "may not be stored at home from here",
        };
        let title = format!("{title}: {}", records(self.forbidden_at_home));
        self.judgements(&mut out, &title, |j| !j.wrong_place && !j.is_permitted());
        let title = format!("without a home: {}", records(self.no_home));
        reasons(&mut out, &title, &self.without_home);
        let title = format!("no record: {}", counted(self.broken, "line"));
        reasons(&mut out, &title, &self.broken_lines);
        if !self.notes.is_empty() {
            out.push(String::new());
            out.extend(self.notes.iter().map(|note| format!("note: {note}")));
        }
        out.push(String::new());
        out.push(self.verdict());
        out
    }

    fn head(&self) -> String {
        let people = match (self.people, self.more_people) {
            (None, _) => String::new(),
            (Some(people), false) => format!(" of {people} people"),
            (Some(people), true) => format!(" of more than {people} people"),
        };
        let lines = counted(self.lines, "line");
        format!("{lines}, {}{people}", records(self.records))
    }

    fn tables(&self, out: &mut Vec<String>) {
        let is_placed = self.place.is_some();
        let figures = |counts: &AtHome| match is_placed {
            true => vec![counts.records, counts.wrong_place, counts.forbidden],
            false => vec![counts.records, counts.forbidden],
        };
        let rows = self.by_home.iter();
        let mut rows: Vec<_> = rows
            .map(|r| (r.home.as_str(), figures(&r.counts)))
            .collect();
        if self.no_home > 0 {
            rows.push(("(none)", vec![self.no_home]));
        }
        match is_placed {
            true => table(out, &["home", "records", "wrong place", "forbidden"], rows),
            false => table(out, &["home", "records", "forbidden"], rows),
        }
        let rows = self
            .by_law
            .iter()
            .map(|row| (row.law.as_str(), vec![row.records]));
        table(out, &["law", "records"], rows.collect());
        let rows = self.by_category.iter();
        let rows = rows.map(|row| (row.category.as_str(), vec![row.records]));
        table(out, &["category", "records"], rows.collect());
    }

    fn judgements(&self, out: &mut Vec<String>, title: &str, which: impl Fn(&Judged) -> bool) {
        let groups: Vec<&Group<Judged>> = self.judged.iter().filter(|g| which(&g.what)).collect();
        if groups.is_empty() {
            return;
        }
        out.push(String::new());
        out.push(title.to_owned());
        for group in groups {
            let judged = &group.what;
            out.push(format!(
                "  {} with home {}, under {}: {}{}",
                group.records,
                judged.home,
                match judged.laws.is_empty() {
                    true => "no law".to_owned(),
                    false => judged.laws.join(" "),
                },
                ground(judged),
                lines_of(&group.lines, group.records)
            ));
            if !judged.missing.is_empty() {
                out.push("    for each law named, one of these would permit it:".to_owned());
            }
            for missing in &judged.missing {
                out.push(format!(
                    "      {} {}: {}",
                    missing.law,
                    missing.mechanism,
                    missing.needs.join(" + ")
                ));
            }
        }
    }

    fn verdict(&self) -> String {
        match (self.is_good(), &self.place) {
            (true, Some(place)) => format!("good: every record is in its place in {place}"),
            (true, None) => "good: every record has a home, and may be stored there".to_owned(),
            (false, _) if self.faults() == 0 => "not good: nothing was read".to_owned(),
            (false, place) => {
                let mut all = Vec::new();
                if place.is_some() {
                    let WrongPlace {
                        records, forbidden, ..
                    } = self.wrong_place;
                    all.push(format!(
                        "{records} in the wrong place, {forbidden} of them forbidden there"
                    ));
                }
                all.push(format!("{} forbidden at home", self.forbidden_at_home));
                all.push(format!("{} without a home", self.no_home));
                if self.second_homes > 0 {
                    all.push(format!("{} at a second home", self.second_homes));
                }
                all.push(format!("{} with no record", counted(self.broken, "line")));
                format!("not good: {}", all.join("; "))
            }
        }
    }
}

/// `permitted by scc, module 2, instrument eu-sg-2024 (eu-scc, GDPR Art. 46(2)(c))`.
fn ground(judged: &Judged) -> String {
    let rule = [&judged.rule, &judged.citation];
    let rule: Vec<&str> = rule.into_iter().flatten().map(String::as_str).collect();
    let rule = match rule.is_empty() {
        true => "nothing in it is personal".to_owned(),
        false => rule.join(", "),
    };
    if !judged.is_permitted() {
        return format!("forbidden ({rule})");
    }
    let mut by = "permitted".to_owned();
    if let Some(mechanism) = &judged.mechanism {
        by += &format!(" by {mechanism}");
    }
    if let Some(module) = judged.module {
        by += &format!(", module {module}");
    }
    if let Some(instrument) = &judged.instrument {
        by += &format!(", instrument {instrument}");
    }
    format!("{by} ({rule})")
}

fn records(count: u64) -> String {
    counted(count, "record")
}

fn counted(count: u64, what: &str) -> String {
    let end = if count == 1 { "" } else { "s" };
    format!("{count} {what}{end}")
}

fn reasons(out: &mut Vec<String>, title: &str, groups: &[Group<Reason>]) {
    if groups.is_empty() {
        return;
    }
    out.push(String::new());
    out.push(title.to_owned());
    for group in groups {
        let Reason {
            reason,
            detail,
            rule,
            citation,
        } = &group.what;
        let rule: Vec<&str> = [rule, citation]
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect();
        let rule = match rule.is_empty() {
            true => String::new(),
            false => format!(" ({})", rule.join(", ")),
        };
        let lines = lines_of(&group.lines, group.records);
        out.push(format!(
            "  {} {reason}: {detail}{rule}{lines}",
            group.records
        ));
    }
}

fn lines_of(lines: &[u64], records: u64) -> String {
    let numbers: Vec<String> = lines.iter().map(u64::to_string).collect();
    let word = if numbers.len() == 1 { "line" } else { "lines" };
    let more = match records > lines.len() as u64 {
        true => ", …",
        false => "",
    };
    format!("; {word} {}{more}", numbers.join(", "))
}

fn table(out: &mut Vec<String>, heads: &[&str], rows: Vec<(&str, Vec<u64>)>) {
    if rows.is_empty() {
        return;
    }
    let Some((name, figures)) = heads.split_first() else {
        return;
    };
    let widest = rows.iter().map(|(name, _)| name.len()).max();
    let first = widest.unwrap_or(0).max(name.len());
    let cell = |text: &str, head: &str| format!("  {text:>width$}", width = head.len().max(10));
    out.push(String::new());
    let row = |name: &str, cells: String| format!("{name:<first$}{cells}").trim_end().to_owned();
    out.push(row(
        name,
        figures.iter().map(|head| cell(head, head)).collect(),
    ));
    for (name, values) in rows {
        let values = values.iter().zip(figures);
        out.push(row(
            name,
            values
                .map(|(value, head)| cell(&value.to_string(), head))
                .collect(),
        ));
    }
}
