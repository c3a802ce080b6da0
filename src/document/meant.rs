//! What lawyers paste into a file: days as their letters have them, quotes as their word processor does.

use std::ops::Range;

use jiff::civil::Date;

/// How what stands at a place where a TOML file cannot be read is written, if it is one of these.
pub(super) fn instead(source: &str, span: &Range<usize>) -> Option<String> {
    let before = source.get(..span.start)?;
    let start = before.rfind('\n').map_or(0, |i| i + 1);
    let line = source.get(start..)?.lines().next()?;
    // What stands in straight quotes is sound.
    let outside = || line.split('"').step_by(2);
    if outside()
        .any(|part| part.contains(['\u{201c}', '\u{201d}', '\u{201e}', '\u{2018}', '\u{2019}']))
    {
        return Some("write straight quotes: \"…\"".to_owned());
    }
    outside()
        .flat_map(|part| part.split(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | '/')))
        .find_map(day)
}

/// How a day is written that stands there as letters have it.
pub(super) fn day(text: &str) -> Option<String> {
    let text = text.trim();
    let separator = text.chars().find(|c| matches!(c, '.' | '/'))?;
    let parts: Vec<&str> = text.split(separator).collect();
    let [a, b, c] = parts[..] else {
        return None;
    };
    let number = |text: &str| {
        let digits = text.bytes().all(|b| b.is_ascii_digit()) && text.len() <= 4;
        text.parse::<i16>().ok().filter(|_| digits)
    };
    let date = |year: i16, month: i16, day: i16| {
        let (month, day) = (i8::try_from(month).ok()?, i8::try_from(day).ok()?);
        Date::new(year, month, day).ok()
    };
    let (first, second, third) = (number(a)?, number(b)?, number(c)?);
    let (is_year_first, is_year_last) = (a.len() == 4, c.len() == 4);
    match (is_year_first, is_year_last) {
        (true, false) => date(first, second, third).map(|d| format!("write {d}")),
        (false, true) => {
            let european = date(third, second, first);
            // With slashes Americans put the month first.
            let american = date(third, first, second).filter(|_| separator == '/');
            match (european, american) {
                (Some(one), Some(other)) if one != other => Some(format!(
                    "write {one}, or {other} where the month stood first"
                )),
                (Some(one), _) | (None, Some(one)) => Some(format!("write {one}")),
                (None, None) => None,
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::document::{Fault, Faults, Node};

    /// Hints to a file of one line, whose key is read as a day.
    fn hints(line: &str) -> String {
        let faults = Faults::new();
        let node = Node::parse("o.toml", format!("a = 1\n{line}\nb = 2\n"), &faults);
        if let Some(fields) = node.as_ref().and_then(|n| n.fields(&faults)) {
            fields.maybe("from").and_then(|n| n.date(&faults));
        }
        let all = faults.into_sorted();
        assert!(!all.is_empty(), "{line}");
        let told: Vec<String> = all.iter().map(|f: &Fault| f.render(false)).collect();
        told.join("\n")
    }

    #[test]
    fn days_of_letters_are_told_as_they_are_written_here() {
        for (line, hint) in [
            ("from = 10.01.2026", "write 2026-01-10"),
            ("from = \"10.1.2026\"", "write 2026-01-10"),
            (
                "from = 10/01/2026",
                "write 2026-01-10, or 2026-10-01 where the month stood first",
            ),
            ("from = \"31/01/2026\"", "write 2026-01-31"),
            ("from = \"01/31/2026\"", "write 2026-01-31"),
            ("from = 2026/01/10", "write 2026-01-10"),
            (
                "valid = { from = 10.01.2026, until = 2027-01-01 }",
                "write 2026-01-10",
            ),
        ] {
            let told = hints(line);
            assert!(told.contains(hint), "{line}: {told}");
        }
        let other = hints("from = \"soon\"");
        assert!(!other.contains("write 2"), "{other}");
    }

    #[test]
    fn curly_quotes_are_told() {
        for line in [
            "id = \u{201c}eu-sg-2024\u{201d}",
            "id = \u{201e}eu-sg-2024\u{201c}",
            "importer = [\u{201c}acme-sg\u{201d}]",
            "id = \u{2018}eu-sg-2024\u{2019}",
        ] {
            let told = hints(line);
            assert!(told.contains("write straight quotes"), "{line}: {told}");
        }
        let inside = hints("id = \"the \u{201c}one\u{201d}\" x");
        assert!(!inside.contains("straight quotes"), "{inside}");
    }
}
