//! What a question may state beside its ends and its record: orders, consents, grounds, purposes.

use std::sync::Arc;

use crate::{
    domain::{ConsentKind, Country, Giver, GroundKind, Place},
    policy::{AssessmentOutcome, Need, PurposeId},
};

use super::{
    axes::{optional, rules},
    facts::{ConsentFact, Fact},
    ways::Ways,
};

pub fn order(sides: &[&Ways<'_>]) -> Vec<Fact> {
    let is_inside = |p: Place| sides.iter().any(|w| w.table.territory.contains(p));
    let places = || Country::all().map(Place::of);
    let home = places().find(|p| is_inside(*p));
    let abroad = places().find(|p| !is_inside(*p));
    let said = [
        abroad.map(|p| (p, false)),
        abroad.map(|p| (p, true)),
        home.map(|p| (p, false)),
    ];
    optional(said.into_iter().flatten(), Fact::Order)
}

/// Kinds of consent that some rule asks for or is lifted by.
pub fn consents_of(sides: &[&Ways<'_>]) -> Vec<ConsentKind> {
    let kinds = [
        ConsentKind::Transfer,
        ConsentKind::Disclosure,
        ConsentKind::Separate,
        ConsentKind::SpecialCategory,
        ConsentKind::Parental,
        ConsentKind::Written,
    ];
    let children = sides.iter().any(|w| !w.table.children.is_empty());
    let used = |kind: &ConsentKind| {
        (children && *kind == ConsentKind::Parental)
            || sides.iter().flat_map(|w| rules(w)).any(|r| {
                r.unless.consents & (1 << *kind as u8) != 0
                    || r.requires
                        .iter()
                        .flatten()
                        .any(|n| matches!(n, Need::Consent { kind: k, .. } if k == kind))
            })
    };
    kinds.into_iter().filter(used).collect()
}

/// Whether some rule is lifted by this consent only where a parent gives it.
pub fn by_parent(sides: &[&Ways<'_>], kind: ConsentKind) -> bool {
    let mut all = sides.iter().flat_map(|w| rules(w)).map(|r| &r.unless);
    kind == ConsentKind::Parental || all.any(|u| u.by_parent && u.consents & (1 << kind as u8) != 0)
}

pub fn consents(kind: ConsentKind, by_parent: bool) -> Vec<Fact> {
    let by = match kind {
        ConsentKind::Parental => Some(Giver::Parent),
        _ if by_parent => Some(Giver::Person),
        _ => None,
    };
    let given = |informed, occasional, withdrawn| ConsentFact {
        kind,
        by,
        informed,
        occasional,
        withdrawn,
    };
    let mut all = vec![
        given(false, false, false),
        given(true, false, false),
        given(false, true, false),
        given(true, true, false),
        given(true, true, true),
    ];
    if by_parent {
        let by = match kind {
            ConsentKind::Parental => Giver::Person,
            _ => Giver::Parent,
        };
        all.push(ConsentFact {
            by: Some(by),
            ..given(true, true, false)
        });
    }
    optional(all, Fact::Consent)
}

pub fn grounds_of(sides: &[&Ways<'_>]) -> Vec<GroundKind> {
    let kinds = crate::policy::GROUNDS.map(|(_, kind)| kind);
    let used = |kind: &GroundKind| {
        sides.iter().flat_map(|w| rules(w)).any(|r| {
            r.unless.grounds & (1 << *kind as u16) != 0
                || r.requires
                    .iter()
                    .flatten()
                    .any(|n| matches!(n, Need::Ground { kind: k, .. } if k == kind))
        })
    };
    kinds.into_iter().filter(used).collect()
}

pub fn protects(sides: &[&Ways<'_>]) -> bool {
    let measured = |o: &AssessmentOutcome| matches!(o, AssessmentOutcome::WithMeasures(_));
    sides.iter().any(|w| {
        let needs = rules(w).flat_map(|r| r.requires.iter().flatten());
        let organisation = &w.policy.checked().organisation;
        let own = organisation
            .instruments
            .iter()
            .filter_map(|i| i.assessment.as_ref());
        let mut assessments = own.chain(&organisation.assessments);
        needs.into_iter().any(|n| matches!(n, Need::Protection(_)))
            || assessments.any(|a| measured(&a.outcome))
    })
}

pub fn purposes(sides: &[&Ways<'_>]) -> Vec<Fact> {
    let mut names: Vec<Arc<str>> = Vec::new();
    for ways in sides {
        let checked = ways.policy.checked();
        let organisation = &checked.organisation;
        let of_rules = rules(ways).flat_map(|r| {
            let wanted = r.when.purposes.iter().flatten();
            wanted.chain(&r.when.purposes_without)
        });
        let of_instruments = ways.instruments();
        let of_instruments = of_instruments.filter_map(|i| i.purposes.as_ref()).flatten();
        let of_assessments = organisation.assessments.iter();
        let of_assessments = of_assessments.filter_map(|a| a.purposes.as_ref()).flatten();
        let ids: Vec<PurposeId> = of_rules
            .chain(of_instruments)
            .chain(of_assessments)
            .copied()
            .collect();
        for id in ids {
            if let Some(name) = checked.purposes.get(id.index())
                && !names.contains(name)
            {
                names.push(Arc::clone(name));
            }
        }
    }
    names.sort();
    if !names.is_empty() {
        names.push("any-other".into());
    }
    optional(names, Fact::Purpose)
}
