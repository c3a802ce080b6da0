//! Searching text for a few bytes, many at a step, without `unsafe`.

const ONES: u64 = 0x0101_0101_0101_0101;
const TOPS: u64 = 0x8080_8080_8080_8080;

/// How many bytes stand before the first quote, backslash or control character.
///
/// Most strings are short, so the first sixteen bytes go by words of eight; what is longer goes
/// by blocks of sixty-four, in a loop that the compiler turns into vector instructions.
#[inline(always)]
pub(super) fn special(bytes: &[u8]) -> usize {
    if let Some((short, rest)) = bytes.split_first_chunk::<16>() {
        let (words, _) = short.as_chunks::<8>();
        for (number, word) in words.iter().enumerate() {
            let found = specials(u64::from_le_bytes(*word));
            if found != 0 {
                return number * 8 + place(found);
            }
        }
        return 16 + far_special(rest);
    }
    far_special(bytes)
}

/// As [`special`], for what is probably further away.
#[inline(never)]
fn far_special(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    let is_near = bytes.first_chunk::<16>().is_some_and(has_special);
    while !is_near && let Some((block, tail)) = rest.split_first_chunk::<64>() {
        if has_special(block) {
            break;
        }
        rest = tail;
    }
    while let Some((block, tail)) = rest.split_first_chunk::<16>() {
        if has_special(block) {
            break;
        }
        rest = tail;
    }
    while let Some((word, tail)) = rest.split_first_chunk::<8>() {
        let found = specials(u64::from_le_bytes(*word));
        if found != 0 {
            return bytes.len() - rest.len() + place(found);
        }
        rest = tail;
    }
    let passed = bytes.len() - rest.len();
    let skipped = match bytes.last_chunk::<8>() {
        // Zeros come after what is left, and are found there if nothing is before.
        Some(last) if !rest.is_empty() => {
            let left = u64::from_le_bytes(*last) >> (u64::BITS - 8 * rest.len() as u32);
            place(specials(left))
        }
        _ => {
            let found = rest.iter().position(|b| *b ^ 2 <= 0x20 || *b == b'\\');
            found.unwrap_or(rest.len())
        }
    };
    passed + skipped
}

/// The compiler makes vector instructions of it.
#[inline(always)]
fn has_special<const N: usize>(block: &[u8; N]) -> bool {
    // Flipping bit 1 puts the quote (0x22) beside the control characters, and 0x20 away.
    let special = |b: &u8| (*b ^ 2).saturating_sub(0x20).min(*b ^ b'\\') == 0;
    block.iter().fold(false, |seen, b| seen | special(b))
}

/// Whether no byte is above 0x7f. Looks at a last block that overlaps the one before, where the
/// standard library's goes on byte by byte.
pub(super) fn is_ascii(bytes: &[u8]) -> bool {
    let (blocks, tail) = bytes.as_chunks::<64>();
    let last = match bytes.last_chunk::<64>() {
        Some(last) => last,
        None => tail,
    };
    blocks.as_flattened().is_ascii() && last.iter().fold(0, |all, b| all | *b) < 0x80
}

/// Which of eight bytes the lowest mark stands for.
#[inline(always)]
fn place(marks: u64) -> usize {
    (marks.trailing_zeros() >> 3) as usize
}

/// Marks quotes, backslashes and control characters in the top bit of each byte, exact up to the
/// lowest mark.
#[inline(always)]
pub(super) fn specials(word: u64) -> u64 {
    let quote_or_control = below(word ^ (ONES * 0x02), 0x21);
    let backslash = below(word ^ (ONES * b'\\' as u64), 1);
    (quote_or_control | backslash) & TOPS
}

/// Bytes below `limit`, at most 0x80. A mark above a true one may be false.
#[inline(always)]
fn below(word: u64, limit: u64) -> u64 {
    word.wrapping_sub(ONES * limit) & !word
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_special(b: u8) -> bool {
        b < 0x20 || b == b'"' || b == b'\\'
    }

    #[test]
    fn every_byte_is_found_at_every_place() {
        for byte in 0..=255 {
            for length in [1, 7, 8, 9, 15, 16, 17, 24, 79, 80, 81, 200] {
                for at in 0..length {
                    let mut text = vec![b'x'; length];
                    text[at] = byte;
                    let expected = if is_special(byte) { at } else { length };
                    assert_eq!(special(&text), expected, "{byte} at {at} of {length}");
                    assert_eq!(special(&text[at..]), expected - at);
                    assert_eq!(special(&text[at + 1..]), length - at - 1);
                    assert_eq!(is_ascii(&text), byte < 0x80);
                }
            }
        }
    }

    #[test]
    fn the_first_of_several_wins() {
        for text in [
            &b"abc\x21\x22\x1f\"\\"[..],
            b"\x80\xff\x7f\"",
            b"\"\"\"\"\"\"\"\"\"",
            b"0123456\xa2\"",
        ] {
            let first = text.iter().position(|b| is_special(*b)).unwrap();
            assert_eq!(special(text), first);
        }
    }
}
