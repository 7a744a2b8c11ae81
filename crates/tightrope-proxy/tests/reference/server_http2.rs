//! `server::Http2`: whatever a client does, its connection ends in time, leaves nothing under way, and gives the service
//! requests that are right.

use std::{
    convert::Infallible,
    future::pending,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty, Full, combinators::UnsyncBoxBody};
use hyper::body::Body;
use tightrope_proxy::server::{Http2, Interim, OnUpgrade, RequestBody, RequestBodyError};
use tokio::{
    io::{AsyncWriteExt, DuplexStream, copy, duplex, split},
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::frames::{self, Step};

type Answer = Response<UnsyncBoxBody<Bytes, RequestBodyError>>;

/// What the service was given.
#[derive(Clone, Debug, Default)]
struct Seen {
    /// Clones of it are with all that is under way, but tunnels.
    alive: Alive,
    requests: Arc<Mutex<Vec<String>>>,
    tunnels: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

/// Whether somebody panicked who had a clone of it: the server goes on.
#[derive(Clone, Debug, Default)]
struct Alive(Arc<AtomicBool>);

impl Drop for Alive {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

/// The first byte of an input.
#[derive(Clone, Copy, Debug)]
struct Manner(u8);

impl Manner {
    const RAW: u8 = 1;
    const SMALL: u8 = 2;
    const CLOSES: u8 = 4;
    const DEAF: u8 = 8;
    const DROPPED: u8 = 16;
    const STOPPED: u8 = 32;

    const fn has(self, bit: u8) -> bool {
        self.0 & bit != 0
    }
}

/// Longer than all timeouts of the server, one after the other.
const PATIENCE: Duration = Duration::from_secs(10 * 60);

/// Runs an input, panics where that does not hold, and returns the requests. Its first bytes are a manner and the size of a
/// piece.
pub(crate) fn check(input: &[u8]) -> Vec<String> {
    let Some((&[manner, piece], input)) = input.split_first_chunk() else {
        return Vec::new();
    };
    let manner = Manner(manner);
    let steps = match manner.has(Manner::RAW) {
        true => frames::raw(input),
        false => frames::steps(input),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(run(manner, (usize::from(piece) + 1) * 64, steps)),
        Err(_none) => Vec::new(),
    }
}

async fn run(manner: Manner, piece: usize, steps: Vec<Step>) -> Vec<String> {
    let seen = Seen::default();
    let service = tower::service_fn({
        let seen = seen.clone();
        move |request| answer(request, seen.clone())
    });
    let waits = steps.iter().map(|step| match step {
        Step::Send(_) => Duration::ZERO,
        Step::Wait(time) => *time,
    });
    let patience = PATIENCE + waits.sum::<Duration>();
    let (client, server) = duplex(piece);
    let mut serving = server_of(manner).serve(server, service);
    let talking = tokio::spawn(talk(client, manner, steps));
    let mut is_stopped = !manner.has(Manner::STOPPED);
    let ends = async {
        loop {
            tokio::select! {
                biased;
                _how = &mut serving => break,
                () = sleep(Duration::from_secs(1)), if !is_stopped => {
                    serving.graceful_shutdown();
                    is_stopped = true;
                }
            }
        }
    };
    if manner.has(Manner::DROPPED) {
        let _late = timeout(Duration::from_secs(1), ends).await;
    } else {
        let ended = timeout(patience, ends).await;
        assert!(ended.is_ok(), "the connection does not end");
        // The service and this.
        assert_eq!(
            Arc::strong_count(&seen.alive.0),
            2,
            "something is under way"
        );
    }
    drop(serving);
    let tunnels = std::mem::take(&mut *seen.locked_tunnels());
    for tunnel in tunnels {
        let ended = timeout(PATIENCE, tunnel).await;
        assert!(matches!(ended, Ok(Ok(()))), "a tunnel: {ended:?}");
    }
    assert_eq!(
        Arc::strong_count(&seen.alive.0),
        1,
        "something is under way"
    );
    assert!(
        !seen.alive.0.load(Ordering::Relaxed),
        "the service panicked"
    );
    talking.abort();
    let requests = seen.requests.lock();
    requests.unwrap_or_else(PoisonError::into_inner).clone()
}

fn server_of(manner: Manner) -> Http2 {
    let http2 = Http2::new().with_extended_connect();
    match manner.has(Manner::SMALL) {
        false => http2,
        true => http2
            .with_max_streams(3)
            .with_max_head(256)
            .with_max_fields(4)
            .with_max_resets(2)
            .with_windows(100, 70_000)
            .with_send_buffer(1000),
    }
}

async fn talk(client: DuplexStream, manner: Manner, steps: Vec<Step>) {
    let (mut reading, mut writing) = split(client);
    let write = async {
        for step in steps {
            match step {
                Step::Send(bytes) => {
                    // What is refused is not read to its end.
                    let _refused = writing.write_all(&bytes).await;
                }
                Step::Wait(time) => sleep(time).await,
            }
        }
        if manner.has(Manner::CLOSES) {
            let _gone = writing.shutdown().await;
        }
        pending::<()>().await
    };
    let read = async {
        if !manner.has(Manner::DEAF) {
            let _end = copy(&mut reading, &mut tokio::io::sink()).await;
        }
        pending::<()>().await
    };
    tokio::join!(write, read);
}

// === The service ===

async fn answer(mut request: Request<RequestBody>, seen: Seen) -> Result<Answer, Infallible> {
    let length = check_head(&request);
    let told = format!(
        "{} {} {:?}",
        request.method(),
        request.uri(),
        request.headers()
    );
    let requests = seen.requests.lock();
    requests.unwrap_or_else(PoisonError::into_inner).push(told);
    if request.method() == Method::CONNECT {
        if let Some(upgrade) = request.extensions_mut().remove::<OnUpgrade>() {
            let tunnel = tokio::spawn(echo(upgrade));
            seen.locked_tunnels().push(tunnel);
        }
        return Ok(Response::new(held(Empty::new(), &seen)));
    }
    let path = request.uri().path().to_owned();
    let (parts, body) = request.into_parts();
    let mut answer = Response::new(match path.as_str() {
        "/echo" => held(Full::new(read(body, length).await), &seen),
        "/stream" => kept(body, &seen),
        "/wait" => pending().await,
        "/big" => held(Full::new(vec![b'b'; 300_000].into()), &seen),
        "/interim" => {
            if let Some(interim) = parts.extensions.get::<Interim>() {
                interim.send(StatusCode::EARLY_HINTS, &HeaderMap::new());
            }
            held(Full::new(read(body, length).await), &seen)
        }
        _ => held(Empty::new(), &seen),
    });
    if path == "/fail" {
        // Not as long as it says.
        answer
            .headers_mut()
            .insert(header::CONTENT_LENGTH, 7.into());
    }
    Ok(answer)
}

/// What reached the service is right: how long its body is, if it says so.
fn check_head(request: &Request<RequestBody>) -> Option<u64> {
    let (headers, uri) = (request.headers(), request.uri());
    for name in [
        "connection",
        "keep-alive",
        "proxy-connection",
        "transfer-encoding",
        "upgrade",
    ] {
        assert!(!headers.contains_key(name), "{request:?}");
    }
    let mut codings = headers.get_all(header::TE).iter();
    assert!(codings.all(|coding| coding == "trailers"), "{request:?}");
    match *request.method() {
        // RFC 9113 §8.5: but where it names a protocol (RFC 8441 §4).
        Method::CONNECT if uri.scheme().is_none() && uri.path().is_empty() => {
            assert!(uri.authority().is_some(), "{request:?}");
        }
        Method::OPTIONS if uri.path() == "*" => {}
        _ => assert!(uri.path().starts_with('/'), "{request:?}"),
    }
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let length = lengths.next()?;
    assert!(lengths.next().is_none(), "{request:?}");
    let length = length.to_str().unwrap_or_default().parse();
    assert!(length.is_ok(), "{request:?}");
    let length = length.ok();
    if request.method() != Method::CONNECT {
        assert_eq!(request.body().size_hint().exact(), length, "{request:?}");
    }
    length
}

/// All of a body that comes to its end.
async fn read(body: RequestBody, length: Option<u64>) -> Bytes {
    let Ok(body) = body.collect().await else {
        return Bytes::new();
    };
    let body = body.to_bytes();
    if let Some(length) = length {
        assert_eq!(body.len() as u64, length);
    }
    body
}

async fn echo(upgrade: OnUpgrade) {
    if let Ok(tunnel) = upgrade.await {
        let (mut reading, mut writing) = split(tunnel);
        if copy(&mut reading, &mut writing).await.is_ok() {
            let _gone = writing.shutdown().await;
        }
    }
}

fn held(
    body: impl Body<Data = Bytes, Error = Infallible> + Send + 'static,
    seen: &Seen,
) -> UnsyncBoxBody<Bytes, RequestBodyError> {
    kept(body.map_err(|never| match never {}), seen)
}

/// Is under way until it is dropped.
fn kept(
    body: impl Body<Data = Bytes, Error = RequestBodyError> + Send + 'static,
    seen: &Seen,
) -> UnsyncBoxBody<Bytes, RequestBodyError> {
    let alive = seen.alive.clone();
    let body = body.map_frame(move |frame| {
        let _alive = &alive;
        frame
    });
    body.boxed_unsync()
}

// === impl Seen ===

impl Seen {
    fn locked_tunnels(&self) -> std::sync::MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.tunnels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
