//! Which values of the axes a property is about.

use std::sync::Arc;

use crate::{domain::CategorySet, policy::AttributeSet};

use super::{
    axes::Extra,
    facts::{Fact, blank, link_of},
    property::{Property, PropertyError},
    ways::Ways,
};

/// A property's [`super::property::About`] in one policy's ids.
pub struct Filter<'a> {
    property: &'a Property,
    ways: &'a Ways<'a>,
    categories: Option<CategorySet>,
    without: CategorySet,
    exporter: Option<AttributeSet>,
    importer: Option<AttributeSet>,
    except_exporters: AttributeSet,
    except_importers: AttributeSet,
}

impl<'a> Filter<'a> {
    pub fn new(property: &'a Property, ways: &'a Ways<'a>) -> Result<Self, PropertyError> {
        let about = &property.about;
        let checked = ways.policy.checked();
        let categories = |names: &Option<Vec<String>>| {
            let mut set = CategorySet::EMPTY;
            for name in names.iter().flatten() {
                let id = checked.category(name);
                let id = id.ok_or_else(|| property.unknown("category", name))?;
                set = set.union(checked.below(id));
            }
            Ok::<_, PropertyError>(names.as_ref().map(|_| set))
        };
        let attributes = |names: &Option<Vec<String>>| {
            let mut set = AttributeSet::EMPTY;
            for name in names.iter().flatten() {
                let index = checked.vocabulary.attributes.find(name);
                let id = index.and_then(|i| u8::try_from(i).ok());
                let id = id.ok_or_else(|| property.unknown("attribute", name))?;
                set.insert(crate::policy::AttributeId(id));
            }
            Ok::<_, PropertyError>(names.as_ref().map(|_| set))
        };
        let known = |name: &String| checked.vocabulary.mechanism(name).is_some();
        let lists = about.mechanisms.iter().chain(&about.except_mechanisms);
        if let Some(name) = lists.flatten().find(|n| !known(n)) {
            return Err(property.unknown("mechanism", name));
        }
        if let Some(name) = &about.counter
            && checked.vocabulary.counter(name).is_none()
        {
            return Err(property.unknown("counter", name));
        }
        Ok(Self {
            property,
            ways,
            categories: categories(&about.categories)?,
            without: categories(&about.without)?.unwrap_or_default(),
            exporter: attributes(&about.exporter)?,
            importer: attributes(&about.importer)?,
            except_exporters: attributes(&about.except_exporters)?.unwrap_or_default(),
            except_importers: attributes(&about.except_importers)?.unwrap_or_default(),
        })
    }

    /// What the property tells apart beyond the law.
    pub fn extra(&self) -> Extra {
        let about = &self.property.about;
        let edges = [about.counted_from, about.counted_below];
        let counter = about.counter.iter().flat_map(|c| {
            let key: Arc<str> = c.as_str().into();
            edges
                .into_iter()
                .flatten()
                .map(move |n| (Arc::clone(&key), n))
        });
        let sets = [self.exporter, self.importer].into_iter().flatten();
        let except = [self.except_exporters, self.except_importers];
        Extra {
            categories: self.categories.into_iter().chain([self.without]).collect(),
            ages: about.below_age.into_iter().collect(),
            counts: counter.collect(),
            attributes: sets
                .chain(except)
                .fold(AttributeSet::EMPTY, AttributeSet::union),
            places: about
                .to
                .iter()
                .chain(&about.to_except)
                .flatten()
                .copied()
                .collect(),
            order: about.unapproved_order.is_some(),
            ..Extra::default()
        }
    }

    pub fn holds(&self, fact: &Fact) -> bool {
        let about = &self.property.about;
        let territory = &self.ways.table.territory;
        match fact {
            Fact::Asked {
                operation, held_in, ..
            } => {
                let asked = about
                    .operations
                    .as_ref()
                    .is_none_or(|o| o.contains(operation));
                let mut query = blank(
                    self.ways.policy,
                    self.ways.policy.at(),
                    crate::domain::Place::of(crate::domain::Country::SOMEWHERE),
                );
                fact.apply(self.ways.policy, &mut query);
                let link = link_of(self.ways.policy, self.ways.id, &query);
                asked
                    && about.citizen.is_none_or(|c| c == link.citizen)
                    && about.person.is_none_or(|p| p == link.person)
                    && about.not_at_home.is_none_or(|n| n == held_in.is_none())
            }
            Fact::Ends { from, to, .. } => {
                let checked = self.ways.policy.checked();
                let has = |entity: &Option<Arc<str>>| {
                    let id = entity.as_deref().and_then(|e| checked.entity(e));
                    self.ways.table.attributes_of(id)
                };
                let (exporter, importer) = (has(&from.entity), has(&to.entity));
                about
                    .outside
                    .is_none_or(|o| o != territory.contains(to.place))
                    && about
                        .from_outside
                        .is_none_or(|o| o != territory.contains(from.place))
                    && about
                        .to
                        .as_ref()
                        .is_none_or(|l| l.iter().any(|p| to.place.within(p)))
                    && !about.to_except.iter().flatten().any(|p| to.place.within(p))
                    && self.exporter.is_none_or(|a| a.intersects(exporter))
                    && self.importer.is_none_or(|a| a.intersects(importer))
                    && !self.except_exporters.intersects(exporter)
                    && !self.except_importers.intersects(importer)
            }
            Fact::Order(order) => about.unapproved_order.is_none_or(|wanted| {
                wanted == order.is_some_and(|(p, approved)| !approved && !territory.contains(p))
            }),
            Fact::Ground(kind, said) => {
                said.is_none() || !about.except_grounds.iter().flatten().any(|k| k == kind)
            }
            Fact::Consent(consent) => consent.is_none_or(|c| {
                c.withdrawn || !about.except_consents.iter().flatten().any(|k| *k == c.kind)
            }),
            Fact::Record { keys, age, counts } => {
                let policy = self.ways.policy;
                let set = keys.iter().filter_map(|k| policy.checked().category(k));
                let set: CategorySet = set.collect();
                let possible = policy.possible(set);
                let counted = about.counter.as_ref().is_none_or(|counter| {
                    let known = counts
                        .iter()
                        .find(|(k, _)| **k == **counter)
                        .map(|(_, n)| *n);
                    known.is_some_and(|n| {
                        about.counted_from.is_none_or(|f| n >= f)
                            && about.counted_below.is_none_or(|b| n < b)
                    })
                });
                self.categories.is_none_or(|c| c.intersects(set))
                    && !self.without.intersects(possible)
                    && about.adult.is_none_or(|a| a == age.is_none())
                    && about.below_age.is_none_or(|b| age.is_some_and(|a| a < b))
                    && counted
            }
            Fact::Basis(_)
            | Fact::Special(_)
            | Fact::Transaction(_)
            | Fact::Kind(_)
            | Fact::Purpose(_)
            | Fact::Protection(_) => true,
        }
    }
}
