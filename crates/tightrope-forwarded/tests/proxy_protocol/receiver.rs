//! Headers that come over a connection.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use tightrope_forwarded::proxy_protocol::{Header, HeaderError, ReceiveError, Receiver, Version};
use tightrope_forwarded::{Evidence, Peer, Trust};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::time::{Instant, advance};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\n\r\n";

fn receiver() -> Receiver {
    Receiver::new(Trust::networks(["10.0.0.0/24".parse().unwrap()]))
}

fn balancer() -> Peer {
    Peer::tcp("10.0.0.2:40000".parse().unwrap())
}

/// What it makes of a connection over which `bytes` come and no more.
async fn accept(bytes: &[u8]) -> Result<Peer, ReceiveError> {
    let (mut sender, mut stream) = duplex(1024);
    sender.write_all(bytes).await.unwrap();
    drop(sender);
    receiver().accept(balancer(), &mut stream).await
}

#[tokio::test]
async fn nothing_behind_the_header_is_read() {
    for version in [Version::V1, Version::V2] {
        for (source, destination) in [
            ("203.0.113.7:56324", "192.0.2.1:443"),
            ("[2001:db8::7]:5", "[2001:db8::1]:443"),
        ] {
            let source = source.parse().unwrap();
            let header = Header::new(version, source, destination.parse().unwrap());
            let (mut sender, mut stream) = duplex(1024);
            sender.write_all(&header.to_bytes()).await.unwrap();
            sender.write_all(REQUEST).await.unwrap();
            drop(sender);
            let peer = receiver().accept(balancer(), &mut stream).await.unwrap();
            assert_eq!(peer.socket_addr(), Some(source));
            assert_eq!(peer.local_port(), Some(443));
            assert_eq!(peer.evidence(), Evidence::ProxyProtocol);
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await.unwrap();
            assert_eq!(rest, REQUEST);
        }
    }
}

#[tokio::test]
async fn a_header_may_come_byte_by_byte() {
    let source = "203.0.113.7:56324".parse().unwrap();
    for version in [Version::V1, Version::V2] {
        let header = Header::new(version, source, "192.0.2.1:443".parse().unwrap());
        // It holds one byte at a time.
        let (mut sender, mut stream) = duplex(1);
        let bytes = header.to_bytes();
        let receiver = receiver();
        let accept = receiver.accept(balancer(), &mut stream);
        let (peer, sent) = tokio::join!(accept, sender.write_all(&bytes));
        sent.unwrap();
        assert_eq!(peer.unwrap().socket_addr(), Some(source));
    }
}

#[tokio::test]
async fn the_longest_header_is_read_to_its_end() {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff".to_vec();
    bytes.extend([203, 0, 113, 7, 192, 0, 2, 1, 0xdc, 0x04, 0x01, 0xbb]);
    let rest = u16::MAX - 12 - 3;
    bytes.push(0x04);
    bytes.extend(rest.to_be_bytes());
    bytes.resize(bytes.len() + usize::from(rest), 0);
    assert_eq!(bytes.len(), 16 + usize::from(u16::MAX));
    bytes.extend(REQUEST);
    let (mut sender, mut stream) = duplex(bytes.len());
    sender.write_all(&bytes).await.unwrap();
    drop(sender);
    let peer = receiver().accept(balancer(), &mut stream).await.unwrap();
    assert_eq!(peer.local_port(), Some(443));
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, REQUEST);
}

#[tokio::test]
async fn who_names_nobody_is_the_peer_itself() {
    for header in [
        Header::local(),
        Header::unknown(Version::V1),
        Header::unknown(Version::V2),
    ] {
        let peer = accept(&header.to_bytes()).await.unwrap();
        assert_eq!(peer, balancer());
    }
}

#[tokio::test]
async fn from_other_peers_nothing_is_read() {
    let header = Header::new(
        Version::V1,
        "127.0.0.1:1".parse().unwrap(),
        "127.0.0.1:2".parse().unwrap(),
    );
    for peer in [Peer::tcp("10.0.1.2:40000".parse().unwrap()), Peer::unix()] {
        let (mut sender, mut stream) = duplex(1024);
        sender.write_all(&header.to_bytes()).await.unwrap();
        drop(sender);
        assert_eq!(receiver().accept(peer, &mut stream).await.unwrap(), peer);
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, header.to_bytes());
    }
}

#[tokio::test]
async fn without_a_whole_header_a_connection_is_refused() {
    for (bytes, words) in [
        (REQUEST, "there is no header of the PROXY protocol"),
        (b"", "ended after 0 bytes"),
        (b"PROXY TCP4 203.0.113.7", "ended after 22 bytes"),
        (
            b"PROXY TCP4 203.0.113.7 192.0.2.1 1 99999\r\n",
            "`99999` is not a destination port",
        ),
    ] {
        let error = accept(bytes).await.unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    let error = accept(REQUEST).await.unwrap_err();
    assert!(matches!(error, ReceiveError::Header(HeaderError::Missing)));
}

#[tokio::test(start_paused = true)]
async fn bytes_that_trickle_in_do_not_prolong_the_time() {
    let limit = Duration::from_secs(3);
    let receiver = receiver().with_timeout(limit);
    let (mut sender, mut stream) = duplex(1024);
    let start = Instant::now();
    let trickle = async {
        for byte in b"PROXY UNKNOWN" {
            sender.write_all(&[*byte]).await.unwrap();
            advance(Duration::from_millis(200)).await;
        }
        std::future::pending::<()>().await;
    };
    let error = tokio::select! {
        peer = receiver.accept(balancer(), &mut stream) => peer.unwrap_err(),
        () = trickle => unreachable!(),
    };
    assert_eq!(error.to_string(), "no PROXY header within 3s");
    assert!(start.elapsed() < limit + Duration::from_secs(1));
}
