//! Two entries of a file that say different things of the same flows on the same days. The order
//! of permits is a preference and no contradiction; these are what order cannot mean.

use std::collections::BTreeMap;

use jiff::civil::Date;

use super::scope::{Days, asks_no_more, common, in_force, is_absolute, same_ends};
use crate::{
    document::{Faults, Where},
    domain::{Country, Operation},
    policy::{Checked, Effect, Law, Retention, Rule, instrument::Assessment, read::operation_bit},
};

/// The id of a rule that nobody wrote: see `prove::files`.
const HYPOTHESIS: &str = "hypothetical-prohibition";

/// `all`: the law's rules, without those that could not be read.
pub fn rules(law: &Law, all: &[&Rule], checked: &Checked, days: &Days, faults: &Faults) {
    for (i, a) in all.iter().copied().enumerate() {
        for b in all.iter().copied().skip(i + 1) {
            // `policy prove` asks what one prohibition more would do; it is meant to contradict.
            let supposed = |r: &Rule| *r.id == *HYPOTHESIS;
            if supposed(a) || supposed(b) || !in_force(a) || !in_force(b) || a.when != b.when {
                continue;
            }
            let Some(both) = common(&a.interval, &b.interval) else {
                continue;
            };
            let Some(what) = conflict(a, b) else {
                continue;
            };
            let days = days.during(&both);
            if !same_ends(a, b, checked, &days) {
                continue;
            }
            let since = both
                .from
                .map_or(String::new(), |d| format!(", from {d} on"));
            faults.error_between(
                b.source.place("id"),
                format!("rules `{}` and `{}` contradict each other{since}: {what}", a.id, b.id),
                (a.source.place("id"), "the other rule"),
                "both are about the same flows: drop one, end one with `until`, or say what tells their flows apart",
            );
        }
    }
    children(law, checked, faults);
    young(law, faults);
}

/// What two rules with the same conditions say differently.
fn conflict(a: &Rule, b: &Rule) -> Option<String> {
    let overlap = a.operations & b.operations != 0 && a.flows & b.flows != 0;
    match (a.effect, b.effect) {
        (Effect::Localise, Effect::Localise) => {
            let replicate = operation_bit(Operation::Replicate);
            let both = a.operations & b.operations & replicate != 0 && a.flows & b.flows != 0;
            (both && a.unless == b.unless && a.copies != b.copies)
                .then(|| "they let copies leave at different times (`copies`)".to_owned())
        }
        (Effect::Permit, Effect::Permit) => {
            let equal = a.operations == b.operations && a.flows == b.flows;
            if !equal || !asks_no_more(a, b) || !asks_no_more(b, a) {
                return None;
            }
            if a.mechanism != b.mechanism {
                return Some("they permit it on the same conditions by different mechanisms, so that the second never counts".to_owned());
            }
            (a.duties != b.duties).then(|| {
                "they permit it on the same conditions with different duties, so that those of the second are never said".to_owned()
            })
        }
        (Effect::Forbid, Effect::Permit) | (Effect::Permit, Effect::Forbid) => {
            let (forbid, permit) = if a.effect == Effect::Forbid {
                (a, b)
            } else {
                (b, a)
            };
            let whole = forbid.operations & permit.operations == permit.operations
                && forbid.flows & permit.flows == permit.flows;
            (whole && is_absolute(forbid)).then(|| {
                format!(
                    "`{}` permits what `{}` forbids without exception; a prohibition goes first",
                    permit.id, forbid.id
                )
            })
        }
        (Effect::Forbid, Effect::Forbid) => {
            (overlap && is_absolute(a) != is_absolute(b)).then(|| {
                "one has exceptions and the other none, so that the exceptions never help"
                    .to_owned()
            })
        }
        _ => None,
    }
}

/// Two ages for one country on one day. A stricter one under review may stand above one that is sure.
fn children(law: &Law, checked: &Checked, faults: &Faults) {
    let groups = &checked.vocabulary.groups;
    // Of an age that was misread nothing follows, as of a rule.
    let read: Vec<_> = law
        .children
        .iter()
        .filter(|c| !faults.concern(&c.source))
        .collect();
    for (i, a) in read.iter().enumerate() {
        for b in read.iter().skip(i + 1) {
            let (low, high) = if a.age < b.age { (a, b) } else { (b, a) };
            let leans = high.review && !low.review;
            if a.age == b.age || leans || !a.interval.overlaps(&b.interval) {
                continue;
            }
            let day = a.interval.from.max(b.interval.from).unwrap_or(Date::MIN);
            let (of_a, of_b) = (a.of.on(day, groups), b.of.on(day, groups));
            let both = Country::all().find(|c| of_a.touches(*c) && of_b.touches(*c));
            if let Some(country) = both {
                faults.error_between(
                    &b.at,
                    format!(
                        "`{}` and `{}` both hold for {country} on {day}, with different ages",
                        a.id, b.id
                    ),
                    (&a.at, "the other age"),
                    "name the country in one of them only, or let their days not overlap",
                );
            }
        }
    }
}

/// Two ages below which everything is sensitive.
fn young(law: &Law, faults: &Faults) {
    let read: Vec<_> = law
        .sensitive
        .iter()
        .filter(|s| !faults.concern(&s.source))
        .collect();
    for (i, a) in read.iter().enumerate() {
        for b in read.iter().skip(i + 1) {
            if let (Some(x), Some(y)) = (a.below_age, b.below_age)
                && x != y
                && a.interval.overlaps(&b.interval)
            {
                faults.error_between(
                    &b.at,
                    format!("data of people below {x} and below {y} is called sensitive on the same days"),
                    (&a.at, "the other age"),
                    "keep one `below_age`, or let their days not overlap",
                );
            }
        }
    }
}

/// Two terms for the same data.
pub fn retention(rules: &[Retention], faults: &Faults) {
    let laws = |r: &Retention| {
        let mut names: Vec<_> = r.laws.iter().map(|(l, _)| l.clone()).collect();
        names.sort();
        names.dedup();
        names
    };
    // Months have no length of their own: terms are compared by where they end.
    let end = |r: &Retention| jiff::civil::date(2001, 1, 1).checked_add(r.keep).ok();
    for (i, a) in rules.iter().enumerate() {
        for b in rules.iter().skip(i + 1) {
            // A term that could not be read is a mistake of its own.
            if a.misread || b.misread {
                continue;
            }
            if a.categories != b.categories || laws(a) != laws(b) || end(a) == end(b) {
                continue;
            }
            let message = match (a.least, b.least) {
                (true, false) if end(a) <= end(b) => continue,
                (false, true) if end(b) <= end(a) => continue,
                (true, false) | (false, true) => format!(
                    "`{}` and `{}` ask to keep the same data longer than it may be kept",
                    a.id, b.id
                ),
                _ => format!("`{}` and `{}` give the same data two terms", a.id, b.id),
            };
            faults.error_between(
                &b.at,
                message,
                (&a.at, "the other term"),
                "drop one, or say by `laws` or `categories` what tells their data apart",
            );
        }
    }
}

/// One assessment, told twice and differently. The same one may stand in several instruments.
pub fn assessments(checked: &Checked, faults: &Faults) {
    let org = &checked.organisation;
    let inner = org.instruments.iter().filter_map(|i| i.assessment.as_ref());
    let mut seen: BTreeMap<&str, &Assessment> = BTreeMap::new();
    let all = org.assessments.iter().chain(inner);
    for a in all.filter(|a| !faults.concern(&a.source)) {
        let first = *seen.entry(&a.id).or_insert(a);
        let same = first.kind == a.kind && first.valid == a.valid && first.outcome == a.outcome;
        if !same {
            faults.error_between(
                a.source.place("id"),
                format!(
                    "assessment `{}` stands twice, and differs in kind, days or outcome",
                    a.id
                ),
                (first.source.place("id"), "here first"),
                "tell it once as it is, or give the later one an id of its own",
            );
        }
    }
}

/// An attribute that one entity has twice on the same day.
pub fn attributes(checked: &Checked, faults: &Faults) {
    for (_, entity) in checked.entities() {
        let all: Vec<_> = entity
            .attributes
            .iter()
            .zip(&entity.attributes_at)
            .filter(|(_, at)| !faults.stand_in(at))
            .collect();
        for (i, ((a, of), first)) in all.iter().enumerate() {
            let later = all.iter().skip(i + 1);
            for ((_, _), at) in later.filter(|((b, also), _)| a == b && of.overlaps(also)) {
                let name = checked.vocabulary.attribute_name(*a);
                twice(at, name, &entity.id, first, faults);
            }
        }
    }
}

fn twice(at: &Where, name: &str, entity: &str, first: &Where, faults: &Faults) {
    faults.error_between(
        at,
        format!("entity `{entity}` has the attribute `{name}` twice on the same days"),
        (first, "here first"),
        "keep the one whose days are right",
    );
}

#[cfg(test)]
mod tests {
    use super::super::tests::{accepting, rule, summaries};

    /// What an age, a promise, an attribute or a term says is not known where a part of it was misread.
    #[test]
    fn of_other_entries_that_were_misread_nothing_follows_either() {
        let child =
            |id: &str, age: u8, more: &str| rule("child", id, &format!("age = {age}\n{more}"));
        for wrong in [
            "from = 2023-02-30",
            "until = 2023-12-32",
            "from = \"soon\"",
            "form = 2023-01-01",
        ] {
            let law = child("one", 13, "until = 2022-12-31") + &child("two", 15, wrong);
            let told = summaries(&law, "");
            assert_eq!(told.lines().count(), 1, "{wrong}\n{told}");
        }
        let told = summaries(&(child("one", 13, "") + &child("two", 15, "")), "");
        assert!(told.contains("both hold for"), "{told}");
        let young = |age: u8, more: &str| {
            format!("[[sensitive]]\nbelow_age = {age}\ncitation = \"c\"\n{more}\n")
        };
        let told = summaries(
            &(young(14, "until = 2022-12-31") + &young(16, "from = 2023-02-30")),
            "",
        );
        assert_eq!(told.lines().count(), 1, "{told}");
        for organisation in [
            "[entities.c]\ncountry = \"US\"\nattributes = [{ name = \"gdpr-art3-2\", until = 2022-12-31 }, { name = \"gdpr-art3-2\", from = 2023-02-30 }]",
            "[[promises]]\nid = \"p\"\nstore_only_n = [\"SG\"]",
            "[[promises]]\nid = \"p\"\nstore_only_in = [\"SG\"]\n[[promises]]\nid = \"q\"\nsubjets = [\"FR\"]\nstore_only_in = [\"FR\"]",
            "[[retention]]\nid = \"r\"\ncategories = [\"user\"]\nkeep = \"3 years\"\n[[retention]]\nid = \"s\"\ncategories = [\"user\"]\nkeep = \"2 years\"\nleats = true",
        ] {
            let told = summaries("", organisation);
            assert_eq!(told.lines().count(), 1, "{organisation}\n{told}");
        }
    }

    /// An unsure age leans towards the stricter one, and may be accepted by name like a prohibition.
    #[test]
    fn an_unsure_age_stands_above_a_sure_one() {
        let child =
            |id: &str, age: u8, more: &str| rule("child", id, &format!("age = {age}\n{more}"));
        let unsure = "confidence = \"medium\"\nreview = true";
        let law = child("floor", 13, "") + &child("unsure", 16, unsure);
        assert_eq!(summaries(&law, ""), "");
        // The other way round the unsure one would say nothing.
        let told = summaries(&(child("floor", 16, "") + &child("unsure", 13, unsure)), "");
        assert!(told.contains("both hold for"), "{told}");
        let told = summaries(&child("unsure", 16, "confidence = \"medium\""), "");
        assert!(
            told.contains("rule `unsure` is not sure, and does not say whether it wants review"),
            "{told}"
        );
        let told = accepting("unsure", &law);
        assert_eq!(told, "");
        let told = accepting("floor", &law);
        assert!(told.contains("rule `floor` needs no acceptance"), "{told}");
        let told = accepting("unsre", &law);
        assert!(
            told.contains("unknown rule `unsre` (did you mean `unsure`?)"),
            "{told}"
        );
    }
}
