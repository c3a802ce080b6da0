//! Promises that together, or with themselves, leave nothing that could be done; promises that
//! bind nobody.

use jiff::civil::Date;

use super::scope::{Days, first_common, samples};
use crate::{
    document::{Faults, suggest},
    domain::CategorySet,
    policy::{Checked, Interval, PlaceSet, Promise, places::PlaceExpr, vocabulary::Groups},
};

/// Recipients that a promise names must be there.
pub fn recipients(checked: &Checked, faults: &Faults) {
    let org = &checked.organisation;
    for promise in &org.promises {
        for name in promise.recipients_only.iter().flatten() {
            if org.recipients.iter().any(|r| r.id == *name) {
                continue;
            }
            let hint = suggest(name, org.recipients.iter().map(|r| r.id.as_ref()))
                .unwrap_or_else(|| "recipients stand under [[recipients]]".to_owned());
            let at = promise.source_node.place("recipients_only");
            faults.error_hint(at, format!("unknown recipient `{name}`"), hint);
        }
    }
}

/// Pairs of promises (and single ones) that no place can keep.
pub fn contradictions(checked: &Checked, days: &Days, faults: &Faults) {
    let promises = &checked.organisation.promises;
    let Some(today) = days.during(&Interval::ALWAYS).pop() else {
        return;
    };
    let groups = &checked.vocabulary.groups;
    let promises: Vec<&Promise> = promises
        .iter()
        .filter(|p| !faults.concern(&p.source_node))
        .collect();
    for (i, a) in promises.iter().copied().enumerate() {
        for b in promises.iter().copied().skip(i) {
            // What is only tried out refuses nothing; by itself it must make sense all the same.
            let tried = (a.observe || b.observe) && !std::ptr::eq(a, b);
            if tried || !meet(a, b, checked.personal(), today, groups) {
                continue;
            }
            for (what, keys) in nowhere(a, b, today, groups) {
                tell(a, b, what, keys, faults);
            }
        }
    }
}

fn tell(a: &Promise, b: &Promise, what: &str, (key, other): (&str, &str), faults: &Faults) {
    let hint = "no flow could keep both: widen one, or say by `subjects` or `categories` what tells them apart";
    if std::ptr::eq(a, b) {
        let message = format!("promise `{}` leaves no {what}", a.id);
        faults.error_between(
            b.source_node.place(other),
            message,
            (a.source_node.place(key), "with this"),
            hint,
        );
        return;
    }
    let message = format!(
        "promises `{}` and `{}` together leave no {what}",
        a.id, b.id
    );
    faults.error_between(
        b.source_node.place(other),
        message,
        (a.source_node.place(key), "with this"),
        hint,
    );
}

/// Whether some record of some person is under both.
fn meet(a: &Promise, b: &Promise, personal: CategorySet, day: Date, groups: &Groups) -> bool {
    let both = a.categories.intersection(b.categories);
    let people = first_common(&a.subjects.on(day, groups), &b.subjects.on(day, groups));
    both.intersects(personal) && people.is_some()
}

/// Everything that two promises leave no place or no recipient for, and the key of each that does
/// so: one of `a`, one of `b`.
fn nowhere(
    a: &Promise,
    b: &Promise,
    day: Date,
    groups: &Groups,
) -> Vec<(&'static str, (&'static str, &'static str))> {
    let mut found = Vec::new();
    if let (Some(x), Some(y)) = (&a.recipients_only, &b.recipients_only)
        && !x.is_empty()
        && !y.is_empty()
        && !x.iter().any(|r| y.contains(r))
    {
        let key = "recipients_only";
        found.push(("recipient to disclose to", (key, key)));
    }
    for (what, key) in [
        ("place to store in", "store_only_in"),
        ("place to read from", "read_only_from"),
        ("place to disclose to", "disclose_only_to"),
    ] {
        found.extend(at_odds(a, b, key, day, groups).map(|keys| (what, keys)));
    }
    found
}

/// The keys by which two promises leave no place for what `key` is about. One pair of them is
/// enough: what is wrong is told once.
fn at_odds(
    a: &Promise,
    b: &Promise,
    key: &'static str,
    day: Date,
    groups: &Groups,
) -> Option<(&'static str, &'static str)> {
    let set = |e: &Option<PlaceExpr>| e.as_ref().map(|e| e.on(day, groups));
    let (only_a, only_b) = (set(only(a, key)), set(only(b, key)));
    if let (Some(x), Some(y)) = (&only_a, &only_b)
        && !std::ptr::eq(a, b)
        && !x.is_empty()
        && !y.is_empty()
        && first_common(x, y).is_none()
    {
        return Some((key, key));
    }
    for (places, never, keys) in [
        (&only_a, set(&b.never_to), (key, "never_to")),
        (&only_b, set(&a.never_to), ("never_to", key)),
    ] {
        if let (Some(places), Some(never)) = (places, never)
            && !places.is_empty()
            && barred(places, &never)
        {
            return Some(keys);
        }
    }
    None
}

/// The places to which a promise keeps something, by the key that says so.
fn only<'p>(promise: &'p Promise, key: &str) -> &'p Option<PlaceExpr> {
    match key {
        "store_only_in" => &promise.store_only_in,
        "read_only_from" => &promise.read_only_from,
        _ => &promise.disclose_only_to,
    }
}

fn barred(only: &PlaceSet, never: &PlaceSet) -> bool {
    let mut places = samples(&[only, never]).into_iter();
    !places.any(|p| only.contains(p) && !never.contains(p))
}

/// Promises that bind nobody or nothing, or that only forbid everything.
pub fn idle(checked: &Checked, day: Date, faults: &Faults) {
    let groups = &checked.vocabulary.groups;
    for p in &checked.organisation.promises {
        let tell = |key: &str, text: String, hint: &str| {
            let message = format!("promise `{}` {text}", p.id);
            faults.warning(p.source_node.place(key), message, Some(hint.to_owned()));
        };
        if p.subjects.on(day, groups).is_empty() {
            tell(
                "subjects",
                "concerns nobody".to_owned(),
                "name the countries whose people it was given to, or leave `subjects` out for everybody",
            );
        } else if !p.categories.intersects(checked.personal()) {
            tell(
                "categories",
                "concerns no personal data".to_owned(),
                "name the categories that it is about, or leave `categories` out for all",
            );
        }
        for (key, places) in [
            ("store_only_in", &p.store_only_in),
            ("read_only_from", &p.read_only_from),
            ("disclose_only_to", &p.disclose_only_to),
        ] {
            if places
                .as_ref()
                .is_some_and(|e| e.on(day, groups).is_empty())
            {
                tell(
                    key,
                    format!("names no place in `{key}`: all of it is refused"),
                    "name the places where it may be",
                );
            }
        }
        if p.never_to
            .as_ref()
            .is_some_and(|e| e.on(day, groups).is_empty())
        {
            tell(
                "never_to",
                "names no place in `never_to`: it refuses nothing".to_owned(),
                "name the places where it must not go",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::summaries;

    fn pair(p: &str, q: &str) -> String {
        format!("[[promises]]\nid = \"p\"\n{p}\n[[promises]]\nid = \"q\"\n{q}\n")
    }

    #[test]
    fn promises_that_no_place_can_keep_are_errors() {
        let with = |a: &str, b: &str| summaries("", &pair(a, b));
        let never = with(
            "subjects = [\"IN\"]\nstore_only_in = [\"IN\"]",
            "never_to = [\"IN\"]",
        );
        assert!(
            never.contains("`p` and `q` together leave no place to store in"),
            "{never}"
        );
        assert!(
            never.contains("o.toml:11:12") && never.contains("o.toml:8:17"),
            "{never}"
        );
        let apart = with("store_only_in = [\"EU27\"]", "store_only_in = [\"SG\"]");
        assert!(
            apart.contains("together leave no place to store in"),
            "{apart}"
        );
        // One that is only tried out refuses nothing beside the other.
        let tried = with(
            "store_only_in = [\"EU27\"]",
            "observe = true\nstore_only_in = [\"SG\"]",
        );
        assert!(!tried.contains("together"), "{tried}");
        let own = with(
            "store_only_in = [\"FR\"]\nnever_to = [\"EEA\"]",
            "never_to = [\"US\"]",
        );
        assert!(
            own.contains("promise `p` leaves no place to store in"),
            "{own}"
        );
        for (a, b) in [
            (
                "subjects = [\"IN\"]\nstore_only_in = [\"IN\"]",
                "subjects = [\"SG\"]\nnever_to = [\"IN\"]",
            ),
            (
                "store_only_in = [\"EU27\"]",
                "store_only_in = [\"FR\"]\nnever_to = [\"DE\"]",
            ),
            (
                "categories = [\"user.name\"]\nstore_only_in = [\"IN\"]",
                "categories = [\"user.health\"]\nnever_to = [\"IN\"]",
            ),
            ("store_only_in = [\"IN\"]", "disclose_only_to = [\"SG\"]"),
        ] {
            assert_eq!(with(a, b), "");
        }
        let idle = with(
            "subjects = []\nnever_to = [\"US\"]",
            "store_only_in = []\nrecipients_only = [\"maps\"]",
        );
        assert!(idle.contains("unknown recipient `maps`"), "{idle}");
        let idle = with("subjects = []\nnever_to = [\"US\"]", "never_to = []");
        assert!(
            idle.contains("o.toml:7:12: promise `p` concerns nobody"),
            "{idle}"
        );
        assert!(
            idle.contains("promise `q` names no place in `never_to`"),
            "{idle}"
        );
    }

    #[test]
    fn promises_that_name_other_recipients_leave_none() {
        let entries: String = ["maps", "post"]
            .iter()
            .map(|id| {
                format!("[[recipients]]\nid = \"{id}\"\nentity = \"b\"\ncategories = [\"user\"]\n")
            })
            .collect();
        let with = |others: &str| {
            let first = "recipients_only = [\"maps\"]";
            summaries("", &format!("{}{entries}", pair(first, others)))
        };
        let told = with("recipients_only = [\"post\"]");
        let words = "o.toml:10:19: promises `p` and `q` together leave no recipient to disclose to";
        assert!(
            told.starts_with(words) && told.lines().count() == 1,
            "{told}"
        );
        for sound in [
            "recipients_only = [\"post\", \"maps\"]",
            "subjects = []\nrecipients_only = [\"post\"]",
        ] {
            assert!(!with(sound).contains("to disclose to"), "{sound}");
        }
    }

    /// Of the stores once, though two keys of theirs say it.
    #[test]
    fn of_two_promises_everything_is_told_that_they_leave_none_of() {
        let told = summaries(
            "",
            &pair(
                "store_only_in = [\"FR\"]\ndisclose_only_to = [\"IN\"]\nnever_to = [\"SG\"]",
                "store_only_in = [\"SG\"]\nread_only_from = [\"DE\"]\nnever_to = [\"IN\", \"FR\"]",
            ),
        );
        let places: Vec<&str> = told
            .lines()
            .filter_map(|line| line.split_once(" (")?.0.split_once(": "))
            .map(|(_, message)| message)
            .collect();
        let both = "promises `p` and `q` together leave no";
        assert_eq!(
            places,
            [
                format!("{both} place to store in"),
                format!("{both} place to disclose to")
            ],
            "{told}"
        );
    }
}
