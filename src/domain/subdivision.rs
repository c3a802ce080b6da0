//! Parts of the countries of which law and promises name parts (ISO 3166-2, as of 2026-11-22).

use super::Place;

/// Countries with the codes of their parts. India's and China's hold those that were replaced, too:
/// records and papers go on naming them.
const PARTS: [(&str, &str); 6] = [
    ("AU", "ACT NSW NT QLD SA TAS VIC WA"),
    ("CA", "AB BC MB NB NL NS NT NU ON PE QC SK YT"),
    (
        "CN",
        "AH BJ CQ FJ GD GS GX GZ HA HB HE HI HK HL HN JL JS JX LN MO NM NX QH SC SD SH SN SX TJ TW XJ \
         XZ YN ZJ",
    ),
    (
        "IN",
        "AN AP AR AS BR CG CH CT DD DH DL DN GA GJ HP HR JH JK KA KL LA LD MH ML MN MP MZ NL OD OR PB \
         PY RJ SK TG TN TR TS UK UP UT WB",
    ),
    (
        "RU",
        "AD AL BA BU CE CU DA IN KB KC KK KL KO KR ME MO SA SE TA TY UD ALT KAM KDA KHA KYA PER PRI STA \
         ZAB AMU ARK AST BEL BRY CHE IRK IVA KEM KGD KGN KIR KLU KOS KRS LEN LIP MAG MOS MUR NGR NIZ \
         NVS OMS ORE ORL PNZ PSK ROS RYA SAK SAM SAR SMO SVE TAM TOM TUL TVE TYU ULY VGG VLA VLG VOR \
         YAR MOW SPE YEV CHU KHM NEN YAN",
    ),
    (
        "US",
        "AK AL AR AS AZ CA CO CT DC DE FL GA GU HI IA ID IL IN KS KY LA MA MD ME MI MN MO MP MS MT NC \
         ND NE NH NJ NM NV NY OH OK OR PA PR RI SC SD TN TX UM UT VA VI VT WA WI WV WY",
    ),
];

impl Place {
    /// Why a part of a country is probably none: rules and promises that name it concern nobody. `None`
    /// for countries whose parts are not listed here.
    pub fn doubt(&self) -> Option<String> {
        let code = self.to_string();
        let (country, part) = code.split_once('-')?;
        let (_, parts) = PARTS.iter().find(|(listed, _)| *listed == country)?;
        let listed = parts.split_ascii_whitespace().any(|p| p == part);
        (!listed)
            .then(|| format!("ISO 3166-2 has no part `{code}` of {country}: no flow is ever there"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doubt(code: &str) -> Option<String> {
        code.parse::<Place>().unwrap().doubt()
    }

    #[test]
    fn parts_that_are_none_are_doubted() {
        for code in [
            "US-XX", "CN-ZZ", "CA-QB", "IN-XX", "RU-MOC", "AU-NS", "CN-44",
        ] {
            assert!(doubt(code).is_some_and(|d| d.contains(code)), "{code}");
        }
        for code in [
            "US", "US-TX", "CN-GD", "CA-QC", "IN-TS", "RU-MOW", "AU-NSW", "DE-XX", "X-EPO",
        ] {
            assert_eq!(doubt(code), None, "{code}");
        }
    }

    #[test]
    fn every_part_is_a_place_and_stands_once() {
        for (country, parts) in PARTS {
            let all: Vec<&str> = parts.split_ascii_whitespace().collect();
            for part in &all {
                assert!(format!("{country}-{part}").parse::<Place>().is_ok());
                assert_eq!(
                    all.iter().filter(|p| *p == part).count(),
                    1,
                    "{country}-{part}"
                );
            }
        }
        let counts = PARTS.map(|(_, parts)| parts.split_ascii_whitespace().count());
        assert_eq!(counts, [8, 13, 34, 42, 83, 57]);
    }
}
