//! How a pin stands in the directory's file.

use smallvec::SmallVec;

use super::Pin;

/// A pin whose home has taken a record; before there was a mark, every pin counted as one.
const STORED: u8 = 1;
/// A pin whose home was only claimed.
const CLAIMED: u8 = 2;

/// [`STORED`] or [`CLAIMED`], then home, countries, copies: counts and lengths in one byte each.
pub(super) fn encode(pin: &Pin, out: &mut Vec<u8>) {
    let text = |out: &mut Vec<u8>, text: &str| {
        // Region names are bounded by the settings far below 255 bytes.
        let length = u8::try_from(text.len()).unwrap_or(u8::MAX);
        out.push(length);
        out.extend(text.bytes().take(usize::from(length)));
    };
    out.clear();
    out.push(if pin.stored { STORED } else { CLAIMED });
    text(out, &pin.region);
    out.push(u8::try_from(pin.countries.len()).unwrap_or(u8::MAX));
    for country in pin.countries.iter().take(usize::from(u8::MAX)) {
        text(out, &country.to_string());
    }
    out.push(u8::try_from(pin.held_in.len()).unwrap_or(u8::MAX));
    for region in pin.held_in.iter().take(usize::from(u8::MAX)) {
        text(out, region);
    }
}

pub(super) fn decode(bytes: &[u8]) -> Option<Pin> {
    fn text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
        let (length, after) = rest.split_first()?;
        let (text, after) = after.split_at_checked(usize::from(*length))?;
        *rest = after;
        std::str::from_utf8(text).ok()
    }
    let (kind, mut rest) = bytes.split_first().map(|(kind, rest)| (*kind, rest))?;
    let stored = match kind {
        STORED => true,
        CLAIMED => false,
        _ => return None,
    };
    let region = text(&mut rest)?.into();
    let (count, after) = rest.split_first()?;
    rest = after;
    let countries = (0..*count)
        .map(|_| text(&mut rest)?.parse().ok())
        .collect::<Option<SmallVec<_>>>()?;
    let (count, after) = rest.split_first()?;
    rest = after;
    let held_in = (0..*count)
        .map(|_| text(&mut rest).map(Into::into))
        .collect::<Option<SmallVec<_>>>()?;
    rest.is_empty().then_some(Pin {
        region,
        countries,
        held_in,
        stored,
    })
}
