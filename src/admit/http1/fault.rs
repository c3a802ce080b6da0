//! What is wrong with a message, and the status that RFC 9110 and 9112 give it.

use http::StatusCode;

/// Why a head is not served. Nothing of such a request goes anywhere, and its connection ends:
/// where the next request would begin can no longer be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadFault {
    #[error("a line ends in a bare line feed; end each line with CR LF")]
    BareLineFeed,
    #[error("a carriage return stands alone; end each line with CR LF")]
    BareReturn,
    #[error("more than one empty line stands before the request")]
    EmptyLines,
    #[error("the request line is not `METHOD target HTTP/1.1` with single spaces")]
    RequestLine,
    #[error("the method holds a character that no method has")]
    Method,
    #[error("the method is longer than any that is known here")]
    LongMethod,
    #[error("the target holds a space, a control character, a `#` or another that no target has")]
    TargetCharacter,
    #[error("the target is neither a path, nor an http URI, nor `*` for OPTIONS")]
    TargetForm,
    #[error("the target is longer than allowed; put what is long into the body")]
    LongTarget,
    #[error("the protocol version is written wrongly; write HTTP/1.1")]
    VersionSyntax,
    #[error("this version of HTTP is not spoken here; use HTTP/1.1, or HTTP/2 from the start")]
    Version,
    #[error("the head is longer than allowed; send fewer or shorter fields")]
    TooLarge,
    #[error("the head has more fields than allowed; send fewer")]
    TooMany,
    #[error("a field is continued on a second line; write it on one")]
    Folded,
    #[error("white space stands before a field's name or its colon")]
    SpaceAroundName,
    #[error("a field has no name, no colon, or a name with a character that no name has")]
    FieldName,
    #[error("a field's name reads like another's when `_` is taken for `-`")]
    Underscore,
    #[error("a field's value holds a control character")]
    FieldValue,
    #[error("a field's value begins or ends with white space; send it without")]
    PaddedValue,
    #[error("there is no Host; send one")]
    NoHost,
    #[error("there is more than one Host; send one")]
    ManyHosts,
    #[error("the host is not a name or an address with at most a port")]
    Host,
    #[error("the target names another host than Host does")]
    HostConflict,
    #[error("the target is an https URI, and it came without TLS")]
    NotSecured,
    #[error("Content-Length is not one number of digits")]
    ContentLength,
    #[error("Content-Length stands more than once")]
    ManyLengths,
    #[error("both Content-Length and Transfer-Encoding stand; send one of them")]
    TwoFramings,
    #[error("Transfer-Encoding does not end in a single `chunked`")]
    TransferEncoding,
    #[error("Transfer-Encoding names a coding other than `chunked`")]
    TransferCoding,
    #[error("HTTP/1.0 has no Transfer-Encoding")]
    OldTransferEncoding,
    #[error("Connection names something that is not the connection's")]
    Connection,
    #[error("Max-Forwards is not one number of digits")]
    Hops,
    #[error("Expect asks for something other than 100-continue")]
    Expectation,
    #[error("the connection's other half ended within the head")]
    Incomplete,
    #[error("the head did not come within the time allowed")]
    TooSlow,
    /// Of HTTP/2 alone, where nobody is told more than that.
    #[error("the request is not sound HTTP/2")]
    Malformed,
}

impl HeadFault {
    /// Status, name and title of the problem document.
    pub fn facts(self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Self::BareLineFeed
            | Self::BareReturn
            | Self::EmptyLines
            | Self::RequestLine
            | Self::Method
            | Self::VersionSyntax
            | Self::Incomplete
            | Self::Malformed => (
                S::BAD_REQUEST,
                "bad-request",
                "the request is not sound HTTP/1.1",
            ),
            Self::TargetCharacter | Self::TargetForm => (
                S::BAD_REQUEST,
                "bad-target",
                "the request's target is not sound",
            ),
            Self::Folded
            | Self::SpaceAroundName
            | Self::FieldName
            | Self::Underscore
            | Self::FieldValue
            | Self::PaddedValue
            | Self::Connection
            | Self::Hops => (
                S::BAD_REQUEST,
                "bad-field",
                "a field of the request is not sound",
            ),
            Self::NoHost | Self::ManyHosts | Self::Host | Self::HostConflict => (
                S::BAD_REQUEST,
                "bad-host",
                "the request does not name one host",
            ),
            Self::ContentLength
            | Self::ManyLengths
            | Self::TwoFramings
            | Self::TransferEncoding
            | Self::OldTransferEncoding => (
                S::BAD_REQUEST,
                "bad-framing",
                "where the body ends can be read in two ways",
            ),
            Self::TransferCoding => (
                S::NOT_IMPLEMENTED,
                "transfer-coding-unknown",
                "the transfer coding is not known here",
            ),
            Self::LongMethod => (
                S::NOT_IMPLEMENTED,
                "method-unknown",
                "the method is not known here",
            ),
            Self::LongTarget => (
                S::URI_TOO_LONG,
                "target-too-long",
                "the request's target is longer than the limit",
            ),
            Self::TooLarge | Self::TooMany => (
                S::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "head-too-large",
                "the head of the request is larger than the limit",
            ),
            Self::Version => (
                S::HTTP_VERSION_NOT_SUPPORTED,
                "version-not-supported",
                "this version of HTTP is not spoken here",
            ),
            Self::NotSecured => (
                S::MISDIRECTED_REQUEST,
                "not-secured",
                "an https resource is asked for without TLS",
            ),
            Self::Expectation => (
                S::EXPECTATION_FAILED,
                "expectation-failed",
                "the expectation cannot be met",
            ),
            Self::TooSlow => (
                S::REQUEST_TIMEOUT,
                "head-too-slow",
                "the head of the request took longer than allowed",
            ),
        }
    }
}

/// Why a body is not read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FramingFault {
    #[error("a chunk's size is not one to sixteen hexadecimal digits")]
    ChunkSize,
    #[error("a chunk carries an extension; nothing here knows one")]
    ChunkExtension,
    #[error("a chunk's size or data does not end in CR LF")]
    ChunkEnd,
    #[error("a trailer field is not sound")]
    Trailer,
    #[error("a trailer field would change how the request is framed, routed or judged")]
    ForbiddenTrailer,
    #[error("the trailer fields are longer than allowed")]
    LongTrailer,
    #[error("the body ended before its announced end")]
    Early,
}
