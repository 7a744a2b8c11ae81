//! Probes over TLS, against servers on this machine with certificates made for the test.
#![cfg(feature = "tls")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{sync::Arc, time::Duration};

use tightrope_health::{ExpectedBytes, ProbeError, TcpProbe, Tls, TlsError, probe::check};
use tightrope_upstream::{Address, Change, Endpoint, EndpointSpec, Upstream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto},
    server::TlsStream,
};

const PLENTY: Duration = Duration::from_secs(30);

/// A certificate that is its own authority, and a server that has it.
struct Identity {
    pem: String,
    config: ServerConfig,
}

/// What a server learned of a connection: the name in SNI and the protocol.
type Greeted = (Option<String>, Option<Vec<u8>>);

fn identity(name: &str) -> Identity {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let key = made.signing_key.serialize_der().try_into().unwrap();
    let provider = Arc::new(crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    Identity {
        pem: made.cert.pem(),
        config,
    }
}

fn endpoint(address: Address) -> Arc<Endpoint> {
    let upstream = Upstream::new("test");
    let change = Change::new().add(EndpointSpec::new(address));
    upstream.apply(change).unwrap();
    Arc::clone(&upstream.snapshot().members()[0])
}

fn greeted(stream: &TlsStream<TcpStream>) -> Greeted {
    let session = stream.get_ref().1;
    let name = session.server_name().map(str::to_owned);
    (name, session.alpn_protocol().map(<[u8]>::to_vec))
}

/// A server for one connection, which it answers with `answer`, and the address by `host`.
async fn server(
    config: ServerConfig,
    host: &str,
    answer: &'static str,
) -> (Arc<Endpoint>, JoinHandle<Option<Greeted>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let served = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(stream).await.ok()?;
        stream.write_all(answer.as_bytes()).await.unwrap();
        // Ends, with an error or without, when the probe closes the connection.
        let _ = stream.read_to_end(&mut Vec::new()).await;
        Some(greeted(&stream))
    });
    let address = format!("{host}:{port}").parse().unwrap();
    (endpoint(address), served)
}

/// Passes when the server greets over `tls`.
fn greets(tls: Tls) -> TcpProbe {
    let greeting = ExpectedBytes::StartsWith(b"220".to_vec());
    let probe = TcpProbe::new().with_tls(tls);
    probe.with_expect(greeting).unwrap()
}

fn trusting(identity: &Identity) -> Tls {
    Tls::from_pem(identity.pem.as_bytes()).unwrap()
}

#[tokio::test]
async fn the_host_of_the_address_is_the_name_by_default() {
    for (host, sni) in [("localhost", Some("localhost")), ("127.0.0.1", None)] {
        let identity = identity(host);
        let probe = greets(trusting(&identity));
        let (endpoint, served) = server(identity.config, host, "220 ready").await;
        check(&probe, &endpoint, PLENTY).await.unwrap();
        let (name, _) = served.await.unwrap().unwrap();
        assert_eq!(name.as_deref(), sni);
    }
}

#[tokio::test]
async fn a_name_of_the_users_own_is_sent_and_verified() {
    let identity = identity("shop.example");
    let tls = trusting(&identity)
        .with_server_name("shop.example")
        .unwrap();
    let (endpoint, served) = server(identity.config, "127.0.0.1", "220 ready").await;
    check(&greets(tls), &endpoint, PLENTY).await.unwrap();
    let (name, _) = served.await.unwrap().unwrap();
    assert_eq!(name.as_deref(), Some("shop.example"));
}

#[tokio::test]
async fn certificates_for_others_or_of_strangers_fail() {
    let (ours, stranger) = (identity("shop.example"), identity("127.0.0.1"));
    for (presented, why) in [
        (&ours, "not valid for name"),
        (&stranger, "invalid peer certificate"),
    ] {
        let probe = TcpProbe::new().with_tls(trusting(&ours));
        let (endpoint, _served) = server(presented.config.clone(), "127.0.0.1", "").await;
        let error = check(&probe, &endpoint, PLENTY).await.unwrap_err();
        assert!(matches!(error, ProbeError::Exchange(_)), "{error:?}");
        let reason = error.reason().to_string();
        assert!(reason.contains(why), "{reason}");
    }
}

#[tokio::test]
async fn a_server_without_tls_fails() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = endpoint(listener.local_addr().unwrap().try_into().unwrap());
    let served = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"220 ready\r\n").await.unwrap();
    };
    let probe = TcpProbe::new().with_tls(trusting(&identity("127.0.0.1")));
    let (asked, ()) = tokio::join!(check(&probe, &endpoint, PLENTY), served);
    let error = asked.unwrap_err();
    assert!(matches!(error, ProbeError::Exchange(_)), "{error:?}");
}

#[tokio::test]
async fn a_handshake_that_stalls_times_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = endpoint(listener.local_addr().unwrap().try_into().unwrap());
    let probe = TcpProbe::new().with_tls(trusting(&identity("127.0.0.1")));
    let timeout = Duration::from_millis(50);
    let error = check(&probe, &endpoint, timeout).await.unwrap_err();
    assert!(matches!(error, ProbeError::Timeout(_)), "{error:?}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_unix_socket_needs_a_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let endpoint = endpoint(Address::unix(path).unwrap());
    let identity = identity("api.internal");
    let unnamed = TcpProbe::new().with_tls(trusting(&identity));
    let error = check(&unnamed, &endpoint, PLENTY).await.unwrap_err();
    let reason = error.reason().to_string();
    assert!(
        reason.ends_with("is no name that a certificate could be for"),
        "{reason}"
    );
    drop(listener.accept().await.unwrap());

    let named = trusting(&identity)
        .with_server_name("api.internal")
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(identity.config));
    let served = async {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(stream).await.unwrap();
        stream.write_all(b"220 ready").await.unwrap();
        stream
    };
    let probe = greets(named);
    let (asked, _stream) = tokio::join!(check(&probe, &endpoint, PLENTY), served);
    asked.unwrap();
}

#[test]
fn settings_that_make_no_sense_are_refused_by_name() {
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let error = Tls::from_pem(broken.as_bytes()).unwrap_err();
    assert!(matches!(error, TlsError::Certificates(_)), "{error:?}");
    for nothing in ["", "no certificate at all"] {
        let error = Tls::from_pem(nothing.as_bytes()).unwrap_err();
        assert!(matches!(error, TlsError::NoCertificates), "{error:?}");
    }
    let tls = trusting(&identity("shop.example"));
    for name in ["", "a b", "shop.example:443"] {
        let error = tls.clone().with_server_name(name).unwrap_err();
        let words = format!("server name `{name}` is neither a host name nor an IP address");
        assert_eq!(error.to_string(), words);
    }
}

#[cfg(feature = "http")]
#[tokio::test]
async fn https_is_asked_with_its_name_and_protocol() {
    use tightrope_health::{ExpectedBody, HttpProbe};

    const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nUP";
    let mut identity = identity("shop.example");
    identity.config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let tls = trusting(&identity)
        .with_server_name("shop.example")
        .unwrap();
    let (endpoint, served) = server(identity.config, "127.0.0.1", ANSWER).await;
    let probe = HttpProbe::get("/health").unwrap().with_tls(tls);
    let probe = probe
        .with_body(ExpectedBody::Exact("UP".to_owned()))
        .unwrap();
    check(&probe, &endpoint, PLENTY).await.unwrap();
    let (name, protocol) = served.await.unwrap().unwrap();
    assert_eq!(name.as_deref(), Some("shop.example"));
    assert_eq!(protocol.as_deref(), Some(&b"http/1.1"[..]));
}

#[cfg(feature = "grpc")]
#[tokio::test]
async fn grpc_is_asked_over_tls_too() {
    use http_body_util::{BodyExt, Full};
    use hyper::{Request, body::Incoming, server::conn::http2, service::service_fn};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use tightrope_health::GrpcProbe;

    let mut identity = identity("localhost");
    identity.config.alpn_protocols = vec![b"h2".to_vec()];
    let probe = GrpcProbe::new().with_tls(trusting(&identity));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = TlsAcceptor::from(Arc::new(identity.config));
    let served = async {
        let (stream, _) = listener.accept().await.unwrap();
        let stream = acceptor.accept(stream).await.unwrap();
        let service = service_fn(|request: Request<Incoming>| async move {
            assert_eq!(request.uri().scheme_str(), Some("https"));
            let trailers = [("grpc-status".parse().unwrap(), "0".parse().unwrap())];
            let trailers = http::HeaderMap::from_iter(trailers);
            let message = Full::new(bytes::Bytes::from_static(&[0, 0, 0, 0, 2, 8, 1]));
            let body = message.with_trailers(std::future::ready(Some(Ok(trailers))));
            let kind = ("content-type", "application/grpc");
            let response = hyper::Response::builder().header(kind.0, kind.1);
            Ok::<_, std::convert::Infallible>(response.body(body).unwrap())
        });
        let connection = http2::Builder::new(TokioExecutor::new());
        let _ = connection
            .serve_connection(TokioIo::new(stream), service)
            .await;
    };
    let endpoint = endpoint(Address::host("localhost", port).unwrap());
    let (asked, ()) = tokio::join!(check(&probe, &endpoint, PLENTY), served);
    asked.unwrap();
}
