use std::{io::Read, net::IpAddr};

use flate2::read::GzDecoder;
use jiff::Timestamp;
use maxminddb::{PathElement, Reader, WithinOptions};
use serde::Deserialize;

use super::GeoError;
use crate::domain::Country;

/// Public domain (PDDL-1.0): see `data/README.md`.
const EMBEDDED: &[u8] = include_bytes!("../data/iptoasn-country.mmdb.gz");

/// Networks that are looked at to find which field holds the country.
const SAMPLE: usize = 10_000;

/// Fields by vendor: GeoLite2, GeoIP2 and DB-IP; iptoasn and IPinfo Lite; older IPinfo files.
const KNOWN_FIELDS: [&str; 3] = ["country.iso_code", "country_code", "country"];

pub(super) struct Database {
    reader: Reader<Vec<u8>>,
    field: Vec<String>,
    built: Timestamp,
}

impl Database {
    pub fn embedded() -> Result<Self, GeoError> {
        let mut bytes = Vec::new();
        GzDecoder::new(EMBEDDED)
            .read_to_end(&mut bytes)
            .map_err(|e| GeoError::Broken(e.to_string()))?;
        Self::parse(bytes, Some("country_code"))
    }

    pub fn parse(bytes: Vec<u8>, field: Option<&str>) -> Result<Self, GeoError> {
        let broken = |e: maxminddb::MaxMindDbError| GeoError::Broken(e.to_string());
        let reader = Reader::from_source(bytes).map_err(broken)?;
        let seconds = i64::try_from(reader.metadata().build_epoch).ok();
        let built = seconds
            .and_then(|s| Timestamp::from_second(s).ok())
            .ok_or(GeoError::BuildTime)?;
        let candidates: Vec<&str> = match field {
            Some(field) => vec![field],
            None => KNOWN_FIELDS.to_vec(),
        };
        let field = find_field(&reader, &candidates)?;
        Ok(Self {
            reader,
            field,
            built,
        })
    }

    pub fn country(&self, address: IpAddr) -> Option<Country> {
        let found = self.reader.lookup(address).ok()?;
        let country = country_at(&found, &self.field)?;
        // Traits that cannot be read may say what those that can be read would.
        let traits = found.decode_path::<Traits>(&[PathElement::Key("traits")]);
        let hides = traits.ok()?.is_some_and(|t| t.hides());
        (!hides).then_some(country)
    }

    pub fn built(&self) -> Timestamp {
        self.built
    }
}

/// What MaxMind's files say of some addresses: these stand for people anywhere.
#[derive(Default, Deserialize)]
#[serde(default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a member of the file's records"
)]
struct Traits {
    is_anonymous: bool,
    is_anonymous_proxy: bool,
    is_anonymous_vpn: bool,
    is_hosting_provider: bool,
    is_public_proxy: bool,
    is_residential_proxy: bool,
    is_tor_exit_node: bool,
}

impl Traits {
    fn hides(&self) -> bool {
        self.is_anonymous
            || self.is_anonymous_proxy
            || self.is_anonymous_vpn
            || self.is_hosting_provider
            || self.is_public_proxy
            || self.is_residential_proxy
            || self.is_tor_exit_node
    }
}

/// The first candidate under which some network of the file holds a country.
fn find_field(reader: &Reader<Vec<u8>>, candidates: &[&str]) -> Result<Vec<String>, GeoError> {
    let paths: Vec<Vec<String>> = candidates
        .iter()
        .map(|c| c.split('.').map(str::to_owned).collect())
        .collect();
    let networks = reader
        .networks(WithinOptions::default())
        .map_err(|e| GeoError::Broken(e.to_string()))?;
    let mut best = paths.len();
    for found in networks.take(SAMPLE) {
        let found = found.map_err(|e| GeoError::Broken(e.to_string()))?;
        if let Some(at) = paths.iter().position(|p| country_at(&found, p).is_some()) {
            best = best.min(at);
        }
        if best == 0 {
            break;
        }
    }
    paths
        .into_iter()
        .nth(best)
        .ok_or_else(|| GeoError::NoCountryField {
            tried: candidates
                .iter()
                .map(|c| format!("`{c}`"))
                .collect::<Vec<_>>()
                .join(", "),
        })
}

fn country_at(found: &maxminddb::LookupResult<'_, Vec<u8>>, field: &[String]) -> Option<Country> {
    let mut path = smallvec::SmallVec::<[PathElement<'_>; 4]>::new();
    path.extend(field.iter().map(|f| PathElement::Key(f)));
    let code: &str = found.decode_path(&path).ok()??;
    Country::new(code).ok()
}
