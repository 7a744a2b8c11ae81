//! `TcpProbe` against real sockets of this machine.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{sync::Arc, time::Duration};

use tightrope_health::{ProbeError, TcpProbe, probe::check};
use tightrope_upstream::{Address, Change, Endpoint, EndpointSpec, Upstream};
use tokio::net::{TcpListener, TcpSocket};

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
    let read = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut sent).await;
    assert_eq!(read.unwrap(), 0);
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
