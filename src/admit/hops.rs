//! `Max-Forwards`: how many more recipients an OPTIONS may have (RFC 9110 §7.6.2). TRACE, of which
//! the same is demanded, is served to nobody. Nor does a route take OPTIONS, so nothing is counted
//! down; but the last recipient is to answer by itself, whatever the routes say.

use http::Method;

use super::http1::{HeadFault, head::digits};
use crate::message::Fields;

const LEFT: &str = "max-forwards";

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
    fn of_other_methods_it_means_nothing() {
        assert_eq!(are_spent(&Method::GET, &fields(&["0"])), Ok(false));
    }
}
