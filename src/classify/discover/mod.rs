//! What fields that no schema lists hold, by their names and their values (`discover`).
//!
//! Goal: new personal data is seen before somebody has listed it. Whatever is found is added to the
//! record's categories, never taken from them, so that a guess can make a transfer be refused and none
//! be permitted; and it says nothing about the country. A name or a value that nothing here knows stays
//! `user`, as without.

mod checks;
pub mod national;
mod values;
mod words;

use super::{
    Age,
    json::{Pull, Value},
};
use crate::domain::{CategoryId, CategorySet};
use words::Words;

/// The categories of the words and values of this policy's vocabulary.
#[derive(Clone, Debug)]
pub struct Discovery {
    words: &'static Words,
    /// Of each category that [`Words`] knows.
    named: Box<[CategoryId]>,
    valued: values::Categories,
    born: Option<CategoryId>,
    age: Option<CategoryId>,
}

/// What a field was found to tell of an age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tells {
    Age,
    Born,
}

impl Discovery {
    /// `resolve` knows the vocabulary; where it lacks a category, the next above it stands for it.
    /// `None` without `user`, which everything is below.
    pub fn new(resolve: &dyn Fn(&str) -> Option<CategoryId>) -> Option<Self> {
        let user = resolve("user")?;
        let nearest = |key: &str| {
            let mut key = key;
            loop {
                if let Some(id) = resolve(key) {
                    return id;
                }
                match key.rsplit_once('.') {
                    Some((above, _)) => key = above,
                    None => return user,
                }
            }
        };
        let words = Words::get();
        Some(Self {
            words,
            named: words.categories().map(nearest).collect(),
            valued: values::Categories::new(&nearest),
            born: resolve("user.demographic.date_of_birth"),
            age: resolve("user.demographic.age_range"),
        })
    }

    /// The categories of all fields of a JSON text that was checked before. `tell` gets the values of
    /// fields that are called an age or a day of birth, where they can be read as one.
    pub fn look<'a>(&self, body: &'a [u8], tell: &mut dyn FnMut(Tells, Value<'a>)) -> CategorySet {
        let mut looking = Looking {
            by: self,
            found: CategorySet::EMPTY,
            tell,
        };
        if let Ok(text) = std::str::from_utf8(body) {
            // Checked before: what cannot be read here is nothing.
            let _ = looking.value(&mut Pull::new(text), CategorySet::EMPTY);
        }
        looking.found
    }

    fn of_name(&self, name: &str) -> CategorySet {
        let named = self.words.of(name);
        named.filter_map(|at| self.named.get(at).copied()).collect()
    }
}

struct Looking<'d, 'a, 't> {
    by: &'d Discovery,
    found: CategorySet,
    tell: &'t mut dyn FnMut(Tells, Value<'a>),
}

impl<'a> Looking<'_, 'a, '_> {
    /// One value, whose name says `named`. An array's elements have its name; so deep as the scanner lets
    /// a text be.
    fn value(
        &mut self,
        text: &mut Pull<'a>,
        named: CategorySet,
    ) -> Result<(), super::json::JsonFault> {
        if let Some(scalar) = text.scalar()? {
            self.scalar(scalar, named);
            return Ok(());
        }
        if let Ok(mut open) = text.object() {
            while let Some(key) = text.key(&mut open)? {
                let key = key.unescape();
                // Names may be data: a map by address.
                self.found = self.found.union(self.by.valued.of(&key));
                let named = self.by.of_name(&key);
                self.value(text, named)?;
            }
            return Ok(());
        }
        let mut open = text.array()?;
        while text.element(&mut open)? {
            self.value(text, named)?;
        }
        Ok(())
    }

    fn scalar(&mut self, value: Value<'a>, named: CategorySet) {
        match value {
            Value::Null => return,
            Value::String(text) if text.raw().is_empty() => return,
            Value::String(text) => {
                self.found = self.found.union(self.by.valued.of(&text.unescape()));
            }
            Value::Number(digits) => {
                self.found = self.found.union(self.by.valued.of(digits.as_str()));
            }
            Value::Bool(_) | Value::Object | Value::Array => {}
        }
        self.found = self.found.union(named);
        let is = |category: Option<CategoryId>| category.is_some_and(|c| named.contains(c));
        if is(self.by.born) && Age::read([].into_iter(), [value].into_iter()).is_ok() {
            (self.tell)(Tells::Born, value);
        }
        if is(self.by.age) && Age::read([value].into_iter(), [].into_iter()).is_ok() {
            (self.tell)(Tells::Age, value);
        }
    }
}

#[cfg(test)]
mod tests;
