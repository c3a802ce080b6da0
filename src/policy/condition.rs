//! What rules ask of a flow: `when` (does the rule concern it?), `unless` (exceptions of
//! prohibitions), `requires` (what a mechanism needs, and a refusal names when it lacks).

use smallvec::SmallVec;

use crate::{
    document::{Faults, Fields, Node},
    domain::{
        Basis, CategorySet, ConsentKind, GroundKind, Protection, Role, SpecialGround, SubjectKind,
        Transaction,
    },
};

use super::{
    instrument::AssessmentKind,
    read,
    sets::{AttributeId, AttributeSet, CounterId, MechanismId, PurposeId},
    vocabulary::{Vocabulary, Words},
};

/// All that is set must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct When {
    /// Some category of the record is, or may be, among these.
    pub categories: Option<CategorySet>,
    /// No category of the record is, or may be, among these.
    pub without: CategorySet,
    pub sensitive: Option<bool>,
    /// Bits of [`SubjectKind`].
    pub subject_kinds: Option<u8>,
    pub purposes: Option<Vec<PurposeId>>,
    pub purposes_without: Vec<PurposeId>,
    /// At least one of them.
    pub exporter: AttributeSet,
    pub exporter_without: AttributeSet,
    pub importer: AttributeSet,
    pub importer_without: AttributeSet,
    /// At least one party of the flow has one of them.
    pub parties: AttributeSet,
    pub exporter_role: Option<Role>,
    pub importer_role: Option<Role>,
    /// The law attaches by where the person lives or was.
    pub person: Option<bool>,
    pub citizen: Option<bool>,
    /// Whether the data was collected outside the law's territory; unknown goes by where the
    /// flow starts.
    pub collected_abroad: Option<bool>,
    /// A foreign authority demands the data, and the law's own has not approved.
    pub unapproved_order: Option<bool>,
    /// Bits of [`Basis`].
    pub basis: Option<u8>,
    /// Bits of [`SpecialGround`].
    pub special_grounds: Option<u16>,
    pub transactions: Option<u8>,
    pub same_entity: Option<bool>,
    pub in_place: Option<bool>,
    /// The person hands the data over: there is no exporter.
    pub direct: Option<bool>,
    /// Known to be younger than this.
    pub below_age: Option<u16>,
    /// The importer is the controller that instructs the exporter.
    pub instructs_exporter: Option<bool>,
    /// Bits of [`Transaction`]; the flow is none of these.
    pub transactions_without: u8,
    /// The record passes this table of thresholds.
    pub above: Option<u8>,
    /// The record does not pass this table of thresholds.
    pub below: Option<u8>,
    /// Each must hold; within one, any.
    pub counts: Vec<SmallVec<[CountTest; 2]>>,
}

/// Any that holds lifts the prohibition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unless {
    /// Bits of [`GroundKind`].
    pub grounds: u16,
    pub exporter: AttributeSet,
    /// Bits of [`ConsentKind`].
    pub consents: u8,
    /// Only a parent's consent counts.
    pub by_parent: bool,
    /// An instrument of this mechanism covers the flow.
    pub instrument: Option<MechanismId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountTest {
    pub counter: CounterId,
    pub edge: Edge,
    pub number: u64,
}

/// Legal edges keep their own operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    Below,
    AtMost,
    Above,
    AtLeast,
    Exactly,
}

impl CountTest {
    pub fn holds(&self, count: u64) -> bool {
        self.holds_at(self.number, count)
    }

    /// The same edge at another number.
    pub fn holds_at(&self, number: u64, count: u64) -> bool {
        match self.edge {
            Edge::Below => count < number,
            Edge::AtMost => count <= number,
            Edge::Above => count > number,
            Edge::AtLeast => count >= number,
            Edge::Exactly => count == number,
        }
    }
}

/// One thing that a mechanism needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A valid instrument of this mechanism between these two entities.
    Instrument,
    /// In the instrument, or on its own.
    Assessment(AssessmentKind),
    Consent {
        kind: ConsentKind,
        informed: bool,
        occasional: bool,
    },
    Ground {
        kind: GroundKind,
        occasional: bool,
    },
    Exporter(AttributeId),
    Importer(AttributeId),
    Protection(Protection),
    Transaction(Transaction),
}

/// What an instrument's filing must have come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum FilingNeed {
    #[default]
    None,
    /// Filed, and neither limited nor prohibited.
    Filed,
    /// Filed, and this many working days are over.
    FiledFor(u8),
    /// Usable at once, but filed by the end of this many working days after it took effect.
    FiledWithin(u8),
    Approved,
}

pub const ROLES: [(&str, Role); 2] = [
    ("controller", Role::Controller),
    ("processor", Role::Processor),
];
pub const GROUNDS: [(&str, GroundKind); 12] = GroundKind::WORDS;
pub const CONSENTS: [(&str, ConsentKind); 6] = [
    ("transfer", ConsentKind::Transfer),
    ("disclosure", ConsentKind::Disclosure),
    ("separate", ConsentKind::Separate),
    ("special-category", ConsentKind::SpecialCategory),
    ("parental", ConsentKind::Parental),
    ("written", ConsentKind::Written),
];
pub const BASES: [(&str, Basis); 6] = Basis::WORDS;
pub const KINDS: [(&str, SubjectKind); 3] = SubjectKind::WORDS;
pub const TRANSACTIONS: [(&str, Transaction); 6] = Transaction::WORDS;
pub const PROTECTIONS: [(&str, Protection); 4] = [
    ("clear", Protection::Clear),
    ("pseudonymised", Protection::Pseudonymised),
    ("encrypted-exporter-keys", Protection::EncryptedExporterKeys),
    ("transit-only", Protection::TransitOnly),
];

/// The bits of the words that a list names.
fn bits<T: Copy>(
    node: &Node,
    what: &str,
    table: &[(&str, T)],
    bit: impl Fn(T) -> u32,
    faults: &Faults,
) -> u32 {
    node.texts(faults)
        .into_iter()
        .filter_map(|(text, item)| read::pick_text(text, item, what, table, faults))
        .fold(0, |set, value| set | 1 << bit(value))
}

impl When {
    pub fn read(node: &Node, words: &Words<'_>, faults: &Faults) -> Option<Self> {
        let f = node.fields(faults)?;
        let attributes = |key| {
            f.maybe(key)
                .map(|n| read::attributes(n, words, faults))
                .unwrap_or_default()
        };
        let flag = |key| f.maybe(key).and_then(|n: &Node| n.boolean(faults));
        let role = |key| {
            f.maybe(key)
                .and_then(|n| read::pick(n, "role", &ROLES, faults))
        };
        let byte = |n: u32| u8::try_from(n).unwrap_or(u8::MAX);
        let when = Self {
            categories: f
                .maybe("categories")
                .map(|n| read::categories(n, words, faults)),
            without: f
                .maybe("without")
                .map(|n| read::categories(n, words, faults))
                .unwrap_or_default(),
            sensitive: flag("sensitive"),
            subject_kinds: f
                .maybe("subject_kinds")
                .map(|n| byte(bits(n, "kind of person", &KINDS, |k| k as u32, faults))),
            purposes: f
                .maybe("purposes")
                .map(|n| read::purposes_of_law(n, words, faults)),
            purposes_without: f
                .maybe("purposes_without")
                .map(|n| read::purposes_of_law(n, words, faults))
                .unwrap_or_default(),
            exporter: attributes("exporter"),
            exporter_without: attributes("exporter_without"),
            importer: attributes("importer"),
            importer_without: attributes("importer_without"),
            parties: attributes("parties"),
            exporter_role: role("exporter_role"),
            importer_role: role("importer_role"),
            person: flag("person"),
            citizen: flag("citizen"),
            collected_abroad: flag("collected_abroad"),
            unapproved_order: flag("unapproved_order"),
            basis: f
                .maybe("basis")
                .map(|n| byte(bits(n, "legal basis", &BASES, |b| b as u32, faults))),
            special_grounds: f.maybe("special_grounds").map(|n| {
                let (what, words) = ("letter of GDPR Art. 9(2)", &SpecialGround::WORDS);
                u16::try_from(bits(n, what, words, SpecialGround::bit, faults)).unwrap_or(0)
            }),
            transactions: f
                .maybe("transactions")
                .map(|n| byte(bits(n, "transaction", &TRANSACTIONS, |t| t as u32, faults))),
            below_age: f
                .maybe("below_age")
                .and_then(|n| n.integer_in(1..=120, faults))
                .and_then(|i| u16::try_from(i).ok()),
            instructs_exporter: flag("instructs_exporter"),
            transactions_without: f.maybe("transactions_without").map_or(0, |n| {
                byte(bits(n, "transaction", &TRANSACTIONS, |t| t as u32, faults))
            }),
            above: f
                .maybe("above")
                .and_then(|n| words.need_thresholds(n, faults)),
            below: f
                .maybe("below")
                .and_then(|n| words.need_thresholds(n, faults)),
            same_entity: flag("same_entity"),
            in_place: flag("in_place"),
            direct: flag("direct"),
            counts: read_counts(&f, words),
        };
        f.finish();
        Some(when)
    }
}

impl When {
    /// Whether the condition asks what neither [`Facts`](super::facts::Facts) nor the parties'
    /// attributes tell.
    pub fn asks_more(&self) -> bool {
        let Self {
            sensitive: _,
            subject_kinds: _,
            exporter: _,
            exporter_without: _,
            importer: _,
            importer_without: _,
            parties: _,
            exporter_role: _,
            importer_role: _,
            person: _,
            citizen: _,
            transactions: _,
            same_entity: _,
            in_place: _,
            direct: _,
            transactions_without: _,
            categories,
            without,
            purposes,
            purposes_without,
            collected_abroad,
            unapproved_order,
            basis,
            special_grounds,
            below_age,
            instructs_exporter,
            above,
            below,
            counts,
        } = self;
        categories.is_some()
            || !without.is_empty()
            || purposes.is_some()
            || !purposes_without.is_empty()
            || collected_abroad.is_some()
            || unapproved_order.is_some()
            || basis.is_some()
            || special_grounds.is_some()
            || below_age.is_some()
            || instructs_exporter.is_some()
            || above.is_some()
            || below.is_some()
            || !counts.is_empty()
    }

    /// Every edge that the condition draws, those of its tables of thresholds included.
    pub fn count_tests<'a>(
        &'a self,
        vocabulary: &'a Vocabulary,
    ) -> impl Iterator<Item = &'a CountTest> {
        let tables = [self.above, self.below].into_iter().flatten();
        let of_table = tables
            .filter_map(|t| vocabulary.thresholds.get(usize::from(t)))
            .flat_map(|t| &t.tests);
        self.counts.iter().flatten().chain(of_table)
    }
}

fn read_counts(f: &Fields<'_>, words: &Words<'_>) -> Vec<SmallVec<[CountTest; 2]>> {
    let faults = f.faults();
    let Some(node) = f.maybe("counts") else {
        return Vec::new();
    };
    node.texts(faults)
        .into_iter()
        .map(|(text, item)| {
            text.split(" or ")
                .filter_map(|one| count_test_or_fault(one, item, words, faults))
                .collect()
        })
        .collect()
}

/// Reads `cn.ordinary < 100000`.
pub fn count_test_or_fault(
    text: &str,
    item: &Node,
    words: &Vocabulary,
    faults: &Faults,
) -> Option<CountTest> {
    let test = count_test(text, words);
    if test.is_none() {
        faults.error_hint(
            &item.at,
            format!("`{text}` is no test of a counter"),
            "write a counter of vocabulary.toml, one of < <= > >= ==, and a number: `cn.ordinary < 100000`",
        );
    }
    test
}

fn count_test(text: &str, words: &Vocabulary) -> Option<CountTest> {
    let mut parts = text.split_whitespace();
    let counter = words.counter(parts.next()?)?;
    let edge = match parts.next()? {
        "<" => Edge::Below,
        "<=" => Edge::AtMost,
        ">" => Edge::Above,
        ">=" => Edge::AtLeast,
        "==" => Edge::Exactly,
        _ => return None,
    };
    let number = parts.next()?.parse().ok()?;
    parts.next().is_none().then_some(CountTest {
        counter,
        edge,
        number,
    })
}

impl Unless {
    pub fn read(node: &Node, words: &Words<'_>, faults: &Faults) -> Option<Self> {
        let f = node.fields(faults)?;
        let unless = Self {
            grounds: f
                .maybe("grounds")
                .map(|n| bits(n, "ground", &GROUNDS, |g| g as u32, faults))
                .and_then(|b| u16::try_from(b).ok())
                .unwrap_or(0),
            exporter: f
                .maybe("exporter")
                .map(|n| read::attributes(n, words, faults))
                .unwrap_or_default(),
            consents: f
                .maybe("consents")
                .map(|n| bits(n, "kind of consent", &CONSENTS, |c| c as u32, faults))
                .and_then(|b| u8::try_from(b).ok())
                .unwrap_or(0),
            by_parent: f
                .maybe("by_parent")
                .and_then(|n| n.boolean(faults))
                .unwrap_or(false),
            instrument: f
                .maybe("instrument")
                .and_then(|n| words.need_mechanism(n, faults)),
        };
        f.finish();
        Some(unless)
    }
}

/// Alternatives; any is enough.
pub type Requirement = SmallVec<[Need; 2]>;

/// Reads `requires`: each text one need, or several joined by ` or `.
pub fn requirements(
    node: &Node,
    words: &Words<'_>,
    faults: &Faults,
) -> (Vec<Requirement>, FilingNeed) {
    let mut filing = FilingNeed::None;
    let mut all = Vec::new();
    for (text, item) in node.texts(faults) {
        if let Some(need) = filing_need(text) {
            if filing != FilingNeed::None {
                faults.error_hint(
                    &item.at,
                    format!("`{text}`: a rule asks for one state of filing"),
                    "`approved` and `filed-for:DAYS` say `filed` too: keep the strictest",
                );
            }
            filing = need;
            continue;
        }
        let alternatives: Requirement = text
            .split(" or ")
            .filter_map(|one| need(one, item, words, faults))
            .collect();
        if !alternatives.is_empty() {
            all.push(alternatives);
        }
    }
    (all, filing)
}

fn filing_need(text: &str) -> Option<FilingNeed> {
    let mut parts = text.split(':');
    let days = |part: Option<&str>| part.and_then(|d| d.parse::<u8>().ok());
    match (parts.next()?, parts.next()) {
        ("filed", None) => Some(FilingNeed::Filed),
        ("approved", None) => Some(FilingNeed::Approved),
        ("filed-for", d) => days(d).map(FilingNeed::FiledFor),
        ("filed-within", d) => days(d).map(FilingNeed::FiledWithin),
        _ => None,
    }
}

fn need(text: &str, item: &Node, words: &Words<'_>, faults: &Faults) -> Option<Need> {
    let mut parts = text.split(':');
    let head = parts.next().unwrap_or_default();
    let name = parts.next().unwrap_or_default();
    let mut informed = false;
    let mut occasional = false;
    for flag in parts {
        match (head, flag) {
            ("consent", "informed") => informed = true,
            ("consent" | "ground", "occasional") => occasional = true,
            _ => {
                faults.error_hint(
                    &item.at,
                    format!("`{flag}` says nothing about `{head}`"),
                    "consents may be `informed` and `occasional`, grounds `occasional`",
                );
                return None;
            }
        }
    }
    let pick = |table: &[(&str, _)], what| read::pick_text(name, item, what, table, faults);
    Some(match head {
        "instrument" if name.is_empty() => Need::Instrument,
        "assessment" => Need::Assessment(read::pick_text(
            name,
            item,
            "kind of assessment",
            &AssessmentKind::TABLE,
            faults,
        )?),
        "consent" => Need::Consent {
            kind: pick(&CONSENTS, "kind of consent")?,
            informed,
            occasional,
        },
        "ground" => Need::Ground {
            kind: read::pick_text(name, item, "ground", &GROUNDS, faults)?,
            occasional,
        },
        "exporter" => Need::Exporter(words.need_attribute(name, item, faults)?),
        "importer" => Need::Importer(words.need_attribute(name, item, faults)?),
        "transaction" => Need::Transaction(read::pick_text(
            name,
            item,
            "transaction",
            &TRANSACTIONS,
            faults,
        )?),
        "protection" => Need::Protection(read::pick_text(
            name,
            item,
            "protection",
            &PROTECTIONS,
            faults,
        )?),
        _ => {
            faults.error_hint(
                &item.at,
                format!("unknown requirement `{text}`"),
                "write instrument, assessment:KIND, consent:KIND, ground:KIND, exporter:ATTRIBUTE, importer:ATTRIBUTE, protection:KIND, transaction:KIND, filed, filed-for:DAYS, filed-within:DAYS or approved",
            );
            return None;
        }
    })
}
