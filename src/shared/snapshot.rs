//! Settings, policy and instruments as one validated whole (ARCHITECTURE, invariant 5: one request, one
//! policy). A snapshot is built beside the one in force and swapped in, or not at all.

use std::{collections::HashSet, path::Path, sync::Arc};

use http::HeaderName;
use jiff::Timestamp;

use super::Watched;
use crate::{
    classify::{
        ValueSource,
        network::Geo,
        schema::{CompiledSchema, SchemaFault, Slot, covers},
        token::KeySet,
    },
    document::{Fault, Faults, Where, is_missing, suggest},
    domain::{CategoryId, Digest, Place, RecipientId, Region, RegionId, Regions, Transaction},
    message::Names,
    policy::{self, Checked, Compiled, EntityId},
    settings::{
        self, AccessLog, Format, Mode, Places, RegionSettings, Route, Schema, Settings, UnknownHome,
    },
    telemetry::Otlp,
};

/// Everything that one request is judged by.
pub struct Snapshot {
    /// Counts swaps, so that workers know when what they remember is stale.
    pub generation: u64,
    pub settings: Arc<Settings>,
    /// Of those settings that take part in decisions.
    pub settings_digest: Digest,
    pub checked: Arc<Checked>,
    pub policy: Compiled,
    pub regions: Regions,
    /// The operating entity of each region, in the order of [`Regions`].
    pub region_entities: Vec<EntityId>,
    pub location: Place,
    pub location_entity: EntityId,
    /// Those that the settings say how to reach, in the order of the settings.
    pub recipients: Vec<Arc<ReadyRecipient>>,
    pub routes: Vec<ReadyRoute>,
    /// Header names by which some route is steered or takes evidence; strangers cannot send them.
    pub steering: Vec<HeaderName>,
    /// Their spellings with `_` for `-`, but for those that no request can have.
    pub spellings: Names,
    /// One of them has a `_` as it is.
    pub underscored: bool,
    pub keys: Option<Arc<KeySet>>,
    pub geo: Arc<Geo>,
    /// Certificates, authorities and what else changes by itself.
    pub watched: Watched,
    /// In observe mode: where everything goes.
    pub observe_to: Option<RegionId>,
}

/// A route with what was compiled for it.
#[derive(Clone)]
pub struct ReadyRoute {
    pub settings: Arc<Route>,
    pub schema: CompiledSchema,
    /// For each evidence source of the route the slot of the schema that reads it.
    pub evidence_slots: Vec<Option<Slot>>,
    pub subject_slot: Option<Slot>,
    pub unknown_home: Option<RegionId>,
    /// Whether any source reads the verified token.
    pub reads_token: bool,
    /// The headers by which callers steer; `None` where they do it by anything else, too.
    pub steered_by: Option<Names>,
    /// Whom the route discloses to.
    pub recipient: Option<Arc<ReadyRecipient>>,
}

/// A recipient as settings and organisation together describe it.
#[derive(Debug)]
pub struct ReadyRecipient {
    pub id: RecipientId,
    pub name: Arc<str>,
    pub entity: EntityId,
    /// Where its servers stand.
    pub place: Place,
    pub headers: Vec<HeaderName>,
    pub transaction: Option<Transaction>,
    /// For the pools, called `recipient:NAME` there so that no region can have its name.
    pub link: RegionSettings,
}

/// A broken set of files: all mistakes, each with its place.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(Fault::summary).collect::<Vec<_>>().join("\n"))]
pub struct Broken(pub Vec<Fault>);

/// What [`Snapshot::build`] found beside the snapshot.
pub struct Built {
    pub snapshot: Snapshot,
    pub warnings: Vec<Fault>,
}

impl Snapshot {
    /// Whether both are of the same policy and settings, as far as these decide. Each may be compiled
    /// for another day.
    pub fn decides_as(&self, other: &Self) -> bool {
        self.checked.digest() == other.checked.digest()
            && self.settings_digest == other.settings_digest
    }

    /// Reads, checks and compiles everything for the instant `at`. Touches nothing that runs.
    ///
    /// # Errors
    /// Every mistake of settings and policies at once.
    pub fn build(config: &Path, at: Timestamp, previous: Option<&Self>) -> Result<Built, Broken> {
        let faults = Faults::new();
        let snapshot = Self::read(config, at, previous, &faults);
        let all = faults.into_sorted();
        match snapshot {
            Some(snapshot) if all.iter().all(|f| !f.is_error()) => Ok(Built {
                snapshot,
                warnings: all,
            }),
            _ => Err(Broken(all)),
        }
    }

    fn read(
        config: &Path,
        at: Timestamp,
        previous: Option<&Self>,
        faults: &Faults,
    ) -> Option<Self> {
        let (settings, places) = settings::read_placed(config, settings::environment(), faults)?;
        if settings.policies.is_dir() && is_missing(&settings.organisation) {
            faults.error_hint(
                &Where::Path(settings.organisation.display().to_string()),
                "there is no organisation file",
                "write one (docs/policy-files.md, policies/examples), or name one with \
                 `organisation` in the settings",
            );
            return None;
        }
        // The policy's faults are told even where the settings have some of their own.
        let checked = policy::load(&settings.policies, &settings.organisation, faults)?;
        let entity = |id: &str, path: &[&str]| {
            let found = checked.entity(id);
            if found.is_none() {
                faults.error_hint(
                    &places.at(path),
                    format!("`{id}` is no entity of the organisation file"),
                    format!("add [entities.{id}] to {}", settings.organisation.display()),
                );
            }
            found
        };
        let location_entity = entity(&settings.location.entity, &["location", "entity"]);
        let regions = Regions::new(
            settings
                .regions
                .iter()
                .map(|r| Region {
                    name: Arc::clone(&r.name),
                    place: r.place,
                    entity: Arc::clone(&r.entity),
                })
                .collect(),
        )
        .read_by(Arc::clone(&settings.location.entity));
        let region_entities: Vec<Option<EntityId>> = regions
            .iter()
            .map(|(_, r)| entity(&r.entity, &["regions", &r.name, "entity"]))
            .collect();
        let checked = Arc::new(checked.bind(&regions, faults));
        checked.warnings(at.to_zoned(jiff::tz::TimeZone::UTC).date(), faults);
        let recipients = ready_recipients(&settings, &places, &checked, faults);
        let routes = ready_routes(&settings, &places, &checked, &regions, &recipients, faults);
        let keys = read_keys(&settings, &places, faults);
        let geo = read_geo(&settings, previous, &places, faults)?;
        let before = previous.map(|p| &p.watched);
        let watched = Watched::read(&settings, &recipients, before, at, &places, faults);
        if settings.otlp.is_some() && !Otlp::IS_BUILT {
            faults.error_hint(
                &places.at(&["otlp"]),
                "this program was built without traces",
                "remove [otlp], or build with `cargo build --release --features otlp` \
                 (docs/traces.md)",
            );
        }
        look_at_paths(&settings, &places, faults);
        let observe_to = match &settings.mode {
            Mode::Enforce => None,
            Mode::Observe { to } => regions.id(to),
        };
        let policy = checked.compile(at);
        let token_keys = keys.as_ref().map(|keys| keys.public_keys());
        let steering = steering_names(&settings.routes);
        let settings_digest = settings::digest(&settings, &token_keys.unwrap_or_default());
        Some(Self {
            generation: previous.map_or(0, |p| p.generation + 1),
            location: settings.location.place,
            location_entity: location_entity?,
            region_entities: region_entities.into_iter().collect::<Option<_>>()?,
            spellings: spellings(&steering),
            underscored: steering.iter().any(|name| name.as_str().contains('_')),
            steering,
            settings: Arc::new(settings),
            settings_digest,
            checked,
            policy,
            regions,
            recipients,
            routes,
            keys,
            geo,
            watched,
            observe_to,
        })
    }

    /// Everything that is called: the regions, then the recipients.
    pub fn links(&self) -> Vec<RegionSettings> {
        let recipients = self.recipients.iter().map(|r| r.link.clone());
        let regions = self.settings.regions.iter().cloned();
        regions.chain(recipients).collect()
    }

    pub fn region_entity(&self, region: RegionId) -> Option<EntityId> {
        self.region_entities.get(usize::from(region.0)).copied()
    }
}

/// What stands in the way of files that the router writes.
fn look_at_paths(settings: &Settings, places: &Places, faults: &Faults) {
    if settings.ledger.exists() && !settings.ledger.is_dir() {
        let message = format!("{} is no folder", settings.ledger.display());
        let hint = "the ledger is a folder, which the router makes by itself";
        faults.error_hint(&places.at(&["ledger", "path"]), message, hint);
    }
    let Some(AccessLog::File(path)) = &settings.access_log else {
        return;
    };
    let at = places.at(&["access_log", "path"]);
    if path.is_dir() {
        let message = format!("{} is a folder", path.display());
        faults.error_hint(&at, message, "name the file in it");
    }
    // Of a name alone the parent is "".
    let folder = path.parent().filter(|f| !f.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|f| !f.is_dir()) {
        faults.warning(
            &at,
            format!("there is no folder {} on this machine", folder.display()),
            Some("the router does not start before it is there, and can be written".to_owned()),
        );
    }
}

fn ready_recipients(
    settings: &Settings,
    places: &Places,
    checked: &Checked,
    faults: &Faults,
) -> Vec<Arc<ReadyRecipient>> {
    let mut ready = Vec::new();
    for reached in &settings.recipients {
        let id = checked.recipient(&reached.id);
        let Some((id, info)) = id.and_then(|id| Some((id, checked.recipient_info(id)?))) else {
            faults.error_hint(
                &places.at(&["recipients", &reached.id]),
                format!("`{}` is no recipient of the organisation file", reached.id),
                format!(
                    "add [[recipients]] with id = \"{}\" to {}",
                    reached.id,
                    settings.organisation.display()
                ),
            );
            continue;
        };
        let entity = checked.entity_info(info.entity);
        let Some(entity) = entity else { continue };
        let place = reached.place.unwrap_or(entity.place);
        ready.push(Arc::new(ReadyRecipient {
            id,
            name: Arc::clone(&reached.id),
            entity: info.entity,
            place,
            headers: reached.headers.clone(),
            transaction: reached.transaction,
            link: RegionSettings {
                name: format!("recipient:{}", reached.id).into(),
                place,
                entity: Arc::clone(&entity.id),
                endpoints: reached.endpoints.clone(),
                tls: reached.tls.clone(),
                http: reached.http,
                concurrent_requests: None,
                queue_wait: None,
                health: None,
            },
        }));
    }
    ready
}

fn ready_routes(
    settings: &Settings,
    places: &Places,
    checked: &Checked,
    regions: &Regions,
    recipients: &[Arc<ReadyRecipient>],
    faults: &Faults,
) -> Vec<ReadyRoute> {
    let resolve = |key: &str| checked.category(key);
    let mut told = HashSet::new();
    let mut ready = Vec::new();
    for (number, route) in settings.routes.iter().enumerate() {
        let at = places.at(&["routes", &number.to_string()]);
        let mut pointers: Vec<&str> = Vec::new();
        let mut slot = |source: &ValueSource| match source {
            ValueSource::Body(pointer) => {
                // Leaked to nothing: the settings outlive this loop.
                let known = settings_pointer(settings, number, pointer)?;
                let slot = Slot::try_from(pointers.len()).ok()?;
                pointers.push(known);
                Some(slot)
            }
            _ => None,
        };
        let evidence_slots: Vec<Option<Slot>> = route.country.iter().map(&mut slot).collect();
        let subject_slot = route.subject.as_ref().and_then(&mut slot);
        let schema = route
            .schema
            .as_ref()
            .and_then(|name| settings.schemas.get(name));
        let compiled = compile_schema(route, schema, &pointers, &resolve);
        match compiled {
            Ok(schema) => ready.push(ReadyRoute {
                settings: Arc::new(route.clone()),
                schema,
                evidence_slots,
                subject_slot,
                unknown_home: match &route.unknown_home {
                    UnknownHome::Refuse => None,
                    UnknownHome::Region(name) => regions.id(name),
                },
                recipient: route.recipient.as_ref().and_then(|name| {
                    let found = recipients.iter().find(|r| r.name == *name);
                    found.cloned()
                }),
                reads_token: sources(route).any(|s| matches!(s, ValueSource::Jwt(_))),
                steered_by: steering_headers(route),
            }),
            Err(found) => {
                for fault in found {
                    let at = place_of(&fault, places, route, number).unwrap_or_else(|| at.clone());
                    if told.insert((at.to_string(), fault.to_string())) {
                        match category_hint(&fault, checked) {
                            Some(hint) => faults.error_hint(&at, fault.to_string(), hint),
                            None => faults.error(&at, fault.to_string()),
                        }
                    }
                }
            }
        }
        if let Some(schema) = schema {
            unlisted_evidence(route, schema, number, places, faults);
        }
        if let Some(purpose) = &route.purpose
            && let Some(hint) = checked.purpose_hint(purpose)
        {
            let at = places.at(&["routes", &number.to_string(), "purpose"]);
            let message = format!("no file of the policy names the purpose `{purpose}`");
            faults.warning(&at, message, Some(hint));
        }
        if route.format == Format::Opaque && route.schema.is_some() {
            faults.warning(
                &at,
                "an opaque route does not read bodies, so its schema only names categories",
                None,
            );
        }
    }
    ready
}

/// Whether `a.b` in its records is `b` in `a`, too: to Elasticsearch, and to some readers of forms, to
/// whom what is said once is a list of one besides.
pub fn is_dotted(route: &Route) -> bool {
    matches!(route.format, Format::Bulk | Format::Form)
}

/// How the bodies of `route` are read: by `schema`, in which each of `pointers` gets its slot.
///
/// # Errors
/// What of the schema and the route's categories does not hold.
pub fn compile_schema(
    route: &Route,
    schema: Option<&Schema>,
    pointers: &[&str],
    resolve: &dyn Fn(&str) -> Option<CategoryId>,
) -> Result<CompiledSchema, Vec<SchemaFault>> {
    let compile = match is_dotted(route) {
        true => CompiledSchema::compile_dotted,
        false => CompiledSchema::compile,
    };
    let compiled = compile(schema, &route.categories, pointers, resolve)?;
    Ok(match route.discover {
        true => compiled.discovering(resolve),
        false => compiled,
    })
}

/// Evidence from a field that the schema does not list is mostly a slip of the pen, and weaker evidence
/// would decide in its place without a word.
fn unlisted_evidence(
    route: &Route,
    schema: &Schema,
    number: usize,
    places: &Places,
    faults: &Faults,
) {
    let number = number.to_string();
    let countries = route.country.iter().enumerate();
    let countries = countries.map(|(i, source)| ("country", Some(i.to_string()), source));
    let subject = route.subject.iter().map(|source| ("subject", None, source));
    let born = route.born.iter().map(|source| ("born", None, source));
    let plain = |pointer: &str| match is_dotted(route) {
        true => pointer.replace('.', "/"),
        false => pointer.to_owned(),
    };
    for (key, index, source) in countries.chain(subject).chain(born) {
        let ValueSource::Body(pointer) = source else {
            continue;
        };
        let mut fields = schema.fields.keys();
        if fields.any(|field| covers(&plain(field), &plain(pointer))) {
            continue;
        }
        let mut path = vec!["routes", &number, key];
        path.extend(index.as_deref());
        let at = places.at(&path);
        let message = format!("the schema does not list `{pointer}`, which `{key}` is read from");
        let hint = suggest(pointer, schema.fields.keys().map(String::as_str));
        match schema.strict {
            true => faults.error_hint(
                &at,
                format!("{message}; it is strict, so each record with that field is refused"),
                hint.unwrap_or_else(|| "add the field to the schema".to_owned()),
            ),
            false => {
                let hint = hint.unwrap_or_else(|| "add the field to the schema".to_owned());
                faults.warning(&at, message, Some(hint));
            }
        }
    }
}

fn steering_headers(route: &Route) -> Option<Names> {
    let mut names = Names::default();
    for source in route.steering.sources() {
        match source {
            ValueSource::Header(name) => names.insert(name),
            _ => return None,
        }
    }
    Some(names)
}

/// The pointer as the settings hold it, so that it lives as long as they do.
fn settings_pointer<'s>(settings: &'s Settings, route: usize, wanted: &str) -> Option<&'s str> {
    sources(settings.routes.get(route)?).find_map(|source| match source {
        ValueSource::Body(pointer) if pointer == wanted => Some(pointer.as_str()),
        _ => None,
    })
}

fn sources(route: &Route) -> impl Iterator<Item = &ValueSource> {
    route
        .country
        .iter()
        .chain(&route.subject)
        .chain(&route.born)
}

fn category_hint(fault: &SchemaFault, checked: &Checked) -> Option<String> {
    let SchemaFault::UnknownCategory { category, .. } = fault else {
        return None;
    };
    let known = checked.categories_all().map(|(_, key)| key);
    Some(suggest(category, known).unwrap_or_else(|| {
        "the categories stand in vocabulary.toml; `user` covers every kind of personal data"
            .to_owned()
    }))
}

fn place_of(fault: &SchemaFault, places: &Places, route: &Route, number: usize) -> Option<Where> {
    let SchemaFault::UnknownCategory { field, category } = fault else {
        return None;
    };
    match (field, &route.schema) {
        (Some(field), Some(schema)) => Some(places.at(&["schemas", schema, "fields", field])),
        _ => {
            let index = route.categories.iter().position(|c| c == category)?;
            Some(places.at(&[
                "routes",
                &number.to_string(),
                "categories",
                &index.to_string(),
            ]))
        }
    }
}

/// Every header that steers some route or is evidence in it.
fn steering_names(routes: &[Route]) -> Vec<HeaderName> {
    let mut names: Vec<HeaderName> = routes
        .iter()
        .flat_map(|r| sources(r).chain(r.steering.sources()))
        .filter_map(|source| match source {
            ValueSource::Header(name) => Some(name.clone()),
            _ => None,
        })
        .collect();
    names.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    names.dedup();
    names
}

fn spellings(names: &[HeaderName]) -> Names {
    let mut spellings = Names::default();
    // `Domicile_…` is refused wherever it stands.
    let others = names
        .iter()
        .filter(|n| !n.as_str().starts_with("domicile-"));
    others.for_each(|name| spellings.insert_spellings(name.as_str()));
    spellings
}

fn read_keys(settings: &Settings, places: &Places, faults: &Faults) -> Option<Arc<KeySet>> {
    let jwt = settings.jwt.as_ref()?;
    match KeySet::load(jwt) {
        Ok(keys) => Some(Arc::new(keys)),
        Err(error) => {
            faults.error(&places.at(&["jwt", "keys"]), error.to_string());
            None
        }
    }
}

/// The database in use is kept when the setting stays: it has its own reload.
fn read_geo(
    settings: &Settings,
    previous: Option<&Snapshot>,
    places: &Places,
    faults: &Faults,
) -> Option<Arc<Geo>> {
    if let Some(previous) = previous
        && previous.settings.geoip == settings.geoip
    {
        return Some(Arc::clone(&previous.geo));
    }
    match Geo::from_settings(&settings.geoip) {
        Ok(geo) => Some(Arc::new(geo)),
        Err(error) => {
            faults.error(&places.at(&["geoip", "database"]), error.to_string());
            None
        }
    }
}
