//! What neither a record nor its path tells of a flow: what kind of person it is about, on what
//! basis it is processed, as what it counts. The operator says it by route, or a trusted caller.

use serde::{Deserialize, Serialize, Serializer};

use super::{Basis, GroundKind, SubjectKind, Transaction};

/// Each is `None` where nobody said it; laws then read cautiously.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Circumstances {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject_kind: Option<SubjectKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basis: Option<Basis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction: Option<Transaction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub special_ground: Option<SpecialGround>,
}

/// A letter of GDPR Art. 9(2), `a` to `j`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct SpecialGround(u8);

impl Circumstances {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What is said here, and where nothing is, what `other` says.
    pub fn or(self, other: Self) -> Self {
        Self {
            subject_kind: self.subject_kind.or(other.subject_kind),
            basis: self.basis.or(other.basis),
            transaction: self.transaction.or(other.transaction),
            special_ground: self.special_ground.or(other.special_ground),
        }
    }
}

impl SubjectKind {
    pub const WORDS: [(&'static str, Self); 3] = [
        ("customer", Self::Customer),
        ("employee", Self::Employee),
        ("other", Self::Other),
    ];
}

impl GroundKind {
    /// In the order of their bits.
    pub const WORDS: [(&'static str, Self); 12] = [
        ("contract-necessity", Self::ContractNecessity),
        ("contract-in-interest", Self::ContractInInterest),
        ("human-resources", Self::HumanResources),
        ("vital-interest", Self::VitalInterest),
        ("legal-claims", Self::LegalClaims),
        ("public-interest", Self::PublicInterest),
        ("statutory-duty", Self::StatutoryDuty),
        ("public-register", Self::PublicRegister),
        ("public-data", Self::PublicData),
        ("transit", Self::Transit),
        ("treaty", Self::Treaty),
        ("journalism", Self::Journalism),
    ];
}

impl Basis {
    pub const WORDS: [(&'static str, Self); 6] = [
        ("consent", Self::Consent),
        ("contract", Self::Contract),
        ("legal-obligation", Self::LegalObligation),
        ("vital-interest", Self::VitalInterest),
        ("public-task", Self::PublicTask),
        ("legitimate-interests", Self::LegitimateInterests),
    ];
}

impl Transaction {
    pub const WORDS: [(&'static str, Self); 6] = [
        ("brokerage", Self::Brokerage),
        ("vendor", Self::Vendor),
        ("employment", Self::Employment),
        ("investment", Self::Investment),
        ("corporate-group", Self::CorporateGroup),
        ("other", Self::Other),
    ];
}

impl SpecialGround {
    pub const WORDS: [(&'static str, Self); 10] = [
        ("a", Self(b'a')),
        ("b", Self(b'b')),
        ("c", Self(b'c')),
        ("d", Self(b'd')),
        ("e", Self(b'e')),
        ("f", Self(b'f')),
        ("g", Self(b'g')),
        ("h", Self(b'h')),
        ("i", Self(b'i')),
        ("j", Self(b'j')),
    ];

    pub fn parse(text: &str) -> Option<Self> {
        let found = Self::WORDS.iter().find(|(word, _)| *word == text);
        found.map(|(_, ground)| *ground)
    }

    /// Its place in a set of bits: 0 for `a`, 9 for `j`.
    pub fn bit(self) -> u32 {
        u32::from(self.0 - b'a')
    }

    pub fn letter(self) -> char {
        char::from(self.0)
    }
}

impl TryFrom<String> for SpecialGround {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("a special ground is a letter of GDPR Art. 9(2), a to j")
    }
}

impl Serialize for SpecialGround {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_char(self.letter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words are those of questions.
    #[test]
    fn words_are_what_questions_say() {
        fn all<T: Serialize>(words: &[(&str, T)]) {
            for (word, value) in words {
                assert_eq!(serde_json::to_value(value).unwrap(), *word);
            }
        }
        all(&SubjectKind::WORDS);
        all(&GroundKind::WORDS);
        for (bit, (_, kind)) in GroundKind::WORDS.into_iter().enumerate() {
            assert_eq!(kind as usize, bit);
        }
        all(&Basis::WORDS);
        all(&Transaction::WORDS);
        all(&SpecialGround::WORDS);
        assert_eq!(SpecialGround::parse("k"), None);
        assert_eq!(SpecialGround::parse("A"), None);
    }

    #[test]
    fn the_nearer_word_counts() {
        let near = Circumstances {
            basis: Some(Basis::Consent),
            ..Circumstances::default()
        };
        let far = Circumstances {
            basis: Some(Basis::Contract),
            transaction: Some(Transaction::Vendor),
            ..Circumstances::default()
        };
        let both = near.or(far);
        assert_eq!(both.basis, Some(Basis::Consent));
        assert_eq!(both.transaction, Some(Transaction::Vendor));
        assert!(!both.is_empty() && Circumstances::default().is_empty());
    }
}
