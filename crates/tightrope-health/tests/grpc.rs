//! `GrpcProbe` against servers on this machine that answer over HTTP/2 as they are told.
#![cfg(feature = "grpc")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{convert::Infallible, future::ready, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header, request::Parts};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tightrope_health::{
    GrpcProbe, GrpcProbeError, ProbeError,
    probe::{Place, check},
};
use tightrope_upstream::{Address, Change, Endpoint, EndpointSpec, Upstream};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite},
    net::TcpListener,
    task::JoinHandle,
};

const PLENTY: Duration = Duration::from_secs(30);

const SERVING: &[u8] = &[0, 0, 0, 0, 2, 8, 1];

/// What a server answers.
#[derive(Clone)]
struct Answer {
    status: u16,
    head: Vec<(&'static str, &'static str)>,
    body: Vec<u8>,
    trailers: Vec<(&'static str, &'static str)>,
}

/// The question that a server was asked.
type Asked = (Parts, Bytes);

fn endpoint(address: Address) -> Arc<Endpoint> {
    let upstream = Upstream::new("test");
    let change = Change::new().add(EndpointSpec::new(address));
    upstream.apply(change).unwrap();
    Arc::clone(&upstream.snapshot().members()[0])
}

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    let parsed = |&(name, value)| {
        (
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        )
    };
    pairs.iter().map(parsed).collect()
}

fn answer(body: &[u8]) -> Answer {
    Answer {
        status: 200,
        head: vec![("content-type", "application/grpc")],
        body: body.to_vec(),
        trailers: vec![("grpc-status", "0")],
    }
}

/// Answers one request; gives it when the probe has closed the connection.
async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + 'static, answer: Answer) -> Asked {
    let (asked, mut questions) = tokio::sync::mpsc::unbounded_channel();
    let service = service_fn(move |request: Request<Incoming>| {
        let (answer, asked) = (answer.clone(), asked.clone());
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            asked.send((head, body)).unwrap();
            let trailers = (!answer.trailers.is_empty()).then(|| Ok(headers(&answer.trailers)));
            let body = Full::new(Bytes::from(answer.body)).with_trailers(ready(trailers));
            let mut response = Response::new(body);
            *response.status_mut() = answer.status.try_into().unwrap();
            *response.headers_mut() = headers(&answer.head);
            Ok::<_, Infallible>(response)
        }
    });
    let connection = http2::Builder::new(TokioExecutor::new());
    // Ends, with an error or without, when the probe closes the connection.
    let _ = connection
        .serve_connection(TokioIo::new(stream), service)
        .await;
    questions.recv().await.unwrap()
}

async fn server(answer: Answer) -> (Arc<Endpoint>, JoinHandle<Asked>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().try_into().unwrap();
    let served = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        serve(stream, answer).await
    });
    (endpoint(address), served)
}

/// What a probe makes of `answer`; the words if it fails.
async fn ask(answer: Answer) -> Result<(), String> {
    let (endpoint, served) = server(answer).await;
    let result = check(&GrpcProbe::new(), &endpoint, PLENTY).await;
    served.await.unwrap();
    result.map_err(|error| error.reason().to_string())
}

#[tokio::test]
async fn serving_passes_and_nothing_else_does() {
    ask(answer(SERVING)).await.unwrap();
    for (status, name) in [
        (0, "UNKNOWN"),
        (2, "NOT_SERVING"),
        (3, "SERVICE_UNKNOWN"),
        (9, "9"),
    ] {
        let words = ask(answer(&[0, 0, 0, 0, 2, 8, status])).await.unwrap_err();
        assert_eq!(words, format!("probe: health is {name} and not SERVING"));
    }
    // A field that has its default is left out: UNKNOWN.
    let words = ask(answer(&[0; 5])).await.unwrap_err();
    assert_eq!(words, "probe: health is UNKNOWN and not SERVING");
}

#[tokio::test]
async fn fields_that_are_not_known_are_passed_over() {
    let with_another = [0, 0, 0, 0, 5, 0x12, 1, b'x', 8, 1];
    ask(answer(&with_another)).await.unwrap();
}

#[tokio::test]
async fn the_question_is_what_the_protocol_says() {
    let (endpoint, served) = server(answer(SERVING)).await;
    let name = HeaderName::from_static("x-token");
    let probe = GrpcProbe::new().with_service("shop.v1.Cart");
    let probe = probe
        .with_header(name, HeaderValue::from_static("t"))
        .unwrap();
    check(&probe, &endpoint, PLENTY).await.unwrap();
    let (head, body) = served.await.unwrap();
    assert_eq!(head.method, "POST");
    let uri = format!("http://{}/grpc.health.v1.Health/Check", endpoint.address());
    assert_eq!(head.uri, &*uri);
    for (name, value) in [
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("user-agent", "tightrope-health"),
        ("x-token", "t"),
    ] {
        assert_eq!(head.headers[name], value);
    }
    assert_eq!(
        body,
        [&[0, 0, 0, 0, 14, 10, 12][..], b"shop.v1.Cart"].concat()
    );
}

#[tokio::test]
async fn the_server_as_a_whole_is_asked_for_by_default() {
    let (endpoint, served) = server(answer(SERVING)).await;
    check(&GrpcProbe::new(), &endpoint, PLENTY).await.unwrap();
    assert_eq!(served.await.unwrap().1, &[0; 5][..]);
}

#[tokio::test]
async fn a_call_that_fails_is_told_with_its_status() {
    let mut failed = answer(b"");
    failed.trailers = vec![("grpc-status", "5"), ("grpc-message", "unknown service")];
    let words = "probe: grpc-status 5 is not 0: unknown service";
    assert_eq!(ask(failed.clone()).await.unwrap_err(), words);
    // The same with all of it in the head.
    failed.head.append(&mut failed.trailers);
    assert_eq!(ask(failed).await.unwrap_err(), words);
    // A message says nothing if the call failed after it.
    let mut failed = answer(SERVING);
    failed.trailers = vec![("grpc-status", "13")];
    let words = ask(failed).await.unwrap_err();
    assert_eq!(words, "probe: grpc-status 13 is not 0");
}

#[tokio::test]
async fn answers_that_are_not_of_grpc_fail() {
    let mut away = answer(b"<html>");
    away.status = 503;
    assert_eq!(ask(away).await.unwrap_err(), "probe: status 503 is not 200");
    let mut page = answer(b"<html>");
    page.head = vec![("content-type", "text/html")];
    let words = "probe: content type `text/html` is not application/grpc";
    assert_eq!(ask(page).await.unwrap_err(), words);
    let mut endless = answer(SERVING);
    endless.trailers.clear();
    let words = "probe: there is no grpc-status";
    assert_eq!(ask(endless).await.unwrap_err(), words);
}

#[tokio::test]
async fn messages_that_are_not_one_whole_message_fail() {
    for (body, words) in [
        (&b""[..], "there is no message"),
        (&[0, 0, 0], "there is no message"),
        (&[1, 0, 0, 0, 2, 8, 1], "the message is compressed"),
        (&[0, 0, 0, 0, 9, 8, 1], "the message is cut off"),
        (&[0, 0, 0, 0, 2, 8, 1, 0], "the message is cut off"),
        (&[0, 255, 255, 255, 255, 8, 1], "the message is cut off"),
        (&[0, 0, 0, 0, 1, 8], "exchange failed: "),
        (&[0, 0, 0, 0, 2, 0xff, 0xff], "exchange failed: "),
    ] {
        let said = ask(answer(body)).await.unwrap_err();
        assert!(
            said.starts_with(&format!("probe: {words}")),
            "{body:?}: {said}"
        );
    }
}

#[tokio::test]
async fn an_answer_that_is_too_long_fails_without_its_end() {
    let words = ask(answer(&[0; 1 << 20])).await.unwrap_err();
    assert_eq!(words, "probe: body is longer than 4096 bytes");
}

#[tokio::test]
async fn a_server_of_another_protocol_fails() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = endpoint(listener.local_addr().unwrap().try_into().unwrap());
    let served = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let answer = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n";
        tokio::io::AsyncWriteExt::write_all(&mut stream, answer)
            .await
            .unwrap();
    };
    let probe = GrpcProbe::new();
    let (asked, ()) = tokio::join!(check(&probe, &endpoint, PLENTY), served);
    let error = asked.unwrap_err();
    assert!(matches!(error, ProbeError::Exchange(_)), "{error:?}");
}

#[tokio::test]
async fn a_probe_that_is_given_up_leaves_nothing_behind() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = endpoint(listener.local_addr().unwrap().try_into().unwrap());
    let timeout = Duration::from_millis(100);
    let error = check(&GrpcProbe::new(), &endpoint, timeout)
        .await
        .unwrap_err();
    assert!(matches!(error, ProbeError::Timeout(_)), "{error:?}");
    let (mut stream, _) = listener.accept().await.unwrap();
    // Ends, as nobody has the connection open any more.
    stream.read_to_end(&mut Vec::new()).await.unwrap();
}

#[tokio::test]
async fn places_and_names_are_the_users_to_choose() {
    let (elsewhere, served) = server(answer(SERVING)).await;
    let place = Place::Address(elsewhere.address().clone());
    let probe = GrpcProbe::new().with_place(place);
    let probe = probe.with_authority("shop.example").unwrap();
    let endpoint = endpoint("unreachable.invalid:80".parse().unwrap());
    check(&probe, &endpoint, PLENTY).await.unwrap();
    let (head, _) = served.await.unwrap();
    assert_eq!(head.uri.authority().unwrap(), "shop.example");
}

#[cfg(unix)]
#[tokio::test]
async fn unix_sockets_are_asked_as_localhost() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let endpoint = endpoint(Address::unix(path).unwrap());
    let served = async {
        let (stream, _) = listener.accept().await.unwrap();
        serve(stream, answer(SERVING)).await
    };
    let probe = GrpcProbe::new();
    let (asked, (head, _)) = tokio::join!(check(&probe, &endpoint, PLENTY), served);
    asked.unwrap();
    assert_eq!(head.uri.authority().unwrap(), "localhost");
}

#[test]
fn settings_that_make_no_sense_are_refused_by_name() {
    for authority in ["", "a b", "me@shop.example", "http://shop.example"] {
        let error = GrpcProbe::new().with_authority(authority).unwrap_err();
        let authority = authority.to_owned();
        assert_eq!(error, GrpcProbeError::Authority { authority });
    }
    for name in [header::TE, HeaderName::from_static("grpc-timeout")] {
        let value = HeaderValue::from_static("1S");
        let error = GrpcProbe::new()
            .with_header(name.clone(), value)
            .unwrap_err();
        assert_eq!(error, GrpcProbeError::Header { name });
    }
}
