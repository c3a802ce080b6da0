//! Who may use the admin listener: on loopback everybody on the machine, with a token its bearer.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{ConnectInfo, Request, State},
    http::{HeaderValue, Method, StatusCode, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{connections::Operator, handlers::problem};
use crate::{
    clock,
    settings::ListenerTls,
    shared::{Shared, Snapshot},
};

/// For what tells or does anything.
pub async fn token(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let snapshot = shared.snapshot.load_full();
    let Some(token) = snapshot.watched.token(&snapshot.settings) else {
        return without_token(&snapshot, request, next).await;
    };
    if !is_certified(&snapshot, &request) {
        return uncertified();
    }
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, given)| given.trim());
    if given.is_some_and(|g| equal(g.as_bytes(), token.reveal())) {
        return next.run(request).await;
    }
    let mut refused = problem(
        StatusCode::UNAUTHORIZED,
        "admin-token",
        "the admin listener asks for its token",
        "send Authorization: Bearer with the token of admin.token_file",
    )
    .into_response();
    refused
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    refused
}

/// For a page that is the same for everybody and tells nothing of this router: whoever may not ask
/// without a token gets it, so that a browser has something to give the token to. All else holds.
pub async fn page(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let snapshot = shared.snapshot.load_full();
    if snapshot.watched.token(&snapshot.settings).is_none() {
        return without_token(&snapshot, request, next).await;
    }
    match is_certified(&snapshot, &request) {
        true => next.run(request).await,
        false => uncertified(),
    }
}

async fn without_token(snapshot: &Snapshot, request: Request, next: Next) -> Response {
    if !is_certified(snapshot, &request) {
        return uncertified();
    }
    // Also with a client certificate: a browser shows it for whatever page sends the request. A token
    // it never sends by itself.
    if is_of_another_page(&request) {
        return problem(
            StatusCode::FORBIDDEN,
            "admin-origin",
            "the admin listener does not answer to web pages of others",
            "a browser says that a page of another origin sends this; without a token nothing \
             else would keep such a page from recording consents here",
        );
    }
    // A host name of somebody else's leads a browser to no listener whose own certificate has it not.
    let tls = snapshot.settings.admin.tls.as_ref();
    let certified = tls.is_some_and(ListenerTls::requires_certificates);
    if certified || names_this_machine(&request) {
        return next.run(request).await;
    }
    problem(
        StatusCode::FORBIDDEN,
        "admin-host",
        "the admin listener does not answer to this host name",
        "without a token it is reached by address or as localhost only, so that no web page \
         can reach it through a name of its own",
    )
}

fn uncertified() -> Response {
    problem(
        StatusCode::FORBIDDEN,
        "admin-certificate",
        "the admin listener asks for a client certificate that holds",
        "the one of this connection has ended, or its authority is believed no more",
    )
}

/// Whether the connection's certificate still holds, where one is required: authorities may have
/// been exchanged since its handshake.
fn is_certified(snapshot: &Snapshot, request: &Request) -> bool {
    let tls = snapshot.settings.admin.tls.as_ref();
    let Some(live) = &snapshot.watched.admin else {
        return true;
    };
    let operator = request.extensions().get::<ConnectInfo<Operator>>();
    !tls.is_some_and(ListenerTls::requires_certificates)
        || operator.is_some_and(|o| o.0.0.names(&live.load(), clock::now()).is_some())
}

/// Whether the request is for an address or `localhost`. A browser that a page has led here by a
/// host name that resolves to loopback (DNS rebinding) names that host.
fn names_this_machine(request: &Request) -> bool {
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|h| h.to_str().ok());
    let Some(authority) = host.and_then(|h| h.parse::<Authority>().ok()) else {
        // HTTP/1.0, or a client that is no browser.
        return host.is_none();
    };
    let name = authority
        .host()
        .trim_start_matches('[')
        .trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

/// Whether a browser tells that a page sends this which does not come from here (CSRF). Browsers
/// name the page's `Origin` with each POST, whatever its media type, and most say `Sec-Fetch-Site`
/// with everything; other clients send neither.
fn is_of_another_page(request: &Request) -> bool {
    let headers = request.headers();
    let site = headers.get_all("sec-fetch-site").iter();
    let own = |host: &HeaderValue, origin: &HeaderValue| {
        let origin = origin.to_str().unwrap_or_default();
        let authority = origin.split_once("://").map(|(_, authority)| authority);
        authority.is_some_and(|a| a.as_bytes().eq_ignore_ascii_case(host.as_bytes()))
    };
    // A link that somebody follows: it changes nothing, and the page that has it cannot read the answer.
    let says = |name, value: &str| headers.get(name).is_some_and(|v| v == value);
    let is_link = request.method() == Method::GET
        && says("sec-fetch-mode", "navigate")
        && says("sec-fetch-dest", "document");
    let host = headers.get(header::HOST);
    let mut origins = headers.get_all(header::ORIGIN).iter();
    (!is_link && { site }.any(|site| site != "same-origin" && site != "none"))
        || origins.any(|origin| !host.is_some_and(|host| own(host, origin)))
}

/// In constant time: hashes of both are compared, so that time tells nothing of the token.
fn equal(a: &[u8], b: &[u8]) -> bool {
    blake3::hash(a) == blake3::hash(b)
}
