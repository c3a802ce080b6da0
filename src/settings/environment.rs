//! Lays the environment over the file.
//!
//! The `config` crate takes the variables apart (prefix, `__` between the levels, lower case); the
//! laying over is ours, because `config` forgets places, knows no list entries in variables, and
//! would let an unknown variable pass.

use std::collections::{BTreeMap, HashMap};

use config::Source as _;

use super::{
    keys::{KEYS, Key, Kind},
    secrets::Secrets,
};
use crate::document::{Faults, Node, Value, Where, suggest};

const PREFIX: &str = "domicile__";

/// Puts every `DOMICILE__…` variable into `root`; secrets go past it into `secrets`.
pub(super) fn overlay(
    root: &mut Node,
    environment: impl Iterator<Item = (String, String)>,
    secrets: &mut Secrets,
    faults: &Faults,
) {
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    let mut ours: HashMap<String, String> = HashMap::new();
    for (name, value) in environment {
        let lower = name.to_lowercase();
        if !lower.starts_with(PREFIX) {
            continue;
        }
        let at = Where::Environment(name.clone());
        if let Some(other) = names.insert(lower, name.clone()) {
            faults.error(&at, format!("the variable is also set as `{other}`"));
        } else if value.contains('\u{fffd}') {
            faults.error(&at, "the value is not UTF-8");
        } else {
            ours.insert(name, value);
        }
    }
    let layer = config::Environment::with_prefix("domicile")
        .separator("__")
        .source(Some(ours))
        .collect();
    let layer = match layer {
        Ok(layer) => layer,
        Err(error) => {
            let at = Where::Environment("DOMICILE__…".to_owned());
            faults.error(&at, format!("cannot be read: {error}"));
            return;
        }
    };
    let mut variables: Vec<(Vec<String>, Where, String)> = layer
        .into_iter()
        .filter_map(|(path, value)| {
            let lower = format!("{PREFIX}{}", path.replace('.', "__"));
            let name = names.get(&lower).cloned().unwrap_or(lower);
            let mut steps: Vec<String> = path.split('.').map(str::to_owned).collect();
            if let [section, name, ..] = steps.as_mut_slice()
                && matches!(section.as_str(), "regions" | "recipients")
            {
                // Shells allow no `-` in names of variables; these names have no `_`.
                *name = name.replace('_', "-");
            }
            Some((steps, Where::Environment(name), value.into_string().ok()?))
        })
        .collect();
    // List entries are appended one by one, so 2 must come before 10.
    variables.sort_by_cached_key(|(steps, _, _)| {
        let order = |s: &String| (s.parse::<u32>().unwrap_or(0), s.clone());
        steps.iter().map(order).collect::<Vec<_>>()
    });
    for (steps, at, text) in variables {
        let Some(key) = find(&steps, &at, faults) else {
            continue;
        };
        if key.kind == Kind::Secret {
            secrets.keep(key.path, at, text);
        } else if let Some(node) = value(key, &at, text, faults) {
            put(root, &steps, &at, node, faults);
        }
    }
}

/// The key that a variable means; a fault if there is none.
fn find(steps: &[String], at: &Where, faults: &Faults) -> Option<&'static Key> {
    let fits = |key: &Key, exactly: bool| {
        let pattern: Vec<&str> = key.path.split('.').collect();
        (pattern.len() == steps.len() || (!exactly && pattern.len() > steps.len()))
            && pattern.iter().zip(steps).all(|(p, s)| match *p {
                "<name>" => !s.is_empty(),
                "<n>" => s.parse::<u16>().is_ok(),
                p => p == s,
            })
    };
    if let Some(key) = KEYS.iter().find(|key| fits(key, true)) {
        return Some(key);
    }
    let below: Vec<String> = KEYS
        .iter()
        .filter(|key| fits(key, false))
        .map(Key::variable)
        .collect();
    if let Some(first) = below.first() {
        let hint = format!("set its keys one by one, such as {first}");
        faults.error_hint(at, "the variable names a table, not a key", hint);
        return None;
    }
    let nearest = KEYS
        .iter()
        .filter_map(|key| Some((slips(key, steps)?, like(key, steps))))
        .min();
    let hint = match nearest {
        Some((_, variable)) => format!("did you mean {variable}?"),
        None => "variables are DOMICILE__SECTION__KEY; `docs/settings.md` lists them".to_owned(),
    };
    faults.error_hint(at, "unknown setting", hint);
    None
}

/// How many steps must be slips if `key` is meant; `None` if it cannot be.
fn slips(key: &Key, steps: &[String]) -> Option<usize> {
    let pattern = key.path.split('.');
    if pattern.clone().count() != steps.len() {
        return None;
    }
    let mut slips = 0;
    for (pattern, step) in pattern.zip(steps) {
        match pattern {
            "<name>" => {}
            "<n>" => drop(step.parse::<u16>().ok()?),
            pattern if pattern == step => {}
            pattern => {
                suggest(step, [pattern])?;
                slips += 1;
            }
        }
    }
    Some(slips)
}

/// The variable of `key` with the names and numbers that the user wrote.
fn like(key: &Key, steps: &[String]) -> String {
    let mut written = steps.iter();
    let path: Vec<String> = key
        .path
        .split('.')
        .map(|pattern| match (pattern, written.next()) {
            // As a shell takes it.
            ("<name>" | "<n>", Some(step)) => step.to_uppercase().replace('-', "_"),
            _ => pattern.to_uppercase(),
        })
        .collect();
    format!("DOMICILE__{}", path.join("__"))
}

/// The text as the kind of value that the key expects.
fn value(key: &Key, at: &Where, text: String, faults: &Faults) -> Option<Node> {
    let node = |value| Node {
        at: at.clone(),
        value,
    };
    let value = match key.kind {
        Kind::Boolean => match text.to_lowercase().as_str() {
            "true" => Value::Boolean(true),
            "false" => Value::Boolean(false),
            _ => {
                faults.error(at, format!("expected true or false, found `{text}`"));
                return None;
            }
        },
        Kind::Number => match text.trim().parse() {
            Ok(number) => Value::Integer(number),
            Err(_) => {
                faults.error(at, format!("expected a whole number, found `{text}`"));
                return None;
            }
        },
        Kind::Ratio => match text.trim().parse() {
            Ok(number) => Value::Float(number),
            Err(_) => {
                faults.error(at, format!("expected a number, found `{text}`"));
                return None;
            }
        },
        Kind::List => Value::List(
            text.split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(|item| node(Value::Text(item.to_owned())))
                .collect(),
        ),
        Kind::Map => {
            let hint = "its keys are no names of variables";
            faults.error_hint(at, "the table can be given in the file alone", hint);
            return None;
        }
        Kind::Text
        | Kind::Path
        | Kind::Address
        | Kind::Size
        | Kind::Duration
        | Kind::Secret
        | Kind::Later => Value::Text(text),
    };
    Some(node(value))
}

fn put(root: &mut Node, steps: &[String], at: &Where, leaf: Node, faults: &Faults) {
    let Some((step, rest)) = steps.split_first() else {
        *root = leaf;
        return;
    };
    match &mut root.value {
        Value::Table(entries) => {
            // A name that stands in the file is met whatever its case, and `_` meets `-`.
            let same = |name: &str| name.to_lowercase().replace('-', "_") == step.replace('-', "_");
            let index = entries
                .iter()
                .position(|(name, _, _)| name == step)
                .or_else(|| entries.iter().position(|(name, _, _)| same(name)));
            if let Some((_, _, node)) = index.and_then(|i| entries.get_mut(i)) {
                put(node, rest, at, leaf, faults);
                return;
            }
            let mut node = empty(step, at);
            put(&mut node, rest, at, leaf, faults);
            entries.push((step.clone(), at.clone(), node));
        }
        Value::List(items) if step.bytes().all(|b| b.is_ascii_digit()) => {
            let index = step.parse().unwrap_or(usize::MAX);
            if let Some(node) = items.get_mut(index) {
                put(node, rest, at, leaf, faults);
            } else if index == items.len() {
                let mut node = empty(step, at);
                put(&mut node, rest, at, leaf, faults);
                items.push(node);
            } else {
                let hint = format!("entries count from 0; the next new one is {}", items.len());
                faults.error_hint(at, format!("there is no entry {step}"), hint);
            }
        }
        // `upstream = "batch"` under a variable that names `upstream.each`.
        Value::Text(_) => {
            *root = empty("upstream", at);
            put(root, steps, at, leaf, faults);
        }
        // Another kind of value than the key wants: the reader will say so at its place.
        _ => {}
    }
}

/// What a new entry called `step` is before anything is put into it.
fn empty(step: &str, at: &Where) -> Node {
    Node {
        at: at.clone(),
        value: match step {
            "routes" | "certificates" => Value::List(Vec::new()),
            _ => Value::Table(Vec::new()),
        },
    }
}
