//! The head of an answer that refuses.

use http::{Method, StatusCode};

use super::{RecipientFailure, Refused};
use crate::{
    message::{Field, Fields},
    problem,
};

impl Refused {
    /// The answer's head fields; the caller adds the body that [`Refused::problem`] gives.
    pub fn headers(&self, operator_uri: Option<&str>, headers: &mut Fields) {
        let status = self.status();
        problem::head(status, headers);
        if status == StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS
            && let Some(uri) = operator_uri
        {
            headers.insert(Field::Link, format!("<{uri}>; rel=\"blocked-by\""));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(Field::WwwAuthenticate, "Bearer error=\"invalid_token\"");
        }
        if let Self::MethodNotAllowed(methods) = self {
            let allow: Vec<&str> = methods.iter().map(Method::as_str).collect();
            headers.insert(Field::Allow, allow.join(", "));
        }
        if let Self::MediaType(wanted) = self {
            headers.insert(Field::Accept, wanted.join(", "));
        }
        if let Some(region) = self.region() {
            headers.insert(Field::DomicileRegion, region);
        }
        if let Some(error) = self.proxy_error() {
            let next = self
                .region()
                .map(|r| format!("; next-hop=\"{r}\""))
                .unwrap_or_default();
            headers.insert(Field::ProxyStatus, format!("domicile; error={error}{next}"));
        }
    }

    /// RFC 9209 §2.3: the error type of refusals that a backend or the router's own state causes.
    fn proxy_error(&self) -> Option<&'static str> {
        match self {
            Self::BackendUnreachable { .. } => Some("connection_refused"),
            Self::BackendTimeout { .. } => Some("connection_timeout"),
            Self::BackendBroken { .. } => Some("http_protocol_error"),
            Self::RegionBusy { .. } => Some("connection_limit_reached"),
            Self::Recipient { failure, .. } => Some(match failure {
                RecipientFailure::Unreachable => "connection_refused",
                RecipientFailure::Timeout => "connection_timeout",
                RecipientFailure::Broken => "http_protocol_error",
                RecipientFailure::Busy => "connection_limit_reached",
            }),
            Self::Ledger(_) | Self::Directory(_) | Self::Internal(_) => {
                Some("proxy_internal_error")
            }
            Self::ErasureOpen { status, .. } => Some(match *status {
                StatusCode::GATEWAY_TIMEOUT => "connection_timeout",
                StatusCode::BAD_GATEWAY => "http_protocol_error",
                _ => "destination_unavailable",
            }),
            Self::Forbidden(_) => Some("http_request_denied"),
            Self::Malformed(_)
            | Self::MalformedForm(_)
            | Self::Path(_)
            | Self::Folded(_)
            | Self::Head(_) => Some(problem::REQUEST_ERROR),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::respond::Forbidden;

    #[test]
    fn a_refused_transfer_names_rule_and_blocker() {
        let refused = Refused::Forbidden(Arc::new(Forbidden {
            rule: Some("ru-localise".into()),
            citation: Some("152-FZ Art. 18(5)".into()),
            detail: "the primary copy must lie in RU".into(),
            ..Forbidden::default()
        }));
        let mut headers = Fields::default();
        refused.headers(Some("https://example.com/privacy"), &mut headers);
        assert_eq!(
            headers.get("link").unwrap(),
            "<https://example.com/privacy>; rel=\"blocked-by\""
        );
        assert_eq!(headers.get("cache-control").unwrap(), "no-store");
        let text = serde_json::to_value(refused.problem(None)).unwrap();
        assert_eq!(text["type"], "urn:domicile:problem:transfer-forbidden");
        assert_eq!(text["status"], 451);
        assert_eq!(text["citation"], "152-FZ Art. 18(5)");
        assert_eq!(text["missing"], serde_json::json!([]));
    }

    #[test]
    fn an_unavailable_region_is_named_and_may_be_tried_again() {
        let refused = Refused::BackendUnreachable {
            region: "eu".into(),
            detail: "refused".into(),
        };
        let mut headers = Fields::default();
        refused.headers(None, &mut headers);
        assert_eq!(headers.get("retry-after").unwrap(), "5");
        assert_eq!(
            headers.get("proxy-status").unwrap(),
            "domicile; error=connection_refused; next-hop=\"eu\""
        );
        assert_eq!(refused.problem(None).region.as_deref(), Some("eu"));
        assert!(!headers.contains_key("link"));
    }
}
