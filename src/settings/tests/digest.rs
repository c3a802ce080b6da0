//! What the digest of the settings holds, and what it does not.

use super::{reference::with, sound};
use crate::{
    domain::Digest,
    settings::{KEYS, Key, KeyKind, digest},
};

/// Everything that decides, each key on a line of its own.
pub(super) const WHOLE: &str = r#"policies = "policies"
mode = "observe"
observe_to = "sg"
[location]
country = "SG"
entity = "acme-sg"
[data_plane]
trusted = ["10.1.0.0/16", "dns:app.internal"]
proxies = ["10.2.0.0/16"]
[data_plane.tls]
client_ca = "ca.pem"
[[data_plane.tls.certificates]]
chain = "a.pem"
key = "a.key"
[geoip]
database = "a.mmdb"
field = "country"
[jwt]
keys = "jwks.json"
algorithms = ["RS256", "ES256"]
issuer = ["https://a.example", "https://b.example"]
audience = ["storage"]
leeway = "60s"
[regions.eu]
country = "DE"
entity = "acme-eu"
endpoints = ["http://127.0.0.1:7104"]
[regions.sg]
country = "SG"
entity = "acme-sg"
endpoints = ["http://127.0.0.1:7105"]
[recipients.maps]
endpoints = ["http://127.0.0.1:7205"]
country = "SG"
headers = ["accept-language", "x-tier"]
transaction = "vendor"
[recipients.rides]
endpoints = ["http://127.0.0.1:7206"]
country = "SG"
headers = ["accept-language", "x-tier"]
transaction = "vendor"
[schemas.person]
strict = false
[schemas.person.fields]
"/email" = "user.contact.email"
"/name" = "user.name"
[[routes]]
path = "/people/{subject}"
name = "people"
host = "a.example"
methods = ["GET", "PUT"]
content_type = "application/json"
format = "record"
namespace = "person"
subject = "path:subject"
country = ["body:/country", "pinned", "network"]
born = "jwt:birthdate"
target = "header:x-target"
operation = "header:x-operation"
ground = "header:x-ground"
purpose = "service"
subject_kind = "customer"
basis = "contract"
transaction = "other"
special_ground = "h"
steer_country = "header:x-country"
steer_subject = "header:x-subject"
order = "header:x-order"
schema = "person"
conflict = "all"
pin = "always"
unknown_home = "sg"
answers = "full"
erase = "record"
role = "processor"
[[routes]]
path = "/files/{subject}"
format = "opaque"
subject = "path:subject"
categories = ["user.content", "user.name"]
[[routes]]
path = "/batches"
format = "array"
subject = "body:/id"
discover = false
atomic = false
upstream = { each = "PUT /people/{subject}" }
[[routes]]
path = "/maps"
format = "record"
subject = "body:/id"
schema = "person"
recipient = "maps"
upstream = { each = "POST /v1/location" }
[[routes]]
path = "/_bulk"
format = "bulk"
subject = "bulk:id"
indices = ["people", "orders"]
pipelines = ["stamp", "clean"]
"#;

/// A key that decides, a line of [`WHOLE`], and the line that says something else.
const DECIDING: &[(&str, &str, &str)] = &[
    ("mode", "mode = \"observe\"\nobserve_to = \"sg\"\n", ""),
    ("observe_to", "observe_to = \"sg\"", "observe_to = \"eu\""),
    (
        "location.country",
        "country = \"SG\"\nentity = \"acme-sg\"\n[data",
        "country = \"MY\"\nentity = \"acme-sg\"\n[data",
    ),
    (
        "location.entity",
        "entity = \"acme-sg\"\n[data",
        "entity = \"acme-my\"\n[data",
    ),
    ("data_plane.trusted", "10.1.0.0/16", "10.0.0.0/15"),
    ("data_plane.trusted", "dns:app.internal", "dns:api.internal"),
    ("data_plane.proxies", "10.2.0.0/16", "10.3.0.0/16"),
    (
        "geoip.database",
        "database = \"a.mmdb\"\nfield = \"country\"",
        "database = \"off\"",
    ),
    (
        "geoip.database",
        "database = \"a.mmdb\"\nfield = \"country\"",
        "database = \"embedded\"",
    ),
    ("geoip.field", "field = \"country\"", "field = \"iso\""),
    (
        "jwt.algorithms",
        "[\"RS256\", \"ES256\"]",
        "[\"RS256\", \"EdDSA\"]",
    ),
    ("jwt.issuer", "https://a.example", "https://c.example"),
    ("jwt.audience", "[\"storage\"]", "[\"store\"]"),
    ("jwt.leeway", "\"60s\"", "\"61s\""),
    (
        "regions.<name>.country",
        "country = \"DE\"",
        "country = \"FR\"",
    ),
    ("regions.<name>.entity", "\"acme-eu\"", "\"acme-fr\""),
    (
        "recipients.<name>.country",
        "country = \"SG\"\nheaders",
        "country = \"MY\"\nheaders",
    ),
    ("recipients.<name>.headers", "x-tier", "cookie"),
    (
        "recipients.<name>.transaction",
        "\"vendor\"",
        "\"employment\"",
    ),
    (
        "schemas.<name>.fields",
        "\"/name\" = \"user.name\"",
        "\"/name\" = \"user\"",
    ),
    (
        "schemas.<name>.fields",
        "\"/name\" = \"user.name\"",
        "\"/nick\" = \"user.name\"",
    ),
    ("schemas.<name>.strict", "strict = false", "strict = true"),
    ("routes.<n>.path", "\"/_bulk\"", "\"/x/_bulk\""),
    ("routes.<n>.name", "\"people\"\nhost", "\"persons\"\nhost"),
    ("routes.<n>.host", "\"a.example\"", "\"b.example\""),
    (
        "routes.<n>.methods",
        "[\"GET\", \"PUT\"]",
        "[\"GET\", \"POST\"]",
    ),
    (
        "routes.<n>.content_type",
        "application/json",
        "application/jsonl",
    ),
    (
        "routes.<n>.format",
        "format = \"array\"",
        "format = \"ndjson\"",
    ),
    (
        "routes.<n>.namespace",
        "namespace = \"person\"",
        "namespace = \"patient\"",
    ),
    (
        "routes.<n>.subject",
        "subject = \"bulk:id\"",
        "subject = \"body:/id\"",
    ),
    (
        "routes.<n>.country",
        "\"pinned\", \"network\"",
        "\"network\", \"pinned\"",
    ),
    ("routes.<n>.born", "jwt:birthdate", "jwt:born"),
    ("routes.<n>.target", "x-target", "x-to"),
    ("routes.<n>.operation", "x-operation", "x-do"),
    ("routes.<n>.ground", "x-ground", "x-why"),
    ("routes.<n>.purpose", "\"service\"", "\"support\""),
    ("routes.<n>.purpose", "\"service\"", "\"header:x-purpose\""),
    ("routes.<n>.subject_kind", "\"customer\"", "\"employee\""),
    (
        "routes.<n>.subject_kind",
        "\"customer\"",
        "\"header:x-kind\"",
    ),
    ("routes.<n>.basis", "\"contract\"", "\"consent\""),
    (
        "routes.<n>.transaction",
        "transaction = \"other\"",
        "transaction = \"vendor\"",
    ),
    ("routes.<n>.special_ground", "\"h\"", "\"i\""),
    ("routes.<n>.steer_country", "x-country", "x-land"),
    ("routes.<n>.steer_subject", "x-subject", "x-who"),
    ("routes.<n>.order", "x-order", "x-warrant"),
    (
        "routes.<n>.schema",
        "schema = \"person\"\nconflict",
        "conflict",
    ),
    ("routes.<n>.categories", "\"user.content\"", "\"user\""),
    (
        "routes.<n>.conflict",
        "conflict = \"all\"",
        "conflict = \"first\"",
    ),
    ("routes.<n>.pin", "pin = \"always\"", "pin = \"weak\""),
    (
        "routes.<n>.unknown_home",
        "unknown_home = \"sg\"",
        "unknown_home = \"refuse\"",
    ),
    (
        "routes.<n>.unknown_home",
        "unknown_home = \"sg\"",
        "unknown_home = \"eu\"",
    ),
    (
        "routes.<n>.upstream",
        "upstream = { each = \"PUT /people/{subject}\" }",
        "upstream = \"batch\"",
    ),
    ("routes.<n>.upstream.each", "PUT /people", "PUT /customers"),
    (
        "routes.<n>.upstream.each",
        "POST /v1/location",
        "PUT /v1/location",
    ),
    ("routes.<n>.atomic", "atomic = false", "atomic = true"),
    ("routes.<n>.discover", "discover = false", "discover = true"),
    ("routes.<n>.answers", "\"full\"", "\"status-only\""),
    (
        "routes.<n>.erase",
        "erase = \"record\"",
        "erase = \"subject\"",
    ),
    ("routes.<n>.role", "\"processor\"", "\"controller\""),
    (
        "routes.<n>.recipient",
        "recipient = \"maps\"",
        "recipient = \"rides\"",
    ),
    ("routes.<n>.indices", "\"orders\"", "\"orders*\""),
    ("routes.<n>.pipelines", "\"clean\"", "\"wash\""),
];

/// Keys that decide nothing, or name a file whose content is told in another way.
const OTHERS: &[&str] = &[
    "policies",
    "organisation",
    "operator_uri",
    "data_plane.listen",
    "data_plane.workers",
    "data_plane.connections",
    "data_plane.concurrent_requests",
    "data_plane.coalesce",
    "data_plane.drain",
    "data_plane.drain_delay",
    "data_plane.tls.",
    "admin.",
    "probes.",
    "jwt.keys",
    "ledger.",
    "directory.",
    "limits.",
    "reload.",
    "log.",
    "access_log.",
    "otlp.",
    "regions.<name>.endpoints",
    "regions.<name>.ca_file",
    "regions.<name>.identity",
    "regions.<name>.resume",
    "regions.<name>.http",
    "regions.<name>.concurrent_requests",
    "regions.<name>.queue_wait",
    "regions.<name>.tls.",
    "regions.<name>.health.",
    "recipients.<name>.endpoints",
    "recipients.<name>.ca_file",
    "recipients.<name>.identity",
    "recipients.<name>.resume",
    "recipients.<name>.http",
    "recipients.<name>.tls.",
];

fn is_other(key: &Key) -> bool {
    OTHERS.iter().any(|other| match other.ends_with('.') {
        true => key.path.starts_with(other),
        false => key.path == *other,
    })
}

fn of(text: &str) -> Digest {
    digest(&sound(text, &[]), &[])
}

/// [`WHOLE`] with `old`, which stands in it, replaced by `new`.
fn but(old: &str, new: &str) -> String {
    assert!(WHOLE.contains(old), "{old}");
    WHOLE.replacen(old, new, 1)
}

#[test]
fn every_key_is_known_to_decide_or_not() {
    for key in KEYS.iter().filter(|key| key.kind != KeyKind::Later) {
        let decides = DECIDING.iter().any(|(path, _, _)| *path == key.path);
        assert_ne!(decides, is_other(key), "{}", key.path);
    }
    for other in OTHERS {
        assert!(KEYS.iter().any(|k| k.path.starts_with(other)), "{other}");
    }
}

#[test]
fn each_setting_that_decides_makes_another_digest() {
    let mut seen = vec![(of(WHOLE), "as it stands")];
    for (key, old, new) in DECIDING {
        let digest = of(&but(old, new));
        let known = seen.iter().find(|(d, _)| *d == digest);
        assert_eq!(known, None, "{key}: {new}");
        seen.push((digest, new));
    }
}

#[test]
fn each_other_setting_makes_none() {
    let mut changed = 0;
    for key in KEYS.iter().filter(|key| is_other(key)) {
        let needs_files = key.path.ends_with("_file") && !key.path.ends_with("ca_file");
        if matches!(key.kind, KeyKind::Later | KeyKind::Secret) || needs_files {
            continue;
        }
        let value = match key.path {
            "admin.listen" => "\"127.0.0.1:9999\"",
            _ => key.example,
        };
        let line = format!("{} = {value}", key.name());
        let one = sound(&with(key.section(), ""), &[]);
        let other = sound(&with(key.section(), &line), &[]);
        assert_eq!(digest(&one, &[]), digest(&other, &[]), "{}", key.path);
        changed += usize::from(one != other);
    }
    // A few examples say what holds anyway.
    assert!(changed > 45, "{changed}");
}

/// A digest stands where many can read it: whoever guessed a secret could compare.
#[test]
fn secrets_are_in_no_digest() {
    let given = [
        ("DOMICILE__DIRECTORY__SECRET", "61".repeat(32)),
        ("DOMICILE__ADMIN__TOKEN", "t".repeat(40)),
    ];
    let given: Vec<(&str, &str)> = given.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let settings = sound(WHOLE, &given);
    assert!(settings.directory.secret.is_some() && settings.admin.token.is_some());
    assert_eq!(digest(&settings, &[]), of(WHOLE));
}

#[test]
fn form_order_and_source_do_not_count() {
    let whole = of(WHOLE);
    // Sections in another order, with comments, and lists whose order means nothing.
    let (before, regions) = WHOLE.split_once("[regions.eu]").unwrap();
    let (regions, recipients) = regions.split_once("[recipients").unwrap();
    let (recipients, schemas) = recipients.split_once("[schemas").unwrap();
    let (schemas, routes) = schemas.split_once("[[routes]]").unwrap();
    let (eu, sg) = regions.split_once("[regions.sg]").unwrap();
    let mut text = format!(
        "{before}# why\n[schemas{schemas}[recipients{recipients}[regions.sg]{sg}[regions.eu]{eu}[[routes]]{routes}"
    );
    for (old, new) in [
        ("\"RS256\", \"ES256\"", "\"ES256\", \"RS256\""),
        ("\"GET\", \"PUT\"", "\"PUT\", \"GET\""),
        (
            "\"https://a.example\", \"https://b.example\"",
            "\"https://b.example\", \"https://a.example\"",
        ),
        (
            "\"accept-language\", \"x-tier\"",
            "\"X-Tier\", \"accept-language\"",
        ),
        (
            "\"user.content\", \"user.name\"",
            "\"user.name\", \"user.content\"",
        ),
        ("\"people\", \"orders\"", "\"orders\", \"people\""),
        ("\"stamp\", \"clean\"", "\"clean\", \"stamp\""),
        (
            "\"10.1.0.0/16\", \"dns:app.internal\"",
            "\"dns:app.internal\", \"10.1.128.0/17\", \"10.1.0.0/17\"",
        ),
        ("\"60s\"", "\"1m\""),
        ("[schemas.person]", "[schemas.human]"),
        ("[schemas.person.fields]", "[schemas.human.fields]"),
        ("a.mmdb", "elsewhere/b.mmdb"),
    ] {
        assert!(text.contains(old), "{old}");
        text = text.replacen(old, new, 1);
    }
    let text = text.replace("schema = \"person\"", "schema = \"human\"");
    assert_eq!(of(&text), whole);
    // What nobody uses decides nothing, and a default may be written out.
    let more = "[schemas.unused]\nfields = { \"/x\" = \"user\" }\n[recipients.unused]\nendpoints = [\"http://127.0.0.1:7207\"]\n";
    assert_eq!(of(&but("[[routes]]", &format!("{more}[[routes]]"))), whole);
    let written = but("path = \"/_bulk\"", "path = \"/_bulk\"\npin = \"always\"");
    assert_eq!(of(&written), whole);
    // From the environment.
    let silent = but("conflict = \"all\"\n", "");
    let silent = silent.replacen("unknown_home = \"sg\"\n", "", 1);
    let silent = silent.replacen("entity = \"acme-eu\"", "entity = \"acme\"", 1);
    assert_ne!(of(&silent), whole);
    let given = [
        ("DOMICILE__ROUTES__0__UNKNOWN_HOME", "sg"),
        ("DOMICILE__REGIONS__EU__ENTITY", "acme-eu"),
    ];
    assert_eq!(digest(&sound(&silent, &given), &[]), whole);
}

/// The first route that takes a request has it.
#[test]
fn the_order_of_routes_counts() {
    let (before, bulk) = WHOLE.split_once("[[routes]]\npath = \"/_bulk\"").unwrap();
    let (head, routes) = before.split_once("[[routes]]").unwrap();
    let text = format!("{head}[[routes]]\npath = \"/_bulk\"{bulk}[[routes]]{routes}");
    assert_ne!(of(&text), of(WHOLE));
}

#[test]
fn keys_for_tokens_count_in_any_order() {
    let settings = sound(WHOLE, &[]);
    let of = |keys: &[&str]| {
        let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
        digest(&settings, &keys)
    };
    assert_eq!(of(&["a", "b"]), of(&["b", "a"]));
    assert_ne!(of(&["a", "b"]), of(&["a"]));
    assert_ne!(of(&["a", "b"]), of(&["a,b"]));
}

#[test]
fn networks_of_all_addresses_can_be_told() {
    let all = but("10.2.0.0/16", "0.0.0.0/0");
    let more = but("\"10.2.0.0/16\"", "\"10.0.0.0/8\", \"0.0.0.0/0\"");
    assert_eq!(of(&all), of(&more));
    let of_six = but("10.2.0.0/16", "::/0");
    assert_ne!(of(&of_six), of(&all));
}

/// The same settings have the same digest in every release: ledgers of years are compared by it.
/// When this fails, the form has changed; then the number in it must, too.
#[test]
fn the_form_stands() {
    let keys = ["[\"HS256\",null,[]]".to_owned()];
    assert_eq!(
        digest(&sound(WHOLE, &[]), &keys).to_string(),
        "sha256:11598a47356e7ce93d4a3180eb5539eb02756496e10b6c2329f8993545d128d3"
    );
}
