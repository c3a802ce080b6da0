//! What the readers of policy files share: names by table, intervals, sets of names.

use crate::{
    document::{Faults, Fields, Node, suggest},
    domain::{CategorySet, Operation, Place, same_purpose},
};

use super::{
    places::PlaceExpr,
    sets::{AttributeSet, Interval, OTHER_PURPOSE, PurposeId},
    vocabulary::{Names, Vocabulary, Words},
};

/// The value that `node`'s text names in `table`; a fault with a suggestion otherwise.
pub fn pick<T: Clone>(node: &Node, what: &str, table: &[(&str, T)], faults: &Faults) -> Option<T> {
    let text = node.text(faults)?;
    pick_text(text, node, what, table, faults)
}

pub fn pick_text<T: Clone>(
    text: &str,
    node: &Node,
    what: &str,
    table: &[(&str, T)],
    faults: &Faults,
) -> Option<T> {
    if let Some((_, value)) = table.iter().find(|(name, _)| *name == text) {
        return Some(value.clone());
    }
    let names = || table.iter().map(|(n, _)| *n);
    let hint = suggest(text, names())
        .unwrap_or_else(|| format!("one of: {}", names().collect::<Vec<_>>().join(", ")));
    faults.error_hint(&node.at, format!("unknown {what} `{text}`"), hint);
    None
}

/// An index in a list of names that a file gave; a fault with a suggestion otherwise.
pub fn named(text: &str, node: &Node, what: &str, names: &Names, faults: &Faults) -> Option<usize> {
    let found = names.find(text);
    if found.is_none() {
        let hint = suggest(text, names.iter()).unwrap_or_else(|| {
            "the words stand in vocabulary.toml or organisation.toml".to_owned()
        });
        faults.error_hint(&node.at, format!("unknown {what} `{text}`"), hint);
    }
    found
}

/// `from` and `until` of a table; days, both inclusive.
pub fn interval(fields: &Fields<'_>) -> Interval {
    let faults = fields.faults();
    let from = fields.maybe("from").and_then(|n| n.date(faults));
    let until_node = fields.maybe("until");
    let until = until_node.and_then(|n| n.date(faults));
    if let (Some(f), Some(u), Some(node)) = (from, until, until_node)
        && u < f
    {
        faults.error_hint(
            &node.at,
            format!("the interval ends on {u}, before it starts on {f}"),
            "`from` and `until` are both inclusive",
        );
    }
    Interval { from, until }
}

/// Where a rule comes from: a refusal and the ledger tell it, so that it can be looked up.
pub fn citation<'a>(fields: &Fields<'a>) -> &'a str {
    let Some(node) = fields.need("citation") else {
        return "";
    };
    let Some(text) = node.text(fields.faults()) else {
        return "";
    };
    if text.trim().is_empty() {
        let hint = "name the article that says so, such as \"GDPR Art. 46(2)(c)\": answers and the ledger tell it";
        fields
            .faults()
            .error_hint(&node.at, "`citation` names no source", hint);
    }
    text
}

/// Where a promise or a term of the organisation's own was given, if that is told: a refusal cites it.
pub fn source<'a>(fields: &Fields<'a>) -> Option<&'a str> {
    let node = fields.maybe("source")?;
    let text = node.text(fields.faults())?;
    if text.trim().is_empty() {
        let hint = "say where it was given, such as \"privacy notice of 2021-01-01\", or leave \
                    `source` out: answers and the ledger tell it";
        fields
            .faults()
            .error_hint(&node.at, "`source` names no source", hint);
    }
    Some(text)
}

pub fn operations(node: &Node, faults: &Faults) -> u8 {
    let mut set = 0;
    for (text, item) in node.texts(faults) {
        let table: Vec<(&str, Operation)> = Operation::ALL
            .into_iter()
            .map(|o| (o.as_str(), o))
            .collect();
        if let Some(operation) = pick_text(text, item, "operation", &table, faults) {
            set |= operation_bit(operation);
        }
    }
    set
}

pub fn operation_bit(operation: Operation) -> u8 {
    1 << (operation as u8)
}

/// Categories named by keys, each with all below it.
pub fn categories(node: &Node, vocabulary: &Vocabulary, faults: &Faults) -> CategorySet {
    let mut set = CategorySet::EMPTY;
    for (text, item) in node.texts(faults) {
        match vocabulary.category(text) {
            Some(id) => set = set.union(vocabulary.below(id)),
            None => {
                let hint = vocabulary.suggest_category(text);
                faults.error_hint(&item.at, format!("unknown category `{text}`"), hint);
            }
        }
    }
    set
}

pub fn attributes(node: &Node, vocabulary: &Vocabulary, faults: &Faults) -> AttributeSet {
    let mut set = AttributeSet::EMPTY;
    for (text, item) in node.texts(faults) {
        if let Some(id) = vocabulary.need_attribute(text, item, faults) {
            set.insert(id);
        }
    }
    set
}

/// Law's own words: of one that is spelt wrongly the rule would never hear.
pub fn purposes_of_law(node: &Node, vocabulary: &Words<'_>, faults: &Faults) -> Vec<PurposeId> {
    if let Some(known) = &vocabulary.purposes {
        for (text, item) in node.texts(faults) {
            if known.find_purpose(text).is_none() {
                let hint = suggest(text, known.iter())
                    .unwrap_or_else(|| "law's purposes stand in vocabulary.toml".to_owned());
                faults.error_hint(&item.at, format!("unknown purpose `{text}`"), hint);
            }
        }
    }
    purposes(node, vocabulary, faults)
}

/// An organisation's own words, or law's.
pub fn purposes(node: &Node, vocabulary: &Words<'_>, faults: &Faults) -> Vec<PurposeId> {
    let mut found: Vec<PurposeId> = node
        .texts(faults)
        .into_iter()
        .map(|(text, item)| {
            if same_purpose(text, OTHER_PURPOSE) {
                let message = format!("`{OTHER_PURPOSE}` is how entries tell what no file names");
                faults.error_hint(&item.at, message, "give the purpose a name of its own");
            }
            vocabulary.purpose(text)
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Countries, parts, organisations and groups.
pub fn places(node: &Node, vocabulary: &Vocabulary, faults: &Faults) -> PlaceExpr {
    let mut expr = PlaceExpr::default();
    for (text, item) in node.texts(faults) {
        if text == "*" {
            expr.any = true;
        } else if let Some(group) = vocabulary.group(text) {
            expr.groups.push(group);
        } else {
            match text.parse::<Place>() {
                Ok(place) => {
                    doubt(&place, item, faults);
                    expr.places.push(place);
                }
                Err(_) => {
                    let hint = place_hint(text, vocabulary.groups.names.iter())
                        .unwrap_or_else(|| "countries are two upper-case letters of ISO 3166-1; groups stand in vocabulary.toml".to_owned());
                    faults.error_hint(
                        &item.at,
                        format!("`{text}` is neither a place nor a group"),
                        hint,
                    );
                }
            }
        }
    }
    expr
}

/// A place where no group may stand.
pub fn place(node: &Node, faults: &Faults) -> Option<Place> {
    let text = node.text(faults)?;
    match text.parse() {
        Ok(place) => {
            doubt(&place, node, faults);
            Some(place)
        }
        Err(error) => {
            let hint = place_hint(text, []).unwrap_or_else(|| {
                if text == "EU" || text == "EEA" {
                    "name the member state, such as `DE`".to_owned()
                } else {
                    "countries are two upper-case letters of ISO 3166-1".to_owned()
                }
            });
            faults.error_hint(&node.at, format!("`{text}`: {error}"), hint);
            None
        }
    }
}

/// A part of a country that is none concerns nobody.
fn doubt(place: &Place, node: &Node, faults: &Faults) {
    if let Some(doubt) = place.doubt() {
        faults.warning(&node.at, doubt, None);
    }
}

fn place_hint<'a>(text: &str, groups: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let meant = Place::meant(text).map(|code| format!("did you mean `{code}`?"));
    // Of two letters or three every code is near some other one, and a wrong one is another place:
    // by its letters only a longer name is taken for a group's.
    let long = |group: &&str| text.len() > 3 && group.len() > 3;
    meant.or_else(|| suggest(text, groups.into_iter().filter(long)))
}
