use std::collections::{HashMap, VecDeque};

use foldhash::fast::FixedState;
use smallvec::SmallVec;

use crate::domain::DecisionId;

/// The last decisions, and the rows in which each was counted.
#[derive(Debug)]
pub struct Recent {
    most: usize,
    rows: HashMap<DecisionId, SmallVec<[Counted; 2]>, FixedState>,
    order: VecDeque<DecisionId>,
}

#[derive(Clone, Copy, Debug)]
struct Counted {
    row: u32,
    confirmed: bool,
}

impl Recent {
    pub fn new(most: usize) -> Self {
        Self {
            most,
            rows: HashMap::default(),
            order: VecDeque::new(),
        }
    }

    /// Whether the decision counts in this row for the first time. One is told again when it
    /// changes a pin once more (docs/ledger-format.md).
    pub fn is_new(&mut self, decision: DecisionId, row: u32) -> bool {
        let rows = self.rows.entry(decision).or_default();
        if rows.iter().any(|counted| counted.row == row) {
            return false;
        }
        if rows.is_empty() {
            self.order.push_back(decision);
        }
        rows.push(Counted {
            row,
            confirmed: false,
        });
        if self.order.len() > self.most
            && let Some(oldest) = self.order.pop_front()
        {
            self.rows.remove(&oldest);
        }
        true
    }

    /// The rows of which the decision had not been confirmed before.
    pub fn confirm(&mut self, decision: DecisionId) -> SmallVec<[u32; 2]> {
        let rows = self.rows.get_mut(&decision);
        let rows = rows.into_iter().flatten().filter(|c| !c.confirmed);
        rows.map(|counted| {
            counted.confirmed = true;
            counted.row
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_counts_and_is_confirmed_once_in_each_row() {
        let mut recent = Recent::new(100);
        let [one, two] = [1, 2].map(|n| DecisionId::new(n, 0));
        assert!(recent.is_new(one, 7));
        assert!(!recent.is_new(one, 7));
        assert!(recent.is_new(one, 8));
        assert!(recent.is_new(two, 7));
        assert_eq!(recent.confirm(one).as_slice(), [7, 8]);
        assert!(recent.confirm(one).is_empty());
        assert!(recent.confirm(DecisionId::new(3, 0)).is_empty());
    }

    #[test]
    fn the_oldest_is_forgotten() {
        let mut recent = Recent::new(100);
        for n in 0..=100 {
            assert!(recent.is_new(DecisionId::new(n, 0), 0));
        }
        assert_eq!(recent.rows.len(), 100);
        assert!(recent.confirm(DecisionId::new(0, 0)).is_empty());
        assert_eq!(recent.confirm(DecisionId::new(1, 0)).len(), 1);
    }
}
