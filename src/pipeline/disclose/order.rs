//! What law or a court orders: a purpose of its own, and what the ledger keeps of the order.
//!
//! No law says to everybody how an order must be named. That a disclosure of the purpose
//! [`LEGAL_ORDER`] names one is the router's own rule, and the organisation's, which lists that
//! purpose for a recipient; so that list is what a refusal cites. What law asks of an order (GDPR
//! Art. 48, PIPL Art. 41) stands in its file, and is asked once there is one.

use std::sync::Arc;

use super::super::{Exchange, Routed, judge, person::Person, personal::Personal};
use super::{Cut, info, question};
use crate::{
    attest::{self, Ordered, Profile},
    decide::{self, Party},
    domain::{FlowEnd, Order, same_purpose},
    respond::{Forbidden, Refused},
    shared::ReadyRecipient,
};

/// The purpose of a disclosure that a law or a court orders. It needs the order's reference.
const LEGAL_ORDER: &str = "legal-order";

/// Why a disclosure has no purpose that it can be judged by.
#[derive(Debug)]
pub enum NoPurpose {
    /// The purpose of orders, without what it needs.
    Unordered(&'static str),
    /// An order, and another purpose.
    Contradicted(String),
}

/// What the file number of an order or a ground is.
pub fn reference(routed: &Routed<'_>) -> Option<Arc<str>> {
    let of_order = routed.wishes.order.as_ref().map(|o| o.reference.as_deref());
    let mut of_grounds = routed.wishes.grounds.iter().map(|g| g.reference.as_deref());
    let found = of_order.flatten().or_else(|| of_grounds.find_map(|r| r));
    found.map(Arc::from)
}

/// What else is said of an order, and the reference of a ground that is asserted beside it.
pub fn ordered(routed: &Routed<'_>) -> Option<Arc<Ordered>> {
    let order = routed.wishes.order.as_ref()?;
    let of_ground = || {
        let mut grounds = routed.wishes.grounds.iter();
        grounds.find_map(|g| g.reference.as_deref())
    };
    Some(Arc::new(Ordered {
        authority_country: order.authority_country,
        approval: order.approval.as_deref().map(Arc::from),
        // Without a reference of the order, the entry's own is the ground's.
        ground_reference: order
            .reference
            .as_ref()
            .and_then(|_| of_ground())
            .map(Arc::from),
    }))
}

/// An order has a purpose of its own, and that purpose needs an order with a reference.
pub fn purpose<'a>(
    asked: Option<&'a str>,
    order: Option<&Order>,
) -> Result<Option<&'a str>, NoPurpose> {
    // However it is spelt: the policy reads all of them alike.
    let asked = asked.map(|asked| match same_purpose(asked, LEGAL_ORDER) {
        true => LEGAL_ORDER,
        false => asked,
    });
    match (asked, order) {
        (Some(LEGAL_ORDER), None) => Err(NoPurpose::Unordered("names no order")),
        (_, Some(order)) if order.reference.is_none() => {
            Err(NoPurpose::Unordered("names no reference of the order"))
        }
        (Some(LEGAL_ORDER) | None, Some(_)) => Ok(Some(LEGAL_ORDER)),
        (Some(_), Some(_)) => Err(NoPurpose::Contradicted(format!(
            "what an order demands is disclosed for the purpose `{LEGAL_ORDER}` and no other"
        ))),
        (asked, None) => Ok(asked),
    }
}

/// The refusal of a disclosure without its order, told as a decision is: from where and to whom it
/// would have gone, under which laws.
pub fn refuse(
    x: &Exchange<'_>,
    routed: &Routed<'_>,
    cut: &Cut,
    person: Option<&Person>,
    to: &ReadyRecipient,
    what: &str,
) -> Result<Refused, Refused> {
    let checked = &x.snapshot.checked;
    let mut query = question(x, routed, cut, person, to, Some(LEGAL_ORDER));
    if let Some(person) = person {
        Personal::of(x, person)?.tell(x, Some(LEGAL_ORDER), &mut query);
    }
    // For the laws that attach: nobody is counted in what is refused whatever they say.
    let verdict = decide::decide(&x.snapshot.policy, &query);
    let list = checked.rule(info(x, to)?.rule);
    let rules = [
        Some(LEGAL_ORDER.into()),
        list.map(|rule| Arc::clone(&rule.id)),
    ];
    let profile = judge::profile(x, &routed.route.settings, None, &query, &verdict);
    x.story.borrow_mut().profile = Some(Arc::new(Profile {
        outcome: attest::Verdict::Refuse,
        problem: Some("transfer-forbidden".into()),
        mechanism: None,
        instrument: None,
        module: None,
        exporter: None,
        importer: None,
        rules: rules.into_iter().flatten().collect(),
        duties: Vec::new(),
        missing: Vec::new(),
        observed: Vec::new(),
        ..profile
    }));
    let end = |party: &Party| FlowEnd {
        country: party.place,
        entity: party.entity.map(|e| checked.entity_id(e).to_owned()),
    };
    Ok(Refused::Forbidden(Arc::new(Forbidden {
        rule: Some(LEGAL_ORDER.to_owned()),
        citation: list
            .map(|list| format!("{} `{}`, purpose `{LEGAL_ORDER}`", list.citation, list.id)),
        detail: format!(
            "the request {what}; a disclosure by law or court is allowed only with one: \
             Domicile-Order: DE; reference=\"…\""
        ),
        from: Some(end(&query.from)),
        to: Some(end(&query.to)),
        ..Forbidden::default()
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(reference: Option<&str>) -> Order {
        Order {
            authority_country: "DE".parse().unwrap(),
            reference: reference.map(str::to_owned),
            approval: None,
        }
    }

    #[test]
    fn an_order_and_its_purpose_need_each_other() {
        let with = order(Some("Az. 1"));
        let without = order(None);
        assert_eq!(purpose(None, Some(&with)).unwrap(), Some(LEGAL_ORDER));
        assert_eq!(
            purpose(Some(LEGAL_ORDER), Some(&with)).unwrap(),
            Some(LEGAL_ORDER)
        );
        // However it is spelt.
        assert!(purpose(Some("Legal_Order"), None).is_err());
        assert_eq!(
            purpose(Some("LEGAL ORDER"), Some(&with)).unwrap(),
            Some(LEGAL_ORDER)
        );
        assert_eq!(purpose(Some("maps"), None).unwrap(), Some("maps"));
        for (asked, order, is_contradicted) in [
            (Some(LEGAL_ORDER), None, false),
            (None, Some(&without), false),
            (Some("maps"), Some(&with), true),
        ] {
            let refused = purpose(asked, order).unwrap_err();
            let found = matches!(refused, NoPurpose::Contradicted(_));
            assert_eq!(found, is_contradicted, "{asked:?}");
        }
    }
}
