//! Rows that a repeated request has displaced. Should nothing come of it, because nothing could be sent or
//! the home refused it, they are what is open; else they are over.

use super::{Row, RowId, Settled, Stage, State};

impl Row {
    /// Takes the rows that this one, which is new, repeats. Gives those whose lines in the log have
    /// another key: they are of an earlier router, which knew records by their paths.
    pub(super) fn displace(&mut self, rows: &mut Vec<Row>) -> impl Iterator<Item = Row> + use<> {
        let former = self.address.as_ref().and_then(|own| own.former());
        let (own, region) = (self.record, self.region.clone());
        let is_same = |old: &mut Row| {
            old.region == region && (old.record == own || Some(old.record) == former)
        };
        let mut other_keys = Vec::new();
        for mut old in rows.extract_if(.., is_same) {
            if old.record != own {
                other_keys.push(old.clone());
                old.record = own;
                old.address = self.address.clone();
            }
            self.displaced.append(&mut old.displaced);
            self.displaced.push(old);
        }
        other_keys.into_iter()
    }

    /// Becomes the last row that it has displaced, which this gives; `None`: there is none.
    pub(super) fn restore(&mut self) -> Option<Row> {
        let mut before = self.displaced.pop()?;
        before.displaced = std::mem::take(&mut self.displaced);
        *self = before;
        Some(self.clone())
    }

    pub(super) fn spare_pin(&mut self) {
        self.ends_pin = false;
        self.displaced.retain(|old| old.stage != Stage::Confirmed);
        self.displaced
            .iter_mut()
            .for_each(|old| old.ends_pin = false);
    }
}

impl State {
    /// The rows under which a displaced row stands, and its place among them.
    fn displaced(&mut self, id: &RowId) -> Option<(&mut Vec<Row>, usize)> {
        let rows = self.rows.get_mut(&id.subject)?.iter_mut();
        rows.filter(|row| row.region == id.region && row.record == id.record)
            .find_map(|row| {
                let at = row.displaced.iter().position(|old| old.is(id))?;
                Some((&mut row.displaced, at))
            })
    }

    /// Whether a later request of the same record has not come to its end, after which this row may be
    /// open again.
    pub(super) fn is_displaced(&mut self, id: &RowId) -> bool {
        self.displaced(id).is_some()
    }

    /// What became of a try whose row was displaced meanwhile.
    pub(super) fn settle_displaced(&mut self, id: &RowId, settled: Settled) {
        let Some((rows, at)) = self.displaced(id) else {
            return;
        };
        if settled == Settled::Forgotten {
            rows.remove(at);
            return;
        }
        // Those before it are over.
        rows.drain(..at);
        let Some(row) = rows.first_mut() else { return };
        match settled {
            Settled::Confirmed if row.ends_pin => row.stage = Stage::Confirmed,
            Settled::Confirmed | Settled::Forgotten => drop(rows.remove(0)),
            Settled::Open if row.stage == Stage::Repeat => {}
            Settled::Open => row.stage = Stage::Retrying,
            Settled::Repeat { refused } => {
                row.stage = Stage::Repeat;
                row.refused = refused;
            }
        }
    }
}
