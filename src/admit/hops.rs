//! `Max-Forwards`: how many more recipients an OPTIONS may have (RFC 9110 §7.6.2). TRACE, of which
//! the same is demanded, is served to nobody.

use http::{HeaderMap, HeaderValue, Method, header};

use super::http1::{
    HeadFault,
    head::{digits, only},
};

/// Whether the request may not be passed on.
///
/// # Errors
/// [`HeadFault::Hops`] for a count that is none, or stands twice.
pub fn are_spent(method: &Method, fields: &HeaderMap) -> Result<bool, HeadFault> {
    if *method != Method::OPTIONS {
        return Ok(false);
    }
    let Some(left) = only(fields, header::MAX_FORWARDS).map_err(|_| HeadFault::Hops)? else {
        return Ok(false);
    };
    let left = digits(left.as_bytes()).map_err(|_| HeadFault::Hops)?;
    Ok(left == 0)
}

/// Counts this hop in the fields that are passed on.
pub fn spend(method: &Method, fields: &mut HeaderMap) {
    if *method == Method::OPTIONS
        && let Some(left) = fields.get_mut(header::MAX_FORWARDS)
        && let Ok(count) = digits(left.as_bytes())
    {
        *left = HeaderValue::from(count.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(values: &[&str]) -> HeaderMap {
        let mut fields = HeaderMap::new();
        for value in values {
            fields.append(header::MAX_FORWARDS, value.parse().unwrap());
        }
        fields
    }

    #[test]
    fn each_hop_counts_one_and_none_is_left_of_zero() {
        let mut two = fields(&["2"]);
        assert_eq!(are_spent(&Method::OPTIONS, &two), Ok(false));
        spend(&Method::OPTIONS, &mut two);
        assert_eq!(two[header::MAX_FORWARDS], "1");
        assert_eq!(are_spent(&Method::OPTIONS, &fields(&["0"])), Ok(true));
        assert_eq!(are_spent(&Method::OPTIONS, &fields(&[])), Ok(false));
        for wrong in [&["-1"][..], &["1", "1"], &["x"]] {
            let found = are_spent(&Method::OPTIONS, &fields(wrong));
            assert_eq!(found, Err(HeadFault::Hops), "{wrong:?}");
        }
    }

    #[test]
    fn of_other_methods_it_means_nothing() {
        let mut zero = fields(&["0"]);
        assert_eq!(are_spent(&Method::GET, &zero), Ok(false));
        spend(&Method::GET, &mut zero);
        assert_eq!(zero[header::MAX_FORWARDS], "0");
    }
}
