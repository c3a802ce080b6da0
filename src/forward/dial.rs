//! From an endpoint to an open connection that is known to lead to the region.

use std::{
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use rustls::{CertificateError, ClientConnection, OtherError, pki_types::UnixTime};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

use super::{
    Endpoint, Unreachable, resolve,
    wire::{Stream, TurnedAway, Wire},
};
use crate::{
    admit::unsent,
    settings::HttpVersion,
    tls::{BackendSide, Imposter, Names},
};

/// How long one address has for itself before the next is tried beside it, at most (RFC 8305 §8).
const ATTEMPT: Duration = Duration::from_millis(250);

/// Resolves, connects, and for an `https` endpoint makes sure who is there: nothing of a request
/// is sent before the server has proven to be the region's. `limit` is what the caller waits: where
/// the name has several addresses, each gets a share of it. Cancel safe.
pub(crate) async fn dial(
    endpoint: &Endpoint,
    side: Option<&BackendSide>,
    http: HttpVersion,
    limit: Duration,
) -> Result<Wire, Unreachable> {
    let (stream, address) = connect(endpoint, limit).await?;
    // Small requests must not wait for the acknowledgement of earlier ones.
    stream.set_nodelay(true)?;
    unsent::bound(&stream);
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
    if let Some(address) = address {
        endpoint.led_to(address);
    }
    Ok(Wire {
        turned_away: TurnedAway::not_yet(&stream),
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

/// A connection, and the address that took it where there were several and the first did not.
async fn connect(
    endpoint: &Endpoint,
    limit: Duration,
) -> Result<(TcpStream, Option<SocketAddr>), Unreachable> {
    if let Some(address) = endpoint.address() {
        return Ok((TcpStream::connect(address).await?, None));
    }
    let (host, port) = endpoint.host_and_port();
    let mut addresses = resolve::addresses(host, port).await?;
    if let [address] = addresses.as_slice() {
        return Ok((TcpStream::connect(address).await?, None));
    }
    let first = addresses.first().copied();
    // Told again only once it has proven to be the server's: what fails after its connection stands
    // must not hide the others for good.
    put_first(endpoint.take_lately(), &mut addresses);
    let count = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    let pause = ATTEMPT.min(limit / count.max(1));
    let stream = first_of(&addresses, pause).await?;
    let address = stream.peer_addr().ok();
    // Where the resolver's first one serves, its order spreads the connections.
    Ok((stream, address.filter(|address| Some(*address) != first)))
}

/// The others keep the order of RFC 6724: the sort is stable.
fn put_first(lately: Option<SocketAddr>, addresses: &mut [SocketAddr]) {
    addresses.sort_by_key(|address| Some(*address) != lately);
}

/// The first connection to one of these, begun in their order: the next when one fails, and when none
/// stands after `pause` (RFC 8305 §5), beside those that were begun. Cancel safe: dropping it ends all.
async fn first_of(addresses: &[SocketAddr], pause: Duration) -> Result<TcpStream, Unreachable> {
    let mut addresses = addresses.iter();
    let mut attempts = Vec::new();
    let mut last = Unreachable::Unresolved;
    loop {
        match addresses.next() {
            Some(address) => attempts.push(Box::pin(TcpStream::connect(*address))),
            None if attempts.is_empty() => return Err(last),
            None => {}
        }
        let ended = poll_fn(|cx| {
            let mut ended = None;
            attempts.retain_mut(|attempt| match ended {
                None => match attempt.as_mut().poll(cx) {
                    Poll::Ready(outcome) => {
                        ended = Some(outcome);
                        false
                    }
                    Poll::Pending => true,
                },
                Some(_) => true,
            });
            ended.map_or(Poll::Pending, Poll::Ready)
        });
        let ended = match addresses.len() {
            0 => ended.await,
            _ => match timeout(pause, ended).await {
                Ok(ended) => ended,
                Err(_) => continue,
            },
        };
        match ended {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error.into(),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::tests::script;

    #[test]
    fn the_address_that_led_to_the_server_lately_is_tried_first() {
        let endpoint = Endpoint::parse(&"http://store.example:80".parse().unwrap()).unwrap();
        let [a, b, c] = [1, 2, 3].map(|n| SocketAddr::from(([192, 0, 2, n], 80)));
        let order = || {
            let mut addresses = [a, b, c];
            put_first(endpoint.take_lately(), &mut addresses);
            addresses
        };
        assert_eq!(order(), [a, b, c]);
        endpoint.clone().led_to(c);
        assert_eq!(order(), [c, a, b]);
        assert_eq!(order(), [a, b, c], "it led nowhere since");
    }

    /// A host that is gone: packets to it are lost, and nothing comes back.
    #[tokio::test]
    async fn an_address_that_does_not_answer_hides_no_other() {
        let full = script::Full::new();
        let gone = full.address;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = listener.local_addr().unwrap();
        let closed = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap()
        };
        let pause = Duration::from_millis(50);
        let limit = Duration::from_secs(3);
        for addresses in [
            &[good][..],
            &[gone, good],
            &[gone, gone, closed, gone, good],
            &[good, gone],
        ] {
            let connected = tokio::time::timeout(limit, first_of(addresses, pause)).await;
            let stream = connected.expect("in time").unwrap();
            assert_eq!(stream.peer_addr().unwrap(), good);
        }
        // A refusal is the answer only once nothing else is under way.
        let refused = first_of(&[closed, closed], pause).await;
        assert_eq!(refused.err(), Some(Unreachable::Refused));
        assert_eq!(
            first_of(&[], pause).await.err(),
            Some(Unreachable::Unresolved)
        );
    }
}
