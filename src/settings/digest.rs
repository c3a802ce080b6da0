//! The digest of the settings that take part in decisions: SHA-256 over a canonical form of them.
//!
//! Goal: with the digest of the policy beside it, two ledger entries of one digest were decided by
//! the same rules. So in doubt a setting is in: one too many costs a new digest, one too few a
//! promise that does not hold. Every structure is taken apart in full, so that a new setting does
//! not compile until somebody has said here whether it decides.
//!
//! What is in: where the router runs, the regions that there are, whose word counts, and what each
//! route takes for whose record, what evidence and what data. What is not: how anything is reached,
//! listened to, logged or kept; how long and how much is waited for or taken at once (what is
//! beyond is turned away unread, which is no decision on anybody's record); and facts, such as pins,
//! the GeoIP table or the certificates of the day. No secret is in it: a digest stands where many
//! can read it, and whoever guesses a secret could compare.
//!
//! The form is JSON as RFC 8785 writes it: what has no order in the settings is sorted, what has
//! one (a route's evidence, the routes themselves) keeps it.

use aws_lc_rs::digest::{Context, SHA256};
use ipnet::IpNet;
use serde_json::{Value, json};

use super::{
    Answers, BulkRoute, Conflict, DataPlane, Erase, Format, Geoip, Jwt, JwtAlgorithm, Location,
    Mode, PathTemplate, PinMode, RecipientSettings, RegionSettings, Route, Schema, Settings,
    Steering, UnknownHome, UpstreamShape,
};
use crate::{
    classify::ValueSource,
    domain::{Circumstances, Digest},
};

/// Before the form; another number once the form changes without a change of the settings.
const DOMAIN: &[u8] = b"domicile-settings-1\n";

/// The digest of what decides. `token_keys` says of each key that verifies tokens what anybody may
/// know of it ([`KeySet::public_keys`](crate::classify::token::KeySet::public_keys)).
///
/// It does not depend on the layout of the file, the order of tables, comments, or on what came from
/// the environment.
pub fn digest(settings: &Settings, token_keys: &[String]) -> Digest {
    let mut context = Context::new(&SHA256);
    context.update(DOMAIN);
    context.update(form(settings, token_keys).to_string().as_bytes());
    let mut bytes = [0; 32];
    for (to, from) in bytes.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    Digest(bytes)
}

fn form(settings: &Settings, token_keys: &[String]) -> Value {
    let Settings {
        location: Location { place, entity },
        mode,
        data_plane,
        geoip,
        jwt,
        regions,
        recipients: _, // With the routes that disclose to them.
        schemas: _,    // With the routes that read by them.
        routes,
        // Their content has a digest of its own, that of the policy.
        policies: _,
        organisation: _,
        // Told to callers of a refusal that stands already.
        operator_uri: _,
        // What is beyond is turned away unread.
        limits: _,
        // Where the router keeps what it knows, and the secret behind subject keys.
        ledger: _,
        directory: _,
        // Operating.
        admin: _,
        probes: _,
        watch: _,
        log: _,
        access_log: _,
        otlp: _,
    } = settings;
    let DataPlane {
        trusted,
        trusted_names,
        proxies,
        listen: _,
        workers: _,
        connections: _,
        concurrent_requests: _,
        coalesce: _,
        drain: _,
        drain_delay: _,
        // Who gets in, and by which certificates, which change by themselves. What a name in
        // them is worth stands in `trusted_names`.
        tls: _,
    } = data_plane;
    let observe_to = match mode {
        Mode::Enforce => None,
        Mode::Observe { to } => Some(to),
    };
    let mut regions: Vec<&RegionSettings> = regions.iter().collect();
    regions.sort_by(|a, b| a.name.cmp(&b.name));
    json!({
        "location": { "country": place, "entity": entity },
        "observe_to": observe_to,
        "trusted": networks(trusted),
        "trusted_names": set(trusted_names),
        "proxies": networks(proxies),
        "geoip": geoip_form(geoip),
        "jwt": jwt.as_ref().map(|jwt| jwt_form(jwt, token_keys)),
        "regions": regions.into_iter().map(region).collect::<Vec<_>>(),
        "routes": routes.iter().map(|r| route(r, settings)).collect::<Vec<_>>(),
    })
}

fn geoip_form(geoip: &Geoip) -> Value {
    match geoip {
        Geoip::Embedded => json!("embedded"),
        Geoip::Off => json!("off"),
        // Where the file lies says nothing, and what it holds changes by itself.
        Geoip::File { database: _, field } => json!({ "field": field }),
    }
}

fn jwt_form(jwt: &Jwt, token_keys: &[String]) -> Value {
    let Jwt {
        algorithms,
        issuer,
        audience,
        leeway,
        // What lies there is handed in.
        keys: _,
    } = jwt;
    let algorithms = algorithms.iter().map(|algorithm| match algorithm {
        JwtAlgorithm::Rs256 => "RS256",
        JwtAlgorithm::Es256 => "ES256",
        JwtAlgorithm::EdDsa => "EdDSA",
        JwtAlgorithm::Hs256 => "HS256",
    });
    json!({
        "algorithms": set(algorithms),
        "issuer": set(issuer),
        "audience": set(audience),
        // At most an hour: exact in every reader of JSON.
        "leeway_ns": u64::try_from(leeway.as_nanos()).unwrap_or(u64::MAX),
        "keys": set(token_keys),
    })
}

fn region(region: &RegionSettings) -> Value {
    let RegionSettings {
        name,
        place,
        entity,
        // How it is reached: its servers must prove that they are the region.
        endpoints: _,
        tls: _,
        http: _,
        concurrent_requests: _,
        queue_wait: _,
        health: _,
    } = region;
    json!({ "name": name, "country": place, "entity": entity })
}

fn recipient(recipient: &RecipientSettings) -> Value {
    let RecipientSettings {
        id,
        place,
        headers,
        transaction,
        // How it is reached.
        endpoints: _,
        tls: _,
        http: _,
    } = recipient;
    json!({
        "id": id,
        "country": place,
        "headers": set(headers),
        "transaction": transaction,
    })
}

fn route(route: &Route, settings: &Settings) -> Value {
    let Route {
        name,
        host,
        path,
        methods,
        content_type,
        format,
        namespace,
        subject,
        country,
        born,
        steering,
        schema,
        categories,
        discover,
        conflict,
        pin,
        unknown_home,
        upstream,
        atomic,
        answers,
        erase,
        role,
        purpose,
        circumstances,
        recipient: named,
        bulk,
    } = route;
    // Names of schemas are the file's own business: what stands under them counts.
    let schema = schema.as_ref().and_then(|name| settings.schemas.get(name));
    let mut recipients = settings.recipients.iter();
    let to = recipients.find(|r| named.as_ref() == Some(&r.id));
    let mut form = json!({
        "name": name,
        "host": host,
        "path": template(path),
        "methods": set(methods),
        "content_type": content_type,
        "format": match format {
            Format::Record => "record",
            Format::Array => "array",
            Format::Ndjson => "ndjson",
            Format::Opaque => "opaque",
            Format::Bulk => "bulk",
            Format::Form => "form",
        },
        "namespace": namespace,
        "subject": source(subject.as_ref()),
        "country": country.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "born": source(born.as_ref()),
        "steering": steering_form(steering),
        "schema": schema.map(schema_form),
        "categories": set(categories),
        "conflict": match conflict {
            Conflict::All => "all",
            Conflict::First => "first",
            Conflict::Refuse => "refuse",
        },
        "pin": match pin {
            PinMode::Always => "always",
            PinMode::Weak => "weak",
            PinMode::Never => "never",
        },
        "unknown_home": match unknown_home {
            UnknownHome::Refuse => None,
            UnknownHome::Region(name) => Some(name),
        },
        // An id that no path can carry is refused, and a disclosure goes to this path alone.
        "each": match upstream {
            UpstreamShape::Batch => Value::Null,
            UpstreamShape::Each { method, path } => json!([method.as_str(), template(path)]),
        },
        "atomic": atomic,
        "answers": match answers {
            Answers::Full => "full",
            Answers::StatusOnly => "status-only",
        },
        "erase": match erase {
            Erase::Record => "record",
            Erase::Subject => "subject",
        },
        "role": role,
        "purpose": purpose,
        "circumstances": circumstances_form(circumstances),
        "recipient": to.map(recipient),
        "bulk": bulk.as_deref().map(bulk_form),
    });
    // Said only where it is: routes without it keep the form that older versions gave them.
    if let (true, Some(form)) = (*discover, form.as_object_mut()) {
        form.insert("discover".to_owned(), true.into());
    }
    form
}

fn steering_form(steering: &Steering) -> Value {
    let Steering {
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
    } = steering;
    json!({
        "country": country.to_string(),
        "subject": subject.to_string(),
        "target": target.to_string(),
        "operation": operation.to_string(),
        "purpose": purpose.to_string(),
        "ground": ground.to_string(),
        "order": order.to_string(),
        "subject_kind": subject_kind.to_string(),
        "basis": basis.to_string(),
        "transaction": transaction.to_string(),
        "special_ground": special_ground.to_string(),
    })
}

fn circumstances_form(circumstances: &Circumstances) -> Value {
    let Circumstances {
        subject_kind,
        basis,
        transaction,
        special_ground,
    } = circumstances;
    json!({
        "subject_kind": subject_kind,
        "basis": basis,
        "transaction": transaction,
        "special_ground": special_ground,
    })
}

fn schema_form(schema: &Schema) -> Value {
    let Schema { fields, strict } = schema;
    // Pairs and not members: RFC 8785 sorts members by UTF-16, and pointers may hold anything.
    let fields: Vec<_> = fields.iter().collect();
    json!({ "fields": fields, "strict": strict })
}

fn bulk_form(bulk: &BulkRoute) -> Value {
    let BulkRoute { indices, pipelines } = bulk;
    json!({ "indices": set(indices), "pipelines": set(pipelines) })
}

fn template(path: &PathTemplate) -> &str {
    // The segments are what the text says.
    let PathTemplate { text, segments: _ } = path;
    text
}

fn source(source: Option<&ValueSource>) -> Option<String> {
    source.map(ToString::to_string)
}

/// Texts whose order and number mean nothing.
fn set(items: impl IntoIterator<Item = impl ToString>) -> Vec<String> {
    let mut all: Vec<String> = items.into_iter().map(|i| i.to_string()).collect();
    all.sort();
    all.dedup();
    all
}

/// The addresses of these networks, in as few networks as there can be.
fn networks(networks: &[IpNet]) -> Vec<String> {
    let fewest = IpNet::aggregate(&networks.to_vec());
    fewest.iter().map(ToString::to_string).collect()
}
