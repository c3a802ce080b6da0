use std::cell::RefCell;

use super::{Faults, Node, Where, suggest};

/// Takes a table apart key by key; [`Fields::finish`] refuses the keys that nobody asked for.
pub struct Fields<'a> {
    pub at: &'a Where,
    entries: &'a [(String, Where, Node)],
    faults: &'a Faults,
    asked: RefCell<Vec<&'static str>>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(
        at: &'a Where,
        entries: &'a [(String, Where, Node)],
        faults: &'a Faults,
    ) -> Self {
        Self {
            at,
            entries,
            faults,
            asked: RefCell::default(),
        }
    }

    /// The value of a key that may be absent.
    pub fn maybe(&self, key: &'static str) -> Option<&'a Node> {
        let mut asked = self.asked.borrow_mut();
        if !asked.contains(&key) {
            asked.push(key);
        }
        self.entries
            .iter()
            .find(|(k, _, _)| k == key)
            .map(|(_, _, node)| node)
    }

    /// The value of a key that must stand; its absence is a fault at the table's place.
    pub fn need(&self, key: &'static str) -> Option<&'a Node> {
        let found = self.maybe(key);
        if found.is_none() {
            self.faults.error(self.at, format!("missing key `{key}`"));
        }
        found
    }

    pub fn maybe_text(&self, key: &'static str) -> Option<&'a str> {
        self.maybe(key)?.text(self.faults)
    }

    pub fn need_text(&self, key: &'static str) -> Option<&'a str> {
        self.need(key)?.text(self.faults)
    }

    pub fn faults(&self) -> &'a Faults {
        self.faults
    }

    /// Every entry, for tables whose keys are names of the user's choosing. Ends the reading: no
    /// key is unknown in such a table.
    pub fn named(self) -> impl Iterator<Item = (&'a str, &'a Where, &'a Node)> {
        self.entries
            .iter()
            .map(|(key, at, node)| (key.as_str(), at, node))
    }

    /// Reports every key that was not asked for.
    pub fn finish(self) {
        let asked = self.asked.borrow();
        for (key, at, _) in self.entries {
            if asked.iter().any(|a| a == key) {
                continue;
            }
            let hint = suggest(key, asked.iter().copied())
                .unwrap_or_else(|| format!("known here: {}", asked.join(", ")));
            self.faults
                .error_hint(at, format!("unknown key `{key}`"), hint);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Fault;

    #[test]
    fn all_mistakes_are_told_at_once_with_their_places() {
        let faults = Faults::new();
        let text = "name = 3\nport = \"x\"\nlimts = 1\n".to_owned();
        let node = Node::parse("t.toml", text, &faults).expect("valid TOML");
        let fields = node.fields(&faults).expect("a table");
        assert_eq!(fields.need_text("name"), None);
        assert_eq!(fields.maybe("port").and_then(|n| n.integer(&faults)), None);
        assert!(fields.maybe("limits").is_none());
        assert!(fields.need("home").is_none());
        fields.finish();
        let told: Vec<String> = faults.into_sorted().iter().map(|f| f.summary()).collect();
        assert_eq!(
            told,
            [
                "t.toml:1:1: missing key `home`",
                "t.toml:1:8: expected a string, found a whole number (put it in quotes)",
                "t.toml:2:8: expected a whole number, found a string",
                "t.toml:3:1: unknown key `limts` (did you mean `limits`?)",
            ]
        );
    }

    #[test]
    fn broken_syntax_gives_no_half_file() {
        let faults = Faults::new();
        assert!(Node::parse("t.toml", "a = 1\nb = = 2\na = 3\n".into(), &faults).is_none());
        assert!(faults.has_errors());
    }

    #[test]
    fn a_day_that_is_none_hides_no_other_mistake_and_is_told_once() {
        let faults = Faults::new();
        let text = "from = 2026-13-01\nuntil = 2026-02-30\nage = \"13\"\nsure = \"yes\"\n";
        let node = Node::parse("t.toml", text.to_owned(), &faults).expect("the rest is whole");
        let fields = node.fields(&faults).expect("a table");
        for key in ["from", "until"] {
            assert_eq!(fields.need(key).and_then(|n| n.date(&faults)), None);
        }
        fields.maybe("age").and_then(|n| n.integer(&faults));
        fields.maybe("sure").and_then(|n| n.boolean(&faults));
        fields.finish();
        let told: Vec<String> = faults.into_sorted().iter().map(Fault::summary).collect();
        let day = "year, month and day, each as the calendar has it";
        assert_eq!(told.len(), 4, "{told:#?}");
        assert!(told[0].starts_with("t.toml:1:8: invalid date"), "{told:#?}");
        assert!(told[0].ends_with(&format!("({day})")), "{told:#?}");
        assert!(told[1].starts_with("t.toml:2:9: "), "{told:#?}");
        assert!(told[1].ends_with(&format!("({day})")), "{told:#?}");
        assert_eq!(
            told[2..],
            [
                "t.toml:3:7: expected a whole number, found a string (write it without quotes: `13`)",
                "t.toml:4:8: expected true or false, found a string (write `true` or `false`, without quotes)",
            ]
        );
        // Beside another syntax error nothing of the file counts.
        let faults = Faults::new();
        assert!(Node::parse("t.toml", "a = 2026-13-01\nb = = 2".into(), &faults).is_none());
        assert!(faults.into_sorted().len() > 1);
    }

    #[test]
    fn dates_are_days() {
        for (text, day) in [
            ("2026-02-28", true),
            ("2026-02-30", false),
            ("2026-02-28T10:00:00Z", false),
        ] {
            let faults = Faults::new();
            let read = Node::parse("t.toml", format!("d = {text}"), &faults)
                .and_then(|n| n.fields(&faults)?.need("d")?.date(&faults));
            assert_eq!((read.is_some(), faults.has_errors()), (day, !day), "{text}");
        }
    }
}
