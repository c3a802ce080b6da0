//! What the organisation has and no rule asks for: instruments, assessments, attributes,
//! acceptances.

use jiff::civil::Date;

use super::scope::{Days, common, ends, first_common};
use crate::{
    document::{Faults, Where, suggest},
    domain::CategoryId,
    policy::{
        Assessment, AssessmentKind, AssessmentOutcome, AttributeId, AttributeSet, Checked, Effect,
        EntityId, Instrument, Interval, Law, PlaceSet, Rule, Shape,
        condition::Need,
        days::{filing_edges, filing_holds},
    },
};

/// Instruments that no permit of any law can rest on, with the first reason that leaves none.
pub fn instruments(checked: &Checked, days: &Days, faults: &Faults) {
    for instrument in &checked.organisation.instruments {
        if let Some((key, reason, hint)) = unusable(instrument, checked, days) {
            let message = format!(
                "instrument `{}` can be used by no rule: {reason}",
                instrument.id
            );
            faults.warning(instrument.source.place(key), message, hint);
        }
    }
}

type Why = (&'static str, String, Option<String>);

fn unusable(i: &Instrument, checked: &Checked, days: &Days) -> Option<Why> {
    let key = checked.mechanism_key(i.mechanism);
    let permits = || {
        let rules = checked
            .laws
            .iter()
            .flat_map(|l| l.rules.iter().map(move |r| (l, r)));
        rules.filter(|(_, r)| r.effect == Effect::Permit)
    };
    let wants = |r: &Rule| r.requires.iter().flatten().any(|n| *n == Need::Instrument);
    let mut rules: Vec<(&Law, &Rule)> = permits()
        .filter(|(_, r)| r.instruments_of == Some(i.mechanism) && wants(r))
        .collect();
    if rules.is_empty() {
        let reason = if permits().any(|(_, r)| r.mechanism == Some(i.mechanism)) {
            format!("`{key}` needs no instrument")
        } else {
            format!("no law of this policy knows `{key}`")
        };
        let papers = permits().filter(|(_, r)| wants(r));
        let known = papers
            .filter_map(|(_, r)| r.instruments_of)
            .map(|m| checked.mechanism_key(m));
        return Some(("mechanism", reason, suggest(key, known)));
    }
    let editions: Vec<String> = {
        let mut all: Vec<_> = rules
            .iter()
            .flat_map(|(_, r)| r.editions.iter().cloned())
            .collect();
        all.sort();
        all.dedup();
        all
    };
    let edition = i.edition.as_deref();
    if !keep(&mut rules, |_, r| {
        r.editions.is_empty() || edition.is_some_and(|e| r.editions.iter().any(|x| x == e))
    }) {
        let reason = match edition {
            Some(e) => format!("none accepts the text `{e}`"),
            None => "it does not say which text it is (`edition`)".to_owned(),
        };
        // Numbers that look alike are other texts, repealed ones among them: none is proposed.
        let hint = format!("texts that rules accept: {}", editions.join(", "));
        return Some(("edition", reason, Some(hint)));
    }
    let last = |rules: &[(&Law, &Rule)]| {
        rules
            .iter()
            .map(|(_, r)| r.id.to_string())
            .collect::<Vec<_>>()
            .join("`, `")
    };
    let names = last(&rules);
    if !keep(&mut rules, |_, r| common(&r.interval, &i.valid).is_some()) {
        return Some((
            "valid",
            format!("it is not in force on any day of `{names}`"),
            None,
        ));
    }
    let names = last(&rules);
    let agreed = i.agreed();
    if !keep(&mut rules, |_, r| {
        r.concluded == Interval::ALWAYS || agreed.is_some_and(|d| r.concluded.contains(d))
    }) {
        let at = if i.concluded.is_some() {
            "concluded"
        } else {
            "valid"
        };
        return Some((
            at,
            format!("`{names}` accepts no text that was concluded then"),
            None,
        ));
    }
    if !keep(&mut rules, |_, r| {
        r.modules == 0 || i.module.is_none_or(|m| r.modules & (1 << m) != 0)
    }) {
        return Some(("module", format!("`{names}` has no such module"), None));
    }
    of_flow(i, rules, checked, days)
}

/// What of the rules that are left no flow under the instrument meets.
fn of_flow<'p>(
    i: &Instrument,
    mut rules: Vec<(&'p Law, &'p Rule)>,
    checked: &'p Checked,
    days: &Days,
) -> Option<Why> {
    let names = |rules: &[(&Law, &Rule)]| {
        rules
            .iter()
            .map(|(_, r)| r.id.to_string())
            .collect::<Vec<_>>()
            .join("`, `")
    };
    if !keep(&mut rules, |l, r| reaches(i, l, r, checked, days)) {
        let reason = "none concerns a transfer to its countries (of its importers, where `countries` does not stand)";
        let hint = "what stays within the territory of a law, or goes where every law lets it, needs no instrument";
        return Some(("countries", reason.to_owned(), Some(hint.to_owned())));
    }
    let personal = i.categories.intersection(checked.personal());
    if personal.is_empty() {
        return Some((
            "categories",
            "its categories hold nothing personal".to_owned(),
            None,
        ));
    }
    let before = names(&rules);
    if !keep(&mut rules, |_, r| {
        let stated = |c: &CategoryId| personal.contains(*c) || !checked.personal().contains(*c);
        checked.vocabulary.ids().filter(stated).any(|c| {
            let possible = checked.vocabulary.below(c);
            r.when.categories.is_none_or(|w| w.intersects(possible))
                && !r.when.without.intersects(possible)
        })
    }) {
        return Some((
            "categories",
            format!("`{before}` concerns none of its categories"),
            None,
        ));
    }
    if i.purposes.as_ref().is_some_and(Vec::is_empty) {
        return Some((
            "purposes",
            "it is for no purpose".to_owned(),
            Some("leave `purposes` out for all".to_owned()),
        ));
    }
    if !keep(&mut rules, |_, r| {
        let mut own = i.purposes.iter().flatten();
        i.purposes.is_none()
            || own.any(|p| {
                r.when.purposes.as_ref().is_none_or(|w| w.contains(p))
                    && !r.when.purposes_without.contains(p)
            })
    }) {
        return Some((
            "purposes",
            format!("`{before}` concerns none of its purposes"),
            None,
        ));
    }
    if !keep(&mut rules, |_, r| {
        let exporter = fits(
            &i.exporters,
            r.when.exporter,
            r.when.exporter_without,
            &needs(r, true),
            checked,
        );
        exporter
            && fits(
                &i.importers,
                r.when.importer,
                r.when.importer_without,
                &needs(r, false),
                checked,
            )
    }) {
        let reason = format!(
            "no exporter and importer of it have the attributes that `{before}` asks for, or lack those that it excludes"
        );
        return Some(("importer", reason, None));
    }
    if !keep(&mut rules, |l, r| is_ever_filed(i, l, r)) {
        let reason = format!("it is on no day filed as `{before}` asks (`requires`)");
        let hint = "say `filed = { with = \"…\", date = …, state = \"filed\" }`, or \"approved\", once it is";
        return Some(("filed", reason, Some(hint.to_owned())));
    }
    let before = names(&rules);
    let kind = rules.iter().find_map(|(_, r)| kind_asked(r));
    if !keep(&mut rules, |_, r| may_be_assessed(i, r, checked, days)) {
        return kind.map(|kind| unassessed(i, kind, &before));
    }
    None
}

/// The kind of assessment that the rule leaves no way around.
fn kind_asked(rule: &Rule) -> Option<AssessmentKind> {
    rule.requires.iter().find_map(|any| match any.as_slice() {
        [Need::Assessment(kind)] => Some(*kind),
        _ => None,
    })
}

/// Whether, on some day, some flow under the instrument has the assessments that the rule asks for.
fn may_be_assessed(i: &Instrument, rule: &Rule, checked: &Checked, days: &Days) -> bool {
    let Some(both) = common(&rule.interval, &i.valid) else {
        return false;
    };
    let serves = |a: &Assessment, kind| {
        a.kind == kind
            && a.outcome != AssessmentOutcome::NotEffective
            && common(&a.valid, &both).is_some()
    };
    rule.requires.iter().all(|any| {
        any.iter().any(|need| {
            let Need::Assessment(kind) = need else {
                return true;
            };
            let own = i.assessment.as_ref();
            let mut standing = checked.organisation.assessments.iter();
            own.is_some_and(|a| serves(a, *kind))
                || standing.any(|a| serves(a, *kind) && is_about(a, i, &both, checked, days))
        })
    })
}

/// Whether an assessment that stands on its own is about some flow under the instrument.
fn is_about(
    a: &Assessment,
    i: &Instrument,
    both: &Interval,
    checked: &Checked,
    days: &Days,
) -> bool {
    let groups = &checked.vocabulary.groups;
    let personal = i.categories.intersection(checked.personal());
    let parties = a.exporters.iter().any(|e| i.exporters.contains(e))
        && a.importers
            .as_ref()
            .is_none_or(|all| all.iter().any(|e| i.importers.contains(e)));
    let purposes = match (&a.purposes, &i.purposes) {
        (Some(of), Some(own)) => own.iter().any(|p| of.contains(p)),
        (Some(of), None) => !of.is_empty(),
        (None, _) => true,
    };
    let places = || {
        let shared = common(&a.valid, both);
        let mut during = shared.iter().flat_map(|s| days.during(s));
        during
            .any(|d| first_common(&a.countries.on(d, groups), &i.countries.on(d, groups)).is_some())
    };
    parties && purposes && personal.intersects(a.categories) && places()
}

/// Why the instrument lacks the assessment that `rules` ask for.
fn unassessed(i: &Instrument, kind: AssessmentKind, rules: &str) -> Why {
    let kind = kind.as_str();
    let hint = format!(
        "an effective one of the kind `{kind}` stands in the instrument (`assessment = {{ id = …, kind = \"{kind}\", date = …, outcome = … }}`), or in `[[assessments]]`"
    );
    let (key, reason) = match &i.assessment {
        None => (
            "id",
            format!("it has no assessment, which `{rules}` asks for"),
        ),
        Some(a) if a.kind.as_str() != kind => (
            "assessment.kind",
            format!("its assessment is not of the kind that `{rules}` asks for"),
        ),
        Some(a) if a.outcome == AssessmentOutcome::NotEffective => (
            "assessment.outcome",
            "its assessment found that it is not effective".to_owned(),
        ),
        Some(_) => (
            "assessment",
            format!("its assessment is in date on no day of it and of `{rules}`"),
        ),
    };
    (key, reason, Some(hint))
}

fn keep<'p>(rules: &mut Vec<(&'p Law, &'p Rule)>, fits: impl Fn(&Law, &Rule) -> bool) -> bool {
    rules.retain(|(l, r)| fits(l, r));
    !rules.is_empty()
}

/// Whether some destination of the instrument is one of the rule, in a flow of its kind.
fn reaches(i: &Instrument, law: &Law, rule: &Rule, checked: &Checked, days: &Days) -> bool {
    let groups = &checked.vocabulary.groups;
    let Some(both) = common(&rule.interval, &i.valid) else {
        return false;
    };
    let inside =
        1u8 << Shape::Domestic as u8 | 1 << Shape::Within as u8 | 1 << Shape::Inbound as u8;
    let outside_anyhow = i.importers.iter().any(|e| {
        let entity = checked.entity_info(*e);
        entity.is_some_and(|e| e.attributes.iter().any(|(a, _)| law.outside.contains(*a)))
    });
    days.during(&both).iter().any(|day| {
        let [_, to, _] = ends(rule, *day, groups);
        let own = i.countries.on(*day, groups);
        if first_common(&own, &to).is_none() {
            return false;
        }
        let territory = law.territory.on(*day, groups);
        let both: Vec<_> = super::scope::samples(&[&own, &to, &territory])
            .into_iter()
            .filter(|p| own.contains(*p) && to.contains(*p))
            .collect();
        let within = |t: &PlaceSet, wanted: bool| both.iter().any(|p| t.contains(*p) == wanted);
        (rule.flows & inside != 0 && within(&territory, true))
            || (rule.flows & !inside != 0 && (outside_anyhow || within(&territory, false)))
    })
}

/// The attributes of one end that a rule's requirements leave no way around.
fn needs(rule: &Rule, exporter: bool) -> Vec<AttributeId> {
    let single = rule.requires.iter().filter_map(|any| match any.as_slice() {
        [Need::Exporter(a)] if exporter => Some(*a),
        [Need::Importer(a)] if !exporter => Some(*a),
        _ => None,
    });
    single.collect()
}

/// Whether one of the parties may ever have what is asked of its end.
fn fits(
    parties: &[EntityId],
    any: AttributeSet,
    none: AttributeSet,
    all: &[AttributeId],
    checked: &Checked,
) -> bool {
    let established = |id: EntityId| {
        let place = checked.entity_info(id).map(|e| e.place);
        let given = checked.vocabulary.established.iter();
        // On some day is enough; which lists were long then is not asked.
        given.filter(move |(_, of)| {
            let groups = &checked.vocabulary.groups;
            place.is_some_and(|p| {
                of.any
                    || of.places.iter().any(|o| p.within(o))
                    || of
                        .groups
                        .iter()
                        .filter_map(|g| groups.get(*g))
                        .any(|g| g.members.iter().any(|(m, _)| p.within(m)))
            })
        })
    };
    parties.iter().any(|id| {
        let own = checked
            .entity_info(*id)
            .map(|e| e.attributes.as_slice())
            .unwrap_or_default();
        let ever = |a: AttributeId| {
            own.iter().any(|(b, _)| *b == a) || established(*id).any(|(b, _)| *b == a)
        };
        let always = own
            .iter()
            .any(|(a, i)| none.contains(*a) && *i == Interval::ALWAYS);
        (any.is_empty() || any.iter().any(ever)) && !always && all.iter().all(|a| ever(*a))
    })
}

/// Whether the filing ever comes to what the rule asks.
fn is_ever_filed(i: &Instrument, law: &Law, rule: &Rule) -> bool {
    let Some(both) = common(&rule.interval, &i.valid) else {
        return false;
    };
    let changes = i.filed.iter().map(|(d, _)| *d);
    let ends = [
        both.from.unwrap_or(Date::MIN),
        both.until.unwrap_or(Date::MAX),
    ];
    let mut tried = changes.chain(ends).chain(filing_edges(rule.filing, i, law));
    tried.any(|day| both.contains(day) && filing_holds(rule.filing, i, law, day))
}

/// Assessments of a kind that no rule asks for on their days.
pub fn assessments(checked: &Checked, faults: &Faults) {
    let rules = || checked.laws.iter().flat_map(|l| &l.rules);
    let asks = |r: &Rule, kind: AssessmentKind| {
        let mut needs = r.requires.iter().flatten();
        needs.any(|n| *n == Need::Assessment(kind))
    };
    let org = &checked.organisation;
    for a in &org.assessments {
        if !rules().any(|r| asks(r, a.kind) && r.interval.overlaps(&a.valid)) {
            let message = format!("assessment `{}` is asked for by no rule", a.id);
            let hint = format!(
                "no rule in force on its days requires `assessment:{}`",
                a.kind.as_str()
            );
            faults.warning(a.source.place("kind"), message, Some(hint));
        }
    }
    for i in &org.instruments {
        let Some(a) = &i.assessment else { continue };
        let mut own = rules().filter(|r| r.instruments_of == Some(i.mechanism));
        if !own.any(|r| asks(r, a.kind)) {
            let message = format!("assessment `{}` is asked for by no rule", a.id);
            let hint = format!(
                "no rule by `{}` requires `assessment:{}`",
                checked.mechanism_key(i.mechanism),
                a.kind.as_str()
            );
            faults.warning(a.source.place("kind"), message, Some(hint));
        }
    }
}

/// Attributes that no rule asks for on their days.
pub fn attributes(checked: &Checked, faults: &Faults) {
    let mut asked: Vec<(AttributeSet, Interval)> = Vec::new();
    for law in &checked.laws {
        let of_law = law
            .attaches
            .exporters_with
            .union(law.attaches.lifted_by)
            .union(law.outside);
        asked.push((of_law, Interval::ALWAYS));
        asked.extend(law.rules.iter().map(|r| (of_rule(r), r.interval)));
    }
    for (_, entity) in checked.entities() {
        for ((id, interval), at) in entity.attributes.iter().zip(&entity.attributes_at) {
            let name = checked.vocabulary.attribute_name(*id);
            let mut serving = asked.iter().filter(|(set, _)| set.contains(*id)).peekable();
            if checked.vocabulary.informative.contains(*id) {
                continue;
            }
            if serving.peek().is_none() {
                unserved(
                    at,
                    name,
                    &entity.id,
                    "no rule of the laws in this policy asks for it",
                    faults,
                );
            } else if !serving.any(|(_, i)| i.overlaps(interval)) {
                unserved(
                    at,
                    name,
                    &entity.id,
                    "no rule that asks for it is in force on its days",
                    faults,
                );
            }
        }
    }
}

fn unserved(at: &Where, name: &str, entity: &str, hint: &str, faults: &Faults) {
    let message = format!("attribute `{name}` of `{entity}` serves no rule");
    faults.warning(at, message, Some(hint.to_owned()));
}

/// Every attribute that the rule looks at.
fn of_rule(rule: &Rule) -> AttributeSet {
    let when = &rule.when;
    let mut all = [
        when.exporter,
        when.exporter_without,
        when.importer,
        when.importer_without,
        when.parties,
        rule.unless.exporter,
    ]
    .into_iter()
    .fold(AttributeSet::EMPTY, AttributeSet::union);
    for need in rule.requires.iter().flatten() {
        if let Need::Exporter(a) | Need::Importer(a) = need {
            all.insert(*a);
        }
    }
    all
}

/// Acceptances that change nothing.
pub fn acceptances(checked: &Checked, faults: &Faults) {
    let accept = &checked.organisation.accept;
    for (i, (name, at)) in accept.iter().enumerate() {
        let mut known = checked.laws.iter().flat_map(|l| {
            let rules = l.rules.iter().map(|r| (&r.id, r.review));
            rules.chain(l.children.iter().map(|c| (&c.id, c.review)))
        });
        let Some((_, review)) = known.find(|(id, _)| ***id == **name) else {
            continue;
        };
        if let Some((_, first)) = accept.iter().take(i).find(|(n, _)| n == name) {
            let message = format!("rule `{name}` is accepted twice");
            faults.warning_between(at, message, (first, "here first"), "");
        } else if !review {
            let hint = "only rules with `review = true` do: it counts as it stands";
            faults.warning(
                at,
                format!("rule `{name}` needs no acceptance"),
                Some(hint.to_owned()),
            );
        }
    }
}
