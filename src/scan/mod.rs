//! What is in an existing export: whose, which categories, and what of it is in the wrong place.
//!
//! Each record is read as its route would read it in a request, and judged by the policy in the
//! settings. Nothing is stored, sent or pinned. Ids become keys at once; no value of a record is
//! kept or told.

mod form;
mod judge;
mod lines;
mod outcome;
mod report;
mod tables;
mod whose;

use std::{io, rc::Rc, sync::Arc};

use jiff::Timestamp;
use serde::Serialize;

pub use form::Form;
pub use outcome::{Fate, Judged, Outcome, Reason};
pub use report::Report;
pub use tables::Tables;

use crate::{
    classify::{
        json::JsonFault,
        schema::{Alike, Classified},
    },
    domain::{EvidenceSet, Outcome as Verdict, RegionId, Strength, SubjectKey},
    locate::{DirectoryError, Glance, Pin, SubjectHasher},
    settings::PinMode,
    shared::Snapshot,
};
use judge::Judge;
use lines::{Line, Lines};
use whose::Unreadable;

/// What an export is looked at with.
pub struct Scan<'s> {
    pub snapshot: &'s Snapshot,
    pub form: &'s Form,
    pub at: Timestamp,
    /// Where the records lie; `None`: nothing is said of that.
    pub place: Option<RegionId>,
    pub hasher: &'s SubjectHasher,
    /// Whether keys are those of the router.
    pub has_own_keys: bool,
    pub directory: Option<Glance>,
}

#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    #[error("line {line} cannot be read: {error}")]
    Input {
        line: u64,
        #[source]
        error: io::Error,
    },
    #[error(transparent)]
    Directory(#[from] DirectoryError),
}

/// One line, as it is told by itself.
#[derive(Debug, Serialize)]
pub struct Told<'t> {
    pub line: u64,
    /// The key that `domicile key` prints for the id.
    pub subject: Option<String>,
    pub evidence: Vec<&'static str>,
    pub laws: &'t [String],
    pub categories: Vec<&'t str>,
    pub home: Option<&'t str>,
    pub place: Option<&'t str>,
    /// `permit`, `refuse`, `no-home` or `broken`.
    pub outcome: &'static str,
    pub wrong_place: bool,
    pub reason: Option<&'t str>,
    pub detail: Option<String>,
    pub rule: Option<&'t str>,
    pub citation: Option<&'t str>,
    pub mechanism: Option<&'t str>,
}

/// How many lines were read, and what they came to.
pub struct Scanned {
    pub lines: u64,
    pub records: u64,
    pub blank: u64,
    pub tables: Tables,
    /// What the input may be instead of one record a line.
    pub hint: Option<&'static str>,
}

impl Scan<'_> {
    /// Reads to the end of `input`. `each` is told every line but blank ones, as long as it gives
    /// true.
    ///
    /// # Errors
    /// An input, or a directory, that cannot be read. Lines that are no records are none.
    pub fn run(
        &mut self,
        input: impl io::BufRead,
        each: &mut dyn FnMut(&Told<'_>) -> bool,
    ) -> Result<Scanned, ScanError> {
        let mut lines = Lines::new(input, self.snapshot.settings.limits.record_bytes);
        let mut judge = Judge::new(self.snapshot, self.form, self.at, self.place);
        let mut alike = Alike::default();
        let mut scanned = Scanned {
            lines: 0,
            records: 0,
            blank: 0,
            tables: Tables::default(),
            hint: None,
        };
        let mut goes_on = true;
        loop {
            let line = lines.number + 1;
            let Some(text) = lines
                .next()
                .map_err(|error| ScanError::Input { line, error })?
            else {
                break;
            };
            scanned.lines = line;
            let read = match text {
                Line::Text(text) if text.trim_ascii().is_empty() => {
                    scanned.blank += 1;
                    continue;
                }
                Line::Text(text) => {
                    if scanned.records == 0 && scanned.hint.is_none() {
                        scanned.hint = other_than_records(text);
                    }
                    self.record(text, &mut alike, &mut judge)?
                }
                Line::TooLong => {
                    let limit = self.snapshot.settings.limits.record_bytes;
                    let detail =
                        format!("the line has more than {limit} bytes (limits.record_bytes)");
                    Err((Reason::new("record-too-large", detail), None))
                }
            };
            let (key, outcome) = match read {
                Ok((key, outcome)) => (key, outcome),
                Err((reason, at)) => {
                    if goes_on {
                        goes_on = each(&self.told_broken(line, &reason, at));
                    }
                    scanned.tables.add_broken(reason, line);
                    continue;
                }
            };
            scanned.records += 1;
            if let Some(key) = key {
                // Without pins each record has its own home.
                let home = outcome
                    .home()
                    .filter(|_| self.form.route.pin != PinMode::Never);
                let pins = self.would_pin(&outcome);
                scanned.tables.people.meet(key, home, pins, line);
            }
            scanned.tables.add(&outcome, line);
            if goes_on {
                goes_on = each(&self.told(line, key, &outcome));
            }
        }
        scanned.tables.add_up();
        Ok(scanned)
    }

    fn record(
        &mut self,
        text: &[u8],
        alike: &mut Alike,
        judge: &mut Judge<'_>,
    ) -> Result<Read, ScanError> {
        let form = self.form;
        let mut found = Classified::default();
        if let Err(fault) = form.schema.classify_alike(text, alike, &mut found) {
            let JsonFault { kind, offset } = fault;
            return Ok(Err((
                Reason::new("malformed-record", kind.to_string()),
                Some(offset),
            )));
        }
        if let Some(flaw) = self.flaw(&found) {
            return Ok(Err((flaw, None)));
        }
        let mut key = None;
        if form.subject.is_some() {
            key = whose::subject(form, self.hasher, &found);
            if key.is_none() {
                let detail = "nothing, or more than one value, stands where the id should";
                return Ok(Err((Reason::new("no-subject", detail), None)));
            }
        }
        let categories = form.schema.categories_of(&found);
        let read = whose::evidence(form, &found).and_then(|said| Ok((said, whose::age(&found)?)));
        let (said, age) = match read {
            Ok(read) => read,
            Err(unreadable) => {
                let outcome = Outcome {
                    evidence: EvidenceSet::EMPTY,
                    strongest: None,
                    categories,
                    fate: Fate::NoHome(unreadable.into()),
                };
                return Ok(Ok((key, Rc::new(outcome))));
            }
        };
        let pin = match key {
            Some(key) if form.route.pin != PinMode::Never => self.pin(&key)?,
            _ => None,
        };
        Ok(Ok((key, judge.judge(said, categories, age, pin))))
    }

    /// What a request with this record would be refused for, whosever it is.
    fn flaw(&self, found: &Classified<'_>) -> Option<Reason> {
        if let Some(part) = found.refused {
            let under = self.form.schema.known_pointer(part);
            let under = if under.is_empty() { "/" } else { under };
            let detail = format!("a field that the strict schema does not know, under `{under}`");
            return Some(Reason::new("unknown-field", detail));
        }
        let detail = "more values under the route's pointers than are read";
        found
            .overfull
            .then(|| Reason::new("malformed-record", detail))
    }

    /// Whether a first record of somebody claims the home, as in a request (`pipeline/person.rs`).
    fn would_pin(&self, outcome: &Outcome) -> bool {
        match self.form.route.pin {
            PinMode::Always => true,
            PinMode::Never => false,
            PinMode::Weak => {
                let strongest = outcome.strongest;
                strongest.is_none_or(|kind| kind.strength() < Strength::Declared)
            }
        }
    }

    fn pin(&mut self, key: &SubjectKey) -> Result<Option<Arc<Pin>>, ScanError> {
        match &mut self.directory {
            Some(directory) => Ok(directory.lookup(key)?),
            None => Ok(None),
        }
    }

    fn told<'t>(&'t self, line: u64, key: Option<SubjectKey>, outcome: &'t Outcome) -> Told<'t> {
        let categories = outcome.categories.iter();
        let categories = categories.filter_map(|c| self.snapshot.checked.category_key(c));
        let mut told = Told {
            subject: key.filter(|_| self.has_own_keys).map(SubjectKey::reveal),
            evidence: outcome.evidence.iter().map(|kind| kind.as_str()).collect(),
            categories: categories.map(AsRef::as_ref).collect(),
            ..self.nothing(line)
        };
        match &outcome.fate {
            Fate::NoHome(reason) => {
                told.outcome = "no-home";
                told.reason = Some(reason.reason);
                told.detail = Some(reason.detail.clone());
                told.rule = reason.rule.as_deref();
                told.citation = reason.citation.as_deref();
            }
            Fate::Judged(judged) => {
                told.home = Some(&judged.home);
                told.laws = &judged.laws;
                told.outcome = match judged.outcome {
                    Verdict::Permit => "permit",
                    Verdict::Refuse => "refuse",
                };
                told.wrong_place = judged.wrong_place;
                told.rule = judged.rule.as_deref();
                told.citation = judged.citation.as_deref();
                told.mechanism = judged.mechanism.as_deref();
            }
        }
        told
    }

    fn told_broken<'t>(&'t self, line: u64, reason: &'t Reason, at: Option<usize>) -> Told<'t> {
        Told {
            reason: Some(reason.reason),
            detail: Some(match at {
                Some(at) => format!("{} at byte {at}", reason.detail),
                None => reason.detail.clone(),
            }),
            ..self.nothing(line)
        }
    }

    fn nothing(&self, line: u64) -> Told<'_> {
        Told {
            line,
            subject: None,
            evidence: Vec::new(),
            laws: &[],
            categories: Vec::new(),
            home: None,
            place: self.place.map(|place| self.snapshot.regions.name(place)),
            outcome: "broken",
            wrong_place: false,
            reason: None,
            detail: None,
            rule: None,
            citation: None,
            mechanism: None,
        }
    }
}

/// Whose a record is, if that is read, and what it came to.
type Read = Result<(Option<SubjectKey>, Rc<Outcome>), Flaw>;

/// Why a line is no record that a route would take, and where in it.
type Flaw = (Reason, Option<usize>);

impl From<Unreadable> for Reason {
    fn from(unreadable: Unreadable) -> Self {
        match unreadable {
            Unreadable::Evidence(source) => Self::new(
                "unreadable-evidence",
                format!("what stands at `{source}` is neither a country nor a telephone number"),
            ),
            Unreadable::Age => {
                Self::new("unreadable-age", "a field of age or birth cannot be read")
            }
        }
    }
}

/// What the first line is instead, if it is not the beginning of one record a line.
fn other_than_records(first: &[u8]) -> Option<&'static str> {
    Some(match first {
        [0x1f, 0x8b, ..] => "the input is compressed: unpack it first (gunzip -c)",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "the input is compressed: unpack it first (zstd -dc)",
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
            "the input is UTF-16: write it as UTF-8 (iconv -f UTF-16 -t UTF-8)"
        }
        _ => match first.trim_ascii() {
            [b'[', ..] => "the input is a JSON array: write one record a line (jq -c '.[]')",
            b"{" => "the records go over several lines: write one record a line (jq -c .)",
            _ => return None,
        },
    })
}
