//! Settings with one mistake each, and how it is told.

/// Appends to the last section of [`BASE`], which is the route.
pub const ROUTE: &str = "";

/// What is replaced in the sound settings, by what, and the one fault: place, message (and hint).
pub const BROKEN: &[(&str, &str, &str)] = &[
    // Files as a whole.
    ("policies = \"policies\"\n", "policies = \n", "1:12: "),
    (
        "policies = \"policies\"\n",
        "policies = \"a\"\npolicies = \"b\"\n",
        "2:1: duplicate key",
    ),
    (
        "policies = \"policies\"\n",
        "polices = \"p\"\npolicies = \"p\"\n",
        "1:1: unknown key `polices` (did you mean `policies`?)",
    ),
    (
        "policies = \"policies\"\n",
        "policies = 7\n",
        "1:12: expected a string, found a whole number",
    ),
    (
        "policies = \"policies\"\n",
        "policies = \"\"\n",
        "1:12: expected a path",
    ),
    (
        "location = {",
        "loc = 1\nlocation = {",
        "2:1: unknown key `loc` (did you mean `log`?)",
    ),
    // The top.
    (
        "policies = \"policies\"\n",
        "policies = \"p\"\nmode = \"enforced\"\n",
        "2:8: `enforced` is not known here (did you mean `enforce`?)",
    ),
    (
        "policies = \"policies\"\n",
        "policies = \"p\"\nreload = { watch = \"volume\" }\n",
        "2:20: `volume` is not known here (did you mean `volumes`?)",
    ),
    (
        "policies = \"policies\"\n",
        "policies = \"p\"\nmode = \"observe\"\n",
        "2:8: `observe` needs `observe_to`",
    ),
    (
        "policies = \"policies\"\n",
        "policies = \"p\"\nmode = \"observe\"\nobserve_to = \"us\"\n",
        "3:14: there is no region `us`",
    ),
    (
        "policies = \"policies\"\n",
        "policies = \"p\"\noperator_uri = \"example.com\"\n",
        "2:16: expected an http or https address",
    ),
    (
        "policies = \"policies\"\n",
        "policies = \"p\"\nabroad = \"redirect\"\n",
        "2:10: `abroad` is not supported yet",
    ),
    (
        "country = \"SG\", entity",
        "country = \"sg\", entity",
        "2:24: `sg`: not an ISO 3166-1 alpha-2 code, an ISO 3166-2 code such as `CN-GD`, or an organisation such as `X-EPO` (did you mean `SG`?)",
    ),
    (
        "country = \"SG\", entity",
        "country = \"EU\", entity",
        "2:24: `EU`: no such country in ISO 3166-1 (name the country where it stands, such as `DE`)",
    ),
    (
        "country = \"SG\", entity",
        "country = \"X-EPO\", entity",
        "2:24: `X-EPO` is an organisation, not a country",
    ),
    (
        "entity = \"acme-sg\" }",
        "entity = \"acme sg\" }",
        "2:39: expected a name",
    ),
    (
        "entity = \"acme-sg\" }",
        "entity = \"acme-sg\", city = \"x\" }",
        "2:50: unknown key `city`",
    ),
    // Listeners.
    (
        ROUTE,
        "[data_plane]\nlisten = \"8080\"\n",
        "23:10: `8080` is no address",
    ),
    (
        ROUTE,
        "[data_plane]\nlisten = \"127.0.0.1:9090\"\n",
        "23:10: `admin` and `data_plane` listen on the same address",
    ),
    (
        ROUTE,
        "[data_plane]\nlisten = \"0.0.0.0:80\"\n[probes]\nlisten = \"127.0.0.1:80\"\n",
        "25:10: `probes` and `data_plane` listen on the same address",
    ),
    (
        ROUTE,
        "[data_plane]\ntrusted = [\"10.0.0.1/8\"]\n",
        "23:12: `10.0.0.1/8` has bits set beyond its prefix (did you mean `10.0.0.0/8`?)",
    ),
    (
        ROUTE,
        "[data_plane]\ntrusted = [\"10.0.0.0/64\"]\n",
        "23:12: `10.0.0.0/64` is no network",
    ),
    (
        ROUTE,
        "[data_plane]\ntrusted = [\"spiffe://a/b\"]\n",
        "23:11: `spiffe://a/b` is trusted, but callers are not asked for certificates",
    ),
    (
        ROUTE,
        "[data_plane]\ntrusted = [\"spiffe://a\"]\n",
        "23:12: `spiffe://a` is no SPIFFE ID",
    ),
    (
        ROUTE,
        "[data_plane]\ntrusted = [\"app.internal\"]\n",
        "23:12: `app.internal` is no identity: write `spiffe://trust.domain/path` or `dns:host.name`",
    ),
    (
        ROUTE,
        "[data_plane]\nproxies = [\"::1\", \"::1/128\"]\n",
        "23:19: `::1/128` is listed twice",
    ),
    (
        ROUTE,
        "[data_plane]\nworkers = 0\n",
        "23:11: `0` is not between 1 and 1024",
    ),
    (
        ROUTE,
        "[data_plane]\ndrain = \"-1s\"\n",
        "23:9: the duration is not between 0ns and 3600s",
    ),
    (
        ROUTE,
        "[data_plane]\ncoalesce = \"2ms\"\n",
        "23:12: the duration is not between 0ns and 1ms",
    ),
    (
        ROUTE,
        "[data_plane]\ntls = {}\n",
        "23:7: missing key `certificates`",
    ),
    (
        ROUTE,
        "[data_plane]\ntls = { certificates = [] }\n",
        "23:24: a listener needs a certificate",
    ),
    (
        ROUTE,
        "[data_plane]\ntls = { certificates = [{ chain = \"a\" }] }\n",
        "23:25: missing key `key`",
    ),
    (
        ROUTE,
        "[admin]\ntls = { certificates = [{ chain = \"a\", key = \"b\" }], client_certificates = \"required\" }\n",
        "23:76: `client_certificates` needs `client_ca`",
    ),
    (
        ROUTE,
        "[admin]\nlisten = \"0.0.0.0:1\"\ntls = { certificates = [{ chain = \"a\", key = \"b\" }], client_ca = \"c\", client_certificates = \"optional\" }\n",
        "23:10: off loopback the admin listener needs a token",
    ),
    (ROUTE, "[probes]\n", "22:1: missing key `listen`"),
    // The stations' own sections.
    (
        ROUTE,
        "[geoip]\nfield = \"a\"\n",
        "23:9: `field` is for a database of your own",
    ),
    (
        ROUTE,
        "[jwt]\nkeys = \"k\"\naudience = [\"a\"]\nalgorithms = [\"none\"]\n",
        "25:15: `none` is not known here",
    ),
    (
        ROUTE,
        "[jwt]\nkeys = \"k\"\naudience = [\"a\"]\nalgorithms = []\n",
        "25:14: expected at least one algorithm",
    ),
    (
        ROUTE,
        "[ledger]\npath = \"/x\"\n[directory]\npath = \"/x\"\n",
        "23:8: `ledger` and `directory` share a folder",
    ),
    (
        ROUTE,
        "[directory]\nbackend = \"postgres://db/x\"\n",
        "23:11: PostgreSQL is not supported yet",
    ),
    (
        ROUTE,
        "[directory]\nbackend = \"embeded\"\n",
        "23:11: the backend is not known (did you mean `embedded`?)",
    ),
    (
        ROUTE,
        "[limits]\nrecord_bytes = \"1 parsec\"\n",
        "23:16: expected a size (write \"64KiB\"",
    ),
    (
        ROUTE,
        "[limits]\nrecord_bytes = 0\n",
        "23:16: the size is not between 1 bytes and 1GiB",
    ),
    (
        ROUTE,
        "[limits]\nbatch_bytes = \"99999999999GiB\"\n",
        "23:15: expected a size",
    ),
    (
        ROUTE,
        "[limits]\nidle = 75\n",
        "23:8: expected a duration (write a number and a unit: \"10s\"",
    ),
    (
        ROUTE,
        "[limits]\nconnect = \"0s\"\n",
        "23:11: the duration is not between 1ms and 3600s",
    ),
    (
        ROUTE,
        "[log]\nlevel = \"inof\"\n",
        "23:9: `inof` is no log level (did you mean `info`?)",
    ),
    // Regions and schemas.
    (
        "[regions.eu]",
        "[regions.EU]",
        "4:10: `EU` is no name for a region",
    ),
    (
        "[regions.eu]",
        "[regions.refuse]",
        "4:10: a region cannot be called `refuse`",
    ),
    ("country = \"DE\"\n", "", "4:1: missing key `country`"),
    (
        "\"http://127.0.0.1:7104\"",
        "",
        "7:13: a region needs an endpoint",
    ),
    (
        "\"http://127.0.0.1:7104\"",
        "\"https://127.0.0.1:7104\"",
        "7:13: an https endpoint needs `ca_file`",
    ),
    (
        "\"http://127.0.0.1:7104\"",
        "\"127.0.0.1:7104\"",
        "7:14: the endpoint is no http or https address",
    ),
    (
        "\"http://127.0.0.1:7104\"",
        "\"http://127.0.0.1\"",
        "7:14: the endpoint has no port",
    ),
    (
        "\"http://127.0.0.1:7104\"",
        "\"http://a@127.0.0.1:1\"",
        "7:14: the endpoint holds a user name",
    ),
    (
        "\"http://127.0.0.1:7104\"",
        "\"http://127.0.0.1:1/?a\"",
        "7:14: the endpoint has a query or a fragment",
    ),
    (
        "\"http://127.0.0.1:7104\"",
        "\"http://127.0.0.1:7105/\"",
        "12:14: the endpoint is also one of region `eu`",
    ),
    (
        "\"http://127.0.0.1:7104\"]",
        "\"https://127.0.0.1:7105/\"]\nca_file = \"a.pem\"",
        "13:14: the endpoint is also one of region `eu`",
    ),
    (
        "entity = \"acme-eu\"\n",
        "entity = \"acme-eu\"\nidentity = [\"spiffe://eu\"]\n",
        "7:13: `spiffe://eu` is no SPIFFE ID",
    ),
    (
        "entity = \"acme-eu\"\n",
        "entity = \"acme-eu\"\nidentity = []\n",
        "7:12: `identity` names nobody",
    ),
    (
        "endpoints = [\"http://127.0.0.1:7104\"]",
        "endpoints = [\"http://10.0.0.1:1\"]\nidentity = [\"dns:a\"]",
        "8:12: `identity` counts for nothing at http://10.0.0.1:1, which proves no identity",
    ),
    (
        "endpoints = [\"http://127.0.0.1:7104\"]",
        "endpoints = [\"https://*:1\"]",
        "7:14: the endpoint's host is no name that a certificate can have",
    ),
    (
        "entity = \"acme-eu\"\n",
        "entity = \"acme-eu\"\nhttp = \"3\"\n",
        "7:8: `3` is not known here",
    ),
    (
        "\"/email\"",
        "\"email\"",
        "15:12: `email` is not a JSON pointer (RFC 6901)",
    ),
    (
        "{ \"/email\" = \"user.contact.email\" }",
        "{}",
        "15:10: the schema has no fields",
    ),
    (
        "\"user.contact.email\" }",
        "3 }",
        "15:23: expected a string, found a whole number",
    ),
    // Routes.
    (
        "path = \"/people/{subject}\"",
        "path = \"people/{subject}\"",
        "18:8: `people/{subject}` must start with `/`",
    ),
    (
        "path = \"/people/{subject}\"",
        "path = \"/{subject...}/x\"",
        "18:8: `{subject...}` takes the rest of the path and must come last",
    ),
    (
        "path = \"/people/{subject}\"",
        "path = \"/{subject}/{subject}\"",
        "18:8: the name `subject` stands twice in the path",
    ),
    (
        "path = \"/people/{subject}\"",
        "path = \"/people/{sbject}\"",
        "20:11: `/people/{sbject}` has no {subject} (did you mean `sbject`?)",
    ),
    (
        "format = \"record\"",
        "format = \"object\"",
        "19:10: format `object` is not supported yet",
    ),
    (
        "format = \"record\"",
        "format = \"form\"\ncontent_type = \"application/json\"",
        "20:16: a route of format `form` reads `application/x-www-form-urlencoded` alone",
    ),
    (
        "format = \"record\"",
        "format = \"recrod\"",
        "19:10: `recrod` is not known here (did you mean `record`?)",
    ),
    (
        "format = \"record\"",
        "format = \"array\"",
        "20:11: `path:subject` is one subject for the whole batch",
    ),
    (
        "format = \"record\"",
        "format = \"opaque\"",
        "21:10: the body of an `opaque` route is not read",
    ),
    (
        "subject = \"path:subject\"\n",
        "",
        "17:1: the route needs a `subject`",
    ),
    (
        "subject = \"path:subject\"",
        "subject = \"pinned\"",
        "20:11: `pinned` is evidence of a country and of nothing else",
    ),
    (
        "subject = \"path:subject\"",
        "subject = \"cookie:id\"",
        "20:11: `cookie:id` is no source",
    ),
    (
        "subject = \"path:subject\"",
        "subject = \"body:/a/*/id\"",
        "20:11: `body:/a/*/id`: a record has one subject",
    ),
    (
        "schema = \"person\"",
        "schema = \"persn\"",
        "21:10: there is no schema `persn` (did you mean `person`?)",
    ),
    (
        ROUTE,
        "categories = [\"user\"]\n",
        "22:14: the route has a schema already",
    ),
    (ROUTE, "country = []\n", "22:11: the route has no evidence"),
    (
        ROUTE,
        "country = [\"pinned\", \"pinned\"]\n",
        "22:22: `pinned` is listed twice",
    ),
    (
        ROUTE,
        "target = \"network\"\n",
        "22:10: `network` is evidence of a country and of nothing else",
    ),
    (
        ROUTE,
        "operation = \"jwt:op\"\n",
        "22:13: `jwt:op`: a token says who the caller is",
    ),
    (
        ROUTE,
        "purpose = \"heder:x\"\n",
        "22:11: `heder:x` is no source",
    ),
    (
        ROUTE,
        "basis = \"consnt\"\n",
        "22:9: `consnt` is not known here (did you mean `consent`?)",
    ),
    (
        ROUTE,
        "special_ground = \"k\"\n",
        "22:18: `k` is not known here (one of `a`, `b`,",
    ),
    (
        ROUTE,
        "transaction = \"body:/deal\"\n",
        "22:15: `body:/deal`: steering by the body is not supported yet",
    ),
    (
        ROUTE,
        "subject_kind = \"network\"\n",
        "22:16: `network` is evidence of a country and of nothing else",
    ),
    (
        ROUTE,
        "born = \"body:/born\"\n",
        "22:8: `body:/born`: a day of birth is read from a token",
    ),
    (
        ROUTE,
        "born = \"jwt:birthdate\"\n",
        "22:8: `jwt:birthdate` needs a [jwt] section",
    ),
    (
        ROUTE,
        "unknown_home = \"us\"\n",
        "22:16: there is no region `us`",
    ),
    (
        ROUTE,
        "upstream = \"batch\"\n",
        "22:12: the route has no batches",
    ),
    (ROUTE, "atomic = true\n", "22:10: the route has no batches"),
    (
        ROUTE,
        "answers = \"none\"\n",
        "22:11: `none` is not known here (one of `full`, `status-only`)",
    ),
    (
        ROUTE,
        "erase = \"subject\"\npin = \"never\"\n",
        "22:9: the route knows no pins to remove",
    ),
    (
        ROUTE,
        "erase = \"all\"\n",
        "22:9: `all` is not known here (one of `record`, `subject`)",
    ),
    (
        ROUTE,
        "methods = [\"get\"]\n",
        "22:12: `get` is no method here (did you mean `GET`?)",
    ),
    (ROUTE, "methods = []\n", "22:11: the route has no methods"),
    (
        ROUTE,
        "content_type = \"application/json; charset=utf-8\"\n",
        "22:16: `application/json; charset=utf-8` is no media type",
    ),
    (
        ROUTE,
        "host = \"*.example.com\"\n",
        "22:8: `*.example.com` would match no host (give each host a route of its own",
    ),
    (
        ROUTE,
        "host = \"example.com:80\"\n",
        "22:8: `example.com:80` is no host name",
    ),
    (
        ROUTE,
        "recipient = \"map-provider\"\nupstream = { each = \"POST /x\" }\n",
        "22:13: there is no recipient `map-provider`",
    ),
    (
        ROUTE,
        "recipient = \"maps\"\n[recipients.maps]\nendpoints = [\"http://127.0.0.1:7205\"]\n",
        "18:8: {subject} would tell the recipient what no category allows",
    ),
    (
        ROUTE,
        "recipient = \"maps\"\nupstream = { each = \"POST /x/{subject}\" }\n[recipients.maps]\nendpoints = [\"http://127.0.0.1:7205\"]\n",
        "23:12: {subject} would tell the recipient what no category allows",
    ),
    (
        ROUTE,
        "recipient = \"maps\"\nmethods = [\"GET\"]\nupstream = { each = \"POST /x\" }\n[recipients.maps]\nendpoints = [\"http://127.0.0.1:7205\"]\n",
        "23:11: `GET` discloses nothing",
    ),
    (
        "format = \"record\"\nsubject = \"path:subject\"\nschema = \"person\"\n",
        "format = \"opaque\"\nsubject = \"path:subject\"\nrecipient = \"maps\"\nupstream = { each = \"POST /x\" }\n[recipients.maps]\nendpoints = [\"http://127.0.0.1:7205\"]\n",
        "21:13: a disclosure is one record",
    ),
    (
        ROUTE,
        "[recipients.maps]\nendpoints = [\"http://127.0.0.1:7105/x\"]\n",
        "23:14: the endpoint is also one of region `sg`",
    ),
    (
        ROUTE,
        "[recipients.maps]\nendpoints = []\n",
        "23:13: a recipient needs an endpoint",
    ),
    (
        ROUTE,
        "[recipients.Maps]\nendpoints = [\"http://127.0.0.1:7205\"]\n",
        "22:13: `Maps` is no id for a recipient",
    ),
    (
        "subject = \"path:subject\"\nschema = \"person\"\n",
        "subject = \"path:subject\"\nschema = \"person\"\ndiscover = true\nrecipient = \"maps\"\nupstream = { each = \"POST /x\" }\n[recipients.maps]\nendpoints = [\"http://127.0.0.1:7205\"]\n",
        "22:12: a recipient gets listed fields alone",
    ),
    (
        ROUTE,
        "discover = \"yes\"\n",
        "22:12: expected true or false",
    ),
    (
        ROUTE,
        "[[routes]]\npath = \"/people/{id}\"\nformat = \"opaque\"\nmethods = [\"HEAD\"]\n",
        "23:8: the route matches the same requests as the one at t.toml:18:8",
    ),
    (
        ROUTE,
        "name = \"a\"\n[[routes]]\npath = \"/x\"\nformat = \"opaque\"\nname = \"a\"\n",
        "26:8: two routes are called `a`",
    ),
    (
        ROUTE,
        "[[routes]]\npath = \"/x\"\nformat = \"array\"\nsubject = \"body:/id\"\nupstream = \"each\"\n",
        "26:12: `each` is not known here (write \"batch\"",
    ),
    (
        ROUTE,
        "[[routes]]\npath = \"/x\"\nformat = \"array\"\nsubject = \"body:/id\"\nupstream = { each = \"PUT /{id}\" }\n",
        "26:21: nothing gives a value for {id}",
    ),
    (
        ROUTE,
        "[[routes]]\npath = \"/x\"\nformat = \"array\"\nsubject = \"body:/id\"\nupstream = { each = \"GET /{subject}\" }\n",
        "26:21: the method has no body",
    ),
];
