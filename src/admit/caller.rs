//! Who is calling: is the peer trusted to steer, and which address stands behind it.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::{
    message::{Field, Fields, Value},
    tls::{Identity, Names},
};

/// One caller, for the length of one request.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    pub peer: IpAddr,
    /// Its steering headers count.
    pub trusted: bool,
    /// It is one of the configured proxies, whose chain is read and continued.
    pub proxied: bool,
    /// It came by TLS.
    pub secure: bool,
}

/// The address that network evidence may be read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAddress {
    Known(IpAddr),
    /// The chain is broken, hidden (RFC 7239 §6.3), absent or of proxies only, or its two forms
    /// disagree.
    Unknown,
}

impl Caller {
    pub fn new(peer: SocketAddr, trusted: &[IpNet], proxies: &[IpNet]) -> Self {
        let peer = unmapped(peer.ip());
        let within = |nets: &[IpNet]| nets.iter().any(|n| n.contains(&peer));
        Self {
            peer,
            trusted: within(trusted),
            proxied: within(proxies),
            secure: false,
        }
    }

    /// The same over TLS: trusted also when its certificate, which was verified, has a trusted
    /// name.
    pub fn secured(self, names: Option<&Names>, trusted: &[Identity]) -> Self {
        let known = names.is_some_and(|names| trusted.iter().any(|t| names.has(t)));
        Self {
            trusted: self.trusted || known,
            secure: true,
            ..self
        }
    }

    /// The first address from the right that no configured proxy has.
    ///
    /// `Forwarded` (RFC 7239) goes before `X-Forwarded-For`; where both stand and disagree, the
    /// network is no evidence; nor is it where a proxy names nobody: where it stands itself says nothing
    /// of whom it serves. Headers of a peer that is no proxy are not looked at.
    pub fn client(&self, headers: &Fields, proxies: &[IpNet]) -> ClientAddress {
        if !self.proxied {
            return ClientAddress::Known(self.peer);
        }
        let standard = headers
            .contains_key(Field::Forwarded)
            .then(|| last_stranger(forwarded_nodes(headers), proxies));
        let custom = headers
            .contains_key(Field::XForwardedFor)
            .then(|| last_stranger(x_forwarded_nodes(headers), proxies));
        match (standard, custom) {
            (None, None) => ClientAddress::Unknown,
            (Some(one), None) | (None, Some(one)) => one,
            (Some(a), Some(b)) if a == b => a,
            (Some(_), Some(_)) => ClientAddress::Unknown,
        }
    }
}

fn last_stranger(nodes: Vec<Option<IpAddr>>, proxies: &[IpNet]) -> ClientAddress {
    let is_proxy = |ip: IpAddr| proxies.iter().any(|n| n.contains(&ip));
    let mut strangers = nodes
        .into_iter()
        .rev()
        .skip_while(|node| node.is_some_and(is_proxy));
    match strangers.next() {
        Some(Some(ip)) => ClientAddress::Known(ip),
        Some(None) | None => ClientAddress::Unknown,
    }
}

fn x_forwarded_nodes(headers: &Fields) -> Vec<Option<IpAddr>> {
    headers
        .get_all(Field::XForwardedFor)
        .flat_map(|v| v.to_str().unwrap_or("?").split(','))
        .map(node)
        .collect()
}

/// One `for` of each element; an element without one, or with a broken one, is an unknown node. Of
/// lines in which it cannot be told where one ends there is one, which is unknown.
fn forwarded_nodes(headers: &Fields) -> Vec<Option<IpAddr>> {
    if !headers.get_all(Field::Forwarded).all(is_forwarded) {
        return vec![None];
    }
    headers
        .get_all(Field::Forwarded)
        .flat_map(|v| split_quoted(v.to_str().unwrap_or("?"), ','))
        .map(|element| {
            let mut found = split_quoted(element, ';').into_iter().filter_map(|pair| {
                let (name, value) = pair.split_once('=')?;
                name.trim().eq_ignore_ascii_case("for").then_some(value)
            });
            match (found.next(), found.next()) {
                (Some(value), None) => node(value),
                _ => None,
            }
        })
        .collect()
}

/// Whether a gateway says that its own caller came by TLS: the last `proto` of `Forwarded` (RFC 7239
/// §5.4), the one `X-Forwarded-Proto`, or both.
pub fn says_secured(headers: &Fields) -> bool {
    let are_sound = headers.get_all(Field::Forwarded).all(is_forwarded);
    let standard = headers.get_all(Field::Forwarded).last().map(|v| {
        let elements = split_quoted(v.to_str().unwrap_or("?"), ',');
        let pairs = elements.last().map(|e| split_quoted(e, ';'));
        let mut found = pairs.into_iter().flatten().filter_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            let is_proto = name.trim().eq_ignore_ascii_case("proto");
            is_proto.then(|| value.trim().trim_matches('"'))
        });
        are_sound && (found.next(), found.next()) == (Some("https"), None)
    });
    let custom = match headers.only(Field::XForwardedProto) {
        Ok(value) => value.map(|v| v.as_bytes() == b"https"),
        Err(_) => Some(false),
    };
    standard.or(custom).is_some_and(|says| says) && custom.is_none_or(|says| says)
}

/// Whether it is certain where each element of a `Forwarded` ends: it is text, and a quote stands
/// nowhere but at the beginning and the end of a value (RFC 7239 §4: a token or a quoted string). An
/// element that a proxy writes behind an open quote would be hidden by what a caller wrote.
pub(super) fn is_forwarded(line: Value<'_>) -> bool {
    enum At {
        /// Outside of quotes; the next byte begins a value.
        Token {
            begins: bool,
        },
        Quoted,
        Escaped,
        /// Behind the quote that ends a value.
        Ended,
    }
    let Ok(text) = line.to_str() else {
        return false;
    };
    let mut at = At::Token { begins: false };
    for byte in text.bytes() {
        at = match (at, byte) {
            (At::Token { begins: true }, b'"') => At::Quoted,
            (At::Token { .. }, b'"') => return false,
            (At::Token { .. }, _) => At::Token {
                begins: byte == b'=',
            },
            (At::Quoted, b'\\') => At::Escaped,
            (At::Quoted, b'"') => At::Ended,
            (At::Quoted | At::Escaped, _) => At::Quoted,
            (At::Ended, b',' | b';') => At::Token { begins: false },
            (At::Ended, b' ' | b'\t') => At::Ended,
            (At::Ended, _) => return false,
        };
    }
    matches!(at, At::Token { .. } | At::Ended)
}

/// Splits outside of quoted strings (RFC 9110 §5.6.4), of what [is in order](is_forwarded).
fn split_quoted(text: &str, separator: char) -> Vec<&str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(|c: char| {
        if escaped {
            escaped = false;
        } else if quoted && c == '\\' {
            escaped = true;
        } else if c == '"' {
            quoted = !quoted;
        }
        c == separator && !quoted
    })
    .collect()
}

/// An address with or without quotes, brackets and port; `None` for `unknown` and `_hidden`.
fn node(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let text = text
        .strip_prefix('"')
        .and_then(|t| t.strip_suffix('"'))
        .unwrap_or(text);
    let ip = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0.parse().ok()?,
        None => match text.parse() {
            Ok(ip) => ip,
            Err(_) => text.parse::<SocketAddr>().ok()?.ip(),
        },
    };
    Some(unmapped(ip))
}

/// `::ffff:192.0.2.1` as the IPv4 address that it is.
fn unmapped(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(ip, IpAddr::V4),
        IpAddr::V4(_) => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, fields: &[(&'static str, &str)]) -> ClientAddress {
        let proxies: Vec<IpNet> = vec![
            "10.0.0.0/8".parse().unwrap(),
            "2001:db8::/32".parse().unwrap(),
        ];
        let mut headers = Fields::default();
        for (name, value) in fields {
            headers.append(*name, value);
        }
        let caller = Caller::new(SocketAddr::new(peer.parse().unwrap(), 4000), &[], &proxies);
        caller.client(&headers, &proxies)
    }

    #[test]
    fn gateways_say_whether_they_ended_tls() {
        for (fields, wanted) in [
            (&[][..], false),
            (&[("x-forwarded-proto", "https")], true),
            (&[("x-forwarded-proto", "http")], false),
            (&[("x-forwarded-proto", "https, https")], false),
            (
                &[
                    ("x-forwarded-proto", "https"),
                    ("x-forwarded-proto", "https"),
                ],
                false,
            ),
            (&[("forwarded", "for=1.1.1.1;Proto=https")], true),
            (&[("forwarded", "proto=http, proto=\"https\"")], true),
            (&[("forwarded", "proto=https, proto=http")], false),
            (&[("forwarded", "proto=https, for=1.1.1.1")], false),
            (&[("forwarded", "proto=https;proto=http")], false),
            (
                &[("forwarded", "proto=https"), ("x-forwarded-proto", "http")],
                false,
            ),
            (
                &[("forwarded", "for=1.1.1.1"), ("x-forwarded-proto", "https")],
                false,
            ),
            (
                &[("forwarded", "proto=https"), ("x-forwarded-proto", "https")],
                true,
            ),
            (
                &[
                    ("forwarded", "x=\", proto=http"),
                    ("forwarded", "proto=https"),
                ],
                false,
            ),
            (
                &[("forwarded", "proto=https;x=\", for=1.1.1.1;proto=http")],
                false,
            ),
            (&[("forwarded", "proto=\"\"https\"\"")], false),
        ] {
            let mut headers = Fields::default();
            for (name, value) in fields {
                headers.append(*name, value);
            }
            assert_eq!(says_secured(&headers), wanted, "{fields:?}");
        }
    }

    fn known(ip: &str) -> ClientAddress {
        ClientAddress::Known(ip.parse().unwrap())
    }

    type Case<'a> = (&'a str, &'a [(&'static str, &'a str)], ClientAddress);

    #[test]
    fn chains_are_read_from_the_right_past_proxies_only() {
        let cases: [Case<'_>; 12] = [
            (
                "198.51.100.1",
                &[("x-forwarded-for", "203.0.113.5")],
                known("198.51.100.1"),
            ),
            (
                "10.0.0.1",
                &[("x-forwarded-for", "203.0.113.5")],
                known("203.0.113.5"),
            ),
            (
                "10.0.0.1",
                &[("x-forwarded-for", "1.1.1.1, 203.0.113.5, 10.0.0.2")],
                known("203.0.113.5"),
            ),
            (
                "10.0.0.1",
                &[
                    ("x-forwarded-for", "1.1.1.1"),
                    ("x-forwarded-for", "203.0.113.5"),
                ],
                known("203.0.113.5"),
            ),
            (
                "10.0.0.1",
                &[("x-forwarded-for", "203.0.113.5:4711")],
                known("203.0.113.5"),
            ),
            (
                "10.0.0.1",
                &[("x-forwarded-for", "203.0.113.5, nonsense")],
                ClientAddress::Unknown,
            ),
            (
                "::ffff:10.0.0.1",
                &[("forwarded", "for=\"[2001:db9::1]:80\";proto=https")],
                known("2001:db9::1"),
            ),
            (
                "10.0.0.1",
                &[("forwarded", "For=203.0.113.5, for=10.0.0.9")],
                known("203.0.113.5"),
            ),
            (
                "10.0.0.1",
                &[("forwarded", "for=_hidden, for=10.0.0.9")],
                ClientAddress::Unknown,
            ),
            (
                "10.0.0.1",
                &[("forwarded", "for=\"a,b;for=1.1.1.1\"")],
                ClientAddress::Unknown,
            ),
            (
                "10.0.0.1",
                &[
                    ("forwarded", "for=203.0.113.5"),
                    ("x-forwarded-for", "203.0.113.5"),
                ],
                known("203.0.113.5"),
            ),
            (
                "10.0.0.1",
                &[
                    ("forwarded", "for=203.0.113.5"),
                    ("x-forwarded-for", "203.0.113.6"),
                ],
                ClientAddress::Unknown,
            ),
        ];
        for (peer, fields, expected) in cases {
            assert_eq!(client(peer, fields), expected, "{peer} {fields:?}");
        }
        // Of proxies alone, and of one that names nobody, nothing is known.
        for fields in [
            &[][..],
            &[("x-forwarded-for", "10.0.0.2")],
            &[("x-forwarded-for", "10.0.0.3, 10.0.0.2")],
            &[("x-forwarded-for", "")],
            &[("forwarded", "for=10.0.0.2")],
            &[("forwarded", "proto=https")],
        ] {
            assert_eq!(
                client("10.0.0.1", fields),
                ClientAddress::Unknown,
                "{fields:?}"
            );
        }
        assert_eq!(client("198.51.100.1", &[]), known("198.51.100.1"));
    }

    #[test]
    fn a_quote_that_is_left_open_hides_no_element() {
        let ask = |lines: &[&str]| {
            let fields: Vec<_> = lines.iter().map(|line| ("forwarded", *line)).collect();
            client("10.0.0.1", &fields)
        };
        for lines in [
            &["for=95.108.128.1;x=\", for=203.0.113.5"][..],
            &["for=95.108.128.1;x=\", for=\"203.0.113.5:80\";proto=http"],
            &["for=95.108.128.1;x=\"", "for=203.0.113.5"],
            &["for=95.108.128.1;x=\"\\\", for=203.0.113.5"],
            &["for=95.108.128.1;x=a\"b, for=203.0.113.5"],
            &["for=95.108.128.1;x=\"a\"b, for=203.0.113.5"],
            &["for=95.108.128.1\", for=203.0.113.5"],
            &["\"for=95.108.128.1\", for=203.0.113.5"],
            &["for=95.108.128.1;x=\"\u{e9}, for=203.0.113.5"],
        ] {
            assert_eq!(ask(lines), ClientAddress::Unknown, "{lines:?}");
        }
        for line in [
            "for=95.108.128.1;x=\", for=1.1.1.1\", for=203.0.113.5",
            "for=\"a\\\",b\" , for=\"203.0.113.5\" ;proto=http",
        ] {
            assert_eq!(ask(&[line]), known("203.0.113.5"), "{line}");
        }
    }

    #[test]
    fn trust_is_by_the_peers_own_address() {
        let nets: Vec<IpNet> = vec!["127.0.0.1/32".parse().unwrap()];
        let caller = |ip: &str| Caller::new(SocketAddr::new(ip.parse().unwrap(), 1), &nets, &[]);
        assert!(caller("127.0.0.1").trusted && caller("::ffff:127.0.0.1").trusted);
        assert!(!caller("127.0.0.2").trusted && !caller("::1").trusted);
    }
}
