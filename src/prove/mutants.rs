//! Mutants: one rule of one law changed a little, to see whether cases and properties notice.
//!
//! A suite that lets a wrong law pass is no suite. Every mutant is made on the parsed documents,
//! judged first by the reader of policies, then by the cases, then by the properties of its law.
//! A survivor that changes no flow of the space for any of the organisations is told apart: nothing
//! that asks questions could notice it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::civil::Date;
use serde::Serialize;

use crate::{
    document::{Node, Value, Where},
    policy::Checked,
};

use super::{
    cases::{Asked, Case, CaseError, NamedFile},
    composed::Dice,
    diff::diff,
    files::Files,
    property::Properties,
    prove::{ProveError, Proven, in_parallel, prove_beyond},
};

/// One small change.
#[derive(Clone, Debug)]
pub struct Mutant {
    pub said: String,
    /// The law, for the properties that can notice; `None`: the vocabulary.
    law: Option<String>,
    /// Index of the file among the laws; `None`: the vocabulary.
    file: Option<usize>,
    changed: Node,
}

#[derive(Clone, Debug, Serialize)]
pub struct Judged {
    pub mutant: String,
    /// Who noticed.
    pub caught_by: Option<String>,
    /// It changes no flow for any of the organisations.
    pub idle: bool,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Tally {
    pub mutants: usize,
    pub by_check: usize,
    pub by_test: usize,
    pub by_prove: usize,
    /// Survivors that change no flow.
    pub idle: usize,
    pub survivors: Vec<String>,
    pub idle_mutants: Vec<String>,
}

impl Tally {
    /// Of those that change something, the share that was noticed, in percent.
    #[expect(clippy::cast_precision_loss, reason = "a share for people to read")]
    pub fn caught(&self) -> f64 {
        let caught = self.by_check + self.by_test + self.by_prove;
        let all = self.mutants - self.idle;
        100.0 * caught as f64 / all.max(1) as f64
    }
}

/// Of samples of mutants.
pub const SEED: u64 = 20_261_121;

/// All mutants of the laws and the groups, in a fixed order; or `sample` of them by a fixed seed.
pub fn mutants(files: &Files, sample: Option<usize>) -> Vec<Mutant> {
    let mut all = Vec::new();
    for (file, law) in files.laws.iter().enumerate() {
        let id = text_of(law, "id").unwrap_or("?").to_owned();
        for (said, changed) in of_law(law) {
            all.push(Mutant {
                said: format!("{id}: {said}"),
                law: Some(id.clone()),
                file: Some(file),
                changed,
            });
        }
    }
    for (said, changed) in of_groups(&files.vocabulary) {
        all.push(Mutant {
            said,
            law: None,
            file: None,
            changed,
        });
    }
    if let Some(wanted) = sample {
        let mut dice = Dice(SEED);
        while all.len() > wanted {
            let gone = dice.below(all.len());
            all.swap_remove(gone);
        }
    }
    all
}

/// Tries mutants against the cases of each organisation and against the properties; without
/// properties against the cases alone, which is quicker, and then no survivor is called idle.
///
/// # Errors
/// The policy as it stands has mistakes.
pub fn judge(
    dir: &Path,
    cases: &[NamedFile],
    properties: Option<&Properties>,
    organisation: &Path,
    mutants: &[Mutant],
) -> Result<Tally, CaseError> {
    let mut by_organisation: BTreeMap<PathBuf, Vec<&Case>> = BTreeMap::new();
    for file in cases {
        let path = file
            .organisation
            .clone()
            .unwrap_or_else(|| organisation.to_owned());
        by_organisation.entry(path).or_default().extend(&file.cases);
    }
    let mut suites: Vec<Suite<'_>> = Vec::new();
    for (path, cases) in by_organisation {
        suites.push(Suite::new(Files::load(dir, &path)?, &cases, properties)?);
    }
    let judged = in_parallel(mutants.len(), |i| {
        mutants.get(i).map(|m| judge_one(&suites, properties, m))
    });
    let mut tally = Tally::default();
    for one in judged.into_iter().flatten() {
        tally.mutants += 1;
        match one.caught_by.as_deref() {
            Some("check") => tally.by_check += 1,
            Some("test") => tally.by_test += 1,
            Some(_) => tally.by_prove += 1,
            None if one.idle => {
                tally.idle += 1;
                tally.idle_mutants.push(one.mutant);
            }
            None => tally.survivors.push(one.mutant),
        }
    }
    Ok(tally)
}

/// One organisation with its cases, as the laws stand.
struct Suite<'a> {
    files: Files,
    checked: Arc<Checked>,
    /// Each with the laws that govern it.
    cases: Vec<(&'a Case, Vec<String>)>,
    /// Where the properties hold already.
    proven: Proven,
}

impl<'a> Suite<'a> {
    fn new(
        files: Files,
        cases: &[&'a Case],
        properties: Option<&Properties>,
    ) -> Result<Self, CaseError> {
        let checked = files.check()?;
        let mut asked = Asked::new(&checked);
        let cases = cases.iter().map(|c| (*c, asked.laws(c))).collect();
        let mut suite = Self {
            files,
            checked,
            cases,
            proven: Proven::default(),
        };
        let Some(properties) = properties else {
            return Ok(suite);
        };
        let report = prove_beyond(&suite.files, properties, None, &mut suite.proven);
        let organisation = suite.files.organisation.at.to_string();
        // What is broken already would catch every mutant.
        match report {
            Ok(report) if report.held() => {}
            Ok(report) => {
                let broken = report.properties.into_iter().find(|p| !p.held);
                return Err(CaseError::Unproven {
                    organisation,
                    property: broken.map(|p| p.name).unwrap_or_default(),
                });
            }
            Err(ProveError::Policy(refused)) => return Err(refused.into()),
            Err(other) => {
                return Err(CaseError::Unproven {
                    organisation,
                    property: other.to_string(),
                });
            }
        }
        Ok(suite)
    }
}

fn judge_one(suites: &[Suite<'_>], properties: Option<&Properties>, mutant: &Mutant) -> Judged {
    let judged = |by: Option<&str>, idle: bool| Judged {
        mutant: mutant.said.clone(),
        caught_by: by.map(str::to_owned),
        idle,
    };
    let mut changed = Vec::new();
    for suite in suites {
        let files = mutant.apply(&suite.files);
        let Ok(checked) = files.check() else {
            return judged(Some("check"), false);
        };
        let mut asked = Asked::new(&checked);
        // What other laws say of a case is the same as before.
        let concerned = |laws: &[String]| match &mutant.law {
            Some(own) => laws.contains(own),
            None => true,
        };
        let mut cases = suite.cases.iter().filter(|(_, laws)| concerned(laws));
        if cases.any(|(case, _)| !asked.try_case(case, None).passed) {
            return judged(Some("test"), false);
        }
        changed.push((files, checked));
    }
    let Some(properties) = properties else {
        return judged(None, false);
    };
    for (suite, (files, _)) in suites.iter().zip(&changed) {
        let law = mutant.law.as_deref();
        match prove_beyond(files, properties, law, &mut suite.proven.clone()) {
            // What is not proven has noticed nothing.
            Ok(report) if report.properties.iter().all(|p| p.held) => {}
            Ok(_) | Err(_) => return judged(Some("prove"), false),
        }
    }
    let mut pairs = suites.iter().zip(&changed);
    let idle = pairs.all(|(suite, (_, new))| diff(&suite.checked, new).is_empty());
    judged(None, idle)
}

impl Mutant {
    fn apply(&self, files: &Files) -> Files {
        let mut files = files.clone();
        match self.file {
            None => files.vocabulary = self.changed.clone(),
            Some(i) => {
                if let Some(law) = files.laws.get_mut(i) {
                    *law = self.changed.clone();
                }
            }
        }
        files
    }
}

fn text_of<'a>(node: &'a Node, key: &str) -> Option<&'a str> {
    match &child(node, key)?.value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

fn child<'a>(node: &'a Node, key: &str) -> Option<&'a Node> {
    match &node.value {
        Value::Table(entries) => entries.iter().find(|(k, _, _)| k == key).map(|(_, _, n)| n),
        _ => None,
    }
}

fn items(node: &Node) -> &[Node] {
    match &node.value {
        Value::List(items) => items,
        _ => &[],
    }
}

/// The way from a document's root to a value.
#[derive(Clone, Debug)]
enum Step {
    Key(String),
    Item(usize),
}

/// The document with the value at `path` changed; `None` from `change` takes it away.
fn changed(node: &Node, path: &[Step], change: &dyn Fn(&Node) -> Option<Node>) -> Option<Node> {
    let Some((step, rest)) = path.split_first() else {
        return change(node);
    };
    let mut copy = node.clone();
    match (&mut copy.value, step) {
        (Value::Table(entries), Step::Key(key)) => {
            let i = entries.iter().position(|(k, _, _)| k == key)?;
            let new = changed(&entries.get(i)?.2, rest, change);
            match (new, entries.get_mut(i)) {
                (Some(new), Some(slot)) => slot.2 = new,
                _ => {
                    entries.remove(i);
                }
            }
        }
        (Value::List(list), Step::Item(i)) => {
            let new = changed(list.get(*i)?, rest, change);
            match (new, list.get_mut(*i)) {
                (Some(new), Some(slot)) => *slot = new,
                _ => {
                    list.remove(*i);
                }
            }
        }
        _ => return None,
    }
    Some(copy)
}

fn of_law(law: &Node) -> Vec<(String, Node)> {
    let mut all = Vec::new();
    for table in ["forbid", "localise", "permit", "child", "sensitive"] {
        let Some(rules) = child(law, table) else {
            continue;
        };
        for (i, rule) in items(rules).iter().enumerate() {
            let here = vec![Step::Key(table.to_owned()), Step::Item(i)];
            let name = text_of(rule, "id").map_or_else(|| format!("{table} {i}"), str::to_owned);
            let mut add = |said: String, path: &[Step], change: &dyn Fn(&Node) -> Option<Node>| {
                let new = changed(law, path, change);
                all.extend(new.map(|n| (format!("{name}: {said}"), n)));
            };
            add("dropped".to_owned(), &here, &|_| None);
            of_rule(rule, &here, &mut add);
        }
    }
    all
}

type Add<'a> = dyn FnMut(String, &[Step], &dyn Fn(&Node) -> Option<Node>) + 'a;

fn of_rule(rule: &Node, here: &[Step], add: &mut Add<'_>) {
    let at = |steps: &[Step]| -> Vec<Step> { here.iter().chain(steps).cloned().collect() };
    let key = |k: &str| Step::Key(k.to_owned());
    for day in ["from", "until"] {
        if child(rule, day).is_some() {
            add(format!("`{day}` a day later"), &at(&[key(day)]), &|n| {
                shifted(n, 1)
            });
            add(format!("`{day}` a day earlier"), &at(&[key(day)]), &|n| {
                shifted(n, -1)
            });
        }
    }
    for age in ["age", "below_age"] {
        if child(rule, age).is_some() {
            add(
                format!("`{age}` a year more"),
                &at(&[key(age)]),
                &|n| match n.value {
                    Value::Integer(years) => Some(with(n, Value::Integer(years + 1))),
                    _ => None,
                },
            );
        }
    }
    for (i, need) in child(rule, "requires")
        .map_or(&[][..], items)
        .iter()
        .enumerate()
    {
        let text = word(need);
        add(
            format!("`{text}` not required"),
            &at(&[key("requires"), Step::Item(i)]),
            &|_| None,
        );
    }
    for wide in ["to", "origin"] {
        if child(rule, wide).is_some() {
            add(
                format!("`{wide}` widened to anywhere"),
                &at(&[key(wide)]),
                &|_| None,
            );
        }
    }
    for except in ["to_except", "origin_except"] {
        if child(rule, except).is_some() {
            add(format!("`{except}` dropped"), &at(&[key(except)]), &|_| {
                None
            });
        }
    }
    let Some(when) = child(rule, "when") else {
        return;
    };
    let Value::Table(entries) = &when.value else {
        return;
    };
    for (name, _, value) in entries {
        if name != "counts" {
            add(
                format!("`when.{name}` dropped"),
                &at(&[key("when"), key(name)]),
                &|_| None,
            );
            continue;
        }
        for (i, test) in items(value).iter().enumerate() {
            let path = at(&[key("when"), key("counts"), Step::Item(i)]);
            let text = word(test);
            add(format!("`{text}` not asked"), &path, &|_| None);
            add(format!("`{text}` with the other edge"), &path, &|n| {
                Some(with(n, Value::Text(flipped(&word(n)))))
            });
        }
    }
}

fn word(node: &Node) -> String {
    match &node.value {
        Value::Text(text) => text.clone(),
        _ => String::new(),
    }
}

fn with(node: &Node, value: Value) -> Node {
    Node {
        at: node.at.clone(),
        value,
    }
}

fn shifted(node: &Node, days: i64) -> Option<Node> {
    let day: Date = match &node.value {
        Value::Date(day) => *day,
        Value::Text(text) => text.parse().ok()?,
        _ => return None,
    };
    let moved = day.checked_add(jiff::Span::new().days(days)).ok()?;
    Some(with(node, Value::Date(moved)))
}

/// `cn.ordinary < 5` becomes `cn.ordinary <= 5`, and so on; of alternatives the first.
fn flipped(text: &str) -> String {
    let mut parts: Vec<&str> = text.split(' ').collect();
    for part in &mut parts {
        let other = match *part {
            "<" => "<=",
            "<=" => "<",
            ">" => ">=",
            ">=" => ">",
            "==" => "<=",
            _ => continue,
        };
        *part = other;
        break;
    }
    parts.join(" ")
}

/// Groups of countries with one member more.
fn of_groups(vocabulary: &Node) -> Vec<(String, Node)> {
    let mut all = Vec::new();
    let Some(groups) = child(vocabulary, "groups") else {
        return all;
    };
    let Value::Table(entries) = &groups.value else {
        return all;
    };
    for (name, at, group) in entries {
        let members = child(group, "members").unwrap_or(group);
        let listed = |code: &str| {
            items(members).iter().any(|m| {
                word(m) == code
                    || ["place", "country", "code"]
                        .iter()
                        .any(|k| text_of(m, k) == Some(code))
            })
        };
        let Some(code) = ["US", "IN", "BR", "CN", "RU", "AE"]
            .into_iter()
            .find(|c| !listed(c))
        else {
            continue;
        };
        let mut path = vec![Step::Key("groups".to_owned()), Step::Key(name.clone())];
        if child(group, "members").is_some() {
            path.push(Step::Key("members".to_owned()));
        }
        let more = |n: &Node| match &n.value {
            Value::List(list) => {
                let mut list = list.clone();
                list.push(text(at, code));
                Some(with(n, Value::List(list)))
            }
            _ => None,
        };
        let new = changed(vocabulary, &path, &more);
        all.extend(new.map(|n| (format!("group {name}: widened by {code}"), n)));
    }
    all
}

fn text(at: &Where, text: &str) -> Node {
    Node {
        at: at.clone(),
        value: Value::Text(text.to_owned()),
    }
}
