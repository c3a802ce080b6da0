//! Heads, routes and bodies that are not taken.

use std::borrow::Cow;

use http::StatusCode as S;

use super::{Facts, plain};
use crate::admit::{
    body::BodyFault,
    hops::PASSED,
    http1::{FramingFault, HeadFault},
};

pub fn head(fault: &HeadFault) -> Facts<'static> {
    let (status, name, title) = fault.facts();
    Facts {
        status,
        name,
        title,
        detail: fault.to_string().into(),
    }
}

/// `fault`: of the path as it stands, or as a server would fold it.
pub fn path(fault: &impl ToString) -> Facts<'static> {
    Facts {
        status: S::BAD_REQUEST,
        name: "bad-path",
        title: "the path can be read in two ways",
        detail: fault.to_string().into(),
    }
}

pub const HOST: Facts<'_> = plain(
    S::BAD_REQUEST,
    "bad-host",
    "the request names no host, or two",
    "send one Host; with two, another server could take another route",
);

pub const NO_ROUTE: Facts<'_> = plain(
    S::NOT_FOUND,
    "no-such-route",
    "no route takes this host and path",
    "the settings name no route for this host and path; see [[routes]]",
);

pub const METHOD_NOT_ALLOWED: Facts<'_> = plain(
    S::METHOD_NOT_ALLOWED,
    "method-not-allowed",
    "the route does not take this method",
    "the methods it takes stand in the Allow header",
);

pub fn media_type(wanted: &[String]) -> Facts<'static> {
    Facts {
        status: S::UNSUPPORTED_MEDIA_TYPE,
        name: "unsupported-media-type",
        title: "the body's media type is not one that this route reads",
        detail: format!("send Content-Type: {}", wanted.join(" or ")).into(),
    }
}

pub const CONTENT_ENCODING: Facts<'_> = plain(
    S::UNSUPPORTED_MEDIA_TYPE,
    "compressed-body",
    "a compressed record cannot be classified",
    "send the body without Content-Encoding",
);

pub const PART: Facts<'_> = plain(
    S::BAD_REQUEST,
    "partial-record",
    "a part of a record cannot be classified",
    "send the record whole, without Content-Range",
);

pub fn circle() -> Facts<'static> {
    Facts {
        status: S::LOOP_DETECTED,
        name: "loop",
        title: "the request goes in a circle",
        detail: format!(
            "the request has passed routers of this kind {PASSED} times (`Via`); see that no region's endpoint leads back to one of them"
        )
        .into(),
    }
}

pub const TUNNEL: Facts<'_> = plain(
    S::BAD_REQUEST,
    "no-tunnels",
    "CONNECT is not passed on",
    "what goes through a tunnel could not be classified",
);

pub const LAST_HOP: Facts<'_> = plain(
    S::NOT_IMPLEMENTED,
    "last-hop",
    "the request is not passed on, and nobody here answers it",
    "TRACE is not served, and OPTIONS with Max-Forwards 0 goes no further",
);

pub const CALLER_CERTIFICATE: Facts<'_> = plain(
    S::FORBIDDEN,
    "caller-certificate",
    "callers must have a certificate, and this connection has none that holds",
    "it has ended, or its authority is believed no more; connect again with a new one",
);

pub const METHOD_OVERRIDE: Facts<'_> = plain(
    S::BAD_REQUEST,
    "method-override",
    "the request asks to be taken for one of another method",
    "send the method that is meant, without X-HTTP-Method-Override or `_method` in the query",
);

pub const TARGET_OVERRIDE: Facts<'_> = plain(
    S::BAD_REQUEST,
    "target-override",
    "the request asks to be taken for one of another target",
    "send the target that is meant, without X-Original-URL and X-Rewrite-URL",
);

pub fn steering(detail: &str) -> Facts<'_> {
    Facts {
        status: S::BAD_REQUEST,
        name: "bad-steering",
        title: "the steering headers cannot be followed",
        detail: detail.into(),
    }
}

pub fn body(fault: BodyFault) -> Facts<'static> {
    let (status, name, title) = match fault {
        BodyFault::TooLong { .. } => (
            S::PAYLOAD_TOO_LARGE,
            "body-too-large",
            "the body is longer than the limit",
        ),
        BodyFault::Stalled(_) | BodyFault::Slow => (
            S::REQUEST_TIMEOUT,
            "body-stalled",
            "the body made no progress",
        ),
        BodyFault::Framing(FramingFault::LongTrailer) => (
            S::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "trailers-too-large",
            "the trailer fields are longer than the limit",
        ),
        BodyFault::NoRoom => (
            S::SERVICE_UNAVAILABLE,
            "overloaded",
            "the router holds as many bytes as it may",
        ),
        BodyFault::Broken | BodyFault::Framing(_) => {
            (S::BAD_REQUEST, "broken-body", "the body is not whole")
        }
    };
    let detail = match fault {
        BodyFault::NoRoom => Cow::Borrowed("the body was not read; try again later"),
        told => told.to_string().into(),
    };
    Facts {
        status,
        name,
        title,
        detail,
    }
}

pub fn too_many_items(limit: usize) -> Facts<'static> {
    Facts {
        status: S::PAYLOAD_TOO_LARGE,
        name: "too-many-items",
        title: "the batch has more items than the limit",
        detail: format!("at most {limit} items in one batch; send several batches").into(),
    }
}

pub fn record_too_long(limit: usize) -> Facts<'static> {
    Facts {
        status: S::PAYLOAD_TOO_LARGE,
        name: "record-too-large",
        title: "the record is longer than the limit",
        detail: format!("at most {limit} bytes in one record, in a batch as by itself").into(),
    }
}
