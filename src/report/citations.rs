use std::{collections::HashMap, sync::Arc};

use crate::policy::Checked;

/// What rules cite, by their ids. The ledger has the ids alone, so a rule that the policy no longer
/// has is told without.
#[derive(Debug, Default)]
pub struct Citations(HashMap<Arc<str>, Arc<str>>);

impl Citations {
    pub fn of(policy: &Checked) -> Self {
        let rules = policy.rules();
        Self(
            rules
                .map(|(_, r)| (r.id.clone(), r.citation.clone()))
                .collect(),
        )
    }

    pub fn get(&self, rule: &str) -> Option<&str> {
        self.0.get(rule).map(AsRef::as_ref)
    }

    /// For people.
    pub fn told(&self, rule: &str) -> String {
        match self.get(rule) {
            Some(citation) => format!("{rule} ({citation})"),
            None => rule.to_owned(),
        }
    }
}
