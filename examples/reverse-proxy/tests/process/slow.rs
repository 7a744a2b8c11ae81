//! Clients that take their time.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::interval,
};

use super::program::{Program, file, soon};

/// The proxy with these settings, and its endpoint.
async fn world(settings: &str) -> (Program, TcpListener, tempfile::TempDir) {
    let endpoint = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (folder, path) = file(&format!(
        "access_log = \"off\"
         [[listener]]\naddress = \"127.0.0.1:0\"\nupstream = \"app\"
         {settings}
         [[upstream]]\nname = \"app\"
         [[upstream.endpoint]]\naddress = \"{}\"\n",
        endpoint.local_addr().unwrap()
    ));
    let arguments = ["--config".as_ref(), path.as_os_str()];
    (Program::start(arguments, false).await, endpoint, folder)
}

#[tokio::test]
async fn a_client_that_reads_nothing_does_not_hold_its_endpoint() {
    let (proxy, endpoint, _folder) = world("[timeouts]\nwrite = \"300ms\"").await;
    let mut client = TcpStream::connect(proxy.proxy()).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    client.write_all(request).await.unwrap();
    let (mut stream, _) = soon(endpoint.accept()).await.unwrap();
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n";
    stream.write_all(head).await.unwrap();
    // Until nobody takes it any more, and then until the connection ends.
    soon(async { while stream.write_all(&[b'x'; 65536]).await.is_ok() {} }).await;
    // What was on its way is all that the client gets.
    let mut rest = Vec::new();
    let _reset = soon(client.read_to_end(&mut rest)).await;
    assert!(rest.starts_with(b"HTTP/1.1 200 OK\r\n"));
}

#[tokio::test]
async fn a_client_that_sends_a_byte_now_and_then_is_answered_with_408() {
    let settings = "[timeouts]\nrequest_body = \"1s\"\n[limits]\nrequest_rate = 10000";
    let (proxy, endpoint, _folder) = world(settings).await;
    let client = TcpStream::connect(proxy.proxy()).await.unwrap();
    let (mut reading, mut writing) = client.into_split();
    let drip = async {
        let request = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n";
        writing.write_all(request).await.unwrap();
        let mut pace = interval(Duration::from_millis(20));
        // Often enough for every pause, and much too slow.
        while writing.write_all(b"x").await.is_ok() {
            pace.tick().await;
        }
    };
    let answer = async {
        let mut answer = [0; 12];
        reading.read_exact(&mut answer).await.unwrap();
        answer
    };
    let talk = soon(async { tokio::join!(answer, drip).0 });
    // The endpoint takes the connection, and says nothing.
    let (answer, _stream) = tokio::join!(talk, soon(endpoint.accept()));
    assert_eq!(&answer, b"HTTP/1.1 408");
}
