use std::{io, net::SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use super::unsent;

/// Connections that the kernel holds for one worker until it accepts them.
const BACKLOG: i32 = 4096;

#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error(
        "{address} is taken: another program listens there; end it, or give another address with {hint}"
    )]
    Taken {
        address: SocketAddr,
        hint: &'static str,
    },
    #[error("cannot listen on {address}: {source}")]
    Refused {
        address: SocketAddr,
        source: io::Error,
    },
}

/// Sockets on one address, one for each worker, among which the kernel spreads connections.
///
/// A first socket is bound without `SO_REUSEPORT` and closed again, since with the option alone
/// a second router on the same port would silently share the traffic of the first. Port 0 needs
/// no such test: the kernel never gives out a port that is in use.
pub fn bind(
    address: SocketAddr,
    workers: usize,
    hint: &'static str,
) -> Result<Vec<std::net::TcpListener>, ListenError> {
    let fail = |source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => ListenError::Taken { address, hint },
        _ => ListenError::Refused { address, source },
    };
    if address.port() != 0 {
        drop(socket(address, false).map_err(fail)?);
    }
    let mut address = address;
    let mut sockets = Vec::new();
    for _ in 0..workers.max(1) {
        let socket = socket(address, true).map_err(fail)?;
        unsent::bound(&socket);
        socket.listen(BACKLOG).map_err(fail)?;
        address = local(&socket).unwrap_or(address);
        sockets.push(socket.into());
    }
    Ok(sockets)
}

fn local(socket: &Socket) -> Option<SocketAddr> {
    socket.local_addr().ok()?.as_socket()
}

fn socket(address: SocketAddr, share: bool) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if share {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Hands a bound socket to the runtime of the calling worker.
pub fn adopt(listener: std::net::TcpListener) -> io::Result<TcpListener> {
    TcpListener::from_std(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_share_a_port_and_a_taken_one_is_named() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listeners = bind(any, 2, "--listen").expect("a free port");
        let address = listeners[0].local_addr().expect("bound");
        assert_eq!(listeners[1].local_addr().expect("bound"), address);
        let refused = bind(address, 1, "--listen").expect_err("the port is taken");
        assert!(matches!(refused, ListenError::Taken { .. }));
        assert!(refused.to_string().contains("--listen"), "{refused}");
    }
}
