//! Answers by which a server says that it, and not the request, is in trouble.
//!
//! They count against the server like failures as long as another one of its region serves, and a
//! request that only reads is asked of that one. A single record that no server can digest (500 from
//! each) thus puts none aside: the others' last answers were as bad. Where all of a region are in
//! trouble, none is better than the others, and all stay.

use http::{Method, StatusCode};

/// Whether the status speaks of the server. 501, 505 and 507 speak of the request or its size.
pub(super) fn is_trouble(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::INTERNAL_SERVER_ERROR
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

/// Whether another server of the region may be asked the same: only where nothing is changed by
/// it (RFC 9110 §9.2.1). A 500 is what a request can bring about, and would anywhere.
pub(super) fn may_ask_another(method: &Method, status: StatusCode) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
        && is_trouble(status)
        && status != StatusCode::INTERNAL_SERVER_ERROR
}
