//! JSON Merge Patch (RFC 7396) on text: what a patch does not touch keeps its bytes, so that long
//! numbers, key order and formatting survive, which a parse into a tree and back would not promise.

use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Objects in objects of a patch beyond this depth are refused; each level reads its part of the
/// document once more.
const MAX_DEPTH: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum MergeError {
    #[error("the patch is not JSON, or nests too deep")]
    Patch,
    #[error("the document is not JSON")]
    Target,
}

/// `target` after `patch`. Where the target has a name twice, the last one counts.
pub(super) fn merge(target: &str, patch: &str) -> Result<String, MergeError> {
    let patch: &RawValue = serde_json::from_str(patch).map_err(|_| MergeError::Patch)?;
    let target: &RawValue = serde_json::from_str(target).map_err(|_| MergeError::Target)?;
    let mut merged = String::with_capacity(target.get().len() + patch.get().len());
    apply(Some(target), patch, MAX_DEPTH, &mut merged)?;
    Ok(merged)
}

/// `MergePatch` of RFC 7396 §2.
fn apply(
    target: Option<&RawValue>,
    patch: &RawValue,
    depth: usize,
    merged: &mut String,
) -> Result<(), MergeError> {
    if !is_object(patch) {
        merged.push_str(patch.get());
        return Ok(());
    }
    let depth = depth.checked_sub(1).ok_or(MergeError::Patch)?;
    let mut changes = members(patch).map_err(|_| MergeError::Patch)?;
    let existing = match target {
        Some(target) if is_object(target) => members(target).map_err(|_| MergeError::Target)?,
        _ => Members::default(),
    };
    merged.push('{');
    let mut first = true;
    for (name, value) in existing.in_order() {
        match changes.take(&name) {
            Some(change) if is_null(change) => {}
            Some(change) => {
                open_member(&name, &mut first, merged)?;
                apply(Some(value), change, depth, merged)?;
            }
            None => {
                open_member(&name, &mut first, merged)?;
                merged.push_str(value.get());
            }
        }
    }
    for (name, change) in changes.in_order() {
        if !is_null(change) {
            open_member(&name, &mut first, merged)?;
            apply(None, change, depth, merged)?;
        }
    }
    merged.push('}');
    Ok(())
}

fn open_member(name: &str, first: &mut bool, merged: &mut String) -> Result<(), MergeError> {
    if !std::mem::take(first) {
        merged.push(',');
    }
    merged.push_str(&serde_json::to_string(name).map_err(|_| MergeError::Target)?);
    merged.push(':');
    Ok(())
}

fn is_object(value: &RawValue) -> bool {
    value.get().starts_with('{')
}

fn is_null(value: &RawValue) -> bool {
    value.get() == "null"
}

/// The members of one object, each name once.
#[derive(Default)]
struct Members<'a>(HashMap<String, (usize, &'a RawValue)>);

impl<'a> Members<'a> {
    fn take(&mut self, name: &str) -> Option<&'a RawValue> {
        self.0.remove(name).map(|(_, value)| value)
    }

    fn in_order(self) -> impl Iterator<Item = (String, &'a RawValue)> {
        let mut members: Vec<_> = self.0.into_iter().collect();
        members.sort_unstable_by_key(|(_, (at, _))| *at);
        members.into_iter().map(|(name, (_, value))| (name, value))
    }
}

fn members(object: &RawValue) -> Result<Members<'_>, serde_json::Error> {
    struct Reader;
    impl<'de> Visitor<'de> for Reader {
        type Value = Members<'de>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
            let mut members = Members::default();
            while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                let at = members.0.len();
                members
                    .0
                    .entry(name)
                    .and_modify(|member| member.1 = value)
                    .or_insert((at, value));
            }
            Ok(members)
        }
    }
    serde_json::Deserializer::from_str(object.get()).deserialize_map(Reader)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// RFC 7396, appendix A.
    #[test]
    fn the_examples_of_the_rfc_hold() {
        for (target, patch, expected) in [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
            (
                r#"{"a":{"b":"c"}}"#,
                r#"{"a":{"b":"d","c":null}}"#,
                r#"{"a":{"b":"d"}}"#,
            ),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#),
            (r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#),
            (r#"{"a":"foo"}"#, "null", "null"),
            (r#"{"a":"foo"}"#, r#""bar""#, r#""bar""#),
            (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
            ("[1,2]", r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
            ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
        ] {
            assert_eq!(merge(target, patch).unwrap(), expected, "{target} {patch}");
        }
    }

    #[test]
    fn what_is_not_touched_keeps_its_bytes() {
        let target = r#"{"z":123456789012345678901234567890.10, "a": { "x" : 1e2 },"b":1}"#;
        assert_eq!(
            merge(target, r#"{"b":2.50}"#).unwrap(),
            r#"{"z":123456789012345678901234567890.10,"a":{ "x" : 1e2 },"b":2.50}"#
        );
    }

    #[test]
    fn a_patch_that_nests_too_deep_or_is_broken_is_refused() {
        let deep = format!("{}1{}", r#"{"a":"#.repeat(65), "}".repeat(65));
        let deeper = r#"{"a":"#.repeat(200_000);
        for patch in [
            deep.as_str(),
            deeper.as_str(),
            "{",
            "",
            "{} {}",
            "\u{feff}{}",
        ] {
            assert_eq!(merge("{}", patch), Err(MergeError::Patch));
        }
        let fits = format!("{}1{}", r#"{"a":"#.repeat(64), "}".repeat(64));
        assert_eq!(merge("{}", &fits).unwrap(), fits);
    }

    /// The RFC's pseudo code, as an oracle.
    fn naive(target: Value, patch: &Value) -> Value {
        let Value::Object(patch) = patch else {
            return patch.clone();
        };
        let mut target = match target {
            Value::Object(target) => target,
            _ => serde_json::Map::new(),
        };
        for (name, change) in patch {
            if change.is_null() {
                target.remove(name);
            } else {
                let value = target.remove(name).unwrap_or(Value::Null);
                target.insert(name.clone(), naive(value, change));
            }
        }
        Value::Object(target)
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[a-c\"\\\\ü]{0,3}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[a-c\"]{0,2}", inner, 0..4)
                    .prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_pseudo_code_of_the_rfc(target in json(), patch in json()) {
            let merged = merge(&target.to_string(), &patch.to_string()).unwrap();
            let merged: Value = serde_json::from_str(&merged).unwrap();
            prop_assert_eq!(merged, naive(target, &patch));
        }
    }
}
