//! Endpoints that are reached over TLS, with certificates made for the test.
#![cfg(feature = "tls")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{error::Error, io, sync::Arc, time::Duration};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty, Full};
use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};
use tightrope_proxy::{
    ClientTls, ClientTlsError, Forward, ForwardConfig, ForwardError, Preamble, Protocol,
};
use tightrope_upstream::{Failed, Failure, Picked, TakeUnsent};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, split},
    net::TcpStream,
    time::Instant,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::CertificateDer,
        server::WebPkiClientVerifier,
        version::{TLS12, TLS13},
    },
    server::TlsStream,
};
use tower_service::Service;

use crate::support::{Origin, Peer, data, frames, get, http2::Http2, pick, post, text, upstream};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A certificate that is its own authority.
struct Identity {
    pem: String,
    der: CertificateDer<'static>,
    key: KeyPair,
}

impl Identity {
    fn new(name: &str) -> Self {
        Self::of(CertificateParams::new([name.to_owned()]).unwrap())
    }

    fn expired(name: &str) -> Self {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(2020, 1, 1);
        Self::of(params)
    }

    fn of(mut params: CertificateParams) -> Self {
        // Authorities of one name are taken for one.
        let name = format!("{:?}", params.subject_alt_names);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self {
            pem: certificate.pem(),
            der: certificate.der().clone(),
            key,
        }
    }

    /// A server that has it, and wants to see that of `client` if there is one.
    fn server(&self, client: Option<&Self>) -> ServerConfig {
        self.server_of(client, &[&TLS13, &TLS12])
    }

    fn server_of(
        &self,
        client: Option<&Self>,
        versions: &[&'static tokio_rustls::rustls::SupportedProtocolVersion],
    ) -> ServerConfig {
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .unwrap();
        let builder = match client {
            Some(client) => {
                let mut roots = RootCertStore::empty();
                roots.add(client.der.clone()).unwrap();
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
            None => builder.with_no_client_auth(),
        };
        let key = self.key.serialize_der().try_into().unwrap();
        let chain = vec![self.der.clone()];
        builder.with_single_cert(chain, key).unwrap()
    }

    /// Whoever trusts it alone.
    fn trusted(&self) -> ClientTls {
        ClientTls::from_pem(self.pem.as_bytes()).unwrap()
    }
}

fn forward(tls: ClientTls) -> Forward {
    Forward::new(ForwardConfig::new().with_tls(tls))
}

/// The next connection, over which TLS is spoken as `config` says.
async fn accept(origin: &Origin, config: ServerConfig) -> io::Result<Peer<TlsStream<TcpStream>>> {
    let peer = origin.accept().await;
    let stream = TlsAcceptor::from(Arc::new(config)).accept(peer.stream);
    stream.await.map(Peer::new)
}

/// All of it, in one line.
fn reason(error: &ForwardError) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    words
}

#[tokio::test]
async fn an_endpoint_that_shows_the_right_certificate_is_used_and_used_again() {
    for version in [&TLS12, &TLS13] {
        let identity = Identity::new("localhost");
        let origin = Origin::named("localhost").await;
        let forward = forward(identity.trusted());
        let mut config = identity.server_of(None, &[version]);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let (response, peer) = tokio::join!(origin.call(&forward, get("/")), async {
            let mut peer = accept(&origin, config).await.unwrap();
            assert!(peer.head().await.starts_with("get / http/1.1"));
            peer.send(OK).await;
            peer
        });
        assert_eq!(text(response.unwrap()).await, "ok");
        let mut peer = peer;
        let session = peer.stream.get_ref().1;
        assert_eq!(session.server_name(), Some("localhost"));
        assert_eq!(session.alpn_protocol(), Some(&b"http/1.1"[..]));
        for _ in 0..3 {
            let (response, ()) = tokio::join!(origin.call(&forward, post("/", "hello")), async {
                peer.until("hello").await;
                peer.send(OK).await;
            });
            assert_eq!(text(response.unwrap()).await, "ok");
        }
        // What is idle is closed with the pool.
        drop(forward);
        assert_eq!(peer.rest().await, "");
    }
}

#[tokio::test]
async fn an_idle_connection_that_is_closed_is_not_used() {
    for says_so in [true, false] {
        let identity = Identity::new("127.0.0.1");
        let origin = Origin::new().await;
        let forward = forward(identity.trusted());
        for _ in ["first", "another"] {
            let config = identity.server(None);
            let (response, ()) = tokio::join!(origin.call(&forward, get("/")), async {
                let mut peer = accept(&origin, config).await.unwrap();
                peer.head().await;
                peer.send(OK).await;
                if says_so {
                    peer.stream.shutdown().await.unwrap();
                }
            });
            assert_eq!(text(response.unwrap()).await, "ok");
            origin.settle().await;
        }
    }
}

#[tokio::test]
async fn an_endpoint_is_called_by_its_host_unless_it_has_another_name() {
    // The host, the name it is called by, what its certificate is for, and the SNI.
    for (host, name, certificate, sni) in [
        ("localhost", None, "localhost", Some("localhost")),
        ("127.0.0.1", None, "127.0.0.1", None),
        ("127.0.0.1", Some("a.test"), "a.test", Some("a.test")),
        ("127.0.0.1", Some("b.a.test"), "*.a.test", Some("b.a.test")),
        ("localhost", Some("127.0.0.1"), "127.0.0.1", None),
    ] {
        let identity = Identity::new(certificate);
        let mut tls = identity.trusted();
        if let Some(name) = name {
            tls = tls.with_server_name(name).unwrap();
        }
        let origin = Origin::named(host).await;
        let forward = forward(tls);
        let (response, ()) = tokio::join!(origin.call(&forward, get("/")), async {
            let mut peer = accept(&origin, identity.server(None)).await.unwrap();
            assert_eq!(peer.stream.get_ref().1.server_name(), sni);
            // What the client asked for is another matter.
            assert!(peer.head().await.contains("host: a.test\r\n"));
            peer.send(OK).await;
        });
        assert_eq!(text(response.unwrap()).await, "ok");
    }
}

#[tokio::test]
async fn a_certificate_that_is_refused_is_a_failed_connection_and_the_request_comes_back() {
    let (right, wrong) = (Identity::new("a.test"), Identity::new("b.test"));
    let expired = Identity::expired("a.test");
    let mut http_2 = right.server(None);
    http_2.alpn_protocols = vec![b"h2".to_vec()];
    for (config, trusted, why) in [
        (
            right.server(None),
            &wrong,
            "invalid peer certificate: UnknownIssuer",
        ),
        (
            wrong.server(None),
            &wrong,
            "invalid peer certificate: certificate not valid for name \"a.test\"; \
             certificate is only valid for DnsName(\"b.test\")",
        ),
        (
            expired.server(None),
            &expired,
            "invalid peer certificate: certificate expired: ",
        ),
        (
            http_2,
            &right,
            "received fatal alert: NoApplicationProtocol",
        ),
    ] {
        let origin = Origin::new().await;
        let forward = forward(trusted.trusted().with_server_name("a.test").unwrap());
        let request = post("/buy", "one");
        let (error, _refused) =
            tokio::join!(origin.call(&forward, request), accept(&origin, config));
        let mut error = error.unwrap_err();
        assert_eq!(error.failure(), Failure::Connect);
        let words = reason(&error);
        let expected = format!("TLS handshake with `a.test` failed: {why}");
        assert!(words.contains(&expected), "{words}\n{expected}");
        let unsent = TakeUnsent::<Request<Full<Bytes>>>::take_unsent(&mut error).unwrap();
        let (parts, body) = unsent.request.into_parts();
        assert_eq!(parts.uri, "/buy");
        assert_eq!(body.collect().await.unwrap().to_bytes(), "one");
    }
}

#[tokio::test]
async fn whoever_speaks_no_tls_is_not_sent_anything() {
    let origin = Origin::new().await;
    let forward = forward(Identity::new("127.0.0.1").trusted());
    let (error, said) = tokio::join!(origin.call(&forward, get("/secret")), async {
        let mut peer = origin.accept().await;
        peer.send("HTTP/1.1 200 OK\r\n\r\n").await;
        let mut said = Vec::new();
        let _end = peer.stream.read_to_end(&mut said).await;
        said
    });
    assert_eq!(error.unwrap_err().failure(), Failure::Connect);
    assert!(!said.windows(6).any(|bytes| bytes == b"secret"));
}

#[tokio::test(start_paused = true)]
async fn a_handshake_has_the_time_of_a_connection() {
    let limit = Duration::from_secs(3);
    let origin = Origin::new().await;
    let tls = Identity::new("127.0.0.1").trusted();
    let config = ForwardConfig::new().with_tls(tls);
    let forward = Forward::new(config.with_connect_timeout(limit));
    let start = Instant::now();
    let (error, _silent) = tokio::join!(origin.call(&forward, get("/")), origin.accept());
    let mut error = error.unwrap_err();
    assert_eq!(error.failure(), Failure::ConnectTimeout);
    assert!(start.elapsed() >= limit && start.elapsed() < 2 * limit);
    assert!(TakeUnsent::<Request<Empty<Bytes>>>::take_unsent(&mut error).is_some());
}

#[tokio::test]
async fn who_wants_to_know_who_we_are_is_shown_a_certificate() {
    let (server, client) = (Identity::new("127.0.0.1"), Identity::new("proxy.test"));
    let origin = Origin::new().await;
    let tls = server.trusted();
    let key = client.key.serialize_pem();
    let tls = tls.with_client_certificate(client.pem.as_bytes(), key.as_bytes());
    let forward = forward(tls.unwrap());
    let config = server.server(Some(&client));
    let (response, ()) = tokio::join!(origin.call(&forward, get("/")), async {
        let mut peer = accept(&origin, config).await.unwrap();
        let shown = peer.stream.get_ref().1.peer_certificates().unwrap();
        assert_eq!(shown, std::slice::from_ref(&client.der));
        peer.head().await;
        peer.send(OK).await;
    });
    assert_eq!(text(response.unwrap()).await, "ok");
}

#[tokio::test]
async fn who_is_not_shown_one_says_so() {
    let (server, client) = (Identity::new("127.0.0.1"), Identity::new("proxy.test"));
    // TLS 1.3 tells after the handshake, when the request is on its way.
    for (version, failure, comes_back) in [
        (&TLS12, Failure::Connect, true),
        (&TLS13, Failure::Reset, false),
    ] {
        let origin = Origin::new().await;
        let forward = forward(server.trusted());
        let config = server.server_of(Some(&client), &[version]);
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (error, ()) = tokio::join!(origin.call(&forward, get("/")), async {
            let mut peer = origin.accept().await;
            // Stays open, so that what is left to read does not cut off what it says.
            let accepted = acceptor.accept(&mut peer.stream).await;
            assert!(accepted.is_err());
            let _end = peer.stream.read_to_end(&mut Vec::new()).await;
        });
        let mut error = error.unwrap_err();
        let words = reason(&error);
        assert_eq!(error.failure(), failure, "{words}");
        assert!(words.contains("received fatal alert"), "{words}");
        let unsent = TakeUnsent::<Request<Empty<Bytes>>>::take_unsent(&mut error);
        assert_eq!(unsent.is_some(), comes_back);
    }
}

#[tokio::test]
async fn without_verification_anybody_will_do() {
    for version in [&TLS12, &TLS13] {
        let identity = Identity::expired("b.test");
        let origin = Origin::named("localhost").await;
        let forward = forward(ClientTls::danger_without_verification());
        let config = identity.server_of(None, &[version]);
        let (response, ()) = tokio::join!(origin.call(&forward, get("/")), async {
            let mut peer = accept(&origin, config).await.unwrap();
            peer.head().await;
            peer.send(OK).await;
        });
        assert_eq!(text(response.unwrap()).await, "ok");
    }
}

#[tokio::test]
async fn a_body_that_ends_with_the_connection_is_whole_only_if_tls_says_so() {
    for says_so in [true, false] {
        let identity = Identity::new("127.0.0.1");
        let origin = Origin::new().await;
        let forward = forward(identity.trusted());
        let config = identity.server(None);
        let (response, ()) = tokio::join!(origin.call(&forward, get("/")), async {
            let mut peer = accept(&origin, config).await.unwrap();
            peer.head().await;
            peer.send("HTTP/1.1 200 OK\r\n\r\nsome").await;
            if says_so {
                peer.stream.shutdown().await.unwrap();
            }
        });
        let body = response.unwrap().into_body().collect().await;
        match says_so {
            true => assert_eq!(body.unwrap().to_bytes(), "some"),
            false => {
                let error = body.unwrap_err();
                assert_eq!(error.failure(), Failure::Reset);
                let words = reason(&error);
                assert!(
                    words.contains("without sending TLS close_notify"),
                    "{words}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_preamble_goes_before_the_handshake() {
    let identity = Identity::new("127.0.0.1");
    let origin = Origin::new().await;
    let forward = forward(identity.trusted());
    let mut request = get("/");
    let preamble = "PROXY UNKNOWN\r\n";
    request.extensions_mut().insert(Preamble::new(preamble));
    let acceptor = TlsAcceptor::from(Arc::new(identity.server(None)));
    let (response, ()) = tokio::join!(origin.call(&forward, request), async {
        let mut stream = origin.accept().await.stream;
        let mut first = vec![0; preamble.len()];
        stream.read_exact(&mut first).await.unwrap();
        assert_eq!(first, preamble.as_bytes());
        let mut peer = Peer::new(acceptor.accept(stream).await.unwrap());
        peer.head().await;
        peer.send(OK).await;
    });
    assert_eq!(text(response.unwrap()).await, "ok");
}

/// So many bytes of which no two stretches are the same.
fn noise(length: usize) -> Bytes {
    let mut state = 1_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

#[tokio::test]
async fn much_goes_up_and_comes_down() {
    let identity = Identity::new("127.0.0.1");
    let origin = Origin::new().await;
    let forward = forward(identity.trusted());
    let sent = noise(3 << 20);
    let request = Request::post("/").header("host", "a.test");
    let request = request.body(Full::new(sent.clone())).unwrap();
    let (response, (received, mut peer)) = tokio::join!(origin.call(&forward, request), async {
        let mut peer = accept(&origin, identity.server(None)).await.unwrap();
        let head = peer.head().await;
        assert!(head.contains("content-length: 3145728\r\n"), "{head}");
        let received = peer.bytes(3 << 20).await;
        let length = received.len();
        peer.send(&format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n"
        ))
        .await;
        (received, peer)
    });
    assert!(received == sent);
    let body = response.unwrap().into_body().collect();
    let (body, ()) = tokio::join!(body, async {
        peer.stream.write_all(&received).await.unwrap();
        peer.stream.flush().await.unwrap();
    });
    assert!(body.unwrap().to_bytes() == sent);
    // And the connection is good for another.
    let (response, ()) = tokio::join!(origin.call(&forward, get("/")), async {
        peer.head().await;
        peer.send(OK).await;
    });
    assert_eq!(text(response.unwrap()).await, "ok");
}

#[tokio::test]
async fn much_goes_both_ways_at_once_after_an_early_response() {
    let identity = Identity::new("127.0.0.1");
    let origin = Origin::new().await;
    let forward = forward(identity.trusted());
    let sent = noise(3 << 20);
    let (sender, body) = frames();
    let request = Request::post("/").header("host", "a.test");
    let request = request.body(body).unwrap();
    let (response, mut peer) = tokio::join!(origin.call(&forward, request), async {
        let mut peer = accept(&origin, identity.server(None)).await.unwrap();
        let head = peer.head().await;
        assert!(head.contains("transfer-encoding: chunked\r\n"), "{head}");
        peer.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            .await;
        peer
    });
    let response = response.unwrap().into_body().collect();
    let upload = async {
        for piece in 0..48 {
            let piece = sent.slice(piece << 16..(piece + 1) << 16);
            let frame = http_body::Frame::data(piece);
            sender.send(Ok(frame)).await.unwrap();
        }
        drop(sender);
    };
    let echo = async {
        let (mut reading, mut writing) = split(&mut peer.stream);
        let (mut last, mut piece) = (Vec::new(), vec![0; 1 << 16]);
        while !last.ends_with(b"\r\n0\r\n\r\n") {
            let count = reading.read(&mut piece).await.unwrap();
            last = [&last[last.len().saturating_sub(7)..], &piece[..count]].concat();
            writing.write_all(&piece[..count]).await.unwrap();
            writing.flush().await.unwrap();
        }
    };
    let (received, (), ()) = tokio::join!(response, upload, echo);
    let received = received.unwrap().to_bytes();
    let at = received.iter().zip(&sent).position(|(a, b)| a != b);
    assert_eq!((received.len(), at), (sent.len(), None));
}

#[tokio::test]
async fn a_request_head_does_not_wait_for_its_body() {
    let identity = Identity::new("127.0.0.1");
    let origin = Origin::new().await;
    let forward = forward(identity.trusted());
    let (sender, body) = frames();
    let request = Request::post("/").header("host", "a.test");
    let request = request.body(body).unwrap();
    let (response, ()) = tokio::join!(origin.call(&forward, request), async {
        let mut peer = accept(&origin, identity.server(None)).await.unwrap();
        peer.head().await;
        sender.send(data("piece")).await.unwrap();
        peer.until("5\r\npiece\r\n").await;
        drop(sender);
        peer.until("0\r\n\r\n").await;
        peer.send(OK).await;
    });
    assert_eq!(text(response.unwrap()).await, "ok");
}

#[tokio::test]
async fn a_tunnel_goes_through_tls() {
    let identity = Identity::new("127.0.0.1");
    let origin = Origin::new().await;
    let forward = forward(identity.trusted());
    let front = crate::upgrade::front(forward.clone(), origin.upstream.clone()).await;
    let mut client = Peer::new(TcpStream::connect(front).await.unwrap());
    client.send(crate::upgrade::ASK).await;
    let mut endpoint = accept(&origin, identity.server(None)).await.unwrap();
    endpoint.head().await;
    endpoint
        .send(&format!("{}hello", crate::upgrade::GRANT))
        .await;
    client.until("hello").await;
    client.send("and you").await;
    endpoint.until("and you").await;
    // The end of one direction is told as such.
    client.stream.shutdown().await.unwrap();
    assert_eq!(endpoint.stream.read(&mut [0]).await.unwrap(), 0);
    endpoint.send("the last").await;
    client.until("the last").await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_unix_socket_needs_a_server_name() {
    let identity = Identity::new("a.test");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let upstream = upstream(&format!("unix:{}", path.display()));

    let named = identity.trusted().with_server_name("a.test").unwrap();
    let picked = Picked::new(get("/"), pick(&upstream));
    let (response, ()) = tokio::join!(forward(named).call(picked), async {
        let (stream, _) = listener.accept().await.unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(identity.server(None)));
        let mut peer = Peer::new(acceptor.accept(stream).await.unwrap());
        assert_eq!(peer.stream.get_ref().1.server_name(), Some("a.test"));
        peer.head().await;
        peer.send(OK).await;
    });
    assert_eq!(text(response.unwrap()).await, "ok");

    let unnamed = [identity.trusted(), ClientTls::danger_without_verification()];
    for tls in unnamed {
        let picked = Picked::new(get("/"), pick(&upstream));
        let mut error = forward(tls).call(picked).await.unwrap_err();
        assert_eq!(error.failure(), Failure::Local);
        let words = reason(&error);
        assert!(words.contains("a server name is needed"), "{words}");
        assert!(words.contains(path.to_str().unwrap()), "{words}");
        assert!(TakeUnsent::<Request<Empty<Bytes>>>::take_unsent(&mut error).is_some());
    }
}

#[test]
fn what_cannot_be_used_is_refused_by_name() {
    let (one, two) = (Identity::new("a.test"), Identity::new("b.test"));
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let words = |result: Result<ClientTls, ClientTlsError>| result.unwrap_err().to_string();
    assert_eq!(
        words(ClientTls::from_pem(b"")),
        "roots have no certificate in PEM"
    );
    assert_eq!(
        words(ClientTls::from_pem(broken.as_bytes())),
        "roots cannot be read"
    );
    assert_eq!(
        words(one.trusted().with_server_name("a b")),
        "server name `a b` is neither a host name nor an IP address"
    );
    let shown = |chain: &str, key: &str| {
        let tls = one.trusted();
        words(tls.with_client_certificate(chain.as_bytes(), key.as_bytes()))
    };
    let (key, other) = (one.key.serialize_pem(), two.key.serialize_pem());
    assert_eq!(
        shown("", &key),
        "client certificate has no certificate in PEM"
    );
    let key_words = "key of the client certificate cannot be used";
    assert_eq!(shown(&one.pem, ""), key_words);
    assert_eq!(shown(&one.pem, &other), key_words);
}

#[tokio::test]
async fn each_service_has_connections_of_its_own_settings() {
    let (right, wrong) = (Identity::new("127.0.0.1"), Identity::new("127.0.0.1"));
    let origin = Origin::new().await;
    let trusting = forward(right.trusted());
    let (response, _peer) = tokio::join!(origin.call(&trusting, get("/")), async {
        let mut peer = accept(&origin, right.server(None)).await.unwrap();
        peer.head().await;
        peer.send(OK).await;
        peer
    });
    assert_eq!(text(response.unwrap()).await, "ok");
    // There is an idle connection, which was made for somebody else.
    let doubting = forward(wrong.trusted());
    let config = right.server(None);
    let call = origin.call(&doubting, get("/"));
    let (error, _refused) = tokio::join!(call, accept(&origin, config));
    assert_eq!(error.unwrap_err().failure(), Failure::Connect);
}

#[tokio::test]
async fn system_roots_do_not_vouch_for_a_certificate_of_ours() {
    // A system without any says so.
    let Ok(tls) = ClientTls::from_system_roots() else {
        return;
    };
    let origin = Origin::new().await;
    let config = Identity::new("127.0.0.1").server(None);
    let forward = forward(tls);
    let call = origin.call(&forward, get("/"));
    let (error, _refused) = tokio::join!(call, accept(&origin, config));
    assert!(reason(&error.unwrap_err()).contains("UnknownIssuer"));
}

/// What of HTTP a server can speak.
fn speaking(identity: &Identity, protocols: &[&[u8]]) -> ServerConfig {
    let mut config = identity.server(None);
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    config
}

#[tokio::test]
async fn both_sides_agree_on_what_is_spoken() {
    let identity = Identity::new("localhost");
    let origin = Origin::named("localhost").await;
    let config = ForwardConfig::new()
        .with_tls(identity.trusted())
        .with_protocol(Protocol::Negotiated);
    let forward = Forward::new(config);
    // A burst makes one connection, whatever is spoken on it.
    let calls = [1, 2, 3].map(|_| tokio::spawn(origin.call(&forward, get("/"))));
    let peer = accept(&origin, speaking(&identity, &[b"h2", b"http/1.1"])).await;
    let mut http2 = Http2::accept(peer.unwrap().stream).await;
    for call in calls {
        let asked = http2.next().await;
        assert_eq!(asked.request.uri(), "https://a.test/");
        asked.answer("ok");
        assert_eq!(text(call.await.unwrap().unwrap()).await, "ok");
    }
    let counts = origin.connections(&forward);
    assert_eq!((counts.made, counts.http2), (1, 1));
    // From now on it knows no better.
    http2.go_away();
    http2.closed().await;
    for old in [&[b"http/1.1" as &[u8]][..], &[]] {
        let call = tokio::spawn(origin.call(&forward, get("/")));
        let peer = accept(&origin, speaking(&identity, old)).await;
        let mut peer = peer.unwrap();
        assert!(peer.head().await.starts_with("get / http/1.1"));
        peer.send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok")
            .await;
        assert_eq!(text(call.await.unwrap().unwrap()).await, "ok");
    }
}

#[tokio::test]
async fn an_endpoint_that_must_speak_http_2_and_cannot_is_a_failed_connection() {
    let identity = Identity::new("localhost");
    let origin = Origin::named("localhost").await;
    let config = ForwardConfig::new()
        .with_tls(identity.trusted())
        .with_protocol(Protocol::Http2);
    let forward = Forward::new(config);
    let call = tokio::spawn(origin.call(&forward, get("/")));
    let refused = accept(&origin, speaking(&identity, &[b"http/1.1"])).await;
    assert!(refused.is_err());
    let mut error = call.await.unwrap().unwrap_err();
    assert_eq!(error.failure(), Failure::Connect);
    assert!(
        reason(&error).contains("NoApplicationProtocol"),
        "{}",
        reason(&error)
    );
    assert!(TakeUnsent::<Request<Empty<Bytes>>>::take_unsent(&mut error).is_some());
}
