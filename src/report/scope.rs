/// How much of a ledger is read for one report, and how much memory that may take.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    /// From the entry after this number on.
    pub after: u64,
    /// So many entries at most.
    pub most: u64,
    /// Kinds of flows.
    pub(super) rows: usize,
    /// Keys of people that are kept for exact counts.
    pub(super) keys: usize,
    /// Decisions that are remembered: what is told again, and what came of a flow, follows within
    /// minutes.
    pub(super) remembered: usize,
}

impl Scope {
    /// Everything, in about 350 MiB.
    pub fn whole() -> Self {
        Self {
            after: 0,
            most: u64::MAX,
            rows: 20_000,
            keys: 4_000_000,
            remembered: 1 << 20,
        }
    }

    /// A page of a router at work: about a second of one core, and about 30 MiB.
    pub fn page(after: u64) -> Self {
        Self {
            after,
            most: 1_000_000,
            rows: 2_000,
            keys: 250_000,
            remembered: 1 << 17,
        }
    }
}
