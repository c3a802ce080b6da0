use http::StatusCode;

use super::{BulkSplitFault, UpdateFault};

/// What is wrong with a bulk request as a whole, or with one item of it. Holds and prints nothing
/// of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BulkFault {
    #[error(transparent)]
    Split(#[from] BulkSplitFault),
    #[error("`{0}` cannot be passed on: {1}")]
    Parameter(&'static str, &'static str),
    #[error(
        "the request has a query parameter that is not known; known are refresh, timeout, wait_for_active_shards, require_alias, require_data_stream, pipeline, list_executed_pipelines, include_source_on_error, error_trace, batch_size, filter_path, pretty and human"
    )]
    UnknownParameter,
    #[error("send the body as it is, or with Content-Encoding: gzip")]
    Encoding,
    #[error("the body is not whole gzip (RFC 1952)")]
    Gzip,
    #[error("name the index, in the action line as `_index` or in the path before `_bulk`")]
    NoIndex,
    #[error(
        "no route takes items of this index; name it in the `indices` of the route whose schema knows its documents"
    )]
    UnknownIndex,
    #[error("an update or delete names its document: give `_id`")]
    NoId,
    #[error(
        "a `delete` has no document to read its subject from; with subject = \"bulk:id\" the `_id` names it"
    )]
    DeleteWithoutSubject,
    #[error("the documents of one update name two subjects")]
    TwoSubjects,
    #[error(
        "the item names a pipeline that the route's `pipelines` do not list, and what a pipeline makes of a document cannot be classified"
    )]
    Pipeline,
    #[error(
        "the item asks for the document in the answer (`_source`), which is another flow; read it with a request of its own"
    )]
    WantsSource,
    #[error("the document holds a carriage return, at which some readers end a line")]
    CarriageReturn,
    #[error(transparent)]
    Update(#[from] UpdateFault),
}

impl BulkFault {
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Split(_)
            | Self::Parameter(..)
            | Self::UnknownParameter
            | Self::Gzip
            | Self::NoIndex
            | Self::NoId
            | Self::CarriageReturn => StatusCode::BAD_REQUEST,
            Self::Encoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::UnknownIndex => StatusCode::NOT_FOUND,
            Self::DeleteWithoutSubject | Self::TwoSubjects | Self::Pipeline | Self::WantsSource => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            Self::Update(fault) => match fault {
                UpdateFault::Script | UpdateFault::WantsSource => StatusCode::UNPROCESSABLE_ENTITY,
                UpdateFault::Json(_)
                | UpdateFault::NoDoc
                | UpdateFault::NoObject
                | UpdateFault::UnknownMember => StatusCode::BAD_REQUEST,
            },
        }
    }

    /// The last part of the problem's `type`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Split(_) => "malformed-bulk",
            Self::Parameter(..) | Self::UnknownParameter => "bad-parameter",
            Self::Encoding => "compressed-body",
            Self::Gzip => "broken-body",
            Self::NoIndex => "no-index",
            Self::UnknownIndex => "unknown-index",
            Self::NoId => "no-id",
            Self::DeleteWithoutSubject | Self::TwoSubjects => "no-subject",
            Self::Pipeline => "pipeline-not-listed",
            Self::WantsSource | Self::Update(UpdateFault::WantsSource) => "document-in-answer",
            Self::CarriageReturn => "malformed-record",
            Self::Update(UpdateFault::Script) => "scripted-update",
            Self::Update(UpdateFault::Json(_)) => "malformed-record",
            Self::Update(
                UpdateFault::NoDoc | UpdateFault::NoObject | UpdateFault::UnknownMember,
            ) => "malformed-update",
        }
    }
}
