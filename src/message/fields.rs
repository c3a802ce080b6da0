//! Fields as text, and a table of where each stands.

use std::{fmt, ops::Range};

use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Field, FieldSet, Key, Names, Value, line::Line, parse::Parted, value::is_value};

/// Field lines in the order they came or were added. Names are in lower case, values hold no
/// control byte but the tab; no line is folded. `Debug` shows names alone: values can be personal.
#[derive(Clone, Default)]
pub struct Fields {
    pub(super) text: Vec<u8>,
    pub(super) lines: Vec<Line>,
    /// What was ever among the lines: a name that is not here need not be looked for.
    seen: Names,
    /// The text is the lines, one after the other, as [`Fields::write`] writes them.
    is_written: bool,
}

/// The field stands more than once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Several;

impl Fields {
    /// With room for so many fields of so many bytes.
    pub fn with_capacity(lines: usize, bytes: usize) -> Self {
        Self {
            text: Vec::with_capacity(bytes),
            lines: Vec::with_capacity(lines),
            seen: Names::default(),
            is_written: true,
        }
    }

    pub(super) fn of(text: Vec<u8>, lines: Vec<Line>, seen: Names) -> Self {
        Self {
            text,
            lines,
            seen,
            is_written: false,
        }
    }

    /// Becomes a copy of others in the room that is there.
    pub(super) fn become_like(&mut self, others: &Self) {
        self.text.clone_from(&others.text);
        self.lines.clone_from(&others.lines);
        self.seen = others.seen;
        self.is_written = others.is_written;
    }

    pub fn len(&self) -> usize {
        self.lines.len()
    }

    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Whether one of these may be there: false is certain.
    pub fn may_have(&self, any: FieldSet) -> bool {
        self.seen.known().has_any(any)
    }

    /// Whether a name may have an underscore: false is certain.
    pub fn may_have_underscores(&self) -> bool {
        self.seen.are_underscored()
    }

    /// Whether a name that nobody here looks for begins as the router's own do: false is certain.
    pub fn may_have_own(&self) -> bool {
        self.seen.are_own()
    }

    /// Whether a line of one of these names may be there: false is certain.
    pub fn may_have_name(&self, of: Names) -> bool {
        self.seen.may_meet(of)
    }

    #[inline]
    pub fn contains_key(&self, key: impl Key) -> bool {
        self.get(key).is_some()
    }

    /// The first value of a name.
    #[inline]
    pub fn get(&self, key: impl Key) -> Option<Value<'_>> {
        let (field, name) = (key.field(), key.text());
        if !self.seen.may_have(field, name.as_bytes()) {
            return None;
        }
        let found = self.lines.iter().find(|l| l.is(&self.text, field, name));
        found.map(|line| line.value(&self.text))
    }

    /// All values of a name, in their order.
    pub fn get_all<K: Key>(&self, key: K) -> impl Iterator<Item = Value<'_>> + use<'_, K> {
        let field = key.field();
        let lines = match self.seen.may_have(field, key.text().as_bytes()) {
            true => self.lines.as_slice(),
            false => &[],
        };
        lines
            .iter()
            .filter(move |line| line.is(&self.text, field, key.text()))
            .map(|line| line.value(&self.text))
    }

    /// The only value of a name, if there is one.
    ///
    /// # Errors
    /// If there are several.
    #[inline]
    pub fn only(&self, key: impl Key) -> Result<Option<Value<'_>>, Several> {
        let (field, name) = (key.field(), key.text());
        // Most that are asked for are not there: that is told where it is asked.
        match self.seen.may_have(field, name.as_bytes()) {
            true => self.find_only(field, name),
            false => Ok(None),
        }
    }

    fn find_only(&self, field: Field, name: &str) -> Result<Option<Value<'_>>, Several> {
        let mut only = None;
        for line in &self.lines {
            if line.is(&self.text, field, name) && only.replace(line).is_some() {
                return Err(Several);
            }
        }
        Ok(only.map(|line| line.value(&self.text)))
    }

    pub fn iter(&self) -> impl Iterator<Item = (Field, &str, Value<'_>)> {
        self.lines.iter().map(|line| {
            let name = std::str::from_utf8(line.name(&self.text)).unwrap_or_default();
            (line.field, name, line.value(&self.text))
        })
    }

    /// Adds a field. What no field can hold is left out: a control byte in a value.
    pub fn append(&mut self, key: impl Key, value: impl AsRef<[u8]>) {
        self.add(key.field(), key.text().as_bytes(), value.as_ref());
    }

    /// Puts a field in the place of all of its name, at the end. What no field can hold is left
    /// out, and what was there stays.
    pub fn insert(&mut self, key: impl Key, value: impl AsRef<[u8]>) {
        let (name, value) = (key.text().as_bytes(), value.as_ref());
        if is_value(value) && !name.is_empty() {
            self.remove(&key);
            self.push(key.field(), name, value);
        }
    }

    /// Takes all fields of a name away.
    #[inline]
    pub fn remove(&mut self, key: impl Key) {
        let (field, name) = (key.field(), key.text());
        if self.seen.may_have(field, name.as_bytes()) {
            self.take_away(field, name);
        }
    }

    fn take_away(&mut self, field: Field, name: &str) {
        let text = &self.text;
        let before = self.lines.len();
        self.lines.retain(|line| !line.is(text, field, name));
        self.is_written &= self.lines.len() == before;
    }

    /// Takes away what `keeps` does not want.
    pub fn retain(&mut self, mut keeps: impl FnMut(Field, &str) -> bool) {
        let text = &self.text;
        self.lines.retain(|line| {
            let name = std::str::from_utf8(line.name(text)).unwrap_or_default();
            keeps(line.field, name)
        });
        self.is_written = false;
    }

    /// Adds the fields of others that `takes` wants, as they stand there.
    pub fn extend(
        &mut self,
        others: &Self,
        mut takes: impl FnMut(Field, &[u8], Value<'_>) -> bool,
    ) {
        // Lines that follow each other in the text are copied together.
        let mut run = 0..0;
        for line in &others.lines {
            let (name, value) = (line.name(&others.text), line.value(&others.text));
            if !takes(line.field, name, value) {
                continue;
            }
            if !line.is_plain {
                self.copy(others, &run);
                run = 0..0;
                self.push(line.field, name, value.as_bytes());
                continue;
            }
            if line.name != run.end {
                self.copy(others, &run);
                run = line.name..line.name;
            }
            run.end = line.value_end + 2;
            self.take_note(line, name, run.start);
        }
        self.copy(others, &run);
    }

    /// Adds all fields of others, text and all.
    pub fn append_all(&mut self, others: &Self) {
        self.append_lines(others, &others.lines, &(0..others.text.len() as u32));
    }

    /// Adds the lines of others from one place in their order to another, as they stand there.
    pub fn append_run(&mut self, others: &Self, run: Range<usize>) {
        let start = |at: usize| others.lines.get(at).map(Line::start);
        let end = start(run.end).unwrap_or(others.text.len()) as u32;
        if let (Some(start), Some(lines)) = (start(run.start), others.lines.get(run)) {
            self.append_lines(others, lines, &(start as u32..end));
        }
    }

    /// Adds these lines of others, whose whole text that place is.
    pub(super) fn append_lines(&mut self, others: &Self, lines: &[Line], place: &Range<u32>) {
        if lines.is_empty() {
            return;
        }
        self.is_written |= self.lines.is_empty() && self.text.is_empty();
        let shift = (self.text.len() as u32).wrapping_sub(place.start);
        self.is_written &= others.is_written;
        self.copy(others, place);
        match shift {
            0 => self.lines.extend_from_slice(lines),
            _ => self.lines.extend(lines.iter().map(|l| l.shifted(shift))),
        }
        if lines.len() == others.lines.len() {
            self.seen.insert_all(others.seen);
            return;
        }
        for line in lines {
            self.seen.insert_as(line.field, line.name(&others.text));
        }
    }

    /// Adds a line as it came.
    pub(super) fn append_raw(&mut self, raw: &[u8], parted: Parted) {
        let start = self.text.len();
        self.text.extend_from_slice(raw);
        let line = parted.note(&mut self.text, start);
        self.is_written &= line.is_plain;
        self.seen.insert_as(line.field, line.name(&self.text));
        self.lines.push(line);
    }

    fn copy(&mut self, others: &Self, run: &Range<u32>) {
        self.text.extend_from_slice(others.text_at(run));
    }

    /// Takes note of a line of others, of whose text all from `run` on is about to be copied.
    #[inline]
    fn take_note(&mut self, line: &Line, name: &[u8], run: u32) {
        self.is_written |= self.lines.is_empty() && self.text.is_empty();
        self.seen.insert_as(line.field, name);
        // Both are heads' texts; no head is long.
        let shift = (self.text.len() as u32).wrapping_sub(run);
        self.lines.push(line.shifted(shift));
    }

    #[inline]
    fn add(&mut self, field: Field, name: &[u8], value: &[u8]) {
        if is_value(value) && !name.is_empty() {
            self.push(field, name, value);
        }
    }

    /// Adds a field whose value `write` appends to the text. What no field can hold is taken back.
    pub fn append_with(&mut self, field: Field, write: impl FnOnce(&mut Vec<u8>)) {
        let name = field.text().as_bytes();
        let before = self.text.len();
        let value = before + name.len() + 2;
        let is_sound = |text: &[u8]| is_value(text.get(value..).unwrap_or_default());
        self.text.extend_from_slice(name);
        self.text.extend_from_slice(b": ");
        write(&mut self.text);
        if !is_sound(&self.text) || name.is_empty() {
            self.text.truncate(before);
            return;
        }
        self.text.extend_from_slice(b"\r\n");
        self.note(field, before, name.len());
    }

    /// Adds a line as it is written, its end included, for which whoever made it vouches.
    pub fn append_line<const LENGTH: usize>(&mut self, field: Field, line: &[u8; LENGTH]) {
        let name = field.text().len();
        debug_assert!(line.starts_with(field.text().as_bytes()) && line.ends_with(b"\r\n"));
        debug_assert!(is_value(line.get(name..LENGTH - 2).unwrap_or(line)));
        let start = self.text.len();
        self.text.extend_from_slice(line);
        self.note(field, start, name);
    }

    /// Adds a sound field.
    #[inline]
    fn push(&mut self, field: Field, name: &[u8], value: &[u8]) {
        let start = self.text.len();
        self.text.reserve(name.len() + value.len() + 4);
        self.text.extend_from_slice(name);
        self.text.extend_from_slice(b": ");
        self.text.extend_from_slice(value);
        self.text.extend_from_slice(b"\r\n");
        self.note(field, start, name.len());
    }

    /// Takes note of the line that the text ends in.
    #[inline]
    fn note(&mut self, field: Field, start: usize, name: usize) {
        if u32::try_from(self.text.len()).is_err() {
            // No head is that long; whatever it is, it is not sent.
            self.text.truncate(start);
            return;
        }
        self.is_written |= self.lines.is_empty() && start == 0;
        let spelt = self.text.get(start..start + name).unwrap_or_default();
        self.seen.insert_as(field, spelt);
        // Smaller than the text's length, which fits.
        let (start, name_end) = (start as u32, (start + name) as u32);
        self.lines.push(Line {
            name: start,
            name_end,
            value: name_end + 2,
            value_end: (self.text.len() - 2) as u32,
            field,
            is_plain: true,
        });
    }

    /// Writes the lines, without those that are among `but` (RFC 9112 §5).
    pub fn write(&self, out: &mut BytesMut, but: FieldSet) {
        out.reserve(self.text.len() + 2 * self.lines.len());
        if self.is_written && !self.seen.known().has_any(but) {
            out.extend_from_slice(&self.text);
            return;
        }
        // Lines that follow each other in the text go out together.
        let mut run = 0..0;
        for line in &self.lines {
            if but.contains(line.field) {
                continue;
            }
            if line.is_plain && line.name == run.end {
                run.end = line.value_end + 2;
                continue;
            }
            out.extend_from_slice(self.text_at(&run));
            run = line.name..line.value_end + 2;
            if !line.is_plain {
                run.start = run.end;
                out.extend_from_slice(line.name(&self.text));
                out.extend_from_slice(b": ");
                out.extend_from_slice(line.value(&self.text).as_bytes());
                out.extend_from_slice(b"\r\n");
            }
        }
        out.extend_from_slice(self.text_at(&run));
    }

    fn text_at(&self, place: &Range<u32>) -> &[u8] {
        let place = place.start as usize..place.end as usize;
        self.text.get(place).unwrap_or_default()
    }

    /// As HTTP/2's library wants them. What is not [known to be nobody's](Field::COMMON) goes out as
    /// a literal that no hop may put into a table (RFC 7541 §7.1): callers share the connections to
    /// regions, so that the size of one's request would tell whether another sent the same; and
    /// what came as such a literal must go on as one (§6.2.3), which h2 does not tell.
    pub fn to_map(&self) -> HeaderMap {
        let mut map = HeaderMap::with_capacity(self.lines.len());
        for line in &self.lines {
            let name = HeaderName::from_bytes(line.name(&self.text));
            let value = HeaderValue::from_bytes(line.value(&self.text).as_bytes());
            if let (Ok(name), Ok(mut value)) = (name, value) {
                value.set_sensitive(!Field::COMMON.contains(line.field));
                map.append(name, value);
            }
        }
        map
    }
}

/// As [`Fields::to_map`] does of all but the most common fields, of trailers, which hold none.
pub fn never_indexed(mut trailers: HeaderMap) -> HeaderMap {
    trailers.values_mut().for_each(|v| v.set_sensitive(true));
    trailers
}

impl From<&HeaderMap> for Fields {
    fn from(map: &HeaderMap) -> Self {
        let bytes: usize = map
            .iter()
            .map(|(n, v)| n.as_str().len() + v.len() + 4)
            .sum();
        let mut fields = Self::with_capacity(map.len(), bytes);
        for (name, value) in map {
            let text = name.as_str().as_bytes();
            fields.push(Field::of(text), text, value.as_bytes());
        }
        fields
    }
}

/// Names and values in lower case and sound, as tests have them.
impl<K: Key, V: AsRef<[u8]>> FromIterator<(K, V)> for Fields {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(fields: I) -> Self {
        let mut all = Self::default();
        for (name, value) in fields {
            all.append(name, value);
        }
        all
    }
}

/// The same names with the same values, in the same order.
impl PartialEq for Fields {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Fields {}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.iter().map(|(_, name, _)| name))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::NotText;

    fn text(fields: &Fields, but: FieldSet) -> String {
        let mut out = BytesMut::new();
        fields.write(&mut out, but);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn what_is_added_is_found_and_written() {
        let mut fields = Fields::default();
        fields.append(Field::Host, "api.example");
        fields.append("x-a", "1");
        fields.append("x-a", "2");
        fields.append("x-b", "");
        assert_eq!(fields.get(http::header::HOST), fields.get("host"));
        assert_eq!(fields.get("x-a").unwrap(), "1");
        assert_eq!(fields.get_all("x-a").count(), 2);
        assert_eq!(fields.only("x-a"), Err(Several));
        assert_eq!(fields.only("x-c"), Ok(None));
        assert!(fields.get("x-b").is_some_and(|v| v == ""));
        let none = FieldSet::default();
        let whole = "host: api.example\r\nx-a: 1\r\nx-a: 2\r\nx-b: \r\n";
        assert_eq!(text(&fields, none), whole);
        fields.remove("x-a");
        fields.insert("host", "b");
        assert_eq!(text(&fields, none), "x-b: \r\nhost: b\r\n");
        assert_eq!(text(&fields, FieldSet::of(&[Field::Host])), "x-b: \r\n");
        assert_eq!(fields.len(), 2);
    }

    #[test]
    fn a_value_that_is_written_in_place_is_checked_too() {
        let mut fields = Fields::default();
        fields.append_with(Field::Via, |text| text.extend_from_slice(b"1.1 a"));
        fields.append_with(Field::Host, |text| text.extend_from_slice(b"a\r\nb"));
        fields.append_with(Field::Te, |text| text.extend_from_slice(b""));
        let none = FieldSet::default();
        assert_eq!(text(&fields, none), "via: 1.1 a\r\nte: \r\n");
    }

    #[test]
    fn a_line_that_is_written_already_is_a_field_like_others() {
        let mut fields: Fields = [("x-a", "1")].into_iter().collect();
        fields.append_line(Field::Via, b"via: 1.1 domicile\r\n");
        assert_eq!(fields.get(Field::Via).unwrap(), "1.1 domicile");
        let none = FieldSet::default();
        assert_eq!(text(&fields, none), "x-a: 1\r\nvia: 1.1 domicile\r\n");
        let but_via = FieldSet::of(&[Field::Via]);
        assert_eq!(text(&fields, but_via), "x-a: 1\r\n");
    }

    #[test]
    fn what_no_field_can_hold_is_left_out() {
        let mut fields = Fields::default();
        fields.append("x-a", "sound");
        fields.append("x-a", "a\r\nx-evil: 1");
        fields.insert("x-a", "\0");
        assert_eq!(text(&fields, FieldSet::default()), "x-a: sound\r\n");
    }

    #[test]
    fn only_what_is_nobodys_may_be_put_into_a_table() {
        let mut fields = Fields::default();
        for name in [
            "authorization",
            "cookie",
            "x-secret",
            "content-type",
            "date",
        ] {
            fields.append(name, "value");
        }
        let map = fields.to_map();
        let open = map.iter().filter(|(_, value)| !value.is_sensitive());
        let open: Vec<&str> = open.map(|(name, _)| name.as_str()).collect();
        assert_eq!(open, ["content-type", "date"]);
        assert!(never_indexed(map).values().all(HeaderValue::is_sensitive));
    }

    #[test]
    fn maps_and_fields_are_made_of_each_other() {
        let mut map = HeaderMap::new();
        map.append("x-a", HeaderValue::from_static("1"));
        map.append("x-a", HeaderValue::from_static("2"));
        map.append("host", HeaderValue::from_bytes(b"\xe4").unwrap());
        let fields = Fields::from(&map);
        assert_eq!(fields.to_map(), map);
        assert_eq!(fields.get("host").unwrap().to_str(), Err(NotText));
    }

    #[test]
    fn debug_tells_no_value() {
        let fields: Fields = [("x-name", "Asha Example")].into_iter().collect();
        let shown = format!("{fields:?} {:?}", fields.get("x-name"));
        assert!(
            shown.contains("x-name") && !shown.contains("Asha"),
            "{shown}"
        );
    }
}
