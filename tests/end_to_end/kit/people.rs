//! Invented people: for each a record, how its country is told, and where it must land.
//!
//! Telephone numbers are from ranges reserved for fiction where a country has one. The addresses
//! for GeoIP are those of access networks, which no list of hosting ranges holds.

/// SplitMix64: small, seeded, the same everywhere.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    fn digits(&mut self, count: usize) -> String {
        (0..count)
            .map(|_| char::from(b'0' + u8::try_from(self.below(10)).unwrap()))
            .collect()
    }
}

/// What must become of a record that is sent for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Stored in this region and nowhere else.
    Lands(&'static str),
    /// No evidence: 422.
    Unknown,
    /// Two laws that cannot both be kept: 451.
    Forbidden,
}

#[derive(Clone, Debug)]
pub struct Person {
    pub id: String,
    pub body: String,
    /// `X-Forwarded-For`.
    pub forwarded: Option<&'static str>,
    pub fate: Fate,
}

impl Person {
    pub fn path(&self) -> String {
        format!("/people/{}", self.id)
    }
}

/// Countries and the region that is their home in the demo. The last ones have no law of their
/// own there and live where `default` says.
const COUNTRIES: [(&str, &str); 16] = [
    ("CN", "cn"),
    ("CN", "cn"),
    ("IN", "in"),
    ("IN", "in"),
    ("RU", "ru"),
    ("RU", "ru"),
    ("DE", "eu"),
    ("FR", "eu"),
    ("PL", "eu"),
    ("NO", "eu"),
    ("IE", "eu"),
    ("SG", "sg"),
    ("SG", "sg"),
    ("JP", "sg"),
    ("BR", "sg"),
    ("KZ", "sg"),
];

/// Prefix, how many digits follow, home. +7 and +1 are shared by several countries.
const PHONES: [(&str, usize, &str); 12] = [
    ("+86131", 8, "cn"),
    ("+86 139 ", 8, "cn"),
    ("+9198", 8, "in"),
    ("+91 98-", 8, "in"),
    ("+7916", 7, "ru"),
    ("+7 916 ", 7, "ru"),
    ("+7701", 7, "sg"),
    ("+493023125", 3, "eu"),
    ("+33 6 39 98 ", 4, "eu"),
    ("+6591", 6, "sg"),
    ("+1416555 01", 2, "sg"),
    ("+121255501", 2, "sg"),
];

pub const NETWORKS: [(&str, &str); 13] = [
    ("202.96.128.86", "cn"),
    ("116.228.111.118", "cn"),
    ("117.192.0.1", "in"),
    ("59.88.0.1", "in"),
    ("95.24.0.1", "ru"),
    ("178.140.0.1", "ru"),
    ("217.0.43.1", "eu"),
    ("79.192.0.1", "eu"),
    ("81.56.0.1", "eu"),
    ("165.21.83.88", "sg"),
    ("121.6.0.1", "sg"),
    ("126.0.0.1", "sg"),
    ("2.132.0.1", "sg"),
];

/// Declared countries of one person that no home can satisfy: Russia wants the primary copy, the
/// demo promises India to store only there, and Europe has clauses with Singapore alone.
const CONFLICTS: [(&str, &str); 6] = [
    ("DE", "RU"),
    ("RU", "DE"),
    ("FR", "IN"),
    ("RU", "IN"),
    ("IN", "RU"),
    ("IN", "DE"),
];

const NAMES: [&str; 8] = [
    "Zo\\u00eb Muster",
    "Иван Пример",
    "王示例",
    "Asha Udaharan",
    "Tan Contoh",
    "O'Neil \\\"Ex\\\" Ample",
    "José Exemplo",
    "名前\\/例",
];

/// `count` people with ids that begin with `prefix`. `network`: some are known by nothing but the
/// address they come from.
pub fn people(seed: u64, prefix: &str, count: usize, network: bool) -> Vec<Person> {
    let mut random = Random::new(seed);
    (0..count)
        .map(|index| person(&mut random, format!("{prefix}-{index:05}"), network))
        .collect()
}

fn person(random: &mut Random, id: String, network: bool) -> Person {
    let mut fields = vec![
        format!("\"id\":\"{id}\""),
        format!("\"name\":\"{}\"", random.pick(&NAMES)),
        format!("\"email\" : \"{id}@example.com\""),
    ];
    let mut forwarded = None;
    let (country, home) = *random.pick(&COUNTRIES);
    let kind = random.below(if network { 20 } else { 16 });
    let fate = match kind {
        0..4 => {
            fields.push(format!("\"country\":\"{country}\""));
            Fate::Lands(home)
        }
        4..7 => {
            fields.push(format!(
                "\"address\":{{\"city\":\"Musterstadt\",\"country\": \"{country}\",\"street\":\"Am Beispiel 1\"}}"
            ));
            Fate::Lands(home)
        }
        7..10 => Fate::Lands(phone(random, &mut fields)),
        10 => {
            // Both fields agree.
            fields.push(format!("\"country\":\"{country}\""));
            fields.push(format!("\"address\":{{\"country\":\"{country}\"}}"));
            Fate::Lands(home)
        }
        11 | 12 => {
            // A declared country beats whatever the phone says.
            phone(random, &mut fields);
            fields.push(format!("\"country\":\"{country}\""));
            Fate::Lands(home)
        }
        13 => {
            let (first, second) = *random.pick(&CONFLICTS);
            fields.push(format!("\"address\":{{\"country\":\"{second}\"}}"));
            fields.push(format!("\"country\":\"{first}\""));
            Fate::Forbidden
        }
        14 => Fate::Unknown,
        15 => {
            // A number without a country code tells no country.
            fields.push(format!("\"phone\":\"0{}\"", random.digits(9)));
            Fate::Unknown
        }
        16 | 17 => {
            let (address, home) = *random.pick(&NETWORKS);
            forwarded = Some(address);
            Fate::Lands(home)
        }
        18 => {
            forwarded = Some(random.pick(&NETWORKS).0);
            fields.push(format!("\"country\":\"{country}\""));
            Fate::Lands(home)
        }
        _ => {
            forwarded = Some(random.pick(&NETWORKS).0);
            Fate::Lands(phone(random, &mut fields))
        }
    };
    // Spellings that a reader which parses and prints again would not give back.
    for extra in [
        "\"score\":1.50",
        "\"amount\": 1E+2",
        "\"tags\":[ \"\\u0061\" , null ]",
        "\"big\":123456789012345678901234567890",
    ] {
        if random.below(4) == 0 {
            fields.push(extra.to_owned());
        }
    }
    // Any order of the fields.
    for index in (1..fields.len()).rev() {
        let other = random.below(index + 1);
        fields.swap(index, other);
    }
    let separator = *random.pick(&[",", ", ", " ,\t"]);
    let body = format!("{{{}}}", fields.join(separator));
    Person {
        id,
        body,
        forwarded,
        fate,
    }
}

fn phone(random: &mut Random, fields: &mut Vec<String>) -> &'static str {
    let (prefix, digits, home) = *random.pick(&PHONES);
    fields.push(format!("\"phone\":\"{prefix}{}\"", random.digits(digits)));
    home
}

/// The expectations rest on these: checked against a library that the router's own table is not.
#[test]
fn every_invented_number_belongs_to_its_home() {
    let mut random = Random::new(7);
    for (prefix, digits, home) in PHONES {
        for _ in 0..50 {
            let number = format!("{prefix}{}", random.digits(digits));
            let parsed = phonenumber::parse(None, &number).unwrap();
            let country = parsed.country().id().map(|id| format!("{id:?}"));
            let found = match country.as_deref() {
                Some("CN") => "cn",
                Some("IN") => "in",
                Some("RU") => "ru",
                Some("DE" | "FR") => "eu",
                Some("SG" | "KZ" | "CA" | "US") => "sg",
                other => panic!("{number} is of {other:?}"),
            };
            assert_eq!(found, home, "{number}");
        }
    }
}

#[test]
fn every_invented_record_is_json_and_all_fates_occur() {
    let people = people(1, "x", 1000, true);
    for person in &people {
        let value: serde_json::Value = serde_json::from_str(&person.body).unwrap();
        assert_eq!(value["id"], person.id);
    }
    for region in super::REGIONS {
        assert!(
            people
                .iter()
                .filter(|p| p.fate == Fate::Lands(region))
                .count()
                > 50,
            "{region}"
        );
    }
    for fate in [Fate::Unknown, Fate::Forbidden] {
        assert!(
            people.iter().filter(|p| p.fate == fate).count() > 20,
            "{fate:?}"
        );
    }
}
