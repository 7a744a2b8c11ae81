//! `TcpProbe` against real sockets of this machine.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{sync::Arc, time::Duration};

use tightrope_health::{ExpectedBytes, ProbeError, TcpProbe, TcpProbeError, probe::check};
use tightrope_upstream::{Address, Change, Endpoint, EndpointSpec, Upstream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket},
    task::JoinHandle,
};

const PLENTY: Duration = Duration::from_secs(30);

fn endpoint(address: Address) -> Arc<Endpoint> {
    let upstream = Upstream::new("test");
    let change = Change::new().add(EndpointSpec::new(address));
    upstream.apply(change).unwrap();
    Arc::clone(&upstream.snapshot().members()[0])
}

#[tokio::test]
async fn passes_where_somebody_listens() {
    for ip in ["127.0.0.1:0", "[::1]:0"] {
        let Ok(server) = TcpListener::bind(ip).await else {
            continue; // a system without IPv6
        };
        let address = server.local_addr().unwrap().try_into().unwrap();
        check(&TcpProbe::new(), &endpoint(address), PLENTY)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn resolves_names() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = server.local_addr().unwrap().port();
    let address = Address::host("localhost", port).unwrap();
    check(&TcpProbe::new(), &endpoint(address), PLENTY)
        .await
        .unwrap();
}

#[tokio::test]
async fn closes_the_connection_at_once() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap().try_into().unwrap();
    check(&TcpProbe::new(), &endpoint(address), PLENTY)
        .await
        .unwrap();
    let (mut stream, _) = server.accept().await.unwrap();
    let mut sent = Vec::new();
    assert_eq!(stream.read_to_end(&mut sent).await.unwrap(), 0);
}

#[tokio::test]
async fn fails_where_nobody_listens() {
    // Bound, so that nobody else gets the port.
    let silent = TcpSocket::new_v4().unwrap();
    silent.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = silent.local_addr().unwrap().try_into().unwrap();
    let error = check(&TcpProbe::new(), &endpoint(address), PLENTY)
        .await
        .unwrap_err();
    assert!(matches!(error, ProbeError::Connect(_)));
    let reason = error.reason().to_string();
    assert!(
        reason.starts_with("probe: connect failed: Connection refused"),
        "{reason}"
    );
}

#[cfg(unix)]
#[tokio::test]
async fn connects_to_unix_sockets() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api.sock");
    let endpoint = endpoint(Address::unix(&path).unwrap());
    let error = check(&TcpProbe::new(), &endpoint, PLENTY)
        .await
        .unwrap_err();
    assert!(matches!(error, ProbeError::Connect(_)));

    let _server = tokio::net::UnixListener::bind(&path).unwrap();
    check(&TcpProbe::new(), &endpoint, PLENTY).await.unwrap();
}

/// A server for one connection that says `answer` in pieces, once it has read `question`; then it
/// waits for the other side to close.
async fn server(
    question: &'static [u8],
    answer: &'static [&'static [u8]],
) -> (Arc<Endpoint>, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().try_into().unwrap();
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut asked = vec![0; question.len()];
        stream.read_exact(&mut asked).await.unwrap();
        assert_eq!(asked, question);
        for piece in answer {
            if stream.write_all(piece).await.is_err() {
                return; // it has heard enough
            }
        }
        // Ends, with an error or without, when the probe closes the connection.
        let _ = stream.read_to_end(&mut asked).await;
    });
    (endpoint(address), served)
}

async fn hears(
    probe: &TcpProbe,
    question: &'static [u8],
    answer: &'static [&'static [u8]],
) -> Result<(), String> {
    let (endpoint, served) = server(question, answer).await;
    let result = check(probe, &endpoint, PLENTY).await;
    served.await.unwrap();
    result.map_err(|error| error.reason().to_string())
}

fn starts_with(bytes: &str) -> TcpProbe {
    let bytes = ExpectedBytes::StartsWith(bytes.as_bytes().to_vec());
    TcpProbe::new().with_expect(bytes).unwrap()
}

fn contains(bytes: &str) -> TcpProbe {
    let bytes = ExpectedBytes::Contains(bytes.as_bytes().to_vec());
    TcpProbe::new().with_expect(bytes).unwrap()
}

#[tokio::test]
async fn sends_and_expects_an_answer_that_starts_right() {
    let probe = starts_with("+PONG").with_send("PING\r\n");
    hears(&probe, b"PING\r\n", &[b"+PONG\r\n"]).await.unwrap();
    hears(&probe, b"PING\r\n", &[b"+P", b"ON", b"G"])
        .await
        .unwrap();
    let words = hears(&probe, b"PING\r\n", &[b"-LOADING\r\n"]).await;
    assert_eq!(
        words.unwrap_err(),
        r"probe: answer `-LOADING\r\n` does not start with `+PONG`"
    );
}

#[tokio::test]
async fn a_greeting_is_heard_without_a_word() {
    hears(&starts_with("220"), b"", &[b"220 mail.example\r\n"])
        .await
        .unwrap();
    // Wrong from its first byte on: what else might come is not waited for.
    let words = hears(&starts_with("220"), b"", &[b"4"]).await;
    assert_eq!(
        words.unwrap_err(),
        "probe: answer `4` does not start with `220`"
    );
}

#[tokio::test]
async fn a_part_of_the_answer_is_found_wherever_it_is_split() {
    let pieces: [&'static [&'static [u8]]; 4] = [
        &[b"role:master\r\n"],
        &[b"# Replication\r\nro", b"le:mast", b"er"],
        &[
            b"r", b"o", b"l", b"e", b":", b"m", b"a", b"s", b"t", b"e", b"r",
        ],
        &[b"role:maste role:maste", b"role:master"],
    ];
    for pieces in pieces {
        hears(&contains("role:master"), b"", pieces).await.unwrap();
    }
}

#[tokio::test]
async fn an_answer_that_ends_too_soon_fails() {
    for probe in [starts_with("+PONG"), contains("+PONG")] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = endpoint(listener.local_addr().unwrap().try_into().unwrap());
        let served = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"+PO").await.unwrap();
        };
        let (asked, ()) = tokio::join!(check(&probe, &endpoint, PLENTY), served);
        let words = asked.unwrap_err().reason().to_string();
        assert!(
            words.starts_with("probe: answer `+PO` does not "),
            "{words}"
        );
    }
}

#[tokio::test]
async fn an_answer_without_an_end_is_read_no_further_than_the_limit() {
    let probe = contains("yes").with_answer_limit(4).unwrap();
    hears(&probe, b"", &[b" yes no no"]).await.unwrap();
    let words = hears(&probe, b"", &[b"no yes"]).await;
    assert_eq!(
        words.unwrap_err(),
        "probe: answer `no y` does not contain `yes`"
    );
    let words = hears(&contains("yes"), b"", &[&[b'n'; 4097]]).await;
    let words = words.unwrap_err();
    assert!(words.ends_with("n...` does not contain `yes`"), "{words}");
}

#[tokio::test]
async fn an_answer_that_does_not_come_times_out() {
    let (endpoint, served) = server(b"PING", &[b"+P"]).await;
    let probe = starts_with("+PONG").with_send("PING");
    let timeout = Duration::from_millis(100);
    let error = check(&probe, &endpoint, timeout).await.unwrap_err();
    assert!(matches!(error, ProbeError::Timeout(_)), "{error:?}");
    served.await.unwrap(); // the connection was closed
}

#[test]
fn settings_that_make_no_sense_are_refused_by_name() {
    let empty = ExpectedBytes::Contains(Vec::new());
    let error = TcpProbe::new().with_expect(empty).unwrap_err();
    assert_eq!(error, TcpProbeError::Empty);
    let error = starts_with("+PONG").with_answer_limit(4).unwrap_err();
    let words = "answer limit is 4 bytes, and 5 are expected";
    assert_eq!(error.to_string(), words);
    let short = TcpProbe::new().with_answer_limit(4).unwrap();
    let long = ExpectedBytes::StartsWith(b"+PONG".to_vec());
    assert_eq!(short.with_expect(long).unwrap_err(), error);
}
