use serde::{Serialize, Serializer};

/// Where a belief about a person's country came from.
///
/// The ledger and the metrics record these kinds, never the values that were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum EvidenceKind {
    /// A verified token's claim, or a header set by a caller that the settings trust.
    Attested = 0,
    /// The directory: an earlier record of this subject already has a home.
    Pinned = 1,
    /// A country field in the body, path or query.
    Declared = 2,
    /// A national identifier whose checksum holds.
    Identifier = 3,
    /// An E.164 telephone number.
    Phone = 4,
    /// Address, locale, time zone.
    Weak = 5,
    /// GeoIP of the client's address.
    Network = 6,
}

/// How far a kind of evidence carries; ascending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strength {
    Weak,
    Declared,
}

impl EvidenceKind {
    pub const ALL: [Self; 7] = [
        Self::Attested,
        Self::Pinned,
        Self::Declared,
        Self::Identifier,
        Self::Phone,
        Self::Weak,
        Self::Network,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Attested => "attested",
            Self::Pinned => "pinned",
            Self::Declared => "declared",
            Self::Identifier => "identifier",
            Self::Phone => "phone",
            Self::Weak => "weak",
            Self::Network => "network",
        }
    }

    /// Whether the kind counts as 'declared strength or better' in a `conflict = "all"` route.
    pub fn strength(self) -> Strength {
        match self {
            Self::Attested | Self::Pinned | Self::Declared => Strength::Declared,
            Self::Identifier | Self::Phone | Self::Weak | Self::Network => Strength::Weak,
        }
    }
}

/// The kinds of evidence that were found for one record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct EvidenceSet(u8);

impl EvidenceSet {
    pub const EMPTY: Self = Self(0);

    pub fn insert(&mut self, kind: EvidenceKind) {
        self.0 |= 1 << (kind as u8);
    }

    pub fn contains(self, kind: EvidenceKind) -> bool {
        self.0 & (1 << (kind as u8)) != 0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn bits(self) -> u8 {
        self.0
    }

    pub fn from_bits(bits: u8) -> Self {
        Self(bits & 0x7f)
    }

    pub fn iter(self) -> impl Iterator<Item = EvidenceKind> {
        EvidenceKind::ALL
            .into_iter()
            .filter(move |k| self.contains(*k))
    }
}

impl Serialize for EvidenceSet {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(self.iter().map(EvidenceKind::as_str))
    }
}
