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
/// another region.
///
/// # Errors
/// A redirection to another region (RFC 9110 §15.4): who follows it sends there what was not judged.
pub fn mend_leads(
    x: &Exchange<'_>,
    region: RegionId,
    is_redirection: bool,
    fields: &mut Fields,
) -> Result<(), Refused> {
    if !fields.may_have(LEADS) {
        return Ok(());
    }
    for name in [Field::Location, Field::ContentLocation] {
        if fields.get_all(name).nth(1).is_some() {
            // Who follows takes the one or the other.
            fields.remove(name);
            continue;
        }
        let value = fields.get(name).and_then(|v| v.to_str().ok());
        let Some(value) = value.map(str::to_owned) else {
            continue;
        };
        let Some((authority, rest)) = absolute(&value) else {
            continue;
        };
        let regions = &x.snapshot.settings.regions;
        // No two regions have an endpoint in common.
        let mut led = regions
            .iter()
            .filter_map(|to| Some((to, prefix_at(to, authority)?)));
        let own = x.snapshot.regions.name(region);
        let Some((to, prefix)) = led.next() else {
            continue;
        };
        if &*to.name == own {
            let path = rest.strip_prefix(prefix).unwrap_or(rest);
            // Never `//`, which would be another authority (RFC 3986 §4.2).
            let path = format!("/{}", path.trim_start_matches('/'));
            fields.insert(name, path);
        } else if is_redirection && name == Field::Location {
            return Err(Refused::BackendBroken {
                region: own.to_string(),
                detail: format!(
                    "region `{own}` redirects to a server of region `{}`, past this router",
                    to.name
                ),
            });
        } else {
            fields.remove(name);
        }
    }
    Ok(())
}

/// Authority and what follows it, of a reference that has one (RFC 3986 §4.2).
fn absolute(reference: &str) -> Option<(&str, &str)> {
    let scheme = reference.split_once("//").map(|(scheme, _)| scheme)?;
    let is_http = ["", "http:", "https:"].iter();
    if !is_http.into_iter().any(|s| s.eq_ignore_ascii_case(scheme)) {
        return None;
    }
    let rest = reference.get(scheme.len() + 2..)?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    rest.split_at_checked(end)
}

/// The path prefix of the endpoint that this authority names, whatever the scheme.
fn prefix_at<'r>(region: &'r RegionSettings, authority: &str) -> Option<&'r str> {
    // What stands before an `@` is no part of the place.
    let host = authority.rsplit('@').next().unwrap_or(authority);
    let named: Authority = host.parse().ok()?;
    let names = |endpoint: &&Uri| {
        let Some(own) = endpoint.host() else {
            return false;
        };
        let usual = || match endpoint.scheme_str() {
            Some("https") => 443,
            _ => 80,
        };
        let port = endpoint.port_u16().unwrap_or_else(usual);
        own.trim_end_matches('.')
            .eq_ignore_ascii_case(named.host().trim_end_matches('.'))
            && named.port_u16().is_none_or(|p| p == port)
    };
    let endpoint = region.endpoints.iter().find(names)?;
    Some(endpoint.path().trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_with_an_authority_are_told() {
        let told = [
            ("http://a:1/x?y", Some(("a:1", "/x?y"))),
            ("HTTPS://a", Some(("a", ""))),
            ("//a/x", Some(("a", "/x"))),
            ("http://a?x", Some(("a", "?x"))),
            ("/x//y", None),
            ("x", None),
            ("ftp://a/x", None),
            ("/x?to=http://a", None),
        ];
        for (reference, expected) in told {
            assert_eq!(absolute(reference), expected, "{reference}");
        }
    }
}
