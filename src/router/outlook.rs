//! What the policy means for this location, told before a request finds out: which home stores
//! it would refuse, and what the router's own state is under the law.

use jiff::Timestamp;
use serde::Serialize;

use crate::{
    decide::{self, Party, Query, Subject},
    domain::{Answer, CategorySet, Circumstances, Country, Missing, Operation, Place, Role},
    shared::Snapshot,
};

/// The outlook of one snapshot.
#[derive(Debug, Serialize)]
pub struct Outlook {
    /// The country and entity of this router.
    pub location: String,
    /// Home stores that would be refused from this location, grouped by home and reason.
    pub refused_home_stores: Vec<RefusedHome>,
    /// In observe mode: the region where everything goes, whatever would be decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observe_to: Option<String>,
    /// Where the router's own pseudonymous state about people lies.
    pub own_state: String,
}

#[derive(Debug, Serialize)]
pub struct RefusedHome {
    /// The routes whose stores it would be.
    pub routes: Vec<String>,
    /// Countries of people.
    pub people: Vec<Place>,
    pub home: Option<String>,
    #[serde(flatten)]
    pub why: Why,
}

/// Why a store would be refused, and what would have made it lawful.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Why {
    pub reason: String,
    pub missing: Vec<Missing>,
}

/// What tells the stores of two routes apart for the policy.
struct Kind {
    routes: Vec<String>,
    role: Option<Role>,
    categories: CategorySet,
    circumstances: Circumstances,
}

/// Asks, for the people of every country, for the store of each route's records at home.
pub fn of(snapshot: &Snapshot, at: Timestamp) -> Outlook {
    let mut refused: Vec<RefusedHome> = Vec::new();
    for kind in kinds(snapshot) {
        for country in Country::all() {
            let place = Place::of(country);
            let Some((home, why)) = refusal(snapshot, at, place, &kind) else {
                continue;
            };
            match refused
                .iter_mut()
                .find(|r| r.home == home && r.why == why && r.routes == kind.routes)
            {
                Some(group) => group.people.push(place),
                None => refused.push(RefusedHome {
                    routes: kind.routes.clone(),
                    people: vec![place],
                    home,
                    why,
                }),
            }
        }
    }
    let location = snapshot.location;
    Outlook {
        location: format!(
            "{location}, {}",
            snapshot.checked.entity_id(snapshot.location_entity)
        ),
        refused_home_stores: refused,
        observe_to: snapshot
            .observe_to
            .and_then(|to| snapshot.regions.get(to))
            .map(|region| region.name.to_string()),
        own_state: format!(
            "ledger and directory keep keyed hashes of people of every region in {location}, \
             where this router runs; keys are pseudonymous personal data, so this is a flow of \
             its own"
        ),
    }
}

/// The kinds of stores that the routes make: by the location's role and the categories.
fn kinds(snapshot: &Snapshot) -> Vec<Kind> {
    let mut kinds: Vec<Kind> = Vec::new();
    for route in &snapshot.routes {
        let methods = &route.settings.methods;
        let stores = methods.is_empty()
            || methods
                .iter()
                .any(|m| ["PUT", "POST", "PATCH"].contains(&m.as_str()));
        // What is disclosed to a recipient is stored in no region.
        if !stores || route.recipient.is_some() {
            continue;
        }
        let (role, categories) = (route.settings.role, route.schema.categories_without_body());
        let said = route.settings.circumstances;
        let name = route.settings.name.to_string();
        match kinds
            .iter_mut()
            .find(|k| (k.role, k.categories, k.circumstances) == (role, categories, said))
        {
            Some(kind) => kind.routes.push(name),
            None => kinds.push(Kind {
                routes: vec![name],
                role,
                categories,
                circumstances: said,
            }),
        }
    }
    kinds
}

fn refusal(
    snapshot: &Snapshot,
    at: Timestamp,
    place: Place,
    kind: &Kind,
) -> Option<(Option<String>, Why)> {
    let location = Party::new(snapshot.location, snapshot.location_entity);
    let query = |location, to| {
        let subject = Subject {
            countries: std::iter::once(place).collect(),
            ..Subject::default()
        };
        let (policy, store) = (&snapshot.policy, Operation::Store);
        let mut query = Query::new(policy, at, store, subject, kind.categories, location, to);
        query.set_circumstances(kind.circumstances);
        query
    };
    let home = match decide::home(
        &snapshot.policy,
        &snapshot.regions,
        &query(location, location),
    ) {
        Ok(home) => home,
        Err(fault) => {
            let (reason, missing) = (fault.to_string(), Vec::new());
            return Some((None, Why { reason, missing }));
        }
    };
    let region = snapshot.regions.get(home)?;
    let to = Party::new(region.place, snapshot.region_entity(home)?);
    // As for a request, the role counts where the flow is judged, not where its home is sought.
    let (mut from, role) = (location, kind.role);
    from.role = role;
    let query = query(from, to);
    let verdict = decide::decide(&snapshot.policy, &query);
    if verdict.is_permit() {
        return None;
    }
    let answer = decide::answer(&snapshot.policy, &query, &verdict, Some(&snapshot.regions));
    Some((Some(region.name.to_string()), why(answer)))
}

fn why(answer: Answer) -> Why {
    let reason = match (answer.rule, answer.citation) {
        (Some(rule), Some(citation)) => format!("{rule} ({citation})"),
        (Some(rule), None) => rule,
        _ => "no mechanism permits it".to_owned(),
    };
    Why {
        reason,
        missing: answer.missing,
    }
}

impl Outlook {
    /// For people, line by line.
    pub fn lines(&self) -> Vec<String> {
        let from = format!("home stores from this location ({})", self.location);
        let mut lines = Vec::new();
        if let Some(region) = &self.observe_to {
            lines.push(format!(
                "mode observe: nothing is refused or routed, everything goes to {region}"
            ));
        }
        if self.refused_home_stores.is_empty() {
            lines.push(format!("{from}: none would be refused"));
        } else {
            lines.push(format!("{from} that would be refused:"));
        }
        for group in &self.refused_home_stores {
            let people: Vec<String> = group.people.iter().map(ToString::to_string).collect();
            let home = match &group.home {
                Some(home) => format!("to {home}"),
                None => "to no region".to_owned(),
            };
            lines.push(format!(
                "  people of {} {home}, route {}: {}",
                people.join(" "),
                group.routes.join(", "),
                group.why.reason
            ));
            if !group.why.missing.is_empty() {
                lines.push("    for each law named, one of these would permit it:".to_owned());
            }
            for missing in &group.why.missing {
                lines.push(format!(
                    "      {} {}: {}",
                    missing.law,
                    missing.mechanism,
                    missing.needs.join(" + ")
                ));
            }
        }
        lines.push(format!("own state: {}", self.own_state));
        lines
    }
}
