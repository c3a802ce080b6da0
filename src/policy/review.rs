//! What only shows when all files are seen together: contradictions (errors) and things to look
//! at (warnings).

use jiff::{ToSpan, civil::Date};

use crate::document::Faults;

use super::{checked::Checked, sets::Interval};

pub fn errors(checked: &Checked, faults: &Faults) {
    let _ = (checked, faults);
}

pub fn warnings(checked: &Checked, day: Date, faults: &Faults) {
    let _ = (checked, day, faults, Interval::ALWAYS, 90.days());
}
