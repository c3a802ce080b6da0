//! From an endpoint to an open connection that is known to lead to the region.

use std::{io, sync::Arc};

use rustls::{CertificateError, ClientConnection, OtherError, pki_types::UnixTime};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{
    Endpoint, Unreachable,
    wire::{Stream, Wire},
};
use crate::{
    settings::HttpVersion,
    tls::{BackendSide, Imposter, Names},
};

/// Resolves, connects, and for an `https` endpoint makes sure who is there: nothing of a request
/// is sent before the server has proven to be the region's. Cancel safe.
pub(crate) async fn dial(
    endpoint: &Endpoint,
    side: Option<&BackendSide>,
    http: HttpVersion,
) -> Result<Wire, Unreachable> {
    let stream = connect(endpoint).await?;
    // Small requests must not wait for the acknowledgement of earlier ones.
    stream.set_nodelay(true)?;
    let (stream, vouched_until) = match (endpoint.server(), side) {
        (None, _) => (Stream::Plain(stream), None),
        // The settings' reader demands authorities for each https endpoint.
        (Some(_), None) => return Err(Unreachable::Handshake("no authorities are set".into())),
        (Some(server), Some(side)) => {
            let connector = TlsConnector::from(side.config());
            let stream = connector
                .connect(server.clone(), stream)
                .await
                .map_err(failed)?;
            let (_, connection) = stream.get_ref();
            side.judge_resumed(connection, server, UnixTime::now())
                .map_err(refused)?;
            let agreed = connection.alpn_protocol();
            if http == HttpVersion::Two && agreed != Some(b"h2") {
                return Err(Unreachable::NoHttp2);
            }
            let until = certificate_ends(connection);
            (Stream::Tls(Box::new(stream)), Some(until))
        }
    };
    Ok(Wire {
        stream,
        vouched_until,
    })
}

/// The last second of the server's own certificate.
fn certificate_ends(connection: &ClientConnection) -> i64 {
    let chain = connection.peer_certificates().unwrap_or_default();
    let names = chain.first().and_then(|leaf| Names::read(leaf));
    // What was verified can be read; else it vouches for this one exchange.
    names.map_or(i64::MIN, |names| names.until.as_second())
}

async fn connect(endpoint: &Endpoint) -> Result<TcpStream, Unreachable> {
    if let Some(address) = endpoint.address() {
        return Ok(TcpStream::connect(address).await?);
    }
    let addresses = tokio::net::lookup_host(endpoint.host_and_port())
        .await
        .map_err(|_| Unreachable::Unresolved)?;
    let mut last = Unreachable::Unresolved;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error.into(),
        }
    }
    Err(last)
}

fn failed(error: io::Error) -> Unreachable {
    let tls = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(tls) => refused(tls.clone()),
        None => Unreachable::Handshake(error.kind().to_string().into()),
    }
}

fn refused(error: rustls::Error) -> Unreachable {
    if let rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(other))) = &error
        && let Some(imposter) = other.downcast_ref::<Imposter>()
    {
        return Unreachable::Imposter(imposter.clone());
    }
    Unreachable::Handshake(Arc::from(error.to_string()))
}
