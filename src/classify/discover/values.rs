//! What values look like. What has a check digit must have the right one.

use std::net::IpAddr;

use super::{
    checks::{digits, luhn, mod_97},
    national::is_national_id,
};
use crate::domain::{CategoryId, CategorySet};

/// The categories of what is recognised.
#[derive(Clone, Copy, Debug)]
pub struct Categories {
    email: CategoryId,
    phone: CategoryId,
    card: CategoryId,
    account: CategoryId,
    national: CategoryId,
    passport: CategoryId,
    address: CategoryId,
    network: CategoryId,
    imei: CategoryId,
    credentials: CategoryId,
    position: CategoryId,
}

type Test = fn(&str) -> bool;

impl Categories {
    pub fn new(resolve: &dyn Fn(&str) -> CategoryId) -> Self {
        Self {
            email: resolve("user.contact.email"),
            phone: resolve("user.contact.phone_number"),
            card: resolve("user.financial.credit_card"),
            account: resolve("user.financial.bank_account"),
            national: resolve("user.government_id.national_identification_number"),
            passport: resolve("user.government_id.passport_number"),
            address: resolve("user.device.ip_address"),
            network: resolve("user.device.network"),
            imei: resolve("user.device.imei"),
            credentials: resolve("user.authorization.credentials"),
            position: resolve("user.location.precise"),
        }
    }

    /// Of a value as a whole, and of each word in it.
    pub fn of(&self, text: &str) -> CategorySet {
        let mut found = CategorySet::EMPTY;
        let speaks = |b: u8| b.is_ascii_digit() || matches!(b, b'@' | b':');
        if !text.bytes().any(speaks) && !text.contains("eyJ") {
            return found;
        }
        let text = text.trim();
        self.word(text, &mut found);
        if holds_phone(text) {
            found.insert(self.phone);
        }
        if is_position(text) {
            found.insert(self.position);
        }
        let between = |c: char| c.is_whitespace() || "\"'()<>[]{}|,;=".contains(c);
        if text.contains(between) {
            for word in text.split(between) {
                self.word(word.trim_matches(['.', ':', '!', '?', '/']), &mut found);
            }
        }
        found
    }

    fn word(&self, word: &str, found: &mut CategorySet) {
        // Nothing of what follows is longer.
        if word.len() > LONGEST {
            if is_token(word) {
                found.insert(self.credentials);
            }
            return;
        }
        let tests: [(Test, CategoryId); 9] = [
            (is_email, self.email),
            (is_card, self.card),
            (is_iban, self.account),
            (is_national_id, self.national),
            (is_passport, self.passport),
            (is_address, self.address),
            (is_mac, self.network),
            (is_imei, self.imei),
            (is_token, self.credentials),
        ];
        for (is, category) in tests {
            if is(word) {
                found.insert(category);
            }
        }
    }
}

/// Bytes of an e-mail address (RFC 5321 §4.5.3.1).
const LONGEST: usize = 320;

fn is_email(word: &str) -> bool {
    let word = word.strip_prefix("mailto:").unwrap_or(word);
    let Some((local, domain)) = word.rsplit_once('@') else {
        return false;
    };
    let is_label =
        |label: &str| !label.is_empty() && label.chars().all(|c| c.is_alphanumeric() || c == '-');
    !local.is_empty()
        && !local.contains(['@', '/', ':'])
        && domain.contains('.')
        && domain.split('.').all(is_label)
        && domain
            .rsplit('.')
            .next()
            .is_some_and(|top| !top.starts_with(|c: char| c.is_ascii_digit()))
}

/// Whether a number in international writing (ITU-T E.164) stands somewhere.
fn holds_phone(text: &str) -> bool {
    text.split('+').skip(1).any(|rest| {
        let number = |c: char| c.is_ascii_digit() || " -./()\u{a0}".contains(c);
        let end = rest.find(|c| !number(c)).unwrap_or(rest.len());
        let digits = rest.chars().take(end).filter(char::is_ascii_digit).count();
        rest.starts_with(|c: char| c.is_ascii_digit() || c == '(') && (8..=15).contains(&digits)
    })
}

fn is_card(word: &str) -> bool {
    let Some(number) = digits(word, &[' ', '-']) else {
        return false;
    };
    let begins = matches!(
        *number.as_slice(),
        [2, 2..=7, ..] | [4..=6, ..] | [3, 0 | 4..=8, ..]
    );
    begins && (13..=19).contains(&number.len()) && luhn(&number)
}

/// ISO 13616.
fn is_iban(word: &str) -> bool {
    let text: String = word.chars().filter(|c| *c != ' ').collect();
    let Some((head, rest)) = text.split_at_checked(4) else {
        return false;
    };
    let [a, b, c, d] = *head.as_bytes() else {
        return false;
    };
    a.is_ascii_uppercase()
        && b.is_ascii_uppercase()
        && c.is_ascii_digit()
        && d.is_ascii_digit()
        && (11..=30).contains(&rest.len())
        && rest
            .bytes()
            .all(|b| b.is_ascii_digit() || b.is_ascii_uppercase())
        && mod_97(rest.chars().chain(head.chars())) == Some(1)
}

/// The machine readable zone of ICAO Doc 9303.
fn is_passport(word: &str) -> bool {
    let zone = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'<';
    word.len() >= 44 && word.starts_with('P') && word.contains("<<") && word.bytes().all(zone)
}

fn is_address(word: &str) -> bool {
    let told = |address: IpAddr| !address.is_loopback() && !address.is_unspecified();
    word.parse().is_ok_and(told)
}

fn is_mac(word: &str) -> bool {
    let pair = |pair: &str| pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit());
    [':', '-'].iter().any(|between| {
        word.len() == 17 && word.split(*between).count() == 6 && word.split(*between).all(pair)
    })
}

/// 3GPP TS 23.003 §6.2.1; with the first digits of the bodies that give them out.
fn is_imei(word: &str) -> bool {
    let number = digits(word, &['-', ' ']).unwrap_or_default();
    number.len() == 15 && matches!(*number.as_slice(), [3, 5, ..] | [8, 6, ..]) && luhn(&number)
}

/// A JSON Web Token (RFC 7519).
fn is_token(word: &str) -> bool {
    let part = |part: &str| {
        part.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    word.starts_with("eyJ") && word.split('.').count() == 3 && word.split('.').all(part)
}

/// `52.51627, 13.37770`, `geo:…` (RFC 5870): a place to some hundred metres.
fn is_position(text: &str) -> bool {
    let text = text.strip_prefix("geo:").unwrap_or(text);
    let text = text.split(';').next().unwrap_or_default();
    let mut numbers = text.split(',').map(str::trim);
    let mut next = |most: f64| {
        let number = numbers.next()?;
        let (_, decimals) = number.split_once('.')?;
        let within = number.parse::<f64>().is_ok_and(|n| n.abs() <= most);
        (within && decimals.len() >= 3).then_some(())
    };
    next(90.0).and(next(180.0)).is_some() && numbers.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A test, what passes it and what does not.
    type Known = (
        fn(&str) -> bool,
        &'static [&'static str],
        &'static [&'static str],
    );

    /// The numbers are invented, or the examples of those who give them out.
    #[test]
    fn each_is_known_by_its_check() {
        let known: &[Known] = &[
            (
                is_email,
                &[
                    "asha@example.in",
                    "a+b@mail.example.com",
                    "mailto:a@b.example",
                ],
                &["a@b", "@b.c", "a@b..c", "a@1.2.3.4", "http://a@b.example"],
            ),
            (
                is_card,
                &[
                    "4111111111111111",
                    "4111 1111 1111 1111",
                    "378282246310005",
                    "2223003122003222",
                ],
                &["4111111111111112", "1111111111111117", "411111111111"],
            ),
            (
                is_iban,
                &["DE89370400440532013000", "GB29 NWBK 6016 1331 9268 19"],
                &["DE89370400440532013001", "de89370400440532013000", "DE8937"],
            ),
            (
                is_address,
                &["203.0.113.7", "2001:db8::7"],
                &["127.0.0.1", "::", "1.2.3", "12:30"],
            ),
            (
                is_mac,
                &["00:1A:2b:3c:4d:5e", "00-1A-2B-3C-4D-5E"],
                &["00:1A:2b:3c:4d", "00:1A:2b:3c:4d:5g"],
            ),
            (
                is_imei,
                &["356938035643809"],
                &["356938035643808", "490154203237518"],
            ),
            (
                is_token,
                &["eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0."],
                &["eyJhbGciOiJub25lIn0"],
            ),
            (
                is_position,
                &["52.51627, 13.37770", "geo:52.51627,13.37770;u=35"],
                &["52.5,13.3", "95.51627,13.37770", "1.000,2.000,3.000"],
            ),
            (
                holds_phone,
                &[
                    "+49 30 901820",
                    "call +91 (98) 7654-3210 now",
                    "tel:+6531234567",
                ],
                &["1+1", "+1", "a+b", "c++ 20 years"],
            ),
        ];
        for (is, good, bad) in known {
            for text in *good {
                assert!(is(text), "{text}");
            }
            for text in *bad {
                assert!(!is(text), "{text}");
            }
        }
    }
}
