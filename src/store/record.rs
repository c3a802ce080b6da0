//! How one document stands in the database: a short head, then the bytes as they came, or the name
//! of the file that holds them.
//!
//! ```text
//! version 1 | kind 1 | etag 16 | type length 2 | type | encoding length 2 | encoding | content
//! ```
//! Numbers are little endian. Kind 0: the content is the body. Kind 1: the content is the file's
//! name (16) and its length (8).

use bytes::{Buf, Bytes};
use http::HeaderValue;

const VERSION: u8 = 1;
const INLINE: u8 = 0;
const FILE: u8 = 1;

/// A hash of the body, the opaque part of its `ETag`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag(pub(super) [u8; 16]);

impl Tag {
    pub(super) fn of(body: &[u8]) -> Self {
        Self::from_hash(blake3::hash(body))
    }

    pub(super) fn from_hash(hash: blake3::Hash) -> Self {
        let mut tag = [0; 16];
        for (to, from) in tag.iter_mut().zip(hash.as_bytes()) {
            *to = *from;
        }
        Self(tag)
    }

    /// As a strong entity tag (RFC 9110 §8.8.3), quotes included.
    pub(super) fn quoted(self) -> String {
        format!("\"{:032x}\"", u128::from_be_bytes(self.0))
    }
}

/// What the sender said about the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) content_type: HeaderValue,
    pub(super) content_encoding: Option<HeaderValue>,
}

impl Kind {
    pub(super) fn json() -> Self {
        Self {
            content_type: HeaderValue::from_static("application/json"),
            content_encoding: None,
        }
    }

    /// Whether the bytes are JSON text as they stand.
    pub(super) fn is_json(&self) -> bool {
        self.content_encoding.is_none()
            && self.content_type.to_str().is_ok_and(|text| {
                let essence = essence(text);
                essence == "application/json" || essence.ends_with("+json")
            })
    }
}

/// The media type without parameters, in lower case.
pub(super) fn essence(content_type: &str) -> String {
    let essence = content_type.split(';').next().unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Inline(Bytes),
    File { name: u128, length: u64 },
}

/// A document as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) tag: Tag,
    pub(super) kind: Kind,
    pub(super) content: Content,
}

/// Everything before an inline body, or the whole value of a file.
pub(super) fn head(tag: Tag, kind: &Kind, file: Option<(u128, u64)>) -> Vec<u8> {
    let content_type = kind.content_type.as_bytes();
    let encoding = kind
        .content_encoding
        .as_ref()
        .map_or(&[][..], HeaderValue::as_bytes);
    let mut head = Vec::with_capacity(64 + content_type.len() + encoding.len());
    head.push(VERSION);
    head.push(if file.is_some() { FILE } else { INLINE });
    head.extend_from_slice(&tag.0);
    for text in [content_type, encoding] {
        // What does not fit was refused when the request was read; cut it in any case, so that
        // the length is never a lie.
        let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
        head.extend_from_slice(&length.to_le_bytes());
        head.extend_from_slice(text.get(..usize::from(length)).unwrap_or(text));
    }
    if let Some((name, length)) = file {
        head.extend_from_slice(&name.to_le_bytes());
        head.extend_from_slice(&length.to_le_bytes());
    }
    head
}

/// Reads a value; `None` if it is none of this version. Shares `value`'s memory.
pub(super) fn read(mut value: Bytes) -> Option<Record> {
    if value.try_get_u8().ok()? != VERSION {
        return None;
    }
    let kind = value.try_get_u8().ok()?;
    let tag = Tag(value.try_get_u128().ok()?.to_be_bytes());
    let mut text = || {
        let length = usize::from(value.try_get_u16_le().ok()?);
        (value.len() >= length).then(|| value.split_to(length))
    };
    let content_type = HeaderValue::from_maybe_shared(text()?).ok()?;
    let encoding = text()?;
    let content_encoding = match encoding.is_empty() {
        true => None,
        false => Some(HeaderValue::from_maybe_shared(encoding).ok()?),
    };
    let content = match kind {
        INLINE => Content::Inline(value),
        FILE => Content::File {
            name: value.try_get_u128_le().ok()?,
            length: value.try_get_u64_le().ok()?,
        },
        _ => return None,
    };
    Some(Record {
        tag,
        kind: Kind {
            content_type,
            content_encoding,
        },
        content,
    })
}

/// The file that a value names, without reading the rest.
pub(super) fn file_of(value: &[u8]) -> Option<u128> {
    match value {
        [VERSION, FILE, ..] => match read(Bytes::copy_from_slice(value))?.content {
            Content::File { name, .. } => Some(name),
            Content::Inline(_) => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_as_written() {
        let tag = Tag::of(b"body");
        for content_encoding in [None, Some(HeaderValue::from_static("gzip"))] {
            let kind = Kind {
                content_type: HeaderValue::from_static("text/plain; charset=utf-8"),
                content_encoding,
            };
            let mut inline = head(tag, &kind, None);
            inline.extend_from_slice(b"body");
            assert_eq!(file_of(&inline), None);
            assert_eq!(
                read(inline.into()).unwrap(),
                Record {
                    tag,
                    kind: kind.clone(),
                    content: Content::Inline(Bytes::from_static(b"body")),
                }
            );
            let file = head(tag, &kind, Some((7, 1 << 40)));
            assert_eq!(file_of(&file), Some(7));
            assert_eq!(
                read(file.into()).unwrap().content,
                Content::File {
                    name: 7,
                    length: 1 << 40
                }
            );
        }
    }

    #[test]
    fn foreign_and_cut_values_are_no_records() {
        let whole = head(Tag::of(b""), &Kind::json(), Some((7, 9)));
        for end in 0..whole.len() {
            assert_eq!(read(Bytes::copy_from_slice(&whole[..end])), None, "{end}");
        }
        let mut other = whole;
        other[0] = 2;
        assert_eq!(read(other.into()), None);
    }

    #[test]
    fn json_is_known_by_its_media_type() {
        let kind = |text| Kind {
            content_type: HeaderValue::from_static(text),
            content_encoding: None,
        };
        assert!(kind("Application/JSON; charset=utf-8").is_json());
        assert!(kind("application/ld+json").is_json());
        assert!(!kind("application/x-ndjson").is_json());
        assert!(!kind("text/json-like").is_json());
    }
}
