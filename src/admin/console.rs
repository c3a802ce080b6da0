//! The console: one page for people, which asks the other pages by script.
//!
//! The page itself is the same for everybody and tells nothing, so that it is served without the
//! token it asks for. It loads nothing from anywhere; the policy in its head lets run what is in it
//! and nothing else, whatever a text that it shows may hold.

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use axum::{
    http::{HeaderName, header},
    response::{Html, IntoResponse, Response},
};

const PAGE: &str = include_str!("console/page.html");
const STYLE: &str = include_str!("console/style.css");
const SCRIPT: &str = include_str!("console/script.js");

static WHOLE: LazyLock<String> = LazyLock::new(|| {
    let page = PAGE.replace("{{style}}", STYLE);
    page.replace("{{script}}", SCRIPT)
});

/// By their digests: a script that a text smuggles in has another one.
static CONTENT: LazyLock<String> = LazyLock::new(|| {
    format!(
        "default-src 'none'; script-src '{}'; style-src '{}'; img-src data:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'",
        source(SCRIPT),
        source(STYLE)
    )
});

/// `GET /`.
pub async fn page() -> Response {
    let headers: [(HeaderName, &str); 7] = [
        (header::CONTENT_SECURITY_POLICY, &CONTENT),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ];
    (headers, Html(WHOLE.as_str())).into_response()
}

/// A hash-source (CSP 3 §2.3.1).
fn source(text: &str) -> String {
    format!(
        "sha256-{}",
        base64(digest(&SHA256, text.as_bytes()).as_ref())
    )
}

/// RFC 4648 §4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for part in bytes.chunks(3) {
        let bits =
            part.iter().fold(0_u32, |bits, b| bits << 8 | u32::from(*b)) << (8 * (3 - part.len()));
        for place in 0..4 {
            let digit = DIGITS.get((bits >> (18 - 6 * place)) as usize & 63);
            let digit = digit.filter(|_| place <= part.len());
            text.push(char::from(*digit.unwrap_or(&b'=')));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        let told = ["", "f", "fo", "foo", "foob", "fooba", "foobar"].map(|t| base64(t.as_bytes()));
        assert_eq!(
            told,
            [
                "", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"
            ]
        );
        assert_eq!(
            source(""),
            "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
        );
    }

    /// What the policy in the head would stop, or what would undo it, is not in the page.
    #[test]
    fn all_that_runs_is_in_the_one_script_and_the_one_style() {
        let page = WHOLE.to_lowercase();
        assert_eq!(page.matches("<script").count(), 1);
        assert_eq!(page.matches("</script").count(), 1);
        assert_eq!(page.matches("<style").count(), 1);
        assert_eq!(page.matches("</style").count(), 1);
        assert!(page.contains(&format!("<script>{}</script>", SCRIPT.to_lowercase())));
        assert!(page.contains(&format!("<style>{}</style>", STYLE.to_lowercase())));
        assert!(!page.contains("{{"), "everything is put in");
        let html = PAGE.to_lowercase();
        for handler in [" style=", " on", "javascript:", "src=", "<iframe", "<base"] {
            assert!(
                !html.contains(&format!("<{handler}")) && !tags(&html).contains(handler),
                "{handler}"
            );
        }
        for sink in [
            "innerhtml",
            "outerhtml",
            "insertadjacent",
            "document.write",
            "eval(",
            "storage",
            "cookie",
        ] {
            assert!(!SCRIPT.to_lowercase().contains(sink), "{sink}");
        }
        // Nothing comes from elsewhere.
        for text in [&html, &SCRIPT.to_lowercase(), &STYLE.to_lowercase()] {
            assert!(
                !text.contains("//www") && !text.contains("http://") && !text.contains("https://")
            );
            assert!(!text.contains("@import") && !text.contains("url("));
        }
    }

    /// The insides of the page's tags.
    fn tags(html: &str) -> String {
        let parts = html.split('<').skip(1);
        let inside = parts.filter_map(|part| part.split_once('>'));
        inside.map(|(tag, _)| format!("<{tag}>")).collect()
    }

    #[test]
    fn each_field_has_its_label_and_each_head_its_scope() {
        for (field, after) in [
            ("<input", " id=\""),
            ("<select", " id=\""),
            ("<textarea", " id=\""),
        ] {
            for part in PAGE.split(field).skip(1) {
                let id = part
                    .split_once(after)
                    .and_then(|(_, rest)| rest.split_once('"'));
                let (id, _) = id.unwrap();
                assert!(PAGE.contains(&format!("<label for=\"{id}\"")), "{id}");
            }
        }
        assert_eq!(
            PAGE.matches("<th").count(),
            PAGE.matches("<thead").count() + PAGE.matches("<th scope=\"col\"").count()
        );
    }

    #[test]
    fn each_element_that_the_script_asks_for_is_there() {
        for (open, close) in [("$(\"", "\")"), ("on(\"", "\",")] {
            for part in SCRIPT.split(open).skip(1) {
                let (id, _) = part.split_once(close).unwrap();
                assert!(PAGE.contains(&format!("id=\"{id}\"")), "{id}");
            }
        }
    }
}
