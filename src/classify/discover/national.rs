//! Numbers by which states tell people apart: where they have check digits these hold.

use super::checks::{digits, mod_11_10, verhoeff, weighted};

pub fn is_national_id(word: &str) -> bool {
    chinese(word)
        || aadhaar(word)
        || permanent_account(word)
        || snils(word)
        || inn(word)
        || nric(word)
        || european(word)
        || social_security(word)
}

/// The country that gave a number out, where its form alone tells it from every other number: not where
/// digits alone could as well be a telephone's.
pub fn issuer(word: &str) -> Option<&'static str> {
    type Test = fn(&str) -> bool;
    let tests: [(Test, &str); 5] = [
        (chinese, "CN"),
        // With the hyphens and the blank that it is printed with.
        (
            |w| w.as_bytes().get(11) == Some(&b' ') && w.matches('-').count() == 2 && snils(w),
            "RU",
        ),
        (|w| !w.starts_with(['M', 'm']) && nric(w), "SG"),
        (spanish, "ES"),
        (|w| italian(w) && italian_check(w), "IT"),
    ];
    let mut fitting = tests.iter().filter(|(is, _)| is(word));
    let (_, country) = fitting.next()?;
    fitting.next().is_none().then_some(*country)
}

/// GB 11643-1999: place, day of birth, sequence, check (ISO 7064, MOD 11-2).
fn chinese(word: &str) -> bool {
    const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    let Some((number, check)) = word.split_at_checked(17) else {
        return false;
    };
    let Some(parts) = digits(number, &[]) else {
        return false;
    };
    let born = number.get(6..14).is_some_and(is_day);
    let wanted = b"10X98765432".get(weighted(&parts, &WEIGHTS, 11) as usize);
    let is_place = matches!(parts.first(), Some(1..=6 | 8));
    is_place && born && check.len() == 1 && check.to_uppercase().as_bytes().first() == wanted
}

/// `YYYYMMDD` of a time in which somebody may have been born.
fn is_day(text: &str) -> bool {
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i16>().ok();
    let parts = number(0..4).zip(number(4..6)).zip(number(6..8));
    parts.is_some_and(|((year, month), day)| {
        let small = |n: i16| i8::try_from(n).unwrap_or(0);
        (1880..2100).contains(&year)
            && jiff::civil::Date::new(year, small(month), small(day)).is_ok()
    })
}

/// UIDAI: twelve digits, the first of them 2 to 9.
fn aadhaar(word: &str) -> bool {
    let is_grouped = |text: &str| match text.contains([' ', '-']) {
        true => text.split([' ', '-']).all(|group| group.len() == 4),
        false => true,
    };
    let number = digits(word, &[' ', '-']).unwrap_or_default();
    number.len() == 12 && is_grouped(word) && number.first() >= Some(&2) && verhoeff(&number)
}

/// India's permanent account number, which has no public check: its form alone.
fn permanent_account(word: &str) -> bool {
    let [a, b, c, kind, name, digits @ .., last] = word.as_bytes() else {
        return false;
    };
    [a, b, c, name, last].iter().all(|b| b.is_ascii_uppercase())
        && b"ABCFGHJLPT".contains(kind)
        && digits.len() == 4
        && digits.iter().all(u8::is_ascii_digit)
}

/// Russia's individual insurance account.
fn snils(word: &str) -> bool {
    const WEIGHTS: [u32; 9] = [9, 8, 7, 6, 5, 4, 3, 2, 1];
    let Some(number) = digits(word, &[' ', '-']).filter(|n| n.len() == 11) else {
        return false;
    };
    let (body, check) = number.split_at(9);
    let [tens, ones] = *check else {
        return false;
    };
    let sum = weighted(body, &WEIGHTS, 101) % 100;
    // Below, there is no check.
    let is_checked = body > [0, 0, 1, 0, 0, 1, 9, 9, 8].as_slice();
    is_checked && sum == u32::from(tens) * 10 + u32::from(ones)
}

/// Russia's taxpayer number of a person.
fn inn(word: &str) -> bool {
    const TENTH: [u32; 10] = [7, 2, 4, 10, 3, 5, 9, 4, 6, 8];
    const ELEVENTH: [u32; 11] = [3, 7, 2, 4, 10, 3, 5, 9, 4, 6, 8];
    let number = digits(word, &[]).unwrap_or_default();
    let [body @ .., eleventh, twelfth] = number.as_slice() else {
        return false;
    };
    body.len() == 10
        && number.iter().any(|d| *d != 0)
        && weighted(body, &TENTH, 11) % 10 == u32::from(*eleventh)
        && weighted(&number, &ELEVENTH, 11) % 10 == u32::from(*twelfth)
}

/// Singapore's NRIC and FIN.
fn nric(word: &str) -> bool {
    const WEIGHTS: [u32; 7] = [2, 7, 6, 5, 4, 3, 2];
    let upper = word.to_ascii_uppercase();
    let [first, number @ .., check] = upper.as_bytes() else {
        return false;
    };
    let number = std::str::from_utf8(number)
        .ok()
        .and_then(|n| digits(n, &[]));
    let Some(number) = number.filter(|n| n.len() == 7) else {
        return false;
    };
    let (letters, offset): (&[u8; 11], u32) = match first {
        b'S' => (b"JZIHGFEDCBA", 0),
        b'T' => (b"JZIHGFEDCBA", 4),
        b'F' => (b"XWUTRQPNMLK", 0),
        b'G' => (b"XWUTRQPNMLK", 4),
        // Of 2022 on; how its check is made is not published.
        b'M' => return check.is_ascii_uppercase(),
        _ => return false,
    };
    let sum = (weighted(&number, &WEIGHTS, 11) + offset) % 11;
    letters.get(sum as usize) == Some(check)
}

/// Germany's tax number, Spain's DNI and NIE, France's NIR, Poland's PESEL, Italy's fiscal code.
fn european(word: &str) -> bool {
    german(word) || spanish(word) || french(word) || polish(word) || italian(word)
}

/// § 139b AO: one of the first ten digits stands there twice or three times, and no other again.
fn german(word: &str) -> bool {
    let number = digits(word, &[' ']).unwrap_or_default();
    let Some((_, body)) = number.split_last() else {
        return false;
    };
    let count = |digit: u8| body.iter().filter(|d| **d == digit).count();
    let again: Vec<usize> = (0..=9).map(count).filter(|n| *n > 1).collect();
    body.len() == 10
        && body.first() != Some(&0)
        && matches!(again.as_slice(), [2 | 3])
        && mod_11_10(&number)
}

fn spanish(word: &str) -> bool {
    let upper = word.to_ascii_uppercase();
    let Some((number, check)) = upper.split_at_checked(8) else {
        return false;
    };
    let number = match number.split_at_checked(1) {
        Some(("X", rest)) => format!("0{rest}"),
        Some(("Y", rest)) => format!("1{rest}"),
        Some(("Z", rest)) => format!("2{rest}"),
        _ => number.to_owned(),
    };
    let Some(value) = digits(&number, &[]).and(number.parse::<usize>().ok()) else {
        return false;
    };
    let wanted = b"TRWAGMYFPDXBNJZSQVHLCKE".get(value % 23);
    check.len() == 1 && check.as_bytes().first() == wanted
}

fn french(word: &str) -> bool {
    let number: String = word.chars().filter(|c| *c != ' ').collect();
    let Some((body, key)) = number.split_at_checked(13) else {
        return false;
    };
    let month = body.get(3..5).and_then(|m| m.parse::<u8>().ok());
    let parsed = digits(&number, &[])
        .and(body.parse::<u64>().ok())
        .zip(key.parse::<u64>().ok());
    key.len() == 2
        && body.starts_with(['1', '2'])
        && month.is_some_and(|m| (1..=12).contains(&m) || (20..=42).contains(&m))
        && parsed.is_some_and(|(body, key)| 97 - body % 97 == key)
}

fn polish(word: &str) -> bool {
    const WEIGHTS: [u32; 10] = [1, 3, 7, 9, 1, 3, 7, 9, 1, 3];
    let number = digits(word, &[]).unwrap_or_default();
    let [_, _, tens, ones, day, of_day, .., check] = *number.as_slice() else {
        return false;
    };
    // The century is added to the month.
    let (month, day) = ((tens % 2) * 10 + ones, day * 10 + of_day);
    number.len() == 11
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (10 - weighted(&number, &WEIGHTS, 10)) % 10 == u32::from(check)
}

/// Its form, which no other word has.
fn italian(word: &str) -> bool {
    const FORM: &[u8; 16] = b"aaaaaa00a00a000a";
    word.len() == 16
        && word.bytes().zip(FORM).all(|(b, form)| match form {
            b'0' => b.is_ascii_digit(),
            _ => b.is_ascii_alphabetic(),
        })
}

/// D.M. 23 December 1976, Art. 11: each odd place by its table, the even ones by their value.
fn italian_check(word: &str) -> bool {
    const ODD: [u32; 26] = [
        1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24,
        23,
    ];
    let upper = word.to_ascii_uppercase();
    let Some((last, rest)) = upper.as_bytes().split_last() else {
        return false;
    };
    let value = |b: u8| {
        u32::from(if b.is_ascii_digit() {
            b - b'0'
        } else {
            b.wrapping_sub(b'A')
        })
    };
    let worth = |(place, b): (usize, &u8)| match place % 2 {
        0 => ODD.get(value(*b) as usize).copied().unwrap_or_default(),
        _ => value(*b),
    };
    rest.iter().enumerate().map(worth).sum::<u32>() % 26 == value(*last)
}

/// `078-05-1120` (20 CFR 422.103); there is no check digit.
fn social_security(word: &str) -> bool {
    let mut groups = word.split('-');
    let mut next = |length: usize| {
        let group = groups.next().filter(|g| g.len() == length)?;
        digits(group, &[]).and(group.parse::<u16>().ok())
    };
    let parts = (next(3), next(2), next(4));
    let area = |a: u16| a != 0 && a != 666 && a < 900;
    matches!(parts, (Some(a), Some(1..), Some(1..)) if area(a)) && groups.next().is_none()
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
                chinese,
                &["11010519491231002X", "440524188001010014"],
                &[
                    "110105194912310021",
                    "11010519491331002X",
                    "010105194912310021",
                ],
            ),
            (
                snils,
                &["112-233-445 95", "11223344595"],
                &["112-233-445 96", "001-001-998 00"],
            ),
            (
                inn,
                &["500100732259"],
                &["500100732258", "000000000000", "7707083893"],
            ),
            (
                nric,
                &[
                    "S1234567D",
                    "T1234567J",
                    "F1234567N",
                    "G1234567X",
                    "s1234567d",
                    "M1234567K",
                ],
                &["S1234567E", "A1234567D", "S123456D"],
            ),
            (
                german,
                &["86095742719", "47 036 892 816"],
                &["86095742718", "11111111111", "12345678903"],
            ),
            (
                spanish,
                &["12345678Z", "X1234567L"],
                &["12345678A", "1234567Z", "+2345678Z"],
            ),
            (
                french,
                &["255081416802538", "2 55 08 14 168 025 38"],
                &["255081416802539", "355081416802538"],
            ),
            (polish, &["44051401359"], &["44051401358", "44991401359"]),
            (
                italian,
                &["RSSMRA85T10A562S"],
                &["RSSMRA85T10A562", "1SSMRA85T10A562S"],
            ),
            (
                permanent_account,
                &["ABCPE1234F"],
                &["ABCDE1234F", "ABCPE12345"],
            ),
            (
                social_security,
                &["078-05-1120"],
                &[
                    "000-05-1120",
                    "078-00-1120",
                    "078-05-1120-1",
                    "078051120",
                    "+78-05-1120",
                ],
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

    #[test]
    fn the_check_of_aadhaar_is_verhoeffs() {
        let number = |check: u8| format!("23412341234{check}");
        let valid: Vec<_> = (0..10).map(number).filter(|n| aadhaar(n)).collect();
        assert_eq!(valid.len(), 1);
        let number = valid.concat();
        let grouped = |size: usize| {
            let groups: Vec<_> = number
                .as_bytes()
                .chunks(size)
                .map(String::from_utf8_lossy)
                .collect();
            groups.join(" ")
        };
        assert!(aadhaar(&grouped(4)));
        assert!(!aadhaar(&grouped(6)));
        assert!(!aadhaar(&number.replacen('2', "1", 1)));
    }
}
