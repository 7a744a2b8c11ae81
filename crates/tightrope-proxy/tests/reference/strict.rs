//! `StrictRequests`: pieces mean nothing, and what passes is read by hyper as it would be without.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tightrope_proxy::StrictRequests;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, duplex},
    sync::mpsc,
};

/// Runs an input and panics where that does not hold. Its first byte is the size of a piece.
pub(crate) fn check(input: &[u8]) {
    let Some((piece, bytes)) = input.split_first() else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let Ok(runtime) = runtime else {
        return;
    };
    let whole = runtime.block_on(passed(bytes, 1 << 20));
    let pieces = runtime.block_on(passed(bytes, usize::from(*piece) + 1));
    assert_eq!(whole, pieces, "{}", bytes.escape_ascii());
    if whole != bytes {
        let prefix = whole.strip_suffix(&[0]);
        let is_cut = prefix.is_some_and(|prefix| bytes.starts_with(prefix));
        assert!(
            is_cut,
            "{} of {}",
            whole.escape_ascii(),
            bytes.escape_ascii()
        );
    }
    let strict = runtime.block_on(requests(bytes, StrictRequests::new));
    let lenient = runtime.block_on(requests(bytes, |stream| stream));
    assert!(lenient.starts_with(&strict), "{strict:?} {lenient:?}");
    if whole == bytes {
        assert_eq!(strict, lenient, "{}", bytes.escape_ascii());
    }
}

/// What passes of `bytes` when they come in pieces of this size.
pub(crate) async fn passed(bytes: &[u8], piece: usize) -> Vec<u8> {
    let (mut client, server) = duplex(piece);
    let mut strict = StrictRequests::new(server);
    let mut seen = Vec::new();
    let send = async {
        // It need not read what it has refused.
        let _refused = client.write_all(bytes).await;
        drop(client);
    };
    let receive = async {
        while let Ok(1..) = strict.read_buf(&mut seen).await {}
        drop(strict);
    };
    tokio::join!(send, receive);
    seen
}

/// The requests in `bytes` that hyper reads to their end, over what `wrap` makes of the connection.
pub(crate) async fn requests<T>(
    bytes: &[u8],
    wrap: impl FnOnce(tokio::io::DuplexStream) -> T,
) -> Vec<(String, Bytes)>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let (mut client, server) = duplex(1 << 20);
    let (sender, mut requests) = mpsc::unbounded_channel();
    let service = service_fn(move |request: Request<Incoming>| {
        let sender = sender.clone();
        async move {
            let (parts, body) = request.into_parts();
            let head = format!("{} {} {:?}", parts.method, parts.uri, parts.headers);
            let body = body.collect().await?.to_bytes();
            let _gone = sender.send((head, body));
            Ok::<_, hyper::Error>(Response::new(Full::new(Bytes::new())))
        }
    });
    let serve = http1::Builder::new()
        .half_close(true)
        .serve_connection(TokioIo::new(wrap(server)), service);
    let talk = async {
        let _refused = client.write_all(bytes).await;
        let _gone = client.shutdown().await;
        let mut answers = Vec::new();
        let _end = client.read_to_end(&mut answers).await;
    };
    let (_ended, ()) = tokio::join!(serve, talk);
    let mut all = Vec::new();
    while let Ok(request) = requests.try_recv() {
        all.push(request);
    }
    all
}
