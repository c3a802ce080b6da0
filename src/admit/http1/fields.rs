//! What field lines mean to HTTP/1.1's reader.

use super::fault::HeadFault;
use crate::message::LineFault;

impl From<LineFault> for HeadFault {
    fn from(fault: LineFault) -> Self {
        match fault {
            LineFault::BareLineFeed => Self::BareLineFeed,
            LineFault::BareReturn => Self::BareReturn,
            LineFault::Folded => Self::Folded,
            LineFault::SpaceAroundName => Self::SpaceAroundName,
            LineFault::Name => Self::FieldName,
            LineFault::Value => Self::FieldValue,
            LineFault::Underscore => Self::Underscore,
            LineFault::TooMany => Self::TooMany,
        }
    }
}
