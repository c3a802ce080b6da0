//! What fields are called.

use std::{collections::HashMap, sync::LazyLock};

/// The names of `data/field-names.txt`.
#[derive(Debug, Default)]
pub struct Words {
    categories: Vec<&'static str>,
    /// Names of which each is found as words, by the first of them; with the places of categories.
    phrases: HashMap<String, Vec<(Vec<String>, usize)>>,
    /// Names without anything between their words.
    joined: HashMap<String, Vec<usize>>,
    /// In writing that puts nothing between words.
    unspaced: Vec<(&'static str, usize)>,
}

static WORDS: LazyLock<Words> =
    LazyLock::new(|| Words::read(include_str!("../data/field-names.txt")));

impl Words {
    pub fn get() -> &'static Self {
        &WORDS
    }

    fn read(text: &'static str) -> Self {
        let mut words = Self::default();
        for line in text.lines() {
            let Some((category, names)) = line.split_once(": ") else {
                continue;
            };
            if category.starts_with('#') {
                continue;
            }
            let at = words.categories.len();
            words.categories.push(category);
            for name in names.split(',') {
                words.add(name.trim(), at);
            }
        }
        words
    }

    fn add(&mut self, name: &'static str, at: usize) {
        let (name, whole) = match name.strip_prefix('=') {
            Some(name) => (name, true),
            None => (name, false),
        };
        if is_unspaced(name) {
            self.unspaced.push((name, at));
            return;
        }
        let parts = words_of(name);
        self.joined.entry(parts.concat()).or_default().push(at);
        if !whole && let Some(first) = parts.first() {
            let of_first = self.phrases.entry(first.clone()).or_default();
            of_first.push((parts, at));
        }
    }

    /// By their places.
    pub fn categories(&self) -> impl Iterator<Item = &'static str> {
        self.categories.iter().copied()
    }

    /// The places of the categories that a field's name speaks of.
    pub fn of(&self, name: &str) -> impl Iterator<Item = usize> {
        // Nobody calls a field so; what is longer is data.
        const LONGEST: usize = 256;
        let mut found: Vec<usize> = Vec::new();
        if name.len() <= LONGEST {
            let parts = words_of(name);
            for (start, first) in parts.iter().enumerate() {
                let rest = parts.get(start..).unwrap_or_default();
                let of_first = self.phrases.get(first).into_iter().flatten();
                let fits = of_first.filter(|(phrase, _)| rest.starts_with(phrase));
                found.extend(fits.map(|(_, at)| *at));
            }
            let whole = self.joined.get(&parts.concat());
            found.extend(whole.into_iter().flatten());
            if !name.is_ascii() {
                let within = self.unspaced.iter().filter(|(word, _)| name.contains(word));
                found.extend(within.map(|(_, at)| *at));
            }
        }
        found.into_iter()
    }
}

/// Of Chinese characters alone.
fn is_unspaced(name: &str) -> bool {
    name.chars().all(|c| ('\u{4e00}'..='\u{9fff}').contains(&c))
}

/// `customerEmail_2` in its words, in small letters: `customer`, `email`, `2`.
fn words_of(name: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut last = Kind::Other;
    let mut chars = name.chars().peekable();
    while let Some(c) = chars.next() {
        let kind = Kind::of(c);
        let ends_capitals = kind == Kind::Upper
            && last == Kind::Upper
            && chars
                .peek()
                .is_some_and(|next| Kind::of(*next) == Kind::Lower);
        let begins = match (last, kind) {
            (Kind::Lower | Kind::Digit, Kind::Upper) => true,
            _ => kind == Kind::Other || ends_capitals,
        };
        if begins && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if kind != Kind::Other {
            word.extend(c.to_lowercase());
        }
        last = kind;
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Upper,
    Lower,
    Digit,
    Other,
}

impl Kind {
    fn of(c: char) -> Self {
        match c {
            _ if c.is_uppercase() => Self::Upper,
            _ if c.is_numeric() => Self::Digit,
            // With the marks that write the vowels of Indian languages.
            _ if c.is_alphanumeric() || is_mark(c) => Self::Lower,
            _ => Self::Other,
        }
    }
}

/// Vowel signs and the like of the Indic blocks, which are no letters by themselves.
fn is_mark(c: char) -> bool {
    ('\u{0900}'..='\u{0dff}').contains(&c) && !c.is_whitespace()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fall_into_words() {
        for (name, words) in [
            ("customerEmail", vec!["customer", "email"]),
            ("DATE_OF_BIRTH", vec!["date", "of", "birth"]),
            ("HTTPServerIP", vec!["http", "server", "ip"]),
            ("address2City", vec!["address2", "city"]),
            ("дата рождения", vec!["дата", "рождения"]),
            ("जन्म तिथि", vec!["जन्म", "तिथि"]),
            ("", vec![]),
        ] {
            assert_eq!(words_of(name), words, "{name}");
        }
    }

    #[test]
    fn every_line_of_the_list_is_read() {
        let words = Words::get();
        let lines = include_str!("../data/field-names.txt").lines();
        let lines = lines.filter(|l| !l.starts_with('#') && !l.is_empty());
        assert_eq!(words.categories().count(), lines.count());
        for category in words.categories() {
            assert!(category.starts_with("user."), "{category}");
        }
    }
}
