use serde::{Deserialize, Serialize};

/// What is done with the record.
///
/// `Store` is the first write of the primary copy, `Replicate` a further copy after the primary
/// exists, `Relocate` moves the primary, `Read` is a flow from where the data lies to where the
/// reader is, `Disclose` goes to a recipient outside the regions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Operation {
    Store = 0,
    Replicate = 1,
    Read = 2,
    Disclose = 3,
    Erase = 4,
    Relocate = 5,
}

impl Operation {
    pub const ALL: [Self; 6] = [
        Self::Store,
        Self::Replicate,
        Self::Read,
        Self::Disclose,
        Self::Erase,
        Self::Relocate,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Replicate => "replicate",
            Self::Read => "read",
            Self::Disclose => "disclose",
            Self::Erase => "erase",
            Self::Relocate => "relocate",
        }
    }

    /// Whether a region has more data of the subject after it.
    pub fn writes(self) -> bool {
        match self {
            Self::Store | Self::Replicate | Self::Relocate => true,
            Self::Read | Self::Disclose | Self::Erase => false,
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|o| o.as_str() == text)
    }
}
