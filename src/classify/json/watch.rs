use std::collections::{BTreeMap, BTreeSet};

use super::{
    super::is_pointer,
    JsonFaultKind,
    keys::{Key as MemberKey, fingerprint, probe},
};

/// JSON pointers (RFC 6901) compiled into a machine that follows the scanner through a text.
///
/// A token `*` stands for every element of an array; a number stands for an element of an array
/// and for a member of an object, as in RFC 6901 §4. `-` and numbers with leading zeros name only
/// members. A pointer is known by its index in what was compiled.
///
/// Deterministic: `/a/*/x` and `/a/0/y` may both be watched, and each step costs one look-up.
#[derive(Clone, Debug)]
pub struct Watch {
    states: Vec<State>,
}

/// How far a pointer's word carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// The value itself is known; members below it are not.
    Value,
    /// Everything below is known too.
    Subtree,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    #[error(
        "`{0}` is not a JSON pointer (RFC 6901): it starts with `/`, and `~` is written `~0`, `/` in a name `~1`"
    )]
    Malformed(String),
    #[error("`{0}` is deeper than a record may be nested (64)")]
    TooDeep(String),
    #[error("these pointers overlap in too many ways; watch fewer array elements by number")]
    TooMany,
}

pub(super) type StateId = u16;

/// No pointer can match from here on, and nothing here is known.
pub(super) const DEAD: StateId = 0;

/// The part of a path that the pointers know: where an unknown field hangs.
///
/// Names in a record can be personal data themselves, so the unknown rest is never told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownPart(pub(super) StateId);

#[derive(Clone, Debug, Default)]
pub(super) struct State {
    /// Pointers that end here.
    pub matches: Box<[u16]>,
    /// A leaf that lies here is known.
    pub known: bool,
    /// Whether a member or element below can be told apart at all; else `other` is for all.
    pub branches: bool,
    /// Whether a key that is no member may be one to another reader.
    pub is_careful: bool,
    /// Members that no other key may be taken for.
    exact: Box<[Box<str>]>,
    /// Nor may one be that ends with a dot.
    is_flat: bool,
    members: Members,
    elements: Box<[(u32, StateId)]>,
    /// Elements that are not in `elements`.
    pub element: StateId,
    /// Members that are not in `members`.
    pub other: StateId,
    pointer: Box<str>,
}

impl State {
    /// Of a key that means `name`, whose fingerprint this is.
    pub fn member(&self, name: &[u8], print: u64) -> StateId {
        let found = self.members.find(print, |member| *member == *name);
        found.unwrap_or(self.other)
    }

    /// Of a key of `text` without escapes.
    #[inline(always)]
    pub fn plain_member(&self, key: &MemberKey, text: &[u8]) -> StateId {
        let is_it = |member: &[u8]| key.is_named(member.len(), || member, text);
        self.members.find(key.print, is_it).unwrap_or(self.other)
    }

    /// Whether a reader that does not look at letter case (Go's encoding/json, by Unicode's folding),
    /// or ends a text at a NUL, takes a key of `text` for an exact one; or one of flattened documents
    /// could take it for any member, without the dot at its end.
    #[inline(never)]
    pub fn taken_for(&self, key: &MemberKey, text: &[u8]) -> Option<JsonFaultKind> {
        let meant = key.meant(text);
        if self.is_flat && meant.ends_with(b".") {
            return Some(JsonFaultKind::DotAtEnd);
        }
        self.is_exact_to_some(key, &meant)
            .then_some(JsonFaultKind::LetterCase)
    }

    fn is_exact_to_some(&self, key: &MemberKey, meant: &[u8]) -> bool {
        let name = match key.escaped {
            true => meant.split(|b| *b == 0).next().unwrap_or_default(),
            false => meant,
        };
        let mut exact = self.exact.iter();
        if name.is_ascii() {
            return exact.any(|own| own.as_bytes().eq_ignore_ascii_case(name));
        }
        std::str::from_utf8(name).is_ok_and(|name| exact.any(|own| folded(own).eq(folded(name))))
    }

    pub fn element(&self, index: u32) -> StateId {
        self.elements
            .iter()
            .find(|(i, _)| *i == index)
            .map_or(self.element, |(_, to)| *to)
    }
}

/// An open-addressed table over the fingerprints that the duplicate check needs anyway. The
/// names come from settings, so nobody outside can make its probes long.
#[derive(Clone, Debug, Default)]
struct Members {
    slots: Box<[Option<Member>]>,
}

#[derive(Clone, Debug)]
struct Member {
    print: u64,
    name: Box<[u8]>,
    to: StateId,
}

impl Members {
    fn new(members: BTreeMap<Box<[u8]>, StateId>) -> Self {
        if members.is_empty() {
            return Self::default();
        }
        let size = (members.len() * 2).next_power_of_two();
        let mut slots = vec![None; size];
        for (name, to) in members {
            let print = fingerprint(&name);
            let free = probe(print, size).find(|i| slots.get(*i).is_some_and(Option::is_none));
            if let Some(slot) = free.and_then(|i| slots.get_mut(i)) {
                *slot = Some(Member { print, name, to });
            }
        }
        Self {
            slots: slots.into(),
        }
    }

    /// The member of this fingerprint whose name is the one.
    #[inline(always)]
    fn find(&self, print: u64, is_it: impl Fn(&[u8]) -> bool) -> Option<StateId> {
        for i in probe(print, self.slots.len()) {
            match self.slots.get(i)? {
                None => return None,
                Some(m) if m.print == print && is_it(&m.name) => return Some(m.to),
                Some(_) => {}
            }
        }
        None
    }
}

/// What a state stands for while compiling: pointers with the number of tokens already passed,
/// and whether a `Subtree` pointer has ended above.
type Key = (Vec<(u16, u16)>, bool);

impl Watch {
    /// # Errors
    /// A pointer that is none, or a set whose machine would exceed 65,535 states.
    pub fn compile<'p>(
        pointers: impl IntoIterator<Item = (&'p str, Reach)>,
    ) -> Result<Self, WatchError> {
        Self::compile_exact(pointers, &|_| false)
    }

    /// [`Watch::compile`], where on the way of a pointer that is `exact` a scan refuses a key that
    /// differs in letter case alone: another reader could find its value under that pointer, and
    /// not the one that was found here. A key that another pointer names passes.
    ///
    /// # Errors
    /// As there.
    pub fn compile_exact<'p>(
        pointers: impl IntoIterator<Item = (&'p str, Reach)>,
        exact: &dyn Fn(usize) -> bool,
    ) -> Result<Self, WatchError> {
        Self::compile_as(pointers, exact, false)
    }

    /// [`Watch::compile_exact`] for documents that their readers flatten, as Elasticsearch does: there
    /// an array of objects is each of them, so that `/a/b` is found in `{"a":[{"b":1}]}`, too, and in
    /// arrays of arrays. An array where a pointer ends stays one. A key that ends with a dot, which
    /// such readers take off, is refused where a pointer could go on.
    ///
    /// # Errors
    /// As there.
    pub fn compile_flat<'p>(
        pointers: impl IntoIterator<Item = (&'p str, Reach)>,
        exact: &dyn Fn(usize) -> bool,
    ) -> Result<Self, WatchError> {
        Self::compile_as(pointers, exact, true)
    }

    fn compile_as<'p>(
        pointers: impl IntoIterator<Item = (&'p str, Reach)>,
        exact: &dyn Fn(usize) -> bool,
        is_flat: bool,
    ) -> Result<Self, WatchError> {
        let mut parsed = Vec::new();
        for (text, reach) in pointers {
            parsed.push((tokens(text)?, reach));
        }
        let count = u16::try_from(parsed.len()).map_err(|_| WatchError::TooMany)?;
        let mut machine = Machine {
            exact: (0..parsed.len()).map(exact).collect(),
            pointers: parsed,
            is_flat,
            ids: BTreeMap::new(),
            queue: Vec::new(),
        };
        machine.id((Vec::new(), false), "")?;
        machine.id(((0..count).map(|p| (p, 0)).collect(), false), "")?;
        let mut states = Vec::new();
        while let Some((key, pointer)) = machine.queue.get(states.len()).cloned() {
            let state = machine.state(&key, pointer)?;
            states.push(state);
        }
        Ok(Self { states })
    }

    /// Watches nothing: a scan only checks the text.
    pub fn nothing() -> Self {
        Self { states: Vec::new() }
    }

    /// The pointer up to which the record was known, `*` for elements; empty for the root.
    pub fn pointer_of(&self, part: KnownPart) -> &str {
        self.states
            .get(usize::from(part.0))
            .map_or("", |s| &s.pointer)
    }

    /// The root's state. With no pointers it is dead from the start.
    pub(super) fn root(&self) -> StateId {
        if self.states.len() > 1 { 1 } else { DEAD }
    }

    pub(super) fn state(&self, id: StateId) -> Option<&State> {
        self.states.get(usize::from(id))
    }
}

fn folded(name: &str) -> impl Iterator<Item = char> {
    let upper = name.chars().flat_map(char::to_uppercase);
    upper.flat_map(char::to_lowercase)
}

struct Machine {
    exact: Vec<bool>,
    pointers: Vec<(Vec<String>, Reach)>,
    /// Arrays on the way of a pointer are each of their elements.
    is_flat: bool,
    ids: BTreeMap<Key, StateId>,
    queue: Vec<(Key, String)>,
}

impl Machine {
    fn id(&mut self, mut key: Key, pointer: &str) -> Result<StateId, WatchError> {
        key.0.sort_unstable();
        if let Some(id) = self.ids.get(&key) {
            return Ok(*id);
        }
        let id = StateId::try_from(self.ids.len()).map_err(|_| WatchError::TooMany)?;
        self.ids.insert(key.clone(), id);
        self.queue.push((key, pointer.to_owned()));
        Ok(id)
    }

    fn tokens_at(&self, key: &Key) -> Vec<(u16, u16, String)> {
        key.0
            .iter()
            .filter_map(|&(p, at)| {
                let token = self.pointers.get(usize::from(p))?.0.get(usize::from(at))?;
                Some((p, at, token.clone()))
            })
            .collect()
    }

    fn state(&mut self, key: &Key, pointer: String) -> Result<State, WatchError> {
        let ended: Vec<u16> = key
            .0
            .iter()
            .filter(|(p, at)| {
                self.pointers
                    .get(usize::from(*p))
                    .is_some_and(|(tokens, _)| tokens.len() == usize::from(*at))
            })
            .map(|(p, _)| *p)
            .collect();
        let covers = key.1
            || ended.iter().any(|p| {
                self.pointers
                    .get(usize::from(*p))
                    .is_some_and(|(_, reach)| *reach == Reach::Subtree)
            });
        let next = self.tokens_at(key);
        let step = |wanted: &dyn Fn(&str) -> bool| -> Key {
            let passed = next.iter().filter(|(_, _, token)| wanted(token));
            (passed.map(|(p, at, _)| (*p, *at + 1)).collect(), covers)
        };

        // What an element stands for beside what a token says of it.
        let is_flat = self.is_flat;
        let through = |mut key: Key| -> Key {
            if is_flat {
                let names = next.iter().filter(|(_, _, token)| token != "*");
                key.0.extend(names.map(|(p, at, _)| (*p, *at)));
            }
            key
        };
        let mut members = BTreeMap::new();
        let mut elements = BTreeMap::new();
        for (_, _, token) in next.iter().filter(|(_, _, token)| token != "*") {
            let below = format!("{pointer}/{}", escape(token));
            let to = self.id(step(&|t| t == token), &below)?;
            members.insert(token.clone().into_bytes().into_boxed_slice(), to);
            if let Some(index) = index(token) {
                let to = through(step(&|t| t == token || t == "*"));
                let to = self.id(to, &format!("{pointer}/*"))?;
                elements.insert(index, to);
            }
        }
        let is_exact = |p: u16| self.exact.get(usize::from(p)) == Some(&true);
        let exact = next.iter().filter(|(p, _, t)| t != "*" && is_exact(*p));
        let exact: BTreeSet<&str> = exact.map(|(_, _, token)| token.as_str()).collect();
        let exact: Box<[Box<str>]> = exact.into_iter().map(Box::from).collect();
        let star = through(step(&|t| t == "*"));
        let element = self.id(star, &format!("{pointer}/*"))?;
        let other = self.id((Vec::new(), covers), &pointer)?;
        Ok(State {
            known: covers || !ended.is_empty(),
            branches: !next.is_empty(),
            matches: ended.into(),
            is_careful: !exact.is_empty() || (is_flat && !next.is_empty()),
            exact,
            is_flat,
            members: Members::new(members),
            elements: elements.into_iter().collect(),
            element,
            other,
            pointer: pointer.into(),
        })
    }
}

fn tokens(text: &str) -> Result<Vec<String>, WatchError> {
    if !is_pointer(text) {
        return Err(WatchError::Malformed(text.to_owned()));
    }
    let tokens: Vec<String> = text
        .split('/')
        .skip(1)
        .map(|t| t.replace("~1", "/").replace("~0", "~"))
        .collect();
    if tokens.len() > super::MAX_DEPTH {
        return Err(WatchError::TooDeep(text.to_owned()));
    }
    Ok(tokens)
}

fn escape(token: &str) -> String {
    token.replace('~', "~0").replace('/', "~1")
}

fn index(token: &str) -> Option<u32> {
    let plain = token == "0" || (!token.starts_with('0') && !token.is_empty());
    let digits = token.bytes().all(|b| b.is_ascii_digit());
    (plain && digits).then(|| token.parse().ok()).flatten()
}
