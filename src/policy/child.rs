//! Ages below which a parent must consent.

use std::sync::Arc;

use jiff::civil::Date;

use crate::document::{Faults, Node, Where};

use super::{
    certainty::{read_certainty, tell_unsure},
    places::PlaceExpr,
    read,
    sets::{Interval, RuleId},
    vocabulary::Words,
};

/// Below `age` a parent must consent.
#[derive(Debug)]
pub struct ChildAge {
    pub at: Where,
    /// As it stands in its file.
    pub source: Node,
    pub rule: RuleId,
    pub id: Arc<str>,
    pub citation: Arc<str>,
    pub age: u16,
    /// The person's countries for which it holds.
    pub of: PlaceExpr,
    pub interval: Interval,
    /// The age is not sure: the stricter one holds until it is accepted by name.
    pub review: bool,
    pub accepted: bool,
}

impl ChildAge {
    /// Whether it is in force on `day`: an unsure age until it is accepted, as a prohibition is.
    pub fn is_active(&self, day: Date) -> bool {
        !(self.review && self.accepted) && self.interval.contains(day)
    }
}

pub(super) fn read_child(node: &Node, words: &Words<'_>, faults: &Faults) -> Option<ChildAge> {
    let f = node.fields(faults)?;
    let (confidence, review) = read_certainty(&f);
    let child = ChildAge {
        at: f.at.clone(),
        source: node.clone(),
        rule: RuleId(0),
        id: f.need_text("id").unwrap_or("?").into(),
        citation: read::citation(&f).into(),
        age: f
            .need("age")
            .and_then(|n| n.integer_in(1..=120, faults))
            .and_then(|i| u16::try_from(i).ok())?,
        of: f
            .maybe("of")
            .map_or_else(PlaceExpr::anywhere, |n| read::places(n, words, faults)),
        interval: read::interval(&f),
        review: review.unwrap_or(false),
        accepted: false,
    };
    tell_unsure(&child.id, confidence, review, &f);
    f.finish();
    Some(child)
}
