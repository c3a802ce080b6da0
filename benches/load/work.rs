//! The works: what is asked, and what the right answer is.

use crate::common::record;

/// One kind of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Records of 1 KiB routed by their body; all five regions in the location's country.
    Domestic,
    /// The same; the regions in their real countries, the router in Singapore.
    Homebound,
    Domestic16k,
    Homebound16k,
    /// Bodies of 1 KiB that nobody reads; the person's home is pinned, the regions stand in their
    /// real countries, so what they answer is judged on its way back.
    Opaque,
    /// The same; all five regions in the location's country.
    DomesticOpaque,
    /// NDJSON of 1,000 records of 300 bytes, split five ways.
    Batch,
    /// As `Homebound`, each subject seen for the first time: its pin is written ahead.
    FirstWrites,
    /// Reads from the European region under clauses: each is written ahead.
    Transfers,
}

/// Of one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    pub status: u16,
    /// The store that must have answered; none where the answer is merged or refused.
    pub store: Option<usize>,
}

pub struct Asked {
    pub bytes: Vec<u8>,
    pub expected: Expected,
}

/// The stores, in this order, by region. In the domestic setting all of them stand in Germany.
pub const REGIONS: [&str; 5] = ["cn", "in", "ru", "eu", "sg"];
const HOMEBOUND: [&str; 5] = ["CN", "IN", "RU", "DE", "SG"];
const DOMESTIC: [&str; 5] = ["FR", "NL", "IT", "DE", "ES"];

/// Subjects that are pinned before anything is measured.
const SUBJECTS: usize = 2000;
pub const BATCH: usize = 1000;

impl Work {
    const ALL: [Self; 9] = [
        Self::Domestic,
        Self::Homebound,
        Self::Domestic16k,
        Self::Homebound16k,
        Self::Opaque,
        Self::DomesticOpaque,
        Self::Batch,
        Self::FirstWrites,
        Self::Transfers,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Domestic => "domestic",
            Self::Homebound => "homebound",
            Self::Domestic16k => "domestic-16k",
            Self::Homebound16k => "homebound-16k",
            Self::Opaque => "opaque",
            Self::DomesticOpaque => "domestic-opaque",
            Self::Batch => "batch",
            Self::FirstWrites => "first-writes",
            Self::Transfers => "transfers",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|w| w.name() == name)
    }

    /// Whether the five regions stand in one country.
    pub fn is_domestic(self) -> bool {
        matches!(
            self,
            Self::Domestic | Self::Domestic16k | Self::DomesticOpaque
        )
    }

    /// How many plain requests one of these stands for, so that rounds take alike long.
    pub fn weight(self) -> usize {
        match self {
            Self::Batch => 200,
            Self::Domestic16k | Self::Homebound16k => 2,
            _ => 1,
        }
    }

    pub fn countries(self) -> [&'static str; 5] {
        if self.is_domestic() {
            DOMESTIC
        } else {
            HOMEBOUND
        }
    }

    /// Request `number` of round `round` (0 warms up); a pure function, so that each proxy gets
    /// the same.
    pub fn request(self, round: usize, number: usize) -> Asked {
        let store = number % 5;
        let subject = match self {
            Self::FirstWrites => format!("u-{round}-{number}"),
            _ => format!("u-{}", number % SUBJECTS),
        };
        let country = self.countries()[store];
        let sent = |status| Expected {
            status,
            store: Some(store),
        };
        match self {
            Self::Domestic | Self::Homebound | Self::FirstWrites => {
                let body = record(&subject, country, 1024);
                asked(
                    "POST /records",
                    "application/json",
                    country,
                    &body,
                    sent(200),
                )
            }
            Self::Domestic16k | Self::Homebound16k => {
                let body = record(&subject, country, 16 * 1024);
                asked(
                    "POST /records",
                    "application/json",
                    country,
                    &body,
                    sent(200),
                )
            }
            Self::Opaque | Self::DomesticOpaque => {
                let line = format!("POST /files/{subject}/photo");
                let body = "x".repeat(1024);
                asked(&line, "application/octet-stream", country, &body, sent(200))
            }
            Self::Batch => {
                let mut body = String::with_capacity(BATCH * 301);
                for item in 0..BATCH {
                    let subject = format!("u-{item}");
                    body.push_str(&record(&subject, self.countries()[item % 5], 300));
                    body.push('\n');
                }
                let expected = Expected {
                    status: 200,
                    store: None,
                };
                asked(
                    "POST /batch",
                    "application/x-ndjson",
                    country,
                    &body,
                    expected,
                )
            }
            Self::Transfers => {
                let subject = format!("e-{}", number % SUBJECTS);
                if round == 0 {
                    let body = record(&subject, "DE", 1024);
                    let expected = Expected {
                        status: 200,
                        store: Some(3),
                    };
                    return asked("POST /records", "application/json", "DE", &body, expected);
                }
                let bytes =
                    format!("GET /records/{subject} HTTP/1.1\r\nHost: storage.internal\r\n\r\n");
                Asked {
                    bytes: bytes.into_bytes(),
                    expected: Expected {
                        status: 200,
                        store: Some(3),
                    },
                }
            }
        }
    }
}

fn asked(line: &str, media_type: &str, country: &str, body: &str, expected: Expected) -> Asked {
    let head = format!(
        "{line} HTTP/1.1\r\nHost: storage.internal\r\nUser-Agent: load/1\r\nAccept: */*\r\n\
         Content-Type: {media_type}\r\nX-Country: {country}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    Asked {
        bytes: [head.as_bytes(), body.as_bytes()].concat(),
        expected,
    }
}
