//! What the policy means for this location, told before a request finds out: which home stores
//! it would refuse, and what the router's own state is under the law.

use jiff::Timestamp;
use serde::Serialize;

use super::Snapshot;
use crate::{
    decide::{self, Party, Query, Subject},
    domain::{CategorySet, Country, Operation, Place},
};

/// The outlook of one snapshot.
#[derive(Debug, Serialize)]
pub struct Outlook {
    /// Home stores that would be refused from this location, grouped by home and reason.
    pub refused_home_stores: Vec<RefusedHome>,
    /// Where the router's own pseudonymous state about people lies.
    pub own_state: String,
}

#[derive(Debug, Serialize)]
pub struct RefusedHome {
    /// Countries of people.
    pub people: Vec<Place>,
    pub home: Option<String>,
    pub reason: String,
}

/// Asks, for the people of every country, for the store of an ordinary record at home.
pub fn of(snapshot: &Snapshot, at: Timestamp) -> Outlook {
    let mut refused: Vec<RefusedHome> = Vec::new();
    let categories: CategorySet = snapshot.checked.category("user").into_iter().collect();
    for country in Country::all() {
        let place = Place::of(country);
        let Some((home, reason)) = refusal(snapshot, at, place, categories) else {
            continue;
        };
        match refused
            .iter_mut()
            .find(|r| r.home == home && r.reason == reason)
        {
            Some(group) => group.people.push(place),
            None => refused.push(RefusedHome {
                people: vec![place],
                home,
                reason,
            }),
        }
    }
    Outlook {
        refused_home_stores: refused,
        own_state: format!(
            "ledger and directory keep keyed hashes of people of every region in {}, where this \
             router runs; keys are pseudonymous personal data, so this is a flow of its own",
            snapshot.location
        ),
    }
}

fn refusal(
    snapshot: &Snapshot,
    at: Timestamp,
    place: Place,
    categories: CategorySet,
) -> Option<(Option<String>, String)> {
    let location = Party::new(snapshot.location, snapshot.location_entity);
    let subject = || Subject {
        countries: std::iter::once(place).collect(),
        ..Subject::default()
    };
    let query = |to| {
        Query::new(
            &snapshot.policy,
            at,
            Operation::Store,
            subject(),
            categories,
            location,
            to,
        )
    };
    let home = match decide::home(&snapshot.policy, &snapshot.regions, &query(location)) {
        Ok(home) => home,
        Err(fault) => return Some((None, fault.to_string())),
    };
    let region = snapshot.regions.get(home)?;
    let to = Party::new(region.place, snapshot.region_entity(home)?);
    let query = query(to);
    let verdict = decide::decide(&snapshot.policy, &query);
    if verdict.is_permit() {
        return None;
    }
    let answer = decide::answer(&snapshot.policy, &query, &verdict, Some(&snapshot.regions));
    let mut reason = match (&answer.rule, &answer.citation) {
        (Some(rule), Some(citation)) => format!("{rule} ({citation})"),
        (Some(rule), None) => rule.clone(),
        _ => "no mechanism permits it".to_owned(),
    };
    let needs: Vec<String> = answer
        .missing
        .iter()
        .map(|m| format!("{} {}: {}", m.law, m.mechanism, m.needs.join(" + ")))
        .collect();
    if !needs.is_empty() {
        reason.push_str("; one of: ");
        reason.push_str(&needs.join("; "));
    }
    Some((Some(region.name.to_string()), reason))
}

impl Outlook {
    /// For people, line by line.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.refused_home_stores.is_empty() {
            lines.push("home stores from this location: none would be refused".to_owned());
        }
        for group in &self.refused_home_stores {
            let people: Vec<String> = group.people.iter().map(ToString::to_string).collect();
            let home = group.home.as_deref().unwrap_or("no region");
            lines.push(format!(
                "home stores from this location: people of {} to {home} would be refused: {}",
                people.join(" "),
                group.reason
            ));
        }
        lines.push(format!("own state: {}", self.own_state));
        lines
    }
}
