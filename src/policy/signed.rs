//! What was signed and assessed, as one law sees it on one day.

use jiff::civil::Date;

use super::{
    checked::Checked,
    compile::{ActiveAssessment, LawTable, RuleMask, Usable},
    condition::Need,
    days::filing_holds,
    instrument::{Assessment, Instrument},
    law::{Law, Rule},
    sets::{InstrumentId, Interval},
};

impl LawTable {
    pub(super) fn add_instrument(
        &mut self,
        id: InstrumentId,
        instrument: &Instrument,
        law: &Law,
        checked: &Checked,
    ) {
        if !instrument.valid.contains(self.day) {
            return;
        }
        let mut rules: RuleMask = 0;
        for (i, active) in self.rules.iter().enumerate() {
            let fits = law
                .rules
                .get(usize::from(active.index))
                .is_some_and(|r| suits(instrument, r, law, self.day));
            if fits {
                rules |= 1 << i;
            }
        }
        if rules == 0 {
            return;
        }
        let countries = instrument
            .countries
            .on(self.day, &checked.vocabulary.groups);
        let assessed = instrument
            .assessment
            .as_ref()
            .is_some_and(|a| a.valid.contains(self.day));
        for exporter in &instrument.exporters {
            for importer in &instrument.importers {
                let pair = self.usable.entry((*exporter, *importer)).or_default();
                pair.push(Usable {
                    instrument: id,
                    rules,
                    countries: countries.clone(),
                    assessed,
                });
            }
        }
    }

    pub(super) fn add_assessment(
        &mut self,
        index: u16,
        assessment: &Assessment,
        checked: &Checked,
    ) {
        if !assessment.valid.contains(self.day) {
            return;
        }
        let groups = &checked.vocabulary.groups;
        for exporter in &assessment.exporters {
            let of = self.assessments.entry(*exporter).or_default();
            of.push(ActiveAssessment {
                index,
                countries: assessment.countries.on(self.day, groups),
            });
        }
    }

    /// The usable instruments, each once, in their order.
    pub fn usable_sorted(&self) -> Vec<&Usable> {
        let mut all: Vec<&Usable> = self.usable.values().flatten().collect();
        all.sort_by_key(|u| u.instrument);
        all.dedup_by_key(|u| u.instrument);
        all
    }

    /// The assessments in date, each once, in their order.
    pub fn assessed_sorted(&self) -> Vec<&ActiveAssessment> {
        let mut all: Vec<&ActiveAssessment> = self.assessments.values().flatten().collect();
        all.sort_by_key(|a| a.index);
        all.dedup_by_key(|a| a.index);
        all
    }
}

/// Whether the instrument meets what of a rule's demands does not hang on the question.
pub(crate) fn suits(instrument: &Instrument, rule: &Rule, law: &Law, day: Date) -> bool {
    // Asked for every instrument and every rule: most are told apart here.
    if rule.instruments_of != Some(instrument.mechanism) {
        return false;
    }
    let wanted = rule
        .requires
        .iter()
        .flatten()
        .any(|n| *n == Need::Instrument);
    let edition_fits = rule.editions.is_empty()
        || instrument
            .edition
            .as_ref()
            .is_some_and(|e| rule.editions.contains(e));
    let agreed_in_time = rule.concluded == Interval::ALWAYS
        || instrument
            .agreed()
            .is_some_and(|d| rule.concluded.contains(d));
    wanted && edition_fits && agreed_in_time && filing_holds(rule.filing, instrument, law, day)
}
