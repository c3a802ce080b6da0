use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why a store cannot start or go on. What a request did wrong is answered to it instead.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(
        "the store cannot listen on `{address}`: {source}; choose another address or end what uses it"
    )]
    Listen {
        address: SocketAddr,
        source: io::Error,
    },
    #[error("the store cannot use its data folder `{folder}`: {source}")]
    Folder { folder: PathBuf, source: io::Error },
    #[error(
        "the data folder `{0}` is in use by another running store; end it or choose another folder"
    )]
    InUse(PathBuf),
    #[error("the store's database in `{folder}` cannot be opened: {reason}")]
    Database { folder: PathBuf, reason: String },
    #[error("the store's region `{0}` does not fit an HTTP header; use visible ASCII characters")]
    RegionName(String),
    #[error("the store cannot start its threads: {0}")]
    Start(io::Error),
    #[error("the store's thread ended by a panic; please report this")]
    Crashed,
}
