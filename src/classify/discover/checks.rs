//! Check digits.

/// Of the digits alone, if there are at least `least` and nothing else but `between`.
pub fn digits(text: &str, between: &[char]) -> Option<Vec<u8>> {
    let kept = text.chars().filter(|c| !between.contains(c));
    kept.map(|c| c.to_digit(10).and_then(|d| u8::try_from(d).ok()))
        .collect()
}

/// ISO/IEC 7812-1, Annex B.
pub fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, u32::from(*digit)) {
            (0, digit) => digit,
            (_, digit) => digit * 2 - if digit > 4 { 9 } else { 0 },
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Verhoeff's, of which Aadhaar's last digit is one.
pub fn verhoeff(digits: &[u8]) -> bool {
    // The group of the pentagon's symmetries, without its table.
    let times = |a: u8, b: u8| match (a < 5, b < 5) {
        (true, true) => (a + b) % 5,
        (true, false) => 5 + (a + b - 5) % 5,
        (false, true) => 5 + (a + 5 - b) % 5,
        (false, false) => (a + 5 - b) % 5,
    };
    const STEP: [u8; 10] = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4];
    let permuted = |digit: u8, place: usize| {
        (0..place % 8).fold(digit, |d, _| STEP.get(usize::from(d)).copied().unwrap_or(d))
    };
    let places = digits.iter().rev().enumerate();
    places.fold(0, |sum, (place, digit)| times(sum, permuted(*digit, place))) == 0
}

/// The remainder of the sum of digits, each times its weight.
pub fn weighted(digits: &[u8], weights: &[u32], modulus: u32) -> u32 {
    let products = digits.iter().zip(weights).map(|(d, w)| u32::from(*d) * w);
    products.sum::<u32>() % modulus
}

/// ISO 7064, MOD 97-10, of letters (as 10 to 35) and digits.
pub fn mod_97(text: impl Iterator<Item = char>) -> Option<u32> {
    text.map(|c| c.to_digit(36)).try_fold(0, |sum, value| {
        let value = value?;
        Some((if value < 10 { sum * 10 } else { sum * 100 } + value) % 97)
    })
}

/// ISO 7064, MOD 11,10, as Germany's tax number has it.
pub fn mod_11_10(digits: &[u8]) -> bool {
    let Some((last, rest)) = digits.split_last() else {
        return false;
    };
    let product = rest.iter().fold(10, |product, digit| {
        let sum = (u32::from(*digit) + product) % 10;
        (if sum == 0 { 10 } else { sum }) * 2 % 11
    });
    (11 - product) % 10 == u32::from(*last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<u8> {
        digits(text, &[]).unwrap()
    }

    #[test]
    fn the_sums_of_the_standards() {
        assert!(luhn(&of("4111111111111111")));
        assert!(!luhn(&of("4111111111111112")));
        // J. Verhoeff's example: 236 has the check digit 3.
        assert!(verhoeff(&of("2363")));
        assert!(!verhoeff(&of("2364")));
        assert!(!verhoeff(&of("2633")), "a transposition");
        assert_eq!(mod_97("3214282912345698765432161182".chars()), Some(1));
        // The example of the Federal Central Tax Office.
        assert!(mod_11_10(&of("86095742719")));
        assert!(!mod_11_10(&of("86095742718")));
        assert_eq!(weighted(&[1, 2, 3], &[3, 2, 1], 11), 10);
    }
}
