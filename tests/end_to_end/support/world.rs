//! A place for a test: its own folder, its own ports.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use domicile::store::{Store, StoreHandle, StoreOptions};

/// A fresh folder, removed when it is dropped.
pub struct TempWorld(tempfile::TempDir);

impl TempWorld {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// A folder in it, created.
    pub fn folder(&self, name: &str) -> PathBuf {
        let folder = self.path().join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        folder
    }

    /// A file in it, with what is above it.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let file = self.path().join(name);
        std::fs::create_dir_all(file.parent().expect("a file lies in a folder")).expect("a folder");
        std::fs::write(&file, content).expect("a file");
        file
    }

    /// An embedded store whose data lie in the folder `region`, on a free port.
    pub fn store(&self, region: &str) -> StoreHandle {
        Store::bind(self.store_options(region))
            .and_then(Store::spawn)
            .expect("a store")
    }

    pub fn store_options(&self, region: &str) -> StoreOptions {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        StoreOptions::new(listen, self.folder(region), region)
    }
}

/// A port that is free now, for programs that cannot be told to choose one. Another process may
/// take it before it is used: prefer port 0 where it is possible.
pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port()
}
