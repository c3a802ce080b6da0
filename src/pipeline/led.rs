//! Where a region's answer leads: regions know themselves by the names of their endpoints, and
//! callers know the router alone.
//!
//! Goal: nobody who follows an answer goes past the router to a region. What leads to a server that
//! is none of the settings' passes as it came: what a caller does there is not the router's to know.

use http::{Uri, uri::Authority};

use super::Exchange;
use crate::{
    domain::RegionId,
    message::{Field, FieldSet, Fields},
    respond::Refused,
    settings::RegionSettings,
};

const LEADS: FieldSet = FieldSet::of(&[Field::Location, Field::ContentLocation]);

/// Makes what leads to the endpoint that answered lead to the router, and takes out what leads to
/// another region, or where nobody can tell.
///
/// # Errors
/// A redirection of that kind (RFC 9110 §15.4): who follows it sends there what was not judged.
pub fn mend_leads(
    x: &Exchange<'_>,
    region: RegionId,
    is_redirection: bool,
    fields: &mut Fields,
) -> Result<(), Refused> {
    if !fields.may_have(LEADS) {
        return Ok(());
    }
    let own = x.snapshot.regions.name(region);
    for name in [Field::Location, Field::ContentLocation] {
        let why = match lead_of(x, own, name, fields) {
            Lead::Stays => continue,
            Lead::Own(path) => {
                fields.insert(name, path);
                continue;
            }
            Lead::Unclear => "redirects to where nobody can tell".to_owned(),
            Lead::Other(to) => format!("redirects to a server of region `{to}`, past this router"),
        };
        if is_redirection && name == Field::Location {
            return Err(Refused::BackendBroken {
                region: own.to_owned(),
                detail: format!("region `{own}` {why}"),
            });
        }
        fields.remove(name);
    }
    Ok(())
}

fn lead_of(x: &Exchange<'_>, own: &str, name: Field, fields: &Fields) -> Lead {
    let mut values = fields.get_all(name);
    match (values.next(), values.next()) {
        (None, _) => Lead::Stays,
        (Some(value), None) => lead(&x.snapshot.settings.regions, own, value.as_bytes()),
        // Who follows takes the one or the other.
        (Some(_), Some(_)) => Lead::Unclear,
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Lead {
    /// To the router itself, or to a server that is nobody's here.
    Stays,
    /// To this path of the endpoint that answered.
    Own(Vec<u8>),
    Other(String),
    Unclear,
}

fn lead(regions: &[RegionSettings], own: &str, reference: &[u8]) -> Lead {
    let Some((is_secure, rest)) = absolute(reference) else {
        return Lead::Stays;
    };
    let end = |b: &u8| matches!(b, b'/' | b'\\' | b'?' | b'#');
    let end = rest.iter().position(end).unwrap_or(rest.len());
    let Some((authority, path)) = rest.split_at_checked(end) else {
        return Lead::Unclear;
    };
    // What stands before an `@` is no part of the place.
    let host = authority.rsplit(|b| *b == b'@').next();
    let Some(host) = host.and_then(|host| Authority::try_from(host).ok()) else {
        return Lead::Unclear;
    };
    let at = |region: &RegionSettings| -> Option<Option<usize>> {
        let mut here = region
            .endpoints
            .iter()
            .filter(|endpoint| is_at(endpoint, &host, is_secure))
            .peekable();
        here.peek()?;
        // How much of the path is the endpoint's own.
        Some(here.filter_map(|endpoint| prefix(endpoint, path)).max())
    };
    let led: Vec<_> = regions.iter().filter_map(|r| Some((r, at(r)?))).collect();
    // Of regions that share a server, that whose prefix the path has.
    let Some((to, cut)) = led
        .iter()
        .max_by_key(|(r, prefix)| (prefix, &*r.name == own))
    else {
        return Lead::Stays;
    };
    match cut.and_then(|cut| path.get(cut..)) {
        Some(path) if &*to.name == own => {
            // Never `//`, which would be another authority (RFC 3986 §4.2).
            let slashes = path.iter().take_while(|b| matches!(b, b'/' | b'\\'));
            let path = path.get(slashes.count()..).unwrap_or_default();
            Lead::Own([b"/", path].concat())
        }
        _ => Lead::Other(to.name.to_string()),
    }
}

/// What follows the slashes of a reference that has an authority (RFC 3986 §4.2), and whether its
/// scheme is `https`. Read as browsers do, which take any slashes, of either kind, behind a scheme.
fn absolute(reference: &[u8]) -> Option<(Option<bool>, &[u8])> {
    let scheme = |text: &[u8]| {
        let begin = reference.get(..text.len())?;
        let rest = reference.get(text.len()..)?;
        begin.eq_ignore_ascii_case(text).then_some(rest)
    };
    let (is_secure, rest, least) = match (scheme(b"https:"), scheme(b"http:")) {
        (Some(rest), _) => (Some(true), rest, 0),
        (_, Some(rest)) => (Some(false), rest, 0),
        _ => (None, reference, 2),
    };
    let slashes = rest
        .iter()
        .take_while(|b| matches!(b, b'/' | b'\\'))
        .count();
    (slashes >= least).then_some((is_secure, rest.get(slashes..)?))
}

/// Whether this is the endpoint's host and port.
fn is_at(endpoint: &Uri, named: &Authority, is_secure: Option<bool>) -> bool {
    let usual = |is_secure| if is_secure { 443 } else { 80 };
    let own_secure = endpoint.scheme_str() == Some("https");
    let own_port = endpoint.port_u16().unwrap_or(usual(own_secure));
    let port = named.port_u16();
    let port = port.unwrap_or(usual(is_secure.unwrap_or(own_secure)));
    let host = |text: &str| text.trim_end_matches('.').to_ascii_lowercase();
    let own = endpoint.host().unwrap_or_default();
    own_port == port && host(own) == host(named.host())
}

/// The length of the endpoint's path prefix, if the path begins with it, whole segments of it.
fn prefix(endpoint: &Uri, path: &[u8]) -> Option<usize> {
    let prefix = endpoint.path().trim_end_matches('/').as_bytes();
    let rest = path.strip_prefix(prefix)?;
    let ends = matches!(rest.first(), None | Some(b'/' | b'\\' | b'?' | b'#'));
    ends.then_some(prefix.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn regions() -> Vec<RegionSettings> {
        let region = |name: &str, endpoints: &[&str]| RegionSettings {
            name: name.into(),
            place: "SG".parse().unwrap(),
            entity: "acme".into(),
            endpoints: endpoints.iter().map(|e| e.parse().unwrap()).collect(),
            tls: None,
            http: crate::settings::HttpVersion::default(),
            concurrent_requests: None,
            queue_wait: None,
            health: None,
        };
        vec![
            region("eu", &["http://gw:8080/eu", "https://eu-store"]),
            region("in", &["http://gw:8080/in", "http://in-store:8081"]),
        ]
    }

    #[test]
    fn what_leads_to_a_region_is_told_however_it_is_written() {
        let own = |path: &[u8]| Lead::Own(path.to_vec());
        let other = || Lead::Other("eu".into());
        let told: [(&[u8], Lead); 24] = [
            (b"http://in-store:8081/x?y", own(b"/x?y")),
            (b"HTTP://In-Store.:8081", own(b"/")),
            (b"//in-store:8081//evil.example/x", own(b"/evil.example/x")),
            (b"http://u:p@in-store:8081/x", own(b"/x")),
            (
                b"http://in-store:8081/M\xc3\xbcller",
                own(b"/M\xc3\xbcller"),
            ),
            (b"http:\\\\in-store:8081\\x", own(b"/x")),
            (b"http:/in-store:8081/x", own(b"/x")),
            (b"http://gw:8080/in/x", own(b"/x")),
            (b"http://gw:8080/eu/x", other()),
            // Neither's path, but a region's server.
            (b"http://gw:8080/eu-west/x", Lead::Other("in".into())),
            (b"https://eu-store/people/M\xc3\xbcller", other()),
            (b"https://eu-store:443/x", other()),
            (b"//eu-store/x", other()),
            (b"/\\eu-store/x", other()),
            (b"\\\\eu-store/x", other()),
            (b"https:eu-store/x", other()),
            // Another port is another server.
            (b"http://eu-store/x", Lead::Stays),
            (b"http://in-store/x", Lead::Stays),
            (b"https://help.example/topic", Lead::Stays),
            (b"/people/M\xc3\xbcller", Lead::Stays),
            (b"people?to=http://eu-store", Lead::Stays),
            (b"", Lead::Stays),
            (b"http://eu-st\xc3\xb6re/x", Lead::Unclear),
            (b"https://", Lead::Unclear),
        ];
        for (reference, expected) in told {
            let text = String::from_utf8_lossy(reference);
            assert_eq!(lead(&regions(), "in", reference), expected, "{text}");
        }
    }
}
