//! The bytes of profiles, as `docs/ledger-format.md` gives them. Pure.

use super::{
    Asserted, Observed, Party, Profile, Stated, Verdict,
    codec::{Malformed, Put, Read, Take},
    format::sha256,
};
use crate::domain::{
    Basis, Circumstances, Digest, GroundKind, Operation, Place, SpecialGround, SubjectKind,
    Transaction,
};

/// In a profile's outcome: the tallies that it counts in follow at its end.
const COUNTS: u8 = 0x80;
/// Likewise, and after them: the rules under observation that would have turned the outcome.
const OBSERVED: u8 = 0x40;
/// Likewise, and after them: what was said of the flow.
const CIRCUMSTANCES: u8 = 0x20;
/// Likewise, and after them: the digest of the settings.
const SETTINGS: u8 = 0x10;
/// Likewise, and after them: where a flow went in observe mode.
const REACHED: u8 = 0x08;
/// Likewise, and last: a byte that says what of the following stands there. It has room for what
/// comes later; the outcome's byte has none.
const STATED: u8 = 0x04;
/// What the outcome itself takes of its byte.
const OUTCOMES: u8 = 0x03;

const PURPOSE: u8 = 0x01;
const GROUNDS: u8 = 0x02;
const LIFTED: u8 = 0x04;
/// With a ground: it was asserted as occasional.
const OCCASIONAL: u8 = 0x80;

impl Profile {
    /// SHA-256 of the profile's bytes: how a leaf names it.
    pub fn digest(&self) -> [u8; 32] {
        sha256(&[&self.to_bytes()])
    }

    /// As a segment holds it: what its digest is of.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(512);
        put_profile(&mut bytes, self);
        bytes
    }

    /// # Errors
    /// What is wrong with bytes that are no profile's.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, &'static str> {
        let mut take = Take::new(bytes);
        match take_profile(&mut take) {
            Ok(profile) if take.is_empty() => Ok(profile),
            Ok(_) => Err("more stands there than a profile"),
            Err(Malformed(what)) => Err(what),
        }
    }
}

pub(super) fn put_profile(out: &mut Vec<u8>, profile: &Profile) {
    // Named in full: a new member will not compile until it has bytes here.
    let Profile {
        policy,
        settings,
        route,
        operation,
        laws,
        categories,
        from,
        to,
        via,
        region,
        mechanism,
        instrument,
        module,
        exporter,
        importer,
        rules,
        outcome,
        problem,
        duties,
        missing,
        counted,
        observed,
        circumstances,
        reached,
        stated,
    } = profile;
    let party = |out: &mut Vec<u8>, party: &Party| {
        out.text(&party.place.to_string());
        out.maybe(party.entity.as_deref());
    };
    out.extend_from_slice(&policy.0);
    out.push(*operation as u8);
    let mut flags = 0;
    for (there, flag) in [
        (!counted.is_empty(), COUNTS),
        (!observed.is_empty(), OBSERVED),
        (!circumstances.is_empty(), CIRCUMSTANCES),
        (settings.is_some(), SETTINGS),
        (reached.is_some(), REACHED),
        (!stated.is_empty(), STATED),
    ] {
        flags |= if there { flag } else { 0 };
    }
    out.push(*outcome as u8 | flags);
    out.text(route);
    out.texts(laws);
    out.texts(categories);
    party(out, from);
    party(out, to);
    match via {
        None => out.push(0),
        Some(via) => {
            out.push(1);
            party(out, via);
        }
    }
    out.maybe(region.as_deref());
    out.maybe(mechanism.as_deref());
    out.maybe(instrument.as_deref());
    match module {
        None => out.push(0),
        Some(module) => out.extend_from_slice(&[1, *module]),
    }
    out.maybe(exporter.as_deref());
    out.maybe(importer.as_deref());
    out.texts(rules);
    out.maybe(problem.as_deref());
    out.texts(duties);
    out.texts(missing);
    if !counted.is_empty() {
        out.texts(counted);
    }
    if !observed.is_empty() {
        out.varint(observed.len() as u64);
        for Observed { rule, outcome } in observed {
            out.push(*outcome as u8);
            out.text(rule);
        }
    }
    if !circumstances.is_empty() {
        put_circumstances(out, circumstances);
    }
    if let Some(settings) = settings {
        out.extend_from_slice(&settings.0);
    }
    if let Some(reached) = reached {
        out.text(reached);
    }
    if !stated.is_empty() {
        put_stated(out, stated);
    }
}

pub(super) fn take_profile(take: &mut Take<'_>) -> Read<Profile> {
    fn party(take: &mut Take<'_>) -> Read<Party> {
        Ok(Party {
            place: place(take)?,
            entity: take.maybe()?,
        })
    }
    let policy = Digest(take.array()?);
    let operation = take.byte()?;
    let operation = Operation::ALL
        .into_iter()
        .find(|o| *o as u8 == operation)
        .ok_or(Malformed("no such operation"))?;
    let byte = take.byte()?;
    let has = |flag: u8| byte & flag != 0;
    let outcome = Verdict::ALL
        .into_iter()
        .find(|v| *v as u8 == byte & OUTCOMES)
        .ok_or(Malformed("no such outcome"))?;
    Ok(Profile {
        policy,
        operation,
        outcome,
        route: take.shared()?,
        laws: take.texts()?,
        categories: take.texts()?,
        from: party(take)?,
        to: party(take)?,
        via: match take.byte()? {
            0 => None,
            1 => Some(party(take)?),
            _ => return Err(Malformed("neither present nor absent")),
        },
        region: take.maybe()?,
        mechanism: take.maybe()?,
        instrument: take.maybe()?,
        module: match take.byte()? {
            0 => None,
            1 => Some(take.byte()?),
            _ => return Err(Malformed("neither present nor absent")),
        },
        exporter: take.maybe()?,
        importer: take.maybe()?,
        rules: take.texts()?,
        problem: take.maybe()?,
        duties: take.texts()?,
        missing: take.texts()?,
        counted: if has(COUNTS) {
            Some(take.texts()?)
                .filter(|c| !c.is_empty())
                .ok_or(Malformed("a profile counts in no tally"))?
        } else {
            Vec::new()
        },
        observed: if has(OBSERVED) {
            take_observed(take)?
        } else {
            Vec::new()
        },
        circumstances: if has(CIRCUMSTANCES) {
            take_circumstances(take)?
        } else {
            Circumstances::default()
        },
        settings: if has(SETTINGS) {
            Some(Digest(take.array()?))
        } else {
            None
        },
        reached: if has(REACHED) {
            Some(take.shared()?)
        } else {
            None
        },
        stated: if has(STATED) {
            take_stated(take)?
        } else {
            Stated::default()
        },
    })
}

fn put_stated(out: &mut Vec<u8>, stated: &Stated) {
    let Stated {
        purpose,
        grounds,
        lifted,
    } = stated;
    let mut flags = 0;
    for (there, flag) in [
        (purpose.is_some(), PURPOSE),
        (!grounds.is_empty(), GROUNDS),
        (!lifted.is_empty(), LIFTED),
    ] {
        flags |= if there { flag } else { 0 };
    }
    out.push(flags);
    if let Some(purpose) = purpose {
        out.text(purpose);
    }
    if !grounds.is_empty() {
        out.varint(grounds.len() as u64);
        for Asserted { kind, occasional } in grounds {
            let number = *kind as u8 + 1;
            out.push(number | if *occasional { OCCASIONAL } else { 0 });
        }
    }
    if !lifted.is_empty() {
        out.texts(lifted);
    }
}

fn take_stated(take: &mut Take<'_>) -> Read<Stated> {
    let flags = take.byte()?;
    if flags & !(PURPOSE | GROUNDS | LIFTED) != 0 {
        return Err(Malformed("a profile holds what this version does not know"));
    }
    if flags == 0 {
        return Err(Malformed("a profile states nothing of its flow"));
    }
    let has = |flag: u8| flags & flag != 0;
    Ok(Stated {
        purpose: if has(PURPOSE) {
            Some(take.shared()?)
        } else {
            None
        },
        grounds: if has(GROUNDS) {
            take_grounds(take)?
        } else {
            Vec::new()
        },
        lifted: if has(LIFTED) {
            Some(take.texts()?)
                .filter(|rules| !rules.is_empty())
                .ok_or(Malformed("a profile lifts no rule"))?
        } else {
            Vec::new()
        },
    })
}

fn take_grounds(take: &mut Take<'_>) -> Read<Vec<Asserted>> {
    let count = take.count()?;
    let one = |take: &mut Take<'_>| {
        let byte = take.byte()?;
        let index = usize::from(byte & !OCCASIONAL).checked_sub(1);
        let word = index.and_then(|i| GroundKind::WORDS.get(i));
        let (_, kind) = *word.ok_or(Malformed("no such ground"))?;
        let occasional = byte & OCCASIONAL != 0;
        Ok(Asserted { kind, occasional })
    };
    let grounds = (0..count).map(|_| one(take)).collect::<Read<Vec<_>>>()?;
    let ascends = grounds.is_sorted_by(|a, b| (a.kind as u8) < b.kind as u8);
    match ascends && !grounds.is_empty() {
        true => Ok(grounds),
        false => Err(Malformed("grounds that are none, or not in their order")),
    }
}

/// A byte each: 0 for what nobody said, else the word's place among the words, from 1.
fn put_circumstances(out: &mut Vec<u8>, said: &Circumstances) {
    fn put<T: PartialEq>(out: &mut Vec<u8>, said: Option<T>, words: &[(&str, T)]) {
        let place = said.and_then(|v| (1..).zip(words).find(|(_, (_, word))| *word == v));
        out.push(place.map_or(0, |(number, _)| number));
    }
    put(out, said.subject_kind, &SubjectKind::WORDS);
    put(out, said.basis, &Basis::WORDS);
    put(out, said.transaction, &Transaction::WORDS);
    put(out, said.special_ground, &SpecialGround::WORDS);
}

fn take_circumstances(take: &mut Take<'_>) -> Read<Circumstances> {
    fn one<T: Copy>(take: &mut Take<'_>, words: &[(&str, T)]) -> Read<Option<T>> {
        let Some(index) = usize::from(take.byte()?).checked_sub(1) else {
            return Ok(None);
        };
        let word = words.get(index);
        word.map(|(_, v)| Some(*v))
            .ok_or(Malformed("no such word about a flow"))
    }
    let said = Circumstances {
        subject_kind: one(take, &SubjectKind::WORDS)?,
        basis: one(take, &Basis::WORDS)?,
        transaction: one(take, &Transaction::WORDS)?,
        special_ground: one(take, &SpecialGround::WORDS)?,
    };
    if said.is_empty() {
        return Err(Malformed("a profile says nothing of its flow"));
    }
    Ok(said)
}

fn take_observed(take: &mut Take<'_>) -> Read<Vec<Observed>> {
    let count = take.count()?;
    if count == 0 {
        return Err(Malformed("a profile observes no rule"));
    }
    let one = |take: &mut Take<'_>| {
        let outcome = match take.byte()? {
            0 => Verdict::Permit,
            1 => Verdict::Refuse,
            _ => return Err(Malformed("no such outcome of a rule under observation")),
        };
        let rule = take.shared()?;
        Ok(Observed { rule, outcome })
    };
    (0..count).map(|_| one(take)).collect()
}

pub(super) fn place(take: &mut Take<'_>) -> Read<Place> {
    take.text()?.parse().map_err(|_| Malformed("no such place"))
}
