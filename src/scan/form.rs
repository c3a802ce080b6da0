//! How the records of an export are read: the schema of one route, and of its sources those that a
//! record by itself can answer.

use std::sync::Arc;

use crate::{
    classify::{
        ValueSource, is_pointer,
        schema::{CompiledSchema, Slot, covers},
    },
    domain::{CategoryId, RegionId},
    settings::{Format, Route, Schema},
    shared::{
        ReadyRoute, Snapshot,
        snapshot::{compile_schema, is_dotted},
    },
};

/// What an id is, where the schema does not say it.
const ID: &str = "user.unique_id";

/// One route, as far as it says how its records are read.
pub struct Form {
    pub route: Arc<Route>,
    pub schema: CompiledSchema,
    /// In the route's order, strongest first.
    pub sources: Vec<Source>,
    /// Where a record says whose it is; `None`: its route takes that from the request.
    pub subject: Option<Slot>,
    pub unknown_home: Option<RegionId>,
    /// Sources that only a request answers.
    pub left_out: Vec<String>,
}

pub enum Source {
    Body(ValueSource, Slot),
    /// The directory's place among them.
    Pinned,
}

impl Form {
    /// The route that is called `wanted`, by name or path, or the only one that fits. `subject`: the
    /// JSON pointer of the ids, in place of the route's own source.
    ///
    /// # Errors
    /// What is wrong with the choice, and which routes there are.
    pub fn choose(
        snapshot: &Snapshot,
        wanted: Option<&str>,
        subject: Option<&str>,
    ) -> Result<Self, String> {
        if let Some(pointer) = subject.filter(|p| !is_pointer(p)) {
            return Err(format!(
                "--subject: `{pointer}` is not a JSON pointer (RFC 6901): it starts with `/`, as in /id"
            ));
        }
        let fitting = match wanted {
            Some(name) => named(snapshot, name)?,
            None => fitting(snapshot, subject.is_some())?,
        };
        let mut fitting = fitting.into_iter();
        let Some(first) = fitting.next() else {
            return Err("the settings have no routes".to_owned());
        };
        let others: Vec<&ReadyRoute> = fitting
            .filter(|other| !read_alike(first, other, subject.is_some()))
            .collect();
        if !others.is_empty() {
            let all: Vec<&ReadyRoute> = std::iter::once(first).chain(others).collect();
            return Err(format!(
                "several routes read records, and not alike; say with --route which one this export is like:\n{}",
                list(&all)
            ));
        }
        Self::of(snapshot, first, subject)
    }

    fn of(snapshot: &Snapshot, ready: &ReadyRoute, subject: Option<&str>) -> Result<Self, String> {
        let route = &ready.settings;
        let own = match &route.subject {
            Some(ValueSource::Body(pointer)) => Some(pointer.as_str()),
            _ => None,
        };
        let mut pointers: Vec<&str> = Vec::new();
        let mut slot = |pointer| {
            pointers.push(pointer);
            Slot::try_from(pointers.len() - 1).unwrap_or_default()
        };
        let (mut sources, mut left_out) = (Vec::new(), Vec::new());
        for source in &route.country {
            match source {
                ValueSource::Body(pointer) => {
                    sources.push(Source::Body(source.clone(), slot(pointer)));
                }
                ValueSource::Pinned => sources.push(Source::Pinned),
                other => left_out.push(other.to_string()),
            }
        }
        match &route.born {
            // Ages in the record are found by their category.
            None | Some(ValueSource::Body(_)) => {}
            Some(other) => left_out.push(other.to_string()),
        }
        let subject_slot = subject.or(own).map(slot);
        let known = route.schema.as_ref();
        let mut schema = known.and_then(|name| snapshot.settings.schemas.get(name).cloned());
        if let (Some(schema), Some(pointer)) = (&mut schema, subject) {
            list_id(schema, pointer);
        }
        let resolve = |key: &str| -> Option<CategoryId> { snapshot.checked.category(key) };
        let schema = compile_schema(route, schema.as_ref(), &pointers, &resolve);
        let schema = schema.map_err(|faults| {
            let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
            format!("--subject: {}", faults.join("; "))
        })?;
        Ok(Self {
            route: Arc::clone(route),
            schema,
            sources,
            subject: subject_slot,
            unknown_home: ready.unknown_home,
            left_out,
        })
    }
}

/// In a request the id may stand in the path: in an export it is a field, of which the schema then
/// need not know.
fn list_id(schema: &mut Schema, pointer: &str) {
    if !schema.fields.keys().any(|field| covers(field, pointer)) {
        schema.fields.insert(pointer.to_owned(), ID.to_owned());
    }
}

fn named<'s>(snapshot: &'s Snapshot, name: &str) -> Result<Vec<&'s ReadyRoute>, String> {
    let is_named = |r: &&ReadyRoute| *r.settings.name == *name || r.settings.path.text == name;
    let named: Vec<&ReadyRoute> = snapshot.routes.iter().filter(is_named).collect();
    if named.is_empty() {
        let all: Vec<&ReadyRoute> = snapshot
            .routes
            .iter()
            .filter(|r| reads_records(r))
            .collect();
        return Err(format!(
            "no route is called `{name}`; those that read records are\n{}",
            list(&all)
        ));
    }
    let reading: Vec<&ReadyRoute> = named.into_iter().filter(|r| reads_records(r)).collect();
    if reading.is_empty() {
        return Err(format!(
            "the route `{name}` stores no records that are read: it is opaque, or discloses to a recipient"
        ));
    }
    Ok(reading)
}

/// The routes that find a country in a record, and where there are some, the person too.
fn fitting(snapshot: &Snapshot, has_subject: bool) -> Result<Vec<&ReadyRoute>, String> {
    let is_of_body = |source: &ValueSource| matches!(source, ValueSource::Body(_));
    let mut fitting: Vec<&ReadyRoute> = snapshot
        .routes
        .iter()
        .filter(|r| reads_records(r))
        .collect();
    fitting.retain(|r| r.settings.country.iter().any(is_of_body));
    if fitting.is_empty() {
        let all: Vec<&ReadyRoute> = snapshot
            .routes
            .iter()
            .filter(|r| reads_records(r))
            .collect();
        return Err(format!(
            "no route reads the country from a record (`country = [\"body:/…\"]`); name one with --route if homes can be told without it:\n{}",
            list(&all)
        ));
    }
    let tells_subject = |r: &ReadyRoute| r.settings.subject.as_ref().is_some_and(is_of_body);
    if !has_subject && fitting.iter().any(|r| tells_subject(r)) {
        fitting.retain(|r| tells_subject(r));
    }
    Ok(fitting)
}

fn reads_records(ready: &ReadyRoute) -> bool {
    ready.settings.format != Format::Opaque && ready.recipient.is_none()
}

/// Whether both would find and decide the same of each record.
fn read_alike(one: &ReadyRoute, other: &ReadyRoute, own_subject: bool) -> bool {
    let (a, b) = (&one.settings, &other.settings);
    let of_body = |route: &Route| -> Vec<ValueSource> {
        let told = |s: &&ValueSource| matches!(s, ValueSource::Body(_) | ValueSource::Pinned);
        route.country.iter().filter(told).cloned().collect()
    };
    (own_subject || a.subject == b.subject)
        && of_body(a) == of_body(b)
        && (is_dotted(a), a.discover) == (is_dotted(b), b.discover)
        && (&a.schema, &a.categories, &a.namespace) == (&b.schema, &b.categories, &b.namespace)
        && (a.conflict, a.pin, &a.unknown_home) == (b.conflict, b.pin, &b.unknown_home)
        && (&a.purpose, a.circumstances, a.role) == (&b.purpose, b.circumstances, b.role)
}

fn list(routes: &[&ReadyRoute]) -> String {
    let line = |r: &&ReadyRoute| {
        let route = &r.settings;
        let path = match *route.name == *route.path.text {
            true => String::new(),
            false => format!(" at {}", route.path.text),
        };
        let schema = match (&route.schema, &route.recipient) {
            (_, Some(recipient)) => format!("discloses to {recipient}"),
            (Some(schema), None) => format!("schema {schema}"),
            (None, None) => "no schema".to_owned(),
        };
        let subject = route.subject.as_ref().map(|s| format!(", subject {s}"));
        format!(
            "  {}{path}: {schema}{}",
            route.name,
            subject.unwrap_or_default()
        )
    };
    routes.iter().map(line).collect::<Vec<_>>().join("\n")
}
