//! What a route says of its flows beyond their content: a word that holds for all of them, or the
//! source from which a trusted caller's word is read.

use super::{
    Steering,
    sources::{Context, Use},
    values,
};
use crate::{
    classify::ValueSource,
    document::{Faults, Fields},
    domain::{Basis, Circumstances, SpecialGround, SubjectKind, Transaction},
};

/// Reads the four keys; a source takes the place of the `Domicile-` header.
pub(super) fn read(
    fields: &Fields<'_>,
    context: &Context<'_>,
    steering: &mut Steering,
) -> Circumstances {
    Circumstances {
        subject_kind: word_or_source(
            fields,
            "subject_kind",
            &SubjectKind::WORDS,
            context,
            &mut steering.subject_kind,
        ),
        basis: word_or_source(fields, "basis", &Basis::WORDS, context, &mut steering.basis),
        transaction: word_or_source(
            fields,
            "transaction",
            &Transaction::WORDS,
            context,
            &mut steering.transaction,
        ),
        special_ground: word_or_source(
            fields,
            "special_ground",
            &SpecialGround::WORDS,
            context,
            &mut steering.special_ground,
        ),
    }
}

/// What a recipient's flows count as, where neither route nor caller says it.
pub(super) fn transaction(fields: &Fields<'_>, faults: &Faults) -> Option<Transaction> {
    values::choice(fields.maybe("transaction")?, &Transaction::WORDS, faults)
}

fn word_or_source<T: Copy>(
    fields: &Fields<'_>,
    key: &'static str,
    words: &[(&str, T)],
    context: &Context<'_>,
    source: &mut ValueSource,
) -> Option<T> {
    let node = fields.maybe(key)?;
    let text = node.text(context.faults)?;
    if !text.contains(':') && !matches!(text, "pinned" | "network") {
        return values::choice(node, words, context.faults);
    }
    if let Some(read) = context.source(node, Use::Assertion) {
        *source = read;
    }
    None
}
