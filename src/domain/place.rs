use std::{
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An assigned ISO 3166-1 alpha-2 code, or `XK` (Kosovo, user-assigned and in common use).
///
/// `UK` and `EL`, which EU papers write for `GB` and `GR`, are not codes here: evidence
/// readers map them, law files and questions must use ISO's.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Country([u8; 2]);

/// Where something is: a country, a subdivision of one (ISO 3166-2, such as `CN-GD`), or an
/// international organisation (`X-EPO`), which belongs to no country.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// `X` and a blank for an international organisation.
    head: [u8; 2],
    /// Upper-case letters and digits, padded with zeros; all zeros for a whole country.
    tail: [u8; 4],
}

/// One word, since places are most of what judgements are found by.
impl Hash for Place {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let ([a, b], [c, d, e, f]) = (self.head, self.tail);
        state.write_u64(u64::from_le_bytes([a, b, c, d, e, f, 0, 0]));
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    #[error(
        "not an ISO 3166-1 alpha-2 code, an ISO 3166-2 code such as `CN-GD`, or an organisation such as `X-EPO`"
    )]
    Malformed,
    #[error("no such country in ISO 3166-1")]
    Unassigned,
}

impl Country {
    /// For a question in which the country does not matter.
    pub(crate) const SOMEWHERE: Self = Self(*b"AQ");

    /// `text` must be two upper-case letters.
    pub fn new(text: &str) -> Result<Self, PlaceError> {
        let &[a, b] = text.as_bytes() else {
            return Err(PlaceError::Malformed);
        };
        if !(a.is_ascii_uppercase() && b.is_ascii_uppercase()) {
            return Err(PlaceError::Malformed);
        }
        if !assigned([a, b]) {
            return Err(PlaceError::Unassigned);
        }
        Ok(Self([a, b]))
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("")
    }

    /// A dense index in `0..676`, for tables.
    pub fn index(self) -> usize {
        // Asked several times in each decision: both letters' offsets in one subtraction.
        const FIRST: usize = b'A' as usize * 27;
        let [a, b] = self.0;
        (usize::from(a) * 26 + usize::from(b)).wrapping_sub(FIRST)
    }

    /// Every assigned code, in alphabetical order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..676u16).filter_map(|i| {
            let code = [
                b'A' + u8::try_from(i / 26).ok()?,
                b'A' + u8::try_from(i % 26).ok()?,
            ];
            assigned(code).then_some(Self(code))
        })
    }
}

impl Place {
    pub fn of(country: Country) -> Self {
        Self {
            head: country.0,
            tail: [0; 4],
        }
    }

    /// The country; `None` for an international organisation.
    pub fn country(&self) -> Option<Country> {
        (self.head != *b"X ").then_some(Country(self.head))
    }

    pub fn is_subdivision(&self) -> bool {
        self.country().is_some() && self.tail != [0; 4]
    }

    /// The code that somebody who wrote `text` had in mind, where that is plain: `GB` for `UK`,
    /// `GR` for `EL`, `DE` for `de` or `DEU`.
    pub fn meant(text: &str) -> Option<String> {
        let upper = text.trim().to_uppercase();
        let known = SLIPS.iter().find(|(wrong, _)| *wrong == upper);
        if let Some((_, code)) = known {
            return Some((*code).to_owned());
        }
        (upper != text && upper.parse::<Self>().is_ok()).then_some(upper)
    }

    /// Whether `self` is `other` or lies in it: `CN-GD` is within `CN`.
    pub fn within(&self, other: &Self) -> bool {
        self == other || (other.tail == [0; 4] && self.head == other.head)
    }
}

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let (head, tail) = match text.split_once('-') {
            None => return Country::new(text).map(Self::of),
            Some(parts) => parts,
        };
        let longest = if head == "X" { 4 } else { 3 };
        let sound = (1..=longest).contains(&tail.len())
            && tail
                .bytes()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
        if !sound {
            return Err(PlaceError::Malformed);
        }
        let mut padded = [0; 4];
        for (to, from) in padded.iter_mut().zip(tail.bytes()) {
            *to = from;
        }
        // Places that have a code of their own lie outside the country whose part they are also
        // listed as: what is said of the country does not hold for them.
        if let Some(own) = own_code(head, tail) {
            return Country::new(own).map(Self::of);
        }
        let head = if head == "X" {
            *b"X "
        } else {
            Country::new(head)?.0
        };
        Ok(Self { head, tail: padded })
    }
}

impl From<Country> for Place {
    fn from(country: Country) -> Self {
        Self::of(country)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.country() {
            Some(country) => f.write_str(country.as_str())?,
            None => f.write_str("X")?,
        }
        if self.tail == [0; 4] {
            return Ok(());
        }
        f.write_str("-")?;
        self.tail
            .iter()
            .filter(|b| **b != 0)
            .try_for_each(|b| write!(f, "{}", char::from(*b)))
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        text.parse().map_err(|e| {
            let meant = Self::meant(&text);
            let hint = meant.map_or_else(String::new, |m| format!(" (did you mean `{m}`?)"));
            serde::de::Error::custom(format!("`{text}`: {e}{hint}"))
        })
    }
}

/// What is written for a country and is not its code: the European Union's own abbreviations,
/// codes that were withdrawn, three letters, and names of the countries that come up most.
const SLIPS: &[(&str, &str)] = &[
    ("UK", "GB"),
    ("EL", "GR"),
    ("EN", "GB"),
    ("SU", "RU"),
    ("TP", "TL"),
    ("USA", "US"),
    ("GBR", "GB"),
    ("DEU", "DE"),
    ("FRA", "FR"),
    ("CHN", "CN"),
    ("PRC", "CN"),
    ("IND", "IN"),
    ("RUS", "RU"),
    ("SGP", "SG"),
    ("CHE", "CH"),
    ("JPN", "JP"),
    ("KOR", "KR"),
    ("BRA", "BR"),
    ("UAE", "AE"),
    ("CHINA", "CN"),
    ("INDIA", "IN"),
    ("RUSSIA", "RU"),
    ("SINGAPORE", "SG"),
    ("GERMANY", "DE"),
    ("FRANCE", "FR"),
    ("SWITZERLAND", "CH"),
    ("JAPAN", "JP"),
    ("HONG KONG", "HK"),
    ("UNITED KINGDOM", "GB"),
    ("UNITED STATES", "US"),
];

/// The alpha-2 code of a place that ISO 3166-2 lists, or listed once, under another country as
/// well, or that is written so after national codes (`FR-975`: INSEE's).
fn own_code(head: &str, tail: &str) -> Option<&'static str> {
    Some(match (head, tail) {
        ("AU", "CC") => "CC",
        ("AU", "CX") => "CX",
        ("AU", "HM") => "HM",
        ("AU", "NF") => "NF",
        ("CN", "HK" | "91") => "HK",
        ("CN", "MO" | "92") => "MO",
        ("CN", "TW" | "71") => "TW",
        ("DK", "FO") => "FO",
        ("DK", "GL") => "GL",
        ("FI", "01" | "AL") => "AX",
        ("FR", "BL" | "977") => "BL",
        ("FR", "GF" | "973") => "GF",
        ("FR", "GP" | "971" | "GUA") => "GP",
        ("FR", "MF" | "978") => "MF",
        ("FR", "MQ" | "972") => "MQ",
        ("FR", "NC" | "988") => "NC",
        ("FR", "PF" | "987") => "PF",
        ("FR", "PM" | "975") => "PM",
        ("FR", "RE" | "974" | "LRE") => "RE",
        ("FR", "TF" | "984") => "TF",
        ("FR", "WF" | "986") => "WF",
        ("FR", "YT" | "976" | "MAY") => "YT",
        ("GB", "GSY" | "GGY" | "GG") => "GG",
        ("GB", "IMN" | "IOM" | "IM") => "IM",
        ("GB", "JEY" | "JE") => "JE",
        ("NL", "AW") => "AW",
        ("NL", "CW") => "CW",
        ("NL", "SX") => "SX",
        ("NL", "BQ1" | "BQ2" | "BQ3") => "BQ",
        ("NO", "21" | "22") => "SJ",
        ("US", "AS") => "AS",
        ("US", "GU") => "GU",
        ("US", "MP") => "MP",
        ("US", "PR") => "PR",
        ("US", "UM") => "UM",
        ("US", "VI") => "VI",
        _ => return None,
    })
}

fn assigned(code: [u8; 2]) -> bool {
    let bit = Country(code).index();
    ASSIGNED_BITS
        .get(bit / 64)
        .is_some_and(|word| word >> (bit % 64) & 1 == 1)
}

/// One bit for each pair of letters: codes are read on the way of every record.
static ASSIGNED_BITS: [u64; 11] = assigned_bits();

#[expect(
    clippy::indexing_slicing,
    reason = "evaluated while compiling: a bad index does not build"
)]
const fn assigned_bits() -> [u64; 11] {
    let (codes, mut bits, mut i) = (ASSIGNED.as_bytes(), [0; 11], 0);
    while i < codes.len() {
        let bit = (codes[i] - b'A') as usize * 26 + (codes[i + 1] - b'A') as usize;
        bits[bit / 64] |= 1 << (bit % 64);
        i += 3;
    }
    bits
}

/// ISO 3166-1 alpha-2, the 249 assigned codes, and XK.
const ASSIGNED: &str = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ \
BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ \
CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ \
DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR \
GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY \
HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP \
KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY \
MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ \
NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY \
QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ \
TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ \
VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_holds_iso_and_kosovo() {
        assert_eq!(Country::all().count(), 250);
        for code in ["EU", "UK", "EL", "AP", "ZZ", "XX", "AN", "YU"] {
            assert_eq!(Country::new(code), Err(PlaceError::Unassigned), "{code}");
        }
        for text in ["de", "D", "DEU", "", "D3", "Ü"] {
            assert_eq!(Country::new(text), Err(PlaceError::Malformed), "{text}");
        }
    }

    #[test]
    fn common_slips_have_a_code() {
        let meant = |text| Place::meant(text);
        assert_eq!(meant("UK").as_deref(), Some("GB"));
        assert_eq!(meant("el").as_deref(), Some("GR"));
        assert_eq!(meant("cn-gd").as_deref(), Some("CN-GD"));
        assert_eq!(meant("Germany").as_deref(), Some("DE"));
        assert_eq!(meant("EU"), None);
        assert_eq!(meant("DE"), None);
        for (_, code) in SLIPS {
            assert!(Country::new(code).is_ok(), "{code}");
        }
    }

    #[test]
    fn places_with_a_code_of_their_own_are_no_part_of_another_country() {
        let place = |text: &str| text.parse::<Place>().expect(text);
        for (part, own) in [
            ("AU-NF", "NF"),
            ("CN-71", "TW"),
            ("CN-91", "HK"),
            ("CN-92", "MO"),
            ("CN-HK", "HK"),
            ("DK-GL", "GL"),
            ("FI-AL", "AX"),
            ("FR-975", "PM"),
            ("FR-988", "NC"),
            ("GB-GSY", "GG"),
            ("GB-IMN", "IM"),
            ("GB-IOM", "IM"),
            ("GB-JEY", "JE"),
            ("FR-NC", "NC"),
            ("NL-BQ2", "BQ"),
            ("NO-21", "SJ"),
            ("US-PR", "PR"),
        ] {
            assert_eq!(place(part), place(own));
        }
        assert!(!place("CN-TW").within(&place("CN")));
        assert!(place("FR-75").within(&place("FR")));
    }

    #[test]
    fn places_round_trip_and_nest() {
        for text in ["CN", "CN-GD", "US-TX", "GB-ENG", "X-EPO"] {
            let place: Place = text.parse().expect(text);
            assert_eq!(place.to_string(), text);
        }
        let (cn, gd): (Place, Place) = ("CN".parse().unwrap(), "CN-GD".parse().unwrap());
        assert!(gd.within(&cn) && !cn.within(&gd) && cn.within(&cn));
        assert_eq!("X-EPO".parse::<Place>().unwrap().country(), None);
        for text in ["CN-", "CN-gd", "CN-GDXX", "ZZ-1", "X-", "-", "CN-G D"] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }
}
