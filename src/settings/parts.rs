//! The sections of the file that stand once, each by itself.

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use tracing_subscriber::EnvFilter;

use super::{
    AccessLog, Admin, DataPlane, Directory, Geoip, Jwt, JwtAlgorithm, Limits, ListenerTls, Log,
    Watch,
    secrets::{self, Secrets},
    tls, values,
};
use crate::document::{Faults, Fields, Node, Where, suggest};

const MILLISECOND: Duration = Duration::from_millis(1);
/// With the system's own slack as long again: of the order of what a busy worker does between two
/// looks at its sockets. Measured in `docs/performance.md`.
const COALESCE: Duration = Duration::from_micros(50);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// `ip:port` under `key`, or the default.
fn listen(fields: &Fields<'_>, default: SocketAddr) -> SocketAddr {
    fields
        .maybe("listen")
        .and_then(|node| values::address(node, fields.faults()))
        .unwrap_or(default)
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::from([127, 0, 0, 1]), port)
}

fn number(fields: &Fields<'_>, key: &'static str, most: i64, default: usize) -> usize {
    fields
        .maybe(key)
        .and_then(|node| node.integer_in(1..=most, fields.faults()))
        .and_then(|n| usize::try_from(n).ok())
        .unwrap_or(default)
}

pub(super) fn data_plane(fields: Fields<'_>, folder: &Path) -> DataPlane {
    let faults = fields.faults();
    let trusted = fields.maybe("trusted");
    let (networks, names) = trusted
        .map(|n| values::trusted(n, faults))
        .unwrap_or_default();
    let proxies = fields.maybe("proxies");
    let tls = fields.maybe("tls");
    let read = DataPlane {
        listen: listen(&fields, loopback(8080)),
        trusted: networks,
        trusted_names: names,
        proxies: proxies
            .map(|n| values::networks(n, faults))
            .unwrap_or_default(),
        tls: tls.and_then(|n| tls::listener(n, folder, true, faults)),
        workers: number(&fields, "workers", 1024, cores()),
        connections: number(&fields, "connections", 10_000_000, 16_384),
        concurrent_requests: number(&fields, "concurrent_requests", 1_000_000, 1024),
        coalesce: fields
            .maybe("coalesce")
            .and_then(|n| values::duration(n, Duration::ZERO, MILLISECOND, faults))
            .unwrap_or(COALESCE),
        drain: fields
            .maybe("drain")
            .and_then(|n| values::duration(n, Duration::ZERO, HOUR, faults))
            .unwrap_or(Duration::from_secs(25)),
        drain_delay: fields
            .maybe("drain_delay")
            .and_then(|n| values::duration(n, Duration::ZERO, HOUR, faults))
            .unwrap_or_default(),
    };
    if let Some(node) = trusted
        && read.trusted.iter().any(|n| n.prefix_len() == 0)
    {
        let hint = "name the networks of your own callers".to_owned();
        let message = "everybody's steering headers count";
        faults.warning(&node.at, message, Some(hint));
    }
    if let Some(node) = proxies
        && read.proxies.iter().any(|n| n.prefix_len() == 0)
    {
        let hint = "name the networks of your own proxies".to_owned();
        let message = "everybody can say from which address a call came";
        faults.warning(&node.at, message, Some(hint));
    }
    let asks = read.tls.as_ref().is_some_and(|t| t.client_ca.is_some());
    if let (Some(node), Some(name), false) = (trusted, read.trusted_names.first(), asks)
        && (tls.is_none() || read.tls.is_some())
    {
        let message = format!("`{name}` is trusted, but callers are not asked for certificates");
        let hint = "name the authorities of callers in [data_plane.tls] client_ca";
        faults.error_hint(&node.at, message, hint);
    }
    fields.finish();
    read
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

pub(super) fn admin(fields: Fields<'_>, folder: &Path, secrets: &Secrets) -> Admin {
    let faults = fields.faults();
    let given = secrets.read(&fields, ("admin.token", "token", "token_file"), folder);
    let read = Admin {
        listen: listen(&fields, loopback(9090)),
        token: given
            .as_ref()
            .and_then(|(at, secret)| secrets::token(at, secret, faults)),
        token_file: token_file(&fields, folder, secrets),
        tls: fields
            .maybe("tls")
            .and_then(|n| tls::listener(n, folder, false, faults)),
    };
    // A token that is there and cannot be read has its own fault already.
    let tried = given.is_some()
        || fields.maybe("token_file").is_some()
        || read
            .tls
            .as_ref()
            .is_some_and(ListenerTls::requires_certificates);
    if !read.listen.ip().is_loopback() && !tried {
        let at = fields.maybe("listen").map_or(fields.at, |node| &node.at);
        let hint = "give `token_file`, DOMICILE__ADMIN__TOKEN or [admin.tls] client_ca, or \
                    listen on 127.0.0.1";
        faults.error_hint(at, "off loopback the admin listener needs a token", hint);
    }
    fields.finish();
    read
}

/// The file that gives the token, unless the environment does.
fn token_file(fields: &Fields<'_>, folder: &Path, secrets: &Secrets) -> Option<PathBuf> {
    if secrets.has("admin.token") {
        return None;
    }
    // What is wrong with it was told when it was read.
    let told = Faults::new();
    let text = fields.maybe("token_file")?.text(&told)?;
    Some(folder.join(text))
}

pub(super) fn probes(fields: Fields<'_>) -> Option<SocketAddr> {
    let faults = fields.faults();
    let listen = fields.need("listen");
    let listen = listen.and_then(|node| values::address(node, faults));
    fields.finish();
    listen
}

pub(super) fn geoip(fields: Fields<'_>, folder: &Path) -> Geoip {
    let faults = fields.faults();
    let field = fields.maybe("field");
    let database = fields
        .maybe("database")
        .and_then(|node| values::path(node, faults))
        .unwrap_or("embedded");
    let read = match database {
        "embedded" => Geoip::Embedded,
        "off" => Geoip::Off,
        path => Geoip::File {
            database: folder.join(path),
            field: field
                .and_then(|node| values::name(node, faults))
                .map(str::to_owned),
        },
    };
    if let (Some(node), Geoip::Embedded | Geoip::Off) = (field, &read) {
        let hint = "name your own file with `database`";
        faults.error_hint(&node.at, "`field` is for a database of your own", hint);
    }
    fields.finish();
    read
}

pub(super) fn jwt(fields: Fields<'_>, folder: &Path) -> Option<Jwt> {
    let faults = fields.faults();
    let texts = |key| -> Vec<String> {
        let items = fields.maybe(key).map(|node| (node, node.texts(faults)));
        let Some((node, items)) = items else {
            return Vec::new();
        };
        if items.iter().any(|(text, _)| text.is_empty()) {
            faults.error(&node.at, format!("`{key}` holds an empty string"));
        }
        items.into_iter().map(|(text, _)| text.to_owned()).collect()
    };
    let algorithms = match fields.maybe("algorithms") {
        None => vec![
            JwtAlgorithm::Rs256,
            JwtAlgorithm::Es256,
            JwtAlgorithm::EdDsa,
        ],
        Some(node) => algorithms(node, faults),
    };
    let keys = fields.need("keys").and_then(|n| values::path(n, faults));
    // Also without keys: what is not asked for counts as unknown.
    let (issuer, audience) = (texts("issuer"), texts("audience"));
    let leeway = fields
        .maybe("leeway")
        .and_then(|n| values::duration(n, Duration::ZERO, HOUR, faults))
        .unwrap_or(Duration::from_secs(60));
    let read = keys.map(|keys| Jwt {
        keys: folder.join(keys),
        algorithms,
        issuer,
        audience,
        leeway,
    });
    if read.as_ref().is_some_and(|jwt| jwt.audience.is_empty()) {
        let hint = "name this service in `audience` (RFC 8725 §3.9)".to_owned();
        let message = "tokens that were made for other services are accepted";
        faults.warning(fields.at, message, Some(hint));
    }
    fields.finish();
    read
}

fn algorithms(node: &Node, faults: &Faults) -> Vec<JwtAlgorithm> {
    let words = [
        ("RS256", JwtAlgorithm::Rs256),
        ("ES256", JwtAlgorithm::Es256),
        ("EdDSA", JwtAlgorithm::EdDsa),
        ("HS256", JwtAlgorithm::Hs256),
    ];
    let items = node.list(faults).unwrap_or(&[]);
    if items.is_empty() {
        faults.error(&node.at, "expected at least one algorithm");
    }
    items
        .iter()
        .filter_map(|item| values::choice(item, &words, faults))
        .collect()
}

/// The folder under `path`, or the default.
fn folder_at(fields: &Fields<'_>, folder: &Path, default: &str) -> PathBuf {
    let path = fields.maybe("path");
    let path = path.and_then(|node| values::path(node, fields.faults()));
    folder.join(path.unwrap_or(default))
}

pub(super) fn ledger(fields: Fields<'_>, folder: &Path) -> PathBuf {
    let path = folder_at(&fields, folder, "/var/lib/domicile/ledger");
    fields.finish();
    path
}

pub(super) fn directory(fields: Fields<'_>, folder: &Path, secrets: &Secrets) -> Directory {
    let faults = fields.faults();
    if let Some(node) = fields.maybe("backend")
        && let Some(text) = node.text(faults)
        && text != "embedded"
    {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            let hint = "use backend = \"embedded\" with one replica";
            faults.error_hint(&node.at, "PostgreSQL is not supported yet", hint);
        } else {
            let hint = suggest(text, ["embedded"]).unwrap_or("write \"embedded\"".to_owned());
            faults.error_hint(&node.at, "the backend is not known", hint);
        }
    }
    let names = ("directory.secret", "secret", "secret_file");
    let secret = secrets.read(&fields, names, folder);
    let read = Directory {
        path: folder_at(&fields, folder, "/var/lib/domicile/directory"),
        secret: secret.and_then(|(at, secret)| secrets::key(&at, &secret, faults)),
    };
    fields.finish();
    read
}

pub(super) fn limits(fields: Fields<'_>) -> Limits {
    let faults = fields.faults();
    let size = |key, range, default| {
        let node = fields.maybe(key);
        node.and_then(|n| values::size(n, range, faults))
            .unwrap_or(default)
    };
    let duration = |key, most, default| {
        let node = fields.maybe(key);
        node.and_then(|n| values::duration(n, MILLISECOND, most, faults))
            .unwrap_or(default)
    };
    let default = Limits::default();
    let read = Limits {
        header_bytes: size("header_bytes", 1 << 10..=16 << 20, default.header_bytes),
        record_bytes: size("record_bytes", 1..=1 << 30, default.record_bytes),
        batch_bytes: size("batch_bytes", 1..=16 << 30, default.batch_bytes),
        batch_items: number(&fields, "batch_items", 100_000_000, default.batch_items),
        header_read: duration("header_read", HOUR, default.header_read),
        body_stall: duration("body_stall", HOUR, default.body_stall),
        connect: duration("connect", HOUR, default.connect),
        response: duration("response", HOUR, default.response),
        idle: duration("idle", DAY, default.idle),
        memory: fields
            .maybe("memory")
            .and_then(|n| values::size(n, 1 << 20..=1 << 50, faults)),
    };
    warn_of_unpassable(&fields, &read);
    fields.finish();
    read
}

/// Limits of which one keeps another from ever being reached: what is allowed there is refused
/// for good.
fn warn_of_unpassable(fields: &Fields<'_>, limits: &Limits) {
    /// Bytes held of each item of a batch (docs/settings.md).
    const ITEM: usize = 192;
    let at = |key: &'static str, other: &'static str| {
        let node = fields.maybe(key).or_else(|| fields.maybe(other));
        node.map_or(fields.at, |node| &node.at).clone()
    };
    let warn = |at: &Where, message: &str, hint: &str| {
        fields.faults().warning(at, message, Some(hint.to_owned()));
    };
    if limits.record_bytes > limits.batch_bytes {
        warn(
            &at("record_bytes", "batch_bytes"),
            "`record_bytes` is more than `batch_bytes`: no batch can hold the largest records",
            "raise `batch_bytes`",
        );
    }
    let Some(memory) = limits.memory else { return };
    let at = at("memory", "memory");
    let items = limits.batch_items.saturating_mul(ITEM);
    if memory < limits.record_bytes.max(limits.batch_bytes) {
        warn(
            &at,
            "`memory` is less than `batch_bytes` or `record_bytes`: the largest bodies never pass",
            "raise it, or lower these",
        );
    } else if memory < limits.batch_bytes.saturating_add(items) {
        warn(
            &at,
            "`memory` is less than `batch_bytes` and 192 bytes for each of `batch_items`: the largest batches never pass",
            "raise it, or lower these",
        );
    }
}

pub(super) fn reload(fields: Fields<'_>) -> Watch {
    let words = [
        ("volumes", Watch::Volumes),
        ("always", Watch::Always),
        ("never", Watch::Never),
    ];
    let read = fields
        .maybe("watch")
        .and_then(|node| values::choice(node, &words, fields.faults()))
        .unwrap_or_default();
    fields.finish();
    read
}

pub(super) fn access_log(fields: Fields<'_>, folder: &Path) -> Option<AccessLog> {
    let faults = fields.faults();
    let path = fields.need("path").and_then(|n| values::path(n, faults));
    fields.finish();
    Some(match path? {
        "stdout" => AccessLog::Stdout,
        path => AccessLog::File(folder.join(path)),
    })
}

pub(super) fn log(fields: Fields<'_>) -> Log {
    let faults = fields.faults();
    let json = fields.maybe("json");
    let level = fields.maybe("level").and_then(|node| {
        let text = node.text(faults)?;
        // A word that is no level would pass as the name of a module and silence everything.
        const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
        let words = text.split(',').map(str::trim);
        let wrong = words
            .filter(|part| !part.contains(['=', '[']))
            .find(|word| !LEVELS.contains(&word.to_lowercase().as_str()));
        if wrong.is_some() || EnvFilter::builder().parse(text).is_err() {
            let hint = wrong
                .and_then(|word| suggest(word, LEVELS))
                .unwrap_or("write \"info\", or \"warn,domicile=debug\"".to_owned());
            faults.error_hint(&node.at, format!("`{text}` is no log level"), hint);
        }
        Some(text.to_owned())
    });
    let json = json.and_then(|node| node.boolean(faults)).unwrap_or(false);
    fields.finish();
    Log { json, level }
}
