//! The Huffman code of HPACK (RFC 7541 §5.2 and appendix B).
//!
//! The code is canonical: codes of one length follow each other in the order of their symbols, and
//! the longer begin where the shorter end. So the lengths are all there is to know of it.

/// A string is not one that the code has: bits that are no symbol's, padding that is longer than 7
/// bits or not of ones, or the symbol that stands for the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsound;

/// Length of the code of each octet, in bits (RFC 7541 appendix B). The end of a string (EOS) is the
/// one symbol beyond, with the last code of 30 bits.
#[rustfmt::skip]
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

/// The longest code.
const LONGEST: usize = 30;

/// What decoding asks of the codes of each length.
struct Codes {
    /// Octets in the order of their codes.
    octets: [u8; 256],
    /// By length: the first code that is beyond those of this length, its bits at the top of 32.
    ends: [u32; LONGEST + 1],
    /// By length: the first of its codes, likewise, and where its octet stands.
    starts: [(u32, u16); LONGEST + 1],
}

const CODES: Codes = codes();

#[expect(
    clippy::indexing_slicing,
    reason = "at build time; what is out of bounds would not compile"
)]
const fn codes() -> Codes {
    let mut codes = Codes {
        octets: [0; 256],
        ends: [0; LONGEST + 1],
        starts: [(0, 0); LONGEST + 1],
    };
    let (mut length, mut next, mut at) = (1, 0u32, 0u16);
    while length <= LONGEST {
        codes.starts[length] = (next, at);
        let mut octet = 0;
        while octet < LENGTHS.len() {
            if LENGTHS[octet] as usize == length {
                codes.octets[at as usize] = octet as u8;
                at += 1;
                next += 1 << (32 - length);
            }
            octet += 1;
        }
        codes.ends[length] = next;
        length += 1;
    }
    codes
}

/// Writes what `coded` stands for at the end of `out`; that is at most 8/5 of its length.
///
/// # Errors
/// [`Unsound`], after which `out` has the octets that were found until then.
pub fn decode(coded: &[u8], out: &mut Vec<u8>) -> Result<(), Unsound> {
    // The bits that are not decoded, at the top, and how many they are.
    let (mut bits, mut held) = (0u64, 0u32);
    let mut rest = coded.iter();
    loop {
        while held <= 56
            && let Some(octet) = rest.next()
        {
            bits |= u64::from(*octet) << (56 - held);
            held += 8;
        }
        // Missing bits are zeros; a code that needs them is longer than what is held.
        let window = (bits >> 32) as u32;
        let length = (5..=LONGEST).find(|l| CODES.ends.get(*l).is_some_and(|end| window < *end));
        match length {
            Some(length) if length as u32 <= held => {
                let (start, at) = CODES.starts.get(length).ok_or(Unsound)?;
                let past = (window - start) >> (32 - length);
                let octet = CODES.octets.get(usize::from(*at) + past as usize);
                out.push(*octet.ok_or(Unsound)?);
                bits <<= length;
                held -= length as u32;
            }
            _ => break,
        }
    }
    // RFC 7541 §5.2: less than an octet, of the most significant bits of EOS, which are ones.
    let padding = u64::MAX.checked_shl(64 - held).unwrap_or(0);
    match held < 8 && rest.as_slice().is_empty() && bits == padding {
        true => Ok(()),
        false => Err(Unsound),
    }
}

/// The codes of `text`, padded: what [`decode`] is tried against.
#[cfg(test)]
pub(crate) fn encode(text: &[u8]) -> Vec<u8> {
    let code = |octet: u8| {
        let length = usize::from(LENGTHS[usize::from(octet)]);
        let before = (0..octet).filter(|o| usize::from(LENGTHS[usize::from(*o)]) == length);
        let (start, _) = CODES.starts[length];
        (length, (start >> (32 - length)) + before.count() as u32)
    };
    let mut bits: Vec<bool> = Vec::new();
    for octet in text {
        let (length, code) = code(*octet);
        bits.extend((0..length).rev().map(|at| code >> at & 1 == 1));
    }
    while !bits.len().is_multiple_of(8) {
        bits.push(true);
    }
    let octet = |bits: &[bool]| bits.iter().fold(0, |n, bit| n << 1 | u8::from(*bit));
    bits.chunks(8).map(octet).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(coded: &[u8]) -> Result<Vec<u8>, Unsound> {
        let mut out = Vec::new();
        decode(coded, &mut out).map(|()| out)
    }

    #[test]
    fn the_codes_are_those_of_the_standard() {
        // RFC 7541 appendix B: the first and last of the short, and the last of all but EOS.
        for (octet, length, code) in [
            (b'0', 5, 0x0),
            (b't', 5, 0x9),
            (b' ', 6, 0x14),
            (b'u', 6, 0x2d),
            (b':', 7, 0x5c),
            (b'&', 8, 0xf8),
            (b'Z', 8, 0xfd),
            (b'\\', 19, 0x7fff0),
            (0x7f, 28, 0x0ffffffc),
            (0x16, 30, 0x3ffffffe),
        ] {
            let index = CODES.octets.iter().position(|o| *o == octet).unwrap();
            let (start, at) = CODES.starts[length];
            let code_of = (start >> (32 - length)) + (index as u32 - u32::from(at));
            assert_eq!(usize::from(LENGTHS[usize::from(octet)]), length, "{octet}");
            assert_eq!(code_of, code, "{octet}");
        }
        // All codes but EOS are given out.
        assert_eq!(CODES.ends[LONGEST], !0b11);
    }

    #[test]
    fn the_examples_of_the_standard_are_read() {
        // RFC 7541 appendix C.4.1 and C.6.1.
        let coded = [
            0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff,
        ];
        assert_eq!(decoded(&coded).unwrap(), b"www.example.com");
        assert_eq!(decoded(&[0x64, 0x02]).unwrap(), b"302");
        assert_eq!(decoded(&[]).unwrap(), b"");
    }

    #[test]
    fn unsound_strings_are_refused() {
        for coded in [
            // Padding of zeros, of mixed bits, and of a whole octet.
            &[0b0000_0000][..],
            &[0b0000_0101],
            &[0b0000_0111, 0xff],
            &[0xff],
            // EOS, alone and after an octet.
            &[0xff, 0xff, 0xff, 0xff],
            &[0b0000_0111, 0xff, 0xff, 0xff, 0xff, 0xff],
            // The beginning of a long code.
            &[0xff, 0xc0],
        ] {
            assert_eq!(decoded(coded), Err(Unsound), "{coded:x?}");
        }
        assert_eq!(decoded(&[0b0000_0111]).unwrap(), b"0");
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_read_again(text in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(decoded(&encode(&text)).unwrap(), text);
        }

        /// There is one way to write each string.
        #[test]
        fn what_is_read_is_encoded_so(coded in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(text) = decoded(&coded) {
                prop_assert_eq!(encode(&text), coded);
            }
        }
    }
}
