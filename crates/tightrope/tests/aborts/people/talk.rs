//! Sends the bytes of a request to a server, and reads what comes.

use std::{cell::RefCell, convert::Infallible, io, rc::Rc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Body;
use tightrope::proxy::server::{Http1, RequestBody};
use tightrope_test::BoxError;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    time::timeout,
};
use tower::Service;

use crate::aborts::{exchange::Asks, stage::pause};

/// How long a client waits for an answer.
const LONG: Duration = Duration::from_millis(400);

/// Serves one connection with `service`.
pub(crate) async fn serve<S, B>(stream: DuplexStream, service: S)
where
    S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible> + Clone,
    S::Future: 'static,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let _ended = Http1::new().serve(stream, service).await;
}

/// Asks, and reads the answer to its end, or for as long as a client waits.
pub(crate) async fn talk(stream: DuplexStream, asks: Asks, status: Rc<RefCell<Option<u16>>>) {
    let (mut reading, mut writing) = tokio::io::split(stream);
    let write = async {
        for piece in written(asks) {
            writing.write_all(piece.as_bytes()).await?;
            pause().await;
        }
        io::Result::Ok(())
    };
    let read = async {
        let mut answer = Vec::new();
        while let Ok(1..) = reading.read_buf(&mut answer).await {
            if let Some(code) = answer.get(9..12) {
                *status.borrow_mut() = str::from_utf8(code).unwrap().parse().ok();
            }
            let is_whole = answer.ends_with(b"\r\n\r\nok") || answer.ends_with(b"\r\n\r\nhello");
            if is_whole && matches!(asks, Asks::WebSocket) {
                break;
            }
            pause().await;
        }
    };
    // A server that refuses an upload takes no more of it.
    let _late = timeout(LONG, async { tokio::join!(write, read) }).await;
    if matches!(asks, Asks::WebSocket) {
        // Into the tunnel, if there is one, which then ends from here.
        let _gone = writing.write_all(b"ping").await;
        pause().await;
        let _gone = writing.shutdown().await;
        let _late = timeout(LONG, reading.read_to_end(&mut Vec::new())).await;
    }
}

/// What is sent, in pieces.
fn written(asks: Asks) -> Vec<String> {
    let (method, framing) = match asks {
        Asks::Get => ("GET", "connection: close\r\n".to_owned()),
        Asks::Put(pieces) => {
            let length = pieces.concat().len();
            (
                "PUT",
                format!("connection: close\r\ncontent-length: {length}\r\n"),
            )
        }
        Asks::Post(_) => (
            "POST",
            "connection: close\r\ntransfer-encoding: chunked\r\n".to_owned(),
        ),
        Asks::WebSocket => (
            "GET",
            "connection: upgrade\r\nupgrade: websocket\r\n".to_owned(),
        ),
    };
    let mut written = vec![format!(
        "{method} / HTTP/1.1\r\nhost: a.test\r\n{framing}\r\n"
    )];
    let is_chunked = matches!(asks, Asks::Post(_));
    written.extend(asks.pieces().iter().map(|piece| match is_chunked {
        true => format!("{:x}\r\n{piece}\r\n", piece.len()),
        false => (*piece).to_owned(),
    }));
    if is_chunked {
        written.push("0\r\n\r\n".to_owned());
    }
    written
}
