//! Clients that take a large body slowly.

use std::{fmt, io, time::Duration};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::sleep,
};

use crate::{PROXY, PROXY_HTTP2, idle, memory::Each, program::Program};

#[derive(Clone, Copy, Debug)]
pub(crate) enum Protocol {
    Http1,
    /// So many requests on a connection as `STREAMS`.
    Http2,
}

const STREAMS: usize = 100;
const BODY: usize = 10 * 1024 * 1024;

/// How long they are measured, and how often each takes something.
const SPAN: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(200);

/// Prints what `count` of them take, and returns it: in the end and at the peak.
pub(crate) async fn measure(
    program: &Program,
    count: usize,
    protocol: Protocol,
) -> io::Result<[Each; 2]> {
    for _ in 0..200 {
        idle::ask(&mut TcpStream::connect(PROXY).await?).await?;
    }
    let before = program.resident()?;
    program.forget_peak()?;
    let mut readers = JoinSet::new();
    match protocol {
        Protocol::Http1 => {
            for _ in 0..count {
                readers.spawn(read_http1());
            }
        }
        Protocol::Http2 => {
            for _ in 0..count.div_ceil(STREAMS) {
                readers.spawn(read_http2());
            }
        }
    }
    tokio::select! {
        () = sleep(SPAN) => {}
        Some(ended) = readers.join_next() => {
            return Err(io::Error::other(format!("a reader ended: {ended:?}")));
        }
    }
    let (now, peak) = (program.resident()?, program.peak()?);
    eprintln!(
        "{count} slow readers of {BODY} bytes, {protocol}: {before} KiB before, {now} KiB now, peak {peak} KiB"
    );
    let each = [now, peak].map(|after| Each::new(after, before, count));
    eprintln!("  each: {} KiB, at the peak {}", each[0], each[1]);
    drop(readers);
    sleep(Duration::from_secs(3)).await;
    eprintln!("  {} KiB when they have left", program.resident()?);
    Ok(each)
}

async fn read_http1() -> io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    // What the system keeps is not the proxy's memory: the less there is of it the sooner the proxy must wait.
    socket.set_recv_buffer_size(4096)?;
    let mut stream = socket.connect(PROXY).await?;
    let request = format!("GET /body/{BODY} HTTP/1.1\r\nhost: a.test\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut some = [0; 1024];
    while stream.read(&mut some).await? > 0 {
        sleep(PAUSE).await;
    }
    Ok(())
}

async fn read_http2() -> io::Result<()> {
    let stream = match TcpStream::connect(PROXY_HTTP2).await {
        Ok(stream) => stream,
        Err(_not_apart) => TcpStream::connect(PROXY).await?,
    };
    let stream = TokioIo::new(stream);
    let shake = http2::Builder::new(TokioExecutor::new()).handshake(stream);
    let (mut send, connection) = shake.await.map_err(io::Error::other)?;
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { connection.await.map_err(io::Error::other) });
    for _ in 0..STREAMS {
        let request = Request::get(format!("http://a.test/body/{BODY}"));
        let request = request.body(Empty::<Bytes>::new());
        let response = send.send_request(request.map_err(io::Error::other)?);
        tasks.spawn(async move {
            let response = response.await.map_err(io::Error::other)?;
            if response.status() != 200 {
                return Err(io::Error::other(response.status().to_string()));
            }
            let mut body = response.into_body();
            while let Some(frame) = body.frame().await {
                frame.map_err(io::Error::other)?;
                sleep(PAUSE * 50).await;
            }
            Ok(())
        });
    }
    match tasks.join_next().await {
        Some(ended) => ended.map_err(io::Error::other)?,
        None => Ok(()),
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http1 => f.write_str("HTTP/1.1"),
            Self::Http2 => write!(f, "HTTP/2 with {STREAMS} on a connection"),
        }
    }
}
