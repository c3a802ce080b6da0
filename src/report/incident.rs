use std::{
    collections::{BTreeSet, HashMap, hash_map},
    io::{self, Write},
    path::Path,
    sync::Arc,
};

use foldhash::fast::FixedState;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::{
    Reading, Region, ReportError, Scope, Span,
    deadlines::{Deadline, due},
    flows::Decided,
    render,
    sheet::{Sheet, Table},
    words,
};
use crate::{
    attest::{Entry, Kind, Profile, Verdict},
    domain::{EvidenceKind, Operation, SubjectKey},
    locate::PinChange,
    policy::Checked,
};

mod json;
#[cfg(test)]
mod tests;

/// People that one report lists; about 350 MiB of memory.
const PEOPLE: usize = 5_000_000;
/// How long an erasure may have gone on after the last time that the ledger tells before its drop:
/// each holder may take as long as the settings let it.
const ERASING: SignedDuration = SignedDuration::from_hours(1);
/// Laws that are told apart, as many as a policy may have.
const LAWS: usize = 64;

/// What an incident hit.
#[derive(Clone, Debug)]
pub struct Hit {
    /// Its beginning and end; open where nobody knows.
    pub span: Span,
    pub region: Option<Region>,
    pub instrument: Option<String>,
    /// One part of so many, from 1 on: of the people whose key lies in it alone.
    pub part: Option<(u32, u32)>,
    /// When somebody became aware of it.
    pub aware: Timestamp,
    /// When it was found that it must be told.
    pub assessed: Option<Timestamp>,
}

/// Whom an incident concerns, under which laws, what of them, and by when each law wants to be
/// obeyed.
#[derive(Debug)]
pub struct Incident {
    pub hit: Hit,
    pub reading: Reading,
    /// The laws by their bits in `people`.
    laws: Vec<Jurisdiction>,
    people: HashMap<SubjectKey, Person, FixedState>,
    /// Whether any entry names the region, or the instrument, that was asked for.
    pub is_named: bool,
    /// Entries that count for every region, for they do not say where the flow went.
    unclear: u64,
}

/// One whom it concerns; small, for there may be millions.
#[derive(Clone, Copy, Debug, Default)]
struct Person {
    /// The bits of the laws.
    laws: [u8; 8],
    /// Whether a pin said that the region holds the data, and whether data came there otherwise.
    pinned: bool,
    unpinned: bool,
}

/// One law that governs some of the flows.
#[derive(Debug)]
pub struct Jurisdiction {
    pub law: Arc<str>,
    /// People whom it concerns.
    pub people: u64,
    pub categories: BTreeSet<Arc<str>>,
    pub entries: u64,
    pub first: Timestamp,
    pub last: Timestamp,
}

impl Hit {
    /// Whether a flow is one that was hit. What a region holds was written before the incident
    /// began, too: there the beginning does not count.
    fn concerns(&self, entry: &Entry, profile: &Profile) -> Touch {
        let by_instrument = self.instrument.as_deref().is_none_or(|wanted| {
            profile.outcome == Verdict::Permit && profile.instrument.as_deref() == Some(wanted)
        });
        let in_time = match (&self.region, &self.instrument) {
            (Some(_), None) => self.span.until.is_none_or(|until| entry.at < until),
            _ => self.span.contains(entry.at),
        };
        match &self.region {
            _ if !by_instrument || !in_time => Touch::No,
            Some(region) => Touch::of(region, entry),
            None if profile.outcome == Verdict::Refuse => Touch::No,
            None => Touch::Yes,
        }
    }

    fn is_in_part(&self, key: SubjectKey) -> bool {
        let [a, b, c, d, ..] = key.to_bytes();
        self.part.is_none_or(|(part, of)| {
            let start = u64::from(u32::from_be_bytes([a, b, c, d]));
            let share = (start * u64::from(of)) >> 32;
            share + 1 == u64::from(part)
        })
    }
}

/// What an entry tells of a region.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Touch {
    No,
    Yes,
    /// It does not say where the flow went.
    MayBe,
}

impl Touch {
    fn of(region: &Region, entry: &Entry) -> Self {
        let Kind::Decision {
            profile,
            pin,
            evidence,
            ..
        } = &entry.kind
        else {
            return Self::No;
        };
        let names = |name: &Option<Arc<str>>| name.as_deref() == Some(&*region.name);
        let touched = match profile.outcome {
            // What else stands there would have been.
            Verdict::Observe => match &profile.reached {
                None if profile.operation != Operation::Disclose => return Self::MayBe,
                reached => names(reached),
            },
            // What is refused to be read or erased where the directory says that it lies lies there.
            Verdict::Refuse => {
                let at_holder = matches!(profile.operation, Operation::Read | Operation::Erase);
                at_holder && evidence.contains(EvidenceKind::Pinned) && names(&profile.region)
            }
            Verdict::Permit => {
                let copies = matches!(
                    profile.operation,
                    Operation::Replicate | Operation::Relocate
                );
                names(&profile.region)
                    || (copies && region.is_end(&profile.from))
                    || pin
                        .as_ref()
                        .is_some_and(|pin| *region_of(pin) == *region.name)
            }
        };
        match touched {
            true => Self::Yes,
            false => Self::No,
        }
    }
}

fn region_of(pin: &PinChange) -> &str {
    match pin {
        PinChange::Claim { region, .. }
        | PinChange::Move { region }
        | PinChange::Copy { region }
        | PinChange::Drop { region } => region,
    }
}

impl Incident {
    /// Reads the whole ledger, and verifies it as it goes. Blocks.
    ///
    /// # Errors
    /// There is no ledger, or it cannot be read (damage is no error, see [`Reading`]); or more
    /// people are concerned than one report lists.
    pub fn read(folder: &Path, hit: Hit) -> Result<Self, ReportError> {
        let mut fold = Fold::new();
        let reading = Reading::of(folder, &Scope::whole(), |reading, entry| {
            fold.see(&hit, reading, entry)
        })?;
        let Fold {
            mut laws,
            people,
            is_named,
            unclear,
            ..
        } = fold;
        for person in people.values() {
            let bits = person.laws();
            for (bit, law) in laws.iter_mut().enumerate() {
                law.people += bits >> bit & 1;
            }
        }
        Ok(Self {
            hit,
            reading,
            laws,
            people,
            is_named,
            unclear,
        })
    }

    pub fn people(&self) -> usize {
        self.people.len()
    }

    /// Those that concern anybody, by their names.
    pub fn jurisdictions(&self) -> Vec<&Jurisdiction> {
        let mut all: Vec<_> = self.laws.iter().filter(|law| law.people > 0).collect();
        all.sort_by(|a, b| a.law.cmp(&b.law));
        all
    }

    /// What each of the laws wants, the most urgent first.
    fn deadlines(&self, policy: &Checked) -> Vec<Deadline> {
        let laws = self.jurisdictions();
        let laws = laws.iter().map(|j| &*j.law);
        due(policy, laws, self.hit.aware, self.hit.assessed)
    }

    /// In the order of the keys, which is no order of people.
    fn subjects(&self) -> Vec<(SubjectKey, u64)> {
        let mut all: Vec<_> = self
            .people
            .iter()
            .map(|(key, person)| (*key, person.laws()))
            .collect();
        all.sort_unstable();
        all
    }

    fn laws_of(&self, bits: u64) -> impl Iterator<Item = &str> {
        let all = self.laws.iter().enumerate();
        all.filter(move |(bit, _)| bits >> bit & 1 == 1)
            .map(|(_, law)| &*law.law)
    }

    /// The report in JSON; the people's keys are written one by one.
    pub fn json<'a>(&'a self, policy: &'a Checked) -> impl Serialize + use<'a> {
        json::Json {
            incident: self,
            policy,
        }
    }

    /// One line for each person: the key, and the laws that concern the person.
    pub fn csv(&self, out: &mut dyn Write) -> io::Result<()> {
        let verified = match self.reading.verified {
            Some(true) => "yes",
            _ => "no",
        };
        let ledger = self.reading.id.as_deref().unwrap_or("not known");
        render::line(out, ["subject", "laws", "ledger", "verified"].into_iter())?;
        for (key, bits) in self.subjects() {
            let laws = words::list(self.laws_of(bits));
            let key = key.reveal();
            render::line(out, [&*key, &*laws, ledger, verified].into_iter())?;
        }
        Ok(())
    }

    /// What to know of whom it counts, and of the times.
    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let mut note = |text: &str| notes.push(text.to_owned());
        note(words::ONE_ROUTER);
        if self.hit.region.is_some() {
            note(
                "of a region everybody is counted whose data came there before the incident's end, whenever that was; left out are those whose account had ended (a `drop` in the ledger) more than an hour before its beginning, if all that the ledger has of them there was erased with it: what went there in observe mode was not",
            );
            note(
                "people whose home was imported (`domicile directory import`) and of whom nothing was asked before the incident's end do not count here: add them from the lists that were imported",
            );
        }
        if self.unclear > 0 {
            let unclear = self.unclear;
            note(&format!(
                "{unclear} entries of observe mode, by a router of earlier days, do not say where the flow went: they count for every region"
            ));
        }
        if self.hit.instrument.is_some() {
            note(words::ONE_INSTRUMENT);
        }
        note(
            "a day given as `--aware` or `--assessed` without `--zone` begins where on earth it begins first (UTC+14), so that no time is too long",
        );
        note(
            "times are counted in hours from `aware` (or `assessed`), also where a law counts days or may count from later: they are never too long. What the law packs do not know is told as such: it is not the same as no duty",
        );
        notes
    }

    /// For people. Their keys stand in JSON and CSV alone.
    pub fn sheet(&self, policy: &Checked) -> Sheet {
        let mut sheet = Sheet::new("Incident", &self.reading);
        sheet.head("time", self.hit.span.told());
        if let Some(region) = &self.hit.region {
            sheet.head("region", &region.name);
        }
        if let Some(instrument) = &self.hit.instrument {
            sheet.head("instrument", instrument);
        }
        if let Some((part, of)) = self.hit.part {
            sheet.head(
                "part",
                format!("{part} of {of}: of a share of the people alone"),
            );
        }
        sheet.head("aware", words::time(self.hit.aware));
        let assessed = self.hit.assessed.map(words::time);
        sheet.head(
            "assessed",
            assessed.unwrap_or_else(|| {
                "not told: times that begin with it are counted from `aware`".to_owned()
            }),
        );
        sheet.head("people", self.people().to_string());

        let mut laws = Table::new(
            "laws",
            &[
                "law",
                "name",
                "people",
                "categories",
                "entries",
                "first",
                "last",
            ],
        );
        laws.rows = self
            .jurisdictions()
            .into_iter()
            .map(|j| {
                let name = policy.laws().find(|(_, law)| law.id == j.law);
                vec![
                    j.law.to_string(),
                    name.map(|(_, law)| law.name.clone()).unwrap_or_default(),
                    j.people.to_string(),
                    words::list(&j.categories),
                    j.entries.to_string(),
                    words::time(j.first),
                    words::time(j.last),
                ]
            })
            .collect();
        sheet.tables.push(laws);
        let deadlines = self.deadlines(policy);
        let mut table = Table::new(
            "whom to tell, and by when",
            &[
                "due",
                "law",
                "tell",
                "who",
                "within",
                "when",
                "citation",
                "confidence",
            ],
        );
        table.rows = deadlines.iter().map(Deadline::cells).collect();
        sheet.tables.push(table);
        self.notes().into_iter().for_each(|note| sheet.note(note));
        sheet.note("people are keys: match them with ids by `domicile key`; their list is this report in CSV or JSON");
        sheet
    }
}

struct Fold {
    laws: Vec<Jurisdiction>,
    by_law: HashMap<Arc<str>, usize, FixedState>,
    people: HashMap<SubjectKey, Person, FixedState>,
    is_named: bool,
    unclear: u64,
    /// The latest time of the entries so far.
    latest: Timestamp,
}

impl Person {
    fn laws(&self) -> u64 {
        u64::from_ne_bytes(self.laws)
    }

    /// What an entry that concerns the person says of where the data is.
    fn note(
        &mut self,
        laws: u64,
        region: Option<&Region>,
        profile: &Profile,
        pin: Option<&PinChange>,
    ) {
        self.laws = (self.laws() | laws).to_ne_bytes();
        let Some(region) = region else {
            return;
        };
        self.unpinned |= profile.outcome == Verdict::Observe;
        self.pinned |= pin.is_some_and(|pin| *region_of(pin) == *region.name);
    }

    /// Whether nothing is left in a region when the account with this home ends. Erased are the
    /// holders that the pin names, and nothing that came while nobody was pinned.
    fn ends_with(&self, home: &str, region: &Region) -> bool {
        !self.unpinned && (self.pinned || *home == *region.name)
    }
}

impl Fold {
    fn new() -> Self {
        Self {
            laws: Vec::new(),
            by_law: HashMap::default(),
            people: HashMap::default(),
            is_named: false,
            unclear: 0,
            latest: Timestamp::MIN,
        }
    }

    fn see(&mut self, hit: &Hit, reading: &mut Reading, entry: &Entry) -> Result<(), ReportError> {
        self.latest = self.latest.max(entry.at);
        let Kind::Decision { pin, .. } = &entry.kind else {
            return Ok(());
        };
        let Some(decided) = Decided::of(entry) else {
            return Ok(());
        };
        let (profile, pin) = (decided.profile, pin.as_ref());
        self.is_named |= is_named(hit, entry, profile);
        if hit.instrument.is_none()
            && let (Some(region), Some(since), Some(key)) =
                (&hit.region, hit.span.since, decided.subject)
            && let Some(PinChange::Drop { region: home }) = pin
            && self.ended_before(since)
        {
            // A router writes the drop of the home alone, once all that the pin names have erased.
            if let hash_map::Entry::Occupied(person) = self.people.entry(key)
                && person.get().ends_with(home, region)
            {
                person.remove();
            }
            return Ok(());
        }
        let touch = hit.concerns(entry, profile);
        if touch == Touch::No {
            return Ok(());
        }
        let Some(key) = decided.subject.filter(|key| hit.is_in_part(*key)) else {
            return Ok(());
        };
        reading.note_decided(entry);
        self.unclear += u64::from(touch == Touch::MayBe);
        let bits = self.note(profile, entry.at);
        let person = self.people.entry(key).or_default();
        person.note(bits, hit.region.as_ref(), profile, pin);
        match self.people.len() > PEOPLE {
            true => Err(ReportError::TooManyPeople { most: PEOPLE }),
            false => Ok(()),
        }
    }

    /// Whether what an entry tells here was over by then. Its own time is when its request began, so
    /// that the ledger was further already.
    fn ended_before(&self, since: Timestamp) -> bool {
        let over = self.latest.checked_add(ERASING);
        over.is_ok_and(|over| over < since)
    }

    fn note(&mut self, profile: &Profile, at: Timestamp) -> u64 {
        let mut bits = 0;
        for name in &profile.laws {
            let index = match self.by_law.get(name) {
                Some(index) => *index,
                // More than a policy may have are those of several; the last stands for them.
                None if self.laws.len() >= LAWS => LAWS - 1,
                None => {
                    let index = self.laws.len();
                    self.laws.push(Jurisdiction::new(name, at));
                    self.by_law.insert(name.clone(), index);
                    index
                }
            };
            bits |= 1 << index;
            if let Some(law) = self.laws.get_mut(index) {
                law.entries += 1;
                law.first = law.first.min(at);
                law.last = law.last.max(at);
                for category in &profile.categories {
                    if !law.categories.contains(category) {
                        law.categories.insert(category.clone());
                    }
                }
            }
        }
        bits
    }
}

fn is_named(hit: &Hit, entry: &Entry, profile: &Profile) -> bool {
    let region = hit
        .region
        .as_ref()
        .is_some_and(|region| region.is_named(profile) || Touch::of(region, entry) == Touch::Yes);
    let instrument = hit.instrument.as_deref();
    region || (instrument.is_some() && profile.instrument.as_deref() == instrument)
}

impl Jurisdiction {
    fn new(law: &Arc<str>, at: Timestamp) -> Self {
        Self {
            law: law.clone(),
            people: 0,
            categories: BTreeSet::new(),
            entries: 0,
            first: at,
            last: at,
        }
    }
}
