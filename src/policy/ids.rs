//! Ids of what can refuse.

use std::collections::BTreeMap;

use super::{law::Law, organisation::Organisation};
use crate::document::{Faults, Where};

/// What refuses is told by its id alone, and `observe` and `accept` name rules so.
pub fn one_namespace(laws: &[Law], org: &Organisation, faults: &Faults) {
    let laws = || laws.iter();
    let rules = laws().flat_map(|l| l.rules.iter().map(|r| (&*r.id, r.source.place("id"))));
    let ages = laws().flat_map(|l| l.children.iter().map(|c| (&*c.id, &c.at)));
    let promises = org.promises.iter();
    let promises = promises.map(|p| (&*p.id, p.source_node.place("id")));
    let recipients = org.recipients.iter().map(|r| (&*r.id, &r.at));
    let holds = org.holds.iter().map(|h| (&*h.id, &h.at));
    let of = |kind: &'static str| move |(id, at)| (id, (kind, at));
    let all = rules
        .chain(ages)
        .map(of("a rule of law"))
        .chain(promises.map(of("a promise")))
        .chain(recipients.map(of("a recipient")))
        .chain(holds.map(of("a hold")));
    let mut seen: BTreeMap<&str, (&str, &Where)> = BTreeMap::new();
    for (id, (kind, at)) in all {
        let (first, there) = *seen.entry(id).or_insert((kind, at));
        // Two of one kind are told apart from this.
        if first != kind && !id.is_empty() && id != "?" {
            faults.error_between(
                at,
                format!("`{id}` is the id of {kind}, and of {first}"),
                (there, "here"),
                "answers and the ledger tell what refused by its id alone: give each its own",
            );
        }
    }
}
