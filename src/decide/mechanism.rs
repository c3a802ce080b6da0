//! Whether a mechanism's requirements hold for a flow.

use crate::{
    domain::{CategorySet, Role},
    policy::{
        Assessment, AssessmentKind, EntityId, Instrument, InstrumentId, MechanismId, Need,
        PurposeId, Rule, RuleMask, Usable, suits,
    },
};

use super::view::{View, role};

/// What a mechanism rests on, when it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rests {
    pub instrument: Option<InstrumentId>,
    pub module: Option<u8>,
}

impl Rests {
    /// On what the question says alone.
    pub const ON_FACTS: Self = Self {
        instrument: None,
        module: None,
    };
}

/// The first instrument of `usable` under which everything that `rule` requires holds, or none
/// where none is needed; `None`: something is missing.
pub(crate) fn rests(
    view: &View<'_>,
    rule: &Rule,
    bit: RuleMask,
    usable: &[Usable],
) -> Option<Rests> {
    if view.table.ask_instruments & bit != 0 {
        for usable in usable.iter().filter(|u| u.rules & bit != 0) {
            let Some(instrument) = view.policy.checked().instrument(usable.instrument) else {
                continue;
            };
            let Some(module) = covers(view, rule, usable, instrument) else {
                continue;
            };
            let candidate = Candidate {
                instrument,
                assessed: usable.assessed,
            };
            if all_hold(view, rule, Some(candidate)) {
                return Some(Rests {
                    instrument: Some(usable.instrument),
                    module,
                });
            }
        }
    }
    all_hold(view, rule, None).then_some(Rests {
        instrument: None,
        module: None,
    })
}

/// An instrument that covers the flow.
#[derive(Clone, Copy)]
pub(crate) struct Candidate<'a> {
    pub instrument: &'a Instrument,
    pub assessed: bool,
}

fn all_hold(view: &View<'_>, rule: &Rule, candidate: Option<Candidate<'_>>) -> bool {
    rule.requires
        .iter()
        .all(|any| any.iter().any(|need| need_holds(view, *need, candidate)))
}

pub(crate) fn usables<'a>(view: &View<'a>) -> &'a [Usable] {
    let pair = view.origin.entity.zip(view.query.to.entity);
    pair.and_then(|p| view.table.usable.get(&p))
        .map_or(&[], |list| list.as_slice())
}

/// The instruments between the two parties that would serve an unsure rule, were it accepted.
pub(crate) fn usables_if_accepted(view: &View<'_>, rule: &Rule) -> Vec<Usable> {
    let (day, checked) = (view.table.day, view.policy.checked());
    let Some((from, to)) = view.origin.entity.zip(view.query.to.entity) else {
        return Vec::new();
    };
    checked
        .instruments()
        .filter(|(_, i)| i.exporters.contains(&from) && i.importers.contains(&to))
        .filter(|(_, i)| i.valid.contains(day) && suits(i, rule, view.law, day))
        .map(|(instrument, i)| Usable {
            instrument,
            rules: 0,
            countries: i.countries.on(day, &checked.vocabulary.groups),
            assessed: i.assessment.as_ref().is_some_and(|a| a.valid.contains(day)),
        })
        .collect()
}

/// The module under which the instrument covers the flow (`Some(None)`: it has none); `None`: it
/// does not cover it.
pub(crate) fn covers(
    view: &View<'_>,
    rule: &Rule,
    usable: &Usable,
    instrument: &Instrument,
) -> Option<Option<u8>> {
    if !in_scope(view, usable, instrument) {
        return None;
    }
    if rule.modules == 0 {
        return Some(None);
    }
    let module = module(view, instrument)?;
    let allowed = rule.modules & (1 << module) != 0;
    let declared = instrument.module.is_none_or(|m| m == module);
    (allowed && declared).then_some(Some(module))
}

fn in_scope(view: &View<'_>, usable: &Usable, instrument: &Instrument) -> bool {
    let q = view.query;
    usable.countries.contains(q.to.place)
        && view.personal().is_subset(instrument.categories)
        && purpose_covered(instrument.purposes.as_deref(), q.purpose)
        && people_covered(view, instrument)
}

/// Whether an instrument of `mechanism`, usable today, covers the flow.
pub(crate) fn is_covered_by(view: &View<'_>, mechanism: MechanismId) -> bool {
    usables(view).iter().any(|usable| {
        let found = view.policy.checked().instrument(usable.instrument);
        found.is_some_and(|i| i.mechanism == mechanism && in_scope(view, usable, i))
    })
}

pub(crate) fn purpose_covered(purposes: Option<&[PurposeId]>, own: Option<PurposeId>) -> bool {
    purposes.is_none_or(|p| own.is_some_and(|own| p.contains(&own)))
}

/// An approval that names a volume covers the person who comes next only below it.
pub(crate) fn people_covered(view: &View<'_>, instrument: &Instrument) -> bool {
    let Some(limit) = instrument.people else {
        return true;
    };
    let mut sum = 0u64;
    for counter in &view.table.counters {
        match view.count(*counter) {
            Some(count) => sum = sum.saturating_add(count),
            None => return false,
        }
    }
    !view.table.counters.is_empty() && sum <= limit
}

/// The module of the clauses, from the roles in this flow: controller to controller 1, controller
/// to processor 2, processor to processor 3, processor to its controller 4.
///
/// Decision (EU) 2021/914, Art. 1. Module 4 is for the controller that instructs this exporter,
/// and for no other.
pub(crate) fn module(view: &View<'_>, instrument: &Instrument) -> Option<u8> {
    let exporter = (view.origin.role)
        .or(instrument.exporter_role)
        .or_else(|| role(view.policy, view.origin))
        .or_else(|| instrument.module.map(|m| roles_of(m).0))?;
    let importer = (view.query.to.role)
        .or(instrument.importer_role)
        .or_else(|| role(view.policy, &view.query.to))
        .or_else(|| instrument.module.map(|m| roles_of(m).1))?;
    match (exporter, importer) {
        (Role::Controller, Role::Controller) => Some(1),
        (Role::Controller, Role::Processor) => Some(2),
        (Role::Processor, Role::Processor) => Some(3),
        (Role::Processor, Role::Controller) => view.query.instructs_exporter.then_some(4),
    }
}

/// Exporter's and importer's role under a module.
fn roles_of(module: u8) -> (Role, Role) {
    match module {
        1 => (Role::Controller, Role::Controller),
        2 => (Role::Controller, Role::Processor),
        3 => (Role::Processor, Role::Processor),
        _ => (Role::Processor, Role::Controller),
    }
}

pub(crate) fn need_holds(view: &View<'_>, need: Need, candidate: Option<Candidate<'_>>) -> bool {
    let q = view.query;
    match need {
        Need::Instrument => candidate.is_some(),
        Need::Assessment(kind) => {
            candidate.is_some_and(|c| inner_assessment(view, kind, c))
                || standing_assessment(view, kind)
        }
        Need::Consent {
            kind,
            informed,
            occasional,
        } => q.subject.consents.iter().any(|c| {
            c.kind == kind
                && (c.informed || !informed)
                && (c.occasional || !occasional)
                && view.stands(c)
        }),
        Need::Ground { kind, occasional } => q.grounds.contains(kind, occasional),
        Need::Exporter(attribute) => view.exporter.contains(attribute),
        Need::Importer(attribute) => view.importer.contains(attribute),
        Need::Protection(protection) => q.protection == protection,
        Need::Transaction(transaction) => q.transaction == Some(transaction),
    }
}

fn inner_assessment(view: &View<'_>, kind: AssessmentKind, candidate: Candidate<'_>) -> bool {
    let assessment = candidate.instrument.assessment.as_ref();
    assessment.is_some_and(|a| {
        candidate.assessed && a.kind == kind && a.outcome.allows(view.query.protection)
    })
}

fn standing_assessment(view: &View<'_>, kind: AssessmentKind) -> bool {
    let Some(exporter) = view.origin.entity else {
        return false;
    };
    let active = view.table.assessments.get(&exporter);
    let all = &view.policy.checked().organisation.assessments;
    active.is_some_and(|list| {
        list.iter().any(|active| {
            let found = all.get(usize::from(active.index));
            found.is_some_and(|a| {
                a.kind == kind
                    && a.outcome.allows(view.query.protection)
                    && active.countries.contains(view.query.to.place)
                    && assessment_covers(a, view.personal(), view.query.to.entity)
                    && purpose_covered(a.purposes.as_deref(), view.query.purpose)
            })
        })
    })
}

pub(crate) fn assessment_covers(
    a: &Assessment,
    personal: CategorySet,
    to: Option<EntityId>,
) -> bool {
    let importer = a
        .importers
        .as_ref()
        .is_none_or(|i| to.is_some_and(|e| i.contains(&e)));
    importer && personal.is_subset(a.categories)
}
