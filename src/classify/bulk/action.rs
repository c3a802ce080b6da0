//! One action line: `{"index":{"_index":"people","_id":"7"}}`.

use super::{
    super::json::{JsonFault, JsonFaultKind, Pull, Value, check},
    Action,
};

/// Why an action line is refused. Holds and prints nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ActionFault {
    #[error("{0}")]
    Json(JsonFaultKind),
    #[error("expected field [create], [delete], [index] or [update]")]
    NoAction,
    #[error("a second action in the same line")]
    SecondAction,
    #[error("contains an unknown parameter")]
    UnknownParameter,
    #[error("contains a parameter twice")]
    ParameterTwice,
    #[error("expected a simple value for a parameter")]
    Shape,
    /// Two readers could end the line at different places.
    #[error("contains a carriage return")]
    CarriageReturn,
}

impl From<JsonFault> for ActionFault {
    fn from(fault: JsonFault) -> Self {
        Self::Json(fault.kind)
    }
}

/// What an action line says, as byte ranges of the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ActionLine {
    pub(super) action: Action,
    pub(super) index: Range,
    pub(super) id: Range,
    pub(super) pipeline: Range,
    /// It asks that the document comes back in the answer.
    pub(super) wants_source: bool,
}

/// Start and end of a value that is a string or a number; empty where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) start: usize,
    pub(super) end: usize,
}

/// Parameters that change nothing about whose document it is and where it lies.
const OTHERS: [&str; 11] = [
    "_type",
    "routing",
    "if_seq_no",
    "if_primary_term",
    "version",
    "version_type",
    "require_alias",
    "require_data_stream",
    "list_executed_pipelines",
    "retry_on_conflict",
    "dynamic_templates",
];

const INDEX: usize = OTHERS.len();
const ID: usize = INDEX + 1;
const PIPELINE: usize = INDEX + 2;
const SOURCE: usize = INDEX + 3;

fn parameter(name: &str) -> Option<usize> {
    match name {
        "_index" => Some(INDEX),
        "_id" => Some(ID),
        "pipeline" => Some(PIPELINE),
        "_source" => Some(SOURCE),
        other => OTHERS.iter().position(|known| *known == other),
    }
}

pub(super) fn read(line: &[u8]) -> Result<ActionLine, ActionFault> {
    if line.contains(&b'\r') {
        return Err(ActionFault::CarriageReturn);
    }
    let line = std::str::from_utf8(line).map_err(|_| ActionFault::Json(JsonFaultKind::Utf8))?;
    let mut pull = Pull::new(line);
    let mut outer = pull.object()?;
    let name = pull.key(&mut outer)?.ok_or(ActionFault::NoAction)?;
    let action = Action::parse(&name.unescape()).ok_or(ActionFault::NoAction)?;
    let mut read = ActionLine {
        action,
        index: Range::default(),
        id: Range::default(),
        pipeline: Range::default(),
        wants_source: false,
    };
    let mut inner = pull.object()?;
    let mut seen = 0_u32;
    while let Some(key) = pull.key(&mut inner)? {
        let key = parameter(&key.unescape()).ok_or(ActionFault::UnknownParameter)?;
        if seen & (1 << key) != 0 {
            return Err(ActionFault::ParameterTwice);
        }
        seen |= 1 << key;
        let start = pull.at();
        let value = pull.scalar()?;
        let range = Range {
            start,
            end: start + value.map_or(0, length),
        };
        let is_text = matches!(value, Some(Value::String(_)));
        match (key, value) {
            (_, Some(Value::Null)) => {}
            (INDEX, Some(_)) if is_text => read.index = range,
            (PIPELINE, Some(_)) if is_text => read.pipeline = range,
            (ID, Some(Value::String(_) | Value::Number(_))) => read.id = range,
            (SOURCE, Some(Value::Bool(false))) => {}
            (SOURCE, _) => {
                read.wants_source = true;
                if value.is_none() {
                    check(pull.skip()?.as_bytes())?;
                }
            }
            (INDEX | ID | PIPELINE, _) => return Err(ActionFault::Shape),
            (_, Some(_)) => {}
            (other, None) if OTHERS.get(other) == Some(&"dynamic_templates") => {
                check(pull.skip()?.as_bytes())?;
            }
            (_, None) => return Err(ActionFault::Shape),
        }
    }
    if pull.key(&mut outer)?.is_some() {
        return Err(ActionFault::SecondAction);
    }
    pull.end()?;
    Ok(read)
}

/// Bytes of a scalar as it stands in the text.
fn length(value: Value<'_>) -> usize {
    match value {
        Value::String(text) => text.raw().len() + 2,
        Value::Number(number) => number.as_str().len(),
        Value::Bool(_) | Value::Null | Value::Object | Value::Array => 0,
    }
}
