//! What a trusted caller asks for beyond its plain request: the steering headers.

use std::{ops::Deref, sync::LazyLock};

use http::{HeaderName, Method};
use smallvec::SmallVec;

use super::query;
use crate::{
    admit::path::Captures,
    classify::ValueSource,
    document::suggest,
    domain::{
        Basis, Circumstances, Ground, GroundKind, Operation, Order, RegionId, Regions,
        SpecialGround, SubjectKind, Transaction,
    },
    message::{Field, Fields},
    respond::Refused,
    settings::{Format, PathTemplate, Route, Steering},
};

/// The longest reference of a ground that is logged.
const REFERENCE: usize = 96;

/// Steering, read and checked. Empty for callers that are not trusted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wishes {
    pub country: Option<String>,
    pub subject: Option<String>,
    pub target: Option<RegionId>,
    pub operation: Option<Operation>,
    pub purpose: Option<String>,
    pub grounds: SmallVec<[Ground; 1]>,
    /// The order that a disclosure obeys.
    pub order: Option<Order>,
    pub circumstances: Circumstances,
}

/// The wishes of one request. Apart on the heap, since most callers have none.
#[derive(Clone, Debug, Default)]
pub struct Wished(Option<Box<Wishes>>);

impl From<Wishes> for Wished {
    fn from(wishes: Wishes) -> Self {
        Self(Some(Box::new(wishes)))
    }
}

impl Deref for Wished {
    type Target = Wishes;

    fn deref(&self) -> &Wishes {
        static NONE: LazyLock<Wishes> = LazyLock::new(Wishes::default);
        match &self.0 {
            Some(wishes) => wishes,
            None => &NONE,
        }
    }
}

/// Where the values of a request's head stand.
pub struct Head<'a> {
    pub headers: &'a Fields,
    pub captures: Captures<'a>,
    pub template: &'a PathTemplate,
    pub query: Option<&'a str>,
}

/// A value that stands there, but that two readers could read differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unclear;

impl Head<'_> {
    /// The value of a source that stands in the head; `None` for the others, and where nothing
    /// stands.
    ///
    /// # Errors
    /// [`Unclear`] for a header or query name that stands twice with different values, for a query
    /// that [others read otherwise](query::value), and for bytes that are no text. Nobody may go on with weaker evidence instead.
    pub fn text(&self, source: &ValueSource) -> Result<Option<String>, Unclear> {
        let text = match source {
            ValueSource::Header(name) => {
                let mut values = self.headers.get_all(name);
                let Some(value) = values.next() else {
                    return Ok(None);
                };
                if values.any(|v| v != value) {
                    return Err(Unclear);
                }
                Some(value.to_str().map_err(|_| Unclear)?.to_owned())
            }
            ValueSource::Path(name) => match self.capture(name) {
                Some(text) => {
                    let text = crate::admit::path::decode(text).map_err(|_| Unclear)?;
                    Some(text.into_owned())
                }
                None => None,
            },
            ValueSource::Query(name) => match self.query {
                Some(query) => query::value(query, name)?,
                None => None,
            },
            ValueSource::Body(_)
            | ValueSource::Jwt(_)
            | ValueSource::Pinned
            | ValueSource::Network
            | ValueSource::BulkId => None,
        };
        Ok(text.filter(|v| !v.is_empty()))
    }
}

impl<'a> Head<'a> {
    /// What a trusted caller wishes at a source.
    ///
    /// # Errors
    /// A header that stands twice or says nothing: what is meant cannot be told, and to go on
    /// without it would do something else than what was asked for.
    fn wish(&self, source: &ValueSource) -> Result<Option<String>, Refused> {
        if let ValueSource::Header(name) = source {
            let mut values = self.headers.get_all(name);
            let Some(first) = values.next() else {
                return Ok(None);
            };
            let first = first.to_str().unwrap_or("").trim();
            if first.is_empty() || values.next().is_some() {
                return Err(Refused::Steering(format!(
                    "`{name}` must stand once, and hold visible ASCII"
                )));
            }
        }
        self.text(source).map_err(|Unclear| {
            Refused::Steering(format!("`{source}` can be read in more than one way"))
        })
    }

    /// What the route's template captured under a name, as it stands in the path.
    pub fn capture(&self, name: &str) -> Option<&'a str> {
        self.captures.get(self.template.position(name)?).copied()
    }
}

/// # Errors
/// [`Refused::Steering`] for a field of the router's own kind that it does not know: it would go no
/// further than here, and what was asked for by it would silently not be done.
pub fn known(headers: &Fields, steering: &[HeaderName]) -> Result<(), Refused> {
    const OWN: &str = "domicile-";
    // The beginning, which all have, would make any two alike.
    let all = || steering.iter().filter_map(|n| n.as_str().strip_prefix(OWN));
    for (field, name, _) in headers.iter() {
        let Some(rest) = name.strip_prefix(OWN).filter(|_| field == Field::Other) else {
            continue;
        };
        if all().any(|known| known == rest) {
            continue;
        }
        let hint = match suggest(rest, all()) {
            Some(hint) => hint.replacen('`', "`domicile-", 1),
            None => {
                let known: Vec<String> = all().map(|n| format!("{OWN}{n}")).collect();
                format!("it knows {}", known.join(", "))
            }
        };
        let shown: String = name.chars().take(64).collect();
        return Err(Refused::Steering(format!(
            "the router knows no field `{shown}`; {hint}"
        )));
    }
    Ok(())
}

/// Reads the steering of a trusted caller's request.
///
/// # Errors
/// [`Refused::Steering`] for a region, operation or ground that does not exist, and for
/// combinations that docs/decision.md does not name.
pub fn read(
    head: &Head<'_>,
    steering: &Steering,
    regions: &Regions,
    plain: Operation,
) -> Result<Wishes, Refused> {
    let bad = |text: String| Refused::Steering(text);
    let target = match head.wish(&steering.target)? {
        None => None,
        Some(name) => Some(regions.id(name.trim()).ok_or_else(|| {
            let known: Vec<&str> = regions.iter().map(|(_, r)| r.name.as_ref()).collect();
            bad(format!(
                "the target names no region; the regions are {}",
                known.join(", ")
            ))
        })?),
    };
    let operation = match head.wish(&steering.operation)? {
        None => None,
        Some(name) => Some(Operation::parse(name.trim()).ok_or_else(|| {
            bad("the operation is none of store, replicate, read, erase, relocate".to_owned())
        })?),
    };
    let grounds = match head.wish(&steering.ground)? {
        None => SmallVec::new(),
        Some(text) => grounds(&text)?,
    };
    let order = match head.wish(&steering.order)? {
        None => None,
        Some(_) if plain != Operation::Disclose => {
            return Err(bad("an order is for disclosures to a recipient".to_owned()));
        }
        Some(text) => Some(order(&text)?),
    };
    let wishes = Wishes {
        country: head.wish(&steering.country)?,
        subject: head.wish(&steering.subject)?,
        target,
        operation,
        purpose: head.wish(&steering.purpose)?,
        grounds,
        order,
        circumstances: circumstances(head, steering)?,
    };
    combination(&wishes, plain)?;
    Ok(wishes)
}

impl Wishes {
    /// # Errors
    /// [`Refused::Steering`] for one subject of many records: whose they are by themselves, nobody
    /// would know.
    pub fn fit(&self, route: &Route) -> Result<(), Refused> {
        let is_batch = matches!(route.format, Format::Array | Format::Ndjson | Format::Bulk);
        if is_batch && self.subject.is_some() {
            let source = &route.steering.subject;
            return Err(Refused::Steering(format!(
                "`{source}` is one subject for the whole batch; leave it out, and each item's own counts"
            )));
        }
        Ok(())
    }
}

/// What the caller says of the flow.
fn circumstances(head: &Head<'_>, steering: &Steering) -> Result<Circumstances, Refused> {
    Ok(Circumstances {
        subject_kind: word(head, &steering.subject_kind, &SubjectKind::WORDS)?,
        basis: word(head, &steering.basis, &Basis::WORDS)?,
        transaction: word(head, &steering.transaction, &Transaction::WORDS)?,
        special_ground: word(head, &steering.special_ground, &SpecialGround::WORDS)?,
    })
}

/// One of a few words; what stands there otherwise is not repeated.
fn word<T: Copy>(
    head: &Head<'_>,
    source: &ValueSource,
    words: &[(&str, T)],
) -> Result<Option<T>, Refused> {
    let Some(text) = head.wish(source)? else {
        return Ok(None);
    };
    let found = words.iter().find(|(word, _)| *word == text.trim());
    found.map(|(_, value)| Some(*value)).ok_or_else(|| {
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        Refused::Steering(format!("`{source}` is none of {}", known.join(", ")))
    })
}

/// The operation that a method stands for without steering.
pub fn plain_operation(method: &Method) -> Option<Operation> {
    match *method {
        Method::PUT | Method::POST | Method::PATCH => Some(Operation::Store),
        Method::GET | Method::HEAD => Some(Operation::Read),
        Method::DELETE => Some(Operation::Erase),
        _ => None,
    }
}

/// Replicate and relocate are writes with a target; a target goes with a write or a
/// read; any other combination is refused.
fn combination(wishes: &Wishes, plain: Operation) -> Result<(), Refused> {
    let refuse = |text: &str| Err(Refused::Steering(text.to_owned()));
    match (wishes.operation, wishes.target) {
        (None, None) => Ok(()),
        (_, Some(_)) if plain == Operation::Disclose => {
            refuse("a disclosure goes to the route's recipient; it takes no target")
        }
        (None, Some(_)) if plain == Operation::Erase => {
            refuse("an erasure reaches every holder; it takes no target")
        }
        (None, Some(_)) => Ok(()),
        (Some(Operation::Replicate | Operation::Relocate), Some(_))
            if plain == Operation::Store =>
        {
            Ok(())
        }
        (Some(Operation::Replicate | Operation::Relocate), None) if plain == Operation::Store => {
            refuse("replicate and relocate need a target region")
        }
        (Some(asked), Some(_)) if asked == plain && plain != Operation::Erase => Ok(()),
        (Some(asked), None) if asked == plain => Ok(()),
        (Some(_), _) => refuse("the operation does not go with this method"),
    }
}

/// `kind; reference="…"; occasional`, several with commas (parameters as in RFC 9110 §5.6.6).
fn grounds(text: &str) -> Result<SmallVec<[Ground; 1]>, Refused> {
    let bad = |text: &str| Refused::Steering(text.to_owned());
    let mut found = SmallVec::new();
    for element in split_outside_quotes(text, ',') {
        let mut parts = split_outside_quotes(element, ';').into_iter();
        let kind = parts.next().unwrap_or("").trim();
        let kind: GroundKind = serde_json::from_value(serde_json::Value::String(kind.to_owned()))
            .map_err(|_| {
            bad(
                "the ground is none of contract-necessity, contract-in-interest, \
                     human-resources, vital-interest, legal-claims, public-interest, \
                     statutory-duty, public-register, public-data, transit, treaty, journalism",
            )
        })?;
        let mut ground = Ground {
            kind,
            reference: None,
            occasional: false,
        };
        for part in parts {
            match part.trim().split_once('=') {
                None if part.trim().eq_ignore_ascii_case("occasional") => ground.occasional = true,
                Some(("reference", value)) => {
                    let text = text_of(value).map_err(|Unclear| {
                        bad("a ground's reference is one quoted text of 1 to 96 bytes, and not blank")
                    })?;
                    ground.reference = Some(text);
                }
                _ => return Err(bad("a ground takes `reference=\"…\"` and `occasional`")),
            }
        }
        found.push(ground);
    }
    Ok(found)
}

/// `US; reference="file 12"; approval="letter 3"`: the country of the authority or court, the
/// order's file number, and the approval by the competent authority at home, if there is one.
fn order(text: &str) -> Result<Order, Refused> {
    let bad = |text: &str| Refused::Steering(text.to_owned());
    let mut parts = split_outside_quotes(text, ';').into_iter();
    let country = parts.next().unwrap_or("").trim();
    let authority_country = country.parse().map_err(|_| {
        bad("an order begins with the country of its authority: `US; reference=\"…\"`")
    })?;
    let (mut reference, mut approval) = (None, None);
    for part in parts {
        let (name, value) = part.trim().split_once('=').unwrap_or((part.trim(), ""));
        let place = match name {
            "reference" => &mut reference,
            "approval" => &mut approval,
            _ => return Err(bad("an order takes `reference=\"…\"` and `approval=\"…\"`")),
        };
        let value = text_of(value).ok().filter(|_| place.is_none());
        *place = Some(value.ok_or_else(|| {
            bad("an order's reference and approval stand once, each one quoted text of 1 to 96 bytes, and not blank")
        })?);
    }
    Ok(Order {
        authority_country,
        reference,
        approval,
    })
}

/// A parameter's value, in quotes or without.
///
/// # Errors
/// [`Unclear`] for what is blank and so names nothing, for quotes and backslashes within, and for more
/// than [`REFERENCE`] bytes.
fn text_of(value: &str) -> Result<String, Unclear> {
    let value = value.trim();
    let inner = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
    let text = inner.unwrap_or(value);
    if text.trim().is_empty() || text.contains(['"', '\\']) || text.len() > REFERENCE {
        return Err(Unclear);
    }
    Ok(text.to_owned())
}

fn split_outside_quotes(text: &str, separator: char) -> Vec<&str> {
    let mut quoted = false;
    text.split(|c: char| {
        if c == '"' {
            quoted = !quoted;
        }
        c == separator && !quoted
    })
    .collect()
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::domain::Region;

    fn wishes(method: Method, fields: &[(&'static str, &str)]) -> Result<Wishes, String> {
        let region = |name: &str, country: &str| Region {
            name: name.into(),
            place: country.parse().unwrap(),
            entity: "acme".into(),
        };
        let regions = Regions::new(vec![region("eu", "DE"), region("sg", "SG")]);
        let mut headers = Fields::default();
        for (name, value) in fields {
            headers.append(*name, value);
        }
        let template = PathTemplate {
            text: String::new(),
            segments: Vec::new(),
        };
        let head = Head {
            headers: &headers,
            captures: Captures::new(),
            template: &template,
            query: None,
        };
        let plain = plain_operation(&method).unwrap();
        read(&head, &Steering::default(), &regions, plain).map_err(|r| r.problem(None).detail)
    }

    #[test]
    fn sound_steering_is_read() {
        let read = wishes(
            Method::PUT,
            &[
                ("domicile-target", "sg"),
                ("domicile-operation", "replicate"),
                (
                    "domicile-ground",
                    "contract-necessity; reference=\"order, 4711\"; occasional, transit",
                ),
            ],
        )
        .unwrap();
        assert_eq!(read.target, Some(RegionId(1)));
        assert_eq!(read.operation, Some(Operation::Replicate));
        assert_eq!(read.grounds.len(), 2);
        assert_eq!(read.grounds[0].reference.as_deref(), Some("order, 4711"));
        assert!(read.grounds[0].occasional && !read.grounds[1].occasional);
        assert_eq!(wishes(Method::GET, &[]).unwrap(), Wishes::default());
        assert!(wishes(Method::GET, &[("domicile-target", "eu")]).is_ok());
        assert!(wishes(Method::DELETE, &[("domicile-operation", "erase")]).is_ok());
    }

    type Case<'a> = (Method, &'a [(&'static str, &'a str)], &'a str);

    #[test]
    fn what_can_be_read_in_two_ways_is_no_absence() {
        let template = PathTemplate {
            text: String::new(),
            segments: Vec::new(),
        };
        let mut headers = Fields::default();
        for value in ["RU", "IN"] {
            headers.append("x-twice", value);
            headers.append("x-same", "RU");
        }
        headers.append("x-bytes", b"R\xffU");
        let head = Head {
            headers: &headers,
            captures: Captures::new(),
            template: &template,
            query: Some("c=RU&c=IN&d=RU&d=%52U&e=%ff&f=&H=x"),
        };
        let text = |source: &str| head.text(&ValueSource::parse(source).unwrap());
        for source in [
            "header:x-twice",
            "header:x-bytes",
            "query:c",
            "query:e",
            "query:h",
        ] {
            assert_eq!(text(source), Err(Unclear), "{source}");
        }
        for source in ["header:x-same", "query:d"] {
            assert_eq!(text(source), Ok(Some("RU".to_owned())), "{source}");
        }
        for source in ["header:x-none", "query:f", "query:g", "network"] {
            assert_eq!(text(source), Ok(None), "{source}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let cases: [Case<'_>; 9] = [
            (
                Method::PUT,
                &[("domicile-target", "moon")],
                "names no region",
            ),
            (Method::PUT, &[("domicile-operation", "copy")], "none of"),
            (
                Method::PUT,
                &[("domicile-operation", "relocate")],
                "need a target",
            ),
            (
                Method::GET,
                &[
                    ("domicile-operation", "replicate"),
                    ("domicile-target", "eu"),
                ],
                "does not go",
            ),
            (Method::DELETE, &[("domicile-target", "eu")], "every holder"),
            (
                Method::PUT,
                &[("domicile-operation", "read")],
                "does not go",
            ),
            (
                Method::PUT,
                &[("domicile-operation", "disclose")],
                "does not go",
            ),
            (Method::PUT, &[("domicile-ground", "because")], "none of"),
            (
                Method::PUT,
                &[("domicile-ground", "transit; when=now")],
                "takes",
            ),
        ];
        for (method, fields, expected) in cases {
            let told = wishes(method, fields).expect_err(expected);
            assert!(told.contains(expected), "{fields:?}: {told}");
        }
    }
}
