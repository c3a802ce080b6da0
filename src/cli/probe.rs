//! `domicile probe`: asks one URL whether it is well, so that an image without a shell or curl can
//! look after itself.
//!
//! No redirects, no proxies, no system roots: a probe that lands elsewhere than it was sent would
//! call the wrong thing healthy.

use std::{path::Path, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header, uri::Scheme};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use jiff::SignedDuration;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use super::{Ended, Failure, args::Probe, eprint_line};
use crate::{
    clock,
    settings::{BackendTls, HttpVersion},
    tls::{BackendSide, Files, Material},
};

/// So much of an unhappy answer's body is shown.
const SHOWN: usize = 2_000;

/// Why the answer is no.
#[derive(Debug, thiserror::Error)]
enum Unwell {
    #[error("no answer within {0:?}")]
    Late(Duration),
    #[error("cannot connect: {0}")]
    Unreachable(std::io::Error),
    #[error("the TLS handshake failed: {0}")]
    Handshake(std::io::Error),
    #[error("no sound HTTP/1.1 answer: {0}")]
    Broken(hyper::Error),
    #[error("answered {status}{shown}")]
    Status { status: StatusCode, shown: String },
}

/// What is asked.
struct Target {
    host: String,
    port: u16,
    request: Request<Empty<Bytes>>,
    tls: Option<BackendSide>,
}

pub fn probe(args: &Probe) -> Result<Ended, Failure> {
    let limit = limit(&args.timeout)?;
    let target = target(&args.url, args.ca.as_deref())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let asked = runtime.block_on(async {
        let asked = tokio::time::timeout(limit, ask(target)).await;
        asked.unwrap_or(Err(Unwell::Late(limit)))
    });
    // A name that is still being looked up would hold the end for as long as its resolver takes.
    runtime.shutdown_background();
    match asked {
        Ok(()) => Ok(Ended::Good),
        Err(unwell) => {
            eprint_line(&format!("{}: {unwell}", args.url));
            Ok(Ended::No)
        }
    }
}

fn limit(text: &str) -> Result<Duration, Failure> {
    let read = text.parse::<SignedDuration>().ok();
    let read = read.and_then(|read| Duration::try_from(read).ok());
    read.filter(|limit| !limit.is_zero()).ok_or_else(|| {
        format!("`--timeout {text}`: write a number and a unit, such as `3s` or `500ms`").into()
    })
}

fn target(url: &str, ca: Option<&Path>) -> Result<Target, Failure> {
    let bad = |what: &str| -> Failure {
        format!("`{url}` {what}; write it as `http://127.0.0.1:9091/readyz`").into()
    };
    let uri: Uri = url.parse().map_err(|_| bad("is no URL"))?;
    let scheme = uri.scheme().ok_or_else(|| bad("has no scheme"))?;
    let secure = *scheme == Scheme::HTTPS;
    if !secure && *scheme != Scheme::HTTP {
        return Err(bad("is neither http nor https"));
    }
    let authority = uri.authority().ok_or_else(|| bad("names no host"))?;
    if authority.as_str().contains('@') {
        return Err(bad("has a user name, which a probe does not send"));
    }
    let host = authority.host();
    let host = host.strip_prefix('[').unwrap_or(host);
    let host = host.strip_suffix(']').unwrap_or(host);
    if host.is_empty() {
        return Err(bad("names no host"));
    }
    // `Authority::port` calls a port that is too large none at all.
    let named = authority.as_str().strip_prefix(authority.host());
    let port = match named.unwrap_or_default() {
        "" if secure => Some(443),
        "" => Some(80),
        named => named.strip_prefix(':').and_then(|port| port.parse().ok()),
    };
    let port = port
        .filter(|port| *port != 0)
        .ok_or_else(|| bad("has no port that can be called"))?;
    let tls = match (secure, ca) {
        (true, Some(ca)) => Some(tls(ca)?),
        (false, None) => None,
        (true, None) => {
            return Err(format!(
                "`{url}` is https: name the authorities that may vouch for it with `--ca FILE`"
            )
            .into());
        }
        (false, Some(_)) => {
            return Err(format!("`{url}` is http, where `--ca` has no meaning").into());
        }
    };
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path)
        .header(header::HOST, authority.as_str())
        .header(header::USER_AGENT, "domicile-probe")
        .header(header::CONNECTION, "close")
        .body(Empty::new())
        .map_err(|_| bad("has a path that cannot be sent"))?;
    Ok(Target {
        host: host.to_owned(),
        port,
        request,
        tls,
    })
}

/// The server must be the URL's host, and the file's authorities must vouch for it.
fn tls(ca: &Path) -> Result<BackendSide, Failure> {
    let settings = BackendTls {
        ca_file: ca.to_owned(),
        identity: Vec::new(),
        certificate: None,
        resume: false,
        http: HttpVersion::One,
    };
    let files = Files::read(BackendSide::files(&settings));
    BackendSide::build(&settings, &files, clock::now()).map_err(|faults| {
        let faults: Vec<String> = faults.iter().map(|f| f.fault.to_string()).collect();
        format!("`--ca`: {}", faults.join("; ")).into()
    })
}

/// Cancel safe: what was begun is dropped.
async fn ask(target: Target) -> Result<(), Unwell> {
    let wire = TcpStream::connect((target.host.as_str(), target.port))
        .await
        .map_err(Unwell::Unreachable)?;
    let Some(side) = target.tls else {
        return exchange(wire, target.request).await;
    };
    let handshake = |error| Unwell::Handshake(error);
    let name = ServerName::try_from(target.host)
        .map_err(|error| handshake(std::io::Error::other(error)))?;
    let wire = tokio_rustls::TlsConnector::from(side.config())
        .connect(name, wire)
        .await
        .map_err(handshake)?;
    exchange(wire, target.request).await
}

async fn exchange(
    wire: impl AsyncRead + AsyncWrite + Unpin,
    request: Request<Empty<Bytes>>,
) -> Result<(), Unwell> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(wire))
        .await
        .map_err(Unwell::Broken)?;
    let asked = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        if status.is_success() {
            return Ok((status, String::new()));
        }
        // Why it is unwell stands in `/readyz`; whatever else answers is not worth much time.
        let mut begun = Vec::new();
        let mut body = answer.into_body();
        while begun.len() < SHOWN
            && let Some(Ok(frame)) = body.frame().await
        {
            begun.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
        }
        begun.truncate(SHOWN);
        Ok((status, shown(&begun)))
    };
    let mut asked = std::pin::pin!(asked);
    let (status, shown) = tokio::select! {
        answer = &mut asked => answer,
        // The connection may be done before its answer is taken up.
        ended = connection => match ended {
            Ok(()) => asked.await,
            Err(error) => Err(error),
        },
    }
    .map_err(Unwell::Broken)?;
    match status.is_success() {
        true => Ok(()),
        false => Err(Unwell::Status { status, shown }),
    }
}

/// On one line, and harmless on a terminal.
fn shown(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    match text.trim() {
        "" => String::new(),
        text => format!(
            ": {}",
            text.escape_debug().to_string().replace("\\\"", "\"")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(url: &str) -> String {
        target(url, None).err().expect(url).to_string()
    }

    #[test]
    fn what_cannot_be_asked_is_told_before_anything_is_sent() {
        for (url, said) in [
            ("127.0.0.1:9091/readyz", "no URL"),
            ("/readyz", "no scheme"),
            ("ftp://127.0.0.1/", "neither http nor https"),
            ("http://u:p@127.0.0.1/", "user name"),
            ("http://127.0.0.1:0/", "no port"),
            ("http://127.0.0.1:99999/", "no port"),
            ("http://127.0.0.1:/", "no port"),
            ("https://127.0.0.1/", "--ca FILE"),
        ] {
            let fault = fault(url);
            assert!(fault.contains(said), "{url}: {fault}");
        }
        let with_ca = target("http://127.0.0.1/", Some(Path::new("ca.pem")));
        assert!(with_ca.err().unwrap().to_string().contains("no meaning"));
    }

    #[test]
    fn host_port_and_path_are_those_of_the_url() {
        let of = |url| {
            let target = target(url, None).unwrap();
            (target.host, target.port, target.request.uri().to_string())
        };
        let own = |host: &str, port, path: &str| (host.to_owned(), port, path.to_owned());
        assert_eq!(of("http://[::1]:9091/a?b"), own("::1", 9091, "/a?b"));
        assert_eq!(of("http://localhost"), own("localhost", 80, "/"));
    }

    #[test]
    fn limits_are_read_with_their_unit() {
        assert_eq!(limit("500ms").unwrap(), Duration::from_millis(500));
        for bad in ["3", "0s", "-1s", "soon"] {
            assert!(limit(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_answer_cannot_steer_the_terminal() {
        assert_eq!(shown(b"{\"ready\":false}\n"), ": {\"ready\":false}");
        assert_eq!(shown(b" \n"), "");
        assert_eq!(shown(b"\x1b[2Ja\nb"), ": \\u{1b}[2Ja\\nb");
    }
}
