//! What was counted, and what a process holds.

use std::{cell::RefCell, collections::BTreeMap, fs, rc::Rc};

/// Counts by name, and the first example of each thing that went wrong.
#[derive(Clone, Default)]
pub struct Report(Rc<RefCell<Inner>>);

#[derive(Default)]
struct Inner {
    counts: BTreeMap<String, u64>,
    wrong: u64,
    examples: Vec<String>,
}

impl Report {
    pub fn count(&self, what: impl Into<String>) {
        *self.0.borrow_mut().counts.entry(what.into()).or_default() += 1;
    }

    /// Something that must never happen.
    pub fn wrong(&self, what: &str, example: impl FnOnce() -> String) {
        let mut inner = self.0.borrow_mut();
        inner.wrong += 1;
        *inner.counts.entry(format!("WRONG {what}")).or_default() += 1;
        if inner.examples.len() < 20 {
            let example = example();
            inner.examples.push(format!("{what}: {example}"));
        }
    }

    pub fn wrongs(&self) -> u64 {
        self.0.borrow().wrong
    }

    pub fn of(&self, what: &str) -> u64 {
        self.0
            .borrow()
            .counts
            .get(what)
            .copied()
            .unwrap_or_default()
    }

    pub fn print(&self) {
        let inner = self.0.borrow();
        for (what, count) in &inner.counts {
            println!("{count:>10}  {what}");
        }
        for example in &inner.examples {
            println!("  {example}");
        }
    }
}

/// Resident memory in KiB: all of it, and what is not of files.
pub fn resident(pid: u32) -> (u64, u64) {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let of = |name: &str| {
        let line = text.lines().find(|l| l.starts_with(name));
        let number = line.and_then(|l| l.split_whitespace().nth(1));
        number.and_then(|n| n.parse().ok()).unwrap_or_default()
    };
    (of("VmRSS:"), of("RssAnon:"))
}

pub fn percentile(values: &mut [u32], share: f64) -> f64 {
    values.sort_unstable();
    let last = values.len().saturating_sub(1);
    let at = (last as f64 * share).round() as usize;
    values.get(at).copied().map_or(f64::NAN, f64::from)
}
