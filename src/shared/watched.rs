//! Files that are used beside the settings and change by themselves: certificates, keys,
//! authorities, the admin token. Each is exchanged when its file changes, without a reload.

use std::sync::Arc;

use jiff::Timestamp;

use super::{ReadyRecipient, Snapshot};
use crate::{
    document::{Faults, Where},
    settings::{self, Places, RegionSettings, Secret, Settings},
    telemetry::Metrics,
    tls::{self, BackendSide, Change, Live, Material, Placed, ServerSide, Token, Validity},
};

/// What one snapshot uses. Where the settings stay as they are, the next snapshot uses the same.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    pub data_plane: Option<Arc<Live<ServerSide>>>,
    pub admin: Option<Arc<Live<ServerSide>>>,
    pub token: Option<Arc<Live<Token>>>,
    /// The collector of traces.
    pub otlp: Option<Arc<Live<BackendSide>>>,
    /// By the name of the region, or of the recipient's link.
    pub backends: Vec<(Arc<str>, Arc<Live<BackendSide>>)>,
}

/// Where each stands in the settings.
type Path = Vec<String>;

impl Watched {
    /// Reads the files that the settings name, but for those that `previous` has in use.
    pub fn read(
        settings: &Settings,
        recipients: &[Arc<ReadyRecipient>],
        previous: Option<&Self>,
        at: Timestamp,
        places: &Places,
        faults: &Faults,
    ) -> Self {
        let data_plane = settings.data_plane.tls.as_ref().and_then(|tls| {
            let old = previous.and_then(|p| p.data_plane.as_ref());
            begin(tls, old, at, &path(&["data_plane", "tls"]), places, faults)
        });
        let admin = settings.admin.tls.as_ref().and_then(|tls| {
            let old = previous.and_then(|p| p.admin.as_ref());
            begin(tls, old, at, &path(&["admin", "tls"]), places, faults)
        });
        let token = settings.admin.token_file.as_ref().and_then(|file| {
            let old = previous.and_then(|p| p.token.as_ref());
            begin(file, old, at, &path(&["admin"]), places, faults)
        });
        let otlp = settings.otlp.as_ref().and_then(|o| o.tls.as_ref());
        let otlp = otlp.and_then(|tls| {
            let old = previous.and_then(|p| p.otlp.as_ref());
            begin(tls, old, at, &path(&["otlp"]), places, faults)
        });
        let mut backends = Vec::new();
        for (link, place) in links(settings, recipients) {
            let Some(tls) = &link.tls else { continue };
            let mut known = previous.iter().flat_map(|p| &p.backends);
            let old = known.find(|(name, old)| *name == link.name && old.settings == *tls);
            let live = begin(tls, old.map(|(_, live)| live), at, &place, places, faults);
            backends.extend(live.map(|live| (Arc::clone(&link.name), live)));
        }
        let watched = Self {
            data_plane,
            admin,
            token,
            otlp,
            backends,
        };
        watched.tell_regions_apart(settings, places, faults);
        warn_of_open_keys(settings, recipients, places, faults);
        watched
    }

    /// Authorities of one key are one, whatever their files are called. Those whose files have one
    /// name are told with the settings.
    fn tell_regions_apart(&self, settings: &Settings, places: &Places, faults: &Faults) {
        let side = |region: &RegionSettings| {
            let mut known = self.backends.iter();
            let found = known.find(|(name, _)| *name == region.name);
            found.map(|(_, live)| (live.settings.ca_file.clone(), live.load()))
        };
        for (i, region) in settings.regions.iter().enumerate() {
            let Some((file, own)) = side(region) else {
                continue;
            };
            for other in settings.regions.iter().take(i) {
                let shared = side(other).is_some_and(|(other_file, theirs)| {
                    other_file != file && own.shares_authority(&theirs)
                });
                if shared {
                    let at = places.at(&["regions", &region.name]);
                    settings::tell_alike(region, other, &at, faults);
                }
            }
        }
    }

    /// The admin token in force: the file's present content, else what the settings gave.
    pub fn token(&self, settings: &Settings) -> Option<Secret> {
        match &self.token {
            Some(live) => Some(live.load().secret().clone()),
            None => settings.admin.token.clone(),
        }
    }

    /// Exchanges what has changed on disk. Blocks. `patient`: as [`Live::look`]. For one thread at a
    /// time: what a region's authorities are judged beside must not change meanwhile.
    pub fn look(&self, settings: &Settings, metrics: &Metrics, at: Timestamp, patient: bool) {
        if let Some(live) = &self.data_plane {
            tell(metrics, "data_plane.tls", live, live.look(at, patient));
        }
        if let Some(live) = &self.admin {
            tell(metrics, "admin.tls", live, live.look(at, patient));
        }
        if let Some(live) = &self.token {
            tell(metrics, "admin.token_file", live, live.look(at, patient));
        }
        if let Some(live) = &self.otlp {
            tell(metrics, "otlp.tls", live, live.look(at, patient));
        }
        for (name, live) in &self.backends {
            let stays_apart = |next: &BackendSide| self.stays_apart(name, next, settings);
            tell(metrics, name, live, live.look_if(at, patient, stays_apart));
        }
    }

    /// Whether the region could still be told from each other one if this were in use for it.
    fn stays_apart(
        &self,
        name: &str,
        next: &BackendSide,
        settings: &Settings,
    ) -> Result<(), Vec<Placed>> {
        let region = |name: &str| settings.regions.iter().find(|r| *r.name == *name);
        let Some(own) = region(name) else {
            return Ok(());
        };
        let others = self.backends.iter().filter(|(other, _)| **other != *name);
        let clash = others
            .filter_map(|(other, live)| Some((settings::alike(own, region(other)?)?, live)))
            .find(|(_, live)| next.shares_authority(&live.load()));
        clash.map_or(Ok(()), |(fault, _)| {
            let steps = vec!["ca_file".to_owned()];
            Err(vec![Placed { steps, fault }])
        })
    }

    /// What is in use although its files on disk are broken.
    pub fn behind(&self) -> Vec<String> {
        let listeners = [
            ("data_plane.tls", &self.data_plane),
            ("admin.tls", &self.admin),
        ];
        let mut behind: Vec<String> = listeners
            .into_iter()
            .filter(|(_, live)| live.as_ref().is_some_and(|live| live.is_behind()))
            .map(|(name, _)| name.to_owned())
            .collect();
        if self.token.as_ref().is_some_and(|live| live.is_behind()) {
            behind.push("admin.token_file".to_owned());
        }
        if self.otlp.as_ref().is_some_and(|live| live.is_behind()) {
            behind.push("otlp.tls".to_owned());
        }
        let backends = self.backends.iter().filter(|(_, live)| live.is_behind());
        behind.extend(backends.map(|(name, _)| name.to_string()));
        behind
    }

    /// What is wrong with the files that are not in use for it, each at its place in the settings.
    pub fn tell_faults(
        &self,
        settings: &Settings,
        recipients: &[Arc<ReadyRecipient>],
        places: &Places,
        faults: &Faults,
    ) {
        tell_faults(
            self.data_plane.as_ref(),
            &path(&["data_plane", "tls"]),
            places,
            faults,
        );
        tell_faults(
            self.admin.as_ref(),
            &path(&["admin", "tls"]),
            places,
            faults,
        );
        tell_faults(self.token.as_ref(), &path(&["admin"]), places, faults);
        tell_faults(self.otlp.as_ref(), &path(&["otlp"]), places, faults);
        for (link, place) in links(settings, recipients) {
            let mut known = self.backends.iter();
            let live = known.find(|(name, _)| *name == link.name);
            tell_faults(live.map(|(_, live)| live), &place, places, faults);
        }
    }

    /// Our own certificates and the authorities that we believe: the file of each, and how long it
    /// is valid.
    pub fn expiries(&self) -> Vec<(String, Validity)> {
        let listeners = self.data_plane.iter().chain(&self.admin);
        let backends = self.backends.iter().map(|(_, live)| live);
        let mut all: Vec<(String, Validity)> = listeners
            .flat_map(|live| live.load().expiries.clone())
            .chain(
                backends
                    .chain(&self.otlp)
                    .flat_map(|live| live.load().expiries.clone()),
            )
            .map(|(file, validity)| (file.display().to_string(), validity))
            .collect();
        all.sort();
        all.dedup();
        all
    }
}

impl Snapshot {
    /// Whether callers of the data plane are known by certificates, and must be.
    pub fn requires_certificates(&self) -> bool {
        let tls = self.settings.data_plane.tls.as_ref();
        tls.is_some_and(crate::settings::ListenerTls::requires_certificates)
    }
}

fn path(steps: &[&str]) -> Path {
    steps.iter().map(ToString::to_string).collect()
}

/// Regions and recipients with their places.
fn links<'s>(
    settings: &'s Settings,
    recipients: &'s [Arc<ReadyRecipient>],
) -> impl Iterator<Item = (&'s RegionSettings, Path)> {
    let regions = settings.regions.iter();
    let regions = regions.map(|r| (r, path(&["regions", &r.name])));
    let recipients = recipients.iter();
    regions.chain(recipients.map(|r| (&r.link, path(&["recipients", &r.name]))))
}

fn begin<M: Material>(
    settings: &M::Settings,
    old: Option<&Arc<Live<M>>>,
    at: Timestamp,
    place: &Path,
    places: &Places,
    faults: &Faults,
) -> Option<Arc<Live<M>>> {
    let known = old.filter(|old| old.settings == *settings).map(Arc::clone);
    let live = match known.map_or_else(|| Live::new(settings.clone(), at).map(Arc::new), Ok) {
        Ok(live) => live,
        Err(found) => {
            put(found, place, places, faults);
            return None;
        }
    };
    for Placed { steps, fault } in live.load().doubts() {
        let at = whole(place, steps, places);
        faults.warning(&at, fault.to_string(), None);
    }
    Some(live)
}

fn tell_faults<M: Material>(
    live: Option<&Arc<Live<M>>>,
    place: &Path,
    places: &Places,
    faults: &Faults,
) {
    let found = live.map(|live| live.faults());
    put(found.unwrap_or_default(), place, places, faults);
}

fn put(found: Vec<Placed>, place: &Path, places: &Places, faults: &Faults) {
    for Placed { steps, fault } in found {
        faults.error(&whole(place, &steps, places), fault.to_string());
    }
}

/// Where in the settings `steps` below `place` lead.
fn whole(place: &Path, steps: &[String], places: &Places) -> Where {
    let whole: Vec<&str> = place.iter().chain(steps).map(String::as_str).collect();
    places.at(&whole)
}

fn tell<M: Material>(metrics: &Metrics, what: &str, live: &Live<M>, change: Change) {
    let (doubts, faults) = match change {
        Change::Unchanged => return,
        Change::Swapped(doubts) => (Some(doubts), Vec::new()),
        Change::Kept(faults) => (None, faults),
        Change::Partly { doubts, faults } => (Some(doubts), faults),
    };
    if let Some(doubts) = doubts {
        metrics.tls_reloads.with_label_values(&["swapped"]).inc();
        tracing::info!(what, "files were exchanged");
        for Placed { fault, .. } in doubts {
            tracing::warn!(what, %fault, "what is in use now is doubtful");
        }
        let keys = M::keys(&live.settings).into_iter();
        for key in keys.filter(|key| tls::is_world_readable(key)) {
            tracing::warn!(what, "{}", open_key(key));
        }
    }
    if !faults.is_empty() {
        metrics.tls_reloads.with_label_values(&["refused"]).inc();
    }
    for Placed { fault, .. } in faults {
        tracing::error!(what, %fault, "the new files cannot be used, the old ones stay");
    }
}

fn open_key(file: &std::path::Path) -> String {
    format!("every user can read the private key `{}`", file.display())
}

/// A private key that every user of the machine can read is not private.
fn warn_of_open_keys(
    settings: &Settings,
    recipients: &[Arc<ReadyRecipient>],
    places: &Places,
    faults: &Faults,
) {
    let mut keys = Vec::new();
    let listeners = [
        ("data_plane", &settings.data_plane.tls),
        ("admin", &settings.admin.tls),
    ];
    for (section, tls) in listeners {
        for (i, pair) in tls.iter().flat_map(|t| &t.certificates).enumerate() {
            let steps = [section, "tls", "certificates", &i.to_string(), "key"];
            keys.push((path(&steps), &pair.key));
        }
    }
    for (link, mut place) in links(settings, recipients) {
        if let Some(pair) = link.tls.as_ref().and_then(|t| t.certificate.as_ref()) {
            place.extend(path(&["tls", "key"]));
            keys.push((place, &pair.key));
        }
    }
    let otlp = settings.otlp.as_ref().and_then(|o| o.tls.as_ref());
    if let Some(pair) = otlp.and_then(|t| t.certificate.as_ref()) {
        keys.push((path(&["otlp", "tls", "key"]), &pair.key));
    }
    for (place, file) in keys {
        if tls::is_world_readable(file) {
            let steps: Vec<&str> = place.iter().map(String::as_str).collect();
            let hint = Some("chmod o-r".to_owned());
            faults.warning(&places.at(&steps), open_key(file), hint);
        }
    }
}
