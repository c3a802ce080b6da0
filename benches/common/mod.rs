//! What the load and the soak have in common.

use std::{net::TcpListener, str::FromStr};

/// NaN of nothing.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => values[count / 2],
        count => f64::midpoint(values[count / 2 - 1], values[count / 2]),
    }
}

pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Reads an option's value into its place; whether it is one.
pub fn into<T: FromStr>(text: &str, place: &mut T) -> bool {
    match text.parse() {
        Ok(value) => {
            *place = value;
            true
        }
        Err(_) => false,
    }
}

/// A record of an invented person, of at least so many bytes, and exactly those where the rest of it is
/// not longer already.
pub fn record(id: &str, country: &str, size: usize) -> String {
    let mut text = format!(
        r#"{{"id":"{id}","user":{{"country":"{country}","name":"Ada Example","email":"{id}@example.com"}},"active":true,"score":17.5,"tags":["a","b","c"],"note":""#
    );
    let words = "lorem ipsum dolor sit amet ";
    while text.len() + 2 < size {
        let left = size - 2 - text.len();
        text.push_str(words.get(..left.min(words.len())).unwrap_or(words));
    }
    text.push_str("\"}");
    text
}
