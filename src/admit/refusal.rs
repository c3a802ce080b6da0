//! The answer to a request whose head cannot be served: nobody else sees it.

use bytes::Bytes;
use http_body_util::Full;

use super::http1::HeadFault;
use crate::{
    message::{Field, Response},
    problem::{self, Problem, REQUEST_ERROR},
};

/// As [`Refused::Head`](crate::respond::Refused::Head) is answered. `via`: the protocol, for `Via`.
/// Without content to HEAD, where that is not left out on the way.
pub fn refusal(fault: HeadFault, via: &'static str, has_content: bool) -> Response<Full<Bytes>> {
    let (status, name, title) = fault.facts();
    tracing::debug!(problem = name, "a request's head was refused");
    let mut text = Vec::new();
    if has_content {
        let problem = Problem::new(status, name, title, fault.to_string());
        text = serde_json::to_vec(&problem).unwrap_or_default();
        text.push(b'\n');
    }
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    *answer.status_mut() = status;
    let fields = answer.headers_mut();
    problem::head(status, fields);
    fields.insert(
        Field::ProxyStatus,
        format!("domicile; error={REQUEST_ERROR}"),
    );
    fields.insert(Field::Via, via);
    answer
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::{message::Fields, respond::Refused};

    #[tokio::test]
    async fn a_head_is_refused_in_the_same_words_wherever_that_is_found() {
        for fault in [
            HeadFault::BareLineFeed,
            HeadFault::LongTarget,
            HeadFault::Version,
            HeadFault::TooLarge,
            HeadFault::NotSecured,
            HeadFault::Expectation,
            HeadFault::TooSlow,
            HeadFault::Hops,
        ] {
            let refused = Refused::Head(fault);
            let mut fields = Fields::default();
            refused.headers(None, &mut fields);
            fields.insert(Field::Via, "1.1 domicile");
            let mut text = serde_json::to_vec(&refused.problem(None)).unwrap();
            text.push(b'\n');
            let (parts, body) = refusal(fault, "1.1 domicile", true).into_parts();
            assert_eq!(parts.status, refused.status(), "{fault}");
            assert_eq!(parts.headers, fields, "{fault}");
            let content = body.collect().await.unwrap().to_bytes();
            assert_eq!(content, text, "{fault}");
        }
        let (_, body) = refusal(HeadFault::Host, "2.0 domicile", false).into_parts();
        assert!(body.collect().await.unwrap().to_bytes().is_empty());
    }
}
