//! Reading a country out of one text, and weighing what was found.
//!
//! Goal: a value is either understood or told to the caller as not understood. A text that is
//! no country and no telephone number must not fall through to weaker evidence: that could
//! store the record in the wrong country.

use smallvec::SmallVec;

use super::{
    ValueSource, alpha3,
    json::Value,
    phone,
    weak::{self, Weak},
};
use crate::{
    domain::{Country, EvidenceKind, EvidenceSet, Place, Strength},
    settings::Conflict,
};

/// What a text says about a country.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// A country or a subdivision of one, by code.
    Country(Place),
    /// The country of an E.164 number.
    Phone(Country),
    /// The country that gave out a national number whose check digits hold.
    Identifier(Country),
    /// That of a locale or a time zone.
    Weak(Country),
    /// No evidence: empty, `null`, `true`, `false`, or a telephone number that names no country
    /// (satellite, freephone, no international prefix).
    Nothing,
    /// Something stands there and means nothing to us; the caller refuses with 422.
    Unreadable,
}

/// Reads a header, claim, path or query value, or the text of a JSON string.
///
/// Understood: ISO 3166-1 alpha-2 and alpha-3 and ISO 3166-2 in any case, `UK` for `GB` and `EL`
/// for `GR` (Interinstitutional Style Guide of the EU, 7.1.1), and E.164 numbers, as `tel:` URIs too. Blanks
/// around the value are dropped. Besides what [`weak::read`] knows: locales, time zones, national numbers.
pub fn read_text(text: &str) -> Reading {
    // What most records say.
    if let [a @ b'A'..=b'Z', b @ b'A'..=b'Z'] = *text.as_bytes() {
        let found = country([a, b]);
        return found.map_or(Reading::Unreadable, |c| Reading::Country(Place::of(c)));
    }
    let text = text.trim();
    if text.is_empty() {
        return Reading::Nothing;
    }
    // `sv-SE` is Swedish in Sweden, and no part of El Salvador; `es-419` is none of Spain.
    match weak::locale(text) {
        Some(Weak::Locale(country)) => return Reading::Weak(country),
        Some(_) => return Reading::Nothing,
        None => {}
    }
    if let Some(place) = place(text) {
        // `pt-br` is written for Brazil's Portuguese, and `de-by` for Bavaria.
        return match weak::small_locale(text) {
            Some(other) if place.country() != Some(other) => Reading::Unreadable,
            _ => Reading::Country(place),
        };
    }
    match weak::read(text) {
        Some(Weak::Identifier(country)) => return Reading::Identifier(country),
        Some(Weak::Locale(country) | Weak::TimeZone(country)) => return Reading::Weak(country),
        Some(Weak::Nowhere) => return Reading::Nothing,
        None => {}
    }
    let number = number_of(text);
    if phone::is_phone(number) {
        return phone::country(number).map_or(Reading::Nothing, Reading::Phone);
    }
    Reading::Unreadable
}

/// The number of a `tel:` URI, or of what is written like one: without `ext` and `isub`, which lead on
/// from the number (RFC 3966 §3). `phone-context` stays, since it makes another number.
fn number_of(text: &str) -> &str {
    let number = match text.split_at_checked(4) {
        Some((scheme, number)) if scheme.eq_ignore_ascii_case("tel:") => number,
        _ => text,
    };
    let Some((bare, parameters)) = number.split_once(';') else {
        return number;
    };
    let leads_on = |parameter: &str| {
        parameter.split_once('=').is_some_and(|(name, value)| {
            let is_known = ["ext", "isub"].iter().any(|k| name.eq_ignore_ascii_case(k));
            is_known && !value.is_empty() && value.bytes().all(|b| b.is_ascii_graphic())
        })
    };
    match parameters.split(';').all(leads_on) {
        true => bare,
        false => number,
    }
}

/// Reads the value that a JSON pointer found.
///
/// Objects and arrays are unreadable even when empty: somebody changed the record's shape, and
/// guessing from the network instead would hide it. A number is what its digits would be as text:
/// a telephone number without a prefix, or nothing we know.
pub fn read_value(value: &Value<'_>) -> Reading {
    match value {
        Value::String(text) => read_text(&text.unescape()),
        Value::Number(number) => read_text(number.as_str()),
        Value::Bool(_) | Value::Null => Reading::Nothing,
        Value::Object | Value::Array => Reading::Unreadable,
    }
}

/// Reads the claim of a verified token, as [`read_value`] reads a body.
pub fn read_claim(claim: &serde_json::Value) -> Reading {
    use serde_json::Value;
    match claim {
        Value::String(text) => read_text(text),
        Value::Number(number) => read_text(&number.to_string()),
        Value::Bool(_) | Value::Null => Reading::Nothing,
        Value::Object(_) | Value::Array(_) => Reading::Unreadable,
    }
}

/// The evidence that `reading` is when it was found at `source`; `None` where nothing was found.
///
/// A telephone number stays `phone`, and a locale weak, even in a verified token: what was attested is the number,
/// not that its holder lives where it was issued. For [`ValueSource::Header`] the caller has
/// made sure that it trusts the sender.
pub fn evidence(source: &ValueSource, reading: Reading) -> Option<Evidence> {
    let (place, kind) = match reading {
        Reading::Phone(country) => (Place::of(country), EvidenceKind::Phone),
        Reading::Identifier(country) => (Place::of(country), EvidenceKind::Identifier),
        Reading::Weak(country) => (Place::of(country), EvidenceKind::Weak),
        Reading::Country(place) => {
            let kind = match source {
                ValueSource::Jwt(_) | ValueSource::Header(_) => EvidenceKind::Attested,
                ValueSource::Path(_) | ValueSource::Query(_) | ValueSource::Body(_) => {
                    EvidenceKind::Declared
                }
                ValueSource::Pinned => EvidenceKind::Pinned,
                ValueSource::Network => EvidenceKind::Network,
                // The reader of settings lets it name a subject alone.
                ValueSource::BulkId => return None,
            };
            (place, kind)
        }
        Reading::Nothing | Reading::Unreadable => return None,
    };
    Some(Evidence { kind, place })
}

/// One belief about where the person belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evidence {
    pub kind: EvidenceKind,
    pub place: Place,
}

/// What the evidence for one record comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whose laws attach, strongest first, without repetition; at least one.
    pub countries: SmallVec<[Place; 4]>,
    /// The place that gives the home.
    pub home_by: Place,
    pub strongest: EvidenceKind,
    /// Every kind that was found, whether it counted or not.
    pub kinds: EvidenceSet,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsettled {
    #[error("no evidence says which country the person belongs to")]
    Nothing,
    #[error("the evidence names different countries, and this route refuses that")]
    Conflict,
}

/// Settles on the countries whose laws attach. `found` stands in the route's order, strongest
/// first.
///
/// - `all`: the strongest gives the home; its law attaches whatever its strength, and so does
///   each that is evidenced by declared strength or better.
/// - `first`: the strongest alone.
/// - `refuse`: as `all`, but claims that [disagree] are a conflict.
pub fn weigh(found: &[Evidence], conflict: Conflict) -> Result<Standing, Unsettled> {
    let strongest = found.first().ok_or(Unsettled::Nothing)?;
    if conflict == Conflict::Refuse && disagree(found, &[]) {
        return Err(Unsettled::Conflict);
    }
    let mut countries: SmallVec<[Place; 4]> = SmallVec::new();
    countries.push(strongest.place);
    if conflict != Conflict::First {
        let declared = found
            .iter()
            .filter(|e| e.kind.strength() >= Strength::Declared);
        for evidence in declared {
            // `CN` after `CN-GD` says nothing new. `CN-GD` after `CN` is kept beside it: weaker
            // evidence may add a law, never narrow one.
            if !countries.iter().any(|c| c.within(&evidence.place)) {
                countries.push(evidence.place);
            }
        }
    }
    let mut kinds = EvidenceSet::EMPTY;
    found.iter().for_each(|e| kinds.insert(e.kind));
    Ok(Standing {
        countries,
        home_by: strongest.place,
        strongest: strongest.kind,
        kinds,
    })
}

/// Whether the claims in `found` name different countries, or one that is none of `pinned`, if
/// there is any.
///
/// Neither the network nor the directory claims anything here: a traveller's address says nothing
/// about where the person lives, and a pin is one belief, of however many countries it is.
pub fn disagree(found: &[Evidence], pinned: &[Place]) -> bool {
    let is_claim = |e: &&Evidence| !matches!(e.kind, EvidenceKind::Network | EvidenceKind::Pinned);
    let mut claims = found.iter().filter(is_claim).map(|e| e.place.country());
    let Some(first) = claims.next() else {
        return false;
    };
    let is_pinned = pinned.is_empty() || pinned.iter().any(|p| p.country() == first);
    !is_pinned || claims.any(|claim| claim != first)
}

/// A country code, or a subdivision's.
fn place(text: &str) -> Option<Place> {
    let mut upper = [0u8; 6];
    let upper = upper.get_mut(..text.len())?;
    for (to, from) in upper.iter_mut().zip(text.bytes()) {
        *to = from.to_ascii_uppercase();
    }
    match *upper {
        [a, b] => country([a, b]).map(Place::of),
        [a, b, c] if c != b'-' => alpha3::country([a, b, c]).map(Place::of),
        [a, b, b'-', ref tail @ ..] => {
            let mut whole: SmallVec<[u8; 8]> = SmallVec::new();
            whole.extend_from_slice(country([a, b])?.as_str().as_bytes());
            whole.push(b'-');
            whole.extend_from_slice(tail);
            std::str::from_utf8(&whole).ok()?.parse().ok()
        }
        _ => None,
    }
}

fn country(code: [u8; 2]) -> Option<Country> {
    let code = match &code {
        b"UK" => b"GB",
        b"EL" => b"GR",
        other => other,
    };
    Country::new(std::str::from_utf8(code).ok()?).ok()
}

#[cfg(test)]
mod tests;
