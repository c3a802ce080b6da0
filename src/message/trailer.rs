//! Fields that come after the content.

use http::{HeaderName, header};

use super::{CLIENT_ADDRESS, Field};

/// Trailer fields of one body, names, values and line ends.
pub const MOST_BYTES: usize = 8 << 10;
pub const MOST_FIELDS: usize = 32;

/// Whether a field may not stand in a trailer section: those for framing, routing, modifying,
/// authentication and the content's own form (RFC 9110 §6.5.1), and those that steer.
pub fn is_forbidden(name: &HeaderName) -> bool {
    const FORBIDDEN: [HeaderName; 37] = [
        header::TRANSFER_ENCODING,
        header::CONTENT_LENGTH,
        header::HOST,
        header::CONNECTION,
        header::UPGRADE,
        header::TE,
        header::TRAILER,
        header::CACHE_CONTROL,
        header::EXPECT,
        header::MAX_FORWARDS,
        header::PRAGMA,
        header::RANGE,
        header::IF_MATCH,
        header::IF_NONE_MATCH,
        header::IF_MODIFIED_SINCE,
        header::IF_UNMODIFIED_SINCE,
        header::IF_RANGE,
        header::AUTHORIZATION,
        header::PROXY_AUTHORIZATION,
        header::PROXY_AUTHENTICATE,
        header::WWW_AUTHENTICATE,
        header::COOKIE,
        header::SET_COOKIE,
        header::AGE,
        header::EXPIRES,
        header::DATE,
        header::LOCATION,
        header::RETRY_AFTER,
        header::VARY,
        header::CONTENT_ENCODING,
        header::CONTENT_TYPE,
        header::CONTENT_RANGE,
        header::CONTENT_LOCATION,
        header::CONTENT_LANGUAGE,
        header::FORWARDED,
        header::VIA,
        header::ORIGIN,
    ];
    let text = name.as_str();
    FORBIDDEN.contains(name)
        || CLIENT_ADDRESS.contains(Field::of(text.as_bytes()))
        || [
            "domicile-",
            "x-forwarded-",
            "x-http-method",
            "x-method-",
            "x-original-url",
            "x-rewrite-url",
            "proxy-",
            "keep-alive",
            "traceparent",
            "tracestate",
        ]
        .iter()
        .any(|prefix| text.starts_with(prefix))
}
