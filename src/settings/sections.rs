<<<<<<< HEAD
//! The sections of the file that stand once, and what they demand of each other.

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tracing_subscriber::EnvFilter;

use super::{
    Admin, DataPlane, Directory, Geoip, Jwt, JwtAlgorithm, Limits, Location, Log, Mode, Settings,
    keys::{KEYS, Kind},
    regions,
    routes::{self, Surroundings},
    secrets::{self, Secrets},
    values,
};
use crate::document::{Faults, Fields, Node, Value, Where, suggest};

const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
=======
//! The file as a whole: its sections in order, and what they demand of each other.

use std::{net::SocketAddr, path::Path, sync::Arc};

use super::{
    Geoip, Location, Mode, Settings,
    keys::{KEYS, Kind},
    parts, regions,
    routes::{self, Surroundings},
    secrets::Secrets,
    values,
};
use crate::document::{Faults, Fields, Node, Value, Where};
>>>>>>> w-settings

/// Takes the whole tree apart. The settings are worth nothing when `faults` holds an error.
pub(super) fn settings(
    root: &Node,
    folder: &Path,
    secrets: &Secrets,
    faults: &Faults,
) -> Option<Settings> {
    let fields = root.fields(faults)?;
    let nothing = Node {
        at: root.at.clone(),
        value: Value::Table(Vec::new()),
    };
    // Sections that may be left out read like empty ones.
    let section = |key| fields.maybe(key).unwrap_or(&nothing).fields(faults);
    let resolve = |node: &Node| values::path(node, faults).map(|path| folder.join(path));
    later(&fields, "");

    let location = fields.need("location").and_then(|n| location(n, faults));
    let policies = fields.need("policies").and_then(resolve);
    let organisation = fields.maybe("organisation").and_then(resolve);
    let operator_uri = fields
        .maybe("operator_uri")
        .and_then(|node| operator_uri(node, faults));
<<<<<<< HEAD
    let data_plane = section("data_plane").map(data_plane);
    let admin = section("admin").map(|f| admin(f, folder, secrets));
    let probes = fields
        .maybe("probes")
        .and_then(|n| probes(n.fields(faults)?));
    let geoip = section("geoip").map(|f| geoip(f, folder));
    let jwt = fields.maybe("jwt");
    let jwt = jwt.and_then(|node| self::jwt(node.fields(faults)?, folder));
    let ledger = section("ledger").map(|f| ledger(f, folder));
    let directory = section("directory").map(|f| directory(f, folder, secrets));
    let limits = section("limits").map(limits);
    let log = section("log").map(log);
=======
    let data_plane = section("data_plane").map(parts::data_plane);
    let admin = section("admin").map(|f| parts::admin(f, folder, secrets));
    let probes = fields
        .maybe("probes")
        .and_then(|n| parts::probes(n.fields(faults)?));
    let geoip = section("geoip").map(|f| parts::geoip(f, folder));
    let jwt = fields.maybe("jwt");
    let jwt = jwt.and_then(|node| parts::jwt(node.fields(faults)?, folder));
    let ledger = section("ledger").map(|f| parts::ledger(f, folder));
    let directory = section("directory").map(|f| parts::directory(f, folder, secrets));
    let limits = section("limits").map(parts::limits);
    let log = section("log").map(parts::log);
>>>>>>> w-settings
    let regions = fields
        .need("regions")
        .map(|n| regions::regions(n, faults))
        .unwrap_or_default();
    let mode = mode(&fields, &regions.names);
    let schemas = fields
        .maybe("schemas")
        .map(|n| regions::schemas(n, faults))
        .unwrap_or_default();
    let routes = fields.need("routes").map(|node| {
        let surroundings = Surroundings {
            regions: &regions.names,
            schemas: &schemas.names,
            has_jwt: fields.maybe("jwt").is_some(),
            has_network: geoip != Some(Geoip::Off),
        };
        routes::routes(node, &surroundings, faults)
    });
<<<<<<< HEAD
    let place = |section: &'static str| match fields.maybe(section).map(|n| (n, n.fields(faults))) {
        Some((_, Some(f))) if let Some(listen) = f.maybe("listen") => listen.at.clone(),
        Some((node, _)) => node.at.clone(),
        None => root.at.clone(),
=======
    let place = |section: &'static str, key| {
        let node = fields.maybe(section)?;
        let key = node.fields(faults)?.maybe(key).map(|n| n.at.clone());
        Some(key.unwrap_or_else(|| node.at.clone()))
>>>>>>> w-settings
    };
    let listeners = [
        ("data_plane", data_plane.as_ref().map(|d| d.listen)),
        ("admin", admin.as_ref().map(|a| a.listen)),
        ("probes", probes),
    ];
<<<<<<< HEAD
    let listeners = listeners.map(|(name, address)| (name, address, place(name)));
    listeners_differ(&listeners, faults);
    folders_differ(ledger.as_deref(), directory.as_ref(), &place("ledger"), faults);
=======
    let listeners = listeners.map(|(name, address)| (name, address, place(name, "listen")));
    listeners_differ(&listeners, root, faults);
    if ledger.is_some() && ledger.as_ref() == directory.as_ref().map(|d| &d.path) {
        let at = place("ledger", "path").or_else(|| place("directory", "path"));
        let message = "`ledger` and `directory` share a folder";
        let hint = "give each its own `path`";
        faults.error_hint(&at.unwrap_or_else(|| root.at.clone()), message, hint);
    }
>>>>>>> w-settings
    fields.finish();

    let policies = policies?;
    Some(Settings {
        location: location?,
        organisation: organisation.unwrap_or_else(|| policies.join("organisation.toml")),
        policies,
        mode: mode?,
        operator_uri,
        data_plane: data_plane?,
        admin: admin?,
        probes,
        geoip: geoip?,
        jwt,
        ledger: ledger?,
        directory: directory?,
        limits: limits?,
        regions: regions.read,
        schemas: schemas.read,
        routes: routes?,
        log: log?,
    })
}

/// Tells 'not yet' for each key of `section` that is reserved.
pub(super) fn later(fields: &Fields<'_>, section: &str) {
    let reserved = KEYS
        .iter()
        .filter(|key| key.kind == Kind::Later && key.section() == section);
    for key in reserved {
        if let Some(node) = fields.maybe(key.name())
            && !matches!(node.value, Value::Boolean(false))
        {
            let message = format!("`{}` is not supported yet", key.name());
            let hint = "remove it: a later version will take it";
            fields.faults().error_hint(&node.at, message, hint);
        }
    }
}

fn location(node: &Node, faults: &Faults) -> Option<Location> {
    let fields = node.fields(faults)?;
<<<<<<< HEAD
    let place = fields.need("country").and_then(|n| values::place(n, faults));
=======
    let place = fields
        .need("country")
        .and_then(|n| values::place(n, faults));
>>>>>>> w-settings
    let entity = fields.need("entity").and_then(|n| values::name(n, faults));
    fields.finish();
    Some(Location {
        place: place?,
        entity: Arc::from(entity?),
    })
}

fn mode(fields: &Fields<'_>, regions: &[String]) -> Option<Mode> {
    let faults = fields.faults();
    let words = [("enforce", false), ("observe", true)];
    let observe = match fields.maybe("mode") {
        Some(node) => values::choice(node, &words, faults)?,
        None => false,
    };
    let to = fields.maybe("observe_to");
    if let Some(node) = to {
        regions::known(node, regions, faults)?;
    }
    match (observe, to, fields.maybe("mode")) {
        (false, to, _) => {
            if let Some(node) = to {
                let hint = "it counts only with mode = \"observe\"".to_owned();
                faults.warning(&node.at, "`observe_to` has no effect", Some(hint));
            }
            Some(Mode::Enforce)
        }
        (true, Some(node), _) => Some(Mode::Observe {
            to: node.text(faults)?.to_owned(),
        }),
        (true, None, mode) => {
            let at = mode.map_or(fields.at, |node| &node.at);
            let hint = "name the region where everything goes today: observe_to = \"…\"";
            faults.error_hint(at, "`observe` needs `observe_to`", hint);
            None
        }
    }
}

/// An http(s) address that can stand in a `Link` header.
fn operator_uri(node: &Node, faults: &Faults) -> Option<String> {
    let text = node.text(faults)?;
    let sound = text.parse::<http::Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.host().is_some_and(|host| !host.is_empty())
            && !text.contains(['<', '>', '"'])
    });
    if !sound {
        let hint = "write it whole: \"https://example.com/privacy\"";
        faults.error_hint(&node.at, "expected an http or https address", hint);
        return None;
    }
    Some(text.to_owned())
}

<<<<<<< HEAD
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

fn data_plane(fields: Fields<'_>) -> DataPlane {
    let faults = fields.faults();
    later(&fields, "data_plane");
    let trusted = fields.maybe("trusted");
    let networks = |node: Option<&Node>, names| {
        node.map(|n| values::networks(n, names, faults))
            .unwrap_or_default()
    };
    let read = DataPlane {
        listen: listen(&fields, loopback(8080)),
        trusted: networks(trusted, true),
        proxies: networks(fields.maybe("proxies"), false),
        workers: number(&fields, "workers", 1024, cores()),
        connections: number(&fields, "connections", 10_000_000, 16_384),
        concurrent_requests: number(&fields, "concurrent_requests", 1_000_000, 1024),
        drain: fields
            .maybe("drain")
            .and_then(|n| values::duration(n, Duration::ZERO, HOUR, faults))
            .unwrap_or(Duration::from_secs(25)),
    };
    if let Some(node) = trusted
        && read.trusted.iter().any(|n| n.prefix_len() == 0)
    {
        let hint = "name the networks of your own callers".to_owned();
        let message = "everybody's steering headers count";
        faults.warning(&node.at, message, Some(hint));
    }
    fields.finish();
    read
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn admin(fields: Fields<'_>, folder: &Path, secrets: &Secrets) -> Admin {
    let faults = fields.faults();
    later(&fields, "admin");
    let given = secrets.read(&fields, ("admin.token", "token", "token_file"), folder);
    let read = Admin {
        listen: listen(&fields, loopback(9090)),
        token: given
            .as_ref()
            .and_then(|(at, secret)| secrets::token(at, secret, faults)),
    };
    // A token that is there and cannot be read has its own fault already.
    let tried = given.is_some() || fields.maybe("token_file").is_some();
    if !read.listen.ip().is_loopback() && !tried {
        let at = fields.maybe("listen").map_or(fields.at, |node| &node.at);
        let hint = "give `token_file` or DOMICILE__ADMIN__TOKEN, or listen on 127.0.0.1";
        faults.error_hint(at, "off loopback the admin listener needs a token", hint);
    }
    fields.finish();
    read
}

fn probes(fields: Fields<'_>) -> Option<SocketAddr> {
    let faults = fields.faults();
    let listen = fields.need("listen");
    let listen = listen.and_then(|node| values::address(node, faults));
    fields.finish();
    listen
}

fn geoip(fields: Fields<'_>, folder: &Path) -> Geoip {
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

fn jwt(fields: Fields<'_>, folder: &Path) -> Option<Jwt> {
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
    let read = keys.map(|keys| Jwt {
        keys: folder.join(keys),
        algorithms,
        issuer: texts("issuer"),
        audience: texts("audience"),
        leeway: fields
            .maybe("leeway")
            .and_then(|n| values::duration(n, Duration::ZERO, HOUR, faults))
            .unwrap_or(Duration::from_secs(60)),
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

fn ledger(fields: Fields<'_>, folder: &Path) -> PathBuf {
    let path = folder_at(&fields, folder, "/var/lib/domicile/ledger");
    fields.finish();
    path
}

fn directory(fields: Fields<'_>, folder: &Path, secrets: &Secrets) -> Directory {
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

fn limits(fields: Fields<'_>) -> Limits {
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
    };
    fields.finish();
    read
}

fn log(fields: Fields<'_>) -> Log {
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

fn listeners_differ(listeners: &[(&str, Option<SocketAddr>, Where)], faults: &Faults) {
    let mut earlier: Vec<(&str, SocketAddr)> = Vec::new();
    for (name, address, at) in listeners {
        let Some(address) = *address else { continue };
        let clash = earlier.iter().find(|(_, other)| {
=======
type Listener<'a> = (&'a str, Option<SocketAddr>, Option<Where>);

fn listeners_differ(listeners: &[Listener<'_>], root: &Node, faults: &Faults) {
    let mut earlier: Vec<(&str, SocketAddr, &Option<Where>)> = Vec::new();
    for (name, address, at) in listeners {
        let Some(address) = *address else { continue };
        let clash = earlier.iter().find(|(_, other, _)| {
>>>>>>> w-settings
            let everywhere = address.ip().is_unspecified() || other.ip().is_unspecified();
            // Port 0 asks for any free port.
            address.port() != 0
                && address.port() == other.port()
                && (address.ip() == other.ip() || everywhere)
        });
<<<<<<< HEAD
        if let Some((other, _)) = clash {
            let message = format!("`{name}` and `{other}` listen on the same address");
            faults.error_hint(at, message, "give each its own port");
        }
        earlier.push((name, address));
    }
}

fn folders_differ(
    ledger: Option<&Path>,
    directory: Option<&Directory>,
    at: &Where,
    faults: &Faults,
) {
    if ledger.is_some() && ledger == directory.map(|d| d.path.as_path()) {
        let message = "`ledger` and `directory` share a folder";
        faults.error_hint(at, message, "give each its own `path`");
=======
        if let Some((other, _, other_at)) = clash {
            let message = format!("`{name}` and `{other}` listen on the same address");
            // One of the two may be a default.
            let at = at.as_ref().or(other_at.as_ref()).unwrap_or(&root.at);
            faults.error_hint(at, message, "give each its own port");
        }
        earlier.push((name, address, at));
>>>>>>> w-settings
    }
}
