//! How far a request may go.
//!
//! `Max-Forwards` says how many more recipients an OPTIONS may have (RFC 9110 §7.6.2). TRACE, of which
//! the same is demanded, is served to nobody. Nor does a route take OPTIONS, so nothing is counted
//! down; but the last recipient is to answer by itself, whatever the routes say.
//!
//! `Via` says where a request has been, so that none goes in a circle for ever (RFC 9110 §7.6).

use http::Method;

use super::{
    headers::OWN_NAME,
    http1::{HeadFault, head::digits},
};
use crate::message::{Field, FieldSet, Fields};

const LEFT: &str = "max-forwards";

/// So many routers of this kind are no sound chain: a gateway, a sidecar, and what stands between two
/// clusters are fewer.
pub const PASSED: usize = 8;

/// Whether the request has been here, as far as can be told of routers that all have one name.
pub fn is_circle(fields: &Fields) -> bool {
    if !fields.may_have(const { FieldSet::of(&[Field::Via]) }) {
        return false;
    }
    let stops = fields
        .get_all(Field::Via)
        .flat_map(|v| v.as_bytes().split(|b| *b == b','));
    let own = stops.filter(|stop| stop.trim_ascii().ends_with(OWN_NAME.as_bytes()));
    own.count() >= PASSED
}

/// Whether the request may not be passed on.
///
/// # Errors
/// [`HeadFault::Hops`] for a count that is none, or stands twice.
pub fn are_spent(method: &Method, fields: &Fields) -> Result<bool, HeadFault> {
    if *method != Method::OPTIONS {
        return Ok(false);
    }
    let Some(left) = fields.only(LEFT).map_err(|_| HeadFault::Hops)? else {
        return Ok(false);
    };
    let left = digits(left.as_bytes()).map_err(|_| HeadFault::Hops)?;
    Ok(left == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(values: &[&str]) -> Fields {
        values.iter().map(|value| (LEFT, value)).collect()
    }

    #[test]
    fn none_is_left_of_zero() {
        assert_eq!(are_spent(&Method::OPTIONS, &fields(&["2"])), Ok(false));
        assert_eq!(are_spent(&Method::OPTIONS, &fields(&["0"])), Ok(true));
        assert_eq!(are_spent(&Method::OPTIONS, &fields(&[])), Ok(false));
        for wrong in [&["-1"][..], &["1", "1"], &["x"]] {
            let found = are_spent(&Method::OPTIONS, &fields(wrong));
            assert_eq!(found, Err(HeadFault::Hops), "{wrong:?}");
        }
    }

    #[test]
    fn who_passed_here_again_and_again_goes_in_a_circle() {
        let circle = |values: &[&str]| {
            let fields: Fields = values.iter().map(|value| ("via", value)).collect();
            is_circle(&fields)
        };
        let seven = ["1.1 domicile"; 7].join(", ");
        assert!(!circle(&[]) && !circle(&[&seven]));
        assert!(!circle(&[&seven, "1.1 proxy, 1.1 other-domicile.example"]));
        assert!(circle(&[&seven, "1.1 proxy, 2.0 domicile"]));
    }

    #[test]
    fn of_other_methods_it_means_nothing() {
        assert_eq!(are_spent(&Method::GET, &fields(&["0"])), Ok(false));
    }
}
