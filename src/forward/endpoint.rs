use std::{
    borrow::Cow,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use http::{
    Uri,
    uri::{Authority, InvalidUri, PathAndQuery, Scheme},
};
use rustls::pki_types::ServerName;

/// One server of a region, as its settings name it: `http://host:port` or `https://host:port`
/// with an optional prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    name: Arc<str>,
    /// What follows the target in each request of HTTP/1.1.
    line_end_and_host: Arc<[u8]>,
    host: Arc<str>,
    port: u16,
    /// Set when the host is an address, so that no name must be resolved.
    address: Option<SocketAddr>,
    /// Without its last slash; empty for none.
    prefix: String,
    /// For HTTP/2, which names both in each request.
    scheme: Scheme,
    whole_authority: Authority,
    /// Of an `https` endpoint: whom the handshake asks for.
    server: Option<ServerName<'static>>,
    lately: Lately,
}

/// Where a name has several addresses: the one that led to its server last. All endpoints are equal
/// in it.
#[derive(Clone, Debug, Default)]
struct Lately(Arc<Mutex<Option<SocketAddr>>>);

impl PartialEq for Lately {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Lately {}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    #[error("`{0}` is no endpoint: write `https://host:port`, with a path prefix if need be")]
    NotHttp(String),
    #[error("`{0}` carries a user name or password, which endpoints do not take")]
    UserInfo(String),
    #[error("`{0}` has a query, which endpoints do not take")]
    Query(String),
}

impl Endpoint {
    /// # Errors
    /// `NotHttp` for any scheme but `http` and `https`, for a missing host and one that no
    /// certificate can name; `UserInfo`, `Query`.
    pub fn parse(uri: &Uri) -> Result<Self, EndpointError> {
        let not_http = || EndpointError::NotHttp(uri.to_string());
        let authority = uri.authority().ok_or_else(not_http)?;
        let scheme = uri.scheme().ok_or_else(not_http)?;
        let secure = *scheme == Scheme::HTTPS;
        if !(secure || *scheme == Scheme::HTTP) || authority.host().is_empty() {
            return Err(not_http());
        }
        if authority.as_str().contains('@') {
            return Err(EndpointError::UserInfo(format!(
                "{scheme}://{}:…",
                authority.host()
            )));
        }
        if uri.query().is_some() {
            return Err(EndpointError::Query(uri.to_string()));
        }
        let port = authority
            .port_u16()
            .unwrap_or(if secure { 443 } else { 80 });
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']');
        Ok(Self {
            name: authority.as_str().into(),
            line_end_and_host: format!(" HTTP/1.1\r\nhost: {authority}\r\n")
                .into_bytes()
                .into(),
            host: host.into(),
            port,
            address: host.parse().ok().map(|ip| SocketAddr::new(ip, port)),
            prefix: uri.path().trim_end_matches('/').to_owned(),
            server: match secure {
                true => Some(ServerName::try_from(host.to_owned()).map_err(|_| not_http())?),
                false => None,
            },
            lately: Lately::default(),
            scheme: scheme.clone(),
            whole_authority: authority.clone(),
        })
    }

    /// `host:port` as the settings write it: for logs and metrics, and the authority of each request.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The rest of the request line, and `Host` (RFC 9112 §3.2).
    pub(super) fn line_end_and_host(&self) -> &[u8] {
        &self.line_end_and_host
    }

    /// `None` for plain `http`.
    pub(super) fn server(&self) -> Option<&ServerName<'static>> {
        self.server.as_ref()
    }

    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    pub(super) fn host_and_port(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// Of several addresses the one to try first; it is forgotten until it has led to the server again.
    pub(super) fn take_lately(&self) -> Option<SocketAddr> {
        let mut lately = self.lately.0.lock().unwrap_or_else(PoisonError::into_inner);
        lately.take()
    }

    /// Of several addresses this one led to the server.
    pub(super) fn led_to(&self, address: SocketAddr) {
        *self.lately.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(address);
    }

    /// The request target: the prefix, then path and query exactly as the caller sent them.
    pub(super) fn target<'a>(
        &self,
        path: &'a PathAndQuery,
    ) -> Result<Cow<'a, PathAndQuery>, InvalidUri> {
        if self.prefix.is_empty() {
            return Ok(Cow::Borrowed(path));
        }
        // `*` (OPTIONS) is no path below a prefix.
        let joined = match path.as_str() {
            "*" => "*".to_owned(),
            path => format!("{}{path}", self.prefix),
        };
        PathAndQuery::from_maybe_shared(bytes::Bytes::from(joined)).map(Cow::Owned)
    }

    /// A target as HTTP/2 has it: with scheme and authority (RFC 9113 §8.3.1).
    pub(super) fn whole(&self, target: &PathAndQuery) -> Uri {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.whole_authority.clone());
        parts.path_and_query = Some(target.clone());
        // All three stand, which is what makes it whole.
        Uri::from_parts(parts).unwrap_or_else(|_| Uri::from(target.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Endpoint, EndpointError> {
        Endpoint::parse(&text.parse().unwrap())
    }

    #[test]
    fn prefixes_go_before_paths_that_stay_as_they_are() {
        let path: PathAndQuery = "/people/a%2Fb//?q=%41&".parse().unwrap();
        let bare = parse("http://127.0.0.1:81").unwrap();
        assert_eq!(*bare.target(&path).unwrap(), "/people/a%2Fb//?q=%41&");
        let deep = parse("http://store.internal/base/").unwrap();
        assert_eq!(*deep.target(&path).unwrap(), "/base/people/a%2Fb//?q=%41&");
        assert_eq!(&**deep.name(), "store.internal");
        assert_eq!(deep.host_and_port(), ("store.internal", 80));
        assert_eq!(deep.address(), None);
        assert_eq!(bare.address(), Some("127.0.0.1:81".parse().unwrap()));
        let v6 = parse("http://[::1]:82").unwrap();
        assert_eq!(v6.address(), Some("[::1]:82".parse().unwrap()));
        assert!(v6.server().is_none());
        let secure = parse("https://store.internal/base").unwrap();
        assert_eq!(secure.host_and_port(), ("store.internal", 443));
        assert_eq!(secure.server().unwrap().to_str(), "store.internal");
        assert_eq!(
            secure.whole(&secure.target(&path).unwrap()),
            "https://store.internal/base/people/a%2Fb//?q=%41&"
        );
    }

    #[test]
    fn what_is_no_plain_endpoint_is_refused() {
        for bad in ["ftp://a:1", "/path", "a:1", "https://a..b:1"] {
            assert!(
                matches!(parse(bad), Err(EndpointError::NotHttp(_))),
                "{bad}"
            );
        }
        let error = parse("http://user:secret@a:1").unwrap_err();
        assert!(!error.to_string().contains("secret"));
        assert!(matches!(
            parse("http://a:1/?q"),
            Err(EndpointError::Query(_))
        ));
    }
}
