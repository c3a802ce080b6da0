//! The demo's organisation, moved to the day on which it starts.

use jiff::{ToSpan, civil::Date};

/// Moves the dates of lines that end in `# demo: today - 90 days` (or `+`) to that day.
///
/// A line without such a mark stays as it is, and so does one whose mark makes no sense.
pub fn freshen(text: &str, today: Date) -> String {
    let mut out: String = text
        .lines()
        .map(|line| moved(line, today).unwrap_or_else(|| line.to_owned()) + "\n")
        .collect();
    if !text.ends_with('\n') {
        out.pop();
    }
    out
}

fn moved(line: &str, today: Date) -> Option<String> {
    let (value, mark) = line.split_once("# demo: today ")?;
    let mut words = mark.split_whitespace();
    let sign = words.next()?;
    let days: i64 = words.next()?.parse().ok()?;
    let days = if sign == "-" { -days } else { days };
    let day = today.checked_add(days.days()).ok()?;
    let (key, _) = value.split_once('=')?;
    Some(format!("{key}= {day}  # demo: today {mark}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marked_dates_move_and_nothing_else() {
        let text = "a = 2020-01-01\nfrom = 2020-01-01 # demo: today - 90 days\nb = 1 # demo: x\n";
        let today: Date = "2026-11-21".parse().unwrap();
        assert_eq!(
            freshen(text, today),
            "a = 2020-01-01\nfrom = 2026-08-23  # demo: today - 90 days\nb = 1 # demo: x\n"
        );
    }
}
