//! The whole way of bytes: `server::Http1`, `ForwardedLayer`, `check_request`,
//! `Forward`, and an endpoint that reads as strictly as one can.

use std::{
    cell::Cell,
    convert::Infallible,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use http::Request;
use http_body_util::Either;
use tightrope::{
    forwarded::{ForwardedLayer, Peer},
    proxy::{
        Forward, ForwardConfig, Underscores, check_request, respond,
        server::{HalfClose, Http1, RequestBody},
    },
    upstream::{Address, Change, EndpointSpec, Picked, Upstream},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    net::{UnixListener, UnixStream},
    runtime::Runtime,
    task::LocalSet,
};
use tower::{Layer, Service, ServiceExt};

use super::message::{Message, parse};

/// An endpoint on a Unix socket, and what it was sent.
pub(crate) struct Wire {
    runtime: Runtime,
    path: PathBuf,
    upstream: Upstream,
    seen: Arc<Mutex<Seen>>,
    server: LocalSet,
}

#[derive(Debug, Default)]
struct Seen {
    requests: Vec<Message>,
    errors: Vec<String>,
}

/// What came of some bytes.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// What the endpoint read.
    pub(crate) requests: Vec<Message>,
    /// What the client was answered.
    pub(crate) answer: Vec<u8>,
}

impl Wire {
    pub(crate) fn new() -> Self {
        thread_local!(static NUMBER: Cell<u32> = const { Cell::new(0) });
        let number = NUMBER.replace(NUMBER.get() + 1);
        let thread = format!("{:?}", std::thread::current().id());
        let thread: String = thread.chars().filter(char::is_ascii_digit).collect();
        let name = format!("tightrope-wire-{}-{thread}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = {
            let _inside = runtime.enter();
            UnixListener::bind(&path).expect("a socket in the folder for temporary files")
        };
        let upstream = Upstream::new("wire");
        let spec = EndpointSpec::new(Address::Unix(path.clone().into()));
        upstream.apply(Change::new().add(spec)).expect("a member");
        let seen = Arc::new(Mutex::new(Seen::default()));
        let server = LocalSet::new();
        let told = Arc::clone(&seen);
        server.spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::task::spawn_local(endpoint(stream, Arc::clone(&told)));
            }
        });
        Self {
            runtime,
            path,
            upstream,
            seen,
            server,
        }
    }

    /// Sends `bytes` from `peer`. Panics where the endpoint is sent anything odd.
    pub(crate) fn send(
        &self,
        bytes: &[u8],
        peer: Option<Peer>,
        layer: &ForwardedLayer,
        underscores: Underscores,
    ) -> Outcome {
        let config = ForwardConfig::new().with_underscores(underscores);
        let forward = Forward::new(config);
        let upstream = self.upstream.clone();
        let inner = tower::service_fn(move |request: Request<RequestBody>| {
            let (forward, upstream) = (forward.clone(), upstream.clone());
            async move {
                if let Err(error) = check_request(&request) {
                    return Ok::<_, Infallible>(respond::refusal(&error).map(Either::Left));
                }
                let pick = upstream.snapshot().members()[0].pick().expect("no limit");
                Ok(match forward.oneshot(Picked::new(request, pick)).await {
                    Ok(response) => response.map(Either::Right),
                    Err(error) => respond::response(&error).map(Either::Left),
                })
            }
        });
        let stack = layer.layer(inner);
        let answer = self.runtime.block_on(self.server.run_until(async {
            let (mut client, server) = duplex(1 << 20);
            let service = tower::service_fn(move |mut request: Request<RequestBody>| {
                if let Some(peer) = peer {
                    request.extensions_mut().insert(peer);
                }
                stack.clone().call(request)
            });
            let http = Http1::new().with_half_close(HalfClose::Answered);
            let serve = http.serve(server, service);
            let talk = async {
                // What is refused is not read to its end.
                let _refused = client.write_all(bytes).await;
                let _gone = client.shutdown().await;
                let mut answer = Vec::new();
                let _end = client.read_to_end(&mut answer).await;
                answer
            };
            let (_ended, answer) = tokio::join!(serve, talk);
            answer
        }));
        let seen = std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner));
        let Seen { requests, errors } = seen;
        assert!(errors.is_empty(), "{errors:?} of\n{}", bytes.escape_ascii());
        for request in &requests {
            is_sound(request);
        }
        Outcome { requests, answer }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let _gone = std::fs::remove_file(&self.path);
    }
}

/// Reads requests and answers them.
async fn endpoint(mut stream: UnixStream, seen: Arc<Mutex<Seen>>) {
    let mut bytes = Vec::new();
    while let Ok(1..) = stream.read_buf(&mut bytes).await {
        let is_complete = {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            match parse(&bytes) {
                Ok(None) => false,
                Ok(Some((message, length))) => {
                    seen.requests.push(message);
                    let more = bytes.split_off(length);
                    if !more.is_empty() {
                        // This proxy does not pipeline: what follows was smuggled.
                        seen.errors.push(format!("more: {}", more.escape_ascii()));
                    }
                    true
                }
                Err(error) => return seen.errors.push(error),
            }
        };
        if is_complete {
            bytes.clear();
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
            if stream.write_all(answer).await.is_err() {
                return;
            }
        }
    }
}

/// What holds of every request that leaves, whoever sent it.
fn is_sound(request: &Message) {
    assert_eq!(request.all("host").len(), 1, "{request:?}");
    assert_ne!(request.method, "CONNECT", "{request:?}");
    assert!(
        !request.target.contains('\\') || request.target.contains('?'),
        "{request:?}"
    );
    for name in [
        "keep-alive",
        "proxy-connection",
        "http2-settings",
        "proxy-authorization",
        "proxy",
        "expect",
    ] {
        assert!(request.all(name).is_empty(), "{name} in {request:?}");
    }
    // Written by this proxy alone.
    for (name, option, wanted) in [
        ("te", &b"te"[..], &b"trailers"[..]),
        ("upgrade", b"upgrade", b"websocket"),
    ] {
        let (values, options) = (request.all(name), request.all("connection"));
        let is_named = options.contains(&option);
        assert_eq!(
            values,
            if is_named { vec![wanted] } else { vec![] },
            "{request:?}"
        );
    }
    for option in request.all("connection") {
        assert!([&b"te"[..], b"upgrade"].contains(&option), "{request:?}");
    }
    for (name, _) in &request.trailers {
        let is_forbidden = name.starts_with("x-forwarded-")
            || name.contains('_')
            || [
                "host",
                "content-length",
                "transfer-encoding",
                "connection",
                "authorization",
                "forwarded",
                "via",
                "x-real-ip",
            ]
            .contains(&&**name);
        assert!(!is_forbidden, "{name} in the trailers of {request:?}");
    }
}
