//! What each fact leaves of a law's ways, one axis at a time.
//!
//! The conditions themselves are evaluated by [`crate::decide`]; here they are only asked one axis
//! at a time. `prove` asks every class again as a whole and compares, so a mistake in this cut
//! cannot pass unseen.

use crate::{
    decide::{
        Query,
        inside::{
            Holds, View, assessment_covers, module, people_covered, purpose_covered, usables,
        },
    },
    domain::{ConsentKind, Giver, Operation, Place},
    policy::{Effect, LawTable, Need, PlaceSet, Rule, RuleId},
};

use super::ways::{AxisKind, Fails, Want, Way, Ways};

impl Ways<'_> {
    /// Whether the way stands after the query's facts on one axis. `view` is of that query.
    pub fn stands(&self, way: &Way<'_>, axis: AxisKind, view: &View<'_>) -> bool {
        if let Some(child) = way.child {
            return child_stands(child, way.split.was_there, axis, view);
        }
        let (Some(rule), Some(parts)) = (way.rule, self.parts.get(way.position)) else {
            return false;
        };
        let part = match axis {
            AxisKind::Asked => Some(&parts.asked),
            AxisKind::Ends => Some(&parts.ends),
            AxisKind::Order => Some(&parts.order),
            AxisKind::Basis => Some(&parts.basis),
            AxisKind::Special => Some(&parts.special),
            AxisKind::Transaction => Some(&parts.transaction),
            AxisKind::Kind => Some(&parts.kind),
            AxisKind::Purpose => Some(&parts.purpose),
            AxisKind::Record => Some(&parts.record),
            AxisKind::Consent(_) | AxisKind::Protection | AxisKind::Ground(_) => None,
        };
        let holds = part.map_or(Holds::Yes, |w| view.holds(w));
        let concerned = match rule.effect {
            Effect::Permit => holds == Holds::Yes,
            Effect::Forbid | Effect::Localise => holds != Holds::No,
        };
        concerned
            && own_terms(self.table, way, rule, axis, view)
            && way
                .wants
                .iter()
                .all(|w| self.want_holds(*w, way, axis, view))
            && self.instrument_covers(way, rule, axis, view)
            && self.split_stands(way, axis, view)
    }

    /// Whether the person to whom the way's counts belong is this one: the record's axis alone
    /// does not say whose law it is.
    pub fn person(way: &Way<'_>) -> Option<bool> {
        way.split.person
    }

    fn split_stands(&self, way: &Way<'_>, axis: AxisKind, view: &View<'_>) -> bool {
        let subject = &view.query.subject;
        let of = self.table.rules.get(way.position).map(|r| &r.of);
        let whose = |place: &Place| of.is_none_or(|of| of.any || of.contains(*place));
        let fits = match axis {
            AxisKind::Asked => {
                let lives = way.split.was_there || subject.countries.iter().any(whose);
                lives && way.split.person.is_none_or(|p| p == view.person)
            }
            AxisKind::Ends => {
                !way.split.was_there || subject.collected_in.as_ref().is_some_and(whose)
            }
            _ => true,
        };
        fits && way.split.fails.iter().all(|(id, fails)| {
            let Some(instrument) = self.policy.checked().instrument(*id) else {
                return false;
            };
            match (fails, axis) {
                (Fails::Ends, AxisKind::Ends) => !usables(view)
                    .iter()
                    .any(|u| u.instrument == *id && u.countries.contains(view.query.to.place)),
                (Fails::Record, AxisKind::Record) => {
                    !(view.personal().is_subset(instrument.categories)
                        && people_covered(view, instrument))
                }
                (Fails::Purpose, AxisKind::Purpose) => {
                    !purpose_covered(instrument.purposes.as_deref(), view.query.purpose)
                }
                _ => true,
            }
        })
    }

    fn want_holds(&self, want: Want, way: &Way<'_>, axis: AxisKind, view: &View<'_>) -> bool {
        let q = view.query;
        let checked = self.policy.checked();
        match (want, axis) {
            (
                Want::Need(Need::Consent {
                    kind,
                    informed,
                    occasional,
                }),
                AxisKind::Consent(k),
            ) => {
                k != kind
                    || q.subject.consents.iter().any(|c| {
                        c.kind == kind
                            && (c.informed || !informed)
                            && (c.occasional || !occasional)
                            && view.stands(c)
                    })
            }
            (Want::Need(Need::Ground { kind, occasional }), AxisKind::Ground(k)) => {
                k != kind || q.grounds.contains(kind, occasional)
            }
            (Want::Need(Need::Exporter(a)), AxisKind::Ends) => view.exporter.contains(a),
            (Want::Need(Need::Importer(a)), AxisKind::Ends) => view.importer.contains(a),
            (Want::Need(Need::Transaction(t)), AxisKind::Transaction) => q.transaction == Some(t),
            (Want::Need(Need::Protection(p)), AxisKind::Protection) => q.protection == p,
            (Want::Inner(_), AxisKind::Ends) => usables(view)
                .iter()
                .any(|u| Some(u.instrument) == way.instrument && u.assessed),
            (Want::Inner(_), AxisKind::Protection) => way
                .instrument
                .and_then(|i| checked.instrument(i)?.assessment.as_ref())
                .is_some_and(|a| a.outcome.allows(q.protection)),
            (Want::Standing(index), _) => {
                let all = &checked.organisation.assessments;
                let Some(a) = all.get(usize::from(index)) else {
                    return false;
                };
                match axis {
                    AxisKind::Ends => {
                        let exporter = view.origin.entity;
                        let active = exporter.and_then(|e| self.table.assessments.get(&e));
                        let there = active
                            .into_iter()
                            .flatten()
                            .any(|x| x.index == index && x.countries.contains(q.to.place));
                        there && assessment_covers(a, Default::default(), q.to.entity)
                    }
                    AxisKind::Record => view.personal().is_subset(a.categories),
                    AxisKind::Purpose => purpose_covered(a.purposes.as_deref(), q.purpose),
                    AxisKind::Protection => a.outcome.allows(q.protection),
                    _ => true,
                }
            }
            _ => true,
        }
    }

    fn instrument_covers(
        &self,
        way: &Way<'_>,
        rule: &Rule,
        axis: AxisKind,
        view: &View<'_>,
    ) -> bool {
        let Some(id) = way.instrument else {
            return true;
        };
        let Some(instrument) = self.policy.checked().instrument(id) else {
            return false;
        };
        match axis {
            AxisKind::Ends => {
                let there = usables(view).iter().any(|u| {
                    u.instrument == id
                        && u.rules & (1 << way.position) != 0
                        && u.countries.contains(view.query.to.place)
                });
                there
                    && (rule.modules == 0
                        || module(view, instrument).is_some_and(|m| {
                            rule.modules & (1 << m) != 0
                                && instrument.module.is_none_or(|own| own == m)
                        }))
            }
            AxisKind::Record => {
                view.personal().is_subset(instrument.categories) && people_covered(view, instrument)
            }
            AxisKind::Purpose => {
                purpose_covered(instrument.purposes.as_deref(), view.query.purpose)
            }
            _ => true,
        }
    }
}

/// What a rule itself asks on an axis, beside its `when`.
fn own_terms(
    table: &LawTable,
    way: &Way<'_>,
    rule: &Rule,
    axis: AxisKind,
    view: &View<'_>,
) -> bool {
    let q: &Query = view.query;
    match axis {
        AxisKind::Asked => {
            let asked = rule.operations & (1 << q.operation as u8) != 0;
            let bars = || rule.copies.bars(q.operation, || view.held_at_home());
            asked && (rule.effect != Effect::Localise || bars())
        }
        AxisKind::Ends => {
            let places = table.rules.get(way.position).is_some_and(|r| {
                r.to.contains(view.to_place) && r.origin.contains(view.origin_place)
            });
            places
                && rule.flows & (1 << view.shape as u8) != 0
                && (rule.effect != Effect::Localise || !view.to_inside())
                && !rule.unless.exporter.intersects(view.exporter)
        }
        AxisKind::Ground(kind) => {
            rule.unless.grounds & (1 << kind as u16) == 0 || !q.grounds.contains(kind, false)
        }
        AxisKind::Consent(kind) => {
            rule.unless.consents & (1 << kind as u8) == 0
                || !q.subject.consents.iter().any(|c| {
                    c.kind == kind
                        && (c.by == Giver::Parent || !rule.unless.by_parent)
                        && view.stands(c)
                })
        }
        _ => true,
    }
}

fn child_stands(
    child: &(RuleId, u16, PlaceSet),
    was_there: bool,
    axis: AxisKind,
    view: &View<'_>,
) -> bool {
    let subject = &view.query.subject;
    let whose = |p: &Place| view.table.territory.contains(*p) && child.2.contains(*p);
    match axis {
        AxisKind::Asked => {
            view.person
                && view.query.operation != Operation::Erase
                && (was_there || subject.countries.iter().any(whose))
        }
        AxisKind::Ends => !was_there || subject.collected_in.as_ref().is_some_and(whose),
        AxisKind::Record => view.age.is_some_and(|a| a < child.1),
        AxisKind::Consent(ConsentKind::Parental) => !view.parent_consents(),
        _ => true,
    }
}
