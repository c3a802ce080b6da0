/// Why a text is refused, and where. Holds and prints no byte of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {offset}")]
pub struct JsonFault {
    /// Bytes from the start of the scanned text.
    pub offset: usize,
    pub kind: JsonFaultKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum JsonFaultKind {
    #[error("nothing but white space")]
    Empty,
    #[error("byte order mark (RFC 8259 §8.1)")]
    ByteOrderMark,
    #[error("not UTF-8")]
    Utf8,
    #[error("text ends inside a value")]
    CutShort,
    #[error("character that the JSON grammar does not allow here")]
    Unexpected,
    #[error("malformed number")]
    Number,
    #[error("unknown escape in a string")]
    Escape,
    #[error("surrogate escape without its other half")]
    LoneSurrogate,
    #[error("unescaped control character in a string")]
    ControlCharacter,
    #[error("nesting deeper than 64")]
    TooDeep,
    #[error("key that stands twice in one object")]
    DuplicateKey,
    #[error(
        "key that differs in letter case alone, or in a NUL and what follows, from one that is read"
    )]
    LetterCase,
    #[error("key with a dot at its end, without which Elasticsearch reads it")]
    DotAtEnd,
    #[error("second value after the first")]
    SecondValue,
    #[error("value that is not an object where a record is expected")]
    NotAnObject,
    #[error("text longer than 4 GiB")]
    TooLong,
}
