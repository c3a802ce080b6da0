//! Countries that locales, time zones and national numbers speak of: what somebody's device was set to, or
//! who once gave a number out.

use std::{collections::HashMap, sync::LazyLock};

use super::discover::national;
use crate::domain::Country;

/// What a text says of a country by its form alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weak {
    Locale(Country),
    TimeZone(Country),
    /// A national number whose check digits hold.
    Identifier(Country),
    /// A time zone or a locale of no country, as `UTC` and `es-419` are.
    Nowhere,
}

/// Reads what is written like nothing else.
pub fn read(text: &str) -> Option<Weak> {
    if let Some(zone) = time_zone(text) {
        return Some(zone);
    }
    if let Some(locale) = locale(text) {
        return Some(locale);
    }
    let country = Country::new(national::issuer(text)?).ok()?;
    Some(Weak::Identifier(country))
}

/// A language tag with a region (RFC 5646 §2.1) as it is usually written, `pt-BR` or `zh-Hant-TW`, or a
/// locale of POSIX, `pt_BR.UTF-8`. A subdivision of ISO 3166-2 is written in capitals.
pub fn locale(text: &str) -> Option<Weak> {
    let text = text.split(['.', '@']).next()?;
    if is_of_an_area(text) {
        return Some(Weak::Nowhere);
    }
    let mut parts = text.split(['-', '_']);
    // In small letters: what begins with capitals is a country, `CN_GD`, for all that anybody knows.
    if !is_language(parts.next()?) {
        return None;
    }
    let mut region = parts.next()?;
    if region.len() == 4 && region.bytes().all(|b| b.is_ascii_alphabetic()) {
        region = parts.next()?;
    }
    // What follows are variants and extensions, which say nothing of a place.
    let is_tail = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric());
    let fits = region.len() == 2 && parts.all(is_tail);
    fits.then(|| Country::new(region).ok().map(Weak::Locale))?
}

/// `es-419`: a language of a part of the world (UN M.49), and no country.
fn is_of_an_area(text: &str) -> bool {
    let parts = text.split_once(['-', '_']);
    parts.is_some_and(|(language, area)| {
        is_language(language) && area.len() == 3 && area.bytes().all(|b| b.is_ascii_digit())
    })
}

fn is_language(text: &str) -> bool {
    let is_it = |l: &[u8]| l.starts_with(text.as_bytes());
    text.len() == 2 && LANGUAGES.as_bytes().chunks(3).any(is_it)
}

/// Whether a text in small letters may as well be a locale, `pt-br`, as a subdivision, and which country
/// it would then be: Portugal has no part `BR`.
pub fn small_locale(text: &str) -> Option<Country> {
    let (language, region) = text.split_once('-')?;
    let is_small = region.len() == 2 && region.bytes().all(|b| b.is_ascii_lowercase());
    if !is_small || !is_language(language) {
        return None;
    }
    Country::new(&region.to_ascii_uppercase()).ok()
}

/// ISO 639-1.
const LANGUAGES: &str = "aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy \
da de dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is \
it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd \
ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg sh si sk sl sm sn so sq sr ss st su \
sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu ";

fn time_zone(text: &str) -> Option<Weak> {
    if ["UTC", "GMT", "Etc/UTC", "Etc/GMT", "Z"].contains(&text) || text.starts_with("Etc/GMT") {
        return Some(Weak::Nowhere);
    }
    // Before the table: most texts are none.
    text.contains('/')
        .then(|| ZONES.get(text).copied().map(Weak::TimeZone))?
}

static ZONES: LazyLock<HashMap<&'static str, Country>> = LazyLock::new(|| {
    let lines = include_str!("data/time-zones.txt").lines();
    let zones = lines.filter_map(|line| {
        let (code, zones) = line.split_once(' ')?;
        let country = Country::new(code).ok()?;
        Some(zones.split(' ').map(move |zone| (zone, country)))
    });
    zones.flatten().collect()
});

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Option<(&'static str, String)> {
        Some(match read(text)? {
            Weak::Locale(c) => ("locale", c.as_str().to_owned()),
            Weak::TimeZone(c) => ("zone", c.as_str().to_owned()),
            Weak::Identifier(c) => ("identifier", c.as_str().to_owned()),
            Weak::Nowhere => ("nowhere", String::new()),
        })
    }

    #[test]
    fn each_is_read_by_its_form() {
        for (text, kind, country) in [
            ("pt-BR", "locale", "BR"),
            ("sv-SE", "locale", "SE"),
            ("fr-CA", "locale", "CA"),
            ("zh-Hant-TW", "locale", "TW"),
            ("hi-Deva-IN-u-nu-deva", "locale", "IN"),
            ("en_IN", "locale", "IN"),
            ("pt_BR", "locale", "BR"),
            ("es-419", "nowhere", ""),
            ("de_DE.UTF-8@euro", "locale", "DE"),
            ("Asia/Kolkata", "zone", "IN"),
            ("Asia/Calcutta", "zone", "IN"),
            ("Europe/Moscow", "zone", "RU"),
            ("Asia/Shanghai", "zone", "CN"),
            ("US/Eastern", "zone", "US"),
            ("Etc/UTC", "nowhere", ""),
            ("Etc/GMT+3", "nowhere", ""),
            ("11010519491231002X", "identifier", "CN"),
            ("S1234567D", "identifier", "SG"),
            ("112-233-445 95", "identifier", "RU"),
            ("RSSMRA85T10A562S", "identifier", "IT"),
            ("12345678Z", "identifier", "ES"),
        ] {
            let wanted = Some((kind, country.to_owned()));
            assert_eq!(told(text), wanted, "{text}");
        }
        for text in [
            "CN_GD",
            "IN_TN",
            "US_IN",
            "ES_CN",
            "ind_CN",
            "US-CN.x",
            "cn-GD",
            "CA_IN",
            "usa-IN",
            "PT_BR",
            "pt_br",
            "ES-419",
            "DE-BY",
            "us-tx",
            "de",
            "pt-br",
            "en",
            "en-XX1",
            "en-ZZ",
            "fr-CA-",
            "Europe/Atlantis",
            "Etc",
            // Numbers that anything may be.
            "112233445-95",
            "11223344595",
            "234123412346",
            "110105194912310021",
        ] {
            assert_eq!(told(text), None, "{text}");
        }
    }

    #[test]
    fn what_may_be_a_locale_in_small_letters_is_known() {
        let country = |text| small_locale(text).map(|c| c.as_str().to_owned());
        assert_eq!(country("pt-br").as_deref(), Some("BR"));
        assert_eq!(country("de-by").as_deref(), Some("BY"));
        assert_eq!(country("us-tx"), None);
        assert_eq!(country("de-xx"), None);
        assert_eq!(country("DE-BY"), None);
    }

    #[test]
    fn every_zone_has_its_country() {
        assert!(ZONES.len() > 450, "{}", ZONES.len());
        let lines = include_str!("data/time-zones.txt").lines();
        let named: usize = lines
            .filter(|l| !l.starts_with('#'))
            .map(|l| l.split(' ').count() - 1)
            .sum();
        assert_eq!(ZONES.len(), named);
    }
}
