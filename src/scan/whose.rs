//! What one record says: whose it is, where that person lives, how old. The same as in a request
//! (`pipeline/person.rs`), but for what a record by itself cannot say.

use smallvec::SmallVec;

use super::form::{Form, Source};
use crate::{
    classify::{
        Age,
        evidence::{self, Evidence, Reading},
        json::Value,
        schema::Classified,
    },
    domain::SubjectKey,
    locate::SubjectHasher,
    pipeline::{number_id, usable},
};

/// Evidence in a record, strongest first.
pub type Said = SmallVec<[Evidence; 6]>;

/// Evidence or an age that stands there and cannot be read: 422.
pub enum Unreadable {
    /// The source's name.
    Evidence(String),
    Age,
}

/// The key of the person; `None`: the record names nobody, or several.
pub fn subject(form: &Form, hasher: &SubjectHasher, found: &Classified<'_>) -> Option<SubjectKey> {
    let mut values = found.all(form.subject?);
    let (value, second) = (values.next()?, values.next());
    if second.is_some() {
        return None;
    }
    let key = |id: &[u8]| hasher.key(&form.route.namespace, id);
    match value {
        Value::String(text) => usable(text.unescape().as_bytes()).map(key).ok(),
        Value::Number(digits) => number_id(digits.as_str()).map(|id| key(id.as_bytes())),
        _ => None,
    }
}

/// What the record says of the country, and where in it the directory's word has its place.
pub fn evidence(form: &Form, found: &Classified<'_>) -> Result<(Said, usize), Unreadable> {
    let (mut said, mut pin_at) = (Said::new(), None);
    for source in &form.sources {
        let (source, slot) = match source {
            Source::Pinned => {
                pin_at = pin_at.or(Some(said.len()));
                continue;
            }
            Source::Body(source, slot) => (source, *slot),
        };
        for value in found.all(slot) {
            let reading = evidence::read_value(&value);
            if reading == Reading::Unreadable {
                return Err(Unreadable::Evidence(source.to_string()));
            }
            said.extend(evidence::evidence(source, reading));
        }
    }
    let pin_at = pin_at.unwrap_or(said.len());
    Ok((said, pin_at))
}

pub fn age(found: &Classified<'_>) -> Result<Age, Unreadable> {
    Age::read(found.ages(), found.births()).map_err(|_| Unreadable::Age)
}
