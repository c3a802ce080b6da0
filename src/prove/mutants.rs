//! Mutants: one rule of one law changed a little, to see whether cases and properties notice.
//!
//! A suite that lets a wrong law pass is no suite. Every mutant is made on the parsed documents;
//! [`super::judge`] tells what notices it.

use jiff::civil::Date;

use crate::document::{Node, Value, Where};

use super::{composed::Dice, files::Files};

/// One small change.
#[derive(Clone, Debug)]
pub struct Mutant {
    pub said: String,
    /// The law, for the properties that can notice; `None`: the vocabulary.
    pub(super) law: Option<String>,
    /// The rule that was changed, if it has a name.
    pub(super) rule: Option<String>,
    /// Only its days were moved.
    pub(super) moved: bool,
    /// Index of the file among the laws; `None`: the vocabulary.
    file: Option<usize>,
    changed: Node,
}

const LATER: &str = " a day later";
const EARLIER: &str = " a day earlier";

/// Of samples of mutants.
pub const SEED: u64 = 20_261_121;

/// All mutants of the laws and the groups, in a fixed order; or `sample` of them by a fixed seed.
pub fn mutants(files: &Files, sample: Option<usize>) -> Vec<Mutant> {
    let mut all = Vec::new();
    for (file, law) in files.laws.iter().enumerate() {
        let id = text_of(law, "id").unwrap_or("?").to_owned();
        for (rule, said, changed) in of_law(law) {
            all.push(Mutant {
                said: format!("{id}: {said}"),
                law: Some(id.clone()),
                moved: rule.is_some() && (said.contains(LATER) || said.contains(EARLIER)),
                rule,
                file: Some(file),
                changed,
            });
        }
    }
    for (said, changed) in of_groups(&files.vocabulary) {
        all.push(Mutant {
            said,
            law: None,
            rule: None,
            moved: false,
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

impl Mutant {
    pub(super) fn apply(&self, files: &Files) -> Files {
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

/// Each with the name of the rule that it changes.
fn of_law(law: &Node) -> Vec<(Option<String>, String, Node)> {
    let mut all = Vec::new();
    for table in ["forbid", "localise", "permit", "child", "sensitive"] {
        let Some(rules) = child(law, table) else {
            continue;
        };
        for (i, rule) in items(rules).iter().enumerate() {
            let here = vec![Step::Key(table.to_owned()), Step::Item(i)];
            let id = text_of(rule, "id").map(str::to_owned);
            let name = id.clone().unwrap_or_else(|| format!("{table} {i}"));
            let mut add = |said: String, path: &[Step], change: &dyn Fn(&Node) -> Option<Node>| {
                let new = changed(law, path, change);
                all.extend(new.map(|n| (id.clone(), format!("{name}: {said}"), n)));
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
            add(format!("`{day}`{LATER}"), &at(&[key(day)]), &|n| {
                shifted(n, 1)
            });
            add(format!("`{day}`{EARLIER}"), &at(&[key(day)]), &|n| {
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
