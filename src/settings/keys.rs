//! Every key of the settings file, once: what it holds, its default, an example, its meaning.
//!
//! `docs/settings.md` is printed from this table, the environment is matched against it, and tests
//! hold the reader to it. The reader itself stays plain code: a table that also drove the reading
//! would need a small language for what one key demands of another.

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Dotted; `<name>` is a name of the user's choosing, `<n>` a place in a list, from 0.
    pub path: &'static str,
    pub kind: Kind,
    pub default: KeyDefault,
    /// As it would stand in TOML.
    pub example: &'static str,
    pub meaning: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Path,
    Address,
    Boolean,
    Number,
    /// From 0 to 1.
    Ratio,
    Size,
    Duration,
    /// Strings; in the environment separated by commas.
    List,
    /// A table whose keys are the user's; not from the environment.
    Map,
    /// Only from the environment, never from the file.
    Secret,
    /// Reserved: using it is an error that says 'not yet'.
    Later,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyDefault {
    Required,
    /// The thing is not there.
    Absent,
    /// A TOML value.
    Value(&'static str),
    /// What is worked out instead, in words.
    Computed(&'static str),
}

/// What a running router cannot exchange, such as open files and sockets; a reload that changes one
/// of these is refused ([`crate::router`] compares them). A section stands for all of its keys.
pub const RESTART: [&str; 13] = [
    "data_plane.listen",
    "data_plane.workers",
    "data_plane.tls",
    "admin.listen",
    "admin.tls",
    "access_log.path",
    "otlp",
    "probes.listen",
    "ledger.path",
    "directory.path",
    "directory.secret_file",
    "log.level",
    "log.json",
];

use KeyDefault::{Absent, Computed, Required, Value};

macro_rules! keys {
    ($($path:literal $kind:ident $default:expr, $example:literal: $meaning:literal;)*) => {
        &[$(Key {
            path: $path, kind: Kind::$kind, default: $default, example: $example, meaning: $meaning,
        }),*]
    };
}

pub static KEYS: &[Key] = keys! {
    "policies" Path Required, "\"policies\"":
        "Folder of the policy: `law/`, `vocabulary.toml` and, unless `organisation` says otherwise, `organisation.toml`.";
    "organisation" Path Computed("`organisation.toml` in `policies`"), "\"policies/examples/demo/organisation.toml\"":
        "The organisation's own policy file.";
    "mode" Text Value("\"enforce\""), "\"observe\"":
        "`enforce`, or `observe`: decide and log, but send everything to the region named by `observe_to`, where it goes today. Also of people who have a home elsewhere: their records are not found there.";
    "observe_to" Text Absent, "\"sg\"":
        "The region that gets everything in `observe` mode.";
    "operator_uri" Text Absent, "\"https://example.com/privacy\"":
        "Who refuses, and why: the `blocked-by` link of a 451 (RFC 7725). An http or https address.";
    "abroad" Later Absent, "\"redirect\"":
        "What happens to a record whose law wants no detour: forward, redirect, refuse.";

    "location.country" Text Required, "\"SG\"":
        "The country in which this router and its callers run: an ISO 3166-1 alpha-2 code, or a subdivision such as `CN-GD`.";
    "location.entity" Text Required, "\"acme-sg\"":
        "The legal person that runs this router and its callers, by its id in the organisation file.";

    "data_plane.listen" Address Value("\"127.0.0.1:8080\""), "\"0.0.0.0:8080\"":
        "Where callers connect.";
    "data_plane.trusted" List Value("[]"), "[\"127.0.0.1/32\"]":
        "Callers whose steering headers count: networks in CIDR notation, and names in client certificates (`spiffe://acme/sg/app`, `dns:app.sg.internal`; these need `tls.client_ca`). From everybody else the headers are stripped.";
    "data_plane.proxies" List Value("[]"), "[\"10.0.0.0/8\"]":
        "Networks whose `Forwarded` and `X-Forwarded-For` count. Where these name nobody but proxies, or are absent, `network` is no evidence. Without TLS, HTTP/2 serves `https` to them alone (docs/http.md).";
    "data_plane.workers" Number Computed("one per core"), "4":
        "Worker threads, each with its own runtime, accept queue and pools.";
    "data_plane.connections" Number Value("16384"), "2000":
        "Open connections over all workers; further ones wait in the accept queue.";
    "data_plane.concurrent_requests" Number Value("1024"), "256":
        "Requests at work at one time in one worker.";
    "data_plane.coalesce" Duration Value("\"50us\""), "\"0s\"":
        "How long a worker that has 8,000 requests a second or more, and is at work half of the time or more, lets events gather before it looks for them, up to `1ms`; the system's timer adds up to 50 µs of its own. Costs each wait of a request so much time, and saves up to a fifth of the processor's. `0s`: it always looks at once.";
    "data_plane.drain" Duration Value("\"25s\""), "\"5s\"":
        "How long a stopping router waits for requests at work. Keep it below the supervisor's own patience (30 s in Kubernetes).";
    "data_plane.drain_delay" Duration Value("\"0s\""), "\"5s\"":
        "How long a router that was told to stop (SIGTERM) goes on taking connections while `/readyz` fails already, so that load balancers notice first. Add it to the supervisor's patience.";
    "data_plane.tls.certificates.<n>.chain" Path Required, "\"tls/server.pem\"":
        "PEM file with a certificate of the listener and those that sign it. The caller's SNI picks among several by the names in them; the first serves everybody else. With the section the listener speaks TLS alone (docs/tls.md).";
    "data_plane.tls.certificates.<n>.key" Path Required, "\"tls/server.key\"":
        "PEM file with its private key.";
    "data_plane.tls.client_ca" Path Absent, "\"tls/callers-ca.pem\"":
        "Authorities that sign callers' certificates. Without it callers are not asked for one.";
    "data_plane.tls.client_certificates" Text Computed("`required` with `client_ca`"), "\"optional\"":
        "`required`: nobody gets in without a certificate; `optional`: who has one is known by it.";

    "admin.listen" Address Value("\"127.0.0.1:9090\""), "\"0.0.0.0:9090\"":
        "Metrics, health, reload and the `/v1/` API. Off loopback only with a token or required client certificates.";
    "admin.token_file" Path Absent, "\"/run/secrets/admin-token\"":
        "File with the bearer token that the admin listener asks for; blanks and newlines around it are dropped. Read again when it changes.";
    "admin.token" Secret Absent, "":
        "The token itself. Wins over `admin.token_file`.";
    "admin.tls.certificates.<n>.chain" Path Required, "\"tls/admin.pem\"":
        "As under `[data_plane.tls]`.";
    "admin.tls.certificates.<n>.key" Path Required, "\"tls/admin.key\"":
        "As under `[data_plane.tls]`.";
    "admin.tls.client_ca" Path Absent, "\"tls/operators-ca.pem\"":
        "Authorities that sign operators' certificates: whoever has one of theirs may use the listener.";
    "admin.tls.client_certificates" Text Computed("`required` with `client_ca`"), "\"optional\"":
        "As under `[data_plane.tls]`; only `required` stands for a token.";

    "probes.listen" Address Required, "\"0.0.0.0:9091\"":
        "A listener with `/livez` and `/readyz` alone, for kubelets. The section as a whole is optional. It has 64 connections at most, as `[admin]` has: one more closes the oldest that asks nothing.";

    "geoip.database" Path Value("\"embedded\""), "\"/var/lib/GeoIP/GeoLite2-Country.mmdb\"":
        "`embedded` (a public-domain country table that ages with the program), the path of a MaxMind database, or `off`: then `network` is never evidence. Addresses that a file's `traits` call hosting, proxy or anonymous are none; most files, and the embedded table, do not say so.";
    "geoip.field" Text Computed("the known vendors' fields"), "\"country.iso_code\"":
        "Dotted path of the country code in a record of your own database.";

    "jwt.keys" Path Required, "\"/etc/domicile/jwks.json\"":
        "JWKS file (RFC 7517) with the keys that verify callers' tokens. The section as a whole is optional. Without it a `jwt:` source of `country` is never evidence, of which `check` and the start warn; of any other key it is an error. Read are `Bearer` and `DPoP` tokens of which `typ` is absent, `JWT` or `at+jwt`.";
    "jwt.algorithms" List Value("[\"RS256\", \"ES256\", \"EdDSA\"]"), "[\"ES256\"]":
        "Algorithms that are accepted: `RS256`, `ES256`, `EdDSA`, `HS256`. `HS256` must be asked for by name.";
    "jwt.issuer" List Value("[]"), "[\"https://login.example.com\"]":
        "Accepted `iss` claims; empty: any.";
    "jwt.audience" List Value("[]"), "[\"storage\"]":
        "Accepted `aud` claims; empty: any, with a warning.";
    "jwt.leeway" Duration Value("\"60s\""), "\"5s\"":
        "Allowed clock difference for `exp` and `nbf`.";

    "ledger.path" Path Value("\"/var/lib/domicile/ledger\""), "\"ledger\"":
        "Folder of the ledger.";

    "directory.backend" Text Value("\"embedded\""), "\"embedded\"":
        "Where pins are kept: `embedded`. A `postgres://` address, for several replicas, is not supported yet.";
    "directory.path" Path Value("\"/var/lib/domicile/directory\""), "\"directory\"":
        "Folder of the embedded directory.";
    "directory.secret_file" Path Computed("created in `directory.path` on first start"), "\"/run/secrets/subject-key\"":
        "File with the secret behind subject keys: 32 bytes, raw or in hexadecimal or base64. Losing it orphans every pin.";
    "directory.secret" Secret Absent, "":
        "The secret itself, in hexadecimal or base64. Wins over `directory.secret_file`.";

    "limits.header_bytes" Size Value("\"64KiB\""), "\"32KiB\"":
        "Header block of a request: 431 beyond.";
    "limits.record_bytes" Size Value("\"1MiB\""), "\"4MiB\"":
        "One record, in a batch as by itself: 413 beyond.";
    "limits.batch_bytes" Size Value("\"64MiB\""), "\"16MiB\"":
        "One batch: 413 beyond.";
    "limits.batch_items" Number Value("100000"), "10000":
        "Items of one batch: 413 beyond.";
    "limits.header_read" Duration Value("\"10s\""), "\"5s\"":
        "The whole head, from the connection's or the request's first byte.";
    "limits.body_stall" Duration Value("\"30s\""), "\"10s\"":
        "No progress in a body or its trailers.";
    "limits.connect" Duration Value("\"3s\""), "\"500ms\"":
        "Connecting to a backend.";
    "limits.response" Duration Value("\"30s\""), "\"2m\"":
        "From the request to the backend's first byte.";
    "limits.idle" Duration Value("\"75s\""), "\"5m\"":
        "How long a connection may rest between requests.";
    "limits.memory" Size Computed("a third of the memory that the process may use (its cgroup's limit, else the machine's), at most `8GiB`"), "\"512MiB\"":
        "Callers' bodies held in memory at one time, over all workers, and what is held of a batch's items beside (192 bytes each, in a bulk request 512 and the regions' answers; of a refused one up to 384 more); a streamed body over HTTP/2 counts with up to 256 KiB that its region has not taken: 503 with `Retry-After` beyond. Not less than `record_bytes`, and than `batch_bytes` with that for `batch_items`, or the largest never pass: `check` and the start warn of it, as of `record_bytes` above `batch_bytes`.";

    "reload.watch" Text Value("\"volumes\""), "\"always\"":
        "Which files of settings and policy are loaded again by themselves within a few seconds of a change: `volumes` (those in volumes that Kubernetes mounts, known by their `..data` link, which are exchanged as a whole), `always`, or `never`. SIGHUP and `POST /-/reload` load all of them in any case.";

    "log.json" Boolean Value("false"), "true":
        "One JSON object a line instead of text.";
    "log.level" Text Computed("`info`"), "\"warn,domicile=debug\"":
        "`error`, `warn`, `info`, `debug`, `trace`, or a filter by module. Of `h2` and `hyper`, which quote what callers sent, no filter brings out more than warnings, and filters by span are passed over.";

    "access_log.path" Path Required, "\"/var/log/domicile/access.log\"":
        "`stdout`, or the file to which a line of JSON is appended for each request (docs/failure.md). SIGHUP opens it anew. The section as a whole is optional: without it there is no access log.";

    "otlp.endpoint" Text Required, "\"http://127.0.0.1:4318\"":
        "The collector to which traces go over OTLP/HTTP; without a path, to its `/v1/traces`. Only in programs built with the feature `otlp` (docs/traces.md). The section as a whole is optional: without it there are no traces.";
    "otlp.ca_file" Path Absent, "\"tls/collector-ca.pem\"":
        "PEM file with the authorities that sign the collector; no others are believed. Required for `https`.";
    "otlp.identity" List Computed("the host of the endpoint"), "[\"dns:collector.internal\"]":
        "Who the collector must be, as for a region.";
    "otlp.tls.chain" Path Required, "\"tls/router.pem\"":
        "PEM file with the client certificate that the collector asks for. The table as a whole is optional.";
    "otlp.tls.key" Path Required, "\"tls/router.key\"":
        "PEM file with its private key.";
    "otlp.headers_file" Path Absent, "\"/run/secrets/otlp-headers\"":
        "File with fields for each request to the collector, such as its API key: `name=value`, separated by commas or line ends, values percent-encoded (as `OTEL_EXPORTER_OTLP_HEADERS`).";
    "otlp.headers" Secret Absent, "":
        "The fields themselves, in the same form. Win over `otlp.headers_file`.";
    "otlp.sample" Ratio Value("1.0"), "0.01":
        "Share of the requests without a trace of their caller's that are told. Of others their caller has decided (`traceparent`).";
    "otlp.service" Text Value("\"domicile\""), "\"domicile-sg\"":
        "How the router is called in traces: `service.name`.";
    "otlp.timeout" Duration Value("\"10s\""), "\"2s\"":
        "For one request to the collector.";

    "regions.<name>.country" Text Required, "\"DE\"":
        "Where the region's storage stands: ISO 3166-1 alpha-2, or a subdivision such as `CN-GD`. Region names are lower-case letters, digits and `-`.";
    "regions.<name>.entity" Text Required, "\"acme-eu\"":
        "The legal person that runs it, by its id in the organisation file.";
    "regions.<name>.endpoints" List Required, "[\"http://store.eu.internal:8080\"]":
        "The region's servers: `https://host:port` or `http://host:port`, with a path prefix if need be.";
    "regions.<name>.ca_file" Path Absent, "\"tls/eu-ca.pem\"":
        "PEM file with the authorities that sign the region's servers; no others are believed. Required for `https`.";
    "regions.<name>.identity" List Computed("the host of the endpoint"), "[\"spiffe://acme/eu/store\"]":
        "Who the region's servers must be: any one of these names must stand in their certificate (`spiffe://…` letter by letter, or `dns:…` in either case). Else they get nothing.";
    "regions.<name>.resume" Boolean Value("false"), "true":
        "Let a new connection resume a TLS session. Cheaper, but the server shows no certificate then: whoever shares the keys of its session tickets passes for it.";
    "regions.<name>.http" Text Value("\"1.1\""), "\"2\"":
        "`1.1`, or `2`: HTTP/2, by prior knowledge on `http://`, by ALPN on `https://`.";
    "regions.<name>.tls.chain" Path Required, "\"tls/router.pem\"":
        "PEM file with the client certificate that the region's servers ask for. The table as a whole is optional.";
    "regions.<name>.tls.key" Path Required, "\"tls/router.key\"":
        "PEM file with its private key.";

    "regions.<name>.concurrent_requests" Number Computed("half of `data_plane.concurrent_requests`, at least 64"), "128":
        "Requests at work in the region at one time in one worker, so that a slow region leaves the others room. Half as many, at least 64, wait; the rest is refused with 503.";
    "regions.<name>.queue_wait" Duration Computed("`limits.connect`"), "\"500ms\"":
        "How long a request waits for a place before it is refused with 503.";
    "regions.<name>.health.path" Text Required, "\"/healthz\"":
        "Each server of the region is asked for this path, and a 2xx is health. The table as a whole is optional: without it a server is known only by how it answers requests.";
    "regions.<name>.health.interval" Duration Value("\"5s\""), "\"10s\"":
        "From one check to the next.";
    "regions.<name>.health.timeout" Duration Value("\"2s\""), "\"1s\"":
        "For one check as a whole.";
    "regions.<name>.health.healthy" Number Value("2"), "1":
        "Good checks in a row that bring a server back.";
    "regions.<name>.health.unhealthy" Number Value("3"), "2":
        "Bad checks in a row that put a server aside. One that has never been checked counts as good.";

    "recipients.<name>.endpoints" List Required, "[\"http://gateway.internal:8300\"]":
        "Servers of a recipient of the organisation file, by its id there; written as a region's. Several recipients may share one.";
    "recipients.<name>.country" Text Computed("the country of its entity"), "\"CN\"":
        "Where its servers stand.";
    "recipients.<name>.headers" List Value("[]"), "[\"authorization\"]":
        "Fields of the caller's request that go on to it beside `content-type` and `accept`. All others stay behind.";
    "recipients.<name>.transaction" Text Absent, "\"vendor\"":
        "What disclosures to it count as under 28 CFR 202, where neither route nor caller says it.";
    "recipients.<name>.ca_file" Path Absent, "\"tls/maps-ca.pem\"":
        "As a region's.";
    "recipients.<name>.identity" List Computed("the host of the endpoint"), "[\"dns:gateway.internal\"]":
        "As a region's.";
    "recipients.<name>.resume" Boolean Value("false"), "true":
        "As a region's.";
    "recipients.<name>.http" Text Value("\"1.1\""), "\"2\"":
        "As a region's.";
    "recipients.<name>.tls.chain" Path Required, "\"tls/router.pem\"":
        "As a region's.";
    "recipients.<name>.tls.key" Path Required, "\"tls/router.key\"":
        "As a region's.";

    "schemas.<name>.fields" Map Required, "{ \"/email\" = \"user.contact.email\" }":
        "JSON pointers (RFC 6901; `*` is every element of an array) and the category each holds.";
    "schemas.<name>.strict" Boolean Value("false"), "true":
        "Refuse records with fields that are not listed, so that new personal data cannot slip through unseen.";

    "routes.<n>.path" Text Required, "\"/people/{subject}\"":
        "Path template: `{name}` is one segment, `{name...}` at the end the rest.";
    "routes.<n>.name" Text Computed("the path template"), "\"people\"":
        "How the route is called in logs, metrics and the ledger.";
    "routes.<n>.host" Text Absent, "\"people.example.com\"":
        "Only requests for this host.";
    "routes.<n>.methods" List Computed("all"), "[\"GET\", \"PUT\"]":
        "`GET` (brings `HEAD`), `HEAD`, `POST`, `PUT`, `PATCH`, `DELETE`.";
    "routes.<n>.content_type" Text Absent, "\"application/x-ndjson\"":
        "Only requests with this media type; two routes may differ in this alone. Also for clients that send records under a type that is none of JSON, which is 415 elsewhere.";
    "routes.<n>.format" Text Required, "\"record\"":
        "`record` (one JSON object), `form` (one record as HTML forms send it, `application/x-www-form-urlencoded`), `array`, `ndjson`, `bulk` (Elasticsearch's and OpenSearch's `_bulk`), or `opaque` (the body is streamed unread). `object` is not supported yet.";
    "routes.<n>.namespace" Text Value("\"person\""), "\"patient\"":
        "Routes of one namespace share subjects and their pins.";
    "routes.<n>.subject" Text Computed("the steering header alone"), "\"path:subject\"":
        "Whose record it is: a source (see below). Required but for `opaque`; `body:` for `array` and `ndjson`; `bulk:id` (the item's `_id`) or `body:` for `bulk`. A text that is not empty, or a whole number of 64 bits in plain digits: `7.0` is nobody's.";
    "routes.<n>.country" List Value("[\"pinned\"]"), "[\"jwt:country\", \"body:/country\", \"body:/phone\", \"pinned\", \"network\"]":
        "Evidence of the person's country, strongest first: sources. What stands there counts as an ISO 3166-1 code of letters, as a telephone number, and as weaker kinds of evidence a national number with its check digits (China's, Singapore's, Russia's SNILS as it is printed, Spain's, Italy's), a locale with a region (`pt-BR`, `en_IN.UTF-8`) or a time zone (`Asia/Kolkata`); `null`, an empty text, `true`, `false` and a number without a country (of four digits at least, or of zeros) say nothing, and anything else is 422: no weaker evidence is taken in its place. In a query a number begins with `%2B`. Postal addresses in words are not read.";
    "routes.<n>.born" Text Absent, "\"header:x-born\"":
        "Where a token (`jwt:birthdate`) or a trusted caller's header says when the person was born. Fields of the body tell it by their category; of several days the latest counts, and of several ages the lowest.";
    "routes.<n>.target" Text Value("\"header:domicile-target\""), "\"header:x-target-region\"":
        "Where a trusted caller names a region other than home.";
    "routes.<n>.operation" Text Value("\"header:domicile-operation\""), "\"header:x-operation\"":
        "Where a trusted caller asks for `replicate` or `relocate`.";
    "routes.<n>.ground" Text Value("\"header:domicile-ground\""), "\"header:x-ground\"":
        "Where a trusted caller asserts a ground.";
    "routes.<n>.purpose" Text Value("\"header:domicile-purpose\""), "\"service\"":
        "The route's purpose in one word, or the source from which a trusted caller's is read.";
    "routes.<n>.subject_kind" Text Value("\"header:domicile-subject-kind\""), "\"employee\"":
        "Whom the route's records are about: `customer`, `employee` or `other`; or the source from which a trusted caller's word is read. Nobody says it: a customer.";
    "routes.<n>.basis" Text Value("\"header:domicile-basis\""), "\"contract\"":
        "The legal basis of the processing: `consent`, `contract`, `legal-obligation`, `vital-interest`, `public-task`, `legitimate-interests`; or a source. With `consent`, laws ask the register of consents.";
    "routes.<n>.transaction" Text Value("\"header:domicile-transaction\""), "\"vendor\"":
        "What the flows count as under 28 CFR 202: `brokerage`, `vendor`, `employment`, `investment`, `corporate-group`, `other`; or a source. Nobody says it: it may be any of them.";
    "routes.<n>.special_ground" Text Value("\"header:domicile-special-ground\""), "\"h\"":
        "The letter of GDPR Art. 9(2), `a` to `j`, by which special categories are processed; or a source. Recorded in the ledger.";
    "routes.<n>.steer_country" Text Value("\"header:domicile-country\""), "\"header:x-country\"":
        "Where a trusted caller attests the person's country.";
    "routes.<n>.steer_subject" Text Value("\"header:domicile-subject\""), "\"header:x-subject\"":
        "Where a trusted caller names the subject.";
    "routes.<n>.schema" Text Absent, "\"person\"":
        "The schema that says what the body holds.";
    "routes.<n>.categories" List Value("[]"), "[\"user.content\"]":
        "Categories of the route as a whole, where no schema reads the body. Neither: `user`.";
    "routes.<n>.conflict" Text Value("\"all\""), "\"refuse\"":
        "What disagreeing evidence does. `all`: the strongest gives the home and every law evidenced by declared strength or better must permit; `first`; `refuse`: all but `pinned` and `network` name one country, a trusted caller's word included, and of a known subject one that its pin knows. Erasures of known subjects are not refused for it.";
    "routes.<n>.pin" Text Value("\"always\""), "\"weak\"":
        "When a subject's home is remembered: `always`, `weak` (only when the evidence is weaker than declared, or a copy goes abroad), `never`: nothing is known of where copies lie, so an erasure reaches the home alone.";
    "routes.<n>.unknown_home" Text Value("\"refuse\""), "\"sg\"":
        "What happens without evidence: `refuse` (422), or the region that takes such records. On an `opaque` route without `subject`, what is read is read there.";
    "routes.<n>.upstream" Text Value("\"batch\""), "{ each = \"PUT /people/{subject}\" }":
        "How a batch goes to a region: `batch`, one part of it in the caller's form, or `{ each = \"METHOD /path\" }`, one request a record. How a disclosure goes to its recipient: `{ each = \"METHOD /path\" }`.";
    "routes.<n>.upstream.each" Text Absent, "\"PUT /people/{subject}\"":
        "Method and path template of one record's request; `{subject}` is the record's.";
    "routes.<n>.atomic" Boolean Value("false"), "true":
        "Send nothing of a batch when any item is refused.";
    "routes.<n>.answers" Text Value("\"full\""), "\"status-only\"":
        "`full`: bodies flow back where that read is permitted; `status-only`: never.";
    "routes.<n>.erase" Text Value("\"record\""), "\"subject\"":
        "What a `DELETE` asks for. `record`: the record goes, its subject stays known; `subject`: the account ends, and once home and all copies have confirmed, the subject's pin goes too.";
    "routes.<n>.role" Text Absent, "\"processor\"":
        "The location's role on this route: `controller` or `processor`. Else the instrument's, else the entity's.";
    "routes.<n>.order" Text Value("\"header:domicile-order\""), "\"header:x-order\"":
        "Where a trusted caller names the order of an authority that a disclosure obeys.";
    "routes.<n>.recipient" Text Absent, "\"map-provider\"":
        "Makes it a route that discloses to this recipient. For `record` alone; takes `POST`, `PUT`, `PATCH`. The recipient gets the body, at the route's path or at `upstream`'s; `{names}` stay out of it, and a query is refused.";
    "routes.<n>.indices" List Absent, "[\"people\", \"people-*\"]":
        "Required for `bulk`: the indices whose items are this route's, by name or by the start of names and a `*`. Several routes may share a path and differ in this alone; an item that none takes is refused.";
    "routes.<n>.pipelines" List Absent, "[\"add-timestamp\"]":
        "Ingest pipelines that items of a `bulk` may name. List only those that leave alone whose record it is and what it holds.";
    "routes.<n>.discover" Boolean Value("false"), "true":
        "Look for personal data in every field, by its name in the languages of the regions and by what its values look like (check digits included), and add the categories found to the record's: docs/decision.md says how. Each record is read a second time, and nothing is learnt of those before. Not for `opaque`, whose body is not read, nor for routes with a `recipient`, whose fields a schema lists.";
};

impl Key {
    /// The part of the path before the last dot; empty at the top.
    pub fn section(&self) -> &'static str {
        self.path
            .rsplit_once('.')
            .map_or("", |(section, _)| section)
    }

    /// The part of the path after the last dot.
    pub fn name(&self) -> &'static str {
        self.path
            .rsplit_once('.')
            .map_or(self.path, |(_, name)| name)
    }

    /// The environment variable that sets it.
    pub fn variable(&self) -> String {
        let path = self.path.replace('.', "__");
        format!("DOMICILE__{}", path.to_uppercase())
    }
}
