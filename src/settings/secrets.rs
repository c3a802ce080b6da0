//! Secrets come from files or the environment, never from the settings file, and nothing that is
//! shown to people (faults quote lines of the file) holds one.

use std::{collections::HashMap, path::Path, sync::Arc};

use super::{
    Secret,
    keys::{KEYS, Key, Kind},
};
use crate::{
    document::{Fault, Faults, Fields, Node, Source, Value, Where, read_whole},
    tls::is_world_readable,
};

/// Bytes of a secret, which has a few dozen.
const MOST_SECRET: u64 = 64 << 10;

/// What came from the environment, by dotted path; kept out of the tree of values.
#[derive(Debug, Default)]
pub(super) struct Secrets(HashMap<&'static str, (Where, Secret)>);

impl Secrets {
    pub(super) fn keep(&mut self, path: &'static str, at: Where, text: String) {
        self.0.insert(path, (at, Secret::new(text.into_bytes())));
    }

    /// Whether the environment gives the secret.
    pub(super) fn has(&self, path: &str) -> bool {
        self.0.contains_key(path)
    }

    /// The variable of a secret that the environment gives.
    pub(super) fn place(&self, path: &str) -> Option<&Where> {
        self.0.get(path).map(|(at, _)| at)
    }

    /// The text of the secret `section.name`, with its place: from the environment, else from
    /// the file that `section.name_file` names. A literal in the settings file is a fault.
    pub(super) fn read(
        &self,
        fields: &Fields<'_>,
        (path, name, file_name): (&'static str, &'static str, &'static str),
        folder: &Path,
    ) -> Option<(Where, Secret)> {
        let faults = fields.faults();
        if let Some(literal) = fields.maybe(name) {
            let variable = format!("DOMICILE__{}", path.replace('.', "__").to_uppercase());
            faults.error_hint(
                &literal.at,
                format!("`{name}` is a secret and must not stand in the settings file"),
                format!("put it into a file and name that with `{file_name}`, or set {variable}"),
            );
        }
        let file = fields.maybe(file_name);
        if let Some((at, secret)) = self.0.get(path) {
            if let Some(file) = file {
                let message = format!("`{file_name}` is not used");
                faults.warning(&file.at, message, Some(format!("{at} gives the secret")));
            }
            return Some((at.clone(), secret.clone()));
        }
        let file = file?;
        let named = folder.join(file.text(faults)?);
        match read_whole(&named, MOST_SECRET).map_err(std::io::Error::from) {
            Ok(bytes) if bytes.is_empty() => {
                faults.error(&file.at, format!("`{}` is empty", named.display()));
                None
            }
            Ok(bytes) => {
                if is_world_readable(&named) {
                    let message = format!("every user can read the secret `{}`", named.display());
                    faults.warning(&file.at, message, Some("chmod o-r".to_owned()));
                }
                Some((file.at.clone(), Secret::new(bytes)))
            }
            Err(error) => {
                let message = format!("cannot read `{}`: {error}", named.display());
                faults.error(&file.at, message);
                None
            }
        }
    }
}

/// A bearer token: `secret` without the blanks around it, in visible ASCII (RFC 6750 §2.1).
pub(super) fn token(at: &Where, secret: &Secret, faults: &Faults) -> Option<Secret> {
    let token = secret.reveal().trim_ascii();
    if token.is_empty() || !token.iter().all(u8::is_ascii_graphic) {
        faults.error(at, "the token must be visible ASCII without blanks");
        return None;
    }
    if token.len() < 16 {
        let hint = "make one with `openssl rand -hex 32`".to_owned();
        faults.warning(at, "the token is shorter than 16 characters", Some(hint));
    }
    Some(Secret::new(token))
}

/// 32 bytes: as they are, or in hexadecimal or base64 (RFC 4648 §4 and §5).
pub(super) fn key(at: &Where, secret: &Secret, faults: &Faults) -> Option<Secret> {
    let raw = secret.reveal();
    if raw.len() == 32 {
        if raw.iter().all(u8::is_ascii_hexdigit) {
            let message = "the secret is 32 hexadecimal digits, which are taken as bytes: 128 bits";
            warn_of_weak(at, message, faults);
        }
        return Some(strong(raw, at, faults));
    }
    let text = raw.trim_ascii();
    let key = hexadecimal(text).or_else(|| base64(text));
    match key {
        Some(key) if key.len() == 32 => Some(strong(&key, at, faults)),
        _ => {
            let hint = "make one with `openssl rand -hex 32`";
            let message = "the secret must be 32 bytes, in hexadecimal or base64";
            faults.error_hint(at, message, hint);
            None
        }
    }
}

/// Warns of 32 bytes that are all alike: somebody meant to fill them in.
fn strong(key: &[u8], at: &Where, faults: &Faults) -> Secret {
    if key.iter().all(|byte| Some(byte) == key.first()) {
        warn_of_weak(at, "the secret is one byte 32 times", faults);
    }
    Secret::new(key)
}

fn warn_of_weak(at: &Where, message: &str, faults: &Faults) {
    let hint = "make one with `openssl rand -hex 32` before the first record: another secret is another person";
    faults.warning(at, message, Some(hint.to_owned()));
}

fn hexadecimal(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |b: &u8| char::from(*b).to_digit(16);
    let pairs = text.chunks(2).map(|pair| match pair {
        [high, low] => u8::try_from(digit(high)? << 4 | digit(low)?).ok(),
        _ => None,
    });
    pairs.collect()
}

fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.strip_suffix(b"==").unwrap_or(text);
    let text = text.strip_suffix(b"=").unwrap_or(text);
    let (mut bits, mut count, mut out) = (0u32, 0u32, Vec::new());
    for byte in text {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(six)) & 0xffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from(bits >> count & 0xff).ok()?);
        }
    }
    let rest = bits & ((1 << count) - 1);
    (count < 6 && rest == 0).then_some(out)
}

/// Makes the text that faults quote free of what may be secret: values of secret or unknown keys
/// in the sections that have secrets (a misspelt `token` included), and the part of an address
/// before `@`. Keeps every place as it was.
fn mask(root: &mut Node) {
    let Where::File { source, .. } = root.at.clone() else {
        return;
    };
    let mut text = source.text.clone();
    let path = source.path.clone();
    conceal(root, "", &mut text);
    if text != source.text {
        let source = Arc::new(Source { path, text });
        relocate(root, &source);
    }
}

fn conceal(node: &mut Node, path: &str, text: &mut String) {
    match &mut node.value {
        Value::Table(entries) => {
            for (key, _, inner) in entries {
                let inner_path = match path {
                    "" => key.clone(),
                    path => format!("{path}.{key}"),
                };
                if is_risky(path, &inner_path) {
                    blot_all(inner, text);
                } else {
                    conceal(inner, &inner_path, text);
                }
            }
        }
        Value::List(items) => {
            let path = format!("{path}.<n>");
            items.iter_mut().for_each(|i| conceal(i, &path, text));
        }
        Value::Text(_) => {
            if let Where::File { span, .. } = &node.at {
                let quoted = text.get(span.clone()).unwrap_or("");
                if let Some(end) = quoted.rfind('@') {
                    // After the scheme; without one, after the quotation mark.
                    let start = quoted.find("//").map_or(1, |at| at + 2).min(end);
                    blot(text, span.start + start..span.start + end);
                }
            }
        }
        _ => {}
    }
}

/// What the name of a key holds that is put into a wrong section, or a wrong file.
const NAMES: [&str; 5] = ["token", "secret", "password", "passwd", "key"];

/// Whether `path` in `section` may hold a secret: it is one, or nobody knows what it is, and it has
/// the name of one or stands where there are secrets, or at the top.
fn is_risky(section: &str, path: &str) -> bool {
    let has_secrets = |key: &Key| key.kind == Kind::Secret && key.section() == section;
    let name = path.rsplit('.').next().unwrap_or_default().to_lowercase();
    let is_named = NAMES.iter().any(|word| name.contains(word));
    let is_known = |key: &Key| key.kind != Kind::Secret && leads_to(path, key);
    (section.is_empty() || is_named || KEYS.iter().any(has_secrets)) && !KEYS.iter().any(is_known)
}

/// Whether `path` is the key, a part of the way there, or what a map holds. `<…>` in the key's path
/// stands for any one name.
fn leads_to(path: &str, key: &Key) -> bool {
    let mut known = key.path.split('.');
    path.split('.').all(|step| match known.next() {
        Some(name) => name == step || name.starts_with('<'),
        None => key.kind == Kind::Map,
    })
}

fn blot_all(node: &mut Node, text: &mut String) {
    // Of a table the values, and not the heading by which its mistake is found.
    if let (Where::File { span, .. }, false) = (&node.at, matches!(node.value, Value::Table(_))) {
        blot(text, span.clone());
    }
    match &mut node.value {
        Value::Table(entries) => entries.iter_mut().for_each(|e| blot_all(&mut e.2, text)),
        Value::List(items) => items.iter_mut().for_each(|i| blot_all(i, text)),
        value => *value = Value::Text(String::new()),
    }
}

fn blot(text: &mut String, span: std::ops::Range<usize>) {
    let Some(covered) = text.get(span.clone()) else {
        return;
    };
    let stars: String = covered
        .chars()
        .flat_map(|c| {
            let star = if c == '\n' { '\n' } else { '*' };
            std::iter::repeat_n(star, c.len_utf8())
        })
        .collect();
    text.replace_range(span, &stars);
}

fn relocate(node: &mut Node, to: &Arc<Source>) {
    let moved = |at: &mut Where| {
        if let Where::File { source, .. } = at {
            *source = Arc::clone(to);
        }
    };
    moved(&mut node.at);
    match &mut node.value {
        Value::Table(entries) => {
            for (_, at, inner) in entries {
                moved(at);
                relocate(inner, to);
            }
        }
        Value::List(items) => items.iter_mut().for_each(|i| relocate(i, to)),
        _ => {}
    }
}

/// The same for a file that cannot be parsed: from each line that a secret's name or an address
/// with `@` stands in, only the part before the first `=` is quoted.
pub(super) fn without_secrets(broken: Fault) -> Fault {
    let Where::File { source, span } = &broken.at else {
        return broken;
    };
    let mut text = source.text.clone();
    let mut start = 0;
    for line in source.text.split_inclusive('\n') {
        let lower = line.to_lowercase();
        let risky = ["token", "secret", "@"].iter().any(|w| lower.contains(w));
        if let (true, Some(equals)) = (risky, line.find('=')) {
            blot(&mut text, start + equals + 1..start + line.len());
        }
        start += line.len();
    }
    let path = source.path.clone();
    Fault {
        at: Where::File {
            source: Arc::new(Source { path, text }),
            span: span.clone(),
        },
        ..broken
    }
}

/// Parses, telling faults without their secrets.
pub(super) fn parse(path: &str, text: String, faults: &Faults) -> Option<Node> {
    let found = Faults::new();
    let mut root = Node::parse(path, text, &found);
    if let Some(root) = &mut root {
        mask(root);
    }
    let told = found.into_sorted().into_iter();
    faults.absorb(told.map(without_secrets).collect());
    root
}
