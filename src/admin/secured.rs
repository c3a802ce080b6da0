//! The admin listener over TLS.

use std::{io, net::SocketAddr, sync::Arc};

use axum::{
    extract::connect_info::Connected,
    serve::{IncomingStream, Listener},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{
    admit::handshake::expect_tls,
    router::Shared,
    tls::{Live, ServerSide, TlsPeer},
};

/// Unfinished handshakes. Beyond these the kernel's queue holds whoever comes.
const MOST: usize = 64;

/// A listener whose connections have shaken hands.
pub(super) struct Secured {
    listener: TcpListener,
    shared: Arc<Shared>,
    live: Arc<Live<ServerSide>>,
    room: Arc<Semaphore>,
    done: (mpsc::Sender<Shaken>, mpsc::Receiver<Shaken>),
}

type Shaken = (TlsStream<TcpStream>, Operator);

/// The other end of one connection.
#[derive(Clone)]
pub(super) struct Operator {
    address: SocketAddr,
    /// The certificate it has shown.
    pub(super) tls: Arc<TlsPeer>,
}

impl Secured {
    pub(super) fn new(
        listener: TcpListener,
        shared: Arc<Shared>,
        live: Arc<Live<ServerSide>>,
    ) -> Self {
        Self {
            listener,
            shared,
            live,
            room: Arc::new(Semaphore::new(MOST)),
            done: mpsc::channel(MOST),
        }
    }

    /// Shakes hands beside whoever else does, so that none waits for another.
    fn shake(&self, stream: TcpStream, address: SocketAddr) {
        let side = self.live.load();
        let limit = self.shared.snapshot.load().settings.limits.header_read;
        let done = self.done.0.clone();
        let Ok(place) = Arc::clone(&self.room).try_acquire_owned() else {
            return;
        };
        tokio::spawn(async move {
            let shake = async {
                let stream = expect_tls(stream).await.ok()?;
                let acceptor = TlsAcceptor::from(side.config());
                acceptor.accept(stream).await.ok()
            };
            let shaken = timeout(limit, shake).await;
            drop(place);
            if let Ok(Some(stream)) = shaken {
                let (_, session) = stream.get_ref();
                let tls = Arc::new(side.peer(session));
                let _ = done.send((stream, Operator { address, tls })).await;
            }
        });
    }
}

impl Listener for Secured {
    type Io = TlsStream<TcpStream>;
    type Addr = Operator;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let has_room = self.room.available_permits() > 0;
            tokio::select! {
                Some(shaken) = self.done.1.recv() => return shaken,
                accepted = self.listener.accept(), if has_room => match accepted {
                    Ok((stream, address)) => self.shake(stream, address),
                    // Out of file descriptors: pausing lets that pass without a busy loop.
                    Err(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
                },
                // A place may have become free.
                () = tokio::time::sleep(std::time::Duration::from_millis(100)), if !has_room => {}
            }
        }
    }

    /// The other end's side of it is nobody, so this one has no name to tell.
    fn local_addr(&self) -> io::Result<Self::Addr> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl Connected<IncomingStream<'_, Secured>> for Operator {
    fn connect_info(stream: IncomingStream<'_, Secured>) -> Self {
        stream.remote_addr().clone()
    }
}

impl std::fmt::Debug for Operator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Operator({})", self.address)
    }
}
