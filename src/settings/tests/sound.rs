//! What sound settings mean.

use std::{path::Path, time::Duration};

use http::Method;

use super::{BASE, read_with, sound};
use crate::{
    classify::ValueSource,
    document::{Faults, Severity},
    domain::{Basis, Role, SpecialGround},
    settings::*,
};

/// The whole example of the design, but for what is not yet supported.
pub(super) const WHOLE: &str = r#"
location = { country = "SG", entity = "acme-sg" }
policies = "policies"
mode = "observe"
observe_to = "sg"
operator_uri = "https://example.com/privacy"

[data_plane]
listen = "0.0.0.0:8080"
trusted = ["127.0.0.1/32", "::1"]
proxies = ["10.0.0.0/8"]
workers = 2
coalesce = "20us"
drain = "1s"
[admin]
listen = "127.0.0.1:9090"
[probes]
listen = "0.0.0.0:9091"
[geoip]
database = "country.mmdb"
field = "country_code"
[jwt]
keys = "jwks.json"
algorithms = ["HS256", "EdDSA"]
issuer = ["https://login.example.com"]
audience = ["storage"]
[ledger]
path = "/var/lib/domicile/ledger"
[directory]
backend = "embedded"
path = "directory"
[limits]
header_bytes = "32KiB"
record_bytes = 2000
batch_bytes = "10MB"
batch_items = 10
header_read = "500ms"
body_stall = "1m 30s"
connect = "3s"
response = "30s"
idle = "2m"
[log]
json = true
level = "warn,domicile=debug"

[regions.sg]
country = "SG"
entity = "acme-sg"
endpoints = ["http://store.sg.internal:8443"]
[regions.eu]
country = "DE"
entity = "acme-eu"
endpoints = ["http://store.eu.internal:8443", "http://[::1]:8443/prefix"]

[schemas.person]
strict = true
fields = { "/email" = "user.contact.email", "/contacts/*/email" = "user.contact.email" }

[[routes]]
path = "/people/{subject}"
host = "People.example.com"
methods = ["GET", "PUT", "PATCH", "DELETE"]
format = "record"
namespace = "patient"
subject = "path:subject"
country = ["jwt:country", "body:/address/country", "body:/phone", "pinned", "network"]
target = "header:x-target-region"
purpose = "service"
basis = "contract"
special_ground = "h"
transaction = "header:x-deal"
born = "jwt:birthdate"
role = "processor"
schema = "person"
pin = "weak"
unknown_home = "sg"
conflict = "refuse"
answers = "status-only"
erase = "subject"

[[routes]]
path = "/people"
name = "people as lines"
format = "ndjson"
content_type = "application/X-NDJSON"
subject = "body:/id"
country = ["body:/country"]
upstream = { each = "PUT /people/{subject}" }
atomic = true
purpose = "header:x-purpose"

[[routes]]
path = "/files/{subject}/{name...}"
format = "opaque"
subject = "path:subject"
categories = ["user.content"]
"#;

#[test]
fn the_whole_example_is_understood() {
    let text = WHOLE.replace("people as lines", "people-lines");
    let settings = sound(&text, &[]);
    assert_eq!(settings.location.entity.as_ref(), "acme-sg");
    assert_eq!(settings.mode, Mode::Observe { to: "sg".into() });
    assert_eq!(settings.policies, Path::new("/etc/domicile/policies"));
    let organisation = Path::new("/etc/domicile/policies/organisation.toml");
    assert_eq!(settings.organisation, organisation);
    assert_eq!(settings.ledger, Path::new("/var/lib/domicile/ledger"));
    assert_eq!(
        settings.directory.path,
        Path::new("/etc/domicile/directory")
    );
    let trusted: Vec<String> = settings
        .data_plane
        .trusted
        .iter()
        .map(|n| n.to_string())
        .collect();
    assert_eq!(trusted, ["127.0.0.1/32", "::1/128"]);
    assert_eq!(settings.data_plane.workers, 2);
    let coalesce = settings.data_plane.coalesce;
    assert_eq!(coalesce, Duration::from_micros(20));
    assert_eq!(
        settings.geoip,
        Geoip::File {
            database: "/etc/domicile/country.mmdb".into(),
            field: Some("country_code".into())
        }
    );
    let jwt = settings.jwt.expect("a jwt section");
    assert_eq!(jwt.algorithms, [JwtAlgorithm::Hs256, JwtAlgorithm::EdDsa]);
    assert_eq!(
        settings.limits,
        Limits {
            header_bytes: 32 << 10,
            record_bytes: 2000,
            batch_bytes: 10_000_000,
            batch_items: 10,
            header_read: Duration::from_millis(500),
            body_stall: Duration::from_secs(90),
            connect: Duration::from_secs(3),
            response: Duration::from_secs(30),
            idle: Duration::from_secs(120),
            memory: None,
        }
    );
    assert!(settings.log.json);
    let names: Vec<&str> = settings.regions.iter().map(|r| r.name.as_ref()).collect();
    assert_eq!(names, ["sg", "eu"]);
    assert_eq!(settings.regions[1].endpoints[1].path(), "/prefix");
    assert!(settings.schemas["person"].strict);
    assert_eq!(settings.schemas["person"].fields.len(), 2);

    let [record, lines, files] = settings.routes.as_slice() else {
        panic!("three routes");
    };
    assert_eq!(record.name.as_ref(), "/people/{subject}");
    assert_eq!(record.host.as_deref(), Some("people.example.com"));
    assert_eq!(record.methods[3], Method::DELETE);
    assert_eq!(record.namespace.as_ref(), "patient");
    assert_eq!(record.country.len(), 5);
    assert_eq!(record.steering.target.to_string(), "header:x-target-region");
    assert_eq!(
        record.steering.purpose.to_string(),
        "header:domicile-purpose"
    );
    assert_eq!(record.purpose.as_deref(), Some("service"));
    let said = record.circumstances;
    assert_eq!(said.basis, Some(Basis::Contract));
    assert_eq!(said.special_ground, SpecialGround::parse("h"));
    assert_eq!((said.transaction, said.subject_kind), (None, None));
    let steering = &record.steering;
    assert_eq!(steering.transaction.to_string(), "header:x-deal");
    assert_eq!(steering.basis.to_string(), "header:domicile-basis");
    let born = record.born.as_ref().map(ToString::to_string);
    assert_eq!(born.as_deref(), Some("jwt:birthdate"));
    assert_eq!(record.role, Some(Role::Processor));
    assert_eq!(record.pin, PinMode::Weak);
    assert_eq!(record.unknown_home, UnknownHome::Region("sg".into()));
    assert_eq!(record.conflict, Conflict::Refuse);
    assert_eq!(record.answers, Answers::StatusOnly);
    assert_eq!(record.erase, Erase::Subject);
    assert_eq!(lines.erase, Erase::Record);
    assert_eq!(lines.name.as_ref(), "people-lines");
    assert_eq!(lines.content_type.as_deref(), Some("application/x-ndjson"));
    assert_eq!(lines.purpose, None);
    assert_eq!(lines.steering.purpose.to_string(), "header:x-purpose");
    assert!(lines.atomic);
    assert!(
        matches!(&lines.upstream, UpstreamShape::Each { method, path } if *method == Method::PUT && path.text == "/people/{subject}")
    );
    assert_eq!(files.format, Format::Opaque);
    assert_eq!(
        files.path.segments.last(),
        Some(&Segment::Rest("name".into()))
    );
    assert_eq!(files.country, [ValueSource::Pinned]);
}

#[test]
fn the_least_settings_have_safe_defaults() {
    let settings = sound(BASE, &[]);
    assert_eq!(settings.mode, Mode::Enforce);
    assert!(settings.data_plane.listen.ip().is_loopback());
    assert!(settings.admin.listen.ip().is_loopback());
    assert!(settings.data_plane.trusted.is_empty());
    let coalesce = settings.data_plane.coalesce;
    assert_eq!(coalesce, Duration::from_micros(50));
    assert_eq!(settings.limits, Limits::default());
    assert_eq!(settings.routes[0].unknown_home, UnknownHome::Refuse);
    assert_eq!(settings.routes[0].conflict, Conflict::All);
    assert!(settings.jwt.is_none() && settings.probes.is_none());
}

#[test]
fn doubtful_settings_are_taken_with_a_warning() {
    let text = BASE.replace(
        "policies = \"policies\"",
        "policies = \"p\"\nobserve_to = \"sg\"",
    ) + "country = [\"network\"]\n[geoip]\ndatabase = \"off\"\n[data_plane]\ntrusted = [\"0.0.0.0/0\"]\n[jwt]\nkeys = \"k\"\n";
    let (read, faults) = read_with(&text, &[("DOMICILE__ADMIN__TOKEN", "short")]);
    assert!(read.is_some());
    assert!(faults.iter().all(|f| f.severity == Severity::Warning));
    for part in [
        "`observe_to` has no effect",
        "never evidence",
        "everybody's",
        "other services",
        "shorter than 16",
    ] {
        assert!(
            faults.iter().any(|f| f.message.contains(part)),
            "{part}: {faults:#?}"
        );
    }
    assert_eq!(faults.len(), 5);
}

#[test]
fn places_reach_every_value_and_fall_back_to_what_is_around() {
    let environment = [("DOMICILE__REGIONS__EU__ENTITY", "acme-nl")];
    let (read, _) = read_with(BASE, &environment);
    let (_, places) = read.expect("sound");
    for (path, place) in [
        (&["location", "entity"][..], "t.toml:2:39"),
        (&["regions", "sg", "entity"], "t.toml:11:10"),
        (&["schemas", "person", "fields", "/email"], "t.toml:15:23"),
        (&["routes", "0", "schema"], "t.toml:21:10"),
        (
            &["regions", "eu", "entity"],
            "environment variable DOMICILE__REGIONS__EU__ENTITY",
        ),
        (&["routes", "0", "categories", "3"], "t.toml:17:1"),
    ] {
        assert_eq!(places.at(path).to_string(), place);
    }
}

#[test]
fn a_file_is_read_from_disk_and_its_folder_resolves_paths() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("domicile.toml");
    std::fs::write(&path, BASE).expect("written");
    let faults = Faults::new();
    let settings = read(&path, std::iter::empty(), &faults).expect("sound");
    assert_eq!(settings.policies, folder.path().join("policies"));
    std::fs::write(&path, b"\xff").expect("written");
    assert!(read(&path, std::iter::empty(), &faults).is_none());
    let absent = folder.path().join("absent.toml");
    assert!(read(&absent, std::iter::empty(), &faults).is_none());
    let told: Vec<String> = faults
        .into_sorted()
        .iter()
        .map(|f| f.message.clone())
        .collect();
    assert!(
        told[0].contains("cannot read") && told[1].contains("not UTF-8"),
        "{told:?}"
    );
}

const SECURE: &str = r#"policies = "policies"
location = { country = "SG", entity = "acme-sg" }
[data_plane]
trusted = ["10.0.0.0/8", "spiffe://acme/sg/app", "dns:App.sg"]
[data_plane.tls]
certificates = [{ chain = "tls/a.pem", key = "tls/a.key" }, { chain = "/b.pem", key = "/b.key" }]
client_ca = "tls/callers.pem"
[admin]
listen = "0.0.0.0:9090"
tls = { certificates = [{ chain = "a.pem", key = "a.key" }], client_ca = "ops.pem" }
[regions.eu]
country = "DE"
entity = "acme-eu"
endpoints = ["https://store.eu.internal:8443", "https://10.1.2.3:8443/base"]
ca_file = "eu-ca.pem"
identity = ["spiffe://acme/eu/store", "dns:store.eu.internal"]
tls = { chain = "router.pem", key = "router.key" }
http = "2"
[regions.sg]
country = "SG"
entity = "acme-sg"
endpoints = ["http://127.0.0.1:7105"]
http = "2"
[[routes]]
path = "/people/{subject}"
format = "opaque"
categories = ["user"]
"#;

#[test]
fn certificates_and_identities_are_read() {
    let settings = sound(SECURE, &[]);
    let plane = &settings.data_plane;
    assert_eq!(plane.trusted.len(), 1);
    let names: Vec<String> = plane
        .trusted_names
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(names, ["spiffe://acme/sg/app", "dns:app.sg"]);
    let tls = plane.tls.as_ref().expect("a listener with TLS");
    assert_eq!(
        tls.certificates[0].key,
        Path::new("/etc/domicile/tls/a.key")
    );
    assert_eq!(tls.certificates[1].chain, Path::new("/b.pem"));
    assert!(tls.requires_certificates() && tls.speaks_h2);
    assert!(!settings.admin.tls.as_ref().is_some_and(|t| t.speaks_h2));
    let eu = settings.regions[0].tls.as_ref().expect("TLS to the region");
    assert_eq!(eu.ca_file, Path::new("/etc/domicile/eu-ca.pem"));
    assert_eq!(eu.identity.len(), 2);
    assert_eq!(
        (eu.http, eu.certificate.is_some()),
        (HttpVersion::Two, true)
    );
    let sg = &settings.regions[1];
    assert_eq!((sg.http, sg.tls.is_some()), (HttpVersion::Two, false));
    let by_variable = [
        ("DOMICILE__REGIONS__EU__IDENTITY", "spiffe://acme/eu/new"),
        (
            "DOMICILE__DATA_PLANE__TLS__CERTIFICATES__0__KEY",
            "/other.key",
        ),
    ];
    let settings = sound(SECURE, &by_variable);
    let eu = settings.regions[0].tls.as_ref().expect("TLS to the region");
    assert_eq!(eu.identity[0].to_string(), "spiffe://acme/eu/new");
    let tls = settings
        .data_plane
        .tls
        .as_ref()
        .expect("a listener with TLS");
    assert_eq!(tls.certificates[0].key, Path::new("/other.key"));
}

#[test]
fn regions_that_prove_the_same_are_refused() {
    let same = SECURE
        .replace("\"http://127.0.0.1:7105\"", "\"https://127.0.0.1:7105\"")
        .replace(
            "http = \"2\"\n[[",
            "ca_file = \"eu-ca.pem\"\nidentity = [\"dns:store.eu.internal\"]\n[[",
        );
    let (read, faults) = read_with(&same, &[]);
    assert!(read.is_none());
    let message = "servers of `sg` and `eu` would both be `dns:store.eu.internal`";
    assert_eq!(faults[0].message, message);
    // Other authorities vouch for it, so it is somebody else.
    sound(
        &same.replacen("ca_file = \"eu-ca.pem\"", "ca_file = \"de-ca.pem\"", 1),
        &[],
    );
    // By host, without an identity.
    let hosts = same
        .replace("identity = [\"dns:store.eu.internal\"]\n", "")
        .replace(
            "identity = [\"spiffe://acme/eu/store\", \"dns:store.eu.internal\"]\n",
            "",
        )
        .replace("https://127.0.0.1:7105", "https://10.1.2.3:9");
    let (read, faults) = read_with(&hosts, &[]);
    assert!(read.is_none());
    let message = "servers of `sg` and `eu` would both be `ip:10.1.2.3`";
    assert_eq!(faults[0].message, message);
}
