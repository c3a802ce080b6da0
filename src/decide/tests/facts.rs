//! The bits by which rules are told apart say what the plain condition says.

use jiff::Timestamp;
use proptest::prelude::*;

use super::laws::{CASES, NOW, query};
use crate::{
    decide::{
        Query,
        flow::Attached,
        holds::Holds,
        mechanism::need_holds,
        view::{View, role},
    },
    domain::{Protection, Role, SubjectKind, Transaction},
    policy::{AttributeId, AttributeSet, Left, Need, When},
};

/// What facts and attributes tell of a condition, each word of it looked at by itself.
fn plain(view: &View<'_>, when: &When) -> bool {
    let q = view.query;
    let is = |wanted: Option<bool>, fact: bool| wanted.is_none_or(|w| w == fact);
    let any = |wanted: AttributeSet, has: AttributeSet| wanted.is_empty() || wanted.intersects(has);
    let of = |entity| view.table.attributes_of(entity);
    let via = q.via.as_ref().map(|p| of(p.entity)).unwrap_or_default();
    let parties = of(q.from.entity).union(of(q.to.entity)).union(via);
    let same = view.origin.entity.is_some() && view.origin.entity == q.to.entity;
    let kind = q.subject.kind.unwrap_or(SubjectKind::Customer);
    let (exporter, importer) = (of(view.origin.entity), of(q.to.entity));
    let role_is = |wanted: Option<Role>, party| wanted.is_none_or(|r| role(&NOW, party) == Some(r));
    let attached = Attached::of(&NOW, q);
    let id = CASES.laws().find(|(_, l)| l.id == view.law.id).unwrap().0;
    is(when.sensitive, view.sensitive)
        && is(when.person, view.person)
        && is(when.citizen, attached.citizen.contains(id))
        && is(when.same_entity, same)
        && is(when.in_place, same && view.origin.place == q.to.place)
        && is(when.direct, view.origin.entity.is_none())
        && when
            .subject_kinds
            .is_none_or(|k| k & (1 << kind as u8) != 0)
        && when
            .transactions
            .is_none_or(|t| q.transaction.is_some_and(|own| t & (1 << own as u8) != 0))
        && q.transaction
            .is_none_or(|own| when.transactions_without & (1 << own as u8) == 0)
        && role_is(when.exporter_role, view.origin)
        && role_is(when.importer_role, &q.to)
        && any(when.exporter, exporter)
        && !when.exporter_without.intersects(exporter)
        && any(when.importer, importer)
        && !when.importer_without.intersects(importer)
        && any(when.parties, parties)
}

/// The condition without what facts and attributes tell.
fn rest(when: &When) -> When {
    When {
        categories: when.categories,
        without: when.without,
        purposes: when.purposes.clone(),
        purposes_without: when.purposes_without.clone(),
        collected_abroad: when.collected_abroad,
        unapproved_order: when.unapproved_order,
        basis: when.basis,
        special_grounds: when.special_grounds,
        below_age: when.below_age,
        instructs_exporter: when.instructs_exporter,
        above: when.above,
        below: when.below,
        counts: when.counts.clone(),
        ..When::default()
    }
}

fn expected(view: &View<'_>, when: &When) -> Holds {
    match plain(view, when) {
        true => view.holds(&rest(when)),
        false => Holds::No,
    }
}

fn told_by_facts(need: &Need) -> bool {
    !matches!(
        need,
        Need::Instrument | Need::Assessment(_) | Need::Consent { .. }
    )
}

fn attributes() -> impl Strategy<Value = AttributeSet> {
    let some = prop::collection::vec((0u8..40).prop_map(AttributeId), 1..12);
    prop::option::weighted(0.3, some).prop_map(|ids| ids.into_iter().flatten().collect())
}

prop_compose! {
    fn condition()(
        flags in prop::array::uniform6(prop::option::weighted(0.2, prop::bool::ANY)),
        kinds in prop::option::weighted(0.2, 0u8..8),
        transactions in prop::option::weighted(0.2, 0u8..64),
        transactions_without in prop::option::weighted(0.2, 0u8..64),
        roles in prop::array::uniform2(prop::option::weighted(
            0.2, prop::sample::select(&[Role::Controller, Role::Processor][..]))),
        sets in prop::array::uniform5(attributes()),
    ) -> When {
        let [sensitive, person, citizen, same_entity, in_place, direct] = flags;
        let [exporter_role, importer_role] = roles;
        let [exporter, exporter_without, importer, importer_without, parties] = sets;
        When {
            sensitive, person, citizen, same_entity, in_place, direct,
            subject_kinds: kinds,
            transactions,
            transactions_without: transactions_without.unwrap_or(0),
            exporter_role, importer_role,
            exporter, exporter_without, importer, importer_without, parties,
            ..When::default()
        }
    }
}

prop_compose! {
    /// A query that says more of what facts are about.
    fn telling()(
        q in query(),
        kind in prop::option::of(prop::sample::select(
            &[SubjectKind::Customer, SubjectKind::Employee, SubjectKind::Other][..])),
        transaction in prop::option::of(prop::sample::select(&[
            Transaction::Brokerage, Transaction::Vendor, Transaction::CorporateGroup,
            Transaction::Other][..])),
        protection in prop::sample::select(&[
            Protection::Clear, Protection::EncryptedExporterKeys, Protection::TransitOnly][..]),
        roles in prop::array::uniform2(prop::option::of(
            prop::sample::select(&[Role::Controller, Role::Processor][..]))),
        in_place in prop::bool::weighted(0.2),
    ) -> Query {
        let mut q = q;
        q.subject.kind = kind;
        q.transaction = transaction;
        q.protection = protection;
        if in_place {
            q.to = q.from;
        }
        [q.from.role, q.to.role] = roles;
        q
    }
}

/// Asks `check` of the flow as each law sees it that governs it.
fn each_view(
    q: &Query,
    check: impl Fn(&View<'_>) -> Result<(), TestCaseError>,
) -> Result<(), TestCaseError> {
    let attached = Attached::of(&NOW, q);
    let views = attached
        .laws
        .iter()
        .filter_map(|id| attached.view(&NOW, id));
    views.into_iter().try_for_each(|view| check(&view))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn facts_say_what_a_condition_says(q in telling(), when in condition()) {
        each_view(&q, |view| {
            prop_assert_eq!(view.holds(&when), expected(view, &when));
            Ok(())
        })?;
    }

    /// Of every rule in force: it is ruled out exactly where its condition fails by what facts
    /// tell, or a need that they tell is not met; what is left is the condition itself.
    #[test]
    fn tests_of_rules_rule_out_what_conditions_do(q in telling()) {
        each_view(&q, |view| {
            prop_assert_eq!(view.table.tests.len(), view.table.rules.len());
            for test in &view.table.tests {
                let rule = &view.law.rules[usize::from(test.index)];
                let singles = rule.requires.iter().filter(|any| any.len() == 1);
                let mut needs = singles.flatten().filter(|n| told_by_facts(n));
                let met = needs.all(|n| need_holds(view, *n, None));
                let kinds = rule.requires.iter().filter(|any| any.len() == 1).flatten();
                let consented = kinds.into_iter().all(|n| match n {
                    Need::Consent { kind, .. } =>
                        q.subject.consents.iter().any(|c| c.kind == *kind),
                    _ => true,
                });
                let stands = plain(view, &rule.when) && met && consented;
                prop_assert!(test.left != Left::All, "{}: no bits left", rule.id);
                prop_assert_eq!(!view.facts.intersects(test.against), stands, "{}", rule.id);
                if stands {
                    let left = view.left(test.left, &rule.when);
                    prop_assert_eq!(left, expected(view, &rule.when), "{}", rule.id);
                    let all = || rule.requires.iter()
                        .all(|any| any.iter().any(|n| need_holds(view, *n, None)));
                    prop_assert!(!test.met || all(), "{}", rule.id);
                }
            }
            Ok(())
        })?;
    }
}

/// Each day has its own attributes of entities.
#[test]
fn kinds_of_parties_are_those_of_the_day() {
    let day = |at: &str| -> Vec<AttributeSet> {
        let at: Timestamp = at.parse().unwrap();
        let policy = CASES.compile(at);
        let table = policy.laws.first().unwrap();
        let each = CASES.entities().map(|(id, entity)| {
            let of_day = |(a, i): &(AttributeId, crate::policy::Interval)| {
                i.contains(table.day).then_some(*a)
            };
            let own: AttributeSet = entity.attributes.iter().filter_map(of_day).collect();
            let has = table.attributes_of(Some(id));
            assert_eq!(has.union(own), has, "{}", entity.id);
            has
        });
        each.collect()
    };
    assert_ne!(day("2010-01-01T12:00:00Z"), day("2026-11-21T12:00:00Z"));
    assert!(NOW.laws.iter().all(|t| t.attributes_of(None).is_empty()));
}
