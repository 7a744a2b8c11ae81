//! HTTP/2 with clients.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::http2::{SendRequest, handshake},
    ext::Protocol,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tightrope_test::Origin;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{
    program::{Program, file, free_port, soon},
    tls::{certificate, connect},
};

pub(super) type Sender = SendRequest<Full<Bytes>>;

/// Begins to speak HTTP/2 on `stream`.
pub(super) async fn speak(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Sender {
    let begun = handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (sender, connection) = soon(begun).await.unwrap();
    // Whoever waits for an answer is told of the error.
    tokio::spawn(async move {
        let _ended = connection.await;
    });
    sender
}

/// A client with prior knowledge.
pub(super) async fn client(proxy: &Program) -> Sender {
    speak(TcpStream::connect(proxy.proxy()).await.unwrap()).await
}

pub(super) fn request(path: &str) -> Request<Full<Bytes>> {
    let target = format!("http://app.test{path}");
    Request::get(target).body(Full::default()).unwrap()
}

pub(super) async fn get(sender: &mut Sender, path: &str) -> Response<Incoming> {
    soon(sender.ready()).await.unwrap();
    soon(sender.send_request(request(path))).await.unwrap()
}

pub(super) async fn text(response: Response<Incoming>) -> String {
    let body = soon(response.into_body().collect()).await.unwrap();
    String::from_utf8(body.to_bytes().into()).unwrap()
}

async fn proxy(origin: &Origin, more: &str) -> (tempfile::TempDir, Program) {
    let (folder, path) = file(&format!(
        "access_log = \"off\"
         [[listener]]\naddress = \"127.0.0.1:0\"\nupstream = \"app\"
         [[upstream]]\nname = \"app\"
         [[upstream.endpoint]]\naddress = \"{}\"\n{more}",
        origin.address()
    ));
    let arguments = ["--config".as_ref(), path.as_os_str()];
    (folder, Program::start(arguments, false).await)
}

#[tokio::test]
async fn a_plain_listener_speaks_both_versions_and_waits_for_a_preface_in_pieces() {
    let origin = Origin::start("blue").await;
    let (_folder, proxy) = proxy(&origin, "").await;
    let mut both = client(&proxy).await;
    let (one, two) = tokio::join!(both.send_request(request("/echo")), proxy.get("/echo"),);
    let one = one.unwrap();
    assert_eq!(
        (one.status(), one.version()),
        (StatusCode::OK, Version::HTTP_2)
    );
    let one = text(one).await;
    assert!(one.starts_with("GET /echo\n"), "{one}");
    assert!(one.contains("\nhost: app.test\n"), "{one}");
    assert!(one.contains("via: 2 tightrope"), "{one}");
    assert!(two.body.contains("via: 1.1 tightrope"), "{}", two.body);

    let mut pieces = TcpStream::connect(proxy.proxy()).await.unwrap();
    pieces.set_nodelay(true).unwrap();
    for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0" {
        pieces.write_all(&[*byte]).await.unwrap();
    }
    assert_eq!(next_frame(&mut pieces).await, SETTINGS);
}

#[tokio::test]
async fn a_tls_listener_speaks_what_alpn_agrees_on() {
    let origin = Origin::start("shop").await;
    let folder = tempfile::tempdir().unwrap();
    let trusted = certificate(folder.path(), "shop.test", "shop");
    let port = free_port().unwrap();
    let of = |name: &str| folder.path().join(name).display().to_string();
    let more = format!(
        "[[listener]]\naddress = \"127.0.0.1:{port}\"\nupstream = \"app\"
         [[listener.tls]]\ncertificate = \"{}\"\nkey = \"{}\"\n",
        of("shop.pem"),
        of("shop.key"),
    );
    let (_folder, _proxy) = proxy(&origin, &more).await;
    let stream = connect(port, "shop.test", &trusted, &["h2", "http/1.1"]).await;
    let stream = stream.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let answer = text(get(&mut speak(stream).await, "/echo").await).await;
    assert!(answer.contains("x-forwarded-proto: https"), "{answer}");

    for old in ["http/1.1", "http/1.0"] {
        let stream = connect(port, "shop.test", &trusted, &[old]).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(old.as_bytes()));
    }
    assert!(connect(port, "shop.test", &trusted, &["h3"]).await.is_err());
}

#[tokio::test]
async fn requests_of_one_connection_are_answered_side_by_side() {
    let origin = Origin::start("blue").await;
    let (_folder, proxy) = proxy(&origin, "").await;
    let mut client = client(&proxy).await;
    let held: Vec<_> = (0..20)
        .map(|_| tokio::spawn(client.send_request(request("/gate"))))
        .collect();
    origin.requests_reach(20).await;
    assert_eq!(text(get(&mut client, "/").await).await, "blue");
    origin.open_gate();
    for answer in held {
        assert_eq!(soon(answer).await.unwrap().unwrap().status(), 200);
    }
}

#[tokio::test]
async fn trailers_reach_the_client() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = listener.local_addr().unwrap();
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ntrailer: grpc-status\r\n\
                      transfer-encoding: chunked\r\n\r\n3\r\none\r\n0\r\ngrpc-status: 7\r\ngrpc-message: no\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(head).unwrap()
    });
    let upstream = format!("http://{endpoint}");
    let arguments = ["--listen", "127.0.0.1:0", "--upstream", &upstream];
    let proxy = Program::start(arguments, false).await;
    let mut client = client(&proxy).await;
    let mut call = request("/shop.Shop/Buy");
    call.headers_mut().insert("te", "trailers".parse().unwrap());
    let answer = soon(client.send_request(call)).await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/grpc");
    let body = soon(answer.into_body().collect()).await.unwrap();
    let trailers = body.trailers().cloned().unwrap_or_else(HeaderMap::new);
    assert_eq!(body.to_bytes(), "one");
    assert_eq!(trailers["grpc-status"], "7");
    assert_eq!(trailers["grpc-message"], "no");
    let head = soon(served).await.unwrap();
    assert!(head.contains("te: trailers\r\n"), "{head}");
}

#[tokio::test]
async fn a_client_that_gives_up_its_requests_is_cut_and_others_are_served() {
    let origin = Origin::start("blue").await;
    let (_folder, proxy) = proxy(&origin, "[http2]\nresets = 10\n").await;
    let mut flood = client(&proxy).await;
    let mut others = client(&proxy).await;
    for number in 1.. {
        if soon(flood.ready()).await.is_err() {
            break;
        }
        let held = flood.send_request(request("/gate"));
        tokio::select! {
            biased;
            answer = held => assert!(answer.is_err()),
            // Dropping the other one resets its stream, once it is with the endpoint.
            () = origin.requests_reach(number) => {}
        }
        assert!(number < 20, "it goes on");
    }
    assert_eq!(get(&mut others, "/").await.status(), 200);
    origin.open_becomes(0).await;
}

#[tokio::test]
async fn limits_on_heads_and_requests_at_a_time_hold() {
    let origin = Origin::start("blue").await;
    let more = "[limits]\nheaders = 10\n[http2]\nstreams = 2\n";
    let (_folder, proxy) = proxy(&origin, more).await;
    let mut client = client(&proxy).await;
    let mut long = request("/");
    for number in 0..11 {
        let name = format!("x-{number}").parse::<http::HeaderName>().unwrap();
        long.headers_mut().insert(name, "1".parse().unwrap());
    }
    let answer = soon(client.send_request(long)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    let held: Vec<_> = (0..3)
        .map(|_| tokio::spawn(client.send_request(request("/gate"))))
        .collect();
    origin.requests_reach(2).await;
    assert_eq!(proxy.get("/").await.status, 200);
    // The third waits for its turn.
    assert_eq!(origin.requests(), 3);
    origin.open_gate();
    for answer in held {
        assert_eq!(soon(answer).await.unwrap().unwrap().status(), 200);
    }
}

/// A `CONNECT` for `protocol` (RFC 8441).
pub(super) fn extended_connect(protocol: &'static str) -> Request<Full<Bytes>> {
    let mut request = request("/chat");
    *request.method_mut() = Method::CONNECT;
    let headers = request.headers_mut();
    headers.insert("sec-websocket-version", "13".parse().unwrap());
    headers.append("cookie", "a=1".parse().unwrap());
    headers.append("cookie", "b=2".parse().unwrap());
    let extensions = request.extensions_mut();
    extensions.insert(Protocol::from_static(protocol));
    request
}

#[tokio::test]
async fn a_websocket_over_http_2_reaches_an_endpoint_and_ends_one_direction_at_a_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("http://{}", listener.local_addr().unwrap());
    let arguments = ["--listen", "127.0.0.1:0", "--upstream", &upstream];
    let mut proxy = Program::start(arguments, false).await;
    let mut client = client(&proxy).await;
    // The answer to anything comes after the settings that allow it.
    soon(client.ready()).await.unwrap();
    let refused = soon(client.send_request(request("*"))).await.unwrap();
    assert_eq!(refused.status(), 400);
    let other = soon(client.send_request(extended_connect("connect-udp"))).await;
    assert_eq!(other.unwrap().status(), 501);

    let asked = client.send_request(extended_connect("websocket"));
    let (answer, accepted) = tokio::join!(soon(asked), async {
        let (mut stream, _) = soon(listener.accept()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(soon(stream.read_u8()).await.unwrap());
        }
        let grant = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                     sec-websocket-accept: x\r\nsec-websocket-protocol: chat\r\n\r\nhello";
        stream.write_all(grant.as_bytes()).await.unwrap();
        (stream, String::from_utf8(head).unwrap())
    });
    let (mut endpoint, head) = accepted;
    assert!(head.starts_with("GET /chat HTTP/1.1\r\n"), "{head}");
    for line in [
        "upgrade: websocket",
        "connection: upgrade",
        "cookie: a=1; b=2",
        "host: app.test",
    ] {
        assert!(head.contains(&format!("\r\n{line}\r\n")), "{line}: {head}");
    }
    let answer = answer.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["sec-websocket-protocol"], "chat");
    assert!(!answer.headers().contains_key("sec-websocket-accept"));

    let upgraded = soon(hyper::upgrade::on(answer)).await.unwrap();
    let mut tunnel = TokioIo::new(upgraded);
    let mut bytes = [0; 5];
    soon(tunnel.read_exact(&mut bytes)).await.unwrap();
    assert_eq!(&bytes, b"hello");
    // The endpoint has nothing more to say, which the client hears while it goes on.
    endpoint.shutdown().await.unwrap();
    assert_eq!(soon(tunnel.read(&mut bytes)).await.unwrap(), 0);
    tunnel.write_all(b"still").await.unwrap();
    soon(endpoint.read_exact(&mut bytes)).await.unwrap();
    assert_eq!(&bytes, b"still");
    // A stop waits for the tunnel.
    proxy.signal("TERM").await;
    proxy.says("stopping").await;
    tunnel.write_all(b"there").await.unwrap();
    soon(endpoint.read_exact(&mut bytes)).await.unwrap();
    tunnel.shutdown().await.unwrap();
    assert_eq!(soon(endpoint.read(&mut bytes)).await.unwrap(), 0);
    assert!(proxy.ends().await.success());
}

const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;

/// Reads a frame and tells its type.
async fn next_frame(stream: &mut TcpStream) -> u8 {
    let mut head = [0; 9];
    soon(stream.read_exact(&mut head)).await.unwrap();
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut rest = vec![0; length as usize];
    soon(stream.read_exact(&mut rest)).await.unwrap();
    head[3]
}

#[tokio::test]
async fn sigterm_says_goaway_and_lets_requests_end() {
    let origin = Origin::start("blue").await;
    let (_folder, proxy) = proxy(&origin, "").await;
    let mut busy = client(&proxy).await;
    let held = tokio::spawn(busy.send_request(request("/gate")));
    origin.requests_reach(1).await;
    let mut idle = TcpStream::connect(proxy.proxy()).await.unwrap();
    let begin = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    idle.write_all(begin).await.unwrap();
    assert_eq!(next_frame(&mut idle).await, SETTINGS);

    proxy.signal("TERM").await;
    while next_frame(&mut idle).await != GOAWAY {}
    drop(idle);
    origin.open_gate();
    let answer = soon(held).await.unwrap().unwrap();
    assert_eq!(text(answer).await, "blue");
    assert!(proxy.ends().await.success());
}

#[tokio::test]
async fn interim_responses_reach_the_client_and_an_expectation_is_met() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("http://{}", listener.local_addr().unwrap());
    let arguments = ["--listen", "127.0.0.1:0", "--upstream", &upstream];
    let proxy = Program::start(arguments, false).await;
    let stream = TcpStream::connect(proxy.proxy()).await.unwrap();
    let (mut requests, connection) = soon(h2::client::handshake(stream)).await.unwrap();
    tokio::spawn(connection);
    let post = Request::post("http://app.test/").header("expect", "100-continue");
    let (mut answer, mut body) = requests
        .send_request(post.body(()).unwrap(), false)
        .unwrap();
    let mut next = async || soon(std::future::poll_fn(|cx| answer.poll_informational(cx))).await;
    let go_on = next().await.unwrap().unwrap();
    assert_eq!(go_on.status(), StatusCode::CONTINUE);
    body.send_data(Bytes::from_static(b"body"), true).unwrap();
    let (mut endpoint, _) = soon(listener.accept()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"body\r\n0\r\n\r\n") {
        head.push(soon(endpoint.read_u8()).await.unwrap());
    }
    let hints = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n";
    endpoint.write_all(hints.as_bytes()).await.unwrap();
    let hints = next().await.unwrap().unwrap();
    assert_eq!(hints.status(), StatusCode::EARLY_HINTS);
    assert_eq!(hints.headers()["link"], "</a.css>");
    let last = "HTTP/1.1 204 No Content\r\n\r\n";
    endpoint.write_all(last.as_bytes()).await.unwrap();
    assert_eq!(soon(answer).await.unwrap().status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_client_that_opens_no_window_loses_its_response_and_not_its_connection() {
    let origin = Origin::start("blue").await;
    let (_folder, proxy) = proxy(&origin, "[timeouts]\nwrite = \"300ms\"\n").await;
    let stream = TcpStream::connect(proxy.proxy()).await.unwrap();
    let mut client = h2::client::Builder::new();
    client.initial_window_size(0);
    let (mut requests, connection) = soon(client.handshake::<_, Bytes>(stream)).await.unwrap();
    tokio::spawn(connection);
    for _ in 0..2 {
        let asked = requests.send_request(request("/").map(|_| ()), true);
        let answer = soon(asked.unwrap().0).await.unwrap();
        let error = soon(answer.into_body().data()).await.unwrap().unwrap_err();
        assert_eq!(error.reason(), Some(h2::Reason::CANCEL));
    }
    origin.open_becomes(0).await;
}
