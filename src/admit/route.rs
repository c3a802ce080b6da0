//! Which route a request takes: host, path template, method, media type.

use http::{Method, uri::Authority};

use super::{
    fold::{self, FoldFault},
    path::{Captures, is_alike, is_same},
};
use crate::{
    message::{Field, Fields},
    settings::Route,
};

/// Why no route takes a request.
#[derive(Debug, PartialEq, Eq)]
pub enum NoRoute {
    /// 404: no route has this host and path.
    Path,
    /// 405, with the methods that the path knows.
    Method(Vec<Method>),
    /// 415: path and method fit, the media type does not.
    MediaType(Vec<String>),
    /// 400: another route takes what a server could read for the path.
    Folded(FoldFault),
}

/// The first route, in the order of the settings, that takes the request. `host` is asked for only
/// where a route wants one.
///
/// # Errors
/// No route takes it, or servers that fold could read a path that is judged otherwise
/// ([`fold::check`]).
pub fn find<'r, 'p, 'h>(
    routes: impl Iterator<Item = (usize, &'r Route)> + Clone,
    host: impl Fn() -> Option<&'h str>,
    path: &'p str,
    method: &Method,
    headers: &Fields,
) -> Result<(usize, Captures<'p>), NoRoute> {
    let mut methods: Vec<Method> = Vec::new();
    let mut media_types = Vec::new();
    // A literal on the way was missed by letter case alone.
    let mut is_near = false;
    let mut is_literal = |literal: &str, segment: &str| {
        let is_same = is_same(literal, segment);
        is_near |= !is_same && is_alike(literal, segment);
        is_same
    };
    let mut found = None;
    for (index, route) in routes.clone() {
        if route.host.as_deref().is_some_and(|w| !host_fits(w, host())) {
            continue;
        }
        let Some(captures) = route.path.capture_by(route.matched(path), &mut is_literal) else {
            continue;
        };
        if !method_fits(&route.methods, method) {
            methods.extend(route.methods.iter().cloned());
            continue;
        }
        match &route.content_type {
            Some(wanted) if carries_body(method) && !media_type_fits(wanted, headers) => {
                media_types.push(wanted.clone());
            }
            _ => {
                found = Some((index, route, captures));
                break;
            }
        }
    }
    let Some((index, route, captures)) = found else {
        return Err(none(methods, media_types));
    };
    if is_near || fold::may_change(path) {
        let folded = fold::fold(path);
        let mut takers = routes.filter_map(|(_, route)| {
            let fits = route.host.as_deref().is_none_or(|w| host_fits(w, host()))
                && method_fits(&route.methods, method);
            let wanted = route.content_type.as_deref();
            let is_read =
                wanted.is_none_or(|w| !carries_body(method) || media_type_fits(w, headers));
            let captures = route.path.capture_folded(&folded)?;
            (fits && is_read).then_some((route, captures))
        });
        fold::check(route, &captures, takers.next()).map_err(NoRoute::Folded)?;
    }
    Ok((index, captures))
}

fn none(mut methods: Vec<Method>, media_types: Vec<String>) -> NoRoute {
    if !media_types.is_empty() {
        return NoRoute::MediaType(media_types);
    }
    if methods.is_empty() {
        return NoRoute::Path;
    }
    if methods.contains(&Method::GET) {
        methods.push(Method::HEAD);
    }
    methods.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    methods.dedup();
    NoRoute::Method(methods)
}

/// What `Allow` says of a route whose methods are `listed` (RFC 9110 §15.5.6). Of one that takes all
/// these are the methods that mean something here: an empty field would say that none is allowed.
pub fn allowed(listed: &[Method]) -> Vec<Method> {
    if !listed.is_empty() {
        return listed.to_vec();
    }
    [
        Method::DELETE,
        Method::GET,
        Method::HEAD,
        Method::PATCH,
        Method::POST,
        Method::PUT,
    ]
    .into()
}

/// Whether the method's request carries a representation whose media type means something.
fn carries_body(method: &Method) -> bool {
    matches!(*method, Method::PUT | Method::POST | Method::PATCH)
}

fn method_fits(allowed: &[Method], method: &Method) -> bool {
    allowed.is_empty()
        || allowed.contains(method)
        || (*method == Method::HEAD && allowed.contains(&Method::GET))
}

fn host_fits(wanted: &str, host: Option<&str>) -> bool {
    let Some(host) = host.and_then(|h| h.parse::<Authority>().ok()) else {
        return false;
    };
    without_root(host.host()).eq_ignore_ascii_case(without_root(wanted))
}

/// A root's dot names no other host (RFC 3986 §3.2.2).
fn without_root(host: &str) -> &str {
    host.strip_suffix('.').unwrap_or(host)
}

fn media_type_fits(wanted: &str, headers: &Fields) -> bool {
    // Two fields, and the region could read the body by the one that was not looked at.
    let mut values = headers.get_all(Field::ContentType);
    let (Some(value), None) = (values.next(), values.next()) else {
        return false;
    };
    if value.as_bytes().eq_ignore_ascii_case(wanted.as_bytes()) {
        return true;
    }
    let Ok(value) = value.to_str() else {
        return false;
    };
    value
        .split(';')
        .next()
        .unwrap_or("")
        .trim()
        .eq_ignore_ascii_case(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{
        Answers, Conflict, Format, PathTemplate, PinMode, Segment, Steering, UnknownHome,
        UpstreamShape,
    };

    fn route(
        path: &str,
        methods: &[Method],
        content_type: Option<&str>,
        host: Option<&str>,
    ) -> Route {
        let segments = path
            .split('/')
            .skip(1)
            .map(|s| match s.strip_prefix('{') {
                Some(name) => Segment::Name(name.trim_end_matches('}').to_owned()),
                None => Segment::Literal(s.to_owned()),
            })
            .collect();
        Route {
            name: path.into(),
            host: host.map(str::to_owned),
            path: PathTemplate {
                text: path.to_owned(),
                segments,
            },
            methods: methods.to_vec(),
            content_type: content_type.map(str::to_owned),
            format: Format::Record,
            namespace: "person".into(),
            subject: None,
            country: Vec::new(),
            born: None,
            steering: Steering::default(),
            schema: None,
            categories: Vec::new(),
            conflict: Conflict::default(),
            pin: PinMode::default(),
            unknown_home: UnknownHome::default(),
            upstream: UpstreamShape::default(),
            atomic: false,
            discover: false,
            answers: Answers::default(),
            erase: crate::settings::Erase::default(),
            role: None,
            purpose: None,
            circumstances: crate::domain::Circumstances::default(),
            recipient: None,
            bulk: None,
        }
    }

    fn table() -> Vec<Route> {
        vec![
            route("/people/{id}", &[Method::GET, Method::PUT], None, None),
            route("/people", &[Method::POST], Some("application/json"), None),
            route(
                "/people",
                &[Method::POST],
                Some("application/x-ndjson"),
                None,
            ),
            route("/any/{id}", &[], None, Some("files.example")),
        ]
    }

    fn find_in(
        host: &str,
        path: &str,
        method: Method,
        media: Option<&str>,
    ) -> Result<usize, NoRoute> {
        let table = table();
        let mut headers = Fields::default();
        if let Some(media) = media {
            headers.insert(Field::ContentType, media);
        }
        find(
            table.iter().enumerate(),
            || Some(host),
            path,
            &method,
            &headers,
        )
        .map(|(i, _)| i)
    }

    #[test]
    fn host_path_method_and_media_type_choose() {
        assert_eq!(find_in("a", "/people/1", Method::PUT, None), Ok(0));
        assert_eq!(find_in("a", "/people/1", Method::HEAD, None), Ok(0));
        assert_eq!(
            find_in(
                "a",
                "/people",
                Method::POST,
                Some("application/json; charset=utf-8")
            ),
            Ok(1)
        );
        assert_eq!(
            find_in("a", "/people", Method::POST, Some("Application/X-NDJSON")),
            Ok(2)
        );
        assert_eq!(
            find_in("files.example.", "/any/1", Method::DELETE, None),
            Ok(3)
        );
        assert_eq!(
            find_in("files.example:8080", "/any/1", Method::DELETE, None),
            Ok(3)
        );
    }

    #[test]
    fn a_path_that_a_server_could_take_for_another_routes_is_refused() {
        let named = |text: &str, subject: &str, methods: &[Method]| {
            let mut route = route(text, methods, None, None);
            route.path = PathTemplate::parse(text).unwrap();
            route.subject = Some(crate::classify::ValueSource::Path(subject.to_owned()));
            route
        };
        let table = [
            named("/files/profile/{subject}", "subject", &[Method::PUT]),
            named("/files/{subject}/{name...}", "subject", &[]),
            named("/deep/{subject...}", "subject", &[]),
            named("/Twin/{subject}", "subject", &[]),
            named("/twin/{subject}", "subject", &[]),
            named("/list/", "none", &[]),
            named("/{rest...}", "none", &[]),
        ];
        let find = |method: Method, path: &str| {
            let routes = table.iter().enumerate();
            let found = super::find(routes, || None, path, &method, &Fields::default());
            found.map(|(index, _)| index)
        };
        for (path, index) in [
            ("/files/profile/zoe", 0),
            ("/files/%70rofile/zoe", 0),
            ("/files/zoe/%70rofile", 1),
            ("/files/zoe/a//b;v=1/", 1),
            ("/deep/a/b", 2),
            ("/deep/a/%62", 2),
            ("/Twin/bob", 3),
            ("/twin/bob", 4),
            ("/list/", 5),
            ("/other//a;b/", 6),
            ("/Other/Alice", 6),
        ] {
            assert_eq!(find(Method::PUT, path), Ok(index), "{path}");
        }
        // By the method the other route does not take it either.
        assert_eq!(find(Method::GET, "/files/Profile/zoe"), Ok(1));
        let told = |path: &str| match find(Method::PUT, path) {
            Err(NoRoute::Folded(fault)) => fault,
            other => panic!("{path}: {other:?}"),
        };
        for path in [
            "/files/Profile/zoe",
            "/files/%50rofile/zoe",
            "/files/profile;v=1/zoe",
            "/files/profile/zoe/",
            "//files/profile/zoe",
            "/;a/files/profile/zoe",
            "//files/zoe/a",
            "/FILES/zoe/a",
            "/files/zoe//",
            "/deep//",
            "/twin//bob",
            "/list//",
        ] {
            assert!(matches!(told(path), FoldFault::Route { .. }), "{path}");
        }
        for path in [
            "/deep/bob/",
            "/deep/a//bob",
            "/deep//bob",
            "/deep/bob;v=1",
            "/files/zoe;v=1/a",
            "/Twin/bob;v=1",
        ] {
            assert_eq!(told(path), FoldFault::Value("subject".to_owned()), "{path}");
        }
        let told = told("/files/Profile/zoe").to_string();
        assert!(
            told.contains("`/files/{subject}/{name...}`")
                && told.contains("`/files/profile/{subject}`"),
            "{told}"
        );
    }

    proptest::proptest! {
        /// What passes is the same person's by the same route to a server that folds.
        #[test]
        fn what_passes_is_judged_alike_when_it_is_folded(
            path in "(/(files|Files|%66iles|profile|profil%65|a|a;v=1||b%3B)){1,5}/?",
        ) {
            let named = |text: &str| {
                let mut route = route(text, &[], None, None);
                route.path = PathTemplate::parse(text).unwrap();
                route.subject = Some(crate::classify::ValueSource::Path("subject".to_owned()));
                route
            };
            let table = [
                named("/files/profile/{subject}"),
                named("/files/{subject}/{name...}"),
                named("/profile/{subject...}"),
                named("/{rest...}"),
            ];
            let judged = |path: &str| {
                let routes = table.iter().enumerate();
                let found = find(routes, || None, path, &Method::PUT, &Fields::default());
                let (index, captures) = found.ok()?;
                let at = table[index].path.position("subject");
                let subject = at.map(|at| crate::admit::path::decode(captures[at]).unwrap().into_owned());
                Some((index, subject))
            };
            let folded = fold::fold(&path);
            if let Some(as_it_stands) = judged(&path) {
                proptest::prop_assert_eq!(Some(as_it_stands), judged(&folded));
            }
        }
    }

    #[test]
    fn two_media_types_are_none() {
        let mut headers = Fields::default();
        for media in ["application/json", "application/x-ndjson"] {
            headers.append(Field::ContentType, media);
        }
        let table = table();
        let found = find(
            table.iter().enumerate(),
            || None,
            "/people",
            &Method::POST,
            &headers,
        );
        assert!(matches!(found, Err(NoRoute::MediaType(_))), "{found:?}");
    }

    #[test]
    fn what_does_not_fit_is_told_apart() {
        assert_eq!(
            find_in("a", "/nowhere", Method::GET, None),
            Err(NoRoute::Path)
        );
        assert_eq!(
            find_in("other.example", "/any/1", Method::GET, None),
            Err(NoRoute::Path)
        );
        let allow = vec![Method::GET, Method::HEAD, Method::PUT];
        assert_eq!(
            find_in("a", "/people/1", Method::DELETE, None),
            Err(NoRoute::Method(allow))
        );
        let both = vec![
            "application/json".to_owned(),
            "application/x-ndjson".to_owned(),
        ];
        for media in [None, Some("text/plain")] {
            assert_eq!(
                find_in("a", "/people", Method::POST, media),
                Err(NoRoute::MediaType(both.clone()))
            );
        }
    }
}
