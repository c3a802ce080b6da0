//! The file as a whole: its sections in order, and what they demand of each other.

use std::{net::SocketAddr, path::Path, sync::Arc};

use super::{
    Geoip, Location, Mode, Settings, disclose,
    keys::{KEYS, Kind},
    otlp, parts, regions,
    routes::{self, Surroundings},
    secrets::Secrets,
    values,
};
use crate::document::{Faults, Fields, Node, Value, Where};

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
    let data_plane = section("data_plane").map(|f| parts::data_plane(f, folder));
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
    let watch = section("reload").map(parts::reload);
    let log = section("log").map(parts::log);
    let access_log = fields
        .maybe("access_log")
        .and_then(|n| parts::access_log(n.fields(faults)?, folder));
    let otlp = fields
        .maybe("otlp")
        .and_then(|n| otlp::otlp(n.fields(faults)?, folder, secrets));
    if let (None, Some(at)) = (fields.maybe("otlp"), secrets.place("otlp.headers")) {
        let hint = "traces go out once [otlp] has an `endpoint`".to_owned();
        faults.warning(
            at,
            "without a section [otlp] nothing asks for it",
            Some(hint),
        );
    }
    let regions = fields
        .need("regions")
        .map(|n| regions::regions(n, folder, faults))
        .unwrap_or_default();
    let mode = mode(&fields, &regions.names);
    let recipients = fields
        .maybe("recipients")
        .map(|n| disclose::recipients(n, folder, &regions.read, faults))
        .unwrap_or_default();
    let schemas = fields
        .maybe("schemas")
        .map(|n| regions::schemas(n, faults))
        .unwrap_or_default();
    let routes = fields.need("routes").map(|node| {
        let surroundings = Surroundings {
            regions: &regions.names,
            schemas: &schemas.names,
            recipients: &recipients.names,
            has_jwt: fields.maybe("jwt").is_some(),
            has_network: geoip != Some(Geoip::Off),
        };
        routes::routes(node, &surroundings, faults)
    });
    let place = |section: &'static str, key| {
        let node = fields.maybe(section)?;
        let key = node.fields(faults)?.maybe(key).map(|n| n.at.clone());
        Some(key.unwrap_or_else(|| node.at.clone()))
    };
    let listeners = [
        ("data_plane", data_plane.as_ref().map(|d| d.listen)),
        ("admin", admin.as_ref().map(|a| a.listen)),
        ("probes", probes),
    ];
    let listeners = listeners.map(|(name, address)| (name, address, place(name, "listen")));
    listeners_differ(&listeners, root, faults);
    if ledger.is_some() && ledger.as_ref() == directory.as_ref().map(|d| &d.path) {
        let at = place("ledger", "path").or_else(|| place("directory", "path"));
        let message = "`ledger` and `directory` share a folder";
        let hint = "give each its own `path`";
        faults.error_hint(&at.unwrap_or_else(|| root.at.clone()), message, hint);
    }
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
        recipients: recipients.read,
        schemas: schemas.read,
        routes: routes?,
        watch: watch?,
        log: log?,
        access_log,
        otlp,
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
    let place = fields
        .need("country")
        .and_then(|n| values::place(n, faults));
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
    let to = fields.maybe("observe_to");
    let observe = match fields.maybe("mode") {
        Some(node) => values::choice(node, &words, faults)?,
        None => false,
    };
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

type Listener<'a> = (&'a str, Option<SocketAddr>, Option<Where>);

fn listeners_differ(listeners: &[Listener<'_>], root: &Node, faults: &Faults) {
    let mut earlier: Vec<(&str, SocketAddr, &Option<Where>)> = Vec::new();
    for (name, address, at) in listeners {
        let Some(address) = *address else { continue };
        let clash = earlier.iter().find(|(_, other, _)| {
            let everywhere = address.ip().is_unspecified() || other.ip().is_unspecified();
            // Port 0 asks for any free port.
            address.port() != 0
                && address.port() == other.port()
                && (address.ip() == other.ip() || everywhere)
        });
        if let Some((other, _, other_at)) = clash {
            let message = format!("`{name}` and `{other}` listen on the same address");
            // One of the two may be a default.
            let at = at.as_ref().or(other_at.as_ref()).unwrap_or(&root.at);
            faults.error_hint(at, message, "give each its own port");
        }
        earlier.push((name, address, at));
    }
}
