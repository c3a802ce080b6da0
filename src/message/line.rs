//! Where one field stands in the text of all.

use super::{Field, Value};

/// Where in the text a line stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) name: u32,
    pub(super) name_end: u32,
    pub(super) value: u32,
    pub(super) value_end: u32,
    pub(super) field: Field,
    /// The text reads `name: value`, and the line's end follows.
    pub(super) is_plain: bool,
}

impl Line {
    #[inline]
    pub(super) fn name_len(&self) -> usize {
        (self.name_end - self.name) as usize
    }

    /// Where it begins.
    #[inline]
    pub(super) fn start(&self) -> usize {
        self.name as usize
    }

    /// Where the line stands in a text where all stands so much later.
    #[inline]
    pub(super) fn shifted(&self, by: u32) -> Self {
        let there = |at: u32| at.wrapping_add(by);
        Self {
            name: there(self.name),
            name_end: there(self.name_end),
            value: there(self.value),
            value_end: there(self.value_end),
            ..*self
        }
    }

    #[inline]
    fn slice<'t>(&self, text: &'t [u8], from: u32, to: u32) -> &'t [u8] {
        text.get(from as usize..to as usize).unwrap_or_default()
    }

    #[inline]
    pub(super) fn name<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        self.slice(text, self.name, self.name_end)
    }

    #[inline]
    pub(super) fn value<'t>(&self, text: &'t [u8]) -> Value<'t> {
        Value::of(self.slice(text, self.value, self.value_end))
    }

    #[inline]
    pub(super) fn is(&self, text: &[u8], field: Field, name: &str) -> bool {
        self.field == field && (field != Field::Other || self.name(text) == name.as_bytes())
    }
}
