//! What a region answered to its part of a bulk request, item by item.
//!
//! Elasticsearch and OpenSearch answer 200 and `{"took":…,"errors":…,"items":[{"index":{…}},…]}`,
//! one item for each of the request, in its order. All of it must hold (strict JSON, the right
//! number, each of the action and id that was asked for), or nothing is believed: an answer that
//! slipped by one would tell of somebody else's item. The items stay as they came; what in them
//! could carry parts of a document is marked, since passing that on is a read.

use std::{borrow::Cow, future::poll_fn, pin::Pin};

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body::Body;

use super::{
    NoVerdict,
    verdicts::{is_coded, read_off},
};
use crate::{
    classify::{
        bulk::Action,
        json::{Pull, Value, check},
    },
    message::Response,
};

/// Most bytes on average of an item of an answer, beside what it quotes; an ordinary one has 150.
const AVERAGE_ITEM: u64 = 2 << 10;

/// Bytes of an answer whatever the number of items.
const AROUND: u64 = 64 << 10;

/// How often an answer may hold what was sent: an error quotes a value whole, in its reason and in
/// that of its cause, with escapes of its own.
const QUOTED: u64 = 3;

/// What servers say was done.
const RESULTS: [&str; 5] = ["created", "updated", "deleted", "noop", "not_found"];

/// What the request asked for at one place.
pub struct Expected<'a> {
    pub action: Action,
    /// `None`: the region makes one.
    pub id: Option<Cow<'a, str>>,
}

/// A region's answer, whole.
#[derive(Debug)]
pub struct BulkAnswer {
    text: Bytes,
    items: Vec<BulkItemAnswer>,
}

/// One item of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BulkItemAnswer {
    start: u32,
    end: u32,
    pub status: StatusCode,
    /// It holds only what the server itself counts and numbers: nothing of a document.
    pub is_plain: bool,
    /// It tells of an error: its status is of that, and not of the document.
    pub is_error: bool,
    /// It has a member of the name of ours: the region stands behind a router, too.
    is_relayed: bool,
}

/// An answer to the whole part.
#[derive(Debug)]
pub enum BulkVerdict {
    Items(BulkAnswer),
    /// One status for all items, none of which was carried out.
    All(StatusCode),
}

impl BulkAnswer {
    /// Reads an answer to a part of so many items and bytes, whole: at most 2 KiB an item and three
    /// times what was sent, and as long as there is `room` for the next bytes. Cancel safe: dropping
    /// it closes the connection.
    ///
    /// # Errors
    /// [`NoVerdict`]: whether any item was carried out is unknown.
    pub async fn read<'e, B>(
        answer: Response<B>,
        (items, bytes): (usize, u64),
        expected: impl Fn(usize) -> Option<Expected<'e>>,
        room: impl Fn(usize) -> bool,
    ) -> Result<BulkVerdict, NoVerdict>
    where
        B: Body<Data = Bytes, Error: Into<NoVerdict>> + Unpin,
    {
        let status = answer.status();
        if status.is_client_error() || status.is_server_error() {
            read_off(answer.into_body()).await.map_err(Into::into)?;
            return Ok(BulkVerdict::All(status));
        }
        if status != StatusCode::OK || is_coded(answer.headers()) {
            return Err(NoVerdict::Unclear);
        }
        let of_items = AVERAGE_ITEM.saturating_mul(items as u64);
        let quoted = QUOTED.saturating_mul(bytes);
        let limit = AROUND.saturating_add(of_items).saturating_add(quoted);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let text = whole(answer.into_body(), limit, room).await?;
        Self::parse(text, items, expected).map(BulkVerdict::Items)
    }

    /// Reads the text of an answer.
    ///
    /// # Errors
    /// When it is not exactly the answer that was expected.
    pub fn parse<'e>(
        text: Bytes,
        items: usize,
        expected: impl Fn(usize) -> Option<Expected<'e>>,
    ) -> Result<Self, NoVerdict> {
        check(&text).map_err(|_| NoVerdict::Unclear)?;
        let json = std::str::from_utf8(&text).map_err(|_| NoVerdict::Unclear)?;
        let told = read_items(json, items, expected).ok_or(NoVerdict::Unclear)?;
        Ok(Self { text, items: told })
    }

    pub fn items(&self) -> &[BulkItemAnswer] {
        &self.items
    }

    /// The item as it came: `{"index":{…}}`.
    pub fn text(&self, told: &BulkItemAnswer) -> &str {
        let bytes = self.text.get(told.start as usize..told.end as usize);
        // It was read as text, and the places lie beside brackets.
        std::str::from_utf8(bytes.unwrap_or_default()).unwrap_or_default()
    }

    /// Of an item that another router passed on: its text up to where our member goes, without
    /// theirs, and theirs. Two of one name would be read now as the one and now as the other.
    pub fn relayed(&self, told: &BulkItemAnswer) -> Option<(String, &str)> {
        match told.is_relayed {
            true => relayed(self.text(told)),
            false => None,
        }
    }

    /// Of an item that is not passed on: what was done, where that is one of the servers' words, and
    /// the class of the error, where that is a plain word.
    pub fn words(&self, told: &BulkItemAnswer) -> (Option<&str>, Option<&str>) {
        words(self.text(told)).unwrap_or_default()
    }
}

async fn whole<B: Body<Data = Bytes, Error: Into<NoVerdict>> + Unpin>(
    mut body: B,
    limit: usize,
    room: impl Fn(usize) -> bool,
) -> Result<Bytes, NoVerdict> {
    let mut first: Option<Bytes> = None;
    let mut all = BytesMut::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let Ok(data) = frame.map_err(Into::into)?.into_data() else {
            continue;
        };
        if all.len() + first.as_ref().map_or(0, Bytes::len) + data.len() > limit {
            return Err(NoVerdict::Unclear);
        }
        if !room(data.len()) {
            return Err(NoVerdict::Unclear);
        }
        // One frame is not copied; many are joined.
        match (first.take(), all.is_empty()) {
            (None, true) => first = Some(data),
            (Some(before), _) => {
                all.extend_from_slice(&before);
                all.extend_from_slice(&data);
            }
            (None, false) => all.extend_from_slice(&data),
        }
    }
    Ok(first.unwrap_or_else(|| all.freeze()))
}

/// `None` for anything but the expected answer. The text is strict JSON already.
fn read_items<'e>(
    text: &str,
    count: usize,
    expected: impl Fn(usize) -> Option<Expected<'e>>,
) -> Option<Vec<BulkItemAnswer>> {
    let mut pull = Pull::new(text);
    let mut outer = pull.object().ok()?;
    let mut told = None;
    while let Some(key) = pull.key(&mut outer).ok()? {
        if key.raw() != "items" {
            pull.skip().ok()?;
            continue;
        }
        let mut items = Vec::with_capacity(count);
        let mut list = pull.array().ok()?;
        while pull.element(&mut list).ok()? {
            items.push(read_item(&mut pull, &expected(items.len())?)?);
        }
        told = Some(items);
    }
    told.filter(|items| items.len() == count)
}

fn read_item(pull: &mut Pull<'_>, expected: &Expected<'_>) -> Option<BulkItemAnswer> {
    let start = u32::try_from(pull.at()).ok()?;
    let mut outer = pull.object().ok()?;
    if pull.key(&mut outer).ok()??.unescape() != expected.action.as_str() {
        return None;
    }
    let mut inner = pull.object().ok()?;
    let mut status = None;
    // Both Elasticsearch and OpenSearch name the id in each item, of errors too.
    let mut is_named = expected.id.is_none();
    let mut is_plain = true;
    let mut is_error = false;
    let mut is_relayed = false;
    while let Some(key) = pull.key(&mut inner).ok()? {
        let known = member(&key.unescape());
        let value = pull.scalar().ok()?;
        match (known, value) {
            (Member::Status, Some(Value::Number(number))) => {
                let number = number.as_str().parse().ok()?;
                status = StatusCode::from_u16(number).ok();
            }
            (Member::Id, Some(Value::String(id))) => match &expected.id {
                Some(wanted) if id.unescape() != *wanted => return None,
                Some(_) => is_named = true,
                // Made by the server: letters and digits, never words of a document.
                None => is_plain &= is_word(id.raw(), 64),
            },
            (Member::Ours, value) => {
                is_relayed = true;
                is_plain &= value.is_none() && words_alone(pull)?;
            }
            (Member::Number, Some(Value::Bool(_))) => {}
            (Member::Number, Some(Value::Number(n))) => is_plain &= is_count(n.as_str()),
            (Member::Index, Some(Value::String(name))) => is_plain &= is_index(name.raw()),
            (Member::Word(words), Some(Value::String(word))) => {
                is_plain &= words.contains(&word.raw());
            }
            (Member::Counts, None) => is_plain &= counts(pull)?,
            (known, value) => {
                is_plain = false;
                is_error |= matches!(known, Member::Error);
                if value.is_none() {
                    pull.skip().ok()?;
                }
            }
        }
    }
    if pull.key(&mut outer).ok()?.is_some() || !is_named {
        return None;
    }
    Some(BulkItemAnswer {
        start,
        end: u32::try_from(pull.at()).ok()?,
        status: status.filter(|s| (200..600).contains(&s.as_u16()))?,
        is_plain,
        is_error,
        is_relayed,
    })
}

#[derive(Clone, Copy)]
enum Member {
    Status,
    Id,
    Number,
    /// An index's name. It is not the one that was asked for where that is an alias.
    Index,
    /// One of these.
    Word(&'static [&'static str]),
    Counts,
    Error,
    /// The name of what we add, as another router does.
    Ours,
    Other,
}

fn member(name: &str) -> Member {
    match name {
        "status" => Member::Status,
        "_id" => Member::Id,
        "_version" | "_seq_no" | "_primary_term" | "forced_refresh" => Member::Number,
        "_index" => Member::Index,
        "_type" => Member::Word(&["_doc"]),
        "result" => Member::Word(&RESULTS),
        "failure_store" => {
            Member::Word(&["not_applicable_or_unknown", "used", "not_enabled", "failed"])
        }
        "_shards" => Member::Counts,
        "error" => Member::Error,
        "domicile" => Member::Ours,
        _ => Member::Other,
    }
}

/// An object of numbers alone.
fn counts(pull: &mut Pull<'_>) -> Option<bool> {
    let mut open = pull.object().ok()?;
    let mut plain = true;
    while pull.key(&mut open).ok()?.is_some() {
        match pull.scalar().ok()? {
            Some(Value::Number(n)) => plain &= is_count(n.as_str()),
            Some(_) => plain = false,
            None => {
                plain = false;
                pull.skip().ok()?;
            }
        }
    }
    Some(plain)
}

/// Whether the next value is an object of plain words alone, as a router's member is.
fn words_alone(pull: &mut Pull<'_>) -> Option<bool> {
    let Ok(mut open) = pull.object() else {
        pull.skip().ok()?;
        return Some(false);
    };
    let mut plain = true;
    while let Some(key) = pull.key(&mut open).ok()? {
        plain &= matches!(key.raw(), "region" | "decision" | "body");
        plain &= word(pull).is_some();
    }
    Some(plain)
}

fn relayed(item: &str) -> Option<(String, &str)> {
    let mut pull = Pull::new(item);
    let mut outer = pull.object().ok()?;
    let action = pull.key(&mut outer).ok()??;
    let mut begun = format!("{{\"{}\":{{", action.raw());
    let mut inner = pull.object().ok()?;
    let mut theirs = None;
    while let Some(key) = pull.key(&mut inner).ok()? {
        let value = pull.skip().ok()?;
        match member(&key.unescape()) {
            Member::Ours => theirs = Some(value),
            _ => begun.extend(["\"", key.raw(), "\":", value, ","]),
        }
    }
    Some((begun, theirs?))
}

fn words(item: &str) -> Option<(Option<&str>, Option<&str>)> {
    let mut pull = Pull::new(item);
    let mut outer = pull.object().ok()?;
    pull.key(&mut outer).ok()??;
    let mut inner = pull.object().ok()?;
    let (mut result, mut error) = (None, None);
    while let Some(key) = pull.key(&mut inner).ok()? {
        match key.raw() {
            "result" => result = word(&mut pull).filter(|word| RESULTS.contains(word)),
            "error" => {
                let Ok(mut open) = pull.object() else {
                    pull.skip().ok()?;
                    continue;
                };
                while let Some(key) = pull.key(&mut open).ok()? {
                    match key.raw() {
                        "type" => error = word(&mut pull),
                        _ => drop(pull.skip().ok()?),
                    }
                }
            }
            _ => drop(pull.skip().ok()?),
        }
    }
    Some((result, error))
}

/// A value that is one plain word.
fn word<'a>(pull: &mut Pull<'a>) -> Option<&'a str> {
    let text = pull.skip().ok()?;
    let word = text.strip_prefix('"')?.strip_suffix('"')?;
    is_word(word, 80).then_some(word)
}

/// A number that servers count with: whole, of 64 bits at most.
fn is_count(number: &str) -> bool {
    number.len() <= 20 && number.bytes().all(|b| b.is_ascii_digit() || b == b'-')
}

/// What Elasticsearch and OpenSearch let an index be called, less what is not ASCII.
fn is_index(name: &str) -> bool {
    let may_stand = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.+".contains(&b);
    !name.is_empty() && name.len() <= 255 && name.bytes().all(may_stand)
}

fn is_word(text: &str, longest: usize) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    !text.is_empty() && text.len() <= longest && text.bytes().all(plain)
}

#[cfg(test)]
mod tests;
