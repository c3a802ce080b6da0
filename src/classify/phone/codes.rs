//! Calling codes (ITU-T E.164, list of assigned codes) and the plans that countries share.

use super::nanp;

/// The ISO code of the country that issued the number whose digits (as values) these are.
pub(super) fn country(digits: &[u8]) -> Option<&'static str> {
    // Calling codes are prefix-free, so the first length that is assigned is the right one.
    match digits {
        [1, a, b, c, ..] => nanp::country(number(&[*a, *b, *c])),
        [7, first, ..] => match first {
            // 800 to 809 are non-geographic and in use in both countries; RU is the reading that
            // attaches the stricter localisation.
            3 | 4 | 8 | 9 => Some("RU"),
            6 | 7 => Some("KZ"),
            _ => None,
        },
        [a, b, national @ ..] => two_digits(a * 10 + b, national).or_else(|| match national {
            [c, national @ ..] => three_digits(number(&[*a, *b, *c]), national),
            [] => None,
        }),
        _ => None,
    }
}

fn number(digits: &[u8]) -> u16 {
    digits.iter().fold(0, |n, d| n * 10 + u16::from(*d))
}

fn two_digits(code: u8, national: &[u8]) -> Option<&'static str> {
    Some(match code {
        20 => "EG",
        27 => "ZA",
        30 => "GR",
        31 => "NL",
        32 => "BE",
        33 => "FR",
        34 => "ES",
        36 => "HU",
        // The Vatican's numbers are Roman ones; its own +379 is assigned and not in use.
        39 if national.starts_with(&[0, 6, 6, 9, 8]) => "VA",
        39 => "IT",
        40 => "RO",
        41 => "CH",
        43 => "AT",
        44 => british(national),
        45 => "DK",
        46 => "SE",
        47 if national.starts_with(&[7, 9]) => "SJ",
        47 => "NO",
        48 => "PL",
        49 => "DE",
        51 => "PE",
        52 => "MX",
        53 => "CU",
        54 => "AR",
        55 => "BR",
        56 => "CL",
        57 => "CO",
        58 => "VE",
        60 => "MY",
        61 => australian(national),
        62 => "ID",
        63 => "PH",
        64 => "NZ",
        65 => "SG",
        66 => "TH",
        81 => "JP",
        82 => "KR",
        84 => "VN",
        86 => "CN",
        90 => "TR",
        91 => "IN",
        92 => "PK",
        93 => "AF",
        94 => "LK",
        95 => "MM",
        98 => "IR",
        _ => return None,
    })
}

fn three_digits(code: u16, national: &[u8]) -> Option<&'static str> {
    Some(match code {
        211 => "SS",
        212 if national.starts_with(&[5, 2, 8, 8]) || national.starts_with(&[5, 2, 8, 9]) => "EH",
        212 => "MA",
        213 => "DZ",
        216 => "TN",
        218 => "LY",
        220 => "GM",
        221 => "SN",
        222 => "MR",
        223 => "ML",
        224 => "GN",
        225 => "CI",
        226 => "BF",
        227 => "NE",
        228 => "TG",
        229 => "BJ",
        230 => "MU",
        231 => "LR",
        232 => "SL",
        233 => "GH",
        234 => "NG",
        235 => "TD",
        236 => "CF",
        237 => "CM",
        238 => "CV",
        239 => "ST",
        240 => "GQ",
        241 => "GA",
        242 => "CG",
        243 => "CD",
        244 => "AO",
        245 => "GW",
        246 => "IO",
        // Ascension; with Saint Helena and Tristan da Cunha one ISO country.
        247 | 290 => "SH",
        248 => "SC",
        249 => "SD",
        250 => "RW",
        251 => "ET",
        252 => "SO",
        253 => "DJ",
        254 => "KE",
        255 => "TZ",
        256 => "UG",
        257 => "BI",
        258 => "MZ",
        260 => "ZM",
        261 => "MG",
        262 => mascarene(national),
        263 => "ZW",
        264 => "NA",
        265 => "MW",
        266 => "LS",
        267 => "BW",
        268 => "SZ",
        269 => "KM",
        291 => "ER",
        297 => "AW",
        298 => "FO",
        299 => "GL",
        350 => "GI",
        351 => "PT",
        352 => "LU",
        353 => "IE",
        354 => "IS",
        355 => "AL",
        356 => "MT",
        357 => "CY",
        358 if national.starts_with(&[1, 8]) => "AX",
        358 => "FI",
        359 => "BG",
        370 => "LT",
        371 => "LV",
        372 => "EE",
        373 => "MD",
        374 => "AM",
        375 => "BY",
        376 => "AD",
        377 => "MC",
        378 => "SM",
        379 => "VA",
        380 => "UA",
        381 => "RS",
        382 => "ME",
        383 => "XK",
        385 => "HR",
        386 => "SI",
        387 => "BA",
        389 => "MK",
        420 => "CZ",
        421 => "SK",
        423 => "LI",
        // South Georgia shares the Falklands' code and has no residents.
        500 => "FK",
        501 => "BZ",
        502 => "GT",
        503 => "SV",
        504 => "HN",
        505 => "NI",
        506 => "CR",
        507 => "PA",
        508 => "PM",
        509 => "HT",
        // Saint-Barthélemy and Saint-Martin number within Guadeloupe's plan, in blocks too small
        // to tell apart for long; all three are France.
        590 => "GP",
        591 => "BO",
        592 => "GY",
        593 => "EC",
        594 => "GF",
        595 => "PY",
        596 => "MQ",
        597 => "SR",
        598 => "UY",
        599 => match national.first() {
            Some(3 | 4 | 7) => "BQ",
            Some(6 | 9) => "CW",
            _ => return None,
        },
        670 => "TL",
        // The Antarctic stations' numbers (+672 1) count as Norfolk's, as in libphonenumber: they
        // have no residents.
        672 => match national.first() {
            Some(1 | 3) => "NF",
            _ => return None,
        },
        673 => "BN",
        674 => "NR",
        675 => "PG",
        676 => "TO",
        677 => "SB",
        678 => "VU",
        679 => "FJ",
        680 => "PW",
        681 => "WF",
        682 => "CK",
        683 => "NU",
        685 => "WS",
        686 => "KI",
        687 => "NC",
        688 => "TV",
        689 => "PF",
        690 => "TK",
        691 => "FM",
        692 => "MH",
        850 => "KP",
        852 => "HK",
        853 => "MO",
        855 => "KH",
        856 => "LA",
        880 => "BD",
        886 => "TW",
        960 => "MV",
        961 => "LB",
        962 => "JO",
        963 => "SY",
        964 => "IQ",
        965 => "KW",
        966 => "SA",
        967 => "YE",
        968 => "OM",
        970 => "PS",
        971 => "AE",
        972 => "IL",
        973 => "BH",
        974 => "QA",
        975 => "BT",
        976 => "MN",
        977 => "NP",
        992 => "TJ",
        993 => "TM",
        994 => "AZ",
        995 => "GE",
        996 => "KG",
        998 => "UZ",
        // Freephone 800, shared cost 808, satellite 870 and 881, universal 878, networks 882 and
        // 883, relief 888, premium 979, trials 991; the rest is unassigned.
        _ => return None,
    })
}

/// Guernsey, Jersey and Man number within the British plan: their area codes and mobile blocks.
fn british(national: &[u8]) -> &'static str {
    match national {
        [1, 4, 8, 1, ..] | [7, 7, 8, 1, ..] | [7, 8, 3, 9, ..] | [7, 9, 1, 1, 1 | 7, ..] => "GG",
        [1, 5, 3, 4, ..]
        | [7, 5, 0, 9, ..]
        | [7, 7, 0, 0, 3 | 7 | 8, ..]
        | [7, 7, 9, 7, ..]
        | [7, 8, 2, 9, ..]
        | [7, 9, 3, 7, ..] => "JE",
        [1, 6, 2, 4, ..]
        | [7, 4, 5, 7, 6, ..]
        | [7, 5, 2, 4, ..]
        | [7, 6, 2, 4, ..]
        | [7, 9, 2, 4, ..] => "IM",
        _ => "GB",
    }
}

/// Christmas and the Cocos Islands have landline blocks; their mobiles are Australian.
fn australian(national: &[u8]) -> &'static str {
    match national {
        [8, 9, 1, 6, 2, ..] => "CC",
        [8, 9, 1, 6, 4, ..] => "CX",
        _ => "AU",
    }
}

/// Mayotte's landlines, mobiles and VoIP blocks; the French Southern Territories share the code
/// and have no residents.
fn mascarene(national: &[u8]) -> &'static str {
    match national {
        [2, 6, 8, 9, ..] | [2, 6, 9, ..] | [6, 3, 9, ..] | [7, 0, 9, 3, 5..=7, ..] => "YT",
        [9, 3 | 4, 7 | 9, 8, 0 | 1, ..] | [9, 7, 6, 9, ..] => "YT",
        _ => "RE",
    }
}
