//! The country of a client's address, by a GeoIP database.
//!
//! The weakest evidence: databases are wrong now and then, and travellers are abroad. Addresses
//! that belong to nobody in particular are no evidence at all (see [`locates`]), nor are those that a
//! file's `traits` call a hosting provider's, a proxy's or otherwise anonymous. Few files say so,
//! and the embedded table does not.
//!
//! The file is read into memory, never mapped: a mapped file that is overwritten in place is
//! undefined behaviour. A database is swapped as a whole, and only for one that opens
//! and holds a country field.

mod address;
mod database;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod writer;

use std::{
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use arc_swap::ArcSwapOption;
use jiff::Timestamp;

pub use address::locates;
use database::Database;

use crate::{document::read_whole, domain::Country, settings::Geoip};

/// Bytes of a database. The largest on the market have some hundred MiB.
const MOST_DATABASE: u64 = 1 << 30;

/// A GeoIP database that can be swapped while it is asked. Look-ups take no lock.
pub struct Geo {
    source: Source,
    current: ArcSwapOption<Database>,
    /// What the file looked like when it was last read; only [`Geo::reload_if_changed`] takes it.
    seen: Mutex<Option<Seen>>,
}

#[derive(Debug, thiserror::Error)]
pub enum GeoError {
    #[error("the GeoIP database `{}` cannot be read: {error}", path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("the GeoIP database is broken: {0}")]
    Broken(String),
    #[error(
        "the GeoIP database has no country under {tried}; name the field in `geoip.field`, such as `country.iso_code`"
    )]
    NoCountryField { tried: String },
    #[error("the GeoIP database says it was built at a time that does not exist")]
    BuildTime,
}

/// What [`Geo::reload_if_changed`] did.
#[derive(Debug)]
pub enum Reload {
    Unchanged,
    /// The new database answers from now on.
    Swapped {
        built: Timestamp,
    },
    /// The new file is no good; the old database keeps answering. Told once for each new file.
    Kept(GeoError),
}

enum Source {
    Off,
    Embedded,
    File {
        path: PathBuf,
        field: Option<String>,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Seen {
    modified: Option<SystemTime>,
    length: u64,
    content: [u8; 32],
}

impl Geo {
    pub fn from_settings(settings: &Geoip) -> Result<Self, GeoError> {
        match settings {
            Geoip::Off => Ok(Self::off()),
            Geoip::Embedded => Self::embedded(),
            Geoip::File { database, field } => Self::open(database, field.as_deref()),
        }
    }

    /// No database: nothing is evidence.
    pub fn off() -> Self {
        Self::new(Source::Off, None, None)
    }

    /// The public-domain table built into the program; costs about 20 ms and 5 MB.
    pub fn embedded() -> Result<Self, GeoError> {
        let database = Database::embedded()?;
        Ok(Self::new(Source::Embedded, Some(database), None))
    }

    /// A MaxMind DB file of any vendor. `field` is the dotted path of the country code in a
    /// record; without it `country.iso_code`, `country_code` and `country` are tried, in this
    /// order, and the first that holds a code in the file is used for the whole file.
    ///
    /// Never `registered_country`: that is where the network's owner is registered, not where
    /// the address is used.
    pub fn open(path: &Path, field: Option<&str>) -> Result<Self, GeoError> {
        let (bytes, seen) = read(path)?;
        let database = Database::parse(bytes, field)?;
        let source = Source::File {
            path: path.to_owned(),
            field: field.map(str::to_owned),
        };
        Ok(Self::new(source, Some(database), Some(seen)))
    }

    /// The country of `address`; `None` if the address is no evidence or the database does not
    /// know it.
    pub fn country(&self, address: IpAddr) -> Option<Country> {
        let address = locates(address)?;
        self.current.load().as_ref()?.country(address)
    }

    /// When the database was built; `None` without one.
    pub fn built(&self) -> Option<Timestamp> {
        self.current.load().as_ref().map(|d| d.built())
    }

    /// Whole days since the database was built.
    pub fn age_days(&self, now: Timestamp) -> Option<i64> {
        let seconds = now.duration_since(self.built()?).as_secs();
        Some(seconds.max(0) / 86_400)
    }

    /// Whether the built-in table answers, of which the operator should be warned: it is old
    /// from the day of the release on.
    pub fn is_embedded(&self) -> bool {
        matches!(self.source, Source::Embedded)
    }

    /// Reads the file again if it changed. Blocks on the disk; costs one `stat` when length and
    /// time stand as they were.
    ///
    /// The file is read whole before it is judged, so a half-written one is refused by its
    /// structure, and the next call tries again.
    pub fn reload_if_changed(&self) -> Reload {
        let Source::File { path, field } = &self.source else {
            return Reload::Unchanged;
        };
        let mut last = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let unchanged = fs::metadata(path).is_ok_and(|m| {
            last.is_some_and(|l| l.length == m.len() && l.modified == m.modified().ok())
        });
        if unchanged {
            return Reload::Unchanged;
        }
        let (bytes, seen) = match read(path) {
            Ok(read) => read,
            Err(error) => {
                // Told once: a missing file stays missing until something comes.
                return match last.take() {
                    Some(_) => Reload::Kept(error),
                    None => Reload::Unchanged,
                };
            }
        };
        let same_content = last.is_some_and(|l| l.content == seen.content);
        *last = Some(seen);
        if same_content {
            return Reload::Unchanged;
        }
        match Database::parse(bytes, field.as_deref()) {
            Ok(database) => {
                let built = database.built();
                self.current.store(Some(Arc::new(database)));
                Reload::Swapped { built }
            }
            Err(error) => Reload::Kept(error),
        }
    }

    fn new(source: Source, database: Option<Database>, seen: Option<Seen>) -> Self {
        Self {
            source,
            current: ArcSwapOption::new(database.map(Arc::new)),
            seen: Mutex::new(seen),
        }
    }
}

impl std::fmt::Debug for Geo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Geo").field("built", &self.built()).finish()
    }
}

fn read(path: &Path) -> Result<(Vec<u8>, Seen), GeoError> {
    let unreadable = |error| GeoError::Unreadable {
        path: path.to_owned(),
        error,
    };
    // Metadata first: if the file changes in between, the next call sees another time.
    let metadata = fs::metadata(path).map_err(unreadable)?;
    let bytes = read_whole(path, MOST_DATABASE).map_err(|unread| unreadable(unread.into()))?;
    let seen = Seen {
        modified: metadata.modified().ok(),
        length: metadata.len(),
        content: *blake3::hash(&bytes).as_bytes(),
    };
    Ok((bytes, seen))
}
