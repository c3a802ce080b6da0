//! Routes: each by itself, then against the regions and schemas it names and the other routes.

use std::sync::Arc;

use http::{Method, uri::Authority};

use super::{
    Answers, Conflict, Erase, FORM, Format, PathTemplate, PinMode, Route, Steering, UnknownHome,
    UpstreamShape, bulk, circumstances, disclose, regions,
    sections::later,
    sources::{Context, Use},
    values,
};
use crate::{
    classify::ValueSource,
    document::{Faults, Fields, Node, Value, Where, suggest},
    domain::Role,
};

/// What routes refer to.
pub(super) struct Surroundings<'a> {
    pub(super) regions: &'a [String],
    pub(super) schemas: &'a [String],
    pub(super) recipients: &'a [String],
    pub(super) has_jwt: bool,
    /// Whether addresses can be evidence at all.
    pub(super) has_network: bool,
}

pub(super) fn routes(node: &Node, around: &Surroundings<'_>, faults: &Faults) -> Vec<Route> {
    let items = node.list(faults).unwrap_or(&[]);
    if items.is_empty() && matches!(node.value, Value::List(_)) {
        let hint = "add [[routes]] with path and format";
        faults.error_hint(&node.at, "there is no route", hint);
    }
    let mut placed: Vec<(Where, Route)> = Vec::new();
    let mut names: Vec<String> = Vec::new();
    for item in items {
        let Some(fields) = item.fields(faults) else {
            continue;
        };
        if let Some(node) = fields.maybe("name")
            && let Some(name) = node.text(faults)
        {
            if names.iter().any(|other| other == name) {
                faults.error(&node.at, format!("two routes are called `{name}`"));
            }
            names.push(name.to_owned());
        }
        let at = fields.maybe("path").map_or(&item.at, |path| &path.at);
        let at = at.clone();
        if let Some(route) = route(fields, around) {
            differs(&route, &at, &placed, faults);
            placed.push((at, route));
        }
    }
    placed.into_iter().map(|(_, route)| route).collect()
}

fn route(fields: Fields<'_>, around: &Surroundings<'_>) -> Option<Route> {
    let faults = fields.faults();
    later(&fields, "routes.<n>");
    let path = fields.need("path").and_then(|node| template(node, faults));
    let format = fields.need("format").and_then(|node| format(node, faults));
    let context = Context {
        path: path.as_ref(),
        format,
        around,
        faults,
    };
    let is_batch = matches!(format, Some(Format::Array | Format::Ndjson));
    let name = fields.maybe("name").and_then(|n| values::name(n, faults));
    let (purpose, purpose_source) = purpose(&fields, &context);
    let mut steering = steering(&fields, &context);
    if let Some(source) = purpose_source {
        steering.purpose = source;
    }
    let circumstances = circumstances::read(&fields, &context, &mut steering);
    let read = |key| fields.maybe(key).and_then(|n| values::name(n, faults));
    let subject = subject(&fields, &context, is_batch);
    let country = country(&fields, &context);
    let born = fields
        .maybe("born")
        .and_then(|node| context.source(node, Use::Birth));
    let schema = fields
        .maybe("schema")
        .and_then(|node| schema(node, &context));
    let categories = categories(&fields);
    let unknown_home = fields
        .maybe("unknown_home")
        .map_or_else(UnknownHome::default, |node| match node.text(faults) {
            Some("refuse") | None => UnknownHome::Refuse,
            Some(region) => {
                regions::known(node, around.regions, faults);
                UnknownHome::Region(region.to_owned())
            }
        });
    let recipient = fields
        .maybe("recipient")
        .and_then(|node| disclose::recipient(node, &context));
    let upstream = fields.maybe("upstream").map(|node| {
        if format.is_some() && !is_batch && recipient.is_none() {
            let hint = "`upstream` is for the formats `array` and `ndjson`";
            faults.error_hint(&node.at, "the route has no batches", hint);
        }
        upstream(node, path.as_ref(), faults).unwrap_or_default()
    });
    let atomic = fields.maybe("atomic").is_some_and(|node| {
        let atomic = node.boolean(faults).unwrap_or(false);
        if atomic && format.is_some() && !is_batch && format != Some(Format::Bulk) {
            let hint = "`atomic` is for the formats `array`, `ndjson` and `bulk`";
            faults.error_hint(&node.at, "the route has no batches", hint);
        }
        atomic
    });
    let discover = fields.maybe("discover").is_some_and(|node| {
        let discover = node.boolean(faults).unwrap_or(false);
        if discover && format == Some(Format::Opaque) {
            let hint = "leave `discover` out, or choose another format";
            faults.error_hint(&node.at, "the body of an `opaque` route is not read", hint);
        }
        if discover && recipient.is_some() {
            let hint = "list the fields in the route's `schema`, and leave `discover` out";
            faults.error_hint(&node.at, "a recipient gets listed fields alone", hint);
        }
        discover
    });
    let conflict = [
        ("all", Conflict::All),
        ("first", Conflict::First),
        ("refuse", Conflict::Refuse),
    ];
    let pin = [
        ("always", PinMode::Always),
        ("weak", PinMode::Weak),
        ("never", PinMode::Never),
    ];
    let answers = [
        ("full", Answers::Full),
        ("status-only", Answers::StatusOnly),
    ];
    let erase = [("record", Erase::Record), ("subject", Erase::Subject)];
    let role = [
        ("controller", Role::Controller),
        ("processor", Role::Processor),
    ];
    let conflict = word(&fields, "conflict", &conflict).unwrap_or_default();
    let pin = word(&fields, "pin", &pin).unwrap_or_default();
    let answers = word(&fields, "answers", &answers).unwrap_or_default();
    let erase = word(&fields, "erase", &erase).unwrap_or_default();
    if let Some(node) = fields.maybe("erase").filter(|_| erase == Erase::Subject) {
        if is_batch || recipient.is_some() {
            let hint = "`erase` is for the formats `record` and `opaque`, where DELETE is";
            faults.error_hint(&node.at, "nothing is erased on this route", hint);
        } else if pin == PinMode::Never {
            let hint = "leave `erase` out, or let the route pin";
            faults.error_hint(&node.at, "the route knows no pins to remove", hint);
        }
    }
    let role = word(&fields, "role", &role);
    let host = fields.maybe("host").and_then(|node| host(node, faults));
    let methods_at = fields.maybe("methods");
    let mut methods = methods_at
        .map(|node| methods(node, faults))
        .unwrap_or_default();
    let content_type = fields
        .maybe("content_type")
        .and_then(|node| media_type(node, format, faults));
    let namespace = read("namespace").unwrap_or("person");
    if recipient.is_some() {
        let at = fields.maybe("upstream").or(fields.maybe("path"));
        let at = at.map_or(fields.at, |node| &node.at);
        disclose::methods(&mut methods, methods_at, faults);
        if schema.is_none() && format == Some(Format::Record) {
            let hint = "name a `schema`: what is in no schema is listed for nobody";
            faults.error_hint(fields.at, "a disclosure needs a schema", hint);
        }
        disclose::target(path.as_ref(), upstream.as_ref(), at, faults);
    }
    let bulk = bulk::read(&fields, format, path.as_ref(), &mut methods);
    fields.finish();
    let path = path?;
    Some(Route {
        name: Arc::from(name.unwrap_or(&path.text)),
        host,
        path,
        methods,
        content_type,
        format: format?,
        namespace: Arc::from(namespace),
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
        upstream: upstream.unwrap_or_default(),
        atomic,
        answers,
        erase,
        role,
        purpose,
        circumstances,
        recipient: recipient.map(Arc::from),
        bulk,
    })
}

fn word<T: Copy>(fields: &Fields<'_>, key: &'static str, words: &[(&str, T)]) -> Option<T> {
    values::choice(fields.maybe(key)?, words, fields.faults())
}

fn template(node: &Node, faults: &Faults) -> Option<PathTemplate> {
    match PathTemplate::parse(node.text(faults)?) {
        Ok(template) => Some(template),
        Err(error) => {
            faults.error(&node.at, error.to_string());
            None
        }
    }
}

fn format(node: &Node, faults: &Faults) -> Option<Format> {
    let words = [
        ("record", Some(Format::Record)),
        ("array", Some(Format::Array)),
        ("ndjson", Some(Format::Ndjson)),
        ("opaque", Some(Format::Opaque)),
        ("bulk", Some(Format::Bulk)),
        ("form", Some(Format::Form)),
        ("object", None),
    ];
    let format = values::choice(node, &words, faults)?;
    if format.is_none() {
        let message = format!("format `{}` is not supported yet", node.text(faults)?);
        let hint = "use `record`, `form`, `array`, `ndjson`, `bulk` or `opaque`";
        faults.error_hint(&node.at, message, hint);
    }
    format
}

fn subject(fields: &Fields<'_>, context: &Context<'_>, is_batch: bool) -> Option<ValueSource> {
    let faults = fields.faults();
    let Some(node) = fields.maybe("subject") else {
        let hint = match context.format {
            Some(Format::Record | Format::Form) => {
                "name where it is read from: subject = \"path:NAME\", \"body:/id\", \"jwt:sub\" or \"header:domicile-subject\""
            }
            Some(Format::Array | Format::Ndjson) => {
                "name the field of each item that holds it: subject = \"body:/id\""
            }
            Some(Format::Bulk) => {
                "name where each item's is read from: subject = \"bulk:id\" (the item's `_id`) or \"body:/field\" of its document"
            }
            Some(Format::Opaque) | None => return None,
        };
        faults.error_hint(fields.at, "the route needs a `subject`", hint);
        return None;
    };
    let source = context.source(node, Use::Subject)?;
    if is_batch && !matches!(source, ValueSource::Body(_)) {
        let message = format!("`{source}` is one subject for the whole batch");
        let hint = "name the field of each item that holds it: subject = \"body:/id\"";
        faults.error_hint(&node.at, message, hint);
    }
    if context.format == Some(Format::Bulk)
        && !matches!(source, ValueSource::Body(_) | ValueSource::BulkId)
    {
        let message = format!("`{source}` is one subject for the whole batch");
        let hint = "write \"bulk:id\" (each item's `_id`) or \"body:/field\" of its document";
        faults.error_hint(&node.at, message, hint);
    }
    Some(source)
}

fn country(fields: &Fields<'_>, context: &Context<'_>) -> Vec<ValueSource> {
    let faults = fields.faults();
    let Some(node) = fields.maybe("country") else {
        return vec![ValueSource::Pinned];
    };
    let items = node.list(faults).unwrap_or(&[]);
    if items.is_empty() && matches!(node.value, Value::List(_)) {
        let hint = "name where the person's country is read from, strongest first: [\"body:/country\", \"pinned\"]";
        faults.error_hint(&node.at, "the route has no evidence", hint);
    }
    let mut sources = Vec::new();
    for item in items {
        let Some(source) = context.source(item, Use::Country) else {
            continue;
        };
        if sources.contains(&source) {
            faults.error(&item.at, format!("`{source}` is listed twice"));
        } else {
            sources.push(source);
        }
    }
    sources
}

fn steering(fields: &Fields<'_>, context: &Context<'_>) -> Steering {
    let default = Steering::default();
    let read = |key, what, default| {
        let node = fields.maybe(key);
        node.and_then(|node| context.source(node, what))
            .unwrap_or(default)
    };
    Steering {
        country: read("steer_country", Use::Wish, default.country),
        subject: read("steer_subject", Use::Wish, default.subject),
        target: read("target", Use::Wish, default.target),
        operation: read("operation", Use::Wish, default.operation),
        purpose: default.purpose,
        ground: read("ground", Use::Assertion, default.ground),
        order: read("order", Use::Assertion, default.order),
        subject_kind: default.subject_kind,
        basis: default.basis,
        transaction: default.transaction,
        special_ground: default.special_ground,
    }
}

/// A word is the route's own purpose; what holds a colon is the source of a caller's.
fn purpose(fields: &Fields<'_>, context: &Context<'_>) -> (Option<String>, Option<ValueSource>) {
    let faults = fields.faults();
    let Some(node) = fields.maybe("purpose") else {
        return (None, None);
    };
    match node.text(faults) {
        Some(text) if text.contains(':') => (None, context.source(node, Use::Assertion)),
        Some("pinned" | "network") => (None, context.source(node, Use::Assertion)),
        Some(_) => (values::name(node, faults).map(str::to_owned), None),
        None => (None, None),
    }
}

fn schema(node: &Node, context: &Context<'_>) -> Option<String> {
    let faults = context.faults;
    let name = node.text(faults)?;
    if context.format == Some(Format::Opaque) {
        let hint = "name the route's `categories` instead";
        let message = "the body of an `opaque` route is not read";
        faults.error_hint(&node.at, message, hint);
    }
    let schemas = context.around.schemas;
    if !schemas.iter().any(|known| known == name) {
        let hint = suggest(name, schemas.iter().map(String::as_str))
            .unwrap_or_else(|| format!("add [schemas.{name}] with fields"));
        faults.error_hint(&node.at, format!("there is no schema `{name}`"), hint);
    }
    Some(name.to_owned())
}

fn categories(fields: &Fields<'_>) -> Vec<String> {
    let faults = fields.faults();
    let Some(node) = fields.maybe("categories") else {
        return Vec::new();
    };
    if fields.maybe("schema").is_some() {
        let hint = "keep `schema` (by field) or `categories` (the route as a whole)";
        faults.error_hint(&node.at, "the route has a schema already", hint);
    }
    let items = node.list(faults).unwrap_or(&[]);
    items
        .iter()
        .filter_map(|item| values::name(item, faults).map(str::to_owned))
        .collect()
}

fn upstream(node: &Node, path: Option<&PathTemplate>, faults: &Faults) -> Option<UpstreamShape> {
    let usage = "write \"batch\" or { each = \"PUT /people/{subject}\" }";
    if let Value::Text(text) = &node.value {
        if text == "batch" {
            return Some(UpstreamShape::Batch);
        }
        faults.error_hint(&node.at, format!("`{text}` is not known here"), usage);
        return None;
    }
    let fields = node.fields(faults)?;
    let each = fields.need("each");
    fields.finish();
    let each = each?;
    let text = each.text(faults)?;
    let Some((method, target)) = text.split_once(' ') else {
        let message = format!("`{text}` is no method and path");
        faults.error_hint(&each.at, message, usage);
        return None;
    };
    let method = method_named(method, each, faults);
    let target = match PathTemplate::parse(target) {
        Ok(target) => target,
        Err(error) => {
            faults.error_hint(&each.at, error.to_string(), usage);
            return None;
        }
    };
    if matches!(method, Some(Method::GET | Method::HEAD)) {
        let hint = "records are sent with PUT, POST or PATCH";
        faults.error_hint(&each.at, "the method has no body", hint);
    }
    let from_route = |name: &str| path.is_none_or(|path| path.names().any(|n| n == name));
    for name in target.names() {
        if name != "subject" && !from_route(name) {
            let hint = "{subject} is the record's; other names come from the route's path";
            let message = format!("nothing gives a value for {{{name}}}");
            faults.error_hint(&each.at, message, hint);
        }
    }
    Some(UpstreamShape::Each {
        method: method?,
        path: target,
    })
}

fn methods(node: &Node, faults: &Faults) -> Vec<Method> {
    let items = node.list(faults).unwrap_or(&[]);
    if items.is_empty() && matches!(node.value, Value::List(_)) {
        let hint = "leave `methods` out for all of them";
        faults.error_hint(&node.at, "the route has no methods", hint);
    }
    let mut methods = Vec::new();
    for item in items {
        let Some(method) = item
            .text(faults)
            .and_then(|text| method_named(text, item, faults))
        else {
            continue;
        };
        if methods.contains(&method) {
            faults.error(&item.at, format!("`{method}` is listed twice"));
        } else {
            methods.push(method);
        }
    }
    methods
}

/// Methods are case-sensitive (RFC 9110 §9.1), and only these become questions to the policy.
fn method_named(text: &str, node: &Node, faults: &Faults) -> Option<Method> {
    const METHODS: [(&str, Method); 6] = [
        ("GET", Method::GET),
        ("HEAD", Method::HEAD),
        ("POST", Method::POST),
        ("PUT", Method::PUT),
        ("PATCH", Method::PATCH),
        ("DELETE", Method::DELETE),
    ];
    if let Some((_, method)) = METHODS.into_iter().find(|(name, _)| *name == text) {
        return Some(method);
    }
    let names = METHODS.each_ref().map(|(name, _)| *name);
    let hint = suggest(&text.to_uppercase(), names).unwrap_or_else(|| names.join(", "));
    faults.error_hint(&node.at, format!("`{text}` is no method here"), hint);
    None
}

/// `type/subtype` without parameters, in lower case.
fn media_type(node: &Node, format: Option<Format>, faults: &Faults) -> Option<String> {
    let text = node.text(faults)?;
    let is_token = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
    };
    let sound = text
        .split_once('/')
        .is_some_and(|(kind, sub)| is_token(kind) && is_token(sub));
    if !sound {
        let hint = "write type/subtype without parameters: \"application/x-ndjson\"";
        faults.error_hint(&node.at, format!("`{text}` is no media type"), hint);
        return None;
    }
    if format == Some(Format::Form) && !text.eq_ignore_ascii_case(FORM) {
        let message = format!("a route of format `form` reads `{FORM}` alone");
        let hint = "leave `content_type` out, or choose another format";
        faults.error_hint(&node.at, message, hint);
    }
    Some(text.to_lowercase())
}

/// A host name or address without a port, in lower case.
fn host(node: &Node, faults: &Faults) -> Option<String> {
    let text = node.text(faults)?;
    if text.contains('*') {
        let hint = "give each host a route of its own, or leave `host` out: then any will do";
        faults.error_hint(&node.at, format!("`{text}` would match no host"), hint);
        return None;
    }
    let sound = text
        .parse::<Authority>()
        .is_ok_and(|authority| authority.host() == text && !text.is_empty());
    if !sound {
        let hint = "write the name without scheme and port: \"people.example.com\"";
        faults.error_hint(&node.at, format!("`{text}` is no host name"), hint);
        return None;
    }
    Some(text.to_lowercase())
}

/// Two routes that match the same requests: which of them answers would hang on their order.
fn differs(route: &Route, at: &Where, earlier: &[(Where, Route)], faults: &Faults) {
    let clash = earlier.iter().find(|(_, other)| {
        route.host == other.host
            && route.path.same_shape(&other.path)
            && route.content_type == other.content_type
            && share_a_method(&route.methods, &other.methods)
            && bulk::share_an_index(route.bulk.as_deref(), other.bulk.as_deref())
    });
    if let Some((other, _)) = clash {
        let message = format!("the route matches the same requests as the one at {other}");
        let hint =
            "let them differ in host, path, methods or content_type, or bulk routes in `indices`";
        faults.error_hint(at, message, hint);
    }
}

fn share_a_method(a: &[Method], b: &[Method]) -> bool {
    let takes = |methods: &[Method], method: &Method| {
        methods.is_empty()
            || methods.contains(method)
            || (method == Method::HEAD && methods.contains(&Method::GET))
    };
    a.is_empty() || b.is_empty() || a.iter().any(|m| takes(b, m)) || b.iter().any(|m| takes(a, m))
}
