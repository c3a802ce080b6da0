//! Five stores that cost as little as they can: each reads a request and says who it is.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::spawn_local,
};

use crate::client::{content_length, head_end, is_chunked};

/// Their addresses, in the order of the regions.
pub async fn start() -> Vec<SocketAddr> {
    let mut addresses = Vec::new();
    for store in 0..5 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        addresses.push(listener.local_addr().unwrap());
        spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                spawn_local(serve(stream, store));
            }
        });
    }
    addresses
}

/// Until the connection ends or something is not understood.
async fn serve(mut stream: TcpStream, store: usize) {
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Store: {store}\r\nContent-Length: 11\r\n\r\n{{\"ok\":true}}"
    );
    let mut buffer = Vec::with_capacity(32 * 1024);
    loop {
        buffer.clear();
        let head = loop {
            if let Some(end) = head_end(&buffer) {
                break end;
            }
            match stream.read_buf(&mut buffer).await {
                Ok(read) if read > 0 => {}
                _ => return,
            }
        };
        if is_chunked(&buffer[..head]) {
            while !buffer.ends_with(b"0\r\n\r\n") {
                match stream.read_buf(&mut buffer).await {
                    Ok(read) if read > 0 => {}
                    _ => return,
                }
            }
        } else {
            let mut left = content_length(&buffer[..head]).saturating_sub(buffer.len() - head);
            while left > 0 {
                buffer.clear();
                match stream.read_buf(&mut buffer).await {
                    Ok(read) if read > 0 => left = left.saturating_sub(read),
                    _ => return,
                }
            }
        }
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}
