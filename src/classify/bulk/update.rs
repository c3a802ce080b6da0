//! The source line of an `update`: a partial document, and perhaps a whole one beside it.

use super::super::json::{JsonFault, Pull, Value, check};

/// The documents in the source line of an update.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Update<'a> {
    /// Merged into the document that is there.
    pub doc: &'a [u8],
    /// Stored where none is there.
    pub upsert: Option<&'a [u8]>,
}

/// Why an update cannot be classified. Holds and prints nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpdateFault {
    #[error(transparent)]
    Json(#[from] JsonFault),
    /// What a script writes cannot be told from the request.
    #[error("the update has a script, and what a script writes cannot be classified")]
    Script,
    #[error("the update has no `doc`")]
    NoDoc,
    #[error("`doc` and `upsert` must be objects")]
    NoObject,
    #[error(
        "the update has a member other than doc, upsert, doc_as_upsert, detect_noop, _source, if_seq_no and if_primary_term"
    )]
    UnknownMember,
    #[error("the update asks for the document in the answer")]
    WantsSource,
}

/// Checks the whole line and finds the documents in it.
pub fn update(source: &[u8]) -> Result<Update<'_>, UpdateFault> {
    check(source)?;
    // Checked, and so text.
    let text = std::str::from_utf8(source).map_err(|_| UpdateFault::UnknownMember)?;
    let mut pull = Pull::new(text);
    let mut open = pull.object()?;
    let (mut doc, mut upsert) = (None, None);
    while let Some(key) = pull.key(&mut open)? {
        match key.unescape().as_ref() {
            "doc" => doc = Some(object(&mut pull)?),
            "upsert" => upsert = Some(object(&mut pull)?),
            "doc_as_upsert" | "detect_noop" | "if_seq_no" | "if_primary_term" => {
                pull.skip()?;
            }
            "_source" => match pull.scalar()? {
                Some(Value::Bool(false)) => {}
                _ => return Err(UpdateFault::WantsSource),
            },
            "script" | "scripted_upsert" => return Err(UpdateFault::Script),
            _ => return Err(UpdateFault::UnknownMember),
        }
    }
    Ok(Update {
        doc: doc.ok_or(UpdateFault::NoDoc)?,
        upsert,
    })
}

fn object<'a>(pull: &mut Pull<'a>) -> Result<&'a [u8], UpdateFault> {
    let text = pull.skip()?.as_bytes();
    if text.first() == Some(&b'{') {
        Ok(text)
    } else {
        Err(UpdateFault::NoObject)
    }
}
