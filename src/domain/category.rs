use std::hash::{Hash, Hasher};

/// Index of a category in the vocabulary of one compiled policy. Below [`CategorySet::CAPACITY`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CategoryId(pub u8);

/// A set of categories; a plain value, so that it can be built per record without allocating.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CategorySet([u64; 4]);

/// Word by word: a hasher's way for texts costs more than all that judgements are found by else.
impl Hash for CategorySet {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.iter().for_each(|word| state.write_u64(*word));
    }
}

impl CategorySet {
    pub const CAPACITY: usize = 256;
    pub const EMPTY: Self = Self([0; 4]);

    pub fn insert(&mut self, id: CategoryId) {
        if let Some(word) = self.0.get_mut(usize::from(id.0 >> 6)) {
            *word |= 1u64 << (id.0 & 63);
        }
    }

    pub fn contains(&self, id: CategoryId) -> bool {
        self.0
            .get(usize::from(id.0 >> 6))
            .is_some_and(|w| w & (1u64 << (id.0 & 63)) != 0)
    }

    pub fn is_empty(&self) -> bool {
        self.0 == [0; 4]
    }

    pub fn union(self, other: Self) -> Self {
        let [a, b, c, d] = self.0;
        let [e, f, g, h] = other.0;
        Self([a | e, b | f, c | g, d | h])
    }

    pub fn intersection(self, other: Self) -> Self {
        let [a, b, c, d] = self.0;
        let [e, f, g, h] = other.0;
        Self([a & e, b & f, c & g, d & h])
    }

    /// What is in `self` and not in `other`.
    pub fn difference(self, other: Self) -> Self {
        let [a, b, c, d] = self.0;
        let [e, f, g, h] = other.0;
        Self([a & !e, b & !f, c & !g, d & !h])
    }

    pub fn intersects(self, other: Self) -> bool {
        !self.intersection(other).is_empty()
    }

    pub fn is_subset(self, other: Self) -> bool {
        self.difference(other).is_empty()
    }

    /// The members in ascending order.
    pub fn iter(self) -> impl Iterator<Item = CategoryId> {
        self.0
            .into_iter()
            .zip([0u8, 64, 128, 192])
            .flat_map(|(word, base)| {
                let mut rest = word;
                std::iter::from_fn(move || {
                    let bit = u8::try_from(rest.trailing_zeros())
                        .ok()
                        .filter(|b| *b < 64)?;
                    rest &= rest - 1;
                    Some(CategoryId(base + bit))
                })
            })
    }

    pub fn words(self) -> [u64; 4] {
        self.0
    }

    pub fn from_words(words: [u64; 4]) -> Self {
        Self(words)
    }
}

impl FromIterator<CategoryId> for CategorySet {
    fn from_iter<I: IntoIterator<Item = CategoryId>>(ids: I) -> Self {
        let mut set = Self::EMPTY;
        for id in ids {
            set.insert(id);
        }
        set
    }
}
