//! `server::Http1`: pieces mean nothing, and it finds no requests that hyper does not find.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Body;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tightrope_proxy::server::{HalfClose, Http1};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    sync::mpsc::{self, UnboundedSender},
};

/// The requests of a connection that were read to their end, and what was answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) requests: Vec<(String, Bytes)>,
    pub(crate) answers: String,
}

type Sender = UnboundedSender<(String, Bytes)>;

/// Runs an input and panics where that does not hold. Its first byte is the size of a piece.
pub(crate) fn check(input: &[u8]) {
    let Some((piece, bytes)) = input.split_first() else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let Ok(runtime) = runtime else {
        return;
    };
    let whole = runtime.block_on(ours(bytes, 1 << 20));
    let pieces = runtime.block_on(ours(bytes, usize::from(*piece) + 1));
    assert_eq!(whole.requests, pieces.requests, "{}", bytes.escape_ascii());
    let lenient = runtime.block_on(hypers(bytes));
    assert!(
        lenient.requests.starts_with(&whole.requests),
        "{whole:?} {lenient:?}"
    );
}

/// What our server makes of `bytes` that come in pieces of this size.
pub(crate) async fn ours(bytes: &[u8], piece: usize) -> Seen {
    seen(bytes, piece, async |server, sender| {
        let service = tower::service_fn(move |request| answer(request, sender.clone()));
        let http = Http1::new().with_half_close(HalfClose::Answered);
        // How it ended is told to the client.
        let _ended = http.serve(server, service).await;
    })
    .await
}

async fn hypers(bytes: &[u8]) -> Seen {
    seen(bytes, 1 << 20, async |server, sender| {
        let service = service_fn(move |request| answer(request, sender.clone()));
        let serve = http1::Builder::new()
            .half_close(true)
            .serve_connection(TokioIo::new(server), service);
        let _ended = serve.await;
    })
    .await
}

async fn seen(bytes: &[u8], piece: usize, serve: impl AsyncFnOnce(DuplexStream, Sender)) -> Seen {
    let (mut client, server) = duplex(piece);
    let (sender, mut requests) = mpsc::unbounded_channel();
    let talk = async {
        let (mut reading, mut writing) = tokio::io::split(&mut client);
        let write = async {
            // What is refused is not read to its end.
            let _refused = writing.write_all(bytes).await;
            let _gone = writing.shutdown().await;
        };
        let mut answers = Vec::new();
        let ((), _end) = tokio::join!(write, reading.read_to_end(&mut answers));
        String::from_utf8_lossy(&answers).into_owned()
    };
    let ((), answers) = tokio::join!(serve(server, sender), talk);
    let mut all = Vec::new();
    while let Ok(request) = requests.try_recv() {
        all.push(request);
    }
    Seen {
        requests: all,
        answers,
    }
}

async fn answer<B: Body>(
    request: Request<B>,
    sender: Sender,
) -> Result<Response<Full<Bytes>>, B::Error> {
    let (parts, body) = request.into_parts();
    let head = format!("{} {} {:?}", parts.method, parts.uri, parts.headers);
    let body = body.collect().await?.to_bytes();
    let _gone = sender.send((head, body));
    Ok(Response::new(Full::new(Bytes::new())))
}
