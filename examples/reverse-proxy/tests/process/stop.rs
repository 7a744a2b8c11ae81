//! SIGTERM.

use tightrope_test::{Client, Origin};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::program::{Program, file, soon};

/// A proxy with these timeouts, which was told to stop after `begin` and accepts no more.
async fn stopped(origin: &Origin, timeouts: &str, begin: impl AsyncFnOnce(&Program)) -> Program {
    let (_folder, path) = file(&format!(
        "access_log = \"off\"
         [[listener]]\naddress = \"127.0.0.1:0\"\nupstream = \"app\"
         [timeouts]\n{timeouts}
         [[upstream]]\nname = \"app\"
         [[upstream.endpoint]]\naddress = \"{}\"\n",
        origin.address()
    ));
    let arguments = ["--config".as_ref(), path.as_os_str()];
    let mut proxy = Program::start(arguments, false).await;
    begin(&proxy).await;
    proxy.signal("TERM").await;
    proxy.says("stopping").await;
    // The listener goes with the task that accepts, which may take a moment.
    while Client::connect(proxy.proxy()).await.is_ok() {
        tokio::task::yield_now().await;
    }
    proxy
}

/// A connection on which a request was answered, and others may follow.
async fn kept(proxy: &Program) -> TcpStream {
    let mut stream = TcpStream::connect(proxy.proxy()).await.unwrap();
    let answer = ask(&mut stream).await;
    assert!(!answer.contains("connection: close"), "{answer}");
    stream
}

async fn ask(stream: &mut TcpStream) -> String {
    let request = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\nblue") {
        answer.push(soon(stream.read_u8()).await.unwrap());
    }
    String::from_utf8(answer).unwrap()
}

/// That the other side closes without another word.
async fn closes(stream: &mut TcpStream) {
    assert_eq!(soon(stream.read(&mut [0])).await.unwrap(), 0);
}

#[tokio::test]
async fn answers_that_follow_a_stop_are_the_last_of_their_connections() {
    let origin = Origin::start("blue").await;
    let (mut idle, mut fresh, mut held) = (None, None, None);
    let proxy = stopped(&origin, "last_request = \"60s\"", async |proxy| {
        idle = Some(kept(proxy).await);
        fresh = Some(TcpStream::connect(proxy.proxy()).await.unwrap());
        // Accepted one after the other: the one before is accepted as well.
        let mut client = Client::connect(proxy.proxy()).await.unwrap();
        held = Some(tokio::spawn(async move { client.get("/gate").await }));
        origin.requests_reach(2).await;
    })
    .await;
    for stream in [&mut idle, &mut fresh] {
        let stream = stream.as_mut().unwrap();
        let answer = ask(stream).await;
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
        closes(stream).await;
    }
    origin.open_gate();
    let answer = soon(held.unwrap()).await.unwrap().unwrap();
    assert_eq!((answer.status, answer.origin()), (200, "blue"));
    assert_eq!(answer.headers["connection"], "close");
    assert!(proxy.ends().await.success());
}

#[tokio::test]
async fn a_connection_that_rested_carries_on_and_is_told_of_a_stop() {
    let origin = Origin::start("blue").await;
    let (mut idle, mut tunnel) = (None, None);
    let proxy = stopped(&origin, "last_request = \"60s\"", async |proxy| {
        let mut stream = kept(proxy).await;
        let client = Client::connect(proxy.proxy()).await.unwrap();
        // Takes longer than a connection needs to come to rest.
        assert_eq!(proxy.get("/slow?ms=1000").await.status, 200);
        assert!(!ask(&mut stream).await.contains("connection: close"));
        tunnel = Some(soon(client.websocket("/ws")).await.unwrap().1);
        assert_eq!(proxy.get("/slow?ms=1000").await.status, 200);
        idle = Some(stream);
    })
    .await;
    let mut idle = idle.unwrap();
    assert!(ask(&mut idle).await.contains("\r\nconnection: close\r\n"));
    closes(&mut idle).await;
    let mut tunnel = tunnel.unwrap();
    tunnel.write_all(b"ping").await.unwrap();
    soon(tunnel.read_exact(&mut [0; 4])).await.unwrap();
    tunnel.shutdown().await.unwrap();
    assert!(proxy.ends().await.success());
}

#[tokio::test]
async fn idle_connections_are_closed_once_no_last_request_is_waited_for() {
    let origin = Origin::start("blue").await;
    let (mut idle, mut fresh) = (None, None);
    let proxy = stopped(&origin, "last_request = \"0s\"", async |proxy| {
        fresh = Some(TcpStream::connect(proxy.proxy()).await.unwrap());
        idle = Some(kept(proxy).await);
    })
    .await;
    closes(&mut idle.unwrap()).await;
    closes(&mut fresh.unwrap()).await;
    assert!(proxy.ends().await.success());
}

#[tokio::test]
async fn what_has_not_ended_by_the_deadline_is_cut() {
    let origin = Origin::start("blue").await;
    let (mut held, mut tunnel) = (None, None);
    let timeouts = "last_request = \"0s\"\nshutdown = \"200ms\"";
    let mut proxy = stopped(&origin, timeouts, async |proxy| {
        let mut client = Client::connect(proxy.proxy()).await.unwrap();
        held = Some(tokio::spawn(async move { client.get("/gate").await }));
        let client = Client::connect(proxy.proxy()).await.unwrap();
        tunnel = Some(soon(client.websocket("/ws")).await.unwrap().1);
        origin.requests_reach(2).await;
    })
    .await;
    proxy.says("requests did not end in time").await;
    assert!(proxy.ends().await.success());
    assert!(soon(held.unwrap()).await.unwrap().is_err());
    let end = soon(tunnel.unwrap().read(&mut [0])).await;
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    origin.open_becomes(0).await;
}

#[tokio::test]
async fn sigterm_accepts_no_more_and_lets_requests_and_tunnels_end() {
    let origin = Origin::start("blue").await;
    let upstream = format!("http://{}", origin.address());
    let arguments = ["--listen", "127.0.0.1:0", "--upstream", &upstream];
    let mut proxy = Program::start(arguments, false).await;
    let client = Client::connect(proxy.proxy()).await.unwrap();
    let (_, mut tunnel) = soon(client.websocket("/ws")).await.unwrap();
    let mut idle = Client::connect(proxy.proxy()).await.unwrap();
    assert_eq!(soon(idle.get("/")).await.unwrap().status, 200);
    let mut held = Client::connect(proxy.proxy()).await.unwrap();
    let held = tokio::spawn(async move { held.get("/gate").await });
    origin.requests_reach(3).await;

    proxy.signal("TERM").await;
    proxy.says("stopping").await;
    // The listener goes with the task that accepts, which may take a moment.
    while Client::connect(proxy.proxy()).await.is_ok() {
        tokio::task::yield_now().await;
    }
    origin.open_gate();
    let answer = soon(held).await.unwrap().unwrap();
    assert_eq!((answer.status, answer.origin()), (200, "blue"));
    tunnel.write_all(b"ping").await.unwrap();
    let mut back = [0; 4];
    soon(tunnel.read_exact(&mut back)).await.unwrap();
    tunnel.shutdown().await.unwrap();
    assert!(proxy.ends().await.success());
}
