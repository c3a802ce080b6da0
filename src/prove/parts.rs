//! The condition of a rule, cut by the axes of facts that it is about.

use crate::policy::When;

/// A rule's `when`, one axis each.
pub struct Parts {
    pub asked: When,
    pub ends: When,
    pub order: When,
    pub basis: When,
    pub special: When,
    pub transaction: When,
    pub kind: When,
    pub purpose: When,
    pub record: When,
}

impl Parts {
    pub fn of(when: &When) -> Self {
        Self {
            asked: When {
                person: when.person,
                citizen: when.citizen,
                ..When::default()
            },
            ends: When {
                exporter: when.exporter,
                exporter_without: when.exporter_without,
                importer: when.importer,
                importer_without: when.importer_without,
                parties: when.parties,
                exporter_role: when.exporter_role,
                importer_role: when.importer_role,
                collected_abroad: when.collected_abroad,
                same_entity: when.same_entity,
                in_place: when.in_place,
                direct: when.direct,
                instructs_exporter: when.instructs_exporter,
                ..When::default()
            },
            order: When {
                unapproved_order: when.unapproved_order,
                ..When::default()
            },
            basis: When {
                basis: when.basis,
                ..When::default()
            },
            special: When {
                special_grounds: when.special_grounds,
                ..When::default()
            },
            transaction: When {
                transactions: when.transactions,
                transactions_without: when.transactions_without,
                ..When::default()
            },
            kind: When {
                subject_kinds: when.subject_kinds,
                ..When::default()
            },
            purpose: When {
                purposes: when.purposes.clone(),
                purposes_without: when.purposes_without.clone(),
                ..When::default()
            },
            record: When {
                categories: when.categories,
                without: when.without,
                sensitive: when.sensitive,
                below_age: when.below_age,
                above: when.above,
                below: when.below,
                counts: when.counts.clone(),
                ..When::default()
            },
        }
    }
}
