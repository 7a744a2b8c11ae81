//! The endpoints.

use std::{convert::Infallible, io, net::SocketAddr};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::copy,
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Ends with its connections when this is dropped.
#[derive(Debug)]
pub(crate) struct Origin {
    task: JoinHandle<()>,
}

/// A piece of a body.
const PIECE: Bytes = Bytes::from_static(&[b'x'; 16 * 1024]);

/// Serves `/small`, `/body/BYTES`, `/upload`, `/ws`, which echoes, and `/reset`, which ends the connection.
pub(crate) fn start(address: SocketAddr) -> Origin {
    let task = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        // Another that was stopped may have been there just now.
        let listener = loop {
            match TcpListener::bind(address).await {
                Ok(listener) => break listener,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        loop {
            tokio::select! {
                Ok((stream, _)) = listener.accept() => {
                    connections.spawn(serve(stream));
                }
                Some(_) = connections.join_next() => {}
            }
        }
    });
    Origin { task }
}

async fn serve(stream: TcpStream) {
    let _without = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service_fn(answer))
        .with_upgrades();
    // Clients and proxies leave as they like.
    let _left = connection.await;
}

async fn answer(mut request: Request<Incoming>) -> io::Result<Response<Body>> {
    let path = request.uri().path().to_owned();
    let size = path.strip_prefix("/body/").map(str::parse);
    match (path.as_str(), size) {
        (_, Some(Ok(bytes))) => Ok(large(bytes)),
        ("/reset", _) => Err(io::ErrorKind::ConnectionReset.into()),
        ("/ws", _) => {
            let upgraded = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                if let Ok(upgraded) = upgraded.await {
                    let (mut read, mut write) = tokio::io::split(TokioIo::new(upgraded));
                    let _left = copy(&mut read, &mut write).await;
                }
            });
            let mut response = small();
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            *response.body_mut() = Full::default().boxed_unsync();
            let headers = response.headers_mut();
            headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            Ok(response)
        }
        _ => {
            let mut body = request.into_body();
            while let Some(frame) = body.frame().await {
                frame.map_err(io::Error::other)?;
            }
            Ok(small())
        }
    }
}

fn small() -> Response<Body> {
    Response::new(Full::from("hello world\n").boxed_unsync())
}

fn large(bytes: usize) -> Response<Body> {
    let pieces = stream::unfold(bytes, |left| async move {
        let piece = PIECE.slice(..left.min(PIECE.len()));
        let left = left - piece.len();
        (!piece.is_empty()).then_some((Ok(Frame::data(piece)), left))
    });
    let mut response = Response::new(StreamBody::new(pieces).boxed_unsync());
    let length = HeaderValue::from(bytes);
    response
        .headers_mut()
        .insert(header::CONTENT_LENGTH, length);
    response
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.task.abort();
    }
}
