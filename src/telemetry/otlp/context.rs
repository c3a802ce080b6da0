//! `traceparent` (W3C Trace Context, §3.2).

use crate::domain::eight_digits;

/// The lowest bit of the flags: somebody before tells this trace.
pub const SAMPLED: u8 = 1;
/// The flags that are handed on as they came: of them nothing but `random` (level 2) has a
/// meaning, which is the trace id's and not ours.
const KEPT: u8 = 2;

/// `00-` trace id `-` span id `-` flags.
const LENGTH: usize = 55;

/// What a caller says of the trace that its request belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    pub trace: u128,
    pub span: u64,
    pub is_sampled: bool,
    /// Flags to be handed on.
    pub kept: u8,
}

/// Reads a `traceparent`; of a version above ours the part that is known (§3.2.4). `None`: what is
/// not sound begins a new trace.
pub fn parse(value: &[u8]) -> Option<Parent> {
    let known = value.get(..LENGTH)?;
    let version = number(known.get(..2)?)?;
    let hyphens = [2, 35, 52].map(|at| known.get(at) == Some(&b'-'));
    let is_long = value.len() > LENGTH;
    let ends_well = match version {
        0 => !is_long,
        0xff => false,
        _ => !is_long || value.get(LENGTH) == Some(&b'-'),
    };
    if !ends_well || hyphens.contains(&false) {
        return None;
    }
    let trace = number(known.get(3..35)?)?;
    let span = u64::try_from(number(known.get(36..52)?)?).ok()?;
    let flags = u8::try_from(number(known.get(53..)?)?).ok()?;
    (trace != 0 && span != 0).then_some(Parent {
        trace,
        span,
        is_sampled: flags & SAMPLED != 0,
        kept: flags & KEPT,
    })
}

/// Lower-case hexadecimal, as the specification demands.
fn number(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0u128, |number, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(digit))
    })
}

/// In version 00.
pub fn print(trace: u128, span: u64, flags: u8) -> [u8; LENGTH] {
    let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
    let trace = [96, 64, 32, 0].map(|shift| eight_digits((trace >> shift) as u32));
    let span = [32, 0].map(|shift| eight_digits((span >> shift) as u32));
    let flags = eight_digits(flags.into());
    let digits = [
        (3, trace.as_flattened()),
        (36, span.as_flattened()),
        (53, flags.get(6..).unwrap_or_default()),
    ];
    for (at, digits) in digits {
        for (place, digit) in text.iter_mut().skip(at).zip(digits) {
            *place = *digit;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SOUND: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_sound_one_is_read() {
        let parent = parse(SOUND.as_bytes()).unwrap();
        assert_eq!(parent.trace, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
        assert_eq!(parent.span, 0xb7ad_6b71_6920_3331);
        assert!(parent.is_sampled);
        let not = parse(SOUND.replace("-01", "-02").as_bytes()).unwrap();
        assert_eq!((not.is_sampled, not.kept), (false, 2));
    }

    #[test]
    fn later_versions_are_read_as_far_as_they_are_known() {
        for later in [
            SOUND.replacen("00", "cc", 1),
            SOUND.replacen("00", "01", 1) + "-what-comes",
        ] {
            assert!(parse(later.as_bytes()).is_some(), "{later}");
        }
        for bad in [
            SOUND.replacen("00", "01", 1) + ".x",
            SOUND.replacen("00", "ff", 1),
            SOUND.to_owned() + "-more",
            SOUND.to_uppercase(),
            SOUND.replace('-', "_"),
            SOUND.replace("b7ad6b7169203331", "0000000000000000"),
            SOUND.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            SOUND.trim_end_matches('1').to_owned(),
            String::new(),
        ] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read(trace in 1u128.., span in 1u64.., flags in 0u8..4) {
            let parent = parse(&print(trace, span, flags)).unwrap();
            prop_assert_eq!((parent.trace, parent.span), (trace, span));
            prop_assert_eq!(u8::from(parent.is_sampled) | parent.kept, flags);
        }

        #[test]
        fn no_bytes_are_too_much(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }
    }
}
