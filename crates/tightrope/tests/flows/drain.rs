//! When a drain ends.

use std::{future::poll_fn, pin::pin, task::Poll};

use tightrope::upstream::Change;
use tightrope_test::{Answer, Client};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::world::{PATIENCE, World, group, soon};

#[tokio::test]
async fn drained_resolves_with_the_last_response_and_tunnel_and_not_before() {
    let world = World::new().await;
    let mut responses = Vec::new();
    for _ in 0..3 {
        let mut client = Client::connect(world.front.address()).await.unwrap();
        let request = http::Request::get("/stream").body(Default::default());
        let response = client.send(request.unwrap()).await.unwrap();
        assert_eq!(response.headers()["x-origin"], "blue");
        responses.push((client, response));
    }
    let client = Client::connect(world.front.address()).await.unwrap();
    let (origin, mut tunnel) = client.websocket("/ws").await.unwrap();
    assert_eq!(origin, "blue");

    let change = Change::new().activate(group("green"));
    let update = world.upstream.apply(change).unwrap();
    update.applied().await;
    let mut drained = pin!(update.drained(PATIENCE));
    assert!(!is_ready(drained.as_mut()).await);
    assert_eq!(world.ask().await, "green");

    world.blue.open_gate();
    for (_client, response) in responses {
        let answer = soon(Answer::read(response)).await.unwrap();
        assert_eq!(answer.body, "blue begins\nblue ends\n");
        assert!(!is_ready(drained.as_mut()).await);
    }
    // The tunnel is the last, and works as long as its ends like.
    tunnel.write_all(b"still here").await.unwrap();
    let mut back = [0; 10];
    soon(tunnel.read_exact(&mut back)).await.unwrap();
    assert_eq!(&back, b"still here");
    assert!(!is_ready(drained.as_mut()).await);
    assert_eq!(world.in_flight(), 1);

    tunnel.shutdown().await.unwrap();
    let report = soon(drained).await;
    assert!(report.remaining.is_empty() && report.resumed.is_empty());
    assert_eq!(world.in_flight(), 0);
    assert_eq!((world.blue.requests(), world.green.requests()), (4, 1));
}

/// Whether `future` is ready when polled once; it is not polled again if so.
async fn is_ready(mut future: std::pin::Pin<&mut impl Future>) -> bool {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_ready())).await
}
