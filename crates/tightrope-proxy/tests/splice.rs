//! Long bodies that go through pipes of the system.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tightrope_proxy::{
    Forward, ForwardBody, ForwardConfig, LingeringStream, Protocol, WriteTimeout, respond,
    rewrite::AnswerBody,
    server::{Http1, Http2, RequestBody},
    splice::{Spliced, SplicedData},
};
use tightrope_upstream::Picked;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Mutex, MutexGuard},
};
use tower_service::Service;

use crate::support::{self, Origin};

const LENGTH: usize = 1 << 20;
const ROUNDS: usize = 4;

/// There are only so many pipes in a process, of which one test here takes all.
static PIPES: Mutex<()> = Mutex::const_new(());

/// A layer's body, which counts the pieces.
struct Seen<B> {
    body: B,
    pieces: Arc<Pieces>,
    look: Look,
}

#[derive(Debug, Default)]
struct Pieces {
    piped: AtomicUsize,
    bytes: AtomicUsize,
    /// How much was not in pipes.
    copied: AtomicUsize,
}

/// Whether it reads them as well.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    Away,
    Inside,
}

impl<B: Body<Data = SplicedData> + Unpin> Body for Seen<B> {
    type Data = SplicedData;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<SplicedData>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            let length = data.remaining();
            if format!("{data:?}").contains("is_piped: true") {
                self.pieces.piped.fetch_add(1, Ordering::Relaxed);
            } else {
                self.pieces.bytes.fetch_add(1, Ordering::Relaxed);
                self.pieces.copied.fetch_add(length, Ordering::Relaxed);
            }
            if self.look == Look::Inside {
                assert_eq!(data.chunk().len(), length);
                assert_eq!(data.remaining(), length);
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Pieces {
    fn piped(&self) -> usize {
        self.piped.load(Ordering::Relaxed)
    }
}

/// A proxy in front of an endpoint.
struct Proxy {
    address: SocketAddr,
    requests: Arc<Pieces>,
    responses: Arc<Pieces>,
    forward: Forward,
    _alone: MutexGuard<'static, ()>,
}

type Answer = AnswerBody<Seen<Spliced<ForwardBody>>>;

impl Proxy {
    async fn new(origin: &Origin, speaks: Protocol, look: Look) -> Self {
        let alone = PIPES.lock().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (requests, responses) = (Arc::<Pieces>::default(), Arc::<Pieces>::default());
        let forward = Forward::new(ForwardConfig::new());
        let proxy = Self {
            address,
            requests: Arc::clone(&requests),
            responses: Arc::clone(&responses),
            forward: forward.clone(),
            _alone: alone,
        };
        let upstream = origin.upstream.clone();
        let answer = move |request: Request<RequestBody>| {
            let request = request.map(|body| Seen {
                body: Spliced::new(body),
                pieces: Arc::clone(&requests),
                look,
            });
            let picked = Picked::new(request, support::pick(&upstream));
            let answered = forward.clone().call(picked);
            let pieces = Arc::clone(&responses);
            async move {
                Ok::<Response<Answer>, Infallible>(match answered.await {
                    Ok(response) => response.map(|body| {
                        AnswerBody::inner(Seen {
                            body: Spliced::new(body),
                            pieces,
                            look,
                        })
                    }),
                    Err(error) => respond::response(&error).map(AnswerBody::from),
                })
            }
        };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (stream, _at_once) = LingeringStream::new(stream);
                let stream = WriteTimeout::new(stream, Duration::from_secs(60));
                let service = tower::service_fn(answer.clone());
                match speaks {
                    Protocol::Http2 => {
                        tokio::spawn(Http2::new().serve(stream, service));
                    }
                    _ => {
                        tokio::spawn(Http1::new().serve(stream, service));
                    }
                }
            }
        });
        proxy
    }

    async fn over_http1(origin: &Origin) -> Self {
        Self::new(origin, Protocol::Http1, Look::Away).await
    }

    /// A client that has sent this head.
    async fn client(&self, head: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    }
}

/// Bytes of which no two parts are the same.
fn long(length: usize) -> Vec<u8> {
    let words = (0..length as u32).map(|n| n.wrapping_mul(0x9E37_79B9).to_le_bytes());
    words.flatten().take(length).collect()
}

fn head(first: &str, length: usize) -> String {
    format!("{first}\r\nhost: a.test\r\ncontent-length: {length}\r\n\r\n")
}

/// The next message: its head, and a body of the length that says.
async fn message(stream: &mut TcpStream) -> (String, Vec<u8>) {
    let mut read = Vec::new();
    let end = loop {
        assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0);
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let mut body = read.split_off(end);
    let head = String::from_utf8(read).unwrap().to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1);
    let length = length.map_or(0, |rest| rest.split('\r').next().unwrap().parse().unwrap());
    while body.len() < length {
        assert_ne!(stream.read_buf(&mut body).await.unwrap(), 0);
    }
    (head, body)
}

/// Answers the next requests of a connection with what was sent.
async fn echo(mut stream: TcpStream) {
    for _ in 0..ROUNDS {
        let (_head, body) = message(&mut stream).await;
        let answer = [head("HTTP/1.1 200 OK", body.len()).as_bytes(), &body].concat();
        stream.write_all(&answer).await.unwrap();
    }
}

async fn released(origin: &Origin) {
    while origin.record().in_flight() > 0 {
        tokio::task::yield_now().await;
        origin.settle().await;
    }
}

#[tokio::test]
async fn long_bodies_go_both_ways_through_pipes_and_connections_are_used_again() {
    for look in [Look::Away, Look::Inside] {
        let origin = Origin::new().await;
        let proxy = Proxy::new(&origin, Protocol::Http1, look).await;
        let body = long(LENGTH);
        let mut client = proxy.client("").await;
        let talk = async {
            for _ in 0..ROUNDS {
                let request = [head("POST / HTTP/1.1", LENGTH).as_bytes(), &body].concat();
                let (mut receive, mut send) = client.split();
                let (sent, received) = tokio::join!(send.write_all(&request), async {
                    let mut read = vec![0; LENGTH];
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        head.push(receive.read_u8().await.unwrap());
                    }
                    receive.read_exact(&mut read).await.unwrap();
                    read
                });
                sent.unwrap();
                assert!(received == body, "not what was sent");
            }
        };
        let endpoint = async { echo(origin.accept().await.stream).await };
        tokio::join!(talk, endpoint);
        for pieces in [&proxy.requests, &proxy.responses] {
            assert!(pieces.piped() > 0, "{pieces:?}");
            // What came with the heads.
            let copied = pieces.copied.load(Ordering::Relaxed);
            assert!(copied <= ROUNDS * 8 * 1024, "{pieces:?}");
        }
        released(&origin).await;
        assert_eq!(origin.connections(&proxy.forward).idle, 1);
    }
}

#[tokio::test]
async fn what_is_short_or_of_unknown_length_is_copied() {
    let body = long(100_000);
    let text = format!("{:x}\r\n", body.len());
    let length = head("HTTP/1.1 200 OK", body.len());
    for (head, end) in [
        (length, ""),
        (
            format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{text}"),
            "\r\n0\r\n\r\n",
        ),
        (
            "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_owned(),
            "",
        ),
    ] {
        let origin = Origin::new().await;
        let proxy = Proxy::over_http1(&origin).await;
        let answer = [head.as_bytes(), &body, end.as_bytes()].concat();
        let endpoint = async {
            let mut peer = origin.accept().await;
            peer.head().await;
            peer.stream.write_all(&answer).await.unwrap();
        };
        let mut client = proxy.client("GET / HTTP/1.0\r\nhost: a.test\r\n\r\n").await;
        let mut got = Vec::new();
        let (_answered, read) = tokio::join!(endpoint, client.read_to_end(&mut got));
        read.unwrap();
        assert!(got.ends_with(&body));
        assert_eq!(proxy.responses.piped(), 0);
        assert!(proxy.responses.bytes.load(Ordering::Relaxed) > 0);
    }
}

#[tokio::test]
async fn a_client_of_http_2_gets_bytes() {
    let origin = Origin::new().await;
    let proxy = Proxy::new(&origin, Protocol::Http2, Look::Away).await;
    let body = long(LENGTH);
    let stream = proxy.client("").await;
    let (mut requests, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post("http://a.test/").header("content-length", LENGTH);
    let (response, mut send) = requests
        .send_request(request.body(()).unwrap(), false)
        .unwrap();
    send.send_data(Bytes::from(body.clone()), true).unwrap();
    let endpoint = tokio::spawn(async move {
        echo(origin.accept().await.stream).await;
    });
    let mut received = response.await.unwrap().into_body();
    let mut read = Vec::new();
    while let Some(data) = received.data().await {
        let data = data.unwrap();
        let given = received.flow_control().release_capacity(data.len());
        given.unwrap();
        read.extend_from_slice(&data);
    }
    assert!(read == body, "not what was sent");
    assert_eq!((proxy.requests.piped(), proxy.responses.piped()), (0, 0));
    endpoint.abort();
}

#[tokio::test]
async fn whoever_asks_from_elsewhere_gets_bytes() {
    let origin = Origin::new().await;
    let _alone = PIPES.lock().await;
    let forward = Forward::new(ForwardConfig::new());
    let endpoint = async {
        let mut peer = origin.accept().await;
        peer.head().await;
        let answer = [head("HTTP/1.1 200 OK", LENGTH).as_bytes(), &long(LENGTH)].concat();
        peer.stream.write_all(&answer).await.unwrap();
    };
    let call = async {
        let response = origin.call(&forward, support::get("/")).await.unwrap();
        let mut body = Spliced::new(response.into_body());
        let mut read = Vec::new();
        while let Some(frame) = body.frame().await {
            let data = frame.unwrap().into_data().unwrap();
            assert!(format!("{data:?}").contains("is_piped: false"));
            read.extend_from_slice(&Bytes::from(data));
        }
        read
    };
    let ((), read) = tokio::join!(endpoint, call);
    assert!(read == long(LENGTH), "not what was sent");
}

// Time goes on when nothing else happens.
#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_is_given_up_in_time() {
    let origin = Origin::new().await;
    let proxy = Proxy::over_http1(&origin).await;
    let _client = proxy.client("GET / HTTP/1.1\r\nhost: a.test\r\n\r\n").await;
    let mut peer = origin.accept().await;
    peer.head().await;
    let begun = tokio::time::Instant::now();
    peer.send(&head("HTTP/1.1 200 OK", 1 << 30)).await;
    // As much as the sockets take, until there is nobody any more.
    while peer.stream.write_all(&long(LENGTH)).await.is_ok() {}
    assert!(begun.elapsed() >= Duration::from_secs(60));
    assert!(proxy.responses.piped() > 0);
    released(&origin).await;
}

#[tokio::test]
async fn a_body_that_breaks_off_is_no_whole_one() {
    let origin = Origin::new().await;
    let proxy = Proxy::over_http1(&origin).await;
    let mut client = proxy.client("GET / HTTP/1.1\r\nhost: a.test\r\n\r\n").await;
    let mut peer = origin.accept().await;
    peer.head().await;
    let body = long(LENGTH);
    let part = [head("HTTP/1.1 200 OK", 2 * LENGTH).as_bytes(), &body].concat();
    let cut = async {
        peer.stream.write_all(&part).await.unwrap();
        drop(peer);
    };
    let mut got = Vec::new();
    let ((), _end) = tokio::join!(cut, client.read_to_end(&mut got));
    let start = got.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    assert!(
        got[start..] == body[..got.len() - start],
        "something else came"
    );
    assert!(proxy.responses.piped() > 0);
    released(&origin).await;
}

#[tokio::test]
async fn a_client_that_leaves_within_a_body_frees_everything() {
    // While it is sent to, and while it sends.
    for request in [
        "GET / HTTP/1.1\r\nhost: a.test\r\n\r\n".to_owned(),
        head("POST / HTTP/1.1", 1 << 30),
    ] {
        let origin = Origin::new().await;
        let proxy = Proxy::over_http1(&origin).await;
        let mut client = proxy.client(&request).await;
        let mut peer = origin.accept().await;
        peer.head().await;
        let much = long(LENGTH);
        if request.starts_with("GET") {
            peer.send(&head("HTTP/1.1 200 OK", 1 << 30)).await;
            let (sent, read) = tokio::join!(peer.stream.write_all(&much), async {
                client.read_exact(&mut vec![0; LENGTH / 2]).await
            });
            sent.unwrap();
            read.unwrap();
        } else {
            let (sent, read) = tokio::join!(client.write_all(&much), async {
                peer.stream.read_exact(&mut vec![0; LENGTH / 2]).await
            });
            sent.unwrap();
            read.unwrap();
        }
        drop(client);
        // To its end, or its reset.
        let _end = peer.stream.read_to_end(&mut Vec::new()).await;
        released(&origin).await;
        assert_eq!(origin.connections(&proxy.forward).idle, 0);
    }
}

#[tokio::test]
async fn more_bodies_than_there_are_pipes_pass_whole() {
    const CLIENTS: usize = 150;
    let origin = Origin::new().await;
    let proxy = Proxy::over_http1(&origin).await;
    let body: Arc<[u8]> = long(8 * LENGTH).into();
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(proxy.client("GET / HTTP/1.1\r\nhost: a.test\r\n\r\n").await);
        let mut peer = origin.accept().await;
        peer.head().await;
        let body = Arc::clone(&body);
        tokio::spawn(async move {
            peer.send(&head("HTTP/1.1 200 OK", body.len())).await;
            peer.stream.write_all(&body).await.unwrap();
            peer
        });
    }
    // Nobody reads: each body waits with what it has, in a pipe or not.
    origin.settle().await;
    for client in &mut clients {
        let (_head, got) = message(client).await;
        assert!(got[..] == body[..], "not what was sent");
    }
    assert!(proxy.responses.piped() > 0);
}

#[test]
fn data_is_the_same_whatever_it_is_made_of() {
    let mut data = SplicedData::from(Bytes::from_static(b"some data"));
    assert_eq!((data.remaining(), data.chunk()), (9, &b"some data"[..]));
    data.advance(5);
    assert_eq!(data.copy_to_bytes(2), "da");
    assert_eq!(Bytes::from(data), "ta");
}
