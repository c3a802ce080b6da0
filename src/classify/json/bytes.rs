//! Searching text for a few bytes, many at a step, without `unsafe`.

const ONES: u64 = 0x0101_0101_0101_0101;
const TOPS: u64 = 0x8080_8080_8080_8080;

/// The first byte for which `wanted` holds; `marks` must say the same of eight bytes at once, in
/// the top bit of each, exact up to its lowest mark.
///
/// Most strings are short, so the first sixteen bytes go by words of eight; what is longer goes
/// by blocks of thirty-two, in a loop that the compiler turns into vector instructions.
#[inline]
pub(super) fn find(
    bytes: &[u8],
    marks: impl Fn(u64) -> u64,
    wanted: impl Fn(u8) -> bool,
) -> Option<usize> {
    let mut rest = bytes;
    let mut words = 0;
    while let Some((chunk, tail)) = rest.split_first_chunk::<8>() {
        let found = marks(u64::from_le_bytes(*chunk));
        if found != 0 {
            return Some(bytes.len() - rest.len() + (found.trailing_zeros() >> 3) as usize);
        }
        rest = tail;
        words += 1;
        if words == 2 {
            rest = skip_blocks(rest, &wanted);
        }
    }
    let skipped = rest.iter().position(|b| wanted(*b))?;
    Some(bytes.len() - rest.len() + skipped)
}

/// Marks quotes, backslashes and control characters.
#[inline]
pub(super) fn specials(word: u64) -> u64 {
    // Flipping bit 1 puts the quote (0x22) beside the control characters, and 0x20 away from them.
    (below(word ^ (ONES * 0x02), 0x21) | equal(word, b'\\')) & TOPS
}

/// Marks quotes and backslashes.
#[inline]
pub(super) fn quotes(word: u64) -> u64 {
    (equal(word, b'"') | equal(word, b'\\')) & TOPS
}

/// Marks line feeds.
#[inline]
pub(super) fn line_feeds(word: u64) -> u64 {
    equal(word, b'\n') & TOPS
}

/// Marks carriage returns.
#[inline]
pub(super) fn carriage_returns(word: u64) -> u64 {
    equal(word, b'\r') & TOPS
}

/// Bytes below `limit`, at most 0x80. A mark above a true one may be false.
#[inline]
fn below(word: u64, limit: u64) -> u64 {
    word.wrapping_sub(ONES * limit) & !word
}

#[inline]
fn equal(word: u64, byte: u8) -> u64 {
    below(word ^ (ONES * u64::from(byte)), 1)
}

/// Drops blocks in which nothing is wanted.
#[inline]
fn skip_blocks(mut rest: &[u8], wanted: impl Fn(u8) -> bool) -> &[u8] {
    while let Some((block, tail)) = rest.split_first_chunk::<32>() {
        if block.iter().fold(false, |seen, b| seen | wanted(*b)) {
            break;
        }
        rest = tail;
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_found_at_every_place() {
        let special = |b: u8| b < 0x20 || b == b'"' || b == b'\\';
        let quote = |b: u8| b == b'"' || b == b'\\';
        for byte in 0..=255 {
            for at in 0..100 {
                let mut text = vec![b'x'; 100];
                text[at] = byte;
                let expected = |wanted: bool| wanted.then_some(at);
                assert_eq!(find(&text, specials, special), expected(special(byte)));
                assert_eq!(find(&text, quotes, quote), expected(quote(byte)));
                let feed = |b| b == b'\n';
                assert_eq!(find(&text, line_feeds, feed), expected(feed(byte)));
            }
        }
    }

    #[test]
    fn the_first_of_several_wins() {
        for text in [
            &b"abc\x21\x22\x1f\"\\"[..],
            b"\x80\xff\x7f\"",
            b"\"\"\"\"\"\"\"\"\"",
        ] {
            let special = |b: u8| b < 0x20 || b == b'"' || b == b'\\';
            let first = text.iter().position(|b| special(*b));
            assert_eq!(find(text, specials, special), first);
        }
    }
}
