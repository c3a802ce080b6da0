use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue, Method, Uri, uri::PathAndQuery};
use ipnet::IpNet;

use crate::{
    classify::ValueSource,
    domain::{Circumstances, Country, Place, Role, Transaction},
    tls::Identity,
};

/// Everything one router is told. Relative paths are resolved against the settings file's folder.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub location: Location,
    /// Folder of `law/`, `vocabulary.toml` and, by default, `organisation.toml`.
    pub policies: PathBuf,
    pub organisation: PathBuf,
    pub mode: Mode,
    /// The `blocked-by` of a 451 (RFC 7725 §4).
    pub operator_uri: Option<String>,
    pub data_plane: DataPlane,
    pub admin: Admin,
    pub probes: Option<SocketAddr>,
    pub geoip: Geoip,
    pub jwt: Option<Jwt>,
    pub ledger: PathBuf,
    pub directory: Directory,
    pub limits: Limits,
    pub regions: Vec<RegionSettings>,
    pub recipients: Vec<RecipientSettings>,
    pub schemas: BTreeMap<String, Schema>,
    pub routes: Vec<Route>,
    /// Which files of settings and policy are loaded again when they change.
    pub watch: Watch,
    pub log: Log,
    /// `None`: no access log.
    pub access_log: Option<AccessLog>,
    /// `None`: no traces.
    pub otlp: Option<Otlp>,
}

/// Where this router and its callers run.
#[derive(Clone, Debug, PartialEq)]
pub struct Location {
    pub place: Place,
    pub entity: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    Enforce,
    /// Decide and log, send everything to this region, where it goes today.
    Observe {
        to: String,
    },
}

/// Which files of settings and policy are loaded again by themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Watch {
    /// Those that Kubernetes mounts: they are exchanged as a whole, so what lies there is meant.
    /// Elsewhere somebody may be in the middle of editing.
    #[default]
    Volumes,
    Always,
    Never,
}

#[derive(Clone, Debug, PartialEq)]
pub struct DataPlane {
    pub listen: SocketAddr,
    /// Callers whose steering headers count.
    pub trusted: Vec<IpNet>,
    /// The same by what stands in a caller's certificate.
    pub trusted_names: Vec<Identity>,
    /// Networks whose `Forwarded` / `X-Forwarded-For` count.
    pub proxies: Vec<IpNet>,
    /// Worker threads, each with its own runtime; default: one per core.
    pub workers: usize,
    /// Open connections over all workers.
    pub connections: usize,
    /// Requests at work at one time in one worker.
    pub concurrent_requests: usize,
    /// How long a busy worker lets events gather before it looks for them.
    pub coalesce: Duration,
    /// How long a stopping router waits for requests at work.
    pub drain: Duration,
    /// How long it goes on as before after it was told to stop, but for `/readyz`.
    pub drain_delay: Duration,
    pub tls: Option<ListenerTls>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Admin {
    pub listen: SocketAddr,
    /// Bearer token; must be there, or client certificates be required, when `listen` is not a
    /// loopback address.
    pub token: Option<Secret>,
    /// The file that the token was read from, and is read from again when it changes.
    pub token_file: Option<PathBuf>,
    pub tls: Option<ListenerTls>,
}

/// PEM files: a certificate with those that sign it, leaf first, and its private key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    pub chain: PathBuf,
    pub key: PathBuf,
}

/// TLS of one listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerTls {
    /// At least one; the first serves callers that ask for no name of ours.
    pub certificates: Vec<CertificateFiles>,
    /// The authorities of callers' certificates; `None`: callers are not asked for one.
    pub client_ca: Option<PathBuf>,
    /// Counts only with `client_ca`.
    pub client_certificates: ClientCertificates,
    /// Whether HTTP/2 is offered.
    pub speaks_h2: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientCertificates {
    Optional,
    #[default]
    Required,
}

/// TLS to the servers of a region or recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendTls {
    /// The authorities that sign the servers' certificates, and no others.
    pub ca_file: PathBuf,
    /// Any one of these must be in the server's certificate; empty: the host of the endpoint.
    pub identity: Vec<Identity>,
    /// Ours, for servers that ask for one.
    pub certificate: Option<CertificateFiles>,
    /// Whether a session may be resumed, without a server's showing its certificate again.
    pub resume: bool,
    pub http: HttpVersion,
}

/// Which HTTP a backend is spoken to in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HttpVersion {
    #[default]
    One,
    /// By prior knowledge on `http://`, by ALPN on `https://`.
    Two,
}

impl ListenerTls {
    /// Whether nobody gets in without a certificate.
    pub fn requires_certificates(&self) -> bool {
        self.client_ca.is_some() && self.client_certificates == ClientCertificates::Required
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Geoip {
    /// The public-domain country table built into the program.
    Embedded,
    File {
        database: PathBuf,
        /// Dotted path of the country code in a record; `None`: try the known vendors' paths.
        field: Option<String>,
    },
    /// No GeoIP at all: `network` is never evidence.
    Off,
}

/// How tokens of callers are verified (RFC 7519). At least one algorithm.
#[derive(Clone, Debug, PartialEq)]
pub struct Jwt {
    /// JWKS file (RFC 7517).
    pub keys: PathBuf,
    pub algorithms: Vec<JwtAlgorithm>,
    pub issuer: Vec<String>,
    pub audience: Vec<String>,
    /// Allowed clock difference for `exp` and `nbf`.
    pub leeway: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JwtAlgorithm {
    Rs256,
    Es256,
    EdDsa,
    Hs256,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Directory {
    pub path: PathBuf,
    /// The subject-key secret, if given by file or environment; else it is created in `path`.
    pub secret: Option<Secret>,
}

/// Never printed: `Debug` shows no byte of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<[u8]>);

impl Secret {
    pub fn new(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self(bytes.into())
    }

    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    pub header_bytes: usize,
    pub record_bytes: usize,
    pub batch_bytes: usize,
    pub batch_items: usize,
    /// The whole head, from the connection's or the request's first byte.
    pub header_read: Duration,
    /// No progress in a body or its trailers.
    pub body_stall: Duration,
    pub connect: Duration,
    /// To the backend's first byte.
    pub response: Duration,
    pub idle: Duration,
    /// Bytes of callers' bodies, and of the tables of their items, held at one time by all
    /// workers; `None`: a third of the memory that the process may use, where that can be told.
    pub memory: Option<usize>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_bytes: 64 << 10,
            record_bytes: 1 << 20,
            batch_bytes: 64 << 20,
            batch_items: 100_000,
            header_read: Duration::from_secs(10),
            body_stall: Duration::from_secs(30),
            connect: Duration::from_secs(3),
            response: Duration::from_secs(30),
            idle: Duration::from_secs(75),
            memory: None,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct RegionSettings {
    pub name: Arc<str>,
    pub place: Place,
    pub entity: Arc<str>,
    /// `http://host:port` or `https://host:port` with an optional path prefix; at least one.
    pub endpoints: Vec<Uri>,
    /// There if an endpoint is `https`.
    pub tls: Option<BackendTls>,
    pub http: HttpVersion,
    /// Requests at work in it at one time in one worker; `None`: half of the worker's.
    pub concurrent_requests: Option<usize>,
    /// Longest wait for a place; `None`: as long as for a connection.
    pub queue_wait: Option<Duration>,
    /// `None`: what happens to requests is all that is known of its servers.
    pub health: Option<HealthCheck>,
}

/// How a region's servers are asked for their health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// Below the endpoint's prefix; a 2xx is health.
    pub path: PathAndQuery,
    /// From the end of one check to the next.
    pub interval: Duration,
    /// For the whole of a check, from the name to the status.
    pub timeout: Duration,
    /// Good checks in a row that bring an endpoint back.
    pub healthy: u32,
    /// Bad checks in a row that put one aside.
    pub unhealthy: u32,
}

/// How a recipient outside the regions is reached. Who it is and what it may be sent stands in
/// the organisation file under the same id.
#[derive(Clone, Debug, PartialEq)]
pub struct RecipientSettings {
    pub id: Arc<str>,
    /// Where its servers stand; `None`: where its entity is established.
    pub place: Option<Place>,
    /// As a region's.
    pub endpoints: Vec<Uri>,
    pub tls: Option<BackendTls>,
    pub http: HttpVersion,
    /// Fields of the caller's request that go on to it. All others stay behind: a cookie or an
    /// address is personal data that no list of categories would see.
    pub headers: Vec<HeaderName>,
    /// What its flows count as (28 CFR 202), where neither route nor caller says it.
    pub transaction: Option<Transaction>,
}

/// JSON pointers to category keys; `*` stands for every element of an array.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Schema {
    pub fields: BTreeMap<String, String>,
    /// A field that is not listed is refused with 422.
    pub strict: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// How the route is called in logs, metrics and the ledger: its path template, or `name`.
    pub name: Arc<str>,
    pub host: Option<String>,
    pub path: PathTemplate,
    /// Empty: all. GET brings HEAD.
    pub methods: Vec<Method>,
    /// Only requests with this media type; two routes may differ in this alone.
    pub content_type: Option<String>,
    pub format: Format,
    pub namespace: Arc<str>,
    pub subject: Option<ValueSource>,
    /// Evidence of the person's country, strongest first.
    pub country: Vec<ValueSource>,
    /// Where a token or a trusted caller says when the person was born.
    pub born: Option<ValueSource>,
    pub steering: Steering,
    pub schema: Option<String>,
    /// Category keys of the route as a whole, where no schema reads the body.
    pub categories: Vec<String>,
    /// Every field is looked into for personal data that nobody has listed.
    pub discover: bool,
    pub conflict: Conflict,
    pub pin: PinMode,
    pub unknown_home: UnknownHome,
    pub upstream: UpstreamShape,
    pub atomic: bool,
    pub answers: Answers,
    pub erase: Erase,
    pub role: Option<Role>,
    pub purpose: Option<String>,
    /// What the route says of all its flows; a trusted caller's word goes before.
    pub circumstances: Circumstances,
    /// Makes it a route that discloses to this recipient: an id under [`Settings::recipients`].
    pub recipient: Option<Arc<str>>,
    /// Of a route of format `bulk`, and of no other.
    pub bulk: Option<Arc<BulkRoute>>,
}

/// Which items of a bulk request are a route's, and what they may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BulkRoute {
    /// Names of indices, or the start of names and a `*`; never empty.
    pub indices: Vec<Arc<str>>,
    /// Ingest pipelines that items may name: they leave whose record it is and what it holds.
    pub pipelines: Vec<Arc<str>>,
}

/// Literal segments and `{names}`; `{name...}` as the last segment takes the rest of the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathTemplate {
    pub text: String,
    pub segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    Literal(String),
    Name(String),
    Rest(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Record,
    Array,
    Ndjson,
    Opaque,
    /// Elasticsearch's and OpenSearch's `_bulk`.
    Bulk,
    /// One record as HTML forms send it (`application/x-www-form-urlencoded`).
    Form,
}

/// The media type of forms (WHATWG URL §5).
pub const FORM: &str = "application/x-www-form-urlencoded";

/// Where a trusted caller's wishes are read from; the defaults are the `Domicile-` headers.
#[derive(Clone, Debug, PartialEq)]
pub struct Steering {
    pub country: ValueSource,
    pub subject: ValueSource,
    pub target: ValueSource,
    pub operation: ValueSource,
    pub purpose: ValueSource,
    pub ground: ValueSource,
    /// The order of an authority or a court that a disclosure obeys.
    pub order: ValueSource,
    pub subject_kind: ValueSource,
    pub basis: ValueSource,
    pub transaction: ValueSource,
    pub special_ground: ValueSource,
}

impl Steering {
    pub fn sources(&self) -> [&ValueSource; 11] {
        // Named in full: a new one will not compile until it stands here too.
        let Self {
            country,
            subject,
            target,
            operation,
            purpose,
            ground,
            order,
            subject_kind,
            basis,
            transaction,
            special_ground,
        } = self;
        [
            country,
            subject,
            target,
            operation,
            purpose,
            ground,
            order,
            subject_kind,
            basis,
            transaction,
            special_ground,
        ]
    }
}

impl Default for Steering {
    fn default() -> Self {
        let header = |name| ValueSource::Header(HeaderName::from_static(name));
        Self {
            country: header("domicile-country"),
            subject: header("domicile-subject"),
            target: header("domicile-target"),
            operation: header("domicile-operation"),
            purpose: header("domicile-purpose"),
            ground: header("domicile-ground"),
            order: header("domicile-order"),
            subject_kind: header("domicile-subject-kind"),
            basis: header("domicile-basis"),
            transaction: header("domicile-transaction"),
            special_ground: header("domicile-special-ground"),
        }
    }
}

/// What disagreeing evidence does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Conflict {
    /// The strongest gives the home, and every law of declared strength or better must permit.
    #[default]
    All,
    First,
    Refuse,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PinMode {
    #[default]
    Always,
    /// Only when the evidence is weaker than declared.
    Weak,
    Never,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum UnknownHome {
    #[default]
    Refuse,
    Region(String),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum UpstreamShape {
    /// One sub-batch to each region, as the caller sent it.
    #[default]
    Batch,
    /// One request for each record.
    Each { method: Method, path: PathTemplate },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Answers {
    /// Bodies flow back where the read is permitted.
    #[default]
    Full,
    StatusOnly,
}

/// What a DELETE asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Erase {
    /// That the record goes; its subject stays known.
    #[default]
    Record,
    /// That the account ends: with the last copy, its subject's pin goes too.
    Subject,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Log {
    pub json: bool,
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter in `tracing` syntax.
    pub level: Option<String>,
}

/// Where a line for each request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessLog {
    Stdout,
    File(PathBuf),
}

/// Where traces go, over OTLP/HTTP.
#[derive(Clone, Debug, PartialEq)]
pub struct Otlp {
    /// Whole, with its path.
    pub endpoint: Uri,
    /// There if the endpoint is `https`.
    pub tls: Option<BackendTls>,
    /// Fields of each request to the collector; their values are marked as sensitive.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Share of the traces that begin here and are told, from 0 to 1.
    pub sample: f64,
    /// `service.name`.
    pub service: Arc<str>,
    /// For one request to the collector as a whole.
    pub timeout: Duration,
}

impl Location {
    /// The country; `None` only for an international organisation, which the reader refuses.
    pub fn country(&self) -> Option<Country> {
        self.place.country()
    }
}
