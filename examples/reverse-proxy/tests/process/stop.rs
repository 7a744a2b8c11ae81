//! SIGTERM.

use tightrope_test::{Client, Origin};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::program::{Program, soon};

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
