//! Records that are like one another, as in a batch or on one route: the shapes of those before are remembered,
//! and a record of a known shape says what the one before it said, but for its values.

use smallvec::SmallVec;

use super::{Classified, CompiledSchema, Slot};
use crate::{
    classify::json::{JsonFault, Shape, Value},
    domain::CategorySet,
};

/// Shapes that are remembered at one time.
const SHAPES: usize = 4;

/// So many records more than are recognised may be looked at: of records that are all different,
/// not each is learnt in vain.
const PATIENCE: u8 = 16;

/// After so many that were not looked at, it is tried again: what is written to a route changes.
const REST: u16 = 4096;

/// What was seen of the records so far. Of one schema: another's are not like these.
#[derive(Debug)]
pub struct Alike {
    shapes: SmallVec<[Known; SHAPES]>,
    /// The one that the last record had.
    last: usize,
    /// The next to be forgotten.
    oldest: usize,
    patience: u8,
    /// Records since it ended.
    rested: u16,
}

/// What a schema finds in each record of one shape.
#[derive(Debug)]
struct Known {
    shape: Shape,
    categories: CategorySet,
    unknown_fields: u32,
    values: SmallVec<[(Slot, From); 8]>,
    /// If nothing but the text says values: for each wanted one the slots it goes to,
    /// one after the other.
    plain: Option<SmallVec<[(usize, Slot); 8]>>,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug)]
enum From {
    /// The text: the value of this number among those that are wanted.
    Text(usize),
    Null,
    Object,
    Array,
}

impl Default for Alike {
    fn default() -> Self {
        Self {
            shapes: SmallVec::new(),
            last: 0,
            oldest: 0,
            patience: PATIENCE,
            rested: 0,
        }
    }
}

impl CompiledSchema {
    /// [`CompiledSchema::classify`], and the same in all it finds and refuses, into `found`: for a
    /// record that probably has the shape of one that was read with `alike` before, much cheaper.
    ///
    /// # Errors
    /// As there; then `found` is void.
    pub fn classify_alike<'a>(
        &self,
        body: &'a [u8],
        alike: &mut Alike,
        found: &mut Classified<'a>,
    ) -> Result<(), JsonFault> {
        if self.discovery.is_some() {
            // What stands where says nothing about what it looks like.
            *found = self.classify(body)?;
            return Ok(());
        }
        if alike.patience > 0 {
            if alike.read(body, found) {
                return Ok(());
            }
            alike.patience -= 1;
        } else {
            alike.rest();
        }
        *found = self.classify(body)?;
        if alike.patience > 0 {
            alike.learn(body, found);
        }
        Ok(())
    }
}

impl Alike {
    fn read<'a>(&mut self, body: &'a [u8], found: &mut Classified<'a>) -> bool {
        let count = self.shapes.len();
        for place in (self.last..count).chain(0..self.last.min(count)) {
            if self.shapes.get(place).is_some_and(|s| s.read(body, found)) {
                self.last = place;
                self.patience = PATIENCE.min(self.patience + 1);
                return true;
            }
        }
        false
    }

    fn rest(&mut self) {
        self.rested += 1;
        if self.rested >= REST {
            self.rested = 0;
            self.patience = PATIENCE;
        }
    }

    fn learn(&mut self, body: &[u8], found: &Classified<'_>) {
        let Some(known) = Known::of(body, found) else {
            return;
        };
        if self.shapes.len() < SHAPES {
            self.last = self.shapes.len();
            self.shapes.push(known);
        } else if let Some(place) = self.shapes.get_mut(self.oldest) {
            *place = known;
            self.last = self.oldest;
            self.oldest = (self.oldest + 1) % SHAPES;
        }
    }
}

impl Known {
    /// `None`: the next record of this shape may say something else.
    fn of(body: &[u8], found: &Classified<'_>) -> Option<Self> {
        if found.refused.is_some() || found.overfull {
            return None;
        }
        let (mut shape, starts) = Shape::of(body)?;
        // First by the number among all values.
        let from = |value: Value<'_>| {
            let text = match value {
                Value::String(text) => text.raw().as_ptr(),
                Value::Number(number) => number.as_str().as_ptr(),
                Value::Null => return Some(From::Null),
                Value::Object => return Some(From::Object),
                Value::Array => return Some(From::Array),
                // Nothing tells where it stands.
                Value::Bool(_) => return None,
            };
            let start = text.addr().checked_sub(body.as_ptr().addr())?;
            starts.binary_search(&start).ok().map(From::Text)
        };
        let values = found.values.iter();
        let values: Option<SmallVec<[_; 8]>> = values
            .map(|(slot, value)| Some((*slot, from(*value)?)))
            .collect();
        let mut values = values?;
        // Then by the number among those that are wanted.
        let text = |from: &From| match from {
            From::Text(number) => Some(*number),
            From::Null | From::Object | From::Array => None,
        };
        let mut wanted: Vec<usize> = values.iter().filter_map(|(_, f)| text(f)).collect();
        wanted.sort_unstable();
        wanted.dedup();
        for (_, one) in &mut values {
            if let From::Text(number) = one {
                *number = wanted.binary_search(number).ok()?;
            }
        }
        wanted.iter().for_each(|number| shape.want(*number));
        let plain = values.iter().map(|(slot, from)| Some((text(from)?, *slot)));
        let plain: Option<SmallVec<[_; 8]>> = plain.collect();
        let in_order = |plain: &SmallVec<[(usize, Slot); 8]>| plain.is_sorted_by_key(|(n, _)| *n);
        let plain = plain.filter(in_order);
        Some(Self {
            plain,
            shape,
            categories: found.categories,
            unknown_fields: found.unknown_fields,
            values,
        })
    }

    #[inline]
    fn read<'a>(&self, body: &'a [u8], found: &mut Classified<'a>) -> bool {
        let is_read = match &self.plain {
            Some(plain) => self.read_plain(body, plain, found),
            None => self.read_all(body, found),
        };
        if is_read {
            found.categories = self.categories;
            found.unknown_fields = self.unknown_fields;
            found.refused = None;
            found.overfull = false;
        }
        is_read
    }

    #[inline]
    fn read_plain<'a>(
        &self,
        body: &'a [u8],
        plain: &[(usize, Slot)],
        found: &mut Classified<'a>,
    ) -> bool {
        found.values.clear();
        let mut slots = plain.iter().peekable();
        let mut number = 0;
        self.shape.read(body, |value| {
            while let Some((_, slot)) = slots.next_if(|(n, _)| *n == number) {
                found.values.push((*slot, value));
            }
            number += 1;
        })
    }

    fn read_all<'a>(&self, body: &'a [u8], found: &mut Classified<'a>) -> bool {
        let mut wanted: SmallVec<[Value<'a>; 8]> = SmallVec::new();
        if !self.shape.read(body, |value| wanted.push(value)) {
            return false;
        }
        let value = |from: From| match from {
            From::Text(number) => wanted.get(number).copied().unwrap_or(Value::Null),
            From::Null => Value::Null,
            From::Object => Value::Object,
            From::Array => Value::Array,
        };
        found.values.clear();
        let values = self.values.iter();
        found
            .values
            .extend(values.map(|(slot, from)| (*slot, value(*from))));
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::Index};

    use super::*;
    use crate::{domain::CategoryId, settings::Schema};

    fn schema(strict: bool) -> CompiledSchema {
        let fields = [
            ("/email", "user.contact.email"),
            ("/person/age", "user.demographic.age_range"),
            ("/born", "user.demographic.date_of_birth"),
            ("/notes/*/born", "user.demographic.date_of_birth"),
            ("/notes/*/text", "user.content"),
        ];
        let fields = fields.map(|(p, c)| (p.to_owned(), c.to_owned()));
        let schema = Schema {
            fields: fields.into_iter().collect(),
            strict,
        };
        let known = [
            "user",
            "user.contact.email",
            "user.demographic.age_range",
            "user.demographic.date_of_birth",
            "user.content",
        ];
        let resolve = |key: &str| {
            let place = known.iter().position(|k| *k == key)?;
            Some(CategoryId(place as u8))
        };
        let slots = ["/id", "/person/country", "/email", "/notes/0", "/person"];
        CompiledSchema::compile(Some(&schema), &[], &slots, &resolve).unwrap()
    }

    /// Everything that is found, so that it can be compared.
    fn told(found: &Result<Classified<'_>, JsonFault>) -> String {
        let text = |value: &Value<'_>| match value {
            Value::String(text) => format!("{:?} meant {}", text.raw(), text.unescape()),
            Value::Number(digits) => digits.as_str().to_owned(),
            other => format!("{other:?}"),
        };
        match found {
            Err(fault) => format!("{fault:?}"),
            Ok(found) => {
                let values = found.values.iter();
                let values: Vec<_> = values.map(|(s, v)| (*s, text(v))).collect();
                format!(
                    "{:?} {} {:?} {} {values:?}",
                    found.categories, found.unknown_fields, found.refused, found.overfull,
                )
            }
        }
    }

    /// Whether the records were read as each alone, and how many of them by a remembered shape.
    fn compare(schema: &CompiledSchema, records: &[Vec<u8>]) -> Result<usize, TestCaseError> {
        let mut alike = Alike::default();
        let mut found = Classified::default();
        let mut remembered = 0;
        for record in records {
            let before = alike.patience;
            let quick = schema.classify_alike(record, &mut alike, &mut found);
            remembered += usize::from(alike.patience >= before && alike.patience > 0);
            let quick = quick.map(|()| found.clone());
            let plain = schema.classify(record);
            prop_assert_eq!(
                told(&quick),
                told(&plain),
                "{}",
                String::from_utf8_lossy(record)
            );
        }
        Ok(remembered)
    }

    const RECORD: &str = r#" {"id":"u-1","person":{"country":"DE","age":44,"n":null},"born":"2001-02-03", "email":"a\u0062@example.com","ok":true,"off":false,"score":-17.5e+3,"tags":["a",1,{}],"notes":[{"text":"é and more than sixteen bytes of it"},[]],"k\n":0,"":""}"#;

    #[test]
    fn what_was_given_up_is_tried_again_later() {
        let schema = schema(false);
        let mut alike = Alike::default();
        let mut read = |record: &str| {
            let mut found = Classified::default();
            let bytes = record.as_bytes();
            schema
                .classify_alike(bytes, &mut alike, &mut found)
                .unwrap();
            alike.patience
        };
        for number in 0..u32::from(PATIENCE) {
            read(&format!(r#"{{"k{number}":1}}"#));
        }
        assert_eq!(read(RECORD), 0);
        for _ in 0..REST {
            read(RECORD);
        }
        // Learnt once, and known from then on.
        let before = read(RECORD);
        assert!(before > 0);
        assert!(read(RECORD) >= before);
    }

    #[test]
    fn a_record_of_the_same_shape_is_read_by_it() {
        let values = [
            ("u-1", "u-20000"),
            ("DE", ""),
            ("44", "7.25"),
            ("2001-02-03", r#"\u0041\\\" x"#),
            ("true", "false"),
            ("-17.5e+3", "0"),
            ("é", "漢字"),
        ];
        let records: Vec<_> = (0..1 << values.len())
            .map(|which| {
                let mut text = RECORD.to_owned();
                for (bit, (from, to)) in values.iter().enumerate() {
                    if which >> bit & 1 == 1 {
                        text = text.replacen(from, to, 1);
                    }
                }
                text.into_bytes()
            })
            .collect();
        for strict in [false, true] {
            let remembered = compare(&schema(strict), &records).unwrap();
            // A strict schema refuses each of them, which is told of each by itself.
            let expected = if strict { 0 } else { records.len() - 1 };
            assert_eq!(remembered, expected, "strict: {strict}");
        }
    }

    #[test]
    fn a_record_that_differs_at_any_byte_is_read_as_if_it_were_alone() {
        let schema = schema(false);
        for at in 0..RECORD.len() {
            let bytes = br#"" \{]:,0-t"#.iter().chain(&[10, 0x80, 0xc3]);
            for byte in bytes {
                let mut other = RECORD.as_bytes().to_vec();
                other[at] = *byte;
                let mut longer = RECORD.as_bytes().to_vec();
                longer.insert(at, *byte);
                let mut shorter = RECORD.as_bytes().to_vec();
                shorter.remove(at);
                let cut = RECORD.as_bytes()[..at].to_vec();
                let plain = RECORD.as_bytes().to_vec();
                // The plain one in between shows that nothing of the others stays.
                let records = [other, longer, shorter, cut];
                let records = records.into_iter().flat_map(|one| [plain.clone(), one]);
                compare(&schema, &records.collect::<Vec<_>>()).unwrap();
            }
        }
    }

    #[test]
    fn records_that_are_all_different_are_not_learnt_for_ever() {
        let schema = schema(false);
        let records = (0..100).map(|i| format!("{{\"k{i}\":1}}").into_bytes());
        let records: Vec<_> = records.collect();
        let mut alike = Alike::default();
        let mut found = Classified::default();
        for record in &records {
            schema
                .classify_alike(record, &mut alike, &mut found)
                .unwrap();
        }
        assert_eq!(alike.patience, 0);
        assert_eq!(alike.shapes.len(), SHAPES);
        assert_eq!(compare(&schema, &records).unwrap(), 0);
    }

    fn value() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            any::<bool>().prop_map(|b| b.to_string()),
            any::<i32>().prop_map(|n| n.to_string()),
            "[ -~é]{0,20}".prop_map(|t| serde_json::to_string(&t).unwrap()),
        ];
        leaf.prop_recursive(3, 12, 4, |inner| {
            let key = prop::sample::select(vec!["id", "person", "country", "text", "x", "age"]);
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3)
                    .prop_map(|all| format!("[{}]", all.join(","))),
                prop::collection::vec((key, inner), 0..4).prop_map(|all| {
                    let all: Vec<_> = all.iter().map(|(k, v)| format!("\"{k}\":{v}")).collect();
                    format!("{{{}}}", all.join(", "))
                }),
            ]
        })
    }

    fn record() -> impl Strategy<Value = String> {
        let keys = ["id", "person", "email", "born", "notes", "other"];
        let member = (prop::sample::select(keys.to_vec()), value());
        prop::collection::vec(member, 0..5).prop_map(|all| {
            let all: Vec<_> = all.iter().map(|(k, v)| format!("\"{k}\":{v}")).collect();
            format!("{{{}}}", all.join(","))
        })
    }

    proptest! {
        /// Few shapes and their near relations, in any order.
        #[test]
        fn any_batch_is_read_as_each_record_alone(
            kinds in prop::collection::vec(record(), 1..6),
            order in prop::collection::vec((any::<Index>(), prop::option::of((any::<Index>(), any::<u8>()))), 1..30),
            strict in any::<bool>(),
        ) {
            let records: Vec<Vec<u8>> = order.iter().map(|(kind, change)| {
                let mut text = kinds[kind.index(kinds.len())].clone().into_bytes();
                if let Some((at, byte)) = change {
                    let at = at.index(text.len());
                    text[at] = *byte;
                }
                text
            }).collect();
            compare(&schema(strict), &records)?;
        }
    }
}
