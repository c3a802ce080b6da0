//! Single values: sizes, durations, addresses, places, networks, and choices among words.

use std::{
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    time::Duration,
};

use ipnet::IpNet;
use jiff::SignedDuration;

use crate::{
    document::{Faults, Node, Value, suggest},
    domain::{Place, PlaceError},
    tls::Identity,
};

/// Bytes: `"64KiB"`, `"10MB"`, or a plain number.
pub(super) fn size(node: &Node, range: RangeInclusive<u64>, faults: &Faults) -> Option<usize> {
    let bytes = match &node.value {
        Value::Integer(bytes) => u64::try_from(*bytes).ok(),
        Value::Text(text) => parse_size(text),
        _ => None,
    };
    let Some(bytes) = bytes else {
        let hint = "write \"64KiB\", \"1MiB\", \"10MB\" or a number of bytes";
        faults.error_hint(&node.at, "expected a size", hint);
        return None;
    };
    if !range.contains(&bytes) {
        let message = format!(
            "the size is not between {} and {}",
            show_size(*range.start()),
            show_size(*range.end())
        );
        faults.error(&node.at, message);
        return None;
    }
    usize::try_from(bytes).ok()
}

fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit());
    let (number, unit) = text.split_at(digits.unwrap_or(text.len()));
    let unit = match unit.trim_start() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "KB" | "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

fn show_size(bytes: u64) -> String {
    match bytes {
        b if b >= 1 << 30 && b % (1 << 30) == 0 => format!("{}GiB", b >> 30),
        b if b >= 1 << 20 && b % (1 << 20) == 0 => format!("{}MiB", b >> 20),
        b if b >= 1 << 10 && b % (1 << 10) == 0 => format!("{}KiB", b >> 10),
        b => format!("{b} bytes"),
    }
}

/// `"10s"`, `"500ms"`, `"1m 30s"`, between `least` and `most`.
pub(super) fn duration(
    node: &Node,
    least: Duration,
    most: Duration,
    faults: &Faults,
) -> Option<Duration> {
    let read = match &node.value {
        Value::Text(text) => text.trim().parse::<SignedDuration>().ok(),
        _ => None,
    };
    let Some(read) = read else {
        let hint = "write a number and a unit: \"10s\", \"500ms\", \"2m\"";
        faults.error_hint(&node.at, "expected a duration", hint);
        return None;
    };
    match Duration::try_from(read) {
        Ok(read) if (least..=most).contains(&read) => Some(read),
        _ => {
            let message = format!("the duration is not between {least:?} and {most:?}");
            faults.error(&node.at, message);
            None
        }
    }
}

/// `IP:PORT`; names are not resolved, for a listener must not depend on DNS.
pub(super) fn address(node: &Node, faults: &Faults) -> Option<SocketAddr> {
    let text = node.text(faults)?;
    match text.parse() {
        Ok(address) => Some(address),
        Err(_) => {
            let hint = "write an IP address and a port: \"127.0.0.1:8080\", \"[::1]:8080\"";
            faults.error_hint(&node.at, format!("`{text}` is no address"), hint);
            None
        }
    }
}

/// A country or a part of one; an international organisation is no place to run or store in.
pub(super) fn place(node: &Node, faults: &Faults) -> Option<Place> {
    let text = node.text(faults)?;
    let error = match text.parse::<Place>() {
        Ok(place) if place.country().is_some() => {
            if let Some(doubt) = place.doubt() {
                faults.warning(&node.at, doubt, None);
            }
            return Some(place);
        }
        Ok(_) => {
            let message = format!("`{text}` is an organisation, not a country");
            faults.error_hint(&node.at, message, "name the country where it stands");
            return None;
        }
        Err(error) => error,
    };
    let upper = text.to_uppercase();
    let hint = match (upper.as_str(), error) {
        ("UK", _) => "did you mean `GB`?".to_owned(),
        ("EL", _) => "did you mean `GR`?".to_owned(),
        ("EU", _) => "name the country where it stands, such as `DE`".to_owned(),
        (upper, PlaceError::Malformed) if upper.parse::<Place>().is_ok() => {
            format!("did you mean `{upper}`?")
        }
        _ => "country codes are two upper-case letters of ISO 3166-1".to_owned(),
    };
    faults.error_hint(&node.at, format!("`{text}`: {error}"), hint);
    None
}

/// Networks in CIDR notation; a bare address is that one host.
pub(super) fn networks(node: &Node, faults: &Faults) -> Vec<IpNet> {
    callers(node, None, faults)
}

/// The same, and beside them names that stand in callers' certificates.
pub(super) fn trusted(node: &Node, faults: &Faults) -> (Vec<IpNet>, Vec<Identity>) {
    let mut names = Vec::new();
    let networks = callers(node, Some(&mut names), faults);
    (networks, names)
}

fn callers(node: &Node, mut names: Option<&mut Vec<Identity>>, faults: &Faults) -> Vec<IpNet> {
    let mut networks = Vec::new();
    for (text, item) in node.texts(faults) {
        if let Some(names) = &mut names
            && is_name(text)
        {
            match Identity::parse(text) {
                Ok(name) if names.contains(&name) => {
                    faults.error(&item.at, format!("`{text}` is listed twice"));
                }
                Ok(name) => names.push(name),
                Err(error) => faults.error(&item.at, error.to_string()),
            }
            continue;
        }
        let read = text
            .parse::<IpNet>()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        match read {
            Ok(network) if network.trunc() != network => {
                let message = format!("`{text}` has bits set beyond its prefix");
                let hint = format!("did you mean `{}`?", network.trunc());
                faults.error_hint(&item.at, message, hint);
            }
            Ok(network) if networks.contains(&network) => {
                faults.error(&item.at, format!("`{text}` is listed twice"));
            }
            Ok(network) => networks.push(network),
            Err(_) => faults.error_hint(
                &item.at,
                format!("`{text}` is no network"),
                "write CIDR notation: \"10.0.0.0/8\", \"2001:db8::/32\"",
            ),
        }
    }
    networks
}

/// Whether the text is meant as a name: a URI, `dns:…`, or a host name that lacks its `dns:`.
fn is_name(text: &str) -> bool {
    let letters = text.bytes().any(|b| b.is_ascii_alphabetic());
    text.contains("://") || text.starts_with("dns:") || (letters && !text.contains([':', '/']))
}

/// One of a few words.
pub(super) fn choice<T: Copy>(node: &Node, words: &[(&str, T)], faults: &Faults) -> Option<T> {
    let text = node.text(faults)?;
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
        return Some(*value);
    }
    let known = || {
        let words: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
        format!("one of {}", words.join(", "))
    };
    let hint = suggest(text, words.iter().map(|(word, _)| *word)).unwrap_or_else(known);
    faults.error_hint(&node.at, format!("`{text}` is not known here"), hint);
    None
}

/// A string that names something: not empty, at most 128 characters, no blanks or controls at all.
pub(super) fn name<'a>(node: &'a Node, faults: &Faults) -> Option<&'a str> {
    let text = node.text(faults)?;
    let sound = !text.is_empty()
        && text.chars().count() <= 128
        && !text.chars().any(|c| c.is_whitespace() || c.is_control());
    if !sound {
        let message = "expected a name: up to 128 characters without blanks";
        faults.error(&node.at, message);
        return None;
    }
    Some(text)
}

/// A path on disk; an empty one would mean the settings file's own folder.
pub(super) fn path<'a>(node: &'a Node, faults: &Faults) -> Option<&'a str> {
    let text = node.text(faults)?;
    if text.is_empty() || text.contains('\0') {
        faults.error(&node.at, "expected a path");
        return None;
    }
    Some(text)
}
