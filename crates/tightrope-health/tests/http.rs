//! `HttpProbe` against servers on this machine that answer byte for byte as they are told.
#![cfg(feature = "http")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{sync::Arc, time::Duration};

use http::{HeaderValue, Method, header};
use tightrope_health::{
    ExpectedBody::{Contains, Exact},
    HttpProbe, HttpProbeError, ProbeError,
    probe::{Place, check},
};
use tightrope_upstream::{Address, Change, Endpoint, EndpointSpec, Upstream};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};

const PLENTY: Duration = Duration::from_secs(30);

fn endpoint(address: Address) -> Arc<Endpoint> {
    let upstream = Upstream::new("test");
    let change = Change::new().add(EndpointSpec::new(address));
    upstream.apply(change).unwrap();
    Arc::clone(&upstream.snapshot().members()[0])
}

/// What becomes of a connection after the answer.
#[derive(Clone, Copy)]
enum Then {
    Close,
    KeepOpen,
}

/// Reads one request and writes `answer`; gives the request.
async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: &str,
    then: Then,
) -> String {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.unwrap());
    }
    // Fails if the probe has heard enough before.
    let _ = stream.write_all(answer.as_bytes()).await;
    if let Then::KeepOpen = then {
        let mut rest = Vec::new();
        // Ends, with an error or without, when the probe closes the connection.
        let _ = stream.read_to_end(&mut rest).await;
        assert!(rest.is_empty(), "a second request: {rest:?}");
    }
    String::from_utf8(request).unwrap()
}

/// A server for one connection.
async fn server(answer: impl Into<String>, then: Then) -> (Arc<Endpoint>, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().try_into().unwrap();
    let answer = answer.into();
    let served = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        serve(stream, &answer, then).await
    });
    (endpoint(address), served)
}

/// What `probe` makes of `answer`; the words if it fails.
async fn ask(probe: &HttpProbe, answer: impl Into<String>, then: Then) -> Result<(), String> {
    let (endpoint, _served) = server(answer, then).await;
    let result = check(probe, &endpoint, PLENTY).await;
    result.map_err(|error| error.reason().to_string())
}

fn answer(status: u16, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status} Some\r\ncontent-length: {length}\r\n\r\n{body}")
}

fn probe() -> HttpProbe {
    HttpProbe::get("/infra/health").unwrap()
}

fn up() -> HttpProbe {
    probe().with_body(Exact("UP".to_owned())).unwrap()
}

#[tokio::test]
async fn any_success_passes_by_default_and_nothing_else_does() {
    for (status, passes) in [
        (200, true),
        (204, true),
        (299, true),
        (300, false),
        (503, false),
    ] {
        let answer = format!("HTTP/1.1 {status} Some\r\n\r\n");
        let result = ask(&probe(), answer, Then::Close).await;
        assert_eq!(result.is_ok(), passes, "{status}: {result:?}");
    }
}

#[tokio::test]
async fn a_wrong_status_is_told_with_what_was_expected() {
    let result = ask(&probe(), answer(503, "UP"), Then::KeepOpen).await;
    assert_eq!(result.unwrap_err(), "probe: status 503 is not in 200-299");
    let picky = probe().with_statuses([200..=204, 401..=401]).unwrap();
    let result = ask(&picky, answer(302, ""), Then::KeepOpen).await;
    assert_eq!(
        result.unwrap_err(),
        "probe: status 302 is not in 200-204, 401"
    );
    ask(&picky, answer(401, ""), Then::KeepOpen).await.unwrap();
}

#[tokio::test]
async fn the_body_is_compared_without_the_white_space_around_it() {
    ask(&up(), answer(200, "\n UP\r\n"), Then::KeepOpen)
        .await
        .unwrap();
    let result = ask(&up(), answer(200, "DOWN"), Then::KeepOpen).await;
    assert_eq!(result.unwrap_err(), "probe: body `DOWN` is not `UP`");
    let result = ask(&up(), answer(200, "UPPER"), Then::KeepOpen).await;
    assert_eq!(result.unwrap_err(), "probe: body `UPPER` is not `UP`");
}

#[tokio::test]
async fn a_part_of_the_body_can_be_looked_for() {
    let probe = probe()
        .with_body(Contains("\"db\":\"ok\"".to_owned()))
        .unwrap();
    let good = answer(200, r#"{"db":"ok","cache":"ok"}"#);
    ask(&probe, good, Then::KeepOpen).await.unwrap();
    let result = ask(&probe, answer(200, "{}"), Then::KeepOpen).await;
    let words = r#"probe: body `{}` does not contain `"db":"ok"`"#;
    assert_eq!(result.unwrap_err(), words);
}

#[cfg(feature = "regex")]
#[tokio::test]
async fn a_body_can_be_matched() {
    use tightrope_health::{ExpectedBody::Matches, Pattern};

    let pattern = Pattern::new(r#"^\{.*"(lag|delay)":\s*\d\b.*\}$"#).unwrap();
    let probe = probe().with_body(Matches(pattern)).unwrap();
    let good = answer(200, "{\"db\":\"ok\",\"lag\": 3}\n");
    ask(&probe, good, Then::KeepOpen).await.unwrap();
    let result = ask(&probe, answer(200, r#"{"lag":30}"#), Then::KeepOpen).await;
    let words = r#"probe: body `{\"lag\":30}` does not match `^\{.*"(lag|delay)":\s*\d\b.*\}$`"#;
    assert_eq!(result.unwrap_err(), words);
    let probe = probe.with_body_limit(4);
    let result = ask(&probe, answer(200, r#"{"lag":3}"#), Then::KeepOpen).await;
    assert_eq!(result.unwrap_err(), "probe: body is longer than 4 bytes");
}

#[cfg(feature = "regex")]
#[test]
fn patterns_that_are_none_are_refused_in_one_line() {
    use tightrope_health::Pattern;

    for (pattern, why) in [
        ("(UP", "unclosed group"),
        (r"\w{9999}{9999}", "exceeds size limit"),
    ] {
        let words = Pattern::new(pattern).unwrap_err().to_string();
        let begin = format!("`{pattern}` is not a regular expression");
        assert!(words.starts_with(&begin) && words.contains(why), "{words}");
        assert!(!words.contains('\n'), "{words}");
    }
    let equal = |a, b| Pattern::new(a).unwrap() == Pattern::new(b).unwrap();
    assert!(equal("UP", "UP") && !equal("UP", "(UP)"));
}

#[tokio::test]
async fn bodies_of_any_framing_are_read() {
    let chunked =
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nU\r\n1\r\nP\r\n0\r\n\r\n";
    ask(&up(), chunked, Then::KeepOpen).await.unwrap();
    let until_close = "HTTP/1.0 200 OK\r\n\r\nUP";
    ask(&up(), until_close, Then::Close).await.unwrap();
}

#[tokio::test]
async fn a_body_that_is_too_long_fails_without_its_end() {
    let probe = up().with_body_limit(4);
    ask(&probe, answer(200, "UP  "), Then::KeepOpen)
        .await
        .unwrap();
    let result = ask(&probe, answer(200, "UP   "), Then::KeepOpen).await;
    assert_eq!(result.unwrap_err(), "probe: body is longer than 4 bytes");
    // An endless one, of which only the beginning ever comes.
    let endless = format!("HTTP/1.1 200 OK\r\n\r\n{}", "UP".repeat(40_000));
    let result = ask(&up(), endless, Then::KeepOpen).await;
    assert_eq!(
        result.unwrap_err(),
        "probe: body is longer than 65536 bytes"
    );
}

#[tokio::test]
async fn a_head_that_is_too_long_fails_without_its_end() {
    let head = format!("HTTP/1.1 200 OK\r\nx-long: {}\r\n\r\n", "x".repeat(1 << 20));
    let (endpoint, _served) = server(head, Then::KeepOpen).await;
    let error = check(&probe(), &endpoint, PLENTY).await.unwrap_err();
    assert!(matches!(error, ProbeError::Exchange(_)), "{error:?}");
}

#[tokio::test]
async fn a_body_that_is_not_expected_is_not_waited_for() {
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nUP";
    ask(&probe(), half, Then::KeepOpen).await.unwrap();
}

#[tokio::test]
async fn strange_bodies_are_told_in_short_and_printable_words() {
    let body = format!("\u{1b}[31m\n{}", "x".repeat(200));
    let words = ask(&up(), answer(200, &body), Then::KeepOpen)
        .await
        .unwrap_err();
    assert!(
        words.starts_with(r"probe: body `\u{1b}[31m\nxxx"),
        "{words}"
    );
    assert!(words.ends_with("x...` is not `UP`"), "{words}");
    assert!(words.len() < 120, "{words}");
}

#[tokio::test]
async fn half_answers_fail() {
    let halves = [
        "",
        "HTTP/1.1 20",
        "HTTP/1.1 200 OK\r\ncontent-le",
        "HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nUP",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nUP\r\n",
        "220 this is not HTTP\r\n\r\n",
    ];
    for half in halves {
        let words = ask(&up(), half, Then::Close).await.unwrap_err();
        assert!(
            words.starts_with("probe: exchange failed: "),
            "{half:?}: {words}"
        );
    }
}

#[tokio::test]
async fn a_server_that_accepts_and_says_nothing_times_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().try_into().unwrap();
    let timeout = Duration::from_millis(20);
    let error = check(&probe(), &endpoint(address), timeout)
        .await
        .unwrap_err();
    assert!(matches!(error, ProbeError::Timeout(after) if after == timeout));
}

#[tokio::test]
async fn a_body_that_stalls_times_out() {
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nUP";
    let (endpoint, served) = server(half, Then::KeepOpen).await;
    let error = check(&up(), &endpoint, Duration::from_millis(200))
        .await
        .unwrap_err();
    assert!(matches!(error, ProbeError::Timeout(_)), "{error:?}");
    served.await.unwrap(); // the connection was closed
}

#[tokio::test]
async fn the_request_is_what_was_asked_for() {
    let (endpoint, served) = server(answer(200, ""), Then::KeepOpen).await;
    check(&probe(), &endpoint, PLENTY).await.unwrap();
    let request = served.await.unwrap();
    let address = endpoint.address();
    let lines: Vec<_> = request.trim_end().split("\r\n").collect();
    assert_eq!(lines[0], "GET /infra/health HTTP/1.1");
    assert_eq!(lines.len(), 4, "{request}");
    for line in ["user-agent: tightrope-health", "connection: close"] {
        assert!(lines.contains(&line), "{request}");
    }
    assert!(lines.contains(&&*format!("host: {address}")), "{request}");
}

#[tokio::test]
async fn method_and_headers_are_the_users_to_choose() {
    let probe = HttpProbe::head("/?deep=1").unwrap();
    let host = HeaderValue::from_static("shop.example");
    let probe = probe.with_header(header::HOST, host).unwrap();
    let token = HeaderValue::from_static("Bearer t");
    let probe = probe.with_header(header::AUTHORIZATION, token).unwrap();
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n";
    let (endpoint, served) = server(head, Then::KeepOpen).await;
    check(&probe, &endpoint, PLENTY).await.unwrap();
    let request = served.await.unwrap();
    assert!(
        request.starts_with("HEAD /?deep=1 HTTP/1.1\r\n"),
        "{request}"
    );
    assert!(request.contains("\r\nhost: shop.example\r\n"), "{request}");
    assert!(
        request.contains("\r\nauthorization: Bearer t\r\n"),
        "{request}"
    );
    assert_eq!(request.matches("host:").count(), 1);
}

#[tokio::test]
async fn who_is_asked_elsewhere_is_asked_by_the_name_of_that_place() {
    let (elsewhere, served) = server(answer(200, ""), Then::KeepOpen).await;
    let address = elsewhere.address().clone();
    let probe = probe().with_place(Place::Address(address.clone()));
    let endpoint = endpoint("unreachable.invalid:80".parse().unwrap());
    check(&probe, &endpoint, PLENTY).await.unwrap();
    let request = served.await.unwrap();
    let host = format!("\r\nhost: {address}\r\n");
    assert!(request.contains(&host), "{request}");
}

#[tokio::test]
async fn any_method_that_asks_can_be_used() {
    let probe = probe().with_method(Method::OPTIONS).unwrap();
    let (endpoint, served) = server(answer(200, ""), Then::KeepOpen).await;
    check(&probe, &endpoint, PLENTY).await.unwrap();
    let request = served.await.unwrap();
    assert!(request.starts_with("OPTIONS /infra/health HTTP/1.1\r\n"));
    assert!(!request.contains("content-length"), "{request}");
}

#[tokio::test]
async fn every_probe_has_a_connection_of_its_own() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = endpoint(listener.local_addr().unwrap().try_into().unwrap());
    for _ in 0..2 {
        let served = async {
            let (stream, _) = listener.accept().await.unwrap();
            serve(stream, &answer(200, "UP"), Then::KeepOpen).await
        };
        let probe = up();
        let (asked, _request) = tokio::join!(check(&probe, &endpoint, PLENTY), served);
        asked.unwrap();
    }
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
        serve(stream, &answer(200, "UP"), Then::KeepOpen).await
    };
    let probe = up();
    let (asked, request) = tokio::join!(check(&probe, &endpoint, PLENTY), served);
    asked.unwrap();
    assert!(request.contains("\r\nhost: localhost\r\n"), "{request}");
}

#[test]
fn settings_that_make_no_sense_are_refused_by_name() {
    for path in [
        "",
        "infra/health",
        "http://x/",
        "*",
        "/a b",
        "/a#b",
        "/a\r\nb",
    ] {
        let error = HttpProbe::get(path).unwrap_err();
        let path = path.to_owned();
        assert_eq!(error, HttpProbeError::Path { path });
    }
    #[expect(clippy::reversed_empty_ranges, reason = "that is what is refused")]
    let ranges = [vec![], vec![299..=200], vec![0..=200], vec![200..=1000]];
    for ranges in ranges {
        let error = probe().with_statuses(ranges).unwrap_err();
        assert!(matches!(error, HttpProbeError::Statuses { .. }));
    }
    let head = HttpProbe::head("/").unwrap();
    let error = head.with_body(Exact("UP".to_owned())).unwrap_err();
    assert_eq!(error, HttpProbeError::Body);
    let error = up().with_method(Method::HEAD).unwrap_err();
    assert_eq!(error, HttpProbeError::Body);
    let error = up().with_method(Method::CONNECT).unwrap_err();
    assert_eq!(error, HttpProbeError::Method);
    let (name, value) = (
        header::TRANSFER_ENCODING,
        HeaderValue::from_static("chunked"),
    );
    let error = probe().with_header(name.clone(), value).unwrap_err();
    assert_eq!(error, HttpProbeError::Header { name });
}
