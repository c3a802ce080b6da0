//! The object that grows out of a form's fields.

use std::collections::{BTreeMap, btree_map::Entry};

use serde_json::{Map, Value};

use super::FormFaultKind;

#[derive(Default)]
pub struct Tree {
    root: Members,
}

/// By the name as the most careless reader has it.
type Members = BTreeMap<String, (String, Node)>;

enum Node {
    Text(String),
    Object(Members),
    Array(Elements),
}

#[derive(Default)]
struct Elements {
    /// Those with a number of their own.
    numbered: BTreeMap<String, Node>,
    others: Vec<Node>,
}

impl Tree {
    /// # Errors
    /// [`FormFaultKind::Twice`], [`FormFaultKind::ValueAndParts`].
    pub fn put(&mut self, parts: &[&str], value: String) -> Result<(), FormFaultKind> {
        match parts {
            [] => Err(FormFaultKind::NoName),
            [first, rest @ ..] => put_member(&mut self.root, first, rest, value),
        }
    }

    pub fn into_json(self) -> Vec<u8> {
        Value::Object(object(self.root)).to_string().into_bytes()
    }
}

fn put_member(
    members: &mut Members,
    name: &str,
    rest: &[&str],
    value: String,
) -> Result<(), FormFaultKind> {
    match members.entry(careless(name)) {
        Entry::Vacant(vacant) => {
            vacant.insert((name.to_owned(), grown(rest, value)?));
            Ok(())
        }
        Entry::Occupied(mut held) => {
            let (spelt, node) = held.get_mut();
            match spelt == name {
                true => put(node, rest, value),
                false => Err(FormFaultKind::Twice),
            }
        }
    }
}

fn put(node: &mut Node, parts: &[&str], value: String) -> Result<(), FormFaultKind> {
    match (node, parts) {
        (Node::Text(_), []) => Err(FormFaultKind::Twice),
        (Node::Array(elements), [index, rest @ ..]) if is_element(index) => {
            elements.put(index, rest, value)
        }
        (Node::Object(members), [name, rest @ ..]) if !is_element(name) => {
            put_member(members, name, rest, value)
        }
        _ => Err(FormFaultKind::ValueAndParts),
    }
}

fn grown(parts: &[&str], value: String) -> Result<Node, FormFaultKind> {
    let mut node = match parts.first() {
        None => return Ok(Node::Text(value)),
        Some(first) if is_element(first) => Node::Array(Elements::default()),
        Some(_) => Node::Object(Members::new()),
    };
    put(&mut node, parts, value)?;
    Ok(node)
}

impl Elements {
    fn put(&mut self, index: &str, rest: &[&str], value: String) -> Result<(), FormFaultKind> {
        if index.is_empty() {
            self.others.push(grown(rest, value)?);
            return Ok(());
        }
        // `[01]` is `[1]` to some.
        let number = index.trim_start_matches('0').to_owned();
        match self.numbered.entry(number) {
            Entry::Vacant(vacant) => {
                vacant.insert(grown(rest, value)?);
                Ok(())
            }
            Entry::Occupied(mut held) => put(held.get_mut(), rest, value),
        }
    }
}

fn is_element(part: &str) -> bool {
    part.bytes().all(|b| b.is_ascii_digit())
}

/// ASP.NET takes letters of either case for the same, PHP `.` and blanks for `_`.
pub fn careless(name: &str) -> String {
    name.to_lowercase().replace(['.', ' '], "_")
}

fn object(members: Members) -> Map<String, Value> {
    let members = members.into_values();
    members.map(|(name, node)| (name, json(node))).collect()
}

fn json(node: Node) -> Value {
    match node {
        Node::Text(text) => Value::String(text),
        Node::Object(members) => Value::Object(object(members)),
        Node::Array(Elements { numbered, others }) => {
            numbered.into_values().chain(others).map(json).collect()
        }
    }
}
