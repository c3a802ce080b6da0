//! Classify and locate: whose record is this, what says where the person lives, and where is the
//! home.

use smallvec::SmallVec;

use super::{Exchange, Routed, wishes::Unclear};
use crate::{
    admit::caller::ClientAddress,
    classify::{
        Age, ValueSource,
        evidence::{self, Evidence, Reading, Standing, Unsettled, disagree, weigh},
        json::Value,
        schema::Classified,
    },
    domain::{
        CategorySet, Circumstances, EvidenceKind, EvidenceSet, Operation, Place, RegionId,
        SubjectKey,
    },
    locate::Pin,
    respond::Refused,
    settings::{Conflict, Format, PinMode},
};

/// The outcome of classify and locate for one record.
#[derive(Debug)]
pub struct Person {
    pub key: SubjectKey,
    /// Whose laws attach, strongest evidence first.
    pub countries: SmallVec<[Place; 4]>,
    pub evidence: EvidenceSet,
    pub categories: CategorySet,
    /// As the record says it.
    pub age: Age,
    pub home: RegionId,
    /// Further regions that hold copies.
    pub held_in: SmallVec<[RegionId; 2]>,
    /// Already in the directory.
    pub pinned: bool,
    /// A first write of this subject claims its home.
    pub claims: bool,
    /// The home is known to have taken a record.
    pub stored: bool,
}

impl Person {
    /// The regions that have data of this person, the home first.
    pub fn holders(&self) -> SmallVec<[RegionId; 3]> {
        let copies = self.held_in.iter().filter(|region| **region != self.home);
        std::iter::once(&self.home).chain(copies).copied().collect()
    }
}

/// What was known of a record when its way ended; goes into the ledger with a refusal.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traces {
    pub key: Option<SubjectKey>,
    pub evidence: EvidenceSet,
}

/// Finds the person. `traces` is filled as far as the way goes, refused or not.
pub fn find(
    x: &Exchange<'_>,
    routed: &Routed<'_>,
    body: Option<&Classified<'_>>,
    operation: Operation,
    traces: &mut Traces,
) -> Result<Person, Refused> {
    if let Some(nobody) = nobody(x, routed, operation) {
        return Ok(nobody);
    }
    let key = subject(x, routed, body)?;
    find_of(x, routed, key, body, operation, None, traces)
}

/// [`find`] for a subject that is known by its key. `meanwhile` is the home that an earlier item
/// of the same batch is about to get: it stands before anything of the batch is sent.
pub fn find_of(
    x: &Exchange<'_>,
    routed: &Routed<'_>,
    key: SubjectKey,
    body: Option<&Classified<'_>>,
    operation: Operation,
    meanwhile: Option<&Pin>,
    traces: &mut Traces,
) -> Result<Person, Refused> {
    let route = &routed.route.settings;
    traces.key = Some(key);
    let age = match body {
        Some(body) => Age::read(body.ages(), body.births()).map_err(|_| Refused::UnreadableAge)?,
        None => Age::default(),
    };
    let age = born(x, routed, age)?;
    let (mut found, pin_at) = evidence(x, routed, body)?;
    // In observe mode nobody is pinned, and a home that would stand by now counts as one.
    let observes = x.snapshot.observe_to.is_some();
    let supposed = observes.then(|| x.worker.shared.supposed.get(&key));
    let supposed = supposed.flatten();
    // Borrowed until the person is known: nothing on the way asks for another's pin.
    let mut pins = x.worker.pins.borrow_mut();
    let pin = match route.pin {
        PinMode::Never => None,
        PinMode::Always | PinMode::Weak => {
            let known = pins.lookup(&key);
            known
                .map_err(|e| Refused::Directory(e.to_string()))?
                .or(meanwhile)
                .or(supposed.as_deref())
        }
    };
    let categories = concerned(routed, body, operation);
    let Some(pin) = pin else {
        let person = unpinned(x, routed, key, &found, categories, operation, traces)?;
        return Ok(Person { age, ..person });
    };
    let home = x.snapshot.regions.id(&pin.region).ok_or_else(|| {
        Refused::NoHome(format!(
            "the subject's home `{}` is no region of the settings any more; bring it back, or relocate its subjects",
            pin.region
        ))
    })?;
    if let Err(refused) = contradiction(x, &found, home, categories, route.circumstances, pin) {
        // What contradicted what.
        found.iter().for_each(|e| traces.evidence.insert(e.kind));
        traces.evidence.insert(EvidenceKind::Pinned);
        return Err(refused);
    }
    add_pinned(x, &mut found, pin_at, pin, home);
    let conflict = match (route.conflict, operation) {
        // Where the home is, is known: no doubt about the country keeps data that must go.
        (Conflict::Refuse, Operation::Erase) => Conflict::All,
        (conflict, _) => conflict,
    };
    let standing = settle(&found, &pin.countries, conflict, traces)?;
    let mut held_in = SmallVec::new();
    for name in &pin.held_in {
        match x.snapshot.regions.id(name) {
            Some(region) => held_in.push(region),
            // An erasure that left a copy behind must not look like a whole one.
            None if operation == Operation::Erase => {
                return Err(Refused::NoHome(format!(
                    "a copy lies in `{name}`, which is no region of the settings any more; bring it back to erase it there"
                )));
            }
            None => {}
        }
    }
    Ok(Person {
        key,
        countries: standing.countries,
        evidence: standing.kinds,
        categories,
        age,
        home,
        held_in,
        pinned: true,
        claims: false,
        stored: pin.stored,
    })
}

/// What a request is judged on: the categories of what it carries where that is all that flows. A
/// move concerns all that lies at home, whatever its body says of it (docs/decision.md).
fn concerned(
    routed: &Routed<'_>,
    body: Option<&Classified<'_>>,
    operation: Operation,
) -> CategorySet {
    let schema = &routed.route.schema;
    match (body, operation) {
        (None, _) => schema.categories_without_body(),
        (Some(body), Operation::Store | Operation::Replicate | Operation::Disclose) => {
            schema.categories_of(body)
        }
        (Some(body), Operation::Relocate | Operation::Read | Operation::Erase) => schema
            .categories_of(body)
            .union(schema.categories_without_body()),
    }
}

/// What is read on a route that names no subject and a home for unknowns concerns no person that
/// anybody could tell, such as a server's word on itself: it is asked of that region, under the
/// law of its place. What is written needs a subject, or nobody could ever find it again.
fn nobody(x: &Exchange<'_>, routed: &Routed<'_>, operation: Operation) -> Option<Person> {
    let route = &routed.route.settings;
    let is_named = route.subject.is_some() || routed.wishes.subject.is_some();
    if route.format != Format::Opaque || operation != Operation::Read || is_named {
        return None;
    }
    let home = routed.route.unknown_home?;
    let place = x.snapshot.regions.get(home)?.place;
    Some(Person {
        // The route's own: counts and consents of nobody.
        key: x.worker.shared.hasher.key(&route.name, b""),
        countries: SmallVec::from_elem(place, 1),
        evidence: EvidenceSet::EMPTY,
        categories: routed.route.schema.categories_without_body(),
        age: Age::default(),
        home,
        held_in: SmallVec::new(),
        pinned: false,
        claims: false,
        stored: false,
    })
}

/// What a token or a trusted caller says of the day of birth, beside what the record says.
fn born(x: &Exchange<'_>, routed: &Routed<'_>, age: Age) -> Result<Age, Refused> {
    let told = match &routed.route.settings.born {
        None => return Ok(age),
        Some(ValueSource::Jwt(claim)) => {
            let value = routed.token.as_ref().and_then(|t| t.value(claim));
            match value {
                None | Some(serde_json::Value::Null) => return Ok(age),
                Some(value) => value.as_str().map(str::to_owned),
            }
        }
        Some(_) if !x.caller.trusted => return Ok(age),
        Some(source) => match routed.head.text(source) {
            Ok(None) => return Ok(age),
            Ok(told) => told,
            Err(Unclear) => None,
        },
    };
    let told = told.and_then(|text| age.born_too(&text).ok());
    told.ok_or(Refused::UnreadableAge)
}

/// A subject that the directory does not know.
fn unpinned(
    x: &Exchange<'_>,
    routed: &Routed<'_>,
    key: SubjectKey,
    found: &[Evidence],
    categories: CategorySet,
    operation: Operation,
    traces: &mut Traces,
) -> Result<Person, Refused> {
    let route = &routed.route.settings;
    let person = |standing: Option<Standing>, home: RegionId, countries| {
        let strongest = standing.as_ref().map(|s| s.strongest);
        Person {
            key,
            countries,
            evidence: standing.map_or(EvidenceSet::EMPTY, |s| s.kinds),
            categories,
            age: Age::default(),
            home,
            held_in: SmallVec::new(),
            pinned: false,
            claims: operation == Operation::Store
                && match route.pin {
                    PinMode::Always => true,
                    PinMode::Never => false,
                    // What goes abroad leaves a copy, which an erasure must find again.
                    PinMode::Weak => {
                        routed.wishes.target.is_some_and(|target| target != home)
                            || strongest
                                .is_none_or(|k| k.strength() < crate::domain::Strength::Declared)
                    }
                },
            stored: false,
        }
    };
    match operation {
        Operation::Store => {}
        Operation::Replicate | Operation::Relocate => return Err(Refused::NoPin),
        // Where the reader's own address is says nothing about somebody else's record.
        Operation::Read | Operation::Erase | Operation::Disclose => {
            if found.iter().all(|e| e.kind == EvidenceKind::Network) {
                return Err(Refused::UnknownSubject);
            }
        }
    }
    if found.is_empty() {
        x.worker.shared.metrics.decided.unclassified.inc();
        let Some(home) = routed.route.unknown_home else {
            return Err(Refused::NoEvidence);
        };
        // Nothing is known, so the law of the place that the operator chose attaches.
        let place = x.snapshot.regions.get(home).map(|r| r.place);
        return Ok(person(None, home, place.into_iter().collect()));
    }
    let standing = settle(found, &[], route.conflict, traces)?;
    let homes = x.homes(
        standing.home_by,
        categories,
        &standing.countries,
        route.circumstances,
    )?;
    let home = *homes.first().ok_or(Refused::NoEvidence)?;
    let countries = standing.countries.clone();
    Ok(person(Some(standing), home, countries))
}

/// `pinned`: the countries of the subject's pin.
fn settle(
    found: &[Evidence],
    pinned: &[Place],
    conflict: Conflict,
    traces: &mut Traces,
) -> Result<Standing, Refused> {
    found.iter().for_each(|e| traces.evidence.insert(e.kind));
    if conflict == Conflict::Refuse && disagree(found, pinned) {
        return Err(Refused::EvidenceDisagrees);
    }
    weigh(found, conflict).map_err(|unsettled| match unsettled {
        Unsettled::Nothing => Refused::NoEvidence,
        Unsettled::Conflict => Refused::EvidenceDisagrees,
    })
}

/// 409 when the strongest evidence beside the pin and the network leads to another home.
fn contradiction(
    x: &Exchange<'_>,
    found: &[Evidence],
    home: RegionId,
    categories: CategorySet,
    circumstances: Circumstances,
    pin: &Pin,
) -> Result<(), Refused> {
    let Some(strongest) = found.iter().find(|e| e.kind != EvidenceKind::Network) else {
        return Ok(());
    };
    if pin
        .countries
        .iter()
        .any(|c| c.country() == strongest.place.country())
    {
        return Ok(());
    }
    let countries: SmallVec<[Place; 4]> = SmallVec::from_elem(strongest.place, 1);
    let homes = x.homes(strongest.place, categories, &countries, circumstances)?;
    // Of an imported pin nothing is known but the region, which may be any that is acceptable; of
    // any other the country was evidenced, and this evidence says another one.
    let agrees = match pin.countries.is_empty() {
        true => homes.contains(&home),
        false => homes.first() == Some(&home),
    };
    if agrees {
        return Ok(());
    }
    Err(Refused::PinContradicted {
        region: pin.region.to_string(),
    })
}

/// Puts what the directory knows at its place in the route's order.
fn add_pinned(
    x: &Exchange<'_>,
    found: &mut SmallVec<[Evidence; 6]>,
    at: usize,
    pin: &Pin,
    home: RegionId,
) {
    let mut add = |place| {
        let kind = EvidenceKind::Pinned;
        found.insert(at, Evidence { kind, place });
    };
    pin.countries.iter().rev().copied().for_each(&mut add);
    if pin.countries.is_empty()
        && let Some(imported) = x.snapshot.regions.get(home)
    {
        add(imported.place);
    }
}

/// Whose record it is, by steering or the route's source.
pub fn subject(
    x: &Exchange<'_>,
    routed: &Routed<'_>,
    body: Option<&Classified<'_>>,
) -> Result<SubjectKey, Refused> {
    let route = &routed.route.settings;
    let hasher = &x.worker.shared.hasher;
    let key = |id: &[u8]| hasher.key(&route.namespace, id);
    if let Some(id) = &routed.wishes.subject {
        return Ok(key(id.as_bytes()));
    }
    let source = route.subject.as_ref().ok_or(Refused::NoSubject)?;
    let text = match source {
        ValueSource::Body(_) => {
            let slot = routed.route.subject_slot.ok_or(Refused::NoSubject)?;
            let mut values = body.ok_or(Refused::NoSubject)?.all(slot);
            let value = values.next();
            if values.next().is_some() {
                return Err(Refused::NoSubject);
            }
            match value {
                Some(Value::String(text)) => {
                    // Most are hashed as they stand.
                    if let Some(plain) = text.plain() {
                        return usable(plain).map(key);
                    }
                    let text = text.unescape();
                    return usable(text.as_bytes()).map(key);
                }
                Some(Value::Number(digits)) => {
                    let digits = number_id(digits.as_str()).ok_or(Refused::NoSubject)?;
                    return Ok(key(digits.as_bytes()));
                }
                _ => None,
            }
        }
        ValueSource::Jwt(claim) => routed
            .token
            .as_ref()
            .and_then(|t| t.text(claim))
            .map(str::to_owned),
        ValueSource::Header(_) if !x.caller.trusted => None,
        source => routed.head.text(source).map_err(|_| Refused::NoSubject)?,
    };
    let text = text.ok_or(Refused::NoSubject)?;
    usable(text.as_bytes()).map(key)
}

/// A number that is an id: whole, as every reader of JSON writes it. `7.0` and `0.7e1` would be
/// others here, and the same person to a store (RFC 8259 §6).
pub fn number_id(digits: &str) -> Option<&str> {
    // Of 64 bits, with a sign or without.
    let signed = || digits.parse::<i64>().is_ok_and(|n| n.to_string() == digits);
    let unsigned = digits.parse::<u64>().is_ok_and(|n| n.to_string() == digits);
    (unsigned || signed()).then_some(digits)
}

/// An id that every reader takes for the same one: some end a text at a NUL, or drop other controls.
pub fn usable(id: &[u8]) -> Result<&[u8], Refused> {
    let is_control = |b: &u8| *b < b' ' || *b == 0x7f;
    match id.is_empty() || id.iter().any(is_control) {
        true => Err(Refused::NoSubject),
        false => Ok(id),
    }
}

/// All evidence but the directory's, in the route's order; a trusted caller's word first. With it,
/// the directory's place there: the end where the route does not name it, since a pin binds
/// whether the route asks for it or not.
fn evidence(
    x: &Exchange<'_>,
    routed: &Routed<'_>,
    body: Option<&Classified<'_>>,
) -> Result<(SmallVec<[Evidence; 6]>, usize), Refused> {
    let route = &routed.route.settings;
    let mut found: SmallVec<[Evidence; 6]> = SmallVec::new();
    let mut pin_at = None;
    let add =
        |found: &mut SmallVec<[Evidence; 6]>, source: &ValueSource, reading: Reading| match reading
        {
            Reading::Unreadable => Err(Refused::UnreadableEvidence(source.to_string())),
            reading => {
                if let Some(evidence) = evidence::evidence(source, reading) {
                    found.push(evidence);
                }
                Ok(())
            }
        };
    if let Some(country) = &routed.wishes.country {
        add(
            &mut found,
            &route.steering.country,
            evidence::read_text(country),
        )?;
    }
    for (source, slot) in route.country.iter().zip(&routed.route.evidence_slots) {
        match source {
            ValueSource::Pinned => pin_at = pin_at.or(Some(found.len())),
            ValueSource::BulkId => {}
            ValueSource::Network => {
                if let ClientAddress::Known(address) = routed.client
                    && let Some(country) = x.snapshot.geo.country(address)
                {
                    add(&mut found, source, Reading::Country(Place::of(country)))?;
                }
            }
            ValueSource::Body(_) => {
                let Some((slot, body)) = slot.zip(body) else {
                    continue;
                };
                for value in body.all(slot) {
                    add(&mut found, source, evidence::read_value(&value))?;
                }
            }
            ValueSource::Jwt(claim) => {
                if let Some(value) = routed.token.as_ref().and_then(|t| t.value(claim)) {
                    add(&mut found, source, evidence::read_claim(value))?;
                }
            }
            ValueSource::Header(_) if !x.caller.trusted => {}
            // Read already, as the strongest.
            source if *source == route.steering.country => {}
            ValueSource::Header(_) | ValueSource::Path(_) | ValueSource::Query(_) => {
                let reading = match routed.head.text(source) {
                    Ok(None) => continue,
                    Ok(Some(text)) => evidence::read_text(&text),
                    Err(Unclear) => Reading::Unreadable,
                };
                add(&mut found, source, reading)?;
            }
        }
    }
    let pin_at = pin_at.unwrap_or(found.len());
    Ok((found, pin_at))
}

/// What the directory says of where the person lives, whatever else is said.
pub fn pinned_countries(
    x: &Exchange<'_>,
    key: &SubjectKey,
) -> Result<SmallVec<[Place; 2]>, Refused> {
    let mut pins = x.worker.pins.borrow_mut();
    let pin = pins.lookup(key);
    let pin = pin.map_err(|e| Refused::Directory(e.to_string()))?;
    let mut countries = pin.map(|p| p.countries.clone()).unwrap_or_default();
    if x.snapshot.observe_to.is_some()
        && let Some(pin) = x.worker.shared.supposed.get(key)
    {
        countries.extend_from_slice(&pin.countries);
    }
    Ok(countries)
}
