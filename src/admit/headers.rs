//! What of a message's head passes on, and what the router adds (RFC 9110 §7.6).

use http::{HeaderName, Version};

use crate::message::{Field, FieldSet, Fields, OWN_PREFIX, Value, tokens};

/// Fields that concern one connection only (RFC 9110 §7.6.1), `Connection`'s own list aside; `TE`
/// is another matter.
pub(super) const HOP_BY_HOP: FieldSet = FieldSet::of(&[
    Field::Connection,
    Field::KeepAlive,
    Field::ProxyConnection,
    Field::ProxyAuthenticate,
    Field::ProxyAuthorization,
    Field::TransferEncoding,
    Field::Upgrade,
    Field::Http2Settings,
]);

/// What no backend says to callers: what only the router does, what concerns the way to it, and
/// where else its callers could go from now on (RFC 7838).
const NO_ANSWERS: [Field; 9] = [
    Field::DomicileDecision,
    Field::DomicileRegion,
    Field::DomicileMechanism,
    Field::DomicileBody,
    Field::DomicileRecipient,
    Field::DomicileRetainUntil,
    Field::DomicileStripped,
    Field::ProxyAuthenticate,
    Field::AltSvc,
];

/// The names that `Connection` claims for the connection.
pub fn nominated(fields: &Fields) -> Vec<String> {
    if !fields.may_have(const { FieldSet::of(&[Field::Connection]) }) {
        return Vec::new();
    }
    fields
        .get_all(Field::Connection)
        .flat_map(|value| tokens(value.as_bytes()))
        .flatten()
        .map(|name| String::from_utf8_lossy(name).to_ascii_lowercase())
        .collect()
}

/// Whether a field is one of these in any spelling: gateways read `_` for `-` (CGI, WSGI).
pub fn is_among(names: &[HeaderName], name: &[u8]) -> bool {
    names.iter().any(|own| is_spelling(own, name))
}

fn is_spelling(own: &HeaderName, name: &[u8]) -> bool {
    let own = own.as_str().as_bytes();
    let dash = |byte: &u8| if *byte == b'_' { b'-' } else { *byte };
    own.len() == name.len() && own.iter().map(dash).eq(name.iter().map(dash))
}

/// Whether a field is one of these in another spelling alone: a region could read there what was not
/// read here.
pub fn has_other_spelling(fields: &Fields, names: &[HeaderName]) -> bool {
    fields.iter().any(|(_, name, _)| {
        is_among(names, name.as_bytes()) && names.iter().all(|own| own.as_str() != name)
    })
}

/// The fields that are not the connection's, nor the router's own, nor, for callers that are not
/// trusted, such as steer a route.
pub fn end_to_end(fields: &Fields, steering: &[HeaderName], trusted: bool) -> Fields {
    let nominated = nominated(fields);
    let mut out = Fields::with_capacity(fields.len(), 512);
    out.extend(fields, |field, name, value| {
        let is_nominated = nominated.iter().any(|n| n.as_bytes() == name);
        let steers = !trusted && is_among(steering, name);
        let passes = match field {
            // How a caller says that trailers may come (gRPC).
            Field::Te => takes_trailers(value),
            _ => !HOP_BY_HOP.contains(field) && !is_nominated,
        };
        passes && !steers && !name.starts_with(OWN_PREFIX)
    });
    out
}

/// Whether a `TE` names `trailers` (RFC 9110 §10.1.4).
pub(super) fn takes_trailers(te: Value<'_>) -> bool {
    let mut codings = te.as_bytes().split(|b| *b == b',');
    codings.any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

/// Drops a backend's word on what only the router says.
pub fn drop_own_answers(fields: &mut Fields) {
    if fields.may_have(const { FieldSet::of(&NO_ANSWERS) }) {
        NO_ANSWERS.iter().for_each(|field| fields.remove(field));
    }
    if fields.may_have_strange_own() {
        fields.retain(|_, name| !name.as_bytes().starts_with(OWN_PREFIX));
    }
}

/// `Domicile-Decision`, as it stands in answers and in requests to regions.
pub(crate) fn say_decision(fields: &mut Fields, id: &[u8; 36]) {
    let mut line = *b"domicile-decision: 00000000-0000-0000-0000-000000000000\r\n";
    for (place, digit) in line.iter_mut().skip("domicile-decision: ".len()).zip(id) {
        *place = *digit;
    }
    fields.remove(Field::DomicileDecision);
    fields.append_line(Field::DomicileDecision, &line);
}

/// RFC 9110 §7.6.3.
pub fn add_via(fields: &mut Fields, version: Version) {
    if !fields.may_have(const { FieldSet::of(&[Field::Via]) }) {
        fields.append_line(
            Field::Via,
            match version {
                Version::HTTP_2 => b"via: 2.0 domicile\r\n",
                Version::HTTP_10 => b"via: 1.0 domicile\r\n",
                _ => b"via: 1.1 domicile\r\n",
            },
        );
        return;
    }
    // As bytes: a comment may hold any (RFC 9110 §5.6.5), and by the list circles are found.
    let mut list = Vec::new();
    for value in fields.get_all(Field::Via) {
        list.extend_from_slice(value.as_bytes());
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(via(version).as_bytes());
    fields.insert(Field::Via, list);
}

/// How the router names itself in `Via`.
pub(super) const OWN_NAME: &str = " domicile";

/// The router's own element of `Via`, which ends in [`OWN_NAME`].
pub(super) fn via(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "2.0 domicile",
        Version::HTTP_10 => "1.0 domicile",
        _ => "1.1 domicile",
    }
}

/// The one `traceparent` of a request, sound or not; one that `Connection` claims is none.
pub fn traceparent(fields: &Fields) -> Option<&[u8]> {
    let value = fields.only(Field::Traceparent).ok()??;
    let is_claimed = nominated(fields).iter().any(|n| n == "traceparent");
    (!is_claimed).then(|| value.as_bytes())
}

/// `00-` trace id `-` parent id `-` flags, lower-case hexadecimal, ids not all zero; of a later
/// version more may follow (W3C Trace Context, §3.2.4).
pub(super) fn is_traceparent(value: &[u8]) -> bool {
    let Some((known, more)) = value.split_at_checked(55) else {
        return false;
    };
    let ends_well = match (known, more) {
        ([b'f', b'f', ..], _) => false,
        (_, []) => true,
        ([b'0', b'0', ..], _) => false,
        (_, [next, ..]) => *next == b'-',
    };
    let mut letters = known.iter().enumerate();
    let is_formed = letters.all(|(i, b)| match i {
        2 | 35 | 52 => *b == b'-',
        _ => b.is_ascii_digit() || (b'a'..=b'f').contains(b),
    });
    let not_zero = |range| {
        known
            .get::<std::ops::Range<usize>>(range)
            .is_some_and(|s| s.iter().any(|b| *b != b'0'))
    };
    ends_well && is_formed && not_zero(3..35) && not_zero(36..52)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hop_by_hop_fields_and_nominees_go() {
        let fields: Fields = [
            ("connection", "close, X-Private"),
            ("x-private", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("upgrade", "h2c"),
            ("accept", "*/*"),
        ]
        .into_iter()
        .collect();
        let left = end_to_end(&fields, &[], true);
        let names: Vec<&str> = left.iter().map(|(_, name, _)| name).collect();
        assert_eq!(names, ["te", "accept"]);
    }

    #[test]
    fn steering_is_dropped_from_strangers_and_own_fields_from_all() {
        let steering = [HeaderName::from_static("x-target-region")];
        let fields: Fields = [
            ("domicile-target", "eu"),
            ("x-target-region", "eu"),
            ("x_target-region", "eu"),
            ("accept", "*/*"),
        ]
        .into_iter()
        .collect();
        assert_eq!(end_to_end(&fields, &steering, false).len(), 1);
        let trusted = end_to_end(&fields, &steering, true);
        assert!(
            trusted.contains_key("x-target-region") && !trusted.contains_key("domicile-target")
        );
        assert!(has_other_spelling(&fields, &steering));
        let plain: Fields = [("x-target-region", "eu"), ("x_other", "1")]
            .into_iter()
            .collect();
        assert!(!has_other_spelling(&plain, &steering));
    }

    #[test]
    fn own_answers_of_a_backend_go_and_its_via_is_continued() {
        let mut fields: Fields = [("domicile-region", "eu"), ("via", "1.0 first"), ("x", "1")]
            .into_iter()
            .collect();
        drop_own_answers(&mut fields);
        add_via(&mut fields, Version::HTTP_11);
        assert_eq!(fields.len(), 2);
        assert_eq!(fields.get("via").unwrap(), "1.0 first, 1.1 domicile");
    }

    #[test]
    fn a_comment_in_via_breaks_no_chain() {
        let mut fields = Fields::default();
        fields.append(Field::Via, b"1.1 domicile, 1.1 p (\xe9)");
        add_via(&mut fields, Version::HTTP_11);
        let said = fields.get(Field::Via).unwrap().as_bytes();
        assert_eq!(said, b"1.1 domicile, 1.1 p (\xe9), 1.1 domicile");
    }
}
