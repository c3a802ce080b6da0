//! What one route reads from a record's body: categories by declared schema, and the values that
//! the route's sources name, in one pass.
//!
//! Only a field that the schema lists has a category; everything else counts as `user`, the most
//! general one, so that a field nobody thought of is never taken for harmless.

mod alike;

use std::mem;

use smallvec::SmallVec;

pub use alike::Alike;

use super::discover::{Discovery, Tells};
use super::json::{
    Edit, JsonFault, KnownPart, Reach, Sink, Spotted, Value, Watch, WatchError, edit, scan_object,
};
use crate::{
    domain::{CategoryId, CategorySet},
    settings::Schema,
};

/// Values kept from one record, ages among them. A record with more is not read half: see [`Classified::overfull`].
pub const MAX_VALUES: usize = 256;

/// What a route knows about its bodies, compiled once for a settings and policy snapshot.
#[derive(Clone, Debug)]
pub struct CompiledSchema {
    watch: Watch,
    /// For each pointer of `watch` what it is for.
    uses: Box<[Use]>,
    categories: Categories,
    user: CategoryId,
    discovery: Option<Discovery>,
}

/// Index into the pointers that were given to [`CompiledSchema::compile`] to be read.
pub type Slot = u16;

/// Beyond those, the slots of the fields that tell an age or a day of birth (child rules).
const AGE: Slot = Slot::MAX;
const BORN: Slot = Slot::MAX - 1;

#[derive(Clone, Debug)]
enum Categories {
    /// The route names them; bodies do not matter.
    Fixed(CategorySet),
    Schema {
        all: CategorySet,
        strict: bool,
    },
    /// Neither schema nor categories: everything is `user`.
    Unknown,
}

#[derive(Clone, Copy, Debug)]
enum Use {
    /// `fact` is [`AGE`] or [`BORN`], if it tells one.
    Field {
        category: CategoryId,
        fact: Option<Slot>,
        lone: bool,
    },
    /// Read for a source; with `unlisted`, no field of the schema covers it.
    Slot {
        slot: Slot,
        unlisted: bool,
        lone: bool,
    },
}

impl Use {
    /// Whether it is of one value that stands where a pointer means the elements of an array.
    fn is_lone(self) -> bool {
        match self {
            Self::Field { lone, .. } | Self::Slot { lone, .. } => lone,
        }
    }
}

/// A mistake in a schema, a route's categories or its body pointers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaFault {
    #[error("`{category}` is no category of this policy's vocabulary")]
    UnknownCategory {
        /// The schema's field, if it was one.
        field: Option<String>,
        category: String,
    },
    #[error("the vocabulary has no category `user`, which unknown fields count as")]
    NoUserCategory,
    #[error(transparent)]
    Pointer(#[from] WatchError),
}

/// What the body of one record says. Borrowed from the body; no `Debug` shows data.
#[derive(Clone, Debug, Default)]
pub struct Classified<'a> {
    pub categories: CategorySet,
    /// Leaves that neither the schema nor a source knows; `null` on the way to one does not
    /// count.
    pub unknown_fields: u32,
    /// A strict schema met an unknown field: refuse with 422. Print the place with
    /// [`CompiledSchema::known_pointer`].
    pub refused: Option<KnownPart>,
    /// More values under the sources' pointers and of ages than are kept: refuse, as some evidence
    /// would go unread.
    pub overfull: bool,
    values: SmallVec<[(Slot, Value<'a>); 8]>,
}

/// A field of a body, as a schema knows it.
#[derive(Clone, Copy, Debug)]
pub struct Field<'s> {
    /// `*` stands for elements; safe to print. Of an unknown field only what the schema knows
    /// above it, since its name could be personal data itself.
    pub pointer: &'s str,
    pub categories: CategorySet,
    pub is_known: bool,
}

impl<'a> Classified<'a> {
    /// Every value under the slot's pointer, in the order of the text.
    pub fn all(&self, slot: Slot) -> impl Iterator<Item = Value<'a>> + '_ {
        self.values
            .iter()
            .filter(move |(s, _)| *s == slot)
            .map(|(_, v)| *v)
    }

    /// The values of all fields of the category `user.demographic.age_range`.
    pub fn ages(&self) -> impl Iterator<Item = Value<'a>> + '_ {
        self.all(AGE)
    }

    /// The values of all fields of the category `user.demographic.date_of_birth`.
    pub fn births(&self) -> impl Iterator<Item = Value<'a>> + '_ {
        self.all(BORN)
    }

    /// All values, each with its slot, in the order of the text.
    pub fn values(&self) -> impl Iterator<Item = (Slot, Value<'a>)> + '_ {
        self.values.iter().copied()
    }

    pub fn first(&self, slot: Slot) -> Option<Value<'a>> {
        self.all(slot).next()
    }

    /// Takes what another document says of the same person, as if both were one record.
    pub fn join(&mut self, other: Self) {
        self.categories = self.categories.union(other.categories);
        self.unknown_fields = self.unknown_fields.saturating_add(other.unknown_fields);
        self.refused = self.refused.or(other.refused);
        self.overfull |= other.overfull;
        self.values.extend(other.values);
    }
}

/// Whether the slot is that of an age or a day of birth.
pub fn tells_age(slot: Slot) -> bool {
    slot >= BORN
}

impl CompiledSchema {
    /// `schema` and `categories` are the route's (it has at most one of them), `slots` the JSON
    /// pointers of its `body:` sources: evidence, subject, steering. `resolve` knows the
    /// vocabulary.
    ///
    /// A pointer of the schema speaks for everything below it. A source's pointer makes its own
    /// field known to a strict schema, with the category `user` unless the schema gives one.
    ///
    /// # Errors
    /// Every mistake at once.
    pub fn compile(
        schema: Option<&Schema>,
        categories: &[String],
        slots: &[&str],
        resolve: &dyn Fn(&str) -> Option<CategoryId>,
    ) -> Result<Self, Vec<SchemaFault>> {
        Self::compile_as(schema, categories, slots, resolve, false)
    }

    /// [`CompiledSchema::compile`] for documents of Elasticsearch, to which `{"a.b":1}`,
    /// `{"a":{"b":1}}`, `{"a":[{"b":1}]}` and `{"a":[[{"b":[1]}]]}` say the same: each pointer stands
    /// for every such spelling, up to six names long (of a longer one for names that are all joined by
    /// dots, or none). Several values that are found so are several of one source. `/a/*` is one
    /// value without an array, too, but an array where `/a` ends is not its elements. A key that ends
    /// with a dot is refused where one of the pointers could go on: the dot is taken off there.
    pub fn compile_dotted(
        schema: Option<&Schema>,
        categories: &[String],
        slots: &[&str],
        resolve: &dyn Fn(&str) -> Option<CategoryId>,
    ) -> Result<Self, Vec<SchemaFault>> {
        Self::compile_as(schema, categories, slots, resolve, true)
    }

    fn compile_as(
        schema: Option<&Schema>,
        categories: &[String],
        slots: &[&str],
        resolve: &dyn Fn(&str) -> Option<CategoryId>,
        is_flat: bool,
    ) -> Result<Self, Vec<SchemaFault>> {
        let spell = |pointer: &str| match is_flat {
            true => spellings(pointer),
            false => vec![(pointer.to_owned(), false)],
        };
        let mut faults = Vec::new();
        let user = resolve("user");
        if user.is_none() {
            faults.push(SchemaFault::NoUserCategory);
        }
        let mut category = |field: Option<&str>, key: &str| {
            let id = resolve(key);
            if id.is_none() {
                faults.push(SchemaFault::UnknownCategory {
                    field: field.map(str::to_owned),
                    category: key.to_owned(),
                });
            }
            id
        };
        let fixed: CategorySet = categories
            .iter()
            .filter_map(|key| category(None, key))
            .collect();
        let (age, born) = (
            resolve("user.demographic.age_range"),
            resolve("user.demographic.date_of_birth"),
        );
        let mut pointers: Vec<(String, Reach)> = Vec::new();
        let mut uses = Vec::new();
        let mut all = CategorySet::EMPTY;
        for (field, key) in schema.iter().flat_map(|s| &s.fields) {
            if let Some(id) = category(Some(field), key) {
                all.insert(id);
                let fact = match Some(id) {
                    id if id == age => Some(AGE),
                    id if id == born => Some(BORN),
                    _ => None,
                };
                for (spelling, lone) in spell(field) {
                    pointers.push((spelling, Reach::Subtree));
                    uses.push(Use::Field {
                        category: id,
                        fact,
                        lone,
                    });
                }
            }
        }
        for (slot, pointer) in (0..).zip(slots) {
            let spelt = spell(pointer);
            let is_listed = |field: &str| spelt.iter().any(|(own, _)| covers(field, own));
            let unlisted = !pointers
                .iter()
                .any(|(field, reach)| *reach == Reach::Subtree && is_listed(field));
            for (spelling, lone) in spelt {
                pointers.push((spelling, Reach::Value));
                uses.push(Use::Slot {
                    slot,
                    unlisted,
                    lone,
                });
            }
        }
        // One by one first, so that every malformed pointer is told, not the first alone.
        let all_pointers = || pointers.iter().map(|(p, reach)| (p.as_str(), *reach));
        for pointer in all_pointers() {
            if let Err(fault) = Watch::compile([pointer]) {
                faults.push(fault.into());
            }
        }
        // What decides is read by its exact name.
        let decides = |pointer: usize| {
            let of = uses.get(pointer);
            matches!(
                of,
                Some(Use::Slot { .. } | Use::Field { fact: Some(_), .. })
            )
        };
        let watch = match is_flat {
            true => Watch::compile_flat(all_pointers(), &decides),
            false => Watch::compile_exact(all_pointers(), &decides),
        };
        let watch = match watch {
            Ok(watch) if faults.is_empty() => Some(watch),
            Ok(_) => None,
            Err(fault) => {
                let fault = SchemaFault::from(fault);
                if !faults.contains(&fault) {
                    faults.push(fault);
                }
                None
            }
        };
        let categories = match schema {
            _ if !categories.is_empty() => Categories::Fixed(fixed),
            Some(schema) => Categories::Schema {
                all,
                strict: schema.strict,
            },
            None => Categories::Unknown,
        };
        match (watch, user) {
            (Some(watch), Some(user)) => Ok(Self {
                watch,
                uses: uses.into(),
                categories,
                user,
                discovery: None,
            }),
            _ => Err(faults),
        }
    }

    /// Looks for more than the schema lists from now on ([`Discovery`]).
    #[must_use]
    pub fn discovering(self, resolve: &dyn Fn(&str) -> Option<CategoryId>) -> Self {
        Self {
            discovery: Discovery::new(resolve),
            ..self
        }
    }

    /// Checks and reads one record, which must be a JSON object.
    pub fn classify<'a>(&self, body: &'a [u8]) -> Result<Classified<'a>, JsonFault> {
        let mut reading = Reading {
            schema: self,
            found: Classified::default(),
        };
        scan_object(body, &self.watch, &mut reading)?;
        let mut found = reading.found;
        match &self.categories {
            Categories::Fixed(set) => {
                found.categories = *set;
                found.refused = None;
            }
            Categories::Schema { strict, .. } => {
                if found.unknown_fields > 0 {
                    found.categories.insert(self.user);
                }
                if !strict {
                    found.refused = None;
                }
            }
            Categories::Unknown => {
                found.categories = CategorySet::from_iter([self.user]);
                found.refused = None;
            }
        }
        if let Some(discovery) = &self.discovery {
            self.discover(discovery, body, &mut found);
        }
        Ok(found)
    }

    fn discover<'a>(&self, discovery: &Discovery, body: &'a [u8], found: &mut Classified<'a>) {
        let mut reading = Reading {
            schema: self,
            found: mem::take(found),
        };
        let discovered = discovery.look(body, &mut |tells, value| match tells {
            Tells::Age => reading.keep(AGE, value),
            Tells::Born => reading.keep(BORN, value),
        });
        *found = reading.found;
        found.categories = found.categories.union(discovered);
    }

    /// The categories of a request whose body is not read: all that the route's records may
    /// hold. A schema that is not strict does not bound them, so `user` is among them.
    pub fn categories_without_body(&self) -> CategorySet {
        let mut set = match self.categories {
            Categories::Fixed(set) => return set,
            Categories::Schema { all, strict: true } => return all,
            Categories::Schema { all, strict: false } => all,
            Categories::Unknown => CategorySet::EMPTY,
        };
        set.insert(self.user);
        set
    }

    /// The categories of somebody's record that was read: one without any field tells at least that
    /// there is somebody.
    pub fn categories_of(&self, found: &Classified<'_>) -> CategorySet {
        match found.categories.is_empty() {
            true => CategorySet::from_iter([self.user]),
            false => found.categories,
        }
    }

    /// Asks `judge` what becomes of each field, and gives the body with that done; `None` when it
    /// stays as it is. See [`edit`] for what is cut and replaced how. `body` must have passed
    /// [`CompiledSchema::classify`].
    ///
    /// A field below another is asked for after it, when that one is kept.
    pub fn edit<'s>(
        &'s self,
        body: &[u8],
        judge: &mut dyn FnMut(Field<'s>) -> Edit,
        replace: &mut dyn FnMut(&[u8]) -> String,
    ) -> Result<Option<Vec<u8>>, JsonFault> {
        let user = CategorySet::from_iter([self.user]);
        let mut judge = |spotted: Spotted<'s>| {
            let mut categories = CategorySet::EMPTY;
            for pointer in spotted.pointers {
                match self.uses.get(usize::from(*pointer)) {
                    Some(Use::Field { category, .. }) => categories.insert(*category),
                    // As when it is classified: what stands in a container is asked for by itself.
                    Some(Use::Slot { unlisted: true, .. }) if !spotted.is_container => {
                        categories = categories.union(user);
                    }
                    Some(Use::Slot { .. }) | None => {}
                }
            }
            let is_known = !spotted.pointers.is_empty();
            if is_known && categories.is_empty() {
                return Edit::Keep;
            }
            judge(Field {
                pointer: self.watch.pointer_of(spotted.part),
                categories: if is_known { categories } else { user },
                is_known,
            })
        };
        edit(body, &self.watch, &mut judge, replace)
    }

    /// The part of an unknown field's pointer that the schema knows; safe to print.
    pub fn known_pointer(&self, part: KnownPart) -> &str {
        self.watch.pointer_of(part)
    }
}

/// Gathers one scan's findings.
struct Reading<'s, 'a> {
    schema: &'s CompiledSchema,
    found: Classified<'a>,
}

impl<'a> Reading<'_, 'a> {
    fn keep(&mut self, slot: Slot, value: Value<'a>) {
        if self.found.values.len() < MAX_VALUES {
            self.found.values.push((slot, value));
        } else {
            self.found.overfull = true;
        }
    }
}

impl<'a> Sink<'a> for Reading<'_, 'a> {
    fn value(&mut self, pointer: u16, value: Value<'a>) {
        match self.schema.uses.get(usize::from(pointer)) {
            Some(own) if matches!(value, Value::Array) && own.is_lone() => {}
            Some(Use::Field { category, fact, .. }) => {
                self.found.categories.insert(*category);
                if let Some(slot) = fact {
                    self.keep(*slot, value);
                }
            }
            Some(Use::Slot { slot, unlisted, .. }) => {
                if *unlisted && !matches!(value, Value::Object | Value::Array) {
                    self.found.categories.insert(self.schema.user);
                }
                self.keep(*slot, value);
            }
            None => {}
        }
    }

    fn unknown(&mut self, below: KnownPart) {
        self.found.unknown_fields = self.found.unknown_fields.saturating_add(1);
        self.found.refused.get_or_insert(below);
    }
}

/// Names that can be joined in one pointer before only its two plain spellings are known.
const MANY_NAMES: usize = 6;

/// Every way to write the names of a pointer with dots or as members; with `true` of one value that
/// stands where the elements of an array are meant. Arrays on the way need no spelling
/// ([`Watch::compile_flat`]).
fn spellings(pointer: &str) -> Vec<(String, bool)> {
    let way = pointer.trim_end_matches("/*");
    let elements = pointer.strip_prefix(way).unwrap_or_default();
    let tokens = way.split('/').skip(1).filter(|t| *t != "*");
    let names: Vec<&str> = tokens
        .flat_map(|t| t.split('.'))
        .filter(|t| !t.is_empty())
        .collect();
    let Some((first, rest)) = names.split_first() else {
        return vec![(pointer.to_owned(), false)];
    };
    let mut ways = vec![format!("/{first}")];
    if rest.len() >= MANY_NAMES {
        ways = vec![
            format!("/{}", names.join("/")),
            format!("/{}", names.join(".")),
        ];
    } else {
        for name in rest {
            let longer = |way: &String| [format!("{way}/{name}"), format!("{way}.{name}")];
            ways = ways.iter().flat_map(longer).collect();
        }
    }
    let lone = ways.iter().filter(|_| !elements.is_empty());
    let lone: Vec<_> = lone.map(|way| (way.clone(), true)).collect();
    let all = ways.into_iter().map(|way| (way + elements, false));
    all.chain(lone).collect()
}

/// Whether everything under `pointer` lies under `field`.
pub fn covers(field: &str, pointer: &str) -> bool {
    let mut tokens = pointer.split('/');
    field.split('/').all(|wanted| match tokens.next() {
        Some(token) => {
            let is_index = !token.is_empty() && token.bytes().all(|b| b.is_ascii_digit());
            token == wanted || (wanted == "*" && is_index)
        }
        None => false,
    })
}

#[cfg(test)]
mod tests;
